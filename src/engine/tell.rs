//! What people read in ClearML's own pages, where the settings ask for it: why a queue's tasks wait, in the queue's metadata and
//! in the status message of the first of them. It is written when it changes, seldom, and to few tasks at a time.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::engine::act::deed::Deed;
use crate::engine::run::Loop;
use crate::model::ids::{QueueId, QueueName, TaskId};
use crate::model::plan::Outlook;
use crate::model::settings::Settings;
use crate::model::snapshot::Snapshot;

/// Numbers in a reason change at every look: a queue is not told more often.
const QUEUE_AGAIN: SignedDuration = SignedDuration::from_mins(1);
/// And a task not for other numbers only.
const TASK_AGAIN: SignedDuration = SignedDuration::from_mins(10);

/// So many tasks of a queue are told, the first first; each is a call.
const MOST_TASKS: usize = 20;

/// A task that came a moment ago may be taken a moment later: it is left alone until it has waited.
const SETTLED: SignedDuration = SignedDuration::from_secs(30);

const LONGEST: usize = 300;

/// What was told.
#[derive(Debug, Default)]
pub(super) struct Waits {
    queues: BTreeMap<QueueName, Said>,
}

#[derive(Debug, Default)]
struct Said {
    text: String,
    at: Timestamp,
    /// Tasks, and when each was told which reason, its numbers aside.
    tasks: BTreeMap<TaskId, (String, Timestamp)>,
}

impl Waits {
    /// It was not told after all.
    pub(super) fn forget(&mut self, queue: &QueueName) {
        self.queues.remove(queue);
    }

    pub(super) fn forget_all(&mut self) {
        self.queues.clear();
    }

    /// What is to be told of a queue now, and taken for told.
    fn next(&mut self, outlook: &Outlook, snapshot: &Snapshot, settings: &Settings, now: Timestamp) -> Option<Deed> {
        let state = snapshot.queue(&outlook.queue)?;
        let queue: QueueId = state.id.clone()?;
        let reason = outlook.next.as_ref().filter(|_| outlook.waiting > 0).map(ToString::to_string);
        let text = reason.map(|reason| line(&format!("Tidegate, fleet {}: {reason}", settings.the_loop.fleet)));
        let text = text.unwrap_or_default();
        let said = self.queues.entry(outlook.queue.clone()).or_default();
        let long_ago = |at: Timestamp, span: SignedDuration| now.duration_since(at).abs() >= span;
        let waiting: BTreeSet<&TaskId> = state.waiting.iter().map(|entry| &entry.task).collect();
        said.tasks.retain(|task, _| waiting.contains(task));
        let shape = shape(&text);
        let untold = |task: &TaskId| match said.tasks.get(task) {
            None => true,
            Some((told, at)) => *told != shape || long_ago(*at, TASK_AGAIN) && text != said.text,
        };
        let settled = state.waiting.iter().filter(|entry| now.duration_since(entry.added) >= SETTLED);
        let first = settled.take(MOST_TASKS).map(|entry| &entry.task).filter(|task| !text.is_empty() && untold(task));
        let tasks: Vec<TaskId> = first.cloned().collect();
        let changed = text != said.text;
        if !changed && tasks.is_empty() || !long_ago(said.at, QUEUE_AGAIN) {
            return None;
        }
        said.tasks.extend(tasks.iter().map(|task| (task.clone(), (shape.clone(), now))));
        (said.text, said.at) = (text.clone(), now);
        Some(Deed::TellWaiting { name: outlook.queue.clone(), queue, text, tasks })
    }
}

impl Loop {
    /// Tells ClearML why tasks wait, if the settings ask for it.
    pub(super) fn tell_waiting(&mut self) {
        let may = self.settings.the_loop.tell_waiting && self.surely_leads() && self.memory.armed;
        if !may {
            return;
        }
        let now = self.setup.clock.now();
        let plan = std::sync::Arc::clone(&self.plan);
        for outlook in &plan.outlooks {
            if let Some(deed) = self.waits_told.next(outlook, &self.snapshot, &self.settings, now) {
                self.begin(deed);
            }
        }
    }
}

fn line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(LONGEST).collect()
}

/// A reason without its numbers.
fn shape(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_ascii_digit()).collect()
}
