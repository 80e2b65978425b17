//! Counters that can count: what is planted here must show in a day's figures.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use tidegate::engine::act::crash::{CrashAt, CrashPoints, DeedKind, Point};
use tidegate::model::ids::{FleetId, InstanceId, WorkerName};
use tidegate::model::observed::CloudInstance;
use tidegate::model::record::Record;
use tidegate::world::World;
use tidegate::world::cloud::{Cloud, CloudError, LaunchOrder, Launched};
use tidegate::world::sim::Sim;
use tidegate::world::tracker::Tracker;

use super::rehearsal::{Day, Kept, SETTINGS, assert_clean};

#[test]
fn a_wrong_price_shows_in_the_money() {
    let settings = SETTINGS.replacen("provider = \"aws\"", "provider = \"aws\"\nprice = \"$0.50/h\"", 1);
    assert_ne!(settings, SETTINGS);
    let outcome = Day { settings, hours: 2, ..Day::default() }.live();
    assert_ne!(outcome.spent_microusd, outcome.judgement.bill_microusd);
}

/// Crashes once, when a few machines have been stopped.
fn crash_in_the_middle() -> CrashPoints {
    let stops = AtomicU32::new(0);
    let at = CrashAt { deed: DeedKind::Stop, point: Point::AfterRecord };
    CrashPoints::watched(Arc::new(move |here| here != at || stops.fetch_add(1, Ordering::Relaxed) != 5))
}

#[test]
fn a_lost_interval_shows_in_the_money() {
    let day = |store| Day { store, crash: crash_in_the_middle(), hours: 2, ..Day::default() }.live();
    assert_clean(&day(Kept::default()));
    let outcome = day(Kept::losing(|record| matches!(record, Record::Closed { .. })));
    assert_ne!(outcome.spent_microusd, outcome.judgement.bill_microusd);
}

/// A cloud that does what every scaler does that looks first and kills then: it ends every machine whose worker says
/// that it is idle.
struct KillsTheIdle {
    cloud: Arc<dyn Cloud>,
    tracker: Arc<dyn Tracker>,
}

#[async_trait]
impl Cloud for KillsTheIdle {
    async fn list(&self, fleet: &FleetId, region: &str) -> Result<Vec<CloudInstance>, CloudError> {
        let idle = self.tracker.workers(fleet).await.unwrap_or_default().into_iter();
        let idle = idle.filter(|worker| worker.task.is_none()).filter_map(|worker| WorkerName::parse(&worker.id));
        let idle: Vec<InstanceId> = idle.filter(|name| name.fleet == *fleet).map(|name| name.instance).collect();
        self.cloud.terminate(region, &idle).await?;
        self.cloud.list(fleet, region).await
    }

    async fn launch(&self, order: &LaunchOrder) -> Result<Vec<Launched>, CloudError> {
        self.cloud.launch(order).await
    }

    async fn terminate(&self, region: &str, instances: &[InstanceId]) -> Result<(), CloudError> {
        self.cloud.terminate(region, instances).await
    }

    async fn stop(&self, region: &str, instances: &[InstanceId]) -> Result<(), CloudError> {
        self.cloud.stop(region, instances).await
    }

    async fn start(&self, region: &str, instances: &[InstanceId]) -> Result<(), CloudError> {
        self.cloud.start(region, instances).await
    }

    async fn console(&self, region: &str, instance: &InstanceId) -> Result<String, CloudError> {
        self.cloud.console(region, instance).await
    }

    async fn check(&self, region: &str) -> Result<String, CloudError> {
        self.cloud.check(region).await
    }
}

fn kills_the_idle(sim: &Sim) -> World {
    let World { tracker, clouds } = sim.world();
    let naive = |cloud| Arc::new(KillsTheIdle { cloud, tracker: Arc::clone(&tracker) }) as Arc<dyn Cloud>;
    let clouds = clouds.into_iter().map(|(provider, cloud)| (provider, naive(cloud))).collect();
    World { tracker, clouds }
}

#[test]
fn a_naive_kill_shows_in_the_kills() {
    let mut scenario = Day::default().scenario;
    // Between the pull and the start the worker's row still says idle.
    scenario.agent.start_takes.median = jiff::SignedDuration::from_secs(4);
    let outcome = Day { scenario, world: kills_the_idle, hours: 2, ..Day::default() }.live();
    assert!(outcome.judgement.busy_kills > 0, "{outcome:?}");
}

#[test]
fn a_limit_passed_by_one_shows_in_the_violations() {
    let settings = SETTINGS.replacen("pools = [\"cpu\"]\nmax = 4", "pools = [\"cpu\"]\nmax = 5", 1);
    assert_ne!(settings, SETTINGS);
    assert!(Day { settings, hours: 2, ..Day::default() }.live().judgement.limit_violations > 0);
}
