//! A ClearML server as small as an agent without tasks needs it: queues, metadata, workers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

#[derive(Debug, Default)]
pub(crate) struct Content {
    /// By name: the metadata and whether it is hidden. The id is the name with `id-` before it.
    pub(crate) queues: BTreeMap<String, (BTreeMap<String, String>, bool)>,
    /// Tasks that wait, by queue.
    pub(crate) entries: BTreeMap<String, Vec<String>>,
    /// How long every task takes.
    pub(crate) seconds: u32,
    /// The status of every task.
    pub(crate) tasks: BTreeMap<String, String>,
    /// Workers that are registered.
    pub(crate) workers: Vec<String>,
    /// Endpoints in the order of their calls.
    pub(crate) calls: Vec<String>,
    /// While set, mailboxes cannot be read.
    pub(crate) broken: bool,
    /// While set, the server answers nobody.
    pub(crate) down: bool,
}

#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) url: String,
    content: Arc<Mutex<Content>>,
    _runtime: tokio::runtime::Runtime,
}

impl Server {
    pub(crate) fn start(queues: &[&str]) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let content = Arc::new(Mutex::new(Content::default()));
        for queue in queues {
            content.lock().unwrap().queues.insert((*queue).to_owned(), (BTreeMap::new(), false));
        }
        let router = Router::new().fallback(answer).with_state(content.clone());
        runtime.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, content, _runtime: runtime }
    }

    pub(crate) fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap()
    }

    /// How often an endpoint was called.
    pub(crate) fn count(&self, endpoint: &str) -> usize {
        self.content().calls.iter().filter(|call| *call == endpoint).count()
    }

    pub(crate) fn metadata(&self, queue: &str, key: &str) -> Option<String> {
        self.content().queues.get(queue)?.0.get(key).cloned()
    }

    /// Puts a task at the end of a queue.
    pub(crate) fn enqueue(&self, queue: &str, task: &str) {
        let mut content = self.content();
        content.tasks.insert(task.to_owned(), "queued".to_owned());
        content.entries.entry(queue.to_owned()).or_default().push(task.to_owned());
    }

    pub(crate) fn status(&self, task: &str) -> String {
        self.content().tasks.get(task).cloned().unwrap_or_default()
    }

    pub(crate) fn write(&self, queue: &str, key: &str, value: &str) {
        let mut content = self.content();
        content.queues.entry(queue.to_owned()).or_default().0.insert(key.to_owned(), value.to_owned());
    }
}

/// A token of the server's shape, which the agent reads itself.
pub(crate) fn token() -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let identity =
        json!({ "user": "agents", "company": "c", "role": "user", "user_name": "agents", "company_name": "c" });
    let payload = json!({ "iat": 1, "exp": 9_999_999_999_i64, "env": "<unknown>", "identity": identity,
        "api_version": "2.34", "server_version": "2.3.0", "feature_set": "basic" });
    format!("{}.{}.c2lnbg", part(&json!({ "alg": "HS256", "typ": "JWT" })), part(&payload))
}

async fn answer(State(content): State<Arc<Mutex<Content>>>, uri: Uri, body: Bytes) -> Response {
    let endpoint = uri.path().rsplit('/').next().unwrap().to_owned();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let mut content = content.lock().unwrap();
    content.calls.push(endpoint.clone());
    if content.down {
        return StatusCode::BAD_GATEWAY.into_response();
    }
    let (code, subcode, data) = content.reply(&endpoint, &body);
    let meta = json!({ "id": "1", "trx": "1", "endpoint": { "name": endpoint, "requested_version": "2.30", "actual_version": "2.4" },
        "result_code": code, "result_subcode": subcode, "result_msg": if code == 200 { "OK" } else { "no" },
        "error_stack": null, "error_data": {} });
    let text = json!({ "meta": meta, "data": data }).to_string();
    (StatusCode::from_u16(code).unwrap(), [("content-type", "application/json")], text).into_response()
}

