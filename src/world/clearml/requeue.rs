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
    let done = match standing(read(server, &lost.task).await?.as_ref(), lost) {
        Standing::Settled => Ok(Requeue::NotNeeded),
        Standing::Waits => Ok(Requeue::Waits),
        Standing::Stopped => enqueue(server, &lost.task, &lost.queue).await,
        Standing::Lost if claim(server, lost).await? => stop_and_enqueue(server, lost).await,
        Standing::Lost => return Ok(Requeue::Claimed),
    };
    // A claim is kept only while it is open what became of our calls; the next reader decides by the status.
    if matches!(done, Ok(_) | Err(TrackerError::Refused { .. })) {
        release(server, lost).await;
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
        Standing::Waits => return Ok(Requeue::Waits),
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
    /// In its queue again, and nobody has begun it since.
    Waits,
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
        TaskStatus::Queued if same_run && task.queue.as_ref() == Some(&lost.queue) => Standing::Waits,
        _ => Standing::Settled,
    }
}

fn reason(lost: &LostTask) -> String {
    format!("vm {} lost", lost.instance)
}

/// Makes the claim on this very run ours. `false`: another's is young enough to wait for.
async fn claim(server: &Clearml, lost: &LostTask) -> Result<bool, TrackerError> {
    for attempt in 1..=MOST_CLAIMS {
        let name = claim_name(lost, attempt);
        // One of before: the answer to what it was made for was lost.
        if server.claims.lock().await.contains(&name) {
            return Ok(true);
        }
        if let Creation::Created(_) = hidden::create(&server.console, &name).await? {
            server.claims.lock().await.insert(name);
            return Ok(true);
        }
        let claim: Option<wire::Hidden> = hidden::find(&server.console, &name).await?;
        let age = claim.and_then(|claim| claim.created).map(|at| server.clock.now().duration_since(at));
        if age.is_none_or(|age| age < CLAIM_LIFE) {
            return Ok(false);
        }
    }
    let message = format!(
        "`{}` and {} more claims on it were left unfinished: `tidegate cleanup` removes them",
        claim_name(lost, 1),
        MOST_CLAIMS - 1
    );
    Err(TrackerError::Refused {
        endpoint: "queues.create".to_owned(),
        code: 400,
        subcode: subcode::NAME_TAKEN,
        message,
    })
}

