//! What a pod costs: its part of the node that it runs on, by the node's type; before it has one, of the dearest node that may
//! take it. A pool's own price wins over both. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::model::attempt::Asks;
use crate::model::catalogue::{Catalogue, Priced};
use crate::model::cluster::{Cluster, Node};
use crate::model::money::Rate;
use crate::model::observed::CloudInstance;
use crate::model::settings::kubernetes::thousandths;
use crate::model::settings::{Market, PoolSettings, Provider, Settings};

/// What a pod costs on the node that it has. `None`: the pool's own price counts, or nobody knows.
pub(super) fn on_its_node(
    shown: &CloudInstance,
    pool: Option<&PoolSettings>,
    clusters: &BTreeMap<String, Cluster>,
    catalogue: &Catalogue,
    now: Timestamp,
) -> Option<Rate> {
    let pod = shown.pod.as_ref()?;
    if pool.is_some_and(|pool| pool.price.is_some()) {
        return None;
    }
    let node = clusters.get(&shown.region)?.node(pod.node.as_deref()?)?;
    let listed = node.rate_of(&pod.asks, catalogue)?;
    let discount = pool.and_then(|pool| pool.discount.as_ref());
    Some(discount.map_or(listed, |discount| discount.of(listed, now)))
}

/// What the next pod of each pool would cost, of those pools whose nodes are known.
pub(in crate::engine) fn expected(
    settings: &Settings,
    clusters: &BTreeMap<String, Cluster>,
    catalogue: &Catalogue,
) -> Vec<(PoolSettings, Priced)> {
    let pools = settings.pools.iter().filter(|pool| pool.provider == Provider::Kubernetes);
    let priced = pools.filter_map(|pool| {
        let nodes = &clusters.get(&pool.site())?.nodes;
        let asks = asks(pool);
        let may_take = nodes.iter().filter(|node| takes(node, pool, &asks));
        let rates = may_take.filter_map(|node| Some((node.rate_of(&asks, catalogue)?, node)));
        let (rate, node) = rates.max_by_key(|(rate, _)| *rate)?;
        let of = node.machine_type.as_ref()?;
        let source = format!("a pod's part of {of}, the dearest node that may take it");
        Some((pool.clone(), Priced { market: Market::OnDemand, rate, source }))
    });
    priced.collect()
}

/// What decides what a pod of a pool costs, in words: a price that is remembered under others says nothing.
pub(in crate::engine) fn priced_by(pool: &PoolSettings) -> String {
    let Asks { cpu_millis, memory, gpus } = asks(pool);
    let labels = pool.launch.kubernetes.node_selector.iter().map(|(name, text)| format!(" {name}={text}"));
    let labels: String = labels.collect();
    format!("{} in {}: {cpu_millis}m cpu, {memory} memory, {gpus} gpu{labels}", pool.name, pool.site())
}

fn takes(node: &Node, pool: &PoolSettings, asks: &Asks) -> bool {
    let selector = &pool.launch.kubernetes.node_selector;
    asks.fits(&node.room) && selector.iter().all(|(name, text)| node.labels.get(name) == Some(text))
}

/// What a pool's pods ask for, by the settings. One whose template says it may use a whole node, for all that is known.
fn asks(pool: &PoolSettings) -> Asks {
    let cluster = &pool.launch.kubernetes;
    let amount = |text: &Option<String>| text.as_deref().and_then(thousandths).unwrap_or_default();
    Asks {
        cpu_millis: u64::try_from(amount(&cluster.cpu)).unwrap_or(u64::MAX),
        memory: u64::try_from(amount(&cluster.memory) / 1_000).unwrap_or(u64::MAX),
        gpus: cluster.gpus.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::Revision;

    fn node(kind: &str, labels: &[(&str, &str)], room: Asks) -> Node {
        Node {
            name: format!("n-{kind}"),
            machine_type: Some(kind.into()),
            cloud: Some(Provider::Aws),
            region: "us-east-1".to_owned(),
            market: Market::OnDemand,
            group: None,
            gpu_type: None,
            room,
            labels: labels.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect(),
            ready: true,
            leaving: false,
            taints: Vec::new(),
        }
    }

    #[test]
    fn a_pool_costs_its_part_of_the_dearest_node_that_may_take_its_pods() {
        let catalogue = crate::world::prices::catalogue().unwrap();
        let asks = |cpu_millis, gpus| Asks { cpu_millis, memory: 0, gpus };
        let cluster = Cluster {
            nodes: vec![
                node("g5.xlarge", &[("pool", "gpu")], asks(4_000, 1)),
                node("g5.12xlarge", &[("pool", "gpu")], asks(48_000, 4)),
                node("m5.xlarge", &[("pool", "cpu")], asks(4_000, 0)),
                node("unheard.of", &[("pool", "gpu")], asks(4_000, 1)),
            ],
            ..Cluster::default()
        };
        let mut settings = Settings::blank(Revision::new("r"));
        for (name, gpus, selector) in [("gpu", Some(1), "gpu"), ("small", None, "cpu"), ("none", Some(9), "gpu")] {
            let mut pool = PoolSettings { provider: Provider::Kubernetes, ..PoolSettings::with_defaults(name) };
            pool.launch.kubernetes.namespace = Some("ml".to_owned());
            pool.region = pool.launch.kubernetes.site();
            pool.launch.kubernetes.cpu = Some("1".to_owned());
            pool.launch.kubernetes.gpus = gpus;
            pool.launch.kubernetes.node_selector = [("pool".to_owned(), selector.to_owned())].into();
            settings.pools.push(pool);
        }
        let clusters: BTreeMap<String, Cluster> = [("current/ml".to_owned(), cluster)].into();
        let told = expected(&settings, &clusters, &catalogue);
        let told: Vec<_> = told.iter().map(|(pool, priced)| (pool.name.as_str(), priced.rate.to_string())).collect();
        let whole = |kind: &str| catalogue.spec(Provider::Aws, "us-east-1", &kind.into()).unwrap().on_demand.unwrap();
        let part = |rate: Rate, of: i64| Rate::from_micros_per_hour(rate.micros_per_hour() / of).to_string();
        let dearest = whole("g5.xlarge").max(Rate::from_micros_per_hour(whole("g5.12xlarge").micros_per_hour() / 4));
        assert_eq!(told, [("gpu", part(dearest, 1)), ("small", part(whole("m5.xlarge"), 4))]);
        assert_eq!(priced_by(&settings.pools[0]), "gpu in current/ml: 1000m cpu, 0 memory, 1 gpu pool=gpu");
    }
}
