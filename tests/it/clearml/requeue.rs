//! Hidden queues, and the steps by which a lost task comes back exactly once.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tidegate::model::observed::LostTask;
use tidegate::world::clock::Clock;
use tidegate::world::tracker::{Requeue, Tracker, TrackerError};

use crate::clearml::stub::{Reply, Stub};

const STARTED: &str = "2026-11-23T17:37:41.860000+00:00";

fn lost() -> LostTask {
    LostTask {
        task: "t".into(),
        queue: "q".into(),
        worker: Some("f:p:x:i-1".into()),
        instance: "i-1".into(),
        started: Some(STARTED.parse().unwrap()),
    }
}

fn task(status: &str, reason: &str, worker: &str) -> Value {
    json!({ "tasks": [{ "id": "t", "status": status, "status_reason": reason, "last_worker": worker,
        "started": STARTED, "execution": { "queue": "q" } }] })
}

/// How a server of these tests answers the calls of a requeue.
struct Script {
    /// What the task looks like at each read; the last stays.
    reads: Vec<Value>,
    /// Of the claims, so many exist, that old.
    claims: usize,
    claim_age: SignedDuration,
    stopped: (u16, u16),
    enqueue: (u16, u16),
}

impl Default for Script {
    fn default() -> Self {
        Self {
            reads: vec![task("in_progress", "", "f:p:x:i-1")],
            claims: 0,
            claim_age: SignedDuration::ZERO,
            stopped: (200, 0),
            enqueue: (200, 0),
        }
    }
}

fn now() -> Timestamp {
    "2026-11-24T00:00:00Z".parse().unwrap()
}

async fn run(script: Script) -> (Result<Requeue, TrackerError>, Vec<String>) {
    let reply = |(code, subcode): (u16, u16)| {
        if code == 200 { Reply::Data(json!({ "updated": 1 })) } else { Reply::Error(code, subcode, "no") }
    };
    let stub = Stub::start(move |call| match call.endpoint.as_str() {
        "auth.login" => Reply::Data(Value::Null),
        "tasks.get_all" => Reply::Data(script.reads[call.nth.min(script.reads.len() - 1)].clone()),
        "queues.create" => {
            assert_eq!(call.body["system_tags"], json!(["k8s-glue"]));
            if call.nth < script.claims { Reply::Error(400, 801, "exists") } else { Reply::Data(json!({ "id": "c" })) }
        }
        "queues.get_all" => {
            let name = call.body["name"].as_str().unwrap().trim_matches(['^', '$']).replace('\\', "");
            let created = (now() - script.claim_age).to_string();
            Reply::Data(json!({ "queues": [{ "id": "c", "name": name, "created": created, "metadata": {} }] }))
        }
        "queues.delete" => Reply::Data(json!({ "deleted": 1 })),
        "tasks.stopped" => {
            assert_eq!(call.body, json!({ "task": "t", "force": true, "status_reason": "vm i-1 lost" }));
            reply(script.stopped)
        }
        "tasks.enqueue" => {
            assert_eq!(call.body, json!({ "task": "t", "queue": "q" }));
            reply(script.enqueue)
        }
        other => panic!("{other}"),
    })
    .await;
    let done = stub.client(Clock::simulated(now(), 1)).requeue_lost(&lost()).await;
    let changing = ["queues.create", "queues.delete", "tasks.stopped", "tasks.enqueue"];
    let short = |endpoint: &String| endpoint.rsplit('.').next().unwrap().to_owned();
    (done, stub.endpoints().iter().filter(|endpoint| changing.contains(&endpoint.as_str())).map(short).collect())
}

#[tokio::test]
async fn a_lost_task_is_claimed_stopped_and_enqueued() {
    let (done, calls) = run(Script::default()).await;
    assert_eq!((done, calls.join(" ").as_str()), (Ok(Requeue::Enqueued), "create stopped enqueue delete"));
}

#[tokio::test]
async fn a_task_that_went_on_is_left_alone() {
    let settled = [
        task("queued", "", "f:p:x:i-2"),
        task("in_progress", "", "f:p:x:i-2"),
        task("completed", "", "f:p:x:i-1"),
        task("stopped", "user abort", "f:p:x:i-1"),
        json!({ "tasks": [] }),
    ];
    for read in settled {
        let (done, calls) = run(Script { reads: vec![read.clone()], ..Script::default() }).await;
        assert_eq!((done, calls.len()), (Ok(Requeue::NotNeeded), 0), "{read}");
        // It went on between our two reads: the claim is given back, nothing else is done.
        let reads = vec![task("in_progress", "", "f:p:x:i-1"), read.clone()];
        let (done, calls) = run(Script { reads, ..Script::default() }).await;
        assert_eq!((done, calls.join(" ").as_str()), (Ok(Requeue::NotNeeded), "create delete"), "{read}");
    }
}

