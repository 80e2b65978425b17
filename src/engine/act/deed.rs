//! Deeds on the world: one call or a short row of calls, each with a deadline. The loop never waits for one.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use crate::engine::act::crash::{CrashPoints, Crashed, DeedKind, Point};
use crate::engine::act::fence::{Fence, KeptBack};
use crate::engine::act::pods::{self, Tried, Try};
use crate::engine::act::start::start;
use crate::model::ids::{
    FleetId, InstanceId, IntentId, MachineType, PoolName, QueueId, QueueName, Revision, TaskId, Term, WorkerId,
};
use crate::model::observed::LostTask;
use crate::model::plan::Launch;
use crate::model::reason::counted;
use crate::model::settings::{PoolSettings, Provider};
use crate::model::snapshot::{ErrorClass, Quota};
use crate::world::World;
use crate::world::clock::Clock;
use crate::world::cloud::{AgentAccess, Bid, CloudError, LaunchOrder, Launched, Leftover, PassedOver, Sweep};
use crate::world::tracker::{Requeue, TrackerError};

/// Longer than a launch's own time limits, so that the cloud's answer is heard.
const LAUNCH_DEADLINE: SignedDuration = SignedDuration::from_secs(90);
const CALL_DEADLINE: SignedDuration = SignedDuration::from_secs(60);

/// A machine's boot token lives this much longer than its pool's `max_boot` (GUARD.md section 7).
const TOKEN_RESERVE: SignedDuration = SignedDuration::from_mins(15);

/// What is done.
#[derive(Debug, Clone)]
pub(crate) enum Deed {
    Launch(Box<LaunchDeed>),
    Stop {
        provider: Provider,
        region: String,
        instance: InstanceId,
    },
    /// Switches it off and keeps it.
    SwitchOff {
        provider: Provider,
        region: String,
        instance: InstanceId,
    },
    /// Starts a machine that is off.
    Start {
        provider: Provider,
        region: String,
        instance: InstanceId,
        intent: IntentId,
    },
    Drain {
        instance: InstanceId,
        nonce: String,
        /// By a hold task, too.
        hold: bool,
    },
    /// Another hold task for a drain that was ordered.
    PlaceHold {
        instance: InstanceId,
        nonce: String,
    },
    /// Has a machine that drains end its tasks, which write what they have and go back to their queues.
    AskEnd {
        instance: InstanceId,
        nonce: String,
    },
    CancelDrain {
        instance: InstanceId,
        nonce: String,
        /// Ends its hold tasks, too.
        hold: bool,
    },
    Requeue {
        lost: LostTask,
    },
    Enqueue {
        task: TaskId,
        queue: QueueId,
    },
    /// Takes a task for the Job that waits for it, and lets that go.
    Carry(Box<Try>),
    /// Deletes a Job that was not let go.
    Withdraw(Box<Try>),
    /// Puts the task of a pod that is gone back into its queue, or ends it.
    PutBack {
        of: Box<Try>,
        /// Its task runs by its status, since then.
        started: Option<Timestamp>,
        /// Why it is ended.
        give_up: Option<String>,
    },
    Unregister {
        worker: WorkerId,
    },
    /// So that a person's drain finds it at once; the machine makes it, too.
    CreateMailbox {
        instance: InstanceId,
    },
    DeleteMailbox {
        instance: InstanceId,
    },
    RenewLease {
        fleet: FleetId,
        value: String,
    },
    /// Writes why a queue's tasks wait where people look at them in ClearML; empty: they do not.
    TellWaiting {
        name: QueueName,
        queue: QueueId,
        text: String,
        /// Of those that wait, in whose status messages it stands, too.
        tasks: Vec<TaskId>,
    },
    /// What the fleet left behind is told and cleared away.
    Sweep {
        provider: Provider,
        sweep: Sweep,
    },
    /// For a person who asked.
    BootLog {
        provider: Provider,
        region: String,
        instance: InstanceId,
        request: u64,
    },
}

/// One launch call.
#[derive(Debug, Clone)]
pub(crate) struct LaunchDeed {
    pub fleet: FleetId,
    pub batch: IntentId,
    pub launch: Launch,
    pub pool: PoolSettings,
    pub queues: Vec<QueueName>,
    pub revision: Revision,
    pub term: Term,
    /// See [`LaunchOrder::bids`].
    pub bids: Vec<Bid>,
    /// Of pods: the task of each; nothing else is launched then.
    pub tries: Vec<Try>,
}

