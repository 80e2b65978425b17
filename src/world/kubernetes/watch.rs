//! One kind of object in one namespace, as the API server tells of it: listed once, then watched. Nothing is listed again but
//! after a 410, or where we start anew.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{StreamExt, pin_mut};
use jiff::{SignedDuration, Timestamp};
use kube::api::{DynamicObject, ListParams, WatchEvent, WatchParams};
use kube::{Api, Error, ResourceExt};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use crate::world::clock::{Clock, Stopwatch};

/// Objects in one page of a listing.
const PAGE: u32 = 500;
/// A server sends a bookmark about once a minute: of one that is silent for so long the connection is dead.
const SILENT: Duration = Duration::from_secs(150);
/// The server ends a watch after so long, and we begin another.
const LASTS: u32 = 280;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// A watch that ends sooner, by whatever is in between, is begun again after a pause: a server is not to be asked on and on.
const SHORT: SignedDuration = SignedDuration::from_secs(5);
/// A right that is not there comes seldom.
const ASIDE_PAUSE: Duration = Duration::from_mins(5);
/// What was deleted is told of for so long.
const TOLD: SignedDuration = SignedDuration::from_hours(1);
/// Objects that are not ours to know need no memory - of events that is most of them - and of the others only what is read.
pub(super) type Keep = fn(&mut DynamicObject) -> bool;

/// What is watched.
#[derive(Debug, Clone)]
pub(super) struct Of {
    /// `None`: with any labels.
    pub(super) labels: Option<String>,
    /// `None`: with any fields.
    pub(super) fields: Option<String>,
    pub(super) keep: Keep,
    /// While it cannot be watched that is tried again after so long at most.
    pub(super) patience: Duration,
}

impl Of {
    /// All of them; what Jobs and pods do is asked for as often as may be.
    pub(super) fn all(keep: Keep) -> Self {
        Self { labels: None, fields: None, keep, patience: LONGEST_PAUSE }
    }

    /// Of use where it can be read, and no more.
    pub(super) fn aside(keep: Keep) -> Self {
        Self { patience: ASIDE_PAUSE, ..Self::all(keep) }
    }

    pub(super) fn labelled(self, labels: &str) -> Self {
        Self { labels: Some(labels.to_owned()), ..self }
    }

    pub(super) fn fields(self, fields: &str) -> Self {
        Self { fields: Some(fields.to_owned()), ..self }
    }
}

/// What the server notes of who wrote which field is as large as the rest, and nobody reads it.
pub(super) fn slim(object: &mut DynamicObject) -> bool {
    object.metadata.managed_fields = None;
    true
}

/// Whether what is known is what is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    Starting,
    Live,
    Broken(String),
}

/// What is known.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) objects: BTreeMap<String, Arc<DynamicObject>>,
    /// The last that was seen of objects that are gone, and when they went.
    pub(super) gone: BTreeMap<String, (Arc<DynamicObject>, Timestamp)>,
}

