//! Our own client against the simulated server.

use futures::future::join_all;
use jiff::SignedDuration;
use serde_json::json;
use tidegate::model::ids::{QueueId, TaskId};
use tidegate::model::observed::{LostTask, TaskStatus};
use tidegate::world::clearml::Clearml;
use tidegate::world::sim::clearml::http::Fault;
use tidegate::world::sim::clearml::{ClearmlServer, HIDING_TAG, NewTask, Report, Said, Status};
use tidegate::world::tracker::{Requeue, Tracker, TrackerError};

use crate::clearml::simulated::Rig;

const WORKER: &str = "f:p:t:i-1";

fn queue(rig: &Rig) -> QueueId {
    rig.server().create_queue(rig.now(), "gpu", &[]).unwrap()
}

fn queued(rig: &Rig, queue: &QueueId) -> TaskId {
    let (now, user) = (rig.now(), ClearmlServer::console());
    let mut server = rig.server();
    let task = server.create_task(now, NewTask::new("train", user.clone())).unwrap();
    server.enqueue(now, &user, &task, queue, Said::default(), false).unwrap();
    task
}

/// The first task of the queue runs on that worker.
fn run(rig: &Rig, queue: &QueueId, worker: &str) {
    let (now, user) = (rig.now(), ClearmlServer::agents());
    let mut server = rig.server();
    let task = server.next_task(now, queue, None).unwrap().unwrap().task;
    server.started(now, &user, &task, Said::message("pulled by agent"), true).unwrap();
    let report = Report { queues: vec![queue.clone()], task: Some(task), queue: Some(queue.clone()), tags: Vec::new() };
    server.status_report(now, &user, &worker.into(), report).unwrap();
}

/// A task that runs on a machine that is gone, as the client sees it.
async fn lost(rig: &Rig, client: &Clearml, queue: &QueueId) -> LostTask {
    let task = queued(rig, queue);
    run(rig, queue, WORKER);
    let seen = client.tasks(std::slice::from_ref(queue), &[TaskStatus::InProgress]).await.unwrap().remove(0);
    assert_eq!(seen.id, task);
    LostTask { task, queue: queue.clone(), worker: Some(WORKER.into()), instance: "i-1".into(), started: seen.started }
}

fn entries(rig: &Rig, queue: &QueueId) -> usize {
    rig.server().queue(queue).unwrap().entries.len()
}

#[tokio::test]
async fn queues_workers_and_tasks_are_seen_as_they_are() {
    let rig = Rig::start(1).await;
    let client = rig.client();
    let gpu = queue(&rig);
    let (first, second) = (queued(&rig, &gpu), queued(&rig, &gpu));
    rig.server().create_queue(rig.now(), "tidegate:f", &[HIDING_TAG]).unwrap();
    run(&rig, &gpu, WORKER);

    let queues = client.queues().await.unwrap();
    let names: Vec<&str> = queues.iter().map(|queue| queue.name.as_str()).collect();
    assert_eq!(names, ["default", "gpu"], "the hidden one is not listed");
    assert_eq!(queues[1].entries.iter().map(|entry| &entry.task).collect::<Vec<_>>(), [&second]);

    let workers = client.workers(&"f".into()).await.unwrap();
    let task = workers[0].task.as_ref().unwrap();
    assert_eq!((workers.len(), workers[0].id.as_str(), &task.id, &task.queue), (1, WORKER, &first, &Some(gpu.clone())));
    assert!(workers[0].last_report.is_some());

    let all = [TaskStatus::Queued, TaskStatus::InProgress, TaskStatus::Stopped, TaskStatus::Other];
    let tasks = client.tasks(std::slice::from_ref(&gpu), &all).await.unwrap();
    let seen: Vec<_> = tasks.iter().map(|task| (&task.id, task.status, task.last_worker.is_some())).collect();
    assert_eq!(seen, [(&first, TaskStatus::InProgress, true), (&second, TaskStatus::Queued, false)]);

    rig.pass(SignedDuration::from_secs(540)).await;
    assert_eq!(client.workers(&"f".into()).await.unwrap().len(), 1);
    client.unregister(&WORKER.into()).await.unwrap();
    assert!(client.workers(&"f".into()).await.unwrap().is_empty());
    let said = client.check().await.unwrap();
    for word in ["ClearML 2.3.0", "open source", "company clearml", "we are console", "the agents are agents"] {
        assert!(said.contains(word), "{said}");
    }
    assert!(rig.watch.unknown_endpoints().is_empty());
}

