//! A small world for the rules' tests: one queue `train`, one pool `gpu` of g5.xlarge, everything fresh.

use std::sync::{Arc, LazyLock};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::check::check;
use crate::model::catalogue::{Catalogue, TypeSpec};
use crate::model::ids::{InstanceId, QueueName, Revision};
use crate::model::instance::{Agents, Drain, DrainCause, Hold, Instance, Origin, Phase, Power, RunningTask};
use crate::model::ledger::{Interval, Ledger, Share};
use crate::model::money::{Money, Rate};
use crate::model::observed::QueueEntry;
use crate::model::plan::Plan;
use crate::model::record::{Intent, IntentOutcome};
use crate::model::settings::{
    Budget, BudgetScope, ClearmlSettings, KeepAlive, Ladder, Limits, LoopSettings, Market, OnExit, OnLost, Per, Period,
    Poll, PoolSettings, Provider, QueueSettings, Settings,
};
use crate::model::snapshot::{Ask, Order, QueueState, Snapshot, Source};

/// Everything that `plan` is given.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) snapshot: Snapshot,
    pub(super) settings: Settings,
    pub(super) ledger: Ledger,
    pub(super) now: Timestamp,
}

/// 2026-11-02T08:00:00Z; not read from text, which takes longer than a plan.
const NOW: Timestamp = Timestamp::constant(1_793_606_400, 0);

pub(super) fn now() -> Timestamp {
    NOW
}

pub(super) fn ago(seconds: i64) -> Timestamp {
    now().checked_sub(SignedDuration::from_secs(seconds)).unwrap()
}

