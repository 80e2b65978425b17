//! A trace, played on a cloud: jobs arrive, agents take them, machines cost money. It knows no policy; a policy sees
//! it through its methods and acts through them.

mod ending;
mod machine;
mod tally;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::model::{Boot, CloudModel, DROUGHT, Fault, ONE_IN};
use super::trace::{Job, Millis, Trace};
use crate::world::sim::random::Dice;

use machine::next_look;
pub use machine::{Doing, Machine};
pub use tally::{Machines, Tally};

/// What happens by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrives(usize),
    Registers {
        machine: usize,
        stint: u32,
    },
    Finishes {
        machine: usize,
        run: u32,
    },
    /// An agent of this queue looks for a task.
    Looks(usize),
    /// A machine's agent reads its drain order.
    Answers {
        machine: usize,
        order: u32,
    },
    /// The cloud takes a machine back, unless it was started anew since.
    Interrupted {
        machine: usize,
        stint: u32,
    },
}

#[derive(Debug, Default)]
struct Line {
    class: usize,
    waiting: VecDeque<usize>,
    caps: Vec<u32>,
    /// Machines with an agent that could take a job.
    idle: Vec<usize>,
    /// When the next look of one of them is expected.
    looks: Option<Millis>,
    booted: u64,
    started_again: u64,
    interruptions: u64,
    /// Jobs that found an idle machine.
    found_idle: u64,
    /// In each pool.
    up: Vec<u32>,
}

/// How far a job has come.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    /// Since when it waits in its queue, or runs.
    since: Millis,
    waited: Millis,
    /// What is done of it and saved.
    saved: Millis,
    done: bool,
}

/// The world while a trace is played.
#[derive(Debug)]
pub struct Week<'a> {
    pub trace: &'a Trace,
    pub cloud: &'a CloudModel,
    seed: u64,
    now: Millis,
    events: BinaryHeap<Reverse<(Millis, u64, Event)>>,
    made: u64,
    changes: u64,
    lines: Vec<Line>,
    machines: Vec<Machine>,
    jobs: Vec<Progress>,
    /// When the cloud has capacity again, once it had none.
    drought: Option<Millis>,
    unfinished: usize,
    /// Jobs that run now, and when one last began or ended.
    running: usize,
    moved: Millis,
    alive: u32,
    tally: Tally,
    deeds: Vec<(Millis, usize, Deed)>,
}

/// What a policy does with a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    Launch,
    Start,
    Drain,
    SwitchOff,
    End,
}

impl<'a> Week<'a> {
    pub fn new(trace: &'a Trace, cloud: &'a CloudModel, seed: u64) -> Self {
        let line = |queue| {
            let class = cloud.class_of(queue);
            let caps = cloud.caps(class);
            Line { class, up: vec![0; caps.len()], caps, ..Line::default() }
        };
        let mut week = Self {
            trace,
            cloud,
            seed,
            now: 0,
            events: BinaryHeap::new(),
            made: 0,
            changes: 0,
            lines: trace.queues.iter().map(line).collect(),
            machines: Vec::new(),
            jobs: trace.jobs.iter().map(|job| Progress { since: job.submitted, ..Progress::default() }).collect(),
            drought: None,
            unfinished: trace.jobs.len(),
            running: 0,
            moved: 0,
            alive: 0,
            tally: Tally::default(),
            deeds: Vec::new(),
        };
        for (job, Job { submitted, .. }) in trace.jobs.iter().enumerate() {
            week.at(*submitted, Event::Arrives(job));
        }
        week
    }

    /// Luck of this seed by its name.
    pub(super) fn luck(&self, stream: &str) -> Dice {
        Dice::new(self.seed, stream, 0)
    }

    pub fn now(&self) -> Millis {
        self.now
    }

    /// Jobs that wait in a queue, the first first.
    pub fn waiting(&self, queue: usize) -> &VecDeque<usize> {
        static NONE: VecDeque<usize> = VecDeque::new();
        self.lines.get(queue).map_or(&NONE, |line| &line.waiting)
    }

    /// What is counted; calls are the policy's to count.
    pub fn tally_mut(&mut self) -> &mut Tally {
        &mut self.tally
    }

    /// Every machine there ever was, by its number.
    pub fn machines(&self) -> &[Machine] {
        &self.machines
    }

