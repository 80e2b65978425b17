//! Judges each step by the invariants of the design, from the records, the world's truth and books of its own.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::books::Books;
use super::world::World;
use crate::engine::seen::facts::Observation;
use crate::engine::step::{Begun, Stepper};
use crate::model::bound::Ends;
use crate::model::calendar::{Bounds, bounds_of};
use crate::model::ids::{Actor, BudgetName, InstanceId, IntentId};
use crate::model::observed::CloudState;
use crate::model::plan::{Action, Rule};
use crate::model::record::{Intent, Record};
use crate::model::settings::ladder::Step;
use crate::model::settings::{Budget, BudgetScope, Limits, Per, Settings};
use crate::model::snapshot::Source;
use crate::plan::check::Broken;

/// A machine's end is in the ledger of a loop that is awake so long after it at the latest, in milliseconds.
const SETTLED: i64 = 15 * 60_000;

/// What a look said, as far as the judge asks.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub running: BTreeSet<InstanceId>,
    pub listed: BTreeSet<InstanceId>,
    pub good: Vec<String>,
}

impl Seen {
    pub(super) fn of(observation: &Observation) -> Self {
        let mut seen = Self::default();
        if observation.clearml.is_ok() {
            seen.good.push(Source::CLEARML.to_owned());
        }
        for (region, machines) in &observation.regions {
            let Ok(machines) = machines else { continue };
            seen.good.push(Source::region(region.provider, &region.name));
            let runs = |state| matches!(state, CloudState::Pending | CloudState::Running);
            seen.listed.extend(machines.iter().map(|machine| machine.id.clone()));
            let running = machines.iter().filter(|machine| runs(machine.state));
            seen.running.extend(running.map(|machine| machine.id.clone()));
        }
        seen
    }
}

/// A budget that was crossed, and how far at most, as it stood on the screen then.
#[derive(Debug)]
struct Crossed {
    scope: BudgetScope,
    period: Bounds,
    at: i64,
    /// Spent at the period's end, at most.
    at_most: i64,
    by: Ends,
    /// A machine's bill is whole micro-dollars: so many may be rounded the other way.
    grains: i64,
    over_at_most: i64,
    runs: usize,
    intents: Vec<IntentId>,
    /// When the period was first seen to be over; the loop may have slept until then.
    seen_over: Option<i64>,
}

/// How far budgets were overrun, against how far at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Overrun {
    pub bound: i64,
    pub actual: i64,
}

#[derive(Debug, Default)]
pub(super) struct Judge {
    pub books: Books,
    good_at: BTreeMap<String, Timestamp>,
    crossed: BTreeMap<BudgetName, Crossed>,
    pub overruns: Vec<Overrun>,
    /// Machines that the last look showed: of another nobody can know when exactly it ended.
    pub listed: BTreeSet<InstanceId>,
    /// Launches that a hard budget was asked about.
    pub governed: u64,
    pub crimes: Vec<String>,
}

impl Judge {
    fn crime(&mut self, invariant: u8, what: impl std::fmt::Display) {
        self.crimes.push(format!("{invariant}: {what}"));
    }

    /// The clock jumped: what was seen before counts for nothing, and a period's end is elsewhere.
    pub(super) fn jumped(&mut self) {
        self.good_at.clear();
        self.crossed.clear();
    }

    /// The store was lost, and the ledger with it.
    pub(super) fn forget(&mut self) {
        self.books = Books::default();
        self.crossed.clear();
        self.good_at.clear();
    }

    pub(super) fn restarted(&mut self) {
        self.good_at.clear();
    }

