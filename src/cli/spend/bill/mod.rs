//! A cloud's own bill: a cost-and-usage export of AWS (the older one with `lineItem/...` columns, or CUR 2.0 of Data
//! Exports) or a billing export of Google, as CSV, also compressed by gzip. Which it is, is seen by its columns.

mod amount;
mod aws;
mod gcp;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use csv::StringRecord;
use flate2::bufread::MultiGzDecoder;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::model::ids::{FleetId, InstanceId};
use crate::model::money::Money;
use crate::model::reconcile::Billed;

use amount::Picos;

/// The tag, or label, by which a fleet's machines are known.
const TAG: &str = "tidegate-fleet";

/// Why a bill cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum BillError {
    #[error("{}: {source}", .file.display())]
    Unreadable { file: PathBuf, source: std::io::Error },
    #[error(
        "{}:1: these are the columns neither of a cost-and-usage export of AWS (lineItem/ResourceId or \
         line_item_resource_id) nor of a billing export of Google (resource.name and cost)", .file.display()
    )]
    Unknown { file: PathBuf },
    #[error("{}:1: there is no column {column}, which a bill {whose} must have", .file.display())]
    NoColumn { file: PathBuf, column: &'static str, whose: &'static str },
    #[error("{}:{line}: {problem}", .file.display())]
    Row { file: PathBuf, line: u64, problem: String },
    #[error("{}: no line of this bill is of a machine", .file.display())]
    Empty { file: PathBuf },
}

/// Whose bill it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    Aws,
    Gcp,
}

impl Whose {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::Gcp => "gcp",
        }
    }

    /// Whether a machine of this id is one of the cloud's.
    pub(super) fn has(self, instance: &InstanceId) -> bool {
        is_ec2(instance.as_str()) == (self == Self::Aws)
    }
}

