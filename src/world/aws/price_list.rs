//! What AWS says that machines cost: its price list on demand, and the present spot prices. A line of the price list is
//! a JSON text of its own, the same in the API's answers and in the public offer files.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::InstanceType;
use aws_sdk_pricing::error::DisplayErrorContext;
use aws_sdk_pricing::types::{Filter, FilterType};
use jiff::Timestamp;
use serde::Deserialize;

use crate::model::ids::MachineType;
use crate::model::money::Rate;
use crate::model::snapshot::ErrorClass;
use crate::world::aws::error::{cloud_error, refused, unreadable};
use crate::world::cloud::CloudError;

/// One of the few regions in which the price list itself is served.
pub(super) const SERVED_IN: &str = "us-east-1";

const SERVICE: &str = "AmazonEC2";
const CALL: &str = "GetProducts";

/// What spot prices are asked for.
const PRODUCT: &str = "Linux/UNIX";

/// Lines of a plain Linux machine, shared and without anybody's licence.
const PLAIN: [(&str, &str); 4] =
    [("operatingSystem", "Linux"), ("tenancy", "Shared"), ("preInstalledSw", "NA"), ("capacitystatus", "Used")];

/// A machine type of the price list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub machine_type: String,
    pub region: String,
    pub vcpu: u32,
    pub gpu: u32,
    pub rate: Rate,
}

#[derive(Deserialize)]
struct Line {
    product: Product,
    terms: Terms,
}

#[derive(Deserialize)]
struct Product {
    attributes: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Terms {
    #[serde(rename = "OnDemand", default)]
    on_demand: BTreeMap<String, Term>,
}

#[derive(Deserialize)]
struct Term {
    #[serde(rename = "priceDimensions")]
    dimensions: BTreeMap<String, Dimension>,
}

#[derive(Deserialize)]
struct Dimension {
    unit: String,
    #[serde(rename = "pricePerUnit")]
    per_unit: BTreeMap<String, String>,
}

/// Reads a line of the price list.
///
/// # Errors
/// It is no line of a machine type with a price for an hour in US dollars.
pub fn read(text: &str) -> Result<Listed, String> {
    let line: Line = serde_json::from_str(text).map_err(|error| format!("it is no line of a price list: {error}"))?;
    let attribute = |name: &str| line.product.attributes.get(name).map(String::as_str);
    let needed = |name: &str| attribute(name).ok_or_else(|| format!("it has no {name}"));
    let count = |name: &str, text: &str| text.parse().map_err(|_| format!("its {name} is `{text}`"));
    let dimensions = line.terms.on_demand.values().flat_map(|term| term.dimensions.values());
    let hourly = dimensions.filter(|dimension| dimension.unit == "Hrs");
    let mut prices: Vec<&str> =
        hourly.filter_map(|dimension| dimension.per_unit.get("USD")).map(String::as_str).collect();
    prices.sort_unstable();
    prices.dedup();
    let rate = match prices.as_slice() {
        [one] => rate(one).ok_or_else(|| format!("its price is `{one}`"))?,
        [] => return Err("it has no price for an hour in US dollars".to_owned()),
        several => return Err(format!("it has several prices: {}", several.join(", "))),
    };
    Ok(Listed {
        machine_type: needed("instanceType")?.to_owned(),
        region: needed("regionCode")?.to_owned(),
        vcpu: count("vcpu", needed("vcpu")?)?,
        gpu: attribute("gpu").map_or(Ok(0), |text| count("gpu", text))?,
        rate,
    })
}

/// Whether a product of an offer file is a plain machine, by its attributes.
#[must_use]
pub fn is_plain(attributes: &BTreeMap<String, String>) -> bool {
    PLAIN.iter().all(|(name, value)| attributes.get(*name).map(String::as_str) == Some(*value))
        && attributes.contains_key("instanceType")
}

/// Dollars with any number of places, to the nearest micro-dollar.
fn rate(text: &str) -> Option<Rate> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    let micros: i64 = format!("{:0<6}", fraction.get(..6).unwrap_or(fraction)).parse().ok()?;
    let up = fraction.as_bytes().get(6).is_some_and(|digit| *digit >= b'5');
    let whole: i64 = whole.parse().ok()?;
    whole.checked_mul(1_000_000)?.checked_add(micros + i64::from(up)).map(Rate::from_micros_per_hour)
}

/// Asks for the lines of a machine type in a region.
pub async fn lines(
    client: &aws_sdk_pricing::Client,
    region: &str,
    machine_type: &str,
) -> Result<Vec<String>, CloudError> {
    let wanted = [("instanceType", machine_type), ("regionCode", region)];
    let mut call = client.get_products().service_code(SERVICE).max_results(100);
    for (field, value) in wanted.into_iter().chain(PLAIN) {
        let filter = Filter::builder().r#type(FilterType::TermMatch).field(field).value(value).build();
        call = call.filters(filter.map_err(|error| refused(error.to_string()))?);
    }
    let answer = call.send().await.map_err(|error| no_answer(&error))?;
    Ok(answer.price_list().to_vec())
}

