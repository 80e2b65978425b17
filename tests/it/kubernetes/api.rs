//! A small Kubernetes API server: list, watch (from a resourceVersion, with bookmarks, and 410), create, get, patch, delete,
//! access reviews. It answers as the recorded one does; `shape` compares them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Method, StatusCode, Uri};
use axum::response::Response;
use serde_json::{Value, json};
use tidegate::world::clock::Clock;

pub(super) const TOKEN: &str = "t0ken";

/// The kind of a resource, by its plural.
fn kind_of(plural: &str) -> &'static str {
    match plural {
        "jobs" => "Job",
        "pods" => "Pod",
        "secrets" => "Secret",
        "nodes" => "Node",
        "configmaps" => "ConfigMap",
        "nodepools" => "NodePool",
        "nodeclaims" => "NodeClaim",
        "workloads" => "Workload",
        _ => "Event",
    }
}

/// What is in no namespace.
fn is_cluster_wide(plural: &str) -> bool {
    ["nodes", "nodepools", "nodeclaims"].contains(&plural)
}

/// The namespaces that there are; the first is where objects are put that name none.
const NAMESPACES: [&str; 3] = ["ml-tasks", "kube-system", "default"];

/// One change, as a watch tells it.
#[derive(Debug, Clone)]
struct Change {
    version: u64,
    plural: String,
    kind: &'static str,
    object: Value,
}

/// What the server keeps; a test sets it and reads it.
#[derive(Debug, Default)]
pub(super) struct State {
    /// By plural and name.
    objects: BTreeMap<(String, String), Value>,
    changes: Vec<Change>,
    version: u64,
    /// Changes before this are forgotten.
    oldest: u64,
    made: u64,
    /// It answers nobody, and ends all watches.
    pub(super) down: bool,
    /// Every request, in order: method and path with its query.
    pub(super) asked: Vec<String>,
    /// `verb plural` that the caller may not do.
    pub(super) denied: BTreeSet<String>,
    /// The next calls of `method plural` that are answered so, before anything is done.
    pub(super) noes: Vec<(String, u16, Value)>,
    /// The next calls of `method plural` that are done, and whose answer is lost.
    pub(super) lost: Vec<String>,
    /// Every Job that was ever made, by its name, and how often.
    pub(super) jobs_made: BTreeMap<String, u32>,
    /// A header that every answer bears.
    pub(super) warning: Option<&'static str>,
    /// So many pods a quota of the namespace permits; `None`: there is no quota.
    pub(super) quota: Option<usize>,
    /// API groups beside its own, each with its version.
    pub(super) groups: Vec<(&'static str, &'static str)>,
}