fn is_ec2(id: &str) -> bool {
    id.strip_prefix("i-").is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// A bill, summed by machine.
#[derive(Debug)]
pub(super) struct Bill {
    pub whose: Whose,
    /// From the first to the last instant that it bills.
    pub from: Timestamp,
    pub to: Timestamp,
    pub instances: BTreeMap<InstanceId, Billed>,
    /// It says which fleet a machine is of.
    pub has_tags: bool,
    /// Lines of machines that are of another fleet, or of none.
    pub of_others: u64,
    /// Credits, refunds and taxes: they are not compared.
    pub credits: Money,
    /// What is billed by other names than a machine's: disks, addresses, other services.
    pub elsewhere: Money,
}

/// What a line of a bill says.
struct Row {
    from: Timestamp,
    to: Timestamp,
    /// `None`: it is of something else.
    instance: Option<InstanceId>,
    /// Of our fleet; `None`: it does not say.
    ours: Option<bool>,
    cost: Picos,
    /// A part of the cost that is not compared.
    credit: Picos,
    is_machine_time: bool,
}

/// How a cloud's lines are read, or what is wrong with one.
type ReadRow = fn(&Line<'_>) -> Result<Row, String>;

/// What the lines that are compared must be of.
pub(super) struct Wanted<'a> {
    pub fleet: Option<&'a FleetId>,
    /// Machines of our ledger: their lines count whatever they are tagged.
    pub known: &'a dyn Fn(&InstanceId) -> bool,
    /// Lines that begin outside are left out.
    pub window: Option<(Timestamp, Timestamp)>,
}

/// Reads a bill's file.
pub(super) fn open(file: &Path, wanted: &Wanted<'_>) -> Result<Bill, BillError> {
    let unreadable = |source| BillError::Unreadable { file: file.to_owned(), source };
    let mut opened = File::open(file).map_err(unreadable)?;
    let mut magic = [0; 2];
    let got = opened.read(&mut magic).map_err(unreadable)?;
    let whole = std::io::Cursor::new(magic).take(u64::try_from(got).unwrap_or_default()).chain(opened);
    let whole = BufReader::new(whole);
    if magic == [0x1f, 0x8b] {
        read(BufReader::new(MultiGzDecoder::new(whole)), file, wanted)
    } else {
        read(whole, file, wanted)
    }
}

#[derive(Default)]
struct Sum {
    cost: Picos,
    other: Picos,
}

fn read(bytes: impl Read, file: &Path, wanted: &Wanted<'_>) -> Result<Bill, BillError> {
    let broken = |error: csv::Error| {
        let line = error.position().map_or(1, csv::Position::line);
        BillError::Row { file: file.to_owned(), line, problem: error.to_string() }
    };
    let mut rows = csv::Reader::from_reader(bytes);
    let columns = Columns::of(rows.headers().map_err(broken)?);
    let (whose, row_of): (_, ReadRow) = if columns.has(aws::RESOURCE) {
        (Whose::Aws, aws::row)
    } else if columns.has(gcp::RESOURCE) && columns.has(gcp::COST) {
        (Whose::Gcp, gcp::row)
    } else {
        return Err(BillError::Unknown { file: file.to_owned() });
    };
    let (needed, name) = match whose {
        Whose::Aws => (aws::NEEDED, "of AWS"),
        Whose::Gcp => (gcp::NEEDED, "of Google"),
    };
    if let Some(column) = needed.iter().find(|column| !columns.has(column)) {
        return Err(BillError::NoColumn { file: file.to_owned(), column, whose: name });
    }
    let has_tags = [aws::TAGS, aws::TAG_COLUMN, gcp::LABELS].iter().any(|column| columns.has(column));
    let (mut sums, mut span) = (BTreeMap::<InstanceId, Sum>::new(), None::<(Timestamp, Timestamp)>);
    let (mut credits, mut elsewhere, mut of_others) = (Picos::default(), Picos::default(), 0);
    for record in rows.into_records() {
        let record = record.map_err(broken)?;
        let line = record.position().map_or(0, csv::Position::line);
        let row = row_of(&Line { columns: &columns, record: &record, fleet: wanted.fleet })
            .map_err(|problem| BillError::Row { file: file.to_owned(), line, problem })?;
        if wanted.window.is_some_and(|(from, to)| row.from < from || row.from >= to) {
            continue;
        }
        span = Some(span.map_or((row.from, row.to), |(from, to)| (from.min(row.from), to.max(row.to))));
        let Some(instance) = row.instance else {
            elsewhere += row.cost;
            credits += row.credit;
            continue;
        };
        if row.ours == Some(false) && !(wanted.known)(&instance) {
            of_others += 1;
            continue;
        }
        credits += row.credit;
        let sum = sums.entry(instance).or_default();
        sum.cost += row.cost;
        if !row.is_machine_time {
            sum.other += row.cost;
        }
    }
    let Some((from, to)) = span.filter(|_| !sums.is_empty()) else {
        return Err(BillError::Empty { file: file.to_owned() });
    };
    let billed = |sum: Sum| Billed { cost: sum.cost.money(), other: sum.other.money() };
    let instances = sums.into_iter().map(|(instance, sum)| (instance, billed(sum))).collect();
    let (credits, elsewhere) = (credits.money(), elsewhere.money());
    Ok(Bill { whose, from, to, instances, has_tags, of_others, credits, elsewhere })
}

/// Where each column is, by its name in small letters and underscores: `lineItem/UsageStartDate` and
/// `line_item_usage_start_date` are the same.
struct Columns(BTreeMap<String, usize>);

impl Columns {
    fn of(header: &StringRecord) -> Self {
        Self(header.iter().enumerate().map(|(place, name)| (plain_name(name), place)).collect())
    }

    fn has(&self, column: &str) -> bool {
        self.0.contains_key(column)
    }
}

fn plain_name(name: &str) -> String {
    let mut plain = String::new();
    let mut after_small = false;
    for letter in name.trim().trim_start_matches('\u{feff}').chars() {
        if letter.is_ascii_uppercase() && after_small {
            plain.push('_');
        }
        after_small = letter.is_ascii_lowercase() || letter.is_ascii_digit();
        plain.push(if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '_' });
    }
    plain
}

/// A line of a bill, by column.
struct Line<'a> {
    columns: &'a Columns,
    record: &'a StringRecord,
    fleet: Option<&'a FleetId>,
}

