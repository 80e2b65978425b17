//! Amazon EC2, through its official SDK. Credentials, region and endpoint come from where every AWS tool
//! finds them (environment, profiles, SSO, the machine's role; `AWS_ENDPOINT_URL_EC2`), or from an account of the
//! settings.

mod account;
mod cheapest;
mod error;
mod fleet;
mod image;
mod launch;
mod leftovers;
mod listed;
mod members;
mod newcomer;
pub mod price_list;
mod quota;
mod request;
mod rights;
mod spot;
mod template;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{Filter, Reservation};
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use tokio::sync::Mutex;

use crate::model::ids::{FleetId, InstanceId, MachineType};
use crate::model::money::Rate;
use crate::model::observed::{CloudInstance, CloudState};
use crate::model::settings::{AccountSettings, Market};
use crate::model::site;
use crate::model::snapshot::ErrorClass;
use crate::world::aws::account::Ends;
use crate::world::aws::error::{cloud_error, is_of_time, unreadable};
use crate::world::cloud::{Cloud, CloudError, LaunchOrder, Launched, Leftover, Newcomer, Right, Sweep, account_of};

/// The tag that says whose machine it is.
const FLEET_TAG: &str = "tidegate-fleet";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);
/// All attempts of a call together.
const CALL_TIMEOUT: Duration = Duration::from_secs(40);

/// Instances of one `TerminateInstances` call; AWS advises no more than this.
const TERMINATE_BATCH: usize = 50;

/// Amazon EC2 in every region that is asked for, of the usual account and those of the settings: `us-east-1`, or
/// `research@us-east-1`.
pub struct Ec2 {
    given: Option<SdkConfig>,
    accounts: Vec<AccountSettings>,
    clients: Mutex<BTreeMap<String, (Client, Ends)>>,
    /// Sites whose client was told last that its time is wrong.
    mistimed: Mutex<BTreeSet<String>>,
    leftovers: Mutex<BTreeMap<String, leftovers::Since>>,
    spot_requests: Mutex<spot::Requests>,
    page_size: i32,
}

impl std::fmt::Debug for Ec2 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ec2").finish_non_exhaustive()
    }
}

impl Default for Ec2 {
    fn default() -> Self {
        Self::new()
    }
}

impl Ec2 {
    /// With the credentials that every AWS tool would use. They are looked for at the first call.
    #[must_use]
    pub fn new() -> Self {
        Self {
            given: None,
            accounts: Vec::new(),
            clients: Mutex::default(),
            mistimed: Mutex::default(),
            leftovers: Mutex::default(),
            spot_requests: Mutex::default(),
            page_size: 1000,
        }
    }

    /// With credentials, endpoint and timeouts of the caller's.
    #[must_use]
    pub fn with_config(config: SdkConfig) -> Self {
        Self { given: Some(config), ..Self::new() }
    }

    /// With accounts beside the usual one.
    #[must_use]
    pub fn with_accounts(self, accounts: Vec<AccountSettings>) -> Self {
        Self { accounts, ..self }
    }

    /// Machines in one page of a listing, 5 to 1000.
    #[must_use]
    pub fn with_page_size(self, page_size: i32) -> Self {
        Self { page_size: page_size.clamp(5, 1000), ..self }
    }

    /// What machines of these types cost on demand: asked of whoever serves the price list to the account of the site.
    async fn on_demand(&self, site: &str, types: &[MachineType]) -> Result<BTreeMap<MachineType, Rate>, CloudError> {
        let account =
            account::open(self.given.as_ref(), account_of(&self.accounts, site)?, price_list::SERVED_IN).await?;
        let timeouts =
            TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_timeout(CALL_TIMEOUT).build();
        let config = aws_sdk_pricing::config::Builder::from(&account.config);
        // It is asked again in a while.
        let config = config.timeout_config(timeouts).retry_config(RetryConfig::disabled()).build();
        price_list::on_demand(&aws_sdk_pricing::Client::from_conf(config), site::parts(site).1, types).await
    }

