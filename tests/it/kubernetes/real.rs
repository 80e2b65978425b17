//! A real control plane behind our server's face: with `TIDEGATE_TEST_KUBECONFIG` set each test has a namespace of its own
//! there, and what the program asks goes through our server to the real one, in the name of the service account of
//! config/kubernetes, so that its Role must suffice. Its controllers and its scheduler are the real ones; the node, and who
//! runs its pods, are ours. One test at a time: nodes are of the whole cluster.
//!
//! Only a test's own label marks what it made; a node or `ConfigMap` of that name that somebody else made fails the test.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Request, Uri};
use axum::response::Response;
use futures::StreamExt as _;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::kubernetes::api::{State, json_answer, now, status};

/// The node that our kubelet plays.
pub(super) const NODE: &str = "worker-1";
/// On what is in no namespace of its own: whose it is.
const LABEL: &str = "tidegate-test";
/// On the node alone that may have this test's pods.
pub(super) const TAKES: &str = "tidegate-test-node";
const SERVICE_ACCOUNT: &str = "tidegate";
const MERGE: &str = "application/merge-patch+json";
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const JSON: &str = "application/json";

/// The kubeconfig of the cluster that the tests are to run on, if one is named.
pub(super) fn named() -> Option<PathBuf> {
    std::env::var_os("TIDEGATE_TEST_KUBECONFIG").map(PathBuf::from)
}

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Of all calls of the tests' own; it outlives each of them.
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap());

