//! A line of Google's billing export, as `BigQuery` writes it to CSV: nested fields by name (`resource.name` or
//! `resource_name`), repeated ones as JSON.

use serde::Deserialize;

use crate::model::label;

use super::{Line, Picos, Row, TAG};

pub(super) const RESOURCE: &str = "resource_name";
const GLOBAL: &str = "resource_global_name";
pub(super) const COST: &str = "cost";
const START: &str = "usage_start_time";
const END: &str = "usage_end_time";
const KIND: &str = "cost_type";
const CREDITS: &str = "credits";
const CURRENCY: &str = "currency";
const PER_DOLLAR: &str = "currency_conversion_rate";
const SERVICE: &str = "service_description";
const SKU: &str = "sku_description";
pub(super) const LABELS: &str = "labels";

pub(super) const NEEDED: &[&str] = &[RESOURCE, COST, START, END];

const REGULAR: &str = "regular";

/// Gifts, which say nothing of what a machine costs; other credits are discounts on it.
const GIFTS: [&str; 2] = ["PROMOTION", "FREE_TIER"];

/// Parts of the descriptions of what is billed by a disk's name, which may be its machine's.
const OF_DISKS: [&str; 4] = ["PD Capacity", "Storage", "Hyperdisk", "Snapshot"];

#[derive(Deserialize)]
struct Credit {
    #[serde(default, rename = "type")]
    kind: String,
    amount: serde_json::Value,
}

#[derive(Deserialize)]
struct Label {
    key: String,
    #[serde(default)]
    value: String,
}

pub(super) fn row(line: &Line<'_>) -> Result<Row, String> {
    let (from, to) = line.span(START, END)?;
    let kind = line.text(KIND);
    let regular = kind.is_empty() || kind == REGULAR;
    let mut cost = line.amount(COST)?;
    if regular && cost.is_negative() {
        return Err(format!("{COST} is {} on a line of type {REGULAR}: it cannot be negative", line.text(COST)));
    }
    let mut gifts = Picos::default();
    for credit in list::<Credit>(line, CREDITS)? {
        let text = credit.amount.as_str().map_or_else(|| credit.amount.to_string(), str::to_owned);
        let amount = Picos::read(&text).ok_or_else(|| format!("{CREDITS} hold `{text}`: it must be an amount"))?;
        if amount.is_positive() {
            return Err(format!("{CREDITS} hold {text}: they cannot be above zero"));
        }
        if GIFTS.contains(&credit.kind.as_str()) {
            gifts += amount;
        } else {
            cost += amount;
        }
    }
    if !matches!(line.text(CURRENCY), "" | "USD") {
        let text = line.text(PER_DOLLAR);
        let rate = Picos::read(text).filter(|rate| rate.is_positive());
        let in_dollars = |amount: Picos| {
            let wrong = || format!("{PER_DOLLAR} is `{text}`: of another currency it must say how much a dollar is");
            amount.in_dollars(rate.ok_or_else(wrong)?).ok_or_else(wrong)
        };
        (cost, gifts) = (in_dollars(cost)?, in_dollars(gifts)?);
    }
    let name = line.text(RESOURCE);
    let name = name.rsplit('/').next().unwrap_or(name);
    let fleet = list::<Label>(line, LABELS)?.into_iter().find(|label| label.key == TAG).map(|label| label.value);
    let fleet = fleet.map(|label| label::read(&label).unwrap_or(label));
    let credit = if regular { gifts } else { cost };
    Ok(Row {
        from,
        to,
        instance: (is_machine(line) && !name.is_empty()).then(|| name.into()),
        ours: line.columns.has(LABELS).then(|| line.is_ours(fleet.as_deref())),
        cost: if regular { cost } else { Picos::default() },
        credit,
        is_machine_time: true,
    })
}

/// Whether the line's resource is a machine, as far as it says.
fn is_machine(line: &Line<'_>) -> bool {
    let global = line.text(GLOBAL);
    if !global.is_empty() {
        return global.contains("/instances/") || global.contains("/instance/");
    }
    let (service, sku) = (line.text(SERVICE), line.text(SKU));
    (service.is_empty() || service == "Compute Engine") && !OF_DISKS.iter().any(|part| sku.contains(part))
}

fn list<T: for<'a> Deserialize<'a>>(line: &Line<'_>, column: &str) -> Result<Vec<T>, String> {
    let text = line.text(column);
    if text.is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_str(text).map_err(|error| format!("{column} is not the JSON of a list: {error}"))
}
