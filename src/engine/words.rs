//! Journal lines, as the loop writes them.

use jiff::Timestamp;

use crate::model::ids::{Actor, IntentId, Revision};
use crate::model::journal::{Entry, EntryKind, Subject};
use crate::model::plan::{Plan, Refusal, Rule};
use crate::model::reason::Reason;
use crate::model::record::{KnownInstance, Record};

/// A journal line under way.
#[derive(Debug, Clone)]
pub(super) struct Line(Entry);

/// Begins a line of the loop's own.
#[must_use]
pub(super) fn line(at: Timestamp, kind: EntryKind, text: impl Into<String>) -> Line {
    Line(Entry {
        at,
        by: Actor::the_loop(),
        kind,
        text: text.into(),
        reason: String::new(),
        subject: Subject::default(),
        intent: None,
        revision: None,
    })
}

impl Line {
    #[must_use]
    pub(super) fn by(mut self, by: &Actor) -> Self {
        self.0.by = by.clone();
        self
    }

    #[must_use]
    pub(super) fn because(mut self, reason: &impl ToString) -> Self {
        self.0.reason = reason.to_string();
        self
    }

    #[must_use]
    pub(super) fn about(mut self, subject: Subject) -> Self {
        self.0.subject = subject;
        self
    }

    /// About a machine, its pool and its home queue.
    #[must_use]
    pub(super) fn about_machine(self, known: &KnownInstance) -> Self {
        self.about(Subject {
            queue: Some(known.home.clone()),
            pool: Some(known.pool.clone()),
            instance: Some(known.id.clone()),
            task: None,
        })
    }

    #[must_use]
    pub(super) fn intent(mut self, intent: Option<&IntentId>) -> Self {
        self.0.intent = intent.cloned();
        self
    }

    #[must_use]
    pub(super) fn revision(mut self, revision: &Revision) -> Self {
        self.0.revision = Some(revision.clone());
        self
    }

    #[must_use]
    pub(super) fn record(self) -> Record {
        Record::Journal(self.0)
    }
}

/// What a refusal is about, whatever its numbers are at the moment.
#[must_use]
pub(super) fn refusal_key(refusal: &Refusal) -> String {
    let Refusal { rule, by, queue, pool, instance, reason, .. } = refusal;
    let kind = std::mem::discriminant(reason);
    format!("{rule:?} {by} {queue:?} {pool:?} {instance:?} {kind:?}")
}

/// What is not done, in the words of its rule.
fn undone(refusal: &Refusal) -> String {
    let Refusal { rule, queue, pool, instance, .. } = refusal;
    if let (Reason::PolicyFailed { .. }, Some(queue)) = (&refusal.reason, queue) {
        return format!("it is decided for {queue} without its policy");
    }
    let machines = match refusal.short_of {
        0 => None,
        1 => Some("1 machine is not started".to_owned()),
        more => Some(format!("{more} machines are not started")),
    };
    match (machines, queue, pool, instance) {
        (Some(machines), Some(queue), ..) => format!("{machines} for {queue}"),
        (Some(machines), ..) => machines,
        (_, _, _, Some(instance)) => format!("nothing is done with {instance}"),
        (_, _, Some(pool), _) if *rule == Rule::Shrink => format!("no machine of pool {pool} is drained"),
        (_, Some(queue), Some(pool), _) => format!("pool {pool} starts none for {queue}"),
        (_, Some(queue), ..) => format!("nothing is started for {queue}"),
        _ => "nothing is done".to_owned(),
    }
}

/// A refusal as a journal line.
#[must_use]
pub(super) fn refused(refusal: &Refusal, plan: &Plan, now: Timestamp) -> Record {
    let text = format!("{}: {}", refusal.rule.word(), undone(refusal));
    let subject = Subject {
        queue: refusal.queue.clone(),
        pool: refusal.pool.clone(),
        instance: refusal.instance.clone(),
        task: None,
    };
    let line = line(now, EntryKind::Refused, text).by(&refusal.by).because(&refusal.reason).about(subject);
    line.revision(&plan.revision).record()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_done_is_said_in_the_words_of_its_rule() {
        let refusal = |rule, queue: Option<&str>, pool: Option<&str>, instance: Option<&str>, short_of| Refusal {
            rule,
            by: Actor::the_loop(),
            queue: queue.map(Into::into),
            pool: pool.map(Into::into),
            instance: instance.map(Into::into),
            short_of,
            reason: Reason::Already { what: String::new() },
        };
        for (refusal, said) in [
            (refusal(Rule::Shrink, None, Some("gpu"), None, 0), "no machine of pool gpu is drained"),
            (refusal(Rule::Shrink, None, Some("gpu"), Some("i-1"), 0), "nothing is done with i-1"),
            (refusal(Rule::Grow, Some("train"), Some("gpu"), None, 1), "1 machine is not started for train"),
            (refusal(Rule::Grow, Some("train"), Some("gpu"), None, 3), "3 machines are not started for train"),
            (refusal(Rule::Grow, Some("train"), Some("gpu"), None, 0), "pool gpu starts none for train"),
            (refusal(Rule::Demand, Some("train"), None, None, 0), "nothing is started for train"),
        ] {
            assert_eq!(undone(&refusal), said);
        }
        let reason = Reason::PolicyFailed { policy: "p.rhai".to_owned(), error: "no".to_owned() };
        let failed = Refusal { reason, ..refusal(Rule::Demand, Some("train"), None, None, 0) };
        assert_eq!(undone(&failed), "it is decided for train without its policy");
    }
}
