//! `drain`: machines take no more tasks, finish the present one, and are stopped.

use std::fmt::Write;

use clap::Args;
use jiff::SignedDuration;

use super::confirm::{Deed, Proof, confirm};
use crate::cli::Place;
use crate::cli::failure::Failure;
use crate::cli::reach::Loop;
use crate::cli::say::say;
use crate::engine::command::{Command, Edit};
use crate::engine::event::View;
use crate::model::eta::Eta;
use crate::model::ids::{InstanceId, PoolName};
use crate::model::instance::{Instance, RunningTask};
use crate::model::money::Rate;
use crate::model::settings::key::word;
use crate::model::settings::{PoolSettings, Provider};
use crate::model::snapshot::Ask;
use crate::model::span::{self, Short};
use crate::model::which::{Chosen, Which};

/// Let machines take no more tasks, finish the present one, and stop
///
/// Machines are named, or chosen: each choice that is given must hold. Held machines are left to whoever holds them.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[command(group = clap::ArgGroup::new("choice").multiple(true).args(["all_idle", "pool", "older_than", "dearer_than"]))]
pub(in crate::cli) struct Drain {
    /// The machines' ids, as the cloud names them
    #[arg(required_unless_present = "choice", conflicts_with = "choice", value_name = "INSTANCE")]
    instances: Vec<String>,
    /// All that run no task
    #[arg(long)]
    all_idle: bool,
    /// All of this pool; of one of pods no new ones are made, by its `max`
    #[arg(long, value_name = "POOL")]
    pool: Option<String>,
    /// All that were launched longer ago, such as `6h`
    #[arg(long, value_name = "DURATION", value_parser = span::parse)]
    older_than: Option<SignedDuration>,
    /// All that cost more, such as `$2/h`
    #[arg(long, value_name = "PRICE")]
    dearer_than: Option<Rate>,
    /// Show which they are, and do nothing
    #[arg(long, requires = "choice")]
    dry_run: bool,
    /// Take the order back: they take tasks again
    #[arg(long, conflicts_with = "choice")]
    cancel: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Drain {
    pub(in crate::cli) async fn run(&self, place: &Place) -> Result<(), Failure> {
        if let Some(choice) = self.choice() {
            return self.chosen(&choice, place).await;
        }
        let ids = self.instances.iter().map(|id| InstanceId::new(id.as_str()));
        let names: Vec<_> = ids.clone().map(|id| super::no_machine(&id)).collect();
        let asks = ids.map(if self.cancel { Ask::CancelDrain } else { Ask::Drain }).collect();
        super::order_of(place, Command::Ask(asks), &names).await
    }

    /// `None`: the machines are named.
    fn choice(&self) -> Option<Which> {
        self.instances.is_empty().then(|| Which {
            idle: self.all_idle,
            pool: self.pool.as_deref().map(PoolName::from),
            older_than: self.older_than,
            dearer_than: self.dearer_than,
        })
    }

    async fn chosen(&self, choice: &Which, place: &Place) -> Result<(), Failure> {
        let mut the_loop = Loop::connect(place).await?;
        let view = the_loop.view().await?;
        if let Some(name) = &choice.pool {
            let pool = view.settings.pool(name);
            let pool = pool.ok_or_else(|| Failure::Usage(format!("there is no pool `{name}`")))?;
            if pool.provider == Provider::Kubernetes {
                return self.close(pool, &view, &mut the_loop).await;
            }
        }
        let chosen = choice.to_drain(&view.snapshot, view.at);
        let told = told(&chosen, &view);
        if self.dry_run || chosen.machines.is_empty() {
            return say(&told);
        }
        confirm(&Deed { consequence: told.trim_end().to_owned(), proof: Proof::Yes }, self.yes)?;
        let asks = chosen.machines.iter().map(|machine| Ask::Drain(machine.id.clone())).collect();
        the_loop.order(Command::Ask(asks)).await
    }

    /// A pool of pods is drained as a whole: none can be told to take no more tasks, for each has one.
    async fn close(&self, pool: &PoolSettings, view: &View, the_loop: &mut Loop) -> Result<(), Failure> {
        if self.all_idle || self.older_than.is_some() || self.dearer_than.is_some() {
            let why = format!("pods of pool {} end with their tasks: --pool alone drains it", pool.name);
            return Err(Failure::Usage(why));
        }
        let key = format!("pool.{}.max", word(pool.name.as_str()));
        let told = closed(pool, &key, view);
        if self.dry_run || pool.limits.max == Some(0) {
            return say(&told);
        }
        confirm(&Deed { consequence: told.trim_end().to_owned(), proof: Proof::Yes }, self.yes)?;
        let edits = vec![Edit { key, value: Some("0".to_owned()) }];
        the_loop.order(Command::Set { edits, seen: Some(view.settings.revision.clone()) }).await
    }
}

/// What becomes of a pool of pods that is drained, and how that is taken back.
fn closed(pool: &PoolSettings, key: &str, view: &View) -> String {
    let pods =
        view.snapshot.instances.iter().filter(|instance| instance.pool == pool.name && instance.counts()).count();
    let back = match pool.limits.max {
        Some(0) => return format!("{key} is 0 already; {pods} of its pods are there, and end with their tasks.\n"),
        Some(max) => format!("tidegate set {key} {max}"),
        None => format!("tidegate set {key} --unset"),
    };
    format!(
        "No new Job is made in pool {} ({key} = 0); {pods} of its pods are there, and end with their tasks.\n`{back}` takes it back.\n",
        pool.name
    )
}

/// The machines, one a line, and what is saved once they are gone.
fn told(chosen: &Chosen<'_>, view: &View) -> String {
    let mut text = String::new();
    for machine in &chosen.machines {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", row(machine, view));
    }
    let count = chosen.machines.len();
    let _ = match count {
        0 => writeln!(text, "No machine is like that and not being drained."),
        _ => writeln!(text, "{count} to drain: {} less once they are gone.", chosen.rate()),
    };
    if !chosen.held.is_empty() {
        let held: Vec<_> = chosen.held.iter().map(|machine| machine.id.to_string()).collect();
        let _ = writeln!(text, "Held, and left alone: {}.", held.join(", "));
    }
    text
}

fn row(machine: &Instance, view: &View) -> String {
    let rate = machine.rate.map_or_else(|| "price unknown".to_owned(), |rate| rate.to_string());
    let age = Short(machine.age(view.at));
    let task = machine.task.as_ref().map(|task| {
        let eta = Eta::of(machine, &view.snapshot.learned, &view.settings, view.at);
        let eta = eta.map(|eta| format!(", done in {eta}")).unwrap_or_default();
        let told = |task: &RunningTask| format!("{} ({})", task.id, task.name);
        let more: Vec<_> = machine.more_tasks.iter().map(told).collect();
        let and = if more.is_empty() { "" } else { ", " };
        format!("; task {}{and}{}{eta}", told(task), more.join(", "))
    });
    let word = machine.fault.map_or(machine.phase.word(), |fault| fault.word());
    format!("{} {word}, {} old, {rate}, {}{}", machine.id, age, machine.pool, task.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, FromArgMatches, Parser};

    use super::*;
    use crate::example::view;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        drain: Drain,
    }

