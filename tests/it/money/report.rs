//! What it cost: on the terminal, as JSON, as a sheet and as a page.

use std::fs;

use super::books::{Run, keep, spend};
use crate::support::told::told;

const RUNS: [Run<'_>; 3] = [
    // Over midnight in Berlin.
    Run {
        id: "i-a",
        start: "2026-10-14T21:00:00Z",
        minutes: 180,
        tasks: &[(5, "eval", Some("t")), (125, "train", None)],
    },
    Run { id: "i-b", start: "2026-10-20T08:30:00Z", minutes: 90, tasks: &[] },
    Run { id: "i-c", start: "2026-09-30T08:30:00Z", minutes: 90, tasks: &[] },
];

/// October's two machines: 4.5 h of $1.006.
const OCTOBER: i64 = 4_527_000;

fn sum(lines: &serde_json::Value) -> i64 {
    lines.as_array().unwrap().iter().map(|line| line["microusd"].as_i64().unwrap()).sum()
}

#[test]
fn a_month_is_told_by_day_pool_and_queue_to_the_micro_dollar() {
    let folder = tempfile::tempdir().unwrap();
    keep(folder.path(), &RUNS);
    let (code, out, err) = spend(folder.path(), &["--period", "2026-10", "--json"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    let answer = &told("spend", &out)["spend"];
    assert_eq!((&answer["total_microusd"], &answer["machines"]), (&OCTOBER.into(), &2.into()));
    assert_eq!((&answer["from"], &answer["to"]), (&"2026-09-30T22:00:00Z".into(), &"2026-10-31T23:00:00Z".into()));
    assert_eq!(answer["days"].as_array().unwrap().len(), 31);
    for parts in [&answer["days"], &answer["by"]["pool"], &answer["by"]["queue"]] {
        assert_eq!(sum(parts), OCTOBER, "{parts}");
    }
    // From five past eleven in the evening for two hours it ran for eval: 55 minutes before midnight.
    let eval = |day: usize| {
        answer["days"][day]["by"]["queue"].as_array().unwrap().iter().find(|part| part["name"] == "eval").cloned()
    };
    assert_eq!(eval(13).unwrap()["microusd"], 1_006_000 - 1_006_000 * 5 / 60);
    // i-a boots for five minutes, and is idle from 23:05 UTC on for 55; nobody knows what i-b did but boot.
    let waste = &answer["waste_microusd"];
    assert_eq!((&waste["boot"], &waste["failed_boot"]), (&83_833.into(), &1_509_000.into()), "{waste}");
    assert_eq!((&waste["idle"], &waste["drained"]), (&922_167.into(), &0.into()), "{waste}");
    let by_use = answer["by"]["use"].as_array().unwrap().iter().find(|part| part["name"] == "tasks").unwrap();
    assert_eq!(by_use["microusd"], 2_012_000);
    let (_, out, _) = spend(folder.path(), &["--period", "2026-10"]);
    assert!(out.contains("2026-10-01 00:00 to 2026-11-01 00:00 (Europe/Berlin)\n$4.53 for 2 machines"), "{out}");
    assert!(out.contains("QUEUE  SPENT   SHARE\ntrain  $2.52  55.6 %\neval   $2.01  44.4 %\n"), "{out}");
    assert!(out.contains("team month"), "{out}");
}

#[test]
fn a_report_is_a_sheet_that_adds_up_and_a_page_that_needs_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    keep(folder.path(), &RUNS);
    let written = ["--period", "2026-10", "--csv", "october.csv", "--html", "october.html"];
    let (code, out, err) = spend(folder.path(), &written);
    assert_eq!((code, out.as_str(), err.as_str()), (Some(0), "", ""));
    let sheet = fs::read_to_string(folder.path().join("october.csv")).unwrap();
    let micros = |line: &str| line.rsplit(',').next().unwrap().replace('.', "").parse::<i64>().unwrap();
    assert_eq!(sheet.lines().skip(1).map(micros).sum::<i64>(), OCTOBER, "{sheet}");
    assert!(sheet.starts_with("day,pool,queue,") && sheet.contains("\n2026-10-14,gpu,eval,"), "{sheet}");
    let page = fs::read_to_string(folder.path().join("october.html")).unwrap();
    assert!(page.matches("<svg role=\"img\"").count() >= 3 && page.contains("prefers-color-scheme:dark"), "{page}");
    // Nothing is fetched, nothing runs, and no colour is fixed.
    for foreign in ["http-equiv", "<script", "src=", "href=", "@import", "url(", "fill=\"#", "stroke=\"#"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    for exact in ["$4.527", "$2.515", "$2.012", "2026-10-20"] {
        assert!(page.contains(exact), "{exact}: {page}");
    }
    assert_eq!(
        fs::read_dir(folder.path())
            .unwrap()
            .filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|one| one == "new"))
            .count(),
        0
    );
}

