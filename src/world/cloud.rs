//! The face of a cloud. The comments are the contract; every implementation is held to them.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::model::attempt::Attempt;
use crate::model::cluster::Cluster;
use crate::model::extras::ExtraPrices;
use crate::model::ids::{Actor, FleetId, InstanceId, IntentId, MachineType, PoolName, QueueName, Revision, Term, Zone};
use crate::model::label::hash;
use crate::model::money::Rate;
use crate::model::observed::CloudInstance;
use crate::model::plan::Launch;
use crate::model::settings::AccountSettings;
use crate::model::settings::{Market, PoolSettings, Provider};
use crate::model::site;
use crate::model::snapshot::{ErrorClass, Quota};
use crate::world::secret::Secret;
use crate::world::tracker::TaskContainer;

/// The clouds of a world, by provider.
pub type Clouds = BTreeMap<Provider, Arc<dyn Cloud>>;

/// A cloud that rents out machines. A region is that of the usual account, or of one of the settings': see
/// [how a site is written](crate::model::site).
#[async_trait]
pub trait Cloud: Send + Sync {
    /// Every machine in `region` that carries the fleet's tag, whatever its state, all pages. Machines that
    /// ended stay listed for a while in most clouds. An error means that nothing is known, never "none".
    async fn list(&self, fleet: &FleetId, region: &str) -> Result<Vec<CloudInstance>, CloudError>;

    /// What the cluster at `region` says of its nodes and of who adds some. `None`: there is no cluster, only machines.
    async fn cluster(&self, _region: &str) -> Option<Cluster> {
        None
    }

    /// Starts up to `order.launch.count` machines with one call, and says which. Fewer than asked for is
    /// success: the rest was refused for capacity. The pool's zones are tried in order, the next one only after a
    /// definite no for want of capacity; an error of that class speaks of all of them. The call is idempotent by `order.batch`. The order's
    /// tags are on the machines from their first moment. The intent of each machine is
    /// `<batch>.<place in the batch>`. Where the order has bids, it is for one machine, and the cloud chooses its type and
    /// place among them.
    async fn launch(&self, order: &LaunchOrder) -> Result<Vec<Launched>, CloudError>;

    /// Ends machines by id. One that does not exist any more is success.
    async fn terminate(&self, region: &str, instances: &[InstanceId]) -> Result<(), CloudError>;

    /// Switches machines off and keeps them, to be started again. One that is off already is success.
    async fn stop(&self, region: &str, instances: &[InstanceId]) -> Result<(), CloudError>;

    /// Switches machines on again. One that runs already is success; a cloud without room for it refuses, and it stays
    /// off. From then on it is listed with a new `launched`, where its new bill begins.
    async fn start(&self, region: &str, instances: &[InstanceId]) -> Result<(), CloudError>;

    /// What the machine wrote on its console, newest last; empty when the cloud has nothing yet.
    async fn console(&self, region: &str, instance: &InstanceId) -> Result<String, CloudError>;

    /// When the credentials end that were last used there; `None`: never, or nobody knows.
    async fn credentials_end(&self, _region: &str, _now: Timestamp) -> Option<Timestamp> {
        None
    }

    /// The client of `region` failed, or hung for longer than any call may: the next call there begins with a new one,
    /// where an old one would fail or hang again.
    fn forget(&self, _region: &str) {}

    /// Gives a running machine that another autoscaler made our fleet's tags, so that [`list`](Self::list) holds it from
    /// then on. One that does not run, or that is a fleet's already, is refused.
    async fn bring_over(&self, region: &str, newcomer: &Newcomer) -> Result<(), CloudError> {
        Err(CloudError::refused(format!("machines in {region} cannot be brought over: {}", newcomer.instance)))
    }

    /// Makes the Job of a task's attempt, and all that it needs, so that nothing of it runs before it is
    /// [let go](Self::release). One of that name that is this attempt's already is success; another's is refused.
    async fn prepare(&self, order: &PodOrder) -> Result<Launched, CloudError> {
        Err(CloudError::refused(format!("no pods are made here: {}", order.attempt.instance)))
    }

    /// Lets a Job run that was prepared. One that runs already is success.
    async fn release(&self, region: &str, instance: &InstanceId) -> Result<(), CloudError> {
        Err(CloudError::refused(format!("no pods are made in {region}: {instance}")))
    }

