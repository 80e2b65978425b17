//! `guard show`: all that will run on a machine of a pool, before one is started.

use clap::{Args, Subcommand};
use schemars::JsonSchema;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::cli::Place;
use crate::cli::failure::Failure;
use crate::cli::live::{Ground, world};
use crate::cli::say::{Version, say, say_json};
use crate::cli::trial;
use crate::model::nearest::did_you_mean;
use crate::model::settings::{Provider, Settings};
use crate::world::guard::{boot_script, startup_script};
use crate::world::secret::Secret;

/// What stands in place of a secret.
const HIDDEN: &str = "***";

/// What runs on the machines
#[derive(Debug, Args)]
pub(in crate::cli) struct Guard {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Show(Show),
}

/// Print all that will run on a machine of a pool, with its sha256; secrets as ***
#[derive(Debug, Args)]
struct Show {
    pool: String,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

/// What `guard show --json` says.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::cli) struct Told {
    version: Version,
    guard: Shown,
}

/// A part of it.
#[derive(Debug, Serialize, JsonSchema)]
struct Shown {
    pool: String,
    /// Of the script as it is shown, with the secret hidden.
    sha256: String,
    script: String,
}

impl Guard {
    #[expect(clippy::unused_async, reason = "each subcommand that asks is run the same way")]
    pub(in crate::cli) async fn run(&self, place: &Place) -> Result<(), Failure> {
        let What::Show(show) = &self.what;
        let ground = Ground::find(place)?;
        let settings = ground.settings.settings();
        let (world, _) = world(&settings, ground.settings.path())?;
        let shown = shown(&settings, &show.pool, world.tracker.api_server())?;
        if show.json { say_json(&Told { version: Version, guard: shown }) } else { say(&text(&shown)) }
    }
}

/// The script of the pool's first machine type, which is told to listen to every queue that the pool serves.
fn shown(settings: &Settings, name: &str, api_server: String) -> Result<Shown, Failure> {
    let pool = settings.pools.iter().find(|pool| pool.name.as_str() == name).ok_or_else(|| {
        let hint = did_you_mean(name, settings.pools.iter().map(|pool| pool.name.as_str()));
        Failure::Usage(format!("no pool is called `{name}`{hint}"))
    })?;
    let order = trial::order(settings, pool, HIDDEN.into(), api_server, Secret::new(HIDDEN));
    let script = match pool.provider {
        Provider::Aws => boot_script(&order),
        // It is told its name there, which no machine has yet.
        Provider::Gce | Provider::Exec => startup_script(&order, HIDDEN),
        Provider::Kubernetes => {
            return Err(Failure::Usage(format!("pool {name} makes pods: no boot script runs on them")));
        }
    };
    let script = script.map_err(|error| Failure::Settings(error.to_string()))?;
    let sha256 = format!("{:x}", Sha256::digest(&script));
    Ok(Shown { pool: name.to_owned(), sha256, script })
}

/// The hash first: what follows it is the script to the byte.
fn text(shown: &Shown) -> String {
    format!("sha256:{}\n{}", shown.sha256, shown.script)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::settings::{PoolSettings, QueueSettings};

    fn settings() -> Settings {
        let mut settings = crate::example::view().settings.as_ref().clone();
        settings.pools = vec![PoolSettings { types: vec!["g5.xlarge".into()], ..PoolSettings::with_defaults("small") }];
        settings.queues = vec![QueueSettings { pools: vec!["small".into()], ..QueueSettings::with_defaults("train") }];
        settings
    }

    #[test]
    fn the_whole_script_is_shown_under_its_hash_and_changes_with_the_settings() {
        let mut settings = settings();
        let show = |settings: &Settings| shown(settings, "small", "https://api.example.com".to_owned()).unwrap();
        let first = show(&settings);
        let text = text(&first);
        let (hash, script) = text.split_once('\n').unwrap();
        let wanted = format!("{:x}", Sha256::digest(script));
        assert_eq!(hash, format!("sha256:{wanted}"));
        for part in ["#!/bin/sh\n", "TOKEN='***'", "get_next_task", "--queue 'train'", ":small:g5.xlarge"] {
            assert!(script.contains(part), "{part}:\n{script}");
        }
        assert_eq!(show(&settings).sha256, first.sha256);
        settings.pools[0].agent.init_script = Some("true".to_owned());
        assert_ne!(show(&settings).sha256, first.sha256);
    }

    #[test]
    fn an_unknown_pool_is_answered_with_the_nearest_and_one_without_a_queue_with_why() {
        let mut settings = settings();
        let ask = |settings: &Settings, name: &str| shown(settings, name, String::new()).unwrap_err().to_string();
        assert_eq!(ask(&settings, "smal"), "no pool is called `smal`: did you mean `small`?");
        settings.queues.clear();
        assert!(ask(&settings, "small").contains("is served by no queue"));
    }
}
