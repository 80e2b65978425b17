//! Faces of the world that draw the naive conclusion: everything passes through them, but for what a test changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use tidegate::model::claim::{Claim, ClaimNote};
use tidegate::model::ids::{FleetId, InstanceId, QueueId, TaskId, Term, WorkerId};
use tidegate::model::observed::{
    CloudInstance, Glance, GlancedWorker, HiddenQueue, LostTask, ObservedQueue, ObservedWorker, TaskFacts, TaskRecord,
    TaskStatus,
};
use tidegate::model::tasks::{QueuedTask, TaskDeed};
use tidegate::world::World;
use tidegate::world::cloud::{Cloud, CloudError, LaunchOrder, Launched};
use tidegate::world::secret::Secret;
use tidegate::world::sim::Sim;
use tidegate::world::tracker::{Requeue, Tracker, TrackerError};

/// What a face makes of what passes through it; by default nothing.
#[async_trait]
pub(crate) trait Naive: Send + Sync {
    /// The cloud's listing.
    async fn list(&self, cloud: &dyn Cloud, _: &dyn Tracker, site: Site<'_>) -> Result<Vec<CloudInstance>, CloudError> {
        cloud.list(site.0, site.1).await
    }

    async fn launch(&self, cloud: &dyn Cloud, order: &LaunchOrder) -> Result<Vec<Launched>, CloudError> {
        cloud.launch(order).await
    }

    async fn terminate(&self, cloud: &dyn Cloud, region: &str, ids: &[InstanceId]) -> Result<(), CloudError> {
        cloud.terminate(region, ids).await
    }

    /// The worker rows, as ClearML gives them.
    fn workers(&self, workers: Vec<ObservedWorker>) -> Vec<ObservedWorker> {
        workers
    }

    /// The same without their reports.
    fn glanced(&self, workers: Vec<GlancedWorker>) -> Vec<GlancedWorker> {
        workers
    }
}

/// A fleet and a region of it.
pub(crate) type Site<'a> = (&'a FleetId, &'a str);

/// The simulator's world behind the face.
pub(crate) fn behind(sim: &Sim, naive: impl Naive + 'static) -> World {
    let World { tracker, clouds } = sim.world();
    let naive: Arc<dyn Naive> = Arc::new(naive);
    let face = |cloud| {
        Arc::new(CloudFace { cloud, tracker: Arc::clone(&tracker), naive: Arc::clone(&naive) }) as Arc<dyn Cloud>
    };
    let clouds = clouds.into_iter().map(|(provider, cloud)| (provider, face(cloud))).collect();
    let tracker = Arc::new(TrackerFace { tracker: Arc::clone(&tracker), naive });
    World { tracker, clouds }
}

struct CloudFace {
    cloud: Arc<dyn Cloud>,
    tracker: Arc<dyn Tracker>,
    naive: Arc<dyn Naive>,
}

#[async_trait]
impl Cloud for CloudFace {
    async fn list(&self, fleet: &FleetId, region: &str) -> Result<Vec<CloudInstance>, CloudError> {
        self.naive.list(self.cloud.as_ref(), self.tracker.as_ref(), (fleet, region)).await
    }

    async fn launch(&self, order: &LaunchOrder) -> Result<Vec<Launched>, CloudError> {
        self.naive.launch(self.cloud.as_ref(), order).await
    }

    async fn terminate(&self, region: &str, instances: &[InstanceId]) -> Result<(), CloudError> {
        self.naive.terminate(self.cloud.as_ref(), region, instances).await
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

    async fn credentials_end(&self, region: &str, now: Timestamp) -> Option<Timestamp> {
        self.cloud.credentials_end(region, now).await
    }

    async fn check(&self, region: &str) -> Result<String, CloudError> {
        self.cloud.check(region).await
    }
}

struct TrackerFace {
    tracker: Arc<dyn Tracker>,
    naive: Arc<dyn Naive>,
}

#[async_trait]
impl Tracker for TrackerFace {
    async fn queues(&self) -> Result<Vec<ObservedQueue>, TrackerError> {
        self.tracker.queues().await
    }

    async fn workers(&self, fleet: &FleetId) -> Result<Vec<ObservedWorker>, TrackerError> {
        Ok(self.naive.workers(self.tracker.workers(fleet).await?))
    }

