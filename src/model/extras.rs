//! What a machine costs beside its own price: its disks, and its public address. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::catalogue::Catalogue;
use crate::model::money::{Money, Rate};
use crate::model::settings::volume::VolumeKind;
use crate::model::settings::{DiskKind, PoolSettings, Provider};

/// Where the prices are from that nobody told; other regions differ by some per cent.
const LISTED_BY_AWS: &str = "list prices of us-east-1, 2026-09";
const LISTED_BY_GOOGLE: &str = "list prices of us-central1, 2026-09";

/// As the cloud counts it: 365 days of 24 hours in twelve parts.
const HOURS_A_MONTH: i64 = 730;

/// A public IPv4 address, in use or idle.
pub(super) const ADDRESS: Rate = Rate::from_micros_per_hour(5_000);

/// What a cloud told of a region's prices beside those of machines. What it did not tell is of the list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ExtraPrices {
    /// A GB for a month, by Google's kinds of disks.
    pub disks: BTreeMap<DiskKind, Money>,
    /// A public IPv4 address; what is free of it at first is not taken off.
    pub address: Option<Rate>,
    /// Who told it, and when.
    pub source: String,
}

impl ExtraPrices {
    /// How many prices there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.disks.len() + usize::from(self.address.is_some())
    }
}

/// Both parts, for an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extras {
    /// What was bought of speed beside the size is not in it.
    pub disks: Rate,
    pub address: Rate,
}

impl Extras {
    /// Of a machine of this pool, as far as its settings say: a root disk of the image's own size is not in it.
    #[must_use]
    pub fn of(pool: &PoolSettings, catalogue: &Catalogue) -> Self {
        let (launch, told) = (&pool.launch, catalogue.extras(pool.provider, &pool.region));
        let of_root = match pool.provider {
            Provider::Aws => gigabyte_month(launch.disk_type.unwrap_or(VolumeKind::Gp3)),
            Provider::Gce => {
                // Without a kind Google takes the machine type's own, a balanced one at most.
                let kind = launch.gce.disk_kind.unwrap_or(DiskKind::PdBalanced);
                told.and_then(|told| told.disks.get(&kind).copied()).unwrap_or(listed(kind)).micros()
            }
            Provider::Kubernetes | Provider::Exec => 0,
        };
        let root = launch.disk_gb.map(|size| disk(size, of_root));
        let others = launch.volumes.iter().filter_map(|volume| Some(disk(volume.size?, gigabyte_month(volume.kind))));
        let address = told.and_then(|told| told.address).unwrap_or(ADDRESS);
        Self {
            disks: root.into_iter().chain(others).sum(),
            address: if pool.public_address { address } else { Rate::ZERO },
        }
    }

    /// Both together, as a part of a rate; of one that is not known they are none.
    #[must_use]
    pub fn within(pool: &PoolSettings, catalogue: &Catalogue, rate: Option<Rate>) -> Rate {
        rate.map_or(Rate::ZERO, |rate| Self::of(pool, catalogue).rate().min(rate))
    }

    /// Both together.
    #[must_use]
    pub fn rate(self) -> Rate {
        self.disks + self.address
    }
}

/// Where the prices of this pool's disks and addresses are from, and of when.
#[must_use]
pub fn source<'a>(pool: &PoolSettings, catalogue: &'a Catalogue) -> &'a str {
    let kind = pool.launch.gce.disk_kind.unwrap_or(DiskKind::PdBalanced);
    let told = catalogue.extras(pool.provider, &pool.region);
    // Whoever told one of the two is named; what it left out is of the list.
    let told = told.filter(|told| told.disks.contains_key(&kind) || told.address.is_some() && pool.public_address);
    told.map_or_else(|| listed_by(pool.provider), |told| &told.source)
}

fn listed_by(provider: Provider) -> &'static str {
    match provider {
        Provider::Aws => LISTED_BY_AWS,
        Provider::Gce => LISTED_BY_GOOGLE,
        Provider::Kubernetes | Provider::Exec => "the pool's own price",
    }
}