impl Line<'_> {
    /// Empty where the bill has no such column.
    fn text(&self, column: &str) -> &str {
        let place = self.columns.0.get(column);
        place.and_then(|place| self.record.get(*place)).unwrap_or_default().trim()
    }

    /// Nothing is nothing.
    fn amount(&self, column: &str) -> Result<Picos, String> {
        let text = self.text(column);
        if text.is_empty() {
            return Ok(Picos::default());
        }
        Picos::read(text).ok_or_else(|| format!("{column} is `{text}`: it must be an amount, such as 0.0104"))
    }

    fn instant(&self, column: &str) -> Result<Timestamp, String> {
        let text = self.text(column);
        let read = || {
            let in_utc = text.strip_suffix(" UTC").unwrap_or(text);
            let civil = || in_utc.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok();
            in_utc.parse::<Timestamp>().ok().or_else(|| Some(civil()?.timestamp()))
        };
        read().ok_or_else(|| format!("{column} is `{text}`: it must be a time, such as 2026-11-01T00:00:00Z"))
    }

    /// The line's time; it may be nothing, but not less.
    fn span(&self, start: &str, end: &str) -> Result<(Timestamp, Timestamp), String> {
        let (from, to) = (self.instant(start)?, self.instant(end)?);
        if to < from { Err(format!("{end} is before {start}")) } else { Ok((from, to)) }
    }

    fn is_ours(&self, fleet: Option<&str>) -> bool {
        fleet.is_some_and(|named| !named.is_empty() && self.fleet.is_none_or(|ours| ours.as_str() == named))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bill(text: &str) -> Result<Bill, String> {
        let fleet = FleetId::from("lab");
        let wanted = Wanted { fleet: Some(&fleet), known: &|id| id.as_str() == "i-old", window: None };
        read(text.as_bytes(), Path::new("bill.csv"), &wanted).map_err(|error| error.to_string())
    }

    fn sums(bill: &Bill) -> Vec<(&str, i64, i64)> {
        let each = bill.instances.iter();
        each.map(|(id, billed)| (id.as_str(), billed.cost.micros(), billed.other.micros())).collect()
    }

    const LEGACY: &str = "identity/LineItemId,lineItem/LineItemType,lineItem/UsageStartDate,lineItem/UsageEndDate,\
        lineItem/ProductCode,lineItem/UsageType,lineItem/ResourceId,lineItem/UsageAmount,lineItem/CurrencyCode,\
        lineItem/UnblendedCost,resourceTags/user:tidegate-fleet\n";

    #[test]
    fn the_older_export_of_aws_is_summed_by_machine() {
        let rows = "\
            a,Usage,2026-11-01T08:00:00Z,2026-11-01T09:00:00Z,AmazonEC2,BoxUsage:g5.xlarge,i-1,0.5,USD,0.5030000000,lab\n\
            b,Usage,2026-11-01T09:00:00Z,2026-11-01T10:00:00Z,AmazonEC2,BoxUsage:g5.xlarge,i-1,1,USD,1.0060000000,lab\n\
            c,Usage,2026-11-01T08:00:00Z,2026-11-01T09:00:00Z,AmazonEC2,DataTransfer-Out-Bytes,i-1,2,USD,0.18,lab\n\
            d,Usage,2026-11-01T08:00:00Z,2026-11-01T09:00:00Z,AmazonEC2,EBS:VolumeUsage.gp3,vol-1,2,USD,0.01,lab\n\
            e,Credit,2026-11-01T08:00:00Z,2026-11-01T09:00:00Z,AmazonEC2,BoxUsage:g5.xlarge,i-1,0,USD,-0.5,lab\n\
            f,Usage,2026-11-01T08:00:00Z,2026-11-01T09:00:00Z,AmazonEC2,BoxUsage:t3.micro,i-web,1,USD,0.0104,\n\
            g,Usage,2026-11-01T07:00:00Z,2026-11-01T08:00:00Z,AmazonEC2,BoxUsage:g5.xlarge,i-old,1,USD,1.006,\n\
            h,EdpDiscount,2026-11-01T08:00:00Z,2026-11-01T09:00:00Z,AmazonEC2,BoxUsage:g5.xlarge,i-1,0,USD,-0.1,lab\n";
        let bill = bill(&format!("{LEGACY}{rows}")).unwrap();
        assert_eq!(sums(&bill), [("i-1", 1_589_000, 180_000), ("i-old", 1_006_000, 0)]);
        assert_eq!((bill.whose, bill.has_tags, bill.of_others), (Whose::Aws, true, 1));
        assert_eq!((bill.credits.micros(), bill.elsewhere.micros()), (-500_000, 10_000));
        assert_eq!(
            (bill.from.to_string(), bill.to.to_string()),
            ("2026-11-01T07:00:00Z".into(), "2026-11-01T10:00:00Z".into())
        );
    }

    #[test]
    fn the_newer_export_of_aws_has_its_tags_in_one_column() {
        let text = "line_item_usage_start_date,line_item_usage_end_date,line_item_resource_id,line_item_unblended_cost,\
            line_item_line_item_type,resource_tags\n\
            2026-11-01 08:00:00.000,2026-11-01 09:00:00.000,i-1,1.5E-1,Usage,\"{\"\"user_tidegate-fleet\"\":\"\"lab\"\"}\"\n\
            2026-11-01 08:00:00.000,2026-11-01 09:00:00.000,i-2,1,Usage,\"{\"\"user_tidegate_fleet\"\":\"\"lab\"\"}\"\n\
            2026-11-01 08:00:00.000,2026-11-01 09:00:00.000,i-3,1,Usage,\"{\"\"user_tidegate_fleet\"\":\"\"other\"\"}\"\n\
            2026-11-01 08:00:00.000,2026-11-01 09:00:00.000,i-4,1,Usage,{}\n";
        let bill = bill(text).unwrap();
        assert_eq!(sums(&bill), [("i-1", 150_000, 0), ("i-2", 1_000_000, 0)]);
        assert_eq!(bill.of_others, 2);
    }

    #[test]
    fn without_tags_every_machine_counts() {
        let text = "line_item_usage_start_date,line_item_usage_end_date,line_item_resource_id,line_item_unblended_cost\n\
            2026-11-01T08:00:00Z,2026-11-01T09:00:00Z,i-1,1\n2026-11-01T08:00:00Z,2026-11-01T09:00:00Z,,7\n";
        let bill = bill(text).unwrap();
        assert_eq!((sums(&bill), bill.has_tags), (vec![("i-1", 1_000_000, 0)], false));
        assert_eq!(bill.elsewhere.micros(), 7_000_000);
    }

    const GOOGLE: &str = "service.description,sku.description,usage_start_time,usage_end_time,resource.name,\
        resource.global_name,cost,currency,currency_conversion_rate,cost_type,credits,labels\n";

    #[test]
    fn google_s_export_is_summed_with_its_discounts_and_without_its_gifts() {
        let labels = "\"[{\"\"key\"\":\"\"tidegate-fleet\"\",\"\"value\"\":\"\"lab\"\"}]\"";
        // As a label has what is no label's letter.
        let escaped = labels.replace("\"lab\"", "\"_6cab\"");
        let credits = "\"[{\"\"type\"\":\"\"SUSTAINED_USAGE_DISCOUNT\"\",\"\"amount\"\":\"\"-0.1\"\"},\
            {\"\"type\"\":\"\"PROMOTION\"\",\"\"amount\"\":-0.2}]\"";
        let machine = "//compute.googleapis.com/projects/p/zones/us-central1-a/instances/1";
        let disk = "//compute.googleapis.com/projects/p/zones/us-central1-a/disks/2";
        let rows = format!(
            "Compute Engine,G2 Instance Core,2026-11-01 08:00:00 UTC,2026-11-01 09:00:00 UTC,w-1,{machine},1.00,USD,1,regular,{credits},{labels}\n\
             Compute Engine,G2 Instance Ram,2026-11-01 08:00:00 UTC,2026-11-01 09:00:00 UTC,projects/p/instances/w-1,{machine},0.92,EUR,0.92,regular,[],{escaped}\n\
             Compute Engine,Balanced PD Capacity,2026-11-01 08:00:00 UTC,2026-11-01 09:00:00 UTC,w-1,{disk},0.5,USD,1,regular,,{labels}\n\
             Compute Engine,G2 Instance Core,2026-11-01 08:00:00 UTC,2026-11-01 09:00:00 UTC,web,{machine},9,USD,1,regular,,\n\
             Compute Engine,Tax,2026-11-01 08:00:00 UTC,2026-11-01 09:00:00 UTC,,,-0.01,USD,1,rounding_error,,\n"
        );
        let bill = bill(&format!("{GOOGLE}{rows}")).unwrap();
        assert_eq!((bill.whose, sums(&bill)), (Whose::Gcp, vec![("w-1", 1_900_000, 0)]));
        assert_eq!((bill.credits.micros(), bill.elsewhere.micros(), bill.of_others), (-210_000, 500_000, 1));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let aws = "line_item_usage_start_date,line_item_usage_end_date,line_item_resource_id,line_item_unblended_cost,\
            line_item_line_item_type,line_item_usage_amount,line_item_currency_code\n\
            2026-11-01T08:00:00Z,2026-11-01T09:00:00Z,i-1,1,Usage,1,USD\n";
        let row = "2026-11-01T08:00:00Z,2026-11-01T09:00:00Z,i-1,1,Usage,1,USD";
        for (from, to, told) in [
            (
                ",1,Usage",
                ",-1,Usage",
                "bill.csv:3: line_item_unblended_cost is -1 on a line of type Usage: it cannot be negative",
            ),
            (
                ",1,USD",
                ",-2,USD",
                "bill.csv:3: line_item_usage_amount is -2 on a line of type Usage: it cannot be negative",
            ),
            (",1,Usage", ",one,Usage", "bill.csv:3: line_item_unblended_cost is `one`: it must be an amount"),
            (
                "2026-11-01T08",
                "2026-13-01T08",
                "bill.csv:3: line_item_usage_start_date is `2026-13-01T08:00:00Z`: it must be a time",
            ),
            ("2026-11-01T09:00:00Z", "", "bill.csv:3: line_item_usage_end_date is ``: it must be a time"),
            ("T08:00", "T19:00", "bill.csv:3: line_item_usage_end_date is before line_item_usage_start_date"),
            (",USD", ",EUR", "bill.csv:3: it is in EUR, the ledger in US dollars"),
            (",USD", "", "bill.csv:3: CSV error"),
        ] {
            let wrong = row.replacen(from, to, 1);
            assert_ne!(wrong, row, "{from}");
            let said = bill(&format!("{aws}{wrong}\n")).unwrap_err();
            assert!(said.starts_with(told), "{said}");
        }
        for (column, whose) in [("line_item_unblended_cost", "AWS"), ("line_item_usage_end_date", "AWS")] {
            let said = bill(&aws.replace(column, "x")).unwrap_err();
            assert_eq!(said, format!("bill.csv:1: there is no column {column}, which a bill of {whose} must have"));
        }
        let said = bill(&GOOGLE.replace("usage_start_time", "x")).unwrap_err();
        assert_eq!(said, "bill.csv:1: there is no column usage_start_time, which a bill of Google must have");
        assert!(bill("a,b\n1,2\n").unwrap_err().starts_with("bill.csv:1: these are the columns neither of"));
        assert!(bill("").unwrap_err().starts_with("bill.csv:1:"));
        assert_eq!(bill(LEGACY).unwrap_err(), "bill.csv: no line of this bill is of a machine");
        let google = "Compute Engine,Core,2026-11-01 08:00:00 UTC,2026-11-01 09:00:00 UTC,w-1,,1,USD,1,regular,[],\n";
        for (from, to, told) in [
            (",1,USD", ",-1,USD", "bill.csv:2: cost is -1 on a line of type regular: it cannot be negative"),
            ("USD,1", "EUR,0", "bill.csv:2: currency_conversion_rate is `0`"),
            ("USD,1", "EUR,", "bill.csv:2: currency_conversion_rate is ``"),
            ("[]", "[{]", "bill.csv:2: credits is not the JSON"),
            ("[]", "\"[{\"\"amount\"\":0.5}]\"", "bill.csv:2: credits hold 0.5: they cannot be above zero"),
        ] {
            let said = bill(&format!("{GOOGLE}{}", google.replacen(from, to, 1))).unwrap_err();
            assert!(said.starts_with(told), "{said}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text: String, cells in prop::collection::vec(".{0,8}", 11)) {
            let _ = bill(&text);
            let _ = bill(&format!("{LEGACY}{}\n", cells.join(",")));
            let _ = bill(&format!("{GOOGLE}{}\n", cells.join(",")));
        }
    }
}
