//! A view with one of everything, for tests of what is shown.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::engine::event::{ActUnderWay, BudgetState, Leader, Mode, Spend, View};
use crate::model::bound::{Bound, Ends};
use crate::model::breaker::{Breaker, Offering};
use crate::model::clear::ToClear;
use crate::model::ids::{Revision, Term};
use crate::model::instance::{Agents, Drain, DrainCause, Fault, Hold, Instance, Origin, Phase, Power, RunningTask};
use crate::model::money::{Money, Rate};
use crate::model::plan::{Action, Launch, Outlook, Plan, Planned, Refusal, Rule};
use crate::model::prices::PriceSource;
use crate::model::reason::{LimitKind, LimitScope, Reason};
use crate::model::record::{Intent, IntentOutcome};
use crate::model::settings::{
    BudgetScope, ClearmlSettings, Ladder, Limits, LoopSettings, Market, OnExit, OnLost, Per, Period, Poll,
    PoolSettings, Provider, QueueSettings, Settings,
};
use crate::model::snapshot::{ErrorClass, ForeignWorker, Ghost, Snapshot, Source};
use crate::model::waste::Waste;

fn ago(seconds: i64) -> Timestamp {
    let now: Timestamp = "2026-11-02T08:00:00Z".parse().unwrap();
    now.checked_sub(SignedDuration::from_secs(seconds)).unwrap()
}

fn instance(id: &str, phase: Phase) -> Instance {
    Instance {
        id: id.into(),
        provider: Provider::Aws,
        region: "us-east-1".to_owned(),
        pool: "p4d".into(),
        home: "train".into(),
        machine_type: "p4d.24xlarge".into(),
        zone: Some("us-east-1a".into()),
        market: Market::OnDemand,
        vcpu: 96,
        gpu: 8,
        rate: Some(Rate::from_micros_per_hour(21_957_642)),
        reservation: Money::from_micros(30_000_000),
        intent: None,
        origin: Origin::Launched,
        launched: ago(7_200),
        ended: None,
        ends_by: None,
        phase,
        phase_since: ago(723),
        boot: None,
        fault: None,
        fault_why: None,
        silent_since: None,
        worker: Some(format!("lab:p4d:p4d.24xlarge:{id}").into()),
        last_report: Some(ago(5)),
        agents: Agents::default(),
        task: None,
        more_tasks: Vec::new(),
        registered: true,
        drain: None,
        hold: None,
        power: Power::On,
        drift: Vec::new(),
        replace: None,
        off_outside: None,
        no_start_until: None,
        pod: None,
    }
}

fn instances() -> Vec<Instance> {
    let mut busy = instance("i-busy", Phase::Busy);
    busy.task = Some(RunningTask {
        id: "t-1".into(),
        name: "train bert".to_owned(),
        queue: Some("train".into()),
        since: ago(723),
    });
    let mut stuck = instance("i-stuck", Phase::Booting);
    stuck.fault = Some(Fault::Stuck);
    stuck.registered = false;
    stuck.worker = None;
    stuck.rate = None;
    stuck.origin = Origin::Orphan;
    let mut held = instance("i-held", Phase::Idle);
    held.ends_by = Some(ago(-79_200));
    held.hold = Some(Hold { until: ago(-3_600), by: "bo".into(), why: "looking at it".to_owned() });
    let mut drained = instance("i-drained", Phase::Draining);
    drained.drain = Some(Drain {
        nonce: "n".to_owned(),
        cause: DrainCause::Person,
        by: "ann".into(),
        ordered: ago(60),
        acknowledged: Some(ago(50)),
        cancelled: false,
        held: false,
        end_asked: None,
    });
    vec![busy, stuck, held, drained]
}

fn intent() -> Intent {
    Intent {
        id: "b1.0".into(),
        batch: "b1".into(),
        pool: "p4d".into(),
        queue: "train".into(),
        provider: Provider::Aws,
        region: "us-east-1".to_owned(),
        machine_type: "p4d.24xlarge".into(),
        market: Market::OnDemand,
        vcpu: 96,
        gpu: 8,
        rate: Some(Rate::from_micros_per_hour(21_957_642)),
        reservation: Money::from_micros(30_000_000),
        opened: ago(40),
        revision: Revision::new("0a1b"),
        outcome: IntentOutcome::Unknown,
        starts: None,
        max_life: Some(SignedDuration::from_hours(24)),
        choices: Vec::new(),
    }
}

