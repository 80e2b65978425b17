//! A rented machine, from the call that made it to its end.

use crate::model::ids::{
    FleetId, InstanceId, IntentId, MachineType, PoolName, QueueName, Revision, Term, WorkerId, WorkerName, Zone,
};
use crate::model::observed::{CloudInstance, CloudState, Tags};
use crate::model::settings::volume::VolumeKind;
use crate::model::settings::{GuardKind, Market, PoolSettings, Provider};
use crate::world::cloud::{LaunchOrder, Launched};
use crate::world::sim::events::{Index, Millis, millis, timestamp};
use crate::world::sim::random::Dice;
use crate::world::sim::scenario::{MachineOffer, Scenario};

/// One machine.
#[derive(Debug)]
#[expect(clippy::struct_field_names, reason = "`machine_type` is the field's term; `type` is a word of the language")]
pub(in crate::world::sim) struct Machine {
    pub(in crate::world::sim) id: InstanceId,
    pub(in crate::world::sim) fleet: FleetId,
    pub(in crate::world::sim) region: String,
    pub(in crate::world::sim) pool: PoolName,
    /// The queue that it was launched for.
    pub(in crate::world::sim) home: QueueName,
    pub(in crate::world::sim) machine_type: MachineType,
    pub(in crate::world::sim) market: Market,
    zone: Zone,
    pub(in crate::world::sim) vcpu: u32,
    /// The cloud's own price, in micro-dollars for an hour.
    pub(in crate::world::sim) price: i64,
    /// What its disks cost of that, on or off.
    pub(in crate::world::sim) disks: i64,
    pub(in crate::world::sim) intent: IntentId,
    revision: Revision,
    term: Term,
    /// What it was made of.
    settings: String,
    pub(in crate::world::sim) image: String,
    pub(in crate::world::sim) queues: Vec<QueueName>,
    pub(in crate::world::sim) guard: GuardKind,
    pub(in crate::world::sim) token: String,
    pub(in crate::world::sim) boot: BootDraw,
    pub(in crate::world::sim) max_life: Millis,
    pub(in crate::world::sim) launched: Millis,
    /// Left out of the list until then.
    pub(in crate::world::sim) unlisted_until: Millis,
    pub(in crate::world::sim) end: Option<End>,
    pub(in crate::world::sim) off: Option<Off>,
    /// In micro-dollars, for the times before it was last switched on or off.
    pub(in crate::world::sim) paid: i64,
    /// Those that its guard started, by their numbers.
    pub(in crate::world::sim) agents: Vec<Index>,
    /// How many its guard starts.
    pub(in crate::world::sim) agents_wanted: u32,
    /// What it wrote on its console after it booted.
    pub(in crate::world::sim) said: Vec<(Millis, String)>,
}

/// The end of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::world::sim) struct End {
    /// Its bill ends here.
    pub(in crate::world::sim) at: Millis,
    /// It is `shutting-down` until then.
    pub(in crate::world::sim) terminated: Millis,
    pub(in crate::world::sim) cause: Cause,
}

/// A machine is switched off, and kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::world::sim) struct Off {
    /// From here on its disks alone are billed.
    pub(in crate::world::sim) at: Millis,
    /// It is `stopping` until then.
    pub(in crate::world::sim) stopped: Millis,
}

/// Who or what ended a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::world::sim) enum Cause {
    /// The terminate call.
    Call,
    /// Its own guard.
    Guard,
    /// Somebody in the cloud's own console.
    Outside,
    /// The cloud took it back.
    Spot,
    /// It broke down.
    Broken,
}

impl Cause {
    /// As EC2 words it.
    fn words(self) -> &'static str {
        match self {
            Self::Call | Self::Outside => "Client.UserInitiatedShutdown: User initiated shutdown",
            Self::Guard => "Client.InstanceInitiatedShutdown: Instance initiated shutdown",
            Self::Spot => "Server.SpotInstanceTermination: Spot instance termination",
            Self::Broken => "Server.InternalError: Internal error",
        }
    }
}

