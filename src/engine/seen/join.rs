//! Sources and memory joined into the snapshot that one pass plans from. Pure. Workers meet machines by the cloud's id;
//! the cloud's word on a machine wins over ClearML's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::engine::seen::agents::{Count, Rows};
use crate::engine::seen::facts::Facts;
use crate::engine::seen::fault::{Seen, fault};
use crate::engine::seen::making::Making;
use crate::engine::seen::pods;
use crate::engine::seen::sight::{Nowhere, Sight, Sights, is_fresh, is_surely_off, our_workers};
use crate::engine::seen::word;
use crate::model::breaker::Breaker;
use crate::model::catalogue::Catalogue;
use crate::model::course::Courses;
use crate::model::ids::{InstanceId, PoolName, QueueName, TaskId, WorkerName};
use crate::model::instance::{Agents, Instance, OffOutside, Origin, Phase, Power, RunningTask};
use crate::model::money::{Money, Rate};
use crate::model::nearest::nearest;
use crate::model::observed::{CloudInstance, CloudState, Mailbox, QueueEntry, TaskRecord, TaskStatus};
use crate::model::record::{KnownInstance, Memory};
use crate::model::settings::{Market, Provider, Settings};
use crate::model::snapshot::{ForeignWorker, Ghost, Order, Phantom, QueueState, Snapshot, Stray, Surplus};
use crate::model::span::Short;

/// Everything that a snapshot is made of.
#[derive(Debug)]
pub struct Parts<'a> {
    pub facts: &'a Facts,
    pub sights: &'a Sights,
    pub memory: &'a Memory,
    pub settings: &'a Settings,
    pub catalogue: &'a Arc<Catalogue>,
    pub breakers: Vec<Breaker>,
    pub surplus: Surplus,
    pub courses: Courses,
    pub orders: Vec<Order>,
    /// See [`crate::model::snapshot::Source::stale_after`].
    pub stale_after: SignedDuration,
}

/// Joins. The phases' beginnings are the last snapshot's where the phase is the same.
#[must_use]
pub fn join(parts: Parts<'_>, before: &Snapshot, now: Timestamp) -> Snapshot {
    let Parts { facts, sights, memory, settings, catalogue, .. } = parts;
    let said = Said::new(facts, settings);
    let since: BTreeMap<&InstanceId, (Phase, Timestamp)> =
        before.instances.iter().map(|instance| (&instance.id, (instance.phase, instance.phase_since))).collect();
    let making = Making::new(facts, settings);
    let mut instances: Vec<Instance> = memory
        .known
        .values()
        .map(|known| {
            let seen = instance(known, &said, facts, sights, memory, settings, now);
            if known.provider == Provider::Kubernetes {
                return pods::as_pod(seen, known, facts, memory);
            }
            Instance { drift: making.drift(&seen, facts), ..seen }
        })
        .chain(orphans(facts, sights, memory, settings, catalogue, now))
        .collect();
    for instance in &mut instances {
        instance.phase_since = match since.get(&instance.id) {
            Some((phase, since)) if *phase == instance.phase => *since,
            Some(_) => now,
            None => instance.launched,
        };
    }
    Snapshot {
        queues: queues(facts, memory, settings),
        instances,
        intents: memory.intents.values().cloned().collect(),
        foreign: foreign(facts, settings),
        ghosts: ghosts(facts, sights, memory, settings),
        strays: strays(facts, sights, memory, settings, now),
        interrupted_once: interrupted_once(facts, memory, settings),
        clusters: Arc::clone(&facts.clusters),
        owners: Arc::clone(&facts.owners),
        tags: Arc::clone(&facts.tags),
        breakers: parts.breakers,
        boots_failed: boots_failed(memory),
        surplus: parts.surplus,
        courses: parts.courses,
        learned: Arc::new(memory.learned.clone()),
        catalogue: Arc::clone(catalogue),
        // Until the policies are asked again.
        advice: before.advice.clone(),
        orders: parts.orders,
        sources: facts.sources(parts.stale_after),
    }
}

fn boots_failed(memory: &Memory) -> BTreeMap<PoolName, u32> {
    let count = |failed: &BTreeSet<InstanceId>| u32::try_from(failed.len()).unwrap_or(u32::MAX);
    memory.boots_failed.iter().map(|(pool, failed)| (pool.clone(), count(failed))).collect()
}

