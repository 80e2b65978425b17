//! What the console must be allowed in a namespace of a cluster: a Role, as `kubectl apply` takes it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::model::settings::{Provider, Settings};

/// What is asked of each resource: its API group, its name, and the verbs.
pub const VERBS: [(&str, &str, &[&str]); 5] = [
    ("batch", "jobs", &["create", "delete", "get", "list", "patch", "watch"]),
    ("", "secrets", &["create", "get"]),
    ("", "pods", &["list", "watch"]),
    ("", "pods/log", &["get"]),
    ("", "events", &["list", "watch"]),
];

/// What is of use and not needed: without it less is told of nodes and of who adds some. A namespace, or the whole cluster
/// where it is empty; then as above, and the one object that is read where it is one.
const ASIDE: [(&str, &str, &str, Option<&str>); 6] = [
    ("", "", "nodes", None),
    ("", "karpenter.sh", "nodepools", None),
    ("", "karpenter.sh", "nodeclaims", None),
    ("", "kueue.x-k8s.io", "workloads", None),
    ("kube-system", "", "configmaps", Some("cluster-autoscaler-status")),
    ("default", "", "events", None),
];
const LOOK: [&str; 2] = ["list", "watch"];

/// Roles for [`ASIDE`], for whoever wants to be told more.
fn aside() -> Vec<Value> {
    let places: BTreeSet<&str> = ASIDE.iter().map(|(place, ..)| *place).collect();
    let rule = |(_, group, resource, name): &(&str, &str, &str, Option<&str>)| {
        let mut rule = json!({ "apiGroups": [group], "resources": [resource], "verbs": LOOK });
        if let (Some(name), Some(fields)) = (name, rule.as_object_mut()) {
            fields.insert("resourceNames".to_owned(), json!([name]));
        }
        rule
    };
    let of = |place: &str| {
        let rules: Vec<Value> = ASIDE.iter().filter(|(of, ..)| *of == place).map(rule).collect();
        let (kind, metadata) = if place.is_empty() {
            ("ClusterRole", json!({ "name": "tidegate-nodes" }))
        } else {
            ("Role", json!({ "name": "tidegate-nodes", "namespace": place }))
        };
        json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": metadata, "rules": rules })
    };
    places.into_iter().map(of).collect()
}

/// The Role of each namespace that the settings name, and those that are of use and not needed.
#[must_use]
pub fn console(settings: &Settings) -> Value {
    let pools = settings.pools.iter().filter(|pool| pool.provider == Provider::Kubernetes);
    let namespaces: BTreeSet<&str> = pools.filter_map(|pool| pool.launch.kubernetes.namespace.as_deref()).collect();
    let roles: Vec<Value> = namespaces.into_iter().map(role).chain(aside()).collect();
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
        assert_eq!(
            names,
            ["dev", "ml", "", "default", "kube-system"]
                .map(|name| if name.is_empty() { json!(null) } else { json!(name) })
                .iter()
                .collect::<Vec<_>>()
        );
        assert_eq!(roles["items"][0]["rules"][1]["resources"][0], "secrets");
    }

    #[test]
    fn the_manifest_has_the_same_rights_and_settings_that_hold() {
        const MANIFEST: &str = include_str!("../../config/kubernetes/deployment.yaml");
        let documents = || MANIFEST.split("\n---\n").map(|text| serde_saphyr::from_str::<Value>(text).unwrap());
        let of = |kind: &str| documents().find(|document| document["kind"] == kind).unwrap();
        assert_eq!(of("Role")["rules"], role("ml")["rules"]);
        let optional = documents().filter(|document| document["metadata"]["name"] == "tidegate-nodes");
        let optional: Vec<Value> = optional.filter(|document| document["rules"].is_array()).collect();
        assert_eq!(optional, aside());
        let settings = of("ConfigMap")["data"]["tidegate.toml"].as_str().unwrap().to_owned();
        let read = crate::store::settings::parse(&settings, std::path::Path::new("tidegate.toml"));
        assert_eq!(read.unwrap().pools[0].region, "current/ml-tasks");
    }
}
