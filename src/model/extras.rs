//! What a machine costs beside its own price: its disks, and its public address. Pure.

use crate::model::money::Rate;
use crate::model::settings::volume::VolumeKind;
use crate::model::settings::{DiskKind, PoolSettings, Provider};

/// Where these prices are from; other regions differ by some per cent.
pub const SOURCE: &str = "list prices of us-east-1 (AWS) and us-central1 (Google), 2026-09";

/// As the cloud counts it: 365 days of 24 hours in twelve parts.
const HOURS_A_MONTH: i64 = 730;

/// A public IPv4 address, in use or idle.
const ADDRESS: Rate = Rate::from_micros_per_hour(5_000);

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
    pub fn of(pool: &PoolSettings) -> Self {
        let launch = &pool.launch;
        let of_root = match pool.provider {
            Provider::Aws => gigabyte_month(launch.disk_type.unwrap_or(VolumeKind::Gp3)),
            Provider::Gce => googles_gigabyte_month(launch.gce.disk_kind),
            Provider::Kubernetes => 0,
        };
        let root = launch.disk_gb.map(|size| disk(size, of_root));
        let others = launch.volumes.iter().filter_map(|volume| Some(disk(volume.size?, gigabyte_month(volume.kind))));
        Self {
            disks: root.into_iter().chain(others).sum(),
            address: if pool.public_address { ADDRESS } else { Rate::ZERO },
        }
    }

    /// Both together, as a part of a rate; of one that is not known they are none.
    #[must_use]
    pub fn within(pool: &PoolSettings, rate: Option<Rate>) -> Rate {
        rate.map_or(Rate::ZERO, |rate| Self::of(pool).rate().min(rate))
    }

    /// Both together.
    #[must_use]
    pub fn rate(self) -> Rate {
        self.disks + self.address
    }
}

fn disk(gigabytes: u32, gigabyte_month: i64) -> Rate {
    Rate::from_micros_per_hour(i64::from(gigabytes) * gigabyte_month / HOURS_A_MONTH)
}

/// Micro-dollars for a GB and a month. Without a kind Google takes the machine type's own, a balanced one at most.
fn googles_gigabyte_month(kind: Option<DiskKind>) -> i64 {
    match kind {
        Some(DiskKind::PdStandard) => 40_000,
        Some(DiskKind::PdSsd) => 170_000,
        Some(DiskKind::HyperdiskBalanced) => 80_000,
        Some(DiskKind::PdBalanced) | None => 100_000,
    }
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
        let mut pool = PoolSettings::with_defaults("gpu");
        assert_eq!(Extras::of(&pool), Extras::default());
        pool.launch.disk_gb = Some(100);
        assert_eq!(Extras::of(&pool).disks.micros_per_hour(), 10_958);
        pool.launch.disk_type = Some(VolumeKind::Io2);
        pool.launch.volumes = vec!["/dev/sdf size=500 type=st1".parse().unwrap(), "/dev/sdg size=10".parse().unwrap()];
        pool.public_address = true;
        let extras = Extras::of(&pool);
        assert_eq!(extras.disks.micros_per_hour(), 17_123 + 30_821 + 1_095);
        assert_eq!(extras.rate().micros_per_hour(), 17_123 + 30_821 + 1_095 + 5_000);
    }
}
