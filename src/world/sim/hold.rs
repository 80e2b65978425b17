//! Hold tasks: they sleep in a machine's own queue, and are nobody's work.

use crate::model::ids::{InstanceId, QueueId, TaskId, hold_task, hold_tasks, mailbox_queue};
use crate::world::sim::clearml::{ClearmlServer, NewTask, Refused, Said, Status, Task};
use crate::world::sim::events::{Millis, SECOND};
use crate::world::sim::state::State;

/// How long a hold task sleeps.
pub(super) const SLEEPS: Millis = 900 * SECOND;

/// The tag that hides a task from people's lists.
const HIDING_TAG: &str = "hidden";

impl State {
    pub(super) fn is_hold(&self, task: &TaskId) -> bool {
        let hidden = |task: &Task| task.system_tags.iter().any(|tag| tag == HIDING_TAG);
        self.server.task(task).is_ok_and(|task| hidden(task) && task.name.starts_with("tidegate:hold:"))
    }

    /// One that waits, or was made and did not come into the queue, is enough.
    pub(super) fn place_hold(&mut self, instance: &InstanceId, nonce: &str) -> Result<(), Refused> {
        let (time, console) = (self.time(), ClearmlServer::console());
        let Some(queue) = self.hidden_queue(&mailbox_queue(instance)) else { return Ok(()) };
        let name = hold_task(instance, nonce);
        let open = self.server.tasks_in(&[Status::Queued, Status::Created]).find(|task| task.name == name);
        let task = if let Some(task) = open.map(|task| task.id.clone()) {
            task
        } else {
            let new = NewTask::shell(name, console.clone(), "sleep 900");
            self.server.create_task(time, NewTask { system_tags: vec![HIDING_TAG.to_owned()], ..new })?
        };
        // One that waits already is refused, and waits.
        let _ = self.server.enqueue(time, &console, &task, &queue, Said::default(), false);
        self.wake_for(&queue);
        Ok(())
    }

    fn holds(&self, instance: &InstanceId, statuses: &[Status]) -> Vec<(TaskId, Status)> {
        let begin = hold_tasks(instance);
        let of_machine = self.server.tasks_in(statuses).filter(|task| task.name.starts_with(&begin));
        of_machine.map(|task| (task.id.clone(), task.status)).collect()
    }

    pub(super) fn end_holds(&mut self, instance: &InstanceId) {
        let (time, console) = (self.time(), ClearmlServer::console());
        for (task, status) in self.holds(instance, &[Status::Queued, Status::InProgress]) {
            // Somebody who was quicker has ended it.
            if status == Status::Queued {
                let _ = self.server.dequeue(time, &console, &task, Said::default(), None);
            } else {
                let _ = self.server.stop(time, &console, &task, "the drain is cancelled", false);
            }
            self.task_changed(&task);
        }
    }

    /// With the machine's own queue, whose agent, if it has no gate, fails at every poll from then on.
    pub(super) fn delete_holds(&mut self, instance: &InstanceId, queue: &QueueId) {
        let time = self.time();
        for (task, _) in self.holds(instance, &Status::ALL) {
            let _ = self.server.delete_task(time, &task, true);
        }
        for agent in self.agents.iter_mut().filter(|agent| agent.queues.contains(queue)) {
            agent.deaf = true;
        }
    }
}
