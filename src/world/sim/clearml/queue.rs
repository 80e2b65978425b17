//! Queues: their entries, their tags, and the metadata that a mailbox is made of.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;

use super::task::{Said, Status};
use super::user::UserId;
use super::{ClearmlServer, Refused};
use crate::model::ids::{QueueId, QueueName, TaskId};

/// The system tag that hides a queue from lists.
pub const HIDING_TAG: &str = "k8s-glue";

/// Names are at least this long, in characters.
const SHORTEST_NAME: usize = 3;

/// A queue.
#[derive(Debug, Clone)]
pub struct Queue {
    pub id: QueueId,
    pub name: QueueName,
    pub display_name: Option<String>,
    pub created: Timestamp,
    pub last_update: Timestamp,
    pub tags: Vec<String>,
    pub system_tags: Vec<String>,
    pub metadata: BTreeMap<String, Metadata>,
    /// The tasks that wait, in the order in which they will be pulled.
    pub entries: VecDeque<Entry>,
}

impl Queue {
    #[must_use]
    pub fn hidden(&self) -> bool {
        self.system_tags.iter().any(|tag| tag == HIDING_TAG)
    }
}

/// A task that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub task: TaskId,
    pub added: Timestamp,
}

/// One value of a queue's metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// The API's `type`; everyone here writes `str`.
    pub kind: String,
    pub value: String,
}

/// Where an entry is moved to; beyond an end is the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Front,
    Back,
    Forward(usize),
    Backward(usize),
}

impl ClearmlServer {
    /// Makes a queue. Of several with one name the first is made.
    pub fn create_queue(&mut self, now: Timestamp, name: &str, system_tags: &[&str]) -> Result<QueueId, Refused> {
        if name.chars().count() < SHORTEST_NAME {
            return Err(Refused::short_name());
        }
        let name = QueueName::new(name);
        if self.queue_names.contains_key(&name) {
            return Err(Refused::name_taken(&name));
        }
        let id = QueueId::new(self.next_id());
        let queue = Queue {
            id: id.clone(),
            name: name.clone(),
            display_name: None,
            created: now,
            last_update: now,
            tags: Vec::new(),
            system_tags: system_tags.iter().map(|tag| (*tag).to_owned()).collect(),
            metadata: BTreeMap::new(),
            entries: VecDeque::new(),
        };
        self.queue_names.insert(name, id.clone());
        self.queues.insert(id.clone(), queue);
        Ok(id)
    }

    /// Deletes a queue. With force also one with entries: their tasks get back the status from before.
    pub fn delete_queue(&mut self, now: Timestamp, user: &UserId, queue: &QueueId, force: bool) -> Result<(), Refused> {
        let found = self.queue(queue)?;
        if !found.entries.is_empty() && !force {
            return Err(Refused::queue_not_empty(queue));
        }
        let Some(gone) = self.queues.remove(queue) else { return Ok(()) };
        self.queue_names.remove(&gone.name);
        for entry in gone.entries {
            let Some(task) = self.tasks.get_mut(&entry.task) else { continue };
            task.waits_in.retain(|other| other != queue);
            let before = task.enqueue_status.unwrap_or(Status::Created);
            // The server goes on when a task refuses; so do we.
            if self.change(now, user, &entry.task, before, Said::reason("Queue was deleted"), false).is_ok()
                && let Some(task) = self.tasks.get_mut(&entry.task)
            {
                task.enqueue_status = None;
            }
        }
        Ok(())
    }

    /// The queue of that id.
    pub fn queue(&self, queue: &QueueId) -> Result<&Queue, Refused> {
        self.queues.get(queue).ok_or_else(|| Refused::unknown_queue(queue))
    }

    /// The queue of that very name, hidden or not.
    pub fn queue_by_name(&self, name: &str) -> Option<&Queue> {
        self.queues.get(self.queue_names.get(name)?)
    }

    /// Every queue in the order of creation; the hidden ones only when they are asked for.
    pub fn queues(&self, include_hidden: bool) -> impl Iterator<Item = &Queue> {
        self.queues.values().filter(move |queue| include_hidden || !queue.hidden())
    }

    /// Replaces a queue's tags.
    pub fn set_tags(&mut self, now: Timestamp, queue: &QueueId, tags: Vec<String>) -> Result<(), Refused> {
        let queue = self.queue_mut(queue)?;
        queue.tags = tags;
        queue.tags.sort();
        queue.tags.dedup();
        queue.last_update = now;
        Ok(())
    }

    /// What people see instead of the name.
    pub fn set_display_name(&mut self, now: Timestamp, queue: &QueueId, name: &str) -> Result<(), Refused> {
        let queue = self.queue_mut(queue)?;
        queue.display_name = Some(name.to_owned());
        queue.last_update = now;
        Ok(())
    }

