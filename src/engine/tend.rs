//! What is written down and must be carried through: orders that have not reached their machine, stops that the cloud
//! has not carried out, tasks on their way back to a queue; and what is to be cleared away. Whatever failed, or was
//! cut short by a crash, is done again from here.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::engine::act::deed::{Deed, Done, Outcome};
use crate::engine::act::retry::Retries;
use crate::engine::run::Loop;
use crate::engine::seen::facts::{Facts, Region};
use crate::engine::seen::hold::Held;
use crate::engine::seen::join;
use crate::engine::seen::sight::{Sights, is_surely_off};
use crate::engine::words::line;
use crate::model::ids::InstanceId;
use crate::model::instance::{Drain, Power};
use crate::model::journal::EntryKind;
use crate::model::observed::{CloudInstance, CloudState, ObservedWorker};
use crate::model::plan::Plan;
use crate::model::reason::Reason;
use crate::model::record::{KnownInstance, Memory, Record};
use crate::model::settings::{Market, PoolSettings, Settings};
use crate::model::snapshot::{Snapshot, Stray};
use crate::world::cloud::Sweep;
use crate::world::tracker::Requeue;

/// A machine that still runs so long after its stop was accepted was not stopped: it is told again, then at twice that.
const STOP_TAKES: SignedDuration = SignedDuration::from_mins(3);
const STOP_TAKES_AT_MOST: SignedDuration = SignedDuration::from_hours(1);

/// A worker's row that was removed is gone from the list at the next look; one that stays is not removed each time.
const UNREGISTER_AGAIN: SignedDuration = SignedDuration::from_mins(10);

/// Whether another has put back the task that it claimed is asked again after this.
const CLAIMED_AGAIN: SignedDuration = SignedDuration::from_mins(1);

/// What was left behind is looked for so often.
const SWEEP_AGAIN: SignedDuration = SignedDuration::from_mins(15);

/// What this process knows to have arrived.
#[derive(Debug, Default)]
pub(super) struct Delivered {
    /// Nonces of orders, of cancelled ones `run:<nonce>`, and of those to end tasks `end:<nonce>`, by when their mailbox took them.
    orders: BTreeMap<String, Timestamp>,
    /// When the last hold task for an order of that nonce was placed.
    holds: BTreeMap<String, Timestamp>,
    /// When the cloud accepted a stop, and how often.
    stops: BTreeMap<InstanceId, (Timestamp, u32)>,
    /// When the cloud accepted to switch a machine off.
    offs: BTreeMap<InstanceId, Timestamp>,
}

impl Delivered {
    /// Whether the cloud has accepted the stop of a machine.
    pub(super) fn has_stopped(&self, instance: &InstanceId) -> bool {
        self.stops.contains_key(instance)
    }

    /// Another console orders and stops from now on.
    pub(super) fn forget_all(&mut self) {
        *self = Self::default();
    }

    /// Whether a machine's order to drain reached its mailbox long enough ago to be read before any pull.
    pub(super) fn was_read(&self, drain: &Drain, now: Timestamp) -> bool {
        let delivered = self.orders.get(&drain.nonce);
        delivered.is_some_and(|at| now.duration_since(*at) >= SURELY_READ)
    }

    /// Keeps what is about orders that stand.
    pub(super) fn forget_old(&mut self, memory: &Memory) {
        let known = &memory.known;
        self.stops.retain(|instance, _| known.contains_key(instance));
        let goes_off = |instance: &InstanceId| known.get(instance).is_some_and(|known| known.power != Power::On);
        self.offs.retain(|instance, _| goes_off(instance));
        if !self.orders.is_empty() {
            let standing: Vec<&str> =
                known.values().filter_map(|known| known.drain.as_ref()).map(|drain| drain.nonce.as_str()).collect();
            let nonce = |key: &str| key.split_once(':').map_or_else(|| key.to_owned(), |(_, nonce)| nonce.to_owned());
            self.orders.retain(|key, _| standing.contains(&nonce(key).as_str()));
            self.holds.retain(|key, _| standing.contains(&key.as_str()));
        }
    }