pub(super) fn secs(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

pub(super) fn queue(name: &str, pools: &[&str]) -> QueueSettings {
    QueueSettings {
        name: name.into(),
        pools: pools.iter().map(|pool| (*pool).into()).collect(),
        priority: 0,
        limits: Limits::default(),
        on_lost: OnLost::Requeue(1),
        expected_task: SignedDuration::from_hours(1),
        policy: None,
    }
}

pub(super) fn pool(name: &str, types: &[&str]) -> PoolSettings {
    PoolSettings {
        region: "us-east-1".to_owned(),
        types: types.iter().map(|machine_type| (*machine_type).into()).collect(),
        keep_alive: KeepAlive::For(secs(600)),
        ..PoolSettings::with_defaults(name)
    }
}

pub(super) fn budget(name: &str, scope: BudgetScope, limit: &str) -> Budget {
    Budget {
        name: name.into(),
        scope,
        per: Per::Calendar(Period::Day),
        limit: limit.parse().unwrap(),
        hard: true,
        already_spent: Money::ZERO,
        at: Ladder::default(),
    }
}

pub(super) fn instance(id: &str, phase: Phase) -> Instance {
    let registered = !matches!(phase, Phase::Pending | Phase::Booting);
    let task =
        RunningTask { id: format!("t-{id}").as_str().into(), name: "bert".to_owned(), queue: None, since: ago(60) };
    Instance {
        id: id.into(),
        provider: Provider::Aws,
        region: "us-east-1".to_owned(),
        pool: "gpu".into(),
        home: "train".into(),
        machine_type: "g5.xlarge".into(),
        zone: None,
        market: Market::OnDemand,
        vcpu: 4,
        gpu: 1,
        rate: Some(Rate::from_micros_per_hour(1_006_000)),
        reservation: Money::from_micros(1_300_000),
        intent: None,
        origin: Origin::Launched,
        launched: ago(600),
        ended: None,
        ends_by: None,
        phase,
        phase_since: ago(300),
        boot: None,
        fault: None,
        fault_why: None,
        silent_since: None,
        worker: None,
        last_report: Some(ago(5)),
        agents: Agents::default(),
        task: (phase == Phase::Busy).then_some(task),
        more_tasks: Vec::new(),
        registered,
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

/// A machine that was switched off so many seconds ago.
pub(super) fn off(id: &str, seconds: i64) -> Instance {
    let power = Power::Off { since: ago(seconds) };
    Instance { power, registered: false, rate: None, ..instance(id, Phase::Stopped) }
}

pub(super) fn drain(cause: DrainCause, ordered: i64, acknowledged: Option<i64>) -> Drain {
    Drain {
        nonce: "n".to_owned(),
        cause,
        by: "loop".into(),
        ordered: ago(ordered),
        acknowledged: acknowledged.map(ago),
        cancelled: false,
        held: false,
        end_asked: None,
    }
}

pub(super) fn hold(seconds: i64) -> Hold {
    Hold { until: ago(-seconds), by: "ann".into(), why: "profiling".to_owned() }
}

pub(super) fn intent(id: &str, pool: &str, queue: &str) -> Intent {
    Intent {
        id: id.into(),
        batch: "b".into(),
        pool: pool.into(),
        queue: queue.into(),
        provider: Provider::Aws,
        region: "us-east-1".to_owned(),
        machine_type: "g5.xlarge".into(),
        market: Market::OnDemand,
        vcpu: 4,
        gpu: 1,
        rate: Some(Rate::from_micros_per_hour(1_006_000)),
        reservation: Money::from_micros(1_300_000),
        opened: ago(5),
        revision: Revision::new("r"),
        outcome: IntentOutcome::Open,
        starts: None,
        max_life: Some(SignedDuration::from_hours(24)),
        choices: Vec::new(),
    }
}

pub(super) fn interval(instance: &Instance) -> Interval {
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
        shares: vec![Share::idle(instance.launched, instance.home.clone())],
    }
}

pub(super) fn state(name: &QueueName, waiting: usize) -> QueueState {
    let entry = |place: usize| QueueEntry {
        task: format!("w-{name}-{place}").as_str().into(),
        added: ago(100 - i64::try_from(place.min(99)).unwrap()),
    };
    QueueState {
        name: name.clone(),
        id: Some(format!("id-{name}").as_str().into()),
        nearest: None,
        phantoms: Vec::new(),
        retried: 0,
        waiting: (0..waiting).map(entry).collect(),
    }
}

pub(super) fn source(name: &str, age: i64) -> Source {
    Source {
        name: name.to_owned(),
        last_good: Some(ago(age)),
        stale_after: secs(60),
        error: None,
        credentials_end: None,
    }
}

/// A few types with prices, one without, and any other unknown.
static CATALOGUE: LazyLock<Arc<Catalogue>> = LazyLock::new(|| Arc::new(catalogue()));

fn catalogue() -> Catalogue {
    let mut catalogue = Catalogue::default();
    for (machine_type, vcpu, gpu, rate) in [
        ("g5.xlarge", 4, 1, Some(1_006_000)),
        ("g5.12xlarge", 48, 4, Some(5_672_000)),
        ("m5.large", 2, 0, Some(96_000)),
        ("u1.huge", 64, 8, None),
    ] {
        let on_demand = rate.map(Rate::from_micros_per_hour);
        let spec = TypeSpec { vcpu, gpu, on_demand, spot: None, source: String::new(), spot_source: None };
        catalogue.insert(Provider::Aws, "us-east-1", machine_type.into(), spec.clone());
        catalogue.insert(Provider::Aws, "eu-west-1", machine_type.into(), spec);
    }
    catalogue
}

impl World {
    pub(super) fn new() -> Self {
        let settings = Settings {
            revision: Revision::new("r"),
            clearml: ClearmlSettings::default(),
            the_loop: LoopSettings {
                fleet: "lab".into(),
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
            limits: Limits::default(),
            accounts: Vec::new(),
            notify: Vec::new(),
            schedules: Vec::new(),
            keys: std::collections::BTreeMap::new(),
            budgets: Vec::new(),
            queues: vec![queue("train", &["gpu"])],
            pools: vec![pool("gpu", &["g5.xlarge"])],
        };
        let snapshot = Snapshot {
            catalogue: Arc::clone(&CATALOGUE),
            sources: vec![source("clearml", 5), source("aws us-east-1", 5), source("aws eu-west-1", 5)],
            ..Snapshot::default()
        };
        Self { snapshot, settings, ledger: Ledger::default(), now: now() }
    }

    /// So many tasks wait.
    pub(super) fn waiting(mut self, queue: &str, count: usize) -> Self {
        let name = QueueName::from(queue);
        self.snapshot.queues.retain(|state| state.name != name);
        self.snapshot.queues.push(state(&name, count));
        self
    }

    /// The machine is up and billed.
    pub(super) fn with(mut self, instance: Instance) -> Self {
        self.ledger.open_interval(interval(&instance));
        self.snapshot.instances.push(instance);
        self
    }

    pub(super) fn intent(mut self, pool: &str, queue: &str) -> Self {
        let id = format!("n.{}", self.snapshot.intents.len());
        self.snapshot.intents.push(intent(&id, pool, queue));
        self
    }

    pub(super) fn asked(mut self, what: Ask) -> Self {
        self.snapshot.orders.push(Order { by: "ann".into(), what });
        self
    }

    /// For so many seconds at least 1, 2, ... machines of `gpu` have been more than needed.
    pub(super) fn surplus(mut self, seconds: &[i64]) -> Self {
        self.snapshot.surplus.insert("gpu".into(), seconds.iter().map(|seconds| ago(*seconds)).collect());
        self
    }

    /// The source last answered so many seconds ago.
    pub(super) fn last_heard(mut self, name: &str, age: i64) -> Self {
        self.snapshot.sources.retain(|source| source.name != name);
        self.snapshot.sources.push(source(name, age));
        self
    }

    pub(super) fn set(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    pub(super) fn plan(&self) -> Plan {
        let plan = super::plan(&self.snapshot, &self.settings, &self.ledger, self.now);
        let broken = check(&plan, &self.snapshot, &self.settings, &self.ledger, self.now);
        assert!(broken.is_empty(), "{broken:?}");
        plan
    }

    /// What is done and what is refused, a line each: `grow: launch 1 x ...: why`, `NOT grow train gpu (2 short): why`.
    pub(super) fn told(&self) -> Vec<String> {
        told(&self.plan())
    }

    pub(super) fn expect(&self, lines: &[&str]) {
        assert_eq!(self.told(), lines);
    }
}

pub(super) fn told(plan: &Plan) -> Vec<String> {
    let done =
        plan.actions.iter().map(|planned| format!("{}: {}: {}", planned.rule.word(), planned.action, planned.reason));
    let refused = plan.refusals.iter().map(|refusal| {
        let queue = refusal.queue.iter().map(ToString::to_string);
        let pool = refusal.pool.iter().map(ToString::to_string);
        let instance = refusal.instance.iter().map(InstanceId::to_string);
        let about: Vec<_> = queue.chain(pool).chain(instance).collect();
        let short = if refusal.short_of > 0 { format!(" ({} short)", refusal.short_of) } else { String::new() };
        format!("NOT {} {}{short}: {}", refusal.rule.word(), about.join(" "), refusal.reason)
    });
    done.chain(refused).collect()
}
