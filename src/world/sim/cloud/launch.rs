//! One launch call: one token, one set of machines, as many of those wanted as there are.

use crate::model::ids::{MachineType, PoolName, Zone};
use crate::model::settings::{Image, Market, PoolSettings};
use crate::model::snapshot::{ErrorClass, Quota};
use crate::world::cloud::{CloudError, LaunchOrder, Launched, PassedOver};
use crate::world::sim::cloud::machine::{BootDraw, Machine};
use crate::world::sim::cloud::no;
use crate::world::sim::events::{Event, Index};
use crate::world::sim::scenario::MachineOffer;
use crate::world::sim::state::State;

/// The machines that one idempotency token made.
#[derive(Debug)]
pub(in crate::world::sim) struct Batch {
    wanted: String,
    machines: Vec<Index>,
    /// What had none.
    passed_over: Vec<PassedOver>,
}

/// What a launch call gives.
struct Given {
    offer: MachineOffer,
    zone: Zone,
    count: u32,
    passed_over: Vec<PassedOver>,
}

/// What must be the same when a token is used again.
fn wanted(order: &LaunchOrder) -> String {
    let launch = &order.launch;
    let (pool, kind, market, count) = (&launch.pool, &launch.machine_type, launch.market, launch.count);
    format!("{} {pool} {kind} {market:?} {count} {}", order.fleet, order.pool.region)
}

impl State {
    pub(super) fn launch(&mut self, order: &LaunchOrder) -> Result<Vec<Launched>, CloudError> {
        if let Some(batch) = self.batches.get(&order.batch) {
            return if batch.wanted == wanted(order) {
                Ok(self.launched(batch))
            } else {
                let said = format!("the token {} was used with other parameters before", order.batch);
                let refused = no(ErrorClass::BadRequest, "IdempotentParameterMismatch", said);
                Err(CloudError { may_have_acted: true, ..refused })
            };
        }
        if order.launch.count == 0 || order.queues.is_empty() {
            let (machines, queues) = (order.launch.count, order.queues.len());
            return Err(invalid(format!("a launch of {machines} machines for {queues} queues")));
        }
        let Given { offer, zone, count, passed_over } =
            if order.bids.is_empty() { self.find_room(order)? } else { self.choose(order)? };
        let mut machines = Vec::new();
        for place in 0..count {
            let boot = self.next_boot(&order.launch.pool);
            *self.boots.entry(order.launch.pool.clone()).or_default() += 1;
            let mut machine = Machine::new(order, place, &offer, zone.clone(), boot, self.now);
            machine.image = self.image_of(&order.pool);
            machines.push(self.rent(machine));
        }
        let batch = Batch { wanted: wanted(order), machines, passed_over };
        let answer = self.launched(&batch);
        self.batches.insert(order.batch.clone(), batch);
        Ok(answer)
    }

    fn launched(&self, batch: &Batch) -> Vec<Launched> {
        let machines = batch.machines.iter().filter_map(|index| self.machines.get(*index));
        machines.map(|machine| Launched { passed_over: batch.passed_over.clone(), ..machine.launched() }).collect()
    }

    /// A name or a parameter is of another image whenever one was made.
    fn image_of(&self, pool: &PoolSettings) -> String {
        match pool.launch.image() {
            Image::Id(id) => id.to_owned(),
            Image::Name(_) | Image::Parameter(_) => format!("ami-{:08x}", self.images_made),
        }
    }

    fn next_boot(&self, pool: &PoolName) -> BootDraw {
        let k = self.boots.get(pool).copied().unwrap_or_default();
        BootDraw::new(&self.scenario, self.seed, pool, k)
    }

    /// EC2 refuses a request beyond the quota whole.
    pub(super) fn within_quota(&self, market: Market, vcpu: u32, count: u32) -> Result<(), CloudError> {
        let Some(quota) = self.scenario.cloud.quota_vcpu else { return Ok(()) };
        let all = self.listed.iter().filter_map(|index| self.machines.get(*index));
        let used: u32 = all.filter(|one| one.market == market && one.exists(self.now)).map(|one| one.vcpu).sum();
        if used.saturating_add(vcpu.saturating_mul(count)) <= quota {
            return Ok(());
        }
        let code = match market {
            Market::OnDemand => "VcpuLimitExceeded",
            Market::Spot => "MaxSpotInstanceCountExceeded",
        };
        let said = format!("more vCPU than the limit of {quota} allows; {used} are in use");
        let quota = Quota { limit: quota, in_use: used, unit: "vCPU".to_owned() };
        Err(CloudError { quota: Some(quota), ..no(ErrorClass::Quota, code, said) })
    }

    fn offered(&self, machine_type: &MachineType) -> Result<MachineOffer, CloudError> {
        let offer = self.scenario.offer(machine_type.as_str()).cloned();
        offer.ok_or_else(|| invalid(format!("Invalid value '{machine_type}' for InstanceType.")))
    }

