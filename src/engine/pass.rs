//! One pass: look, take in, plan, check, write down, act, show.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::discriminant;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::engine::act::crash::Point;
use crate::engine::act::decide::{Decision, Ground};
use crate::engine::act::deed::Deed;
use crate::engine::backoff::heed;
use crate::engine::event::{Event, Foresight};
use crate::engine::foresee::Foreseen;
use crate::engine::run::{AGAIN, EngineError, LEASED_EVERY, Loop, WHOLE_EVERY, Work};
use crate::engine::seen::facts::{Observation, Region};
use crate::engine::seen::hold::Held;
use crate::engine::seen::join::{Parts, join};
use crate::engine::seen::notice::{Known, notice};
use crate::engine::seen::observe::{DEADLINE, Look, observe};
use crate::engine::seen::sight::Sights;
use crate::engine::seen::word;
use crate::engine::spend::spend;
use crate::engine::stance::Stance;
use crate::engine::words::{line, refusal_key, refused};
use crate::model::ids::{InstanceId, IntentId, QueueName};
use crate::model::journal::EntryKind;
use crate::model::plan::{Action, Plan, Planned};
use crate::model::record::{KnownInstance, Record};
use crate::model::settings::ladder::Rung;
use crate::model::settings::{Poll, Provider, Settings};
use crate::model::snapshot::{Ask, Order, Snapshot};
use crate::plan::check::{Broken, check};
use crate::plan::pace::{QUICK, SLOW, pace};
use crate::world::clock::Stopwatch;

/// What is not done of a plan, by its place there, and why.
pub(super) type Undone = BTreeMap<usize, String>;

impl Loop {
    /// The time for a look has come.
    pub(super) async fn wake(&mut self) -> Result<(), EngineError> {
        if let Some(jump) = self.jumps.look() {
            self.jumped(jump).await;
        }
        self.refresh().await;
        if self.store_problem.is_some() {
            let text = "the store can be written again";
            self.commit(vec![line(self.setup.clock.now(), EntryKind::Seen, text).record()]).await;
        }
        self.look();
        self.renew_lease();
        self.ask_prices();
        self.prune().await;
        // Its watcher may not hear everything.
        self.reread().await
    }

    /// What others wrote to a store that is shared, or what became of a write of ours that failed.
    async fn refresh(&mut self) {
        if self.leads() && self.store_problem.is_none() {
            return;
        }
        match self.setup.store.refresh().await {
            Ok(None) => {}
            Ok(Some(memory)) => self.remember(memory),
            Err(error) => tracing::warn!(%error, "the store is not read"),
        }
        self.hear().await;
    }

    /// Tells what other consoles wrote into a journal that is shared.
    pub(super) async fn hear(&mut self) {
        match self.setup.store.heard().await {
            Ok(lines) => lines.into_iter().for_each(|entry| self.tell(Event::Journal(entry))),
            Err(error) => tracing::warn!(%error, "the journal is not read"),
        }
    }

    /// The clock was set, or stood still: what was timed by it starts anew.
    pub(super) async fn jumped(&mut self, jump: SignedDuration) {
        let now = self.setup.clock.now();
        self.facts.distrust();
        self.looked_away = self.looking.is_some();
        self.surplus.clear();
        self.courses.clear();
        self.sights = Sights::default();
        self.retries.clear();
        self.breakers.rebase(now);
        self.fence.doubt();
        self.beat();
        self.delivered.rebase(now);
        self.touched.clear();
        self.waits_told.forget_all();
        (self.leased_at, self.looked_deep_at, self.pruned_at) = (None, None, None);
        if let Some(ending) = &mut self.ending {
            ending.since = ending.since.min(now);
        }
        let text = format!("the clock jumped by {} s: everything is looked at again first", jump.as_secs());
        self.commit(vec![line(now, EntryKind::Seen, text).record()]).await;
    }

