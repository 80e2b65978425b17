//! One world from its beginning to its end: the loop steps, things go wrong, and each step is judged; then luck is good
//! and no task comes any more, and all must come to rest.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::house::{BEGINS, House, catalogue, one};
use super::judge::{Judge, Seen};
use super::kinds::{Counts, Kind};
use super::looks::Older;
use super::people::{COMMON, RARE, Undo};
use super::trouble::OF_THE_WORLD;
use super::world::{MINUTE, Millis, Troubles, World, stamp};
use crate::engine::act::deed::{Deed, Done, Failed};
use crate::engine::step::{Begun, Stepper};
use crate::model::observed::CloudState;
use crate::model::plan::{Action, Plan};
use crate::model::record::{Intent, Record};
use crate::model::snapshot::Order;
use crate::world::sim::random::Dice;

/// Once luck is good, so many steps are enough to come to rest.
pub(super) const CALM: u32 = 500;

/// Then nothing is done any more for so many.
const REST: u32 = 12;

/// What is wrong, and at which step it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub seed: u64,
    pub tick: u32,
    /// Invariant and sentence.
    pub what: String,
}

/// What came of a world.
#[derive(Debug, Default)]
pub(super) struct Came {
    pub ticks: u64,
    pub counts: Counts,
    pub failure: Option<Failure>,
    pub launches: u64,
    pub governed: u64,
    /// Bound and overrun of crossed budgets, in micro-dollars.
    pub overruns: Vec<(i64, i64)>,
    pub trace: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Episode {
    seed: u64,
    pub world: World,
    pub stepper: Stepper,
    pub house: House,
    pub judge: Judge,
    /// How far the loop's clock is from the true time.
    pub skew: Millis,
    pub orders: Vec<Order>,
    pub replies: Vec<(Millis, u64, Result<Done, Failed>)>,
    pub undo: Vec<(Millis, Undo)>,
    /// The loop dies as it next does something.
    pub crash: Option<Kind>,
    older: Older,
    zone: TimeZone,
    tick: u32,
    launches: u64,
    /// What happened, where that is wanted.
    trace: Option<Vec<String>>,
}

impl Episode {
    pub(super) fn new(seed: u64) -> Result<Self, String> {
        let mut dice = Dice::new(seed, "soak", 0);
        let house = House::drawn(&mut dice);
        let begins = one(&mut dice, &BEGINS).copied().unwrap_or_default() * 1_000;
        let start = begins + Millis::from(dice.between(0, 86_400_000));
        let names = house.queues.iter().map(|queue| queue.name.clone());
        let world = World::new(dice, start, names);
        let stepper = Stepper::new(&house.text(), catalogue(100, None), seed, stamp(start))?;
        Ok(Self {
            seed,
            zone: stepper.settings().the_loop.time_zone.clone(),
            world,
            stepper,
            house,
            judge: Judge::default(),
            skew: 0,
            orders: Vec::new(),
            replies: Vec::new(),
            undo: Vec::new(),
            crash: None,
            older: Older::default(),
            tick: 0,
            launches: 0,
            trace: None,
        })
    }

    /// The same, with a line for everything that happens.
    pub(super) fn traced(seed: u64) -> Result<Self, String> {
        Ok(Self { trace: Some(Vec::new()), ..Self::new(seed)? })
    }

    /// By the loop's clock.
    pub(super) fn now(&self) -> Timestamp {
        stamp(self.world.now + self.skew)
    }

    /// Plays the whole world, or up to the first failure.
    pub(super) fn play(mut self, ticks: u32) -> Came {
        // A dry run comes first; then a person arms it.
        self.undo.push((self.world.now + 60_000, Undo::Arm));
        while self.tick < ticks && self.is_right() {
            self.step();
        }
        if self.is_right() {
            self.calm_down();
        }
        let mut came = Came {
            ticks: self.tick.into(),
            launches: self.launches,
            governed: self.judge.governed,
            overruns: self.judge.overruns.iter().map(|overrun| (overrun.bound, overrun.actual)).collect(),
            ..Came::default()
        };
        let crimes = self.world.crimes.iter().chain(&self.judge.crimes);
        came.failure =
            crimes.clone().next().map(|what| Failure { seed: self.seed, tick: self.tick, what: what.clone() });
        came.counts = self.world.counts;
        came.trace = self.trace.unwrap_or_default();
        came
    }

    fn is_right(&self) -> bool {
        self.world.crimes.is_empty() && self.judge.crimes.is_empty()
    }

