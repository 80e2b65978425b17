//! What someone with the cloud's own console sees and does on a test's EC2, beside the program under test.

use aws_config::{BehaviorVersion, Region};
use aws_sdk_ec2::Client;
use aws_sdk_ec2::config::Credentials;
use aws_sdk_ec2::operation::describe_instances::DescribeInstancesOutput;
use aws_sdk_ec2::types::{Instance, InstanceAttributeName, Reservation};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

pub(crate) const REGION: &str = "us-east-1";

/// One machine, as EC2 lists it.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) id: String,
    pub(crate) state: String,
    pub(crate) machine_type: String,
    pub(crate) launched: Timestamp,
    /// When its end was asked for, out of the words of its transition.
    pub(crate) ended: Option<Timestamp>,
    /// The value of `tidegate-queue`.
    pub(crate) queue: String,
    /// The value of `tidegate-intent`, and the machine's place in its launch.
    pub(crate) intent: (String, i32),
}

impl Listed {
    pub(crate) fn is_up(&self) -> bool {
        ["pending", "running"].contains(&self.state.as_str())
    }
}

/// A blocking client.
#[derive(Debug)]
pub(crate) struct Ec2Console {
    client: Client,
    runtime: tokio::runtime::Runtime,
}

impl Ec2Console {
    pub(crate) fn new(url: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let config = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .endpoint_url(url)
            .credentials_provider(Credentials::new("test", "test", None, None, "test"));
        let client = Client::new(&runtime.block_on(config.load()));
        Self { client, runtime }
    }

    /// Every machine, the ended ones included.
    pub(crate) fn machines(&self) -> Vec<Listed> {
        let pages = self.client.describe_instances().into_paginator().send().collect::<Result<Vec<_>, _>>();
        let pages = self.runtime.block_on(pages).unwrap();
        let reservations = pages.iter().flat_map(DescribeInstancesOutput::reservations);
        reservations.flat_map(Reservation::instances).map(listed).collect()
    }

    /// What the machine was given to run, as EC2 received it.
    pub(crate) fn user_data(&self, id: &str) -> String {
        let asked = self.client.describe_instance_attribute().instance_id(id);
        let answer = self.runtime.block_on(asked.attribute(InstanceAttributeName::UserData).send()).unwrap();
        answer.user_data().unwrap().value().unwrap().to_owned()
    }

    pub(crate) fn terminate(&self, id: &str) {
        self.runtime.block_on(self.client.terminate_instances().instance_ids(id).send()).unwrap();
    }
}

fn listed(instance: &Instance) -> Listed {
    let tag = |key: &str| instance.tags().iter().find(|tag| tag.key() == Some(key)).and_then(|tag| tag.value());
    let launched = instance.launch_time().unwrap();
    Listed {
        id: instance.instance_id().unwrap().to_owned(),
        state: instance.state().unwrap().name().unwrap().as_str().to_owned(),
        machine_type: instance.instance_type().unwrap().as_str().to_owned(),
        launched: Timestamp::new(launched.secs(), launched.subsec_nanos().try_into().unwrap()).unwrap(),
        ended: instance.state_transition_reason().and_then(time_in_brackets),
        queue: tag("tidegate-queue").unwrap_or_default().to_owned(),
        intent: (
            tag("tidegate-intent").unwrap_or_default().to_owned(),
            instance.ami_launch_index().unwrap_or_default(),
        ),
    }
}

/// `User initiated (2026-11-24 12:00:00 UTC)`.
fn time_in_brackets(text: &str) -> Option<Timestamp> {
    let (_, inside) = text.split_once('(')?;
    let time = DateTime::strptime("%Y-%m-%d %H:%M:%S", inside.get(..19)?).ok()?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
}
