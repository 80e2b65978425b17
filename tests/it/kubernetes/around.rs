//! What the cluster says of its nodes and of who adds some, and what a pod costs by them.

use serde_json::{Value, json};
use tidegate::model::ids::TaskId;

use crate::kubernetes::api::now;
use crate::kubernetes::real::{NODE, needs_ours};
use crate::kubernetes::recorded;
use crate::kubernetes::rig::{Rig, SETTINGS};

/// A node of EC2's.
fn node(name: &str, kind: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": { "name": name, "labels": { "node.kubernetes.io/instance-type": kind,
            "topology.kubernetes.io/region": "us-east-1", "pool": "gpu" } },
        "spec": { "providerID": "aws:///us-east-1a/i-0" },
        "status": {
            "images": [{ "names": ["python:3.12"], "sizeBytes": 1 }],
            "capacity": { "cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "1" },
            "allocatable": { "cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "1" },
            "conditions": [{ "type": "Ready", "status": "True" }],
        },
    })
}

fn autoscaler(rig: &Rig, file: &str) {
    let map = recorded(file)["response"]["body"].clone();
    rig.api.state().put("configmaps", map);
}

/// The waiting pod is told of by events, as the scheduler and the autoscaler tell.
fn unschedulable(rig: &mut Rig) -> String {
    *rig.cluster.room.0.lock().unwrap() = 0;
    rig.served.enqueue_shell("gpu", "true");
    rig.start_armed(&[]);
    rig.wait("its pod waits", |rig| !rig.api.state().all("pods").is_empty());
    rig.api.state().all("pods")[0]["metadata"]["name"].as_str().unwrap().to_owned()
}

/// The sixteenth fault of ClearML's glue is that it says none of this.
pub(super) fn why_says_what_a_pod_waits_for_and_what_the_autoscaler_does_about_it() {
    let mut rig = Rig::new(SETTINGS);
    autoscaler(&rig, "autoscaler/status_backoff");
    rig.api.state().put("nodes", node("gpu-1", "g5.xlarge"));
    let pod = unschedulable(&mut rig);
    rig.wait("the autoscaler is heard", |rig| {
        let told = rig.tidegate(&["why", "cluster"]).1;
        told.contains("gpu-pool: 1 ready, 1 wanted, 0 to 2")
            && told.contains("node group spot-pool backs off: couldn't")
    });
    let message = "pod didn't trigger scale-up: 1 max node group size reached, 1 Insufficient cpu";
    rig.api.state().event("Pod", &pod, "NotTriggerScaleUp", message, "cluster-autoscaler");
    rig.wait("nothing will come", |rig| {
        let told = rig.tidegate(&["why", "gpu"]).1;
        told.contains("1 pod: nothing will come: 1 max node group size reached, 1 Insufficient cpu")
    });
    rig.api.state().event(
        "Pod",
        &pod,
        "TriggeredScaleUp",
        "pod triggered scale-up: [{gpu-pool 1->2 (max: 2)}]",
        "cluster-autoscaler",
    );
    rig.wait("a node is coming", |rig| {
        rig.tidegate(&["why", "gpu"]).1.contains("1 pod: node coming: gpu-pool 1->2 (max: 2)")
    });
    let job = pod.rsplit_once('-').unwrap().0;
    let told = rig.tidegate(&["why", job]).1;
    let lines: Vec<usize> = ["Job: made", "NotTriggerScaleUp: pod didn't", "TriggeredScaleUp: pod triggered"]
        .iter()
        .map(|words| told.find(words).unwrap_or_else(|| panic!("{words}\n{told}")))
        .collect();
    assert!(lines.is_sorted(), "{told}");
    // A real one has the node of its kubelet too.
    let nodes = if rig.is_real() { "2 nodes" } else { "1 node" };
    let told = rig.tidegate(&["why", "cluster"]).1;
    assert!(told.contains(&format!("The cluster: {nodes} ready, 1 GPU on them.")), "{told}");
}

