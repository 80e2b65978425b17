//! Tasks come: by the hour of the day, in sweeps, or from a list.

use jiff::civil::Weekday;
use jiff::tz::TimeZone;

use crate::model::ids::{QueueId, TaskId};
use crate::world::sim::clearml::{ClearmlServer, NewTask, Said};
use crate::world::sim::events::{Event, Index, Millis, millis, timestamp};
use crate::world::sim::random::Dice;
use crate::world::sim::scenario::{PlannedTask, QueueDemand};
use crate::world::sim::state::State;

/// When most work is begun, in hours of the day (UTC).
const BUSIEST: f64 = 14.0;

const RATES: [&str; 5] = ["1e-3", "3e-4", "1e-4", "3e-5", "1e-5"];

/// One queue's own stream of tasks.
#[derive(Debug)]
pub(super) struct Flow {
    id: Option<QueueId>,
    arrivals: Dice,
    sweeps: Dice,
    swept: u64,
    tasks: u64,
}

/// What only the world knows of a task.
#[derive(Debug)]
pub(super) struct Truth {
    pub(super) duration: Millis,
    /// Progress that a next run goes on from.
    pub(super) saved: Millis,
    /// Its number, which names its dice.
    pub(super) number: u64,
    pub(super) runs: u64,
    pub(super) done: bool,
    /// Since when nobody runs it and no queue holds it.
    pub(super) stranded: Option<Millis>,
}

struct Wanted {
    name: String,
    user: String,
    project: String,
    duration: Millis,
}

impl State {
    pub(super) fn begin_demand(&mut self) {
        let now = self.time();
        for (index, demand) in self.scenario.queues.iter().enumerate() {
            // The default queue is there already.
            let id = self.server.create_queue(now, &demand.name, &[]).ok();
            let id = id.or_else(|| self.server.queue_by_name(&demand.name).map(|queue| queue.id.clone()));
            self.flows.push(Flow {
                id,
                arrivals: Dice::new(self.seed, &format!("arrivals:{}", demand.name), 0),
                sweeps: Dice::new(self.seed, &format!("sweeps:{}", demand.name), 0),
                swept: 0,
                tasks: 0,
            });
            self.events.at(self.start, Event::Arrival(index));
            self.events.at(self.start, Event::Sweep(index));
        }
        for (index, task) in self.scenario.tasks.iter().enumerate() {
            self.events.at(self.start.saturating_add(millis(task.at)), Event::Planned(index));
        }
    }

    /// The task of this moment, and the time of the next; the first call of all only asks for the time.
    pub(super) fn task_arrives(&mut self, queue: Index) {
        if self.now > self.start {
            self.enqueue_drawn(queue, None);
        }
        let (Some(demand), Some(flow)) = (self.scenario.queues.get(queue), self.flows.get_mut(queue)) else { return };
        if let Some(next) = next_at(demand, &mut flow.arrivals, self.now, demand.per_hour) {
            self.events.at(next, Event::Arrival(queue));
        }
    }

    pub(super) fn sweep_begins(&mut self, queue: Index) {
        let (Some(demand), Some(flow)) = (self.scenario.queues.get(queue), self.flows.get_mut(queue)) else { return };
        let Some(sweeps) = &demand.sweeps else { return };
        if self.now > self.start {
            flow.swept += 1;
            let mut dice = Dice::new(self.seed, &format!("sweep:{}", demand.name), flow.swept);
            let within = u32::try_from(sweeps.within.as_secs()).unwrap_or_default();
            for _ in 0..dice.between(sweeps.least, sweeps.most) {
                let delay = Millis::from(dice.between(0, within)) * 1_000;
                self.events.at(self.now + delay, Event::SweepTask { queue, sweep: flow.swept });
            }
        }
        if let Some(next) = next_at(demand, &mut flow.sweeps, self.now, sweeps.per_day / 24.0) {
            self.events.at(next, Event::Sweep(queue));
        }
    }

    pub(super) fn sweep_task(&mut self, queue: Index, sweep: u64) {
        self.enqueue_drawn(queue, Some(sweep));
    }

    pub(super) fn planned_task(&mut self, index: Index) {
        let Some(task) = self.scenario.tasks.get(index).cloned() else { return };
        let Some(queue) = self.server.queue_by_name(&task.queue).map(|queue| queue.id.clone()) else { return };
        let PlannedTask { name, user, project, .. } = task;
        let wanted = Wanted { name, user, project, duration: millis(task.duration) };
        self.enqueue_new(&queue, &wanted);
    }

