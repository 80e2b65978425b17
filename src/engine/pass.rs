//! One pass: look, take in, plan, check, write down, act, show.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::engine::act::crash::Point;
use crate::engine::act::decide::{Decision, Ground};
use crate::engine::act::deed::Deed;
use crate::engine::run::{EngineError, Loop, MINUTE, QUICK, SLOW, Work, cancelled};
use crate::engine::seen::facts::{Observation, Region};
use crate::engine::seen::join::{Parts, join};
use crate::engine::seen::notice::{Known, notice};
use crate::engine::seen::observe::{Look, observe};
use crate::engine::words::line;
use crate::model::ids::IntentId;
use crate::model::instance::Phase;
use crate::model::journal::{EntryKind, Subject};
use crate::model::plan::{Action, Plan, Planned, Refusal, Rule};
use crate::model::record::Record;
use crate::model::settings::{Poll, Settings};
use crate::model::snapshot::{Order, Snapshot};
use crate::plan::check::check;

impl Loop {
    /// The time for a look has come.
    pub(super) async fn wake(&mut self) {
        if let Some(jump) = self.jumps.look() {
            self.facts.distrust();
            self.surplus.clear();
            let text = format!("the clock jumped by {} s: everything is looked at again first", jump.as_secs());
            self.commit(vec![line(self.setup.clock.now(), EntryKind::Seen, text).record()]).await;
        }
        self.look();
        self.renew_lease();
    }

    /// Begins a look at the world, unless one is under way.
    pub(super) fn look(&mut self) {
        let now = self.setup.clock.now();
        self.next_pass = now.saturating_add(self.interval).unwrap_or(Timestamp::MAX);
        if self.observing {
            self.look_again = true;
            return;
        }
        self.observing = true;
        let deep = self.looked_deep_at.is_none_or(|last| now.duration_since(last) >= MINUTE);
        if deep {
            self.looked_deep_at = Some(now);
        }
        let look = Look {
            fleet: self.settings.the_loop.fleet.clone(),
            queues: self.settings.queues.iter().map(|queue| queue.name.clone()).collect(),
            regions: self.regions(),
            mailboxes: deep || self.memory.known.values().any(|known| known.drain.is_some()),
            tasks: deep || !self.snapshot.ghosts.is_empty() || !self.memory.requeueing.is_empty(),
        };
        let (world, clock) = (self.setup.world.clone(), self.setup.clock);
        self.work.spawn(async move { Work::Observed(observe(world, clock, look).await) });
    }

    /// The regions of the settings, and those where machines of ours still are.
    fn regions(&self) -> Vec<Region> {
        let pools =
            self.settings.pools.iter().map(|pool| Region { provider: pool.provider, name: pool.region.clone() });
        let known =
            self.memory.known.values().map(|known| Region { provider: known.provider, name: known.region.clone() });
        pools.chain(known).collect::<BTreeSet<_>>().into_iter().collect()
    }

    pub(super) async fn observed(&mut self, observation: Observation) -> Result<(), EngineError> {
        self.observing = false;
        let fresh = self.facts.take(observation);
        self.sights.take(&fresh, &self.facts, &self.memory, &self.settings);
        if self.leads() {
            let records = notice(
                &Known {
                    facts: &self.facts,
                    sights: &self.sights,
                    memory: &self.memory,
                    settings: &self.settings,
                    catalogue: &self.setup.catalogue,
                    calling: &self.calling(),
                    now: self.setup.clock.now(),
                },
                &fresh,
            );
            self.commit(records).await;
        }
        self.replan(Vec::new()).await?;
        self.tend();
        self.pace();
        if std::mem::take(&mut self.look_again) {
            self.look();
        }
        Ok(())
    }

    /// Batches whose launch call has not answered.
    fn calling(&self) -> BTreeSet<IntentId> {
        let batches = self.under_way.iter().filter_map(|(deed, _)| match deed {
            Deed::Launch(order) => Some(&order.batch),
            _ => None,
        });
        let batches: BTreeSet<&IntentId> = batches.collect();
        let intents = self.memory.intents.values().filter(|intent| batches.contains(&intent.batch));
        intents.map(|intent| intent.id.clone()).collect()
    }

