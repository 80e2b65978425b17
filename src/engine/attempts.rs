//! Tries at tasks on a cluster are carried through here, by what [`attempt::next`](crate::plan::attempt::next) says of each.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use crate::engine::act::deed::Deed;
use crate::engine::act::pods::{Try, of_attempt};
use crate::engine::run::Loop;
use crate::engine::seen::facts::{Facts, Region};
use crate::engine::seen::sight::{Sights, TERMINATED_PROOFS};
use crate::engine::words::line;
use crate::model::attempt::{Attempt, Pod, lost_reason, waits_reason};
use crate::model::ids::{IntentId, QueueId, QueueName};
use crate::model::journal::EntryKind;
use crate::model::observed::{CloudInstance, CloudState, ObservedQueue, TaskRecord, TaskStatus};
use crate::model::reason::counted;
use crate::model::record::{Memory, Record};
use crate::model::settings::kubernetes::PENDING_QUEUE;
use crate::model::settings::{OnLost, Provider, Settings};
use crate::model::span::Short;
use crate::plan::attempt::{Job, Seen, Step, Task, next};
use crate::world::tracker::PodPlace;

/// A queue that no look has shown for so long since its task's pod went is gone, and not between two pages of a list.
const QUEUE_GONE_AFTER: SignedDuration = SignedDuration::from_mins(2);

/// What the loop knows of attempts.
struct Known<'a> {
    memory: &'a Memory,
    facts: &'a Facts,
    sights: &'a Sights,
    settings: &'a Settings,
    calling: BTreeSet<IntentId>,
    now: Timestamp,
}

/// What is written down first, and what is then done.
struct Due {
    records: Vec<Record>,
    deed: Option<Deed>,
}

impl Loop {
    /// Something was done about these attempts: what was seen of them before says nothing any more.
    pub(super) fn touch_attempts(&mut self, deed: &Deed, now: Timestamp) {
        let of_deed = self.memory.attempts.keys().filter(|instance| deed.is_of_attempt(instance));
        self.touched.extend(of_deed.map(|instance| (instance.clone(), now)));
        self.touched.retain(|instance, _| self.memory.attempts.contains_key(instance));
    }

    /// Takes each attempt a step further, where the world shows that it is due.
    pub(super) async fn tend_attempts(&mut self) {
        if !self.surely_leads() || !self.memory.armed {
            return;
        }
        let now = self.setup.clock.now();
        let known = Known {
            memory: &self.memory,
            facts: &self.facts,
            sights: &self.sights,
            settings: &self.settings,
            calling: self.calling(),
            now,
        };
        let untouched = self.memory.attempts.values().filter(|attempt| {
            let under_way = self.under_way.iter().any(|act| act.deed.is_of_attempt(&attempt.instance));
            !under_way && known.is_newer(attempt, self.touched.get(&attempt.instance).copied())
        });
        let due: Vec<Due> = untouched.filter_map(|attempt| known.due(attempt)).collect();
        for Due { records, deed } in due {
            if deed.as_ref().is_some_and(|deed| self.is_blocked(deed, now)) {
                continue;
            }
            if self.commit(records).await
                && let Some(deed) = deed
            {
                self.begin(deed);
            }
        }
    }
}