#[tokio::test]
async fn a_task_that_waits_in_its_queue_again_is_said_to() {
    let waits = task("queued", "", "f:p:x:i-1");
    let (done, calls) = run(Script { reads: vec![waits.clone()], ..Script::default() }).await;
    assert_eq!((done, calls.len()), (Ok(Requeue::Waits), 0));
    let reads = vec![task("in_progress", "", "f:p:x:i-1"), waits];
    let (done, calls) = run(Script { reads, ..Script::default() }).await;
    assert_eq!((done, calls.join(" ").as_str()), (Ok(Requeue::Waits), "create delete"));
}

#[tokio::test]
async fn what_was_stopped_for_this_loss_is_taken_up_at_the_enqueue() {
    let reads = vec![task("stopped", "vm i-1 lost", "f:p:x:i-1")];
    let (done, calls) = run(Script { reads, ..Script::default() }).await;
    assert_eq!((done, calls.join(" ").as_str()), (Ok(Requeue::Enqueued), "enqueue"));
}

#[tokio::test]
async fn a_young_claim_of_another_is_respected_and_an_old_one_taken_over() {
    let young = Script { claims: 1, claim_age: SignedDuration::from_secs(540), ..Script::default() };
    let (done, calls) = run(young).await;
    assert_eq!((done, calls.join(" ").as_str()), (Ok(Requeue::Claimed), "create"));
    let old = Script { claims: 2, claim_age: SignedDuration::from_secs(601), ..Script::default() };
    let (done, calls) = run(old).await;
    assert_eq!(
        (done, calls.join(" ").as_str()),
        (Ok(Requeue::Enqueued), "create create create stopped enqueue delete")
    );
    let all = Script { claims: 5, claim_age: SignedDuration::from_secs(601), ..Script::default() };
    let (done, calls) = run(all).await;
    assert!(matches!(done, Err(TrackerError::Refused { subcode: 801, .. })), "{done:?}");
    assert_eq!(calls.join(" "), "create create create create create");
}

#[tokio::test]
async fn that_another_was_first_is_no_error() {
    for subcode in [110, 121, 703, 706] {
        let (done, calls) = run(Script { stopped: (400, subcode), ..Script::default() }).await;
        assert_eq!((done, calls.join(" ").as_str()), (Ok(Requeue::NotNeeded), "create stopped delete"), "{subcode}");
        let (done, calls) = run(Script { enqueue: (400, subcode), ..Script::default() }).await;
        assert_eq!((done, calls.last().unwrap().as_str()), (Ok(Requeue::NotNeeded), "delete"), "{subcode}");
    }
    let (done, _) = run(Script { enqueue: (400, 101), ..Script::default() }).await;
    assert!(matches!(done, Err(TrackerError::Refused { subcode: 101, .. })));
}

#[tokio::test]
async fn after_an_unknown_outcome_nothing_more_is_sent_and_the_claim_stays() {
    let (done, calls) = run(Script { stopped: (502, 0), ..Script::default() }).await;
    assert!(matches!(done, Err(TrackerError::Unreachable { .. })));
    assert_eq!(calls.join(" "), "create stopped");
}

#[tokio::test]
async fn a_mailbox_is_made_hidden_and_making_or_deleting_it_twice_is_no_error() {
    let stub = Stub::start(|call| match (call.endpoint.as_str(), call.nth) {
        ("auth.login", _) => Reply::Data(Value::Null),
        ("queues.create", 0) => Reply::Data(json!({ "id": "m" })),
        ("queues.create", _) => Reply::Error(400, 801, "Value combination already exists"),
        ("tasks.get_all", _) => Reply::Data(json!({ "tasks": [] })),
        ("queues.get_all", 0) => Reply::Data(json!({ "queues": [{ "id": "m", "name": "drain:i-1" }] })),
        ("queues.get_all", _) => Reply::Data(json!({ "queues": [] })),
        ("queues.delete", _) => Reply::Error(400, 701, "Invalid queue id"),
        other => panic!("{other:?}"),
    })
    .await;
    let client = stub.client(Clock::Wall);
    for _ in 0..2 {
        client.create_mailbox(&"i-1".into()).await.unwrap();
        client.delete_mailbox(&"i-1".into()).await.unwrap();
    }
    let calls = stub.calls();
    assert_eq!(calls[0].body, json!({ "name": "drain:i-1", "system_tags": ["k8s-glue"] }));
    assert_eq!((&calls[2].body["name"], &calls[2].body["search_hidden"]), (&json!(r"^drain:i\-1$"), &json!(true)));
}

