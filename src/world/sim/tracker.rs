//! The ClearML server as the console meets it: in process, without a wire.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use jiff::SignedDuration;

use crate::model::account::Owner;
use crate::model::claim::{Claim, ClaimNote};
use crate::model::ids::{FleetId, InstanceId, QueueId, QueueName, TaskId, Term, WorkerId};
use crate::model::ids::{leader_queue, lease_queue, mailbox_queue};
use crate::model::observed::{
    Glance, GlancedWorker, HiddenQueue, LostTask, Mailbox, ObservedQueue, ObservedTask, ObservedWorker, QueueEntry,
    TaskFacts, TaskRecord, TaskStatus,
};
use crate::model::tasks::{QueuedTask, TaskDeed};
use crate::world::secret::Secret;
use crate::world::sim::calls::Answer;
use crate::world::sim::clearml::{ClearmlServer, Entry, HIDING_TAG, Queue, Refused, Said, Status, Task};
use crate::world::sim::clearml::{WORKER_LIFE, Worker};
use crate::world::sim::events::millis;
use crate::world::sim::scenario::Call;
use crate::world::sim::state::State;
use crate::world::sim::{Shared, desk};
use crate::world::tracker::{Requeue, Tracker, TrackerError};

const SERVER: &str = "http://clearml.simulated:8008";

/// Above this many workers only those of the fleet are told.
const ALL_WORKERS: usize = 500;

/// The subcode of a name that is not free.
const NAME_TAKEN: u16 = 801;

/// The subcodes of a change that another made before us.
pub(super) const ANOTHER_WAS_FIRST: [u16; 4] = [110, 121, 703, 706];

#[async_trait]
impl Tracker for Shared {
    async fn queues(&self) -> Result<Vec<ObservedQueue>, TrackerError> {
        self.tracker_call(Call::Read, "queues.get_all", |state| {
            Ok(state.server.queues(false).map(observed_queue).collect())
        })
        .await
    }

    async fn workers(&self, fleet: &FleetId) -> Result<Vec<ObservedWorker>, TrackerError> {
        self.tracker_call(Call::Read, "workers.get_all", |state| Ok(state.observed_workers(fleet))).await
    }

    async fn glance(&self, fleet: &FleetId) -> Result<Glance, TrackerError> {
        self.tracker_call(Call::Read, "queues.get_all_ex", |state| Ok(state.glance(fleet))).await
    }

    async fn tasks(&self, queues: &[QueueId], statuses: &[TaskStatus]) -> Result<Vec<TaskRecord>, TrackerError> {
        let queues: BTreeSet<&QueueId> = queues.iter().collect();
        let wanted: Vec<Status> =
            Status::ALL.into_iter().filter(|status| statuses.contains(&task_status(*status))).collect();
        self.tracker_call(Call::Read, "tasks.get_all", |state| {
            let ours = |task: &&Task| task.queue.as_ref().is_some_and(|queue| queues.contains(queue));
            Ok(state.server.tasks_in(&wanted).filter(ours).map(record).collect())
        })
        .await
    }

    async fn task_facts(&self, tasks: &[TaskId]) -> Result<BTreeMap<TaskId, TaskFacts>, TrackerError> {
        self.tracker_call(Call::Read, "tasks.get_all_ex", |state| {
            let project = |task: &Task| Some(state.server.project(task.project.as_ref()?)?.name.as_str().into());
            let user = |task: &Task| Some(state.server.user(&task.user)?.name.as_str().into());
            let facts = |task: &Task| TaskFacts {
                status: task_status(task.status),
                owner: Owner { project: project(task), user: user(task) },
                tags: task.tags.clone(),
            };
            let known = tasks.iter().filter_map(|id| state.server.task(id).ok());
            Ok(known.map(|task| (task.id.clone(), facts(task))).collect())
        })
        .await
    }

    async fn create_mailbox(&self, instance: &InstanceId) -> Result<(), TrackerError> {
        self.tracker_call(Call::Write, "queues.create", |state| {
            state.hidden_queue(&mailbox_queue(instance));
            state.mailbox_changed(instance);
            Ok(())
        })
        .await
    }

    async fn delete_mailbox(&self, instance: &InstanceId) -> Result<(), TrackerError> {
        self.tracker_call(Call::Write, "queues.delete", |state| {
            let name = mailbox_queue(instance);
            let Some(queue) = state.server.queue_by_name(name.as_str()).map(|queue| queue.id.clone()) else {
                return Ok(());
            };
            state.delete_holds(instance, &queue);
            let deleted = state.server.delete_queue(state.time(), &ClearmlServer::console(), &queue, true);
            state.mailbox_changed(instance);
            deleted.map_err(|no| refused("queues.delete", no))
        })
        .await
    }

