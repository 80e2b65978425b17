//! What an edit changes, value by value, and how much it weighs: whether more money may be spent than before. Every way
//! to edit asks by this one rule.

use std::collections::BTreeSet;

use super::fields::{self, Kind, Unset, Written};
use super::key::{Key, Part, Section};
use super::{Edit, Settings};
use crate::model::money::{Money, Rate};

/// Longer values are cut.
const LONGEST_SHOWN: usize = 60;

/// A setting with the value that it has and the one that it gets; `None`: none, or no such section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub key: Key,
    pub was: Option<Written>,
    pub now: Option<Written>,
}

/// What a person must agree to, the lightest first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// No limit and no budget lets more be spent.
    Light,
    /// One of them lets more be spent.
    Raised,
    /// One of them is there no more.
    Lifted,
    /// A hard budget stops less than before; a person types this amount.
    Hard(String),
}

/// The value at the key; `None` where it has none, or an empty one that means the same.
#[must_use]
pub fn present(settings: &Settings, key: &Key) -> Option<Written> {
    let means_none =
        |value: &Written| matches!(key.field.unset, Unset::Means(_)) && *value == key.field.kind.written("");
    fields::value(settings, key).filter(|value| !means_none(value))
}

/// The value that an edit gives the key, as the settings would have it.
#[must_use]
pub fn meant(settings: &Settings, key: &Key, value: Option<&str>) -> Option<Written> {
    let read = match (value, key.field.unset) {
        (Some(text), _) | (None, Unset::Is(text)) => key.field.read(text).ok()?,
        (None, _) => return None,
    };
    // `90m` is `1h30m`.
    let mut after = settings.clone();
    match fields::put(&mut after, key, &read) {
        Ok(()) => present(&after, key),
        Err(_) => Some(read),
    }
}

/// What edits change; those that cannot be read change nothing.
#[must_use]
pub fn of_edits(settings: &Settings, edits: &[Edit]) -> Vec<Change> {
    let change = |edit: &Edit| {
        let key = Key::parse(&edit.key).ok()?;
        let (was, now) = (present(settings, &key), meant(settings, &key, edit.value.as_deref()));
        (was != now).then_some(Change { key, was, now })
    };
    edits.iter().filter_map(change).collect()
}

/// What is another value in `new` than in `old`.
#[must_use]
pub fn between(old: &Settings, new: &Settings) -> Vec<Change> {
    let mut seen = BTreeSet::new();
    let sections = old.sections().into_iter().chain(new.sections()).filter(|section| seen.insert(section.clone()));
    let changes = sections.flat_map(|section| {
        fields::of(section.part()).filter_map(move |field| {
            let key = section.key(field);
            let (was, now) = (present(old, &key), present(new, &key));
            (was != now).then_some(Change { key, was, now })
        })
    });
    changes.collect()
}

/// How much the changes of these settings weigh: as much as the heaviest.
#[must_use]
pub fn weigh(settings: &Settings, changes: &[Change]) -> Weight {
    changes.iter().map(|change| weight(settings, changes, change)).max().unwrap_or(Weight::Light)
}

fn weight(settings: &Settings, changes: &[Change], change: &Change) -> Weight {
    match (&change.key.section, change.key.field.name) {
        (Section::Limits | Section::Queue(_) | Section::Pool(_), "max" | "max_gpu" | "max_vcpu" | "max_hourly") => {
            match &change.now {
                None if is_gone(&change.key.section, changes) => Weight::Light,
                None => Weight::Lifted,
                Some(_) if rises(change) => Weight::Raised,
                Some(_) => Weight::Light,
            }
        }
        (Section::Budget(_), _) => of_budget(settings, changes, change),
        _ => Weight::Light,
    }
}