pub(super) fn now() -> String {
    Clock::Wall.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

impl State {
    fn tell(&mut self, plural: &str, kind: &'static str, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.changes.push(Change { version: self.version, plural: plural.to_owned(), kind, object: object.clone() });
        object
    }

    pub(super) fn all(&self, plural: &str) -> Vec<Value> {
        self.objects.iter().filter(|((of, _), _)| of == plural).map(|(_, object)| object.clone()).collect()
    }

    pub(super) fn get(&self, plural: &str, name: &str) -> Option<Value> {
        self.objects.get(&(plural.to_owned(), name.to_owned())).cloned()
    }

    /// Puts an object there, new or changed.
    pub(super) fn put(&mut self, plural: &str, mut object: Value) -> Value {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let key = (plural.to_owned(), name);
        let is_new = !self.objects.contains_key(&key);
        if is_new {
            self.made += 1;
            object["metadata"]["uid"] = json!(format!("uid-{}", self.made));
            if object["metadata"]["namespace"].is_null() && !is_cluster_wide(plural) {
                object["metadata"]["namespace"] = json!(NAMESPACES[0]);
            }
            if object["metadata"]["creationTimestamp"].is_null() {
                object["metadata"]["creationTimestamp"] = json!(now());
            }
        }
        let object = self.tell(plural, if is_new { "ADDED" } else { "MODIFIED" }, object);
        self.objects.insert(key, object.clone());
        object
    }

    /// Removes an object, and what it owns.
    pub(super) fn remove(&mut self, plural: &str, name: &str) {
        let Some(object) = self.objects.remove(&(plural.to_owned(), name.to_owned())) else { return };
        let uid = object["metadata"]["uid"].clone();
        self.tell(plural, "DELETED", object);
        let owned: Vec<(String, String)> = self
            .objects
            .iter()
            .filter(|(_, object)| object["metadata"]["ownerReferences"][0]["uid"] == uid)
            .map(|(key, _)| key.clone())
            .collect();
        for (plural, name) in owned {
            self.remove(&plural, &name);
        }
    }

    /// An event about an object.
    pub(super) fn event(&mut self, kind: &str, about: &str, reason: &str, message: &str, source: &str) {
        self.made += 1;
        let name = format!("{about}.{}", self.made);
        let namespace = if ["Node", "NodeClaim"].contains(&kind) { "default" } else { NAMESPACES[0] };
        self.put(
            "events",
            json!({
                "apiVersion": "v1", "kind": "Event", "metadata": { "name": name, "namespace": namespace },
                "involvedObject": { "kind": kind, "name": about, "namespace": "ml-tasks" },
                "reason": reason, "message": message, "type": "Normal", "lastTimestamp": now(),
                "source": { "component": source }, "reportingComponent": source,
            }),
        );
    }

    /// Forgets all changes: who wants to go on from an older version is told 410.
    pub(super) fn compact(&mut self) {
        self.changes.clear();
        self.oldest = self.version;
    }
}

/// A Status, as the server gives it.
pub(super) fn status(code: u16, reason: &str, message: &str) -> Value {
    json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
        "reason": reason, "code": code })
}

type Shared = Arc<Mutex<State>>;

/// A served API; dropped, it is gone.
#[derive(Debug)]
pub(super) struct Api {
    pub(super) url: String,
    state: Shared,
    _runtime: tokio::runtime::Runtime,
}

impl Api {
    pub(super) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let state: Shared = Arc::default();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let served = state.clone();
        let answer = move |method: Method, uri: Uri, body: Bytes| {
            let served = served.clone();
            async move { answer(&served, &method, &uri, &body) }
        };
        runtime.spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
        Self { url, state, _runtime: runtime }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) fn shared(&self) -> Shared {
        self.state.clone()
    }

    /// A kubeconfig for it, with its one context `test`.
    pub(super) fn kubeconfig(&self) -> String {
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{ "name": "test", "cluster": { "server": self.url } }],
            "users": [{ "name": "test", "user": { "token": TOKEN } }],
            "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test", "namespace": "ml-tasks" } }],
        })
        .to_string()
    }
}

fn json_answer(code: u16, body: &Value, warnings: impl IntoIterator<Item = String>) -> Response {
    let mut answer = Response::builder().status(StatusCode::from_u16(code).unwrap());
    answer = answer.header("content-type", "application/json");
    for warning in warnings {
        answer = answer.header("warning", format!("299 - \"{}\"", warning.replace('"', "\\\"")));
    }
    answer.body(Body::from(body.to_string())).unwrap()
}

