//! The end of a machine against the agent's pulls, with the real agent: two tasks arrive around the order, the way to
//! the server is slow, and at the verdict every process of the machine is killed at once. Then each task is looked for.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidegate::model::ids::TaskId;
use tidegate::store::settings::SettingsFile;
use tidegate::world::clearml::Clearml;
use tidegate::world::clearml::credentials::Credentials;
use tidegate::world::clock::Clock;
use tidegate::world::sim::clearml::http::Fault;
use tidegate::world::sim::clearml::{Status, Task};

use tidegate::world::tracker::{Tracker, TrackerError};

use super::console::{SETTINGS, variable};
use super::{MAILBOX, boot, hold, pulls};
use crate::support::face::Served;
use crate::support::machine::Machine;

const TASKS: usize = 2;
const QUEUES: [&str; 2] = ["one", "two"];
/// The longest way of a call to the server, and of its answer back, in milliseconds.
const SLOWEST: i64 = 400;
/// How long a trial may take from its order to its verdict.
const PATIENCE: SignedDuration = SignedDuration::from_secs(300);
/// Trials under way at once.
const AT_ONCE: usize = 4;

/// How it is decided that a machine may be ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// An order at any time; the answer to it is the verdict.
    Drain,
    /// The same, given when the worker's row says that it is idle.
    IdleStop,
    /// An order that is taken back: the agent goes on, and the machine ends when all is done.
    Cancel,
    /// The worker's row says that it is idle: that is the verdict.
    Naive,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::IdleStop => "idle stop",
            Self::Cancel => "cancel",
            Self::Naive => "row idle, kill",
        }
    }

    /// When the tasks come, in milliseconds after the moment at which the order is due.
    fn arrivals(self, provoked: bool) -> [std::ops::Range<i64>; TASKS] {
        match self {
            Self::Drain | Self::Cancel if !provoked => [-2_500..300, -800..1_000],
            Self::Drain | Self::Cancel | Self::IdleStop => [-400..300, -300..1_000],
            Self::Naive => [-400..-50, -300..1_000],
        }
    }

    fn waits_for_an_idle_row(self) -> bool {
        matches!(self, Self::IdleStop | Self::Naive)
    }
}

/// A call for a task, by the server's clock: when it came, and when its answer is back.
#[derive(Debug, Clone, Copy)]
struct Pull {
    came: Timestamp,
    taken: Timestamp,
    answered: Timestamp,
}

/// Every pull so far.
#[derive(Debug, Clone, Default)]
struct Pulls(Arc<Mutex<Vec<Pull>>>);

impl Pulls {
    /// From now on the way to the server and back is slow for pulls, and for looks at the mailbox.
    fn slowed(server: &Served, seed: u64) -> Self {
        let pulls = Self::default();
        let (remembered, dice) = (pulls.clone(), Mutex::new(ChaCha8Rng::seed_from_u64(seed ^ 0x5105)));
        server.watch.spoil(move |endpoint, _| {
            let pull = endpoint == "queues.get_next_task";
            if !pull && endpoint != "queues.get_all" {
                return None;
            }
            let mut dice = dice.lock().unwrap();
            let mut way = || SignedDuration::from_millis(dice.random_range(0..SLOWEST));
            let (there, back) = (way(), way());
            if pull {
                let came = Clock::Wall.now();
                let taken = came + there;
                remembered.0.lock().unwrap().push(Pull { came, taken, answered: taken + back });
            }
            Some(Fault::Late { there, back })
        });
        pulls
    }

    fn last(&self) -> Option<Pull> {
        self.0.lock().unwrap().last().copied()
    }
}

/// Where an order met the agent: parts of the way of the pull under way, or how long after its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    /// The request is on its way, in quarters.
    Asks(i64),
    /// The task, if there is one, is off its queue, and the answer is on its way, in quarters.
    Gets(i64),
    /// No pull is under way, in hundreds of milliseconds since the last one.
    Between(i64),
}

impl Moment {
    const MOST: i64 = 10;

