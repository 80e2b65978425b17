//! Answers by their shape, and refusals by their codes and words, as recorded from the real server.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tidegate::world::sim::clearml::ClearmlServer;

use crate::clearml::simulated::Rig;

const WORKER: &str = "dynamic_worker:a100:p4d.24xlarge:i-0aaa";

fn recorded() -> BTreeMap<String, Value> {
    serde_json::from_str(include_str!("../recorded/answers.json")).unwrap()
}

/// Where two answers differ in their fields or in a field's kind. Of a list the first entry counts; an empty
/// list or a null that was recorded says nothing about what may be in it.
fn difference(path: &str, recorded: &Value, ours: &Value) -> Option<String> {
    match (recorded, ours) {
        (Value::Object(a), Value::Object(b)) => {
            if !a.keys().eq(b.keys()) {
                let keys = |map: &serde_json::Map<String, Value>| map.keys().cloned().collect::<Vec<_>>().join(" ");
                return Some(format!("{path}: recorded {{{}}}, ours {{{}}}", keys(a), keys(b)));
            }
            a.iter().find_map(|(key, value)| difference(&format!("{path}.{key}"), value, &b[key]))
        }
        (Value::Array(a), Value::Array(b)) => match (a.first(), b.first()) {
            (None, _) => None,
            (Some(_), None) => Some(format!("{path}: ours is empty")),
            (Some(a), Some(b)) => difference(&format!("{path}[]"), a, b),
        },
        (Value::String(a), Value::String(b)) => {
            let time = |text: &str| text.parse::<Timestamp>().is_ok();
            let long = |text: &str| if time(text) { text.len() } else { 0 };
            (long(a) != long(b)).then(|| format!("{path}: recorded {a}, ours {b}"))
        }
        (Value::Null, Value::Null) | (Value::Bool(_), Value::Bool(_)) | (Value::Number(_), Value::Number(_)) => None,
        _ => Some(format!("{path}: recorded {recorded}, ours {ours}")),
    }
}

#[test]
fn a_different_shape_is_found() {
    for (recorded, ours) in [
        (json!({ "a": 1 }), json!({})),
        (json!({}), json!({ "a": null })),
        (json!([{ "a": "x" }]), json!([{ "a": 1 }])),
        (json!([1]), json!([])),
        (json!("2026-11-23T17:37:41.105393+00:00"), json!("2026-11-23T17:37:41Z")),
    ] {
        assert!(difference("", &recorded, &ours).is_some(), "{recorded} {ours}");
    }
    assert_eq!(difference("", &json!({ "a": [], "b": 1 }), &json!({ "a": [1], "b": 2 })), None);
}

/// One session, as it was recorded.
struct Session {
    rig: Rig,
    recorded: BTreeMap<String, Value>,
}

impl Session {
    /// Calls an endpoint as the console's user, or the agents' for what agents do, and holds the answer to the
    /// recorded one of that name: the endpoint's, with what was special about it.
    async fn step(&mut self, name: &str, body: Value) -> Value {
        let endpoint = name.split(' ').next().unwrap();
        let by_agents = ["tasks.started", "tasks.completed", "events.add_batch"].contains(&endpoint)
            || (endpoint.starts_with("workers.") && !endpoint.contains("get_"));
        let user = if by_agents { ClearmlServer::agents() } else { ClearmlServer::console() };
        let (code, answer) = self.rig.call(&user, &format!("v2.30/{endpoint}"), body).await;
        assert_eq!(code, 200, "{name}: {answer}");
        let data = answer["data"].clone();
        if let Some(recorded) = self.recorded.remove(name) {
            assert_eq!(difference(name, &recorded, &data), None);
        }
        data
    }