/// The cluster is this test's until it is dropped.
pub(super) fn alone() -> Option<MutexGuard<'static, ()>> {
    named().map(|_| ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Says that a test needs our own server, where it is to run on a real one. It is said beside what the runner captures.
pub(super) fn needs_ours(test: &str, why: &str) -> bool {
    use std::io::Write as _;
    let real = named().is_some();
    if real {
        let _ = writeln!(std::io::stderr(), "NOT RUN on the real cluster: {test}: {why}");
    }
    real
}

/// A namespace of a real cluster, until it is closed.
pub(super) struct Real {
    client: Client,
    /// Of what is handed on: its connections live in our server's runtime, which waits while a test asks something itself.
    others: Client,
    pub(super) namespace: String,
    /// The minor version of the server.
    pub(super) minor: u32,
}

impl std::fmt::Debug for Real {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Real").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

impl Real {
    /// Makes the namespace, with the roles of config/kubernetes in it.
    pub(super) fn open(kubeconfig: &Path) -> Self {
        let client = || {
            RUNTIME.block_on(async {
                let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
                let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
                Client::try_from(config).unwrap()
            })
        };
        let namespace = format!("tidegate-test-{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
        let mut real = Self { client: client(), others: client(), namespace, minor: 0 };
        let (_, version) = real.call("GET", "/version", JSON, &Value::Null);
        let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>();
        // One that was built without its version is old, for all that is known.
        real.minor = digits(version["minor"].as_str().unwrap()).parse().unwrap_or(0);
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": real.namespace } });
        real.made("/api/v1/namespaces", &namespace);
        let account = format!("/api/v1/namespaces/{}/serviceaccounts/default", real.namespace);
        real.until("its service account is there", || real.call("GET", &account, JSON, &Value::Null).0 == 200);
        real.bind();
        real
    }

    /// The roles and who has them, of the manifest that people apply.
    fn bind(&self) {
        let path = format!("{}/config/kubernetes/deployment.yaml", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        for document in text.split("\n---\n") {
            let mut object: Value = serde_saphyr::from_str(document).unwrap();
            let kind = object["kind"].as_str().unwrap().to_owned();
            let plural = match kind.as_str() {
                "ServiceAccount" => "/serviceaccounts",
                "Role" => "/roles",
                "RoleBinding" => "/rolebindings",
                "ClusterRole" => "/clusterroles",
                "ClusterRoleBinding" => "/clusterrolebindings",
                _ => continue,
            };
            let text = object.to_string().replace("\"ml-tasks\"", &format!("\"{}\"", self.namespace));
            let text = text.replace("\"tidegate-nodes\"", &format!("\"{}-nodes\"", self.namespace));
            object = serde_json::from_str(&text).unwrap();
            for subject in object["subjects"].as_array_mut().into_iter().flatten() {
                subject["namespace"] = json!(self.namespace);
            }
            object["metadata"]["labels"][LABEL] = json!(self.namespace);
            let root = if kind == "ServiceAccount" { "/api/v1" } else { "/apis/rbac.authorization.k8s.io/v1" };
            let namespace = object["metadata"]["namespace"].as_str().unwrap_or(&self.namespace);
            let within = if kind.starts_with("Cluster") { String::new() } else { format!("/namespaces/{namespace}") };
            self.made(&format!("{root}{within}{plural}"), &object);
        }
    }

    /// Code and body of the answer. A server that is still making its storage for a new kind says that it is to be asked later.
    fn call(&self, method: &str, path: &str, kind: &str, body: &Value) -> (u16, Value) {
        for _ in 0..30 {
            let answer = self.call_once(method, path, kind, body);
            if ![429, 503].contains(&answer.0) {
                return answer;
            }
            std::thread::sleep(Duration::from_secs(1));
        }
        panic!("{method} {path}: the server is not ready");
    }

    fn call_once(&self, method: &str, path: &str, kind: &str, body: &Value) -> (u16, Value) {
        let bytes = if body.is_null() { Vec::new() } else { serde_json::to_vec(body).unwrap() };
        let request = Request::builder().method(method).uri(path).header("content-type", kind);
        let request = request.header("accept", JSON).body(bytes.into()).unwrap();
        RUNTIME.block_on(async {
            let answer = self.client.send(request).await.unwrap();
            let code = answer.status().as_u16();
            let bytes = answer.into_body().collect_bytes().await.unwrap();
            (code, serde_json::from_slice(&bytes).unwrap_or_default())
        })
    }

    fn made(&self, path: &str, object: &Value) -> Value {
        let (code, said) = self.call("POST", path, JSON, object);
        assert_eq!(code, 201, "POST {path} {object}: {said}");
        said
    }

    fn until(&self, what: &str, mut ready: impl FnMut() -> bool) {
        for _ in 0..300 {
            if ready() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("{}: {what}: it did not happen", self.namespace);
    }

    /// Where the objects of a kind are.
    fn path(&self, plural: &str, namespace: Option<&str>) -> String {
        let namespace = namespace.unwrap_or(&self.namespace);
        match plural {
            "jobs" => format!("/apis/batch/v1/namespaces/{namespace}/jobs"),
            "nodes" => "/api/v1/nodes".to_owned(),
            "nodepools" | "nodeclaims" => format!("/apis/karpenter.sh/v1/{plural}"),
            "workloads" => format!("/apis/kueue.x-k8s.io/v1beta2/namespaces/{namespace}/workloads"),
            _ => format!("/api/v1/namespaces/{namespace}/{plural}"),
        }
    }

    /// Those of a kind that are this test's.
    pub(super) fn all(&self, plural: &str) -> Vec<Value> {
        let selector =
            if plural == "nodes" { format!("?labelSelector={LABEL}={}", self.namespace) } else { String::new() };
        let path = format!("{}{selector}", self.path(plural, None));
        let (code, list) = self.call("GET", &path, JSON, &Value::Null);
        assert_eq!(code, 200, "{path}: {list}");
        let mut items = list["items"].as_array().cloned().unwrap();
        // Some clusters put a Secret of their own into each namespace.
        items.retain(|one| one["type"] != "kubernetes.io/service-account-token");
        items.sort_by_key(|one| one["metadata"]["name"].to_string());
        items
    }

    pub(super) fn get(&self, plural: &str, name: &str) -> Option<Value> {
        let (code, found) = self.call("GET", &format!("{}/{name}", self.path(plural, None)), JSON, &Value::Null);
        (code == 200).then_some(found)
    }

    /// Makes an object so: what may not be changed of it in one call is done by the calls that real parts use.
    pub(super) fn put(&self, plural: &str, mut object: Value) -> Value {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let path = self.path(plural, object["metadata"]["namespace"].as_str());
        let one = format!("{path}/{name}");
        let (code, known) = self.call("GET", &one, JSON, &Value::Null);
        if code == 404 {
            object["metadata"]
                .as_object_mut()
                .unwrap()
                .retain(|name, _| !["uid", "resourceVersion"].contains(&name.as_str()));
            if ["nodes", "configmaps"].contains(&plural) {
                object["metadata"]["labels"][LABEL] = json!(self.namespace);
            }
            let made = self.made(&path, &object);
            if !object["status"].is_null() && ["pods", "jobs"].contains(&plural) {
                self.patched(&format!("{one}/status"), &json!({ "status": object["status"] }));
            }
            return made;
        }
        assert_eq!(code, 200, "GET {one}: {known}");
        if ["nodes", "configmaps"].contains(&plural) {
            assert_eq!(known["metadata"]["labels"][LABEL], self.namespace.as_str(), "{one} is somebody else's");
        }
        match plural {
            "pods" => self.put_pod(&one, &known, &object),
            "jobs" => self.patched(&one, &json!({ "spec": { "suspend": object["spec"]["suspend"] } })),
            "nodes" => {
                self.patched(&one, &json!({ "metadata": { "labels": object["metadata"]["labels"] } }));
                self.patched(&format!("{one}/status"), &json!({ "status": object["status"] }));
            }
            "configmaps" => self.patched(&one, &json!({ "data": object["data"] })),
            _ => panic!("{plural} are not changed by tests"),
        }
        self.call("GET", &one, JSON, &Value::Null).1
    }

    /// As scheduler and kubelet do it.
    fn put_pod(&self, one: &str, known: &Value, object: &Value) {
        let node = &object["spec"]["nodeName"];
        if known["spec"]["nodeName"].is_null() && !node.is_null() {
            let target = json!({ "apiVersion": "v1", "kind": "Node", "name": node });
            let name = &object["metadata"]["name"];
            let binding =
                json!({ "apiVersion": "v1", "kind": "Binding", "metadata": { "name": name }, "target": target });
            self.made(&format!("{one}/binding"), &binding);
        }
        if known["metadata"]["deletionTimestamp"].is_null() && !object["metadata"]["deletionTimestamp"].is_null() {
            let (code, said) = self.call("DELETE", one, JSON, &Value::Null);
            assert_eq!(code, 200, "DELETE {one}: {said}");
        }
        if known["status"] != object["status"] {
            self.patched(&format!("{one}/status"), &json!({ "status": object["status"] }));
        }
    }

    fn patched(&self, path: &str, change: &Value) {
        let (code, said) = self.call("PATCH", path, MERGE, change);
        // What is gone meanwhile cannot change any more.
        assert!(code == 200 || code == 404, "PATCH {path} {change}: {code} {said}");
    }

    /// Deletes it for good.
    pub(super) fn remove(&self, plural: &str, name: &str) {
        let options = json!({ "propagationPolicy": "Background", "gracePeriodSeconds": 0 });
        let (code, said) = self.call("DELETE", &format!("{}/{name}", self.path(plural, None)), JSON, &options);
        assert!([200, 202, 404].contains(&code), "DELETE {plural} {name}: {said}");
    }

    pub(super) fn event(&self, object: &Value) {
        let mut object = object.clone();
        object["metadata"]["labels"][LABEL] = json!(self.namespace);
        self.made(&self.path("events", object["metadata"]["namespace"].as_str()), &object);
    }

    /// An API group with kinds of these, which are in a namespace or not; it takes whatever is written.
    pub(super) fn group(&self, group: &str, version: &str) {
        let kinds: &[(&str, &str)] = match group {
            "karpenter.sh" => &[("NodePool", "Cluster"), ("NodeClaim", "Cluster")],
            _ => &[("Workload", "Namespaced")],
        };
        for (kind, scope) in kinds {
            let plural = format!("{}s", kind.to_lowercase());
            let schema = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
            let version =
                json!({ "name": version, "served": true, "storage": true, "schema": { "openAPIV3Schema": schema } });
            let names = json!({ "plural": plural, "singular": kind.to_lowercase(), "kind": kind });
            let metadata = json!({ "name": format!("{plural}.{group}"), "labels": { LABEL: self.namespace } });
            let spec = json!({ "group": group, "scope": scope, "names": names, "versions": [version] });
            let definition = json!({ "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                "metadata": metadata, "spec": spec });
            self.made(DEFINITIONS, &definition);
        }
        self.until("the group is served", || {
            let (_, groups) = self.call("GET", "/apis", JSON, &Value::Null);
            let there = groups["groups"].as_array().is_some_and(|all| all.iter().any(|one| one["name"] == group));
            there
                && kinds.iter().all(|(kind, _)| {
                    let path = self.path(&format!("{}s", kind.to_lowercase()), None);
                    self.call("GET", &path, JSON, &Value::Null).0 == 200
                })
        });
        // A definition may be gone before its objects are: those come back with the next one of that name.
        for (kind, _) in kinds {
            let path = self.path(&format!("{}s", kind.to_lowercase()), None);
            let (code, said) = self.call("DELETE", &path, JSON, &Value::Null);
            assert_eq!(code, 200, "DELETE {path}: {said}");
        }
    }

    /// So many pods the namespace may have; `None`: as many as will.
    pub(super) fn quota(&self, pods: Option<usize>) {
        let path = format!("/api/v1/namespaces/{}/resourcequotas", self.namespace);
        match pods {
            None => self.remove("resourcequotas", "gpu-quota"),
            Some(most) => {
                let spec = json!({ "hard": { "pods": most.to_string() } });
                self.made(
                    &path,
                    &json!({ "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "gpu-quota" }, "spec": spec }),
                );
                let one = format!("{path}/gpu-quota");
                self.until("the quota counts", || {
                    self.call("GET", &one, JSON, &Value::Null).1["status"]["hard"]["pods"].is_string()
                });
            }
        }
    }

    /// The node of our kubelet, with so many CPUs; told anew each few seconds, as a kubelet does.
    pub(super) fn beat(&self, cpus: usize) {
        for mut node in self.all("nodes") {
            let name = node["metadata"]["name"].as_str().unwrap().to_owned();
            for condition in node["status"]["conditions"].as_array_mut().into_iter().flatten() {
                if condition["type"] == "Ready" {
                    condition["status"] = json!("True");
                }
                condition["lastHeartbeatTime"] = json!(now());
            }
            let conditions = json!({ "status": { "conditions": node["status"]["conditions"] } });
            self.patched(&format!("/api/v1/nodes/{name}/status"), &conditions);
        }
        if self.get("nodes", NODE).is_none() {
            self.put("nodes", self.node(cpus));
        }
    }

    /// It has so many CPUs from now on.
    pub(super) fn room(&self, cpus: usize) {
        let status = self.node(cpus)["status"].clone();
        let room = json!({ "status": { "capacity": status["capacity"], "allocatable": status["allocatable"] } });
        self.patched(&format!("/api/v1/nodes/{NODE}/status"), &room);
    }

    fn node(&self, cpus: usize) -> Value {
        let room = json!({ "cpu": cpus.min(64).to_string(), "memory": "256Gi", "pods": "110" });
        json!({ "apiVersion": "v1", "kind": "Node",
            "metadata": { "name": NODE, "labels": { LABEL: self.namespace, TAKES: self.namespace } },
            "status": { "capacity": room, "allocatable": room, "conditions": [{ "type": "Ready", "status": "True",
                "reason": "KubeletReady", "message": "", "lastHeartbeatTime": now(), "lastTransitionTime": now() }] } })
    }

    /// Where the cluster stands now.
    pub(super) fn version(&self) -> u64 {
        let path = format!("{}?limit=1", self.path("pods", None));
        let (_, list) = self.call("GET", &path, JSON, &Value::Null);
        list["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
    }
}

impl Real {
    /// Deletes all that is its.
    pub(super) fn close(&self) {
        let one = format!("/api/v1/namespaces/{}", self.namespace);
        let delete = |path: String| self.call("DELETE", &path, JSON, &json!({ "gracePeriodSeconds": 0 }));
        delete(one.clone());
        // Pods that are bound to a node of that name would take room on the next test's.
        delete(format!("{one}/pods"));
        let own = format!("?labelSelector={LABEL}={}", self.namespace);
        for path in [
            "/api/v1/nodes",
            DEFINITIONS,
            "/api/v1/namespaces/kube-system/configmaps",
            // Of what is in no namespace: the next test's may have the same names.
            "/api/v1/namespaces/default/events",
            "/apis/rbac.authorization.k8s.io/v1/clusterroles",
            "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
            "/apis/rbac.authorization.k8s.io/v1/namespaces/kube-system/roles",
            "/apis/rbac.authorization.k8s.io/v1/namespaces/kube-system/rolebindings",
            "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles",
            "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings",
        ] {
            delete(format!("{path}{own}"));
        }
    }
}

/// Asks the real server, in the service account's name.
pub(super) async fn forward(
    shared: Arc<Mutex<State>>,
    real: Arc<Real>,
    call: (&Method, &Uri, &HeaderMap),
    body: Bytes,
    is_watch: bool,
) -> (u16, Response) {
    let (method, uri, headers) = call;
    let account = format!("system:serviceaccount:{}:{SERVICE_ACCOUNT}", real.namespace);
    let mut request = Request::builder().method(method).uri(uri.path_and_query().unwrap().as_str());
    for name in ["content-type", "accept"] {
        request = headers.get(name).into_iter().fold(request, |request, value| request.header(name, value));
    }
    for (name, value) in [
        ("impersonate-user", account.as_str()),
        ("impersonate-group", "system:serviceaccounts"),
        ("impersonate-group", "system:authenticated"),
    ] {
        request = request.header(name, value);
    }
    let request = request.body(kube::client::Body::from(body)).unwrap();
    let answer = match real.others.send(request).await {
        Ok(answer) => answer,
        Err(error) => return (502, json_answer(502, &status(502, "BadGateway", &error.to_string()), None)),
    };
    let (head, body) = answer.into_parts();
    let code = head.status.as_u16();
    let mut ours = Response::builder().status(head.status);
    for name in ["content-type", "warning"] {
        ours = head.headers.get_all(name).into_iter().fold(ours, |ours, value| ours.header(name, value));
    }
    let body = if is_watch {
        let lines = Body::new(body).into_data_stream();
        // It ends when we are down.
        Body::from_stream(futures::stream::unfold((lines, shared), |(mut lines, shared)| async move {
            loop {
                match tokio::time::timeout(Duration::from_millis(50), lines.next()).await {
                    Ok(Some(Ok(bytes))) => return Some((Ok::<_, std::io::Error>(bytes), (lines, shared))),
                    Ok(_) => return None,
                    Err(_) if shared.lock().unwrap().down => return None,
                    Err(_) => {}
                }
            }
        }))
    } else {
        Body::new(body)
    };
    (code, ours.body(body).unwrap())
}

/// What is kept in a Secret, in clear.
pub(super) fn secrets_of(secret: &Value) -> BTreeMap<String, String> {
    use base64::Engine as _;
    let clear = |text: &Value| {
        let bytes = base64::engine::general_purpose::STANDARD.decode(text.as_str().unwrap()).unwrap();
        String::from_utf8(bytes).unwrap()
    };
    secret["data"].as_object().unwrap().iter().map(|(name, text)| (name.clone(), clear(text))).collect()
}