fn queues(facts: &Facts, memory: &Memory, settings: &Settings) -> Vec<QueueState> {
    let retried = |entries: &[QueueEntry]| {
        let again = entries.iter().filter(|_| !memory.requeues.is_empty());
        again.filter(|entry| memory.requeues.contains_key(&entry.task)).count()
    };
    let state = |name: &QueueName| {
        let found = facts.queues.named(name);
        let entries = found.into_iter().flat_map(|queue| queue.entries.iter().cloned());
        let (waiting, phantoms) = parted(entries, facts);
        QueueState {
            retried: u32::try_from(retried(&waiting)).unwrap_or(u32::MAX),
            name: name.clone(),
            id: found.map(|queue| queue.id.clone()),
            nearest: if found.is_none() { nearest_queue(name, facts) } else { None },
            waiting,
            phantoms,
        }
    };
    settings.queues.iter().map(|queue| state(&queue.name)).collect()
}

/// The entries behind which a task waits, and the others.
fn parted(entries: impl Iterator<Item = QueueEntry>, facts: &Facts) -> (Vec<QueueEntry>, Vec<Phantom>) {
    let (mut waiting, mut phantoms) = (Vec::new(), Vec::new());
    for entry in entries {
        match facts.statuses.get(&entry.task) {
            None | Some(Some(TaskStatus::Queued)) => waiting.push(entry),
            Some(status) => phantoms.push(Phantom { status: *status, entry }),
        }
    }
    (waiting, phantoms)
}

/// Tasks that wait in our queues and were cut off by an interruption before.
fn interrupted_once(facts: &Facts, memory: &Memory, settings: &Settings) -> BTreeSet<TaskId> {
    if memory.interrupted.is_empty() {
        return BTreeSet::new();
    }
    let ours = facts.queues.iter().filter(|queue| settings.queue(&queue.name).is_some());
    let waiting = ours.flat_map(|queue| &queue.entries).map(|entry| &entry.task);
    waiting.filter(|task| memory.interrupted.contains_key(*task)).cloned().collect()
}

fn nearest_queue(name: &QueueName, facts: &Facts) -> Option<QueueName> {
    nearest(name.as_str(), facts.queues.iter().map(|queue| queue.name.as_str())).map(QueueName::new)
}

fn instance(
    known: &KnownInstance,
    said: &Said<'_>,
    facts: &Facts,
    sights: &Sights,
    memory: &Memory,
    settings: &Settings,
    now: Timestamp,
) -> Instance {
    let rows = said.rows.of(&known.id);
    let machine = facts.machines.get(&known.id);
    let sight = sights.of(&known.id);
    let mut tasks = running_tasks(known, said, facts, &sight, now).into_iter();
    let task = tasks.next();
    let count = Count::new(known, rows, facts, settings);
    let interval = memory.ledger.of(&known.id);
    let fault = fault(&Seen { known, machine, rows, count, sight: &sight }, facts, settings, now);
    Instance {
        id: known.id.clone(),
        provider: known.provider,
        region: known.region.clone(),
        pool: known.pool.clone(),
        home: known.home.clone(),
        machine_type: known.machine_type.clone(),
        zone: machine.and_then(|machine| machine.zone.clone()).or_else(|| known.zone.clone()),
        market: known.market,
        vcpu: known.vcpu,
        gpu: known.gpu,
        rate: interval.and_then(|interval| interval.rate),
        reservation: interval.map_or(Money::ZERO, |interval| interval.reservation),
        intent: known.intent.clone(),
        origin: known.origin,
        launched: known.launched,
        ended: machine.and_then(|machine| machine.ended),
        ends_by: known.max_life.and_then(|life| known.launched.checked_add(life).ok()),
        phase: phase(known, machine, task.is_some()),
        phase_since: now,
        boot: facts.mailboxes.get(&known.id).filter(|_| !known.registered).and_then(boot),
        fault: fault.as_ref().map(|(fault, _)| *fault),
        fault_why: fault.map(|(_, why)| why),
        silent_since: sight.silent_since,
        worker: rows.first().map(|row| row.worker.id.clone()),
        last_report: rows.iter().filter_map(|row| row.worker.last_report).max().map(|at| facts.by_our_clock(at)),
        agents: Agents { all: count.all, present: count.present(), missing_since: sight.missing_since },
        task,
        more_tasks: tasks.collect(),
        registered: known.registered,
        drain: known.drain.clone(),
        hold: known.hold.clone(),
        power: known.power,
        off_outside: off_outside(known, machine, facts),
        // Told by who knows how machines are made now.
        drift: Vec::new(),
        replace: known.replace.clone(),
        no_start_until: sight.no_start_until,
        pod: None,
    }
}

