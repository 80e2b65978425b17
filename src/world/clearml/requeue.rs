//! A task of a machine that is gone goes back to its queue exactly once, whoever else tries (GUARD.md
//! section 5). The server's change of status is a compare-and-set on the old status, but not on the worker:
//! only the claim and the second look keep a console with an old view from stopping a new run.

use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::model::ids::{QueueId, QueueName, TaskId};
use crate::model::observed::{LostTask, TaskRecord, TaskStatus};
use crate::world::clearml::answer::{subcode, subcode_of};
use crate::world::clearml::hidden::{self, Creation};
use crate::world::clearml::session::Repeat;
use crate::world::clearml::{Clearml, wire};
use crate::world::tracker::{Requeue, TrackerError};

/// A claim this old was left by someone who did not finish; the next may go on.
const CLAIM_LIFE: SignedDuration = SignedDuration::from_mins(10);

/// So many unfinished attempts at one lost run are enough.
const MOST_CLAIMS: u32 = 5;

pub(super) async fn requeue_lost(server: &Clearml, lost: &LostTask) -> Result<Requeue, TrackerError> {
    match standing(read(server, &lost.task).await?.as_ref(), lost) {
        Standing::Settled => return Ok(Requeue::NotNeeded),
        Standing::Stopped => return enqueue(server, &lost.task, &lost.queue).await,
        Standing::Lost => {}
    }
    let Some(claim) = claim(server, lost).await? else { return Ok(Requeue::NotNeeded) };
    let done = stop_and_enqueue(server, lost).await;
    // A claim is kept only while it is open what became of our calls; the next reader decides by the status.
    if matches!(done, Ok(_) | Err(TrackerError::Refused { .. })) {
        hidden::delete(server, &claim).await?;
    }
    done
}

/// The task of a status that is queued, in no queue (GUARD.md section 4): put where it belongs.
pub(super) async fn enqueue_stray(server: &Clearml, task: &TaskId, queue: &QueueId) -> Result<Requeue, TrackerError> {
    let stray = read(server, task).await?;
    let belongs = stray.is_some_and(|task| task.status == TaskStatus::Queued && task.queue.as_ref() == Some(queue));
    if belongs { enqueue(server, task, queue).await } else { Ok(Requeue::NotNeeded) }
}

async fn stop_and_enqueue(server: &Clearml, lost: &LostTask) -> Result<Requeue, TrackerError> {
    match standing(read(server, &lost.task).await?.as_ref(), lost) {
        Standing::Settled => return Ok(Requeue::NotNeeded),
        Standing::Stopped => {}
        Standing::Lost => {
            let body = json!({ "task": lost.task.as_str(), "force": true, "status_reason": reason(lost) });
            if let Err(error) = server.console.call::<Value>("tasks.stopped", body, Repeat::Never).await {
                return if another_was_first(&error) { Ok(Requeue::NotNeeded) } else { Err(error) };
            }
        }
    }
    enqueue(server, &lost.task, &lost.queue).await
}

/// Never sent twice: after an unknown outcome the task is read again before anything else.
pub(super) async fn enqueue(server: &Clearml, task: &TaskId, queue: &QueueId) -> Result<Requeue, TrackerError> {
    enqueue_saying(server, task, queue, "").await
}

/// The same, with what is to be read on the task meanwhile.
pub(super) async fn enqueue_saying(
    server: &Clearml,
    task: &TaskId,
    queue: &QueueId,
    why: &str,
) -> Result<Requeue, TrackerError> {
    let mut body = json!({ "task": task.as_str(), "queue": queue.as_str() });
    if let Some(fields) = body.as_object_mut().filter(|_| !why.is_empty()) {
        fields.insert("status_reason".to_owned(), why.into());
    }
    match server.console.call::<Value>("tasks.enqueue", body, Repeat::Never).await {
        Ok(_) => Ok(Requeue::Enqueued),
        Err(error) if another_was_first(&error) => Ok(Requeue::NotNeeded),
        Err(error) => Err(error),
    }
}

/// Whether another changed the task before us, in whatever way.
pub(super) fn another_was_first(error: &TrackerError) -> bool {
    let first = [subcode::INVALID_STATUS, subcode::STATUS_CHANGED, subcode::NOT_IN_QUEUE, subcode::ALREADY_QUEUED];
    first.contains(&subcode_of(error))
}

pub(super) async fn read(server: &Clearml, task: &TaskId) -> Result<Option<TaskRecord>, TrackerError> {
    let mut tasks = server.tasks_where(json!({ "id": [task.as_str()], "search_hidden": true })).await?;
    Ok(tasks.pop())
}