    fn read(arguments: &[&str]) -> Result<Drain, String> {
        let matches = Program::command().try_get_matches_from([&["drain"], arguments].concat());
        let program = matches.and_then(|matches| Program::from_arg_matches(&matches));
        program.map(|program| program.drain).map_err(|error| error.to_string())
    }

    #[test]
    fn machines_are_named_or_chosen() {
        for (arguments, good) in [
            (&["i-1", "i-2"][..], true),
            (&["i-1", "--cancel"], true),
            (&["--all-idle", "--pool", "p4d", "--older-than", "6h", "--dearer-than", "$2/h", "--dry-run"], true),
            (&[], false),
            (&["--yes"], false),
            (&["--dry-run"], false),
            (&["i-1", "--dry-run"], false),
            (&["i-1", "--all-idle"], false),
            (&["--all-idle", "--cancel"], false),
            (&["--older-than", "soon"], false),
            (&["--dearer-than", "much"], false),
        ] {
            let read = read(arguments);
            assert_eq!(read.is_ok(), good, "{arguments:?}: {read:?}");
        }
        let all = read(&["--pool", "p4d", "--older-than", "90m"]).unwrap().choice().unwrap();
        let older_than = Some(SignedDuration::from_mins(90));
        assert_eq!(all, Which { pool: Some("p4d".into()), older_than, ..Which::default() });
        assert_eq!(read(&["i-1"]).unwrap().choice(), None);
    }

    #[test]
    fn every_machine_and_the_money_are_told_first() {
        let view = view();
        let told = |choice: Which| told(&choice.to_drain(&view.snapshot, view.at), &view);
        assert_eq!(
            told(Which::default()),
            "i-busy busy, 2h00 old, $21.96/h, p4d; task t-1 (train bert), done in about 47m57 (queue.train.expected_task)\n\
             i-stuck stuck, 2h00 old, price unknown, p4d\n\
             2 to drain: $21.96/h less once they are gone.\n\
             Held, and left alone: i-held.\n"
        );
        assert_eq!(
            told(Which::all_idle()),
            "No machine is like that and not being drained.\nHeld, and left alone: i-held.\n"
        );
    }
}
