//! The agents of each machine, by the rows of their workers: which are there, and how many should be.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::engine::seen::facts::Facts;
use crate::engine::seen::sight::is_fresh;
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
    pub(in crate::engine) fn new(facts: &'a Facts, fleet: &FleetId) -> Self {
        let mut rows: BTreeMap<InstanceId, Vec<Row<'a>>> = BTreeMap::new();
        for worker in facts.workers.iter().chain(&facts.doubles) {
            if !worker.id.as_str().starts_with(fleet.as_str()) {
                continue;
            }
            if let Some(name) = WorkerName::parse(&worker.id).filter(|name| name.fleet == *fleet) {
                rows.entry(name.instance).or_default().push(Row { agent: name.agent, worker });
            }
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
        let long = |first: Timestamp| {
            facts.workers_asked.is_some_and(|asked| asked.duration_since(first) > REGISTER_WITHIN)
        };
        Self {
            all: all(machine, rows, facts, settings),
            reporting: u32::try_from(reporting.len()).unwrap_or(u32::MAX),
            settled: machine.registered && since_launch.min().is_none_or(long),
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
