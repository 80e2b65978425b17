//! Tokens, pages, silence and recorded answers.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tidegate::model::account::Owner;
use tidegate::model::ids::{TaskId, Term};
use tidegate::model::observed::{TaskFacts, TaskStatus};
use tidegate::world::clock::Clock;
use tidegate::world::tracker::{Tracker, TrackerError};
use tokio::net::TcpListener;

use crate::clearml::stub::{Call, NEVER, Reply, Stub, client, token};

fn recorded(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn queues(count: u64) -> Value {
    (0..count).map(|n| json!({ "id": format!("q{n:05}"), "name": format!("queue {n}") })).collect()
}

/// The page that a call asks for, of so many queues.
fn page(call: &Call, all: u64) -> Reply {
    let (page, size) = (call.body["page"].as_u64().unwrap(), call.body["page_size"].as_u64().unwrap());
    assert_eq!((size, &call.body["order_by"]), (500, &json!(["id"])));
    let rows: Vec<_> =
        queues(all).as_array().unwrap().iter().skip(usize::try_from(page * size).unwrap()).take(500).cloned().collect();
    Reply::Data(json!({ "queues": rows }))
}

/// Logs in as usual.
fn usual(call: &Call, otherwise: impl FnOnce() -> Reply) -> Reply {
    if call.endpoint == "auth.login" { Reply::Data(Value::Null) } else { otherwise() }
}

#[tokio::test]
async fn every_page_is_read_and_none_twice() {
    for (all, pages) in [(0, 1), (1, 1), (499, 1), (500, 2), (501, 2), (1_000, 3), (1_001, 3)] {
        let stub = Stub::start(move |call| usual(call, || page(call, all))).await;
        let found = stub.client(Clock::Wall).queues().await.unwrap();
        assert_eq!((found.len() as u64, stub.calls().len()), (all, pages), "{all}");
        assert!(found.windows(2).all(|pair| pair[0].id < pair[1].id));
        assert_eq!(stub.logins(), 1);
    }
}

#[tokio::test]
async fn what_tasks_do_and_whose_they_are_is_asked_by_id_in_pages_and_for_nothing_else() {
    let stub = Stub::start(move |call| {
        usual(call, || {
            let ids = call.body["id"].as_array().unwrap();
            assert!((1..=500).contains(&ids.len()));
            assert_eq!(
                (&call.body["only_fields"], &call.body["search_hidden"]),
                (&json!(["id", "status", "project.name", "user.name", "tags"]), &json!(true))
            );
            // The first task of each chunk does not exist any more.
            let rows: Vec<Value> = match call.body["page"].as_u64().unwrap() {
                0 => ids[1..]
                    .iter()
                    .map(|id| json!({ "id": id, "status": "queued", "user": { "id": "u", "name": "ann" }, "project": null, "tags": ["urgent"] }))
                    .collect(),
                _ => Vec::new(),
            };
            Reply::Data(json!({ "tasks": rows }))
        })
    })
    .await;
    let client = stub.client(Clock::Wall);
    assert!(client.task_facts(&[]).await.unwrap().is_empty());
    assert_eq!(stub.calls().len(), 0, "an empty filter would ask for every task");
    let tasks: Vec<TaskId> = (0..1_001).map(|n| TaskId::new(format!("t{n:04}"))).collect();
    let owner = Owner { project: None, user: Some("ann".into()) };
    let told = client.task_facts(&tasks).await.unwrap();
    assert_eq!((told.len(), stub.calls().len()), (998, 3));
    let each = TaskFacts { status: TaskStatus::Queued, owner, tags: vec!["urgent".to_owned()] };
    assert!(!told.contains_key(&tasks[500]) && told.values().all(|facts| *facts == each));
}

#[tokio::test]
async fn a_token_that_ends_soon_is_renewed_before_its_use() {
    let now = 1_800_000_000;
    for (life, logins) in [(420, 1), (359, 3), (-5, 3)] {
        let stub = Stub::start(move |call| match call.endpoint.as_str() {
            "auth.login" => Reply::Data(json!({ "token": token("console", now + life) })),
            _ => page(call, 0),
        })
        .await;
        let clock = Clock::simulated(Timestamp::from_second(now).unwrap(), 1);
        let client = stub.client(clock);
        for _ in 0..3 {
            client.queues().await.unwrap();
        }
        assert_eq!(stub.logins(), logins, "{life}");
    }
}

#[tokio::test]
async fn a_refused_token_is_renewed_once_and_the_call_repeated() {
    let stub = Stub::start(|call| match (call.endpoint.as_str(), call.nth) {
        ("auth.login", nth) => Reply::Data(json!({ "token": token(&format!("login{nth}"), NEVER) })),
        (_, 0) => Reply::Error(401, 30, "Invalid token (revoked token)"),
        _ => page(call, 3),
    })
    .await;
    assert_eq!(stub.client(Clock::Wall).queues().await.unwrap().len(), 3);
    let calls = stub.calls();
    assert_eq!((stub.logins(), calls.len()), (2, 2));
    assert!(
        calls[0].authorization.starts_with("Bearer login0.") && calls[1].authorization.starts_with("Bearer login1.")
    );
}

#[tokio::test]
async fn refused_credentials_are_named_by_their_place_and_not_tried_for_ever() {
    let refuse_all = Stub::start(|_| Reply::Error(401, 22, "Unauthorized (invalid credentials)")).await;
    let refuse_tokens = Stub::start(|call| usual(call, || Reply::Error(401, 30, "Invalid token"))).await;
    for (stub, logins, calls) in [(refuse_all, 1, 0), (refuse_tokens, 2, 2)] {
        let error = stub.client(Clock::Wall).queues().await.unwrap_err();
        assert!(matches!(&error, TrackerError::Credentials { from, .. } if from == "the place of console"), "{error}");
        assert!(!format!("{error} {error:?}").contains("s3cr3t"));
        assert_eq!((stub.logins(), stub.calls().len()), (logins, calls));
    }
}

#[tokio::test]
async fn a_read_is_repeated_when_the_server_is_unable_and_a_write_that_counts_is_not() {
    for code in [500, 502, 503, 429] {
        let stub = Stub::start(move |call| usual(call, || Reply::Error(code, 100, "later"))).await;
        let client = stub.client(Clock::Wall);
        assert!(matches!(client.queues().await, Err(TrackerError::Unreachable { message, .. }) if message == "later"));
        assert_eq!(stub.calls().len(), 3, "{code}");
    }
    let task = json!({ "id": "t", "status": "queued", "execution": { "queue": "q" } });
    let stub = Stub::start(move |call| match call.endpoint.as_str() {
        "auth.login" => Reply::Data(Value::Null),
        "tasks.get_all" => Reply::Data(json!({ "tasks": [task] })),
        _ => Reply::Error(502, 0, "bad gateway"),
    })
    .await;
    assert!(stub.client(Clock::Wall).enqueue(&"t".into(), &"q".into()).await.is_err());
    assert_eq!(stub.endpoints(), ["tasks.get_all", "tasks.enqueue"]);
}

#[tokio::test]
async fn a_server_that_recovers_is_waited_for() {
    let stub =
        Stub::start(|call| usual(call, || if call.nth < 2 { Reply::Text(503, "busy") } else { page(call, 2) })).await;
    assert_eq!(stub.client(Clock::Wall).queues().await.unwrap().len(), 2);
}

#[tokio::test]
async fn silence_garbage_and_a_cut_connection_are_told_apart() {
    // Four seconds of this clock's are one of the wall's.
    let clock = Clock::simulated(Timestamp::UNIX_EPOCH, 4);
    let stub = Stub::start(|call| usual(call, || Reply::Silence)).await;
    let error = stub.client(clock).queues().await.unwrap_err();
    assert_eq!(error, TrackerError::Deadline { endpoint: "queues.get_all".to_owned() });

    for (text, said) in [("<html>", "<html>"), ("", "empty"), ("{\"data\":{\"queues\":[{}]}}", "queues"), ("{", "JSON")]
    {
        let stub = Stub::start(move |call| usual(call, || Reply::Text(200, text))).await;
        let error = stub.client(Clock::Wall).queues().await.unwrap_err();
        assert!(matches!(&error, TrackerError::Unreadable { .. }) && error.to_string().contains(said), "{error}");
    }

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let cutting = async move {
        loop {
            drop(listener.accept().await.unwrap());
        }
    };
    let tracker = client(&url, Clock::Wall);
    let error = tokio::select! { error = tracker.queues() => error.unwrap_err(), () = cutting => unreachable!() };
    assert!(matches!(&error, TrackerError::Unreachable { server, .. } if *server == url), "{error}");
    let error = client(&url, Clock::Wall).queues().await.unwrap_err();
    assert!(matches!(error, TrackerError::Unreachable { .. }), "nobody listens: {error}");
}

#[tokio::test]
async fn recorded_answers_are_read() {
    let stub = Stub::start(|call| match call.endpoint.as_str() {
        "auth.login" => Reply::Data(Value::Null),
        "queues.get_all" => Reply::Data(recorded(include_str!("recorded/queues.json"))),
        "workers.get_count" => Reply::Data(json!({ "count": 1 })),
        "workers.get_all" if call.nth == 0 => Reply::Data(recorded(include_str!("recorded/workers_registered.json"))),
        "workers.get_all" if call.nth == 1 => Reply::Data(recorded(include_str!("recorded/workers_idle.json"))),
        "workers.get_all" => Reply::Data(recorded(include_str!("recorded/workers_busy.json"))),
        "tasks.get_all" => Reply::Data(recorded(include_str!("recorded/tasks.json"))),
        "users.get_current_user" => Reply::Data(recorded(include_str!("recorded/user.json"))),
        "server.info" => Reply::Data(json!({ "version": "2.3.0", "build": "", "api_version": "2.34" })),
        other => panic!("{other}"),
    })
    .await;
    let client = stub.client(Clock::Wall);
    let queues = client.queues().await.unwrap();
    let gpu = queues.iter().find(|queue| queue.name.as_str() == "gpu-a100").unwrap();
    assert_eq!((gpu.tags.as_slice(), gpu.entries.len()), (["prod".to_owned()].as_slice(), 4));

    let [registered, idle, busy] =
        [client.workers(&"f".into()).await, client.workers(&"f".into()).await, client.workers(&"f".into()).await]
            .map(|workers| workers.unwrap().remove(0));
    assert_eq!((registered.last_report, registered.task.is_none()), (None, true));
    assert!(idle.last_report > Some(idle.registered) && idle.task.is_none());
    let task = busy.task.unwrap();
    assert_eq!((task.name.as_str(), task.queue.as_ref()), ("train-0", Some(&gpu.id)));
    assert_eq!(busy.queues, std::slice::from_ref(&gpu.id));

    let tasks = client.tasks(std::slice::from_ref(&gpu.id), &[TaskStatus::InProgress]).await.unwrap();
    assert_eq!((tasks.len(), tasks[0].status, &tasks[0].queue), (1, TaskStatus::InProgress, &Some(gpu.id.clone())));
    assert!(tasks[0].started.is_some() && tasks[0].last_worker.is_some());
    let asked = stub.calls().pop().unwrap().body;
    assert_eq!((&asked["status"], &asked["execution.queue"]), (&json!(["in_progress"]), &json!([gpu.id.as_str()])));

    let said = client.check().await.unwrap();
    for word in ["console", "company clearml", "2.3.0", "open source", "the same user", &stub.url] {
        assert!(said.contains(word), "{said}");
    }
}

#[tokio::test]
async fn no_filter_is_never_sent_empty() {
    let stub = Stub::start(|call| panic!("{call:?}")).await;
    let client = stub.client(Clock::Wall);
    assert!(client.tasks(&[], &[TaskStatus::Queued]).await.unwrap().is_empty());
    assert!(client.tasks(&["q".into()], &[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn above_500_workers_only_the_fleet_s_are_asked_for() {
    let row = |n: usize| json!({ "id": format!("w{n}"), "register_time": "2026-11-23T17:00:00+00:00" });
    for (there, still, patterns) in [
        (500, 500, vec![Value::Null; 3]),
        (500, 501, vec![Value::Null, Value::Null, json!("research:*")]),
        (501, 501, vec![Value::Null, json!("research:*"), json!("research:*")]),
        (501, 500, vec![Value::Null, Value::Null, Value::Null]),
    ] {
        let stub = Stub::start(move |call| match call.endpoint.as_str() {
            "auth.login" => Reply::Data(Value::Null),
            "workers.get_count" => Reply::Data(json!({ "count": still })),
            _ => {
                let listed = if call.nth == 0 { there } else { still };
                let listed = if call.body["worker_pattern"].is_null() { listed } else { 3 };
                Reply::Data(json!({ "workers": (0..listed).map(row).collect::<Vec<_>>() }))
            }
        })
        .await;
        let client = stub.client(Clock::Wall);
        for _ in 0..3 {
            client.workers(&"research".into()).await.unwrap();
        }
        let calls = stub.calls();
        let lists: Vec<_> = calls.iter().filter(|call| call.endpoint == "workers.get_all").collect();
        assert_eq!(lists.iter().map(|call| call.body["worker_pattern"].clone()).collect::<Vec<_>>(), patterns);
        assert!(lists.iter().all(|call| call.body["last_seen"] == json!(600)));
    }
}

#[tokio::test]
async fn one_call_shows_queues_workers_mailboxes_and_the_highest_claim() {
    let answers = recorded(include_str!("recorded/answers.json"));
    let mut queues = answers["queues.get_all_ex busy"]["queues"].as_array().unwrap().clone();
    let key = queues[0]["workers"][0]["key"].clone();
    let listener = json!({ "name": queues[0]["workers"][0]["name"], "key": key, "task": null });
    let want = json!({ "want": { "key": "want", "type": "str", "value": "run" } });
    let hidden = |name: &str| {
        json!({ "id": name, "name": name, "created": "2026-11-23T17:37:40.959000+00:00", "system_tags": ["k8s-glue"],
            "workers": [queues[0]["workers"][0].clone()], "metadata": want })
    };
    let [mailbox, lease] = ["drain:i-0aaa", "tidegate:lab"].map(hidden);
    let claims = ["tidegate:lab:leader:12", "tidegate:lab:leader:3", "tidegate:other:leader:99"].map(hidden);
    let elsewhere = json!({ "id": "q2", "name": "other", "workers": [{ "name": "by hand", "task": null }],
        "entries": [{ "task": null, "added": "2026-11-23T17:37:41.123000+00:00" }] });
    queues.extend([mailbox, lease, elsewhere]);
    queues.extend(claims);
    queues[0]["workers"].as_array_mut().unwrap().push(listener);
    let stub = Stub::start(move |call| usual(call, || Reply::Data(json!({ "queues": queues })))).await;
    let glance = stub.client(Clock::Wall).glance(&"lab".into()).await.unwrap();
    let names: Vec<&str> = glance.queues.iter().map(|queue| queue.name.as_str()).collect();
    assert_eq!((names, glance.queues[0].entries.len()), (vec!["gpu-a100", "other"], 2));
    assert_eq!(glance.queues[1].entries, [], "an entry of no task");
    let workers: Vec<_> = glance.workers.iter().map(|worker| worker.id.as_str()).collect();
    assert_eq!(workers, ["by hand", "dynamic_worker:a100:p4d.24xlarge:i-0aaa"], "one for each key");
    let mailboxes: Vec<_> = glance.mailboxes.iter().map(|mailbox| mailbox.instance.as_str()).collect();
    assert_eq!((mailboxes, glance.claim.map(|claim| claim.term)), (vec!["i-0aaa"], Some(Term(12))));
    let asked = stub.calls().pop().unwrap();
    assert_eq!((asked.endpoint.as_str(), &asked.body["search_hidden"]), ("queues.get_all_ex", &json!(true)));
    assert!(asked.body.get("only_fields").is_none(), "an empty choice is none");
}

#[tokio::test]
async fn the_agents_user_mints_and_unregisters() {
    let stub = Stub::start(|call| match call.endpoint.as_str() {
        "auth.login" => Reply::Data(Value::Null),
        _ => Reply::Data(json!({})),
    })
    .await;
    let client = stub.client(Clock::Wall);
    let minted = client.mint_agent_token(SignedDuration::from_mins(45)).await.unwrap();
    assert!(minted.expose().starts_with("agents."));
    client.unregister(&"f:p:t:i".into()).await.unwrap();
    let calls = stub.calls();
    assert!(calls[0].authorization.starts_with("Bearer agents.") && calls[0].body == json!({ "worker": "f:p:t:i" }));
}
