//! The loop itself: what wakes it, and one pass.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{broadcast, mpsc};
use tokio::task::{Id, JoinError, JoinSet};

use crate::engine::act::breakers::Breakers;
use crate::engine::act::crash::{Crashed, Point};
use crate::engine::act::deed::{Deed, Done, Failed, Outcome, perform};
use crate::engine::act::fence::Fence;
use crate::engine::act::outcome::{kept_back, settle};
use crate::engine::act::retry::Retries;
use crate::engine::advise::Advisors;
use crate::engine::clocks::Clocks;
use crate::engine::command::Request;
use crate::engine::ending::Ending;
use crate::engine::event::{Answer, Event, Leader};
use crate::engine::foresee::Foreseen;
use crate::engine::lead::{Lead, Stand};
use crate::engine::notices::{Lost, Notifier};
use crate::engine::people::Strangers;
use crate::engine::post::Post;
use crate::engine::pricing::{Pricing, Told};
use crate::engine::schedules::Held;
use crate::engine::seen::facts::{Facts, Observation};
use crate::engine::seen::sight::Sights;
use crate::engine::start::Setup;
use crate::engine::tell::Waits;
use crate::engine::tend::{Delivered, note};
use crate::engine::words::line;
use crate::model::course::Courses;
use crate::model::ids::{Actor, InstanceId, QueueId, Term};
use crate::model::journal::EntryKind;
use crate::model::plan::Plan;
use crate::model::record::{Memory, Record};
use crate::model::settings::Settings;
use crate::model::snapshot::{ErrorClass, Snapshot, Surplus};
use crate::plan::pace::QUICK;
use crate::store::StoreError;
use crate::store::settings::{Watcher, watch};
use crate::world::clock::{Clock, JumpWatch, Stopwatch};
use crate::world::tracker::TrackerError;

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
    /// The settings name something that is not to be had.
    #[error("{0}")]
    Settings(String),
    #[error("the loop panicked; the log says where")]
    Panicked,
    #[error(transparent)]
    Crashed(#[from] Crashed),
}

/// The workers are listed with their reports, and the tasks by their status, so often.
pub(crate) const WHOLE_EVERY: SignedDuration = SignedDuration::from_mins(3);
/// How often the guards are told that the console lives.
pub(crate) const LEASED_EVERY: SignedDuration = SignedDuration::from_secs(60);
/// A look that ended badly is tried again after this.
pub(super) const AGAIN: SignedDuration = SignedDuration::from_secs(15);

/// What the loop waits for.
pub(super) enum Work {
    /// A look, and since when it has been.
    Observed(Box<Observation>, Stopwatch),
    Done(Result<Outcome, Crashed>),
    Priced(Told),
    /// What a person asked of ClearML, and the lines that tell of it.
    Asked {
        request: u64,
        answer: Result<Answer, String>,
        lines: Vec<Record>,
    },
    /// Who leads.
    Stood(Result<Stand, TrackerError>),
    /// Whether the claim still exists that a sign of life was written to, and when that was.
    Signed(Result<Option<(QueueId, Stopwatch)>, TrackerError>),
}