impl LaunchDeed {
    /// The call as if it had been for this type alone.
    #[must_use]
    pub(in crate::engine) fn come_to(&self, machine_type: &MachineType) -> Self {
        Self { launch: self.launch.come_to(machine_type), ..self.clone() }
    }

    /// Why a machine is of this type, where the cloud chose it.
    #[must_use]
    pub(in crate::engine) fn chosen(&self, machine_type: &MachineType) -> Option<String> {
        if self.bids.is_empty() {
            return None;
        }
        let has =
            |zone: &&String| self.bids.iter().any(|bid| bid.without.iter().all(|without| without.as_str() != *zone));
        let zones: BTreeSet<&String> = self.pool.launch.zones.iter().filter(has).collect();
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let places = match (number(zones.len()), number(self.pool.launch.subnets.len())) {
            (0, 0) => "in any zone".to_owned(),
            (0, subnets) => format!("and {}", counted(subnets, "subnet")),
            (zones, _) => format!("and {}", counted(zones, "zone")),
        };
        let (cloud, types) = (self.pool.provider.name(), counted(number(self.bids.len()), "type"));
        Some(format!("{cloud} chose {machine_type} among {types} {places}"))
    }
}

impl Deed {
    /// Its kind, where a crash in it is to be survived.
    #[must_use]
    pub(in crate::engine) fn kind(&self) -> Option<DeedKind> {
        match self {
            Self::Launch(_) | Self::Carry(_) | Self::Withdraw(_) => Some(DeedKind::Launch),
            Self::Stop { .. } => Some(DeedKind::Stop),
            Self::SwitchOff { .. } => Some(DeedKind::StopKeep),
            Self::Start { .. } => Some(DeedKind::Start),
            Self::Drain { .. } | Self::PlaceHold { .. } | Self::AskEnd { .. } => Some(DeedKind::Drain),
            Self::CancelDrain { .. } => Some(DeedKind::CancelDrain),
            Self::Requeue { .. } | Self::PutBack { .. } => Some(DeedKind::Requeue),
            Self::Enqueue { .. } => Some(DeedKind::Enqueue),
            Self::Unregister { .. } => Some(DeedKind::Unregister),
            Self::CreateMailbox { .. }
            | Self::DeleteMailbox { .. }
            | Self::RenewLease { .. }
            | Self::TellWaiting { .. }
            | Self::Sweep { .. }
            | Self::BootLog { .. } => None,
        }
    }

    #[must_use]
    pub(in crate::engine) fn deadline(&self) -> SignedDuration {
        if matches!(self, Self::Launch(_)) { LAUNCH_DEADLINE } else { CALL_DEADLINE }
    }

    /// The pool that it is about, where no machine is known yet.
    #[must_use]
    pub(in crate::engine) fn pool(&self) -> Option<&PoolName> {
        match self {
            Self::Launch(order) => Some(&order.launch.pool),
            _ => None,
        }
    }

    /// Whether the loop must hear of it before it may end.
    #[must_use]
    pub(crate) fn matters(&self) -> bool {
        self.kind().is_some()
    }

    /// Whether what is written down is enough to do it later: a deed of this kind that fails, or cannot begin yet, is
    /// done as soon as it can be.
    #[must_use]
    pub(in crate::engine) fn stands(&self) -> bool {
        matches!(
            self,
            Self::Stop { .. }
                | Self::SwitchOff { .. }
                | Self::Drain { .. }
                | Self::PlaceHold { .. }
                | Self::AskEnd { .. }
                | Self::CancelDrain { .. }
                | Self::Requeue { .. }
                | Self::Carry(_)
                | Self::Withdraw(_)
                | Self::PutBack { .. }
        )
    }

