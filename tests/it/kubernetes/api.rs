//! A small Kubernetes API server: list, watch (from a resourceVersion, with bookmarks, and 410), create, get, patch, delete,
//! access reviews. It answers as the recorded one does; `shape` compares them. With a real one behind it, it hands everything
//! on to that, but for the faults that a test asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tidegate::world::clock::Clock;

use crate::kubernetes::real::{Real, forward};

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
    quota: Option<usize>,
    /// API groups beside its own, each with its version.
    groups: Vec<(&'static str, &'static str)>,
    /// Where the objects really are.
    pub(super) real: Option<Arc<Real>>,
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
        if let Some(real) = &self.real {
            return real.all(plural);
        }
        self.objects.iter().filter(|((of, _), _)| of == plural).map(|(_, object)| object.clone()).collect()
    }

    pub(super) fn get(&self, plural: &str, name: &str) -> Option<Value> {
        if let Some(real) = &self.real {
            return real.get(plural, name);
        }
        self.objects.get(&(plural.to_owned(), name.to_owned())).cloned()
    }

    /// Puts an object there, new or changed.
    pub(super) fn put(&mut self, plural: &str, mut object: Value) -> Value {
        if let Some(real) = &self.real {
            return real.put(plural, object);
        }
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
        if let Some(real) = &self.real {
            return real.remove(plural, name);
        }
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
        let name = format!("{about}.{:x}", Clock::Wall.now().as_nanosecond());
        let own = self.real.as_ref().map_or(NAMESPACES[0], |real| real.namespace.as_str());
        // Events of what is in no namespace are in this one.
        let (namespace, of) = if ["Node", "NodeClaim"].contains(&kind) { ("default", None) } else { (own, Some(own)) };
        let event = json!({
            "apiVersion": "v1", "kind": "Event", "metadata": { "name": name, "namespace": namespace },
            "involvedObject": { "kind": kind, "name": about, "namespace": of },
            "reason": reason, "message": message, "type": "Normal", "lastTimestamp": now(),
            "source": { "component": source }, "reportingComponent": source,
        });
        match &self.real {
            Some(real) => real.event(&event),
            None => drop(self.put("events", event)),
        }
    }

    /// There is this API group too, in this version.
    pub(super) fn add_group(&mut self, group: &'static str, version: &'static str) {
        match &self.real {
            Some(real) => real.group(group, version),
            None => self.groups.push((group, version)),
        }
    }

    /// So many pods the namespace may have from now on; `None`: as many as will.
    pub(super) fn limit_pods(&mut self, most: Option<usize>) {
        match &self.real {
            Some(real) => real.quota(most),
            None => self.quota = most,
        }
    }

    /// Whether no pod more may be made.
    pub(super) fn is_at_quota(&self) -> bool {
        self.quota.is_some_and(|most| self.all("pods").len() >= most)
    }

    /// Forgets all changes: who wants to go on from an older version is told 410.
    pub(super) fn compact(&mut self) {
        self.changes.clear();
        self.oldest = self.real.as_ref().map_or(self.version, |real| real.version());
    }

    /// A no to this call that a test asked for.
    fn no(&mut self, call: &Call) -> Option<(u16, Value)> {
        let (verb, plural) = (call.verb, &call.plural);
        if self.denied.contains(&call.told()) {
            let namespace = call.namespace.as_deref().unwrap_or_default();
            let message = format!(
                "{plural} is forbidden: User \"console\" cannot {verb} resource \"{plural}\" in API group \"\" in the \
                 namespace \"{namespace}\""
            );
            return Some((403, status(403, "Forbidden", &message)));
        }
        let place = self.noes.iter().position(|(of, ..)| *of == call.told())?;
        let (_, code, body) = self.noes.remove(place);
        Some((code, body))
    }

    /// Whether this call's answer is to be lost.
    fn loses(&mut self, call: &Call) -> bool {
        let place = self.lost.iter().position(|of| *of == call.told());
        place.map(|place| self.lost.remove(place)).is_some()
    }
}

/// What is asked for.
#[derive(Debug, Clone)]
struct Call {
    verb: &'static str,
    plural: String,
    namespace: Option<String>,
    name: Option<String>,
    query: BTreeMap<String, String>,
}