    async fn client(&self, site: &str) -> Result<Client, CloudError> {
        let mut clients = self.clients.lock().await;
        if let Some((client, _)) = clients.get(site) {
            return Ok(client.clone());
        }
        let (account, region) = (account_of(&self.accounts, site)?, site::parts(site).1);
        let account = account::open(self.given.as_ref(), account, region).await?;
        let mut timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .operation_timeout(CALL_TIMEOUT)
            .build();
        if let Some(chosen) = account.config.timeout_config() {
            timeouts = chosen.clone().into_builder().take_unset_from(timeouts.into_builder()).build();
        }
        let config = aws_sdk_ec2::config::Builder::from(&account.config).timeout_config(timeouts).build();
        let client = Client::from_conf(config);
        clients.insert(site.to_owned(), (client.clone(), account.ends));
        Ok(client)
    }

    /// Passes an answer on. After a no to the credentials they are looked for afresh: a person may have
    /// renewed them meanwhile. A client whose clock is wrong has just learned by how much, and is asked once more.
    async fn settle<T>(&self, region: &str, answer: Result<T, CloudError>) -> Result<T, CloudError> {
        let mut mistimed = self.mistimed.lock().await;
        let was_mistimed = mistimed.remove(region);
        let no = answer.as_ref().err().filter(|error| error.class == ErrorClass::Credentials);
        match no {
            Some(error) if is_of_time(error) && !was_mistimed => {
                mistimed.insert(region.to_owned());
            }
            Some(_) => {
                self.clients.lock().await.remove(region);
            }
            None => {}
        }
        answer
    }