#[test]
fn karpenter_is_read_where_its_group_is() {
    let mut rig = Rig::new(SETTINGS);
    {
        let mut state = rig.api.state();
        state.add_group("karpenter.sh", "v1");
        state.put(
            "nodepools",
            json!({ "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": { "name": "gpu" },
                "spec": { "limits": { "nvidia.com/gpu": "8" } } }),
        );
        state.put(
            "nodeclaims",
            json!({ "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim",
                "metadata": { "name": "gpu-x7k2p", "labels": { "karpenter.sh/nodepool": "gpu" } },
                "status": { "conditions": [{ "type": "Launched", "status": "True" }] } }),
        );
    }
    let pod = unschedulable(&mut rig);
    rig.api.state().event("Pod", &pod, "Nominated", "Pod should schedule on: nodeclaim/gpu-x7k2p", "karpenter");
    rig.wait("its node is coming", |rig| {
        rig.tidegate(&["why", "gpu"]).1.contains("node coming: nodeclaim/gpu-x7k2p")
            && rig.tidegate(&["why", "cluster"]).1.contains(
                "Karpenter: gpu: 0 ready, 1 wanted, at most nvidia.com/gpu 8; on their way: gpu-x7k2p launched.",
            )
    });
    rig.api.state().event("NodeClaim", "gpu-x7k2p", "InsufficientCapacityError", "all g5 unavailable", "karpenter");
    rig.wait("there is none to be had", |rig| {
        rig.tidegate(&["why", "cluster"])
            .1
            .contains("node group gpu backs off: InsufficientCapacityError: all g5 unavailable")
    });
}

#[test]
fn what_may_not_be_read_is_said_and_nothing_fails() {
    let mut rig = Rig::new(SETTINGS);
    for verb in ["list nodes", "list configmaps", "list events"] {
        rig.api.state().denied.insert(verb.to_owned());
    }
    let _ = unschedulable(&mut rig);
    rig.wait("the pod waits", |rig| {
        let told = rig.tidegate(&["why", "cluster"]).1;
        told.contains("1 pod: unschedulable: 0/") && told.contains("1 Insufficient cpu")
    });
    let told = rig.tidegate(&["why", "cluster"]).1;
    assert!(told.contains("Not read: nodes: watch: a right is missing") && !told.contains("The cluster:"), "{told}");
}

#[test]
fn a_pod_is_billed_by_its_part_of_its_node_and_budgets_know_it_before() {
    // No price in the settings: the node's type says it.
    let settings =
        SETTINGS.replace("price = \"$3.60/h\"\n", "").replace("limit = \"$100\"", "limit = \"$100\"\nhard = true");
    let mut rig = Rig::new(&settings);
    *rig.cluster.room.0.lock().unwrap() = 0;
    let task = rig.served.enqueue_shell("gpu", "true");
    rig.start_armed(&[]);
    rig.wait("without a node nobody knows the price", |rig| {
        rig.tidegate(&["why", "gpu"]).1.contains("no price is known")
    });
    assert_eq!(rig.served.entries("gpu"), [task]);
    rig.api.state().put("nodes", node(NODE, "g5.xlarge"));
    rig.wait("its pod is made", |rig| !rig.api.state().all("pods").is_empty());
    {
        let mut state = rig.api.state();
        let mut pod = state.all("pods").remove(0);
        pod["spec"]["nodeName"] = json!(NODE);
        pod["status"] = json!({ "phase": "Running", "startTime": now(),
            "conditions": [{ "type": "PodScheduled", "status": "True" }, { "type": "Ready", "status": "True" }] });
        state.put("pods", pod);
    }
    rig.wait("it runs", |rig| rig.tidegate(&["instances"]).1.contains("running: on worker-1"));
    // One CPU of four.
    let instances = rig.ask("instances");
    assert_eq!(instances[0]["rate_microusd_per_hour"].as_i64(), Some(1_006_000 / 4), "{instances}");
    // Started anew when the node is gone, it still knows what the next one costs.
    rig.kill_loop();
    rig.api.state().remove("nodes", NODE);
    let next = rig.served.enqueue_shell("gpu", "true");
    rig.start_loop(&[]);
    rig.wait_for_job(&next, 1);
}

