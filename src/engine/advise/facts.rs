//! The world as a policy is told it: plain data, in whole seconds and dollars, the same for scripts and for programs.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::model::calendar;
use crate::model::ids::{MachineType, PoolName, ProjectName, UserName};
use crate::model::instance::{Instance, Phase};
use crate::model::ledger::Ledger;
use crate::model::money::{Money, Rate};
use crate::model::record::Samples;
use crate::model::settings::{Budget, PoolSettings, QueueSettings, Settings};
use crate::model::snapshot::Snapshot;

/// So many waiting tasks of a queue are told one by one, the first first; the others are only counted.
const TOLD: usize = 1_000;

const MICROS: f64 = 1_000_000.0;

/// What a policy is told. A field that is not known is `()` to a script and `null` to a program.
#[derive(Debug, Serialize)]
pub(super) struct Facts<'a> {
    /// Of this shape.
    version: u32,
    /// `2026-11-29T15:04:05Z`.
    now: String,
    local: Local,
    /// By name.
    queues: BTreeMap<&'a str, QueueFacts<'a>>,
    pools: BTreeMap<&'a str, PoolFacts<'a>>,
    budgets: Vec<BudgetFacts<'a>>,
}

/// The time by the clock of `loop.time_zone`.
#[derive(Debug, Serialize)]
struct Local {
    date: String,
    hour: i8,
    minute: i8,
    /// `monday` .. `sunday`.
    weekday: &'static str,
    weekend: bool,
}

#[derive(Debug, Serialize)]
struct QueueFacts<'a> {
    priority: i32,
    pools: Vec<&'a str>,
    /// How many tasks wait; the first thousand are in `tasks`.
    waiting: usize,
    tasks: Vec<TaskFacts<'a>>,
    running: Vec<RunningFacts<'a>>,
    /// How long nine of ten tasks took, else what the settings expect.
    task_seconds: i64,
}

#[derive(Debug, Serialize)]
struct TaskFacts<'a> {
    id: &'a str,
    age_seconds: i64,
    user: Option<&'a str>,
    project: Option<&'a str>,
    tags: &'a [String],
}

#[derive(Debug, Serialize)]
struct RunningFacts<'a> {
    id: &'a str,
    seconds: i64,
    instance: &'a str,
    pool: &'a str,
    user: Option<&'a str>,
    project: Option<&'a str>,
    tags: &'a [String],
}

#[derive(Debug, Serialize)]
struct PoolFacts<'a> {
    provider: &'static str,
    region: &'a str,
    types: Vec<&'a str>,
    market: &'static str,
    /// Of a machine of its first type; null: nobody knows.
    gpu: Option<u32>,
    vcpu: Option<u32>,
    /// Tasks that a machine runs at a time.
    agents: u32,
    /// Dollars an hour of its first type, with disks and address.
    price: Option<f64>,
    max: Option<u32>,
    min: u32,
    idle: u32,
    busy: u32,
    /// On their way, intents included.
    starting: u32,
    draining: u32,
    /// How long nine of ten boots took.
    boot_seconds: Option<i64>,
}

#[derive(Debug, Serialize)]
struct BudgetFacts<'a> {
    name: &'a str,
    scope: String,
    per: String,
    hard: bool,
    /// Dollars.
    limit: f64,
    spent: f64,
    committed: f64,
}

impl<'a> Facts<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, settings: &'a Settings, ledger: &Ledger, now: Timestamp) -> Self {
        Self {
            version: 1,
            now: now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            local: Local::new(settings, now),
            queues: settings.queues.iter().map(|queue| (queue.name.as_str(), of_queue(queue, snapshot, now))).collect(),
            pools: settings.pools.iter().map(|pool| (pool.name.as_str(), of_pool(pool, snapshot, now))).collect(),
            budgets: budgets(settings, ledger, now),
        }
    }
}

impl Local {
    fn new(settings: &Settings, now: Timestamp) -> Self {
        let local = now.to_zoned(settings.the_loop.time_zone.clone());
        let days = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
        let day = usize::try_from(local.weekday().to_monday_zero_offset()).unwrap_or_default();
        Self {
            date: local.date().to_string(),
            hour: local.hour(),
            minute: local.minute(),
            weekday: days.get(day).copied().unwrap_or_default(),
            weekend: day >= 5,
        }
    }
}

