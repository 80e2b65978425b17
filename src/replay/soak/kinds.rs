//! The kinds of faults, and how often each was injected.

use std::fmt;

macro_rules! kinds {
    ($($name:ident => $word:literal,)*) => {
        /// What goes wrong, or comes in between.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind {
            $($name,)*
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// As people read it.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }
        }
    };
}

kinds! {
    LaunchTimesOutAndComes => "a launch times out, and its machine comes",
    LaunchTimesOutAndNeverComes => "a launch times out, and no machine comes",
    LaunchTimesOutAndComesLate => "a launch times out, and its machine comes minutes later",
    LaunchUndated => "a launch answers before the machine has a date",
    NoCapacity => "no capacity",
    PartOfABatch => "a part of a batch has capacity",
    Quota => "a quota is passed",
    Throttled => "a launch is throttled",
    ThrottledAndActed => "a launch is throttled, and was carried out",
    CredentialsEnd => "the cloud's credentials end",
    BadRequest => "the cloud calls a launch a bad request",
    ListFails => "a listing fails",
    ListStale => "a listing is an old one",
    ListMissesOne => "a listing misses a machine",
    ListTwice => "a listing names a machine twice",
    ListShuffled => "a listing is out of order",
    ListedLate => "a machine is listed minutes after it was made",
    UnlistedAtOnce => "an ended machine is not listed any more at once",
    StopFails => "a stop fails",
    StopAnswerLost => "the answer to a stop is lost",
    StopIgnored => "a stop is accepted and not carried out",
    StartRefused => "a machine that is off cannot be started",
    StartedByOthers => "somebody starts a machine that is off",
    StoppedByOthers => "somebody ends a machine",
    SpotNotice => "the cloud takes a machine back, with notice",
    SpotNoNotice => "the cloud takes a machine back, without notice",
    NeverBoots => "a machine never registers",
    BootsSlowly => "a machine boots slowly",
    ServerDown => "the ClearML server does not answer",
    RowMissing => "a worker's row is missing for one look",
    RowTwice => "a worker has two rows",
    RowLingers => "the row of an ended machine stays",
    ReportsLate => "a worker is cut off for minutes",
    WorkerDies => "a worker dies, and its machine stays",
    GateSilent => "a machine's gate says nothing any more",
    DrainOrderLost => "an order to drain is lost",
    DrainAnswerLost => "the answer to a drain is lost",
    DrainAnswerUnknown => "an order to drain arrives, and its answer is lost",
    MailboxDeleted => "somebody deletes a mailbox",
    DrainRaced => "an agent takes a task as its drain is written",
    TaskMoved => "somebody moves a task to another queue",
    TaskDequeued => "somebody takes a task out of its queue",
    TaskAborted => "somebody aborts a task that runs",
    TaskLostInPull => "an agent loses a task as it takes it",
    Phantom => "a queue has an entry without a task",
    Burst => "many tasks come at once",
    ForeignWorker => "a worker of others comes or goes",
    CrashBeforeIntent => "the loop dies before it writes an intent",
    CrashAfterIntent => "the loop dies after it wrote an intent, before the call",
    CrashAfterCall => "the loop dies after the call, before its answer is written",
    StoreLost => "the store is lost",
    StoreFails => "the store cannot be written",
    Sleeps => "the loop's computer sleeps for eight hours",
    ClockForward => "the clock is set eight hours forward",
    ClockBack => "the clock is set eight hours back",
    ClockDrifts => "the clock is off by up to a minute",
    DstChange => "daylight saving begins or ends",
    AnotherLeads => "another console takes the lead for a while",
    Disarmed => "a person makes it a dry run",
    Paused => "a person pauses the loop",
    LimitLowered => "a limit is lowered below what is used",
    LimitChanged => "a limit is changed",
    BudgetLowered => "a budget is lowered below what is spent",
    BudgetRemoved => "a budget is removed",
    BudgetAdded => "a budget is added",
    BudgetChanged => "a budget is changed",
    PriceChanged => "prices change",
    PriceUnknown => "a price is not known any more",
    PoolEdited => "a pool is edited",
    BadSettings => "settings that are not valid are written",
    PersonDrains => "a person drains a machine",
    PersonCancels => "a person cancels a drain",
    PersonStops => "a person stops a machine",
    PersonKills => "a person kills a machine",
    PersonHolds => "a person holds a machine, for a while",
    PersonReplaces => "a person wants a machine replaced",
    PersonLaunches => "a person launches a machine",
    EmergencyStop => "an emergency stop",
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// How often each kind was injected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    counts: Vec<u64>,
    /// Those since they were last asked for.
    news: Vec<Kind>,
}

impl Default for Counts {
    fn default() -> Self {
        Self { counts: vec![0; Kind::ALL.len()], news: Vec::new() }
    }
}

impl Counts {
    pub(super) fn add(&mut self, kind: Kind) {
        if let Some(count) = self.counts.get_mut(kind as usize) {
            *count += 1;
        }
        self.news.push(kind);
    }

    pub(super) fn take_news(&mut self) -> Vec<Kind> {
        std::mem::take(&mut self.news)
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
    }

    /// Each kind with its count.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, u64)> {
        Kind::ALL.iter().copied().zip(self.counts.iter().copied())
    }

    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// So many kinds were injected at least once.
    #[must_use]
    pub fn kinds(&self) -> usize {
        self.counts.iter().filter(|count| **count > 0).count()
    }
}
