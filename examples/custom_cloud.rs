//! A cloud of one's own in Rust: here one that asks the team's calendar before it rents anything, around any other cloud. The same loop
//! runs on it, and the simulator judges what came of it.
//!
//! `cargo run --example custom_cloud --no-default-features`

#![allow(clippy::print_stdout, reason = "it speaks to whoever runs it")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use jiff::SignedDuration;
use tidegate::model::ids::{FleetId, InstanceId};
use tidegate::model::observed::CloudInstance;
use tidegate::model::snapshot::ErrorClass;
use tidegate::replay::{Outcome, rehearse};
use tidegate::store::settings::SettingsFile;
use tidegate::world::clock::Clock;
use tidegate::world::cloud::{CloudError, LaunchOrder, Launched};
use tidegate::world::sim::Sim;
use tidegate::world::sim::scenario::Scenario;
use tidegate::{Cloud, Setup, World};

/// Rents machines of another cloud but for one hour of the day. Every comment of [`Cloud`] holds of it, since it holds of the other.
struct Closed {
    inner: Arc<dyn Cloud>,
    clock: Clock,
    /// In UTC.
    hour: i8,
    refused: Arc<AtomicU32>,
}

#[async_trait]
impl Cloud for Closed {
    async fn list(&self, fleet: &FleetId, region: &str) -> Result<Vec<CloudInstance>, CloudError> {
        self.inner.list(fleet, region).await
    }

    async fn launch(&self, order: &LaunchOrder) -> Result<Vec<Launched>, CloudError> {
        let hour = self.clock.now().to_zoned(jiff::tz::TimeZone::UTC).hour();
        if hour == self.hour {
            self.refused.fetch_add(1, Ordering::Relaxed);
            // Of this class the loop backs off by itself, and tries the queue's next pool.
            let refused = CloudError::refused(format!("nothing is rented from {hour}:00 to {}:00", hour + 1));
            return Err(CloudError { class: ErrorClass::Capacity, ..refused });
        }
        self.inner.launch(order).await
    }

    async fn terminate(&self, region: &str, instances: &[InstanceId]) -> Result<(), CloudError> {
        self.inner.terminate(region, instances).await
    }

    async fn stop(&self, region: &str, instances: &[InstanceId]) -> Result<(), CloudError> {
        self.inner.stop(region, instances).await
    }

    async fn start(&self, region: &str, instances: &[InstanceId]) -> Result<(), CloudError> {
        self.inner.start(region, instances).await
    }

    async fn console(&self, region: &str, instance: &InstanceId) -> Result<String, CloudError> {
        self.inner.console(region, instance).await
    }

    async fn check(&self, region: &str) -> Result<String, CloudError> {
        self.inner.check(region).await
    }
}

type Failure = Box<dyn std::error::Error>;

const SETTINGS: &str = include_str!("../assets/demo/settings.toml");

/// A simulated day of so many hours, and how many launches the cloud refused in its closed one.
pub fn day(hours: i64, closed: i8) -> Result<(Outcome, u32), Failure> {
    let refused = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&refused);
    let make = move |sim: Sim, clock| {
        let refused = Arc::clone(&counted);
        async move {
            let failed = |error: &dyn std::fmt::Display| tidegate::engine::EngineError::Setup(error.to_string());
            let settings = SettingsFile::in_memory(SETTINGS).map_err(|error| failed(&error))?;
            let World { tracker, clouds } = sim.world();
            let closing = |inner| Closed { inner, clock, hour: closed, refused: Arc::clone(&refused) };
            let clouds =
                clouds.into_iter().map(|(provider, cloud)| (provider, Arc::new(closing(cloud)) as Arc<dyn Cloud>));
            let mut setup = Setup::new(settings, World { tracker, clouds: clouds.collect() }, clock)?.armed().await?;
            setup.naming = tidegate::engine::act::naming::Naming::seeded(1);
            Ok(setup)
        }
    };
    let outcome = rehearse(Scenario::demo()?, 1, SignedDuration::from_hours(hours), make)?;
    Ok((outcome, refused.load(Ordering::Relaxed)))
}

pub fn main() -> Result<(), Failure> {
    let (Outcome { judgement, .. }, refused) = day(12, 10)?;
    let (done, lost, passed) = (judgement.tasks_done, judgement.tasks_lost, judgement.limit_violations);
    println!("{refused} launches refused; {done} tasks done, {lost} lost, limits passed {passed} times");
    Ok(())
}
