//! A simulated day as fast as it can be computed, and what came of it.

use std::convert::Infallible;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::{broadcast, mpsc};

use crate::engine::command::{Command, Edit, Request};
use crate::engine::event::{Event, View};
use crate::engine::{EngineError, Setup, run};
use crate::model::ids::Actor;
use crate::model::instance::{Instance, Phase};
use crate::model::snapshot::Ask;
use crate::world::clock::Clock;
use crate::world::sim::scenario::Scenario;
use crate::world::sim::{Judgement, Sim};

/// What came of it: the simulator's verdict, and the loop's own ledger beside the simulator's bill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Outcome {
    #[serde(flatten)]
    pub judgement: Judgement,
    /// What our ledger says was spent. It must be the simulator's `bill_microusd`.
    pub spent_microusd: i64,
    /// When the last machine was gone.
    pub ended: Timestamp,
}

/// When the last machines have not drained by then, the day ends all the same.
const PATIENCE: SignedDuration = SignedDuration::from_hours(48);

const REQUESTS: usize = 16;
/// Those that are missed say nothing that the next view does not.
const EVENTS: usize = 64;

/// How often the end of the day is looked for.
const LOOK: SignedDuration = SignedDuration::from_secs(30);

/// Simulates a day on a clock that runs as fast as the computer: tasks arrive for `span`, then no machine is started any
/// more, and the last ones drain. `make` puts the loop together around the world and its clock; after each crash that a
/// test wants it does so again.
///
/// # Errors
/// The loop could not go on.
pub fn rehearse<M, F>(scenario: Scenario, seed: u64, span: SignedDuration, make: M) -> Result<Outcome, EngineError>
where
    M: FnMut(Sim, Clock) -> F,
    F: Future<Output = Result<Setup, EngineError>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|error| EngineError::Runtime(error.to_string()))?;
    runtime.block_on(async {
        let clock = Clock::simulated(scenario.start, 1);
        let sim = Sim::new(scenario, seed, clock);
        let (requests, asked) = mpsc::channel(REQUESTS);
        let events = broadcast::Sender::new(EVENTS);
        let watched = events.subscribe();
        let mut last = None;
        tokio::select! {
            ended = lives(make, &sim, clock, asked, &events) => ended?,
            never = end_of_day(clock, span, requests, watched, &mut last) => match never {},
        }
        Ok(Outcome {
            judgement: sim.judge(),
            spent_microusd: last.map_or(0, |view: Arc<View>| view.spend.total.micros()),
            ended: clock.now(),
        })
    })
}

/// One loop after another, each for as long as it lives.
async fn lives<M, F>(
    mut make: M,
    sim: &Sim,
    clock: Clock,
    mut asked: mpsc::Receiver<Request>,
    events: &broadcast::Sender<Event>,
) -> Result<(), EngineError>
where
    M: FnMut(Sim, Clock) -> F,
    F: Future<Output = Result<Setup, EngineError>>,
{
    loop {
        let setup = make(sim.clone(), clock).await?;
        let (requests, heard) = mpsc::channel(REQUESTS);
        let pass_on = async {
            while let Some(request) = asked.recv().await {
                if requests.send(request).await.is_err() {
                    break;
                }
            }
            std::future::pending().await
        };
        let ended = tokio::select! {
            ended = run(setup, heard, events.clone()) => ended,
            never = pass_on => never,
        };
        if !matches!(ended, Err(EngineError::Crashed(_))) {
            return ended;
        }
    }
}

/// When the time is up: no new machines, every machine drains, and the loop is told to quit with the last one. Whatever
/// does not show in the last view is asked for again: a loop that crashes may have forgotten it.
async fn end_of_day(
    clock: Clock,
    span: SignedDuration,
    requests: mpsc::Sender<Request>,
    mut events: broadcast::Receiver<Event>,
    last: &mut Option<Arc<View>>,
) -> Infallible {
    clock.sleep(span).await;
    let by = Actor::new("demo");
    let deadline = clock.now().saturating_add(PATIENCE).unwrap_or(Timestamp::MAX);
    loop {
        while let Some(event) = next(&mut events) {
            if let Event::View(view) = event {
                *last = Some(view);
            }
        }
        let wanted = last.as_ref().map(|view| wanted(view, clock.now() > deadline));
        for command in wanted.unwrap_or_default() {
            // A loop that is gone has heard the last of them.
            let _ = requests.send(Request { id: 0, by: by.clone(), command }).await;
        }
        clock.sleep(LOOK).await;
    }
}

/// What is still to be asked for.
fn wanted(view: &View, late: bool) -> Vec<Command> {
    let mut wanted = Vec::new();
    if view.settings.limits.max != Some(0) {
        let nothing_new = Edit { key: "limits.max".to_owned(), value: Some("0".to_owned()) };
        wanted.push(Command::Set { edits: vec![nothing_new], seen: None });
    }
    let up: Vec<_> = view.snapshot.instances.iter().filter(|instance| instance.is_there()).collect();
    let works = |instance: &&&Instance| {
        let told = instance.drain.as_ref().is_some_and(|drain| !drain.cancelled);
        !told && !matches!(instance.phase, Phase::Stopping | Phase::Stopped)
    };
    let drain = up.iter().filter(works).map(|instance| Ask::Drain(instance.id.clone()));
    let off = up.iter().filter(|instance| instance.phase == Phase::Stopped);
    let end = off.map(|instance| Ask::Stop { instance: instance.id.clone(), kill: false });
    let asks: Vec<Ask> = drain.chain(end).collect();
    if !asks.is_empty() {
        wanted.push(Command::Ask(asks));
    }
    if (up.is_empty() && view.snapshot.intents.is_empty() && wanted.is_empty()) || late {
        wanted.push(Command::Quit { on_exit: None });
    }
    wanted
}

/// The next event that is there already; those that were missed are passed over.
fn next(events: &mut broadcast::Receiver<Event>) -> Option<Event> {
    loop {
        match events.try_recv() {
            Ok(event) => return Some(event),
            Err(broadcast::error::TryRecvError::Lagged(_)) => {}
            Err(_) => return None,
        }
    }
}