    /// What was written down since the last time.
    pub(super) fn hear(&mut self, records: &[Record], world: &World, loop_: &Stepper) {
        let journal = records.iter().any(|record| matches!(record, Record::Journal(_)));
        for record in records {
            self.books.enter(record);
            match record {
                Record::IntentOpened(intent) if intent.revision != loop_.settings().revision => {
                    self.crime(8, format_args!("intent {} has another revision", intent.id));
                }
                Record::Opened(opened) => {
                    let (start, id) = (opened.interval.start.as_millisecond(), &opened.known.id);
                    let truth = world.machines.iter().find(|machine| machine.id == *id);
                    let launched = truth.map(|machine| machine.launched);
                    let anew = opened.known.origin != crate::model::instance::Origin::Launched;
                    if launched.is_some_and(|launched| launched != start) && !anew {
                        self.crime(13, format_args!("{id} is billed from {start}, not {launched:?}"));
                    }
                }
                Record::Closed { instance, end } => {
                    let truth = world.machines.iter().find(|machine| machine.id == *instance);
                    let listed = truth.filter(|machine| self.listed.contains(&machine.id));
                    let ended = listed.and_then(|machine| machine.ended);
                    if ended.is_some_and(|ended| ended != end.as_millisecond()) {
                        self.crime(13, format_args!("the bill of {instance} ends at {end}, not {ended:?}"));
                    }
                }
                Record::Gone { instance, .. } => {
                    let runs = |state| matches!(state, CloudState::Pending | CloudState::Running);
                    if world.machines.iter().any(|machine| machine.id == *instance && runs(machine.state)) {
                        self.crime(5, format_args!("{instance} is forgotten while it runs"));
                    }
                }
                Record::StopSent { .. } | Record::PowerSet { .. } | Record::IntentClosed { .. } if !journal => {
                    self.crime(8, format_args!("nothing is told of {record:?}"));
                }
                _ => {}
            }
        }
    }

    /// A step: what was decided, begun and found broken.
    pub(super) fn judge(
        &mut self,
        loop_: &Stepper,
        seen: &Seen,
        step: (&[Begun], &[Broken]),
        opened: &[Intent],
        now: Timestamp,
    ) {
        let (begun, broken) = step;
        for source in &seen.good {
            self.good_at.insert(source.clone(), now);
        }
        for broken in broken {
            self.crime(broken.invariant.number(), format_args!("the check finds: {broken}"));
        }
        if let Some((_, deed)) = begun.first() {
            if !loop_.leads() {
                self.crime(10, format_args!("{deed} without the lead"));
            }
            if !loop_.memory().armed {
                self.crime(14, format_args!("a dry run does: {deed}"));
            }
        }
        if !opened.is_empty() {
            self.limits(loop_, opened);
            self.money(loop_, opened, now);
        }
        self.unknown(loop_, begun, now);
        for planned in &loop_.plan().actions {
            if planned.reason.to_string().is_empty() {
                self.crime(8, format_args!("no reason for {}", planned.action));
            }
        }
        if loop_.leads() && !loop_.is_stuck() {
            let memory = loop_.memory();
            for id in &seen.running {
                let intended = memory.intents.values().any(|intent| intent.starts.as_ref() == Some(id));
                if !memory.ledger.open().contains_key(id) && !intended {
                    self.crime(5, format_args!("{id} runs and is in no ledger"));
                }
            }
        }
    }

    /// Invariant 6: nothing is begun on a word that is too old.
    fn unknown(&mut self, loop_: &Stepper, begun: &[Begun], now: Timestamp) {
        let Some(stale_after) = loop_.snapshot().sources.first().map(|source| source.stale_after) else { return };
        let good = self.good_at.get(Source::CLEARML);
        let fresh = good.is_some_and(|at| now.duration_since(*at) <= stale_after);
        if fresh {
            return;
        }
        let by_loop = loop_.plan().actions.iter().filter(|planned| planned.by == Actor::the_loop());
        let acts = |action: &Action| {
            matches!(action, Action::Launch(_) | Action::Stop { .. } | Action::SwitchOff { .. } | Action::Drain { .. })
        };
        let found = by_loop.map(|planned| &planned.action).find(|action| acts(action)).map(ToString::to_string);
        if let Some(action) = found.filter(|_| !begun.is_empty()) {
            self.crime(6, format_args!("{action}, though ClearML was not heard"));
        }
    }

