//! Machines that are switched off and kept, and switched on again.

use crate::model::ids::InstanceId;
use crate::model::settings::Market;
use crate::model::snapshot::ErrorClass;
use crate::world::cloud::CloudError;
use crate::world::sim::cloud::machine::Off;
use crate::world::sim::cloud::{Cause, no};
use crate::world::sim::events::{Event, Index, Millis};
use crate::world::sim::judge::{charge, charge_disks};
use crate::world::sim::state::State;

/// The guard of a machine keeps a token of its own fresh; it lives this long when the machine comes back.
const TOKEN_LIFE: Millis = 3_600_000;

impl State {
    pub(super) fn stop_machines(&mut self, region: &str, instances: &[InstanceId]) -> Result<(), CloudError> {
        for index in self.all_of(region, instances)? {
            self.may_stop(index)?;
            self.switch_off(index);
        }
        Ok(())
    }

    pub(super) fn start_machines(&mut self, region: &str, instances: &[InstanceId]) -> Result<(), CloudError> {
        for index in self.all_of(region, instances)? {
            self.switch_on(index)?;
        }
        Ok(())
    }

    /// EC2 refuses a call whole that names a machine it does not have.
    fn all_of(&self, region: &str, instances: &[InstanceId]) -> Result<Vec<Index>, CloudError> {
        let find = |id: &InstanceId| {
            let found = self.machine(id).filter(|(_, machine)| machine.region == region && machine.lives());
            let said = || format!("The instance ID '{id}' does not exist");
            found
                .map(|(index, _)| index)
                .ok_or_else(|| no(ErrorClass::BadRequest, "InvalidInstanceID.NotFound", said()))
        };
        instances.iter().map(find).collect()
    }

    fn may_stop(&self, index: Index) -> Result<(), CloudError> {
        let spot = self.machines.get(index).is_some_and(|machine| machine.market == Market::Spot);
        let said = "You can't stop a Spot Instance that is associated with a one-time Spot Instance request.";
        if spot { Err(no(ErrorClass::BadRequest, "UnsupportedOperation", said.to_owned())) } else { Ok(()) }
    }

    fn switch_off(&mut self, index: Index) {
        let now = self.now;
        let Some(machine) = self.machines.get_mut(index).filter(|machine| machine.is_on()) else { return };
        machine.paid = machine.paid.saturating_add(charge(machine.price, machine.launched, now));
        machine.off = Some(Off { at: now, stopped: now.saturating_add(machine.boot.ends_in) });
        let agents = std::mem::take(&mut machine.agents);
        self.judge_end(&agents, Cause::Call);
        for agent in agents {
            if !self.calls.tracker_is_down(now) {
                self.say_goodbye(agent);
            }
            self.cut(agent);
        }
    }

    fn switch_on(&mut self, index: Index) -> Result<(), CloudError> {
        let now = self.now;
        let Some(machine) = self.machines.get(index) else { return Ok(()) };
        let Some(off) = machine.off else { return Ok(()) };
        if now < off.stopped {
            let said = format!("The instance '{}' is not in a state from which it can be started.", machine.id);
            return Err(no(ErrorClass::BadRequest, "IncorrectInstanceState", said));
        }
        let (machine_type, zone, market, vcpu) =
            (machine.machine_type.clone(), machine.zone().to_owned(), machine.market, machine.vcpu);
        self.within_quota(market, vcpu, 1)?;
        if self.stock.take(machine_type.as_str(), &zone, 1, now) == 0 {
            let said = format!("We currently do not have sufficient {machine_type} capacity in {zone}.");
            return Err(no(ErrorClass::Capacity, "InsufficientInstanceCapacity", said));
        }
        if let Some(machine) = self.machines.get_mut(index) {
            machine.paid = machine.paid.saturating_add(charge_disks(machine.disks, off.at, now));
            (machine.off, machine.launched) = (None, now);
            machine.said.clear();
            self.tokens.insert(machine.token.clone(), now.saturating_add(TOKEN_LIFE));
        }
        self.will_boot(index);
        self.judge_start(index);
        Ok(())
    }

    /// What happens to a machine from its launch or start on, unless something else happens before.
    pub(super) fn will_boot(&mut self, index: Index) {
        let Some(machine) = self.machines.get(index) else { return };
        if !machine.boot.never_registers {
            self.events.at(machine.agent_from(), Event::Boots(index));
        }
        self.events.at(machine.end_of_life(), Event::EndOfLife(index));
    }
}
