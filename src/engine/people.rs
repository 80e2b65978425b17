//! Users as they are called: what is remembered of them under other names counts on, and what nobody can tell whose it is
//! is told.

use jiff::Timestamp;

use crate::engine::run::Loop;
use crate::engine::words::line;
use crate::model::calendar::Windows;
use crate::model::ids::UserName;
use crate::model::journal::EntryKind;
use crate::model::ledger::Ledger;
use crate::model::money::Money;
use crate::model::pseudonym::tag_of;
use crate::model::record::Memory;
use crate::model::settings::{Budget, BudgetScope, Settings};

/// Users whose money no budget counts.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    /// What is to be known of them.
    pub(super) text: Option<String>,
    /// Whoever is to know of it was alarmed.
    told: bool,
}

impl Strangers {
    /// They are told of again: somebody else leads now.
    pub(super) fn tell_again(&mut self) {
        self.told = false;
    }
}

impl Loop {
    /// Takes what the store remembers, with users as they are called now.
    pub(super) fn remember(&mut self, mut memory: Memory) {
        memory.call_users(&self.setup.settings.renames());
        self.memory = memory;
    }

    /// Looks whose money no budget counts.
    pub(super) fn look_for_strangers(&mut self) {
        let (tag, now) = (self.setup.settings.pseudonyms().tag(), self.setup.clock.now());
        self.strangers.text = strangers(&self.memory.ledger, &self.settings, tag, now);
    }

    /// Alarms whoever is to know of it, once.
    pub(super) async fn tell_strangers(&mut self) {
        self.look_for_strangers();
        let told = std::mem::replace(&mut self.strangers.told, self.strangers.text.is_some());
        if let Some(text) = self.strangers.text.as_ref().filter(|_| !told && self.leads()) {
            let line = line(self.setup.clock.now(), EntryKind::Alarm, text.as_str());
            self.commit(vec![line.record()]).await;
        }
    }
}

/// What users' budgets do not count, since it is under pseudonyms of another key, and budgets of such pseudonyms. `tag`: of
/// the present key.
fn strangers(ledger: &Ledger, settings: &Settings, tag: Option<&str>, now: Timestamp) -> Option<String> {
    let is_strange = |user: &UserName| tag_of(user).is_some_and(|of| Some(of) != tag);
    let of_users: Vec<&Budget> =
        settings.budgets.iter().filter(|budget| matches!(budget.scope, BudgetScope::User(_))).collect();
    let since = *Windows::new(of_users.iter().copied(), &settings.the_loop.time_zone, now).starts().first()?;
    let spent = ledger.spent_by_account(since, now);
    let strange = spent.iter().filter(|(account, _)| account.owner.user.as_ref().is_some_and(is_strange));
    let money: Money = strange.map(|(_, money)| *money).sum();
    let named = of_users.iter().filter(|budget| matches!(&budget.scope, BudgetScope::User(user) if is_strange(user)));
    let named: Vec<String> = named.map(|budget| format!("\"{}\"", budget.name)).collect();
    let remedy = "name its place in loop.pseudonyms_before";
    match (money > Money::ZERO, named.is_empty()) {
        (true, _) => Some(format!(
            "{money} of users' money since {since} is under pseudonyms of another key, and no budget of theirs counts it: {remedy}"
        )),
        (false, false) => Some(format!(
            "nobody is called as budget {} says: that pseudonym is of another key; `tidegate pseudonym NAME` says today's",
            named.join(", ")
        )),
        (false, true) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::engine::seen::example::intent;
    use crate::model::account::Owner;
    use crate::model::ledger::Share;
    use crate::model::pseudonym::{Key, Pseudonyms};
    use crate::model::record::Record;

    const SETTINGS: &str = r#"[loop]
fleet = "lab"
[[budget]]
name = "hers"
scope = "user:alice"
per = "day"
limit = "$10"
"#;

    fn pseudonyms(key: &str) -> Pseudonyms {
        Pseudonyms::new(Some(Key::new(key).unwrap()), None)
    }

    /// What a machine's first hour came to that was hers alone.
    fn spent_by(user: &UserName, start: Timestamp) -> Memory {
        let mut memory = Memory::default();
        let (intent, made) = (intent("b.0", start), "g5.xlarge".into());
        let opened = crate::engine::seen::notice::opened(&intent, "i-1".into(), &made, start, None);
        memory.apply(&Record::Opened(Box::new(opened)));
        let owner = Owner { user: Some(user.clone()), project: None };
        let share = Share { owner, ..Share::idle(start, "train".into()) };
        memory.apply(&Record::Charged { instance: "i-1".into(), share });
        memory
    }

    #[test]
    fn money_under_pseudonyms_of_another_key_is_told_as_long_as_a_period_counts_it() {
        let settings = crate::store::settings::parse(SETTINGS, Path::new("t")).unwrap();
        let (now, before) = (pseudonyms("the key of this year"), pseudonyms("the key of last year"));
        let start: Timestamp = "2026-11-02T08:00:00Z".parse().unwrap();
        let at = |hours| start + jiff::SignedDuration::from_hours(hours);
        let told = |user: &UserName, at| {
            let mut memory = spent_by(user, start);
            memory.apply(&Record::Closed { instance: "i-1".into(), end: start + jiff::SignedDuration::from_hours(1) });
            strangers(&memory.ledger, &settings, now.tag(), at)
        };
        let alice: UserName = "alice".into();
        let said = told(&before.user(&alice), at(2)).unwrap();
        assert!(said.starts_with('$') && said.ends_with("name its place in loop.pseudonyms_before"), "{said}");
        assert_eq!(told(&before.user(&alice), at(24)), None, "the next day has a budget of its own");
        assert_eq!(told(&now.user(&alice), at(2)), None);
        assert_eq!(told(&alice, at(2)), None, "a name is no pseudonym");
        // Nobody's budget misses it.
        let mut nobodys = settings.clone();
        nobodys.budgets.clear();
        let memory = spent_by(&before.user(&alice), start);
        assert_eq!(strangers(&memory.ledger, &nobodys, now.tag(), at(2)), None);
        // A pseudonym that was written into the settings is one of a key, too.
        let named = settings.clone().with_users(|_| before.user(&alice));
        let said = strangers(&Ledger::default(), &named, now.tag(), at(2)).unwrap();
        assert!(said.starts_with("nobody is called as budget \"hers\" says"), "{said}");
        assert_eq!(strangers(&Ledger::default(), &named, before.tag(), at(2)), None);
    }
}