#[tokio::test]
async fn a_silent_worker_is_gone_after_ten_minutes() {
    let rig = Rig::start(1).await;
    let (client, gpu) = (rig.client(), queue(&rig));
    queued(&rig, &gpu);
    run(&rig, &gpu, WORKER);
    rig.pass(SignedDuration::from_secs(601)).await;
    assert!(client.workers(&"f".into()).await.unwrap().is_empty());
}

#[tokio::test]
async fn more_queues_than_a_page_holds_are_all_read() {
    let rig = Rig::start(1).await;
    for n in 0..1_000 {
        rig.server().create_queue(rig.now(), &format!("queue-{n}"), &[]).unwrap();
    }
    assert_eq!(rig.client().queues().await.unwrap().len(), 1_001);
    assert_eq!(rig.watch.count("queues.get_all"), 3);
}

#[tokio::test]
async fn a_token_that_has_ended_is_renewed_by_itself() {
    let rig = Rig::start(1).await;
    let client = rig.client();
    for (days, logins) in [(0, 1), (29, 1), (2, 2), (31, 3)] {
        rig.pass(SignedDuration::from_hours(24 * days)).await;
        client.queues().await.unwrap();
        assert_eq!(rig.watch.count("auth.login"), logins, "{days} more days");
    }
    let wrong = Clearml::new(rig.credentials("wrong"), rig.clock).unwrap();
    let error = wrong.queues().await.unwrap_err();
    assert!(matches!(&error, TrackerError::Credentials { from, .. } if from == "the place of console"), "{error}");
}

#[tokio::test]
async fn a_minted_token_is_the_agents_and_ends_when_it_should() {
    let rig = Rig::start(1).await;
    let token = rig.client().mint_agent_token(SignedDuration::from_mins(45)).await.unwrap();
    let who = async || {
        let body = |request: reqwest::RequestBuilder| request.bearer_auth(token.expose());
        let (status, answer) = rig.send("v2.30/users.get_current_user", "{}", body).await;
        (status, answer["data"]["user"]["id"].clone())
    };
    assert_eq!(who().await, (200, json!("__agents__")));
    rig.pass(SignedDuration::from_mins(46)).await;
    assert_eq!(who().await.0, 401);
}

#[tokio::test]
async fn an_order_and_its_answer_pass_through_the_mailbox() {
    let rig = Rig::start(1).await;
    let client = rig.client();
    client.order_drain(&"i-1".into(), "n1").await.unwrap();
    let mailbox = rig.server().queue_by_name("drain:i-1").unwrap().id.clone();
    assert_eq!(rig.server().metadata(&mailbox, "want"), Some("drain:n1"));
    rig.server().set_metadata(rig.now(), &mailbox, "state", "drained:n1").unwrap();
    let seen = client.glance(&"lab".into()).await.unwrap().mailboxes;
    assert_eq!((seen.len(), seen[0].drained(), seen[0].queue.as_str()), (1, Some("n1"), mailbox.as_str()));
    client.cancel_drain(&"i-1".into()).await.unwrap();
    assert_eq!(rig.server().metadata(&mailbox, "want"), Some("run"));
    assert_eq!(rig.server().metadata(&mailbox, "state"), Some("drained:n1"), "the machine's own key stays");
    client.renew_lease(&"f".into(), "7").await.unwrap();
    let lease = rig.server().queue_by_name("tidegate:f").unwrap().id.clone();
    assert_eq!(rig.server().metadata(&lease, "lease"), Some("7"));
    for _ in 0..2 {
        client.delete_mailbox(&"i-1".into()).await.unwrap();
    }
    assert!(client.glance(&"lab".into()).await.unwrap().mailboxes.is_empty());
}