/// What backs off in it.
pub(crate) fn backing_off() -> Offering {
    Offering {
        machine_type: Some("p4d.24xlarge".into()),
        market: Some(Market::OnDemand),
        ..Offering::of_account("aws us-east-1")
    }
}

fn snapshot() -> Snapshot {
    Snapshot {
        instances: instances(),
        intents: vec![intent()],
        foreign: vec![ForeignWorker {
            id: "workstation:gpu0".into(),
            queues: vec!["train".into(), "eval".into()],
            task: Some("t-9".into()),
            last_report: Some(ago(9)),
            fresh: false,
        }],
        ghosts: vec![Ghost {
            worker: "lab:p4d:p4d.24xlarge:i-old".into(),
            instance: "i-old".into(),
            task: None,
            last_report: Some(ago(300)),
        }],
        breakers: vec![Breaker {
            on: backing_off(),
            since: ago(150),
            until: ago(-90),
            class: ErrorClass::Capacity,
            strikes: 2,
            at_most: 0,
            quota: None,
            message: "InsufficientInstanceCapacity".to_owned(),
        }],
        sources: vec![
            Source {
                name: "clearml".to_owned(),
                last_good: Some(ago(3)),
                stale_after: SignedDuration::from_secs(60),
                error: None,
                credentials_end: None,
            },
            Source {
                name: "aws us-east-1".to_owned(),
                last_good: Some(ago(200)),
                stale_after: SignedDuration::from_secs(60),
                error: Some("did not answer in time".to_owned()),
                credentials_end: None,
            },
        ],
        ..Snapshot::default()
    }
}

fn limit() -> Reason {
    Reason::Limit { scope: LimitScope::Pool("p4d".into()), limit: LimitKind::Instances, used: 5, each: 1, max: 5 }
}

fn plan() -> Plan {
    Plan {
        at: ago(2),
        revision: Revision::new("0a1b"),
        actions: vec![Planned {
            rule: Rule::Grow,
            by: "loop".into(),
            action: Action::Launch(Launch {
                pool: "p4d".into(),
                queue: "train".into(),
                machine_type: "p4d.24xlarge".into(),
                market: Market::OnDemand,
                count: 1,
                vcpu: 96,
                gpu: 8,
                rate: Some(Rate::from_micros_per_hour(21_957_642)),
                reservation: Money::from_micros(30_000_000),
                choices: Vec::new(),
            }),
            reason: Reason::Waiting { waiting: 5, idle: 1, starting: 2, foreign: 0, need: 2, each: 1 },
        }],
        refusals: vec![Refusal {
            rule: Rule::Grow,
            by: "loop".into(),
            queue: Some("train".into()),
            pool: Some("p4d".into()),
            instance: None,
            short_of: 1,
            reason: limit(),
        }],
        outlooks: vec![
            Outlook {
                queue: "train".into(),
                waiting: 5,
                oldest: Some(ago(1_000)),
                running: 1,
                idle: 1,
                starting: 2,
                draining: 1,
                faults: 1,
                need: 2,
                next: Some(limit()),
                to_clear: Some(ToClear {
                    low: Money::from_micros(310_000_000),
                    likely: Money::from_micros(402_000_000),
                    high: Money::from_micros(494_000_000),
                    samples: 83,
                }),
            },
            Outlook {
                queue: "eval".into(),
                waiting: 0,
                oldest: None,
                running: 0,
                idle: 0,
                starting: 0,
                draining: 0,
                faults: 0,
                need: 0,
                next: None,
                to_clear: None,
            },
        ],
        surplus: BTreeMap::new(),
        courses: BTreeMap::new(),
        lessons: Vec::new(),
        due: None,
    }
}

fn queue(name: &str, priority: i32, max: Option<u32>) -> QueueSettings {
    QueueSettings {
        name: name.into(),
        pools: vec!["p4d".into()],
        priority,
        limits: Limits { max, ..Limits::default() },
        on_lost: OnLost::Requeue(1),
        expected_task: SignedDuration::from_hours(1),
        policy: None,
    }
}