impl Content {
    fn reply(&mut self, endpoint: &str, body: &Value) -> (u16, u16, Value) {
        let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
        let data = match endpoint {
            "auth.login" => json!({ "token": token() }),
            "queues.get_all" => {
                let by_id =
                    |name: &str| body["id"].as_array().is_none_or(|ids| ids.contains(&json!(format!("id-{name}"))));
                let pattern = text("name").trim_matches(['^', '$']).replace('\\', "");
                let wanted = |name: &String| by_id(name) && (pattern.is_empty() || pattern == *name);
                if self.broken
                    && (pattern.starts_with("drain:")
                        || body["id"][0].as_str().is_some_and(|id| id.starts_with("id-drain:")))
                {
                    return (500, 100, json!({}));
                }
                let rows: Vec<Value> = self.queues.iter().filter(|(name, _)| wanted(name)).map(row).collect();
                json!({ "queues": rows })
            }
            "queues.create" => {
                if self.queues.contains_key(&text("name")) {
                    return (400, 801, json!({}));
                }
                let hidden = body["system_tags"] == json!(["k8s-glue"]);
                self.queues.insert(text("name"), (BTreeMap::new(), hidden));
                json!({ "id": format!("id-{}", text("name")) })
            }
            "queues.add_or_update_metadata" => {
                let name = text("queue").replacen("id-", "", 1);
                let Some((metadata, _)) = self.queues.get_mut(&name) else { return (400, 701, json!({})) };
                for entry in body["metadata"].as_array().unwrap() {
                    metadata
                        .insert(entry["key"].as_str().unwrap().to_owned(), entry["value"].as_str().unwrap().to_owned());
                }
                json!({ "updated": 1 })
            }
            "workers.register" => {
                self.workers.push(text("worker"));
                json!({})
            }
            "workers.unregister" => {
                self.workers.retain(|worker| *worker != text("worker"));
                json!({})
            }
            "queues.get_next_task" => {
                let waiting = self.entries.entry(text("queue").replacen("id-", "", 1)).or_default();
                if waiting.is_empty() { json!({}) } else { json!({ "entry": { "task": waiting.remove(0) } }) }
            }
            "tasks.get_by_id" => json!({ "task": self.task(&text("task")) }),
            "tasks.get_all" => json!({ "tasks": [self.task(body["id"][0].as_str().unwrap_or_default())] }),
            "tasks.started" | "tasks.completed" | "tasks.failed" | "tasks.stopped" => {
                let status = endpoint.trim_start_matches("tasks.").replace("started", "in_progress");
                self.tasks.insert(text("task"), status);
                json!({ "updated": 1, "fields": {} })
            }
            "tasks.edit" | "tasks.dequeue" | "tasks.ping" => json!({ "updated": 1 }),
            "events.add_batch" => json!({ "added": 1, "errors": 0 }),
            "workers.status_report" | "workers.get_all" => json!({}),
            _ => return (404, 0, json!({})),
        };
        (200, 0, data)
    }
}

impl Content {
    /// A shell task: such a one needs no Python set-up (GUARD.md section 8).
    fn task(&self, id: &str) -> Value {
        let script = json!({ "binary": "/bin/bash", "entry_point": "job.sh", "working_dir": ".", "repository": "",
            "branch": "", "tag": "", "version_num": "", "diff": format!("sleep {}", self.seconds.max(1)), "requirements": {} });
        json!({ "id": id, "name": id, "type": "training", "status": self.tasks.get(id), "status_message": "",
            "user": "u", "company": "c", "script": script, "execution": { "queue": "id-one" }, "runtime": {},
            "container": {}, "hyperparams": {}, "system_tags": [], "tags": [] })
    }
}

fn row((name, (metadata, _)): (&String, &(BTreeMap<String, String>, bool))) -> Value {
    let metadata: BTreeMap<_, _> =
        metadata.iter().map(|(key, value)| (key, json!({ "key": key, "type": "str", "value": value }))).collect();
    json!({ "id": format!("id-{name}"), "name": name, "tags": [], "system_tags": [], "entries": [], "metadata": metadata })
}