#[test]
fn names_from_elsewhere_cannot_break_out_of_the_page_or_the_sheet() {
    let folder = tempfile::tempdir().unwrap();
    let evil = "=<script>alert('x')</script>\"&";
    keep(
        folder.path(),
        &[Run { id: "i-a", start: "2026-10-14T08:00:00Z", minutes: 60, tasks: &[(5, evil, Some("t"))] }],
    );
    let (code, _, err) = spend(folder.path(), &["--period", "2026-10", "--csv", "o.csv", "--html", "o.html"]);
    assert_eq!(code, Some(0), "{err}");
    let page = fs::read_to_string(folder.path().join("o.html")).unwrap();
    assert!(!page.contains("<script") && page.contains("=&lt;script&gt;alert(&#39;x&#39;)"), "{page}");
    let sheet = fs::read_to_string(folder.path().join("o.csv")).unwrap();
    assert!(sheet.contains("\"'=<script>alert('x')</script>\"\"&\""), "{sheet}");
}

#[test]
fn an_empty_month_is_said_to_be_empty_and_its_report_is_of_nothing() {
    let folder = tempfile::tempdir().unwrap();
    keep(folder.path(), &RUNS);
    let (code, out, _) = spend(folder.path(), &["--period", "2026-03"]);
    let nothing = "nothing was spent from 2026-03-01 00:00 to 2026-04-01 00:00 (Europe/Berlin): no machine ran; the ledger \
                holds every machine since 2026-01-01T00:00:00Z";
    assert_eq!((code, out.trim_end()), (Some(0), nothing));
    for (form, held) in [("--html", "$0.00 for 0 machines"), ("--csv", "day,pool,queue,project,user,use,usd\n")] {
        let (code, out, err) = spend(folder.path(), &["--period", "2026-03", form, "march"]);
        assert_eq!((code, out.trim_end(), err.as_str()), (Some(0), nothing, ""));
        let march = fs::read_to_string(folder.path().join("march")).unwrap();
        assert!(march.contains(held), "{march}");
    }
    let (code, out, _) = spend(folder.path(), &["--period", "2026-03", "--json"]);
    assert_eq!((code, &told("spend", &out)["spend"]["total_microusd"]), (Some(0), &0.into()));
}

#[test]
fn a_report_that_cannot_be_written_leaves_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    keep(folder.path(), &RUNS);
    for path in ["none/october.html", "."] {
        let (code, _, err) = spend(folder.path(), &["--period", "2026-10", "--html", path]);
        assert_eq!(code, Some(1), "{err}");
        assert!(err.contains(&format!("tidegate: {path}: ")), "{err}");
    }
}

#[test]
fn wrong_periods_are_usage() {
    let folder = tempfile::tempdir().unwrap();
    keep(folder.path(), &RUNS);
    for arguments in [
        &["--period", "october"][..],
        &["--since", "yesterday"],
        &["--since", "2026-10-02", "--until", "2026-10-01"],
        &["--period", "month", "--since", "2026-10-01"],
        &["--against", "bill.csv", "--html", "x"],
    ] {
        let (code, out, err) = spend(folder.path(), arguments);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{arguments:?}: {err}");
    }
}
