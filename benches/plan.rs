//! How long a plan takes for 1,000 queues, 10,000 instances and 100,000 waiting tasks, and for a tenth and a third of
//! that: the goal is under 5 ms, growing linearly. `cargo bench --bench plan` prints it.

use std::sync::Arc;

use divan::Bencher;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tidegate::model::catalogue::{Catalogue, TypeSpec};
use tidegate::model::ids::{QueueName, Revision};
use tidegate::model::instance::{Agents, Drain, DrainCause, Instance, Origin, Phase, Power, RunningTask};
use tidegate::model::ledger::{Interval, Ledger, Share};
use tidegate::model::money::{Money, Rate};
use tidegate::model::observed::QueueEntry;
use tidegate::model::record::{Learned, Samples};
use tidegate::model::settings::{
    Budget, BudgetScope, ClearmlSettings, LaunchSettings, Limits, LoopSettings, Market, OnExit, OnLost, Per, Period,
    Poll, PoolSettings, Provider, QueueSettings, Settings,
};
use tidegate::model::snapshot::{QueueState, Snapshot, Source};

const QUEUES: [usize; 3] = [100, 333, 1_000];
const INSTANCES_A_QUEUE: usize = 10;
const WAITING_A_QUEUE: usize = 100;
const QUEUES_A_POOL: usize = 5;

fn main() {
    divan::main();
}

/// Tasks wait everywhere, every queue launches, limits bind.
#[divan::bench(args = QUEUES)]
fn plan_under_load(bencher: Bencher<'_, '_>, queues: usize) {
    let mut world = World::new(queues, WAITING_A_QUEUE);
    world.settings.budgets.clear();
    bencher.bench_local(|| world.plan());
}

/// The same with a hard budget over all and one for each queue: the whole ledger is read.
#[divan::bench(args = QUEUES)]
fn plan_under_load_and_budgets(bencher: Bencher<'_, '_>, queues: usize) {
    let world = World::new(queues, WAITING_A_QUEUE);
    bencher.bench_local(|| world.plan());
}

/// Nothing waits; every pool has machines to let go.
#[divan::bench(args = QUEUES)]
fn plan_at_rest(bencher: Bencher<'_, '_>, queues: usize) {
    let world = World::new(queues, 0);
    bencher.bench_local(|| world.plan());
}

/// The judge's share, which comes before every act.
#[divan::bench(args = QUEUES)]
fn check_under_load(bencher: Bencher<'_, '_>, queues: usize) {
    let world = World::new(queues, WAITING_A_QUEUE);
    let plan = world.plan();
    assert!(plan.actions.len() >= queues, "every queue launches");
    bencher.bench_local(|| {
        tidegate::plan::check::check(&plan, &world.snapshot, &world.settings, &world.ledger, world.now)
    });
}

struct World {
    snapshot: Snapshot,
    settings: Settings,
    ledger: Ledger,
    now: Timestamp,
}

impl World {
    fn new(queues: usize, waiting: usize) -> Self {
        let now = Timestamp::constant(1_793_606_400, 0);
        let settings = settings(queues);
        let mut ledger = Ledger::default();
        let instances: Vec<_> = (0..queues * INSTANCES_A_QUEUE).map(|place| instance(place, queues, now)).collect();
        for instance in &instances {
            ledger.open_interval(interval(instance));
            let mut old = interval(instance);
            old.instance = format!("old-{}", instance.id).as_str().into();
            old.end = Some(ago(now, 600));
            ledger.add_closed(&old);
        }
        let samples = |seconds: i64| {
            let mut samples = Samples::default();
            (0..200).for_each(|sample| samples.push(SignedDuration::from_secs(seconds + sample)));
            samples
        };
        let snapshot = Snapshot {
            queues: settings.queues.iter().map(|queue| state(&queue.name, waiting, now)).collect(),
            instances,
            surplus: settings.pools.iter().map(|pool| (pool.name.clone(), vec![ago(now, 9_000); 4])).collect(),
            learned: Arc::new(Learned {
                tasks: settings.queues.iter().map(|queue| (queue.name.clone(), samples(600))).collect(),
                boots: settings.pools.iter().map(|pool| (pool.name.clone(), samples(200))).collect(),
                gaps: settings.pools.iter().map(|pool| (pool.name.clone(), samples(200))).collect(),
                ..Learned::default()
            }),
            catalogue: Arc::new(catalogue()),
            sources: ["clearml", "aws us-east-1"].map(|name| source(name, now)).into(),
            ..Snapshot::default()
        };
        Self { snapshot, settings, ledger, now }
    }

    fn plan(&self) -> tidegate::model::plan::Plan {
        tidegate::plan::plan(&self.snapshot, &self.settings, &self.ledger, self.now)
    }
}

fn ago(now: Timestamp, seconds: usize) -> Timestamp {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    now.saturating_sub(SignedDuration::from_secs(seconds)).unwrap_or(now)
}

fn name(kind: &str, place: usize) -> String {
    format!("{kind}-{place:04}")
}

