//! The agents of each machine, by the rows of their workers: which are there, and how many should be.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::engine::seen::facts::Facts;
use crate::engine::seen::sight::{is_fresh, our_workers};
use crate::model::ids::{FleetId, InstanceId, WorkerName};
use crate::model::observed::{Mailbox, ObservedWorker};
use crate::model::record::KnownInstance;
use crate::model::settings::Settings;

/// The agents of a machine start together. One that is not there so long after the first is missing.
const REGISTER_WITHIN: SignedDuration = SignedDuration::from_mins(2);

/// One row of ClearML's, and which of its machine's agents it says that it is.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct Row<'a> {
    pub(in crate::engine) agent: Option<u32>,
    pub(in crate::engine) worker: &'a ObservedWorker,
}

impl Row<'_> {
    /// It reports, or has a task that nobody has ended.
    pub(in crate::engine) fn is_live(&self, facts: &Facts) -> bool {
        is_fresh(self.worker, facts) || self.worker.task.is_some()
    }
}

/// The rows of each machine of the fleet.
#[derive(Debug, Default)]
pub(in crate::engine) struct Rows<'a>(BTreeMap<InstanceId, Vec<Row<'a>>>);

impl<'a> Rows<'a> {
    pub(in crate::engine) fn new(facts: &'a Facts, fleet: &'a FleetId) -> Self {
        let mut rows: BTreeMap<InstanceId, Vec<Row<'a>>> = BTreeMap::new();
        for (WorkerName { instance, agent, .. }, worker) in our_workers(facts, fleet) {
            let doubles = facts.doubles.iter().filter(|double| double.id == worker.id);
            let of_agent = std::iter::once(worker).chain(doubles).map(|worker| Row { agent, worker });
            rows.entry(instance).or_default().extend(of_agent);
        }
        for rows in rows.values_mut().filter(|rows| rows.len() > 1) {
            rows.sort_by_key(|row| (row.agent, row.worker.task.is_none(), Reverse(row.worker.last_report)));
        }
        Self(rows)
    }

    /// Of an agent with two rows the one with a task comes first.
    pub(in crate::engine) fn of(&self, instance: &InstanceId) -> &[Row<'a>] {
        self.0.get(instance).map(Vec::as_slice).unwrap_or_default()
    }

    pub(in crate::engine) fn iter(&self) -> impl Iterator<Item = (&InstanceId, &[Row<'a>])> {
        self.0.iter().map(|(instance, rows)| (instance, rows.as_slice()))
    }
}

/// How many agents a machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) struct Count {
    /// When all is well.
    pub(in crate::engine) all: u32,
    pub(in crate::engine) reporting: u32,
    /// They have had the time to register.
    pub(in crate::engine) settled: bool,
}