    /// Deletes a Job that was prepared and not let go. One that runs is left alone, and one that does not exist is success.
    async fn withdraw(&self, region: &str, instance: &InstanceId) -> Result<(), CloudError> {
        Err(CloudError::refused(format!("no pods are made in {region}: {instance}")))
    }

    /// Whether the cloud says what its machines cost.
    fn tells_prices(&self) -> bool {
        false
    }

    /// Whether spot prices change by the minute, so that they are asked for often.
    fn spot_prices_move(&self) -> bool {
        true
    }

    /// What machines of these types cost there on a market at `now`; those that it does not know are not in the answer. A
    /// kind of GPU that is attached to machines stands for a type, too.
    async fn prices(
        &self,
        _region: &str,
        _types: &[MachineType],
        _market: Market,
        _now: Timestamp,
    ) -> Result<BTreeMap<MachineType, Rate>, CloudError> {
        Ok(BTreeMap::new())
    }

    /// What disks and public addresses cost there; what it does not know is not in the answer.
    async fn extra_prices(&self, _region: &str, _now: Timestamp) -> Result<ExtraPrices, CloudError> {
        Ok(ExtraPrices::default())
    }

    /// Whether anything of the fleet's may be left behind here.
    fn may_leave_behind(&self) -> bool {
        false
    }

    /// Clears away what the fleet left behind and nothing has needed for a while, and tells of it.
    async fn sweep(&self, _sweep: &Sweep) -> Result<Vec<Leftover>, CloudError> {
        Ok(Vec::new())
    }

    /// Whether the credentials work, and until when; nothing is started.
    async fn check(&self, region: &str) -> Result<String, CloudError>;

    /// Tries every right that `orders`, all of `region`, need, without carrying anything out. Clouds without rights have
    /// none to try.
    async fn rights(&self, _fleet: &FleetId, _region: &str, _orders: &[LaunchOrder]) -> Result<Vec<Right>, CloudError> {
        Ok(Vec::new())
    }
}

/// A pod for a task, complete.
#[derive(Debug, Clone)]
pub struct PodOrder {
    pub fleet: FleetId,
    pub attempt: Attempt,
    pub machine_type: MachineType,
    pub pool: PoolSettings,
    pub revision: Revision,
    pub term: Term,
    pub agents: AgentAccess,
    /// What its task asks for, where the pool lets it.
    pub container: TaskContainer,
}

/// A machine that another autoscaler made, and what it becomes here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newcomer {
    pub instance: InstanceId,
    pub fleet: FleetId,
    pub pool: PoolName,
    /// Its home queue from now on.
    pub queue: QueueName,
    /// Who brings it over.
    pub by: Actor,
}

/// A right that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Right {
    /// The cloud's name for it, such as `ec2:RunInstances`.
    pub action: &'static str,
    /// For what it was tried, such as `g5: g5.xlarge in us-east-1b`; empty: for the whole site.
    pub of: String,
    pub answer: Answer,
}

/// What the cloud made of a trial, in its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Granted,
    /// The right is not there.
    Refused(String),
    /// The right may be there; the call would be refused for what it asks.
    Wrong(String),
    /// Only the real call will tell.
    Unclear(String),
}

/// Where and for what to look that was left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sweep {
    pub fleet: FleetId,
    pub region: String,
    pub now: Timestamp,
    /// For spot requests too, for pools that make some.
    pub spot_requests: bool,
    /// For launch templates too, for pools that make some.
    pub templates: bool,
}

/// What was left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leftover {
    /// A disk that no machine has, as it is first seen.
    Disk { id: String, gigabytes: u32, deleted_at: Timestamp },
    /// It was deleted.
    DiskDeleted { id: String, gigabytes: u32 },
    /// The template of a launch that was cut short was deleted.
    TemplateDeleted { name: String },
    /// A spot request without a machine, of a launch whose answer was lost, was cancelled.
    RequestCancelled { id: String },
}

/// One launch call, complete.
#[derive(Debug, Clone)]
pub struct LaunchOrder {
    pub fleet: FleetId,
    /// The idempotency token, on disk before the call.
    pub batch: IntentId,
    pub launch: Launch,
    pub pool: PoolSettings,
    pub revision: Revision,
    pub term: Term,
    /// The queues that the machines' agents listen to, the first first.
    pub queues: Vec<QueueName>,
    pub agents: AgentAccess,
    /// What the cloud chooses among; empty: the launch's own type, at the pool's places in order.
    pub bids: Vec<Bid>,
}

