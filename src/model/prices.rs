//! Prices that a cloud told, beside those of the table: which are believed, and how old they are. Pure.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::catalogue::TypeSpec;
use crate::model::extras::{self, ExtraPrices};
use crate::model::ids::MachineType;
use crate::model::money::{Money, Rate};
use crate::model::reason::counted;
use crate::model::settings::{Market, PoolSettings, Provider};
use crate::model::span::Short;

/// A price that is this many times the table's, or a part as small of it, is not believed.
const FAR: i64 = 5;

/// A spot price without one in the table is held against the on-demand price: at least one part in so many.
const SPOT_PART: i64 = 20;

/// No machine costs more an hour.
const DEAREST: Rate = Rate::from_micros_per_hour(10_000_000_000);

/// Prices of one market at one place, as the cloud told them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriceSource {
    pub provider: Provider,
    /// A region, or one of an account.
    pub site: String,
    pub market: Market,
    /// When it told any last.
    pub good: Option<Timestamp>,
    /// How many are believed of those.
    pub believed: usize,
    /// How many prices of disks and addresses are believed beside them.
    #[serde(default)]
    pub beside: usize,
    /// Why it told none when it was asked last; the last good prices stay.
    pub error: Option<String>,
    /// What is not believed, and why.
    pub refused: Vec<String>,
}

impl PriceSource {
    /// How old they are and whether all are believed: `told 12m03 ago: 3 types`.
    #[must_use]
    pub fn told(&self, now: Timestamp) -> String {
        let good = self.good.map(|good| {
            let count = |count: usize, what: &str| counted(u64::try_from(count).unwrap_or(u64::MAX), what);
            let beside = Some(count(self.beside, "price")).filter(|_| self.beside > 0);
            let beside = beside.map(|prices| format!(", {prices} of disks and addresses")).unwrap_or_default();
            format!("told {} ago: {}{beside}", Short(now.duration_since(good)), count(self.believed, "type"))
        });
        let error = self.error.as_ref().map(|error| match self.good {
            Some(_) => format!("not told since, they stay: {error}"),
            None => format!("not told, the table's are used: {error}"),
        });
        let refused = (!self.refused.is_empty()).then(|| format!("not believed: {}", self.refused.join("; ")));
        good.into_iter().chain(error).chain(refused).collect::<Vec<_>>().join("; ")
    }

    /// `on demand in us-east-1`.
    #[must_use]
    pub fn name(&self) -> String {
        let market = match self.market {
            Market::OnDemand => "on demand",
            Market::Spot => "spot",
        };
        format!("{market} in {}", self.site)
    }
}

/// What of a pool has a price of its own: its types, and the GPUs that Google attaches to them.
pub fn priced(pool: &PoolSettings) -> impl Iterator<Item = MachineType> + '_ {
    let attached = pool.launch.gce.gpu_type.as_deref().filter(|_| pool.provider == Provider::Gce);
    pool.types.iter().cloned().chain(attached.map(MachineType::from))
}

/// Whether a price that the cloud told is believed, held against the table's; else why not.
pub fn believed(
    machine_type: &MachineType,
    market: Market,
    told: Rate,
    table: Option<&TypeSpec>,
) -> Result<Rate, String> {
    let no = |why: String| Err(format!("{machine_type} at {told}: {why}"));
    let (micros, on_demand) = (told.micros_per_hour(), table.and_then(|spec| spec.on_demand));
    if told <= Rate::ZERO {
        return no("a price must be above zero".to_owned());
    }
    if told > DEAREST {
        return no(format!("no machine costs more than {DEAREST}"));
    }
    let (listed, part) = match market {
        Market::OnDemand => (on_demand, FAR),
        Market::Spot => match table.and_then(|spec| spec.spot) {
            Some(spot) => (Some(spot), FAR),
            None => (on_demand, SPOT_PART),
        },
    };
    match listed {
        Some(listed) if micros > listed.micros_per_hour().saturating_mul(FAR) => {
            no(format!("more than {FAR} times the table's {listed}"))
        }
        Some(listed) if micros.saturating_mul(part) < listed.micros_per_hour() => {
            no(format!("less than a {part}th of the table's {listed}"))
        }
        _ => Ok(told),
    }
}

