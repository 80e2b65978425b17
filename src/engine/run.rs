//! The loop itself: what wakes it, and one pass.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinSet;

use crate::engine::act::breakers::Breakers;
use crate::engine::act::crash::{Crashed, Point};
use crate::engine::act::deed::{Deed, Done, Outcome, perform};
use crate::engine::act::outcome::settle;
use crate::engine::command::Request;
use crate::engine::event::{Answer, Event, Leader};
use crate::engine::seen::facts::{Facts, Observation};
use crate::engine::seen::sight::Sights;
use crate::engine::start::Setup;
use crate::engine::words::line;
use crate::model::ids::Term;
use crate::model::journal::EntryKind;
use crate::model::plan::Plan;
use crate::model::record::{IntentOutcome, Memory, Record};
use crate::model::settings::{OnExit, Settings};
use crate::model::snapshot::{Snapshot, Surplus};
use crate::store::StoreError;
use crate::store::settings::{Watcher, watch};
use crate::world::clock::JumpWatch;

/// Why a loop cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("no thread or runtime for the loop: {0}")]
    Runtime(String),
    /// Something that the loop is made of could not be had.
    #[error("{0}")]
    Setup(String),
    #[error("the loop panicked; the log says where")]
    Panicked,
    #[error(transparent)]
    Crashed(#[from] Crashed),
}

/// How often the loop looks while something moves, and at most when nothing does.
pub(super) const QUICK: SignedDuration = SignedDuration::from_secs(10);
pub(super) const SLOW: SignedDuration = SignedDuration::from_secs(60);
/// How often the guards are told that the console lives, and the rarer questions are asked.
pub(super) const MINUTE: SignedDuration = SignedDuration::from_secs(60);
/// What failed is tried again after this.
pub(super) const AGAIN: SignedDuration = SignedDuration::from_secs(15);
/// How long the loop works on its end before it goes all the same.
const FAREWELL: SignedDuration = SignedDuration::from_mins(5);

/// What the loop waits for.
pub(super) enum Work {
    Observed(Observation),
    Done(Result<Outcome, Crashed>),
}

pub(super) struct Loop {
    pub(super) setup: Setup,
    pub(super) requests: mpsc::Receiver<Request>,
    pub(super) events: broadcast::Sender<Event>,
    pub(super) memory: Memory,
    pub(super) settings: Arc<Settings>,
    pub(super) facts: Facts,
    pub(super) sights: Sights,
    pub(super) breakers: Breakers,
    pub(super) surplus: Surplus,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) plan: Arc<Plan>,
    pub(super) work: JoinSet<Work>,
    pub(super) under_way: Vec<(Deed, Timestamp)>,
    /// Orders that reached their mailbox in this process's life.
    pub(super) delivered: BTreeSet<String>,
    /// Deeds that failed: not tried again before.
    retry_at: BTreeMap<String, Timestamp>,
    pub(super) observing: bool,
    pub(super) look_again: bool,
    pub(super) jumps: JumpWatch,
    pub(super) next_pass: Timestamp,
    pub(super) interval: SignedDuration,
    pub(super) leased_at: Option<Timestamp>,
    pub(super) looked_deep_at: Option<Timestamp>,
    pub(super) ending: Option<Ending>,
    pub(super) store_problem: Option<String>,
    pub(super) refused_before: BTreeSet<String>,
}

/// How and since when the loop ends.
pub(super) struct Ending {
    pub(super) on_exit: OnExit,
    pub(super) since: Timestamp,
}

impl Loop {
    pub(super) async fn new(
        mut setup: Setup,
        requests: mpsc::Receiver<Request>,
        events: broadcast::Sender<Event>,
    ) -> Result<Self, EngineError> {
        let memory = setup.store.load().await?;
        let settings = setup.settings.settings();
        let now = setup.clock.now();
        let plan = Plan {
            at: now,
            revision: settings.revision.clone(),
            actions: Vec::new(),
            refusals: Vec::new(),
            outlooks: Vec::new(),
            surplus: Surplus::new(),
        };
        let jumps = JumpWatch::new(setup.clock);
        let mut the_loop = Self {
            setup,
            requests,
            events,
            memory,
            settings,
            facts: Facts::default(),
            sights: Sights::default(),
            breakers: Breakers::default(),
            surplus: Surplus::new(),
            snapshot: Arc::default(),
            plan: Arc::new(plan),
            work: JoinSet::new(),
            under_way: Vec::new(),
            delivered: BTreeSet::new(),
            retry_at: BTreeMap::new(),
            observing: false,
            look_again: false,
            jumps,
            next_pass: now,
            interval: QUICK,
            leased_at: None,
            looked_deep_at: None,
            ending: None,
            store_problem: None,
            refused_before: BTreeSet::new(),
        };
        the_loop.doubt_open_intents(now).await;
        the_loop.publish();
        Ok(the_loop)
    }