impl Known<'_> {
    /// Whether both sources were asked since something was last done about it.
    fn is_newer(&self, attempt: &Attempt, touched: Option<Timestamp>) -> bool {
        let since = touched.unwrap_or(attempt.opened).max(attempt.opened);
        let region = self.region(attempt);
        let asked = self.facts.asked.filter(|asked| *asked > since);
        let seen = region.and_then(|region| self.facts.seen_at(&region)).filter(|seen| *seen > since);
        asked.is_some() && seen.is_some()
    }

    /// Where its Job is or was.
    fn region(&self, attempt: &Attempt) -> Option<Region> {
        let name = match self.machine(attempt) {
            Some(machine) => machine.region.clone(),
            None => match self.memory.known.get(&attempt.instance) {
                Some(known) => known.region.clone(),
                // Its pool may have another name by now, or be another.
                None => match &attempt.site {
                    Some(site) => site.clone(),
                    None => self.settings.pool(&attempt.pool)?.site(),
                },
            },
        };
        Some(Region { provider: Provider::Kubernetes, name })
    }

    fn machine(&self, attempt: &Attempt) -> Option<&CloudInstance> {
        self.facts.machines.get(&attempt.instance)
    }

    fn due(&self, attempt: &Attempt) -> Option<Due> {
        let record = self.facts.attempts.get(&attempt.task);
        // The time that is under way counts already.
        let before = |count: u32| count.saturating_sub(1);
        let put_back = attempt.goes_back.map_or_else(|| self.memory.requeues_of(&attempt.task), before);
        let rule = self.queue(attempt).and_then(|queue| self.settings.queue(&queue.name));
        let rule = rule.or_else(|| self.settings.queue(&attempt.queue));
        let allowed = match rule.map(|queue| queue.on_lost) {
            Some(OnLost::Requeue(times)) => times,
            Some(OnLost::Never) | None => 0,
        };
        let seen = Seen {
            calling: attempt.intent.as_ref().is_some_and(|intent| self.calling.contains(intent)),
            opened: attempt.opened,
            job: self.job(attempt),
            task: record.map(|record| self.task(attempt, record.as_ref())),
            began: record.and_then(Option::as_ref).and_then(|record| record.started),
            asked: self.facts.asked?,
            put_back,
            allowed,
            patience: self.patience(attempt),
        };
        let about = |kind, text: String| line(self.now, kind, text).about(of_attempt(attempt));
        match next(&seen, self.now) {
            Step::Wait => None,
            Step::Settle => {
                let settled = Record::AttemptSettled(attempt.instance.clone());
                Some(Due { records: vec![settled], deed: None })
            }
            step @ (Step::Carry | Step::Withdraw) => {
                let of = Box::new(self.of(attempt)?);
                let deed = if step == Step::Carry { Deed::Carry(of) } else { Deed::Withdraw(of) };
                Some(Due { records: vec![about(EntryKind::Decided, deed.to_string()).record()], deed: Some(deed) })
            }
            due @ (Step::Cancel | Step::Replaced | Step::TimeOut) => {
                let known = self.memory.known.get(&attempt.instance).filter(|known| known.stop_sent.is_none())?;
                let (provider, region, instance) = (known.provider, known.region.clone(), known.id.clone());
                let stop = Record::StopSent { instance: instance.clone(), at: self.now };
                let told = about(EntryKind::Decided, format!("delete {instance}"));
                let why = match self.patience(attempt).filter(|_| due == Step::TimeOut) {
                    Some(most) => {
                        let pool = &attempt.pool;
                        format!("pool.{pool}.pending_timeout is {}; {}", Short(most), self.told(attempt))
                    }
                    None if due == Step::Replaced => {
                        format!("the pod that ran task {} is gone, and another waits in its place", attempt.task)
                    }
                    None => format!("task {} does not wait for it any more", attempt.task),
                };
                let told = told.because(&why);
                let deed = Deed::Stop { provider, region, instance };
                Some(Due { records: vec![stop, told.record()], deed: Some(deed) })
            }
            Step::PutBack(_) if self.queue(attempt).is_none() => self.left(attempt),
            Step::PutBack(count) => self.back(attempt, record?.as_ref(), count, None),
            Step::GiveUp => {
                let why = format!(
                    "{} after {}: {}",
                    lost_reason(&attempt.instance),
                    counted(u64::from(put_back) + 1, "attempt"),
                    self.why(attempt)
                );
                self.back(attempt, record?.as_ref(), put_back, Some(why))
            }
        }
    }

    fn back(&self, attempt: &Attempt, record: Option<&TaskRecord>, count: u32, give_up: Option<String>) -> Option<Due> {
        let started = record.filter(|record| record.status == TaskStatus::InProgress).and_then(|record| record.started);
        let mut records = Vec::new();
        if give_up.is_none() && attempt.goes_back != Some(count) {
            // Whatever comes of the call, it counts, and once.
            let counted = Attempt { goes_back: Some(count), ..attempt.clone() };
            records.push(Record::Requeued { task: attempt.task.clone(), count, at: self.now });
            records.push(Record::AttemptOpened(Box::new(counted)));
        }
        let deed = Deed::PutBack { of: Box::new(self.of(attempt)?), started, give_up };
        let told = line(self.now, EntryKind::Decided, deed.to_string()).about(of_attempt(attempt));
        let told = told.because(&format!("{}: {}", lost_reason(&attempt.instance), self.why(attempt)));
        records.push(told.record());
        Some(Due { records, deed: Some(deed) })
    }

    /// There is no queue to put its task back into: that is said, once, and a person has the task.
    fn left(&self, attempt: &Attempt) -> Option<Due> {
        let since = self.memory.gone.get(&attempt.instance).copied().unwrap_or(attempt.opened);
        if self.now.duration_since(since) < QUEUE_GONE_AFTER {
            return None;
        }
        let Attempt { task, queue, .. } = attempt;
        let text = format!("task {task} is left as it is in ClearML: its queue {queue} is not there any more");
        let lost = lost_reason(&attempt.instance);
        let why = format!("{lost}: {}; enqueue it by hand to have it run again", self.why(attempt));
        let told = line(self.now, EntryKind::Alarm, text).about(of_attempt(attempt)).because(&why);
        Some(Due { records: vec![Record::AttemptSettled(attempt.instance.clone()), told.record()], deed: None })
    }

    /// Why its Job is over, in the cluster's words.
    fn why(&self, attempt: &Attempt) -> String {
        let reason = self.machine(attempt).and_then(|machine| machine.state_reason.clone());
        reason.unwrap_or_else(|| "its Job is gone".to_owned())
    }

    fn patience(&self, attempt: &Attempt) -> Option<SignedDuration> {
        self.settings.pool(&attempt.pool)?.launch.kubernetes.pending_timeout
    }

    /// What the cluster says of its pod now.
    fn told(&self, attempt: &Attempt) -> String {
        let pod = self.machine(attempt).and_then(|machine| machine.pod.as_ref());
        pod.map_or_else(|| "nothing is said of it".to_owned(), Pod::told)
    }

    /// Where its task waits for its pod. Of one of an earlier version the setting of now tells; a pool that is in the settings
    /// no more had the queue that the others have.
    fn pending(&self, attempt: &Attempt) -> QueueName {
        if let Some(pending) = &attempt.pending {
            return pending.clone();
        }
        let clusters = self.settings.pools.iter().filter(|pool| pool.provider == Provider::Kubernetes);
        let own = self.settings.pool(&attempt.pool).filter(|pool| pool.provider == Provider::Kubernetes);
        let pool = own.into_iter().chain(clusters).next();
        QueueName::new(pool.map_or(PENDING_QUEUE, |pool| pool.launch.kubernetes.pending_queue.as_str()))
    }

    /// The queue that its task came from, whatever it is called now, or another of that name in its place.
    fn queue(&self, attempt: &Attempt) -> Option<&ObservedQueue> {
        let queues = &self.facts.queues;
        attempt.queue_id.as_ref().and_then(|id| queues.by_id(id)).or_else(|| queues.named(&attempt.queue))
    }

    fn of(&self, attempt: &Attempt) -> Option<Try> {
        let Region { provider, name } = self.region(attempt)?;
        let queue = self.queue(attempt).map(|queue| queue.id.clone()).or_else(|| attempt.queue_id.clone());
        let place = PodPlace {
            task: attempt.task.clone(),
            // Of one of an earlier version whose queue is gone no id is known: no task is in a queue of this one.
            queue: queue.unwrap_or_else(|| QueueId::new(attempt.queue.as_str())),
            pending: self.pending(attempt),
            instance: attempt.instance.clone(),
            waits: waits_reason(&attempt.instance, &self.settings.the_loop.fleet, &attempt.queue),
        };
        Some(Try { attempt: attempt.clone(), provider, region: name, place })
    }

    fn job(&self, attempt: &Attempt) -> Job {
        let sight = self.sights.of(&attempt.instance);
        let Some(machine) = self.machine(attempt) else {
            let stands = self.memory.known.contains_key(&attempt.instance)
                || attempt.intent.as_ref().is_some_and(|intent| self.memory.intents.contains_key(intent));
            return if stands { Job::Unseen } else { Job::Over(None) };
        };
        match machine.state {
            CloudState::Terminated
                if sight.terminated >= TERMINATED_PROOFS || self.memory.gone.contains_key(&attempt.instance) =>
            {
                Job::Over(machine.ended)
            }
            CloudState::Terminated | CloudState::ShuttingDown | CloudState::Stopping | CloudState::Stopped => {
                Job::Ending
            }
            CloudState::Pending if machine.pod.as_ref().is_some_and(|pod| pod.held) => Job::Held,
            CloudState::Pending => Job::Pending,
            CloudState::Running => Job::Running,
        }
    }

    fn task(&self, attempt: &Attempt, record: Option<&TaskRecord>) -> Task {
        let Some(record) = record else { return Task::Over(None) };
        let queue = record.queue.as_ref();
        let now = self.queue(attempt).map(|queue| &queue.id);
        let in_queue = queue.is_some() && (queue == now || queue == attempt.queue_id.as_ref());
        // A person has put it into another queue, where others take it.
        let shown = queue.and_then(|queue| self.facts.queues.by_id(queue)).filter(|_| !in_queue);
        let elsewhere = shown.is_some_and(|queue| queue.name != self.pending(attempt));
        match record.status {
            TaskStatus::Queued if in_queue => Task::WaitsInQueue,
            TaskStatus::Queued | TaskStatus::InProgress if in_queue || elsewhere => Task::Over(None),
            TaskStatus::Queued => Task::WaitsForPod,
            TaskStatus::InProgress => Task::Runs,
            TaskStatus::Stopped if record.status_reason == lost_reason(&attempt.instance) => Task::StoppedByUs,
            TaskStatus::Stopped | TaskStatus::Other => Task::Over(record.status_changed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::seen::example::Fleet;
    use crate::model::account::Owner;
    use crate::store::settings::parse;

    const SETTINGS: &str = r#"
[loop]
fleet = "lab"
[queue.train]
pools = ["pods"]
on_lost = "requeue:1"
[pool.pods]
provider = "kubernetes"
namespace = "ml"
pod_image = "python:3.12"
price = "$1/h"
"#;
    const POD: &str = "clearml-9d1f0c2b3a4e5f60718293a4b5c6d7e8-1";

    /// The pod of a task that runs by its status is gone for ten minutes.
    fn lost(settings: &str) -> (Fleet, Attempt) {
        let mut fleet = Fleet::new();
        fleet.settings = parse(settings, std::path::Path::new("settings")).unwrap();
        let opened = fleet.now - SignedDuration::from_mins(30);
        let attempt = Attempt {
            instance: POD.into(),
            task: "t".into(),
            queue: "train".into(),
            queue_id: Some("q-train".into()),
            pending: Some("k8s_one".into()),
            number: 1,
            pool: "pods".into(),
            site: Some("current/ml".to_owned()),
            intent: None,
            owner: Owner::default(),
            opened,
            goes_back: None,
        };
        let runs = TaskRecord {
            queue: Some("id of k8s_one".into()),
            started: Some(opened),
            ..Fleet::task("t", TaskStatus::InProgress, None)
        };
        fleet.tried = [("t".into(), Some(runs))].into();
        fleet.memory.apply(&Record::AttemptOpened(Box::new(attempt.clone())));
        fleet.memory.apply(&Record::Gone { instance: POD.into(), at: fleet.now - SignedDuration::from_mins(10) });
        fleet.look();
        (fleet, attempt)
    }

    /// The records without journal lines, those, and the place of a task that is put back, or why it is ended.
    type Told = (Vec<Record>, Vec<String>, Option<(PodPlace, Option<String>)>);

    /// What is due, and lived by.
    fn due(fleet: &mut Fleet) -> Option<Told> {
        let known = Known {
            memory: &fleet.memory,
            facts: &fleet.facts,
            sights: &fleet.sights,
            settings: &fleet.settings,
            calling: BTreeSet::new(),
            now: fleet.now,
        };
        let Due { mut records, deed } = known.due(fleet.memory.attempts.values().next()?)?;
        for record in &records {
            fleet.memory.apply(record);
        }
        let text = |record: &Record| match record {
            Record::Journal(entry) => Some(entry.text.clone()),
            _ => None,
        };
        let lines = records.iter().filter_map(text).collect();
        records.retain(|record| !matches!(record, Record::Journal(_)));
        let back = deed.map(|deed| match deed {
            Deed::PutBack { of, give_up, .. } => (of.place.clone(), give_up),
            deed => panic!("{deed}"),
        });
        Some((records, lines, back))
    }

    /// The queues that ClearML shows.
    fn shown(fleet: &mut Fleet, queues: &[(&str, &str)]) {
        let queue = |(id, name): &(&str, &str)| ObservedQueue {
            id: (*id).into(),
            name: (*name).into(),
            tags: Vec::new(),
            entries: Vec::new(),
        };
        fleet.facts.queues = queues.iter().map(queue).collect::<Vec<_>>().into();
    }

    #[test]
    fn a_task_goes_back_from_where_it_waited_for_its_pod_whatever_the_settings_say_by_now() {
        let two = format!("{SETTINGS}pending_queue = \"k8s_two\"\n");
        for settings in [SETTINGS, &two] {
            let (mut fleet, _) = lost(settings);
            let (_, _, back) = due(&mut fleet).unwrap();
            assert_eq!(back.unwrap().0.pending.as_str(), "k8s_one");
        }
        // An earlier version did not write it down.
        let (mut fleet, attempt) = lost(&two);
        fleet.memory.apply(&Record::AttemptOpened(Box::new(Attempt { pending: None, ..attempt })));
        assert_eq!(due(&mut fleet).unwrap().2.unwrap().0.pending.as_str(), "k8s_two");
    }

    #[test]
    fn a_queue_keeps_its_tasks_when_it_is_renamed() {
        for settings in [SETTINGS.to_owned(), SETTINGS.replace("queue.train", "queue.train-big")] {
            let (mut fleet, _) = lost(&settings);
            shown(&mut fleet, &[("q-train", "train-big")]);
            let (_, _, back) = due(&mut fleet).unwrap();
            let (place, give_up) = back.unwrap();
            assert_eq!((place.queue.as_str(), give_up), ("q-train", None));
        }
    }

    #[test]
    fn a_task_whose_queue_is_gone_is_left_to_people_and_told_once() {
        let (mut fleet, _) = lost(SETTINGS);
        shown(&mut fleet, &[("other", "other")]);
        let gone = fleet.now - QUEUE_GONE_AFTER + SignedDuration::from_secs(1);
        fleet.memory.apply(&Record::Gone { instance: POD.into(), at: gone });
        assert_eq!(due(&mut fleet), None, "a list may miss one");
        fleet.now += SignedDuration::from_secs(1);
        let (records, lines, back) = due(&mut fleet).unwrap();
        assert_eq!(records, [Record::AttemptSettled(POD.into())]);
        assert_eq!(lines, ["task t is left as it is in ClearML: its queue train is not there any more"]);
        assert_eq!((back, due(&mut fleet)), (None, None));
        // Another has been made in its place.
        let (mut fleet, _) = lost(SETTINGS);
        shown(&mut fleet, &[("q-new", "train")]);
        assert_eq!(due(&mut fleet).unwrap().2.unwrap().0.queue.as_str(), "q-new");
    }

    #[test]
    fn a_task_that_goes_back_is_counted_once_and_before_it_does() {
        let (mut fleet, attempt) = lost(SETTINGS);
        let (records, ..) = due(&mut fleet).unwrap();
        let at = fleet.now;
        let counted = Attempt { goes_back: Some(1), ..attempt };
        let opened = Record::AttemptOpened(Box::new(counted.clone()));
        assert_eq!(records, [Record::Requeued { task: "t".into(), count: 1, at }, opened]);
        // The call failed: it is the same time still.
        let (records, _, back) = due(&mut fleet).unwrap();
        assert_eq!((records.len(), back.unwrap().1), (0, None));
        // It acted, and nobody heard: the task waits where it did, and the next pod of it is its last.
        let waits = Fleet::task("t", TaskStatus::Queued, None);
        fleet.facts.attempts = [("t".into(), Some(waits))].into();
        assert_eq!(due(&mut fleet).unwrap().0, [Record::AttemptSettled(POD.into())]);
        assert_eq!(fleet.memory.requeues_of(&"t".into()), 1);
        let (mut again, attempt) = lost(SETTINGS);
        again.memory.requeues.clone_from(&fleet.memory.requeues);
        again.memory.apply(&Record::AttemptOpened(Box::new(Attempt { number: 2, ..attempt })));
        assert!(due(&mut again).unwrap().2.unwrap().1.is_some(), "it is ended");
    }

    #[test]
    fn a_task_that_a_person_put_into_another_queue_is_not_ours_any_more() {
        for status in [TaskStatus::Queued, TaskStatus::InProgress] {
            let (mut fleet, _) = lost(SETTINGS);
            shown(&mut fleet, &[("q-train", "train"), ("q-other", "other")]);
            let moved = TaskRecord { queue: Some("q-other".into()), ..Fleet::task("t", status, None) };
            fleet.facts.attempts = [("t".into(), Some(moved))].into();
            assert_eq!(due(&mut fleet), Some((vec![Record::AttemptSettled(POD.into())], Vec::new(), None)));
        }
    }
}
