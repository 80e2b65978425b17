//! The old file, by its own structure.

use serde_json::{Map, Value};

use super::{glue, rows, values};
use crate::model::settings::Provider;

/// Whose file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Kind {
    /// The AWS app, or the open autoscaler.
    #[default]
    Aws,
    Gcp,
    /// ClearML's Kubernetes glue: no autoscaler of machines, but of pods.
    Glue,
}

impl Kind {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Aws => Self::Gcp,
            Self::Gcp | Self::Glue => Self::Aws,
        }
    }

    pub(super) fn provider(self) -> Provider {
        match self {
            Self::Aws => Provider::Aws,
            Self::Gcp => Provider::Gce,
            Self::Glue => Provider::Kubernetes,
        }
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Aws => "ClearML's AWS autoscaler",
            Self::Gcp => "ClearML's GCP autoscaler",
            Self::Glue => "ClearML's Kubernetes glue",
        }
    }
}

/// What the file holds.
#[derive(Debug, Default)]
pub(super) struct Old {
    pub(super) kind: Kind,
    /// Fields over everything: their path and value.
    pub(super) general: Vec<(String, Value)>,
    pub(super) resources: Vec<Resource>,
    pub(super) queues: Vec<(String, Vec<Share>)>,
    pub(super) refused: Vec<Refused>,
}

/// What cannot be read as a field.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) path: String,
    /// To be kept as a comment, if there is any.
    pub(super) value: Value,
    pub(super) why: &'static str,
}

/// A resource of a queue, and how many machines of it there may be.
pub(super) type Share = (String, Most);

/// How many machines there may be.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Most {
    /// Nothing is said.
    Unsaid,
    Machines(u64),
    /// Something else than a count.
    Wrong(Value),
}

impl Most {
    fn read(value: &Value) -> Self {
        let count = value.as_u64().or_else(|| value.as_str()?.trim().parse().ok());
        count.map_or_else(|| Self::Wrong(value.clone()), Self::Machines)
    }
}

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
        "this is no configuration of a ClearML autoscaler: it has no machines, in `configurations.resource_configurations` \
         or in a list whose items have an `instance_type`, or a `machine_type` on Google; nor is it one of its Kubernetes glue: it \
         has no `agentk8sglue`, and no command line with `k8s_glue` in it"
    )]
    NoMachines,
    #[error(
        "whose configuration is this? `{aws}` is a field of ClearML's AWS autoscaler, `{gcp}` of its GCP autoscaler, and it has \
         as many of the one as of the other: take one kind out"
    )]
    OfBoth { aws: String, gcp: String },
}

/// Reads YAML, of which JSON is a part.
pub(super) fn read(text: &str) -> Result<Old, NotRead> {
    if let Some(old) = glue::read(text) {
        return Ok(old);
    }
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
    if old.resources.is_empty() {
        return Err(NotRead::NoMachines);
    }
    old.kind = kind(&old)?;
    Ok(old)
}

/// Whose it is: its fields are most often of one kind.
fn kind(old: &Old) -> Result<Kind, NotRead> {
    let of_machines = old.resources.iter().flat_map(|resource| resource.fields.keys());
    let names: Vec<&String> = old.general.iter().map(|(path, _)| path).chain(of_machines).collect();
    let only = |kind| names.iter().filter(move |name| rows::is_only_of(kind, name));
    let (aws, gcp) = (only(Kind::Aws).count(), only(Kind::Gcp).count());
    match (only(Kind::Aws).next(), only(Kind::Gcp).next()) {
        (Some(of_aws), Some(of_gcp)) if aws == gcp => {
            Err(NotRead::OfBoth { aws: (**of_aws).clone(), gcp: (**of_gcp).clone() })
        }
        _ => Ok(if gcp > aws { Kind::Gcp } else { Kind::Aws }),
    }
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

/// `[[resource, max], ...]`; what is no pair is a resource that says no count.
fn pairs(resources: &Value) -> Vec<Share> {
    let pair = |pair: &Value| {
        let resource = pair.get(0).unwrap_or(pair);
        (values::shown(resource), Most::read(pair.get(1).unwrap_or(&Value::Null)))
    };
    resources.as_array().into_iter().flatten().map(pair).collect()
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
            // A table of texts is one field's, and a key in JSON must not be taken apart.
            _ if value.is_object() && !is_field(&path) => app(value, path, old),
            _ => old.general.push((path, value.clone())),
        }
    }
}

fn is_machine(item: &Value) -> bool {
    let is_type = |name: &String| TYPES.contains(&plain(name).as_str());
    item.as_object().is_some_and(|item| item.keys().any(is_type))
}

fn is_field(path: &str) -> bool {
    [Kind::Aws, Kind::Gcp].into_iter().any(|kind| rows::find(kind, path).is_some())
}

const TYPES: [&str; 3] = ["instance_type", "machine_type", "gcp_machine_type"];

pub(super) const NAMES: [&str; 3] = ["resource_name", "name", "resource"];
pub(super) const QUEUES: [&str; 3] = ["queue_name", "monitored_queue", "queue"];
pub(super) const MAXIMA: [&str; 5] =
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
    let max = take(&MAXIMA).map_or(Most::Unsaid, |value| Most::read(&value));
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