    async fn order_drain(&self, instance: &InstanceId, nonce: &str) -> Result<(), TrackerError> {
        self.order(instance, &format!("drain:{nonce}")).await
    }

    async fn ask_end(&self, instance: &InstanceId, nonce: &str) -> Result<(), TrackerError> {
        self.tracker_call(Call::Write, "queues.add_or_update_metadata", |state| {
            let written = state.write(&mailbox_queue(instance), "end", nonce);
            state.end_will_be_heard(instance);
            written
        })
        .await
    }

    async fn cancel_drain(&self, instance: &InstanceId) -> Result<(), TrackerError> {
        self.order(instance, "run").await
    }

    async fn place_hold(&self, instance: &InstanceId, nonce: &str) -> Result<(), TrackerError> {
        self.tracker_call(Call::Write, "tasks.enqueue", |state| {
            state.place_hold(instance, nonce).map_err(|no| refused("tasks.create", no))
        })
        .await
    }

    async fn end_holds(&self, instance: &InstanceId) -> Result<(), TrackerError> {
        self.tracker_call(Call::Write, "tasks.stop", |state| {
            state.end_holds(instance);
            Ok(())
        })
        .await
    }

    async fn renew_lease(&self, fleet: &FleetId, value: &str) -> Result<(), TrackerError> {
        self.tracker_call(Call::Write, "queues.add_or_update_metadata", |state| {
            let now = state.now;
            if state.leases.get(fleet).is_none_or(|(before, _)| before != value) {
                state.leases.insert(fleet.clone(), (value.to_owned(), now));
            }
            state.write(&lease_queue(fleet), "lease", value)
        })
        .await
    }

    async fn claims(&self, fleet: &FleetId) -> Result<Vec<Claim>, TrackerError> {
        self.tracker_call(Call::Read, "queues.get_all", |state| {
            let mut claims: Vec<Claim> =
                state.server.queues(true).filter_map(|queue| observed_claim(fleet, queue)).collect();
            claims.sort_by_key(|claim| claim.term);
            Ok(claims)
        })
        .await
    }

    async fn claim(&self, fleet: &FleetId, term: Term) -> Result<bool, TrackerError> {
        self.tracker_call(Call::Write, "queues.create", |state| {
            let created = state.server.create_queue(state.time(), leader_queue(fleet, term).as_str(), &[HIDING_TAG]);
            match created {
                Ok(_) => Ok(true),
                Err(no) if no.subcode == NAME_TAKEN => Ok(false),
                Err(no) => Err(refused("queues.create", no)),
            }
        })
        .await
    }

    async fn write_claim(&self, claim: &QueueId, note: &ClaimNote) -> Result<bool, TrackerError> {
        self.tracker_call(Call::Write, "queues.add_or_update_metadata", |state| {
            let time = state.time();
            let mut entries = note.metadata().into_iter();
            Ok(entries.all(|(key, value)| state.server.set_metadata(time, claim, key, &value).is_ok()))
        })
        .await
    }

    async fn hidden_queues(&self) -> Result<Vec<HiddenQueue>, TrackerError> {
        self.tracker_call(Call::Read, "queues.get_all", |state| {
            let hidden = state.server.queues(true).filter(|queue| queue.hidden());
            let told = |queue: &Queue| HiddenQueue {
                id: queue.id.clone(),
                name: queue.name.clone(),
                created: Some(queue.created),
            };
            Ok(hidden.map(told).collect())
        })
        .await
    }

    async fn delete_hidden(&self, queue: &QueueId) -> Result<(), TrackerError> {
        self.tracker_call(Call::Write, "queues.delete", |state| {
            // One that is not there is dropped.
            let _ = state.server.delete_queue(state.time(), &ClearmlServer::console(), queue, true);
            Ok(())
        })
        .await
    }

    async fn requeue_lost(&self, lost: &LostTask) -> Result<Requeue, TrackerError> {
        self.tracker_call(Call::Requeue, "tasks.enqueue", |state| state.requeue_lost(lost)).await
    }

    async fn enqueue(&self, task: &TaskId, queue: &QueueId) -> Result<Requeue, TrackerError> {
        self.tracker_call(Call::Requeue, "tasks.enqueue", |state| {
            let stray = state.server.task(task).ok();
            let belongs =
                stray.is_some_and(|known| known.status == Status::Queued && known.queue.as_ref() == Some(queue));
            if belongs { state.enqueue_again(task, queue) } else { Ok(Requeue::NotNeeded) }
        })
        .await
    }

