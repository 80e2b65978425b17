//! Pods as machines: each has one task from its beginning to its end, whatever a worker of its says.

use crate::engine::seen::facts::Facts;
use crate::engine::seen::join::is_ended;
use crate::engine::seen::notice::Known;
use crate::engine::words::line;
use crate::model::account::Owner;
use crate::model::attempt::{Attempt, Pod};
use crate::model::ids::PoolName;
use crate::model::instance::{Agents, Instance, Phase, RunningTask};
use crate::model::journal::EntryKind;
use crate::model::ledger::{Interval, Share};
use crate::model::observed::{CloudInstance, CloudState, TaskRecord, TaskStatus};
use crate::model::record::{KnownInstance, Memory, Opened, Record};
use crate::model::settings::{Provider, Settings};
use crate::model::waste::Standing;

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
        ..seen
    }
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
pub(super) fn billed(machine: &KnownInstance, shown: &CloudInstance, interval: &Interval) -> [Record; 2] {
    let share = Share::boot(shown.launched, machine.home.clone());
    let bill = Interval { start: shown.launched, shares: vec![share], ..interval.clone() };
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
