//! Pods as machines: each has one task from its beginning to its end, whatever a worker of its says.

use jiff::{SignedDuration, Timestamp};

use crate::engine::seen::facts::{Facts, Fresh, Region};
use crate::engine::seen::join::is_ended;
use crate::engine::seen::node_price::on_its_node;
use crate::engine::seen::notice::Known;
use crate::engine::words::line;
use crate::model::account::Owner;
use crate::model::attempt::{Attempt, Pod, Told, waits_for};
use crate::model::ids::PoolName;
use crate::model::instance::{Agents, Instance, Phase, RunningTask};
use crate::model::journal::EntryKind;
use crate::model::ledger::{Interval, Share};
use crate::model::observed::{CloudInstance, CloudState, TaskRecord, TaskStatus};
use crate::model::record::{KnownInstance, Memory, Opened, Record};
use crate::model::settings::{Provider, Settings};
use crate::model::waste::Standing;

/// A task that was just put there is another look's.
const STRANDED_AFTER: SignedDuration = SignedDuration::from_secs(90);

/// What a pod shows of itself, in the place of a machine's worker.
pub(super) fn as_pod(seen: Instance, known: &KnownInstance, facts: &Facts, memory: &Memory) -> Instance {
    let machine = facts.machines.get(&known.id);
    let pod = machine.and_then(|machine| machine.pod.as_ref());
    let attempt = memory.attempts.get(&known.id);
    let record = attempt.and_then(|attempt| facts.attempts.get(&attempt.task)?.as_ref());
    let runs = record.is_some_and(|record| record.status == TaskStatus::InProgress);
    let phase = match machine.map(|machine| machine.state) {
        Some(CloudState::Running) if seen.phase != Phase::Stopping => {
            if runs {
                Phase::Busy
            } else {
                Phase::Booting
            }
        }
        Some(CloudState::Pending) | None if seen.phase != Phase::Stopping => Phase::Pending,
        _ => Phase::Stopping,
    };
    Instance {
        phase,
        boot: pod.map(Pod::told),
        fault: None,
        fault_why: None,
        silent_since: None,
        agents: Agents::default(),
        task: attempt.map(|attempt| running(attempt, record)),
        more_tasks: Vec::new(),
        no_start_until: None,
        // Its Job has a time of its own.
        ends_by: None,
        pod: pod.map(|pod| Pod { story: told(pod, record), ..pod.clone() }),
        ..seen
    }
}

/// What happened to the pod, with what ClearML says of its task.
fn told(pod: &Pod, record: Option<&TaskRecord>) -> Vec<Told> {
    let mut story = pod.story.clone();
    if let Some(record) = record {
        let told = |at: Timestamp, what: String| Told { at, by: "ClearML".to_owned(), what };
        story.extend(record.started.map(|at| told(at, "its agent began the task".to_owned())));
        let reason = Some(record.status_reason.as_str()).filter(|reason| !reason.is_empty());
        let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        let now = record.status_changed.map(|at| told(at, format!("the task is {}{reason}", record.status.word())));
        story.extend(now);
        story.sort();
    }
    story
}

fn running(attempt: &Attempt, record: Option<&TaskRecord>) -> RunningTask {
    RunningTask {
        id: attempt.task.clone(),
        name: record.map_or_else(|| attempt.task.to_string(), |record| record.name.clone()),
        queue: Some(attempt.queue.clone()),
        since: record.and_then(|record| record.started).map_or(attempt.opened, |at| at.max(attempt.opened)),
    }
}

/// vCPUs and GPUs of a pod, as its pool has them now.
pub(super) fn size(machine: &CloudInstance, pool: &PoolName, settings: &Settings) -> Option<(u32, u32)> {
    machine.pod.as_ref()?;
    let cluster = &settings.pool(pool)?.launch.kubernetes;
    Some((cluster.vcpu(), cluster.gpus.unwrap_or_default()))
}

/// Whether the pod has a node only now: until then it cost nothing.
pub(super) fn begins(shown: &CloudInstance, interval: &Interval) -> bool {
    shown.pod.is_some() && shown.launched > interval.start
}

/// Its bill begins with its node. What was set aside for it stays so: until then the time that it waited counted as spent.
pub(super) fn billed(
    known: &Known<'_>,
    machine: &KnownInstance,
    shown: &CloudInstance,
    interval: &Interval,
) -> [Record; 2] {
    let Known { facts, settings, catalogue, now, .. } = known;
    let share = Share::boot(shown.launched, machine.home.clone());
    let rate = on_its_node(shown, settings.pool(&machine.pool), &facts.clusters, catalogue, *now).or(interval.rate);
    let bill = Interval { start: shown.launched, rate, shares: vec![share], ..interval.clone() };
    let opened = Opened { known: machine.clone(), interval: bill };
    [Record::Closed { instance: machine.id.clone(), end: interval.start }, Record::Opened(Box::new(opened))]
}