    /// The clock was set to `now`.
    pub(super) fn rebase(&mut self, now: Timestamp) {
        let orders = self.orders.values_mut().chain(self.holds.values_mut()).chain(self.offs.values_mut());
        orders.chain(self.stops.values_mut().map(|(at, _)| at)).for_each(|at| *at = now);
    }
}

/// A gate reads its mailbox every 15 s, and before it pulls.
const SURELY_READ: SignedDuration = SignedDuration::from_secs(60);

/// Notes what became of a deed. Says whether it is to be told: it has not failed like this before.
pub(super) fn note(
    outcome: &Outcome,
    delivered: &mut Delivered,
    retries: &mut Retries,
    facts: &mut Facts,
    sights: &mut Sights,
    now: Timestamp,
) -> bool {
    let Outcome { deed, result } = outcome;
    match deed {
        Deed::Enqueue { task, .. } => {
            // Whatever came of it, what is known of the task is too old to act on again.
            facts.tasks.retain(|known| known.id != *task);
            sights.forget_nowhere(task);
        }
        // Its old mailbox was removed first, or is listed again.
        Deed::Start { instance, .. } => facts.mailbox_removed(instance),
        _ => {}
    }
    if let Ok(done) = result {
        note_done(deed, delivered, retries, facts, now);
        if matches!(done, Done::Requeue(Requeue::Claimed)) {
            retries.rest(deed, CLAIMED_AGAIN, now);
        }
        return true;
    }
    if let Deed::Start { instance, .. } = deed {
        sights.refuse_start(instance, now);
    }
    // Launches back off by their kind, starts by their machine.
    matches!(deed, Deed::Launch(_) | Deed::Start { .. }) || retries.failed(deed, now)
}

/// A deed went well: what it has changed for certain need not be waited for until it is seen.
fn note_done(deed: &Deed, delivered: &mut Delivered, retries: &mut Retries, facts: &mut Facts, now: Timestamp) {
    retries.done(deed);
    match deed {
        Deed::Drain { nonce, hold, .. } => {
            delivered.orders.insert(nonce.clone(), now);
            if *hold {
                delivered.holds.insert(nonce.clone(), now);
            }
        }
        Deed::PlaceHold { nonce, .. } => drop(delivered.holds.insert(nonce.clone(), now)),
        Deed::CancelDrain { nonce, .. } => drop(delivered.orders.insert(cancelled(nonce), now)),
        Deed::AskEnd { nonce, .. } => drop(delivered.orders.insert(ended(nonce), now)),
        Deed::Stop { instance, .. } => {
            let times = delivered.stops.get(instance).map_or(1, |(_, times)| times.saturating_add(1));
            delivered.stops.insert(instance.clone(), (now, times));
        }
        Deed::SwitchOff { instance, .. } => drop(delivered.offs.insert(instance.clone(), now)),
        Deed::Requeue { lost } => facts.tasks.retain(|task| task.id != lost.task),
        Deed::Unregister { worker } => {
            facts.workers.retain(|known| known.id != *worker);
            retries.rest(deed, UNREGISTER_AGAIN, now);
        }
        Deed::Sweep { .. } => retries.rest(deed, SWEEP_AGAIN, now),
        Deed::DeleteMailbox { instance } => facts.mailbox_removed(instance),
        _ => {}
    }
}

/// What is known while it is decided what to carry through. Pure.
#[derive(Debug)]
pub(super) struct Tending<'a> {
    pub memory: &'a Memory,
    pub facts: &'a Facts,
    pub sights: &'a Sights,
    pub settings: &'a Settings,
    pub delivered: &'a Delivered,
    pub snapshot: &'a Snapshot,
    pub plan: &'a Plan,
    pub now: Timestamp,
}

