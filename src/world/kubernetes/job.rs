//! The Job of an attempt, and the Secret that goes with it. Pure: a template and an order in, JSON out. A Job has one pod and
//! never another; it waits until it is let go; its pod says with the agent's own exit code how it ended; what the agent needs
//! to know in secret is in the Secret, which goes with the Job.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::model::settings::kubernetes::toleration;
use crate::world::cloud::{CloudError, PodOrder};
use crate::world::kubernetes::label;
use crate::world::kubernetes::safe::yaml;

/// Where the Secret is mounted.
const FOLDER: &str = "/tidegate";
const CONF: &str = "clearml.conf";
const TOKEN: &str = "token";
const VOLUME: &str = "tidegate";
const CONTAINER: &str = "task";

/// A Job that has ended is kept for an hour, for people to look at.
const KEPT: u32 = 3_600;

/// Autoscalers move pods of Jobs from node to node unless these say no.
const STAYS: [(&str, &str); 2] =
    [("cluster-autoscaler.kubernetes.io/safe-to-evict", "false"), ("karpenter.sh/do-not-disrupt", "true")];

/// The container's script; what it needs comes by its environment. It ends as the agent ends.
const SCRIPT: &str = r#"set -eu
PYTHON=$(command -v python3 || command -v python)
if [ -n "$TIDEGATE_INIT_SCRIPT" ]; then
    printf '%s' "$TIDEGATE_INIT_SCRIPT" >/tmp/tidegate-init
    sh /tmp/tidegate-init
fi
installed=$("$PYTHON" -c 'import clearml_agent.version as v; print(v.__version__)' 2>/dev/null || true)
if [ "$installed" != "$TIDEGATE_AGENT_VERSION" ]; then
    "$PYTHON" -m pip install -q --disable-pip-version-check "clearml-agent==$TIDEGATE_AGENT_VERSION"
fi
exec "$PYTHON" -m clearml_agent --config-file "$CLEARML_CONFIG_FILE" execute --full-monitoring --require-queue --id "$CLEARML_TASK_ID"
"#;

/// The Job, as it is posted.
pub(super) fn job(order: &PodOrder, template: Value) -> Result<Value, CloudError> {
    let (labels, annotations) = (label::labels(order), label::annotations(order));
    let mut pod = template;
    let spec = section(&mut pod, "spec")?;
    fill(spec, order)?;
    let metadata = section(&mut pod, "metadata")?;
    // A pod is where its Job is, and is called after it.
    metadata.retain(|name, _| !["namespace", "name", "generateName"].contains(&name.as_str()));
    merge(metadata, "labels", &labels)?;
    merge(metadata, "annotations", &annotations)?;
    merge(metadata, "annotations", &STAYS.into_iter().map(|(name, text)| (name, text.to_owned())).collect())?;
    let metadata = Value::Object(std::mem::take(metadata));
    let spec = pod.get_mut("spec").map(Value::take).unwrap_or_default();
    Ok(json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": { "name": order.attempt.instance.as_str(), "labels": labels, "annotations": annotations },
        "spec": {
            // Held twice: Kueue looks at the one, and a server before 1.22 knows only the other.
            "suspend": true,
            "parallelism": 0,
            "completions": 1,
            "backoffLimit": 0,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {
                "rules": [{
                    "action": "FailJob",
                    "onPodConditions": [{ "type": "DisruptionTarget", "status": "True" }],
                }],
            },
            "ttlSecondsAfterFinished": KEPT,
            "template": { "metadata": metadata, "spec": spec },
        },
    }))
}

/// What makes a held Job begin; one of a queue of Kueue's begins when Kueue says so.
pub(super) fn let_go(local_queue: Option<&str>) -> Value {
    match local_queue {
        Some(queue) => {
            json!({ "metadata": { "labels": { label::KUEUE_QUEUE: queue } }, "spec": { "parallelism": 1 } })
        }
        None => json!({ "spec": { "suspend": false, "parallelism": 1 } }),
    }
}

