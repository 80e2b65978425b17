//! The old autoscaler's running machines, taken over into the settings in use. They are known by their workers' names.

use std::collections::BTreeMap;

use crate::cli::Place;
use crate::cli::change::confirm::{Deed, Proof, confirm};
use crate::cli::failure::Failure;
use crate::cli::live::{Ground, world};
use crate::cli::reach::person;
use crate::cli::say::{complain, say};
use crate::cli::table::{Side, table};
use crate::model::ids::{Actor, FleetId, PoolName, QueueId, QueueName, WorkerName};
use crate::model::observed::{ObservedQueue, ObservedWorker};
use crate::model::settings::Settings;
use crate::world::World;
use crate::world::cloud::Newcomer;
use crate::world::tracker::TrackerError;

/// The names of the old autoscaler: its workers' prefix, and the pool that each resource became.
#[derive(Debug)]
pub(super) struct OldNames {
    pub(super) prefix: String,
    pub(super) pools: BTreeMap<String, String>,
}

/// A worker of the old autoscaler's, and what its machine becomes, or why it stays foreign.
type Found = (WorkerName, Result<Newcomer, String>);

/// Finds them, asks, and tags them; tells what became of each.
pub(super) async fn adopt(old: &OldNames, place: &Place, yes: bool) -> Result<(), Failure> {
    let ground = Ground::find(place)?;
    if let Some(from) = ground.settings.read_only() {
        return Err(Failure::Refused(format!("read only, by the guardrails of {from}")));
    }
    let settings = ground.settings.settings();
    let (world, _) = world(&settings, ground.settings.path())?;
    let unreachable = |error: TrackerError| Failure::NotReachable(error.to_string());
    let queues = world.tracker.queues().await.map_err(unreachable)?;
    let workers = world.tracker.workers(&FleetId::new(old.prefix.as_str())).await.map_err(unreachable)?;
    let found = found(old, &workers, &queues, &settings, &person());
    if found.is_empty() {
        return say(&format!("no worker is named {}:RESOURCE:TYPE:ID: nothing to adopt\n", old.prefix));
    }
    complain(table([("MACHINE", Side::Left), ("WHAT BECOMES OF IT", Side::Left)], &rows(&found)).trim_end());
    let newcomers: Vec<&Newcomer> = found.iter().filter_map(|(_, becomes)| becomes.as_ref().ok()).collect();
    if newcomers.is_empty() {
        return say("nothing to adopt\n");
    }
    confirm(&deed(&newcomers, &old.prefix), yes)?;
    let mut refused = 0;
    for newcomer in newcomers {
        match bring_over(&world, &settings, newcomer).await {
            Ok(()) => say(&format!("{}: adopted into pool {}\n", newcomer.instance, newcomer.pool))?,
            Err(why) => {
                refused += 1;
                complain(&format!("{}: stays foreign: {why}", newcomer.instance));
            }
        }
    }
    if refused == 0 { Ok(()) } else { Err(Failure::Failed(format!("{refused} not adopted"))) }
}

async fn bring_over(world: &World, settings: &Settings, newcomer: &Newcomer) -> Result<(), String> {
    let pool = settings.pool(&newcomer.pool).ok_or_else(|| format!("no pool {}", newcomer.pool))?;
    let cloud = world.cloud(pool.provider).map_err(|error| error.to_string())?;
    cloud.bring_over(&pool.site(), newcomer).await.map_err(|error| error.to_string())
}

fn found(
    old: &OldNames,
    workers: &[ObservedWorker],
    queues: &[ObservedQueue],
    settings: &Settings,
    by: &Actor,
) -> Vec<Found> {
    let named = workers.iter().filter_map(|worker| Some((WorkerName::parse(&worker.id)?, worker)));
    let theirs = named.filter(|(name, _)| name.fleet.as_str() == old.prefix);
    let becomes = |(name, worker): (WorkerName, &ObservedWorker)| {
        let newcomer = newcomer(&name, worker, old, queues, settings, by);
        (name, newcomer)
    };
    theirs.map(becomes).collect()
}

