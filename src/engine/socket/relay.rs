//! From the loop to the socket's clients, none of which can hold it up: a client is told the newest view, however many
//! it missed, and every other event; one that falls too far behind is told so.

use std::sync::Arc;

use tokio::sync::{broadcast, watch};

use crate::engine::event::{Event, View};

/// Events that a listener may be behind.
const BACKLOG: usize = 1024;

/// Where the loop's events come in.
#[derive(Debug, Clone)]
pub(super) struct Relay {
    views: watch::Sender<Option<Arc<View>>>,
    others: broadcast::Sender<Event>,
}

impl Default for Relay {
    fn default() -> Self {
        Self { views: watch::Sender::new(None), others: broadcast::Sender::new(BACKLOG) }
    }
}

impl Relay {
    /// Tells everyone; nobody listening is fine.
    pub(super) fn tell(&self, event: Event) {
        match event {
            Event::View(view) => {
                self.views.send_replace(Some(view));
            }
            other => {
                let _ = self.others.send(other);
            }
        }
    }

    /// Listens from now on; the newest view comes at once.
    pub(super) fn listen(&self) -> Listener {
        let mut views = self.views.subscribe();
        views.mark_changed();
        Listener { views, others: self.others.subscribe() }
    }
}

/// One who listens.
#[derive(Debug)]
pub(super) struct Listener {
    views: watch::Receiver<Option<Arc<View>>>,
    others: broadcast::Receiver<Event>,
}

/// Why there is no next event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Silence {
    #[error("the loop has ended")]
    Ended,
    #[error("too slow: {0} events were missed")]
    Behind(u64),
}

impl Listener {
    /// The next event. Dropping the wait loses none.
    pub(super) async fn next(&mut self) -> Result<Event, Silence> {
        loop {
            tokio::select! {
                biased;
                other = self.others.recv() => return match other {
                    Ok(event) => Ok(event),
                    Err(broadcast::error::RecvError::Closed) => Err(Silence::Ended),
                    Err(broadcast::error::RecvError::Lagged(missed)) => Err(Silence::Behind(missed)),
                },
                changed = self.views.changed() => {
                    if changed.is_err() {
                        return Err(Silence::Ended);
                    }
                    if let Some(view) = self.views.borrow_and_update().clone() {
                        return Ok(Event::View(view));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(id: u64) -> Event {
        Event::Answer { id, result: Err("no".to_owned()) }
    }

    #[tokio::test]
    async fn every_event_comes_once_and_in_order() {
        let relay = Relay::default();
        relay.tell(answer(0));
        let mut listener = relay.listen();
        for id in 1..4 {
            relay.tell(answer(id));
        }
        for id in 1..4 {
            assert_eq!(listener.next().await, Ok(answer(id)));
        }
        drop(relay);
        assert_eq!(listener.next().await, Err(Silence::Ended));
    }

    #[tokio::test]
    async fn one_who_falls_behind_is_told() {
        let relay = Relay::default();
        let mut listener = relay.listen();
        for id in 0..2_000 {
            relay.tell(answer(id));
        }
        assert_eq!(listener.next().await, Err(Silence::Behind(976)));
    }
}
