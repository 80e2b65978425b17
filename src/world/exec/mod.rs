//! Machines that a program of the user's has: one JSON line a request, one a response, over its standard input and output
//! (assets/PROVIDERS.md). A machine's id is our own name for it, so that the same launch twice makes it once.

mod link;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;

use crate::model::ids::{FleetId, InstanceId, MachineType};
use crate::model::money::Rate;
use crate::model::observed::CloudInstance;
use crate::model::settings::{AccountSettings, Market, Settings};
use crate::model::site;
use crate::world::cloud::{Cloud, CloudError, LaunchOrder, Launched, account_of, name_of};
use crate::world::exec::link::Link;
use crate::world::guard;

pub use link::{Call, PROTOCOL, environment};

/// Machines of programs, each named by an account of the settings: a site is `rack@local`.
#[derive(Debug, Default)]
pub struct Exec {
    accounts: Vec<AccountSettings>,
    /// Variables that no program gets.
    secrets: Arc<BTreeSet<String>>,
    /// By account.
    links: Mutex<BTreeMap<String, Arc<Link>>>,
}

impl Exec {
    /// With the programs that the settings' accounts name. None is started before it is called.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let secrets = Arc::new(settings.secret_variables());
        Self { accounts: settings.accounts.clone(), secrets, links: Mutex::default() }
    }

    async fn link(&self, site: &str) -> Result<Arc<Link>, CloudError> {
        let refused = || CloudError::refused(format!("{site}: no account with a program is named"));
        let account = account_of(&self.accounts, site)?.ok_or_else(refused)?;
        let program = account.program.as_deref().ok_or_else(refused)?;
        let mut links = self.links.lock().await;
        let link = links.entry(account.name.to_string());
        Ok(Arc::clone(link.or_insert_with(|| Arc::new(Link::new(Path::new(program), Arc::clone(&self.secrets))))))
    }

    /// What the program of a site can do.
    ///
    /// # Errors
    /// It cannot be started, or does not speak the protocol.
    pub async fn calls(&self, site: &str) -> Result<Vec<Call>, CloudError> {
        Ok(self.link(site).await?.greeted().await?.calls)
    }

    async fn call<T: DeserializeOwned>(
        &self,
        call: Call,
        site: &str,
        body: impl Serialize + Send,
    ) -> Result<T, CloudError> {
        self.link(site).await?.call(call, body).await
    }

    async fn machines(&self, call: Call, site: &str, machines: &[InstanceId]) -> Result<(), CloudError> {
        let body = wire::Machines { region: site::parts(site).1, machines };
        self.call::<wire::Nothing>(call, site, body).await.map(drop)
    }

    /// What the program itself lists for a fleet, before that is sifted by its tags: for a check of the program.
    ///
    /// # Errors
    /// As [`Cloud::list`].
    pub async fn told(&self, fleet: &FleetId, site: &str) -> Result<Vec<String>, CloudError> {
        let body = wire::List { fleet, region: site::parts(site).1 };
        let answer: wire::Listed = self.call(Call::List, site, body).await?;
        Ok(answer.ids())
    }

    async fn launched(&self, order: &LaunchOrder) -> Result<Vec<Launched>, CloudError> {
        let machine = |place| {
            let intent = order.intent(place);
            let id = name_of(&intent);
            let script = guard::startup_script(order, &id).map_err(|error| CloudError::refused(error.to_string()))?;
            Ok(wire::Wanted { id, tags: wire::tags(order, &intent), script })
        };
        let machines = (0..order.launch.count).map(machine).collect::<Result<Vec<_>, CloudError>>()?;
        let body = wire::Launch::new(order, machines);
        let answer: wire::Made = self.call(Call::Launch, &order.pool.site(), &body).await?;
        answer.read(order)
    }
}

#[async_trait]
impl Cloud for Exec {
    async fn list(&self, fleet: &FleetId, region: &str) -> Result<Vec<CloudInstance>, CloudError> {
        let body = wire::List { fleet, region: site::parts(region).1 };
        let answer: wire::Listed = self.call(Call::List, region, body).await?;
        answer.read(fleet, region)
    }

    async fn launch(&self, order: &LaunchOrder) -> Result<Vec<Launched>, CloudError> {
        let answer = self.launched(order).await;
        // It was told the script, and may tell it again.
        answer.map_err(|error| error.hiding(&[order.agents.token.expose()]))
    }

    async fn terminate(&self, region: &str, instances: &[InstanceId]) -> Result<(), CloudError> {
        self.machines(Call::Terminate, region, instances).await
    }

    async fn stop(&self, region: &str, instances: &[InstanceId]) -> Result<(), CloudError> {
        self.machines(Call::Stop, region, instances).await
    }

    async fn start(&self, region: &str, instances: &[InstanceId]) -> Result<(), CloudError> {
        self.machines(Call::Start, region, instances).await
    }

    async fn console(&self, region: &str, instance: &InstanceId) -> Result<String, CloudError> {
        let body = wire::Machine { region: site::parts(region).1, machine: instance };
        let answer: wire::Text = self.call(Call::Console, region, body).await?;
        Ok(answer.text)
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
        _now: Timestamp,
    ) -> Result<BTreeMap<MachineType, Rate>, CloudError> {
        let link = self.link(region).await?;
        if !link.can(Call::Prices).await? {
            return Ok(BTreeMap::new());
        }
        let body = wire::Ask { region: site::parts(region).1, types, market: market.word() };
        let answer: wire::Prices = link.call(Call::Prices, body).await?;
        answer.read(types)
    }

    async fn check(&self, region: &str) -> Result<String, CloudError> {
        let said = self.link(region).await?.greeted().await?;
        let calls: Vec<&str> = said.calls.iter().map(|call| call.word()).collect();
        Ok(format!("{} speaks protocol {}: {}", said.name, said.version, calls.join(", ")))
    }
}
