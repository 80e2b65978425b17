//! Google Compute Engine, through its official client. Credentials and project come from where every Google tool finds
//! them (environment, the application default credentials, the machine's own service account), or from an account of the
//! settings. A machine's id is our own name for it.

mod account;
mod ended;
mod error;
mod expiry;
mod image_disks;
mod label;
mod launch;
mod leftovers;
mod listed;
mod newcomer;
mod operation;
mod parts;
mod preempted;
mod price_list;
mod request;
mod rest;
mod rights;
mod site;

pub use operation::Patience;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use google_cloud_auth::credentials::Credentials;
use google_cloud_compute_v1::model::operation::Status;
use google_cloud_gax::options::RequestOptionsBuilder as _;
use google_cloud_gax::retry_policy::NeverRetry;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;

use crate::model::extras::ExtraPrices;
use crate::model::ids::{FleetId, InstanceId, MachineType};
use crate::model::label::written;
use crate::model::money::Rate;
use crate::model::observed::CloudInstance;
use crate::model::settings::{AccountSettings, Market};
use crate::model::site as site_of;
use crate::model::snapshot::ErrorClass;
use crate::world::cloud::{Cloud, CloudError, LaunchOrder, Launched, Leftover, Newcomer, Right, Sweep, account_of};
use crate::world::gce::account::Account;
use crate::world::gce::ended::{Asked, Ended};
use crate::world::gce::error::{cloud_error, is_missing, is_of_caller, refused};
use crate::world::gce::expiry::Expiry;
use crate::world::gce::image_disks::{Asks, ImageDisks};
use crate::world::gce::operation::{Stand, unknown};
use crate::world::gce::preempted::Preempted;
use crate::world::gce::price_list::PriceList;
use crate::world::gce::site::Site;

/// The port that the boot and the boot script write on.
const SERIAL_PORT: i32 = 1;

/// For so long a price list that was read serves all who ask; the loop itself asks seldom.
const PRICES_KEPT: SignedDuration = SignedDuration::from_mins(10);

const LIST: &str = "instances.aggregatedList";

/// What a caller gives in the place of the usual places.
#[derive(Debug, Clone)]
struct Given {
    endpoint: String,
    account: Account,
}

/// Compute Engine in every region that is asked for, of the usual project and those of the settings' accounts:
/// `us-central1`, or `research@us-central1`.
#[derive(Debug, Default)]
pub struct Gce {
    given: Option<Given>,
    accounts: Vec<AccountSettings>,
    sites: Mutex<BTreeMap<String, Site>>,
    /// Where machines stand: each call but a list must name it.
    zones: Mutex<BTreeMap<InstanceId, String>>,
    ended: Mutex<Ended>,
    preempted: Mutex<Preempted>,
    /// Since when disks without a machine have been seen, by site.
    leftovers: Mutex<BTreeMap<String, BTreeMap<String, Timestamp>>>,
    /// Disks that machine images brought, by site.
    image_disks: Mutex<BTreeMap<String, ImageDisks>>,
    /// When it was read; it is the same for every account.
    price_list: Mutex<Option<(Timestamp, Arc<PriceList>)>>,
    /// The newest token, by site.
    expiries: Mutex<BTreeMap<String, Option<Expiry>>>,
    page_size: Option<u32>,
    patience: Patience,
}

impl Gce {
    /// With the credentials that every Google tool would use. They are looked for at the first call.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With an endpoint, a project and credentials of the caller's.
    #[must_use]
    pub fn with_endpoint(endpoint: &str, project: &str, credentials: Credentials) -> Self {
        let account = Account { project: project.to_owned(), credentials, kind: None };
        Self { given: Some(Given { endpoint: endpoint.to_owned(), account }), ..Self::default() }
    }

    /// With accounts beside the usual one.
    #[must_use]
    pub fn with_accounts(self, accounts: Vec<AccountSettings>) -> Self {
        Self { accounts, ..self }
    }

    /// Machines in one page of a listing, 1 to 500.
    #[must_use]
    pub fn with_page_size(self, page_size: u32) -> Self {
        Self { page_size: Some(page_size.clamp(1, 500)), ..self }
    }

