//! Machine types: what they hold and what they cost.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::extras::{ExtraPrices, Extras};
use crate::model::ids::{MachineType, PoolName};
use crate::model::money::Rate;
use crate::model::settings::{Market, PoolSettings, Provider, size_of};
use crate::model::site;

/// One machine type in one region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeSpec {
    pub vcpu: u32,
    pub gpu: u32,
    pub on_demand: Option<Rate>,
    /// A snapshot: the real one moves.
    pub spot: Option<Rate>,
    /// Where the price is from, and its date.
    pub source: String,
    /// Of the spot price, where that is from elsewhere.
    #[serde(default)]
    pub spot_source: Option<String>,
}

/// All that is known of machine types.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Catalogue {
    types: BTreeMap<Provider, BTreeMap<String, BTreeMap<MachineType, TypeSpec>>>,
    /// What clouds told of disks and addresses, by region.
    #[serde(default)]
    extras: BTreeMap<Provider, BTreeMap<String, ExtraPrices>>,
    /// What a pod of each pool costs, by the nodes of its cluster.
    #[serde(default)]
    pods: BTreeMap<PoolName, (Rate, String)>,
}

/// What one machine of a pool would hold and cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    pub vcpu: u32,
    pub gpu: u32,
    /// With its disks and its address.
    pub rate: Option<Rate>,
}

impl Offer {
    /// Its GPUs; `None`: nobody knows. What has neither a GPU nor a processor is in no catalogue and no setting.
    #[must_use]
    pub fn known_gpus(&self) -> Option<u32> {
        (self.gpu > 0 || self.vcpu > 0).then_some(self.gpu)
    }

    /// Its processors; `None`: nobody knows, since every machine has one.
    #[must_use]
    pub fn known_vcpus(&self) -> Option<u32> {
        (self.vcpu > 0).then_some(self.vcpu)
    }
}

/// A price, and where it is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Priced {
    pub market: Market,
    pub rate: Rate,
    pub source: String,
}

impl Catalogue {
    pub fn insert(&mut self, provider: Provider, region: &str, machine_type: MachineType, spec: TypeSpec) {
        self.types.entry(provider).or_default().entry(region.to_owned()).or_default().insert(machine_type, spec);
    }

    /// Every account pays the same at a site.
    #[must_use]
    pub fn spec(&self, provider: Provider, site: &str, machine_type: &MachineType) -> Option<&TypeSpec> {
        self.types.get(&provider)?.get(site::parts(site).1)?.get(machine_type)
    }

