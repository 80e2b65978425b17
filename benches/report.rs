//! How long a month's report takes, from a ledger of 100,000 machines with two shares each to the written page and sheet:
//! the goal is under 1 s. `cargo bench --bench report` prints it.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on fails")]

use std::path::Path;
use std::process::Command;

use divan::Bencher;
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;
use tidegate::model::ids::InstanceId;
use tidegate::model::instance::{Origin, Power};
use tidegate::model::ledger::{Interval, Share};
use tidegate::model::money::{Money, Rate};
use tidegate::model::record::{KnownInstance, Opened, Record};
use tidegate::model::settings::{Market, Provider};
use tidegate::store::Store;
use tidegate::store::sqlite::SqliteStore;

const ROWS: [i64; 2] = [10_000, 100_000];

/// The first of October 2026, in seconds.
const MONTH: i64 = 1_790_812_800;
const SECONDS: i64 = 31 * 86_400;

const SETTINGS: &str = "[loop]\nfleet = \"lab\"\n[[budget]]\nname = \"month\"\nper = \"month\"\nlimit = \"$90000\"\n\
    [queue.q0]\npools = [\"p0\"]\n[pool.p0]\nprovider = \"aws\"\nregion = \"us-east-1\"\ntypes = [\"g5.xlarge\"]\nami = \"ami-1\"\n";

fn main() {
    divan::main();
}

/// The program as people start it, by itself.
#[divan::bench(args = ROWS, sample_count = 5, sample_size = 1)]
fn month(bencher: Bencher<'_, '_>, rows: i64) {
    let folder = ledger(rows);
    bencher.bench_local(|| report(folder.path()));
}

fn report(folder: &Path) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command
        .args(["spend", "--period", "2026-10", "--csv", "october.csv", "--html", "october.html"])
        .current_dir(folder);
    command.env("TIDEGATE_STATE_DIR", folder).env("TIDEGATE_CONFIG", folder.join("tidegate.toml"));
    assert!(command.status().unwrap().success());
}

/// A month in which machines of eight pools ran for an hour or so each, for forty queues.
fn ledger(rows: i64) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut settings =
        std::fs::File::options().create_new(true).write(true).open(folder.path().join("tidegate.toml")).unwrap();
    std::io::Write::write_all(&mut settings, SETTINGS.as_bytes()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut store = SqliteStore::open(folder.path(), at(SECONDS)).await.unwrap();
        let records: Vec<Record> = (0..rows).flat_map(|row| machine(row, rows)).collect();
        for batch in records.chunks(10_000) {
            store.commit(batch).await.unwrap();
        }
        store.close().await.unwrap();
    });
    folder
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(MONTH + second).unwrap()
}

fn machine(row: i64, rows: i64) -> Vec<Record> {
    let (id, start) = (InstanceId::from(format!("i-{row:017x}")), at(row * SECONDS / rows));
    let queue = || format!("q{}", row % 40).into();
    let pool = || format!("p{}", row % 8).into();
    let after = |seconds: i64| start + SignedDuration::from_secs(seconds);
    let interval = Interval {
        instance: id.clone(),
        pool: pool(),
        home: queue(),
        rate: Some(Rate::from_micros_per_hour(1_006_000 + row % 97)),
        extras: Rate::ZERO,
        disks: Rate::ZERO,
        off: false,
        reservation: Money::ZERO,
        start,
        end: None,
        shares: vec![Share::boot(start, queue())],
    };
    let known = KnownInstance {
        started_again: false,
        max_life: None,
        id: id.clone(),
        provider: Provider::Aws,
        region: "us-east-1".to_owned(),
        pool: pool(),
        home: queue(),
        machine_type: "g5.xlarge".into(),
        zone: None,
        market: Market::OnDemand,
        vcpu: 4,
        gpu: 1,
        intent: None,
        origin: Origin::Launched,
        launched: start,
        registered: true,
        drain: None,
        hold: None,
        stop_sent: None,
        power: Power::On,
        replace: None,
    };
    let share = Share { task: Some(format!("t{row}").into()), ..Share::idle(after(240), queue()) };
    vec![
        Record::Opened(Box::new(Opened { known, interval })),
        Record::Charged { instance: id.clone(), share },
        Record::Closed { instance: id.clone(), end: after(3_000 + row % 1_200) },
        Record::Gone { instance: id, at: after(5_000) },
    ]
}
