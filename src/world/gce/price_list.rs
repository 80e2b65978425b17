//! Google's catalogue of prices, which has none of machines: a machine type costs what its vCPUs, its memory, its GPUs and
//! its local disks do. Prices are the public ones, the same for every account.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::model::extras::ExtraPrices;
use crate::model::ids::MachineType;
use crate::model::money::{Money, Rate};
use crate::model::settings::{DiskKind, Market};
use crate::world::cloud::{Answer, CloudError, Right};
use crate::world::gce::Site;
use crate::world::gce::error::unreadable;
use crate::world::gce::parts::{LOCAL_DISK, Parts};
use crate::world::gce::rest::{Service, switched_on_by};

const CALL: &str = "services.skus.list";

/// Tells prices, to anyone whose project has it switched on.
static BILLING: Service =
    Service { name: "cloudbilling.googleapis.com", variable: "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDBILLING" };

/// Compute Engine's part of the catalogue.
const PATH: &str = "/v1/services/6F81-5844-456A/skus";

/// What is wanted of each line: a third of it.
const FIELDS: &str = "nextPageToken,skus(description,category/usageType,serviceRegions,pricingInfo/pricingExpression)";

/// Pages of 5,000 lines that are read at most; there are some 40,000 lines.
const PAGES: usize = 40;

/// As Google counts it: 365 days of 24 hours in twelve parts.
const HOURS_A_MONTH: u64 = 730;

const NANOS: u64 = 1_000_000_000;

#[derive(Debug, Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Page {
    skus: Vec<Value>,
    next_page_token: String,
}

