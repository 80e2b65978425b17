//! `cleanup`: what is left over on the ClearML server, of machines and consoles that are gone.

use std::collections::BTreeSet;

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;

use super::Place;
use super::failure::Failure;
use super::live::{Ground, world};
use super::say::{Version, complain, say, say_json};
use super::table::{Side, table};
use crate::model::claim;
use crate::model::ids::{FleetId, InstanceId, QueueId, Term, WorkerId, WorkerName};
use crate::model::observed::{CloudState, HiddenQueue, ObservedWorker, one_of_each};
use crate::model::settings::{Provider, Settings};
use crate::world::World;
use crate::world::clock::Clock;
use crate::world::tracker::TrackerError;

/// Remove what machines and consoles that are gone left on the ClearML server; without --yes it is only shown
#[derive(Debug, Args)]
pub(super) struct Cleanup {
    /// Remove it
    #[arg(long)]
    yes: bool,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

/// A mailbox may be another fleet's: it is only left over when nobody can live by it any more.
const MAILBOX_LIFE: SignedDuration = SignedDuration::from_hours(24);
/// Whoever made a claim on a task has ten minutes for it.
const CLAIM_LIFE: SignedDuration = SignedDuration::from_hours(1);
/// A worker reports every half minute.
const SILENT_AFTER: SignedDuration = SignedDuration::from_mins(3);

/// What `cleanup --json` says.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Told {
    version: Version,
    /// `false`: it is only shown, since `--yes` was not given.
    removed: bool,
    cleanup: Vec<Row>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Row {
    name: String,
    /// Why nobody needs it.
    why: String,
}

/// Something that nobody needs.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Leftover {
    what: Thing,
    name: String,
    why: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Thing {
    /// With the hold tasks of its machine.
    Mailbox(InstanceId),
    Queue(QueueId),
    Worker(WorkerId),
}

/// What is known of the world.
struct Seen<'a> {
    fleet: &'a FleetId,
    hidden: &'a [HiddenQueue],
    workers: &'a [ObservedWorker],
    /// The fleet's machines that are up or may be. `None`: not every region answered.
    machines: Option<&'a BTreeSet<InstanceId>>,
    now: Timestamp,
}

impl Seen<'_> {
    fn leftovers(&self) -> Vec<Leftover> {
        let highest = self.hidden.iter().filter_map(|queue| self.term(queue)).max();
        let queues = self.hidden.iter().filter_map(|queue| {
            let why = self.mailbox(queue).or_else(|| self.claim(queue)).or_else(|| self.lead(queue, highest))?;
            let mailbox = queue.name.as_str().strip_prefix("drain:").map(|of| Thing::Mailbox(of.into()));
            let what = mailbox.unwrap_or_else(|| Thing::Queue(queue.id.clone()));
            Some(Leftover { what, name: queue.name.to_string(), why })
        });
        let ghosts = self.workers.iter().filter_map(|worker| {
            let why = self.ghost(worker)?;
            Some(Leftover { what: Thing::Worker(worker.id.clone()), name: worker.id.to_string(), why })
        });
        queues.chain(ghosts).collect()
    }

    fn age(&self, queue: &HiddenQueue) -> SignedDuration {
        queue.created.map_or(SignedDuration::ZERO, |created| self.now.duration_since(created))
    }

    fn mailbox(&self, queue: &HiddenQueue) -> Option<String> {
        let instance = queue.name.as_str().strip_prefix("drain:")?;
        let up = self.machines?.contains(instance);
        let of_machine = |worker: &ObservedWorker| {
            WorkerName::parse(&worker.id).is_some_and(|name| name.instance.as_str() == instance)
        };
        let works = self.workers.iter().any(of_machine);
        let old = self.age(queue) > MAILBOX_LIFE;
        (!up && !works && old).then(|| format!("machine {instance} is gone"))
    }

    fn claim(&self, queue: &HiddenQueue) -> Option<String> {
        let task = queue.name.as_str().strip_prefix("claim:")?;
        let old = self.age(queue) > CLAIM_LIFE;
        old.then(|| format!("a claim on task {} that nobody finished", task.split(':').next().unwrap_or(task)))
    }

    fn term(&self, queue: &HiddenQueue) -> Option<Term> {
        queue.name.as_str().strip_prefix(&claim::prefix(self.fleet))?.parse().ok().map(Term)
    }

    fn lead(&self, queue: &HiddenQueue, highest: Option<Term>) -> Option<String> {
        let term = self.term(queue)?;
        highest
            .filter(|highest| term < *highest)
            .map(|highest| format!("term {term} is over: it is term {highest} now"))
    }

    /// One with a task is the loop's: the task goes back to its queue first.
    fn ghost(&self, worker: &ObservedWorker) -> Option<String> {
        let name = WorkerName::parse(&worker.id).filter(|name| name.fleet == *self.fleet)?;
        let silent = self.now.duration_since(worker.last_report.unwrap_or(worker.registered)) > SILENT_AFTER;
        let gone = !self.machines?.contains(&name.instance);
        (gone && silent && worker.task.is_none()).then(|| format!("its machine {} is gone", name.instance))
    }
}

