//! The settings file: read, watched, and edited so that everything a person wrote in it stays.

mod disk;
mod edit;
mod locate;
mod parse;
mod people;
mod problem;
mod rails;
mod splice;
mod watch;

use jiff::Timestamp;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use disk::create;
pub use edit::EditError;
pub use locate::{NotFound, VARIABLE, default_place, locate};
pub use parse::parse;
pub use problem::{Position, Problem, SettingsProblems};
pub use rails::{GUARDRAILS, GuardrailPlace, guardrail_places};
pub use watch::{Watcher, watch};

use crate::model::ids::Revision;
use crate::model::pseudonym::{Pseudonyms, Renames};
use crate::model::settings::guardrails::Guarded;
use crate::model::settings::{Edit, Settings};
use crate::store::settings::people::People;
use crate::store::settings::rails::Rails;

/// What problems call a text that is in no file.
const IN_MEMORY: &str = "settings";

/// The settings that run, and the file that they are from.
#[derive(Debug)]
pub struct SettingsFile {
    /// `None`: in memory only.
    path: Option<PathBuf>,
    text: String,
    /// As the text has them.
    written: Arc<Settings>,
    rails: Rails,
    people: People,
    /// What runs: no more than the guardrails allow, with users as they are called.
    settings: Arc<Settings>,
    guarded: Vec<Guarded>,
    /// What is wrong with the file as it is now; what ran before runs on.
    problem: Option<SettingsProblems>,
}

impl SettingsFile {
    /// Reads the file; one that others can write is refused.
    pub fn open(path: &Path) -> Result<Self, SettingsProblems> {
        Self::open_guarded(path, Vec::new())
    }

    /// The same, under the guardrails of these places.
    pub fn open_guarded(path: &Path, guardrails: Vec<GuardrailPlace>) -> Result<Self, SettingsProblems> {
        let text = disk::read(path)?;
        let written = parse(&text, path)?;
        Ok(Self::under(Rails::open(guardrails)?, People::default(), Some(path.to_owned()), text, written))
    }

    fn under(rails: Rails, mut people: People, path: Option<PathBuf>, text: String, written: Settings) -> Self {
        let (settings, guarded) = rails.apply(&written);
        people.meet(&settings);
        let settings = people.call(settings);
        let (written, settings) = (Arc::new(written), Arc::new(settings));
        Self { path, text, written, rails, people, settings, guarded, problem: None }
    }

    /// The same, with users as they are called in what runs; the text keeps the names.
    #[must_use]
    pub fn with_pseudonyms(self, pseudonyms: Pseudonyms) -> Self {
        let written = Arc::unwrap_or_clone(self.written);
        Self::under(self.rails, People::called_by(pseudonyms), self.path, self.text, written)
    }

    /// What users are called.
    #[must_use]
    pub fn pseudonyms(&self) -> &Pseudonyms {
        &self.people.pseudonyms
    }

    /// What users are called whom the store has under other names.
    #[must_use]
    pub fn renames(&self) -> Renames {
        self.people.renames()
    }

    /// An edit with users as they are called.
    #[must_use]
    pub fn told(&self, edit: &Edit) -> Edit {
        self.people.told(edit)
    }

    /// A problem of one setting, which is not in the text itself.
    #[must_use]
    pub fn problem_of(&self, key: &str, message: String) -> SettingsProblems {
        let at = parse::place_of(&self.text, key).map(|offset| Position::of(&self.text, offset));
        let path = self.path.clone().unwrap_or_else(|| IN_MEMORY.into());
        SettingsProblems { path, problems: vec![Problem { at, key: Some(key.to_owned()), message }] }
    }

    /// Settings that are in no file: for the demo and for tests.
    pub fn in_memory(text: &str) -> Result<Self, SettingsProblems> {
        let written = parse(text, Path::new(IN_MEMORY))?;
        Ok(Self::under(Rails::default(), People::default(), None, text.to_owned(), written))
    }

    /// The same, under guardrails that are in no file.
    #[cfg(test)]
    pub(crate) fn guarded_in_memory(text: &str, guardrails: &str) -> Result<Self, SettingsProblems> {
        let written = parse(text, Path::new(IN_MEMORY))?;
        Ok(Self::under(Rails::in_memory(guardrails)?, People::default(), None, text.to_owned(), written))
    }