    /// An intent that an earlier process left open: its call may have been made.
    async fn doubt_open_intents(&mut self, now: Timestamp) {
        if !self.leads() {
            return;
        }
        let open = self.memory.intents.values().filter(|intent| intent.outcome == IntentOutcome::Open);
        let mut records: Vec<Record> = open.map(|intent| Record::IntentUnknown(intent.id.clone())).collect();
        if !records.is_empty() {
            let text = format!("{} launches were under way when the last loop ended", records.len());
            records.push(line(now, EntryKind::Seen, text).record());
            self.commit(records).await;
        }
    }

    pub(super) fn leads(&self) -> bool {
        matches!(self.setup.leader, Leader::Us(_))
    }

    pub(super) fn term(&self) -> Term {
        match self.setup.leader {
            Leader::Us(term) => term,
            Leader::Other(_) => Term::default(),
        }
    }

    pub(super) async fn run(mut self) -> Result<(), EngineError> {
        let (_watcher, mut changes) = self.watch_settings();
        loop {
            if self.may_end() {
                return Ok(());
            }
            let wait = self.next_pass.duration_since(self.setup.clock.now()).max(SignedDuration::ZERO);
            tokio::select! {
                biased;
                Some(request) = self.requests.recv() => self.handle(request).await?,
                Some(done) = self.work.join_next() => self.finished(done).await?,
                Some(()) = changes.recv() => self.reread().await?,
                () = self.setup.clock.sleep(wait) => self.wake().await,
            }
        }
    }

    /// Hears when the settings' file changes. Without a watcher it is looked at in each pass.
    fn watch_settings(&mut self) -> (Option<Watcher>, mpsc::Receiver<()>) {
        let (bell, changes) = mpsc::channel(1);
        let Some(path) = self.setup.settings.path() else { return (None, changes) };
        match watch(path, move || {
            // A full channel rings already.
            let _ = bell.try_send(());
        }) {
            Ok(watcher) => (Some(watcher), changes),
            Err(error) => {
                tracing::warn!(%error, "the settings' file is not watched");
                (None, changes)
            }
        }
    }

    async fn finished(&mut self, done: Result<Work, tokio::task::JoinError>) -> Result<(), EngineError> {
        match done {
            Ok(Work::Observed(observation)) => self.observed(observation).await,
            Ok(Work::Done(outcome)) => self.settled(outcome?).await,
            Err(error) => {
                // A task of ours panicked. Its deed, if it was one, stays an intent; the next look tells.
                tracing::error!(%error, "a task of the loop ended badly");
                self.observing = false;
                let text = format!("a part of the loop failed: {error}");
                self.commit(vec![line(self.setup.clock.now(), EntryKind::Alarm, text).record()]).await;
                Ok(())
            }
        }
    }

    async fn settled(&mut self, outcome: Outcome) -> Result<(), EngineError> {
        let kind = outcome.deed.kind();
        if let Some(kind) = kind {
            self.setup.crash.pass(kind, Point::AfterReply)?;
        }
        let now = self.setup.clock.now();
        let key = outcome.deed.to_string();
        self.under_way.retain(|(deed, _)| deed.to_string() != key);
        if let Deed::BootLog { request, .. } = &outcome.deed {
            let answer = match outcome.result {
                Ok(Done::Text(text)) => Ok(Answer::BootLog(text)),
                Ok(_) => Ok(Answer::BootLog(String::new())),
                Err(failed) => Err(failed.message),
            };
            self.answer(*request, answer);
            return Ok(());
        }
        let first = !self.retry_at.contains_key(&key);
        match &outcome.result {
            Ok(_) => {
                self.retry_at.remove(&key);
                self.note_done(&outcome.deed);
            }
            Err(failed) => {
                tracing::warn!(deed = %key, error = %failed.message, "a deed failed");
                self.retry_at.insert(key, now.saturating_add(AGAIN).unwrap_or(now));
            }
        }
        let consequence = settle(&outcome, &self.memory, &mut self.breakers, first, now);
        self.commit(consequence.records).await;
        if let Some(kind) = kind {
            self.setup.crash.pass(kind, Point::AfterRecord)?;
        }
        for deed in consequence.deeds {
            self.begin(deed);
        }
        // What a deed changed is seen sooner than the next look is due.
        if kind.is_some() {
            self.look_within(QUICK);
        }
        self.publish();
        Ok(())
    }