    /// The zones that a launch is tried in, and whether the pool names them.
    fn zones(&self, order: &LaunchOrder) -> (Vec<String>, bool) {
        let mut zones = order.pool.launch.zones.clone();
        let named = !zones.is_empty();
        if !named {
            zones.clone_from(&self.scenario.cloud.zones);
            let turn = usize::try_from(self.next_boot(&order.launch.pool).zone).unwrap_or_default();
            let count = zones.len().max(1);
            zones.rotate_left(turn % count);
        }
        (zones, named)
    }

    /// The first zone that has machines, how many of those wanted it gives, and which of the pool's zones had none.
    fn find_room(&mut self, order: &LaunchOrder) -> Result<Given, CloudError> {
        let machine_type = &order.launch.machine_type;
        let offer = self.offered(machine_type)?;
        self.within_quota(order.launch.market, offer.vcpu, order.launch.count)?;
        let (zones, named) = self.zones(order);
        let mut passed_over = Vec::new();
        for zone in &zones {
            let count = self.stock.take(machine_type.as_str(), zone, order.launch.count, self.now);
            if count > 0 {
                return Ok(Given { offer, zone: Zone::from(zone.as_str()), count, passed_over });
            }
            passed_over.extend(named.then(|| none_of(machine_type, zone)));
        }
        let said = format!("We currently do not have sufficient {machine_type} capacity in {}.", zones.join(", "));
        Err(no(ErrorClass::Capacity, "InsufficientInstanceCapacity", said))
    }

    /// The cheapest of the bids that the quota and a zone have room for.
    fn choose(&mut self, order: &LaunchOrder) -> Result<Given, CloudError> {
        let (zones, named) = self.zones(order);
        let mut bids = Vec::new();
        for bid in &order.bids {
            let offer = self.offered(&bid.machine_type)?;
            bids.push((offer.spot.unwrap_or(offer.on_demand), offer, bid));
        }
        bids.sort_by_key(|(price, ..)| *price);
        let mut passed_over = Vec::new();
        for (price, offer, bid) in bids {
            let machine_type = &bid.machine_type;
            let refused = if bid.max_price.is_some_and(|max| max.micros_per_hour() < price) {
                Err(no(ErrorClass::Capacity, "SpotMaxPriceTooLow", format!("{machine_type} costs more")))
            } else {
                self.within_quota(order.launch.market, offer.vcpu, 1)
            };
            if let Err(refused) = refused {
                let (class, message) = (refused.class, refused.to_string());
                passed_over.push(PassedOver { machine_type: machine_type.clone(), zone: None, class, message });
                continue;
            }
            let has = |zone: &&String| bid.without.iter().all(|without| without.as_str() != zone.as_str());
            for zone in zones.iter().filter(has) {
                if self.stock.take(machine_type.as_str(), zone, 1, self.now) > 0 {
                    return Ok(Given { offer, zone: Zone::from(zone.as_str()), count: 1, passed_over });
                }
                passed_over.push(none_of(machine_type, zone));
            }
        }
        if !named {
            for no in &mut passed_over {
                no.zone = None;
            }
        }
        let error = no(ErrorClass::Capacity, "UnfulfillableCapacity", "no bid could be met".to_owned());
        let other = passed_over.iter().map(|no| no.class).find(|class| *class != ErrorClass::Capacity);
        Err(CloudError { class: other.unwrap_or(error.class), passed_over, ..error })
    }

    /// Takes a new machine in, with all that will happen to it unless something else happens before.
    fn rent(&mut self, mut machine: Machine) -> Index {
        let index = self.machines.len();
        if self.never_register > 0 {
            self.never_register -= 1;
            machine.boot.never_registers = true;
        }
        let boot = &machine.boot;
        if let Some(after) = boot.breaks {
            self.events.at(machine.launched.saturating_add(after), Event::MachineDies(index));
        }
        if let Some(after) = boot.spot_notice.filter(|_| machine.market == Market::Spot) {
            self.events.at(machine.launched.saturating_add(after), Event::SpotNotice(index));
        }
        self.machine_of.insert(machine.id.clone(), index);
        self.listed.insert(index);
        self.machines.push(machine);
        self.will_boot(index);
        self.judge_launch(index);
        index
    }
}

fn none_of(machine_type: &MachineType, zone: &str) -> PassedOver {
    let message = "the cloud had none here and took the next".to_owned();
    let (machine_type, zone) = (machine_type.clone(), Some(zone.into()));
    PassedOver { machine_type, zone, class: ErrorClass::Capacity, message }
}

fn invalid(message: String) -> CloudError {
    no(ErrorClass::BadRequest, "InvalidParameterValue", message)
}