/// What is to be carried through.
#[derive(Debug, Default)]
pub(super) struct Tended {
    pub deeds: Vec<Deed>,
    /// Stops that the cloud accepted and did not carry out, and what is said of them.
    pub unheeded: Vec<(Record, Deed)>,
    /// Stops that are not to be carried through any more, and what is said of them.
    pub withdrawn: Vec<Vec<Record>>,
}

impl Loop {
    /// Begins what must be said or asked again, and what is to be cleared away.
    pub(super) async fn tend(&mut self) {
        if !self.leads() || !self.memory.armed || self.setup.settings.read_only().is_some() {
            return;
        }
        let now = self.setup.clock.now();
        self.retries.forget_old(now);
        self.delivered.forget_old(&self.memory);
        let tending = Tending {
            memory: &self.memory,
            facts: &self.facts,
            sights: &self.sights,
            settings: &self.settings,
            delivered: &self.delivered,
            snapshot: &self.snapshot,
            plan: &self.plan,
            now,
        };
        let Tended { mut deeds, unheeded, withdrawn } = tending.tended();
        deeds.extend(self.sweeps(now));
        for deed in deeds {
            self.begin(deed);
        }
        for records in withdrawn {
            self.commit(records).await;
        }
        for (alarm, deed) in unheeded {
            if !self.is_blocked(&deed, now) && self.commit(vec![alarm]).await {
                self.begin(deed);
            }
        }
    }

    fn sweeps(&self, now: Timestamp) -> impl Iterator<Item = Deed> {
        let leaves =
            |region: &Region| self.setup.world.cloud(region.provider).is_ok_and(|cloud| cloud.may_leave_behind());
        let settings = std::sync::Arc::clone(&self.settings);
        let regions: Vec<_> = self.regions().into_iter().filter(leaves).collect();
        regions.into_iter().map(move |Region { provider, name }| {
            let any = |is: &dyn Fn(&PoolSettings) -> bool| {
                settings.pools.iter().any(|pool| pool.provider == provider && pool.site() == name && is(pool))
            };
            let sweep = Sweep {
                fleet: settings.the_loop.fleet.clone(),
                now,
                spot_requests: any(&|pool| pool.market == Market::Spot),
                templates: any(&|pool| pool.cloud_chooses(pool.market)),
                region: name,
            };
            Deed::Sweep { provider, sweep }
        })
    }
}