/// `src/replay/policy/own.rs` counts by it.
#[tokio::test]
async fn what_is_done_again_and_again_takes_one_call() {
    let rig = Rig::start(1).await;
    let (client, gpu) = (rig.client(), queue(&rig));
    queued(&rig, &gpu);
    run(&rig, &gpu, WORKER);
    client.renew_lease(&"f".into(), "1").await.unwrap();
    client.create_mailbox(&"i-1".into()).await.unwrap();
    client.unregister(&"nobody".into()).await.unwrap();
    let calls = || rig.watch.calls().values().sum::<usize>();
    let mut before = calls();
    let mut took = |what: &str, expected: usize| {
        assert_eq!(calls() - before, expected, "{what}");
        before = calls();
    };
    let glance = client.glance(&"lab".into()).await.unwrap();
    took("the queues, who listens, and the mailboxes", 1);
    let seen: Vec<_> = glance.workers.iter().map(|worker| (worker.id.as_str(), worker.task.is_some())).collect();
    assert_eq!((seen, glance.mailboxes.len()), (vec![(WORKER, true)], 1));
    client.workers(&"f".into()).await.unwrap();
    took("the workers' reports", 1);
    client.renew_lease(&"f".into(), "2").await.unwrap();
    took("the lease", 1);
    client.mint_agent_token(SignedDuration::from_mins(45)).await.unwrap();
    client.create_mailbox(&"i-2".into()).await.unwrap();
    took("a launch and one machine of it", 2);
    client.order_drain(&"i-1".into(), "n").await.unwrap();
    took("a drain", 1);
    client.delete_mailbox(&"i-1".into()).await.unwrap();
    client.unregister(&WORKER.into()).await.unwrap();
    took("the end of a machine", 3);
}

#[tokio::test]
async fn what_somebody_removed_and_made_anew_is_written_to() {
    let rig = Rig::start(1).await;
    let client = rig.client();
    client.order_drain(&"i-1".into(), "n1").await.unwrap();
    client.glance(&"lab".into()).await.unwrap();
    let old = rig.server().queue_by_name("drain:i-1").unwrap().id.clone();
    rig.server().delete_queue(rig.now(), &ClearmlServer::console(), &old, true).unwrap();
    client.order_drain(&"i-1".into(), "n2").await.unwrap();
    let new = rig.server().queue_by_name("drain:i-1").unwrap().id.clone();
    assert_eq!(rig.server().metadata(&new, "want"), Some("drain:n2"));
}

#[tokio::test]
async fn of_many_consoles_one_puts_a_lost_task_back() {
    let rig = Rig::start(1).await;
    let gpu = queue(&rig);
    let lost = lost(&rig, &rig.client(), &gpu).await;
    let clients: Vec<Clearml> = (0..8).map(|_| rig.client()).collect();
    let done = join_all(clients.iter().map(|client| client.requeue_lost(&lost))).await;
    let enqueued = done.iter().filter(|done| **done == Ok(Requeue::Enqueued)).count();
    assert_eq!((enqueued, entries(&rig, &gpu)), (1, 1), "{done:?}");
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    assert_eq!(rig.server().task(&lost.task).unwrap().status, Status::Queued);
    assert!(!rig.server().queues(true).any(|queue| queue.name.as_str().starts_with("claim:")));
}

#[tokio::test]
async fn a_console_with_an_old_view_does_not_touch_the_new_run() {
    let rig = Rig::start(1).await;
    let (client, gpu) = (rig.client(), queue(&rig));
    let lost = lost(&rig, &client, &gpu).await;
    assert_eq!(client.requeue_lost(&lost).await, Ok(Requeue::Enqueued));
    run(&rig, &gpu, "f:p:t:i-2");
    assert_eq!(client.requeue_lost(&lost).await, Ok(Requeue::NotNeeded));
    let server = rig.server();
    let task = server.task(&lost.task).unwrap();
    assert_eq!((task.status, task.last_worker.as_ref().unwrap().as_str()), (Status::InProgress, "f:p:t:i-2"));
}

#[tokio::test]
async fn what_was_done_and_not_heard_of_is_finished_once() {
    for endpoint in ["tasks.stopped", "tasks.enqueue", "queues.create"] {
        let rig = Rig::start(1).await;
        let (client, gpu) = (rig.client(), queue(&rig));
        let lost = lost(&rig, &client, &gpu).await;
        rig.watch.spoil(move |called, _| (called == endpoint).then_some(Fault::Lost));
        let error = client.requeue_lost(&lost).await.unwrap_err();
        assert!(matches!(error, TrackerError::Unreachable { .. }), "{endpoint}: {error}");
        rig.watch.heal();
        // A claim whose maker heard nothing holds the next one off until it is old.
        for _ in 0..2 {
            client.requeue_lost(&lost).await.unwrap();
            rig.pass(SignedDuration::from_mins(11)).await;
        }
        assert_eq!(entries(&rig, &gpu), 1, "{endpoint}");
        assert_eq!(rig.server().task(&lost.task).unwrap().status, Status::Queued, "{endpoint}");
    }
}

