//! The price table that ships with the program: `assets/prices.csv`, which `examples/prices.rs` makes from AWS's own list.

use csv::{ReaderBuilder, StringRecord};

use crate::model::catalogue::{Catalogue, TypeSpec};
use crate::model::ids::MachineType;
use crate::model::money::Rate;
use crate::model::settings::Provider;

const TABLE: &str = include_str!("../../assets/prices.csv");

const COLUMNS: [&str; 9] =
    ["provider", "region", "type", "vcpu", "gpu", "on_demand_usd_per_hour", "spot_usd_per_hour", "source", "date"];

/// Why a price table cannot be used. Lines are counted from 1, the header's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PricesError {
    #[error("the price table is not readable CSV: {0}")]
    Csv(String),
    #[error("the price table's columns are `{found}`; they must be `{}`", COLUMNS.join(","))]
    Columns { found: String },
    #[error("price table, line {line}: `{value}` is not a {column}: {wanted}")]
    Value { line: u64, column: &'static str, value: String, wanted: &'static str },
    #[error("price table, line {line}: {provider} {region} {machine_type} is there already")]
    Duplicate { line: u64, provider: String, region: String, machine_type: String },
}

/// The machine types and list prices that ship with the program.
pub fn catalogue() -> Result<Catalogue, PricesError> {
    read(TABLE.as_bytes())
}

/// Reads a price table. Prices are US dollars for an hour in decimal, at most six places, so that a
/// price is exact in micro-dollars; an empty price is an unknown one.
pub fn read(table: &[u8]) -> Result<Catalogue, PricesError> {
    let mut reader = ReaderBuilder::new().from_reader(table);
    let header = reader.headers().map_err(|error| PricesError::Csv(error.to_string()))?;
    if !header.iter().eq(COLUMNS) {
        return Err(PricesError::Columns { found: header.iter().collect::<Vec<_>>().join(",") });
    }
    let mut catalogue = Catalogue::default();
    for record in reader.records() {
        let record = record.map_err(|error| PricesError::Csv(error.to_string()))?;
        add(&mut catalogue, &Row { line: record.position().map_or(0, csv::Position::line), record })?;
    }
    Ok(catalogue)
}

fn add(catalogue: &mut Catalogue, row: &Row) -> Result<(), PricesError> {
    let provider = match row.text(0) {
        "aws" => Provider::Aws,
        "gce" => Provider::Gce,
        _ => return Err(row.wrong(0, "known are: aws, gce")),
    };
    let region = row.name(1)?;
    let machine_type = MachineType::from(row.name(2)?);
    let spec = TypeSpec {
        vcpu: row.count(3)?,
        gpu: row.count(4)?,
        on_demand: row.price(5)?,
        spot: row.price(6)?,
        source: format!("{}, {}", row.name(7)?, row.date(8)?),
        spot_source: None,
    };
    if catalogue.spec(provider, region, &machine_type).is_some() {
        return Err(PricesError::Duplicate {
            line: row.line,
            provider: row.text(0).to_owned(),
            region: region.to_owned(),
            machine_type: machine_type.to_string(),
        });
    }
    catalogue.insert(provider, region, machine_type, spec);
    Ok(())
}

struct Row {
    line: u64,
    record: StringRecord,
}

impl Row {
    fn text(&self, column: usize) -> &str {
        self.record.get(column).unwrap_or_default()
    }

    fn name(&self, column: usize) -> Result<&str, PricesError> {
        let text = self.text(column);
        if text.is_empty() { Err(self.wrong(column, "it must not be empty")) } else { Ok(text) }
    }

    fn count(&self, column: usize) -> Result<u32, PricesError> {
        self.text(column).parse().map_err(|_| self.wrong(column, "write a whole number"))
    }

    fn date(&self, column: usize) -> Result<jiff::civil::Date, PricesError> {
        self.text(column).parse().map_err(|_| self.wrong(column, "write it as 2026-07-20"))
    }

    fn price(&self, column: usize) -> Result<Option<Rate>, PricesError> {
        let text = self.text(column);
        if text.is_empty() {
            return Ok(None);
        }
        let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let rate = format!("{text}/h").parse::<Rate>().ok().filter(|rate| plain && *rate > Rate::ZERO);
        rate.map(Some).ok_or_else(|| self.wrong(column, "write dollars for an hour above zero, as 0.526000"))
    }