    fn step(&mut self) {
        self.tick += 1;
        let wait = Millis::try_from(self.stepper.interval().as_millis()).unwrap_or(10_000);
        self.pass_time(wait);
        if !self.world.calm {
            self.trouble();
        }
        self.undo();
        self.hear_replies();
        let now = self.now();
        let asked = self.stepper.asks(now);
        let regions: BTreeSet<usize> = self
            .house
            .pools
            .iter()
            .map(|pool| pool.region)
            .chain(self.world.machines.iter().map(|one| one.region))
            .collect();
        let regions: Vec<usize> = regions.into_iter().collect();
        let observation = self.world.look(&asked, &mut self.older, &regions, self.skew);
        let seen = Seen::of(&observation);
        self.judge.listed.clone_from(&seen.listed);
        let orders = std::mem::take(&mut self.orders);
        let lives = self.crash.is_none();
        self.stepper.set_dies(self.crash == Some(Kind::CrashBeforeIntent) && !self.world.calm);
        let (begun, broken) = self.stepper.step(observation, orders, now);
        let records = self.heard();
        let opened: Vec<Intent> = records
            .into_iter()
            .filter_map(|record| match record {
                Record::IntentOpened(intent) => Some(intent),
                _ => None,
            })
            .collect();
        self.launches += u64::try_from(opened.len()).unwrap_or_default();
        let killed = self.judge.killed(&self.stepper, now);
        self.world.kills_asked.extend(killed.into_iter().cloned());
        self.judge.judge(&self.stepper, &seen, (&begun, &broken), &opened, now);
        if self.tick.is_multiple_of(16) && lives {
            self.is_steady(now);
        }
        // By a clock that is wrong the screen's bound is wrong too, and says so.
        if self.tick.is_multiple_of(8) && self.skew == 0 {
            self.judge.overruns(&self.stepper, now);
        }
        if self.tick.is_multiple_of(32) {
            self.add_up(now);
        }
        self.carry_out(begun);
    }

    /// What was written down since the last time, judged.
    fn heard(&mut self) -> Vec<Record> {
        let records = self.stepper.take_told();
        self.judge.hear(&records, &self.world, &self.stepper);
        if self.world.now < self.world.all_killed_until {
            // What an emergency stop has decided is carried out however long that takes.
            let stops = records.iter().filter_map(|record| match record {
                Record::StopSent { instance, .. } => Some(instance.clone()),
                _ => None,
            });
            self.world.kills_asked.extend(stops);
        }
        let news = self.world.counts.take_news();
        if let Some(trace) = &mut self.trace {
            let at = format!("{:5} {}", self.tick, stamp(self.world.now).strftime("%dT%H:%M:%S"));
            trace.extend(news.iter().map(|kind| format!("{at} ! {kind}")));
            trace.extend(records.iter().map(|record| match record {
                Record::Journal(line) => format!("{at}   {} ({})", line.text, line.reason),
                record => format!("{at}     {record:?}"),
            }));
        }
        records
    }

    fn pass_time(&mut self, wait: Millis) {
        let before = self.now();
        let to = self.world.now + wait;
        self.world.advance(to);
        let offset = |at: Timestamp| self.zone.to_offset(at);
        if offset(before) != offset(self.now()) {
            self.world.counts.add(Kind::DstChange);
        }
        if !self.world.calm && self.world.waiting() < 20 && self.world.dice.chance(0.12) {
            let (queue, left) = (self.world.queue_by_lot(), self.world.length());
            self.world.add_task(queue, left);
        }
    }

    fn trouble(&mut self) {
        if self.world.dice.chance(0.055)
            && let Some(kind) = one(&mut self.world.dice, OF_THE_WORLD)
        {
            self.world.befall(*kind);
        }
        if self.world.dice.chance(0.055)
            && let Some(kind) = one(&mut self.world.dice, COMMON)
        {
            self.interfere(*kind);
        }
        if self.world.dice.chance(0.003)
            && let Some(kind) = one(&mut self.world.dice, RARE)
        {
            self.interfere(*kind);
        }
    }

    pub(super) fn set_clock(&mut self, skew: Millis) {
        self.skew = skew;
        // AWS refuses what is signed more than five minutes ago or ahead.
        self.world.mistimed = skew.abs() > 5 * MINUTE;
        self.stepper.jumped(self.now());
        self.judge.jumped();
    }

    /// Carries out what was begun; where the loop dies on the way, what it knew beside its store is gone.
    fn carry_out(&mut self, begun: Vec<Begun>) {
        let crash = self.crash.filter(|_| !self.world.calm);
        let decides = || self.stepper.plan().actions.iter().any(|planned| moves(&planned.action));
        let strikes = match crash {
            Some(Kind::CrashBeforeIntent) => decides(),
            _ => begun.iter().any(|(_, deed)| deed.matters()),
        };
        let crash = crash.filter(|_| strikes);
        if let Some(kind) = crash {
            self.crash = None;
            self.world.counts.add(kind);
        }
        if matches!(crash, Some(Kind::CrashBeforeIntent | Kind::CrashAfterIntent)) {
            self.restart();
            return;
        }
        for (number, deed) in begun {
            self.perform(number, &deed);
        }
        if crash.is_some() {
            self.restart();
        }
        self.hear_replies();
    }