fn settings() -> Settings {
    Settings {
        revision: Revision::new("0a1b"),
        clearml: ClearmlSettings::default(),
        the_loop: LoopSettings {
            fleet: "lab".into(),
            poll: Poll::Auto,
            count_foreign: true,
            price_of_waiting: crate::model::money::Rate::from_micros_per_hour(2_000_000),
            on_exit: OnExit::Leave,
            time_zone: jiff::tz::TimeZone::UTC,
            gce_metadata: std::collections::BTreeMap::new(),
            tell_waiting: false,
            policy: None,
            metrics: None,
            store: None,
            keep: SignedDuration::from_hours(24 * 90),
            keep_bills: None,
            pseudonyms: None,
            pseudonyms_before: None,
        },
        limits: Limits::default(),
        accounts: Vec::new(),
        notify: Vec::new(),
        schedules: Vec::new(),
        keys: std::collections::BTreeMap::new(),
        budgets: Vec::new(),
        queues: vec![queue("eval", 0, None), queue("train", 10, Some(6))],
        pools: vec![PoolSettings {
            region: "us-east-1".to_owned(),
            types: vec!["p4d.24xlarge".into()],
            limits: Limits { max: Some(5), ..Limits::default() },
            ..PoolSettings::with_defaults("p4d")
        }],
    }
}

/// One that was told, with a price that is not believed, and one that was not.
fn prices() -> Vec<PriceSource> {
    let told = PriceSource {
        provider: Provider::Aws,
        site: "us-east-1".to_owned(),
        market: Market::OnDemand,
        good: Some(ago(723)),
        believed: 2,
        beside: 0,
        error: None,
        refused: vec!["g5.xlarge at $0.00/h: a price must be above zero".to_owned()],
    };
    let error = Some("AccessDeniedException (credentials): no".to_owned());
    let silent =
        PriceSource { market: Market::Spot, good: None, believed: 0, error, refused: Vec::new(), ..told.clone() };
    vec![told, silent]
}

pub(crate) fn view() -> View {
    View {
        at: ago(0),
        fleet: "lab".into(),
        mode: Mode { armed: false, paused: false },
        leader: Leader::Us(Term(1)),
        reaches_leader: false,
        leads_since: None,
        rivals: Vec::new(),
        snapshot: Arc::new(snapshot()),
        plan: Arc::new(plan()),
        settings: Arc::new(settings()),
        settings_problem: Some("tidegate.toml:12:7: `six` is not a number".to_owned()),
        settings_path: Some("tidegate.toml".to_owned()),
        prices: prices(),
        spend: Spend {
            rate: Rate::from_micros_per_hour(65_872_926),
            total: Money::from_micros(912_000_000),
            today: Money::from_micros(12_400_000),
            month: Money::from_micros(230_100_000),
            budgets: vec![BudgetState {
                name: "team month".into(),
                scope: BudgetScope::All,
                per: Per::Calendar(Period::Month),
                at: Ladder::default(),
                bound: Some(Bound { most: Money::from_micros(1_811_050_000), by: Ends::MaxLife }),
                likely: None,
                limit: Money::from_micros(2_500_000_000),
                hard: true,
                period_start: ago(115_200),
                period_end: ago(-2_476_800),
                spent: Money::from_micros(230_100_000),
                committed: Money::from_micros(45_000_000),
                rate: Rate::from_micros_per_hour(65_872_926),
            }],
            waste_today: Waste {
                boot: Money::from_micros(310_000),
                idle: Money::from_micros(1_250_000),
                switched_off: Money::from_micros(40_000),
                ..Waste::default()
            },
            queue_today: vec![("train".into(), Money::from_micros(12_400_000))],
            unpriced: vec!["i-stuck".into()],
            ..Spend::default()
        },
        acts: vec![ActUnderWay {
            what: "stop i-drained".to_owned(),
            instance: Some("i-drained".into()),
            pool: None,
            since: ago(1),
            deadline: SignedDuration::from_secs(30),
        }],
        next_pass: ago(-8),
        warnings: vec!["one ClearML user for console and agents".to_owned()],
    }
}

/// A file of the project that is made from the code holds what the code makes. `TIDEGATE_REGENERATE=1` writes it.
pub(crate) fn assert_generated(name: &str, text: &str) {
    const REGENERATE: &str = "TIDEGATE_REGENERATE";
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    if std::env::var_os(REGENERATE).is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        crate::store::whole::write(&path, text).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == text, "{name} is not what the code makes: run with {REGENERATE}=1 to write it again");
}