/// What the agent is told in secret; it goes when the Job goes.
pub(super) fn secret(order: &PodOrder, job_uid: &str) -> Value {
    let name = order.attempt.instance.as_str();
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "labels": label::labels(order),
            "ownerReferences": [{ "apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": job_uid }],
        },
        "type": "Opaque",
        "stringData": { CONF: conf(order), TOKEN: order.agents.token.expose() },
    })
}

/// What the pool says of the agent, and where ClearML is.
fn conf(order: &PodOrder) -> String {
    let server = Value::from(order.agents.api_server.as_str());
    let own = order.pool.agent.extra_clearml_conf.as_deref().unwrap_or_default();
    format!("{own}\napi {{ api_server: {server} }}\n")
}

/// The pod's own part of the template.
fn fill(spec: &mut Map<String, Value>, order: &PodOrder) -> Result<(), CloudError> {
    let cluster = &order.pool.launch.kubernetes;
    spec.insert("restartPolicy".to_owned(), json!("Never"));
    // The pod's and not the Job's: a Job's counts while its pod waits for a node too.
    spec.insert("activeDeadlineSeconds".to_owned(), json!(order.pool.max_life.as_secs().max(1)));
    if let Some(class) = &cluster.priority_class {
        spec.insert("priorityClassName".to_owned(), json!(class));
    }
    if let Some(account) = &cluster.service_account {
        spec.insert("serviceAccountName".to_owned(), json!(account));
    }
    let selector = cluster.node_selector.iter().map(|(name, text)| (name.as_str(), text.clone())).collect();
    merge(spec, "nodeSelector", &selector)?;
    let tolerated = cluster.tolerations.iter().filter_map(|text| tolerated(text));
    list(spec, "tolerations")?.extend(tolerated);
    let secret = json!({ "name": VOLUME, "secret": { "secretName": order.attempt.instance.as_str() } });
    list(spec, "volumes")?.push(secret);
    let containers = list(spec, "containers")?;
    if containers.is_empty() {
        containers.push(json!({}));
    }
    match containers.first_mut() {
        Some(Value::Object(first)) => container(first, order),
        _ => Err(wrong("spec.containers[0] is no mapping")),
    }
}

fn container(container: &mut Map<String, Value>, order: &PodOrder) -> Result<(), CloudError> {
    let cluster = &order.pool.launch.kubernetes;
    container.entry("name").or_insert_with(|| json!(CONTAINER));
    if let Some(image) = order.container.image.as_ref().or(cluster.image.as_ref()) {
        container.insert("image".to_owned(), json!(image));
    }
    if container.get("image").and_then(Value::as_str).is_none_or(str::is_empty) {
        return Err(wrong("spec.containers[0].image is missing, and the pool has no pod_image"));
    }
    container.insert("command".to_owned(), json!(["/bin/sh", "-c"]));
    container.insert("args".to_owned(), json!([SCRIPT]));
    environment(list(container, "env")?, order);
    list(container, "volumeMounts")?.push(json!({ "name": VOLUME, "mountPath": FOLDER, "readOnly": true }));
    let resources = section_of(container, "resources")?;
    for part in ["requests", "limits"] {
        let mut wanted = BTreeMap::new();
        wanted.extend(cluster.cpu.clone().map(|cpu| ("cpu", cpu)));
        wanted.extend(cluster.memory.clone().map(|memory| ("memory", memory)));
        let gpus = cluster.gpus.filter(|gpus| *gpus > 0);
        wanted.extend(gpus.map(|gpus| (cluster.gpu_resource.as_str(), gpus.to_string())));
        merge(resources, part, &wanted)?;
    }
    Ok(())
}