    async fn id(&mut self, name: &str, body: Value) -> String {
        self.step(name, body).await["id"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn every_recorded_answer_has_our_shape() {
    let mut session = Session { rig: Rig::start(1).await, recorded: recorded() };
    let gpu = session.id("queues.create", json!({ "name": "gpu-a100", "tags": ["prod"] })).await;
    let cpu = session.id("queues.create", json!({ "name": "cpu-small" })).await;
    let mut tasks = Vec::new();
    for n in 0..4 {
        let script = json!({ "entry_point": "x.py", "working_dir": ".", "diff": "print(1)", "repository": "" });
        let body = json!({ "name": format!("train-{n}"), "type": "training", "script": script });
        tasks.push(session.id("tasks.create", body).await);
    }
    let [a, b, c, d] = [0, 1, 2, 3].map(|n: usize| tasks[n].clone());
    let made = session.id("tasks.create", json!({ "name": "page-0", "type": "training" })).await;
    for task in [&a, &b, &c, &d] {
        session.step("tasks.enqueue", json!({ "task": task, "queue_name": "gpu-a100" })).await;
    }
    session.step("queues.get_all", json!({})).await;
    session.step("queues.get_by_id", json!({ "queue": gpu })).await;
    session.step("queues.get_num_entries", json!({ "queue": gpu })).await;
    session.step("queues.peek_task", json!({ "queue": gpu })).await;
    session.step("queues.get_default", json!({})).await;

    let worker = json!({ "worker": WORKER, "queues": [gpu], "tags": ["auto"], "timeout": 600 });
    session.step("workers.register", worker).await;
    session.step("workers.get_all registered", json!({})).await;
    session.step("workers.status_report", json!({ "worker": WORKER, "queues": [gpu], "timestamp": 1 })).await;
    session.step("workers.get_all idle", json!({})).await;
    session.step("queues.get_all_ex idle", json!({ "id": [gpu] })).await;
    session.step("queues.get_next_task", json!({ "queue": gpu, "get_task_info": true })).await;
    session.step("queues.get_next_task empty", json!({ "queue": cpu })).await;
    session.step("tasks.started", json!({ "task": a, "status_message": "pulled by agent", "force": true })).await;
    let busy = json!({ "worker": WORKER, "queues": [gpu], "queue": gpu, "task": a, "timestamp": 1 });
    session.step("workers.status_report", busy).await;
    session.step("workers.get_all busy", json!({})).await;
    session.step("workers.get_count", json!({})).await;
    session.step("queues.get_all_ex busy", json!({ "id": [gpu] })).await;
    session.step("queues.move_task_to_front", json!({ "queue": gpu, "task": d })).await;
    session.step("queues.remove_task", json!({ "queue": gpu, "task": d })).await;
    session.step("queues.add_task", json!({ "queue": gpu, "task": d })).await;
    session.step("tasks.dequeue", json!({ "task": c })).await;
    session.step("tasks.dequeue again", json!({ "task": c })).await;
    session.step("tasks.stop running", json!({ "task": a })).await;
    session.step("tasks.stop queued", json!({ "task": b })).await;
    session.step("tasks.stopped", json!({ "task": a, "force": true, "status_reason": "gone" })).await;
    session.step("tasks.reset", json!({ "task": a, "force": true })).await;
    session.step("tasks.enqueue_many", json!({ "ids": [a, c], "queue": cpu })).await;
    session.step("tasks.started", json!({ "task": c, "force": true })).await;
    session.step("tasks.edit", json!({ "task": c, "force": true, "runtime": { "_exec_agent_hostname": "vm" } })).await;
    session.step("events.add_batch", json!({ "type": "log", "task": c, "msg": "hello", "timestamp": 1 })).await;
    session.step("tasks.completed", json!({ "task": c, "status_reason": "worker execution done" })).await;
    session.step("queues.update", json!({ "queue": gpu, "tags": ["prod", "force_workers:off"] })).await;
    session.step("queues.delete", json!({ "queue": cpu, "force": true })).await;
    session.step("tasks.get_by_id", json!({ "task": made })).await;
    session.step("tasks.delete_many", json!({ "ids": [made] })).await;
    session.step("users.get_current_user", json!({})).await;
    session.step("server.info", json!({})).await;
    assert!(session.recorded.is_empty(), "not compared: {:?}", session.recorded.keys());
}

#[tokio::test]
async fn refusals_have_the_recorded_codes_and_words() {
    let rig = Rig::start(1).await;
    let queue = rig.ask("queues.create", json!({ "name": "gpu-a100" })).await["id"].clone();
    let task = rig.ask("tasks.create", json!({ "name": "train", "type": "training" })).await["id"].clone();
    let running = rig.ask("tasks.create", json!({ "name": "train", "type": "training" })).await["id"].clone();
    rig.ask("tasks.enqueue", json!({ "task": task, "queue": queue })).await;
    rig.ask("tasks.started", json!({ "task": running })).await;
    for (endpoint, body, code, subcode, message) in [
        ("queues.create", json!({ "name": "gpu-a100" }), 400, 801, "Value combination already exists (unique field"),
        ("queues.create", json!({ "name": "ab" }), 400, 800, "Data validation error: name=String value is too short"),
        ("queues.create", json!({}), 400, 12, "Validation error (error for field 'name'. field is required!)"),
        ("queues.get_next_task", json!({ "queue": "nope" }), 400, 701, "Invalid queue id: id=nope, company=d1bd92a3"),
        ("queues.delete", json!({ "queue": queue }), 400, 702, "Queue is not empty (use force=true to delete): id="),
        ("queues.get_all", json!({ "name": "[" }), 400, 21, "Malformed regular expression: err="),
        ("queues.get_all", json!({ "page": 0, "page_size": 0 }), 400, 12, "Validation error (page_size must be >0)"),
        ("queues.move_task_to_back", json!({ "queue": queue, "task": "x" }), 400, 703, "Invalid queue id or task not"),
        ("tasks.enqueue", json!({ "task": task, "queue": queue }), 400, 706, "Failed adding task to queue since task"),
        ("tasks.enqueue", json!({ "task": "zzz", "queue": queue }), 400, 101, "Invalid task id: id=zzz, company="),
        ("tasks.enqueue", json!({ "task": running, "queue": queue }), 400, 110, "Invalid task status (Invalid status"),
        ("tasks.get_by_id", json!({ "task": "nope" }), 400, 101, "Invalid task id: ids=(nope)"),
        ("workers.register", json!({ "worker": "w", "queues": ["bad"] }), 400, 701, "Invalid queue id: ids=(bad)"),
        ("auth.login", json!({ "expiration_sec": 31_536_001 }), 400, 12, "Validation error"),
        (
            "v2.30/queues.no_such_ep",
            json!({}),
            404,
            0,
            "Unable to find endpoint for name queues.no_such_ep and version 2.30",
        ),
        ("workers.get_runtime_properties", json!({ "worker": "x" }), 404, 0, "Unable to find endpoint for name"),
        ("v2/queues.get_all", json!({}), 400, 0, "Invalid request path /v2/queues.get_all"),
    ] {
        let (status, answer) = rig.call(&ClearmlServer::console(), endpoint, body.clone()).await;
        let meta = &answer["meta"];
        assert_eq!(
            (status, &meta["result_code"], &meta["result_subcode"]),
            (code, &json!(code), &json!(subcode)),
            "{endpoint} {body}"
        );
        let said = meta["result_msg"].as_str().unwrap();
        assert!(said.starts_with(message) && answer["data"] == json!({}), "{endpoint} {body}: {said}");
    }
    // The real server lacks the one too; the other two would fail a test that looks.
    assert_eq!(rig.watch.unknown_endpoints(), ["/v2/queues.get_all", "queues.no_such_ep"]);
    let (status, answer) = rig.send("queues.get_all", "{", |request| request).await;
    assert_eq!((status, &answer["meta"]["result_subcode"]), (400, &json!(0)));
}

#[tokio::test]
async fn every_answer_comes_in_the_envelope() {
    let rig = Rig::start(1).await;
    for (path, version) in
        [("v2.30/queues.get_all", "2.30"), ("queues.get_all", "2.34"), ("v99.9/queues.get_all", "99.9")]
    {
        let (_, answer) = rig.call(&ClearmlServer::console(), path, json!({})).await;
        let meta = &answer["meta"];
        assert_eq!(meta["endpoint"]["requested_version"], version);
        assert_eq!((&meta["result_msg"], &meta["trx"]), (&json!("OK"), &meta["id"]));
        let keys: Vec<&str> = meta.as_object().unwrap().keys().map(String::as_str).collect();
        let recorded =
            ["endpoint", "error_data", "error_stack", "id", "result_code", "result_msg", "result_subcode", "trx"];
        assert_eq!(keys, recorded);
    }
}

#[tokio::test]
async fn keys_and_tokens_are_judged_as_recorded_and_a_token_ends() {
    let rig = Rig::start(1).await;
    let token = rig.ask("auth.login", json!({ "expiration_sec": 3_600 })).await["token"].clone();
    let token = token.as_str().unwrap();
    let subcode = async |with: &dyn Fn(reqwest::RequestBuilder) -> reqwest::RequestBuilder| {
        let (status, answer) = rig.send("v2.30/queues.get_all", "{}", with).await;
        (status, answer["meta"]["result_subcode"].as_u64().unwrap())
    };
    assert_eq!(subcode(&|request| request).await, (401, 20));
    assert_eq!(subcode(&|request| request.basic_auth("CONSOLE-KEY", Some("wrong"))).await, (401, 22));
    assert_eq!(subcode(&|request| request.bearer_auth("garbage")).await, (401, 30));
    assert_eq!(subcode(&|request| request.bearer_auth(token)).await, (200, 0));
    // A live token mints another, for longer.
    let (_, minted) = rig.send("auth.login", r#"{"expiration_sec":7200}"#, |request| request.bearer_auth(token)).await;
    let minted = minted["data"]["token"].as_str().unwrap();
    rig.pass(SignedDuration::from_secs(3_601)).await;
    assert_eq!(subcode(&|request| request.bearer_auth(token)).await, (401, 30));
    assert_eq!(subcode(&|request| request.bearer_auth(minted)).await, (200, 0));
    rig.send("auth.logout", "{}", |request| request.bearer_auth(minted)).await;
    assert_eq!(subcode(&|request| request.bearer_auth(minted)).await, (401, 30));
}

#[tokio::test]
async fn lists_are_filtered_paged_scrolled_and_cut() {
    let rig = Rig::start(1).await;
    for n in 0..5 {
        rig.ask("tasks.create", json!({ "name": format!("page-{n}"), "type": "training" })).await;
    }
    let names = |answer: &Value| -> Vec<String> {
        let rows = answer["tasks"].as_array().unwrap();
        rows.iter().map(|row| row["name"].as_str().unwrap()[5..].to_owned()).collect()
    };
    let base = json!({ "name": "^page\\-", "only_fields": ["id", "name"], "order_by": ["-name"] });
    for (more, wanted) in [
        (json!({ "page": 0, "page_size": 2 }), "4 3"),
        (json!({ "page": 2, "page_size": 2 }), "0"),
        (json!({ "page": 1 }), ""),
        (json!({ "status": ["queued"] }), ""),
        (json!({ "order_by": ["created", "name"], "status": ["created", "queued"] }), "0 1 2 3 4"),
        (json!({ "unheard_of": ["x"] }), "4 3 2 1 0"),
    ] {
        let mut body = base.clone();
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(names(&rig.ask("tasks.get_all", body).await).join(" "), wanted, "{more}");
    }
    let mut scroll = Value::Null;
    for wanted in ["4 3", "2 1", "0", ""] {
        let mut body = base.clone();
        body["size"] = json!(2);
        body["scroll_id"] = scroll;
        let answer = rig.ask("tasks.get_all_ex", body).await;
        assert_eq!(names(&answer).join(" "), wanted);
        scroll = answer["scroll_id"].clone();
    }
}

#[tokio::test]
async fn a_hidden_queue_is_found_by_name_and_its_metadata_from_2_17_on() {
    let rig = Rig::start(1).await;
    let id = rig.ask("queues.create", json!({ "name": "drain:i-1", "system_tags": ["k8s-glue"] })).await["id"].clone();
    let entry = json!({ "key": "want", "type": "str", "value": "run" });
    rig.ask("queues.add_or_update_metadata", json!({ "queue": id, "metadata": [entry] })).await;
    for (filter, count) in [
        (json!({}), 1),
        (json!({ "search_hidden": true }), 2),
        (json!({ "name": "^drain:" }), 1),
        (json!({ "id": [id] }), 1),
    ] {
        let queues = rig.ask("queues.get_all", filter.clone()).await["queues"].as_array().unwrap().len();
        assert_eq!(queues, count, "{filter}");
    }
    for (version, metadata) in
        [("v2.16", json!([])), ("v2.17", json!({ "want": entry })), ("v2.30", json!({ "want": entry }))]
    {
        let answer = rig.ask(&format!("{version}/queues.get_all"), json!({ "id": [id] })).await;
        assert_eq!(answer["queues"][0]["metadata"], metadata, "{version}");
    }
}
