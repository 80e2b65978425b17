//! Where guardrails are, and what they make of settings.

use std::env;
use std::path::{Path, PathBuf};

use crate::model::settings::Settings;
use crate::model::settings::guardrails::{Guarded, Guardrails};
use crate::store::settings::problem::SettingsProblems;
use crate::store::settings::{disk, parse};

/// Names a guardrails file where no argument does.
pub const GUARDRAILS: &str = "TIDEGATE_GUARDRAILS";

const FILE: &str = "guardrails.toml";

/// The administrator's own.
const SYSTEM: &str = "/etc/tidegate/guardrails.toml";

/// The guardrails files of these settings: all that there are, and the one that was named in any case.
#[must_use]
pub fn guardrail_files(settings: &Path, named: Option<&Path>) -> Vec<PathBuf> {
    let named = named.map(Path::to_owned);
    let named = named.or_else(|| env::var_os(GUARDRAILS).filter(|value| !value.is_empty()).map(PathBuf::from));
    let beside = settings.with_file_name(FILE);
    let mut files: Vec<PathBuf> = [PathBuf::from(SYSTEM), beside].into_iter().filter(|path| path.exists()).collect();
    files.extend(named);
    files
}

/// The guardrails of some settings.
#[derive(Debug, Clone, Default)]
pub(super) struct Rails {
    files: Vec<PathBuf>,
    /// As they were read.
    text: String,
    read: Vec<Guardrails>,
}

impl Rails {
    /// Reads the files; one that others can write is refused.
    pub(super) fn open(files: Vec<PathBuf>) -> Result<Self, SettingsProblems> {
        let mut rails = Self { files, ..Self::default() };
        (rails.text, rails.read) = rails.read()?;
        Ok(rails)
    }

    #[cfg(test)]
    pub(super) fn in_memory(text: &str) -> Result<Self, SettingsProblems> {
        let rails = vec![parse::guardrails::parse(text, Path::new("guardrails.toml"))?];
        Ok(Self { files: Vec::new(), text: text.to_owned(), read: rails })
    }

    fn read(&self) -> Result<(String, Vec<Guardrails>), SettingsProblems> {
        let (mut all, mut rails) = (String::new(), Vec::new());
        for path in &self.files {
            let text = disk::read(path)?;
            rails.push(parse::guardrails::parse(&text, path)?);
            all.push_str(&text);
        }
        Ok((all, rails))
    }

    /// The guardrails as they are on disk now; `None`: as before.
    pub(super) fn look(&self) -> Result<Option<Self>, SettingsProblems> {
        let (text, rails) = if self.files.is_empty() { return Ok(None) } else { self.read()? };
        Ok((text != self.text).then(|| Self { files: self.files.clone(), text, read: rails }))
    }

    /// What counts of the settings, and what does not count as it is written.
    pub(super) fn apply(&self, written: &Settings) -> (Settings, Vec<Guarded>) {
        let mut settings = written.clone();
        if !self.text.is_empty() {
            let both = format!("{} {}", written.revision, parse::revision(&self.text));
            settings.revision = parse::revision(&both);
        }
        let guarded = self.read.iter().flat_map(|rails| rails.apply(&mut settings)).collect();
        (settings, guarded)
    }

    /// The file that keeps this console from changing anything.
    pub(super) fn read_only(&self) -> Option<&str> {
        self.read.iter().find(|rails| rails.read_only).map(|rails| rails.from.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions, Permissions};
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::model::settings::{Edit, Limits, reference};
    use crate::store::settings::SettingsFile;

    const CEILINGS: &str = r#"# The administrator's.
regions = ["us-east-1"]
types = ["g5.*", "t3.medium"]
[limits]
max = 8
max_hourly = "$20/h"
[queue.train]
max = 2
[queue.nobodys]
max = 1
[[budget]]
name = "department"
per = "month"
limit = "$100"
"#;

    fn write(path: &Path, text: &str) {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn set(key: &str, value: &str) -> [Edit; 1] {
        [Edit { key: key.to_owned(), value: Some(value.to_owned()) }]
    }

    #[test]
    fn a_setting_counts_up_to_its_guardrail_whoever_writes_it() {
        let mut open = SettingsFile::guarded_in_memory(&reference::toml(), CEILINGS).unwrap();
        open.edit(&set("limits.max", "40"), None).unwrap();
        open.edit(&set("queue.train.max", "1"), None).unwrap();
        open.edit(&set("pool.g5.types", "g5.xlarge, p4d.24xlarge"), None).unwrap();
        let settings = open.settings();
        assert_eq!(settings.limits.max, Some(8));
        assert_eq!(settings.queue(&"train".into()).unwrap().limits, Limits { max: Some(1), ..Limits::default() });
        assert_eq!(settings.pool(&"g5".into()).unwrap().types, ["g5.xlarge".into()]);
        assert!(open.text().contains("max = 40"), "the file says what the person wrote");
        let preview = open.preview(&set("limits.max", "12"), jiff::Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(preview.limits.max, Some(8));
        let told: Vec<String> = open.guarded().iter().map(ToString::to_string).collect();
        insta::assert_snapshot!("guarded", told.join("\n"));
        // No more does a schedule pass it.
        let hours = [("from", "00:00"), ("to", "00:00"), ("set", "limits.max = 30, limits.max_hourly = $1/h")];
        let hours =
            hours.map(|(field, value)| Edit { key: format!("schedule.all.{field}"), value: Some(value.to_owned()) });
        open.edit(&hours, None).unwrap();
        let scheduled = open.settings_at(jiff::Timestamp::UNIX_EPOCH);
        assert_eq!(scheduled.limits.max, Some(8));
        assert_eq!(scheduled.limits.max_hourly, Some("$1/h".parse().unwrap()));
        assert_eq!(scheduled.budgets.len(), open.settings().budgets.len());
        // A guardrail's own budget is no setting.
        let edit = open.edit(&set("budget.\"department (guardrail)\".limit", "$9000"), None);
        assert!(edit.is_err());
    }

    #[test]
    fn guardrails_are_read_again_and_refused_where_others_write_them() {
        let folder = tempfile::tempdir().unwrap();
        let (path, rails) = (folder.path().join("tidegate.toml"), folder.path().join(FILE));
        write(&path, &reference::toml());
        write(&rails, "[limits]\nmax = 3\n");
        fs::set_permissions(&rails, Permissions::from_mode(0o644)).unwrap();
        let files = guardrail_files(&path, None);
        assert_eq!(files.last(), Some(&rails));
        let mut open = SettingsFile::open_guarded(&path, files.clone()).unwrap();
        assert_eq!(open.settings().limits.max, Some(3));
        let before = open.settings().revision.clone();
        assert!(open.reread().is_none());
        write(&rails, "read_only = true\n[limits]\nmax = 2\n");
        assert_eq!(open.reread().unwrap().unwrap().limits.max, Some(2));
        assert_ne!(open.settings().revision, before);
        assert!(open.read_only().unwrap().ends_with(FILE));
        write(&rails, "[limits]\nmax = many\n");
        let told = open.reread().unwrap().unwrap_err().to_string();
        assert!(told.contains("guardrails.toml:2:7:"), "{told}");
        assert_eq!(open.settings().limits.max, Some(2), "the last good ones hold");
        fs::remove_file(&rails).unwrap();
        assert!(open.reread().unwrap().is_err(), "to take them away is no way around them");
        write(&rails, "");
        fs::set_permissions(&rails, Permissions::from_mode(0o666)).unwrap();
        let told = SettingsFile::open_guarded(&path, files).unwrap_err().to_string();
        assert!(told.contains("chmod go-w"), "{told}");
    }
}
