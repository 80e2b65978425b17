//! The old file, by its own structure.

use serde_json::{Map, Value};

/// What the file holds.
#[derive(Debug, Default)]
pub(super) struct Old {
    /// Fields over everything: their path and value.
    pub(super) general: Vec<(String, Value)>,
    pub(super) resources: Vec<Resource>,
    pub(super) queues: Vec<(String, Vec<Share>)>,
}

/// A resource of a queue, and how many machines of it there may be.
pub(super) type Share = (String, Option<u64>);

/// One kind of machine.
#[derive(Debug)]
pub(super) struct Resource {
    pub(super) name: String,
    pub(super) fields: Map<String, Value>,
}

/// Why a file is not one of these.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotRead {
    #[error("this is neither YAML nor JSON: {0}")]
    Syntax(String),
    #[error(
        "this is no configuration of ClearML's AWS autoscaler: it has no machines, in `configurations.resource_configurations` \
         or in a list whose items have an `instance_type`"
    )]
    NoMachines,
}

/// Reads YAML, of which JSON is a part.
pub(super) fn read(text: &str) -> Result<Old, NotRead> {
    let root: Value = serde_saphyr::from_str(text).map_err(|error| {
        let said = error.to_string();
        NotRead::Syntax(said.lines().next().unwrap_or_default().to_owned())
    })?;
    let mut old = Old::default();
    open_example(&root, &mut old);
    if old.resources.is_empty() {
        old = Old::default();
        app(&root, String::new(), &mut old);
    }
    if old.resources.is_empty() { Err(NotRead::NoMachines) } else { Ok(old) }
}

/// `hyper_params` and `configurations`, as the open example has them.
fn open_example(root: &Value, old: &mut Old) {
    for section in ["hyper_params", "configurations"] {
        let Some(fields) = root.get(section).and_then(Value::as_object) else { continue };
        for (name, value) in fields {
            match (name.as_str(), value) {
                ("resource_configurations", Value::Object(resources)) => {
                    for (name, fields) in resources {
                        let fields = fields.as_object().cloned().unwrap_or_default();
                        old.resources.push(Resource { name: name.clone(), fields });
                    }
                }
                ("queues", Value::Object(queues)) => {
                    let queue = |(name, resources): (&String, &Value)| (name.clone(), pairs(resources));
                    old.queues.extend(queues.iter().map(queue));
                }
                _ => old.general.push((format!("{section}.{name}"), value.clone())),
            }
        }
    }
}

/// `[[resource, max], ...]`
fn pairs(resources: &Value) -> Vec<Share> {
    let pair = |pair: &Value| Some((pair.get(0)?.as_str()?.to_owned(), pair.get(1).and_then(whole)));
    resources.as_array().into_iter().flatten().filter_map(pair).collect()
}

fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())
}

/// Any nesting of objects, and in it a list of machines, each with its queue and how many there may be.
fn app(value: &Value, path: String, old: &mut Old) {
    let Some(fields) = value.as_object() else {
        old.general.push((path, value.clone()));
        return;
    };
    for (name, value) in fields {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match value.as_array() {
            Some(items) if items.iter().any(is_machine) => {
                for item in items.iter().filter_map(Value::as_object) {
                    machine(item, old);
                }
            }
            _ if value.is_object() => app(value, path, old),
            _ => old.general.push((path, value.clone())),
        }
    }
}

fn is_machine(item: &Value) -> bool {
    item.as_object().is_some_and(|item| item.keys().any(|name| plain(name) == "instance_type"))
}

const NAMES: [&str; 3] = ["resource_name", "name", "resource"];
const QUEUES: [&str; 3] = ["queue_name", "monitored_queue", "queue"];
const MAXIMA: [&str; 5] =
    ["max_number_of_instances", "max_instances", "num_instances", "number_of_instances", "maximum_number_of_instances"];

fn machine(item: &Map<String, Value>, old: &mut Old) {
    let mut fields = item.clone();
    let mut take = |names: &[&str]| {
        let name = item.keys().find(|name| names.contains(&plain(name).as_str()))?;
        fields.remove(name)
    };
    let text = |value: Value| value.as_str().map(str::to_owned).filter(|text| !text.is_empty());
    let name = take(&NAMES).and_then(text).unwrap_or_else(|| format!("resource-{}", old.resources.len() + 1));
    let queue = take(&QUEUES).and_then(text);
    let max = take(&MAXIMA).as_ref().and_then(whole);
    if let Some(queue) = queue {
        match old.queues.iter_mut().find(|(known, _)| *known == queue) {
            Some((_, resources)) => resources.push((name.clone(), max)),
            None => old.queues.push((queue, vec![(name.clone(), max)])),
        }
    }
    old.resources.push(Resource { name, fields });
}

/// A field's name as the rows write it: `Max Idle Time` is `max_idle_time`.
pub(super) fn plain(name: &str) -> String {
    let last = name.rsplit('.').next().unwrap_or(name);
    let words = last.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("_")
}