/// Where a lost task stands now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// As it was when the machine went.
    Lost,
    /// Someone stopped it for this very loss and did not come to enqueue it: one of us, or the machine itself.
    Stopped,
    /// It went on without us.
    Settled,
}

fn standing(task: Option<&TaskRecord>, lost: &LostTask) -> Standing {
    let Some(task) = task else { return Standing::Settled };
    let same_run = lost.is_run(task.last_worker.as_ref(), task.started);
    let by_machine = lost.worker.is_none();
    match task.status {
        TaskStatus::InProgress if same_run => Standing::Lost,
        TaskStatus::Stopped if same_run && (by_machine || task.status_reason == reason(lost)) => Standing::Stopped,
        _ => Standing::Settled,
    }
}

fn reason(lost: &LostTask) -> String {
    format!("vm {} lost", lost.instance)
}

/// Makes the claim on this very run ours, or says that another's is young enough to wait for.
async fn claim(server: &Clearml, lost: &LostTask) -> Result<Option<QueueName>, TrackerError> {
    for attempt in 1..=MOST_CLAIMS {
        let name = claim_name(lost, attempt);
        if let Creation::Created(_) = hidden::create(&server.console, &name).await? {
            return Ok(Some(name));
        }
        let claim: Option<wire::Hidden> = hidden::find(&server.console, &name).await?;
        let age = claim.and_then(|claim| claim.created).map(|at| server.clock.now().duration_since(at));
        if age.is_none_or(|age| age < CLAIM_LIFE) {
            return Ok(None);
        }
    }
    Ok(None)
}

/// One name for one run on one machine: a run that goes on elsewhere may keep its `started`.
fn claim_name(lost: &LostTask, attempt: u32) -> QueueName {
    let started = lost.started.map(jiff::Timestamp::as_microsecond).unwrap_or_default();
    let again = if attempt == 1 { String::new() } else { format!(":{attempt}") };
    QueueName::new(format!("claim:{}:{started}:{}{again}", lost.task, lost.instance))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn lost() -> LostTask {
        LostTask {
            task: "t".into(),
            queue: "q".into(),
            worker: Some("f:p:x:i-1".into()),
            instance: "i-1".into(),
            started: Some(Timestamp::from_second(5).unwrap()),
        }
    }

    fn task(status: TaskStatus, reason: &str) -> TaskRecord {
        TaskRecord {
            id: "t".into(),
            name: "n".to_owned(),
            status,
            status_reason: reason.to_owned(),
            status_changed: None,
            started: lost().started,
            last_worker: lost().worker,
            queue: Some("q".into()),
        }
    }

    #[test]
    fn a_task_that_its_machine_stopped_is_known_by_the_machine() {
        let lost = LostTask { worker: None, started: None, ..lost() };
        let elsewhere = TaskRecord { last_worker: Some("f:p:x:i-2".into()), ..task(TaskStatus::Stopped, "user abort") };
        for (task, wanted) in [
            (task(TaskStatus::Stopped, "user abort"), Standing::Stopped),
            (task(TaskStatus::InProgress, ""), Standing::Lost),
            (task(TaskStatus::Queued, ""), Standing::Settled),
            (task(TaskStatus::Other, ""), Standing::Settled),
            (elsewhere, Standing::Settled),
        ] {
            assert_eq!(standing(Some(&task), &lost), wanted, "{task:?}");
        }
    }

    #[test]
    fn only_the_very_run_that_was_lost_is_touched() {
        let lost = lost();
        let other_worker = TaskRecord { last_worker: Some("f:p:x:i-2".into()), ..task(TaskStatus::InProgress, "") };
        let other_run =
            TaskRecord { started: Some(Timestamp::from_second(6).unwrap()), ..task(TaskStatus::InProgress, "") };
        for (task, wanted) in [
            (None, Standing::Settled),
            (Some(task(TaskStatus::InProgress, "")), Standing::Lost),
            (Some(other_worker), Standing::Settled),
            (Some(other_run), Standing::Settled),
            (Some(task(TaskStatus::Stopped, "vm i-1 lost")), Standing::Stopped),
            (Some(task(TaskStatus::Stopped, "user abort")), Standing::Settled),
            (Some(task(TaskStatus::Queued, "")), Standing::Settled),
            (Some(task(TaskStatus::Other, "")), Standing::Settled),
        ] {
            assert_eq!(standing(task.as_ref(), &lost), wanted, "{task:?}");
        }
    }
}
