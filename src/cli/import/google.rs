//! Values of the GCP app in the shapes of our settings. `None`: it is of another shape.

use serde_json::Value;

use super::values::{is_true, list};
use crate::model::settings::fields::Written;

/// What `gcloud` calls scopes, where it is not their own last part.
const ALIASES: [(&str, &[&str]); 19] = [
    ("bigquery", &["bigquery"]),
    ("cloud-source-repos", &["source.full_control"]),
    ("cloud-source-repos-ro", &["source.read_only"]),
    ("compute-ro", &["compute.readonly"]),
    ("compute-rw", &["compute"]),
    ("default", &DEFAULT_SCOPES),
    ("logging-write", &["logging.write"]),
    ("monitoring-read", &["monitoring.read"]),
    ("monitoring-write", &["monitoring.write"]),
    ("service-control", &["servicecontrol"]),
    ("service-management", &["service.management.readonly"]),
    ("sql", &["sqlservice"]),
    ("sql-admin", &["sqlservice.admin"]),
    ("storage-full", &["devstorage.full_control"]),
    ("storage-ro", &["devstorage.read_only"]),
    ("storage-rw", &["devstorage.read_write"]),
    ("trace", &["trace.append"]),
    ("userinfo-email", &["userinfo.email"]),
    ("gke-default", &DEFAULT_SCOPES),
];

/// What Google gives a machine's service account where nothing is said.
pub(super) const DEFAULT_SCOPES: [&str; 7] = [
    "devstorage.read_only",
    "logging.write",
    "monitoring.write",
    "pubsub",
    "service.management.readonly",
    "servicecontrol",
    "trace.append",
];

/// The region of a zone: `us-central1` of `us-central1-a`.
pub(super) fn region(zone: &str) -> Option<&str> {
    zone.rsplit_once('-').map(|(region, _)| region).filter(|region| region.contains('-'))
}

/// A subnet, of which a pool of Google's has one.
pub(super) fn subnet(value: &Value) -> Option<Written> {
    value.as_str().map(|text| Written::List(vec![text.trim().to_owned()]))
}

/// `Spot`, or `Preemptible` of the older kind, whose model is `STANDARD` for Google.
pub(super) fn provisioning(value: &Value) -> Option<Written> {
    let word = value.as_str()?.to_ascii_lowercase();
    let ours = match (word.contains("spot"), word.contains("preemptible") || word == "standard") {
        (true, _) => "spot",
        (false, true) => "preemptible",
        (false, false) => return None,
    };
    Some(Written::Text(ours.to_owned()))
}

/// The project's own account, where it is switched on.
pub(super) fn default_account(value: &Value) -> Option<Written> {
    (is_true(value) == Some(true)).then(|| Written::Text("default".to_owned()))
}

/// Scopes by `gcloud`'s names for them, or whole.
pub(super) fn scopes(value: &Value) -> Option<Written> {
    let Some(Written::List(named)) = list(value) else { return None };
    let mut scopes: Vec<String> = Vec::new();
    for name in named {
        let known = ALIASES.iter().find(|(alias, _)| *alias == name);
        let meant =
            known.map_or_else(|| vec![name], |(_, meant)| meant.iter().map(|scope| (*scope).to_owned()).collect());
        for scope in meant {
            if !scopes.contains(&scope) {
                scopes.push(scope);
            }
        }
    }
    Some(Written::List(scopes))
}

/// The setting that an image is for, by its path: an image of a disk, or one of a whole machine, which a bare name is.
pub(super) fn image(text: &str) -> &'static str {
    if text.contains("/images/") || text.starts_with("family/") { "image" } else { "machine_image" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_of_googles_become_ours() {
        let text = |text: &str| Some(Written::Text(text.to_owned()));
        for (word, ours) in [("Spot", text("spot")), ("PREEMPTIBLE", text("preemptible")), ("x", None)] {
            assert_eq!(provisioning(&json!(word)), ours, "{word}");
        }
        let list = |names: &[&str]| Some(Written::List(names.iter().map(|name| (*name).to_owned()).collect()));
        assert_eq!(
            scopes(&json!("storage-ro, https://www.googleapis.com/auth/pubsub,cloud-platform, storage-ro")),
            list(&["devstorage.read_only", "https://www.googleapis.com/auth/pubsub", "cloud-platform"])
        );
        assert_eq!(scopes(&json!("default")), list(&DEFAULT_SCOPES));
        assert_eq!(scopes(&json!(3)), None);
        assert_eq!((region("us-central1-a"), region("us-central1"), region("x")), (Some("us-central1"), None, None));
        assert_eq!(
            (image("golden"), image("projects/p/global/machineImages/x"), image("projects/p/global/images/family/x")),
            ("machine_image", "machine_image", "image")
        );
    }
}
