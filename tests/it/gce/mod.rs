//! Compute Engine through its official client, against a server of ours that Google's own description and its own types judge.

mod expiry;
pub(crate) mod fake;
mod fields;
mod judge;
mod launches;
mod leftovers;
mod machines;
mod newcomers;
mod preempted;
mod prices;
mod rights;
mod schema;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::{Extensions, HeaderMap, HeaderValue};
use google_cloud_auth::credentials::{CacheableResource, Credentials, CredentialsProvider, EntityTag};
use google_cloud_auth::errors::CredentialsError;
use jiff::SignedDuration;
use tidegate::model::ids::{IntentId, Revision, Term};
use tidegate::model::money::Money;
use tidegate::model::plan::Launch;
use tidegate::model::settings::{GceSettings, LaunchSettings, Market, PoolSettings, Provider};
use tidegate::world::cloud::{AgentAccess, LaunchOrder};
use tidegate::world::gce::{Gce, Patience};
use tidegate::world::secret::Secret;

use crate::gce::fake::{Fake, TOKEN};

const REGION: &str = "us-central1";
const PROJECT: &str = "proj-1";

/// Credentials with a token that a test may change.
#[derive(Debug, Clone)]
struct Bearer(Arc<Mutex<String>>);

impl CredentialsProvider for Bearer {
    async fn headers(&self, _: Extensions) -> Result<CacheableResource<HeaderMap>, CredentialsError> {
        let token = HeaderValue::from_str(&format!("Bearer {}", self.0.lock().unwrap())).unwrap();
        let data = HeaderMap::from_iter([(axum::http::header::AUTHORIZATION, token)]);
        Ok(CacheableResource::New { entity_tag: EntityTag::new(), data })
    }

    async fn universe_domain(&self) -> Option<String> {
        None
    }
}

/// How often it asks suits a test.
fn patience(launch: Duration, other: Duration) -> Patience {
    Patience { launch, other, first_pause: Duration::from_millis(5), longest_pause: Duration::from_millis(50) }
}

/// Our side, on the test's server.
fn gce(fake: &Fake) -> Gce {
    gce_with(fake, &Arc::new(Mutex::new(TOKEN.to_owned())))
}

fn gce_with(fake: &Fake, token: &Arc<Mutex<String>>) -> Gce {
    let credentials = Credentials::from(Bearer(token.clone()));
    // A loaded machine may let the judges of bodies think for a while.
    let patience = patience(Duration::from_mins(1), Duration::from_mins(1));
    Gce::with_endpoint(&fake.url, PROJECT, credentials).with_patience(patience)
}

/// The same with a patience that ends within a test: for what is not to end before it.
fn hasty(fake: &Fake) -> Gce {
    gce(fake).with_patience(patience(Duration::from_secs(3), Duration::from_millis(1_500)))
}

fn order(batch: &str, count: u32) -> LaunchOrder {
    LaunchOrder {
        fleet: "research".into(),
        batch: IntentId::from(batch),
        launch: Launch {
            pool: "L4".into(),
            queue: "gpu large".into(),
            machine_type: "g2-standard-4".into(),
            market: Market::OnDemand,
            count,
            vcpu: 4,
            gpu: 1,
            rate: None,
            reservation: Money::ZERO,
            choices: Vec::new(),
        },
        pool: PoolSettings {
            provider: Provider::Gce,
            region: REGION.to_owned(),
            types: vec!["g2-standard-4".into()],
            max_boot: SignedDuration::from_mins(10),
            launch: LaunchSettings {
                zones: ["a", "b", "c"].map(|zone| format!("{REGION}-{zone}")).into(),
                gce: GceSettings { image: Some("family/tasks".to_owned()), ..GceSettings::default() },
                ..LaunchSettings::default()
            },
            ..PoolSettings::with_defaults("L4")
        },
        revision: Revision::new("abc"),
        term: Term(7),
        queues: vec!["gpu large".into()],
        agents: AgentAccess {
            api_server: "https://api.example.com".to_owned(),
            token: Secret::new("t0ken-of-the-agents"),
        },
        bids: Vec::new(),
    }
}