fn disk(gigabytes: u32, gigabyte_month: i64) -> Rate {
    Rate::from_micros_per_hour(i64::from(gigabytes).saturating_mul(gigabyte_month) / HOURS_A_MONTH)
}

/// What the list says of a GB for a month.
pub(super) fn listed(kind: DiskKind) -> Money {
    Money::from_micros(match kind {
        DiskKind::PdStandard => 40_000,
        DiskKind::PdSsd => 170_000,
        DiskKind::HyperdiskBalanced => 80_000,
        DiskKind::PdBalanced => 100_000,
    })
}

/// Micro-dollars for a GB and a month.
fn gigabyte_month(kind: VolumeKind) -> i64 {
    match kind {
        VolumeKind::Gp3 => 80_000,
        VolumeKind::Gp2 => 100_000,
        VolumeKind::Io1 | VolumeKind::Io2 => 125_000,
        VolumeKind::St1 => 45_000,
        VolumeKind::Sc1 => 15_000,
        VolumeKind::Standard => 50_000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_cost_by_their_kind_and_an_address_half_a_cent() {
        let (mut pool, list) = (PoolSettings::with_defaults("gpu"), Catalogue::default());
        assert_eq!(Extras::of(&pool, &list), Extras::default());
        pool.launch.disk_gb = Some(100);
        assert_eq!(Extras::of(&pool, &list).disks.micros_per_hour(), 10_958);
        pool.launch.disk_type = Some(VolumeKind::Io2);
        pool.launch.volumes = vec!["/dev/sdf size=500 type=st1".parse().unwrap(), "/dev/sdg size=10".parse().unwrap()];
        pool.public_address = true;
        let extras = Extras::of(&pool, &list);
        assert_eq!(extras.disks.micros_per_hour(), 17_123 + 30_821 + 1_095);
        assert_eq!(extras.rate().micros_per_hour(), 17_123 + 30_821 + 1_095 + 5_000);
    }
    #[test]
    fn what_google_told_of_a_region_goes_before_the_list_there_and_nowhere_else() {
        let mut pool = PoolSettings { provider: Provider::Gce, ..PoolSettings::with_defaults("l4") };
        (pool.region, pool.public_address) = ("europe-west4".to_owned(), true);
        (pool.launch.disk_gb, pool.launch.gce.disk_kind) = (Some(100), Some(DiskKind::PdSsd));
        let mut catalogue = Catalogue::default();
        let of = |catalogue: &Catalogue, pool: &PoolSettings| {
            let extras = Extras::of(pool, catalogue);
            let rates = (extras.disks.micros_per_hour(), extras.address.micros_per_hour());
            (rates, source(pool, catalogue).to_owned())
        };
        assert_eq!(of(&catalogue, &pool), ((23_287, 5_000), LISTED_BY_GOOGLE.to_owned()));
        let told = ExtraPrices {
            disks: [(DiskKind::PdSsd, Money::from_micros(187_000))].into(),
            address: Some(Rate::from_micros_per_hour(6_000)),
            source: "told".to_owned(),
        };
        catalogue.set_extras(Provider::Gce, "lab@europe-west4", told);
        assert_eq!(of(&catalogue, &pool), ((25_616, 6_000), "told".to_owned()));
        // Of a kind that was not told, and of another region, the list says it.
        pool.public_address = false;
        pool.launch.gce.disk_kind = None;
        assert_eq!(of(&catalogue, &pool), ((13_698, 0), LISTED_BY_GOOGLE.to_owned()));
        (pool.region, pool.launch.gce.disk_kind) = ("us-central1".to_owned(), Some(DiskKind::PdSsd));
        assert_eq!(of(&catalogue, &pool), ((23_287, 0), LISTED_BY_GOOGLE.to_owned()));
    }
}
