//! What is said to a program and what it says, as JSON.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::ids::{FleetId, InstanceId, IntentId, MachineType, Revision, Term, Zone};
use crate::model::money::Rate;
use crate::model::observed::{CloudInstance, CloudState, Tags};
use crate::model::settings::{Market, Provider};
use crate::model::snapshot::ErrorClass;
use crate::world::cloud::{CloudError, LaunchOrder, Launched, name_of};

const FLEET: &str = "tidegate-fleet";
const POOL: &str = "tidegate-pool";
const QUEUE: &str = "tidegate-queue";
const INTENT: &str = "tidegate-intent";
const REVISION: &str = "tidegate-revision";
const TERM: &str = "tidegate-term";
const SETTINGS: &str = "tidegate-settings";

/// A machine's id is a part of its worker's name.
const LONGEST_ID: usize = 100;

#[derive(Debug, Serialize)]
pub(super) struct List<'a> {
    pub(super) fleet: &'a FleetId,
    pub(super) region: &'a str,
}

#[derive(Debug, Serialize)]
pub(super) struct Machines<'a> {
    pub(super) region: &'a str,
    pub(super) machines: &'a [InstanceId],
}

#[derive(Debug, Serialize)]
pub(super) struct Machine<'a> {
    pub(super) region: &'a str,
    pub(super) machine: &'a InstanceId,
}

#[derive(Debug, Serialize)]
pub(super) struct Ask<'a> {
    pub(super) region: &'a str,
    pub(super) types: &'a [MachineType],
    pub(super) market: &'a str,
}

/// A launch: for each machine its name, its tags, and what it runs as root at every boot.
#[derive(Debug, Serialize)]
pub(super) struct Launch<'a> {
    fleet: &'a FleetId,
    region: &'a str,
    batch: &'a IntentId,
    pool: &'a str,
    #[serde(rename = "type")]
    machine_type: &'a MachineType,
    market: &'a str,
    zones: &'a [String],
    options: &'a BTreeMap<String, String>,
    /// The machine ends itself after so long.
    max_life_seconds: i64,
    machines: Vec<Wanted>,
}

#[derive(Debug, Serialize)]
pub(super) struct Wanted {
    pub(super) id: String,
    pub(super) tags: BTreeMap<&'static str, String>,
    pub(super) script: String,
}

impl<'a> Launch<'a> {
    pub(super) fn new(order: &'a LaunchOrder, machines: Vec<Wanted>) -> Self {
        Self {
            fleet: &order.fleet,
            region: &order.pool.region,
            batch: &order.batch,
            pool: order.launch.pool.as_str(),
            machine_type: &order.launch.machine_type,
            market: order.launch.market.word(),
            zones: &order.pool.launch.zones,
            options: &order.pool.launch.exec.options,
            max_life_seconds: order.pool.max_life.as_secs(),
            machines,
        }
    }
}

pub(super) fn tags(order: &LaunchOrder, intent: &IntentId) -> BTreeMap<&'static str, String> {
    [
        (FLEET, order.fleet.to_string()),
        (POOL, order.launch.pool.to_string()),
        (QUEUE, order.launch.queue.to_string()),
        (INTENT, intent.to_string()),
        (REVISION, order.revision.to_string()),
        (TERM, order.term.to_string()),
        (SETTINGS, order.pool.fingerprint()),
    ]
    .into()
}

/// An answer without anything in it; what stands there is not looked at.
#[derive(Debug, Deserialize)]
pub(super) struct Nothing {}

#[derive(Debug, Deserialize)]
pub(super) struct Text {
    pub(super) text: String,
}

/// All machines of a fleet.
#[derive(Debug, Deserialize)]
pub(super) struct Listed {
    machines: Vec<There>,
}

/// A machine that is there, or was a while ago.
#[derive(Debug, Deserialize)]
struct There {
    id: String,
    #[serde(rename = "type")]
    machine_type: String,
    state: State,
    launched: Timestamp,
    ended: Option<Timestamp>,
    zone: Option<String>,
    market: Option<Market>,
    image: Option<String>,
    reason: Option<String>,
    tags: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    Pending,
    Running,
    ShuttingDown,
    Stopping,
    Stopped,
    Terminated,
}

impl Listed {
    /// Of all that are listed, whosever they are.
    pub(super) fn ids(self) -> Vec<String> {
        self.machines.into_iter().map(|one| one.id).collect()
    }

    /// One machine that cannot be read spoils the listing, for it must not be missed.
    pub(super) fn read(self, fleet: &FleetId, site: &str) -> Result<Vec<CloudInstance>, CloudError> {
        let mut seen = BTreeSet::new();
        let ours = self.machines.into_iter().filter(|one| one.tags.get(FLEET).is_some_and(|tag| tag == fleet.as_str()));
        let machine = |one: There| {
            if !is_id(&one.id) {
                return Err(unreadable(format!("`{}` is no id: 1..{LONGEST_ID} of a-z, A-Z, 0-9, `-`, `_`", one.id)));
            }
            if !seen.insert(one.id.clone()) {
                return Err(unreadable(format!("`{}` is listed twice", one.id)));
            }
            Ok(one.instance(site))
        };
        ours.map(machine).collect()
    }
}