pub(super) struct Loop {
    pub(super) setup: Setup,
    pub(super) requests: mpsc::Receiver<Request>,
    pub(super) events: broadcast::Sender<Event>,
    /// `None`: nobody else can lead.
    pub(super) lead: Option<Lead>,
    pub(super) fence: Fence,
    pub(super) memory: Memory,
    pub(super) settings: Arc<Settings>,
    pub(super) facts: Facts,
    pub(super) sights: Sights,
    pub(super) breakers: Breakers,
    /// The user's own policies.
    pub(super) advisors: Advisors,
    pub(super) surplus: Surplus,
    pub(super) courses: Courses,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) plan: Arc<Plan>,
    pub(super) work: JoinSet<Work>,
    pub(super) under_way: Vec<Act>,
    /// When something was last done about an attempt: what is seen of it must be younger.
    pub(super) touched: BTreeMap<InstanceId, Timestamp>,
    /// What this process knows to have arrived.
    pub(super) delivered: Delivered,
    /// Why tasks wait, as ClearML was told.
    pub(super) waits_told: Waits,
    pub(super) retries: Retries,
    pub(super) pricing: Pricing,
    /// The look at the world that is under way.
    pub(super) looking: Option<Id>,
    pub(super) look_again: bool,
    /// The look under way began before the clock jumped: what it says is of another time.
    pub(super) looked_away: bool,
    pub(super) jumps: JumpWatch,
    pub(super) clocks: Clocks,
    pub(super) next_pass: Timestamp,
    pub(super) interval: SignedDuration,
    pub(super) leased_at: Option<Timestamp>,
    pub(super) looked_deep_at: Option<Timestamp>,
    pub(super) pruned_at: Option<Timestamp>,
    /// When what was told was kept for charts.
    pub(super) glanced_at: Option<Timestamp>,
    pub(super) ending: Option<Ending>,
    /// Who wants everything stopped; until nothing is up and nothing can come any more.
    pub(super) stop_all: Option<Actor>,
    pub(super) store_problem: Option<String>,
    /// Why the settings that run are not those of the file, until a restart.
    pub(super) until_restart: Vec<String>,
    pub(super) strangers: Strangers,
    /// What was refused, or stopped by the check, in the last pass.
    pub(super) refused_before: BTreeSet<String>,
    pub(super) foreseen: Foreseen,
    pub(super) scheduled: Held,
    /// People who are told outside the screen.
    pub(super) notifier: Notifier,
    /// The memory holds more than the snapshot shows.
    pub(super) unseen: bool,
    /// Orders from and to consoles that share the store.
    pub(super) post: Post,
}

/// A deed under way.
#[derive(Debug)]
pub(super) struct Act {
    task: Id,
    pub(super) deed: Deed,
    pub(super) since: Timestamp,
}

impl Loop {
    pub(super) async fn new(
        mut setup: Setup,
        requests: mpsc::Receiver<Request>,
        events: broadcast::Sender<Event>,
    ) -> Result<Self, EngineError> {
        let mut memory = setup.store.load().await?;
        memory.call_users(&setup.settings.renames());
        let settings = setup.settings.settings();
        let now = setup.clock.now();
        let plan = Plan {
            at: now,
            revision: settings.revision.clone(),
            actions: Vec::new(),
            refusals: Vec::new(),
            outlooks: Vec::new(),
            surplus: Surplus::new(),
            courses: std::collections::BTreeMap::new(),
            lessons: Vec::new(),
            due: None,
        };
        let jumps = JumpWatch::new(setup.clock);
        let lead = setup.candidate.clone().map(|candidate| Lead::new(candidate, now));
        // Its time is real, whatever the loop's clock is.
        let advisors = Advisors::new(setup.settings.path(), Some(Clock::Wall)).with_own(setup.policy.take());
        let pricing = Pricing::new(Arc::clone(&setup.catalogue));
        let mut the_loop = Self {
            setup,
            requests,
            events,
            lead,
            fence: Fence::none(),
            memory,
            settings,
            facts: Facts::default(),
            sights: Sights::default(),
            breakers: Breakers::default(),
            advisors,
            surplus: Surplus::new(),
            courses: Courses::new(),
            snapshot: Arc::default(),
            plan: Arc::new(plan),
            work: JoinSet::new(),
            under_way: Vec::new(),
            touched: BTreeMap::new(),
            delivered: Delivered::default(),
            waits_told: Waits::default(),
            retries: Retries::default(),
            pricing,
            looking: None,
            look_again: false,
            looked_away: false,
            jumps,
            clocks: Clocks::default(),
            next_pass: now,
            interval: QUICK,
            leased_at: None,
            looked_deep_at: None,
            pruned_at: None,
            glanced_at: None,
            ending: None,
            stop_all: None,
            store_problem: None,
            until_restart: Vec::new(),
            strangers: Strangers::default(),
            refused_before: BTreeSet::new(),
            foreseen: Foreseen::default(),
            scheduled: Held::new(),
            notifier: Notifier::default(),
            unseen: false,
            post: Post::default(),
        };
        if the_loop.leads() {
            the_loop.doubt_open_intents(now).await;
        }
        the_loop.tell_strangers().await;
        // What is remembered is shown until the first look tells more.
        the_loop.snapshot = Arc::new(the_loop.snapshot_with(Vec::new(), now));
        the_loop.publish();
        Ok(the_loop)
    }