    async fn queue_tasks(&self, queue: &QueueId) -> Result<Vec<QueuedTask>, TrackerError> {
        self.tracker_call(Call::Read, "tasks.get_all_ex", |state| Ok(desk::tasks(state, queue))).await
    }

    async fn task_deed(&self, queue: &QueueId, task: &TaskId, deed: TaskDeed) -> Result<Requeue, TrackerError> {
        self.tracker_call(Call::Write, "queues.move_task", |state| desk::done(state, queue, task, deed)).await
    }

    async fn task_log(&self, task: &TaskId) -> Result<String, TrackerError> {
        self.tracker_call(Call::Read, "events.get_task_log", |state| desk::log(state, task)).await
    }

    async fn tell_waiting(&self, queue: &QueueId, text: &str, tasks: &[TaskId]) -> Result<(), TrackerError> {
        self.tracker_call(Call::Write, "queues.add_or_update_metadata", |state| {
            // A queue that is gone is success.
            let time = state.time();
            let _ = state.server.set_metadata(time, queue, "tidegate", text);
            state.server.say_to_waiting(queue, text, tasks);
            Ok(())
        })
        .await
    }

    async fn unregister(&self, worker: &WorkerId) -> Result<(), TrackerError> {
        self.tracker_call(Call::Write, "workers.unregister", |state| {
            state.server.unregister_worker(&ClearmlServer::agents(), worker);
            Ok(())
        })
        .await
    }

    async fn mint_agent_token(&self, life: SignedDuration) -> Result<Secret, TrackerError> {
        self.tracker_call(Call::Write, "auth.login", |state| {
            let now = state.now;
            state.tokens.retain(|_, expires| now < *expires);
            state.minted += 1;
            let token = format!("simulated-token-{}", state.minted);
            state.tokens.insert(token.clone(), now.saturating_add(millis(life)));
            Ok(Secret::new(token))
        })
        .await
    }

    fn api_server(&self) -> String {
        SERVER.to_owned()
    }

    async fn check(&self) -> Result<String, TrackerError> {
        let said = format!("{SERVER}: a simulated ClearML server; we are console; the agents are agents");
        self.tracker_call(Call::Read, "server.info", |_| Ok(said)).await
    }
}

impl Shared {
    async fn tracker_call<T: Send>(
        &self,
        call: Call,
        endpoint: &str,
        act: impl FnOnce(&mut State) -> Result<T, TrackerError> + Send,
    ) -> Result<T, TrackerError> {
        let (fate, done) = {
            let mut state = self.present();
            let now = state.now;
            let fate = state.calls.fate(call, now);
            (fate, fate.acts.then(|| act(&mut state)))
        };
        self.clock.sleep(SignedDuration::from_millis(fate.takes)).await;
        match (fate.answer, done) {
            (Answer::Given, Some(answer)) => answer,
            (Answer::Broken | Answer::Throttled, _) => {
                Err(TrackerError::Unreachable { server: SERVER.to_owned(), message: "connection refused".to_owned() })
            }
            (Answer::Silent | Answer::Given, _) => Err(TrackerError::Deadline { endpoint: endpoint.to_owned() }),
        }
    }

    async fn order(&self, instance: &InstanceId, want: &str) -> Result<(), TrackerError> {
        self.tracker_call(Call::Write, "queues.add_or_update_metadata", |state| {
            let written = state.write(&mailbox_queue(instance), "want", want);
            state.mailbox_changed(instance);
            written
        })
        .await
    }
}

impl State {
    fn write(&mut self, hidden: &QueueName, key: &str, value: &str) -> Result<(), TrackerError> {
        let time = self.time();
        let Some(queue) = self.hidden_queue(hidden) else { return Ok(()) };
        let written = self.server.set_metadata(time, &queue, key, value);
        written.map_err(|no| refused("queues.add_or_update_metadata", no))
    }

    fn observed_workers(&mut self, fleet: &FleetId) -> Vec<ObservedWorker> {
        self.report_all();
        let now = self.time();
        let mut workers: Vec<Worker> = self.server.workers(now, Some(WORKER_LIFE)).cloned().collect();
        if workers.len() > ALL_WORKERS {
            let prefix = format!("{fleet}:");
            workers.retain(|worker| worker.id.as_str().starts_with(&prefix));
        }
        workers.into_iter().map(|worker| self.observed_worker(worker)).collect()
    }

