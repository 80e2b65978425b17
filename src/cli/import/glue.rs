//! The configuration of ClearML's Kubernetes glue, by its own structure: a command line with its environment, or the values of
//! its Helm chart. All its queues share a pool, but those that have a template or limits of their own.

mod command;

use serde_json::{Map, Value, json};

use super::read::{Kind, Most, Old, Refused, Resource};
use super::secrets::is_secret;

/// The section of the chart that is the glue's.
const SECTION: &str = "agentk8sglue";
const BASE: &str = "basePodTemplate";
/// The pool that all queues share.
const POOL: &str = "pods";
/// Where the glue makes pods unless it is told otherwise.
const NAMESPACE: &str = "clearml";

/// What the text holds, where it is a glue's.
pub(super) fn read(text: &str) -> Option<Old> {
    let root: Value = serde_saphyr::from_str(text).unwrap_or_default();
    if root.get(SECTION).is_some_and(Value::is_object) {
        return Some(chart(&root));
    }
    let is_glue = text.contains("k8s_glue") || text.contains("K8S_GLUE_");
    is_glue.then(|| command::read(text))
}

fn names(list: &str) -> impl Iterator<Item = String> {
    list.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned)
}

/// The values of the chart: everything else than a section is a field by its path.
fn chart(root: &Value) -> Old {
    let mut old = Old { kind: Kind::Glue, ..Old::default() };
    let none = Map::new();
    for (section, value) in root.as_object().unwrap_or(&none) {
        let Some(fields) = value.as_object() else {
            old.general.push((section.clone(), value.clone()));
            continue;
        };
        for (name, value) in fields {
            let path = format!("{section}.{name}");
            match (section.as_str(), name.as_str()) {
                (SECTION, BASE) => match value.as_object() {
                    Some(parts) => {
                        let part = |(part, value): (&String, &Value)| (format!("{path}/{part}"), value.clone());
                        old.general.extend(parts.iter().map(part));
                        secrets(value, &path, &mut old.refused);
                    }
                    None => refuse(&mut old, path, value, NO_MAPPING),
                },
                (SECTION, "queue" | "queues") => {}
                (SECTION, "extraEnvs") => environment(value, &path, &mut old),
                _ => old.general.push((format!("{section}/{name}"), value.clone())),
            }
        }
    }
    // The release's namespace is in no value.
    old.general.push(("namespace".to_owned(), json!(NAMESPACE)));
    let base = root.pointer(&format!("/{SECTION}/{BASE}")).filter(|base| base.is_object()).cloned().unwrap_or_default();
    let pull = root.pointer("/imageCredentials/existingSecret").and_then(Value::as_str).unwrap_or_default();
    queues(root, &base, pull, &mut old);
    old
}

const NO_MAPPING: &str = "it is no mapping of names to values";

fn refuse(old: &mut Old, path: String, value: &Value, why: &'static str) {
    if !super::values::is_empty(value) {
        old.refused.push(Refused { path, value: value.clone(), why });
    }
}

/// The queues of the chart: those with settings of their own, or else those of one line.
fn queues(root: &Value, base: &Value, pull: &str, old: &mut Old) {
    let path = format!("{SECTION}.queues");
    let own = root.pointer(&format!("/{SECTION}/queues")).unwrap_or(&Value::Null);
    if !own.is_object() {
        refuse(old, path.clone(), own, "it is no mapping of queues to their settings");
    }
    let line = root.pointer(&format!("/{SECTION}/queue")).unwrap_or(&Value::Null);
    let listed = match line {
        Value::String(line) => Some(names(line).collect()),
        Value::Array(items) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>(),
        Value::Null => Some(Vec::new()),
        _ => None,
    };
    let whole = || (format!("{SECTION}/queue"), line.clone());
    let Some(own) = own.as_object().filter(|own| !own.is_empty()) else {
        let fields = [("pod_template".to_owned(), template(base, pull))].into_iter().collect();
        old.resources.push(Resource { name: POOL.to_owned(), fields });
        let Some(mut listed) = listed else {
            return refuse(old, format!("{SECTION}.queue"), line, "it is neither a queue's name nor a list of names");
        };
        if listed.is_empty() {
            listed.push("default".to_owned());
        } else {
            old.general.push(whole());
        }
        old.queues.extend(listed.into_iter().map(|queue| (queue, vec![(POOL.to_owned(), Most::Unsaid)])));
        return;
    };
    if listed.is_some_and(|listed| listed.iter().all(|queue| own.contains_key(queue))) {
        old.general.extend((!line.is_null()).then(whole));
    } else {
        let why = "agentk8sglue.queues says which queues there are: write a [queue.X] for another";
        refuse(old, format!("{SECTION}.queue"), line, why);
    }
    for (queue, settings) in own {
        let path = format!("{path}.{queue}");
        let settings = of_queue(settings, &path, old);
        let mut whole = base.clone();
        merge(&mut whole, &settings.over);
        let mut fields = settings.fields;
        fields.insert("pod_template".to_owned(), template(&whole, pull));
        old.resources.push(Resource { name: queue.clone(), fields });
        old.queues.push((queue.clone(), vec![(queue.clone(), Most::Unsaid)]));
    }
}