impl Cleanup {
    pub(super) async fn run(&self, place: &Place) -> Result<(), Failure> {
        let ground = Ground::find(place)?;
        if let (true, Some(from)) = (self.yes, ground.settings.read_only()) {
            return Err(Failure::Refused(format!("read only, by the guardrails of {from}")));
        }
        let settings = ground.settings.settings();
        let (world, _) = world(&settings, ground.settings.path())?;
        let unreachable = |error: TrackerError| Failure::NotReachable(error.to_string());
        let machines = machines(&world, &settings).await;
        let hidden = world.tracker.hidden_queues().await.map_err(unreachable)?;
        let fleet = &settings.the_loop.fleet;
        let workers = one_of_each(world.tracker.workers(fleet).await.map_err(unreachable)?).0;
        let (machines, unknown) = match &machines {
            Ok(machines) => (Some(machines), None),
            Err(error) => (None, Some(error)),
        };
        let seen = Seen { fleet, hidden: &hidden, workers: &workers, machines, now: Clock::Wall.now() };
        let leftovers = seen.leftovers();
        if self.yes {
            remove(&world, &leftovers).await.map_err(unreachable)?;
        }
        if let Some(error) = unknown {
            complain(&format!("mailboxes and workers are left alone: which machines are up is not known: {error}"));
        }
        self.tell(&leftovers)
    }

    fn tell(&self, leftovers: &[Leftover]) -> Result<(), Failure> {
        if self.json {
            let row = |left: &Leftover| Row { name: left.name.clone(), why: left.why.clone() };
            let cleanup = leftovers.iter().map(row).collect();
            return say_json(&Told { version: Version, removed: self.yes, cleanup });
        }
        if leftovers.is_empty() {
            return say("nothing is left over\n");
        }
        let rows: Vec<_> = leftovers.iter().map(|left| [left.name.clone(), left.why.clone()]).collect();
        say(&table([("NAME", Side::Left), ("WHY", Side::Left)], &rows))?;
        let count = leftovers.len();
        complain(&if self.yes { format!("{count} removed") } else { format!("{count} to remove: run it with --yes") });
        Ok(())
    }
}

/// The fleet's machines that have not ended, of every region of the settings.
async fn machines(world: &World, settings: &Settings) -> Result<BTreeSet<InstanceId>, String> {
    let regions: BTreeSet<(Provider, String)> =
        settings.pools.iter().map(|pool| (pool.provider, pool.site())).collect();
    let mut up = BTreeSet::new();
    for (provider, region) in regions {
        let cloud = world.cloud(provider).map_err(|error| error.to_string())?;
        let listed = cloud.list(&settings.the_loop.fleet, &region).await.map_err(|error| error.to_string())?;
        up.extend(
            listed.into_iter().filter(|machine| machine.state != CloudState::Terminated).map(|machine| machine.id),
        );
    }
    Ok(up)
}

async fn remove(world: &World, leftovers: &[Leftover]) -> Result<(), TrackerError> {
    for leftover in leftovers {
        match &leftover.what {
            Thing::Mailbox(instance) => world.tracker.delete_mailbox(instance).await?,
            Thing::Queue(queue) => world.tracker.delete_hidden(queue).await?,
            Thing::Worker(worker) => world.tracker.unregister(worker).await?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-02T08:00:00Z".parse().unwrap()
    }

    fn hidden(name: &str, hours: i64) -> HiddenQueue {
        let created = Some(now() - SignedDuration::from_hours(hours));
        HiddenQueue { id: name.into(), name: name.into(), created }
    }

    fn worker(id: &str, silent_seconds: i64) -> ObservedWorker {
        let seen = now() - SignedDuration::from_secs(silent_seconds);
        ObservedWorker { id: id.into(), queues: Vec::new(), task: None, registered: seen, last_report: Some(seen) }
    }

    #[test]
    fn only_what_nobody_can_need_any_more_is_left_over() {
        let hidden = [
            hidden("drain:i-gone", 30),
            hidden("drain:i-young", 2),
            hidden("drain:i-up", 30),
            hidden("drain:i-others", 30),
            hidden("claim:t1:0", 2),
            hidden("claim:t2:0", 0),
            hidden("tidegate:lab", 900),
            hidden("tidegate:lab:leader:9", 90),
            hidden("tidegate:lab:leader:10", 80),
            hidden("tidegate:other:leader:1", 90),
            HiddenQueue { created: None, ..hidden("drain:i-ageless", 0) },
            hidden("train", 900),
        ];
        let task = crate::model::observed::ObservedTask { id: "t".into(), name: String::new(), queue: None };
        let workers = [
            worker("lab:gpu:g5.xlarge:i-ghost", 400),
            worker("lab:gpu:g5.xlarge:i-alive", 20),
            worker("lab:gpu:g5.xlarge:i-up", 400),
            worker("other:gpu:g5.xlarge:i-others", 400),
            ObservedWorker { task: Some(task), ..worker("lab:gpu:g5.xlarge:i-busy", 400) },
        ];
        let fleet = FleetId::new("lab");
        let up: BTreeSet<InstanceId> = [InstanceId::new("i-up")].into();
        let names = |machines| {
            let seen = Seen { fleet: &fleet, hidden: &hidden, workers: &workers, machines, now: now() };
            seen.leftovers().into_iter().map(|left| left.name).collect::<Vec<_>>()
        };
        let all = ["drain:i-gone", "claim:t1:0", "tidegate:lab:leader:9", "lab:gpu:g5.xlarge:i-ghost"];
        assert_eq!(names(Some(&up)), all);
        assert_eq!(names(None), ["claim:t1:0", "tidegate:lab:leader:9"], "not seen is not gone");
    }
}
