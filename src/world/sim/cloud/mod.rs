//! The cloud: machines to rent, listed late, of which there are not always enough.

mod console;
mod launch;
mod machine;
mod power;
mod stock;

use async_trait::async_trait;
use jiff::SignedDuration;

use crate::model::ids::{FleetId, InstanceId};
use crate::model::observed::CloudInstance;
use crate::model::snapshot::ErrorClass;
use crate::world::cloud::{Cloud, CloudError, LaunchOrder, Launched};
use crate::world::sim::Shared;
use crate::world::sim::calls::Answer;
use crate::world::sim::events::{Event, Index, SECOND, millis};
use crate::world::sim::scenario::Call;
use crate::world::sim::state::State;

pub(super) use launch::Batch;
pub(super) use machine::{Cause, End, Machine};
pub(super) use stock::Stock;

/// How long before it takes a spot machine back the cloud says so.
const SPOT_NOTICE: i64 = 120 * SECOND;

#[async_trait]
impl Cloud for Shared {
    async fn list(&self, fleet: &FleetId, region: &str) -> Result<Vec<CloudInstance>, CloudError> {
        self.cloud_call(Call::List, "DescribeInstances", |state| Ok(state.list(fleet, region))).await
    }

    async fn launch(&self, order: &LaunchOrder) -> Result<Vec<Launched>, CloudError> {
        self.cloud_call(Call::Launch, "RunInstances", |state| state.launch(order)).await
    }

    async fn terminate(&self, region: &str, instances: &[InstanceId]) -> Result<(), CloudError> {
        self.cloud_call(Call::Terminate, "TerminateInstances", |state| {
            for id in instances {
                if let Some((index, _)) = state.machine(id).filter(|(_, machine)| machine.region == region) {
                    state.end_machine(index, Cause::Call);
                }
            }
            Ok(())
        })
        .await
    }

    async fn stop(&self, region: &str, instances: &[InstanceId]) -> Result<(), CloudError> {
        self.cloud_call(Call::Stop, "StopInstances", |state| state.stop_machines(region, instances)).await
    }

    async fn start(&self, region: &str, instances: &[InstanceId]) -> Result<(), CloudError> {
        self.cloud_call(Call::Start, "StartInstances", |state| state.start_machines(region, instances)).await
    }

    async fn console(&self, region: &str, instance: &InstanceId) -> Result<String, CloudError> {
        self.cloud_call(Call::Console, "GetConsoleOutput", |state| {
            let found = state.machine(instance).filter(|(_, machine)| machine.region == region);
            let missing = || {
                let said = format!("The instance ID '{instance}' does not exist");
                no(ErrorClass::BadRequest, "InvalidInstanceID.NotFound", said)
            };
            found.map(|(_, machine)| console::output(machine, state.now)).ok_or_else(missing)
        })
        .await
    }

    async fn check(&self, region: &str) -> Result<String, CloudError> {
        let said = format!("a simulated cloud in {region}: it needs no credentials");
        self.cloud_call(Call::Console, "RunInstances (dry run)", |_| Ok(said)).await
    }
}

impl Shared {
    async fn cloud_call<T: Send>(
        &self,
        call: Call,
        name: &str,
        act: impl FnOnce(&mut State) -> Result<T, CloudError> + Send,
    ) -> Result<T, CloudError> {
        let (fate, done) = {
            let mut state = self.present();
            let now = state.now;
            let fate = state.calls.fate(call, now);
            (fate, fate.acts.then(|| act(&mut state)))
        };
        self.clock.sleep(SignedDuration::from_millis(fate.takes)).await;
        let unsure = |class, code, message| CloudError { may_have_acted: true, ..no(class, code, message) };
        match (fate.answer, done) {
            (Answer::Given, Some(answer)) => answer,
            (Answer::Throttled, _) => {
                Err(unsure(ErrorClass::Throttle, "RequestLimitExceeded", format!("{name}: Request limit exceeded.")))
            }
            (Answer::Broken, _) => {
                let said = format!("{name}: HTTP 500: An internal error has occurred");
                Err(unsure(ErrorClass::Unknown, "InternalError", said))
            }
            (Answer::Silent | Answer::Given, _) => Err(CloudError::deadline(name)),
        }
    }
}

/// A definite no.
fn no(class: ErrorClass, code: &str, message: String) -> CloudError {
    CloudError {
        class,
        code: Some(code.to_owned()),
        message,
        may_have_acted: false,
        quota: None,
        passed_over: Vec::new(),
    }
}

impl State {
    pub(super) fn machine(&self, id: &InstanceId) -> Option<(Index, &Machine)> {
        let index = *self.machine_of.get(id)?;
        self.machines.get(index).map(|machine| (index, machine))
    }

    fn list(&mut self, fleet: &FleetId, region: &str) -> Vec<CloudInstance> {
        let (now, machines, kept_for) = (self.now, &self.machines, millis(self.scenario.cloud.listed_for));
        self.listed.retain(|index| {
            let end = machines.get(*index).and_then(|machine| machine.end);
            end.is_none_or(|end| now < end.terminated.saturating_add(kept_for))
        });
        let all = self.listed.iter().filter_map(|index| machines.get(*index));
        let ours = all.filter(|machine| machine.fleet == *fleet && machine.region == region);
        ours.filter(|machine| machine.unlisted_until <= now).map(|machine| machine.as_listed(now)).collect()
    }

    /// Ends a machine; one that has ended stays as it is.
    pub(super) fn end_machine(&mut self, index: Index, cause: Cause) {
        let now = self.now;
        let Some(machine) = self.machines.get_mut(index).filter(|machine| machine.lives()) else { return };
        machine.end = Some(End { at: now, terminated: now.saturating_add(machine.boot.ends_in), cause });
        let agents = machine.agents.clone();
        self.judge_end(&agents, cause);
        for agent in agents {
            self.cut(agent);
        }
    }

    pub(super) fn machine_dies(&mut self, machine: Index) {
        self.end_machine(machine, Cause::Broken);
    }

    pub(super) fn spot_notice(&mut self, index: Index) {
        let now = self.now;
        let Some(machine) = self.machines.get_mut(index).filter(|machine| machine.is_on()) else { return };
        machine.said.push((now, "the cloud takes this machine back in two minutes".to_owned()));
        self.events.at(now + SPOT_NOTICE, Event::SpotEnd(index));
    }

    pub(super) fn spot_end(&mut self, machine: Index) {
        self.end_machine(machine, Cause::Spot);
    }
}