    /// Invariant 1: everything that is known and not off, and every intent, against each limit that a new intent takes from.
    fn limits(&mut self, loop_: &Stepper, opened: &[Intent]) {
        let (memory, settings) = (loop_.memory(), loop_.settings());
        let mut rows: Vec<(&str, &str, [i64; 4])> = Vec::new();
        for known in memory.known.values().filter(|known| !known.power.is_off()) {
            let rate = self.books.of(&known.id).map_or(0, |run| run.rate);
            rows.push((known.pool.as_str(), known.home.as_str(), [1, known.gpu.into(), known.vcpu.into(), rate]));
        }
        for intent in memory.intents.values() {
            let rate = intent.rate.map_or(0, crate::model::money::Rate::micros_per_hour);
            let row = [1, intent.gpu.into(), intent.vcpu.into(), rate];
            rows.push((intent.pool.as_str(), intent.queue.as_str(), row));
        }
        let mut passed = Vec::new();
        let mut hold = |what: &str, limits: &Limits, of: &dyn Fn(&str, &str) -> bool| {
            let mut used = [0_i64; 4];
            for (pool, queue, row) in &rows {
                if of(pool, queue) {
                    used.iter_mut().zip(row).for_each(|(used, more)| *used += more);
                }
            }
            let hourly = limits.max_hourly.map(crate::model::money::Rate::micros_per_hour);
            let maxima =
                [limits.max.map(i64::from), limits.max_gpu.map(i64::from), limits.max_vcpu.map(i64::from), hourly];
            let takes = |intent: &Intent| {
                let rate = intent.rate.map_or(0, crate::model::money::Rate::micros_per_hour);
                [1, i64::from(intent.gpu), i64::from(intent.vcpu), rate]
            };
            for (place, (used, max)) in used.into_iter().zip(maxima).enumerate() {
                let mut news = opened.iter().filter(|intent| of(intent.pool.as_str(), intent.queue.as_str()));
                let takes = news.any(|intent| takes(intent).get(place).is_some_and(|takes| *takes > 0));
                if let Some(max) = max.filter(|max| takes && used > *max) {
                    passed.push(format!("{used} of {max} (limit {place}) of {what}"));
                }
            }
        };
        hold("all", &settings.limits, &|_, _| true);
        for pool in &settings.pools {
            hold(pool.name.as_str(), &pool.limits, &|of, _| of == pool.name.as_str());
        }
        for queue in &settings.queues {
            hold(queue.name.as_str(), &queue.limits, &|_, of| of == queue.name.as_str());
        }
        for what in passed {
            self.crime(1, what);
        }
    }

    /// Invariant 2, by the judge's own books.
    fn money(&mut self, loop_: &Stepper, opened: &[Intent], now: Timestamp) {
        let (memory, settings) = (loop_.memory(), loop_.settings());
        let at = now.as_millisecond();
        for budget in settings.budgets.iter().filter(|budget| budget.hard && budget.scope.holds_launches()) {
            let scope = budget.scope.among(&settings.pools);
            if !opened.iter().any(|intent| scope.of_launch(&intent.pool, &intent.queue)) {
                continue;
            }
            self.governed += 1;
            let period = period(budget, settings, now);
            let spent = self.books.spent(&scope, period.start.as_millisecond(), i64::MAX, at);
            let before = budget.spent_before_ledger(period.start, memory.ledger.whole_since).micros();
            let committed = self.books.committed(&scope, at);
            let intents = memory.intents.values().filter(|intent| scope.of_launch(&intent.pool, &intent.queue));
            let reserved: i64 = intents.map(|intent| intent.reservation.micros()).sum();
            let limit = budget.limit.micros();
            if spent + before + committed + reserved > limit {
                let what = format_args!(
                    "a launch crosses {}: {spent} + {before} spent, {committed} committed, {reserved} reserved of {limit}",
                    budget.name
                );
                self.crimes.push(format!("2: {what}"));
            }
        }
    }