    /// Plans from what is known now, with what people ask for, and acts.
    pub(super) async fn replan(&mut self, orders: Vec<Order>) -> Result<(), EngineError> {
        let now = self.setup.clock.now();
        let snapshot = self.snapshot_with(orders, now);
        let plan = (self.setup.planner)(&snapshot, &self.settings, &self.memory.ledger, now);
        self.surplus.clone_from(&plan.surplus);
        (self.snapshot, self.plan) = (Arc::new(snapshot), Arc::new(plan));
        if self.leads() && self.act(now).await? {
            // Whoever asked for it sees it at once, not at the next look.
            self.snapshot = Arc::new(self.snapshot_with(Vec::new(), now));
        }
        self.publish();
        Ok(())
    }

    fn snapshot_with(&self, orders: Vec<Order>, now: Timestamp) -> Snapshot {
        let parts = Parts {
            facts: &self.facts,
            sights: &self.sights,
            memory: &self.memory,
            settings: &self.settings,
            catalogue: &self.setup.catalogue,
            breakers: self.breakers.waiting(now),
            surplus: self.surplus.clone(),
            orders,
            stale_after: self.stale_after(),
        };
        join(parts, &self.snapshot, now)
    }

    /// What the plan would be with other settings.
    pub(super) fn preview(&self, settings: &Settings) -> Plan {
        let now = self.setup.clock.now();
        let parts = Parts {
            facts: &self.facts,
            sights: &self.sights,
            memory: &self.memory,
            settings,
            catalogue: &self.setup.catalogue,
            breakers: self.breakers.waiting(now),
            surplus: self.surplus.clone(),
            orders: Vec::new(),
            stale_after: self.stale_after(),
        };
        (self.setup.planner)(&join(parts, &self.snapshot, now), settings, &self.memory.ledger, now)
    }

    /// Two looks may fail before what is known is too old to act on.
    fn stale_after(&self) -> SignedDuration {
        let interval = match self.settings.the_loop.poll {
            Poll::Auto => SLOW,
            Poll::Every(interval) => interval,
        };
        interval * 2 + SignedDuration::from_secs(30)
    }

    /// Does what the plan says and the loop's state lets it; says whether it did anything.
    async fn act(&mut self, now: Timestamp) -> Result<bool, EngineError> {
        let plan = Arc::clone(&self.plan);
        let snapshot = Arc::clone(&self.snapshot);
        let broken = check(&plan, &snapshot, &self.settings, &self.memory.ledger, now);
        let mut records = self.refusals(&plan, now);
        for broken in &broken {
            tracing::error!(%broken, "the check stopped an action of the plan");
            records.push(line(now, EntryKind::Alarm, format!("stopped by the check: {broken}")).record());
        }
        let mut deeds = Vec::new();
        for (index, planned) in plan.actions.iter().enumerate() {
            if broken.iter().any(|broken| broken.action == index) || !self.may_act(planned) {
                continue;
            }
            let ground = Ground {
                plan: &plan,
                snapshot: &snapshot,
                settings: &self.settings,
                memory: &self.memory,
                facts: &self.facts,
                term: self.term(),
                now,
            };
            let Some(Decision { records: written, deed }) = ground.decide(planned, &mut self.setup.naming) else {
                continue;
            };
            if let Some(deed) = deed {
                if self.is_blocked(&deed, now) {
                    continue;
                }
                if let Some(kind) = deed.kind() {
                    self.setup.crash.pass(kind, Point::BeforeIntent)?;
                }
                deeds.push(deed);
            }
            records.extend(written);
        }
        let acted = !records.is_empty();
        if !self.commit(records).await {
            return Ok(false);
        }
        for deed in deeds {
            if let Some(kind) = deed.kind() {
                self.setup.crash.pass(kind, Point::AfterIntent)?;
            }
            self.begin(deed);
        }
        Ok(acted)
    }

