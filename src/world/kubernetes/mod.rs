//! Kubernetes: a Job for each try at a task, in the namespaces of the settings. Its client reads the kubeconfig as every tool
//! does; what there is comes by watches, so that looking costs nothing.

mod around;
mod error;
mod glue;
mod job;
mod label;
mod listed;
mod nodes;
mod open;
mod post;
mod proxy;
mod rights;
mod safe;
mod scalers;
mod site;
mod sites;
mod story;
mod told;
mod trial;
mod view;
mod warned;
mod watch;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::{join, join_all};
use kube::api::{DeleteParams, DynamicObject, LogParams, Patch, PatchParams, Preconditions};
use kube::{Error, ResourceExt};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::model::cluster::Cluster;
use crate::model::ids::{FleetId, InstanceId, IntentId};
use crate::model::observed::CloudInstance;
use crate::model::settings::kubernetes::of_site;
use crate::model::snapshot::ErrorClass;
use crate::world::cloud::{Cloud, CloudError, LaunchOrder, Launched, PodOrder, Right};
use crate::world::kubernetes::around::Around;
use crate::world::kubernetes::error::{
    ANSWERS, UNAUTHORIZED, cloud_error, is_conflict, is_denied, is_missing, mute, unknown, within,
};
use crate::world::kubernetes::listed::{Job, machine, pods_by_job, whole};
use crate::world::kubernetes::post::{Made, Way, post};
use crate::world::kubernetes::site::{KUEUE, Kind, Site};
use crate::world::kubernetes::sites::Sites;
use crate::world::kubernetes::told::moment;
use crate::world::kubernetes::view::View;
use crate::world::kubernetes::warned::Warned;
use crate::world::kubernetes::watch::Watch;

/// Lines of a pod's log that are shown; fewer where they are long.
const LOG_LINES: [i64; 4] = [400, 80, 16, 1];
/// No more of it is fetched.
const LOG_BYTES: i64 = 256 * 1_024;
/// Events that are told of one object at most.
const MOST_EVENTS: usize = 20;

/// Clusters, by context and namespace: `prod/ml-tasks`.
#[derive(Debug, Default)]
pub struct Kubernetes {
    sites: Sites,
    views: Mutex<BTreeMap<(FleetId, String), Arc<View>>>,
    /// What is around the namespaces of a cluster, by its context; the empty one is the current one.
    arounds: Mutex<BTreeMap<String, Arc<Around>>>,
    warned: Warned,
    /// Where the settings are.
    folder: Option<PathBuf>,
}

impl Kubernetes {
    /// By the kubeconfig that every tool would use. Nobody is called yet. Templates that are named by a path that does not begin
    /// with `/` are in this folder.
    #[must_use]
    pub fn beside(folder: Option<&Path>) -> Self {
        Self { folder: folder.map(Path::to_owned), ..Self::default() }
    }

    async fn site(&self, name: &str) -> Result<Site, CloudError> {
        self.sites.of(name).await
    }

    async fn view(&self, fleet: &FleetId, name: &str) -> Result<Arc<View>, CloudError> {
        let (site, around) = (self.site(name).await?, self.around(name).await?);
        let mut views = self.views.lock().await;
        let of = (fleet.clone(), name.to_owned());
        let view = match views.get(&of) {
            Some(view) if view.is_by(&site) => Arc::clone(view),
            before => {
                let view = Arc::new(before.map_or_else(|| View::start(&site, fleet), |before| before.anew(&site)));
                views.insert(of, Arc::clone(&view));
                view
            }
        };
        if let Some(version) = around.kueue() {
            view.watch_workloads(&site, version);
        }
        Ok(view)
    }

    async fn around(&self, name: &str) -> Result<Arc<Around>, CloudError> {
        let context = of_site(name).0.unwrap_or_default();
        let site = self.site(name).await?;
        if let Some(around) = self.arounds.lock().await.get(context) {
            return Ok(Arc::clone(around));
        }
        // A cluster that is slow to say it keeps nobody from the others.
        let groups = site.groups().await?;
        let mut arounds = self.arounds.lock().await;
        let around = arounds.entry(context.to_owned()).or_insert_with(|| Arc::new(Around::start(&site, &groups)));
        Ok(Arc::clone(around))
    }

