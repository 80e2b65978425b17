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
use crate::model::ids::{IntentId, QueueName};
use crate::model::journal::EntryKind;
use crate::model::observed::{CloudInstance, CloudState, TaskRecord, TaskStatus};
use crate::model::reason::counted;
use crate::model::record::{Memory, Record};
use crate::model::settings::kubernetes::PENDING_QUEUE;
use crate::model::settings::{OnLost, Provider, Settings};
use crate::model::span::Short;
use crate::plan::attempt::{Job, Seen, Step, Task, next};
use crate::world::tracker::PodPlace;

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
        let put_back = self.memory.requeues.get(&attempt.task).copied().unwrap_or_default();
        let allowed = match self.settings.queue(&attempt.queue).map(|queue| queue.on_lost) {
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
        let deed = Deed::PutBack { of: Box::new(self.of(attempt)?), started, count, give_up };
        let told = line(self.now, EntryKind::Decided, deed.to_string()).about(of_attempt(attempt));
        let told = told.because(&format!("{}: {}", lost_reason(&attempt.instance), self.why(attempt)));
        Some(Due { records: vec![told.record()], deed: Some(deed) })
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

    /// Where its task waits for its pod. A pool that is in the settings no more had the queue that the others have.
    fn pending(&self, attempt: &Attempt) -> QueueName {
        let clusters = self.settings.pools.iter().filter(|pool| pool.provider == Provider::Kubernetes);
        let own = self.settings.pool(&attempt.pool).filter(|pool| pool.provider == Provider::Kubernetes);
        let pool = own.into_iter().chain(clusters).next();
        QueueName::new(pool.map_or(PENDING_QUEUE, |pool| pool.launch.kubernetes.pending_queue.as_str()))
    }

    fn of(&self, attempt: &Attempt) -> Option<Try> {
        let Region { provider, name } = self.region(attempt)?;
        let place = PodPlace {
            task: attempt.task.clone(),
            queue: self.facts.queues.named(&attempt.queue)?.id.clone(),
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
        let queue = self.facts.queues.named(&attempt.queue).map(|queue| &queue.id);
        let in_queue = record.queue.as_ref() == queue;
        match record.status {
            TaskStatus::Queued if in_queue => Task::WaitsInQueue,
            TaskStatus::Queued => Task::WaitsForPod,
            TaskStatus::InProgress if in_queue => Task::Over(None),
            TaskStatus::InProgress => Task::Runs,
            TaskStatus::Stopped if record.status_reason == lost_reason(&attempt.instance) => Task::StoppedByUs,
            TaskStatus::Stopped | TaskStatus::Other => Task::Over(record.status_changed),
        }
    }
}
