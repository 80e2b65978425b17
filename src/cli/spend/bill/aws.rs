//! A line of AWS's cost-and-usage export.

use super::{Line, Picos, Row, TAG, is_ec2};

pub(super) const RESOURCE: &str = "line_item_resource_id";
const START: &str = "line_item_usage_start_date";
const END: &str = "line_item_usage_end_date";
const COST: &str = "line_item_unblended_cost";
const AMOUNT: &str = "line_item_usage_amount";
const KIND: &str = "line_item_line_item_type";
const USAGE: &str = "line_item_usage_type";
const CURRENCY: &str = "line_item_currency_code";

/// Where the newer export has all tags, as JSON.
pub(super) const TAGS: &str = "resource_tags";
/// Where the older one has our tag.
pub(super) const TAG_COLUMN: &str = "resource_tags_user_tidegate_fleet";

pub(super) const NEEDED: &[&str] = &[RESOURCE, START, END, COST];

/// Lines of these types are money that was used; the others (negations, discounts) may take some of it back.
const USED: [&str; 3] = ["Usage", "DiscountedUsage", "SavingsPlanCoveredUsage"];

/// Lines of these types say nothing of what a machine costs.
const ASIDE: [&str; 4] = ["Credit", "Refund", "Tax", "Fee"];

/// Parts of the usage types of machine time: on demand, spot, on a dedicated host.
const MACHINE_TIME: [&str; 4] = ["BoxUsage", "SpotUsage", "HostBoxUsage", "DedicatedUsage"];

pub(super) fn row(line: &Line<'_>) -> Result<Row, String> {
    let (from, to) = line.span(START, END)?;
    let (cost, amount) = (line.amount(COST)?, line.amount(AMOUNT)?);
    let kind = line.text(KIND);
    let used = kind.is_empty() || USED.contains(&kind);
    for (column, value) in [(COST, cost), (AMOUNT, amount)] {
        if used && value.is_negative() {
            let (value, kind) = (line.text(column), if kind.is_empty() { "Usage" } else { kind });
            return Err(format!("{column} is {value} on a line of type {kind}: it cannot be negative"));
        }
    }
    let currency = line.text(CURRENCY);
    if !currency.is_empty() && currency != "USD" {
        return Err(format!("it is in {currency}, the ledger in US dollars: export it in US dollars"));
    }
    let aside = ASIDE.contains(&kind);
    // The id alone, or the end of an ARN.
    let resource = line.text(RESOURCE);
    let id = resource.rsplit('/').next().unwrap_or(resource);
    let usage = line.text(USAGE);
    Ok(Row {
        from,
        to,
        instance: is_ec2(id).then(|| id.into()),
        ours: ours(line)?,
        cost: if aside { Picos::default() } else { cost },
        credit: if aside { cost } else { Picos::default() },
        is_machine_time: usage.is_empty() || MACHINE_TIME.iter().any(|part| usage.contains(part)),
    })
}

fn ours(line: &Line<'_>) -> Result<Option<bool>, String> {
    if line.columns.has(TAG_COLUMN) {
        return Ok(Some(line.is_ours(Some(line.text(TAG_COLUMN)))));
    }
    if !line.columns.has(TAGS) {
        return Ok(None);
    }
    let text = line.text(TAGS);
    let tags: serde_json::Map<String, serde_json::Value> = if text.is_empty() {
        serde_json::Map::new()
    } else {
        serde_json::from_str(text).map_err(|error| format!("{TAGS} is not a JSON object: {error}"))?
    };
    let wanted = TAG.replace('-', "_");
    let fleet = tags.iter().find(|(key, _)| {
        let key = key.replace([':', '-'], "_");
        key.strip_prefix("user_").unwrap_or(&key) == wanted
    });
    Ok(Some(line.is_ours(fleet.and_then(|(_, value)| value.as_str()))))
}