/// Leaves of what a cloud told of disks and addresses what is believed, held against the list; and why not the rest.
#[must_use]
pub fn believed_extras(mut told: ExtraPrices) -> (ExtraPrices, Vec<String>) {
    let mut refused = Vec::new();
    let mut near = |what: &str, told: &str, micros: i64, listed: i64, price: &str| {
        let is_near = micros <= listed.saturating_mul(FAR) && micros.saturating_mul(FAR) >= listed;
        if !is_near {
            refused
                .push(format!("{what} at {told}: more than {FAR} times or less than a {FAR}th of the list's {price}"));
        }
        is_near
    };
    told.disks.retain(|kind, price| {
        let listed = extras::listed(*kind);
        let of_month = |price: Money| format!("{price} for a GB and a month");
        near(kind.word(), &of_month(*price), price.micros(), listed.micros(), &listed.to_string())
    });
    let listed = extras::ADDRESS;
    told.address = told.address.filter(|rate| {
        near("an address", &rate.to_string(), rate.micros_per_hour(), listed.micros_per_hour(), &listed.to_string())
    });
    (told, refused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::settings::DiskKind;

    #[test]
    fn a_disk_s_price_far_from_the_list_s_is_not_believed() {
        let disks = [(DiskKind::PdSsd, 187_000), (DiskKind::PdStandard, 200_001), (DiskKind::PdBalanced, 0)];
        let told = ExtraPrices {
            disks: disks.map(|(kind, micros)| (kind, Money::from_micros(micros))).into(),
            address: Some(Rate::from_micros_per_hour(999)),
            source: "x".to_owned(),
        };
        let (believed, refused) = believed_extras(told);
        assert_eq!(believed.disks.keys().copied().collect::<Vec<_>>(), [DiskKind::PdSsd]);
        assert_eq!((believed.address, believed.count(), refused.len()), (None, 1, 3), "{refused:?}");
        assert!(refused[0].starts_with("pd-standard at $0.20 for a GB and a month: more than 5 times"), "{refused:?}");
    }

    #[test]
    fn a_price_far_from_the_table_s_is_not_believed() {
        let rate = Rate::from_micros_per_hour;
        let table = |on_demand: Option<i64>, spot: Option<i64>| TypeSpec {
            vcpu: 4,
            gpu: 1,
            on_demand: on_demand.map(rate),
            spot: spot.map(rate),
            source: String::new(),
            spot_source: None,
        };
        let listed = table(Some(1_000_000), None);
        let both = table(Some(1_000_000), Some(300_000));
        for (market, told, table, ok) in [
            (Market::OnDemand, 1_200_000, Some(&listed), true),
            (Market::OnDemand, 5_000_000, Some(&listed), true),
            (Market::OnDemand, 5_000_001, Some(&listed), false),
            (Market::OnDemand, 200_000, Some(&listed), true),
            (Market::OnDemand, 199_999, Some(&listed), false),
            (Market::OnDemand, 0, Some(&listed), false),
            (Market::OnDemand, -1, None, false),
            (Market::OnDemand, 7_000_000, None, true),
            (Market::OnDemand, 10_000_000_001, None, false),
            // What moto says of every spot machine.
            (Market::Spot, 10, Some(&listed), false),
            (Market::Spot, 50_000, Some(&listed), true),
            (Market::Spot, 59_999, Some(&both), false),
            (Market::Spot, 60_000, Some(&both), true),
            (Market::Spot, 1_500_001, Some(&both), false),
        ] {
            let said = believed(&"g5.xlarge".into(), market, rate(told), table);
            assert_eq!(said.is_ok(), ok, "{market:?} {told}: {said:?}");
        }
        let said = believed(&"g5.xlarge".into(), Market::OnDemand, rate(9_000_000), Some(&listed)).unwrap_err();
        assert_eq!(said, "g5.xlarge at $9.00/h: more than 5 times the table's $1.00/h");
    }
}