    /// Whether the two must not be under way at once: they are the same, or write into the same mailbox.
    #[must_use]
    pub(in crate::engine) fn collides(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::BootLog { request, .. }, Self::BootLog { request: other, .. }) => request == other,
            (
                Self::Drain { instance, .. }
                | Self::PlaceHold { instance, .. }
                | Self::AskEnd { instance, .. }
                | Self::CancelDrain { instance, .. },
                Self::Drain { instance: other, .. }
                | Self::PlaceHold { instance: other, .. }
                | Self::AskEnd { instance: other, .. }
                | Self::CancelDrain { instance: other, .. },
            )
            | (Self::Stop { instance, .. }, Self::Stop { instance: other, .. })
            | (Self::SwitchOff { instance, .. }, Self::SwitchOff { instance: other, .. })
            // What a start removes must not be removed once more when the machine is up.
            | (
                Self::Start { instance, .. } | Self::DeleteMailbox { instance },
                Self::Start { instance: other, .. } | Self::DeleteMailbox { instance: other },
            )
            | (Self::CreateMailbox { instance }, Self::CreateMailbox { instance: other }) => instance == other,
            (Self::Requeue { lost }, Self::Requeue { lost: other }) => lost.task == other.task,
            (Self::Enqueue { task, .. }, Self::Enqueue { task: other, .. }) => task == other,
            (Self::Unregister { worker }, Self::Unregister { worker: other }) => worker == other,
            (Self::RenewLease { .. }, Self::RenewLease { .. }) => true,
            (Self::TellWaiting { name, .. }, Self::TellWaiting { name: other, .. }) => name == other,
            (Self::Carry(one) | Self::PutBack { of: one, .. }, other)
            | (other, Self::Carry(one) | Self::PutBack { of: one, .. }) => other.is_of_attempt(&one.attempt.instance),
            (Self::Sweep { sweep, .. }, Self::Sweep { sweep: other, .. }) => sweep.region == other.region,
            // Each launch call is one of its own.
            _ => false,
        }
    }

    /// Whether it does something about this attempt.
    #[must_use]
    pub(in crate::engine) fn is_of_attempt(&self, instance: &InstanceId) -> bool {
        match self {
            Self::Launch(order) => order.tries.iter().any(|one| one.attempt.instance == *instance),
            Self::Carry(one) | Self::Withdraw(one) | Self::PutBack { of: one, .. } => one.attempt.instance == *instance,
            Self::Stop { instance: of, .. } => of == instance,
            _ => false,
        }
    }

    /// The machine that it is about.
    #[must_use]
    pub(in crate::engine) fn instance(&self) -> Option<&InstanceId> {
        match self {
            Self::Stop { instance, .. }
            | Self::SwitchOff { instance, .. }
            | Self::Start { instance, .. }
            | Self::Drain { instance, .. }
            | Self::PlaceHold { instance, .. }
            | Self::AskEnd { instance, .. }
            | Self::CancelDrain { instance, .. }
            | Self::CreateMailbox { instance }
            | Self::DeleteMailbox { instance }
            | Self::BootLog { instance, .. } => Some(instance),
            Self::Requeue { lost } => Some(&lost.instance),
            Self::Carry(one) | Self::Withdraw(one) | Self::PutBack { of: one, .. } => Some(&one.attempt.instance),
            Self::Launch(_)
            | Self::Enqueue { .. }
            | Self::Unregister { .. }
            | Self::RenewLease { .. }
            | Self::TellWaiting { .. }
            | Self::Sweep { .. } => None,
        }
    }
}

/// As people read it while it is under way.
impl std::fmt::Display for Deed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Launch(order) => {
                let Launch { count, machine_type, pool, .. } = &order.launch;
                write!(f, "launch {count} x {machine_type} in {pool}")
            }
            Self::Stop { instance, .. } => write!(f, "stop {instance}"),
            Self::SwitchOff { instance, .. } => write!(f, "switch {instance} off"),
            Self::Start { instance, .. } => write!(f, "start {instance} again"),
            Self::Drain { instance, .. } => write!(f, "order {instance} to drain"),
            Self::PlaceHold { instance, .. } => write!(f, "hold {instance} by a task"),
            Self::AskEnd { instance, .. } => write!(f, "ask {instance} to end its task"),
            Self::CancelDrain { instance, .. } => write!(f, "cancel the drain of {instance}"),
            Self::Requeue { lost } => write!(f, "enqueue task {} again", lost.task),
            Self::Enqueue { task, .. } => write!(f, "enqueue task {task}"),
            Self::Carry(one) => write!(f, "let {} take task {}", one.attempt.instance, one.attempt.task),
            Self::Withdraw(one) => write!(f, "delete {}, which was not let go", one.attempt.instance),
            Self::PutBack { of, give_up: None, .. } => write!(f, "put task {} back into its queue", of.attempt.task),
            Self::PutBack { of, .. } => write!(f, "end task {}", of.attempt.task),
            Self::Unregister { worker } => write!(f, "unregister {worker}"),
            Self::CreateMailbox { instance } => write!(f, "make the mailbox of {instance}"),
            Self::DeleteMailbox { instance } => write!(f, "remove the mailbox of {instance}"),
            Self::RenewLease { .. } => write!(f, "renew the lease"),
            Self::TellWaiting { name, .. } => write!(f, "tell ClearML why tasks of {name} wait"),
            Self::Sweep { sweep, .. } => write!(f, "look for what was left behind in {}", sweep.region),
            Self::BootLog { instance, .. } => write!(f, "read the console of {instance}"),
        }
    }
}

