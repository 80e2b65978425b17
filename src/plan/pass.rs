//! One pass at work: what is known, and what has been decided so far.

use std::cell::OnceCell;

use jiff::Timestamp;

use super::budgets::{Budgets, is_unknown};
use super::index::Index;
use super::limits::{Candidate, Usage};
use super::machine::Machine;
use super::outlook::{self, Seen};
use super::rules::demand::Demand;
use crate::model::catalogue::Offer;
use crate::model::course::{Courses, Lesson};
use crate::model::ids::{Actor, InstanceId, PoolName, QueueName};
use crate::model::instance::Instance;
use crate::model::money::Money;
use crate::model::plan::{Action, Plan, Planned, Refusal, Rule};
use crate::model::reason::Reason;
use crate::model::snapshot::Surplus;

pub(super) struct Pass<'a> {
    pub(super) index: &'a Index<'a>,
    /// In the snapshot's order.
    pub(super) machines: Vec<Machine<'a>>,
    /// Machines that are in no ledger.
    pub(super) unknown: Vec<&'a Instance>,
    pub(super) usage: Usage,
    /// Read only when something is to be launched.
    budgets: OnceCell<Budgets<'a>>,
    /// Machines that this pass launches: for which queue, in which pool, how many.
    pub(super) launched: Vec<(usize, usize, u32)>,
    pub(super) demand: Demand,
    /// A person wants nothing to run.
    pub(super) all_stopped_by: Option<Actor>,
    pub(super) actions: Vec<Planned>,
    pub(super) refusals: Vec<Refusal>,
    /// For each queue, the reason that decides what happens next.
    pub(super) decided: Vec<Option<Reason>>,
    /// For each pool, what becomes of its surplus.
    pub(super) surplus_notes: Vec<Option<Reason>>,
    pub(super) surplus: Surplus,
    /// For each pool, machines that its tasks ask for and do not get: a queue asks its first pool.
    pub(super) unmet: Vec<u32>,
    /// For each pool, machines that are kept for tasks that are likely to come.
    pub(super) ahead: Vec<u32>,
    pub(super) courses: Courses,
    pub(super) lessons: Vec<Lesson>,
    pub(super) due: Option<Timestamp>,
    seen: Seen,
}

/// What a refusal is about.
#[derive(Default)]
pub(super) struct About<'s> {
    pub(super) queue: Option<&'s QueueName>,
    pub(super) pool: Option<&'s PoolName>,
    pub(super) instance: Option<&'s InstanceId>,
    pub(super) short_of: u32,
}

impl<'s> About<'s> {
    pub(super) fn instance(instance: &'s InstanceId) -> Self {
        Self { instance: Some(instance), ..Self::default() }
    }

    pub(super) fn queue(queue: &'s QueueName) -> Self {
        Self { queue: Some(queue), ..Self::default() }
    }

    pub(super) fn pool(pool: &'s PoolName) -> Self {
        Self { pool: Some(pool), ..Self::default() }
    }
}

impl<'a> Pass<'a> {
    pub(super) fn new(index: &'a Index<'a>) -> Self {
        let (mut usage, mut seen) = (Usage::new(index), Seen::new(index));
        let mut machines: Vec<Machine<'_>> = Vec::with_capacity(index.snapshot.instances.len());
        let mut unknown = Vec::new();
        for instance in &index.snapshot.instances {
            let machine = Machine::new(instance, index);
            seen.count(index, &machine);
            if instance.counts() {
                let offer = Offer { vcpu: instance.vcpu, gpu: instance.gpu, rate: instance.rate };
                usage.add(machine.home, machine.pool, &offer, 1);
            }
            if is_unknown(instance, index.ledger) {
                unknown.push(instance);
            }
            machines.push(machine);
        }
        for intent in &index.snapshot.intents {
            let started = intent.starts.as_ref().and_then(|instance| index.instance_place(instance));
            if let Some(machine) = started.and_then(|place| machines.get_mut(place)) {
                machine.started = true;
            }
            let (queue, pool) = (index.queue_place(&intent.queue), index.pool_place(&intent.pool));
            usage.add(queue, pool, &Offer { vcpu: intent.vcpu, gpu: intent.gpu, rate: intent.rate }, 1);
        }
        Self {
            index,
            machines,
            unknown,
            usage,
            budgets: OnceCell::new(),
            launched: Vec::new(),
            demand: Demand::default(),
            all_stopped_by: None,
            actions: Vec::new(),
            refusals: Vec::new(),
            decided: vec![None; index.queues.len()],
            surplus_notes: vec![None; index.pools.len()],
            surplus: Surplus::new(),
            unmet: vec![0; index.pools.len()],
            ahead: vec![0; index.pools.len()],
            courses: Courses::new(),
            lessons: Vec::new(),
            due: None,
            seen,
        }
    }

    /// An action of the loop's own.
    pub(super) fn act(&mut self, rule: Rule, action: Action, reason: Reason) {
        self.actions.push(Planned { rule, by: Actor::the_loop(), action, reason });
    }

    /// Something that the loop wanted and does not do.
    pub(super) fn refuse(&mut self, rule: Rule, about: &About<'_>, reason: Reason) {
        self.refuse_to(&Actor::the_loop(), rule, about, reason);
    }

    pub(super) fn refuse_to(&mut self, by: &Actor, rule: Rule, about: &About<'_>, reason: Reason) {
        self.refusals.push(Refusal {
            rule,
            by: by.clone(),
            queue: about.queue.cloned(),
            pool: about.pool.cloned(),
            instance: about.instance.cloned(),
            short_of: about.short_of,
            reason,
        });
    }

    pub(super) fn budgets(&self) -> &Budgets<'a> {
        self.budgets.get_or_init(|| Budgets::new(self.index, &self.unknown))
    }

    /// Counts a launch that was just decided against limits and budgets, and as capacity.
    pub(super) fn book(&mut self, candidate: &Candidate, reservation: Money, count: u32) {
        let Candidate { queue, pool, offer } = candidate;
        self.usage.add(Some(*queue), Some(*pool), offer, count);
        if let Some(budgets) = self.budgets.get_mut() {
            budgets.book(*queue, *pool, reservation, count);
        }
        self.launched.push((*queue, *pool, count));
        self.demand.raise(*pool, count);
    }

    pub(super) fn into_plan(self) -> Plan {
        let outlooks = outlook::outlooks(&self, &self.seen);
        Plan {
            at: self.index.now,
            revision: self.index.settings.revision.clone(),
            actions: self.actions,
            refusals: self.refusals,
            outlooks,
            surplus: self.surplus,
            courses: self.courses,
            lessons: self.lessons,
            due: self.due,
        }
    }
}
