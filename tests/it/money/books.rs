//! A fleet's settings and store in a folder of their own, and the program run on them.

use std::path::Path;
use std::process::{Command, Output};

use jiff::{SignedDuration, Timestamp};
use tidegate::model::account::Owner;
use tidegate::model::ids::InstanceId;
use tidegate::model::instance::{Origin, Power};
use tidegate::model::ledger::{Interval, Share};
use tidegate::model::money::{Money, Rate};
use tidegate::model::record::{KnownInstance, Opened, Record};
use tidegate::model::settings::{Market, Provider};
use tidegate::store::Store;
use tidegate::store::sqlite::SqliteStore;

use crate::support::process::write;

pub(super) const SETTINGS: &str = r#"
[loop]
fleet = "lab"
time_zone = "Europe/Berlin"
[[budget]]
name = "team month"
per = "month"
limit = "$100"
[queue.train]
pools = ["gpu"]
[queue.eval]
pools = ["gpu"]
[pool.gpu]
provider = "aws"
region = "us-east-1"
types = ["g5.xlarge"]
ami = "ami-1"
"#;

/// $1.006 an hour.
pub(super) const RATE: i64 = 1_006_000;

/// One machine's bill: its id, when it began and ended, and what it ran: minutes after its launch, queue, task.
pub(super) struct Run<'a> {
    pub id: &'a str,
    pub start: &'a str,
    pub minutes: i64,
    pub tasks: &'a [(i64, &'a str, Option<&'a str>)],
}

pub(super) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Writes the settings and a ledger with these machines.
pub(super) fn keep(folder: &Path, runs: &[Run<'_>]) {
    write(&folder.join("tidegate.toml"), SETTINGS);
    let records: Vec<Record> = runs.iter().flat_map(records).collect();
    let whole = Record::LedgerWholeSince(at("2026-01-01T00:00:00Z"));
    commit(folder, &[&[whole], records.as_slice()].concat());
}

pub(super) fn commit(folder: &Path, records: &[Record]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut store = SqliteStore::open(folder, at("2026-11-20T00:00:00Z")).await.unwrap();
        store.commit(records).await.unwrap();
        store.close().await.unwrap();
    });
}

fn records(run: &Run<'_>) -> Vec<Record> {
    let instance = InstanceId::from(run.id);
    let start = at(run.start);
    let after = |minutes| start + SignedDuration::from_mins(minutes);
    let interval = Interval {
        instance: instance.clone(),
        pool: "gpu".into(),
        home: "train".into(),
        rate: Some(Rate::from_micros_per_hour(RATE)),
        extras: Rate::ZERO,
        disks: Rate::ZERO,
        off: false,
        reservation: Money::ZERO,
        start,
        end: None,
        shares: vec![Share::boot(start, "train".into())],
    };
    let opened = Record::Opened(Box::new(Opened { known: known(&instance, start), interval }));
    let shares = run.tasks.iter().map(|(minutes, queue, task)| {
        let owner = Owner { project: None, user: task.map(|_| "ann".into()) };
        let share = Share { task: task.map(Into::into), owner, ..Share::idle(after(*minutes), (*queue).into()) };
        Record::Charged { instance: instance.clone(), share }
    });
    let closed = Record::Closed { instance: instance.clone(), end: after(run.minutes) };
    std::iter::once(opened).chain(shares).chain([closed]).collect()
}

fn known(id: &InstanceId, launched: Timestamp) -> KnownInstance {
    KnownInstance {
        started_again: false,
        max_life: None,
        id: id.clone(),
        provider: Provider::Aws,
        region: "us-east-1".to_owned(),
        pool: "gpu".into(),
        home: "train".into(),
        machine_type: "g5.xlarge".into(),
        zone: None,
        market: Market::OnDemand,
        vcpu: 4,
        gpu: 1,
        intent: None,
        origin: Origin::Launched,
        launched,
        registered: true,
        drain: None,
        hold: None,
        stop_sent: None,
        power: Power::On,
        replace: None,
    }
}

/// Runs `tidegate spend` on the folder; says its exit code and what it wrote where.
pub(super) fn spend(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.arg("spend").args(arguments).current_dir(folder);
    command.env("TIDEGATE_STATE_DIR", folder).env("TIDEGATE_CONFIG", folder.join("tidegate.toml")).env("HOME", folder);
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}