/// That a machine is off which we have neither ended nor switched off.
fn off_outside(known: &KnownInstance, machine: Option<&CloudInstance>, facts: &Facts) -> Option<OffOutside> {
    let machine = machine.filter(|machine| machine.state == CloudState::Stopped)?;
    let mailbox = facts.mailboxes.get(&known.id);
    let for_good = machine.is_interrupted() || mailbox.is_some_and(|mailbox| mailbox.gone().is_some());
    let ours = known.stop_sent.is_some() || known.power != Power::On;
    // A list that is behind shows an earlier time off.
    let since = machine.ended.filter(|since| !ours && *since >= known.launched);
    since.map(|since| OffOutside { since, for_good })
}

/// The step of a boot, and when it was: `init script begun 40s after power-on`.
fn boot(mailbox: &Mailbox) -> Option<String> {
    let (step, seconds) = mailbox.boot()?;
    Some(format!("{step} {} after power-on", Short(SignedDuration::from_secs(seconds.into()))))
}

fn phase(known: &KnownInstance, machine: Option<&CloudInstance>, busy: bool) -> Phase {
    if known.power.is_off() && known.stop_sent.is_none() && !machine.is_some_and(is_ended) {
        return Phase::Stopped;
    }
    if known.stop_sent.is_some() || known.power != Power::On || machine.is_some_and(ends) {
        return Phase::Stopping;
    }
    if known.drain.as_ref().is_some_and(|drain| !drain.cancelled) {
        return Phase::Draining;
    }
    match (known.registered, busy, machine.map(|machine| machine.state)) {
        (_, true, _) => Phase::Busy,
        (true, false, _) => Phase::Idle,
        (false, false, Some(CloudState::Running)) => Phase::Booting,
        (false, false, _) => Phase::Pending,
    }
}

/// What ClearML says of each machine.
struct Said<'a> {
    rows: Rows<'a>,
    /// The task in progress that each of its agents took.
    running: BTreeMap<InstanceId, BTreeMap<Option<u32>, &'a TaskRecord>>,
}

impl<'a> Said<'a> {
    fn new(facts: &'a Facts, settings: &'a Settings) -> Self {
        let mut running: BTreeMap<InstanceId, BTreeMap<Option<u32>, &'a TaskRecord>> = BTreeMap::new();
        for task in facts.tasks.iter().filter(|task| task.status == TaskStatus::InProgress) {
            if let Some(name) = task.last_worker.as_ref().and_then(WorkerName::parse) {
                running.entry(name.instance).or_default().insert(name.agent, task);
            }
        }
        Self { rows: Rows::new(facts, &settings.the_loop.fleet), running }
    }
}

/// By the workers' own rows; where one has gone silent, by the tasks that still name it. The one that began first comes
/// before the others.
fn running_tasks(
    known: &KnownInstance,
    said: &Said<'_>,
    facts: &Facts,
    sight: &Sight,
    now: Timestamp,
) -> Vec<RunningTask> {
    let queue_name = |id| facts.queues.by_id(id).map(|queue| queue.name.clone());
    let live: Vec<_> = said.rows.of(&known.id).iter().filter(|row| row.is_live(facts)).collect();
    let by_row = live.iter().filter_map(|row| row.worker.task.as_ref());
    let by_row = by_row.map(|task| (&task.id, &task.name, &task.queue));
    let unsaid = said.running.get(&known.id).into_iter().flatten();
    let unsaid = unsaid.filter(|(agent, _)| live.iter().all(|row| row.agent != **agent));
    let unsaid = unsaid.map(|(_, task)| (&task.id, &task.name, &task.queue));
    let mut tasks: Vec<RunningTask> = Vec::new();
    for (id, name, queue) in by_row.chain(unsaid) {
        if tasks.iter().all(|task| task.id != *id) {
            let (queue, since) = (queue.as_ref().and_then(queue_name), sight.since(id).unwrap_or(now));
            tasks.push(RunningTask { id: id.clone(), name: name.clone(), queue, since });
        }
    }
    tasks.sort_by_key(|task| task.since);
    tasks
}

pub(super) fn is_ended(machine: &CloudInstance) -> bool {
    matches!(machine.state, CloudState::ShuttingDown | CloudState::Terminated)
}

/// Whether the machine ends or has ended, or is switched off.
pub(in crate::engine) fn ends(machine: &CloudInstance) -> bool {
    !matches!(machine.state, CloudState::Pending | CloudState::Running)
}

