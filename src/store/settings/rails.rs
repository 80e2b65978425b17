//! Where guardrails are, and what they make of settings.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::model::settings::Settings;
use crate::model::settings::guardrails::{Guarded, Guardrails};
use crate::store::settings::problem::SettingsProblems;
use crate::store::settings::{disk, parse};

/// Names a guardrails file where no argument does.
pub const GUARDRAILS: &str = "TIDEGATE_GUARDRAILS";

/// The file's name in the two places where nobody names it.
pub(super) const FILE: &str = "guardrails.toml";

/// The administrator's own.
const SYSTEM: &str = "/etc/tidegate/guardrails.toml";

/// Where guardrails are, or may come to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardrailPlace {
    pub path: PathBuf,
    /// Somebody named it: it must be there.
    pub is_named: bool,
}

impl GuardrailPlace {
    /// Whether there is something to be obeyed. What cannot be looked at may be there.
    fn is_taken(&self) -> bool {
        let gone = |error: &io::Error| matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
        self.is_named || !fs::metadata(&self.path).is_err_and(|error| gone(&error))
    }

    fn read(&self) -> Result<(Text, Guardrails), SettingsProblems> {
        let text = disk::read(&self.path)?;
        let rails = parse::guardrails::parse(&text, &self.path)?;
        Ok((Text { path: self.path.clone(), text }, rails))
    }
}

/// The places of the guardrails of these settings, whether or not a file is there yet.
#[must_use]
pub fn guardrail_places(settings: &Path, named: Option<&Path>) -> Vec<GuardrailPlace> {
    let named = named.map(Path::to_owned);
    let named = named.or_else(|| env::var_os(GUARDRAILS).filter(|value| !value.is_empty()).map(PathBuf::from));
    let mut paths = vec![PathBuf::from(SYSTEM), settings.with_file_name(FILE)];
    paths.retain(|path| Some(path) != named.as_ref());
    paths.dedup();
    let places = paths.into_iter().map(|path| GuardrailPlace { path, is_named: false });
    places.chain(named.map(|path| GuardrailPlace { path, is_named: true })).collect()
}

/// A file as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Text {
    path: PathBuf,
    text: String,
}

/// The guardrails of some settings.
#[derive(Debug, Clone, Default)]
pub(super) struct Rails {
    places: Vec<GuardrailPlace>,
    /// Those that are there.
    texts: Vec<Text>,
    read: Vec<Guardrails>,
    /// A file that came while the settings ran, and cannot be read: what it forbids is not known.
    unread: Option<String>,
}

impl Rails {
    /// Reads the files; one that others can write is refused.
    pub(super) fn open(places: Vec<GuardrailPlace>) -> Result<Self, SettingsProblems> {
        let (texts, read) = read(&places)?;
        Ok(Self { places, texts, read, unread: None })
    }

    #[cfg(test)]
    pub(super) fn in_memory(text: &str) -> Result<Self, SettingsProblems> {
        let path = PathBuf::from(FILE);
        let read = vec![parse::guardrails::parse(text, &path)?];
        Ok(Self { texts: vec![Text { path, text: text.to_owned() }], read, ..Self::default() })
    }

    /// The guardrails as they are on disk now; `None`: as before.
    pub(super) fn look(&self) -> Result<Option<Self>, SettingsProblems> {
        if self.places.is_empty() {
            return Ok(None);
        }
        let (texts, read) = read(&self.places)?;
        let is_new = texts != self.texts || self.unread.is_some();
        Ok(is_new.then(|| Self { places: self.places.clone(), texts, read, unread: None }))
    }

    /// What counts while some file is not right: the last good ones, and nothing at all where a new one cannot be read.
    pub(super) fn without_the_wrong(&self) -> Self {
        let is_followed = |place: &GuardrailPlace| self.texts.iter().any(|text| text.path == place.path);
        let mut new = self.places.iter().filter(|place| place.is_taken() && !is_followed(place));
        let unread = new.find(|place| place.read().is_err());
        Self { unread: unread.map(|place| place.path.display().to_string()), ..self.clone() }
    }

