//! Kubernetes: a Job for each try at a task, in the namespaces of the settings. Its client reads the kubeconfig as every tool
//! does; what there is comes by watches, so that looking costs nothing.

mod error;
mod job;
mod label;
mod listed;
mod rights;
mod site;
mod told;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kube::api::{DeleteParams, DynamicObject, LogParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Error, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::model::ids::{FleetId, InstanceId, IntentId};
use crate::model::observed::CloudInstance;
use crate::model::snapshot::ErrorClass;
use crate::world::cloud::{Cloud, CloudError, LaunchOrder, Launched, PodOrder, Right};
use crate::world::kubernetes::error::{cloud_error, is_conflict, is_missing, unknown};
use crate::world::kubernetes::listed::{Job, machine, pods_by_job, whole};
use crate::world::kubernetes::site::{Kind, Site};
use crate::world::kubernetes::watch::Watch;

/// A listing that is not there by then is not there.
const FIRST_LOOK: Duration = Duration::from_secs(30);
/// Lines of a pod's log that are shown.
const LOG_LINES: i64 = 400;
/// Events that are told of one object at most.
const MOST_EVENTS: usize = 20;

/// Clusters, by context and namespace: `prod/ml-tasks`.
#[derive(Debug, Default)]
pub struct Kubernetes {
    sites: Mutex<BTreeMap<String, Site>>,
    views: Mutex<BTreeMap<(FleetId, String), Arc<View>>>,
}

/// What is watched of a namespace.
#[derive(Debug)]
struct View {
    jobs: Watch,
    pods: Watch,
    events: Watch,
}

impl Kubernetes {
    /// By the kubeconfig that every tool would use. Nobody is called yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    async fn site(&self, name: &str) -> Result<Site, CloudError> {
        let mut sites = self.sites.lock().await;
        if let Some(site) = sites.get(name) {
            return Ok(site.clone());
        }
        let site = Site::open(name).await?;
        sites.insert(name.to_owned(), site.clone());
        Ok(site)
    }

    async fn view(&self, fleet: &FleetId, name: &str) -> Result<Arc<View>, CloudError> {
        let site = self.site(name).await?;
        let mut views = self.views.lock().await;
        let view = views.entry((fleet.clone(), name.to_owned())).or_insert_with(|| {
            let selector = label::selector(fleet.as_str());
            Arc::new(View {
                jobs: Watch::start(site.api(Kind::Job), Some(&selector), |_| true),
                pods: Watch::start(site.api(Kind::Pod), Some(&selector), |_| true),
                events: Watch::start(site.api(Kind::Event), None, is_of_task),
            })
        });
        Ok(Arc::clone(view))
    }

    async fn listed(&self, fleet: &FleetId, name: &str) -> Result<Vec<CloudInstance>, CloudError> {
        let view = self.view(fleet, name).await?;
        for watch in [&view.jobs, &view.pods] {
            let ready = timeout(FIRST_LOOK, watch.ready()).await;
            ready.unwrap_or_else(|_| Err("no answer".to_owned())).map_err(|error| unknown("watch", &error))?;
        }
        let pods: Vec<Arc<DynamicObject>> = view
            .pods
            .with(|known| known.objects.values().chain(known.gone.values().map(|(pod, _)| pod)).cloned().collect());
        let pods = pods_by_job(pods.iter());
        // Without the right to read events there are none, and less is told.
        let events: Vec<Arc<DynamicObject>> = view.events.with(|known| known.objects.values().cloned().collect());
        let events = by_object(&events);
        let jobs: Vec<_> = view.jobs.with(|known| {
            let there = known.objects.values().map(|job| (Arc::clone(job), None));
            there.chain(known.gone.values().map(|(job, at)| (Arc::clone(job), Some(*at)))).collect()
        });
        let machines = jobs.iter().filter_map(|(object, gone)| {
            let id = object.name_any();
            let pod = pods.get(id.as_str()).map(AsRef::as_ref);
            let names = std::iter::once(id.as_str()).chain(pod.and_then(|pod| pod.metadata.name.as_deref()));
            let mut told: Vec<&Value> = names.filter_map(|name| events.get(name)).flatten().collect();
            told.sort_by_key(|event| when(event));
            machine(fleet, name, &Job { object, gone: *gone }, pod, &told)
        });
        Ok(machines.collect())
    }