/// Ours, in the place of the task's and the template's of the same name; the task's in the place of the template's.
fn environment(env: &mut Vec<Value>, order: &PodOrder) {
    for (name, value) in &order.container.environment {
        env.retain(|one| one.get("name").and_then(Value::as_str) != Some(name.as_str()));
        env.push(json!({ "name": name, "value": value }));
    }
    let attempt = &order.attempt;
    let worker = format!("{}:{}:{}:{}", order.fleet, order.pool.name, order.machine_type, attempt.instance);
    let plain = [
        ("CLEARML_TASK_ID", attempt.task.to_string()),
        ("CLEARML_WORKER_ID", worker),
        ("CLEARML_API_HOST", order.agents.api_server.clone()),
        ("CLEARML_CONFIG_FILE", format!("{FOLDER}/{CONF}")),
        // The pod ends as its task does.
        ("CLEARML_AGENT_PROPAGATE_EXITCODE", "1".to_owned()),
        ("TIDEGATE_AGENT_VERSION", order.pool.agent.agent_version.clone()),
        ("TIDEGATE_INIT_SCRIPT", order.pool.agent.init_script.clone().unwrap_or_default()),
    ];
    let token = json!({
        "name": "CLEARML_AUTH_TOKEN",
        "valueFrom": { "secretKeyRef": { "name": attempt.instance.as_str(), "key": TOKEN } },
    });
    let ours: Vec<Value> =
        plain.into_iter().map(|(name, value)| json!({ "name": name, "value": value })).chain([token]).collect();
    env.retain(|one| ours.iter().all(|ours| ours.get("name") != one.get("name")));
    env.extend(ours);
}

fn tolerated(text: &str) -> Option<Value> {
    let (key, value, effect) = toleration(text)?;
    let mut told = json!({ "key": key, "operator": if value.is_some() { "Equal" } else { "Exists" } });
    let fields = told.as_object_mut()?;
    fields.extend(value.map(|value| ("value".to_owned(), json!(value))));
    fields.extend(effect.map(|effect| ("effect".to_owned(), json!(effect))));
    Some(told)
}

fn section<'a>(object: &'a mut Value, name: &str) -> Result<&'a mut Map<String, Value>, CloudError> {
    section_of(object.as_object_mut().ok_or_else(|| wrong("the pod is no mapping"))?, name)
}

fn section_of<'a>(object: &'a mut Map<String, Value>, name: &str) -> Result<&'a mut Map<String, Value>, CloudError> {
    let section = object.entry(name).or_insert_with(|| json!({}));
    section.as_object_mut().ok_or_else(|| wrong(&format!("{name} is no mapping")))
}

fn list<'a>(object: &'a mut Map<String, Value>, name: &str) -> Result<&'a mut Vec<Value>, CloudError> {
    let list = object.entry(name).or_insert_with(|| json!([]));
    list.as_array_mut().ok_or_else(|| wrong(&format!("{name} is no list")))
}

/// Puts texts into a mapping of the object; without any the object stays as it is.
fn merge(object: &mut Map<String, Value>, name: &str, texts: &BTreeMap<&str, String>) -> Result<(), CloudError> {
    if texts.is_empty() {
        return Ok(());
    }
    let section = section_of(object, name)?;
    section.extend(texts.iter().map(|(name, text)| ((*name).to_owned(), json!(text))));
    Ok(())
}

fn wrong(what: &str) -> CloudError {
    CloudError::refused(format!("the pod's template is refused: {what}"))
}