impl Tending<'_> {
    pub(super) fn tended(&self) -> Tended {
        let mut deeds = Vec::new();
        let (mut unheeded, mut withdrawn, now) = (Vec::new(), Vec::new(), self.now);
        for known in self.memory.known.values() {
            let held = Held::of(known, self.facts, self.settings);
            let another = held.and_then(|held| self.open_hold(known, held));
            // It may have a task by now: until another hold task proves that it has none, it is not stopped.
            // On what is off nothing has one.
            let off = self.facts.machines.get(&known.id).is_some_and(|shown| shown.state == CloudState::Stopped);
            let waits = !off && held.is_some_and(|held| !held.may_end(now));
            match (known.stop_sent, &known.drain) {
                (Some(_), _) if waits => {}
                (Some(sent), _) => match (self.stop_stands(known), self.registered_since(known, sent)) {
                    (Stand::Fulfilled, _) => {}
                    (_, true) => {
                        let text = format!(
                            "{} registered after its stop was decided: it may take tasks, and is not stopped; drain it",
                            known.id
                        );
                        let line = line(now, EntryKind::Alarm, text).about_machine(known);
                        withdrawn.push(vec![Record::Withdrawn(known.id.clone()), line.record()]);
                    }
                    (Stand::Open, false) => deeds.push(stop(known)),
                    (Stand::Unheeded(since), false) => {
                        let text = format!("{} still runs, though it was stopped at {since:.0}", known.id);
                        let line = line(now, EntryKind::Alarm, text).about_machine(known);
                        unheeded.push((line.record(), stop(known)));
                    }
                },
                (None, _) if matches!(known.power, Power::SwitchingOff { .. }) => {
                    deeds.extend(self.open_switch_off(known).filter(|_| !waits));
                }
                (None, Some(drain)) => deeds.extend(self.open_order(known, drain)),
                (None, None) => {}
            }
            deeds.extend(another);
        }
        for lost in self.memory.requeueing.values() {
            deeds.push(Deed::Requeue { lost: lost.clone() });
        }
        let heard = self.facts.mailboxes.keys().filter(|instance| self.is_heard(instance));
        // One that is off would read its old order when it comes back.
        let off = |instance: &&InstanceId| is_surely_off(instance, self.facts, self.memory);
        let off = self.facts.mailboxes.keys().filter(off);
        deeds.extend(off.map(|instance| Deed::DeleteMailbox { instance: instance.clone() }));
        deeds.extend(heard.map(|instance| Deed::DeleteMailbox { instance: instance.clone() }));
        Tended { deeds, unheeded, withdrawn }
    }

    /// Whether the mailbox of a machine has nothing to tell any more: the machine is gone, its last words were read, and
    /// they speak of no task that is still to be enqueued again.
    fn is_heard(&self, instance: &InstanceId) -> bool {
        let Some(gone) = self.memory.gone.get(instance) else { return false };
        if self.facts.asked.is_none_or(|asked| asked <= *gone) {
            return false;
        }
        let tells = |stray: &Stray| matches!(stray, Stray::StoppedByMachine { instance: of, .. } if of == instance);
        let under_way = self.memory.requeueing.values().any(|lost| lost.worker.is_none() && lost.instance == *instance);
        let refused = self.plan.refusals.iter().any(|refusal| {
            refusal.instance.as_ref() == Some(instance) && matches!(refusal.reason, Reason::RequeuesUsed { .. })
        });
        !under_way && (refused || !self.snapshot.strays.iter().any(tells))
    }

    /// Whether a stop that was decided must be asked for again.
    fn stop_stands(&self, known: &KnownInstance) -> Stand {
        let shown = self.facts.machines.get(&known.id);
        let ends = |state| matches!(state, CloudState::ShuttingDown | CloudState::Terminated);
        if shown.is_some_and(|shown| ends(shown.state)) {
            return Stand::Fulfilled;
        }
        let Some((accepted, times)) = self.delivered.stops.get(&known.id) else { return Stand::Open };
        let takes = STOP_TAKES.saturating_mul(2_i32.saturating_pow(times.saturating_sub(1))).min(STOP_TAKES_AT_MOST);
        let region = Region { provider: known.provider, name: known.region.clone() };
        let late = self.facts.seen_at(&region).is_some_and(|seen| seen.duration_since(*accepted) > takes);
        if late && shown.is_some() { Stand::Unheeded(*accepted) } else { Stand::Fulfilled }
    }

    /// Whether a machine that had no worker when its stop was decided has one by now, and is not proved to take no task.
    fn registered_since(&self, known: &KnownInstance, sent: Timestamp) -> bool {
        let proved = known.drain.as_ref().is_some_and(|drain| drain.acknowledged.is_some() && !drain.cancelled);
        let worker = self.snapshot.instance(&known.id).and_then(|seen| seen.worker.as_ref());
        let registers = |row: &ObservedWorker| Some(&row.id) == worker && row.registered > sent;
        !proved && self.facts.workers.iter().any(registers)
    }

    /// The switching off of a machine that still runs, unless the cloud has time to carry it out.
    fn open_switch_off(&self, known: &KnownInstance) -> Option<Deed> {
        let runs = |shown: &CloudInstance| matches!(shown.state, CloudState::Pending | CloudState::Running);
        let accepted = self.delivered.offs.get(&known.id);
        let waits = accepted.is_some_and(|at| self.now.duration_since(*at) <= STOP_TAKES);
        let open = !waits && self.facts.machines.get(&known.id).is_some_and(runs);
        let (provider, region) = (known.provider, known.region.clone());
        open.then(|| Deed::SwitchOff { provider, region, instance: known.id.clone() })
    }

    /// A hold task for a drain that stands, where none waits or proves anything; or the end of those of one that does not.
    fn open_hold(&self, known: &KnownInstance, held: Held<'_>) -> Option<Deed> {
        let drain = known.drain.as_ref()?;
        let ends = self.facts.machines.get(&known.id).is_some_and(join::ends);
        if ends || known.power.is_off() || !held.is_wanted(self.sights) {
            return None;
        }
        let (instance, nonce) = (known.id.clone(), drain.nonce.clone());
        if drain.cancelled {
            let left = held.tasks().is_some_and(|tasks| !tasks.is_empty());
            return left.then_some(Deed::CancelDrain { instance, nonce, hold: true });
        }
        let placed = self.delivered.holds.get(&nonce).copied();
        let looked = placed.is_none_or(|placed| self.facts.asked.is_some_and(|asked| asked > placed));
        let another = held.needs_another(self.now) || held.waits_in_vain(self.sights, placed);
        let open = looked && another;
        open.then_some(Deed::PlaceHold { instance, nonce })
    }

    /// The order of a machine that its mailbox does not show.
    fn open_order(&self, known: &KnownInstance, drain: &Drain) -> Option<Deed> {
        let (instance, nonce) = (known.id.clone(), drain.nonce.clone());
        let hold = Held::of(known, self.facts, self.settings).is_some_and(|held| held.is_wanted(self.sights));
        if drain.cancelled {
            let deed = Deed::CancelDrain { instance, hold, nonce: nonce.clone() };
            return self.is_open(known, &cancelled(&nonce), "want", "run").then_some(deed);
        }
        if drain.acknowledged.is_some() {
            return None;
        }
        if self.is_open(known, &nonce, "want", &format!("drain:{nonce}")) {
            return Some(Deed::Drain { instance, nonce, hold });
        }
        let asks = drain.end_asked.is_some()
            && !self.shows(known, "end", &nonce)
            && self.is_open(known, &ended(&nonce), "end", &nonce);
        asks.then_some(Deed::AskEnd { instance, nonce })
    }

    fn shows(&self, known: &KnownInstance, key: &str, value: &str) -> bool {
        let shown = self.facts.mailboxes.get(&known.id).and_then(|mailbox| mailbox.metadata.get(key));
        shown.is_some_and(|shown| shown == value)
    }

    /// Whether an order is not known to have reached its mailbox, or is not there any more.
    fn is_open(&self, known: &KnownInstance, order: &str, key: &str, value: &str) -> bool {
        match self.delivered.orders.get(order) {
            None => true,
            // It arrived, and then somebody removed or overwrote it.
            Some(at) => self.facts.asked.is_some_and(|asked| asked > *at) && !self.shows(known, key, value),
        }
    }
}