    pub(super) fn leads(&self) -> bool {
        matches!(self.setup.leader, Leader::Us(_))
    }

    /// Whether this loop leads, that is so lately confirmed that no other can, and no guardrail keeps it from acting.
    pub(super) fn surely_leads(&self) -> bool {
        self.leads() && self.fence.is_sure() && self.setup.settings.read_only().is_none()
    }

    pub(super) fn term(&self) -> Term {
        match self.setup.leader {
            Leader::Us(term) => term,
            Leader::Other(_) => Term::default(),
        }
    }

    pub(super) async fn run(mut self) -> Result<(), EngineError> {
        let (_watcher, mut changes) = self.watch_settings();
        while !self.may_end().await {
            if self.until_beat().is_some_and(|left| left.is_zero()) {
                self.keep_lead();
            }
            if self.until_post().is_some_and(|left| left.is_zero()) {
                self.tend_post().await?;
            }
            let wait = self.wait();
            if wait.is_zero() {
                // However much is asked and done, the world is looked at in time.
                self.wake().await?;
                continue;
            }
            let wait = self.until_beat().into_iter().chain(self.until_post()).fold(wait, SignedDuration::min);
            tokio::select! {
                biased;
                // Before it is known who leads, no request can be answered well.
                Some(request) = self.requests.recv(), if self.knows_who_leads() => self.handle(request).await?,
                Some(done) = self.work.join_next_with_id() => self.finished(done).await?,
                Some(()) = changes.recv() => self.reread().await?,
                lost = self.notifier.lost() => self.not_told(&lost).await,
                () = self.setup.clock.sleep(wait) => {}
            }
        }
        self.release_lead().await;
        self.notifier.farewell().await;
        // What is on disk is whole already: the end is none the worse.
        self.setup.store.close().await.unwrap_or_else(|error| tracing::warn!(%error, "the store is not closed"));
        Ok(())
    }

    /// Someone was not told of something.
    async fn not_told(&mut self, lost: &Lost) {
        let (text, why) = lost.told();
        let line = line(self.setup.clock.now(), EntryKind::Failed, text).because(&why).about(lost.subject());
        self.commit(vec![line.record()]).await;
    }

    /// Until the next look. Not longer than looks are apart, wherever the clock was set to.
    pub(super) fn wait(&self) -> SignedDuration {
        let left = self.next_pass.duration_since(self.setup.clock.now());
        left.clamp(SignedDuration::ZERO, self.interval)
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

    pub(super) async fn finished(&mut self, done: Result<(Id, Work), JoinError>) -> Result<(), EngineError> {
        match done {
            Ok((_, Work::Observed(observation, asked))) => self.observed(*observation, asked).await,
            Ok((_, Work::Stood(stand))) => self.stood(stand).await,
            Ok((_, Work::Signed(signed))) => {
                self.signed(signed);
                Ok(())
            }
            Ok((_, Work::Priced(told))) => {
                self.priced(told).await;
                Ok(())
            }
            Ok((_, Work::Asked { request, answer, lines })) => {
                self.asked(request, answer, lines).await;
                Ok(())
            }
            Ok((task, Work::Done(outcome))) => self.settled(task, outcome?).await,
            Err(error) => self.broke(&error).await,
        }
    }

    /// A task of ours panicked: it is told, and whether its deed was done is not known.
    async fn broke(&mut self, error: &JoinError) -> Result<(), EngineError> {
        tracing::error!(%error, "a task of the loop ended badly");
        let text = format!("a part of the loop failed: {error}");
        self.commit(vec![line(self.setup.clock.now(), EntryKind::Alarm, text).record()]).await;
        if self.looking == Some(error.id()) {
            self.looking = None;
            self.look_within(AGAIN);
        }
        self.asked_in_vain(error.id());
        let Some(act) = self.under_way.iter().find(|act| act.task == error.id()) else { return Ok(()) };
        let failed = Failed {
            class: ErrorClass::Unknown,
            message: error.to_string(),
            may_have_acted: true,
            quota: None,
            passed_over: Vec::new(),
        };
        let outcome = Outcome { deed: act.deed.clone(), result: Err(failed) };
        self.settled(error.id(), outcome).await
    }

    async fn settled(&mut self, task: Id, outcome: Outcome) -> Result<(), EngineError> {
        let kind = outcome.deed.kind();
        if let Some(kind) = kind {
            self.setup.crash.pass(kind, Point::AfterReply)?;
        }
        let now = self.setup.clock.now();
        self.under_way.retain(|act| act.task != task);
        self.touch_attempts(&outcome.deed, now);
        if let Deed::BootLog { request, .. } = &outcome.deed {
            let answer = match outcome.result {
                Ok(Done::Text(text)) => Ok(Answer::BootLog(text)),
                Ok(_) => Ok(Answer::BootLog(String::new())),
                Err(failed) => Err(failed.message),
            };
            self.answer(*request, answer);
            return Ok(());
        }
        if let Ok(Done::KeptBack(why)) = &outcome.result {
            return self.kept_back(&outcome.deed, &why.to_string()).await;
        }
        if let Err(failed) = &outcome.result {
            tracing::warn!(deed = %outcome.deed, error = %failed.message, "a deed failed");
            if let Deed::TellWaiting { name, .. } = &outcome.deed {
                self.waits_told.forget(name);
            }
        }
        let (delivered, retries) = (&mut self.delivered, &mut self.retries);
        let first = note(&outcome, delivered, retries, &mut self.facts, &mut self.sights, now);
        let consequence = settle(&outcome, &self.memory, &mut self.breakers, first, &self.setup.catalogue, now);
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
            self.publish();
        }
        Ok(())
    }