/// Machines of our fleet by their tag that neither the ledger nor the list of the gone knows, and those that were thought
/// gone and run. A machine of an open intent is not among them: its intent makes it known.
fn orphans<'a>(
    facts: &'a Facts,
    sights: &'a Sights,
    memory: &'a Memory,
    settings: &'a Settings,
    catalogue: &'a Catalogue,
    now: Timestamp,
) -> impl Iterator<Item = Instance> + 'a {
    let unknown = facts.machines.values().filter(|machine| {
        let intended = machine.tags.intent.as_ref().is_some_and(|intent| memory.intents.contains_key(intent));
        let gone = match memory.gone.get(&machine.id) {
            Some(_) if sights.of(&machine.id).is_gone() => true,
            Some(_) => ends(machine),
            None => sights.of(&machine.id).is_gone(),
        };
        !intended && !memory.known.contains_key(&machine.id) && !gone
    });
    unknown.map(move |machine| orphan(machine, settings, catalogue, now))
}

/// A machine that only the cloud knows.
pub(super) fn orphan(machine: &CloudInstance, settings: &Settings, catalogue: &Catalogue, now: Timestamp) -> Instance {
    let (pool, home) = belongs(machine, settings);
    let listed = || catalogue.size(machine.provider, &machine.machine_type);
    let (vcpu, gpu) = pods::size(machine, &pool, settings).or_else(listed).unwrap_or((0, 0));
    Instance {
        id: machine.id.clone(),
        provider: machine.provider,
        region: machine.region.clone(),
        rate: rate(machine, &pool, settings, catalogue, now),
        pool,
        home,
        machine_type: machine.machine_type.clone(),
        zone: machine.zone.clone(),
        market: machine.market,
        vcpu,
        gpu,
        reservation: Money::ZERO,
        intent: machine.tags.intent.clone(),
        origin: if machine.tags.brought_over { Origin::BroughtOver } else { Origin::Orphan },
        launched: machine.launched,
        ended: machine.ended,
        ends_by: None,
        phase: if ends(machine) { Phase::Stopping } else { Phase::Booting },
        phase_since: now,
        boot: None,
        fault: None,
        fault_why: None,
        silent_since: None,
        worker: None,
        last_report: None,
        agents: Agents::default(),
        task: None,
        more_tasks: Vec::new(),
        // Until its worker is looked for by name, it may have one with a task.
        registered: true,
        drain: None,
        hold: None,
        power: Power::On,
        drift: Vec::new(),
        replace: None,
        off_outside: None,
        no_start_until: None,
        pod: None,
    }
}

/// The pool and home queue of a machine by its tags; what no setting knows keeps the tag's name.
fn belongs(machine: &CloudInstance, settings: &Settings) -> (PoolName, QueueName) {
    let pool = machine.tags.pool.clone().unwrap_or_else(|| PoolName::new("unknown"));
    let home = machine.tags.queue.clone();
    let home = home.or_else(|| settings.queues_of(&pool).next().map(|queue| queue.name.clone()));
    (pool, home.unwrap_or_else(|| QueueName::new("unknown")))
}

/// What a machine costs: as its pool's settings say, else by its type and market.
pub(super) fn rate(
    machine: &CloudInstance,
    pool: &PoolName,
    settings: &Settings,
    catalogue: &Catalogue,
    now: Timestamp,
) -> Option<Rate> {
    if let Some(pool) = settings.pool(pool) {
        return catalogue.offer(pool, &machine.machine_type, machine.market, now).rate;
    }
    let spec = catalogue.spec(machine.provider, &machine.region, &machine.machine_type)?;
    match machine.market {
        Market::OnDemand => spec.on_demand,
        Market::Spot => spec.spot.or(spec.on_demand),
    }
}

fn foreign(facts: &Facts, settings: &Settings) -> Vec<ForeignWorker> {
    let ours: BTreeSet<_> = our_workers(facts, &settings.the_loop.fleet).map(|(_, worker)| worker.id.clone()).collect();
    let served = facts.queues.served(settings);
    let others = facts.workers.iter().filter(|worker| !ours.contains(&worker.id));
    others
        .filter_map(|worker| {
            let queues: Vec<_> =
                worker.queues.iter().filter_map(|id| served.get(id).map(|queue| queue.name.clone())).collect();
            (!queues.is_empty()).then(|| ForeignWorker {
                id: worker.id.clone(),
                queues,
                task: worker.task.as_ref().map(|task| task.id.clone()),
                last_report: worker.last_report.map(|at| facts.by_our_clock(at)),
                fresh: is_fresh(worker, facts),
            })
        })
        .collect()
}

/// Whether a machine that we do not bill is proved gone.
fn is_gone(instance: &InstanceId, sights: &Sights, memory: &Memory) -> bool {
    memory.gone.contains_key(instance) || (!memory.known.contains_key(instance) && sights.of(instance).is_gone())
}