/// What became of a deed.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub deed: Deed,
    pub result: Result<Done, Failed>,
}

/// It went well.
#[derive(Debug)]
pub(crate) enum Done {
    Launched(Vec<Launched>),
    Requeue(Requeue),
    Text(String),
    /// It was not begun: this console may not lead any more.
    KeptBack(KeptBack),
    Swept(Vec<Leftover>),
    /// Of pods, one by one.
    Tried(Vec<Tried>),
    Nothing,
}

/// It did not, or nobody knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failed {
    pub class: ErrorClass,
    pub message: String,
    /// It may have been done all the same.
    pub may_have_acted: bool,
    pub quota: Option<Quota>,
    /// The noes one by one, where the cloud had a choice.
    pub passed_over: Vec<PassedOver>,
}

impl From<CloudError> for Failed {
    fn from(error: CloudError) -> Self {
        let message = error.to_string();
        let CloudError { class, may_have_acted, quota, passed_over, .. } = error;
        Self { class, message, may_have_acted, quota, passed_over }
    }
}

impl From<TrackerError> for Failed {
    fn from(error: TrackerError) -> Self {
        let class = match &error {
            TrackerError::Credentials { .. } => ErrorClass::Credentials,
            TrackerError::Refused { .. } => ErrorClass::BadRequest,
            _ => ErrorClass::Unknown,
        };
        let may_have_acted = !matches!(error, TrackerError::Credentials { .. } | TrackerError::Refused { .. });
        Self { class, message: error.to_string(), may_have_acted, quota: None, passed_over: Vec::new() }
    }
}

/// Does it. An unknown outcome is an error that says so.
///
/// # Errors
/// A test wants the loop dead at a point of this deed.
pub(in crate::engine) async fn perform(
    world: World,
    clock: Clock,
    fence: Fence,
    deed: Deed,
    crash: CrashPoints,
) -> Result<Outcome, Crashed> {
    if let Err(kept_back) = may_begin(&world, &fence, &deed).await {
        return Ok(Outcome { deed, result: Ok(Done::KeptBack(kept_back)) });
    }
    let result = match clock.deadline(deed.deadline(), call(&world, &deed)).await {
        Some(result) => result,
        None => Err(CloudError::deadline("the call").into()),
    };
    if let Some(kind) = deed.kind() {
        crash.pass(kind, Point::AfterCall)?;
    }
    Ok(Outcome { deed, result })
}

/// A stop that was decided while this console surely led, or that a person asked for, is done unless another is known
/// to lead: a server that is silent must not keep machines running.
async fn may_begin(world: &World, fence: &Fence, deed: &Deed) -> Result<(), KeptBack> {
    match (fence.pass(&*world.tracker).await, deed) {
        (Err(KeptBack::Unconfirmed(_)), Deed::Stop { .. }) | (_, Deed::BootLog { .. }) => Ok(()),
        (passed, _) => passed,
    }
}

