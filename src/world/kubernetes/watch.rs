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
use crate::world::kubernetes::error::{ANSWERS, cloud_error, is_denied, is_from_before, mute};

/// Objects in one page of a listing.
const PAGE: u32 = 500;
/// A server sends a bookmark about once a minute: of one that is silent for so long the connection is dead.
const SILENT: SignedDuration = SignedDuration::from_secs(150);
/// So often it is looked how long it has been silent: while the computer sleeps no deadline comes nearer.
const LOOK: Duration = Duration::from_secs(10);
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
    /// While we have no right to watch it that is tried again after so long at most.
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
    Broken(Why),
}

/// Why it is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Why {
    said: String,
    /// The server does not take us for who we say we are.
    denied: bool,
}

/// What is known.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) objects: BTreeMap<String, Arc<DynamicObject>>,
    /// The last that was seen of objects that are gone, and when they went.
    pub(super) gone: BTreeMap<String, (Arc<DynamicObject>, Timestamp)>,
    /// Since the server was last heard.
    heard: Option<Stopwatch>,
}

impl Known {
    /// For so long at most nobody has heard of the server.
    fn silence(&self) -> SignedDuration {
        self.heard.map_or(SignedDuration::ZERO, |heard| heard.at_most())
    }
}

/// A watch; dropped, it ends.
#[derive(Debug)]
pub(super) struct Watch {
    known: Arc<Mutex<Known>>,
    standing: watch::Receiver<Standing>,
    task: AbortHandle,
    of: Of,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watch {
    /// Begins to watch these objects.
    pub(super) fn start(api: Api<DynamicObject>, of: Of) -> Self {
        Self::begin(api, of, Arc::default())
    }

    /// Begins to watch the same objects in another way; what was there before is remembered.
    pub(super) fn anew(&self, api: Api<DynamicObject>) -> Self {
        Self::begin(api, self.of.clone(), Arc::clone(&self.known))
    }

    #[expect(clippy::disallowed_methods, reason = "a watch ends with the view that it is a part of")]
    fn begin(api: Api<DynamicObject>, of: Of, known: Arc<Mutex<Known>>) -> Self {
        let (tell, standing) = watch::channel(Standing::Starting);
        let watcher =
            Watcher { api, of: of.clone(), known: Arc::clone(&known), tell, version: None, pause: FIRST_PAUSE };
        let task = tokio::spawn(watcher.run()).abort_handle();
        Self { known, standing, task, of }
    }

    /// Waits until it is known what there is; or why not.
    pub(super) async fn ready(&self) -> Result<(), String> {
        let mut standing = self.standing.clone();
        let settled = standing.wait_for(|standing| *standing != Standing::Starting).await;
        match settled.as_deref() {
            Ok(Standing::Live) => {
                // After a computer has slept nobody may have noticed yet.
                let silence = self.with(Known::silence);
                if silence > SILENT { Err(silent(silence)) } else { Ok(()) }
            }
            Ok(Standing::Broken(why)) => Err(why.said.clone()),
            Ok(Standing::Starting) | Err(_) => Err("the watch has ended".to_owned()),
        }
    }

    /// Why nothing new is known of it, where that is so.
    pub(super) fn broken(&self) -> Option<String> {
        match &*self.standing.borrow() {
            Standing::Broken(why) => Some(why.said.clone()),
            Standing::Starting | Standing::Live => None,
        }
    }

    /// Whether the server does not take us for who we say we are.
    pub(super) fn is_denied(&self) -> bool {
        matches!(&*self.standing.borrow(), Standing::Broken(why) if why.denied)
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
                    self.tell.send_replace(Standing::Broken(error.why()));
                    let longest = error.longest_pause(self.of.patience);
                    sleep(self.pause.min(longest)).await;
                    self.pause = (self.pause * 2).min(longest);
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
            let page = timeout(ANSWERS, self.api.list(&params)).await.map_err(|_| Broken::Mute)??;
            let kept = page.items.into_iter().filter_map(|mut object| (self.of.keep)(&mut object).then_some(object));
            found.extend(kept.map(|object| (object.name_any(), Arc::new(object))));
            match page.metadata.continue_.filter(|more| !more.is_empty()) {
                Some(more) => params = params.continue_token(&more),
                None => break page.metadata.resource_version.unwrap_or_default(),
            }
        };
        self.change(|known, now| {
            known.heard = Some(Stopwatch::start(Clock::Wall));
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
        let asked = timeout(ANSWERS, self.api.watch(&params, &version)).await;
        let stream = match asked.map_err(|_| Broken::Mute)? {
            Err(Error::Api(status)) if status.code == 410 => return Ok(End::TooOld),
            answer => answer?,
        };
        self.hears();
        self.tell.send_replace(Standing::Live);
        pin_mut!(stream);
        loop {
            let left = Duration::try_from(SILENT - self.silence()).unwrap_or_default();
            let event = match timeout(left.min(LOOK), stream.next()).await {
                Err(_) => match self.silence() {
                    silence if silence >= SILENT => return Err(Broken::Silent(silence)),
                    _ => continue,
                },
                Ok(None) => return Ok(End::Usual),
                Ok(Some(event)) => event?,
            };
            self.hears();
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

    fn hears(&self) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).heard = Some(Stopwatch::start(Clock::Wall));
    }

    fn silence(&self) -> SignedDuration {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).silence()
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
    #[error("{}", cloud_error("watch", .0).message)]
    Refused(#[from] Error),
    #[error("watch: {}", mute())]
    Mute,
    #[error("{}", silent(*.0))]
    Silent(SignedDuration),
}

fn silent(silence: SignedDuration) -> String {
    format!("the API server has been silent for {} s", silence.as_secs())
}

impl Broken {
    fn why(&self) -> Why {
        let denied = matches!(self, Self::Refused(error) if is_denied(&cloud_error("watch", error)));
        Why { said: self.to_string(), denied }
    }

    /// Who lacks a right is patient; a server that has failed comes again soon.
    fn longest_pause(&self, patience: Duration) -> Duration {
        match self {
            Self::Refused(Error::Api(status))
                if [401, 403, 404].contains(&status.code) && !is_from_before(&status.reason) =>
            {
                patience
            }
            _ => LONGEST_PAUSE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::kubernetes::open::client;
    use crate::world::kubernetes::site::Kind;
    use axum::Router;
    use axum::extract::State;
    use axum::http::{StatusCode, Uri};
    use axum::response::{IntoResponse, Response};
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
        Watch::start(api_of(served, tasks).await, Of::all(slim))
    }

    async fn api_of(served: Router, tasks: &mut tokio::task::JoinSet<()>) -> Api<DynamicObject> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tasks.spawn(async move { axum::serve(listener, served).await.unwrap() });
        let client = client(kube::Config::new(url.parse().unwrap())).unwrap();
        Api::namespaced_with(client, "ml", &Kind::Job.resource("v1"))
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

    /// `None`: there is none, ever.
    type Answer = Option<Response>;

    /// A server that answers each call as it is told to.
    async fn scripted(
        answer: impl Fn(&[&'static str]) -> Answer + Clone + Send + Sync + 'static,
        tasks: &mut tokio::task::JoinSet<()>,
    ) -> (Api<DynamicObject>, Calls) {
        let calls = Calls::default();
        let answer = move |State(calls): State<Calls>, asked: Uri| {
            let is_watch = asked.query().is_some_and(|query| query.contains("watch="));
            let said = {
                let mut calls = calls.lock().unwrap();
                calls.push(if is_watch { "watch" } else { "list" });
                answer(&calls)
            };
            async move {
                match said {
                    Some(said) => said,
                    None => std::future::pending().await,
                }
            }
        };
        (api_of(Router::new().fallback(answer).with_state(Arc::clone(&calls)), tasks).await, calls)
    }

    /// A watch in which nothing happens.
    fn quiet() -> Response {
        let silence = futures::stream::pending::<Result<String, std::io::Error>>();
        Response::new(axum::body::Body::from_stream(silence))
    }

    async fn until(calls: &Calls, so: impl Fn(&[&'static str]) -> bool) {
        let wait = async {
            while !so(&calls.lock().unwrap()) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(10), wait).await.unwrap();
    }

    #[tokio::test]
    async fn a_server_that_takes_a_call_and_never_answers_is_not_taken_for_one_that_does() {
        // The list at first, and the watch after the usual end of another.
        for (asked, nothing_comes) in [(1, "list"), (3, "watch")] {
            let mut tasks = tokio::task::JoinSet::new();
            let answer = move |calls: &[&'static str]| match calls {
                calls if calls.len() >= asked => None,
                ["list"] => Some(nothing().into_response()),
                _ => Some(String::new().into_response()),
            };
            let (api, calls) = scripted(answer, &mut tasks).await;
            let watch = Watch::start(api, Of::all(slim));
            until(&calls, |calls| calls.len() == asked && calls.last() == Some(&nothing_comes)).await;
            // It is asked already: only the waiting is cut short.
            tokio::time::pause();
            tokio::time::advance(ANSWERS + Duration::from_secs(1)).await;
            let mut standing = watch.standing.clone();
            let broken = standing.wait_for(|standing| matches!(standing, Standing::Broken(_)));
            timeout(Duration::from_secs(5), broken).await.unwrap().unwrap();
            let why = watch.ready().await.unwrap_err();
            assert!(why.contains("did not answer in 30 s"), "{why}");
            tokio::time::resume();
        }
    }

    #[tokio::test]
    async fn what_was_heard_before_the_computer_slept_is_not_taken_for_what_is_there() {
        let mut tasks = tokio::task::JoinSet::new();
        let answer = |calls: &[&'static str]| match calls {
            ["list"] => Some(nothing().into_response()),
            _ => Some(quiet()),
        };
        let (api, calls) = scripted(answer, &mut tasks).await;
        let watch = Watch::start(api, Of::all(slim));
        watch.ready().await.unwrap();
        // It sleeps for hours: no deadline comes nearer, and the wall's clock goes on.
        let fast = Stopwatch::start(Clock::simulated(Timestamp::UNIX_EPOCH, 10_000_000));
        watch.known.lock().unwrap().heard = Some(fast);
        sleep(Duration::from_millis(20)).await;
        let why = watch.ready().await.unwrap_err();
        assert!(why.contains("silent"), "{why}");
        // The next look is not far.
        tokio::time::pause();
        tokio::time::advance(LOOK).await;
        tokio::time::resume();
        until(&calls, |calls| calls == ["list", "watch", "watch"]).await;
        let mut standing = watch.standing.clone();
        let live = standing.wait_for(|standing| *standing == Standing::Live);
        timeout(Duration::from_secs(10), live).await.unwrap().unwrap();
        watch.ready().await.unwrap();
    }

    #[test]
    fn only_who_lacks_a_right_waits_long() {
        let after = |code: u16, reason: &str| {
            let status = kube::core::Status::failure("", reason).with_code(code);
            Broken::Refused(Error::Api(status.boxed())).longest_pause(ASIDE_PAUSE)
        };
        for (code, reason) in [(401, "Unauthorized"), (403, "Forbidden"), (404, "NotFound")] {
            assert_eq!(after(code, reason), ASIDE_PAUSE, "{code}");
            assert_eq!(after(code, "Failed to parse error data"), LONGEST_PAUSE, "{code} of a load balancer");
        }
        assert_eq!(after(500, "InternalError"), LONGEST_PAUSE);
        assert_eq!(Broken::Mute.longest_pause(ASIDE_PAUSE), LONGEST_PAUSE);
        assert_eq!(Broken::Silent(SILENT).longest_pause(ASIDE_PAUSE), LONGEST_PAUSE);
    }

    #[tokio::test]
    async fn a_no_to_who_we_are_is_known_and_what_was_seen_is_remembered_in_another_way() {
        let mut tasks = tokio::task::JoinSet::new();
        let denied = |_: &[&'static str]| Some(StatusCode::UNAUTHORIZED.into_response());
        let before = Watch::start(scripted(denied, &mut tasks).await.0, Of::all(slim));
        before.ready().await.unwrap_err();
        assert!(before.is_denied());
        let object = json!({ "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": "clearml-t-1" } });
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        before.known.lock().unwrap().objects.insert(object.name_any(), Arc::new(object));
        let taken = |calls: &[&'static str]| match calls {
            ["list"] => Some(nothing().into_response()),
            _ => Some(quiet()),
        };
        let watch = before.anew(scripted(taken, &mut tasks).await.0);
        drop(before);
        watch.ready().await.unwrap();
        assert!(!watch.is_denied());
        let gone: Vec<_> = watch.with(|known| known.gone.keys().cloned().collect());
        assert_eq!(gone, ["clearml-t-1"], "it went while nobody was let look");
    }
}
