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

use crate::world::clock::Clock;

/// Objects in one page of a listing.
const PAGE: u32 = 500;
/// A server sends a bookmark about once a minute: of one that is silent for so long the connection is dead.
const SILENT: Duration = Duration::from_secs(150);
/// The server ends a watch after so long, and we begin another.
const LASTS: u32 = 280;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// What was deleted is told of for so long.
const TOLD: SignedDuration = SignedDuration::from_hours(1);
/// The objects of a namespace that are not ours to know need no memory: of events that is most of them.
pub(super) type Keep = fn(&DynamicObject) -> bool;

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
    /// Begins to watch the objects with these labels; without any, all.
    #[expect(clippy::disallowed_methods, reason = "a watch ends with the view that it is a part of")]
    pub(super) fn start(api: Api<DynamicObject>, labels: Option<&str>, keep: Keep) -> Self {
        let (tell, standing) = watch::channel(Standing::Starting);
        let known = Arc::new(Mutex::new(Known::default()));
        let watcher = Watcher {
            api,
            labels: labels.map(str::to_owned),
            keep,
            known: Arc::clone(&known),
            tell,
            version: None,
            pause: FIRST_PAUSE,
        };
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

    /// What is known now.
    pub(super) fn with<T>(&self, read: impl FnOnce(&Known) -> T) -> T {
        read(&self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Watcher {
    api: Api<DynamicObject>,
    labels: Option<String>,
    keep: Keep,
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
            match self.round().await {
                Ok(End::Usual) => self.pause = FIRST_PAUSE,
                Ok(End::TooOld) => self.version = None,
                Err(error) => {
                    self.tell.send_replace(Standing::Broken(error.to_string()));
                    sleep(self.pause).await;
                    self.pause = (self.pause * 2).min(LONGEST_PAUSE);
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
        let mut params = ListParams { label_selector: self.labels.clone(), ..ListParams::default() }.limit(PAGE);
        let mut found = BTreeMap::new();
        let version = loop {
            let page = self.api.list(&params).await?;
            found.extend(page.items.into_iter().filter(self.keep).map(|object| (object.name_any(), Arc::new(object))));
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
        let params = WatchParams { label_selector: self.labels.clone(), ..WatchParams::default() }.timeout(LASTS);
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

    fn seen(&mut self, object: DynamicObject) {
        self.version = object.resource_version().or_else(|| self.version.take());
        if (self.keep)(&object) {
            self.change(|known, _| {
                known.gone.remove(&object.name_any());
                known.objects.insert(object.name_any(), Arc::new(object));
            });
        }
    }

    fn went(&mut self, object: DynamicObject) {
        self.version = object.resource_version().or_else(|| self.version.take());
        if (self.keep)(&object) {
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