    /// With another patience for operations.
    #[must_use]
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    async fn site(&self, name: &str) -> Result<Site, CloudError> {
        let mut sites = self.sites.lock().await;
        if let Some(site) = sites.get(name) {
            return Ok(site.clone());
        }
        let account = account_of(&self.accounts, name)?;
        let (endpoint, account) = match &self.given {
            Some(given) => (Some(given.endpoint.clone()), given.account.clone().of(account)),
            None => (None, account::open(account)?),
        };
        let site = Site::open(name, account, endpoint, self.patience).await?;
        sites.insert(name.to_owned(), site.clone());
        Ok(site)
    }

    /// Passes an answer on. After a no to the credentials they are looked for afresh: a person may have renewed them
    /// meanwhile.
    async fn settle<T>(&self, site: &str, answer: Result<T, CloudError>) -> Result<T, CloudError> {
        let Err(mut error) = answer else { return answer };
        if error.class == ErrorClass::Credentials {
            let kind = self.sites.lock().await.remove(site).and_then(|site| site.account.kind);
            if let Some(kind) = kind.filter(|_| is_of_caller(&error)) {
                error.message = format!("{}; we are {}: {}", error.message, kind.told(), kind.mended_by());
            }
        }
        Err(error)
    }

    /// What machines cost: the catalogue is read once for all who ask at the same time.
    async fn price_list(&self, site: &str, now: Timestamp) -> Result<Arc<PriceList>, CloudError> {
        let mut known = self.price_list.lock().await;
        let fresh = |at: Timestamp| (SignedDuration::ZERO..PRICES_KEPT).contains(&now.duration_since(at));
        if let Some((_, list)) = known.as_ref().filter(|(at, _)| fresh(*at)) {
            return Ok(Arc::clone(list));
        }
        let list = Arc::new(PriceList::ask(&self.site(site).await?).await?);
        *known = Some((now, Arc::clone(&list)));
        Ok(list)
    }

    async fn listed(&self, fleet: &FleetId, name: &str) -> Result<Vec<CloudInstance>, CloudError> {
        let site = self.site(name).await?;
        let label = written(fleet.as_str());
        let filter = format!("labels.{}=\"{label}\"", label::FLEET);
        let found = site.aggregated(&filter, self.page_size).await?;
        let ours = found.iter().filter(|instance| instance.labels.get(label::FLEET) == Some(&label));
        let ours: Vec<_> = ours.collect();
        let machines = ours.iter().map(|instance| listed::read(LIST, instance, name));
        let mut machines = machines.collect::<Result<Vec<_>, _>>()?;
        self.image_disks.lock().await.entry(name.to_owned()).or_default().note(&site, &ours);
        // The sweep says what keeps one from its labels.
        drop(image_disks::label(&site, name, Asks::Listing, &self.image_disks).await);
        let stand =
            machines.iter().filter_map(|machine| Some((machine.id.clone(), machine.zone.as_ref()?.to_string())));
        let mut zones = self.zones.lock().await;
        // What is not listed any more, or not yet, is looked for by its name where it is asked for.
        zones.retain(|_, zone| listed::region_of(zone) != site.region);
        zones.extend(stand);
        drop(zones);
        machines.extend(self.ended(&site, fleet, name, &machines).await);
        let asked = self.preempted.lock().await.list(fleet, name, &machines);
        preempted::ask(&site, asked, &self.preempted).await;
        self.preempted.lock().await.tell(fleet, name, &mut machines);
        Ok(machines)
    }

    /// The machines that we ended, and that are not among those of this listing any more.
    async fn ended(&self, site: &Site, fleet: &FleetId, name: &str, listed: &[CloudInstance]) -> Vec<CloudInstance> {
        let open = self.ended.lock().await.list(fleet, name, listed);
        for (id, Asked { zone, name, .. }) in open {
            let call = site.client.get_operation().set_project(&site.project).set_zone(zone).set_operation(name);
            // What is not known now may be at the next look.
            let Ok(operation) = call.with_retry_policy(NeverRetry).send().await else { continue };
            match operation.status {
                Some(Status::Done) if operation.to_result().is_ok() => self.ended.lock().await.done(&id),
                Some(Status::Done) => self.ended.lock().await.failed(&id),
                _ => {}
            }
        }
        self.ended.lock().await.told(fleet, name)
    }

    async fn launched(&self, order: &LaunchOrder) -> Result<Vec<Launched>, CloudError> {
        let made = launch::launch(&self.site(&order.pool.site()).await?, order).await?;
        let stand = made.iter().filter_map(|machine| Some((machine.id.clone(), machine.zone.as_ref()?.to_string())));
        self.zones.lock().await.extend(stand);
        Ok(made)
    }