/// What a decided stop has come to.
enum Stand {
    /// It is not known to have reached the cloud.
    Open,
    /// The cloud carries it out, or has time to.
    Fulfilled,
    /// The cloud accepted it then, and did nothing.
    Unheeded(Timestamp),
}

fn stop(known: &KnownInstance) -> Deed {
    Deed::Stop { provider: known.provider, region: known.region.clone(), instance: known.id.clone() }
}

/// How an order to end tasks is remembered beside the order to drain.
fn ended(nonce: &str) -> String {
    format!("end:{nonce}")
}

/// How a cancelled order is remembered beside the order.
fn cancelled(nonce: &str) -> String {
    format!("run:{nonce}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::act::deed::Done;
    use crate::engine::seen::example::{Fleet, intent};
    use crate::model::observed::Mailbox;
    use crate::model::record::Intent;
    use crate::model::settings::Provider;

    /// The deeds that are begun when a fleet looks like this.
    fn deeds(fleet: &Fleet) -> Vec<String> {
        let (snapshot, delivered) = (fleet.snapshot(), Delivered::default());
        let plan = crate::plan::plan(&snapshot, &fleet.settings, &fleet.memory.ledger, fleet.now);
        let tending = Tending {
            memory: &fleet.memory,
            facts: &fleet.facts,
            sights: &fleet.sights,
            settings: &fleet.settings,
            delivered: &delivered,
            snapshot: &snapshot,
            plan: &plan,
            now: fleet.now,
        };
        tending.tended().deeds.iter().map(ToString::to_string).collect()
    }

    /// A machine that is off, with the order that switched it off.
    fn off() -> Fleet {
        let mut fleet = Fleet::idle();
        fleet.memory.apply(&Record::PowerSet { instance: "i-1".into(), power: Power::SwitchingOff { at: fleet.now } });
        let now = fleet.now;
        (fleet.last().state, fleet.last().ended) = (CloudState::Stopped, Some(now));
        let metadata = [("want".to_owned(), "drain:n".to_owned())].into();
        fleet.mailboxes = vec![Mailbox { queue: "m".into(), instance: "i-1".into(), created: now, metadata }];
        fleet.live(10);
        assert!(fleet.memory.known[&InstanceId::from("i-1")].power.is_off());
        fleet
    }

    #[test]
    fn the_mailbox_and_the_row_of_what_may_run_again_stay() {
        let ghosts = |fleet: &Fleet| fleet.snapshot().ghosts.len();
        let mut fleet = off();
        assert_eq!((deeds(&fleet), ghosts(&fleet)), (vec!["remove the mailbox of i-1".to_owned()], 1));
        // Somebody starts it, and the cloud does not answer: what is seen now may be of its new life.
        fleet.cloud_down = true;
        fleet.live(10);
        assert_eq!((deeds(&fleet), ghosts(&fleet)), (vec![], 0));
        fleet.cloud_down = false;
        fleet.live(10);
        assert_eq!((deeds(&fleet).len(), ghosts(&fleet)), (1, 1));
        // The clock jumped: nothing that was seen before tells how it is now.
        fleet.facts.distrust();
        assert_eq!((deeds(&fleet), ghosts(&fleet)), (vec![], 0));
        fleet.live(10);
        // We start it.
        let starts = Intent { starts: Some("i-1".into()), ..intent("b2.0", fleet.now) };
        fleet.memory.apply(&Record::IntentOpened(starts));
        assert_eq!((deeds(&fleet), ghosts(&fleet)), (vec![], 0));
    }

    #[test]
    fn a_mailbox_that_a_start_removed_was_not_lost() {
        let mut fleet = off();
        let (mut delivered, mut retries) = (Delivered::default(), Retries::default());
        let (provider, region, instance) = (Provider::Aws, "us-east-1".to_owned(), InstanceId::from("i-1"));
        let deed = Deed::Start { provider, region, instance: instance.clone(), intent: "b2.0".into() };
        let outcome = Outcome { deed, result: Ok(Done::Nothing) };
        note(&outcome, &mut delivered, &mut retries, &mut fleet.facts, &mut fleet.sights, fleet.now);
        fleet.mailboxes.clear();
        fleet.live(10);
        assert!(!fleet.facts.lost_mailbox(&instance));
    }

    #[test]
    fn after_the_clock_was_set_back_a_switch_off_is_asked_for_in_time() {
        let mut fleet = Fleet::idle();
        fleet.memory.apply(&Record::PowerSet { instance: "i-1".into(), power: Power::SwitchingOff { at: fleet.now } });
        let known = fleet.memory.known[&InstanceId::from("i-1")].clone();
        let mut delivered = Delivered::default();
        delivered.offs.insert(known.id.clone(), fleet.now + SignedDuration::from_hours(8));
        delivered.rebase(fleet.now);
        let (snapshot, now) = (fleet.snapshot(), fleet.now + STOP_TAKES + SignedDuration::from_secs(1));
        let plan = crate::plan::plan(&snapshot, &fleet.settings, &fleet.memory.ledger, now);
        let tending = Tending {
            memory: &fleet.memory,
            facts: &fleet.facts,
            sights: &fleet.sights,
            settings: &fleet.settings,
            delivered: &delivered,
            snapshot: &snapshot,
            plan: &plan,
            now,
        };
        assert!(tending.open_switch_off(&known).is_some());
    }
}
