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
use crate::model::settings::{PoolSettings, Provider, Settings};
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
        ends_by: pod.and_then(|pod| pod.ends_by),
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
        story.sort_by_key(|line| line.at);
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

/// Attempts that are dated later than now: the clock was set back since. Each would wait until it comes there again.
pub(super) fn set_back(known: &Known<'_>) -> impl Iterator<Item = Record> {
    let now = known.now;
    let ahead = known.memory.attempts.values().filter(move |attempt| attempt.opened > now);
    ahead.map(move |attempt| Record::AttemptOpened(Box::new(Attempt { opened: now, ..attempt.clone() })))
}

/// vCPUs and GPUs of a pod, as its pool has them now.
pub(super) fn size(machine: &CloudInstance, pool: &PoolName, settings: &Settings) -> Option<(u32, u32)> {
    machine.pod.as_ref()?;
    let cluster = &settings.pool(pool)?.launch.kubernetes;
    Some((cluster.vcpu(), cluster.gpus.unwrap_or_default()))
}

/// Whether the pod has a node only now: until then it cost nothing.
pub(super) fn begins(shown: &CloudInstance, interval: &Interval) -> bool {
    let ran = shown.ended.is_some_and(|ended| ended > shown.launched);
    let has_begun = shown.state == CloudState::Running || ran || shown.launched > interval.start;
    shown.pod.is_some() && interval.waits() && has_begun
}