    /// What a cluster answered. One that does not take us for who we say we are is opened anew when it is next asked: the
    /// kubeconfig may say something else by now, and its plugin may.
    async fn heard<T>(&self, name: &str, answer: Result<T, CloudError>) -> Result<T, CloudError> {
        if answer.as_ref().is_err_and(is_denied) {
            self.forget(name).await;
        }
        answer
    }

    async fn forget(&self, name: &str) {
        if self.sites.forget(name).await {
            self.arounds.lock().await.remove(of_site(name).0.unwrap_or_default());
        }
    }

    /// Kueue may come after us: a cluster that had none is asked again before a Job that is to wait in its queue is made.
    async fn look_for_kueue(&self, name: &str) -> Result<(), CloudError> {
        if self.around(name).await?.has_kueue() {
            return Ok(());
        }
        let site = self.site(name).await?;
        let groups = site.groups().await?;
        if groups.contains_key(KUEUE) {
            let context = of_site(name).0.unwrap_or_default().to_owned();
            self.arounds.lock().await.insert(context, Arc::new(Around::start(&site, &groups)));
        }
        Ok(())
    }

    async fn listed(&self, fleet: &FleetId, name: &str) -> Result<Vec<CloudInstance>, CloudError> {
        let view = self.view(fleet, name).await?;
        for watch in [&view.jobs, &view.pods] {
            let ready = timeout(ANSWERS, watch.ready()).await;
            let ready = ready.unwrap_or_else(|_| Err(format!("watch: {}", mute())));
            let code = watch.is_denied().then(|| UNAUTHORIZED.to_owned());
            ready.map_err(|message| CloudError { code, message, ..unknown("watch", "") })?;
        }
        let pods: Vec<(Arc<DynamicObject>, bool)> = view.pods.with(|known| {
            let there = known.objects.values().map(|pod| (Arc::clone(pod), true));
            there.chain(known.gone.values().map(|(pod, _)| (Arc::clone(pod), false))).collect()
        });
        let pods = pods_by_job(pods.iter().map(|(pod, is_there)| (&**pod, *is_there)));
        // Without the right to read events there are none, and less is told.
        let mut events = view.events.all();
        let context = of_site(name).0.unwrap_or_default();
        events.extend(self.arounds.lock().await.get(context).into_iter().flat_map(|around| around.events()));
        let events = by_object(&events);
        let workloads = by_owner(view.workloads().into_iter().flat_map(Watch::all));
        let jobs: Vec<_> = view.jobs.with(|known| {
            let there = known.objects.values().map(|job| (Arc::clone(job), None));
            there.chain(known.gone.values().map(|(job, at)| (Arc::clone(job), Some(*at)))).collect()
        });
        let machines = jobs.iter().filter_map(|(object, gone)| {
            let id = object.name_any();
            let pods = pods.get(id.as_str()).copied();
            let pod = pods.map(|pods| pods.shown);
            let names = std::iter::once(id.as_str()).chain(pod.and_then(|pod| pod.metadata.name.as_deref()));
            let mut told: Vec<&Value> = names.filter_map(|name| events.get(name)).flatten().collect();
            told.sort_by_key(|event| moment(event));
            let node = pod.map(|pod| told::text(&pod.data, "/spec/nodeName")).and_then(|node| events.get(node));
            let of_node: Vec<&Value> = node.into_iter().flatten().collect();
            let workload = workloads.get(&id).unwrap_or(&Value::Null);
            machine(fleet, name, &Job { object, gone: *gone, workload }, pods, &told, &of_node)
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
        let job =
            job::job(order, job::template(order.pool.launch.kubernetes.template.as_deref(), self.folder.as_deref())?)?;
        match post(site, Kind::Job, &job, Way::Really).await {
            Ok(Made { object, warnings }) => {
                self.warned.hear(&order.pool.site(), warnings);
                Ok(object)
            }
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
        match post(site, Kind::Secret, &secret, Way::Really).await {
            Ok(Made { warnings, .. }) => {
                self.warned.hear(&order.pool.site(), warnings);
                Ok(())
            }
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

    async fn make(&self, order: &PodOrder) -> Result<Launched, CloudError> {
        let site = self.site(&order.pool.site()).await?;
        if order.pool.launch.kubernetes.local_queue.is_some() {
            self.look_for_kueue(&order.pool.site()).await?;
        }
        let job = self.made(&site, order).await?;
        if let Err(error) = self.keep_secret(&site, order, &job).await {
            // Nothing of it has run: the next try makes another.
            if !error.may_have_acted {
                self.take_back(&order.pool.site(), &order.attempt.instance).await?;
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

    async fn let_go(&self, region: &str, instance: &InstanceId) -> Result<(), CloudError> {
        let site = self.site(region).await?;
        let around = self.around(region).await?;
        let queue = if around.has_kueue() { self.local_queue(&site, instance).await? } else { None };
        let patch = Patch::Merge(job::let_go(queue.as_deref()));
        let answer = site.api(Kind::Job).patch(instance.as_str(), &PatchParams::default(), &patch).await;
        answer.map(drop).map_err(|error| cloud_error("let the Job go", &error))
    }

    async fn take_back(&self, region: &str, instance: &InstanceId) -> Result<(), CloudError> {
        let site = self.site(region).await?;
        let job = match site.api(Kind::Job).get(instance.as_str()).await {
            Ok(job) => job,
            Err(error) if is_missing(&error) => return Ok(()),
            Err(error) => return Err(cloud_error("get the Job", &error)),
        };
        if !label::is_held(&job) {
            return Ok(());
        }
        let only = Preconditions { resource_version: job.resource_version(), uid: job.uid() };
        match self.delete(&site, instance.as_str(), Some(only)).await {
            // It changed in between: perhaps it was let go.
            Err(error) if error.code.as_deref() == Some("Conflict") => Ok(()),
            answer => answer,
        }
    }

    async fn end(&self, region: &str, instances: &[InstanceId]) -> Result<(), CloudError> {
        let site = self.site(region).await?;
        for instance in instances {
            self.delete(&site, instance.as_str(), None).await?;
        }
        Ok(())
    }

    /// The queue of Kueue's that a Job is to wait in.
    async fn local_queue(&self, site: &Site, instance: &InstanceId) -> Result<Option<String>, CloudError> {
        let job =
            site.api(Kind::Job).get(instance.as_str()).await.map_err(|error| cloud_error("get the Job", &error))?;
        Ok(label::annotation(&job, label::LOCAL_QUEUE).map(str::to_owned))
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

/// Workloads of Kueue's by the Job that each is of.
fn by_owner(workloads: impl Iterator<Item = Arc<DynamicObject>>) -> BTreeMap<String, Value> {
    let owned = workloads.filter_map(|workload| {
        let owner = workload.owner_references().iter().find(|owner| owner.kind == "Job")?.name.clone();
        Some((owner, whole(&workload)))
    });
    owned.collect()
}

/// Events by the name of what they are about, the newest of each.
fn by_object(events: &[Arc<DynamicObject>]) -> BTreeMap<String, Vec<Value>> {
    let mut by: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for event in events {
        let name = told::text(&event.data, "/involvedObject/name").to_owned();
        by.entry(name).or_default().push(whole(event));
    }
    for events in by.values_mut() {
        events.sort_by_key(moment);
        let old = events.len().saturating_sub(MOST_EVENTS);
        events.drain(..old);
    }
    by
}

#[async_trait]
impl Cloud for Kubernetes {
    async fn list(&self, fleet: &FleetId, region: &str) -> Result<Vec<CloudInstance>, CloudError> {
        self.heard(region, self.listed(fleet, region).await).await
    }

    async fn cluster(&self, region: &str) -> Option<Cluster> {
        let around = self.around(region).await;
        let cluster = match self.heard(region, around).await {
            Ok(around) => {
                let cluster = around.cluster().await;
                if around.is_denied() {
                    self.forget(region).await;
                }
                cluster
            }
            Err(error) => Cluster { unread: vec![error.message], ..Cluster::default() },
        };
        let views = self.views.lock().await;
        let view = views.iter().find(|((_, name), _)| name == region).map(|(_, view)| view);
        let glues = view.map(|view| glue::told(&view.glue.all())).unwrap_or_default();
        Some(Cluster { glues, warnings: self.warned.of(region), ..cluster })
    }

    async fn launch(&self, order: &LaunchOrder) -> Result<Vec<Launched>, CloudError> {
        Err(CloudError::refused(format!("a pod of {} is made for a task, not for a queue", order.pool.name)))
    }

    async fn prepare(&self, order: &PodOrder) -> Result<Launched, CloudError> {
        self.heard(&order.pool.site(), self.make(order).await).await
    }

    async fn release(&self, region: &str, instance: &InstanceId) -> Result<(), CloudError> {
        self.heard(region, self.let_go(region, instance).await).await
    }

    async fn withdraw(&self, region: &str, instance: &InstanceId) -> Result<(), CloudError> {
        self.heard(region, self.take_back(region, instance).await).await
    }

    async fn terminate(&self, region: &str, instances: &[InstanceId]) -> Result<(), CloudError> {
        self.heard(region, self.end(region, instances).await).await
    }

    async fn stop(&self, region: &str, _instances: &[InstanceId]) -> Result<(), CloudError> {
        Err(CloudError::refused(format!("pods in {region} cannot be switched off and kept")))
    }

    async fn start(&self, region: &str, _instances: &[InstanceId]) -> Result<(), CloudError> {
        Err(CloudError::refused(format!("pods in {region} cannot be switched off and kept")))
    }

    async fn console(&self, region: &str, instance: &InstanceId) -> Result<String, CloudError> {
        let site = self.site(region).await?;
        self.heard(region, within("read the log", log(&site, instance)).await).await
    }

    async fn check(&self, region: &str) -> Result<String, CloudError> {
        let site = self.site(region).await?;
        let look = async {
            let version = site.client.apiserver_version().await.map_err(|error| check_error(&error))?;
            let params = kube::api::ListParams::default().limit(1);
            site.api(Kind::Job).list(&params).await.map_err(|error| check_error(&error))?;
            Ok(format!("Kubernetes {} takes us in the namespace {}", version.git_version, site.namespace))
        };
        self.heard(region, within("look at its version and its Jobs", look).await).await
    }

    async fn rights(&self, _fleet: &FleetId, region: &str, orders: &[LaunchOrder]) -> Result<Vec<Right>, CloudError> {
        let site = self.site(region).await?;
        let ask = async {
            let tried = join_all(orders.iter().map(|order| trial::trial(&site, order, self.folder.as_deref())));
            let (rights, tried) = join(rights::rights(&site), tried).await;
            Ok(rights.into_iter().chain(tried).collect())
        };
        within("the access review", ask).await
    }
}

/// The newest of what an instance's pod wrote. The server ends what is too long at its end, where the newest is.
async fn log(site: &Site, instance: &InstanceId) -> Result<String, CloudError> {
    let params = kube::api::ListParams::default().labels(&format!("{}={instance}", listed::JOB_NAME[1]));
    let pods = site.pods().list(&params).await.map_err(|error| cloud_error("list pods", &error))?;
    let Some(pod) = pods.items.first() else { return Ok(String::new()) };
    let mut told = String::new();
    for lines in LOG_LINES {
        let params = LogParams { tail_lines: Some(lines), limit_bytes: Some(LOG_BYTES), ..LogParams::default() };
        told = match site.pods().logs(&pod.name_any(), &params).await {
            Ok(text) => text,
            Err(error) if is_missing(&error) => String::new(),
            Err(error) => return Err(cloud_error("read the log", &error)),
        };
        // It may end a little before the limit.
        if i64::try_from(told.len()).is_ok_and(|length| length < LOG_BYTES / 16 * 15) {
            break;
        }
    }
    Ok(told)
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