/// A machine type that the cloud may choose for a launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bid {
    pub machine_type: MachineType,
    /// The most that it may cost; `None`: what the cloud caps it at.
    pub max_price: Option<Rate>,
    /// Zones of the pool that have none for now.
    pub without: Vec<Zone>,
}

impl LaunchOrder {
    /// The intent of the machine at this place of the batch.
    #[must_use]
    pub fn intent(&self, place: u32) -> IntentId {
        intent_of(&self.batch, place)
    }
}

/// A machine that a launch call made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launched {
    pub id: InstanceId,
    pub intent: IntentId,
    pub machine_type: MachineType,
    /// As the cloud will list it: its bill begins here. `None`: it does not say so yet.
    pub launched: Option<Timestamp>,
    pub zone: Option<Zone>,
    /// The image that it is made of, where the cloud says so.
    pub image: Option<String>,
    /// What had none, before this one gave it.
    pub passed_over: Vec<PassedOver>,
}

/// Where a launch got no machine of a type, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    pub machine_type: MachineType,
    /// `None`: wherever it was asked for.
    pub zone: Option<Zone>,
    pub class: ErrorClass,
    pub message: String,
}

/// The intent of the machine at this place of a batch.
#[must_use]
pub fn intent_of(batch: &IntentId, place: u32) -> IntentId {
    IntentId::new(format!("{batch}.{place}"))
}

/// How a machine's agent reaches ClearML.
#[derive(Debug, Clone)]
pub struct AgentAccess {
    pub api_server: String,
    /// Lives long enough to boot, not longer (GUARD.md section 7).
    pub token: Secret,
}

/// A cloud's no, or its silence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} ({}): {message}", .code.as_deref().unwrap_or("no code"), .class.word())]
pub struct CloudError {
    pub class: ErrorClass,
    /// The cloud's own code, such as `InsufficientInstanceCapacity`.
    pub code: Option<String>,
    pub message: String,
    /// Whether the deed may have been done all the same (timeout, cut connection, throttled create).
    pub may_have_acted: bool,
    /// How far the quota is used that was passed, where the cloud says so.
    pub quota: Option<Quota>,
    /// The noes one by one, where the cloud had a choice.
    pub passed_over: Vec<PassedOver>,
}

impl CloudError {
    /// What is wrong with the request itself: nothing was done.
    #[must_use]
    pub fn refused(message: String) -> Self {
        Self {
            class: ErrorClass::BadRequest,
            code: None,
            message,
            may_have_acted: false,
            quota: None,
            passed_over: Vec::new(),
        }
    }

    /// With stars in the place of what nobody may read: clouds do not repeat it, a proxy on the way might.
    #[must_use]
    pub fn hiding(mut self, secrets: &[&str]) -> Self {
        for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
            self.message = self.message.replace(secret, "***");
        }
        self
    }

    /// The call took longer than its deadline.
    #[must_use]
    pub fn deadline(call: &str) -> Self {
        Self {
            class: ErrorClass::Unknown,
            code: Some("Deadline".to_owned()),
            message: format!("{call} did not answer in time"),
            may_have_acted: true,
            quota: None,
            passed_over: Vec::new(),
        }
    }
}

/// A name of ours for the machine of an intent, where the cloud takes one: nobody else gives it, and the same intent always
/// has the same.
#[must_use]
pub fn name_of(intent: &IntentId) -> String {
    let text = intent.as_str().replace('.', "-");
    let is_short = text.len() <= 50 && !text.ends_with('-');
    let is_plain = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if is_short && is_plain && !text.is_empty() {
        format!("tidegate-{text}")
    } else {
        format!("tidegate-{}", hash(intent.as_str()).get(..40).unwrap_or_default())
    }
}

/// The account of a site, of those that the settings had at the start; `None`: the usual one.
pub(crate) fn account_of<'a>(
    accounts: &'a [AccountSettings],
    site: &str,
) -> Result<Option<&'a AccountSettings>, CloudError> {
    let Some(name) = site::parts(site).0 else { return Ok(None) };
    let found = accounts.iter().find(|account| account.name == name);
    let unknown = || CloudError::refused(format!("no account `{name}` was in the settings at the start"));
    found.map(Some).ok_or_else(unknown)
}