fn of_queue<'a>(queue: &'a QueueSettings, snapshot: &'a Snapshot, now: Timestamp) -> QueueFacts<'a> {
    let owner = |task| {
        let owner = snapshot.owners.get(task);
        let user = owner.and_then(|owner| owner.user.as_ref()).map(UserName::as_str);
        (user, owner.and_then(|owner| owner.project.as_ref()).map(ProjectName::as_str))
    };
    let tags = |task| snapshot.tags.get(task).map(Vec::as_slice).unwrap_or_default();
    let waiting = snapshot.queue(&queue.name).map(|state| state.waiting.as_slice()).unwrap_or_default();
    let tasks = waiting.iter().take(TOLD).map(|entry| {
        let (user, project) = owner(&entry.task);
        let age_seconds = now.duration_since(entry.added).as_secs();
        TaskFacts { id: entry.task.as_str(), age_seconds, user, project, tags: tags(&entry.task) }
    });
    let here = |instance: &'a Instance| instance.tasks().map(move |task| (instance, task));
    let running = snapshot.instances.iter().flat_map(here);
    let running = running.filter(|(instance, task)| *task.queue.as_ref().unwrap_or(&instance.home) == queue.name);
    let learned = snapshot.learned.tasks.get(&queue.name).and_then(Samples::p90);
    QueueFacts {
        priority: queue.priority,
        pools: queue.pools.iter().map(PoolName::as_str).collect(),
        waiting: waiting.len(),
        tasks: tasks.collect(),
        running: running
            .map(|(instance, task)| {
                let (user, project) = owner(&task.id);
                RunningFacts {
                    id: task.id.as_str(),
                    seconds: now.duration_since(task.since).as_secs(),
                    instance: instance.id.as_str(),
                    pool: instance.pool.as_str(),
                    user,
                    project,
                    tags: tags(&task.id),
                }
            })
            .collect(),
        task_seconds: learned.unwrap_or(queue.expected_task).as_secs(),
    }
}

fn of_pool<'a>(pool: &'a PoolSettings, snapshot: &Snapshot, now: Timestamp) -> PoolFacts<'a> {
    let offer = pool.types.first().map(|first| snapshot.catalogue.offer(pool, first, pool.market, now));
    let machines = |phases: &[Phase]| {
        let of =
            |instance: &&Instance| instance.pool == pool.name && instance.counts() && phases.contains(&instance.phase);
        u32::try_from(snapshot.instances.iter().filter(of).count()).unwrap_or(u32::MAX)
    };
    let intents = snapshot.intents.iter().filter(|intent| intent.pool == pool.name).count();
    PoolFacts {
        provider: pool.provider.word(),
        region: &pool.region,
        types: pool.types.iter().map(MachineType::as_str).collect(),
        market: pool.market.word(),
        gpu: offer.and_then(|offer| offer.known_gpus()),
        vcpu: offer.and_then(|offer| offer.known_vcpus()),
        agents: pool.agent.agents(),
        price: offer.and_then(|offer| offer.rate).map(hourly),
        max: pool.limits.max,
        min: pool.min,
        idle: machines(&[Phase::Idle]),
        busy: machines(&[Phase::Busy]),
        starting: machines(&[Phase::Pending, Phase::Booting]) + u32::try_from(intents).unwrap_or(u32::MAX / 2),
        draining: machines(&[Phase::Draining, Phase::Stopping]),
        boot_seconds: snapshot
            .learned
            .boots
            .get(&pool.name)
            .and_then(Samples::p90)
            .map(|boot: SignedDuration| boot.as_secs()),
    }
}

fn budgets<'a>(settings: &'a Settings, ledger: &Ledger, now: Timestamp) -> Vec<BudgetFacts<'a>> {
    let budget = |budget: &'a Budget| {
        let start = calendar::bounds_of(budget.per, &settings.the_loop.time_zone, now).start;
        let scope = budget.scope.among(&settings.pools);
        let spent = ledger.spent(&scope, start, now) + budget.spent_before_ledger(start, ledger.whole_since);
        BudgetFacts {
            name: budget.name.as_str(),
            scope: budget.scope.to_string(),
            per: budget.per.to_string(),
            hard: budget.hard,
            limit: dollars(budget.limit),
            spent: dollars(spent),
            committed: dollars(ledger.committed(&scope, now)),
        }
    };
    settings.budgets.iter().map(budget).collect()
}

#[expect(clippy::cast_precision_loss, reason = "a policy is told dollars; nothing is booked by them")]
fn dollars(money: Money) -> f64 {
    money.micros() as f64 / MICROS
}

#[expect(clippy::cast_precision_loss, reason = "a policy is told dollars; nothing is booked by them")]
fn hourly(rate: Rate) -> f64 {
    rate.micros_per_hour() as f64 / MICROS
}
