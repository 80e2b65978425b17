//! `run --headless`: the loop alone, as a service.

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;

use super::Place;
use super::failure::Failure;
use super::live::{Ground, Lead, Running};
use super::manager::Manager;
use super::reach::person;
use super::say::complain;
use crate::engine::Handle;
use crate::engine::command::{Command, Request};
use crate::engine::event::Event;

const QUIT: u64 = 1;
const RELOAD: u64 = 2;

/// Run the loop without a screen, as a service; `status`, `drain`, `set` and the others speak to it
///
/// SIGTERM and SIGINT end it gracefully: what is under way is waited for, and `loop.on_exit` says what becomes of the
/// machines. SIGHUP has it read its settings again and look at once. A service manager that asks for it (systemd's
/// Type=notify) is told when it is ready, reloads and stops, and how things are.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// Without a screen
    #[arg(long, required = true)]
    headless: bool,
}

impl Run {
    #[expect(clippy::unused_self, reason = "each subcommand is run the same way")]
    pub(super) fn run(&self, place: &Place) -> Result<(), Failure> {
        let leading = match Ground::find(place)?.take_lead()? {
            Lead::Ours(leading) => leading,
            Lead::Theirs { directory, holder } => {
                let who = holder.map_or_else(|| "another process".to_owned(), |holder| holder.to_string());
                return Err(Failure::Refused(format!("{who} leads this fleet already ({})", directory.display())));
            }
        };
        let mut running = leading.start()?;
        super::runtime()?.block_on(until_told(&mut running))?;
        let Running { handle, held, .. } = running;
        let ended = handle.life.join();
        drop(held);
        Ok(ended?)
    }
}

/// Waits for a signal or for the loop's own end; a signal asks it to quit.
async fn until_told(running: &mut Running) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::Failed(format!("no signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut hang_up = signal(SignalKind::hangup()).map_err(failed)?;
    let mut manager = Manager::default();
    let mut runs = false;
    let Running { handle: Handle { requests, events, .. }, directory, .. } = running;
    loop {
        tokio::select! {
            _ = terminate.recv() => quit(requests).await,
            _ = interrupt.recv() => quit(requests).await,
            _ = hang_up.recv() => {
                Manager::reloads();
                ask(requests, RELOAD, Command::Refresh).await;
            }
            event = events.recv() => match event {
                Ok(Event::View(view)) => {
                    // Before that it may find no store.
                    if !std::mem::replace(&mut runs, true) {
                        let place = directory.display();
                        complain(&format!("tidegate: the loop runs; its log, store and socket are in {place}"));
                    }
                    manager.shows(&view);
                }
                Ok(Event::Answer { id: RELOAD, .. }) => manager.is_ready(),
                Ok(Event::Ended) | Err(RecvError::Closed) => return Ok(()),
                Ok(_) | Err(RecvError::Lagged(_)) => {}
            },
        }
    }
}

async fn quit(requests: &mpsc::Sender<Request>) {
    Manager::stops();
    ask(requests, QUIT, Command::Quit { on_exit: None }).await;
}

async fn ask(requests: &mpsc::Sender<Request>, id: u64, command: Command) {
    // If the loop is gone already, its end is on its way.
    let _ = requests.send(Request { id, by: person(), command }).await;
}