    /// `None`: in memory only.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// What runs.
    #[must_use]
    pub fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings)
    }

    /// What does not count as it is written, since a guardrail is lower.
    #[must_use]
    pub fn guarded(&self) -> &[Guarded] {
        &self.guarded
    }

    /// What runs with the schedules that hold then; not over the guardrails either.
    #[must_use]
    pub fn settings_at(&self, now: Timestamp) -> Arc<Settings> {
        if self.settings.schedules_at(now).next().is_none() {
            return self.settings();
        }
        Arc::new(self.people.call(self.rails.apply(&self.written.at(now)).0))
    }

    /// The guardrails file by which nothing may be changed.
    #[must_use]
    pub fn read_only(&self) -> Option<&str> {
        self.rails.read_only()
    }

    /// The guardrails files that are followed.
    pub fn guardrail_files(&self) -> impl Iterator<Item = &Path> {
        self.rails.files()
    }

    /// The text of what runs.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Why the file as it is now does not run.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.problem.as_ref().map(SettingsProblems::to_string)
    }

    /// What the settings would be after the edits; changes nothing.
    pub fn preview(&self, edits: &[Edit], now: Timestamp) -> Result<Settings, EditError> {
        let text = edit::apply(&self.text, &self.written, &self.as_written(edits))?;
        let written = self.parse(&text).map_err(EditError::Invalid)?;
        Ok(self.people.call(self.rails.apply(&written.at(now)).0))
    }

    /// Writes the edits, all or none. A file that was changed meanwhile is read again first, and the edits are made in
    /// its new text; with `seen` they are refused if the settings are not that revision any more.
    pub fn edit(&mut self, edits: &[Edit], seen: Option<&Revision>) -> Result<Arc<Settings>, EditError> {
        // What another hand wrote becomes what runs with the edit, or by a reread: never by an edit that fails.
        let changed = self.look().map_err(EditError::Broken)?;
        let (old, written, runs) = match &changed {
            Some(new) => (&new.text, &*new.written, &new.settings),
            None => (&self.text, &*self.written, &self.settings),
        };
        if let Some(from) = changed.as_ref().unwrap_or(&*self).read_only() {
            return Err(EditError::ReadOnly { from: from.to_owned() });
        }
        if let Some(seen) = seen.filter(|seen| **seen != runs.revision) {
            return Err(EditError::Changed { seen: seen.clone(), now: runs.revision.clone() });
        }
        let text = edit::apply(old, written, &self.as_written(edits))?;
        let written = self.parse(&text).map_err(EditError::Invalid)?;
        if let Some(path) = &self.path
            && text != *old
        {
            let put = disk::replace(path, old, &text);
            let put = put.map_err(|error| EditError::Write { path: path.clone(), message: error.to_string() })?;
            if !put {
                return Err(EditError::Overtaken { path: path.clone() });
            }
        }
        let (rails, people) = match changed {
            Some(new) => (new.rails, new.people),
            None => (std::mem::take(&mut self.rails), std::mem::take(&mut self.people)),
        };
        *self = Self::under(rails, people, self.path.take(), text, written);
        Ok(self.settings())
    }

    /// The text as it is on disk now, whatever it is worth.
    pub fn on_disk(&self) -> Result<String, SettingsProblems> {
        self.path.as_deref().map_or_else(|| Ok(self.text.clone()), disk::read)
    }

    /// Puts a whole text in the place of `was`: nothing is written where it does not parse, or where the file holds
    /// something else by now.
    pub fn rewrite(&mut self, text: &str, was: &str) -> Result<Arc<Settings>, EditError> {
        let written = self.parse(text).map_err(EditError::Invalid)?;
        let rails = self.rails.look().map_err(EditError::Broken)?.unwrap_or_else(|| self.rails.clone());
        if let Some(from) = rails.read_only() {
            return Err(EditError::ReadOnly { from: from.to_owned() });
        }
        let put = match &self.path {
            Some(path) => disk::replace(path, was, text)
                .map_err(|error| EditError::Write { path: path.clone(), message: error.to_string() })?,
            None => self.text == was,
        };
        if !put {
            return Err(EditError::Overtaken { path: self.path.clone().unwrap_or_else(|| IN_MEMORY.into()) });
        }
        let people = std::mem::take(&mut self.people);
        *self = Self::under(rails, people, self.path.take(), text.to_owned(), written);
        Ok(self.settings())
    }

    /// Looks at the files again. `None`: nothing new. An error leaves what ran before running, and is kept as the
    /// [`problem`](Self::problem) until the file is mended.
    pub fn reread(&mut self) -> Option<Result<Arc<Settings>, SettingsProblems>> {
        match self.look() {
            Ok(Some(new)) => {
                *self = new;
                Some(Ok(self.settings()))
            }
            Ok(None) => self.problem.take().map(|_| Ok(self.settings())),
            Err(problems) => {
                let is_told = self.problem.take().as_ref() == Some(&problems);
                let is_new = self.heed_guardrails() || !is_told;
                self.problem = Some(problems.clone());
                is_new.then_some(Err(problems))
            }
        }
    }

    /// Guardrails hold whatever the settings on disk are worth; whether others do now.
    fn heed_guardrails(&mut self) -> bool {
        let before = (
            self.guardrail_files().map(Path::to_owned).collect::<Vec<_>>(),
            self.settings(),
            self.read_only().is_some(),
        );
        let rails = match self.rails.look() {
            Ok(rails) => rails.unwrap_or_else(|| self.rails.clone()),
            Err(_) => self.rails.without_the_wrong(),
        };
        let written = Settings::clone(&self.written);
        *self = Self::under(
            rails,
            std::mem::take(&mut self.people),
            self.path.take(),
            std::mem::take(&mut self.text),
            written,
        );
        before != (self.guardrail_files().map(Path::to_owned).collect(), self.settings(), self.read_only().is_some())
    }

    /// What the files hold now, where that is not what runs.
    fn look(&self) -> Result<Option<Self>, SettingsProblems> {
        let Some(path) = &self.path else { return Ok(None) };
        let (text, rails) = (disk::read(path)?, self.rails.look()?);
        if text == self.text && rails.is_none() {
            return Ok(None);
        }
        let written = parse(&text, path)?;
        let rails = rails.unwrap_or_else(|| self.rails.clone());
        Ok(Some(Self::under(rails, self.people.clone(), Some(path.clone()), text, written)))
    }

    /// Edits as the file has users.
    fn as_written(&self, edits: &[Edit]) -> Vec<Edit> {
        edits.iter().map(|edit| self.people.written(edit)).collect()
    }

    fn parse(&self, text: &str) -> Result<Settings, SettingsProblems> {
        parse(text, self.path.as_deref().unwrap_or(Path::new(IN_MEMORY)))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions, Permissions};
    use std::io::Write;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::sync::mpsc;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::model::settings::fields::{self, Unset};
    use crate::model::settings::key::Part;
    use crate::model::settings::reference;

    fn write(path: &Path, text: &str) {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn edits(pairs: &[(&str, Option<&str>)]) -> Vec<Edit> {
        let edit =
            |(key, value): &(&str, Option<&str>)| Edit { key: (*key).to_owned(), value: value.map(str::to_owned) };
        pairs.iter().map(edit).collect()
    }

    /// The reference file in a folder of its own.
    fn file() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tidegate.toml");
        write(&path, &reference::toml());
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        (folder, path)
    }

    #[test]
    fn an_edit_lands_in_the_file_and_in_what_runs() {
        let (folder, path) = file();
        let link = folder.path().join("link.toml");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        // What a crash left behind.
        write(&folder.path().join(format!(".tidegate.toml.{}.new", std::process::id())), "half");
        let mut open = SettingsFile::open(&link).unwrap();
        let before = open.settings();
        let settings = open.edit(&edits(&[("queue.train.max", Some("3")), ("pool.g5.max", Some("2"))]), None).unwrap();
        assert_eq!(settings.queue(&"train".into()).unwrap().limits.max, Some(3));
        assert_eq!(open.settings(), settings);
        assert_ne!(settings.revision, before.revision);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
        assert_eq!(fs::read_to_string(&path).unwrap(), open.text());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        assert_eq!(*SettingsFile::open(&path).unwrap().settings(), *settings);
        assert!(open.reread().is_none());
    }

    #[test]
    fn edits_are_made_all_or_none() {
        let (_folder, path) = file();
        let mut open = SettingsFile::open(&path).unwrap();
        let place = regex::Regex::new(r"PATH:\d+:\d+:").unwrap();
        for (pairs, said) in [
            (
                vec![("queue.train.max", Some("3")), ("queue.train.max", Some("-1"))],
                "queue.train.max: `-1` is not in 0..100000",
            ),
            (
                vec![("queue.train.max", Some("3")), ("queue.train.maxx", Some("1"))],
                "there is no `maxx` in [queue.*]: did you mean `max`?",
            ),
            (
                vec![("pool.g5.min", Some("5"))],
                "the settings would not be valid: PATH: pool.g5.min: `5` is more than the pool's max, 1",
            ),
            (vec![("queue.train.pools", None)], "the settings would not be valid: PATH: queue.train.pools: is missing"),
            (
                vec![("queue.trian.max", Some("3"))],
                "there is no queue `trian` in the settings: did you mean `train`; a new one needs pools",
            ),
            (
                vec![("budget.day.limit", Some("$3"))],
                "there is no budget `day` in the settings; a new one needs per, limit",
            ),
        ] {
            for error in [
                open.preview(&edits(&pairs), Timestamp::UNIX_EPOCH).unwrap_err(),
                open.edit(&edits(&pairs), None).unwrap_err(),
            ] {
                let told = error.to_string().replace(path.to_str().unwrap(), "PATH");
                let told = place.replace(&told, "PATH:");
                assert!(told.starts_with(said), "{told}\nis not\n{said}");
            }
            assert_eq!(fs::read_to_string(&path).unwrap(), reference::toml());
            assert_eq!(open.text(), reference::toml());
        }
    }

    #[test]
    fn a_new_section_begins_with_all_that_it_needs() {
        let mut open = SettingsFile::in_memory(&reference::toml()).unwrap();
        let new = [
            ("queue.nightly runs.pools", Some("big")),
            ("pool.big.provider", Some("aws")),
            ("pool.big.region", Some("us-east-1")),
            ("pool.big.types", Some("p4d.24xlarge")),
            ("pool.big.ami", Some("ami-1")),
            ("budget.\"big day\".per", Some("day")),
            ("budget.\"big day\".limit", Some("$500")),
        ];
        assert!(matches!(open.edit(&edits(&new), None), Err(EditError::Key(_))));
        let mut new = new;
        new[0].0 = "queue.\"nightly runs\".pools";
        let settings = open.edit(&edits(&new), None).unwrap();
        assert_eq!(settings.queues.last().unwrap().name.as_str(), "nightly runs");
        assert_eq!(settings.pools.last().unwrap().name.as_str(), "big");
        assert_eq!(settings.budgets.last().unwrap().name.as_str(), "big day");
        let grown = open.text().to_owned();
        let kept = grown.lines().filter(|line| reference::toml().lines().any(|old| old == *line)).count();
        assert!(kept >= reference::toml().lines().count(), "{grown}");
        for section in [
            "\n\n[queue.\"nightly runs\"]\npools = [\"big\"]\n\n# A kind of machine",
            "\n\n[pool.big]\nprovider = \"aws\"\nregion = \"us-east-1\"\ntypes = [\"p4d.24xlarge\"]\nami = \"ami-1\"\n",
            "\n\n[[budget]]\nname = \"big day\"\nper = \"day\"\nlimit = \"$500\"\n\n# Hours at which settings",
        ] {
            assert!(grown.contains(section), "{grown}");
        }
    }

    #[test]
    fn what_another_hand_wrote_is_never_overwritten() {
        let (_folder, path) = file();
        let mut open = SettingsFile::open(&path).unwrap();
        let seen = open.settings().revision.clone();
        let outside = reference::toml().replace("max = 4\n", "max = 5 # by hand\n");
        write(&path, &outside);
        let three = edits(&[("queue.train.max", Some("3"))]);
        match open.edit(&three, Some(&seen)) {
            Err(EditError::Changed { seen: told, now }) => assert!(told == seen && now != seen),
            other => panic!("{other:?}"),
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), outside);
        assert_eq!(open.settings().limits.max, Some(4), "a refused edit brings nothing else");
        let settings = open.edit(&three, None).unwrap();
        assert_eq!((settings.limits.max, settings.queues[0].limits.max), (Some(5), Some(3)));
        assert!(fs::read_to_string(&path).unwrap().contains("max = 5 # by hand\n"));
        let seen = settings.revision.clone();
        open.edit(&edits(&[("queue.train.max", Some("4"))]), Some(&seen)).unwrap();

        let broken = "[loop\n";
        write(&path, broken);
        let error = open.edit(&three, None).unwrap_err();
        assert!(matches!(error, EditError::Broken(_)) && error.to_string().contains(":1:6:"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), broken);
        fs::remove_file(&path).unwrap();
        assert!(matches!(open.edit(&three, None), Err(EditError::Broken(_))));
        assert!(!path.exists());
    }

    #[test]
    fn a_whole_text_is_written_only_if_it_is_right_and_nobody_else_wrote() {
        let (_folder, path) = file();
        let mut open = SettingsFile::open(&path).unwrap();
        let (was, before) = (open.on_disk().unwrap(), open.settings());
        let error = open.rewrite("[loop\n", &was).unwrap_err().to_string();
        assert!(error.contains(":1:6: this is not TOML"), "{error}");
        assert_eq!((fs::read_to_string(&path).unwrap(), open.settings()), (was.clone(), Arc::clone(&before)));
        let new = was.replace("max = 4\n", "max = 5 # mine\n");
        let outside = was.replace("max = 4\n", "max = 6 # theirs\n");
        write(&path, &outside);
        assert!(matches!(open.rewrite(&new, &was), Err(EditError::Overtaken { .. })));
        assert_eq!((fs::read_to_string(&path).unwrap(), open.on_disk().unwrap()), (outside.clone(), outside.clone()));
        let settings = open.rewrite(&new, &outside).unwrap();
        assert_eq!((settings.limits.max, fs::read_to_string(&path).unwrap()), (Some(5), new));
        assert!(open.reread().is_none());
        // A file that does not parse is mended by the same way.
        write(&path, "[loop\n");
        assert!(open.reread().unwrap().is_err());
        assert_eq!(open.rewrite(&was, &open.on_disk().unwrap()).unwrap().limits.max, Some(4));
        assert_eq!(open.problem(), None);
        let mut memory = SettingsFile::in_memory(&was).unwrap();
        assert!(matches!(memory.rewrite(&was, "other"), Err(EditError::Overtaken { .. })));
        assert_eq!(memory.rewrite(&outside, &was).unwrap().limits.max, Some(6));
    }

    #[test]
    fn a_file_overtaken_between_look_and_write_is_left_alone() {
        let (folder, path) = file();
        assert!(!disk::replace(&path, "what was read", "what would be written").unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), reference::toml());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_bad_edit_by_hand_keeps_the_last_good_settings_live() {
        let (_folder, path) = file();
        let mut open = SettingsFile::open(&path).unwrap();
        assert!(open.reread().is_none());
        write(&path, &reference::toml().replace("max = 4\n", "max = \"four\"\n"));
        let problems = open.reread().unwrap().unwrap_err();
        assert!(problems.to_string().ends_with("limits.max: `four` is not a whole number in 0..100000"), "{problems}");
        assert_eq!(open.problem(), Some(problems.to_string()));
        assert!(open.reread().is_none(), "told once");
        assert_eq!(open.settings().limits.max, Some(4));
        fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        assert!(open.reread().unwrap().unwrap_err().to_string().contains("chmod go-w"));
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        write(&path, &reference::toml());
        assert_eq!(open.reread().unwrap().unwrap().limits.max, Some(4));
        assert_eq!(open.problem(), None);
        write(&path, &reference::toml().replace("max = 4\n", "max = 6\n"));
        assert_eq!(open.reread().unwrap().unwrap().limits.max, Some(6));
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        let (folder, path) = file();
        let told = |path: &Path| SettingsFile::open(path).unwrap_err().to_string();
        assert!(told(&folder.path().join("none.toml")).contains("none.toml: cannot be read"));
        for mode in [0o620, 0o602] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert!(told(&path).contains(&format!("(mode {mode:o}): run `chmod go-w")));
        }
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let mut bytes = OpenOptions::new().append(true).open(&path).unwrap();
        bytes.write_all(b"# \xff\n").unwrap();
        let line = reference::toml().lines().count() + 1;
        assert!(told(&path).ends_with(&format!(":{line}:3: this is not TOML: a byte is not UTF-8")));
    }

    #[test]
    fn a_change_on_disk_is_heard() {
        let (folder, path) = file();
        let (tell, heard) = mpsc::channel();
        let watcher = watch(&path, move || tell.send(()).unwrap_or_default()).unwrap();
        let is_told = || heard.recv_timeout(Duration::from_secs(20)).is_ok();
        write(&path, "# in place\n");
        assert!(is_told());
        let beside = folder.path().join("editor.tmp");
        write(&beside, "# renamed over\n");
        while heard.recv_timeout(Duration::from_millis(200)).is_ok() {}
        fs::rename(&beside, &path).unwrap();
        assert!(is_told());
        while heard.recv_timeout(Duration::from_millis(200)).is_ok() {}
        fs::read_to_string(&path).unwrap();
        write(&folder.path().join("other"), "x");
        assert!(heard.recv_timeout(Duration::from_millis(200)).is_err(), "reading and neighbours are no change");
        drop(watcher);
    }

    /// Settings in every other way that TOML has.
    const ODD: &str = r#"# odd
