//! `demo`: the console on a simulated ClearML and cloud, without credentials.

use std::sync::Arc;

use clap::Args;
use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::Serialize;

use super::failure::Failure;
use super::looks::Looks;
use super::say::{Version, say, say_json};
use super::screenshot::Take;
use crate::engine::act::crash::CrashPoints;
use crate::engine::act::naming::Naming;
use crate::engine::event::Leader;
use crate::engine::{EngineError, Setup, start};
use crate::model::catalogue::Catalogue;
use crate::model::ids::Term;
use crate::model::money::Money;
use crate::model::record::Record;
use crate::model::settings::{Edit, Settings};
use crate::model::span::{self, Exact};
use crate::replay::{Outcome, rehearse};
use crate::store::Store;
use crate::store::memory::MemoryStore;
use crate::store::settings::SettingsFile;
use crate::tui::Options;
use crate::world::clock::Clock;
use crate::world::sim::scenario::Scenario;
use crate::world::sim::{Judgement, Sim};

/// The settings that the demo begins with.
const SETTINGS: &str = include_str!("../../assets/demo/settings.toml");

/// The console on a simulated ClearML and cloud: no credentials, nothing is touched, everything works
///
/// A busy Monday of a research group, from one seed always the same. On the screen an hour passes in a minute.
#[derive(Debug, Args)]
pub(super) struct Demo {
    /// Which of the possible days
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// So many times the tasks, the limits and the budgets: a larger group's day
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    scale: u32,
    /// Simulated seconds in one of yours
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=3600), conflicts_with = "headless")]
    speed: u32,
    /// Without a screen, as fast as it can; tasks arrive for so long, then the last machines drain
    #[arg(long)]
    headless: bool,
    /// For how long tasks arrive, such as 2h
    #[arg(long = "for", value_name = "SPAN", default_value = "2h", value_parser = span::parse, requires = "headless")]
    span: SignedDuration,
    /// Print one line of JSON
    #[arg(long, requires = "headless")]
    json: bool,
    #[command(flatten)]
    take: Take,
    #[command(flatten)]
    looks: Looks,
}

/// What `demo --headless --json` says.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Told {
    version: Version,
    seed: u64,
    /// For how long tasks arrived.
    for_seconds: i64,
    #[serde(flatten)]
    outcome: Outcome,
}

impl Demo {
    pub(super) fn run(&self) -> Result<(), Failure> {
        match &self.take.screenshot {
            Some(file) => self.screenshot(file),
            None if self.headless => self.headless(),
            None => self.screen(),
        }
    }

    fn headless(&self) -> Result<(), Failure> {
        let (catalogue, seed, scale) = (super::live::price_table()?, self.seed, self.scale);
        let make = |sim: Sim, clock| {
            let catalogue = catalogue.clone();
            async move {
                let settings = settings(scale).map_err(|failure| EngineError::Setup(failure.to_string()))?;
                setup(&sim, settings, catalogue, seed, clock).await
            }
        };
        let outcome = rehearse(scenario(scale)?, seed, self.span, make)?;
        if self.json {
            return say_json(&Told { version: Version, seed: self.seed, for_seconds: self.span.as_secs(), outcome });
        }
        self.say_text(&outcome)
    }

    fn say_text(&self, outcome: &Outcome) -> Result<(), Failure> {
        let Judgement {
            tasks_done, tasks_lost, tasks_waiting, launched, stopped, limit_violations, bill_microusd, ..
        } = &outcome.judgement;
        say(&format!(
            "seed {}, {} of tasks\n\
             tasks     {tasks_done} done, {tasks_waiting} still wait, {tasks_lost} lost\n\
             machines  {launched} launched, {stopped} stopped, limits passed {limit_violations} times\n\
             money     {} by our ledger, {} by the simulator's own bill\n",
            self.seed,
            Exact(self.span),
            Money::from_micros(outcome.spent_microusd),
            Money::from_micros(*bill_microusd),
        ))
    }

    fn screenshot(&self, file: &std::path::Path) -> Result<(), Failure> {
        let (settings, catalogue, seed) = (settings(self.scale)?, super::live::price_table()?, self.seed);
        let make = |sim: Sim, clock| async move { setup(&sim, settings, catalogue, seed, clock).await };
        self.take.run(file, scenario(self.scale)?, seed, &self.looks, make)
    }

    fn screen(&self) -> Result<(), Failure> {
        super::console::can_show(&self.looks)?;
        let (scenario, settings, catalogue) =
            (scenario(self.scale)?, settings(self.scale)?, super::live::price_table()?);
        let seed = self.seed;
        let pace = self.speed;
        let (tell, clock) = std::sync::mpsc::channel();
        let handle = start(move || async move {
            let clock = Clock::simulated(scenario.start, pace);
            // Nobody waits for it when the screen could not be opened.
            let _ = tell.send(clock);
            let sim = Sim::new(scenario, seed, clock);
            setup(&sim, settings, catalogue, seed, clock).await
        })?;
        let clock = clock.recv().map_err(|_| Failure::Failed("the loop did not start".to_owned()))?;
        let options = Options { speed: Some(pace), ..super::console::looked(&self.looks, clock) };
        super::console::show(handle, &options)
    }
}

/// The loop of a rehearsal: armed from the start, with a memory that is gone at its end.
async fn setup(
    sim: &Sim,
    settings: SettingsFile,
    catalogue: Catalogue,
    seed: u64,
    clock: Clock,
) -> Result<Setup, EngineError> {
    let mut store = MemoryStore::default();
    store.commit(&[Record::Armed(true)]).await?;
    Ok(Setup {
        settings,
        world: sim.world(),
        store: Box::new(store),
        clock,
        catalogue: Arc::new(catalogue),
        leader: Leader::Us(Term(1)),
        candidate: None,
        naming: Naming::seeded(seed),
        planner: crate::plan::plan,
        policy: None,
        crash: CrashPoints::default(),
        socket: None,
        warnings: Vec::new(),
    })
}

fn scenario(scale: u32) -> Result<Scenario, Failure> {
    Scenario::demo().map(|scenario| scenario.times(scale)).map_err(|error| Failure::Failed(error.to_string()))
}

fn settings(scale: u32) -> Result<SettingsFile, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::Failed(error.to_string());
    let mut file = SettingsFile::in_memory(SETTINGS).map_err(|error| failed(&error))?;
    if scale > 1 {
        let edits = larger(&file.settings(), scale);
        file.edit(&edits, None).map_err(|error| failed(&error))?;
    }
    Ok(file)
}

/// Every limit on instances and every budget, so many times larger.
fn larger(settings: &Settings, scale: u32) -> Vec<Edit> {
    let queues = settings.queues.iter().map(|queue| (format!("queue.{}.max", queue.name), queue.limits.max));
    let pools = settings.pools.iter().map(|pool| (format!("pool.{}.max", pool.name), pool.limits.max));
    let limits = queues.chain(pools).chain([("limits.max".to_owned(), settings.limits.max)]);
    let limits = limits.filter_map(|(key, max)| Some((key, max?.saturating_mul(scale).to_string())));
    let budgets = settings.budgets.iter().map(|budget| {
        let limit = Money::from_micros(budget.limit.micros().saturating_mul(i64::from(scale)));
        (format!("budget.\"{}\".limit", budget.name), limit.to_string())
    });
    limits.chain(budgets).map(|(key, value)| Edit { key, value: Some(value) }).collect()
}