    /// Which budgets are crossed, how far at most by what the screen says then, and how far those were whose period is over.
    pub(super) fn overruns(&mut self, loop_: &Stepper, now: Timestamp) {
        let settings = loop_.settings();
        let at = now.as_millisecond();
        let over = self.crossed.extract_if(.., |_, crossed| {
            at > crossed.period.end.as_millisecond() && at > *crossed.seen_over.get_or_insert(at) + SETTLED
        });
        for (name, crossed) in over.collect::<Vec<_>>() {
            if self.books.has_newcomer(crossed.runs, &crossed.intents) {
                continue;
            }
            let (start, end) = (crossed.period.start.as_millisecond(), crossed.period.end.as_millisecond());
            let spent = self.books.spent(&crossed.scope.among(&settings.pools), start, end, at);
            let actual = spent - (crossed.at_most - crossed.over_at_most);
            self.overruns.push(Overrun { bound: crossed.over_at_most, actual });
            // A step that kills needs a loop that may act; here it is often kept from that.
            if spent > crossed.at_most + crossed.grains && crossed.by != Ends::Kill {
                let Crossed { at, at_most, .. } = crossed;
                self.crimes.push(format!("2: budget {name} crossed at {at}: {spent} spent, at most {at_most}"));
            }
        }
        for budget in settings.budgets.iter().filter(|budget| matches!(budget.per, Per::Calendar(_))) {
            let period = period(budget, settings, now);
            let spent =
                self.books.spent(&budget.scope.among(&settings.pools), period.start.as_millisecond(), i64::MAX, at);
            if spent <= budget.limit.micros() || self.crossed.contains_key(&budget.name) {
                continue;
            }
            let shown = loop_.budgets(now).into_iter().find(|shown| shown.name == budget.name);
            let Some(bound) = shown.and_then(|shown| shown.bound) else { continue };
            let crossed = Crossed {
                scope: budget.scope.clone(),
                period,
                at,
                at_most: bound.most.micros(),
                by: bound.by,
                grains: i64::try_from(self.books.open().count() + loop_.memory().intents.len()).unwrap_or(i64::MAX),
                over_at_most: bound.most.micros() - budget.limit.micros(),
                runs: self.books.len(),
                intents: loop_.memory().intents.keys().cloned().collect(),
                seen_over: None,
            };
            self.crossed.insert(budget.name.clone(), crossed);
        }
    }

    /// The machines that are killed by people, and by a budget's own step: as much must be spent.
    pub(super) fn killed<'p>(&mut self, loop_: &'p Stepper, now: Timestamp) -> Vec<&'p InstanceId> {
        let settings = loop_.settings();
        let kills_of = |rule: Rule| {
            let of_rule = loop_.plan().actions.iter().filter(move |planned| planned.rule == rule);
            of_rule.filter_map(|planned| match &planned.action {
                Action::Stop { instance, kill: true } => Some(instance),
                _ => None,
            })
        };
        let killed: Vec<&InstanceId> = kills_of(Rule::Budget).collect();
        let kills = |budget: &Budget| {
            let start = period(budget, settings, now).start.as_millisecond();
            let spent = self.books.spent(&budget.scope.among(&settings.pools), start, i64::MAX, now.as_millisecond());
            let mut rungs = budget.at.rungs().iter().filter(|rung| matches!(rung.step, Step::Kill { .. }));
            rungs.any(|rung| spent >= rung.amount(budget.limit).micros())
        };
        if let Some(instance) = killed.first().filter(|_| !settings.budgets.iter().any(kills)) {
            self.crime(3, format_args!("{instance} is killed by a budget that does not say so"));
        }
        killed.into_iter().chain(kills_of(Rule::Person)).collect()
    }
}

fn period(budget: &Budget, settings: &Settings, now: Timestamp) -> Bounds {
    bounds_of(budget.per, &settings.the_loop.time_zone, now)
}