/// Whose money the pod's time is: its task's, once that runs.
pub(super) fn charged(known: &Known<'_>, machine: &KnownInstance) -> Vec<Record> {
    let Known { facts, memory, now, .. } = known;
    let Some(interval) = memory.ledger.open().get(&machine.id) else { return Vec::new() };
    let (Some(attempt), Some(charged)) = (memory.attempts.get(&machine.id), interval.shares.last()) else {
        return Vec::new();
    };
    let record = facts.attempts.get(&attempt.task).and_then(Option::as_ref);
    let runs = record.is_some_and(|record| record.status == TaskStatus::InProgress);
    let from = (*now).max(interval.start).max(charged.from);
    let share = |task, owner, standing| Share { from, queue: attempt.queue.clone(), task, owner, standing };
    let charge = |share| Record::Charged { instance: machine.id.clone(), share };
    match (&charged.task, runs) {
        (None, true) => {
            vec![charge(share(Some(attempt.task.clone()), attempt.owner.clone(), charged.standing))]
        }
        (Some(_), false) => {
            let duration = now.duration_since(charged.from).max(jiff::SignedDuration::ZERO);
            let took = Record::TaskTook { queue: attempt.queue.clone(), duration };
            vec![took, charge(share(None, Owner::default(), Standing::Idle))]
        }
        _ => Vec::new(),
    }
}

/// Attempts of which nobody remembers the beginning: their Jobs say what they are for.
pub(super) fn found(known: &Known<'_>) -> Vec<Record> {
    let Known { facts, memory, now, .. } = known;
    let mut records = Vec::new();
    for machine in facts.machines.values().filter(|machine| machine.provider == Provider::Kubernetes) {
        let Some(pod) = &machine.pod else { continue };
        let is_over = memory.known.contains_key(&machine.id) && is_ended(machine);
        if is_over || memory.attempts.contains_key(&machine.id) || memory.gone.contains_key(&machine.id) {
            continue;
        }
        let attempt = Attempt {
            instance: machine.id.clone(),
            task: pod.task.clone(),
            queue: pod.queue.clone(),
            number: pod.number,
            pool: machine.tags.pool.clone().unwrap_or_else(|| PoolName::new("unknown")),
            intent: machine.tags.intent.clone(),
            owner: Owner::default(),
            opened: *now,
        };
        let text = format!("{} is attempt {} at task {}", machine.id, pod.number, pod.task);
        records.extend([Record::AttemptOpened(Box::new(attempt)), line(*now, EntryKind::Seen, text).record()]);
    }
    records
}

/// Tasks that wait for pods of ours of which there is nothing, here or in the cluster: their Jobs were deleted while nobody
/// looked, and what was remembered of them is lost. Each becomes an attempt whose Job is gone: its task is put back.
pub(super) fn stranded(known: &Known<'_>, fresh: &Fresh) -> Vec<Record> {
    let Known { facts, memory, settings, now, .. } = known;
    let clusters = settings.pools.iter().filter(|pool| pool.provider == Provider::Kubernetes);
    let all_seen = clusters.into_iter().all(|pool| fresh.saw(&Region { provider: pool.provider, name: pool.site() }));
    if !fresh.clearml || !all_seen {
        return Vec::new();
    }
    let mut records = Vec::new();
    for task in &facts.waiting {
        let Some((instance, fleet, queue)) = waits_for(&task.status_reason) else { continue };
        let there = facts.machines.contains_key(&instance) || memory.known.contains_key(&instance);
        let tried = memory.attempts.values().any(|attempt| attempt.task == task.id);
        let waited = task.status_changed.map_or(SignedDuration::ZERO, |since| now.duration_since(since));
        if fleet != settings.the_loop.fleet || there || tried || waited < STRANDED_AFTER {
            continue;
        }
        let pools = settings.queue(&queue).map(|queue| queue.pools.as_slice()).unwrap_or_default();
        let is_cluster =
            |pool: &&PoolName| settings.pool(pool).is_some_and(|pool| pool.provider == Provider::Kubernetes);
        let (Some(pool), Some(number)) = (pools.iter().find(is_cluster), Attempt::number_in(&instance, &task.id))
        else {
            continue;
        };
        let attempt = Attempt {
            task: task.id.clone(),
            queue,
            number,
            pool: pool.clone(),
            intent: None,
            owner: Owner::default(),
            opened: *now,
            instance,
        };
        let text = format!("task {} waits for pod {}, of which there is nothing", attempt.task, attempt.instance);
        records.extend([Record::AttemptOpened(Box::new(attempt)), line(*now, EntryKind::Alarm, text).record()]);
    }
    records
}