/// The luck of one boot: boot `k` of a pool has the same whatever happened before.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::world::sim) struct BootDraw {
    id: u64,
    /// Where nobody names a zone the cloud chooses.
    pub(in crate::world::sim) zone: u32,
    pending: Millis,
    pub(in crate::world::sim) os: Millis,
    pub(in crate::world::sim) agent: Millis,
    listed_after: Millis,
    pub(in crate::world::sim) ends_in: Millis,
    pub(in crate::world::sim) never_registers: bool,
    /// From the launch.
    pub(in crate::world::sim) spot_notice: Option<Millis>,
    pub(in crate::world::sim) breaks: Option<Millis>,
    /// From registering.
    pub(in crate::world::sim) agent_dies: Option<Millis>,
}

impl BootDraw {
    pub(in crate::world::sim) fn new(scenario: &Scenario, seed: u64, pool: &PoolName, k: u64) -> Self {
        let mut dice = Dice::new(seed, &format!("boot:{pool}"), k);
        Self {
            id: dice.bits(),
            zone: dice.between(0, 59),
            pending: dice.spread(&scenario.boot.pending),
            os: dice.spread(&scenario.boot.os),
            agent: dice.spread(&scenario.boot.agent),
            listed_after: dice.spread(&scenario.cloud.listed_after),
            ends_in: dice.spread(&scenario.cloud.ends_in),
            never_registers: dice.chance(scenario.hazard.never_registers),
            spot_notice: dice.hazard(scenario.hazard.spot_per_hour),
            breaks: dice.hazard(scenario.hazard.machine_per_hour),
            agent_dies: dice.hazard(scenario.hazard.agent_per_hour),
        }
    }
}

/// What of a list price the account pays, in micro-dollars for an hour.
fn agreed(pool: &PoolSettings, list: i64, now: Millis) -> i64 {
    let Some(discount) = pool.discount else { return list };
    let midnight = |day: jiff::civil::Date| day.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|day| day.timestamp());
    let over = discount.until.and_then(midnight).is_some_and(|over| timestamp(now) >= over);
    if over { list } else { (list * (1_000 - i64::from(discount.permille))).div_euclid(1_000) }
}

/// What the disks of a machine cost, in micro-dollars for an hour.
fn disks(pool: &PoolSettings) -> i64 {
    let a_month = |gigabytes: u32, kind: VolumeKind| {
        i64::from(gigabytes)
            * match kind {
                VolumeKind::Standard => 50_000,
                VolumeKind::Gp2 => 100_000,
                VolumeKind::Gp3 => 80_000,
                VolumeKind::Io1 | VolumeKind::Io2 => 125_000,
                VolumeKind::Sc1 => 15_000,
                VolumeKind::St1 => 45_000,
            }
    };
    let mut price = 0;
    if let Some(gigabytes) = pool.launch.disk_gb {
        price += a_month(gigabytes, pool.launch.disk_type.unwrap_or(VolumeKind::Gp3)).div_euclid(730);
    }
    for volume in &pool.launch.volumes {
        price += a_month(volume.size.unwrap_or(0), volume.kind).div_euclid(730);
    }
    price
}

impl Machine {
    pub(in crate::world::sim) fn new(
        order: &LaunchOrder,
        place: u32,
        offer: &MachineOffer,
        zone: Zone,
        boot: BootDraw,
        now: Millis,
    ) -> Self {
        let list = match order.launch.market {
            Market::OnDemand => offer.on_demand,
            Market::Spot => offer.spot.unwrap_or(offer.on_demand),
        };
        // A price of the settings' own is what was agreed.
        let own = order.pool.price.is_some() && order.pool.market == order.launch.market;
        let machine = if own { list } else { agreed(&order.pool, list, now) };
        let disks = disks(&order.pool);
        let price = machine + disks + if order.pool.public_address { 5_000 } else { 0 };
        Self {
            id: InstanceId::new(format!("i-0{:016x}", boot.id)),
            fleet: order.fleet.clone(),
            region: order.pool.site(),
            pool: order.launch.pool.clone(),
            home: order.launch.queue.clone(),
            machine_type: MachineType::from(offer.name.as_str()),
            market: order.launch.market,
            zone,
            vcpu: offer.vcpu,
            price,
            disks,
            intent: order.intent(place),
            revision: order.revision.clone(),
            term: order.term,
            settings: order.pool.fingerprint(),
            image: String::new(),
            queues: order.queues.clone(),
            guard: order.pool.guard,
            token: order.agents.token.expose().to_owned(),
            max_life: millis(order.pool.max_life),
            launched: now,
            unlisted_until: now.saturating_add(boot.listed_after),
            boot,
            end: None,
            off: None,
            paid: 0,
            agents: Vec::new(),
            agents_wanted: order.pool.agent.agents(),
            said: Vec::new(),
        }
    }