    /// People whose server or queue is away come back another time, which is another task of the stream.
    fn enqueue_drawn(&mut self, queue: Index, sweep: Option<u64>) {
        let (Some(demand), Some(flow)) = (self.scenario.queues.get(queue), self.flows.get_mut(queue)) else { return };
        flow.tasks += 1;
        let wanted = draw(self.seed, demand, flow.tasks, sweep);
        let Some(id) = flow.id.clone() else { return };
        self.enqueue_new(&id, &wanted);
    }

    fn enqueue_new(&mut self, queue: &QueueId, wanted: &Wanted) {
        if self.calls.tracker_is_down(self.now) || self.server.queue(queue).is_err() {
            return;
        }
        if let Some(task) = make(&mut self.server, timestamp(self.now), queue, wanted) {
            let number = u64::try_from(self.tasks.len()).unwrap_or_default();
            let truth =
                Truth { duration: wanted.duration.max(1), saved: 0, number, runs: 0, done: false, stranded: None };
            self.tasks.insert(task, truth);
            self.counts.arrived += 1;
            self.wake_for(queue);
        }
    }

    /// Entries that nobody waits behind.
    pub(super) fn phantoms(&mut self, queue: &str, entries: u32) -> bool {
        let (time, console) = (self.time(), ClearmlServer::console());
        let Some(queue) = self.server.queue_by_name(queue).map(|queue| queue.id.clone()) else { return false };
        for place in 0..entries {
            let new = NewTask::new(format!("phantom {place}"), console.clone());
            let Ok(task) = self.server.create_task(time, new) else { return false };
            if place % 3 == 1 {
                let _ = self.server.started(time, &console, &task, Said::default(), true);
                let _ = self.server.completed(time, &console, &task, Said::default(), true);
            }
            let _ = self.server.add_task(time, &queue, &task);
            if place % 3 == 2 {
                self.server.lose_task(&task);
            }
        }
        self.wake_for(&queue);
        true
    }
}

fn make(server: &mut ClearmlServer, now: jiff::Timestamp, queue: &QueueId, wanted: &Wanted) -> Option<TaskId> {
    let user = if wanted.user.is_empty() { ClearmlServer::console() } else { server.add_user(now, &wanted.user) };
    let project = (!wanted.project.is_empty()).then(|| server.project_of_name(now, &user, &wanted.project));
    let task = server.create_task(now, NewTask { project, ..NewTask::new(&*wanted.name, user.clone()) }).ok()?;
    server.enqueue(now, &user, &task, queue, Said::default(), false).ok()?;
    Some(task)
}

fn draw(seed: u64, demand: &QueueDemand, k: u64, sweep: Option<u64>) -> Wanted {
    let mut dice = Dice::new(seed, &format!("task:{}", demand.name), k);
    // A sweep is one person's, on one subject.
    let mut whose =
        sweep.map_or_else(|| dice.clone(), |sweep| Dice::new(seed, &format!("whose:{}", demand.name), sweep));
    let one_of = |dice: &mut Dice, list: &[String]| dice.pick(list).cloned().unwrap_or_default();
    let user = one_of(&mut whose, &demand.users);
    let project = one_of(&mut whose, &demand.projects);
    let pattern = one_of(&mut whose, &demand.names);
    let duration = dice.spread(&demand.duration);
    let name = pattern
        .replace("{lr}", dice.pick(&RATES).copied().unwrap_or_default())
        .replace("{seed}", &dice.between(0, 99).to_string())
        .replace("{fold}", &dice.between(1, 5).to_string());
    let name = if name.is_empty() { format!("{} {k}", demand.name) } else { name };
    Wanted { name, user, project, duration }
}

/// The next event of a process that is `peak` an hour at the busiest time, by thinning.
fn next_at(demand: &QueueDemand, dice: &mut Dice, now: Millis, peak: f64) -> Option<Millis> {
    let mut at = now;
    // At night nearly every candidate may fall; a process that hardly ever comes ends here.
    for _ in 0..10_000 {
        at = at.checked_add(dice.hazard(peak)?)?;
        if dice.chance(liveliness(demand, at)) {
            return Some(at);
        }
    }
    None
}

/// The share of the busiest time's rate at an instant.
fn liveliness(demand: &QueueDemand, at: Millis) -> f64 {
    let local = timestamp(at).to_zoned(TimeZone::UTC);
    let hour = f64::from(local.hour()) + f64::from(local.minute()) / 60.0;
    let sun = f64::midpoint(1.0, ((hour - BUSIEST) * std::f64::consts::TAU / 24.0).cos());
    let day = demand.night + (1.0 - demand.night) * sun;
    match local.weekday() {
        Weekday::Saturday | Weekday::Sunday => day * demand.weekend,
        _ => day,
    }
}