async fn call(world: &World, deed: &Deed) -> Result<Done, Failed> {
    let tracker = &world.tracker;
    match deed {
        Deed::Launch(order) if !order.tries.is_empty() => pods::launch(world, order).await,
        Deed::Launch(order) => launch(world, order).await,
        Deed::Carry(of) => pods::carry(world, of).await.map(|_| Done::Nothing),
        Deed::Withdraw(of) => {
            world.cloud(of.provider)?.withdraw(&of.region, &of.attempt.instance).await?;
            Ok(Done::Nothing)
        }
        Deed::PutBack { of, started, give_up } => {
            Ok(Done::Requeue(tracker.put_back(&of.place, *started, give_up.as_deref()).await?))
        }
        Deed::Stop { provider, region, instance } => {
            world.cloud(*provider)?.terminate(region, std::slice::from_ref(instance)).await?;
            Ok(Done::Nothing)
        }
        Deed::SwitchOff { provider, region, instance } => {
            world.cloud(*provider)?.stop(region, std::slice::from_ref(instance)).await?;
            Ok(Done::Nothing)
        }
        Deed::Start { provider, region, instance, .. } => start(world, *provider, region, instance).await,
        Deed::Drain { instance, nonce, hold } => {
            tracker.order_drain(instance, nonce).await?;
            if *hold { nothing(tracker.place_hold(instance, nonce).await) } else { Ok(Done::Nothing) }
        }
        Deed::AskEnd { instance, nonce } => nothing(tracker.ask_end(instance, nonce).await),
        Deed::PlaceHold { instance, nonce } => nothing(tracker.place_hold(instance, nonce).await),
        Deed::CancelDrain { instance, hold, .. } => {
            tracker.cancel_drain(instance).await?;
            if *hold { nothing(tracker.end_holds(instance).await) } else { Ok(Done::Nothing) }
        }
        Deed::Requeue { lost } => Ok(Done::Requeue(tracker.requeue_lost(lost).await?)),
        Deed::Enqueue { task, queue } => Ok(Done::Requeue(tracker.enqueue(task, queue).await?)),
        Deed::Unregister { worker } => nothing(tracker.unregister(worker).await),
        Deed::CreateMailbox { instance } => nothing(tracker.create_mailbox(instance).await),
        Deed::DeleteMailbox { instance } => nothing(tracker.delete_mailbox(instance).await),
        Deed::RenewLease { fleet, value } => nothing(tracker.renew_lease(fleet, value).await),
        Deed::TellWaiting { queue, text, tasks, .. } => nothing(tracker.tell_waiting(queue, text, tasks).await),
        Deed::Sweep { provider, sweep } => Ok(Done::Swept(world.cloud(*provider)?.sweep(sweep).await?)),
        Deed::BootLog { provider, region, instance, .. } => {
            Ok(Done::Text(world.cloud(*provider)?.console(region, instance).await?))
        }
    }
}

fn nothing(answer: Result<(), TrackerError>) -> Result<Done, Failed> {
    answer.map(|()| Done::Nothing).map_err(Failed::from)
}

async fn launch(world: &World, deed: &LaunchDeed) -> Result<Done, Failed> {
    let life = deed.pool.max_boot + TOKEN_RESERVE;
    let token = world.tracker.mint_agent_token(life).await.map_err(|error| Failed {
        message: format!("no token for the machine's agent: {error}"),
        // Nothing was asked of the cloud yet.
        may_have_acted: false,
        ..Failed::from(error)
    })?;
    let order = LaunchOrder {
        fleet: deed.fleet.clone(),
        batch: deed.batch.clone(),
        launch: deed.launch.clone(),
        pool: deed.pool.clone(),
        revision: deed.revision.clone(),
        term: deed.term,
        queues: deed.queues.clone(),
        agents: AgentAccess { api_server: world.tracker.api_server(), token },
        bids: deed.bids.clone(),
    };
    Ok(Done::Launched(world.cloud(deed.pool.provider)?.launch(&order).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deeds_collide_that_are_the_same_or_write_into_one_mailbox() {
        let drain = |id: &str, nonce: &str| Deed::Drain { instance: id.into(), nonce: nonce.to_owned(), hold: false };
        let cancel = |id: &str| Deed::CancelDrain { instance: id.into(), nonce: "n".to_owned(), hold: true };
        let stop = |id: &str| Deed::Stop { provider: Provider::Aws, region: "r".to_owned(), instance: id.into() };
        let log = |request| Deed::BootLog {
            provider: Provider::Aws,
            region: "r".to_owned(),
            instance: "i-1".into(),
            request,
        };
        let lease = |value: &str| Deed::RenewLease { fleet: "lab".into(), value: value.to_owned() };
        for (one, other, collide) in [
            (drain("i-1", "a"), drain("i-1", "b"), true),
            (drain("i-1", "a"), cancel("i-1"), true),
            (drain("i-1", "a"), cancel("i-2"), false),
            (stop("i-1"), stop("i-1"), true),
            (stop("i-1"), drain("i-1", "a"), false),
            (log(1), log(2), false),
            (lease("a"), lease("b"), true),
            (Deed::Unregister { worker: "w".into() }, Deed::Unregister { worker: "w".into() }, true),
            (Deed::CreateMailbox { instance: "i-1".into() }, Deed::DeleteMailbox { instance: "i-1".into() }, false),
        ] {
            assert_eq!((one.collides(&other), other.collides(&one)), (collide, collide), "{one} and {other}");
        }
    }
}