    fn restart(&mut self) {
        self.replies.clear();
        self.stepper.restart(self.now());
        self.world.leader = self.stepper.term();
        self.judge.restarted();
    }

    fn perform(&mut self, number: u64, deed: &Deed) {
        let (at, result) = self.world.perform(deed);
        self.replies.push((at, number, result));
    }

    /// Answers that have come, and what follows from them.
    fn hear_replies(&mut self) {
        loop {
            let now = self.world.now;
            let Some(place) = self.replies.iter().position(|(at, ..)| *at <= now) else { return };
            let (_, number, result) = self.replies.swap_remove(place);
            let begun = self.stepper.settle(number, result, self.now());
            self.heard();
            for (number, deed) in begun {
                self.perform(number, &deed);
            }
        }
    }

    /// Invariant 7: what was just decided is not decided again.
    fn is_steady(&mut self, now: Timestamp) {
        let memory = self.stepper.memory();
        let plan = self.stepper.plan();
        let adopts = plan.actions.iter().any(|planned| matches!(planned.action, Action::Adopt { .. }));
        if !memory.armed || memory.paused || !self.stepper.leads() || adopts || self.stepper.is_stuck() {
            return;
        }
        let again = self.stepper.again(now);
        if let Some(action) = news(plan, &again) {
            self.world.crimes.push(format!("7: decided at once after its own plan: {action}"));
        }
    }

    /// Invariant 13: the ledger is the sum of the judge's books.
    fn add_up(&mut self, now: Timestamp) {
        let ledger = self.stepper.memory().ledger.total(now).micros();
        let books = self.judge.books.total(now.as_millisecond());
        if ledger != books {
            self.world.crimes.push(format!("13: the ledger says {ledger}, the judge's books {books}"));
        }
        if let Some((intent, count)) = self.world.made.iter().find(|(_, count)| **count > 1) {
            self.world.crimes.push(format!("4: {count} machines of intent {intent}"));
        }
    }

    /// Luck is good from now on, and no task comes: what is not needed must go, and then nothing is done any more.
    fn calm_down(&mut self) {
        self.world.calm = true;
        self.world.troubles = Troubles::default();
        self.crash = None;
        self.undo.retain(|(_, undo)| matches!(undo, Undo::Lead));
        for at in &mut self.undo {
            at.0 = self.world.now;
        }
        if self.skew != 0 {
            self.set_clock(0);
        }
        self.stepper.set_store_fails(false);
        self.undo();
        self.stepper.arm(true);
        self.stepper.pause(false);
        self.world.all_killed_until = self.world.now;
        for queue in &mut self.world.queues {
            queue.entries.clear();
        }
        self.world.tasks.retain(|_, task| task.started.is_some());
        for task in self.world.tasks.values_mut() {
            task.left = task.left.min(60_000);
        }
        self.world.foreign.clear();
        let end = self.tick + CALM;
        let mut resting = 0;
        while self.tick < end && self.is_right() && resting < REST {
            self.step();
            let acts = self.stepper.plan().actions.iter().any(|planned| moves(&planned.action));
            resting = if acts || !self.stepper.memory().intents.is_empty() { 0 } else { resting + 1 };
        }
        if self.is_right() && resting < REST {
            let last = self.stepper.plan().actions.iter().map(|planned| planned.action.to_string()).next();
            self.world.crimes.push(format!("7: no rest after {CALM} calm steps: {}", last.unwrap_or_default()));
        }
        let runs = |state| matches!(state, CloudState::Pending | CloudState::Running);
        let unknown = self
            .world
            .machines
            .iter()
            .find(|machine| runs(machine.state) && !self.stepper.memory().ledger.open().contains_key(&machine.id));
        if let Some(machine) = unknown.filter(|_| self.is_right()) {
            let what = format!("5: {} runs at the end, and is in no ledger", machine.id);
            self.world.crimes.push(what);
        }
    }
}

fn moves(action: &Action) -> bool {
    matches!(
        action,
        Action::Launch(_)
            | Action::Start { .. }
            | Action::Stop { .. }
            | Action::SwitchOff { .. }
            | Action::Drain { .. }
            | Action::CancelDrain { .. }
    )
}

/// What the second plan does that the first did not, and what it launches again.
fn news(first: &Plan, second: &Plan) -> Option<String> {
    let known = |action: &Action| first.actions.iter().any(|planned| planned.action == *action);
    let launches = |action: &Action| matches!(action, Action::Launch(_) | Action::Start { .. });
    let new = second
        .actions
        .iter()
        .map(|planned| &planned.action)
        .find(|action| moves(action) && (launches(action) || !known(action)));
    new.map(ToString::to_string)
}