    /// What counts of the settings, and what does not count as it is written.
    pub(super) fn apply(&self, written: &Settings) -> (Settings, Vec<Guarded>) {
        let mut settings = written.clone();
        let text: String = self.texts.iter().map(|text| text.text.as_str()).collect();
        if !text.is_empty() {
            let both = format!("{} {}", written.revision, parse::revision(&text));
            settings.revision = parse::revision(&both);
        }
        let guarded = self.read.iter().flat_map(|rails| rails.apply(&mut settings)).collect();
        (settings, guarded)
    }

    /// The file that keeps this console from changing anything.
    pub(super) fn read_only(&self) -> Option<&str> {
        let forbids = self.read.iter().find(|rails| rails.read_only).map(|rails| rails.from.as_str());
        forbids.or(self.unread.as_deref())
    }

    /// The files that are followed.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        self.texts.iter().map(|text| text.path.as_path())
    }
}

fn read(places: &[GuardrailPlace]) -> Result<(Vec<Text>, Vec<Guardrails>), SettingsProblems> {
    let there = places.iter().filter(|place| place.is_taken()).map(GuardrailPlace::read);
    Ok(there.collect::<Result<Vec<_>, _>>()?.into_iter().unzip())
}

#[cfg(test)]
mod tests {
    use std::fs::{OpenOptions, Permissions};
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
    fn the_page_s_example_is_read_as_it_says() {
        let page = include_str!("../../../assets/SECURITY.md");
        let example = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let rails = parse::guardrails::parse(example, Path::new(FILE)).unwrap();
        assert_eq!((rails.ceilings.limits.max, rails.read_only), (Some(8), false));
        assert_eq!((rails.regions.unwrap().len(), rails.types.unwrap().len()), (1, 2));
        assert_eq!((rails.ceilings.queues.len(), rails.ceilings.budgets.len()), (1, 1));
    }

    #[test]
    fn guardrails_are_read_again_and_refused_where_others_write_them() {
        let folder = tempfile::tempdir().unwrap();
        let (path, rails) = (folder.path().join("tidegate.toml"), folder.path().join(FILE));
        write(&path, &reference::toml());
        write(&rails, "[limits]\nmax = 3\n");
        fs::set_permissions(&rails, Permissions::from_mode(0o644)).unwrap();
        let files = guardrail_places(&path, None);
        assert_eq!(files.last(), Some(&GuardrailPlace { path: rails.clone(), is_named: false }));
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
        assert_eq!(open.guardrail_files().count(), 1);
        fs::remove_file(&rails).unwrap();
        assert_eq!(open.reread().unwrap().unwrap().limits.max, Some(4));
        assert_eq!((open.guardrail_files().count(), open.read_only()), (0, None));
        write(&rails, "");
        fs::set_permissions(&rails, Permissions::from_mode(0o666)).unwrap();
        let told = SettingsFile::open_guarded(&path, files).unwrap_err().to_string();
        assert!(told.contains("chmod go-w"), "{told}");
    }

    /// Settings without guardrails, and where those would be.
    fn bare() -> (tempfile::TempDir, PathBuf, SettingsFile) {
        let folder = tempfile::tempdir().unwrap();
        let (path, rails) = (folder.path().join("tidegate.toml"), folder.path().join(FILE));
        write(&path, &reference::toml());
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let open = SettingsFile::open_guarded(&path, guardrail_places(&path, None)).unwrap();
        (folder, rails, open)
    }

    fn put(rails: &Path, text: &str) {
        write(rails, text);
        fs::set_permissions(rails, Permissions::from_mode(0o644)).unwrap();
    }