    fn of(pull: Option<Pull>, now: Timestamp) -> Self {
        let Some(Pull { came, taken, answered }) = pull else { return Self::Between(Self::MOST) };
        let quarter = |from: Timestamp, to: Timestamp| {
            (4 * now.duration_since(from).as_millis() / to.duration_since(from).as_millis().max(1)).min(3)
        };
        let place = |number: i128| i64::try_from(number).unwrap().clamp(0, Self::MOST);
        if now < taken {
            Self::Asks(place(quarter(came, taken)))
        } else if now < answered {
            Self::Gets(place(quarter(taken, answered)))
        } else {
            Self::Between(place(now.duration_since(answered).as_millis() / 100))
        }
    }

    fn in_flight(self) -> bool {
        !matches!(self, Self::Between(_))
    }

    fn all() -> impl Iterator<Item = Self> {
        (0..4).map(Self::Asks).chain((0..4).map(Self::Gets)).chain((0..=Self::MOST).map(Self::Between))
    }
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Asks(quarter) => f.pad(&format!("request on its way, {}-{} %", 25 * quarter, 25 * (quarter + 1))),
            Self::Gets(quarter) => f.pad(&format!("answer on its way, {}-{} %", 25 * quarter, 25 * (quarter + 1))),
            Self::Between(tenth) if *tenth == Self::MOST => f.pad("later"),
            Self::Between(tenth) => f.pad(&format!("{}-{} ms after the answer", 100 * tenth, 100 * (tenth + 1))),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Completed,
    /// In a queue: someone else will take it.
    Queued,
    /// Queued by its status, in no queue.
    Lost,
    /// Begun, and ended with the machine.
    Killed,
}

#[derive(Debug)]
struct Outcome {
    way: Way,
    by: By,
    seed: u64,
    fates: Vec<Fate>,
    moment: Moment,
    /// From the order to the verdict; of a cancelled one from the cancel to the next pull.
    latency: Option<SignedDuration>,
    written: String,
}

impl Outcome {
    fn count(&self, fate: Fate) -> usize {
        self.fates.iter().filter(|one| **one == fate).count()
    }
}

/// What ends the agent's pulls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Gate,
    /// A task in the machine's own queue, placed and ended by the console's client.
    Hold,
}

/// One trial: what comes when follows from the seed alone; what meets what, from the machine.
struct Trial {
    way: Way,
    by: By,
    server: Served,
    console: Client,
    machine: Machine,
    pulls: Pulls,
    /// The order waits for a pull under way.
    provoked: bool,
    tasks: Vec<TaskId>,
    /// The tasks to come, in milliseconds after the order.
    to_come: VecDeque<i64>,
    dice: ChaCha8Rng,
}

impl Trial {
    fn begin(way: Way, by: By, seed: u64) -> Self {
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        let provoked = way == Way::Naive || !seed.is_multiple_of(3);
        let mut to_come = way.arrivals(provoked).map(|range| dice.random_range(range));
        to_come.sort_unstable();
        let server = Served::start(&QUEUES);
        let machine = if by == By::Gate { boot(&server, &[]) } else { hold::boot(&server, &[]) };
        pulls(&machine, &server);
        let console = Client::of(&server);
        let pulls = Pulls::slowed(&server, seed);
        Self { way, by, server, console, machine, pulls, provoked, tasks: Vec::new(), to_come: to_come.into(), dice }
    }

    /// Enqueues what is due.
    fn come(&mut self, order: Timestamp) {
        let due = |at: &i64| Clock::Wall.now() >= order + SignedDuration::from_millis(*at);
        while self.to_come.front().is_some_and(due) {
            self.to_come.pop_front();
            let queue = QUEUES[self.dice.random_range(0..QUEUES.len())];
            self.tasks.push(self.server.enqueue_shell(queue, "sleep 0.5"));
        }
    }

    /// Lets tasks come until `ready`. `false`: it did not happen.
    fn until(&mut self, order: Timestamp, mut ready: impl FnMut(&Self) -> bool) -> bool {
        let end = Clock::Wall.now() + PATIENCE;
        while Clock::Wall.now() < end {
            self.come(order);
            if ready(self) {
                return true;
            }
            sleep(Duration::from_millis(2));
        }
        false
    }

