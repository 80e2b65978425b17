//! What stands now that people are told of, once while it stands. Pure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::engine::event::{BudgetState, View};
use crate::model::ids::FleetId;
use crate::model::instance::{Fault, Instance, Origin};
use crate::model::journal::{Entry, EntryKind, Subject};
use crate::model::notice::{Notice, NoticeKind, VERSION};

/// What ended and comes again within this is not news.
const NOT_AGAIN_WITHIN: SignedDuration = SignedDuration::from_mins(15);

/// What was told, and when it last stood.
#[derive(Debug, Default)]
pub(super) struct Standing(BTreeMap<(NoticeKind, String), Timestamp>);

impl Standing {
    /// What stands in the view and did not a while ago.
    pub(super) fn news(&mut self, view: &View) -> Vec<Notice> {
        let now = view.at;
        self.forget(now);
        let stands = what_stands(view);
        stands
            .into_iter()
            .filter(|(key, notice)| self.is_new((notice.event, key.clone()), now))
            .map(|(_, n)| n)
            .collect()
    }

    /// The line as a notice, where a person should look at it and was not told of the same a while ago.
    pub(super) fn alarm(&mut self, entry: &Entry, fleet: &FleetId) -> Option<Notice> {
        if entry.kind != EntryKind::Alarm || !self.is_new((NoticeKind::Alarm, entry.text.clone()), entry.at) {
            return None;
        }
        let text =
            if entry.reason.is_empty() { entry.text.clone() } else { format!("{}: {}", entry.text, entry.reason) };
        Some(Notice { subject: entry.subject.clone(), ..notice(entry.at, fleet.clone(), NoticeKind::Alarm, &text) })
    }

    fn is_new(&mut self, key: (NoticeKind, String), now: Timestamp) -> bool {
        self.0.insert(key, now).is_none()
    }

    fn forget(&mut self, now: Timestamp) {
        self.0.retain(|_, stood| now.duration_since(*stood) < NOT_AGAIN_WITHIN);
    }
}

/// Its text begins with the fleet: whoever reads it may be told of several.
pub(super) fn notice(at: Timestamp, fleet: FleetId, event: NoticeKind, text: &str) -> Notice {
    let text = format!("{fleet}: {text}");
    Notice { version: VERSION, at, fleet, event, text, budget: None, subject: Subject::default() }
}

/// Everything that people are told of and that stands, by what tells one from another.
fn what_stands(view: &View) -> Vec<(String, Notice)> {
    let make = |event, text: String| notice(view.at, view.fleet.clone(), event, &text);
    let budgets = view.spend.budgets.iter().filter_map(|budget| {
        let (key, text) = budget_told(budget)?;
        Some((key, Notice { budget: Some(budget.name.clone()), ..make(NoticeKind::Budget, text) }))
    });
    let machines = view.snapshot.instances.iter().filter(|instance| instance.is_there());
    let machines = machines.flat_map(|instance| {
        let told = machine_told(instance).into_iter();
        told.map(|(event, text)| {
            let subject = Subject {
                instance: Some(instance.id.clone()),
                pool: Some(instance.pool.clone()),
                task: instance.task.as_ref().map(|task| task.id.clone()),
                ..Subject::default()
            };
            (instance.id.to_string(), Notice { subject, ..make(event, text) })
        })
    });
    let ghosts = view.snapshot.ghosts.iter().map(|ghost| {
        let text = format!("ClearML still lists worker {}, whose machine is gone", ghost.worker);
        let subject =
            Subject { instance: Some(ghost.instance.clone()), task: ghost.task.clone(), ..Subject::default() };
        (ghost.worker.to_string(), Notice { subject, ..make(NoticeKind::Ghost, text) })
    });
    let capacity = view.snapshot.breakers.iter().map(|breaker| {
        let subject = Subject { pool: breaker.on.pool.clone(), ..Subject::default() };
        (breaker.on.to_string(), Notice { subject, ..make(NoticeKind::Capacity, breaker.told(view.at)) })
    });
    let settings = view.settings_problem.iter().map(|problem| {
        let text = format!("the settings on disk are not those that run: {problem}");
        // One who mends them passes through many problems.
        (String::new(), make(NoticeKind::Settings, text))
    });
    budgets.chain(machines).chain(ghosts).chain(capacity).chain(settings).collect()
}

/// The last step of a budget that was reached, or its limit.
fn budget_told(budget: &BudgetState) -> Option<(String, String)> {
    let BudgetState { name, spent, limit, period_end, period_start, .. } = budget;
    let what = match budget.step() {
        Some(rung) => format!("{} at {}%", rung.step, rung.percent),
        None if spent >= limit => "its limit is reached".to_owned(),
        None => return None,
    };
    let key = format!("{name} {} {period_start} {what}", budget.scope);
    Some((key, format!("budget \"{name}\": {what}: {spent} of {limit} are spent, until {period_end}")))
}