    #[test]
    fn guardrails_that_come_while_the_settings_run_are_obeyed() {
        let (_folder, rails, mut open) = bare();
        assert!(open.reread().is_none());
        let before = open.settings().revision.clone();
        put(&rails, "[limits]\nmax = 3\n");
        assert_eq!(open.reread().unwrap().unwrap().limits.max, Some(3));
        assert_eq!(open.guardrail_files().collect::<Vec<_>>(), [rails.as_path()]);
        assert_ne!(open.settings().revision, before);
        assert!(open.reread().is_none());
        // An edit is made under what came at the same moment.
        put(&rails, "[limits]\nmax = 2\n");
        assert_eq!(open.edit(&set("limits.max", "9"), None).unwrap().limits.max, Some(2));
        put(&rails, "read_only = true\n");
        let (text, max) = (open.on_disk().unwrap(), set("limits.max", "1"));
        let whole = format!("{text}# mine\n");
        for refused in [open.edit(&max, None).map(drop), open.rewrite(&whole, &text).map(drop)] {
            let told = refused.unwrap_err().to_string();
            assert!(told.starts_with("read only, by the guardrails of ") && told.contains(FILE), "{told}");
        }
        assert_eq!(open.on_disk().unwrap(), text);
    }

    #[test]
    fn a_file_that_comes_and_is_wrong_lets_nothing_be_done() {
        let (_folder, rails, mut open) = bare();
        put(&rails, "[limits]\nmax = many\n");
        let told = open.reread().unwrap().unwrap_err().to_string();
        assert!(told.contains("guardrails.toml:2:7:"), "{told}");
        assert_eq!(open.read_only(), rails.to_str());
        assert!(open.edit(&set("limits.max", "9"), None).is_err());
        assert!(open.reread().is_none(), "told once");
        fs::set_permissions(&rails, Permissions::from_mode(0o666)).unwrap();
        assert!(open.reread().unwrap().unwrap_err().to_string().contains("chmod go-w"));
        assert_eq!(open.read_only(), rails.to_str());
        put(&rails, "[limits]\nmax = 3\n");
        assert_eq!(open.reread().unwrap().unwrap().limits.max, Some(3));
        assert_eq!((open.read_only(), open.problem()), (None, None));
        fs::remove_file(&rails).unwrap();
        open.reread().unwrap().unwrap();
        put(&rails, "no = 1\n");
        open.reread().unwrap().unwrap_err();
        fs::remove_file(&rails).unwrap();
        open.reread().unwrap().unwrap();
        assert_eq!((open.read_only(), open.problem()), (None, None));
    }

    #[test]
    fn guardrails_hold_whatever_the_settings_on_disk_are_worth() {
        let (folder, rails, mut open) = bare();
        let path = folder.path().join("tidegate.toml");
        write(&path, "[loop\n");
        open.reread().unwrap().unwrap_err();
        put(&rails, "read_only = true\n[limits]\nmax = 3\n");
        open.reread().unwrap().unwrap_err();
        assert_eq!((open.read_only(), open.settings().limits.max), (rails.to_str(), Some(3)));
        assert!(open.reread().is_none(), "told once");
    }

    #[test]
    fn a_named_file_must_be_there() {
        let (folder, _rails, _open) = bare();
        let (path, named) = (folder.path().join("tidegate.toml"), folder.path().join("named.toml"));
        let places = guardrail_places(&path, Some(&named));
        assert!(SettingsFile::open_guarded(&path, places.clone()).is_err());
        put(&named, "[limits]\nmax = 3\n");
        let mut open = SettingsFile::open_guarded(&path, places).unwrap();
        fs::remove_file(&named).unwrap();
        assert!(open.reread().unwrap().is_err(), "to take it away is no way around it");
        assert_eq!((open.settings().limits.max, open.read_only()), (Some(3), None));
        // Who names the one beside the settings has it once.
        let beside = folder.path().join(FILE);
        assert_eq!(guardrail_places(&path, Some(&beside)).iter().filter(|place| place.path == beside).count(), 1);
    }
}