/// Gives our claim back. One that stays is in nobody's way: it is for this one run.
async fn release(server: &Clearml, lost: &LostTask) {
    for attempt in 1..=MOST_CLAIMS {
        let name = claim_name(lost, attempt);
        if server.claims.lock().await.remove(&name)
            && let Err(error) = hidden::delete(server, &name).await
        {
            tracing::warn!(%error, claim = %name, "a claim could not be removed");
        }
    }
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
    use crate::world::clearml::credentials::{Credentials, User};
    use crate::world::clock::Clock;
    use crate::world::secret::Secret;
    use crate::world::sim::clearml::http::{Face, Fault, Watch};
    use crate::world::sim::clearml::{ClearmlServer, NewTask, Report, Said, lock};
    use crate::world::tracker::Tracker as _;
    use jiff::Timestamp;

    /// A server over HTTP, and one of its consoles.
    async fn served(tasks: &mut tokio::task::JoinSet<()>) -> (Watch, impl Fn() -> Clearml) {
        let server = ClearmlServer::new(Clock::Wall.now()).shared();
        let face = Face::bind(server, Clock::Wall, "127.0.0.1:0".parse().unwrap()).await.unwrap();
        let watch = face.watch();
        tasks.spawn(async move { face.serve().await.unwrap() });
        let url = watch.url();
        let user = |name: &str| User {
            key: Secret::new(format!("{}-KEY", name.to_uppercase())),
            secret: Secret::new(format!("{name}-secret")),
            from: "the test".to_owned(),
        };
        let credentials = move || Credentials {
            server: url.clone(),
            server_from: "the test".to_owned(),
            console: user("console"),
            agents: user("agents"),
        };
        (watch, move || Clearml::new(credentials(), Clock::Wall).unwrap())
    }

    /// A task that runs on a machine that is gone.
    async fn lost_on(watch: &Watch, client: &Clearml) -> LostTask {
        let (now, user) = (Clock::Wall.now(), ClearmlServer::console());
        let (queue, task) = {
            let mut server = lock(watch.server());
            let queue = server.create_queue(now, "gpu", &[]).unwrap();
            let task = server.create_task(now, NewTask::new("train", user.clone())).unwrap();
            server.enqueue(now, &user, &task, &queue, Said::default(), false).unwrap();
            server.next_task(now, &queue, None).unwrap().unwrap();
            server.started(now, &ClearmlServer::agents(), &task, Said::message("pulled by agent"), true).unwrap();
            let (queues, of) = (vec![queue.clone()], Some(queue.clone()));
            let report = Report { queues, task: Some(task.clone()), queue: of, tags: Vec::new() };
            server.status_report(now, &ClearmlServer::agents(), &"f:p:x:i-1".into(), report).unwrap();
            (queue, task)
        };
        let seen = client.tasks(std::slice::from_ref(&queue), &[TaskStatus::InProgress]).await.unwrap().remove(0);
        LostTask { task, queue, worker: Some("f:p:x:i-1".into()), instance: "i-1".into(), started: seen.started }
    }

    fn entries(watch: &Watch, lost: &LostTask) -> usize {
        lock(watch.server()).queue(&lost.queue).unwrap().entries.len()
    }

    #[tokio::test]
    async fn whose_claim_it_is_goes_on_at_once_and_another_is_told_to_ask_again() {
        let mut tasks = tokio::task::JoinSet::new();
        let (watch, console) = served(&mut tasks).await;
        let (ours, other) = (console(), console());
        let lost = lost_on(&watch, &ours).await;
        watch.spoil(|endpoint, _| (endpoint == "tasks.stopped").then_some(Fault::Answer(502)));
        for _ in 0..2 {
            let error = ours.requeue_lost(&lost).await.unwrap_err();
            assert!(matches!(error, TrackerError::Unreachable { .. }), "{error}");
        }
        watch.heal();
        assert_eq!(other.requeue_lost(&lost).await, Ok(Requeue::Claimed));
        assert_eq!(entries(&watch, &lost), 0);
        assert_eq!(ours.requeue_lost(&lost).await, Ok(Requeue::Enqueued));
        assert_eq!(other.requeue_lost(&lost).await, Ok(Requeue::Waits));
        assert_eq!(entries(&watch, &lost), 1);
        assert!(!lock(watch.server()).queues(true).any(|queue| queue.name.as_str().starts_with("claim:")));
    }

    #[tokio::test]
    async fn what_was_done_and_not_heard_of_is_found_done_and_leaves_no_claim() {
        for endpoint in ["tasks.stopped", "tasks.enqueue"] {
            let mut tasks = tokio::task::JoinSet::new();
            let (watch, console) = served(&mut tasks).await;
            let console = console();
            let lost = lost_on(&watch, &console).await;
            watch.spoil(move |called, _| (called == endpoint).then_some(Fault::Lost));
            console.requeue_lost(&lost).await.unwrap_err();
            watch.heal();
            let done = if endpoint == "tasks.enqueue" { Requeue::Waits } else { Requeue::Enqueued };
            assert_eq!(console.requeue_lost(&lost).await, Ok(done));
            assert_eq!(entries(&watch, &lost), 1);
            assert!(!lock(watch.server()).queues(true).any(|queue| queue.name.as_str().starts_with("claim:")));
        }
    }

    /// What was done is done, whether or not the claim can be given back.
    #[tokio::test]
    async fn a_claim_that_cannot_be_removed_is_no_failure() {
        let mut tasks = tokio::task::JoinSet::new();
        let (watch, console) = served(&mut tasks).await;
        let console = console();
        let lost = lost_on(&watch, &console).await;
        watch.spoil(|endpoint, _| (endpoint == "queues.delete").then_some(Fault::Answer(400)));
        assert_eq!(console.requeue_lost(&lost).await, Ok(Requeue::Enqueued));
    }

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
            (task(TaskStatus::Queued, ""), Standing::Waits),
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
        let in_another_queue = TaskRecord { queue: Some("r".into()), ..task(TaskStatus::Queued, "") };
        let begun_since =
            TaskRecord { started: Some(Timestamp::from_second(6).unwrap()), ..task(TaskStatus::Queued, "") };
        for (task, wanted) in [
            (None, Standing::Settled),
            (Some(task(TaskStatus::InProgress, "")), Standing::Lost),
            (Some(other_worker), Standing::Settled),
            (Some(other_run), Standing::Settled),
            (Some(task(TaskStatus::Stopped, "vm i-1 lost")), Standing::Stopped),
            (Some(task(TaskStatus::Stopped, "user abort")), Standing::Settled),
            (Some(task(TaskStatus::Queued, "")), Standing::Waits),
            (Some(in_another_queue), Standing::Settled),
            (Some(begun_since), Standing::Settled),
            (Some(task(TaskStatus::Other, "")), Standing::Settled),
        ] {
            assert_eq!(standing(task.as_ref(), &lost), wanted, "{task:?}");
        }
    }
}
