//! What people ask about tasks, and do with them: calls to ClearML, which the loop never waits for.

use jiff::SignedDuration;

use crate::engine::event::Answer;
use crate::engine::run::{Loop, Work};
use crate::engine::words::{Line, line};
use crate::model::ids::{Actor, QueueId, QueueName, TaskId};
use crate::model::journal::{EntryKind, Subject};
use crate::model::record::Record;
use crate::model::tasks::{NamedTask, TaskDeed};
use crate::plan::pace::QUICK;
use crate::world::tracker::{Requeue, TrackerError};

/// How long ClearML may take for one call.
const DEADLINE: SignedDuration = SignedDuration::from_secs(30);

fn given<T>(answer: Option<Result<T, TrackerError>>) -> Result<T, String> {
    answer.unwrap_or_else(|| Err(TrackerError::Deadline { endpoint: "ClearML".to_owned() })).map_err(|e| e.to_string())
}

impl Loop {
    fn queue_id(&self, queue: &QueueName) -> Result<QueueId, String> {
        let found = self.snapshot.queue(queue).ok_or_else(|| format!("the settings name no queue `{queue}`"))?;
        found.id.clone().ok_or_else(|| format!("the server has no queue `{queue}`"))
    }

    pub(super) fn read_tasks(&mut self, request: u64, queue: &QueueName) -> Result<(), String> {
        let (queue, tracker, clock) = (self.queue_id(queue)?, self.setup.world.tracker.clone(), self.setup.clock);
        self.work.spawn(async move {
            let tasks = given(clock.deadline(DEADLINE, tracker.queue_tasks(&queue)).await);
            Work::Asked { request, answer: tasks.map(Answer::Tasks), lines: Vec::new() }
        });
        Ok(())
    }

    pub(super) fn read_task_log(&mut self, request: u64, task: TaskId) {
        let (tracker, clock) = (self.setup.world.tracker.clone(), self.setup.clock);
        self.work.spawn(async move {
            let text = given(clock.deadline(DEADLINE, tracker.task_log(&task)).await);
            Work::Asked { request, answer: text.map(Answer::TaskLog), lines: Vec::new() }
        });
    }

    /// Written down first, then done, task by task; what came of each is written down, too.
    pub(super) async fn order_tasks(
        &mut self,
        request: u64,
        by: &Actor,
        queue: &QueueName,
        tasks: Vec<NamedTask>,
        deed: TaskDeed,
    ) -> Result<(), String> {
        self.may_change()?;
        if !self.memory.armed {
            return Err("the loop is not armed, this is a dry run: arm it first (`tidegate arm`)".to_owned());
        }
        let id = self.queue_id(queue)?;
        let now = self.setup.clock.now();
        let tasks = deed.in_order(&tasks);
        let decided = tasks.iter().map(|task| told(now, EntryKind::Decided, by, queue, task, deed).record());
        let decided: Vec<Record> = decided.collect();
        if !self.commit(decided).await {
            return Err(self.store_problem.clone().unwrap_or_default());
        }
        let (tracker, clock) = (self.setup.world.tracker.clone(), self.setup.clock);
        let (by, queue) = (by.clone(), queue.clone());
        self.work.spawn(async move {
            let (mut lines, mut done, mut refused) = (Vec::new(), Vec::new(), Vec::new());
            for task in &tasks {
                let answer = given(clock.deadline(DEADLINE, tracker.task_deed(&id, &task.id, deed)).await);
                let why = match answer {
                    Ok(Requeue::Enqueued) => {
                        lines.push(told(clock.now(), EntryKind::Done, &by, &queue, task, deed).record());
                        done.push(task.name.clone());
                        continue;
                    }
                    Ok(Requeue::NotNeeded | Requeue::Waits | Requeue::Claimed) => {
                        let stands = if deed.wants_waiting() {
                            "it does not wait there any more"
                        } else {
                            "it cannot be enqueued as it stands"
                        };
                        stands.to_owned()
                    }
                    Err(why) => why,
                };
                refused.push(format!("{}: {why}", task.name));
                lines.push(told(clock.now(), EntryKind::Failed, &by, &queue, task, deed).because(&why).record());
            }
            let (verb, place) = deed.words();
            let answer = match (done.is_empty(), refused.is_empty()) {
                (true, _) => Err(refused.join("; ")),
                (false, true) => Ok(Answer::Said(format!("{verb} {} {place} {queue}: done", done.join(", ")))),
                (false, false) => Ok(Answer::Said(format!("{} done; not {}", done.join(", "), refused.join("; ")))),
            };
            Work::Asked { request, answer, lines }
        });
        Ok(())
    }

    pub(super) async fn asked(&mut self, request: u64, answer: Result<Answer, String>, lines: Vec<Record>) {
        let changed = !lines.is_empty();
        self.commit(lines).await;
        self.answer(request, answer);
        if changed {
            // What a person has changed is seen sooner than the next look is due.
            self.look_within(QUICK);
            self.publish();
        }
    }
}

/// `take train bert (t-1) out of train`.
fn told(at: jiff::Timestamp, kind: EntryKind, by: &Actor, queue: &QueueName, task: &NamedTask, deed: TaskDeed) -> Line {
    let (verb, place) = deed.words();
    let subject = Subject { queue: Some(queue.clone()), task: Some(task.id.clone()), ..Subject::default() };
    line(at, kind, format!("{verb} {task} {place} {queue}")).by(by).about(subject)
}