fn machine_told(instance: &Instance) -> Vec<(NoticeKind, String)> {
    let Instance { id, pool, machine_type, .. } = instance;
    let why = instance.fault_why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    let mut told = Vec::new();
    match instance.fault {
        Some(Fault::Stuck) => {
            told.push((NoticeKind::Stuck, format!("{id} ({machine_type}, pool {pool}) is stuck{why}")));
        }
        Some(Fault::Lost) => {
            told.push((NoticeKind::Lost, format!("{id} ({machine_type}, pool {pool}) is silent{why}")));
        }
        _ => {}
    }
    if instance.origin == Origin::Orphan {
        told.push((NoticeKind::Orphan, format!("{id} ({machine_type}, pool {pool}) was not known and is adopted")));
    }
    told
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::money::Money;
    use crate::model::settings::Ladder;
    use crate::model::snapshot::Snapshot;

    /// The example, changed; so many minutes later.
    fn view(minutes: i64, change: impl FnOnce(&mut View, &mut Snapshot)) -> View {
        let mut view = crate::example::view();
        let mut snapshot = Arc::unwrap_or_clone(view.snapshot.clone());
        snapshot.breakers.clear();
        snapshot.ghosts.clear();
        for instance in &mut snapshot.instances {
            (instance.fault, instance.origin) = (None, Origin::Launched);
        }
        view.settings_problem = None;
        view.spend.budgets.clear();
        view.at += SignedDuration::from_mins(minutes);
        change(&mut view, &mut snapshot);
        view.snapshot = Arc::new(snapshot);
        view
    }

    fn told(notices: &[Notice]) -> Vec<&'static str> {
        notices.iter().map(|notice| notice.event.word()).collect()
    }

    #[test]
    fn what_stands_is_told_once_and_again_when_it_comes_back_later() {
        let stuck = |minutes| view(minutes, |_, snapshot| snapshot.instances[0].fault = Some(Fault::Stuck));
        let mut standing = Standing::default();
        assert!(standing.news(&view(0, |_, _| {})).is_empty());
        let news = standing.news(&stuck(1));
        assert_eq!(told(&news), ["stuck"]);
        let machine = &crate::example::view().snapshot.instances[0];
        assert_eq!(news[0].subject.instance.as_ref(), Some(&machine.id));
        assert!(news[0].text.contains(machine.id.as_str()), "{}", news[0].text);
        for minutes in [2, 14, 28] {
            assert!(standing.news(&stuck(minutes)).is_empty(), "{minutes}");
        }
        assert!(standing.news(&view(29, |_, _| {})).is_empty());
        assert!(standing.news(&stuck(30)).is_empty(), "it flaps");
        assert_eq!(told(&standing.news(&stuck(46))), ["stuck"]);
    }

    #[test]
    fn each_sort_of_event_is_told() {
        let mut standing = Standing::default();
        let all = view(0, |view, snapshot| {
            let example = crate::example::view();
            let mut budget = example.spend.budgets[0].clone();
            budget.at = Ladder::default();
            budget.spent = budget.limit;
            view.spend.budgets.push(budget);
            view.settings_problem = Some("line 3: no".to_owned());
            snapshot.instances[0].fault = Some(Fault::Lost);
            snapshot.instances[1].origin = Origin::Orphan;
            snapshot.breakers.push(crate::model::breaker::Breaker {
                on: crate::model::breaker::Offering::of_account("aws us-east-1"),
                since: view.at,
                until: view.at + SignedDuration::from_mins(5),
                class: crate::model::snapshot::ErrorClass::Capacity,
                strikes: 1,
                at_most: 0,
                quota: None,
                message: "none left".to_owned(),
            });
            snapshot.ghosts.push(crate::model::snapshot::Ghost {
                worker: "w".into(),
                instance: "i".into(),
                task: None,
                last_report: None,
            });
        });
        let news = standing.news(&all);
        assert_eq!(told(&news), ["budget", "lost", "orphan", "ghost", "capacity", "settings"]);
        assert_eq!(news[0].budget.as_ref(), Some(&all.spend.budgets[0].name));
        assert!(news.iter().all(|notice| notice.text.starts_with(&format!("{}: ", all.fleet))));
    }

    #[test]
    fn a_budget_is_told_at_each_step_and_anew_in_each_period() {
        let example = crate::example::view();
        let budget = |part: i64, days: i64| {
            let mut budget = example.spend.budgets[0].clone();
            let steps = [("50%", "warn"), ("100%", "drain")].map(|(part, step)| (part.to_owned(), step.to_owned()));
            budget.at = Ladder::read(&steps.into_iter().collect()).unwrap();
            budget.spent = Money::from_micros(budget.limit.micros() / 100 * part);
            budget.period_start += SignedDuration::from_hours(24 * days);
            view(24 * 60 * days + part, move |view, _| view.spend.budgets.push(budget))
        };
        let mut standing = Standing::default();
        let mut heard = Vec::new();
        for (part, days) in [(10, 0), (50, 0), (60, 0), (100, 0), (10, 1), (55, 1)] {
            heard.push(standing.news(&budget(part, days)).len());
        }
        assert_eq!(heard, [0, 1, 0, 1, 0, 1]);
    }

    #[test]
    fn alarms_of_the_journal_are_told_once_in_a_while_other_lines_never() {
        let entry = |kind, text: &str| Entry {
            at: Timestamp::UNIX_EPOCH,
            by: "loop".into(),
            kind,
            text: text.to_owned(),
            reason: "why".to_owned(),
            subject: Subject::default(),
            intent: None,
            revision: None,
        };
        let mut standing = Standing::default();
        let mut read = |kind, text| standing.alarm(&entry(kind, text), &"lab".into()).map(|notice| notice.text);
        assert_eq!(read(EntryKind::Done, "launched"), None);
        assert_eq!(read(EntryKind::Alarm, "i-1 ended").as_deref(), Some("lab: i-1 ended: why"));
        assert_eq!(read(EntryKind::Alarm, "i-1 ended"), None);
        assert_eq!(read(EntryKind::Alarm, "i-2 ended").as_deref(), Some("lab: i-2 ended: why"));
    }
}