/// A watch; dropped, it ends.
#[derive(Debug)]
pub(super) struct Watch {
    known: Arc<Mutex<Known>>,
    standing: watch::Receiver<Standing>,
    task: AbortHandle,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watch {
    /// Begins to watch these objects.
    #[expect(clippy::disallowed_methods, reason = "a watch ends with the view that it is a part of")]
    pub(super) fn start(api: Api<DynamicObject>, of: Of) -> Self {
        let (tell, standing) = watch::channel(Standing::Starting);
        let known = Arc::new(Mutex::new(Known::default()));
        let watcher = Watcher { api, of, known: Arc::clone(&known), tell, version: None, pause: FIRST_PAUSE };
        let task = tokio::spawn(watcher.run()).abort_handle();
        Self { known, standing, task }
    }

    /// Waits until it is known what there is; or why not.
    pub(super) async fn ready(&self) -> Result<(), String> {
        let mut standing = self.standing.clone();
        let settled = standing.wait_for(|standing| *standing != Standing::Starting).await;
        match settled.as_deref() {
            Ok(Standing::Live) => Ok(()),
            Ok(Standing::Broken(why)) => Err(why.clone()),
            Ok(Standing::Starting) | Err(_) => Err("the watch has ended".to_owned()),
        }
    }

    /// Why nothing new is known of it, where that is so.
    pub(super) fn broken(&self) -> Option<String> {
        match &*self.standing.borrow() {
            Standing::Broken(why) => Some(why.clone()),
            Standing::Starting | Standing::Live => None,
        }
    }

    /// What there is now.
    pub(super) fn all(&self) -> Vec<Arc<DynamicObject>> {
        self.with(|known| known.objects.values().cloned().collect())
    }

    /// What is known now.
    pub(super) fn with<T>(&self, read: impl FnOnce(&Known) -> T) -> T {
        read(&self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Watcher {
    api: Api<DynamicObject>,
    of: Of,
    known: Arc<Mutex<Known>>,
    tell: watch::Sender<Standing>,
    /// From where to go on; `None`: all must be listed.
    version: Option<String>,
    pause: Duration,
}

/// Why a watch came to its end.
enum End {
    /// The server ends each after a while.
    Usual,
    /// What we know is too old to go on from.
    TooOld,
}

impl Watcher {
    async fn run(mut self) {
        loop {
            let began = Stopwatch::start(Clock::Wall);
            match self.round().await {
                Ok(end) => {
                    self.pause = FIRST_PAUSE;
                    if let End::TooOld = end {
                        // What is there is not known until it is listed.
                        self.version = None;
                        self.tell.send_replace(Standing::Starting);
                    }
                    if began.at_least() < SHORT {
                        sleep(FIRST_PAUSE).await;
                    }
                }
                Err(error) => {
                    self.tell.send_replace(Standing::Broken(error.to_string()));
                    sleep(self.pause).await;
                    self.pause = (self.pause * 2).min(self.of.patience);
                }
            }
        }
    }

    async fn round(&mut self) -> Result<End, Broken> {
        let version = match &self.version {
            Some(version) => version.clone(),
            None => self.list().await?,
        };
        self.version = Some(version.clone());
        self.follow(version).await
    }

    /// All pages; where to go on from.
    async fn list(&self) -> Result<String, Broken> {
        let Of { labels, fields, .. } = self.of.clone();
        let mut params =
            ListParams { label_selector: labels, field_selector: fields, ..ListParams::default() }.limit(PAGE);
        let mut found = BTreeMap::new();
        let version = loop {
            let page = self.api.list(&params).await?;
            let kept = page.items.into_iter().filter_map(|mut object| (self.of.keep)(&mut object).then_some(object));
            found.extend(kept.map(|object| (object.name_any(), Arc::new(object))));
            match page.metadata.continue_.filter(|more| !more.is_empty()) {
                Some(more) => params = params.continue_token(&more),
                None => break page.metadata.resource_version.unwrap_or_default(),
            }
        };
        self.change(|known, now| {
            let before = std::mem::replace(&mut known.objects, found);
            // One that is not there any more went while nobody looked.
            let gone = before.into_iter().filter(|(name, _)| !known.objects.contains_key(name));
            let gone: Vec<_> = gone.map(|(name, object)| (name, (object, now))).collect();
            known.gone.extend(gone);
        });
        Ok(version)
    }

    async fn follow(&mut self, version: String) -> Result<End, Broken> {
        let Of { labels, fields, .. } = self.of.clone();
        let params = WatchParams { label_selector: labels, field_selector: fields, ..WatchParams::default() };
        let params = params.timeout(LASTS);
        let stream = match self.api.watch(&params, &version).await {
            Err(Error::Api(status)) if status.code == 410 => return Ok(End::TooOld),
            answer => answer?,
        };
        self.tell.send_replace(Standing::Live);
        pin_mut!(stream);
        loop {
            let event = match timeout(SILENT, stream.next()).await {
                Err(_) => return Err(Broken::Silent),
                Ok(None) => return Ok(End::Usual),
                Ok(Some(event)) => event?,
            };
            self.pause = FIRST_PAUSE;
            match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => self.seen(object),
                WatchEvent::Deleted(object) => self.went(object),
                WatchEvent::Bookmark(mark) => self.version = Some(mark.metadata.resource_version),
                WatchEvent::Error(status) if status.code == 410 => return Ok(End::TooOld),
                WatchEvent::Error(status) => return Err(Error::Api(status).into()),
            }
        }
    }

    fn seen(&mut self, mut object: DynamicObject) {
        self.version = object.resource_version().or_else(|| self.version.take());
        if (self.of.keep)(&mut object) {
            self.change(|known, _| {
                known.gone.remove(&object.name_any());
                known.objects.insert(object.name_any(), Arc::new(object));
            });
        }
    }

    fn went(&mut self, mut object: DynamicObject) {
        self.version = object.resource_version().or_else(|| self.version.take());
        if (self.of.keep)(&mut object) {
            self.change(|known, now| {
                known.objects.remove(&object.name_any());
                known.gone.insert(object.name_any(), (Arc::new(object), now));
            });
        }
    }

    fn change(&self, change: impl FnOnce(&mut Known, Timestamp)) {
        let now = Clock::Wall.now();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut known, now);
        known.gone.retain(|_, (_, at)| now.duration_since(*at) < TOLD);
    }
}

/// Why a watch cannot go on for now.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("{}", crate::world::kubernetes::error::cloud_error("watch", .0).message)]
    Refused(#[from] Error),
    #[error("the API server has been silent for {} s", SILENT.as_secs())]
    Silent,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::kubernetes::site::{self, Kind};
    use axum::Router;
    use axum::extract::State;
    use axum::http::{StatusCode, Uri};
    use serde_json::json;

    /// Every call, as `list` or `watch`.
    type Calls = Arc<Mutex<Vec<&'static str>>>;

    /// A server that ends each watch at once, and first so many of them with 410.
    async fn watched(too_old: usize, tasks: &mut tokio::task::JoinSet<()>) -> (Watch, Calls) {
        let calls = Calls::default();
        let answer = move |State(calls): State<Calls>, asked: Uri| async move {
            let mut calls = calls.lock().unwrap();
            if asked.query().is_some_and(|query| query.contains("watch=")) {
                calls.push("watch");
                let gone = calls.iter().filter(|call| **call == "watch").count() <= too_old;
                let status = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                    "message": "too old", "reason": "Expired", "code": 410 });
                return if gone { json!({ "type": "ERROR", "object": status }).to_string() } else { String::new() };
            }
            calls.push("list");
            nothing()
        };
        let watch = watch_of(Router::new().fallback(answer).with_state(Arc::clone(&calls)), tasks).await;
        (watch, calls)
    }