    /// The zone of a machine; `None` where there is no such machine.
    async fn zone(&self, site: &Site, id: &InstanceId) -> Result<Option<String>, CloudError> {
        if let Some(zone) = self.zones.lock().await.get(id) {
            return Ok(Some(zone.clone()));
        }
        let found = site.aggregated(&newcomer::filter(id.as_str()), self.page_size).await?;
        let zone = found.iter().find(|instance| newcomer::is(instance, id.as_str())).and_then(listed::zone);
        let zone = zone.map(str::to_owned);
        self.zones.lock().await.extend(zone.clone().map(|zone| (id.clone(), zone)));
        Ok(zone)
    }

    async fn zone_of(&self, site: &Site, id: &InstanceId) -> Result<String, CloudError> {
        let zone = self.zone(site, id).await?;
        zone.ok_or_else(|| refused(format!("there is no machine {id} in {} of project {}", site.region, site.project)))
    }

    async fn terminate_one(&self, site: &Site, id: &InstanceId) -> Result<(), CloudError> {
        const CALL: &str = "instances.delete";
        let Some(zone) = self.zone(site, id).await? else { return Ok(()) };
        self.preempted.lock().await.ends_by_us(id);
        let call = site.client.delete().set_project(&site.project).set_zone(&zone).set_instance(id.as_str()).send();
        let answer = call.await;
        if let Some(asked) = answer.as_ref().ok().and_then(|operation| Asked::of(&zone, operation)) {
            self.ended.lock().await.asked(id, asked);
        }
        match site.taken(&zone, CALL, answer, site.patience.other).await {
            Ok(Stand::Done) => self.ended.lock().await.done(id),
            Ok(Stand::Running) => {}
            Err(error) if is_missing(&error) => {}
            Err(error) => {
                self.ended.lock().await.failed(id);
                return Err(error);
            }
        }
        self.zones.lock().await.remove(id);
        Ok(())
    }

    async fn stop_one(&self, site: &Site, id: &InstanceId) -> Result<(), CloudError> {
        let zone = self.zone_of(site, id).await?;
        self.preempted.lock().await.ends_by_us(id);
        let call = site.client.stop().set_project(&site.project).set_zone(&zone).set_instance(id.as_str()).send();
        site.taken(&zone, "instances.stop", call.await, site.patience.other).await.map(drop)
    }

    async fn start_one(&self, site: &Site, id: &InstanceId) -> Result<(), CloudError> {
        const CALL: &str = "instances.start";
        let zone = self.zone_of(site, id).await?;
        self.preempted.lock().await.starts(id);
        let call = site.client.start().set_project(&site.project).set_zone(&zone).set_instance(id.as_str());
        let call = call.with_retry_policy(NeverRetry).send();
        // CALL_DEADLINE of the loop's is a minute.
        let patience = site.patience.launch.min(Duration::from_secs(50));
        match site.taken(&zone, CALL, call.await, patience).await? {
            Stand::Done => Ok(()),
            Stand::Running => Err(unknown(CALL)),
        }
    }

    async fn console_text(&self, site: &str, id: &InstanceId) -> Result<String, CloudError> {
        let site = self.site(site).await?;
        let zone = self.zone_of(&site, id).await?;
        let call = site.client.get_serial_port_output().set_project(&site.project).set_zone(zone);
        let answer = call.set_instance(id.as_str()).set_port(SERIAL_PORT).send().await;
        let answer = answer.map_err(|error| cloud_error("instances.getSerialPortOutput", &error))?;
        Ok(answer.contents.unwrap_or_default())
    }

    async fn checked(&self, site: &str) -> Result<String, CloudError> {
        let site = self.site(site).await?;
        let call = site.client.aggregated_list().set_project(&site.project).set_max_results(1_u32);
        call.send().await.map_err(|error| cloud_error(LIST, &error))?;
        let who = site.account.kind.map(|kind| format!(": {}, renewed by itself", kind.told())).unwrap_or_default();
        Ok(format!("Compute Engine in {} takes the credentials for project {}{who}", site.region, site.project))
    }
}

/// Every one is asked for; the first no is told.
fn all(answers: Vec<Result<(), CloudError>>) -> Result<(), CloudError> {
    answers.into_iter().fold(Ok(()), Result::and)
}

