//! Metrics for Prometheus and probes for whoever keeps the loop running, over plain HTTP: `/metrics` (see
//! [assets/METRICS.md]), `/livez` (does the loop turn?) and `/readyz` (does it know what there is?). What is answered
//! is of the last view; nobody who asks can hold up the loop.

mod few;
mod gauges;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use jiff::{SignedDuration, Timestamp};
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::engine::event::{Event, View};
use crate::engine::http::few::Few;
use crate::model::journal::EntryKind;
use crate::model::snapshot::Source;
use crate::model::span::Short;
use crate::world::clock::Clock;

/// A loop is dead that has shown nothing for this long after it wanted to look.
const PATIENCE: SignedDuration = SignedDuration::from_mins(2);

/// What `OpenMetrics` text is called.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("metrics are not served: {address}: {error} (loop.metrics)")]
pub(super) struct NoDoor {
    address: SocketAddr,
    error: std::io::Error,
}

/// The address, bound.
#[derive(Debug)]
pub(super) struct Door(TcpListener);

impl Door {
    /// Listens on the address. Call it inside a runtime.
    pub(super) async fn bind(address: SocketAddr) -> Result<Self, NoDoor> {
        TcpListener::bind(address).await.map(Self).map_err(|error| NoDoor { address, error })
    }

    /// Answers until the loop has ended.
    pub(super) async fn serve(self, mut events: broadcast::Receiver<Event>, clock: Clock) {
        let shown = Arc::new(Shown { clock, view: Mutex::new(None), lines: Lines::default() });
        let app = Router::new()
            .route("/metrics", get(metrics))
            .route("/livez", get(live))
            .route("/readyz", get(ready))
            .with_state(Arc::clone(&shown));
        let heard = async {
            loop {
                match events.recv().await {
                    Ok(Event::View(view)) => shown.show(view),
                    Ok(Event::Journal(entry)) => shown.lines.count(entry.kind),
                    Ok(Event::Ended) | Err(RecvError::Closed) => return,
                    Ok(Event::Answer { .. } | Event::Lost) | Err(RecvError::Lagged(_)) => {}
                }
            }
        };
        tokio::select! {
            () = heard => {}
            served = axum::serve(Few::new(self.0), app) => {
                if let Err(error) = served {
                    tracing::warn!(%error, "metrics are not served any more");
                }
            }
        }
    }
}

/// What is known for whoever asks.
#[derive(Debug)]
pub(super) struct Shown {
    clock: Clock,
    view: Mutex<Option<Arc<View>>>,
    lines: Lines,
}

/// Lines of the journal since the start, by their kind.
#[derive(Debug, Default)]
pub(super) struct Lines([AtomicU64; EntryKind::ALL.len()]);

impl Lines {
    fn count(&self, kind: EntryKind) {
        let place = EntryKind::ALL.iter().position(|one| *one == kind);
        if let Some(counter) = place.and_then(|place| self.0.get(place)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn each(&self) -> impl Iterator<Item = (EntryKind, u64)> {
        EntryKind::ALL.into_iter().zip(self.0.iter().map(|counter| counter.load(Ordering::Relaxed)))
    }
}

impl Shown {
    fn show(&self, view: Arc<View>) {
        *self.view.lock().unwrap_or_else(PoisonError::into_inner) = Some(view);
    }

    fn view(&self) -> Option<Arc<View>> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the loop turns; else why not.
    fn turns(&self, now: Timestamp) -> Result<Arc<View>, String> {
        let view = self.view().ok_or("the loop has shown nothing yet")?;
        let late = now.duration_since(view.next_pass.max(view.at));
        if late > PATIENCE {
            return Err(format!("the loop is late for its look by {}", Short(late)));
        }
        Ok(view)
    }

    /// Whether the loop knows what there is; else why not.
    fn knows(&self, now: Timestamp) -> Result<(), String> {
        let view = self.turns(now)?;
        let told = |source: &Source| match &source.error {
            Some(error) => format!("{} has not answered lately: {error}", source.name),
            None => format!("{} has not answered lately", source.name),
        };
        let tracker = view.snapshot.sources.iter().find(|source| source.name == Source::CLEARML);
        match tracker {
            None => Err(format!("{} was not asked yet", Source::CLEARML)),
            Some(source) if source.is_stale(now) => Err(told(source)),
            Some(_) => Ok(()),
        }
    }
}

async fn metrics(State(shown): State<Arc<Shown>>) -> impl IntoResponse {
    match gauges::text(shown.view().as_deref(), &shown.lines) {
        Ok(text) => (StatusCode::OK, [(header::CONTENT_TYPE, OPEN_METRICS)], text),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, [(header::CONTENT_TYPE, "text/plain")], error.to_string()),
    }
}

async fn live(State(shown): State<Arc<Shown>>) -> impl IntoResponse {
    probed(shown.turns(shown.clock.now()).map(drop))
}

async fn ready(State(shown): State<Arc<Shown>>) -> impl IntoResponse {
    probed(shown.knows(shown.clock.now()))
}

fn probed(found: Result<(), String>) -> (StatusCode, String) {
    match found {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(change: impl FnOnce(&mut View)) -> (Shown, Timestamp) {
        let mut view = crate::example::view();
        let now = view.at;
        change(&mut view);
        let shown = Shown { clock: Clock::Wall, view: Mutex::new(None), lines: Lines::default() };
        shown.show(Arc::new(view));
        (shown, now)
    }

    #[test]
    fn a_loop_that_does_not_look_is_dead() {
        let (shown, now) = shown(|_| {});
        let due = shown.view().unwrap().next_pass.max(now);
        assert!(shown.turns(due + PATIENCE).is_ok());
        let late = shown.turns(due + PATIENCE + SignedDuration::from_secs(1)).unwrap_err();
        assert_eq!(late, "the loop is late for its look by 2m01");
        let nothing = Shown { clock: Clock::Wall, view: Mutex::new(None), lines: Lines::default() };
        assert_eq!(nothing.turns(now).unwrap_err(), "the loop has shown nothing yet");
    }

    #[test]
    fn a_loop_that_does_not_hear_clearml_is_not_ready() {
        let (known, now) = shown(|view| {
            let mut snapshot = Arc::unwrap_or_clone(view.snapshot.clone());
            snapshot.sources = vec![Source {
                name: Source::CLEARML.to_owned(),
                last_good: Some(view.at),
                stale_after: SignedDuration::from_secs(30),
                error: Some("refused".to_owned()),
                credentials_end: None,
            }];
            (view.snapshot, view.next_pass) = (Arc::new(snapshot), view.at + SignedDuration::from_mins(1));
        });
        assert_eq!(known.knows(now), Ok(()));
        let stale = known.knows(now + SignedDuration::from_secs(31)).unwrap_err();
        assert_eq!(stale, "clearml has not answered lately: refused");
    }
}