    /// How many machines each pool of a queue may have.
    pub fn caps(&self, queue: usize) -> &[u32] {
        self.lines.get(queue).map_or(&[], |line| &line.caps)
    }

    /// What was done, in the order in which it was: when, and with which machine.
    pub fn deeds(&self) -> &[(Millis, usize, Deed)] {
        &self.deeds
    }

    /// The kind of machine of a queue.
    pub fn class(&self, queue: usize) -> usize {
        self.lines.get(queue).map_or(0, |line| line.class)
    }

    /// Whether all is done: no job is left, and no machine.
    pub fn is_over(&self) -> bool {
        self.unfinished == 0 && self.alive == 0
    }

    /// A number that changes with everything that happens or is done.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Lets everything happen up to an instant, and stands there.
    pub fn advance(&mut self, until: Millis) {
        while let Some(Reverse((at, _, event))) = self.events.peek().copied()
            && at <= until
        {
            self.events.pop();
            self.now = at;
            self.changes += 1;
            self.happen(event);
        }
        self.now = self.now.max(until);
    }

    /// A machine of a pool for a queue: its number, and how long the cloud lets it pend after the call. `None`: it has
    /// none to give.
    pub fn launch(&mut self, queue: usize, pool: usize) -> Option<(usize, Millis)> {
        if self.is_dry() {
            return None;
        }
        let name = self.trace.queues.get(queue)?.name.as_str();
        let line = self.lines.get_mut(queue)?;
        let boot = self.cloud.boot(self.seed, name, line.booted);
        line.booted += 1;
        let never = self.cloud.fault == Some(Fault::NoRegister) && line.booted.is_multiple_of(ONE_IN);
        let machine = self.machines.len();
        self.machines.push(Machine {
            queue,
            pool,
            stint: 0,
            called: self.now,
            runs: Millis::MAX,
            registers: Millis::MAX,
            doing: Doing::Booting,
            since: self.now,
            ended: None,
            drain: None,
            orders: 0,
            run: 0,
        });
        self.tally.launches += 1;
        self.deeds.push((self.now, machine, Deed::Launch));
        self.begin(machine, boot, never);
        Some((machine, boot.pending))
    }

    /// Whether the cloud has no capacity now.
    fn is_dry(&mut self) -> bool {
        let middle = self.trace.jobs.last().map_or(0, |job| job.submitted) / 2;
        if self.cloud.fault != Some(Fault::Capacity) || self.now < middle {
            return false;
        }
        self.now < *self.drought.get_or_insert(self.now + DROUGHT)
    }

    /// Starts a machine again that is switched off.
    pub fn start(&mut self, number: usize) {
        let off = |machine: &&mut Machine| machine.doing == Doing::Off;
        let Some(machine) = self.machines.get_mut(number).filter(off) else { return };
        let (queue, since) = (machine.queue, machine.since);
        machine.stint += 1;
        machine.called = self.now;
        (machine.doing, machine.since) = (Doing::Booting, self.now);
        self.tally.bill_off(self.cloud.off_rate, self.now - since);
        let Some(name) = self.trace.queues.get(queue).map(|queue| queue.name.as_str()) else { return };
        let Some(line) = self.lines.get_mut(queue) else { return };
        let boot = self.cloud.start_again(self.seed, name, line.started_again);
        line.started_again += 1;
        self.deeds.push((self.now, number, Deed::Start));
        self.begin(number, boot, false);
    }

    fn begin(&mut self, number: usize, boot: Boot, never: bool) {
        let Some(machine) = self.machines.get_mut(number) else { return };
        machine.runs = self.now + self.cloud.call + boot.pending;
        machine.registers = if never { Millis::MAX } else { machine.runs + boot.starting };
        let (queue, pool, stint) = (machine.queue, machine.pool, machine.stint);
        let (runs, registers) = (machine.runs, machine.registers);
        self.changes += 1;
        self.alive += 1;
        self.tally.peak = self.tally.peak.max(self.alive);
        let name = self.trace.queues.get(queue).map_or("", |queue| queue.name.as_str());
        if let Some(line) = self.lines.get_mut(queue) {
            if let Some(up) = line.up.get_mut(pool) {
                *up += 1;
                self.tally.violations += u32::from(*up > line.caps.get(pool).copied().unwrap_or_default());
            }
            line.interruptions += 1;
            if let Some(after) = self.cloud.interruption(self.seed, name, pool, line.interruptions) {
                self.at(runs + after, Event::Interrupted { machine: number, stint });
            }
        }
        if !never {
            self.at(registers, Event::Registers { machine: number, stint });
        }
    }