fn of_budget(settings: &Settings, changes: &[Change], change: &Change) -> Weight {
    let section = &change.key.section;
    let before = settings.budgets.iter().find(|budget| Some(budget.name.as_str()) == section.name());
    let Some(before) = before else { return Weight::Light };
    let heavy = |otherwise: Weight, amount: Option<&Written>| match amount {
        Some(amount) if before.hard => Weight::Hard(amount.to_string()),
        _ => otherwise,
    };
    match change.key.field.name {
        "limit" if is_gone(section, changes) => heavy(Weight::Lifted, change.was.as_ref()),
        "limit" if rises(change) => heavy(Weight::Raised, change.now.as_ref()),
        _ if is_gone(section, changes) || !before.hard => Weight::Light,
        "hard" => {
            let limit = fields::find(Part::Budget, "limit").ok();
            let limit = limit.and_then(|field| fields::value(settings, &section.key(field)));
            heavy(Weight::Lifted, limit.as_ref())
        }
        "scope" | "per" => Weight::Lifted,
        "already_spent" if !rises(change) => Weight::Lifted,
        _ => Weight::Light,
    }
}

/// What the section cannot be without is taken away.
fn is_gone(section: &Section, changes: &[Change]) -> bool {
    let needed = |change: &Change| change.key.field.unset == Unset::Required && change.now.is_none();
    changes.iter().any(|change| change.key.section == *section && needed(change))
}

fn is_new(section: &Section, changes: &[Change]) -> bool {
    let needed = |change: &Change| change.key.field.unset == Unset::Required && change.was.is_none();
    changes.iter().any(|change| change.key.section == *section && needed(change))
}

/// Both values are amounts of the same unit, and the new one is larger.
fn rises(change: &Change) -> bool {
    match (change.was.as_ref().and_then(amount), change.now.as_ref().and_then(amount)) {
        (Some(was), Some(now)) => now > was,
        _ => false,
    }
}

fn amount(value: &Written) -> Option<i64> {
    match value {
        Written::Whole(number) => Some(*number),
        Written::Text(text) => {
            let money = text.parse::<Money>().map(Money::micros).ok();
            money.or_else(|| text.parse::<Rate>().map(Rate::micros_per_hour).ok())
        }
        _ => None,
    }
}

