//! Panics: one of the screen's own thread puts the terminal back before it is told; one of another thread becomes a
//! message on the screen instead of tearing it.

use std::panic::{self, PanicHookInfo};
use std::sync::Arc;
use std::thread;

use tokio::sync::mpsc;

use super::terminal;

type Hook = dyn Fn(&PanicHookInfo<'_>) + Send + Sync;

/// While it lives, panics are caught as above.
pub(super) struct Watch {
    before: Arc<Hook>,
}

impl Watch {
    /// `drawn`: the screen is drawn on, and a panic of its own thread gives the terminal back.
    pub(super) fn start(drawn: bool) -> (Self, mpsc::UnboundedReceiver<String>) {
        let (tell, told) = mpsc::unbounded_channel();
        let before: Arc<Hook> = Arc::from(panic::take_hook());
        let next = Arc::clone(&before);
        let screen = thread::current().id();
        panic::set_hook(Box::new(move |info| {
            if thread::current().id() == screen {
                if drawn {
                    let _ = terminal::restore();
                }
                next(info);
                return;
            }
            let name = thread::current().name().unwrap_or("a thread").to_owned();
            let place = info.location().map(|place| format!(" at {}:{}", place.file(), place.line()));
            let what = info.payload_as_str().unwrap_or("for no known reason");
            let text = format!("{name} panicked{}: {what}", place.unwrap_or_default());
            // The screen may be gone already.
            if tell.send(text).is_err() {
                next(info);
            }
        }));
        (Self { before }, told)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // A panicking thread may not change the hook.
        if !thread::panicking() {
            let before = Arc::clone(&self.before);
            panic::set_hook(Box::new(move |info| before(info)));
        }
    }
}
