//! Journal lines, as the loop writes them.

use jiff::Timestamp;

use crate::model::ids::{Actor, IntentId, Revision};
use crate::model::journal::{Entry, EntryKind, Subject};
use crate::model::plan::{Plan, Refusal};
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

/// A refusal as a journal line.
#[must_use]
pub(super) fn refused(refusal: &Refusal, plan: &Plan, now: Timestamp) -> Record {
    let text = match (refusal.short_of, &refusal.queue, &refusal.instance) {
        (0, _, Some(instance)) => format!("{}: nothing is done with {instance}", refusal.rule.word()),
        (0, ..) => format!("{}: nothing is done", refusal.rule.word()),
        (short_of, Some(queue), _) => format!("{}: {short_of} machines not started for {queue}", refusal.rule.word()),
        (short_of, None, _) => format!("{}: {short_of} machines not started", refusal.rule.word()),
    };
    let subject = Subject {
        queue: refusal.queue.clone(),
        pool: refusal.pool.clone(),
        instance: refusal.instance.clone(),
        task: None,
    };
    let line = line(now, EntryKind::Refused, text).by(&refusal.by).because(&refusal.reason).about(subject);
    line.revision(&plan.revision).record()
}