/// The template that the settings name, as it is now; `folder`: where those are.
pub(super) fn template(text: Option<&str>, folder: Option<&Path>) -> Result<Value, CloudError> {
    let Some(text) = text else { return Ok(json!({})) };
    let (place, read) = match text.strip_prefix("file:") {
        Some(path) => {
            let path = folder.map_or_else(|| PathBuf::from(path), |folder| folder.join(path));
            let place = format!("{}: ", path.display());
            (place.clone(), std::fs::read_to_string(&path).map_err(|error| wrong(&format!("{place}{error}")))?)
        }
        None => (String::new(), text.to_owned()),
    };
    // Its environment may hold what nobody is to read in an error.
    let pod: Value = serde_saphyr::from_str(&read).map_err(|error| wrong(&format!("{place}{}", yaml(&error))))?;
    let keep = |name: &str| pod.get(name).cloned().unwrap_or_else(|| json!({}));
    if pod.is_object() {
        Ok(json!({ "metadata": keep("metadata"), "spec": keep("spec") }))
    } else {
        Err(wrong("it is no mapping"))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::model::account::Owner;
    use crate::model::attempt::Attempt;
    use crate::model::ids::{Revision, Term};
    use crate::model::settings::{PoolSettings, Provider};
    use crate::world::cloud::AgentAccess;
    use crate::world::secret::Secret;
    use crate::world::tracker::TaskContainer;
    use jiff::Timestamp;

    pub(crate) fn order() -> PodOrder {
        let mut pool = PoolSettings { provider: Provider::Kubernetes, ..PoolSettings::with_defaults("gpu") };
        let cluster = &mut pool.launch.kubernetes;
        cluster.namespace = Some("ml".to_owned());
        cluster.image = Some("python:3.12".to_owned());
        (cluster.cpu, cluster.memory, cluster.gpus) = (Some("4".to_owned()), Some("16Gi".to_owned()), Some(1));
        cluster.tolerations = vec!["nvidia.com/gpu".to_owned(), "spot=true:NoSchedule".to_owned()];
        cluster.node_selector = [("pool".to_owned(), "gpu".to_owned())].into();
        PodOrder {
            fleet: "lab".into(),
            attempt: Attempt {
                instance: "clearml-t1-1".into(),
                task: "t1".into(),
                queue: "train".into(),
                queue_id: Some("q-train".into()),
                pending: Some("k8s_one".into()),
                number: 1,
                pool: "gpu".into(),
                site: None,
                intent: Some("b.0".into()),
                owner: Owner::default(),
                opened: Timestamp::UNIX_EPOCH,
                goes_back: None,
            },
            machine_type: "pod".into(),
            pool,
            revision: Revision::new("r"),
            term: Term(1),
            agents: AgentAccess { api_server: "http://api".to_owned(), token: Secret::new("hush-hush") },
            container: TaskContainer::default(),
        }
    }

    #[test]
    fn a_job_is_made_of_template_and_settings_and_holds_no_secret() {
        let text = "metadata:\n  namespace: other\n  labels: {team: vision}\nspec:\n  hostNetwork: true\n  containers:\n  - name: main\n    \
                    image: old\n    env:\n    - {name: A, value: b}\n    - {name: CLEARML_TASK_ID, value: mine}\n";
        let job = job(&order(), template(Some(text), None).unwrap()).unwrap();
        assert!(!job.to_string().contains("hush"), "{job}");
        let pod = &job["spec"]["template"];
        assert_eq!(pod["metadata"]["labels"]["team"], "vision");
        assert_eq!(pod["metadata"].get("namespace"), None);
        assert_eq!(pod["metadata"]["annotations"]["karpenter.sh/do-not-disrupt"], "true");
        assert_eq!(pod["spec"]["hostNetwork"], true);
        let container = &pod["spec"]["containers"][0];
        assert_eq!((container["name"].as_str(), container["image"].as_str()), (Some("main"), Some("python:3.12")));
        assert_eq!(container["resources"]["limits"]["nvidia.com/gpu"], "1");
        let names: Vec<_> =
            container["env"].as_array().unwrap().iter().map(|env| env["name"].as_str().unwrap()).collect();
        assert_eq!(names.iter().filter(|name| **name == "CLEARML_TASK_ID").count(), 1);
        assert!(names.contains(&"A") && names.contains(&"CLEARML_AUTH_TOKEN"));
        assert!(!container["args"][0].as_str().unwrap().contains("exit 0"));
        assert_eq!((&job["spec"]["suspend"], &job["spec"]["parallelism"]), (&json!(true), &json!(0)));
        assert_eq!(pod["spec"]["tolerations"][1]["effect"], "NoSchedule");
        let secret = secret(&order(), "uid-1");
        assert_eq!(secret["metadata"]["ownerReferences"][0]["uid"], "uid-1");
        assert_eq!(secret["stringData"]["token"], "hush-hush");
    }

    #[test]
    fn a_task_that_names_an_image_and_an_environment_has_them_but_for_what_is_ours() {
        let text = "spec: {containers: [{image: old, env: [{name: A, value: b}, {name: B, value: c}]}]}";
        let pairs = [("A", "of the task"), ("A", "at last"), ("CLEARML_TASK_ID", "mine"), ("CLEARML_AUTH_TOKEN", "x")];
        let environment = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let asked = TaskContainer { image: Some("team/train:7".to_owned()), environment };
        let job = job(&PodOrder { container: asked, ..order() }, template(Some(text), None).unwrap()).unwrap();
        let container = &job["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["image"], "team/train:7");
        let of = |name: &str| -> Vec<Value> {
            let env = container["env"].as_array().unwrap().iter();
            env.filter(|one| one["name"] == name).map(|one| one["value"].clone()).collect()
        };
        assert_eq!((of("A"), of("B")), (vec![json!("at last")], vec![json!("c")]));
        assert_eq!((of("CLEARML_TASK_ID"), of("CLEARML_AUTH_TOKEN")), (vec![json!("t1")], vec![Value::Null]));
    }

    #[test]
    fn a_job_is_held_until_it_is_let_go_also_where_nobody_knows_of_suspending() {
        for knows in [true, false] {
            for queue in [None, Some("team")] {
                let mut job = job(&order(), json!({ "spec": { "containers": [{ "image": "x" }] } })).unwrap();
                let drop_unknown = |job: &mut Value| {
                    if !knows {
                        job["spec"].as_object_mut().unwrap().remove("suspend");
                    }
                };
                drop_unknown(&mut job);
                let is_held = |job: &Value| label::is_held(&serde_json::from_value(job.clone()).unwrap());
                assert!(is_held(&job), "{knows} {queue:?}");
                let patch = let_go(queue);
                for (name, value) in patch["spec"].as_object().unwrap() {
                    job["spec"][name] = value.clone();
                }
                drop_unknown(&mut job);
                job["metadata"]["labels"][label::KUEUE_QUEUE] = patch["metadata"]["labels"][label::KUEUE_QUEUE].clone();
                if queue.is_none() {
                    job["metadata"]["labels"].as_object_mut().unwrap().remove(label::KUEUE_QUEUE);
                }
                assert!(!is_held(&job), "{knows} {queue:?}");
                assert_eq!(job["spec"]["parallelism"], 1);
            }
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a file of the test's own")]
    fn a_template_that_cannot_be_read_is_not_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pod.yaml");
        let text = "spec:\n  containers:\n  - env: [{name: A, value: hunter2}\n    image: hunter3\n";
        std::fs::write(&file, text).unwrap();
        let named = format!("file:{}", file.display());
        for (text, words) in [(text, "the pod's template is refused: line "), (named.as_str(), "/pod.yaml: line ")] {
            let error = template(Some(text), None).unwrap_err();
            assert!(error.message.contains(words) && !error.message.contains("hunter"), "{error}");
        }
    }

    #[test]
    fn a_template_that_is_no_pod_is_refused_by_the_part_that_is_wrong() {
        for (text, words) in [
            ("spec: 5", "spec is no mapping"),
            ("spec: {containers: 5}", "containers is no list"),
            ("spec: {containers: [5]}", "spec.containers[0] is no mapping"),
            ("file:/nowhere/pod.yaml", "/nowhere/pod.yaml"),
            ("- a", "it is no mapping"),
        ] {
            let error = template(Some(text), None).and_then(|template| job(&order(), template)).unwrap_err();
            assert!(error.message.contains(words), "{text}: {error}");
        }
        let beside = template(Some("file:pod.yaml"), Some(Path::new("/nowhere/at/all"))).unwrap_err();
        assert!(beside.message.contains("/nowhere/at/all/pod.yaml"), "{beside}");
        let mut order = order();
        order.pool.launch.kubernetes.image = None;
        assert!(job(&order, json!({})).unwrap_err().message.contains("pod_image"));
    }
}