    /// The names of its agents.
    pub(in crate::world::sim) fn workers(&self) -> Vec<WorkerId> {
        let several = self.agents_wanted > 1;
        (1..=self.agents_wanted).map(|agent| self.worker(several.then_some(agent))).collect()
    }

    fn worker(&self, agent: Option<u32>) -> WorkerId {
        let name = WorkerName {
            fleet: self.fleet.clone(),
            pool: self.pool.clone(),
            machine_type: self.machine_type.clone(),
            instance: self.id.clone(),
            agent,
        };
        name.worker()
    }

    pub(in crate::world::sim) fn runs_from(&self) -> Millis {
        self.launched.saturating_add(self.boot.pending)
    }

    /// When the operating system is up and the guard begins to count the machine's life.
    pub(in crate::world::sim) fn up_from(&self) -> Millis {
        self.runs_from().saturating_add(self.boot.os)
    }

    /// When its guard ends it, whatever happens.
    pub(in crate::world::sim) fn end_of_life(&self) -> Millis {
        self.up_from().saturating_add(self.max_life)
    }

    pub(in crate::world::sim) fn zone(&self) -> &str {
        self.zone.as_str()
    }

    pub(in crate::world::sim) fn agent_from(&self) -> Millis {
        self.up_from().saturating_add(self.boot.agent)
    }

    pub(in crate::world::sim) fn lives(&self) -> bool {
        self.end.is_none()
    }

    /// Neither ended nor switched off.
    pub(in crate::world::sim) fn is_on(&self) -> bool {
        self.lives() && self.off.is_none()
    }

    /// Whether it still takes a place: until the cloud is done with ending it or switching it off.
    pub(in crate::world::sim) fn exists(&self, now: Millis) -> bool {
        self.end.is_none_or(|end| now < end.terminated) && self.off.is_none_or(|off| now < off.stopped)
    }

    /// When it ended, or was switched off. Of one that ended before it was off its own bill's end is told.
    fn ended(&self) -> Option<Millis> {
        let end = self.end.filter(|end| self.off.is_none_or(|off| end.at >= off.stopped));
        end.map(|end| end.at).or(self.off.map(|off| off.at)).or(self.end.map(|end| end.at))
    }

    fn state(&self, now: Millis) -> CloudState {
        match self.end {
            Some(end) if now >= end.terminated => CloudState::Terminated,
            Some(_) => CloudState::ShuttingDown,
            None if self.off.is_some_and(|off| now >= off.stopped) => CloudState::Stopped,
            None if self.off.is_some() => CloudState::Stopping,
            None if now < self.runs_from() => CloudState::Pending,
            None => CloudState::Running,
        }
    }

    pub(in crate::world::sim) fn launched(&self) -> Launched {
        Launched {
            id: self.id.clone(),
            intent: self.intent.clone(),
            machine_type: self.machine_type.clone(),
            launched: Some(timestamp(self.launched)),
            zone: Some(self.zone.clone()),
            image: Some(self.image.clone()),
            passed_over: Vec::new(),
        }
    }

    pub(in crate::world::sim) fn as_listed(&self, now: Millis) -> CloudInstance {
        CloudInstance {
            id: self.id.clone(),
            provider: Provider::Aws,
            pod: None,
            region: self.region.clone(),
            machine_type: self.machine_type.clone(),
            zone: Some(self.zone.clone()),
            market: self.market,
            state: self.state(now),
            launched: timestamp(self.launched),
            ended: self.ended().map(timestamp),
            image: Some(self.image.clone()),
            state_reason: self
                .end
                .map(|end| end.cause)
                .or(self.off.map(|_| Cause::Call))
                .map(|by| by.words().to_owned()),
            tags: Tags {
                pool: Some(self.pool.clone()),
                queue: Some(self.home.clone()),
                intent: Some(self.intent.clone()),
                revision: Some(self.revision.clone()),
                term: Some(self.term),
                settings: Some(self.settings.clone()),
                brought_over: false,
            },
        }
    }
}
