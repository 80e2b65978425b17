//! EC2 through the official SDK: against moto, a proxy that spoils its answers, and a fake for what moto gets wrong.

mod accounts;
mod autoscaler;
mod disks;
mod fake;
mod fake_cloud;
mod fake_fleet;
mod faults;
mod fields;
mod fleet;
mod real;
mod rights;
mod spot;

use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_ec2::config::Credentials;
use aws_smithy_types::timeout::TimeoutConfig;
use jiff::SignedDuration;
use tidegate::model::ids::{IntentId, Revision, Term};
use tidegate::model::money::Money;
use tidegate::model::plan::Launch;
use tidegate::model::settings::{LaunchSettings, Market, PoolSettings};
use tidegate::world::aws::Ec2;
use tidegate::world::cloud::{AgentAccess, LaunchOrder};
use tidegate::world::secret::Secret;

use crate::ec2::fake::{LATE, Twist};

const REGION: &str = "us-east-1";

async fn config(url: &str, call_timeout: Duration) -> SdkConfig {
    // A loaded machine may let moto think for a while: an attempt may take the whole time.
    let timeouts =
        TimeoutConfig::builder().operation_timeout(call_timeout).operation_attempt_timeout(call_timeout).build();
    aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(url)
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .timeout_config(timeouts)
        .load()
        .await
}

/// Our EC2 side on a server of the test's.
async fn ec2(url: &str) -> Ec2 {
    Ec2::with_config(config(url, Duration::from_mins(1)).await)
}

/// The same for the launch that meets such a twist: it waits no longer than a late answer takes, the others do.
async fn first_of(twist: Twist, url: &str) -> Ec2 {
    if twist == Twist::Late { Ec2::with_config(config(url, LATE / 2).await) } else { ec2(url).await }
}

fn order(batch: &str, count: u32) -> LaunchOrder {
    LaunchOrder {
        fleet: "research".into(),
        batch: IntentId::from(batch),
        launch: Launch {
            pool: "g5".into(),
            queue: "gpu large".into(),
            machine_type: "g5.xlarge".into(),
            market: Market::OnDemand,
            count,
            vcpu: 4,
            gpu: 1,
            rate: None,
            reservation: Money::ZERO,
            choices: Vec::new(),
        },
        pool: PoolSettings {
            region: REGION.to_owned(),
            types: vec!["g5.xlarge".into()],
            max_boot: SignedDuration::from_mins(10),
            launch: LaunchSettings {
                ami: "ami-12345678".to_owned(),
                disk_gb: Some(120),
                disk_device: Some("/dev/sda1".to_owned()),
                tags: [("team".to_owned(), "vision".to_owned()), ("tidegate-pool".to_owned(), "theirs".to_owned())]
                    .into(),
                ..LaunchSettings::default()
            },
            ..PoolSettings::with_defaults("g5")
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
