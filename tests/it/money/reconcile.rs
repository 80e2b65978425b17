//! The cloud's bill beside the ledger.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::books::{Run, keep, spend};
use crate::support::process::write;
use crate::support::told::told;

const COLUMNS: &str = "line_item_line_item_type,line_item_usage_start_date,line_item_usage_end_date,line_item_usage_type,\
    line_item_resource_id,line_item_usage_amount,line_item_unblended_cost,line_item_currency_code";

/// An hour of a machine on the bill.
fn hour(hour: u32, id: &str, cost: &str) -> String {
    let end = hour + 1;
    format!("Usage,2026-11-02T{hour:02}:00:00Z,2026-11-02T{end:02}:00:00Z,BoxUsage:g5.xlarge,{id},1,{cost},USD\n")
}

/// Two machines for an hour and a half each, from eight on.
const RUNS: [Run<'_>; 3] = [
    Run { id: "i-a", start: "2026-11-02T08:00:00Z", minutes: 90, tasks: &[(5, "eval", Some("t"))] },
    Run { id: "i-b", start: "2026-11-02T08:30:00Z", minutes: 90, tasks: &[] },
    // Yesterday's machine, which this bill does not reach.
    Run { id: "i-y", start: "2026-11-01T08:30:00Z", minutes: 90, tasks: &[] },
];

fn right() -> String {
    let hours = [
        hour(8, "i-a", "1.0060000000"),
        hour(9, "i-a", "0.5030000000"),
        hour(8, "i-b", "0.5030000000"),
        hour(9, "i-b", "1.0060000000"),
    ];
    format!("{COLUMNS}\n{}", hours.concat())
}

#[test]
fn a_bill_that_agrees_is_said_to_agree_also_compressed() {
    let folder = tempfile::tempdir().unwrap();
    keep(folder.path(), &RUNS);
    write(&folder.path().join("bill.csv"), &right());
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(right().as_bytes()).unwrap();
    let mut file =
        std::fs::OpenOptions::new().create_new(true).write(true).open(folder.path().join("bill.csv.gz")).unwrap();
    file.write_all(&packed.finish().unwrap()).unwrap();
    for name in ["bill.csv", "bill.csv.gz"] {
        let (code, out, err) = spend(folder.path(), &["--against", name]);
        assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
        assert!(out.contains("2 of 2 machines agree to the cent"), "{out}");
        assert!(out.contains("within 1 %: ours $3.02, theirs $3.02, difference $0.00 (+0.00 %)"), "{out}");
        assert!(out.contains("the bill does not say which fleet a machine is of"), "{out}");
    }
}

#[test]
fn a_difference_over_one_percent_is_an_alarm_and_lists_whom_each_side_misses() {
    let folder = tempfile::tempdir().unwrap();
    keep(folder.path(), &RUNS);
    // One hour of i-a is dearer, i-b is missing, i-c is nobody's here.
    let text = right().replace(&hour(9, "i-a", "0.5030000000"), &hour(9, "i-a", "0.6030000000")).replace("i-b", "i-c");
    write(&folder.path().join("bill.csv"), &text);
    let (code, out, err) = spend(folder.path(), &["--against", "bill.csv"]);
    assert_eq!(code, Some(1), "{out}{err}");
    let rows: Vec<Vec<&str>> = out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(rows.contains(&vec!["i-a", "gpu", "$1.51", "$1.61", "-$0.10", "-6.22", "%", "both"]), "{out}");
    assert!(rows.contains(&vec!["i-b", "gpu", "$1.51", "-", "+$1.51", "-", "only", "ours"]), "{out}");
    assert!(rows.contains(&vec!["i-c", "-", "-", "$1.51", "-$1.51", "-100.00", "%", "only", "theirs"]), "{out}");
    assert!(err.contains("ALARM: the bill and the ledger differ by more than 1 %: ours $3.02, theirs $3.12"), "{err}");
    let (code, out, _) = spend(folder.path(), &["--against", "bill.csv", "--json"]);
    let answer = &told("reconciliation", &out)["reconciliation"];
    assert_eq!((code, &answer["alarm"], &answer["ours_microusd"]), (Some(1), &true.into(), &3_018_000.into()));
    assert_eq!(answer["theirs_microusd"], 3_118_000);
    assert_eq!(answer["machines"].as_array().unwrap().len(), 3);
    assert_eq!(answer["machines"][0]["difference_microusd"], 1_509_000);
}

#[test]
fn a_period_that_is_asked_for_leaves_out_the_rest_on_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    keep(folder.path(), &RUNS);
    write(&folder.path().join("bill.csv"), &right());
    let nine = ["--since", "2026-11-02T09:00:00Z", "--until", "2026-11-02T10:00:00Z"];
    let (code, out, err) = spend(folder.path(), &[&["--against", "bill.csv", "--json"], &nine[..]].concat());
    assert_eq!(code, Some(0), "{out}{err}");
    assert_eq!(told("reconciliation", &out)["reconciliation"]["ours_microusd"], 1_509_000);
}

#[test]
fn what_cannot_be_compared_is_told_with_its_line_and_nothing_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    keep(folder.path(), &RUNS);
    let wrong = |from: &str, to: &str| right().replacen(from, to, 1);
    for (text, told) in [
        (wrong("line_item_unblended_cost", "cost"), "bill.csv:1: there is no column line_item_unblended_cost"),
        (wrong("0.5030000000", "-0.5"), "bill.csv:3: line_item_unblended_cost is -0.5 on a line of type Usage"),
        (
            wrong("T09:00:00Z,2026", "T99:00:00Z,2026"),
            "bill.csv:3: line_item_usage_start_date is `2026-11-02T99:00:00Z`",
        ),
        (wrong("USD", "EUR"), "bill.csv:2: it is in EUR"),
        (format!("{COLUMNS}\n"), "bill.csv: no line of this bill is of a machine"),
        ("name,price\n".to_owned(), "bill.csv:1: these are the columns neither of"),
    ] {
        write(&folder.path().join("bill.csv"), &text);
        let (code, out, err) = spend(folder.path(), &["--against", "bill.csv"]);
        assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
        assert!(err.contains(told), "{err}");
    }
    let (code, _, err) = spend(folder.path(), &["--against", "none.csv"]);
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("none.csv: No such file"), "{err}");
}

#[test]
fn without_a_ledger_there_is_nothing_to_compare_with() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("tidegate.toml"), super::books::SETTINGS);
    let (code, out, err) = spend(folder.path(), &["--against", "bill.csv"]);
    assert_eq!((code, out.as_str()), (Some(4), ""), "{err}");
    assert!(err.contains("there is no ledger"), "{err}");
}