fn no_answer<E>(error: &E) -> CloudError
where
    E: std::error::Error + aws_sdk_pricing::error::ProvideErrorMetadata,
{
    let code = error.code().map(str::to_owned);
    let denied = code.as_deref().is_some_and(|code| code.contains("AccessDenied") || code.contains("Token"));
    CloudError {
        class: if denied { ErrorClass::Credentials } else { ErrorClass::Unknown },
        message: format!("{CALL}: {}", DisplayErrorContext(error)),
        code,
        ..refused(String::new())
    }
}

/// What machines of these types cost on demand.
pub(super) async fn on_demand(
    client: &aws_sdk_pricing::Client,
    region: &str,
    types: &[MachineType],
) -> Result<BTreeMap<MachineType, Rate>, CloudError> {
    let mut prices = BTreeMap::new();
    for machine_type in types {
        for line in lines(client, region, machine_type.as_str()).await? {
            let listed = read(&line).map_err(|error| unreadable(CALL, &format!("{machine_type}: {error}")))?;
            if listed.machine_type == machine_type.as_str() && listed.region == region {
                prices.insert(machine_type.clone(), listed.rate);
            }
        }
    }
    Ok(prices)
}

/// What spot machines of these types cost at `now`: of a region's zones the dearest, for nobody knows which one gives.
pub(super) async fn spot(
    client: &aws_sdk_ec2::Client,
    types: &[MachineType],
    now: Timestamp,
) -> Result<BTreeMap<MachineType, Rate>, CloudError> {
    const CALL: &str = "DescribeSpotPriceHistory";
    let kinds = types.iter().map(|kind| InstanceType::from(kind.as_str())).collect();
    let call = client
        .describe_spot_price_history()
        .set_instance_types(Some(kinds))
        .product_descriptions(PRODUCT)
        .start_time(aws_smithy_types::DateTime::from_secs(now.as_second()));
    let mut pages = call.into_paginator().send();
    let mut prices: BTreeMap<MachineType, Rate> = BTreeMap::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| cloud_error(CALL, &error))?;
        for row in page.spot_price_history() {
            let Some((kind, text)) = row.instance_type().zip(row.spot_price()) else { continue };
            let told = rate(text).ok_or_else(|| unreadable(CALL, &format!("the price of {kind} is `{text}`")))?;
            let price = prices.entry(MachineType::from(kind.as_str())).or_default();
            *price = told.max(*price);
        }
    }
    Ok(prices)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As AWS's own documentation has it, shortened.
    const LINE: &str = r#"{"product":{"productFamily":"Compute Instance","attributes":{"instanceType":"g5.xlarge",
        "regionCode":"us-east-1","vcpu":"4","gpu":"1","memory":"16 GiB","operatingSystem":"Linux","tenancy":"Shared",
        "preInstalledSw":"NA","capacitystatus":"Used"},"sku":"X"},"serviceCode":"AmazonEC2","terms":{"OnDemand":{"X.JRTCKXETXF":
        {"priceDimensions":{"X.JRTCKXETXF.6YS6EN2CT7":{"unit":"Hrs","endRange":"Inf","description":"$1.006 per On Demand",
        "appliesTo":[],"rateCode":"X","beginRange":"0","pricePerUnit":{"USD":"1.0060000000"}}},"sku":"X",
        "effectiveDate":"2026-11-01T00:00:00Z","offerTermCode":"JRTCKXETXF","termAttributes":{}}},"Reserved":{}},
        "version":"20261101000000","publicationDate":"2026-11-01T00:00:00Z"}"#;

    #[test]
    fn a_line_says_what_a_machine_has_and_costs() {
        let listed = read(LINE).unwrap();
        assert_eq!((listed.machine_type.as_str(), listed.region.as_str()), ("g5.xlarge", "us-east-1"));
        assert_eq!((listed.vcpu, listed.gpu, listed.rate.micros_per_hour()), (4, 1, 1_006_000));
        for (from, to, told) in [
            ("\"Hrs\"", "\"Quantity\"", "it has no price for an hour"),
            ("USD", "CNY", "it has no price for an hour"),
            ("1.0060000000", "one", "its price is `one`"),
            ("1.0060000000", "-1.0", "its price is `-1.0`"),
            ("\"vcpu\":\"4\"", "\"vcpu\":\"four\"", "its vcpu is `four`"),
            ("instanceType", "kind", "it has no instanceType"),
        ] {
            let said = read(&LINE.replacen(from, to, 1)).unwrap_err();
            assert!(said.starts_with(told), "{said}");
        }
        assert!(read("{}").is_err() && read("").is_err());
    }

    #[test]
    fn places_beyond_a_micro_dollar_are_rounded() {
        for (text, micros) in [
            ("1.0060000000", 1_006_000),
            ("0.0000005", 1),
            ("0.0000004", 0),
            ("21.9576420000", 21_957_642),
            ("3", 3_000_000),
        ] {
            assert_eq!(rate(text).map(Rate::micros_per_hour), Some(micros), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text: String) {
            let _ = (read(&text), rate(&text));
        }
    }
}
