//! The simulated server's face over loopback HTTP: what the real SDK, the real agent and our own client need
//! to take it for a ClearML server. It answers every call that they were seen to make; any other is a 404 that
//! is remembered, so that a test can fail on it.

mod answer;
mod auth;
mod call;
mod directory;
mod events;
mod faults;
mod projects;
mod queues;
mod render;
mod select;
mod task_parts;
mod tasks;
mod workers;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::DATE;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures::stream;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::net::TcpListener;

use super::{Refused, SharedServer, UserId, lock};
use crate::model::ids::TaskId;
use crate::world::clock::Clock;
use crate::world::secret::Secret;
use answer::Envelope;
use call::{Body as CallBody, Call, Target};

pub use faults::Fault;
use faults::Rule;

/// Endpoints that the open-source server does not have either, and that its clients try: a 404 is the answer
/// that they expect.
const ABSENT: &[&str] = &["workers.get_runtime_properties", "workers.set_runtime_properties"];

/// A server that listens and is not served yet.
#[derive(Debug)]
pub struct Face {
    listener: TcpListener,
    watch: Watch,
}

impl Face {
    /// Listens for the server's clients. Port 0 takes a free one.
    pub async fn bind(server: SharedServer, clock: Clock, address: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let inside = Inside { server, clock, url, memory: Mutex::default(), rule: Mutex::default() };
        Ok(Self { listener, watch: Watch(Arc::new(inside)) })
    }

    /// The address as clients name it.
    pub fn url(&self) -> String {
        self.watch.url()
    }

    /// What looks at the face while it is served.
    pub fn watch(&self) -> Watch {
        self.watch.clone()
    }

    /// Answers until it is dropped.
    pub async fn serve(self) -> std::io::Result<()> {
        let router = Router::new().fallback(answer).layer(DefaultBodyLimit::disable()).with_state(self.watch);
        axum::serve(self.listener, router).await
    }
}

/// A look at a face, and its switches.
#[derive(Debug, Clone)]
pub struct Watch(Arc<Inside>);

#[derive(Debug)]
struct Inside {
    server: SharedServer,
    clock: Clock,
    url: String,
    memory: Mutex<Memory>,
    rule: Mutex<Option<Rule>>,
}

/// What the face remembers beside the server's state.
#[derive(Debug, Default)]
struct Memory {
    /// How often each endpoint was called.
    calls: BTreeMap<String, usize>,
    unknown: BTreeSet<String>,
    answered: u64,
    scrolls: BTreeMap<String, Scroll>,
    revoked: BTreeSet<String>,
    logs: BTreeMap<TaskId, Vec<String>>,
}

/// How far a list has been read.
#[derive(Debug, Clone, Copy)]
struct Scroll {
    position: usize,
    touched: Timestamp,
}

impl Watch {
    /// The address as clients name it.
    pub fn url(&self) -> String {
        self.0.url.clone()
    }

    /// The server behind the face.
    pub fn server(&self) -> &SharedServer {
        &self.0.server
    }

    /// The endpoints that were asked for and that nobody answers.
    pub fn unknown_endpoints(&self) -> Vec<String> {
        self.memory().unknown.iter().cloned().collect()
    }

    /// How often an endpoint was called, whatever became of it.
    pub fn count(&self, endpoint: &str) -> usize {
        self.memory().calls.get(endpoint).copied().unwrap_or_default()
    }

    /// Every endpoint that was called, and how often.
    pub fn calls(&self) -> BTreeMap<String, usize> {
        self.memory().calls.clone()
    }

    /// What a task and its agent wrote into the task's log, the newest last.
    pub fn log(&self, task: &TaskId) -> Vec<String> {
        self.memory().logs.get(task).cloned().unwrap_or_default()
    }

    /// A token of that user that ends `life` from now, as `auth.login` makes them.
    pub fn mint(&self, user: &UserId, life: SignedDuration) -> Secret {
        let server = lock(&self.0.server);
        Secret::new(auth::token(&server, user, self.0.clock.now(), life))
    }

