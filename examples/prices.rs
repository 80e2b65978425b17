//! Makes `assets/prices.csv` anew, on standard output: what the machine types of the present table, and those that are
//! named, cost on demand in some regions. Prices are AWS's own, by either of its two doors:
//!
//! - its price list, with your credentials (`pricing:GetProducts`):
//!   `cargo run --example prices -- --region us-east-1 --region eu-west-1 > prices.csv`
//! - a public offer file, without any: fetch
//!   `https://pricing.us-east-1.amazonaws.com/offers/v1.0/aws/AmazonEC2/current/us-east-1/index.json` (some hundred
//!   megabytes, and ten times that in memory), then `cargo run --example prices -- --offers index.json > prices.csv`
//!
//! A spot price of the present table is kept, and so are the rows of other clouds. A type that has no price there is left out, and said on standard error.

#![allow(clippy::print_stderr, reason = "it speaks to whoever runs it")]

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use clap::Parser;
use serde_json::{Value, json};
use tidegate::model::money::Rate;
use tidegate::world::aws::price_list::{self, Listed};

const TABLE: &str = include_str!("../assets/prices.csv");

/// Make the price table anew
#[derive(Parser)]
struct Arguments {
    /// Ask AWS's price list for this region; many times
    #[arg(long = "region", required_unless_present = "offers")]
    regions: Vec<String>,
    /// Read AWS's public offer file of a region instead; many times
    #[arg(long, conflicts_with = "regions")]
    offers: Vec<PathBuf>,
    /// A machine type beside those of the present table; many times
    #[arg(long = "type")]
    types: Vec<String>,
    /// The day to write beside the prices
    #[arg(long)]
    date: jiff::civil::Date,
}

type Failure = Box<dyn Error>;

/// A row of the table, as it is written.
type Row = BTreeMap<String, String>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    let mut old = csv::Reader::from_reader(TABLE.as_bytes());
    let header = old.headers()?.clone();
    let old: Vec<Row> = old.deserialize().collect::<Result<_, _>>()?;
    let cell = |row: &Row, column: &str| row.get(column).cloned().unwrap_or_default();
    let (old, others): (Vec<Row>, Vec<Row>) = old.into_iter().partition(|row| cell(row, "provider") == "aws");
    let mut types: BTreeSet<String> = old.iter().map(|row| cell(row, "type")).collect();
    types.extend(arguments.types.iter().cloned());
    let mut found = Vec::new();
    for file in &arguments.offers {
        found.extend(offers(file, &types)?);
    }
    if !arguments.regions.is_empty() {
        let config = aws_config::from_env().region("us-east-1").load().await;
        let client = aws_sdk_pricing::Client::new(&config);
        for region in &arguments.regions {
            for machine_type in &types {
                let lines = price_list::lines(&client, region, machine_type).await?;
                found.extend(lines.iter().map(|line| price_list::read(line)).collect::<Result<Vec<_>, _>>()?);
            }
        }
    }
    let spot = |listed: &Listed| {
        let same = |row: &&Row| cell(row, "type") == listed.machine_type && cell(row, "region") == listed.region;
        old.iter().find(same).map(|row| cell(row, "spot_usd_per_hour")).unwrap_or_default()
    };
    let mut table = csv::Writer::from_writer(std::io::stdout().lock());
    table.write_record(&header)?;
    for listed in &found {
        table.write_record([
            "aws",
            &listed.region,
            &listed.machine_type,
            &listed.vcpu.to_string(),
            &listed.gpu.to_string(),
            &decimal(listed.rate),
            &spot(listed),
            "AWS price list",
            &arguments.date.to_string(),
        ])?;
    }
    for row in &others {
        table.write_record(header.iter().map(|column| cell(row, column)))?;
    }
    table.flush()?;
    let priced: BTreeSet<&String> = found.iter().map(|listed| &listed.machine_type).collect();
    for machine_type in types.iter().filter(|machine_type| !priced.contains(machine_type)) {
        eprintln!("no price: {machine_type}");
    }
    Ok(())
}

/// The plain machines of these types in an offer file, each made a line of the price list.
fn offers(file: &Path, types: &BTreeSet<String>) -> Result<Vec<Listed>, Failure> {
    let offers: Value = serde_json::from_reader(BufReader::new(File::open(file)?))?;
    let products = offers.get("products").and_then(Value::as_object).ok_or("this is no offer file: no products")?;
    let terms = offers.pointer("/terms/OnDemand").ok_or("this is no offer file: no terms on demand")?;
    let mut found = Vec::new();
    for (sku, product) in products {
        let attributes: BTreeMap<String, String> = product
            .get("attributes")
            .and_then(|attributes| serde_json::from_value(attributes.clone()).ok())
            .unwrap_or_default();
        let wanted = attributes.get("instanceType").is_some_and(|machine_type| types.contains(machine_type));
        if wanted && price_list::is_plain(&attributes) {
            let line = json!({ "product": product, "terms": { "OnDemand": terms.get(sku) } });
            found.push(price_list::read(&line.to_string()).map_err(|error| format!("{sku}: {error}"))?);
        }
    }
    found.sort_by(|one, other| one.machine_type.cmp(&other.machine_type));
    Ok(found)
}

/// Dollars for an hour, to the micro-dollar.
fn decimal(rate: Rate) -> String {
    format!("{}.{:06}", rate.micros_per_hour() / 1_000_000, rate.micros_per_hour() % 1_000_000)
}