    /// Writes one key of a queue's metadata; the others stay.
    pub fn set_metadata(&mut self, now: Timestamp, queue: &QueueId, key: &str, value: &str) -> Result<(), Refused> {
        self.set_typed_metadata(now, queue, key, "str", value)
    }

    pub(super) fn set_typed_metadata(
        &mut self,
        now: Timestamp,
        queue: &QueueId,
        key: &str,
        kind: &str,
        value: &str,
    ) -> Result<(), Refused> {
        let queue = self.queue_mut(queue)?;
        queue.metadata.insert(key.to_owned(), Metadata { kind: kind.to_owned(), value: value.to_owned() });
        queue.last_update = now;
        Ok(())
    }

    /// Removes one key of a queue's metadata.
    pub fn delete_metadata(&mut self, now: Timestamp, queue: &QueueId, key: &str) -> Result<(), Refused> {
        let queue = self.queue_mut(queue)?;
        queue.metadata.remove(key);
        queue.last_update = now;
        Ok(())
    }

    /// One value of a queue's metadata.
    pub fn metadata(&self, queue: &QueueId, key: &str) -> Option<&str> {
        Some(self.queues.get(queue)?.metadata.get(key)?.value.as_str())
    }

    /// Takes the first entry out. The task's status stays `queued` until it is started: it is lost when the
    /// caller dies in between. With `only` nothing else than this task is taken.
    pub fn next_task(
        &mut self,
        now: Timestamp,
        queue: &QueueId,
        only: Option<&TaskId>,
    ) -> Result<Option<Entry>, Refused> {
        let found = self.queue_mut(queue)?;
        let first = found.entries.front().filter(|entry| only.is_none_or(|task| *task == entry.task));
        if first.is_none() {
            return Ok(None);
        }
        let entry = found.entries.pop_front();
        found.last_update = now;
        if let Some(task) = entry.as_ref().and_then(|entry| self.tasks.get_mut(&entry.task)) {
            task.waits_in.retain(|other| other != queue);
        }
        Ok(entry)
    }

    /// Adds a task at the end, whatever its status.
    pub fn add_task(&mut self, now: Timestamp, queue: &QueueId, task: &TaskId) -> Result<(), Refused> {
        let found = self.queues.get_mut(queue).ok_or_else(|| Refused::unknown_queue(queue))?;
        let waiting = self.tasks.get_mut(task).ok_or_else(|| Refused::unknown_task(task))?;
        if waiting.waits_in.contains(queue) {
            return Err(Refused::already_queued(task));
        }
        waiting.waits_in.push(queue.clone());
        found.entries.push_back(Entry { task: task.clone(), added: now });
        found.last_update = now;
        Ok(())
    }

    /// Forgets a task and leaves its entries, as a server does whose stores disagree.
    pub fn lose_task(&mut self, task: &TaskId) {
        self.tasks.remove(task);
    }

    /// Takes a task out of a queue and leaves its status alone.
    pub fn remove_task(&mut self, now: Timestamp, queue: &QueueId, task: &TaskId) -> Result<(), Refused> {
        self.take_out(now, queue, task).map(drop)
    }

    /// Moves a task within its queue; where it is then.
    pub fn move_task(&mut self, now: Timestamp, queue: &QueueId, task: &TaskId, to: Place) -> Result<usize, Refused> {
        let (position, entry) = self.take_out(now, queue, task)?;
        let found = self.queue_mut(queue)?;
        let last = found.entries.len();
        let position = match to {
            Place::Front => 0,
            Place::Back => last,
            Place::Forward(count) => position.saturating_sub(count),
            Place::Backward(count) => position.saturating_add(count).min(last),
        };
        found.entries.insert(position, entry);
        if let Some(task) = self.tasks.get_mut(task) {
            task.waits_in.push(queue.clone());
        }
        Ok(position)
    }

    fn take_out(&mut self, now: Timestamp, queue: &QueueId, task: &TaskId) -> Result<(usize, Entry), Refused> {
        let found = self.queues.get_mut(queue);
        let position = found.as_ref().and_then(|queue| queue.entries.iter().position(|entry| entry.task == *task));
        let taken = found.zip(position).and_then(|(queue, position)| {
            queue.last_update = now;
            Some((position, queue.entries.remove(position)?))
        });
        if let Some(task) = self.tasks.get_mut(task) {
            task.waits_in.retain(|other| other != queue);
        }
        taken.ok_or_else(|| Refused::not_in_queue(queue, task))
    }

    fn queue_mut(&mut self, queue: &QueueId) -> Result<&mut Queue, Refused> {
        self.queues.get_mut(queue).ok_or_else(|| Refused::unknown_queue(queue))
    }
}