/// Fit for a worker's name.
fn is_id(text: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    (1..=LONGEST_ID).contains(&text.len()) && text.chars().all(plain)
}

impl There {
    fn instance(self, site: &str) -> CloudInstance {
        let tag = |name: &str| self.tags.get(name).filter(|text| !text.is_empty()).cloned();
        CloudInstance {
            tags: Tags {
                pool: tag(POOL).map(|text| text.as_str().into()),
                queue: tag(QUEUE).map(|text| text.as_str().into()),
                intent: tag(INTENT).map(IntentId::new),
                revision: tag(REVISION).map(Revision::new),
                term: tag(TERM).and_then(|text| text.parse().ok()).map(Term),
                settings: tag(SETTINGS),
                brought_over: false,
            },
            id: InstanceId::new(self.id),
            provider: Provider::Exec,
            region: site.to_owned(),
            machine_type: MachineType::from(self.machine_type.as_str()),
            zone: self.zone.as_deref().map(Zone::from),
            market: self.market.unwrap_or(Market::OnDemand),
            state: match self.state {
                State::Pending => CloudState::Pending,
                State::Running => CloudState::Running,
                State::ShuttingDown => CloudState::ShuttingDown,
                State::Stopping => CloudState::Stopping,
                State::Stopped => CloudState::Stopped,
                State::Terminated => CloudState::Terminated,
            },
            launched: self.launched,
            ended: self.ended,
            image: self.image,
            state_reason: self.reason,
            pod: None,
        }
    }
}

/// What a launch made: some or all of what was asked for.
#[derive(Debug, Deserialize)]
pub(super) struct Made {
    machines: Vec<New>,
}

#[derive(Debug, Deserialize)]
struct New {
    id: String,
    launched: Option<Timestamp>,
    zone: Option<String>,
}

impl Made {
    pub(super) fn read(self, order: &LaunchOrder) -> Result<Vec<Launched>, CloudError> {
        let mut asked: BTreeMap<String, IntentId> =
            (0..order.launch.count).map(|place| order.intent(place)).map(|intent| (name_of(&intent), intent)).collect();
        let launched = |new: New| {
            // What else it has made nobody knows: the list shows it.
            let unknown = || CloudError {
                may_have_acted: true,
                ..unreadable(format!("it made `{}`, which was not asked for, or twice", new.id))
            };
            let intent = asked.remove(&new.id).ok_or_else(unknown)?;
            Ok(Launched {
                id: InstanceId::new(new.id),
                intent,
                machine_type: order.launch.machine_type.clone(),
                launched: new.launched,
                zone: new.zone.as_deref().map(Zone::from),
                image: None,
                passed_over: Vec::new(),
            })
        };
        self.machines.into_iter().map(launched).collect()
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Prices {
    prices: BTreeMap<String, String>,
}

impl Prices {
    /// Of types that were asked for.
    pub(super) fn read(&self, types: &[MachineType]) -> Result<BTreeMap<MachineType, Rate>, CloudError> {
        let asked = types.iter().filter_map(|kind| Some((kind, self.prices.get(kind.as_str())?)));
        let price = |(kind, text): (&MachineType, &String)| {
            let rate: Rate =
                text.parse().map_err(|_| unreadable(format!("`{text}` is no price, such as `$1.25/h`")))?;
            if rate < Rate::ZERO {
                return Err(unreadable(format!("`{text}` is less than nothing")));
            }
            Ok((kind.clone(), rate))
        };
        asked.map(price).collect()
    }
}

/// A program's no.
#[derive(Debug, Deserialize)]
pub(super) struct No {
    class: Option<Class>,
    code: Option<String>,
    message: String,
    may_have_acted: Option<bool>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Class {
    Capacity,
    Quota,
    Throttle,
    Credentials,
    BadRequest,
    Unknown,
}

impl No {
    /// `changes`: whether the call may have changed something; a program that does not say is taken for one that may have.
    pub(super) fn read(self, changes: bool) -> CloudError {
        let class = match self.class.unwrap_or(Class::Unknown) {
            Class::Capacity => ErrorClass::Capacity,
            Class::Quota => ErrorClass::Quota,
            Class::Throttle => ErrorClass::Throttle,
            Class::Credentials => ErrorClass::Credentials,
            Class::BadRequest => ErrorClass::BadRequest,
            Class::Unknown => ErrorClass::Unknown,
        };
        let doubtful = matches!(class, ErrorClass::Unknown | ErrorClass::Throttle);
        CloudError {
            class,
            code: self.code,
            message: self.message.chars().filter(|letter| !letter.is_control()).take(500).collect(),
            may_have_acted: changes && self.may_have_acted.unwrap_or(doubtful),
            quota: None,
            passed_over: Vec::new(),
        }
    }
}

/// What is no answer.
pub(super) fn unreadable(message: String) -> CloudError {
    CloudError {
        class: ErrorClass::Unknown,
        code: Some("Unreadable".to_owned()),
        message,
        may_have_acted: false,
        quota: None,
        passed_over: Vec::new(),
    }
}