fn answer(shared: &Shared, method: &Method, uri: &Uri, body: &[u8]) -> Response {
    let address = reqwest::Url::parse(&format!("http://fake{uri}")).unwrap();
    let query: BTreeMap<String, String> = address.query_pairs().into_owned().collect();
    let path: Vec<&str> = address.path().trim_matches('/').split('/').collect();
    let mut state = shared.lock().unwrap();
    state.asked.push(format!("{method} {uri}"));
    let warning = state.warning;
    if state.down {
        return json_answer(503, &status(503, "ServiceUnavailable", "the server is down"), None);
    }
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    if path.as_slice() == ["version"] {
        let version = json!({ "major": "1", "minor": "36", "gitVersion": "v1.36.0", "gitCommit": "", "gitTreeState": "",
            "buildDate": "", "goVersion": "", "compiler": "", "platform": "" });
        return json_answer(200, &version, None);
    }
    if path.last() == Some(&"selfsubjectaccessreviews") {
        return json_answer(201, &review(&state, body), None);
    }
    if let Some(told) = discovery(&state, &path) {
        return json_answer(200, &told, None);
    }
    // `api/v1`, or `apis/GROUP/VERSION`.
    let root = if path.first() == Some(&"api") { 2 } else { 3 };
    let (namespace, rest) = match path.get(root) {
        Some(&"namespaces") => (path.get(root + 1).copied(), path.get(root + 2..).unwrap_or_default()),
        _ => (None, path.get(root..).unwrap_or_default()),
    };
    let Some(plural) = rest.first().map(|plural| (*plural).to_owned()) else {
        return json_answer(404, &status(404, "NotFound", "the server could not find the requested resource"), None);
    };
    let name = rest.get(1).map(|name| (*name).to_owned());
    if let Some(unknown) = namespace.filter(|namespace| !NAMESPACES.contains(namespace)) {
        let message = format!("namespaces \"{unknown}\" not found");
        return json_answer(404, &status(404, "NotFound", &message), None);
    }
    let which = Which {
        plural: plural.clone(),
        namespace: namespace.map(str::to_owned),
        labels: query.get("labelSelector").cloned().unwrap_or_default(),
        fields: query.get("fieldSelector").cloned().unwrap_or_default(),
    };
    let is_watch = query.get("watch").is_some_and(|watch| watch == "true" || watch == "1");
    let verb = match (method.as_str(), &name, is_watch) {
        (_, _, true) => "watch",
        ("GET", None, _) => "list",
        ("GET", ..) => "get",
        ("POST", ..) => "create",
        ("PATCH", ..) => "patch",
        _ => "delete",
    };
    let call = format!("{verb} {plural}");
    if state.denied.contains(&call) {
        let message = format!(
            "{plural} is forbidden: User \"console\" cannot {verb} resource \"{plural}\" in API group \"\" in the \
             namespace \"ml-tasks\""
        );
        return json_answer(403, &status(403, "Forbidden", &message), None);
    }
    if let Some(place) = state.noes.iter().position(|(of, ..)| *of == call) {
        let (_, code, body) = state.noes.remove(place);
        return json_answer(code, &body, None);
    }
    let mut warnings: Vec<String> = warning.into_iter().map(str::to_owned).collect();
    let (code, said) = match (verb, name) {
        ("watch", _) => {
            drop(state);
            return follow(shared.clone(), which, &query);
        }
        ("list", _) => (200, list(&state, &which)),
        ("get", Some(name)) => found(&state, &plural, &name),
        ("create", _) => {
            let (trial, strict) = (query.contains_key("dryRun"), query.get("fieldValidation"));
            let (body, unknown) = without_unknown(&plural, body);
            if strict.is_some_and(|strict| strict == "Strict") && !unknown.is_empty() {
                let message = format!(
                    "Job in version \"v1\" cannot be handled as a Job: strict decoding error: {}",
                    unknown.join(", ")
                );
                (400, status(400, "BadRequest", &message))
            } else {
                warnings.extend(unknown);
                create(&mut state, &plural, body, trial)
            }
        }
        ("patch", Some(name)) => patch(&mut state, &plural, &name, &body),
        (_, Some(name)) => delete(&mut state, &plural, &name, &body),
        _ => (405, status(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")),
    };
    if let Some(place) = state.lost.iter().position(|of| *of == call) {
        state.lost.remove(place);
        return json_answer(
            504,
            &status(504, "Timeout", "Timeout: request did not complete within requested timeout"),
            None,
        );
    }
    json_answer(code, &said, warnings)
}

/// What the server says of what it has.
fn discovery(state: &State, path: &[&str]) -> Option<Value> {
    let recorded = |file: &str| crate::kubernetes::recorded(file)["response"]["body"].clone();
    match path {
        ["api"] => Some(recorded("discovery/api")),
        ["api", "v1"] => Some(recorded("discovery/api_v1")),
        ["apis", "batch", "v1"] => Some(recorded("discovery/apis_batch_v1")),
        ["apis"] => {
            let mut list = recorded("discovery/apis");
            let groups = list["groups"].as_array_mut().unwrap();
            groups.retain(|group| group["name"] == "batch");
            groups.extend(state.groups.iter().map(|(name, version)| {
                let version = json!({ "groupVersion": format!("{name}/{version}"), "version": version });
                json!({ "name": name, "versions": [version.clone()], "preferredVersion": version })
            }));
            Some(list)
        }
        _ => None,
    }
}

/// Fields of a pod that the server knows, of those that tests use.
const KNOWN: [&str; 16] = [
    "containers",
    "initContainers",
    "volumes",
    "restartPolicy",
    "nodeSelector",
    "tolerations",
    "priorityClassName",
    "serviceAccountName",
    "hostNetwork",
    "affinity",
    "securityContext",
    "imagePullSecrets",
    "terminationGracePeriodSeconds",
    "schedulerName",
    "runtimeClassName",
    "nodeName",
];

/// Leaves out what no pod has, and tells of it.
fn without_unknown(plural: &str, mut object: Value) -> (Value, Vec<String>) {
    let mut unknown = Vec::new();
    if plural == "jobs"
        && let Some(spec) = object.pointer_mut("/spec/template/spec").and_then(Value::as_object_mut)
    {
        spec.retain(|name, _| {
            let known = KNOWN.contains(&name.as_str());
            if !known {
                unknown.push(format!("unknown field \"spec.template.spec.{name}\""));
            }
            known
        });
    }
    (object, unknown)
}

fn review(state: &State, mut body: Value) -> Value {
    let asked = &body["spec"]["resourceAttributes"];
    let part = asked["subresource"].as_str().map(|part| format!("/{part}")).unwrap_or_default();
    let call = format!("{} {}{part}", asked["verb"].as_str().unwrap(), asked["resource"].as_str().unwrap());
    body["status"] = json!({ "allowed": !state.denied.contains(&call) });
    body
}

/// Which objects are meant.
#[derive(Debug, Clone)]
struct Which {
    plural: String,
    /// `None`: of the whole cluster.
    namespace: Option<String>,
    labels: String,
    fields: String,
}

impl Which {
    fn is_of(&self, plural: &str, object: &Value) -> bool {
        let pairs = |selector: &str| -> Vec<(String, String)> {
            let pairs = selector.split(',').filter_map(|one| one.split_once('='));
            pairs.map(|(name, text)| (name.trim_end_matches('=').to_owned(), text.to_owned())).collect()
        };
        let field = |name: &str| object.pointer(&format!("/{}", name.replace('.', "/"))).cloned().unwrap_or_default();
        *plural == *self.plural
            && self.namespace.as_ref().is_none_or(|namespace| object["metadata"]["namespace"] == **namespace)
            && pairs(&self.labels).iter().all(|(name, text)| object["metadata"]["labels"][name] == **text)
            && pairs(&self.fields).iter().all(|(name, text)| field(name) == **text)
    }
}

fn list(state: &State, which: &Which) -> Value {
    let plural = which.plural.as_str();
    let items: Vec<Value> = state.all(plural).into_iter().filter(|object| which.is_of(plural, object)).collect();
    json!({ "kind": format!("{}List", kind_of(plural)), "apiVersion": "v1",
        "metadata": { "resourceVersion": state.version.to_string() }, "items": items })
}

fn not_found(plural: &str, name: &str) -> (u16, Value) {
    (404, status(404, "NotFound", &format!("{plural} \"{name}\" not found")))
}

fn found(state: &State, plural: &str, name: &str) -> (u16, Value) {
    state.get(plural, name).map_or_else(|| not_found(plural, name), |object| (200, object))
}

fn create(state: &mut State, plural: &str, mut object: Value, dry: bool) -> (u16, Value) {
    let name = object["metadata"]["name"].as_str().unwrap().to_owned();
    if state.get(plural, &name).is_some() {
        return (409, status(409, "AlreadyExists", &format!("{plural} \"{name}\" already exists")));
    }
    if plural == "jobs" && object["spec"]["template"]["spec"]["containers"][0]["image"].is_null() {
        let message = "Job is invalid: spec.template.spec.containers[0].image: Required value";
        let mut no = status(422, "Invalid", message);
        no["details"] = json!({ "causes": [{ "reason": "FieldValueRequired", "message": "Required value",
            "field": "spec.template.spec.containers[0].image" }] });
        return (422, no);
    }
    if plural == "jobs" {
        object["status"] = json!({});
        *state.jobs_made.entry(name).or_default() += 1;
    }
    (201, if dry { object } else { state.put(plural, object) })
}

fn patch(state: &mut State, plural: &str, name: &str, patch: &Value) -> (u16, Value) {
    let Some(mut object) = state.get(plural, name) else { return not_found(plural, name) };
    merge(&mut object, patch);
    (200, state.put(plural, object))
}

fn merge(object: &mut Value, patch: &Value) {
    match patch {
        Value::Object(fields) => {
            for (name, value) in fields {
                merge(&mut object[name.as_str()], value);
            }
        }
        other => *object = other.clone(),
    }
}

fn delete(state: &mut State, plural: &str, name: &str, options: &Value) -> (u16, Value) {
    let Some(object) = state.get(plural, name) else { return not_found(plural, name) };
    let wanted = &options["preconditions"]["resourceVersion"];
    if !wanted.is_null() && *wanted != object["metadata"]["resourceVersion"] {
        return (409, status(409, "Conflict", "the object has been modified"));
    }
    assert!(plural != "jobs" || options["propagationPolicy"] == "Background", "the pod would be orphaned: {options}");
    state.remove(plural, name);
    (200, json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success" }))
}

/// A watch: what changed since a version, then what changes, one object a line; a bookmark each second.
fn follow(shared: Shared, which: Which, query: &BTreeMap<String, String>) -> Response {
    let from: u64 = query.get("resourceVersion").and_then(|version| version.parse().ok()).unwrap_or_default();
    let start = (shared, which, from, 0_u32);
    let stream = futures::stream::unfold(Some(start), |at| async move {
        let (shared, which, mut from, mut idle) = at?;
        loop {
            let (lines, ends) = {
                let state = shared.lock().unwrap();
                if state.down {
                    return None;
                }
                if from < state.oldest {
                    let gone = status(410, "Expired", "too old resource version");
                    (vec![json!({ "type": "ERROR", "object": gone })], true)
                } else {
                    let new = state.changes.iter().filter(|change| change.version > from);
                    let ours = new.filter(|change| which.is_of(&change.plural, &change.object));
                    let lines = ours.map(|change| json!({ "type": change.kind, "object": change.object })).collect();
                    from = state.version;
                    (lines, false)
                }
            };
            let mut lines: Vec<Value> = lines;
            if lines.is_empty() && idle >= 20 {
                idle = 0;
                lines.push(json!({ "type": "BOOKMARK", "object": { "kind": kind_of(&which.plural), "apiVersion": "v1",
                    "metadata": { "resourceVersion": from.to_string(), "creationTimestamp": null },
                    "spec": { "containers": null } } }));
            }
            if !lines.is_empty() {
                let text = lines.iter().fold(String::new(), |text, line| text + line.to_string().as_str() + "\n");
                let next = (!ends).then_some((shared, which, from, idle));
                return Some((Ok::<_, std::io::Error>(text), next));
            }
            idle += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    Response::builder().header("content-type", "application/json").body(Body::from_stream(stream)).unwrap()
}