fn ghosts(facts: &Facts, sights: &Sights, memory: &Memory, settings: &Settings) -> Vec<Ghost> {
    our_workers(facts, &settings.the_loop.fleet)
        .filter(|(name, _)| is_gone(&name.instance, sights, memory) || is_surely_off(&name.instance, facts, memory))
        .map(|(name, worker)| Ghost {
            worker: worker.id.clone(),
            instance: name.instance,
            task: worker.task.as_ref().map(|task| task.id.clone()),
            last_report: worker.last_report.map(|at| facts.by_our_clock(at)),
        })
        .collect()
}

/// How long a task must be in no queue, and at how many looks, before it is put back (GUARD.md section 4).
const NOWHERE_FOR: SignedDuration = SignedDuration::from_secs(90);
const NOWHERE_LOOKS: u32 = 2;

fn strays(facts: &Facts, sights: &Sights, memory: &Memory, settings: &Settings, now: Timestamp) -> Vec<Stray> {
    let served = facts.queues.served(settings);
    let name_of = |id| served.get(id).map(|queue| queue.name.clone());
    let mut strays = Vec::new();
    for task in &facts.tasks {
        let Some(queue) = task.queue.as_ref().and_then(name_of) else { continue };
        match task.status {
            TaskStatus::InProgress if !memory.requeueing.contains_key(&task.id) => {
                let worker = task.last_worker.as_ref().filter(|worker| {
                    WorkerName::parse(worker).is_some_and(|name| {
                        let ours = name.fleet == settings.the_loop.fleet || memory.gone.contains_key(&name.instance);
                        let gone = ours && is_gone(&name.instance, sights, memory);
                        gone && word::is_fresh(&name.instance, facts, sights, memory)
                    })
                });
                if let Some(worker) = worker
                    && let Some(name) = WorkerName::parse(worker)
                {
                    strays.push(Stray::OfGoneMachine {
                        task: task.id.clone(),
                        name: task.name.clone(),
                        queue,
                        worker: worker.clone(),
                        instance: name.instance,
                        started: task.started,
                        requeues: memory.requeues_of(&task.id),
                    });
                }
            }
            TaskStatus::Queued => {
                let changed = task.status_changed.is_some_and(|at| now.duration_since(at) > NOWHERE_FOR);
                let seen = sights.nowhere(&task.id);
                let lasts =
                    |seen: &Nowhere| seen.looks >= NOWHERE_LOOKS && seen.last.duration_since(seen.since) > NOWHERE_FOR;
                if let Some(Nowhere { since, .. }) = seen.filter(lasts)
                    && changed
                {
                    strays.push(Stray::QueuedNowhere { task: task.id.clone(), name: task.name.clone(), queue, since });
                }
            }
            _ => {}
        }
    }
    strays.extend(stopped_by_machines(facts, sights, memory, settings));
    strays
}