    fn row_is_idle(&self) -> bool {
        self.server.server().workers(Clock::Wall.now(), None).all(|worker| worker.task.is_none())
    }

    /// The agent has a task, or has taken one.
    fn is_busy(&self) -> bool {
        self.fates().iter().any(|fate| matches!(fate, Fate::Lost | Fate::Killed))
    }

    fn order(&self) {
        match self.by {
            By::Gate => self.server.write(MAILBOX, "want", "drain:n"),
            By::Hold => self.console.does(|tracker| async move { tracker.place_hold(&"i-1".into(), "n").await }),
        }
    }

    /// The agent answered, or the task that holds it runs on it.
    fn is_drained(&self) -> bool {
        match self.by {
            By::Gate => self.server.metadata(MAILBOX, "state").as_deref() == Some("drained:n"),
            By::Hold => {
                let server = self.server.server();
                let here =
                    |task: &Task| task.last_worker.as_ref().is_some_and(|worker| worker.as_str().ends_with(":i-1"));
                let mut holds = server.tasks().filter(|task| task.name.starts_with("tidegate:hold:"));
                holds.any(|task| task.status == Status::InProgress && here(task))
            }
        }
    }

    /// Takes the order back. Whether the agent pulls again.
    fn take_back(&mut self, due: Timestamp, taken_back: Timestamp) -> bool {
        if self.by == By::Gate {
            self.server.write(MAILBOX, "want", "run");
            return self.until(due, |trial| trial.pulls.last().is_some_and(|pull| pull.came > taken_back));
        }
        // As the console does, look after look, though quicker.
        let mut free = 0;
        let next = std::cell::Cell::new(taken_back);
        self.until(due, |trial| {
            if Clock::Wall.now() < next.get() {
                return false;
            }
            next.set(Clock::Wall.now() + SignedDuration::from_secs(1));
            let open = |status: &Status| matches!(status, Status::Queued | Status::InProgress);
            free = if hold::holds(&trial.server).iter().any(open) { 0 } else { free + 1 };
            trial.console.does(|tracker| async move { tracker.end_holds(&"i-1".into()).await });
            free >= 2
        })
    }

    /// Waits for the moment of the order.
    fn moment(&mut self) -> Timestamp {
        let due = Clock::Wall.now() + SignedDuration::from_millis(self.to_come.front().map_or(0, |at| -at).max(0));
        self.until(due, |_| Clock::Wall.now() >= due);
        if self.provoked {
            let part = self.dice.random_range(0..100);
            // An agent that is busy pulls no more; one that is not does so within this, or later on a loaded host.
            let [soon, late] = [1_500, 20_000].map(|millis| due + SignedDuration::from_millis(millis));
            self.until(due, |trial| {
                let now = Clock::Wall.now();
                let under_way = trial.pulls.last().is_some_and(|Pull { came, answered, .. }| {
                    came >= due
                        && now < answered
                        && 100 * now.duration_since(came) >= part * answered.duration_since(came)
                });
                under_way || now > late || (now > soon && trial.is_busy())
            });
        }
        if self.way.waits_for_an_idle_row() {
            self.until(due, Self::row_is_idle);
        }
        due
    }

    fn run(mut self, seed: u64) -> Outcome {
        let due = self.moment();
        let order = Clock::Wall.now();
        let moment = Moment::of(self.pulls.last(), order);
        let latency = match self.way {
            Way::Naive => Some(SignedDuration::ZERO),
            Way::Drain | Way::IdleStop => {
                self.order();
                let answered = self.until(due, Self::is_drained);
                answered.then(|| Clock::Wall.now().duration_since(order))
            }
            Way::Cancel => {
                self.order();
                let taken_back = order + SignedDuration::from_millis(self.dice.random_range(0..2_500));
                self.until(due, |_| Clock::Wall.now() >= taken_back);
                let pulls_again = self.take_back(due, taken_back);
                let latency = pulls_again.then(|| Clock::Wall.now().duration_since(taken_back));
                let done = |trial: &Self| {
                    trial.to_come.is_empty()
                        && trial.tasks.iter().all(|task| trial.server.status(task) == Status::Completed)
                };
                self.until(due, done);
                latency
            }
        };
        self.machine.power_cut();
        // What was on its way arrives, whoever sent it; what did not come in time waits.
        sleep(Duration::from_millis(SLOWEST.unsigned_abs() + 100));
        self.come(order - SignedDuration::from_hours(1));
        let written = self.machine.written();
        Outcome { way: self.way, by: self.by, seed, fates: self.fates(), moment, latency, written }
    }