loop.fleet = 'odd' # fleet
"queue".'a b'.pools = [ "p", ] # pools
queue."a b".max = 0x4
limits = { max = 3, max_gpu = 8 }
budget = [ { name = "b", per = "day", limit = "$3" }, { name = "c", per = "month", limit = "$9", scope = "queue:a b" } ]

[pool] # pools
  p.provider = "aws"
  p.region = """us-east-1"""
  p.types = [
    "g5.xlarge", # small
    "g5.2xlarge", # large
  ]
  p.tags.team = "a" # team
  p.ami = "ami-1"

[pool.q]
provider = "aws"
region = "us-east-1"
types = ["g5.xlarge"]
ami = "ami-1"
min = 1
[pool.q.tags]
# nothing yet"#;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(150))]

        #[test]
        fn any_edits_leave_settings_that_are_what_the_text_says(
            start in prop::sample::select(vec![reference::toml(), ODD.to_owned(), ODD.replace('\n', "\r\n")]),
            steps in prop::collection::vec((0_usize..500, 0_usize..500, prop::bool::weighted(0.2)), 1..12)
        ) {
            let mut open = SettingsFile::in_memory(&start).unwrap();
            for (at, other, removes) in steps {
                let lines: Vec<_> =
                    open.settings().sections().iter().flat_map(|section| fields::form(&open.settings(), section)).collect();
                let line = &lines[at % lines.len()];
                // The value of another line of the same field, which may or may not do here.
                let alike: Vec<_> = lines.iter().filter(|other| other.field().name == line.field().name).collect();
                let typed = [alike[other % alike.len()].text.as_str(), line.field().example][other % 2];
                let edit = Edit { key: line.key.to_string(), value: (!removes).then(|| typed.to_owned()) };
                let before = (open.text().to_owned(), open.settings());
                let Ok(settings) = open.edit(std::slice::from_ref(&edit), None) else {
                    prop_assert_eq!(before, (open.text().to_owned(), open.settings()));
                    continue;
                };
                prop_assert_eq!(&*settings, &parse(open.text(), Path::new("t")).unwrap());
                if line.field().name == "name" {
                    continue;
                }
                let mut expected = (*before.1).clone();
                expected.revision = settings.revision.clone();
                let value = match (edit.value.as_deref(), line.field().unset) {
                    (Some(typed), _) | (None, Unset::Is(typed)) => Some(line.field().read(typed).unwrap()),
                    (None, _) => None,
                };
                if let Some(value) = value {
                    fields::put(&mut expected, &line.key, &value).unwrap();
                    prop_assert_eq!(&*settings, &expected, "{} = {:?}\n{}", line.key, edit.value, open.text());
                }
            }
        }
    }

    #[test]
    fn the_form_shows_what_can_be_typed() {
        let settings = SettingsFile::in_memory(&reference::toml()).unwrap().settings();
        let mut shown = 0;
        for section in settings.sections() {
            for line in fields::form(&settings, &section).into_iter().filter(|line| !line.text.is_empty()) {
                let read = line.field().read(&line.text).unwrap();
                assert_eq!(fields::value(&settings, &line.key), Some(read), "{}", line.key);
                shown += 1;
            }
        }
        // Keys are those of the commands themselves, unless the file says others.
        let others = fields::all().filter(|field| field.part() != Part::Keys).count();
        assert!(shown > others / 2, "{shown}");
    }
}