/// What a queue has of its own.
#[derive(Default)]
struct OfQueue {
    fields: Map<String, Value>,
    /// Over the parts of every pod.
    over: Value,
}

fn of_queue(settings: &Value, path: &str, old: &mut Old) -> OfQueue {
    let mut of = OfQueue::default();
    let Some(settings) = settings.as_object() else {
        refuse(old, path.to_owned(), settings, NO_MAPPING);
        return of;
    };
    for (name, value) in settings {
        let path = format!("{path}.{name}");
        match (name.as_str(), value.as_object()) {
            ("queueSettings", Some(fields)) => of.fields.clone_from(fields),
            ("templateOverrides", Some(parts)) => {
                for (part, value) in parts.iter().filter(|(part, _)| !is_part(part)) {
                    let why = "it is no part of a pod that is known here: put it into the pool's pod_template";
                    refuse(old, format!("{path}.{part}"), value, why);
                }
                secrets(value, &path, &mut old.refused);
                of.over = value.clone();
            }
            ("queueSettings" | "templateOverrides", None) => refuse(old, path, value, NO_MAPPING),
            _ => refuse(old, path, value, "nobody knows this field"),
        }
    }
    of
}

/// `[{name, value}, ...]`: those of them that are the glue's own.
fn environment(list: &Value, path: &str, old: &mut Old) {
    let Some(items) = list.as_array() else {
        return refuse(old, path.to_owned(), list, "it is no list of names and values");
    };
    for one in items {
        match one.get("name").and_then(Value::as_str) {
            Some(name) => {
                let value = one.get("value").cloned().unwrap_or_default();
                let told = if is_secret(name) { json!("***") } else { value };
                old.general.push((name.to_owned(), told));
            }
            None => refuse(old, path.to_owned(), one, "it has no name"),
        }
    }
}

/// Secrets among the environment of these parts of a pod, which are not written.
fn secrets(parts: &Value, path: &str, refused: &mut Vec<Refused>) {
    let environment = parts.get("env").and_then(Value::as_array).into_iter().flatten();
    let named = environment.filter(|one| is_told_secret(one)).filter_map(|one| one.get("name")?.as_str());
    refused.extend(named.map(|name| Refused {
        path: format!("{path}.env.{name}"),
        value: Value::Null,
        why: "it is a secret: put it into a Secret of the cluster, and name that with valueFrom in the pod_template",
    }));
}

/// Whether an environment variable is a secret whose text stands there.
fn is_told_secret(one: &Value) -> bool {
    one.get("name").and_then(Value::as_str).is_some_and(is_secret) && one.get("value").is_some()
}

fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (name, value) in over {
                merge(base.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (_, Value::Null) => {}
        (base, over) => *base = over.clone(),
    }
}

/// Parts of the chart by what they are called in a pod.
const OF_POD: [(&str, &str); 10] = [
    ("initContainers", "initContainers"),
    ("schedulerName", "schedulerName"),
    ("volumes", "volumes"),
    ("priorityClassName", "priorityClassName"),
    ("runtimeClassName", "runtimeClassName"),
    ("nodeSelector", "nodeSelector"),
    ("tolerations", "tolerations"),
    ("affinity", "affinity"),
    ("podSecurityContext", "securityContext"),
    ("hostAliases", "hostAliases"),
];
const OF_CONTAINER: [(&str, &str); 4] = [
    ("volumeMounts", "volumeMounts"),
    ("env", "env"),
    ("resources", "resources"),
    ("containerSecurityContext", "securityContext"),
];
const OF_METADATA: [&str; 2] = ["labels", "annotations"];

fn is_part(name: &str) -> bool {
    OF_METADATA.contains(&name) || OF_POD.iter().chain(&OF_CONTAINER).any(|(theirs, _)| *theirs == name)
}

/// The pod of these parts of the chart, as YAML's JSON; null where they say nothing. An environment variable that is a secret is
/// left out, unless it is only named where it is kept.
fn template(base: &Value, pull: &str) -> Value {
    let part = |name: &str| base.get(name).filter(|value| !super::values::is_empty(value)).cloned();
    let mut spec = Map::new();
    for (theirs, name) in OF_POD {
        spec.extend(part(theirs).map(|value| (name.to_owned(), value)));
    }
    if !pull.is_empty() {
        spec.insert("imagePullSecrets".to_owned(), json!([{ "name": pull }]));
    }
    let mut container = Map::new();
    for (theirs, name) in OF_CONTAINER {
        container.extend(part(theirs).map(|value| (name.to_owned(), value)));
    }
    if let Some(env) = container.get_mut("env").and_then(Value::as_array_mut) {
        env.retain(|one| !is_told_secret(one));
    }
    if !container.is_empty() {
        container.insert("name".to_owned(), json!("task"));
        spec.insert("containers".to_owned(), json!([container]));
    }
    let mut metadata = Map::new();
    for name in OF_METADATA {
        metadata.extend(part(name).map(|value| (name.to_owned(), value)));
    }
    if spec.is_empty() && metadata.is_empty() {
        return Value::Null;
    }
    let pod = json!({ "metadata": metadata, "spec": spec });
    Value::String(serde_json::to_string_pretty(&pod).unwrap_or_default())
}
