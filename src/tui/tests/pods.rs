//! Pools of pods and their pods, on the screen.

use std::sync::Arc;

use jiff::SignedDuration;

use super::Person;
use crate::engine::event::View;
use crate::example::view;
use crate::model::attempt::{Asks, Pod, PodState, Told};
use crate::model::cluster::{Cluster, NodeGroup, Scaler};
use crate::model::settings::{PoolSettings, Provider};

/// As Jobs are called: longer than the ids of machines.
const POD: &str = "clearml-000000051715609f7c746c6dc20fc1e1-1";

/// The example, whose first machine is a pod for which no node will come.
fn with_pods() -> View {
    let mut view = view();
    let mut pool = PoolSettings { provider: Provider::Kubernetes, ..PoolSettings::with_defaults("pods") };
    pool.launch.kubernetes.namespace = Some("ml".to_owned());
    (pool.region, pool.types) = (pool.launch.kubernetes.site(), vec!["pod".into()]);
    let site = pool.site();
    Arc::make_mut(&mut view.settings).pools.insert(0, pool);
    let group = NodeGroup {
        name: "gpu-pool".to_owned(),
        scaler: Scaler::ClusterAutoscaler,
        min: Some(0),
        target: 2,
        ready: 2,
        max: Some(2),
        ceiling: None,
        coming: Vec::new(),
        backoff: Some("no capacity for g4dn.xlarge".to_owned()),
    };
    let cluster = Cluster { groups: vec![group], ..Cluster::default() };
    let at = view.at;
    let snapshot = Arc::make_mut(&mut view.snapshot);
    snapshot.clusters = Arc::new([(site, cluster)].into());
    let instance = snapshot.instances.first_mut().unwrap();
    let told = |seconds: i64, by: &str, what: &str| Told {
        at: at - SignedDuration::from_secs(seconds),
        by: by.to_owned(),
        what: what.to_owned(),
    };
    (instance.id, instance.provider) = (POD.into(), Provider::Kubernetes);
    instance.pool = "pods".into();
    instance.pod = Some(Pod {
        task: "t-1".into(),
        queue: instance.home.clone(),
        queue_id: None,
        pending: None,
        number: 1,
        held: false,
        state: PodState::NothingComes,
        why: "1 max node group size reached".to_owned(),
        node: None,
        ends_by: None,
        asks: Asks::default(),
        story: vec![
            told(90, "Job", "made"),
            told(60, "cluster-autoscaler", "NotTriggerScaleUp: 1 max node group size reached"),
        ],
    });
    view
}

#[test]
fn a_pool_of_pods_shows_its_cluster_and_a_pod_what_happened_to_it() {
    let mut person = Person::seeing(with_pods());
    person.press("8");
    for (width, height) in [(140, 40), (80, 24)] {
        let screen = person.screen(width, height);
        assert!(screen.contains("1 pod: nothing will come"), "{screen}");
    }
    let screen = person.screen(140, 40);
    for words in [
        "node group gpu-pool backs off: no capacity for g4dn.xlarge",
        "Cluster Autoscaler: gpu-pool: 2 ready, 2 wanted, 0 to 2",
    ] {
        assert!(screen.contains(words), "{words}\n{screen}");
    }
    person.press("1");
    let screen = person.screen(80, 24);
    assert!(screen.contains("clearml-0000…c1e1-1 busy"), "{screen}");
    let mut person = Person::seeing(with_pods());
    person.press(&format!("2/{POD}<Enter>d"));
    let screen = person.screen(140, 40);
    assert!(screen.contains("a pod ends with its task"), "{screen}");
    person.press("<Enter>");
    let screen = person.screen(140, 40);
    for words in ["What happened", "Job: made", "cluster-autoscaler: NotTriggerScaleUp: 1 max node group size reached"]
    {
        assert!(screen.contains(words), "{words}\n{screen}");
    }
}