    /// A deed was not done, since this loop may not lead any more: who does is asked at once.
    async fn kept_back(&mut self, deed: &Deed, why: &str) -> Result<(), EngineError> {
        let now = self.setup.clock.now();
        let text = format!("did not {deed}");
        let mut records = vec![line(now, EntryKind::Failed, text).because(&why).record()];
        records.extend(kept_back(deed, &self.memory));
        self.retries.failed(deed, now);
        self.commit(records).await;
        self.beat();
        self.publish();
        Ok(())
    }

    /// Starts a deed, unless it is under way already or failed a moment ago.
    pub(super) fn begin(&mut self, deed: Deed) {
        let now = self.setup.clock.now();
        if self.is_blocked(&deed, now) {
            return;
        }
        tracing::debug!(%deed, "begins");
        let (world, clock, crash) = (self.setup.world.clone(), self.setup.clock, self.setup.crash.clone());
        let done = perform(world, clock, self.fence.clone(), deed.clone(), crash);
        let task = self.work.spawn(async move { Work::Done(done.await) }).id();
        self.under_way.push(Act { task, deed, since: now });
    }

    pub(super) fn is_blocked(&self, deed: &Deed, now: Timestamp) -> bool {
        self.under_way.iter().any(|act| act.deed.collides(deed)) || self.retries.blocks(deed, now)
    }

    /// Writes records, then lives by them. A store that cannot be written is shown, and nothing is done meanwhile.
    pub(super) async fn commit(&mut self, records: Vec<Record>) -> bool {
        if records.is_empty() {
            return true;
        }
        if let Err(error) = self.setup.store.commit(&records).await {
            if self.store_problem.is_none() {
                tracing::error!(%error, "the store cannot be written");
            }
            self.store_problem = Some(format!("{error}; nothing is done until it can be"));
            return false;
        }
        self.store_problem = None;
        for record in records {
            self.memory.apply(&record);
            match record {
                Record::Journal(entry) => {
                    if self.leads() {
                        self.notifier.read(&entry, &self.settings.the_loop.fleet);
                    }
                    self.tell(Event::Journal(entry));
                }
                // No snapshot shows it.
                Record::Glanced(_) => {}
                _ => self.unseen = true,
            }
        }
        true
    }

    pub(super) fn tell(&self, event: Event) {
        // Nobody listening is fine.
        let _ = self.events.send(event);
    }

    pub(super) fn answer(&mut self, id: u64, result: Result<Answer, String>) {
        if let Some(result) = self.post.keep(id, result) {
            self.tell(Event::Answer { id, result });
        }
    }

    /// The next look is due within `span`.
    pub(super) fn look_within(&mut self, span: SignedDuration) {
        let soon = self.setup.clock.now().saturating_add(span).unwrap_or(Timestamp::MAX);
        self.next_pass = self.next_pass.min(soon);
    }
}