#[tokio::test]
async fn a_stray_is_put_back_once() {
    let rig = Rig::start(1).await;
    let gpu = queue(&rig);
    let task = queued(&rig, &gpu);
    rig.server().next_task(rig.now(), &gpu, None).unwrap();
    let clients: Vec<Clearml> = (0..4).map(|_| rig.client()).collect();
    let done = join_all(clients.iter().map(|client| client.enqueue(&task, &gpu))).await;
    let enqueued = done.iter().filter(|done| **done == Ok(Requeue::Enqueued)).count();
    assert_eq!((enqueued, entries(&rig, &gpu)), (1, 1), "{done:?}");
}

#[tokio::test]
async fn faults_are_what_they_say() {
    // Four seconds of this clock's are one of the wall's.
    let rig = Rig::start(4).await;
    let client = rig.client();
    client.queues().await.unwrap();
    for (fault, deadline) in [(Fault::Answer(502), false), (Fault::Cut, false), (Fault::Hang, true)] {
        rig.watch.spoil(move |endpoint, _| (endpoint == "queues.get_all").then_some(fault));
        let error = client.queues().await.unwrap_err();
        assert_eq!(matches!(error, TrackerError::Deadline { .. }), deadline, "{fault:?}: {error}");
        assert!(deadline || matches!(error, TrackerError::Unreachable { .. }), "{fault:?}: {error}");
        client.create_mailbox(&"i-1".into()).await.unwrap();
        rig.watch.heal();
        client.queues().await.unwrap();
    }
    for (fault, made) in [(Fault::Cut, false), (Fault::Lost, true)] {
        rig.watch
            .spoil(move |endpoint, body| (endpoint == "queues.create" && body["name"] == "drain:i-2").then_some(fault));
        assert!(client.create_mailbox(&"i-2".into()).await.is_err());
        assert_eq!(rig.server().queue_by_name("drain:i-2").is_some(), made, "{fault:?}");
    }
}

#[tokio::test]
async fn tasks_of_a_queue_are_moved_taken_out_and_put_in_again() {
    use tidegate::model::tasks::{TaskDeed, TaskState};
    let rig = Rig::start(1).await;
    let client = rig.client();
    let gpu = queue(&rig);
    let tasks = [queued(&rig, &gpu), queued(&rig, &gpu), queued(&rig, &gpu)];
    let [first, second, third] = &tasks;
    run(&rig, &gpu, WORKER);
    let seen = || async { client.queue_tasks(&gpu).await.unwrap() };
    let order = |told: &[tidegate::model::tasks::QueuedTask]| -> Vec<TaskId> {
        told.iter().map(|task| task.id.clone()).collect()
    };
    let told = seen().await;
    assert_eq!(order(&told), [second.clone(), third.clone(), first.clone()], "those that wait come first");
    let states: Vec<_> = told.iter().map(|task| task.state).collect();
    assert_eq!(states, [TaskState::Waiting(1), TaskState::Waiting(2), TaskState::Running]);
    assert_eq!(told[2].worker.as_ref().map(tidegate::model::ids::WorkerId::as_str), Some(WORKER));
    client.task_deed(&gpu, third, TaskDeed::ToFront).await.unwrap();
    assert_eq!(order(&seen().await)[..2], [third.clone(), second.clone()]);
    client.task_deed(&gpu, third, TaskDeed::Backward).await.unwrap();
    assert_eq!(order(&seen().await)[..2], [second.clone(), third.clone()]);
    // One that an agent has taken is left to it.
    assert_eq!(client.task_deed(&gpu, first, TaskDeed::TakeOut).await, Ok(Requeue::NotNeeded));
    assert_eq!(rig.server().task(first).unwrap().status, Status::InProgress);
    assert_eq!(client.task_deed(&gpu, second, TaskDeed::TakeOut).await, Ok(Requeue::Enqueued));
    assert_eq!(rig.server().task(second).unwrap().status, Status::Created);
    assert_eq!(entries(&rig, &gpu), 1);
    assert_eq!(client.task_deed(&gpu, second, TaskDeed::PutIn).await, Ok(Requeue::Enqueued));
    assert_eq!(order(&seen().await)[..2], [third.clone(), second.clone()], "at the end");
    assert_eq!(client.task_log(first).await, Ok(String::new()));
}