    /// From now on every call is put to `rule`, by its endpoint and its body; what it names happens instead.
    pub fn spoil(&self, rule: impl Fn(&str, &Value) -> Option<Fault> + Send + Sync + 'static) {
        *self.rule() = Some(Rule::new(rule));
    }

    /// Ends every fault. A call that hangs goes on hanging.
    pub fn heal(&self) {
        *self.rule() = None;
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rule(&self) -> MutexGuard<'_, Option<Rule>> {
        self.0.rule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fault(&self, endpoint: &str, body: &Value) -> Option<Fault> {
        self.rule().as_ref()?.of(endpoint, body)
    }

    /// Does what is asked, and says what came of it.
    fn work(&self, target: &Target, headers: &HeaderMap, body: &CallBody) -> Result<Value, Refused> {
        let now = self.0.clock.now();
        let mut server = lock(&self.0.server);
        let mut memory = self.memory();
        let user = auth::authenticate(&server, &memory.revoked, headers, now)?;
        let mut call =
            Call { server: &mut server, memory: &mut memory, now, user, version: target.version, body, headers };
        let done = match target.service() {
            "auth" => auth::answer(&mut call, target.action()),
            "events" => events::answer(&mut call, target.action()),
            "projects" => projects::answer(&mut call, target.action()),
            "queues" => queues::answer(&mut call, target.action()),
            "server" | "users" => directory::answer(&mut call, &target.endpoint),
            "tasks" => tasks::answer(&mut call, target.action()),
            "workers" => workers::answer(&mut call, target.action()),
            _ => None,
        };
        done.unwrap_or_else(|| {
            if !ABSENT.contains(&target.endpoint.as_str()) {
                memory.unknown.insert(target.endpoint.clone());
            }
            Err(Refused::new(404, 0, target.not_found()))
        })
    }
}

/// An answer with the date by the server's own clock: the real one's is put where there is none.
async fn answer(State(watch): State<Watch>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let clock = watch.0.clock;
    let mut answer = undated(watch, uri, headers, body).await;
    let date = clock.now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    if let Ok(date) = HeaderValue::from_str(&date) {
        answer.headers_mut().insert(DATE, date);
    }
    answer
}

async fn undated(watch: Watch, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let envelope = {
        let mut memory = watch.memory();
        memory.answered += 1;
        Envelope::new(memory.answered)
    };
    let Some(target) = Target::of_path(uri.path()) else {
        watch.memory().unknown.insert(uri.path().to_owned());
        let refused = Refused::new(400, 0, format!("Invalid request path {}", uri.path()));
        return envelope.answer(None, Err(refused));
    };
    *watch.memory().calls.entry(target.endpoint.clone()).or_default() += 1;
    let body = match CallBody::read(&body) {
        Ok(body) => body,
        Err(refused) => return envelope.answer(Some(&target), Err(refused)),
    };
    match watch.fault(&target.endpoint, body.value()) {
        None => envelope.answer(Some(&target), watch.work(&target, &headers, &body)),
        Some(Fault::Answer(code)) => {
            let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, "a planted fault").into_response()
        }
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Cut) => cut(),
        Some(Fault::Lost) => {
            let _ = watch.work(&target, &headers, &body);
            cut()
        }
        Some(Fault::Late { there, back }) => late(watch, envelope, target, headers, body, there, back).await,
    }
}

#[expect(clippy::disallowed_methods, reason = "a call that was sent is done even when its sender is gone")]
async fn late(
    watch: Watch,
    envelope: Envelope,
    target: Target,
    headers: HeaderMap,
    body: CallBody,
    there: SignedDuration,
    back: SignedDuration,
) -> Response {
    let clock = watch.0.clock;
    let answered = tokio::spawn(async move {
        clock.sleep(there).await;
        let answer = envelope.answer(Some(&target), watch.work(&target, &headers, &body));
        clock.sleep(back).await;
        answer
    });
    answered.await.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

/// An answer that ends before its end.
fn cut() -> Response {
    let broken = stream::iter([Err::<Bytes, _>(std::io::Error::other("a planted fault"))]);
    ([("content-length", "100")], Body::from_stream(broken)).into_response()
}