fn settings(queues: usize) -> Settings {
    let pools = queues.div_ceil(QUEUES_A_POOL);
    let budget = |name: &str, scope, per| Budget {
        name: name.into(),
        scope,
        per,
        limit: Money::from_micros(10_000_000_000_000),
        hard: true,
        already_spent: Money::ZERO,
        at: tidegate::model::settings::Ladder::default(),
    };
    let of_queue = |place| BudgetScope::Queue(name("queue", place).into());
    Settings {
        revision: Revision::new("bench"),
        clearml: ClearmlSettings::default(),
        the_loop: LoopSettings {
            fleet: "bench".into(),
            poll: Poll::Auto,
            count_foreign: true,
            price_of_waiting: Rate::from_micros_per_hour(2_000_000),
            on_exit: OnExit::Leave,
            time_zone: TimeZone::UTC,
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
        limits: Limits { max: Some(1_000_000), max_gpu: Some(4_000_000), ..Limits::default() },
        accounts: Vec::new(),
        notify: Vec::new(),
        schedules: Vec::new(),
        keys: std::collections::BTreeMap::new(),
        budgets: (0..queues)
            .map(|place| budget(&name("budget", place), of_queue(place), Per::Calendar(Period::Day)))
            .chain([budget("month", BudgetScope::All, Per::Calendar(Period::Month))])
            .collect(),
        queues: (0..queues)
            .map(|place| QueueSettings {
                name: name("queue", place).into(),
                pools: [place % pools, (place + 1) % pools].map(|pool| name("pool", pool).into()).into(),
                priority: i32::try_from(place % 7).unwrap_or(0),
                limits: Limits { max: Some(60), ..Limits::default() },
                on_lost: OnLost::Requeue(1),
                expected_task: SignedDuration::from_hours(1),
                policy: None,
            })
            .collect(),
        pools: (0..pools)
            .map(|place| PoolSettings {
                region: "us-east-1".to_owned(),
                types: vec!["g5.xlarge".into(), "g5.12xlarge".into()],
                limits: Limits { max: Some(250), ..Limits::default() },
                min: 1,
                launch: LaunchSettings { disk_gb: Some(100), ..LaunchSettings::default() },
                ..PoolSettings::with_defaults(name("pool", place).as_str())
            })
            .collect(),
    }
}

fn catalogue() -> Catalogue {
    let mut catalogue = Catalogue::default();
    for (machine_type, vcpu, gpu, rate) in [("g5.xlarge", 4, 1, 1_006_000), ("g5.12xlarge", 48, 4, 5_672_000)] {
        let on_demand = Some(Rate::from_micros_per_hour(rate));
        let spec = TypeSpec { vcpu, gpu, on_demand, spot: None, source: String::new(), spot_source: None };
        catalogue.insert(Provider::Aws, "us-east-1", machine_type.into(), spec);
    }
    catalogue
}

/// Of ten machines six are busy, two idle, one boots and one drains.
fn instance(place: usize, queues: usize, now: Timestamp) -> Instance {
    let phase = match place % INSTANCES_A_QUEUE {
        0..6 => Phase::Busy,
        6..8 => Phase::Idle,
        8 => Phase::Booting,
        _ => Phase::Draining,
    };
    let queue = place / INSTANCES_A_QUEUE;
    let pool = queue % queues.div_ceil(QUEUES_A_POOL);
    let task = RunningTask {
        id: name("task", place).into(),
        name: "train".to_owned(),
        queue: Some(name("queue", queue).into()),
        since: ago(now, 900),
    };
    let drain = Drain {
        nonce: "nonce".to_owned(),
        cause: DrainCause::Surplus,
        by: "loop".into(),
        ordered: ago(now, 20),
        acknowledged: Some(ago(now, 10)),
        cancelled: false,
        held: false,
        end_asked: None,
    };
    Instance {
        id: name("i", place).into(),
        provider: Provider::Aws,
        region: "us-east-1".to_owned(),
        pool: name("pool", pool).into(),
        home: name("queue", queue).into(),
        machine_type: "g5.xlarge".into(),
        zone: Some("us-east-1a".into()),
        market: Market::OnDemand,
        vcpu: 4,
        gpu: 1,
        rate: Some(Rate::from_micros_per_hour(1_006_000)),
        reservation: Money::from_micros(1_300_000),
        intent: None,
        origin: Origin::Launched,
        launched: ago(now, if phase == Phase::Booting { 300 } else { 4_000 + place % 100_000 }),
        ended: None,
        ends_by: None,
        phase,
        phase_since: ago(now, 300),
        fault: None,
        fault_why: None,
        silent_since: None,
        worker: Some(name("bench:pool:g5.xlarge:i", place).into()),
        last_report: Some(ago(now, 5)),
        agents: Agents::default(),
        task: (phase == Phase::Busy).then_some(task),
        more_tasks: Vec::new(),
        registered: phase != Phase::Booting,
        drain: (phase == Phase::Draining).then_some(drain),
        hold: None,
        boot: None,
        power: Power::On,
        drift: Vec::new(),
        replace: None,
        off_outside: None,
        no_start_until: None,
        pod: None,
    }
}

fn interval(instance: &Instance) -> Interval {
    let task = instance.task.as_ref().map(|task| task.id.clone());
    let share = |from, task| Share { task, ..Share::idle(from, instance.home.clone()) };
    Interval {
        instance: instance.id.clone(),
        pool: instance.pool.clone(),
        home: instance.home.clone(),
        rate: instance.rate,
        extras: Rate::ZERO,
        disks: Rate::ZERO,
        off: false,
        reservation: instance.reservation,
        start: instance.launched,
        end: None,
        shares: vec![share(instance.launched, None), share(instance.phase_since, task)],
    }
}

fn state(name: &QueueName, waiting: usize, now: Timestamp) -> QueueState {
    let entry = |place| QueueEntry { task: format!("{name}-{place}").as_str().into(), added: ago(now, 5_000 - place) };
    QueueState {
        name: name.clone(),
        id: Some(name.as_str().into()),
        nearest: None,
        retried: 0,
        waiting: (0..waiting).map(entry).collect(),
        phantoms: Vec::new(),
    }
}

fn source(name: &str, now: Timestamp) -> Source {
    Source {
        name: name.to_owned(),
        last_good: Some(ago(now, 3)),
        stale_after: SignedDuration::from_secs(60),
        error: None,
        credentials_end: None,
    }
}