    /// The Job of that name, if it is this attempt's.
    async fn own(&self, site: &Site, order: &PodOrder) -> Result<DynamicObject, CloudError> {
        let name = order.attempt.instance.as_str();
        let job = site.api(Kind::Job).get(name).await.map_err(|error| cloud_error("get the Job", &error))?;
        let of = |name| label::annotation(&job, name);
        let intent = order.attempt.intent.as_ref().map(IntentId::as_str);
        let ours = of(label::FLEET) == Some(order.fleet.as_str()) && of(label::INTENT) == intent;
        if ours && job.metadata.deletion_timestamp.is_none() {
            return Ok(job);
        }
        Err(CloudError::refused(format!("there is another Job called {name}: it is not this attempt's")))
    }

    async fn made(&self, site: &Site, order: &PodOrder) -> Result<DynamicObject, CloudError> {
        let job = job::job(order, job::template(order.pool.launch.kubernetes.template.as_deref())?)?;
        let job: DynamicObject = serde_json::from_value(job)
            .map_err(|error| CloudError::refused(format!("the pod's template is refused: {error}")))?;
        match site.api(Kind::Job).create(&PostParams::default(), &job).await {
            Ok(job) => Ok(job),
            Err(error) if is_conflict(&error) => self.own(site, order).await,
            Err(error) => {
                let error = cloud_error("create the Job", &error);
                // Its answer was lost: whether it is there can be asked.
                if error.may_have_acted { self.own(site, order).await.map_err(|_| error) } else { Err(error) }
            }
        }
    }

    /// The Secret of a Job that is there.
    async fn keep_secret(&self, site: &Site, order: &PodOrder, job: &DynamicObject) -> Result<(), CloudError> {
        let secret = job::secret(order, &job.uid().unwrap_or_default());
        let secret: DynamicObject = serde_json::from_value(secret)
            .map_err(|error| CloudError::refused(format!("no Secret can be made: {error}")))?;
        match site.api(Kind::Secret).create(&PostParams::default(), &secret).await {
            Ok(_) => Ok(()),
            // Of a call whose answer was lost.
            Err(error) if is_conflict(&error) => Ok(()),
            Err(error) => {
                let error = cloud_error("create the Secret", &error).hiding(&[order.agents.token.expose()]);
                let (secrets, name) = (site.api(Kind::Secret), order.attempt.instance.as_str());
                let is_there = error.may_have_acted && matches!(secrets.get_opt(name).await, Ok(Some(_)));
                if is_there { Ok(()) } else { Err(error) }
            }
        }
    }

    async fn delete(&self, site: &Site, name: &str, only: Option<Preconditions>) -> Result<(), CloudError> {
        // Without a policy the pod would stay.
        let params = DeleteParams { preconditions: only, ..DeleteParams::background() };
        match site.api(Kind::Job).delete(name, &params).await {
            Ok(_) => Ok(()),
            Err(error) if is_missing(&error) => Ok(()),
            Err(error) => Err(cloud_error("delete the Job", &error)),
        }
    }
}

/// Whether an event is of a Job of a task, or of its pod.
fn is_of_task(event: &DynamicObject) -> bool {
    told::text(&event.data, "/involvedObject/name").starts_with("clearml-")
}

/// Events by the name of what they are about, the newest of each.
fn by_object(events: &[Arc<DynamicObject>]) -> BTreeMap<String, Vec<Value>> {
    let mut by: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for event in events {
        let name = told::text(&event.data, "/involvedObject/name").to_owned();
        by.entry(name).or_default().push(whole(event));
    }
    for events in by.values_mut() {
        events.sort_by_key(when);
        let old = events.len().saturating_sub(MOST_EVENTS);
        events.drain(..old);
    }
    by
}

/// When it was last seen: the scheduler says so elsewhere than the others.
fn when(event: &Value) -> String {
    let times = ["/series/lastObservedTime", "/lastTimestamp", "/eventTime", "/metadata/creationTimestamp"];
    times.iter().map(|path| told::text(event, path)).find(|time| !time.is_empty()).unwrap_or_default().to_owned()
}

#[async_trait]
impl Cloud for Kubernetes {
    async fn list(&self, fleet: &FleetId, region: &str) -> Result<Vec<CloudInstance>, CloudError> {
        self.listed(fleet, region).await
    }

    async fn launch(&self, order: &LaunchOrder) -> Result<Vec<Launched>, CloudError> {
        Err(CloudError::refused(format!("a pod of {} is made for a task, not for a queue", order.pool.name)))
    }