    /// Begins a look at the world, unless one is under way.
    pub(super) fn look(&mut self) {
        let now = self.setup.clock.now();
        self.next_pass = now.saturating_add(self.interval).unwrap_or(Timestamp::MAX);
        if self.looking.is_some() {
            self.look_again = true;
            return;
        }
        let deep = self.looked_deep_at.is_none_or(|last| now.duration_since(last) >= WHOLE_EVERY);
        if deep {
            self.looked_deep_at = Some(now);
        }
        let look = Look {
            fleet: self.settings.the_loop.fleet.clone(),
            queues: self.settings.queues.iter().map(|queue| queue.name.clone()).collect(),
            regions: self.regions(),
            workers: (!deep).then(|| self.facts.known_workers()),
            held: self.held_machines(),
            // A task that waited may be taken elsewhere, and its entry stay: that is seen at the next whole look.
            known: if deep { BTreeSet::new() } else { self.facts.statuses.keys().cloned().collect() },
            attempts: self.memory.attempts.values().map(|attempt| attempt.task.clone()).collect(),
            owned: self.facts.owners.keys().cloned().collect(),
            pending: if deep { self.pending_queues() } else { Vec::new() },
            tasks: deep
                || !self.snapshot.ghosts.is_empty()
                || !self.memory.requeueing.is_empty()
                || word::is_wanted(&self.facts, &self.sights, &self.memory),
        };
        let (world, clock) = (self.setup.world.clone(), self.setup.clock);
        let look = self.work.spawn(async move {
            let asked = Stopwatch::start(clock);
            Work::Observed(Box::new(observe(world, clock, look).await), asked)
        });
        self.looking = Some(look.id());
    }

    /// Where tasks wait for their pods, and did when those were made that there are.
    fn pending_queues(&self) -> Vec<QueueName> {
        let pools = self.settings.pools.iter().filter(|pool| pool.provider == Provider::Kubernetes);
        let named = pools.map(|pool| pool.launch.kubernetes.pending_queue.as_str());
        let kept = self.memory.attempts.values().filter_map(|attempt| Some(attempt.pending.as_ref()?.as_str()));
        named.chain(kept).collect::<BTreeSet<&str>>().into_iter().map(QueueName::new).collect()
    }

    /// Machines whose drain is carried out by a hold task.
    fn held_machines(&self) -> BTreeSet<InstanceId> {
        let held = |known: &&KnownInstance| {
            Held::of(known, &self.facts, &self.settings).is_some_and(|held| held.is_wanted(&self.sights))
        };
        self.memory.known.values().filter(held).map(|known| known.id.clone()).collect()
    }

    /// The regions of the settings, and those where machines of ours are or may be.
    pub(super) fn regions(&self) -> Vec<Region> {
        let pools = self.settings.pools.iter().map(|pool| Region { provider: pool.provider, name: pool.site() });
        let known =
            self.memory.known.values().map(|known| Region { provider: known.provider, name: known.region.clone() });
        let intents =
            self.memory.intents.values().map(|one| Region { provider: one.provider, name: one.region.clone() });
        let sites = self.memory.attempts.values().filter_map(|attempt| attempt.site.clone());
        let attempts = sites.map(|name| Region { provider: Provider::Kubernetes, name });
        pools.chain(known).chain(intents).chain(attempts).collect::<BTreeSet<_>>().into_iter().collect()
    }

    pub(super) async fn observed(&mut self, observation: Observation, asked: Stopwatch) -> Result<(), EngineError> {
        self.looking = None;
        if std::mem::take(&mut self.looked_away) {
            self.look();
            return Ok(());
        }
        let fresh = self.facts.take(observation);
        self.compare_clocks().await;
        let mut records = self.price_pods();
        self.shown_who_leads(fresh.claim.as_ref(), asked);
        self.sights.take(&fresh, &self.facts, &self.memory, &self.settings);
        if self.leads() {
            records.extend(notice(
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
            ));
            heed(&records, &self.memory, &self.settings, &mut self.breakers, self.setup.clock.now());
            self.commit(records).await;
            // What was found among them is remembered; they do not wait there for ever.
            self.facts.waiting.clear();
        }
        self.replan(Vec::new()).await?;
        self.tend().await;
        self.tend_attempts().await;
        self.tell_waiting();
        self.note_all_stopped();
        self.pace();
        let view = self.publish();
        self.keep_glance(&view).await;
        if std::mem::take(&mut self.look_again) {
            self.look();
        }
        Ok(())
    }

    /// Batches whose launch call has not answered.
    pub(super) fn calling(&self) -> BTreeSet<IntentId> {
        let batches = self.under_way.iter().filter_map(|act| match &act.deed {
            Deed::Launch(order) => Some(&order.batch),
            _ => None,
        });
        let batches: BTreeSet<&IntentId> = batches.collect();
        let intents = self.memory.intents.values().filter(|intent| batches.contains(&intent.batch));
        let starts = self.under_way.iter().filter_map(|act| match &act.deed {
            Deed::Start { intent, .. } => Some(intent.clone()),
            _ => None,
        });
        intents.map(|intent| intent.id.clone()).chain(starts).collect()
    }