    /// Whether the loop's state lets it act: a dry run does nothing on the world, a pause only what a person asks.
    fn may_act(&self, planned: &Planned) -> bool {
        match &planned.action {
            // They change the memory only.
            Action::Adopt { .. } | Action::Hold { .. } | Action::Release { .. } => true,
            _ if !self.memory.armed => false,
            _ if planned.rule == Rule::Person => true,
            Action::Launch(_) if self.ending.is_some() => false,
            _ => !self.memory.paused,
        }
    }

    /// Refusals that are new since the last pass, as journal lines.
    fn refusals(&mut self, plan: &Plan, now: Timestamp) -> Vec<Record> {
        let keys: BTreeSet<String> = plan.refusals.iter().map(refusal_key).collect();
        let new = plan.refusals.iter().filter(|refusal| !self.refused_before.contains(&refusal_key(refusal)));
        let records = new.map(|refusal| refused(refusal, plan, now)).collect();
        self.refused_before = keys;
        records
    }

    /// What must be said or asked again, and what is to be cleared away.
    fn tend(&mut self) {
        if !self.leads() || !self.memory.armed {
            return;
        }
        let mut deeds = Vec::new();
        for known in self.memory.known.values().filter(|known| known.stop_sent.is_none()) {
            let Some(drain) = &known.drain else { continue };
            let (instance, nonce) = (known.id.clone(), drain.nonce.clone());
            if drain.cancelled && !self.delivered.contains(&cancelled(&nonce)) {
                deeds.push(Deed::CancelDrain { instance, nonce });
            } else if !drain.cancelled && drain.acknowledged.is_none() && !self.delivered.contains(&nonce) {
                deeds.push(Deed::Drain { instance, nonce });
            }
        }
        for lost in self.memory.requeueing.values() {
            let attempt = self.memory.requeues.get(&lost.task).copied().unwrap_or_default() + 1;
            deeds.push(Deed::Requeue { lost: lost.clone(), attempt });
        }
        let gone = self.facts.mailboxes.keys().filter(|instance| self.memory.gone.contains_key(*instance));
        deeds.extend(gone.map(|instance| Deed::DeleteMailbox { instance: instance.clone() }));
        for deed in deeds {
            self.begin(deed);
        }
    }

    /// Quick while something moves, slower and slower when nothing does.
    fn pace(&mut self) {
        let moving = self.plan.outlooks.iter().any(|outlook| outlook.waiting > 0)
            || !self.memory.intents.is_empty()
            || self.snapshot.instances.iter().any(|instance| {
                matches!(instance.phase, Phase::Pending | Phase::Booting | Phase::Draining | Phase::Stopping)
            });
        self.interval = match self.settings.the_loop.poll {
            Poll::Every(interval) => interval,
            Poll::Auto if moving || self.ending.is_some() => QUICK,
            Poll::Auto => (self.interval + QUICK).min(SLOW),
        };
        self.next_pass = self.setup.clock.now().saturating_add(self.interval).unwrap_or(Timestamp::MAX);
    }

    /// Tells every guard that the console lives.
    fn renew_lease(&mut self) {
        let now = self.setup.clock.now();
        let due = self.leased_at.is_none_or(|last| now.duration_since(last) >= MINUTE);
        if due && self.leads() && self.memory.armed {
            self.leased_at = Some(now);
            self.begin(Deed::RenewLease { fleet: self.settings.the_loop.fleet.clone(), value: now.to_string() });
        }
    }
}

/// What a refusal is about, whatever its numbers are at the moment.
fn refusal_key(refusal: &Refusal) -> String {
    let Refusal { rule, by, queue, pool, instance, reason, .. } = refusal;
    let kind = std::mem::discriminant(reason);
    format!("{rule:?} {by} {queue:?} {pool:?} {instance:?} {kind:?}")
}

fn refused(refusal: &Refusal, plan: &Plan, now: Timestamp) -> Record {
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
