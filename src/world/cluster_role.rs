//! What the console must be allowed in a namespace of a cluster: a Role, as `kubectl apply` takes it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::model::settings::{Provider, Settings};

/// What is asked of each resource: its API group, its name, and the verbs.
pub const VERBS: [(&str, &str, &[&str]); 5] = [
    ("batch", "jobs", &["create", "delete", "get", "list", "patch", "watch"]),
    ("", "secrets", &["create", "delete", "get"]),
    ("", "pods", &["get", "list", "watch"]),
    ("", "pods/log", &["get"]),
    ("", "events", &["get", "list", "watch"]),
];

/// The Role of each namespace that the settings name.
#[must_use]
pub fn console(settings: &Settings) -> Value {
    let pools = settings.pools.iter().filter(|pool| pool.provider == Provider::Kubernetes);
    let namespaces: BTreeSet<&str> = pools.filter_map(|pool| pool.launch.kubernetes.namespace.as_deref()).collect();
    let roles: Vec<Value> = namespaces.into_iter().map(role).collect();
    json!({ "apiVersion": "v1", "kind": "List", "items": roles })
}

fn role(namespace: &str) -> Value {
    let rule = |(group, resource, verbs): (&str, &str, &[&str])| json!({ "apiGroups": [group], "resources": [resource], "verbs": verbs });
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": { "name": "tidegate", "namespace": namespace },
        "rules": VERBS.map(rule),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::Revision;
    use crate::model::settings::PoolSettings;

    #[test]
    fn each_namespace_has_one_role() {
        let mut settings = Settings::blank(Revision::new("r"));
        for name in ["ml", "ml", "dev"] {
            let mut pool = PoolSettings { provider: Provider::Kubernetes, ..PoolSettings::with_defaults(name) };
            pool.launch.kubernetes.namespace = Some(name.to_owned());
            settings.pools.push(pool);
        }
        let roles = console(&settings);
        let names: Vec<_> =
            roles["items"].as_array().unwrap().iter().map(|role| &role["metadata"]["namespace"]).collect();
        assert_eq!(names, ["dev", "ml"]);
        assert_eq!(roles["items"][0]["rules"][1]["resources"][0], "secrets");
    }

    #[test]
    fn the_manifest_has_the_same_rights_and_settings_that_hold() {
        const MANIFEST: &str = include_str!("../../config/kubernetes/deployment.yaml");
        let documents = || MANIFEST.split("\n---\n").map(|text| serde_saphyr::from_str::<Value>(text).unwrap());
        let of = |kind: &str| documents().find(|document| document["kind"] == kind).unwrap();
        assert_eq!(of("Role")["rules"], role("ml")["rules"]);
        let settings = of("ConfigMap")["data"]["tidegate.toml"].as_str().unwrap().to_owned();
        let read = crate::store::settings::parse(&settings, std::path::Path::new("tidegate.toml"));
        assert_eq!(read.unwrap().pools[0].region, "current/ml-tasks");
    }
}