    fn fates(&self) -> Vec<Fate> {
        let fate = |task: &TaskId| match self.server.status(task) {
            Status::Completed => Fate::Completed,
            Status::Queued if QUEUES.iter().any(|queue| self.server.entries(queue).contains(task)) => Fate::Queued,
            Status::Queued => Fate::Lost,
            _ => Fate::Killed,
        };
        self.tasks.iter().map(fate).collect()
    }
}

/// Runs so many trials of each way, some at once; the seeds count up from `first`.
fn trials(ways: &[(Way, By, u64)], first: u64) -> Vec<Outcome> {
    let plan = ways.iter().flat_map(|(way, by, count)| (0..*count).map(|place| (*way, *by, first + place)));
    let (plan, outcomes) = (Mutex::new(plan), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some((way, by, seed)) = plan.lock().unwrap().next() else { return };
                    let outcome = Trial::begin(way, by, seed).run(seed);
                    outcomes.lock().unwrap().push(outcome);
                }
            });
        }
    });
    outcomes.into_inner().unwrap()
}

/// What came of all trials, as the note shows it, and where their orders met the agent.
fn table(outcomes: &[Outcome]) -> String {
    let mut text = "| method | trials | tasks | completed | in a queue | LOST | KILLED | latency s min/median/max |\n\
        |---|---|---|---|---|---|---|---|\n"
        .to_owned();
    let gate = [Way::Drain, Way::IdleStop, Way::Cancel].map(|way| (way, By::Gate));
    let hold = [Way::Drain, Way::IdleStop, Way::Cancel].map(|way| (way, By::Hold));
    for (way, by) in gate.into_iter().chain(hold).chain([(Way::Naive, By::Gate)]) {
        let of_way: Vec<&Outcome> = outcomes.iter().filter(|one| (one.way, one.by) == (way, by)).collect();
        let sum = |fate| of_way.iter().map(|outcome| outcome.count(fate)).sum::<usize>();
        let tasks: usize = of_way.iter().map(|outcome| outcome.fates.len()).sum();
        let [completed, queued, lost, killed] = [Fate::Completed, Fate::Queued, Fate::Lost, Fate::Killed].map(sum);
        let mut latencies: Vec<SignedDuration> = of_way.iter().filter_map(|outcome| outcome.latency).collect();
        latencies.sort();
        let at = |place: usize| latencies.get(place).map_or(0.0, SignedDuration::as_secs_f64);
        let name = if by == By::Gate { way.name().to_owned() } else { format!("{}, by a hold task", way.name()) };
        let (trials, longest) = (of_way.len(), latencies.len().saturating_sub(1));
        writeln!(
            text,
            "| {name} | {trials} | {tasks} | {completed} | {queued} | {lost} | {killed} | {:.1}/{:.1}/{:.1} |",
            at(0),
            at(longest / 2),
            at(longest)
        )
        .unwrap();
    }
    let ordered: Vec<Moment> = moments(outcomes);
    let in_flight = ordered.iter().filter(|moment| moment.in_flight()).count();
    writeln!(text, "\norders, by the pull that they met: {in_flight} of {} in flight", ordered.len()).unwrap();
    for moment in Moment::all() {
        let count = ordered.iter().filter(|one| **one == moment).count();
        writeln!(text, "{moment:<30} {count:>4} {}", "#".repeat(count)).unwrap();
    }
    text
}

/// When the orders came, but for those that are none.
fn moments(outcomes: &[Outcome]) -> Vec<Moment> {
    outcomes.iter().filter(|outcome| outcome.way != Way::Naive).map(|outcome| outcome.moment).collect()
}