/// Its bill begins with its node. What was set aside for it stays so.
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
    if interval.waits() {
        return Vec::new();
    }
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
            queue_id: pod.queue_id.clone().or_else(|| Some(facts.queues.named(&pod.queue)?.id.clone())),
            pending: pod.pending.clone(),
            number: pod.number,
            pool: machine.tags.pool.clone().unwrap_or_else(|| PoolName::new("unknown")),
            site: Some(machine.region.clone()),
            intent: machine.tags.intent.clone(),
            owner: Owner::default(),
            opened: *now,
            goes_back: None,
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
        let number = Attempt::number_in(&instance, &task.id);
        let home = facts.queues.named(&queue).map(|queue| queue.id.clone());
        let (Some(pool), Some(number), Some(home)) = (pools.iter().find(is_cluster), number, home) else { continue };
        let attempt = Attempt {
            task: task.id.clone(),
            queue_id: Some(home),
            // What is written on it says that it waits for this pod, wherever that is.
            pending: None,
            queue,
            number,
            pool: pool.clone(),
            site: settings.pool(pool).map(PoolSettings::site),
            intent: None,
            owner: Owner::default(),
            opened: *now,
            goes_back: None,
            instance,
        };
        let text = format!("task {} waits for pod {}, of which there is nothing", attempt.task, attempt.instance);
        records.extend([Record::AttemptOpened(Box::new(attempt)), line(*now, EntryKind::Alarm, text).record()]);
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::seen::example::{Fleet, intent};
    use crate::engine::seen::sight::Sights;
    use crate::model::attempt::{Asks, PodState};
    use crate::model::money::Money;
    use crate::model::record::{Intent, IntentEnd};

    const TASK: &str = "9d1f0c2b3a4e5f60718293a4b5c6d7e8";
    /// As Jobs are called: of those no minimum is billed.
    const POD: &str = "clearml-9d1f0c2b3a4e5f60718293a4b5c6d7e8-1";

    fn of_cluster(id: &str, opened: Timestamp) -> Record {
        let (provider, region) = (Provider::Kubernetes, "current/ml".to_owned());
        Record::IntentOpened(Intent { provider, region, ..intent(id, opened) })
    }

    /// A Job that was made just now, for the intent `b.0`.
    fn waiting() -> Fleet {
        let mut fleet = Fleet::new().machine(POD, CloudState::Pending, 0);
        let opened = fleet.now;
        fleet.memory.apply(&of_cluster("b.0", opened));
        let machine = fleet.last();
        (machine.provider, machine.region) = (Provider::Kubernetes, "current/ml".to_owned());
        machine.tags.intent = Some("b.0".into());
        machine.pod = Some(Pod {
            task: TASK.into(),
            queue: "train".into(),
            queue_id: Some("q-train".into()),
            pending: Some("k8s_one".into()),
            number: 1,
            held: false,
            state: PodState::Unschedulable,
            why: String::new(),
            node: None,
            ends_by: None,
            asks: Asks::default(),
            story: Vec::new(),
        });
        fleet.live(0);
        fleet
    }

    fn money(fleet: &Fleet) -> (Money, Money) {
        let set_aside = fleet.memory.ledger.running().map(|interval| interval.committed(fleet.now)).sum();
        (fleet.memory.ledger.total(fleet.now), set_aside)
    }

    const fn micros(micros: i64) -> Money {
        Money::from_micros(micros)
    }

    #[test]
    fn what_is_set_aside_for_a_pod_is_spent_from_when_it_has_a_node() {
        let mut fleet = waiting();
        fleet.live(3_600);
        assert_eq!(money(&fleet), (micros(0), micros(2_000_000)), "an hour of waiting costs nothing");
        let now = fleet.now;
        (fleet.last().state, fleet.last().launched) = (CloudState::Running, now);
        fleet.live(36);
        assert_eq!(money(&fleet), (micros(10_000), micros(1_990_000)), "$1 an hour for 36 s");
        let end = fleet.now;
        (fleet.last().state, fleet.last().ended) = (CloudState::Terminated, Some(end));
        fleet.live(3_600);
        assert_eq!(money(&fleet), (micros(10_000), micros(0)));
    }

    #[test]
    fn a_pod_that_began_and_ended_between_two_looks_is_billed_for_that() {
        for (seconds, spent) in [(36, 10_000), (0, 0)] {
            let mut fleet = waiting();
            let end = fleet.last().launched + SignedDuration::from_secs(seconds);
            (fleet.last().state, fleet.last().ended) = (CloudState::Terminated, Some(end));
            for _ in 0..3 {
                fleet.live(60);
            }
            assert_eq!(money(&fleet), (micros(spent), micros(0)), "{seconds} s");
            assert!(fleet.memory.known.is_empty() && fleet.memory.ledger.open().is_empty());
        }
    }

    #[test]
    fn a_pod_of_which_nothing_was_remembered_is_billed_from_its_start() {
        let mut fleet = waiting();
        fleet.memory = Memory::default();
        let start = fleet.now;
        (fleet.last().state, fleet.last().launched) = (CloudState::Running, start);
        let fresh = fleet.look();
        let orphan = fleet.instance(POD).unwrap();
        let adopted = crate::engine::seen::adopt::adopted(
            &orphan,
            false,
            orphan.launched,
            &fleet.settings,
            &fleet.catalogue,
            fleet.now,
        );
        assert!(fresh.clearml && adopted.interval.waits());
        fleet.memory.apply(&Record::Opened(Box::new(adopted)));
        fleet.live(10);
        let bill = fleet.memory.ledger.of(&POD.into()).unwrap();
        assert_eq!((bill.start, bill.waits()), (start, false));
    }

    #[test]
    fn a_job_that_an_earlier_loop_meant_to_make_is_given_up_by_the_first_listing_without_it() {
        let ends = |records: &[Record]| {
            let ended = |record: &Record| matches!(record, Record::IntentClosed { end: IntentEnd::NeverAppeared, .. });
            records.iter().any(ended)
        };
        let mut fleet = Fleet::new();
        let opened = fleet.now - SignedDuration::from_secs(2);
        fleet.memory.apply(&of_cluster("b.0", opened));
        assert!(!ends(&fleet.live(0)), "its call may still be under way there");
        assert!(ends(&fleet.live(10)));
        // One of our own whose answer was lost is waited for: the API server may be slow.
        let opened = fleet.now;
        fleet.memory.apply(&of_cluster("b.1", opened));
        assert!(!ends(&fleet.live(60)) && !ends(&fleet.live(59)));
        assert!(!ends(&fleet.live(10)) && !ends(&fleet.live(10)) && ends(&fleet.live(10)));
    }

    #[test]
    fn an_attempt_of_before_the_clock_was_set_back_is_of_now() {
        let mut fleet = waiting();
        fleet.live(0);
        let before = fleet.memory.attempts.values().next().cloned().unwrap();
        let told = fleet.live(-3_600);
        let expected = Attempt { opened: fleet.now, ..before };
        assert!(told.contains(&Record::AttemptOpened(Box::new(expected.clone()))), "{told:?}");
        assert_eq!(fleet.memory.attempts.into_values().collect::<Vec<_>>(), [expected]);
    }

    #[test]
    fn a_pod_whose_job_was_deleted_while_no_loop_ran_is_proved_gone_within_a_minute() {
        let gone = |records: &[Record]| records.iter().any(|record| matches!(record, Record::Gone { .. }));
        for (is_inherited, seconds) in [(true, 40), (false, 150)] {
            let mut fleet = waiting();
            fleet.now += SignedDuration::from_secs(30);
            (fleet.sights, fleet.facts) = (Sights::default(), Facts::default());
            fleet.machines.clear();
            assert!(!gone(&fleet.live(0)) && !fleet.memory.attempts.is_empty());
            if !is_inherited {
                // One of our own: its Job may be late in our listings.
                let attempt = fleet.memory.attempts.values().next().cloned().unwrap();
                let opened = fleet.now;
                fleet.memory.apply(&Record::AttemptOpened(Box::new(Attempt { opened, ..attempt })));
            }
            let looks = (1..=60).find(|_| gone(&fleet.live(10)));
            assert_eq!(looks, Some(seconds / 10), "{is_inherited}");
        }
    }
}