    /// Ends a machine. A job that runs there goes back to the head of its queue, and is counted as killed.
    pub fn terminate(&mut self, number: usize) {
        self.deeds.push((self.now, number, Deed::End));
        self.tally.busy_kills += u32::from(self.end(number, Doing::Gone));
    }

    /// Switches a machine off and keeps it.
    pub fn switch_off(&mut self, number: usize) {
        self.deeds.push((self.now, number, Deed::SwitchOff));
        self.tally.busy_kills += u32::from(self.end(number, Doing::Off));
    }

    /// Ends a machine's running, if it runs. Says whether a job was cut off.
    fn end(&mut self, number: usize, becomes: Doing) -> bool {
        let now = self.now;
        let Some(machine) = self.machines.get_mut(number).filter(|machine| machine.ended.is_none()) else {
            return false;
        };
        let doing = std::mem::replace(&mut machine.doing, becomes);
        let since = std::mem::replace(&mut machine.since, now);
        machine.ended = (becomes == Doing::Gone).then_some(now);
        machine.drain = None;
        self.changes += 1;
        if doing == Doing::Off {
            self.tally.bill_off(self.cloud.off_rate, now - since);
            return false;
        }
        let machine = machine.clone();
        self.alive -= 1;
        let rate = self.rate(machine.queue, machine.pool);
        self.tally.bill(&machine, now, rate, self.cloud.least_billed);
        if let Some(line) = self.lines.get_mut(machine.queue) {
            if let Some(up) = line.up.get_mut(machine.pool) {
                *up -= 1;
            }
            line.idle.retain(|idle| *idle != number);
        }
        let Doing::Running(job) = doing else { return false };
        (self.running, self.moved) = (self.running - 1, now);
        if let Some(progress) = self.jobs.get_mut(job) {
            let done = progress.saved + now - progress.since;
            let saved = done - done % self.cloud.checkpoint.max(1);
            self.tally.lose(rate, done - saved);
            (progress.saved, progress.since) = (saved, now);
        }
        if let Some(line) = self.lines.get_mut(machine.queue) {
            line.waiting.push_front(job);
        }
        self.expect_look(machine.queue);
        true
    }

    fn rate(&self, queue: usize, pool: usize) -> crate::model::money::Rate {
        self.cloud.classes.get(self.class(queue)).map(|class| self.cloud.rate_in(class, pool)).unwrap_or_default()
    }

    /// Tells a machine to take no more jobs. Its agent answers when it next looks for one.
    pub fn order_drain(&mut self, number: usize) {
        let Some(machine) = self.machines.get_mut(number) else { return };
        machine.orders += 1;
        self.deeds.push((self.now, number, Deed::Drain));
        let order = machine.orders;
        machine.drain = Some(order);
        if machine.doing == Doing::Idle {
            let at = next_look(machine, self.now, self.cloud);
            self.at(at, Event::Answers { machine: number, order });
        }
    }