/// A value for a sentence; where there is none, what that means: `9`, `not limited`, `auto, the default`.
#[must_use]
pub fn words(key: &Key, value: Option<&Written>) -> String {
    match (value, key.field.unset) {
        // It may hold a secret by mistake.
        (Some(_), _) if matches!(key.field.kind, Kind::Hidden(_) | Kind::Hocon) => {
            "a value that is not shown".to_owned()
        }
        (Some(Written::Text(text)), _) if text.contains('\n') => format!("a text of {} lines", text.lines().count()),
        (Some(value), _) => cut(&value.to_string()),
        (None, Unset::Is(text)) => format!("{text}, the default"),
        (None, Unset::Means(meaning)) => meaning.to_owned(),
        (None, Unset::Required) => "not set".to_owned(),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST_SHOWN) {
        Some((at, _)) => format!("{}...", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

impl Change {
    /// `queue.train.max = 9, was 6`, with the word for what it is before.
    #[must_use]
    pub fn told(&self, before: &str) -> String {
        let Self { key, was, now } = self;
        let sign = if now.is_some() { " =" } else { ":" };
        format!("{key}{sign} {}, {before} {}", words(key, now.as_ref()), words(key, was.as_ref()))
    }
}

/// Every change in a line of its own, the heaviest first; a section that comes or goes is one.
#[must_use]
pub fn told(settings: &Settings, changes: &[Change], before: &str) -> Vec<String> {
    let mut lines: Vec<(Weight, String)> = Vec::new();
    for change in changes {
        let (section, weight) = (&change.key.section, weight(settings, changes, change));
        let line = match (is_gone(section, changes), is_new(section, changes)) {
            (true, _) => format!("{section}: removed"),
            (false, true) => format!("{section}: new"),
            (false, false) => change.told(before),
        };
        match lines.iter_mut().find(|(_, other)| *other == line) {
            Some((known, _)) => *known = weight.max(known.clone()),
            None => lines.push((weight, line)),
        }
    }
    // Stable: what weighs the same stays in the file's order.
    lines.sort_by(|(one, _), (other, _)| other.cmp(one));
    lines.into_iter().map(|(_, line)| line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::view;
    use crate::model::settings::{Budget, BudgetScope, Ladder, Per, Period};

    fn settings() -> Settings {
        let mut settings = (*view().settings).clone();
        let budget = |name: &str, hard| Budget {
            name: name.into(),
            scope: BudgetScope::All,
            per: Per::Calendar(Period::Day),
            limit: "$160".parse().unwrap(),
            hard,
            already_spent: Money::ZERO,
            at: Ladder::default(),
        };
        settings.budgets = vec![budget("day", true), budget("soft", false)];
        settings.limits.max_hourly = Some("$20/h".parse().unwrap());
        settings
    }

    fn edits(pairs: &[(&str, Option<&str>)]) -> Vec<Edit> {
        let edit =
            |(key, value): &(&str, Option<&str>)| Edit { key: (*key).to_owned(), value: value.map(str::to_owned) };
        pairs.iter().map(edit).collect()
    }

    #[test]
    fn what_lets_more_be_spent_weighs_and_what_a_hard_budget_stops_weighs_most() {
        let hard = |amount: &str| Weight::Hard(amount.to_owned());
        let settings = settings();
        for (pairs, weight) in [
            (vec![("queue.train.max", Some("6"))], Weight::Light),
            (vec![("queue.train.max", Some("5"))], Weight::Light),
            (vec![("queue.eval.max", Some("5"))], Weight::Light),
            (vec![("queue.train.max", Some("7"))], Weight::Raised),
            (vec![("queue.train.max", None)], Weight::Lifted),
            (vec![("pool.p4d.max", None)], Weight::Lifted),
            (vec![("queue.eval.max", None)], Weight::Light),
            (vec![("limits.max_hourly", Some("$20.01/h"))], Weight::Raised),
            (vec![("limits.max_hourly", Some("$19/h"))], Weight::Light),
            (vec![("limits.max_hourly", None)], Weight::Lifted),
            (vec![("budget.soft.limit", Some("$161"))], Weight::Raised),
            (vec![("budget.soft.hard", Some("true"))], Weight::Light),
            (vec![("budget.day.limit", Some("$500"))], hard("$500")),
            (vec![("budget.day.limit", Some("$160.00"))], Weight::Light),
            (vec![("budget.day.limit", Some("$100"))], Weight::Light),
            (vec![("budget.day.hard", Some("false"))], hard("$160")),
            (vec![("budget.day.hard", None)], Weight::Light),
            (vec![("budget.day.per", Some("hour"))], Weight::Lifted),
            (vec![("budget.soft.per", Some("hour"))], Weight::Light),
            (vec![("loop.poll", Some("10s"))], Weight::Light),
            (vec![("nope.x", Some("3"))], Weight::Light),
            (vec![("queue.train.max", Some("7")), ("budget.day.hard", Some("false"))], hard("$160")),
        ] {
            assert_eq!(weigh(&settings, &of_edits(&settings, &edits(&pairs))), weight, "{pairs:?}");
        }
    }

    #[test]
    fn sections_that_come_and_go_are_told_once_and_a_hard_budget_that_goes_is_typed() {
        let old = settings();
        let mut new = old.clone();
        new.budgets.remove(0);
        new.queues[1].limits.max = Some(9);
        new.queues.remove(0);
        new.limits.max_hourly = None;
        new.limits.max = Some(3);
        let changes = between(&old, &new);
        assert_eq!(weigh(&old, &changes), Weight::Hard("$160".to_owned()));
        assert_eq!(
            told(&old, &changes, "was"),
            [
                "budget.day: removed",
                "limits.max_hourly: not limited, was $20/h",
                "queue.train.max = 9, was 6",
                "limits.max = 3, was not limited",
                "queue.eval: removed",
            ]
        );
        let back = between(&new, &old);
        assert!(told(&new, &back, "was").contains(&"budget.day: new".to_owned()));
        assert_eq!(weigh(&new, &back), Weight::Lifted, "limits.max");
        assert_eq!(between(&old, &old), []);
    }

    #[test]
    fn a_secret_is_not_shown_and_a_long_value_is_cut() {
        let key = Key::parse("clearml.credentials").unwrap();
        assert_eq!(words(&key, Some(&Written::Text("env:NAME".to_owned()))), "a value that is not shown");
        let key = Key::parse("pool.p4d.init_script").unwrap();
        assert_eq!(words(&key, Some(&Written::Text("echo a\n".repeat(50)))), "a text of 50 lines");
        let long = words(&key, Some(&Written::Text("echo a; ".repeat(50))));
        assert!(long.len() < 70 && long.ends_with("..."), "{long}");
    }
}