impl Call {
    /// `None`: it is about no object.
    fn read(method: &Method, uri: &Uri) -> Option<Self> {
        let address = reqwest::Url::parse(&format!("http://fake{uri}")).unwrap();
        let query: BTreeMap<String, String> = address.query_pairs().into_owned().collect();
        let path: Vec<&str> = address.path().trim_matches('/').split('/').collect();
        // `api/v1`, or `apis/GROUP/VERSION`.
        let root = if path.first() == Some(&"api") { 2 } else { 3 };
        let (namespace, rest) = match (path.get(root), path.get(root + 2)) {
            (Some(&"namespaces"), Some(_)) => (path.get(root + 1).copied(), path.get(root + 2..).unwrap_or_default()),
            _ => (None, path.get(root..).unwrap_or_default()),
        };
        let is_watch = query.get("watch").is_some_and(|watch| watch == "true" || watch == "1");
        let name = rest.get(1).map(|name| (*name).to_owned());
        let verb = match (method.as_str(), &name, is_watch) {
            (_, _, true) => "watch",
            ("GET", None, _) => "list",
            ("GET", ..) => "get",
            ("POST", ..) => "create",
            ("PATCH", ..) => "patch",
            _ => "delete",
        };
        let plural = (*rest.first()?).to_owned();
        Some(Self { verb, plural, namespace: namespace.map(str::to_owned), name, query })
    }

    /// `create jobs`.
    fn told(&self) -> String {
        format!("{} {}", self.verb, self.plural)
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
        Self::before(None)
    }

    /// With a real one behind it.
    pub(super) fn before(real: Option<Arc<Real>>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let state: Shared = Arc::new(Mutex::new(State { real, ..State::default() }));
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let served = state.clone();
        let answer = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
            let served = served.clone();
            async move {
                let real = served.lock().unwrap().real.clone();
                match real {
                    None => answer(&served, &method, &uri, &headers, &body),
                    Some(real) => hand_on(served, real, (&method, &uri, &headers), body).await,
                }
            }
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
            "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test", "namespace": self.namespace() } }],
        })
        .to_string()
    }

    /// Where the pods of tests are.
    pub(super) fn namespace(&self) -> String {
        self.state().real.as_ref().map_or(NAMESPACES[0], |real| real.namespace.as_str()).to_owned()
    }

    /// The minor version of what answers.
    pub(super) fn minor(&self) -> u32 {
        self.state().real.as_ref().map_or(36, |real| real.minor)
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        let real = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner).real.clone();
        if let Some(real) = real {
            real.close();
        }
    }
}

pub(super) fn json_answer(code: u16, body: &Value, warnings: impl IntoIterator<Item = String>) -> Response {
    let mut answer = Response::builder().status(StatusCode::from_u16(code).unwrap());
    answer = answer.header("content-type", "application/json");
    for warning in warnings {
        answer = answer.header("warning", format!("299 - \"{}\"", warning.replace('"', "\\\"")));
    }
    answer.body(Body::from(body.to_string())).unwrap()
}