    fn wrong(&self, column: usize, wanted: &'static str) -> PricesError {
        PricesError::Value {
            line: self.line,
            column: COLUMNS.get(column).copied().unwrap_or_default(),
            value: self.text(column).to_owned(),
            wanted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::settings::size_of;
    use proptest::prelude::*;

    const GOOD: &str = "aws,us-east-1,g5.xlarge,4,1,1.006000,0.4,AWS price list,2026-07-20\n";

    fn table(rows: &str) -> String {
        format!("{}\n{rows}", COLUMNS.join(","))
    }

    #[test]
    fn every_row_that_ships_is_a_priced_machine_type() {
        let catalogue = catalogue().unwrap();
        for line in TABLE.lines().skip(1) {
            let [provider, region, machine_type] = [0, 1, 2].map(|place| line.split(',').nth(place).unwrap());
            let provider = if provider == "aws" { Provider::Aws } else { Provider::Gce };
            let spec = catalogue.spec(provider, region, &machine_type.into()).unwrap();
            assert!(spec.vcpu > 0 && spec.on_demand.is_some(), "{line}");
            let told = size_of(machine_type).filter(|_| provider == Provider::Gce);
            assert!(told.is_none_or(|told| told == (spec.vcpu, spec.gpu)), "{line}");
        }
    }

    #[test]
    fn known_prices_are_exact() {
        let catalogue = catalogue().unwrap();
        for (machine_type, vcpu, gpu, micros) in [
            ("t3.medium", 2, 0, 41_600),
            ("g4dn.xlarge", 4, 1, 526_000),
            ("g5.xlarge", 4, 1, 1_006_000),
            ("g6.xlarge", 4, 1, 804_800),
            ("p4d.24xlarge", 96, 8, 21_957_642),
            ("p5.48xlarge", 192, 8, 55_040_000),
        ] {
            let spec = catalogue.spec(Provider::Aws, "us-east-1", &machine_type.into()).unwrap();
            assert_eq!((spec.vcpu, spec.gpu), (vcpu, gpu), "{machine_type}");
            assert_eq!(spec.on_demand, Some(Rate::from_micros_per_hour(micros)), "{machine_type}");
        }
    }

    #[test]
    fn an_empty_price_is_unknown_and_the_source_is_kept_with_its_date() {
        let catalogue = read(table("aws,us-east-1,g5.xlarge,4,1,,0.4,AWS price list,2026-07-20\n").as_bytes()).unwrap();
        let spec = catalogue.spec(Provider::Aws, "us-east-1", &"g5.xlarge".into()).unwrap();
        assert_eq!(spec.on_demand, None);
        assert_eq!(spec.spot, Some(Rate::from_micros_per_hour(400_000)));
        assert_eq!(spec.source, "AWS price list, 2026-07-20");
    }

    #[test]
    fn a_wrong_value_is_named_with_its_line() {
        for (from, to, column) in [
            ("aws", "azure", "provider"),
            ("us-east-1", "", "region"),
            (",4,", ",-4,", "vcpu"),
            (",1,", ",one,", "gpu"),
            ("1.006000", "1.0060001", "on_demand_usd_per_hour"),
            ("1.006000", "-1", "on_demand_usd_per_hour"),
            ("1.006000", "0", "on_demand_usd_per_hour"),
            ("1.006000", "1e3", "on_demand_usd_per_hour"),
            (",0.4,", ",$0.4,", "spot_usd_per_hour"),
            ("AWS price list", "", "source"),
            ("2026-07-20", "20.7.2026", "date"),
        ] {
            let wrong = GOOD.replacen("g5.xlarge", "g6.xlarge", 1).replacen(from, to, 1);
            let error = read(table(&format!("{GOOD}{wrong}")).as_bytes()).unwrap_err();
            assert!(
                matches!(&error, PricesError::Value { line: 3, column: named, .. } if *named == column),
                "{from} -> {to}: {error}"
            );
        }
    }

    #[test]
    fn a_second_row_for_a_type_is_refused_with_its_line() {
        let error = read(table(&format!("{GOOD}{GOOD}")).as_bytes()).unwrap_err();
        assert!(matches!(&error, PricesError::Duplicate { line: 3, .. }), "{error}");
    }

    #[test]
    fn other_columns_and_short_rows_are_refused() {
        assert!(matches!(read(b"a,b\n1,2\n"), Err(PricesError::Columns { .. })));
        assert!(matches!(read(b""), Err(PricesError::Columns { .. })));
        assert!(
            matches!(read(table("aws,us-east-1\n").as_bytes()), Err(PricesError::Csv(message)) if message.contains("line: 2"))
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>, tail: Vec<u8>) {
            let _ = read(&bytes);
            let mut with_header = table(GOOD).into_bytes();
            with_header.extend(tail);
            let _ = read(&with_header);
        }

        #[test]
        fn a_price_of_six_places_is_exact(micros in 1_i64..1_000_000_000_000) {
            let price = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
            let catalogue = read(table(&GOOD.replace("1.006000", &price)).as_bytes()).unwrap();
            let spec = catalogue.spec(Provider::Aws, "us-east-1", &"g5.xlarge".into()).unwrap();
            prop_assert_eq!(spec.on_demand, Some(Rate::from_micros_per_hour(micros)));
        }
    }
}