/// One that runs on a machine that is gone is stopped first; one that somebody else has deleted is deleted.
#[tokio::test]
async fn the_tasks_that_held_a_machine_go_with_its_mailbox() {
    let stub = Stub::start(|call| match call.endpoint.as_str() {
        "auth.login" | "tasks.stopped" => Reply::Data(Value::Null),
        "tasks.get_all" => Reply::Data(json!({ "tasks": [
            { "id": "a", "name": "tidegate:hold:i-1:n", "status": "in_progress" },
            { "id": "b", "name": "tidegate:hold:i-1:n", "status": "completed" },
        ] })),
        "tasks.delete" if call.nth == 0 => Reply::Data(Value::Null),
        "tasks.delete" => Reply::Error(400, 101, "Invalid task id"),
        "queues.get_all" => Reply::Data(json!({ "queues": [] })),
        other => panic!("{other}"),
    })
    .await;
    stub.client(Clock::Wall).delete_mailbox(&"i-1".into()).await.unwrap();
    let calls = stub.calls();
    assert_eq!(calls[0].body["name"], json!(r"^tidegate:hold:i\-1:"));
    assert_eq!(calls[0].body["system_tags"], json!(["hidden"]));
    let after: Vec<_> = calls[1..].iter().map(|call| (call.endpoint.as_str(), call.body["task"].clone())).collect();
    assert_eq!(after[..3], [("tasks.stopped", json!("a")), ("tasks.delete", json!("a")), ("tasks.delete", json!("b"))]);
}

/// Of a call whose outcome nobody knows, or a console that died in between, the task is found by its name.
#[tokio::test]
async fn a_hold_task_is_made_once_hidden_and_put_into_the_machine_s_queue() {
    for (found, status, made) in [(false, "", true), (true, "created", false), (true, "queued", false)] {
        let stub = Stub::start(move |call| match call.endpoint.as_str() {
            "tasks.enqueue" if status == "queued" => Reply::Error(400, 706, "it waits there"),
            "auth.login" | "tasks.enqueue" => Reply::Data(Value::Null),
            "queues.get_all" => Reply::Data(json!({ "queues": [{ "id": "m", "name": "drain:i-1" }] })),
            "tasks.get_all" if !found => Reply::Data(json!({ "tasks": [] })),
            "tasks.get_all" => Reply::Data(json!({ "tasks": [{ "id": "h", "status": status }] })),
            "tasks.create" => Reply::Data(json!({ "id": "h" })),
            other => panic!("{other}"),
        })
        .await;
        stub.client(Clock::Wall).place_hold(&"i-1".into(), "n").await.unwrap();
        let calls = stub.calls();
        let create = calls.iter().find(|call| call.endpoint == "tasks.create");
        assert_eq!(create.is_some(), made, "{status}");
        if let Some(create) = create {
            assert_eq!(create.body["name"], json!("tidegate:hold:i-1:n"));
            assert_eq!(create.body["system_tags"], json!(["hidden"]));
            assert_eq!(create.body["script"]["binary"], json!("/bin/bash"));
            assert_eq!(create.body["script"]["diff"], json!("sleep 900"));
        }
        assert_eq!(calls.last().unwrap().body, json!({ "task": "h", "queue": "m" }), "{status}");
    }
}

#[tokio::test]
async fn an_order_is_written_under_its_own_key_and_read_back() {
    let stub = Stub::start(|call| match (call.endpoint.as_str(), call.nth) {
        ("auth.login", _) => Reply::Data(Value::Null),
        ("queues.get_all", _) => Reply::Data(json!({ "queues": [] })),
        ("queues.get_all_ex", _) => Reply::Data(json!({ "queues": [
            { "id": "m", "name": "drain:i-1", "created": STARTED, "system_tags": ["k8s-glue"], "metadata": {
                "want": { "key": "want", "type": "str", "value": "drain:n1" },
                "state": { "key": "state", "type": "str", "value": "drained:n1" } } },
            { "id": "x", "name": "drain:", "created": STARTED, "system_tags": ["k8s-glue"] }] })),
        ("queues.create", _) => Reply::Data(json!({ "id": "m" })),
        ("queues.add_or_update_metadata", _) => Reply::Data(json!({ "updated": 1 })),
        other => panic!("{other:?}"),
    })
    .await;
    let client = stub.client(Clock::Wall);
    client.order_drain(&"i-1".into(), "n1").await.unwrap();
    client.cancel_drain(&"i-1".into()).await.unwrap();
    let written: Vec<Value> =
        stub.calls().into_iter().filter(|call| call.endpoint.ends_with("metadata")).map(|call| call.body).collect();
    let entry = |value: &str| json!({ "queue": "m", "metadata": [{ "key": "want", "type": "str", "value": value }] });
    assert_eq!(written, [entry("drain:n1"), entry("run")]);
    let mailboxes = client.glance(&"lab".into()).await.unwrap().mailboxes;
    assert_eq!((mailboxes.len(), mailboxes[0].drained(), mailboxes[0].instance.as_str()), (1, Some("n1"), "i-1"));
}
