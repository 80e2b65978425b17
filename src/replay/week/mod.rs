//! A trace, played on a cloud: jobs arrive, agents take them, machines cost money. It knows no policy; a policy sees
//! it through its methods and acts through them.

mod tally;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::model::CloudModel;
use super::trace::{Job, Millis, Trace};
use crate::world::sim::random::Dice;

pub use tally::{Machines, Tally};

/// What happens by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrives(usize),
    Registers(usize),
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
}

/// What a machine is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    Booting,
    Idle,
    Running(usize),
    /// It answered a drain: it has no job and takes none.
    Drained,
    Gone,
}

/// One machine.
#[derive(Debug, Clone)]
pub struct Machine {
    /// The place of its queue in the trace.
    pub queue: usize,
    /// When it was launched.
    pub called: Millis,
    /// When it begins to run, and to cost.
    pub runs: Millis,
    /// When its agent registers.
    pub registers: Millis,
    pub doing: Doing,
    /// Since when.
    pub since: Millis,
    /// When it was terminated.
    pub ended: Option<Millis>,
    drain: Option<u32>,
    orders: u32,
    run: u32,
}

impl Machine {
    /// Whether it was told to take no more jobs.
    pub fn is_draining(&self) -> bool {
        self.drain.is_some()
    }

    /// The last time its worker reported before `now`: from its registration on, at even steps.
    pub fn reported(&self, now: Millis, every: Millis) -> Millis {
        let until = self.ended.unwrap_or(now).min(now);
        self.registers + (until - self.registers).max(0) / every * every
    }
}

#[derive(Debug, Default)]
struct Line {
    class: usize,
    waiting: VecDeque<usize>,
    /// Machines with an agent that could take a job.
    idle: Vec<usize>,
    /// When the next look of one of them is expected.
    looks: Option<Millis>,
    booted: u64,
    up: u32,
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
    /// When each job began to run for the last time.
    started: Vec<Option<Millis>>,
    unfinished: usize,
    alive: u32,
    tally: Tally,
}

impl<'a> Week<'a> {
    pub fn new(trace: &'a Trace, cloud: &'a CloudModel, seed: u64) -> Self {
        let line = |queue| Line { class: cloud.class_of(queue), ..Line::default() };
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
            started: vec![None; trace.jobs.len()],
            unfinished: trace.jobs.len(),
            alive: 0,
            tally: Tally::default(),
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

    /// A machine for a queue: its number, and how long the cloud lets it pend after the call.
    pub fn launch(&mut self, queue: usize) -> (usize, Millis) {
        let (cap, name) = self.place(queue);
        let Some(line) = self.lines.get_mut(queue) else { return (usize::MAX, 0) };
        let boot = self.cloud.boot(self.seed, name, line.booted);
        line.booted += 1;
        self.changes += 1;
        line.up += 1;
        self.tally.violations += u32::from(line.up > cap);
        let runs = self.now + self.cloud.call + boot.pending;
        let machine = self.machines.len();
        self.machines.push(Machine {
            queue,
            called: self.now,
            runs,
            registers: runs + boot.starting,
            doing: Doing::Booting,
            since: self.now,
            ended: None,
            drain: None,
            orders: 0,
            run: 0,
        });
        self.alive += 1;
        self.tally.launches += 1;
        self.tally.peak = self.tally.peak.max(self.alive);
        self.at(runs + boot.starting, Event::Registers(machine));
        (machine, boot.pending)
    }

    fn place(&self, queue: usize) -> (u32, &'a str) {
        let name = self.trace.queues.get(queue).map_or("", |queue| queue.name.as_str());
        (self.cloud.classes.get(self.class(queue)).map_or(0, |class| class.cap), name)
    }

    /// Ends a machine. A job that runs there goes back to the head of its queue, and is counted as killed.
    pub fn terminate(&mut self, number: usize) {
        let now = self.now;
        let Some(machine) = self.machines.get_mut(number).filter(|machine| machine.ended.is_none()) else { return };
        machine.ended = Some(now);
        let doing = std::mem::replace(&mut machine.doing, Doing::Gone);
        machine.since = now;
        let machine = machine.clone();
        self.alive -= 1;
        self.changes += 1;
        let rate = self.rate(machine.queue);
        self.tally.bill(&machine, rate, self.cloud.least_billed);
        if let Some(line) = self.lines.get_mut(machine.queue) {
            line.up -= 1;
            line.idle.retain(|idle| *idle != number);
            if let Doing::Running(job) = doing {
                line.waiting.push_front(job);
                self.tally.busy_kills += 1;
            }
        }
        if let Doing::Running(job) = doing {
            if let Some(started) = self.started.get_mut(job) {
                *started = None;
            }
            self.expect_look(machine.queue);
        }
    }

    fn rate(&self, queue: usize) -> crate::model::money::Rate {
        self.cloud.classes.get(self.class(queue)).map(|class| class.rate).unwrap_or_default()
    }

    /// Tells a machine to take no more jobs. Its agent answers when it next looks for one.
    pub fn order_drain(&mut self, number: usize) {
        let Some(machine) = self.machines.get_mut(number) else { return };
        machine.orders += 1;
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
                self.expect_look(queue);
            }
            Event::Registers(machine) => self.becomes_idle(machine),
            Event::Finishes { machine: number, run } => {
                let Some(machine) = self.machines.get(number).filter(|machine| machine.run == run) else { return };
                if let Doing::Running(job) = machine.doing {
                    self.unfinished -= 1;
                    let waited = self.started.get(job).copied().flatten().unwrap_or_default();
                    let submitted = self.trace.jobs.get(job).map_or(0, |job| job.submitted);
                    self.tally.waits.push(waited - submitted);
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
        for (job, machine, run) in started {
            if let Some(started) = self.started.get_mut(job) {
                *started = Some(now);
            }
            let duration = self.trace.jobs.get(job).map_or(0, |job| job.duration);
            self.at(now + duration, Event::Finishes { machine, run });
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

    /// What came of it. Machines that still run are billed up to now.
    pub fn into_tally(mut self) -> Tally {
        let running: Vec<_> = (0..self.machines.len()).collect();
        for machine in running {
            self.terminate(machine);
        }
        self.tally.unfinished = self.unfinished;
        self.tally.finish(self.trace, self.cloud);
        self.tally
    }
}

/// The next time that an idle agent looks for a job, from `now` on.
fn next_look(machine: &Machine, now: Millis, cloud: &CloudModel) -> Millis {
    let first = machine.since + cloud.settle;
    if now <= first {
        return first;
    }
    first + (now - first + cloud.poll - 1) / cloud.poll * cloud.poll
}
