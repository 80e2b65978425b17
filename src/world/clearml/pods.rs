//! Tasks that wait for a pod, by the convention of ClearML's own glue (KUBERNETES.md section 1.3): the task lies in a queue to
//! which nobody listens, so that people see that it waits; its pod takes it from there, and runs nothing where it is not there.
//! Each step leaves the task in a state that the next look understands: in its queue, in no queue (it is put back after a minute
//! and a half), or in the queue for pods (its attempt is remembered, and its Job exists).

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::model::attempt::lost_reason;
use crate::model::ids::{QueueId, QueueName, TaskId};
use crate::model::observed::{TaskRecord, TaskStatus};
use crate::world::clearml::answer::{subcode, subcode_of};
use crate::world::clearml::requeue::{another_was_first, enqueue, enqueue_saying, read};
use crate::world::clearml::session::Repeat;
use crate::world::clearml::{Clearml, hidden};
use crate::world::tracker::{PodPlace, Requeue, Taken, Tracker, TrackerError};

pub(super) async fn take(server: &Clearml, place: &PodPlace) -> Result<Taken, TrackerError> {
    let pending = hidden::ensure(server, &place.pending).await?;
    let Some(task) = read(server, &place.task).await? else { return Ok(Taken::NotWaiting) };
    if task.status != TaskStatus::Queued {
        return Ok(Taken::NotWaiting);
    }
    if task.queue.as_ref() == Some(&pending) || is_marked(&task, place) {
        return Ok(Taken::Taken);
    }
    // Of all who take it out exactly one is told so: an agent that pulls at the same moment is another.
    if task.queue.as_ref() != Some(&place.queue) || !remove(server, &place.queue, &place.task).await? {
        return Ok(Taken::NotWaiting);
    }
    let moved = enqueue_saying(server, &place.task, &pending, &place.waits).await?;
    Ok(if moved == Requeue::Enqueued { Taken::Taken } else { Taken::NotWaiting })
}

/// Tasks that wait in these queues.
pub(super) async fn waiting(server: &Clearml, pending: &[QueueName]) -> Result<Vec<TaskRecord>, TrackerError> {
    let mut queues = Vec::new();
    for name in pending {
        let seen = server.hidden.lock().await.get(name).cloned();
        match seen {
            Some(queue) => queues.push(queue),
            None => queues.extend(hidden::find(&server.console, name).await?.map(|queue| queue.id.into())),
        }
    }
    server.tasks(&queues, &[TaskStatus::Queued]).await
}

pub(super) async fn put_back(
    server: &Clearml,
    place: &PodPlace,
    started: Option<Timestamp>,
    give_up: Option<&str>,
) -> Result<Requeue, TrackerError> {
    let pending = hidden::ensure(server, &place.pending).await?;
    let Some(task) = read(server, &place.task).await? else { return Ok(Requeue::NotNeeded) };
    match standing(&task, &pending, place, started) {
        Standing::Settled => return Ok(Requeue::NotNeeded),
        Standing::Waits => {
            // One that is in no queue is put back all the same.
            remove(server, task.queue.as_ref().unwrap_or(&pending), &place.task).await?;
            if let Some(why) = give_up {
                return stop(server, &place.task, why).await;
            }
        }
        Standing::Runs => {
            let stopped = stop(server, &place.task, give_up.unwrap_or(&reason(place))).await?;
            if stopped == Requeue::NotNeeded || give_up.is_some() {
                return Ok(stopped);
            }
        }
        Standing::Stopped => {}
    }
    let back = enqueue(server, &place.task, &place.queue).await?;
    if back == Requeue::Enqueued {
        // Where it stands in its queue is worth no failure: it is there.
        let body = json!({ "queue": place.queue.as_str(), "task": place.task.as_str() });
        let _ = server.console.call::<Value>("queues.move_task_to_front", body, Repeat::Safe).await;
    }
    Ok(back)
}

/// Takes the task out of the queue. `false`: it was not there.
async fn remove(server: &Clearml, queue: &QueueId, task: &TaskId) -> Result<bool, TrackerError> {
    let body = json!({ "queue": queue.as_str(), "task": task.as_str() });
    match server.console.call::<Value>("queues.remove_task", body, Repeat::Never).await {
        Ok(_) => Ok(true),
        Err(error) if subcode_of(&error) == subcode::NOT_IN_QUEUE => Ok(false),
        Err(error) => Err(error),
    }
}

async fn stop(server: &Clearml, task: &TaskId, why: &str) -> Result<Requeue, TrackerError> {
    let body = json!({ "task": task.as_str(), "force": true, "status_reason": why });
    match server.console.call::<Value>("tasks.stopped", body, Repeat::Never).await {
        Ok(_) => Ok(Requeue::Enqueued),
        Err(error) if another_was_first(&error) => Ok(Requeue::NotNeeded),
        Err(error) => Err(error),
    }
}

/// Where the task of a pod that is gone stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// For its pod.
    Waits,
    /// By its status, in the pod that is gone.
    Runs,
    /// We stopped it for this, and did not come to put it back.
    Stopped,
    /// It went on without us.
    Settled,
}

fn standing(task: &TaskRecord, pending: &QueueId, place: &PodPlace, started: Option<Timestamp>) -> Standing {
    let in_pending = task.queue.as_ref() == Some(pending);
    match task.status {
        // What is written on it names this pod, whatever queue it lies in.
        TaskStatus::Queued if in_pending || is_marked(task, place) => Standing::Waits,
        TaskStatus::InProgress if in_pending && task.started == started => Standing::Runs,
        TaskStatus::Stopped if task.status_reason == reason(place) => Standing::Stopped,
        _ => Standing::Settled,
    }
}

fn is_marked(task: &TaskRecord, place: &PodPlace) -> bool {
    task.queue.as_ref() != Some(&place.queue) && !place.waits.is_empty() && task.status_reason == place.waits
}

fn reason(place: &PodPlace) -> String {
    lost_reason(&place.instance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_task_of_this_pod_is_put_back() {
        let place = PodPlace {
            task: "t".into(),
            queue: "q".into(),
            pending: "k8s".into(),
            instance: "clearml-t-1".into(),
            waits: "waits for pod clearml-t-1".to_owned(),
        };
        let at = |second| Timestamp::from_second(second).ok();
        let task = |status, queue: &str, started, reason: &str| TaskRecord {
            id: "t".into(),
            name: "t".to_owned(),
            status,
            status_reason: reason.to_owned(),
            status_changed: None,
            started,
            last_worker: None,
            queue: Some(queue.into()),
        };
        for (task, stands) in [
            (task(TaskStatus::Queued, "p", None, ""), Standing::Waits),
            (task(TaskStatus::Queued, "q", None, ""), Standing::Settled),
            (task(TaskStatus::Queued, "an older one", None, "waits for pod clearml-t-1"), Standing::Waits),
            (task(TaskStatus::Queued, "an older one", None, "waits for pod clearml-t-2"), Standing::Settled),
            (task(TaskStatus::InProgress, "p", at(5), ""), Standing::Runs),
            (task(TaskStatus::InProgress, "p", at(6), ""), Standing::Settled),
            (task(TaskStatus::InProgress, "q", at(5), ""), Standing::Settled),
            (task(TaskStatus::Stopped, "p", at(5), "pod clearml-t-1 lost"), Standing::Stopped),
            (task(TaskStatus::Stopped, "p", at(5), "by ann"), Standing::Settled),
            (task(TaskStatus::Other, "p", at(5), ""), Standing::Settled),
        ] {
            assert_eq!(standing(&task, &"p".into(), &place, at(5)), stands, "{task:?}");
        }
    }
}
