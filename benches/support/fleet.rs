//! A fleet as large as it may be, at a moment of the demo's day.

use std::sync::Arc;

use jiff::SignedDuration;
use tidegate::engine::act::crash::CrashPoints;
use tidegate::engine::act::naming::Naming;
use tidegate::engine::command::{Command, Request};
use tidegate::engine::event::{Event, Leader, View};
use tidegate::engine::{Setup, start};
use tidegate::model::ids::Term;
use tidegate::store::memory::MemoryStore;
use tidegate::store::settings::SettingsFile;
use tidegate::world::clock::Clock;
use tidegate::world::prices;
use tidegate::world::sim::Sim;
use tidegate::world::sim::scenario::Scenario;

const OLD: SignedDuration = SignedDuration::from_hours(4);

/// The demo's fleet after its first hours with so many machines, none more than twice as old as those hours.
pub(crate) fn fleet(machines: usize) -> View {
    const DEMO: &str = include_str!("../../assets/demo/settings.toml");
    let scenario = Scenario::demo().unwrap();
    let begins = scenario.start;
    let mut handle = start(move || async move {
        let clock = Clock::simulated(scenario.start, 3_600);
        let sim = Sim::new(scenario, 7, clock);
        Ok(Setup {
            settings: SettingsFile::in_memory(DEMO).unwrap(),
            world: sim.world(),
            store: Box::new(MemoryStore::default()),
            clock,
            catalogue: Arc::new(prices::catalogue().unwrap()),
            leader: Leader::Us(Term(1)),
            candidate: None,
            naming: Naming::seeded(7),
            policy: None,
            planner: tidegate::plan::plan,
            crash: CrashPoints::default(),
            socket: None,
            warnings: Vec::new(),
        })
    })
    .unwrap();
    handle.requests.blocking_send(Request { id: 1, by: "ann".into(), command: Command::Arm }).unwrap();
    let mut view = loop {
        if let Ok(Event::View(view)) = handle.events.blocking_recv()
            && view.snapshot.instances.len() > 3
            && view.at.duration_since(begins) > OLD
        {
            break Arc::unwrap_or_clone(view);
        }
    };
    let quit = Command::Quit { on_exit: None };
    handle.requests.blocking_send(Request { id: 2, by: "ann".into(), command: quit }).unwrap();
    let snapshot = Arc::make_mut(&mut view.snapshot);
    let models = snapshot.instances.clone();
    snapshot.instances = (0..machines)
        .map(|number| {
            let mut machine = models[number % models.len()].clone();
            machine.id = format!("i-{number:017x}").as_str().into();
            // Ages as they are: few machines are in their first minutes, and each was launched in a second of its own.
            let older = SignedDuration::from_secs(i64::try_from(number * 97).unwrap() % OLD.as_secs());
            machine.launched -= older;
            machine.phase_since -= older;
            machine
        })
        .collect();
    view
}