fn newcomer(
    name: &WorkerName,
    worker: &ObservedWorker,
    old: &OldNames,
    queues: &[ObservedQueue],
    settings: &Settings,
    by: &Actor,
) -> Result<Newcomer, String> {
    let resource = name.pool.as_str();
    let pool = old.pools.get(resource).ok_or_else(|| format!("the old file has no resource `{resource}`"))?;
    let pool = PoolName::new(pool.as_str());
    settings.pool(&pool).ok_or_else(|| format!("the settings have no pool `{pool}`"))?;
    let listens = |id: &QueueId| queues.iter().find(|queue| queue.id == *id).map(|queue| queue.name.clone());
    let ours = |queue: &QueueName| settings.queues_of(&pool).any(|known| known.name == *queue);
    let queue = worker.queues.iter().filter_map(listens).find(ours);
    let queue = queue.ok_or_else(|| format!("it listens to no queue that pool `{pool}` serves"))?;
    let (instance, fleet) = (name.instance.clone(), settings.the_loop.fleet.clone());
    Ok(Newcomer { instance, fleet, pool, queue, by: by.clone() })
}

fn rows(found: &[Found]) -> Vec<[String; 2]> {
    let row = |(name, becomes): &Found| {
        let told = match becomes {
            Ok(newcomer) => format!("adopted: pool {}, queue {}", newcomer.pool, newcomer.queue),
            Err(why) => format!("stays foreign: {why}"),
        };
        [name.instance.to_string(), told]
    };
    found.iter().map(row).collect()
}

fn deed(newcomers: &[&Newcomer], prefix: &str) -> Deed {
    let count = newcomers.len();
    Deed {
        consequence: format!(
            "{count} of {prefix}'s machines get the tags of our fleet: they count in its limits and are billed in its \
             ledger. They have no guard, so that the loop never drains or stops them: that is done by hand. Stop the \
             old autoscaler first: it ends them as it likes"
        ),
        proof: Proof::Yes,
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::store::settings::SettingsFile;

    #[test]
    fn a_machine_is_adopted_where_pool_and_queue_are_known_and_is_named_otherwise() {
        let settings = SettingsFile::in_memory(
            "[loop]\nfleet = \"lab\"\n[queue.train]\npools = [\"g5-b\"]\n[pool.g5-b]\nprovider = \"aws\"\nregion = \
             \"us-east-1\"\ntypes = [\"g5.xlarge\"]\nami = \"ami-1\"\n",
        )
        .unwrap()
        .settings();
        let pools = [("g5/b", "g5-b"), ("a100", "a100")].map(|(old, new)| (old.to_owned(), new.to_owned())).into();
        let old = OldNames { prefix: "dynamic_worker".to_owned(), pools };
        let queue = |id: &str| ObservedQueue { id: id.into(), name: id.into(), tags: Vec::new(), entries: Vec::new() };
        let queues = [queue("train"), queue("eval")];
        let worker = |id: &str, queue: &str| ObservedWorker {
            id: id.into(),
            queues: vec![queue.into()],
            task: None,
            registered: Timestamp::UNIX_EPOCH,
            last_report: None,
        };
        let workers = [
            worker("dynamic_worker:g5/b:g5.xlarge:i-1", "train"),
            worker("dynamic_worker:g5/b:g5.xlarge:i-2", "eval"),
            worker("dynamic_worker:a100:p4d.24xlarge:i-3", "train"),
            worker("dynamic_worker:h100:p5.48xlarge:i-4", "train"),
            worker("dynamic_worker2:g5/b:g5.xlarge:i-5", "train"),
            worker("workstation:0", "train"),
        ];
        let told = rows(&found(&old, &workers, &queues, &settings, &"ann".into()));
        let told: Vec<String> = told.iter().map(|row| row.join(" ")).collect();
        assert_eq!(
            told,
            [
                "i-1 adopted: pool g5-b, queue train",
                "i-2 stays foreign: it listens to no queue that pool `g5-b` serves",
                "i-3 stays foreign: the settings have no pool `a100`",
                "i-4 stays foreign: the old file has no resource `h100`",
            ]
        );
    }
}
