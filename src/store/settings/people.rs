//! Users as the settings' file names them, and as they are called by what runs.

use std::collections::BTreeMap;

use crate::model::ids::UserName;
use crate::model::pseudonym::{Pseudonyms, Renames};
use crate::model::settings::people::with_user;
use crate::model::settings::{Edit, Settings};

/// What users are called, and those whom the settings have ever named.
#[derive(Debug, Clone, Default)]
pub(super) struct People {
    pub(super) pseudonyms: Pseudonyms,
    /// Their names as they were written, by what they are called.
    known: BTreeMap<UserName, UserName>,
}

impl People {
    pub(super) fn called_by(pseudonyms: Pseudonyms) -> Self {
        Self { pseudonyms, known: BTreeMap::new() }
    }

    /// Remembers whom the settings name.
    pub(super) fn meet(&mut self, settings: &Settings) {
        for user in settings.users() {
            let called = self.pseudonyms.user_again(user);
            if called != *user || self.pseudonyms.tag().is_none() {
                self.known.insert(called, user.clone());
            }
        }
    }

    /// The settings with users as they are called.
    pub(super) fn call(&self, settings: Settings) -> Settings {
        settings.with_users(|user| self.pseudonyms.user_again(user))
    }

    /// An edit as it is told.
    pub(super) fn told(&self, edit: &Edit) -> Edit {
        Self::changed(edit, |user| self.pseudonyms.user_again(user))
    }

    /// An edit as it is to be written: who had a name in the file has it again.
    pub(super) fn written(&self, edit: &Edit) -> Edit {
        Self::changed(edit, |user| self.known.get(user).unwrap_or(user).clone())
    }

    fn changed(edit: &Edit, called: impl Fn(&UserName) -> UserName) -> Edit {
        Edit { key: edit.key.clone(), value: edit.value.as_ref().map(|value| with_user(value, called)) }
    }

    pub(super) fn renames(&self) -> Renames {
        Renames::new(&self.pseudonyms, self.known.values())
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use crate::model::pseudonym::{Key, Pseudonyms};
    use crate::model::settings::{BudgetScope, Edit, Settings};
    use crate::store::settings::SettingsFile;

    const TEXT: &str = r#"[loop]
fleet = "lab"
[[budget]]
name = "hers" # the one of the grant
scope = "user:alice"
per = "day"
limit = "$10"
[schedule.night]
from = "22:00"
to = "06:00"
set = { "budget.hers.limit" = "$5" }
"#;

    fn pseudonyms() -> Pseudonyms {
        Pseudonyms::new(Some(Key::new("0123456789abcdef").unwrap()), None)
    }

    fn scope(settings: &Settings) -> String {
        settings.budgets[0].scope.to_string()
    }

    fn set(file: &mut SettingsFile, key: &str, value: &str) {
        file.edit(&[Edit { key: key.to_owned(), value: Some(value.to_owned()) }], None).unwrap();
    }

    #[test]
    fn what_runs_has_pseudonyms_and_the_text_has_the_names() {
        let names = pseudonyms();
        let called = |name: &str| format!("user:{}", names.user(&name.into()));
        let mut file = SettingsFile::in_memory(TEXT).unwrap().with_pseudonyms(names.clone());
        assert_eq!(scope(&file.settings()), called("alice"));
        let night: Timestamp = "2026-11-30T23:00:00Z".parse().unwrap();
        assert_eq!(scope(&file.settings_at(night)), called("alice"));
        set(&mut file, "budget.hers.limit", "$20");
        assert_eq!(file.text(), TEXT.replace("$10", "$20"), "an edit of something else leaves the name");
        set(&mut file, "budget.hers.scope", "user:carol");
        assert!(file.text().contains("\"user:carol\""));
        assert_eq!(scope(&file.settings()), called("carol"));
        // What takes it back knows the pseudonym alone.
        set(&mut file, "budget.hers.scope", &called("alice"));
        assert!(file.text().contains("\"user:alice\""), "{}", file.text());
        // One whom the settings never named stays as they are written.
        set(&mut file, "budget.hers.scope", &called("dave"));
        assert_eq!(scope(&file.settings()), called("dave"));
        let preview = [Edit { key: "budget.hers.scope".to_owned(), value: Some("user:erin".to_owned()) }];
        assert_eq!(scope(&file.preview(&preview, Timestamp::UNIX_EPOCH).unwrap()), called("erin"));
        assert_eq!(file.told(&preview[0]).value, Some(called("erin")));
    }

    #[test]
    fn a_guardrail_of_a_user_holds_for_the_same_user() {
        let rails = "[[budget]]\nname = \"ceiling\"\nscope = \"user:alice\"\nper = \"day\"\nlimit = \"$3\"\n";
        let file = SettingsFile::guarded_in_memory(TEXT, rails).unwrap().with_pseudonyms(pseudonyms());
        let settings = file.settings();
        assert_eq!(settings.budgets.len(), 1);
        assert_eq!(settings.budgets[0].limit, "$3".parse().unwrap());
        assert_eq!(settings.budgets[0].scope, BudgetScope::User(pseudonyms().user(&"alice".into())));
    }
}