    async fn prepare(&self, order: &PodOrder) -> Result<Launched, CloudError> {
        let site = self.site(&order.pool.site()).await?;
        let job = self.made(&site, order).await?;
        if let Err(error) = self.keep_secret(&site, order, &job).await {
            // Nothing of it has run: the next try makes another.
            if !error.may_have_acted {
                self.withdraw(&order.pool.site(), &order.attempt.instance).await?;
            }
            return Err(error);
        }
        Ok(Launched {
            id: order.attempt.instance.clone(),
            intent: order.attempt.intent.clone().unwrap_or_else(|| order.attempt.instance.as_str().into()),
            machine_type: order.machine_type.clone(),
            launched: job.creation_timestamp().map(|time| time.0),
            zone: None,
            image: None,
            passed_over: Vec::new(),
        })
    }

    async fn release(&self, region: &str, instance: &InstanceId) -> Result<(), CloudError> {
        let site = self.site(region).await?;
        let patch = Patch::Merge(json!({ "spec": { "suspend": false } }));
        let answer = site.api(Kind::Job).patch(instance.as_str(), &PatchParams::default(), &patch).await;
        answer.map(drop).map_err(|error| cloud_error("let the Job go", &error))
    }

    async fn withdraw(&self, region: &str, instance: &InstanceId) -> Result<(), CloudError> {
        let site = self.site(region).await?;
        let job = match site.api(Kind::Job).get(instance.as_str()).await {
            Ok(job) => job,
            Err(error) if is_missing(&error) => return Ok(()),
            Err(error) => return Err(cloud_error("get the Job", &error)),
        };
        if job.data.pointer("/spec/suspend").and_then(Value::as_bool) != Some(true) {
            return Ok(());
        }
        let only = Preconditions { resource_version: job.resource_version(), uid: job.uid() };
        match self.delete(&site, instance.as_str(), Some(only)).await {
            // It changed in between: perhaps it was let go.
            Err(error) if error.code.as_deref() == Some("Conflict") => Ok(()),
            answer => answer,
        }
    }

    async fn terminate(&self, region: &str, instances: &[InstanceId]) -> Result<(), CloudError> {
        let site = self.site(region).await?;
        for instance in instances {
            self.delete(&site, instance.as_str(), None).await?;
        }
        Ok(())
    }

    async fn stop(&self, region: &str, _instances: &[InstanceId]) -> Result<(), CloudError> {
        Err(CloudError::refused(format!("pods in {region} cannot be switched off and kept")))
    }

    async fn start(&self, region: &str, _instances: &[InstanceId]) -> Result<(), CloudError> {
        Err(CloudError::refused(format!("pods in {region} cannot be switched off and kept")))
    }

    async fn console(&self, region: &str, instance: &InstanceId) -> Result<String, CloudError> {
        let site = self.site(region).await?;
        let params = kube::api::ListParams::default().labels(&format!("batch.kubernetes.io/job-name={instance}"));
        let pods = site.pods().list(&params).await.map_err(|error| cloud_error("list pods", &error))?;
        let Some(pod) = pods.items.first() else { return Ok(String::new()) };
        let params = LogParams { tail_lines: Some(LOG_LINES), ..LogParams::default() };
        match site.pods().logs(&pod.name_any(), &params).await {
            Ok(text) => Ok(text),
            Err(error) if is_missing(&error) => Ok(String::new()),
            Err(error) => Err(cloud_error("read the log", &error)),
        }
    }

    async fn check(&self, region: &str) -> Result<String, CloudError> {
        let site = self.site(region).await?;
        let version = site.client.apiserver_version().await.map_err(|error| check_error(&error))?;
        let params = kube::api::ListParams::default().limit(1);
        site.api(Kind::Job).list(&params).await.map_err(|error| check_error(&error))?;
        Ok(format!("Kubernetes {} takes us in the namespace {}", version.git_version, site.namespace))
    }

    async fn rights(&self, _fleet: &FleetId, region: &str, _orders: &[LaunchOrder]) -> Result<Vec<Right>, CloudError> {
        Ok(rights::rights(&self.site(region).await?).await)
    }
}

fn check_error(error: &Error) -> CloudError {
    let told = cloud_error("the API server", error);
    let class = if matches!(error, Error::Api(_)) { told.class } else { ErrorClass::Unknown };
    CloudError { class, ..told }
}

/// A recorded answer of a real API server, by its file.
#[cfg(test)]
fn recorded(file: &str) -> Value {
    let path = format!("{}/tests/it/kubernetes/recorded/{file}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}