/// Tasks that machines which are gone stopped and meant to enqueue again, by their mailboxes.
fn stopped_by_machines<'a>(
    facts: &'a Facts,
    sights: &'a Sights,
    memory: &'a Memory,
    settings: &'a Settings,
) -> impl Iterator<Item = Stray> + 'a {
    facts.mailboxes.values().flat_map(move |mailbox| {
        mailbox.requeues().filter_map(move |(task, queue)| {
            let queue = facts.queues.by_id(&queue).map(|queue| queue.name.clone())?;
            let ours = settings.queue(&queue).is_some() && is_gone(&mailbox.instance, sights, memory);
            let requeues = memory.requeues_of(&task);
            let open = ours && !memory.requeueing.contains_key(&task);
            open.then(|| Stray::StoppedByMachine { task, queue, instance: mailbox.instance.clone(), requeues })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::seen::example::Fleet;
    use crate::model::instance::{Drain, DrainCause, Fault};
    use crate::model::record::Record;
    use crate::model::settings::GuardKind;

    fn drain(cancelled: bool) -> Record {
        let drain = Drain {
            nonce: "n".to_owned(),
            cause: DrainCause::Surplus,
            by: "ann".into(),
            ordered: Timestamp::UNIX_EPOCH,
            acknowledged: None,
            cancelled,
            held: false,
            end_asked: None,
        };
        Record::DrainSet { instance: "i-1".into(), drain: Some(drain) }
    }

    #[test]
    fn phases_follow_the_cloud_then_orders_then_the_worker() {
        let stop = || Record::StopSent { instance: "i-1".into(), at: Timestamp::UNIX_EPOCH };
        let registered = || Record::Registered("i-1".into());
        for (state, records, task, phase) in [
            (CloudState::Pending, vec![], None, Phase::Pending),
            (CloudState::Running, vec![], None, Phase::Booting),
            (CloudState::Running, vec![registered()], None, Phase::Idle),
            (CloudState::Running, vec![registered()], Some("t"), Phase::Busy),
            (CloudState::Running, vec![registered(), drain(false)], Some("t"), Phase::Draining),
            (CloudState::Running, vec![registered(), drain(true)], Some("t"), Phase::Busy),
            (CloudState::Running, vec![registered(), stop()], Some("t"), Phase::Stopping),
            (CloudState::ShuttingDown, vec![registered()], Some("t"), Phase::Stopping),
            (CloudState::Terminated, vec![registered(), drain(false)], None, Phase::Stopping),
        ] {
            let mut fleet = Fleet::new().machine("i-1", state, 3).known().worker(task);
            for record in &records {
                fleet.memory.apply(record);
            }
            fleet.look();
            let seen = fleet.instance("i-1").unwrap();
            assert_eq!(seen.phase, phase, "{state:?} {records:?} {task:?}");
            assert_eq!(seen.task.map(|task| task.id.to_string()).as_deref(), task);
        }
    }

    #[test]
    fn a_machine_that_was_just_launched_is_pending_whether_listed_or_not() {
        let mut fleet = Fleet::new().machine("i-1", CloudState::Pending, 0).known();
        fleet.machines.clear();
        fleet.look();
        assert_eq!(fleet.instance("i-1").map(|one| (one.phase, one.fault)), Some((Phase::Pending, None)));
    }

    #[test]
    fn faults_need_a_source_that_speaks() {
        let registered = |fleet: &mut Fleet| fleet.memory.apply(&Record::Registered("i-1".into()));
        let running = |minutes| Fleet::new().machine("i-1", CloudState::Running, minutes).known();
        let plain = [
            ("boots", running(9), None),
            ("boots for too long", running(11), Some(Fault::Stuck)),
            ("works", running(30).worker(None).with(registered), None),
            ("has no row any more", running(30).with(registered), Some(Fault::Lost)),
        ];
        let others = [
            (
                "is silent",
                running(30).worker(None).with(registered).with(|fleet| {
                    fleet.workers[0].last_report = Some(fleet.now - SignedDuration::from_secs(91));
                }),
                Some(Fault::Lost),
            ),
            (
                "registered a moment ago",
                running(30).worker(None).with(registered).with(|fleet| fleet.workers[0].last_report = None),
                None,
            ),
            (
                "is taken back",
                running(30).worker(None).with(registered).with(|fleet| {
                    fleet.last().state = CloudState::ShuttingDown;
                    fleet.last().state_reason = Some("Server.SpotInstanceTermination: Spot".to_owned());
                }),
                Some(Fault::Interrupted),
            ),
            (
                "was ended by another",
                running(30).worker(None).with(registered).with(|fleet| fleet.last().state = CloudState::Terminated),
                Some(Fault::StoppedOutside),
            ),
        ];
        for (what, fleet, fault) in plain.into_iter().chain(others) {
            let mut fleet = fleet;
            fleet.look();
            assert_eq!(fleet.instance("i-1").unwrap().fault, fault, "{what}");
            // However old the look is, it does not say more than it said.
            fleet.now += SignedDuration::from_mins(20);
            if fault != Some(Fault::Stuck) && what != "boots" {
                assert_eq!(fleet.instance("i-1").unwrap().fault, fault, "{what}, 20 minutes later");
            }
        }
    }

    #[test]
    fn what_is_off_is_off_outside_unless_we_did_that() {
        let off = |change: &dyn Fn(&mut Fleet)| {
            let mut fleet = Fleet::new().machine("i-1", CloudState::Stopped, 30).known();
            fleet.last().ended = Some(fleet.now);
            change(&mut fleet);
            fleet.look();
            fleet.instance("i-1").unwrap().off_outside.map(|off| off.for_good)
        };
        let record = |record: Record| move |fleet: &mut Fleet| fleet.memory.apply(&record);
        let (instance, at) = (InstanceId::from("i-1"), Timestamp::UNIX_EPOCH);
        assert_eq!(off(&|_| ()), Some(false));
        assert_eq!(
            off(&|fleet| fleet.last().state_reason = Some("compute.instances.preempted".to_owned())),
            Some(true)
        );
        assert_eq!(off(&record(Record::StopSent { instance: instance.clone(), at })), None);
        assert_eq!(off(&record(Record::PowerSet { instance, power: Power::SwitchingOff { at } })), None);
        assert_eq!(off(&|fleet| fleet.last().ended = None), None, "nobody says since when");
        assert_eq!(off(&|fleet| fleet.last().ended = Some(at)), None, "that was before its last start");
        assert_eq!(off(&|fleet| fleet.last().state = CloudState::Terminated), None);
    }

    #[test]
    fn a_worker_does_not_pull_when_the_first_task_of_its_queue_stays_first() {
        let mut fleet = Fleet::new().machine("i-1", CloudState::Running, 30).known().worker(None);
        fleet.live(0);
        let fault = |fleet: &Fleet| fleet.instance("i-1").unwrap().fault;
        fleet.waiting = vec!["a", "b"];
        for _ in 0..4 {
            fleet.live(12);
            assert_eq!(fault(&fleet), None);
        }
        fleet.live(12);
        assert_eq!(fault(&fleet), Some(Fault::NotPulling));
        // Somebody takes the first: the queue moves, and b waits its turn.
        fleet.waiting = vec!["b"];
        for _ in 0..3 {
            fleet.live(12);
            assert_eq!(fault(&fleet), None);
        }
        fleet.workers[0].task =
            Some(crate::model::observed::ObservedTask { id: "b".into(), name: String::new(), queue: None });
        for _ in 0..9 {
            fleet.live(12);
            assert_eq!(fault(&fleet), None);
        }
    }

    #[test]
    fn a_worker_whose_mailbox_somebody_deleted_does_not_pull() {
        let mut fleet = Fleet::new().machine("i-1", CloudState::Running, 30).known().worker(None);
        fleet.live(0);
        assert_eq!(fleet.instance("i-1").unwrap().fault, None, "it has made none yet");
        fleet.mail("");
        fleet.live(10);
        assert_eq!(fleet.instance("i-1").unwrap().fault, None);
        fleet.mailboxes.clear();
        fleet.live(10);
        assert_eq!(fleet.instance("i-1").unwrap().fault, Some(Fault::NotPulling));
        // A gate finds another by its name, an agent without one does not.
        for (guard, remedy) in [(GuardKind::Gate, "until a drain makes another"), (GuardKind::Hold, "stop it by hand")]
        {
            fleet.settings.pools[0].guard = guard;
            let why = fleet.instance("i-1").unwrap().fault_why.unwrap();
            assert!(why.contains("drain:i-1 was deleted") && why.ends_with(remedy), "{why}");
        }
    }

    #[test]
    fn a_booting_machine_says_how_far_it_has_come_until_its_worker_is_seen() {
        for (said, shown) in [
            (Some("init script begun 40"), Some("init script begun 40s after power-on")),
            (Some("no number"), None),
            (Some(""), None),
            (None, None),
        ] {
            let mut fleet = Fleet::new().machine("i-1", CloudState::Running, 1).known();
            let metadata = said.map(|said| ("boot".to_owned(), said.to_owned())).into_iter().collect();
            let created = fleet.now;
            fleet.mailboxes = vec![Mailbox { queue: "m".into(), instance: "i-1".into(), created, metadata }];
            fleet.live(0);
            assert_eq!(fleet.snapshot().instances[0].boot.as_deref(), shown, "{said:?}");
            let mut fleet = fleet.worker(None);
            fleet.live(10);
            assert_eq!(fleet.snapshot().instances[0].boot, None);
        }
    }

    #[test]
    fn a_machine_with_our_tag_is_an_orphan_unless_it_is_intended_known_or_gone() {
        let orphan = |mut fleet: Fleet| {
            fleet.look();
            fleet.snapshot().instances.into_iter().find(|one| one.ledger_unknown(&fleet.memory))
        };
        let running = || Fleet::new().machine("i-1", CloudState::Running, 30);
        let found = orphan(running()).unwrap();
        // Nobody knows yet whether it has a task.
        assert!(found.may_have_task() && found.origin == Origin::Orphan);
        assert_eq!(found.rate, Some(Rate::from_micros_per_hour(1_000_000)));
        assert!(orphan(running().known()).is_none());
        let intended = running().with(|fleet| {
            let intent = crate::engine::seen::example::intent("b.0", fleet.now);
            fleet.last().tags.intent = Some(intent.id.clone());
            fleet.memory.apply(&Record::IntentOpened(intent));
        });
        assert!(orphan(intended).is_none());
        let gone = |fleet: &mut Fleet| fleet.memory.apply(&Record::Gone { instance: "i-1".into(), at: fleet.now });
        assert!(orphan(running().with(gone)).is_some(), "it runs, whatever was thought");
        let ended = || Fleet::new().machine("i-1", CloudState::Terminated, 30);
        assert!(orphan(ended().with(gone)).is_none());
        // One that ended before anyone knew it takes a place until that is proved.
        let mut fleet = ended();
        fleet.look();
        assert_eq!(fleet.snapshot().instances.len(), 1);
        fleet.pass(10);
        fleet.look();
        assert_eq!(fleet.snapshot().instances, []);
    }

    #[test]
    fn a_machine_that_was_brought_over_is_known_by_its_worker_s_id_whatever_that_is_called() {
        let theirs = |brought_over: bool| {
            let mut fleet = Fleet::new().machine("i-1", CloudState::Running, 30).worker(Some("t"));
            fleet.workers[0].id = "dynamic_worker:g5:g5.xlarge:i-1".into();
            fleet.last().tags.brought_over = brought_over;
            let opened = {
                fleet.look();
                let found = fleet.instance("i-1").unwrap();
                crate::engine::seen::adopt::adopted(
                    &found,
                    true,
                    found.launched,
                    &fleet.settings,
                    &fleet.catalogue,
                    fleet.now,
                )
            };
            fleet.memory.apply(&Record::Opened(Box::new(opened)));
            fleet.look();
            (fleet.instance("i-1").unwrap(), fleet.snapshot().foreign.len())
        };
        let (seen, foreign) = theirs(true);
        assert_eq!((seen.origin, seen.phase, seen.fault, foreign), (Origin::BroughtOver, Phase::Busy, None, 0));
        assert!(seen.worker.is_some() && seen.task.is_some());
        let (seen, foreign) = theirs(false);
        assert_eq!((seen.origin, seen.worker, foreign), (Origin::Orphan, None, 1), "another's name proves nothing");
    }

    #[test]
    fn a_worker_is_a_ghost_when_its_machine_is_proved_gone() {
        let mut fleet = Fleet::new().machine("i-1", CloudState::Running, 30).known().worker(None);
        fleet.live(0);
        assert_eq!(fleet.snapshot().ghosts, []);
        fleet.last().state = CloudState::Terminated;
        fleet.live(10);
        assert_eq!(fleet.snapshot().ghosts, []);
        fleet.live(10);
        assert_eq!(fleet.snapshot().ghosts.len(), 1);
    }

    #[test]
    fn strays_are_tasks_of_gone_machines_and_tasks_long_in_no_queue() {
        let mut fleet = Fleet::new().machine("i-1", CloudState::Running, 30).known().worker(Some("t"));
        fleet.tasks = vec![
            Fleet::task("t", TaskStatus::InProgress, Some("i-1")),
            Fleet::task("nowhere", TaskStatus::Queued, None),
            Fleet::task("waits", TaskStatus::Queued, None),
        ];
        fleet.waiting = vec!["waits"];
        let strays = |fleet: &Fleet| {
            let id = |stray: &Stray| match stray {
                Stray::OfGoneMachine { task, .. }
                | Stray::StoppedByMachine { task, .. }
                | Stray::QueuedNowhere { task, .. } => task.to_string(),
            };
            fleet.snapshot().strays.iter().map(id).collect::<Vec<_>>()
        };
        fleet.live(0);
        for _ in 0..9 {
            fleet.live(10);
            assert_eq!(strays(&fleet), Vec::<String>::new());
        }
        fleet.live(10);
        assert_eq!(strays(&fleet), ["nowhere"]);
        fleet.last().state = CloudState::Terminated;
        fleet.workers.clear();
        fleet.live(10);
        fleet.live(10);
        assert_eq!(strays(&fleet), ["t", "nowhere"]);
        // An agent that has it in hand, or a queue that has it again: nothing to do.
        fleet.waiting = vec!["waits", "nowhere"];
        fleet.live(10);
        assert_eq!(strays(&fleet), ["t"]);
        // A look that began it anew: two are needed again, however long ago the first was.
        fleet.waiting = vec!["waits"];
        fleet.live(10);
        fleet.now += SignedDuration::from_mins(5);
        assert_eq!(strays(&fleet), ["t"]);
    }

    #[test]
    fn a_queue_that_is_not_there_names_the_nearest_that_is() {
        let mut fleet = Fleet::new();
        fleet.settings.queues[0].name = "trains".into();
        fleet.look();
        let queue = fleet.snapshot().queues.remove(0);
        assert_eq!((queue.id, queue.nearest), (None, Some("train".into())));
    }

    impl Instance {
        fn ledger_unknown(&self, memory: &Memory) -> bool {
            !memory.known.contains_key(&self.id)
        }
    }
}
