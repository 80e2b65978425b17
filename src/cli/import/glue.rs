//! The configuration of ClearML's Kubernetes glue, by its own structure: a command line with its environment, or the values of
//! its Helm chart. All its queues share a pool, but those that have a template or limits of their own.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::read::{Kind, Old, Resource, Share};
use super::secrets::is_secret;

/// The section of the chart that is the glue's.
const SECTION: &str = "agentk8sglue";
const BASE: &str = "basePodTemplate";
/// The pool that all queues share.
const POOL: &str = "pods";
/// Where the glue makes pods unless it is told otherwise.
const NAMESPACE: &str = "clearml";

/// Flags of the glue that have no value.
const SWITCHES: [&str; 5] = ["ports-mode", "create-queue", "use-owner-token", "no-system-packages", "debug"];
/// Beginnings of names of its environment.
const ENVIRONMENT: [&str; 4] = ["K8S_GLUE_", "CLEARML_K8S_GLUE_", "CLEARML_API_HOST", "CLEARML_WEB_HOST"];

/// What the text holds, where it is a glue's.
pub(super) fn read(text: &str) -> Option<Old> {
    let root: Value = serde_saphyr::from_str(text).unwrap_or_default();
    if root.get(SECTION).is_some_and(Value::is_object) {
        return Some(chart(&root));
    }
    let is_glue = text.contains("k8s_glue") || text.contains("K8S_GLUE_");
    is_glue.then(|| command(text))
}

/// `python3 k8s_glue_example.py --queue a,b --max-pods 3`, and what stands around it.
fn command(text: &str) -> Old {
    let joined = text.replace("\\\n", " ");
    let lines = joined.lines().filter(|line| !line.trim_start().starts_with('#'));
    let words: Vec<&str> =
        lines.flat_map(str::split_whitespace).map(|word| word.trim_matches(['"', '\'', ','])).collect();
    let mut fields: Vec<(String, Value)> = Vec::new();
    let mut words = words.into_iter().peekable();
    while let Some(word) = words.next() {
        if let Some(flag) = word.strip_prefix("--").filter(|flag| !flag.is_empty()) {
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, json!(unquoted(value))),
                None if SWITCHES.contains(&flag) => (flag, json!(true)),
                None => match words.next_if(|next| !next.starts_with("--")) {
                    Some(value) => (flag, json!(value)),
                    None => (flag, json!(true)),
                },
            };
            fields.push((name.to_owned(), value));
        } else if let Some((name, value)) = word.split_once('=')
            && ENVIRONMENT.iter().any(|known| name.starts_with(known))
        {
            fields.push((name.to_owned(), json!(unquoted(value))));
        }
    }
    let queues = fields.iter().filter(|(name, _)| ["queue", "K8S_GLUE_QUEUE"].contains(&name.as_str()));
    let mut queues: Vec<String> = queues.filter_map(|(_, value)| value.as_str()).flat_map(names).collect();
    let mut named = BTreeSet::new();
    queues.retain(|queue| named.insert(queue.clone()));
    if !fields.iter().any(|(name, _)| name == "namespace") {
        fields.push(("namespace".to_owned(), json!(NAMESPACE)));
    }
    let queues = if queues.is_empty() { vec!["k8s_glue".to_owned()] } else { queues };
    let share = |queue: String| -> (String, Vec<Share>) { (queue, vec![(POOL.to_owned(), None)]) };
    Old {
        kind: Kind::Glue,
        general: fields,
        resources: vec![Resource { name: POOL.to_owned(), fields: Map::new() }],
        queues: queues.into_iter().map(share).collect(),
    }
}