    /// Plans from what is known now, with what people ask for, and acts. What is not done of the plan, by its place
    /// there, and why.
    pub(super) async fn replan(&mut self, mut orders: Vec<Order>) -> Result<Undone, EngineError> {
        if let Some(by) = &self.stop_all {
            let stop_all = Order { by: by.clone(), what: Ask::StopAll };
            if !orders.contains(&stop_all) {
                orders.push(stop_all);
            }
        }
        let now = self.setup.clock.now();
        let changed = self.follow_schedules(now);
        self.commit(changed).await;
        let mut snapshot = self.snapshot_with(orders, now);
        snapshot.advice = self.advisors.advise(&snapshot, &self.settings, &self.memory.ledger, now);
        let plan = (self.setup.planner)(&snapshot, &self.settings, &self.memory.ledger, now);
        self.surplus.clone_from(&plan.surplus);
        self.courses.clone_from(&plan.courses);
        (self.snapshot, self.plan) = (Arc::new(snapshot), Arc::new(plan));
        self.unseen = false;
        if self.leads() { self.act(now).await } else { Ok(Undone::new()) }
    }

    /// Shows what was decided since the snapshot was made.
    pub(super) fn show_decided(&mut self) {
        if std::mem::take(&mut self.unseen) {
            self.snapshot = Arc::new(self.snapshot_with(Vec::new(), self.setup.clock.now()));
        }
    }

    pub(super) fn snapshot_with(&self, orders: Vec<Order>, now: Timestamp) -> Snapshot {
        let parts = Parts {
            facts: &self.facts,
            sights: &self.sights,
            memory: &self.memory,
            settings: &self.settings,
            catalogue: &self.setup.catalogue,
            breakers: self.breakers.waiting(now),
            surplus: self.surplus.clone(),
            courses: self.courses.clone(),
            orders,
            stale_after: self.stale_after(),
        };
        join(parts, &self.snapshot, now)
    }

    /// What other settings would do at once.
    pub(super) fn preview(&self, settings: &Settings) -> Foresight {
        let now = self.setup.clock.now();
        let parts = Parts {
            facts: &self.facts,
            sights: &self.sights,
            memory: &self.memory,
            settings,
            catalogue: &self.setup.catalogue,
            breakers: self.breakers.waiting(now),
            surplus: self.surplus.clone(),
            courses: self.courses.clone(),
            orders: Vec::new(),
            stale_after: self.stale_after(),
        };
        let plan = (self.setup.planner)(&join(parts, &self.snapshot, now), settings, &self.memory.ledger, now);
        let mut budgets = spend(&self.memory, settings, now).budgets;
        Foreseen::default().tell(&mut budgets, &self.memory.ledger, settings, now);
        Foresight { plan, budgets }
    }

    fn stale_after(&self) -> SignedDuration {
        stale_after(&self.settings)
    }

    async fn act(&mut self, now: Timestamp) -> Result<Undone, EngineError> {
        let plan = Arc::clone(&self.plan);
        let broken = check(&plan, &self.snapshot, &self.settings, &self.memory.ledger, now);
        let (told, mut records) = self.news(&plan, &broken, now);
        records.extend(plan.lessons.iter().cloned().map(Record::Learned));
        let mut undone = Undone::new();
        for broken in &broken {
            undone.insert(broken.action, broken.to_string());
        }
        // What is adopted can be acted on in the same pass.
        let (adopt, others): (Vec<usize>, Vec<usize>) =
            (0..plan.actions.len()).partition(|index| is_adoption(&plan, *index));
        for index in adopt {
            records.extend(self.decide(index, now, &mut undone).map(|decision| decision.records).unwrap_or_default());
        }
        if !self.commit(records).await {
            return Ok(self.nothing_is_done());
        }
        self.refused_before = told;
        let mut records = Vec::new();
        let mut deeds = Vec::new();
        for index in others {
            let Some(Decision { records: written, deed }) = self.decide(index, now, &mut undone) else { continue };
            if let Some(deed) = deed {
                let blocked = self.is_blocked(&deed, now);
                if blocked && !deed.stands() {
                    undone.insert(index, "it is under way, or failed a moment ago".to_owned());
                    continue;
                }
                if let Some(kind) = deed.kind() {
                    self.setup.crash.pass(kind, Point::BeforeIntent)?;
                }
                deeds.push(deed);
            }
            records.extend(written);
        }
        if !self.commit(records).await {
            return Ok(self.nothing_is_done());
        }
        for deed in deeds {
            if let Some(kind) = deed.kind() {
                self.setup.crash.pass(kind, Point::AfterIntent)?;
            }
            // One that cannot begin now is begun by `tend`.
            self.begin(deed);
        }
        Ok(undone)
    }