    async fn listed(&self, fleet: &FleetId, region: &str) -> Result<Vec<CloudInstance>, CloudError> {
        let call = self.client(region).await?.describe_instances();
        let fleet_filter = Filter::builder().name(format!("tag:{FLEET_TAG}")).values(fleet.as_str()).build();
        let mut pages = call.filters(fleet_filter).into_paginator().page_size(self.page_size).send();
        let (mut instances, mut requests) = (BTreeMap::new(), BTreeMap::new());
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| cloud_error("DescribeInstances", &error))?;
            // The filter takes `*` and `?` for wildcards, so the tag is compared again.
            for instance in page.reservations().iter().flat_map(Reservation::instances) {
                if listed::tag(instance.tags(), FLEET_TAG) == Some(fleet.as_str()) {
                    requests.extend(spot::request(instance));
                    let instance = listed::read(instance, region)?;
                    instances.insert(instance.id.clone(), instance);
                }
            }
        }
        self.spot_requests.lock().await.note(region, requests);
        Ok(instances.into_values().collect())
    }

    async fn terminate_some(&self, region: &str, instances: &[InstanceId]) -> Result<(), CloudError> {
        let call = self.client(region).await?.terminate_instances();
        let ids = instances.iter().map(ToString::to_string).collect();
        match call.set_instance_ids(Some(ids)).send().await {
            Ok(_) => Ok(()),
            Err(error) => {
                let error = cloud_error("TerminateInstances", &error);
                let only = instances.len() == 1;
                if only && error.code.as_deref() == Some("InvalidInstanceID.NotFound") { Ok(()) } else { Err(error) }
            }
        }
    }

    async fn cancel_requests(&self, region: &str, instances: &[InstanceId]) {
        let requests = self.spot_requests.lock().await.take(region, instances);
        if let Ok(client) = self.client(region).await {
            spot::cancel(&client, &requests).await;
        }
    }

    /// One id that EC2 does not take refuses the whole call; the others must end all the same.
    async fn terminate_each(&self, region: &str, instances: &[InstanceId]) -> Result<(), CloudError> {
        let mut outcome = Ok(());
        for instance in instances {
            if let Err(mut error) = self.terminate_some(region, std::slice::from_ref(instance)).await {
                error.message = format!("{instance}: {}", error.message);
                outcome = outcome.and(Err(error));
            }
        }
        outcome
    }

    async fn console_text(&self, region: &str, instance: &InstanceId) -> Result<String, CloudError> {
        const CALL: &str = "GetConsoleOutput";
        let client = self.client(region).await?;
        let call = || client.get_console_output().instance_id(instance.as_str());
        let answer = match call().latest(true).send().await {
            // Only newer machine types can say what is on the console at this moment.
            Err(error) if cloud_error(CALL, &error).code.as_deref() == Some("UnsupportedOperation") => {
                call().send().await
            }
            answer => answer,
        };
        let answer = answer.map_err(|error| cloud_error(CALL, &error))?;
        let encoded: String = answer.output().unwrap_or_default().split_whitespace().collect();
        let bytes = STANDARD.decode(encoded).map_err(|error| unreadable(CALL, &error.to_string()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    async fn ends_at(&self, region: &str) -> Option<Timestamp> {
        self.clients.lock().await.get(region).and_then(|(_, ends)| ends.at())
    }

    async fn checked(&self, region: &str) -> Result<String, CloudError> {
        let client = self.client(region).await?;
        let listing = client.describe_instances().max_results(5).send().await;
        listing.map_err(|error| cloud_error("DescribeInstances", &error))?;
        let end = self.ends_at(region).await;
        let end = end.map(|end| format!(", until {}", end.strftime("%Y-%m-%d %H:%M:%SZ"))).unwrap_or_default();
        Ok(format!("EC2 in {region} takes the credentials{end}"))
    }
}

/// For launches: the loop itself decides about another attempt, knowing what the first may have done.
fn no_retries() -> aws_sdk_ec2::config::Builder {
    aws_sdk_ec2::config::Builder::new().retry_config(RetryConfig::disabled())
}

/// For what is cleared away beside something that matters more: whoever waits for that does not wait long for this.
fn quick() -> aws_sdk_ec2::config::Builder {
    no_retries().timeout_config(TimeoutConfig::builder().operation_timeout(CONNECT_TIMEOUT).build())
}

#[async_trait]
impl Cloud for Ec2 {
    async fn list(&self, fleet: &FleetId, region: &str) -> Result<Vec<CloudInstance>, CloudError> {
        let answer = self.listed(fleet, region).await;
        self.settle(region, answer).await
    }

    async fn launch(&self, order: &LaunchOrder) -> Result<Vec<Launched>, CloudError> {
        let site = order.pool.site();
        let answer = match self.client(&site).await {
            Ok(client) => launch::launch(&client, order).await,
            Err(error) => Err(error),
        };
        self.settle(&site, answer).await
    }

    async fn terminate(&self, region: &str, instances: &[InstanceId]) -> Result<(), CloudError> {
        let mut outcome = Ok(());
        for batch in instances.chunks(TERMINATE_BATCH) {
            let answer = match self.terminate_some(region, batch).await {
                Err(error) if batch.len() > 1 && error.class == ErrorClass::BadRequest => {
                    self.terminate_each(region, batch).await
                }
                answer => answer,
            };
            if answer.is_ok() {
                self.cancel_requests(region, batch).await;
            }
            outcome = outcome.and(answer);
        }
        self.settle(region, outcome).await
    }

    async fn stop(&self, region: &str, instances: &[InstanceId]) -> Result<(), CloudError> {
        let call = self.client(region).await?.stop_instances();
        let ids = instances.iter().map(ToString::to_string).collect();
        let answer = call.set_instance_ids(Some(ids)).send().await;
        let answer = answer.map(drop).map_err(|error| cloud_error("StopInstances", &error));
        self.settle(region, answer).await
    }

    async fn start(&self, region: &str, instances: &[InstanceId]) -> Result<(), CloudError> {
        let call = self.client(region).await?.start_instances();
        let ids = instances.iter().map(ToString::to_string).collect();
        let call = call.set_instance_ids(Some(ids)).customize().config_override(no_retries());
        let answer = call.send().await.map(drop).map_err(|error| cloud_error("StartInstances", &error));
        self.settle(region, answer).await
    }

    async fn console(&self, region: &str, instance: &InstanceId) -> Result<String, CloudError> {
        let answer = self.console_text(region, instance).await;
        self.settle(region, answer).await
    }

    async fn check(&self, region: &str) -> Result<String, CloudError> {
        let answer = self.checked(region).await;
        self.settle(region, answer).await
    }

    async fn rights(&self, fleet: &FleetId, region: &str, orders: &[LaunchOrder]) -> Result<Vec<Right>, CloudError> {
        let client = self.client(region).await?;
        let alive =
            |machine: &CloudInstance| !matches!(machine.state, CloudState::ShuttingDown | CloudState::Terminated);
        // Without the right to list there is none to try on.
        let machines = self.listed(fleet, region).await.unwrap_or_default();
        let machine = machines.into_iter().find(alive).map(|machine| machine.id);
        let mut answer = rights::tried(&client, machine.as_ref(), orders).await;
        if let Ok(rights) = &mut answer {
            let types = orders.iter().find_map(|order| order.pool.types.first().cloned());
            rights.push(rights::see_prices(self.on_demand(region, types.as_slice()).await.map(drop)));
        }
        self.settle(region, answer).await
    }

    async fn bring_over(&self, region: &str, newcomer: &Newcomer) -> Result<(), CloudError> {
        let answer = match self.client(region).await {
            Ok(client) => newcomer::bring_over(&client, region, newcomer).await,
            Err(error) => Err(error),
        };
        self.settle(region, answer).await
    }

    fn tells_prices(&self) -> bool {
        true
    }

    async fn prices(
        &self,
        region: &str,
        types: &[MachineType],
        market: Market,
        now: Timestamp,
    ) -> Result<BTreeMap<MachineType, Rate>, CloudError> {
        match market {
            Market::OnDemand => self.on_demand(region, types).await,
            Market::Spot => price_list::spot(&self.client(region).await?, types, now).await,
        }
    }

    fn may_leave_behind(&self) -> bool {
        true
    }

    async fn sweep(&self, sweep: &Sweep) -> Result<Vec<Leftover>, CloudError> {
        let client = self.client(&sweep.region).await?;
        let mut leftovers = self.leftovers.lock().await;
        let answer = leftovers::sweep(&client, sweep, leftovers.entry(sweep.region.clone()).or_default()).await;
        drop(leftovers);
        self.settle(&sweep.region, answer).await
    }

    async fn credentials_end(&self, region: &str, _now: Timestamp) -> Option<Timestamp> {
        self.ends_at(region).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_ec2::config::{BehaviorVersion, Region};

    #[tokio::test]
    async fn a_client_that_learned_the_time_from_a_no_is_asked_once_more() {
        let config = SdkConfig::builder().region(Region::new("r")).behavior_version(BehaviorVersion::latest()).build();
        let ec2 = Ec2::with_config(config);
        let no = |code: &str| {
            let error = CloudError::refused("no".to_owned());
            Err::<(), _>(CloudError { class: ErrorClass::Credentials, code: Some(code.to_owned()), ..error })
        };
        let is_kept = async |answers: &[Result<(), CloudError>]| {
            ec2.client("r").await.unwrap();
            for answer in answers {
                ec2.settle("r", answer.clone()).await.ok();
            }
            ec2.clients.lock().await.contains_key("r")
        };
        assert!(!is_kept(&[no("AuthFailure")]).await);
        assert!(is_kept(&[no("RequestExpired")]).await);
        assert!(!is_kept(&[no("RequestExpired")]).await, "the credentials themselves have ended");
        assert!(is_kept(&[no("RequestInTheFuture"), Ok(()), no("RequestExpired"), Ok(())]).await);
    }
}