    fn glance(&mut self, fleet: &FleetId) -> Glance {
        self.report_all();
        let now = self.time();
        let listening = self.server.workers(now, None).filter(|worker| !worker.queues.is_empty());
        let workers: Vec<Worker> = listening.cloned().collect();
        let glanced = workers.into_iter().map(|worker| {
            let ObservedWorker { id, task, .. } = self.observed_worker(worker);
            GlancedWorker { id, task: task.map(|task| ObservedTask { queue: None, ..task }) }
        });
        let server = &self.server;
        Glance {
            workers: glanced.collect(),
            queues: server.queues(false).map(observed_queue).collect(),
            mailboxes: server.queues(true).filter_map(mailbox).collect(),
            claim: server.queues(true).filter_map(|queue| observed_claim(fleet, queue)).map(|claim| claim.id()).max(),
        }
    }

    fn observed_worker(&self, worker: Worker) -> ObservedWorker {
        let queue = worker.queue;
        let task = worker.task.map(|id| ObservedTask {
            name: self.server.task(&id).map(|task| task.name.clone()).unwrap_or_default(),
            id,
            queue,
        });
        ObservedWorker {
            id: worker.id,
            queues: worker.queues,
            task,
            registered: worker.registered,
            last_report: worker.last_report,
        }
    }

    /// In one step, where the real server needs a claim: nobody comes in between.
    fn requeue_lost(&mut self, lost: &LostTask) -> Result<Requeue, TrackerError> {
        let time = self.time();
        let reason = format!("vm {} lost", lost.instance);
        let Ok(task) = self.server.task(&lost.task) else { return Ok(Requeue::NotNeeded) };
        let same_run = lost.is_run(task.last_worker.as_ref(), task.started);
        match task.status {
            Status::InProgress if same_run => {
                let (console, said) = (ClearmlServer::console(), Said::reason(&reason));
                let stopped = self.server.stopped(time, &console, &lost.task, said, true).map(drop);
                stopped.map_err(|no| refused("tasks.stopped", no))?;
            }
            Status::Stopped if same_run && (lost.worker.is_none() || task.status_reason == reason) => {}
            Status::Queued if same_run && task.queue.as_ref() == Some(&lost.queue) => return Ok(Requeue::Waits),
            _ => return Ok(Requeue::NotNeeded),
        }
        self.enqueue_again(&lost.task, &lost.queue)
    }

    pub(super) fn enqueue_again(&mut self, task: &TaskId, queue: &QueueId) -> Result<Requeue, TrackerError> {
        let (time, console) = (self.time(), ClearmlServer::console());
        match self.server.enqueue(time, &console, task, queue, Said::default(), false) {
            Ok(_) => {
                if let Some(truth) = self.tasks.get_mut(task) {
                    truth.stranded = None;
                }
                self.task_changed(task);
                self.wake_for(queue);
                Ok(Requeue::Enqueued)
            }
            Err(no) if ANOTHER_WAS_FIRST.contains(&no.subcode) => Ok(Requeue::NotNeeded),
            Err(no) => Err(refused("tasks.enqueue", no)),
        }
    }
}

pub(super) fn refused(endpoint: &str, no: Refused) -> TrackerError {
    TrackerError::Refused { endpoint: endpoint.to_owned(), code: no.code, subcode: no.subcode, message: no.message }
}

fn observed_queue(queue: &Queue) -> ObservedQueue {
    let entry = |entry: &Entry| QueueEntry { task: entry.task.clone(), added: entry.added };
    ObservedQueue {
        id: queue.id.clone(),
        name: queue.name.clone(),
        tags: queue.tags.clone(),
        entries: queue.entries.iter().map(entry).collect(),
    }
}

fn mailbox(queue: &Queue) -> Option<Mailbox> {
    let instance = queue.name.as_str().strip_prefix("drain:")?;
    Some(Mailbox {
        queue: queue.id.clone(),
        instance: InstanceId::from(instance),
        created: queue.created,
        metadata: metadata(queue),
    })
}

fn metadata(queue: &Queue) -> BTreeMap<String, String> {
    queue.metadata.iter().map(|(key, entry)| (key.clone(), entry.value.clone())).collect()
}

fn observed_claim(fleet: &FleetId, queue: &Queue) -> Option<Claim> {
    Claim::read(fleet, queue.id.clone(), &queue.name, &metadata(queue))
}

fn record(task: &Task) -> TaskRecord {
    TaskRecord {
        id: task.id.clone(),
        name: task.name.clone(),
        status: task_status(task.status),
        status_reason: task.status_reason.clone(),
        status_changed: task.status_changed,
        started: task.started,
        last_worker: task.last_worker.clone(),
        queue: task.queue.clone(),
    }
}

fn task_status(status: Status) -> TaskStatus {
    match status {
        Status::Queued => TaskStatus::Queued,
        Status::InProgress => TaskStatus::InProgress,
        Status::Stopped => TaskStatus::Stopped,
        _ => TaskStatus::Other,
    }
}