impl Count {
    pub(in crate::engine) fn new(
        machine: &KnownInstance,
        rows: &[Row<'_>],
        facts: &Facts,
        settings: &Settings,
    ) -> Self {
        let reporting: BTreeSet<Option<u32>> =
            rows.iter().filter(|row| is_fresh(row.worker, facts)).map(|row| row.agent).collect();
        // A row of before it was switched off tells nothing of when its agents started.
        let since_launch = rows.iter().map(|row| row.worker.registered).filter(|at| *at >= machine.launched);
        let long =
            |first: Timestamp| facts.workers_asked.is_some_and(|asked| asked.duration_since(first) > REGISTER_WITHIN);
        Self {
            all: all(machine, rows, facts, settings),
            reporting: u32::try_from(reporting.len()).unwrap_or(u32::MAX),
            settled: machine.registered && facts.knows_clearml() && since_launch.min().is_none_or(long),
        }
    }

    /// So many take tasks, now or in a moment.
    pub(in crate::engine) fn present(self) -> u32 {
        if self.settled { self.reporting.min(self.all) } else { self.all }
    }

    pub(in crate::engine) fn is_short(self) -> bool {
        self.settled && self.reporting < self.all
    }
}

/// As the machine itself says, else as its workers' names do, else as machines of its pool are made now.
fn all(machine: &KnownInstance, rows: &[Row<'_>], facts: &Facts, settings: &Settings) -> u32 {
    if let Some(said) = facts.mailboxes.get(&machine.id).and_then(Mailbox::agents) {
        return said;
    }
    let highest = rows.iter().filter_map(|row| row.agent).max();
    if highest.is_none() && !rows.is_empty() {
        return 1;
    }
    let made_now = settings.pool(&machine.pool).map_or(1, |pool| pool.agent.agents());
    made_now.max(highest.unwrap_or(1))
}

/// How two live rows say that they are the same agent, if they do: one with a number and one without do too.
pub(in crate::engine) fn claimed_twice(rows: &[Row<'_>], facts: &Facts) -> Option<String> {
    let live: Vec<&Row<'_>> = rows.iter().filter(|row| row.is_live(facts)).collect();
    let mut seen: BTreeMap<Option<u32>, &Row<'_>> = BTreeMap::new();
    for row in &live {
        if let Some(other) = seen.insert(row.agent, row) {
            return Some(said(other, row));
        }
    }
    let only = seen.get(&None)?;
    let numbered = live.iter().find(|row| row.agent.is_some())?;
    Some(said(only, numbered))
}

fn said(one: &Row<'_>, other: &Row<'_>) -> String {
    let doing = |row: &Row<'_>| match &row.worker.task {
        Some(task) => format!("runs task {}", task.id),
        None => "is idle".to_owned(),
    };
    let (first, second) = (&one.worker.id, &other.worker.id);
    if first == second {
        return format!("two workers of different users are {first}: one {}, the other {}", doing(one), doing(other));
    }
    format!("{first} {} and {second} {}: there is one such agent", doing(one), doing(other))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::seen::example::Fleet;
    use crate::model::instance::{Agents, Fault, Instance, Phase};
    use crate::model::observed::{CloudState, ObservedTask, TaskStatus};
    use crate::model::record::Record;

    fn four(tasks: [Option<&str>; 4]) -> Fleet {
        let mut fleet = Fleet::new().machine("i-1", CloudState::Running, 30).known().four(tasks);
        fleet.live(0);
        fleet
    }

    fn seen(fleet: &Fleet) -> Instance {
        fleet.instance("i-1").unwrap()
    }

    fn tasks(fleet: &Fleet) -> Vec<String> {
        seen(fleet).tasks().map(|task| task.id.to_string()).collect()
    }

    /// The last of its agents falls silent.
    fn silence(fleet: &mut Fleet, agents: usize) {
        let heard = fleet.now;
        for _ in 0..10 {
            fleet.live(30);
            fleet.workers[4 - agents..].iter_mut().for_each(|worker| worker.last_report = Some(heard));
        }
        fleet.look();
    }

    #[test]
    fn a_machine_is_idle_when_all_of_its_agents_are() {
        let mut fleet = four([None; 4]);
        assert_eq!((seen(&fleet).phase, seen(&fleet).agents), (Phase::Idle, Agents::whole(4)));
        let task = |id: &str| Some(ObservedTask { id: id.into(), name: String::new(), queue: None });
        fleet.workers[2].task = task("a");
        fleet.live(10);
        fleet.workers[0].task = task("b");
        fleet.live(10);
        assert_eq!((seen(&fleet).phase, tasks(&fleet)), (Phase::Busy, vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(seen(&fleet).load_told().as_deref(), Some("2/4 tasks"));
        fleet.workers[2].task = None;
        fleet.live(10);
        assert_eq!((seen(&fleet).phase, tasks(&fleet)), (Phase::Busy, vec!["b".to_owned()]));
    }

    #[test]
    fn agents_have_two_minutes_to_register_and_count_until_then() {
        let mut fleet = four([None; 4]);
        fleet.workers.truncate(1);
        fleet.live(10);
        assert_eq!((seen(&fleet).agents, seen(&fleet).fault), (Agents::whole(4), None));
        fleet.live(60);
        let since = Some(fleet.now);
        assert_eq!(seen(&fleet).agents, Agents { all: 4, present: 1, missing_since: since });
        assert_eq!(seen(&fleet).fault_why.as_deref(), Some("1 of 4 agents report"));
        fleet.live(60);
        assert_eq!(seen(&fleet).agents.missing_since, since);
    }

    #[test]
    fn half_of_the_agents_missing_is_a_fault_and_all_of_them_a_loss() {
        for (silent, fault, present) in [
            (1, None, 3),
            (2, Some(Fault::AgentsMissing), 2),
            (3, Some(Fault::AgentsMissing), 1),
            (4, Some(Fault::Lost), 0),
        ] {
            let mut fleet = four([None; 4]);
            silence(&mut fleet, silent);
            assert_eq!((seen(&fleet).fault, seen(&fleet).agents.present), (fault, present), "{silent} silent");
        }
    }

    #[test]
    fn a_silent_agent_s_task_is_still_the_machine_s() {
        let mut fleet = four([None, None, None, Some("a")]);
        silence(&mut fleet, 1);
        assert_eq!(tasks(&fleet), ["a"]);
        // Its row is gone, and the task still names it.
        fleet.workers.pop();
        fleet.tasks = vec![Fleet::task("a", TaskStatus::InProgress, Some("i-1.4"))];
        fleet.live(10);
        assert_eq!((tasks(&fleet), seen(&fleet).phase), (vec!["a".to_owned()], Phase::Busy));
        // What names an agent that reports none is over.
        fleet.tasks = vec![Fleet::task("a", TaskStatus::InProgress, Some("i-1.1"))];
        fleet.live(10);
        assert_eq!(tasks(&fleet), Vec::<String>::new());
    }

    #[test]
    fn the_machine_says_how_many_agents_it_has_else_its_workers_do() {
        let all = |change: fn(&mut Fleet)| {
            let mut fleet = Fleet::new().machine("i-1", CloudState::Running, 30).known();
            fleet.settings.pools[0].agent.agents_per_machine = 2;
            change(&mut fleet);
            fleet.live(0);
            seen(&fleet).agents.all
        };
        assert_eq!(all(|_| ()), 2, "as machines are made now");
        let plain = |fleet: &mut Fleet| *fleet = std::mem::replace(fleet, Fleet::new()).worker(None);
        assert_eq!(all(plain), 1, "it was made with one");
        assert_eq!(all(|fleet| *fleet = std::mem::replace(fleet, Fleet::new()).four([None; 4])), 4);
        assert_eq!(
            all(|fleet| {
                let metadata = [("agents".to_owned(), "8".to_owned())].into();
                let created = fleet.now;
                fleet.mailboxes = vec![Mailbox { queue: "m".into(), instance: "i-1".into(), created, metadata }];
            }),
            8
        );
    }

    #[test]
    fn time_is_charged_to_the_task_that_began_first_and_each_teaches_how_long_it_took() {
        let mut fleet = four([Some("a"), None, None, None]);
        fleet.workers[1].task =
            Some(ObservedTask { id: "b".into(), name: String::new(), queue: Some("q-train".into()) });
        assert_eq!(fleet.live(100), []);
        fleet.workers[1].task = None;
        let took = |seconds| Record::TaskTook { queue: "train".into(), duration: SignedDuration::from_secs(seconds) };
        assert_eq!(fleet.live(50), [took(50)]);
        fleet.workers[1].task =
            Some(ObservedTask { id: "c".into(), name: String::new(), queue: Some("q-train".into()) });
        fleet.live(10);
        fleet.workers[0].task = None;
        let records = fleet.live(40);
        assert_eq!(records[0], took(200));
        assert!(matches!(&records[1], Record::Charged { share, .. } if share.task == Some("c".into())), "{records:?}");
        assert_eq!(records.len(), 2);
    }

    #[test]
    fn an_agent_that_leaves_a_task_waiting_does_not_pull_whatever_the_others_do() {
        let mut fleet = four([Some("a"), Some("b"), Some("c"), None]);
        fleet.waiting = vec!["d"];
        for _ in 0..5 {
            assert_eq!(seen(&fleet).fault, None);
            fleet.live(12);
        }
        assert_eq!(seen(&fleet).fault, Some(Fault::NotPulling));
    }

    #[test]
    fn every_task_of_a_machine_that_is_gone_is_stray() {
        let mut fleet = four([Some("a"), None, Some("b"), None]);
        fleet.tasks = ["a", "b"].map(|id| Fleet::task(id, TaskStatus::InProgress, Some("i-1.3"))).to_vec();
        fleet.last().state = CloudState::Terminated;
        fleet.workers.clear();
        fleet.live(10);
        fleet.live(10);
        assert_eq!(fleet.snapshot().strays.len(), 2);
    }

    /// FAILURES.md row 26.
    #[test]
    fn a_machine_whose_agent_is_claimed_by_two_workers_is_a_fault_and_counts_as_busy() {
        let with = |change: fn(&mut ObservedWorker)| {
            let mut fleet = Fleet::new().machine("i-1", CloudState::Running, 30).known().worker(Some("t"));
            let mut other = fleet.workers[0].clone();
            other.task = None;
            change(&mut other);
            fleet.workers.push(other.clone());
            fleet.live(0);
            *fleet.workers.last_mut().unwrap() = other;
            fleet.look();
            let seen = seen(&fleet);
            (seen.fault, seen.fault_why, seen.task.map(|task| task.id.to_string()))
        };
        let busy = || Some("t".to_owned());
        let twice = Some(Fault::ClaimedTwice);
        let why = "two workers of different users are lab:gpu:g5.xlarge:i-1: one runs task t, the other is idle";
        assert_eq!(with(|_| ()), (twice, Some(why.to_owned()), busy()));
        let why = "lab:gpu:g5.2xlarge:i-1 is idle";
        let (fault, said, task) = with(|other| other.id = "lab:gpu:g5.2xlarge:i-1".into());
        assert_eq!((fault, task), (twice, busy()));
        assert!(said.as_ref().is_some_and(|said| said.contains(why)), "{said:?}");
        let (fault, _, task) = with(|other| other.id = "lab:gpu:g5.xlarge:i-1.2".into());
        assert_eq!((fault, task), (twice, busy()), "one with a number beside one without");
        // What was left behind by another life of the same agent claims nothing.
        let (fault, _, task) = with(|other| other.last_report = Some(Timestamp::UNIX_EPOCH));
        assert_eq!((fault, task), (None, busy()));
    }
}