/// A line of the catalogue.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sku {
    description: String,
    category: Category,
    service_regions: Vec<String>,
    pricing_info: Vec<PricingInfo>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Category {
    usage_type: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PricingInfo {
    pricing_expression: Expression,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Expression {
    usage_unit: String,
    tiered_rates: Vec<Tier>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tier {
    unit_price: Price,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Price {
    currency_code: String,
    /// Whole dollars, which are a text; absent: none.
    #[serde(default)]
    units: Option<String>,
    #[serde(default)]
    nanos: i64,
}

/// What is billed beside machines, as the catalogue calls it, and in which unit. One that is kept in two zones costs twice as
/// much and is called otherwise.
const DISKS: [(&str, DiskKind); 4] = [
    ("Storage PD Capacity", DiskKind::PdStandard),
    ("Balanced PD Capacity", DiskKind::PdBalanced),
    ("SSD backed PD Capacity", DiskKind::PdSsd),
    ("Hyperdisk Balanced Capacity", DiskKind::HyperdiskBalanced),
];

/// A public address in use. Of a spot machine it is half of that, which is left for the better.
const ADDRESS: &str = "External IP Charge on a Standard VM";

/// Where what costs the same in every region is listed.
const EVERYWHERE: &str = "global";

/// Parts of machines and what they cost in an hour, in a region and on a market, in billionths of a dollar.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct PriceList {
    parts: BTreeMap<(String, Market), BTreeMap<String, u64>>,
}

impl PriceList {
    /// Asks for the whole catalogue.
    pub(super) async fn ask(site: &Site) -> Result<Self, CloudError> {
        let rest = site.rest(&BILLING)?;
        let (mut list, mut token) = (Self::default(), String::new());
        for _ in 0..PAGES {
            let first = [("currencyCode", "USD"), ("fields", FIELDS), ("pageSize", "5000")];
            let next = [("pageToken", token.as_str())].into_iter().filter(|(_, token)| !token.is_empty());
            let query: Vec<(&str, &str)> = first.into_iter().chain(next).collect();
            let text = rest.get(CALL, PATH, &query).await.map_err(|error| {
                let hint = switched_on_by(&BILLING, &error, &site.project);
                CloudError { message: format!("{}{hint}", error.message), ..error }
            })?;
            token = list.read(&text).map_err(|error| unreadable(CALL, &error))?;
            if token.is_empty() {
                return Ok(list);
            }
        }
        Err(unreadable(CALL, "it has no end"))
    }

    /// What disks and addresses cost there, as far as they are listed.
    pub(super) fn extras(&self, region: &str) -> ExtraPrices {
        let price = |region: &str, part: &str| {
            let nanos = *self.parts.get(&(region.to_owned(), Market::OnDemand))?.get(part)?;
            i64::try_from((nanos + 500) / 1_000).ok().filter(|micros| *micros > 0)
        };
        let disk = |(part, kind): (&str, DiskKind)| Some((kind, Money::from_micros(price(region, part)?)));
        let address = price(region, ADDRESS).or_else(|| price(EVERYWHERE, ADDRESS));
        ExtraPrices {
            disks: DISKS.into_iter().filter_map(disk).collect(),
            address: address.map(Rate::from_micros_per_hour),
            source: String::new(),
        }
    }

    /// Takes a page in; the token of the next one, empty at the end. A line that is not one of a machine's part is passed
    /// over.
    fn read(&mut self, text: &str) -> Result<String, String> {
        let no = |error: &dyn std::fmt::Display| format!("it is no page of a price list: {error}");
        if !text.trim_start().starts_with('{') {
            return Err(no(&"it is no JSON object"));
        }
        let page: Page = serde_json::from_str(text).map_err(|error| no(&error))?;
        for sku in page.skus {
            if let Ok(sku) = serde_json::from_value::<Sku>(sku)
                && let Some((part, market, nanos)) = sku.part()
            {
                for region in sku.service_regions {
                    let known = self.parts.entry((region, market)).or_default().entry(part.clone()).or_default();
                    // Of two prices nobody knows which one is billed.
                    *known = nanos.max(*known);
                }
            }
        }
        Ok(page.next_page_token)
    }

    /// What machines of these types, or GPUs that are attached to some, cost in an hour; those of which a part's price is
    /// not known are left out.
    pub(super) fn prices(&self, region: &str, types: &[MachineType], market: Market) -> BTreeMap<MachineType, Rate> {
        let Some(parts) = self.parts.get(&(region.to_owned(), market)) else { return BTreeMap::new() };
        let price = |machine_type: &MachineType| Some((machine_type.clone(), sum(machine_type, parts)?));
        types.iter().filter_map(price).collect()
    }
}

/// All parts of a type together, to the nearest micro-dollar.
fn sum(machine_type: &MachineType, prices: &BTreeMap<String, u64>) -> Option<Rate> {
    let parts = Parts::of(machine_type.as_str())?;
    let mut nanos: u64 = 0;
    let (core, ram) = (format!("{} Core", parts.family), format!("{} Ram", parts.family));
    let (gpu, gpus) = parts.gpus.unwrap_or_default();
    for (part, count, of) in [
        (core.as_str(), parts.vcpu, 100),
        (ram.as_str(), parts.memory, 10 * 1_024),
        (gpu, gpus, 1),
        (LOCAL_DISK, parts.local_disk, HOURS_A_MONTH),
    ] {
        if count > 0 {
            let each = prices.get(part).filter(|each| **each > 0)?;
            nanos = nanos.checked_add(each.checked_mul(u64::from(count))? / of)?;
        }
    }
    i64::try_from((nanos + 500) / 1_000).ok().map(Rate::from_micros_per_hour)
}

impl Sku {
    /// The part of a machine that it is the price of, on which market, and for how many billionths of a dollar.
    fn part(&self) -> Option<(String, Market, u64)> {
        // `N1 Predefined Instance Core running in Americas`, `SSD backed Local Storage in Virginia`.
        let name = self.description.split(" running").next()?.split(" in ").next()?;
        let spot = name.strip_prefix("Spot Preemptible ").or_else(|| name.strip_prefix("Preemptible "));
        let spot = spot.or_else(|| name.split_once(" attached to ").map(|(name, _)| name));
        let (part, market) = match (self.category.usage_type.as_str(), spot) {
            ("OnDemand", None) => (name, Market::OnDemand),
            ("Preemptible", Some(part)) => (part, Market::Spot),
            _ => return None,
        };
        let unit = match part {
            LOCAL_DISK => "GiBy.mo",
            ADDRESS => "h",
            _ if DISKS.iter().any(|(disk, _)| *disk == part) => "GiBy.mo",
            _ if part.ends_with(" Ram") => "GiBy.h",
            _ if part.ends_with(" Core") || part.ends_with(" GPU") => "h",
            _ => return None,
        };
        let expression = &self.pricing_info.last()?.pricing_expression;
        if expression.usage_unit != unit {
            return None;
        }
        let nanos = expression.tiered_rates.iter().map(|tier| tier.unit_price.nanos());
        // What is free of something at first is not free after it.
        Some((part.to_owned(), market, nanos.collect::<Option<Vec<u64>>>()?.into_iter().max()?))
    }
}

impl Price {
    fn nanos(&self) -> Option<u64> {
        let units: u64 = self.units.as_deref().map_or(Some(0), |units| units.parse().ok())?;
        let nanos = u64::try_from(self.nanos).ok()?;
        units.checked_mul(NANOS)?.checked_add(nanos).filter(|_| self.currency_code == "USD")
    }
}

/// Whether the catalogue may be asked. Nothing depends on it: without it the table's prices hold.
pub(super) async fn see(site: &Site) -> Right {
    let asked = match site.rest(&BILLING) {
        Ok(rest) => rest.get(CALL, PATH, &[("pageSize", "1"), ("fields", "nextPageToken")]).await,
        Err(error) => Err(error),
    };
    let answer = match asked {
        Ok(_) => Answer::Granted,
        Err(error) => {
            let hint = switched_on_by(&BILLING, &error, &site.project);
            Answer::Unclear(format!("the prices that ship with the program are used: {error}{hint}"))
        }
    };
    Right { action: "cloudbilling.services.skus.list", of: String::new(), answer }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn sku(description: &str, usage: &str, unit: &str, nanos: i64) -> Value {
        json!({"name": "services/6F81-5844-456A/skus/1", "skuId": "1", "description": description,
            "category": {"serviceDisplayName": "Compute Engine", "resourceFamily": "Compute", "usageType": usage},
            "serviceRegions": ["us-central1", "us-west1"], "pricingInfo": [{"summary": "", "pricingExpression": {
                "usageUnit": unit, "displayQuantity": 1, "tieredRates": [{"startUsageAmount": 0,
                    "unitPrice": {"currencyCode": "USD", "units": "0", "nanos": nanos}}]}}]})
    }

    fn list(skus: &[Value]) -> PriceList {
        let mut list = PriceList::default();
        assert_eq!(list.read(&json!({"skus": skus}).to_string()).unwrap(), "");
        list
    }

    fn price(list: &PriceList, machine_type: &str, market: Market) -> Option<i64> {
        list.prices("us-central1", &[machine_type.into()], market).values().next().map(|rate| rate.micros_per_hour())
    }

    #[test]
    fn a_machine_costs_what_its_parts_do() {
        let (demand, spot) = ("OnDemand", "Preemptible");
        let skus = [
            sku("G2 Instance Core running in Americas", demand, "h", 24_988_450),
            sku("G2 Instance Ram running in Americas", demand, "GiBy.h", 2_927_410),
            sku("Nvidia L4 GPU running in Americas", demand, "h", 560_040_000),
            sku("Spot Preemptible G2 Instance Core running in Americas", spot, "h", 9_995_000),
            sku("Spot Preemptible G2 Instance Ram running in Americas", spot, "GiBy.h", 1_171_000),
            sku("Nvidia L4 GPU attached to Spot Preemptible VMs running in Americas", spot, "h", 223_100_000),
            sku("N1 Predefined Instance Core running in Americas", demand, "h", 31_611_000),
            sku("N1 Predefined Instance Ram running in Americas", demand, "GiBy.h", 4_237_000),
            sku("A2 Instance Core running in Americas", demand, "h", 31_611_000),
            sku("A2 Instance Ram running in Americas", demand, "GiBy.h", 4_237_000),
            sku("Nvidia Tesla A100 80GB GPU running in Americas", demand, "h", 3_928_000_000),
            sku("SSD backed Local Storage", demand, "GiBy.mo", 80_000_000),
            // What is no price of a part.
            sku("Commitment v1: G2 Cpu in Americas for 1 Year", "Commit1Yr", "h", 1),
            sku("Reserved G2 Instance Core in Americas", demand, "h", 999_000_000),
            sku("G2 Instance Core running in Americas", spot, "h", 999_000_000),
            sku("Network Vpn Internet Egress from Americas to Africa", demand, "GiBy", 1),
            sku("N2 Instance Core running in Americas", demand, "GiBy.mo", 1),
            json!({"description": 7}),
        ];
        let list = list(&skus);
        for (machine_type, market, micros) in [
            ("g2-standard-4", Market::OnDemand, Some(706_832)),
            ("g2-standard-4", Market::Spot, Some(281_816)),
            ("n1-standard-4", Market::OnDemand, Some(189_999)),
            ("nvidia-l4", Market::OnDemand, Some(560_040)),
            ("a2-ultragpu-1g", Market::OnDemand, Some(5_068_718)),
            ("n1-standard-4", Market::Spot, None),
            ("n2-standard-4", Market::OnDemand, None),
            ("made-up-4", Market::OnDemand, None),
        ] {
            assert_eq!(price(&list, machine_type, market), micros, "{machine_type} {market:?}");
        }
        assert!(list.prices("europe-west4", &["n1-standard-4".into()], Market::OnDemand).is_empty());
    }

    #[test]
    fn disks_and_addresses_are_priced_by_region_and_after_what_is_free() {
        let (demand, month) = ("OnDemand", "GiBy.mo");
        let of = |region: &str, mut sku: Value| {
            sku["serviceRegions"] = json!([region]);
            sku
        };
        let mut address = of("global", sku(ADDRESS, demand, "h", 0));
        let tier = json!({"startUsageAmount": 744, "unitPrice": {"currencyCode": "USD", "nanos": 5_000_000}});
        address["pricingInfo"][0]["pricingExpression"]["tieredRates"].as_array_mut().unwrap().push(tier);
        let list = list(&[
            sku("Storage PD Capacity", demand, month, 40_000_000),
            sku("Regional Storage PD Capacity", demand, month, 80_000_000),
            sku("Hyperdisk Balanced Capacity in Iowa", demand, month, 80_000_000),
            of("europe-west4", sku("SSD backed PD Capacity in Netherlands", demand, month, 187_000_000)),
            of("europe-west4", sku("Balanced PD Capacity in Netherlands", demand, "GiBy", 1)),
            of("europe-west4", sku("Extreme PD Capacity in Netherlands", demand, month, 1)),
            address,
            of("global", sku("External IP Charge on a Spot Preemptible VM", demand, "h", 2_500_000)),
        ]);
        let told = |region: &str| {
            let told = list.extras(region);
            let disks: Vec<_> = told.disks.iter().map(|(kind, price)| (*kind, price.micros())).collect();
            (disks, told.address.map(Rate::micros_per_hour))
        };
        let iowa = vec![(DiskKind::PdStandard, 40_000), (DiskKind::HyperdiskBalanced, 80_000)];
        assert_eq!(told("us-central1"), (iowa, Some(5_000)));
        assert_eq!(told("europe-west4"), (vec![(DiskKind::PdSsd, 187_000)], Some(5_000)));
        assert_eq!(told("asia-east1"), (vec![], Some(5_000)));
        assert_eq!(PriceList::default().extras("us-central1"), ExtraPrices::default());
    }

    #[test]
    fn what_cannot_be_a_price_is_none() {
        let core = "E2 Instance Core running in Americas";
        let ram = sku("E2 Instance Ram running in Americas", "OnDemand", "GiBy.h", 1_000_000);
        let mut foreign = sku(core, "OnDemand", "h", 1_000_000);
        foreign["pricingInfo"][0]["pricingExpression"]["tieredRates"][0]["unitPrice"]["currencyCode"] = json!("EUR");
        let mut endless = sku(core, "OnDemand", "h", 1_000_000);
        endless["pricingInfo"][0]["pricingExpression"]["tieredRates"][0]["unitPrice"]["units"] =
            json!("18446744073709551615");
        let mut bare = sku(core, "OnDemand", "h", 1_000_000);
        bare["pricingInfo"] = json!([]);
        for wrong in [sku(core, "OnDemand", "h", 0), sku(core, "OnDemand", "h", -1), foreign, endless, bare] {
            assert_eq!(price(&list(&[wrong.clone(), ram.clone()]), "e2-standard-2", Market::OnDemand), None, "{wrong}");
        }
        // Free at first, and the dearer one of two.
        let mut tiers = sku(core, "OnDemand", "h", 0);
        let tier = json!({"startUsageAmount": 30, "unitPrice": {"currencyCode": "USD", "nanos": 20_000_000}});
        tiers["pricingInfo"][0]["pricingExpression"]["tieredRates"].as_array_mut().unwrap().push(tier);
        let list = list(&[tiers, sku(core, "OnDemand", "h", 10_000_000), ram]);
        assert_eq!(price(&list, "e2-standard-2", Market::OnDemand), Some(48_000));
        for text in ["", "[]", "<html>", "{\"skus\": 3}"] {
            assert!(PriceList::default().read(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text: String, description: String, unit: String, nanos: i64, units: String) {
            let _ = PriceList::default().read(&text);
            let mut odd = sku(&description, "OnDemand", &unit, nanos);
            odd["pricingInfo"][0]["pricingExpression"]["tieredRates"][0]["unitPrice"]["units"] = json!(units);
            let mut list = PriceList::default();
            let _ = list.read(&json!({"skus": [odd, text]}).to_string());
            let _ = list.prices("us-central1", &["n1-standard-4".into(), text.as_str().into()], Market::OnDemand);
        }
    }
}