fn unquoted(text: &str) -> &str {
    text.trim_matches(['"', '\''])
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
            match (section.as_str(), name.as_str()) {
                (SECTION, BASE) => {
                    let parts = value.as_object().unwrap_or(&none).iter();
                    old.general.extend(parts.map(|(part, value)| (format!("{SECTION}.{BASE}/{part}"), value.clone())));
                }
                (SECTION, "queues") => {}
                (SECTION, "extraEnvs") => old.general.extend(environment(value)),
                _ => old.general.push((format!("{section}/{name}"), value.clone())),
            }
        }
    }
    // The release's namespace is in no value.
    old.general.push(("namespace".to_owned(), json!(NAMESPACE)));
    let base = root.pointer(&format!("/{SECTION}/{BASE}")).cloned().unwrap_or_default();
    let pull = root.pointer("/imageCredentials/existingSecret").and_then(Value::as_str).unwrap_or_default();
    let shared = template(&base, pull);
    let own = root.pointer(&format!("/{SECTION}/queues")).and_then(Value::as_object).filter(|own| !own.is_empty());
    let Some(own) = own else {
        let fields = [("pod_template".to_owned(), shared)].into_iter().collect();
        old.resources.push(Resource { name: POOL.to_owned(), fields });
        let list = root.pointer(&format!("/{SECTION}/queue")).and_then(Value::as_str).unwrap_or("default");
        old.queues.extend(names(list).map(|queue| (queue, vec![(POOL.to_owned(), None)])));
        return old;
    };
    for (queue, settings) in own {
        let mut fields = settings.get("queueSettings").and_then(Value::as_object).cloned().unwrap_or_default();
        let over = settings.get("templateOverrides").cloned().unwrap_or_default();
        let mut whole = base.clone();
        merge(&mut whole, &over);
        fields.insert("pod_template".to_owned(), template(&whole, pull));
        old.resources.push(Resource { name: queue.clone(), fields });
        old.queues.push((queue.clone(), vec![(queue.clone(), None)]));
    }
    old
}

/// `[{name, value}, ...]`: those of them that are the glue's own.
fn environment(list: &Value) -> Vec<(String, Value)> {
    let each = list.as_array().into_iter().flatten().filter_map(|one| {
        let (name, value) = (one.get("name")?.as_str()?, one.get("value").cloned().unwrap_or_default());
        let told = if is_secret(name) { json!("***") } else { value };
        Some((name.to_owned(), told))
    });
    each.collect()
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

/// The pod of these parts of the chart, as YAML's JSON; null where they say nothing. An environment variable that is a secret is
/// left out, unless it is only named where it is kept.
fn template(base: &Value, pull: &str) -> Value {
    let part = |name: &str| base.get(name).filter(|value| !super::values::is_empty(value)).cloned();
    let mut spec = Map::new();
    for (theirs, name) in [
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
    ] {
        spec.extend(part(theirs).map(|value| (name.to_owned(), value)));
    }
    if !pull.is_empty() {
        spec.insert("imagePullSecrets".to_owned(), json!([{ "name": pull }]));
    }
    let mut container = Map::new();
    for (theirs, name) in [
        ("volumeMounts", "volumeMounts"),
        ("env", "env"),
        ("resources", "resources"),
        ("containerSecurityContext", "securityContext"),
    ] {
        container.extend(part(theirs).map(|value| (name.to_owned(), value)));
    }
    if let Some(env) = container.get_mut("env").and_then(Value::as_array_mut) {
        let told =
            |one: &Value| one.get("name").and_then(Value::as_str).is_some_and(is_secret) && one.get("value").is_some();
        env.retain(|one| !told(one));
    }
    if !container.is_empty() {
        container.insert("name".to_owned(), json!("task"));
        spec.insert("containers".to_owned(), json!([container]));
    }
    let mut metadata = Map::new();
    for name in ["labels", "annotations"] {
        metadata.extend(part(name).map(|value| (name.to_owned(), value)));
    }
    if spec.is_empty() && metadata.is_empty() {
        return Value::Null;
    }
    let pod = json!({ "metadata": metadata, "spec": spec });
    Value::String(serde_json::to_string_pretty(&pod).unwrap_or_default())
}