    /// Every type that is listed at a site.
    pub fn types_of<'a>(
        &'a self,
        provider: Provider,
        site: &str,
    ) -> impl Iterator<Item = (&'a MachineType, &'a TypeSpec)> + use<'a> {
        let types = self.types.get(&provider).and_then(|sites| sites.get(site::parts(site).1));
        types.into_iter().flatten()
    }

    /// Puts a price of a type in the place of the known one, if any.
    pub fn set_price(&mut self, provider: Provider, site: &str, machine_type: &MachineType, price: Priced) {
        let (vcpu, gpu) = self.size(provider, machine_type).unwrap_or_default();
        let types = self.types.entry(provider).or_default().entry(site::parts(site).1.to_owned()).or_default();
        let unpriced = || TypeSpec { vcpu, gpu, on_demand: None, spot: None, source: String::new(), spot_source: None };
        let spec = types.entry(machine_type.clone()).or_insert_with(unpriced);
        match price.market {
            Market::OnDemand => (spec.on_demand, spec.source) = (Some(price.rate), price.source),
            Market::Spot => (spec.spot, spec.spot_source) = (Some(price.rate), Some(price.source)),
        }
    }

    /// Takes in what a pod of a pool costs; one that costs what it did changes nothing.
    #[must_use]
    pub fn with_pod_price(self: Arc<Self>, pool: &PoolName, price: Priced) -> Arc<Self> {
        let known = self.pods.get(pool).is_some_and(|(rate, _)| *rate == price.rate);
        if known {
            return self;
        }
        let mut changed = Arc::unwrap_or_clone(self);
        changed.pods.insert(pool.clone(), (price.rate, price.source));
        Arc::new(changed)
    }

    /// By what the price of a pool's pods is known, where no setting says it.
    #[must_use]
    pub fn pod_source(&self, pool: &PoolName) -> Option<&str> {
        self.pods.get(pool).map(|(_, source)| source.as_str())
    }

    /// What the cloud told of disks and addresses at a site; every account pays the same.
    #[must_use]
    pub fn extras(&self, provider: Provider, site: &str) -> Option<&ExtraPrices> {
        self.extras.get(&provider)?.get(site::parts(site).1)
    }

    /// Takes in what a cloud told of disks and addresses at a site.
    pub fn set_extras(&mut self, provider: Provider, site: &str, told: ExtraPrices) {
        self.extras.entry(provider).or_default().insert(site::parts(site).1.to_owned(), told);
    }

    /// What is known of a type there, else in any other region: prices differ by some per cent.
    #[must_use]
    pub fn spec_near(&self, provider: Provider, site: &str, machine_type: &MachineType) -> Option<&TypeSpec> {
        let anywhere = || self.types.get(&provider)?.values().find_map(|types| types.get(machine_type));
        self.spec(provider, site, machine_type).or_else(anywhere)
    }

    /// What a machine type holds in any region: its size does not depend on where it stands. A type that is not listed may
    /// tell it by its name.
    #[must_use]
    pub fn size(&self, provider: Provider, machine_type: &MachineType) -> Option<(u32, u32)> {
        let regions = self.types.get(&provider);
        let listed = regions.and_then(|regions| regions.values().find_map(|types| types.get(machine_type)));
        let told = || match provider {
            Provider::Aws | Provider::Kubernetes | Provider::Exec => None,
            Provider::Gce => size_of(machine_type.as_str()),
        };
        listed.map(|spec| (spec.vcpu, spec.gpu)).or_else(told)
    }

    /// What a machine of `pool` of this type would hold, and cost on this market at `now`; `pool.X.price` wins over the
    /// table on the pool's own market.
    #[must_use]
    pub fn offer(&self, pool: &PoolSettings, machine_type: &MachineType, market: Market, now: Timestamp) -> Offer {
        let (mut vcpu, gpu) = self.size(pool.provider, machine_type).unwrap_or((0, 0));
        let attached = match pool.provider {
            Provider::Aws => 0,
            Provider::Gce => pool.launch.gce.attached_gpus(),
            Provider::Kubernetes => pool.launch.kubernetes.gpus.unwrap_or_default(),
            Provider::Exec => pool.launch.exec.gpus,
        };
        match pool.provider {
            Provider::Kubernetes => vcpu = pool.launch.kubernetes.vcpu(),
            Provider::Exec => vcpu = pool.launch.exec.vcpu,
            Provider::Aws | Provider::Gce => {}
        }
        let priced = |kind: &MachineType| {
            let spec = self.spec(pool.provider, &pool.region, kind)?;
            match market {
                Market::OnDemand => spec.on_demand,
                // Without a spot price the on-demand one is the most that it can cost.
                Market::Spot => spec.spot.or(spec.on_demand),
            }
        };
        let listed = match pool.launch.gce.gpu_type.as_deref().filter(|_| attached > 0) {
            _ if pool.provider == Provider::Kubernetes => self.pods.get(&pool.name).map(|(rate, _)| *rate),
            None => priced(machine_type),
            // Google prices the type alone, and each GPU.
            Some(gpu) => priced(machine_type)
                .zip(priced(&gpu.into()))
                .map(|(alone, gpu)| (0..attached).fold(alone, |sum, _| sum + gpu)),
        };
        let paid = listed.map(|listed| pool.discount.map_or(listed, |discount| discount.of(listed, now)));
        let own = pool.price.filter(|_| market == pool.market);
        let extras = Extras::of(pool, self).rate();
        Offer { vcpu, gpu: gpu + attached, rate: own.or(paid).map(|machine| machine + extras) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_that_is_set_is_known_without_the_other() {
        let known = |vcpu, gpu| {
            let offer = Offer { vcpu, gpu, rate: None };
            (offer.known_vcpus(), offer.known_gpus())
        };
        assert_eq!(known(0, 0), (None, None));
        assert_eq!(known(0, 2), (None, Some(2)));
        assert_eq!(known(4, 0), (Some(4), Some(0)));
    }

    #[test]
    fn attached_gpus_are_priced_beside_their_machine() {
        let (mut catalogue, now) = (Catalogue::default(), Timestamp::UNIX_EPOCH);
        let rate = Rate::from_micros_per_hour;
        let mut pool = PoolSettings { provider: Provider::Gce, ..PoolSettings::with_defaults("t4") };
        pool.region = "us-central1".to_owned();
        (pool.launch.gce.gpu_type, pool.launch.gce.gpu_count) = (Some("nvidia-tesla-t4".to_owned()), Some(2));
        let offer = |catalogue: &Catalogue| catalogue.offer(&pool, &"n1-standard-4".into(), Market::OnDemand, now);
        for (name, micros, whole) in [("n1-standard-4", 190_000, None), ("nvidia-tesla-t4", 350_000, Some(890_000))] {
            let price = Priced { market: Market::OnDemand, rate: rate(micros), source: "told".to_owned() };
            catalogue.set_price(Provider::Gce, "us-central1", &name.into(), price);
            assert_eq!(offer(&catalogue), Offer { vcpu: 4, gpu: 2, rate: whole.map(rate) }, "{name}");
        }
    }
}