#[test]
fn with_kueue_a_job_waits_in_its_queue_once_its_task_is_taken() {
    let mut rig = Rig::new(&SETTINGS.replace("max = 2", "max = 2\nlocal_queue = \"team-a\""));
    if rig.api.minor() < 22 {
        needs_ours(
            "with_kueue_a_job_waits_in_its_queue_once_its_task_is_taken",
            "Kueue needs Jobs that can be suspended",
        );
        return;
    }
    rig.api.state().add_group("kueue.x-k8s.io", "v1beta2");
    *rig.cluster.room.0.lock().unwrap() = 0;
    let task = rig.served.enqueue_shell("gpu", "true");
    rig.start_armed(&[]);
    let job = format!("clearml-{task}-1");
    rig.wait("it is Kueue's to let go", |rig| {
        let made = rig.api.state().get("jobs", &job);
        made.is_some_and(|job| job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team-a")
    });
    assert_eq!(rig.served.entries_of("k8s_scheduler"), [task]);
    let uid = rig.api.state().get("jobs", &job).unwrap()["metadata"]["uid"].clone();
    rig.api.state().put(
        "workloads",
        json!({ "apiVersion": "kueue.x-k8s.io/v1beta2", "kind": "Workload", "metadata": { "name": "job-x",
            "ownerReferences": [{ "apiVersion": "batch/v1", "kind": "Job", "name": job, "uid": uid }] },
            "status": { "conditions": [{ "type": "QuotaReserved", "status": "False", "reason": "WaitingForQuota",
                "message": "insufficient unused quota for nvidia.com/gpu" }] } }),
    );
    rig.wait("it says what Kueue waits for", |rig| {
        let told = rig.tidegate(&["why", "gpu"]).1;
        told.contains("1 pod: quota wait: Kueue: WaitingForQuota: insufficient unused quota for nvidia.com/gpu")
    });
    let mut admitted = rig.api.state().get("jobs", &job).unwrap();
    assert_eq!(admitted["spec"]["suspend"], true, "nobody but Kueue lets it go");
    admitted["spec"]["suspend"] = false.into();
    rig.api.state().put("jobs", admitted);
    rig.wait("its pod is made", |rig| !rig.api.state().all("pods").is_empty());
    assert_eq!(rig.api.state().jobs_made.len(), 1);
}

#[test]
fn kueue_that_comes_later_is_found_before_the_next_job() {
    const NAME: &str = "kueue_that_comes_later_is_found_before_the_next_job";
    if needs_ours(NAME, "no Kueue comes there") {
        return;
    }
    let mut rig = Rig::new(&SETTINGS.replace("max = 2", "max = 2\nlocal_queue = \"team-a\""));
    *rig.cluster.room.0.lock().unwrap() = 0;
    let queue_of = |rig: &Rig, task: &TaskId| {
        let job = rig.api.state().get("jobs", &format!("clearml-{task}-1"))?;
        (job["spec"]["parallelism"] == 1).then(|| job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"].clone())
    };
    let before = rig.served.enqueue_shell("gpu", "true");
    rig.start_armed(&[]);
    rig.wait("a Job is let go without it", |rig| queue_of(rig, &before).is_some_and(|queue| queue.is_null()));
    rig.api.state().add_group("kueue.x-k8s.io", "v1beta2");
    let after = rig.served.enqueue_shell("gpu", "true");
    rig.wait("the next one is Kueue's", |rig| queue_of(rig, &after).is_some_and(|queue| queue == "team-a"));
}

#[test]
fn a_running_glue_is_shown_and_left_alone() {
    let mut rig = Rig::new(SETTINGS);
    let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "clearml-id-abc",
        "labels": { "CLEARML": "agent-1a2b3c4d", "clearml-task-id": "abc" } },
        "spec": { "containers": [{ "name": "task", "image": "x", "resources": { "requests": { "cpu": "900" } } }] },
        "status": { "phase": "Pending", "conditions": [{ "type": "PodScheduled", "status": "False",
            "reason": "Unschedulable", "message": "0/1 nodes are available: 1 Insufficient cpu." }] } });
    rig.api.state().put("pods", pod);
    rig.start_armed(&[]);
    rig.wait("it is shown", |rig| {
        let told = rig.tidegate(&["why", "cluster"]).1;
        told.contains("ClearML's glue agent-1a2b3c4d: 1 pending (task abc: unschedulable: 0/")
            && told.contains("Insufficient cpu). It is left alone.")
    });
    assert_eq!(rig.ask("status")["instances"], 0);
    let asked = rig.api.state().asked.clone();
    assert!(!asked.iter().any(|asked| asked.starts_with("DELETE") || asked.starts_with("PATCH")), "{asked:#?}");
}