    /// What a deed has changed for certain need not be waited for until it is seen.
    fn note_done(&mut self, deed: &Deed) {
        match deed {
            Deed::Drain { nonce, .. } => drop(self.delivered.insert(nonce.clone())),
            Deed::CancelDrain { nonce, .. } => drop(self.delivered.insert(cancelled(nonce))),
            Deed::Requeue { lost, .. } => self.facts.tasks.retain(|task| task.id != lost.task),
            Deed::Enqueue { task, .. } => self.facts.tasks.retain(|known| known.id != *task),
            Deed::Unregister { worker } => self.facts.workers.retain(|known| known.id != *worker),
            Deed::DeleteMailbox { instance } => drop(self.facts.mailboxes.remove(instance)),
            _ => {}
        }
    }

    /// Starts a deed, unless it is under way already or failed a moment ago.
    pub(super) fn begin(&mut self, deed: Deed) {
        let now = self.setup.clock.now();
        if self.is_blocked(&deed, now) {
            return;
        }
        tracing::debug!(%deed, "begins");
        self.under_way.push((deed.clone(), now));
        let (world, clock, crash) = (self.setup.world.clone(), self.setup.clock, self.setup.crash.clone());
        self.work.spawn(async move { Work::Done(perform(world, clock, deed, crash).await) });
    }

    pub(super) fn is_blocked(&self, deed: &Deed, now: Timestamp) -> bool {
        let key = deed.to_string();
        // A launch of the same kind is another deed: its batch is its own. Its back-off is the breakers' matter.
        if matches!(deed, Deed::Launch(_)) {
            return false;
        }
        self.retry_at.get(&key).is_some_and(|until| *until > now)
            || self.under_way.iter().any(|(known, _)| known.to_string() == key)
    }

    /// Writes records, then lives by them. A store that cannot be written is shown, and nothing is done meanwhile.
    pub(super) async fn commit(&mut self, records: Vec<Record>) -> bool {
        if records.is_empty() {
            return true;
        }
        if let Err(error) = self.setup.store.commit(&records).await {
            tracing::error!(%error, "the store cannot be written");
            self.store_problem = Some(format!("{error}; nothing is done until it can be"));
            return false;
        }
        self.store_problem = None;
        for record in records {
            self.memory.apply(&record);
            if let Record::Journal(entry) = record {
                self.tell(Event::Journal(entry));
            }
        }
        true
    }

    pub(super) fn tell(&self, event: Event) {
        // Nobody listening is fine.
        let _ = self.events.send(event);
    }

    pub(super) fn answer(&self, id: u64, result: Result<Answer, String>) {
        self.tell(Event::Answer { id, result });
    }

    /// The next look is due within `span`.
    pub(super) fn look_within(&mut self, span: SignedDuration) {
        let soon = self.setup.clock.now().saturating_add(span).unwrap_or(Timestamp::MAX);
        self.next_pass = self.next_pass.min(soon);
    }

    fn may_end(&self) -> bool {
        let Some(ending) = &self.ending else { return false };
        let now = self.setup.clock.now();
        let busy = self.under_way.iter().any(|(deed, _)| deed.matters());
        let left = self.memory.known.values().any(|known| match ending.on_exit {
            OnExit::Leave => false,
            OnExit::StopIdle => known.drain.is_some() && known.stop_sent.is_none(),
            OnExit::StopAll => known.stop_sent.is_none(),
        });
        (!busy && !left) || now.duration_since(ending.since) > FAREWELL
    }
}

/// How a cancelled order is remembered beside the order.
pub(super) fn cancelled(nonce: &str) -> String {
    format!("run:{nonce}")
}