    fn at(&mut self, at: Millis, event: Event) {
        self.made += 1;
        self.events.push(Reverse((at, self.made, event)));
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrives(job) => {
                let Some(queue) = self.trace.jobs.get(job).map(|job| job.queue) else { return };
                if let Some(line) = self.lines.get_mut(queue) {
                    line.waiting.push_back(job);
                }
                self.take_the_idle(queue);
                self.expect_look(queue);
            }
            Event::Registers { machine, stint } => {
                let boots = |machine: &Machine| machine.stint == stint && machine.doing == Doing::Booting;
                if self.machines.get(machine).is_some_and(boots) {
                    self.becomes_idle(machine);
                }
            }
            Event::Interrupted { machine, stint } => {
                let runs = |machine: &&Machine| machine.stint == stint && machine.doing != Doing::Off;
                if self.machines.get(machine).filter(runs).is_some_and(|machine| machine.ended.is_none()) {
                    self.tally.interrupted += 1;
                    self.end(machine, Doing::Gone);
                }
            }
            Event::Finishes { machine: number, run } => {
                let Some(machine) = self.machines.get(number).filter(|machine| machine.run == run) else { return };
                if let Doing::Running(job) = machine.doing {
                    self.unfinished -= 1;
                    (self.running, self.moved) = (self.running - 1, self.now);
                    let waited = self.jobs.get_mut(job).map_or(0, |progress| {
                        progress.done = true;
                        progress.waited
                    });
                    self.tally.done(self.trace.jobs.get(job), waited);
                    self.becomes_idle(number);
                }
            }
            Event::Looks(queue) => self.look(queue),
            Event::Answers { machine: number, order } => {
                let Some(machine) = self.machines.get_mut(number) else { return };
                if machine.doing == Doing::Idle && machine.drain == Some(order) {
                    (machine.doing, machine.since) = (Doing::Drained, self.now);
                    let queue = machine.queue;
                    if let Some(line) = self.lines.get_mut(queue) {
                        line.idle.retain(|idle| *idle != number);
                    }
                }
            }
        }
    }

    /// With [`Fault::IdleKill`]: the cloud takes back what was idle when a job came.
    fn take_the_idle(&mut self, queue: usize) {
        let Some(line) = self.lines.get_mut(queue).filter(|line| !line.idle.is_empty()) else { return };
        line.found_idle += 1;
        if self.cloud.fault != Some(Fault::IdleKill) || !line.found_idle.is_multiple_of(ONE_IN) {
            return;
        }
        for machine in line.idle.clone() {
            self.tally.interrupted += 1;
            self.end(machine, Doing::Gone);
        }
    }

    fn becomes_idle(&mut self, number: usize) {
        let now = self.now;
        let Some(machine) = self.machines.get_mut(number).filter(|machine| machine.ended.is_none()) else { return };
        (machine.doing, machine.since) = (Doing::Idle, now);
        let (queue, drain) = (machine.queue, machine.drain);
        if let Some(order) = drain {
            self.at(now + self.cloud.settle, Event::Answers { machine: number, order });
        }
        if let Some(line) = self.lines.get_mut(queue) {
            line.idle.push(number);
        }
        self.expect_look(queue);
    }

    /// The earliest agent's next look is made to happen, if there is anything to take.
    fn expect_look(&mut self, queue: usize) {
        let Some(line) = self.lines.get(queue).filter(|line| !line.waiting.is_empty()) else { return };
        let looks = line.idle.iter().filter_map(|number| self.machines.get(*number));
        let next = looks.map(|machine| next_look(machine, self.now, self.cloud)).min();
        if let Some(next) = next
            && line.looks.is_none_or(|expected| next < expected)
        {
            self.at(next, Event::Looks(queue));
            if let Some(line) = self.lines.get_mut(queue) {
                line.looks = Some(next);
            }
        }
    }

    /// Every agent of the queue whose time has come takes a job, in the order in which they became idle.
    fn look(&mut self, queue: usize) {
        let now = self.now;
        let Some(line) = self.lines.get_mut(queue).filter(|line| line.looks == Some(now)) else { return };
        line.looks = None;
        let mut started = Vec::new();
        let machines = &mut self.machines;
        line.idle.retain(|number| {
            let Some(machine) = machines.get_mut(*number) else { return false };
            let due = machine.drain.is_none() && next_look(machine, now, self.cloud) == now;
            let Some(job) = line.waiting.front().copied().filter(|_| due) else { return true };
            line.waiting.pop_front();
            machine.run += 1;
            (machine.doing, machine.since) = (Doing::Running(job), now);
            started.push((job, *number, machine.run));
            false
        });
        if !started.is_empty() {
            (self.running, self.moved) = (self.running + started.len(), now);
        }
        for (job, machine, run) in started {
            let duration = self.trace.jobs.get(job).map_or(0, |job| job.duration);
            let Some(progress) = self.jobs.get_mut(job) else { continue };
            progress.waited += now - progress.since;
            progress.since = now;
            let left = duration - progress.saved;
            self.at(now + left, Event::Finishes { machine, run });
        }
        self.now = now;
        self.expect_look_after(queue);
    }

    /// As [`Self::expect_look`], from the next instant on.
    fn expect_look_after(&mut self, queue: usize) {
        self.now += 1;
        self.expect_look(queue);
        self.now -= 1;
    }
}