/// No order loses a task, and the way without orders does: the trials can tell the two apart.
fn judge(outcomes: &[Outcome]) {
    for outcome in outcomes.iter().filter(|outcome| outcome.way != Way::Naive) {
        let Outcome { way, by, seed, fates, written, .. } = outcome;
        let name = format!("{} by {by:?} with seed {seed}", way.name());
        assert_eq!(outcome.count(Fate::Lost) + outcome.count(Fate::Killed), 0, "{name}: {fates:?}\n{written}");
        assert!(outcome.latency.is_some(), "{name}: no verdict\n{written}");
        let done = *way != Way::Cancel || outcome.count(Fate::Completed) == TASKS;
        assert!(done, "{name}: the agent did not go on: {fates:?}\n{written}");
    }
    assert!(naive_breaks(outcomes), "the naive way lost nothing: these trials prove nothing");
    assert!(meet_pulls(outcomes), "too few orders met a pull in flight: {:?}", moments(outcomes));
}

fn naive_breaks(outcomes: &[Outcome]) -> bool {
    let naive = outcomes.iter().filter(|outcome| outcome.way == Way::Naive);
    naive.map(|outcome| outcome.count(Fate::Lost) + outcome.count(Fate::Killed)).sum::<usize>() > 0
}

/// Three orders in ten met a pull in flight.
fn meet_pulls(outcomes: &[Outcome]) -> bool {
    let moments = moments(outcomes);
    10 * moments.iter().filter(|moment| moment.in_flight()).count() >= 3 * moments.len()
}

/// Each trial proves something by chance only: runs more of those that are wanting, and not for ever.
fn add_what_is_wanting(outcomes: &mut Vec<Outcome>, first: u64) {
    let at_once = u64::try_from(AT_ONCE).unwrap();
    for more in 0..5 {
        let wanting = [(Way::Naive, naive_breaks(outcomes)), (Way::Drain, meet_pulls(outcomes))];
        let wanting = wanting.into_iter().filter(|(_, is_enough)| !is_enough);
        let ways: Vec<_> = wanting.map(|(way, _)| (way, By::Gate, at_once)).collect();
        outcomes.extend(trials(&ways, first + more * at_once));
    }
}

/// The console's own client of the server.
struct Client {
    tracker: Clearml,
    runtime: tokio::runtime::Runtime,
}

impl Client {
    fn of(server: &Served) -> Self {
        let settings = SETTINGS.replace("API_SERVER", &server.url);
        let settings = SettingsFile::in_memory(&settings).unwrap();
        let credentials = Credentials::find(&settings.settings().clearml, &variable, None).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { tracker: Clearml::new(credentials, Clock::Wall).unwrap(), runtime }
    }

    fn does<'a, F: Future<Output = Result<(), TrackerError>> + 'a>(&'a self, call: impl FnOnce(&'a Clearml) -> F) {
        self.runtime.block_on(call(&self.tracker)).unwrap();
    }
}

#[test]
fn no_drain_no_idle_stop_and_no_cancel_loses_a_task_and_the_naive_way_does() {
    let gate = [(Way::Naive, By::Gate, 4), (Way::Drain, By::Gate, 8), (Way::IdleStop, By::Gate, 8)];
    let hold = [(Way::Drain, By::Hold, 4), (Way::IdleStop, By::Hold, 4), (Way::Cancel, By::Hold, 4)];
    let mut outcomes = trials(&[&gate[..], &[(Way::Cancel, By::Gate, 8)], &hold].concat(), 1);
    add_what_is_wanting(&mut outcomes, 9);
    println!("{}", table(&outcomes));
    judge(&outcomes);
}

#[test]
#[ignore = "takes an hour; prints the table of the note"]
fn a_hundred_drains_idle_stops_and_cancels_lose_no_task() {
    let mut ways = vec![(Way::Naive, By::Gate, 30)];
    for by in [By::Gate, By::Hold] {
        ways.extend([Way::Drain, Way::IdleStop, Way::Cancel].map(|way| (way, by, 100)));
    }
    let mut outcomes = trials(&ways, 1_000);
    add_what_is_wanting(&mut outcomes, 1_100);
    println!("{}", table(&outcomes));
    judge(&outcomes);
}