fn answer(shared: &Shared, method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Response {
    let mut state = shared.lock().unwrap();
    state.asked.push(format!("{method} {uri}"));
    let warning = state.warning;
    if state.down {
        return json_answer(503, &status(503, "ServiceUnavailable", "the server is down"), None);
    }
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let path: Vec<&str> = uri.path().trim_matches('/').split('/').collect();
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
    let Some(call) = Call::read(method, uri) else {
        return json_answer(404, &status(404, "NotFound", "the server could not find the requested resource"), None);
    };
    if let Some(unknown) = call.namespace.as_deref().filter(|namespace| !NAMESPACES.contains(namespace)) {
        let message = format!("namespaces \"{unknown}\" not found");
        return json_answer(404, &status(404, "NotFound", &message), None);
    }
    if let Some((code, body)) = state.no(&call) {
        return json_answer(code, &body, None);
    }
    let Call { verb, plural, namespace, name, query } = call.clone();
    let which = Which {
        plural: plural.clone(),
        namespace,
        labels: query.get("labelSelector").cloned().unwrap_or_default(),
        fields: query.get("fieldSelector").cloned().unwrap_or_default(),
    };
    let mut warnings: Vec<String> = warning.into_iter().map(str::to_owned).collect();
    let kind = headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
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
        ("patch", Some(_)) if kind != MERGE => {
            let message =
                format!("the body of the request was in an unknown format - accepted media types include: {MERGE}");
            (415, status(415, "UnsupportedMediaType", &message))
        }
        ("patch", Some(name)) => patch(&mut state, &plural, &name, &body),
        (_, Some(name)) => delete(&mut state, &plural, &name, &body),
        _ => (405, status(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")),
    };
    if state.loses(&call) { lost() } else { json_answer(code, &said, warnings) }
}

/// Of the kinds of patches the only one that is used.
pub(super) const MERGE: &str = "application/merge-patch+json";

fn lost() -> Response {
    json_answer(504, &status(504, "Timeout", "Timeout: request did not complete within requested timeout"), None)
}

/// The real one answers, but for the faults that a test asks for.
async fn hand_on(shared: Shared, real: Arc<Real>, asked: (&Method, &Uri, &HeaderMap), body: Bytes) -> Response {
    let (method, uri, _) = asked;
    let call = Call::read(method, uri);
    {
        let mut state = shared.lock().unwrap();
        state.asked.push(format!("{method} {uri}"));
        if state.down {
            return json_answer(503, &status(503, "ServiceUnavailable", "the server is down"), None);
        }
        if uri.path().ends_with("/selfsubjectaccessreviews") && !state.denied.is_empty() {
            return json_answer(201, &review(&state, serde_json::from_slice(&body).unwrap()), None);
        }
        if let Some((code, body)) = call.as_ref().and_then(|call| state.no(call)) {
            return json_answer(code, &body, None);
        }
        let from = call.as_ref().filter(|call| call.verb == "watch").and_then(|call| call.query.get("resourceVersion"));
        if from.and_then(|from| from.parse::<u64>().ok()).is_some_and(|from| from < state.oldest) {
            let gone = json!({ "type": "ERROR", "object": status(410, "Expired", "too old resource version") });
            return json_answer(200, &gone, None);
        }
    }
    let is_watch = call.as_ref().is_some_and(|call| call.verb == "watch");
    let (code, mut answer) = forward(shared.clone(), real, asked, body.clone(), is_watch).await;
    let mut state = shared.lock().unwrap();
    let Some(call) = call else { return answer };
    if call.told() == "create jobs" && code == 201 && !call.query.contains_key("dryRun") {
        let job: Value = serde_json::from_slice(&body).unwrap();
        *state.jobs_made.entry(job["metadata"]["name"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    if let Some(warning) = state.warning {
        let header = format!("299 - \"{}\"", warning.replace('"', "\\\""));
        answer.headers_mut().append("warning", header.parse().unwrap());
    }
    if state.loses(&call) { lost() } else { answer }
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
    if plural == "secrets"
        && let Some(clear) = object.as_object_mut().unwrap().remove("stringData")
    {
        for (name, text) in clear.as_object().unwrap() {
            object["data"][name] = STANDARD.encode(text.as_str().unwrap()).into();
        }
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

/// A watch: what changed since a version, then what changes, one object a line; a bookmark each second. It ends after as many
/// seconds as it was asked for.
fn follow(shared: Shared, which: Which, query: &BTreeMap<String, String>) -> Response {
    let from: u64 = query.get("resourceVersion").and_then(|version| version.parse().ok()).unwrap_or_default();
    let seconds: u32 = query.get("timeoutSeconds").and_then(|seconds| seconds.parse().ok()).unwrap_or(1_800);
    let start = (shared, which, from, 0_u32, seconds * 20);
    let stream = futures::stream::unfold(Some(start), |at| async move {
        let (shared, which, mut from, mut idle, mut left) = at?;
        loop {
            if left == 0 {
                return None;
            }
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
                let next = (!ends).then_some((shared, which, from, idle, left));
                return Some((Ok::<_, std::io::Error>(text), next));
            }
            (idle, left) = (idle + 1, left - 1);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    Response::builder().header("content-type", "application/json").body(Body::from_stream(stream)).unwrap()
}