#[async_trait]
impl Cloud for Gce {
    async fn list(&self, fleet: &FleetId, region: &str) -> Result<Vec<CloudInstance>, CloudError> {
        let answer = self.listed(fleet, region).await;
        self.settle(region, answer).await
    }

    async fn launch(&self, order: &LaunchOrder) -> Result<Vec<Launched>, CloudError> {
        let answer = self.launched(order).await;
        self.settle(&order.pool.site(), answer).await
    }

    async fn terminate(&self, region: &str, instances: &[InstanceId]) -> Result<(), CloudError> {
        let site = self.site(region).await?;
        let answers = join_all(instances.iter().map(|id| self.terminate_one(&site, id))).await;
        self.settle(region, all(answers)).await
    }

    async fn stop(&self, region: &str, instances: &[InstanceId]) -> Result<(), CloudError> {
        let site = self.site(region).await?;
        let answers = join_all(instances.iter().map(|id| self.stop_one(&site, id))).await;
        self.settle(region, all(answers)).await
    }

    async fn start(&self, region: &str, instances: &[InstanceId]) -> Result<(), CloudError> {
        let site = self.site(region).await?;
        let answers = join_all(instances.iter().map(|id| self.start_one(&site, id))).await;
        self.settle(region, all(answers)).await
    }

    async fn console(&self, region: &str, instance: &InstanceId) -> Result<String, CloudError> {
        let answer = self.console_text(region, instance).await;
        self.settle(region, answer).await
    }

    async fn bring_over(&self, region: &str, newcomer: &Newcomer) -> Result<(), CloudError> {
        let answer = match self.site(region).await {
            Ok(site) => newcomer::bring_over(&site, region, newcomer).await,
            Err(error) => Err(error),
        };
        self.settle(region, answer).await
    }

    async fn check(&self, region: &str) -> Result<String, CloudError> {
        let answer = self.checked(region).await;
        self.settle(region, answer).await
    }

    async fn rights(&self, _fleet: &FleetId, region: &str, orders: &[LaunchOrder]) -> Result<Vec<Right>, CloudError> {
        let answer = rights::tried(&self.site(region).await?, orders).await;
        self.settle(region, answer).await
    }

    fn tells_prices(&self) -> bool {
        true
    }

    fn spot_prices_move(&self) -> bool {
        false
    }

    async fn prices(
        &self,
        region: &str,
        types: &[MachineType],
        market: Market,
        now: Timestamp,
    ) -> Result<BTreeMap<MachineType, Rate>, CloudError> {
        let answer = self.price_list(region, now).await;
        Ok(self.settle(region, answer).await?.prices(site_of::parts(region).1, types, market))
    }

    async fn extra_prices(&self, region: &str, now: Timestamp) -> Result<ExtraPrices, CloudError> {
        let answer = self.price_list(region, now).await;
        Ok(self.settle(region, answer).await?.extras(site_of::parts(region).1))
    }

    async fn credentials_end(&self, region: &str, now: Timestamp) -> Option<Timestamp> {
        let site = self.site(region).await.ok()?;
        // It is not locked meanwhile: other sites are asked at the same time.
        let mut known = self.expiries.lock().await.remove(region).flatten();
        let end = expiry::end(&site, &mut known, now).await;
        self.expiries.lock().await.insert(region.to_owned(), known);
        end
    }

    fn forget(&self, region: &str) {
        // Its token is fetched by a task that may hang for ever, or has panicked. Where the sites are locked one is being
        // opened, and it is forgotten at the next failure.
        if let Ok(mut sites) = self.sites.try_lock() {
            sites.remove(region);
        }
    }

    fn may_leave_behind(&self) -> bool {
        true
    }

    async fn sweep(&self, sweep: &Sweep) -> Result<Vec<Leftover>, CloudError> {
        let site = self.site(&sweep.region).await?;
        let mut leftovers = self.leftovers.lock().await;
        let answer = leftovers::sweep(&site, sweep, leftovers.entry(sweep.region.clone()).or_default()).await;
        drop(leftovers);
        let labelled = image_disks::label(&site, &sweep.region, Asks::Sweep, &self.image_disks).await;
        let answer = match (answer, labelled) {
            // What was told and done is said all the same; the next sweep meets the no again.
            (Ok(told), Err(error)) if told.is_empty() => Err(error),
            (answer, _) => answer,
        };
        self.settle(&sweep.region, answer).await
    }
}