    async fn glance(&self, fleet: &FleetId) -> Result<Glance, TrackerError> {
        let glance = self.tracker.glance(fleet).await?;
        Ok(Glance { workers: self.naive.glanced(glance.workers), ..glance })
    }

    async fn tasks(&self, queues: &[QueueId], statuses: &[TaskStatus]) -> Result<Vec<TaskRecord>, TrackerError> {
        self.tracker.tasks(queues, statuses).await
    }

    async fn task_facts(&self, tasks: &[TaskId]) -> Result<BTreeMap<TaskId, TaskFacts>, TrackerError> {
        self.tracker.task_facts(tasks).await
    }

    async fn tell_waiting(&self, queue: &QueueId, text: &str, tasks: &[TaskId]) -> Result<(), TrackerError> {
        self.tracker.tell_waiting(queue, text, tasks).await
    }

    async fn create_mailbox(&self, instance: &InstanceId) -> Result<(), TrackerError> {
        self.tracker.create_mailbox(instance).await
    }

    async fn delete_mailbox(&self, instance: &InstanceId) -> Result<(), TrackerError> {
        self.tracker.delete_mailbox(instance).await
    }

    async fn order_drain(&self, instance: &InstanceId, nonce: &str) -> Result<(), TrackerError> {
        self.tracker.order_drain(instance, nonce).await
    }

    async fn ask_end(&self, instance: &InstanceId, nonce: &str) -> Result<(), TrackerError> {
        self.tracker.ask_end(instance, nonce).await
    }

    async fn cancel_drain(&self, instance: &InstanceId) -> Result<(), TrackerError> {
        self.tracker.cancel_drain(instance).await
    }

    async fn place_hold(&self, instance: &InstanceId, nonce: &str) -> Result<(), TrackerError> {
        self.tracker.place_hold(instance, nonce).await
    }

    async fn end_holds(&self, instance: &InstanceId) -> Result<(), TrackerError> {
        self.tracker.end_holds(instance).await
    }

    async fn renew_lease(&self, fleet: &FleetId, value: &str) -> Result<(), TrackerError> {
        self.tracker.renew_lease(fleet, value).await
    }

    async fn claims(&self, fleet: &FleetId) -> Result<Vec<Claim>, TrackerError> {
        self.tracker.claims(fleet).await
    }

    async fn claim(&self, fleet: &FleetId, term: Term) -> Result<bool, TrackerError> {
        self.tracker.claim(fleet, term).await
    }

    async fn write_claim(&self, claim: &QueueId, note: &ClaimNote) -> Result<bool, TrackerError> {
        self.tracker.write_claim(claim, note).await
    }

    async fn hidden_queues(&self) -> Result<Vec<HiddenQueue>, TrackerError> {
        self.tracker.hidden_queues().await
    }

    async fn delete_hidden(&self, queue: &QueueId) -> Result<(), TrackerError> {
        self.tracker.delete_hidden(queue).await
    }

    async fn requeue_lost(&self, lost: &LostTask) -> Result<Requeue, TrackerError> {
        self.tracker.requeue_lost(lost).await
    }

    async fn enqueue(&self, task: &TaskId, queue: &QueueId) -> Result<Requeue, TrackerError> {
        self.tracker.enqueue(task, queue).await
    }

    async fn queue_tasks(&self, queue: &QueueId) -> Result<Vec<QueuedTask>, TrackerError> {
        self.tracker.queue_tasks(queue).await
    }

    async fn task_deed(&self, queue: &QueueId, task: &TaskId, deed: TaskDeed) -> Result<Requeue, TrackerError> {
        self.tracker.task_deed(queue, task, deed).await
    }

    async fn task_log(&self, task: &TaskId) -> Result<String, TrackerError> {
        self.tracker.task_log(task).await
    }

    async fn unregister(&self, worker: &WorkerId) -> Result<(), TrackerError> {
        self.tracker.unregister(worker).await
    }

    async fn mint_agent_token(&self, life: SignedDuration) -> Result<Secret, TrackerError> {
        self.tracker.mint_agent_token(life).await
    }

    fn api_server(&self) -> String {
        self.tracker.api_server()
    }

    async fn check(&self) -> Result<String, TrackerError> {
        self.tracker.check().await
    }
}