    /// What an action comes to, if the loop's state lets it act and its object is still there.
    fn decide(&mut self, index: usize, now: Timestamp, undone: &mut Undone) -> Option<Decision> {
        let (plan, snapshot) = (Arc::clone(&self.plan), Arc::clone(&self.snapshot));
        let planned = plan.actions.get(index).filter(|_| !undone.contains_key(&index))?;
        if !self.may_act(planned) {
            undone.insert(index, "the loop does not do that in its present state".to_owned());
            return None;
        }
        let ground = Ground {
            plan: &plan,
            snapshot: &snapshot,
            settings: &self.settings,
            memory: &self.memory,
            facts: &self.facts,
            sights: &self.sights,
            term: self.term(),
            now,
        };
        let decision = ground.decide(planned, &mut self.setup.naming);
        if decision.is_none() {
            undone.insert(index, format!("{}: what it is about went away", planned.action));
        }
        decision
    }

    fn nothing_is_done(&self) -> Undone {
        let why = self.store_problem.clone().unwrap_or_default();
        (0..self.plan.actions.len()).map(|index| (index, why.clone())).collect()
    }

    /// Whether the loop's state lets it act.
    fn may_act(&self, planned: &Planned) -> bool {
        let stance = Stance {
            read_only: self.setup.settings.read_only().is_some(),
            surely_leads: self.surely_leads(),
            ends: self.ending.is_some(),
        };
        stance.allows(planned, &self.memory, &self.delivered, self.setup.clock.now())
    }

    /// Refusals and alarms that are new since the last pass, as journal lines; and what to call them in the next.
    fn news(&self, plan: &Plan, broken: &[Broken], now: Timestamp) -> (BTreeSet<String>, Vec<Record>) {
        let refusals = plan.refusals.iter().map(|refusal| (refusal_key(refusal), refused(refusal, plan, now)));
        let alarms = broken.iter().filter_map(|broken| {
            let action = &plan.actions.get(broken.action)?.action;
            let key = format!("{:?} {:?} {:?}", broken.invariant, discriminant(action), action.subject());
            let text = format!("stopped by the check: {action}: {broken}");
            Some((key, line(now, EntryKind::Alarm, text).about(action.subject()).record()))
        });
        let has_steps = self.settings.budgets.iter().any(|budget| !budget.at.rungs().is_empty());
        let budgets = if has_steps { spend(&self.memory, &self.settings, now).budgets } else { Vec::new() };
        let steps = budgets.iter().filter_map(|budget| {
            let Rung { percent, step } = budget.step()?;
            let key = format!("step {} {} {percent}", budget.name, budget.scope);
            let (name, spent, limit) = (&budget.name, budget.spent, budget.limit);
            let text = format!("budget \"{name}\": {step}, as {spent} of {limit} are spent ({percent}% and more)");
            Some((key, line(now, EntryKind::Alarm, text).record()))
        });
        let (mut keys, mut records) = (BTreeSet::new(), Vec::new());
        for (key, record) in refusals.chain(alarms).chain(steps) {
            if keys.insert(key.clone()) && !self.refused_before.contains(&key) {
                records.push(record);
            }
        }
        (keys, records)
    }

    /// Quick while something moves, slower and slower when nothing does.
    fn pace(&mut self) {
        self.interval = match self.settings.the_loop.poll {
            Poll::Every(interval) => interval,
            Poll::Auto if self.ending.is_some() || !self.memory.intents.is_empty() => QUICK,
            Poll::Auto => pace(&self.snapshot, &self.plan, self.interval),
        };
        self.next_pass = self.setup.clock.now().saturating_add(self.interval).unwrap_or(Timestamp::MAX);
    }

    /// Tells every guard that the console lives.
    fn renew_lease(&mut self) {
        let now = self.setup.clock.now();
        let due = self.leased_at.is_none_or(|last| now.duration_since(last) >= LEASED_EVERY);
        if due && self.surely_leads() && self.memory.armed {
            self.leased_at = Some(now);
            self.begin(Deed::RenewLease { fleet: self.settings.the_loop.fleet.clone(), value: now.to_string() });
        }
    }
}

/// Two looks may fail before what is known is too old to act on.
pub(super) fn stale_after(settings: &Settings) -> SignedDuration {
    let interval = match settings.the_loop.poll {
        Poll::Auto => SLOW,
        Poll::Every(interval) => interval,
    };
    interval * 2 + DEADLINE + AGAIN
}

pub(super) fn is_adoption(plan: &Plan, index: usize) -> bool {
    matches!(plan.actions.get(index).map(|planned| &planned.action), Some(Action::Adopt { .. }))
}