    /// The list of no Jobs.
    fn nothing() -> String {
        json!({ "kind": "JobList", "apiVersion": "batch/v1", "metadata": { "resourceVersion": "7" }, "items": [] })
            .to_string()
    }

    /// A watch of what such a server has.
    async fn watch_of(served: Router, tasks: &mut tokio::task::JoinSet<()>) -> Watch {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tasks.spawn(async move { axum::serve(listener, served).await.unwrap() });
        let client = site::client(kube::Config::new(url.parse().unwrap())).unwrap();
        Watch::start(Api::namespaced_with(client, "ml", &Kind::Job.resource("v1")), Of::all(slim))
    }

    #[tokio::test]
    async fn a_server_that_is_down_is_told_of_at_once_and_found_again_soon() {
        for code in [429, 500, 503, 504] {
            let mut tasks = tokio::task::JoinSet::new();
            let calls = Arc::new(Mutex::new(0));
            let answer = move |State(calls): State<Arc<Mutex<u32>>>, asked: Uri| async move {
                let mut calls = calls.lock().unwrap();
                *calls += 1;
                if *calls <= 2 {
                    return (StatusCode::from_u16(code).unwrap(), String::new());
                }
                let is_watch = asked.query().is_some_and(|query| query.contains("watch="));
                (StatusCode::OK, if is_watch { String::new() } else { nothing() })
            };
            let watch = watch_of(Router::new().fallback(answer).with_state(Arc::clone(&calls)), &mut tasks).await;
            let why = watch.ready().await.unwrap_err();
            assert!(why.contains(&code.to_string()), "{why}");
            let mut standing = watch.standing.clone();
            let live = standing.wait_for(|standing| *standing == Standing::Live);
            timeout(Duration::from_secs(10), live).await.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn a_server_that_ends_watches_at_once_is_not_asked_on_and_on() {
        for (too_old, listed) in [(0, 1), (1, 2)] {
            let mut tasks = tokio::task::JoinSet::new();
            let (watch, calls) = watched(too_old, &mut tasks).await;
            watch.ready().await.unwrap();
            sleep(Duration::from_millis(1_200)).await;
            let calls = calls.lock().unwrap().clone();
            let count = |kind| calls.iter().filter(|call| **call == kind).count();
            assert!((2..=4).contains(&count("watch")), "{calls:?}");
            assert_eq!(count("list"), listed, "{calls:?}");
        }
    }

    #[tokio::test]
    async fn what_is_too_old_to_go_on_from_is_not_taken_for_what_is_there() {
        let mut tasks = tokio::task::JoinSet::new();
        let (watch, calls) = watched(usize::MAX, &mut tasks).await;
        while calls.lock().unwrap().iter().filter(|call| **call == "watch").count() < 2 {
            sleep(Duration::from_millis(10)).await;
        }
        let mut standing = watch.standing.clone();
        let starting = standing.wait_for(|standing| *standing == Standing::Starting);
        timeout(Duration::from_secs(10), starting).await.unwrap().unwrap();
    }
}
