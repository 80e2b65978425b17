//! How far a quota is used that a launch would have passed. EC2's no names the limit alone; what is in use is counted
//! from all of the account's machines that the quota holds, ours and others.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{Filter, Instance, InstanceLifecycleType, InstanceStateName, Reservation};

use crate::model::ids::MachineType;
use crate::model::settings::Market;
use crate::model::snapshot::Quota;
use crate::world::cloud::{CloudError, LaunchOrder};

/// The error with its quota, where it names one and the account's machines can be counted.
pub(super) async fn told(client: &Client, order: &LaunchOrder, error: CloudError) -> CloudError {
    let unit = match error.code.as_deref() {
        Some("VcpuLimitExceeded") => "vCPU",
        Some("InstanceLimitExceeded") => "instances",
        _ => return error,
    };
    let Some(limit) = limit(&error.message) else { return error };
    let Some(in_use) = in_use(client, order, unit).await else { return error };
    let quota = Quota { limit, in_use, unit: unit.to_owned() };
    CloudError { message: format!("{}; {quota} in use", error.message), quota: Some(quota), ..error }
}

/// The number in `... than your current vCPU limit of 32 allows ...`.
fn limit(message: &str) -> Option<u32> {
    let (_, rest) = message.split_once(" limit of ")?;
    let digits: String = rest.chars().take_while(|letter| letter.is_ascii_digit() || *letter == ',').collect();
    digits.replace(',', "").parse().ok()
}

/// `None`: the cloud does not say it.
async fn in_use(client: &Client, order: &LaunchOrder, unit: &str) -> Option<u32> {
    let states = [InstanceStateName::Pending, InstanceStateName::Running].map(|state| state.as_str().to_owned());
    let up = Filter::builder().name("instance-state-name").set_values(Some(states.into())).build();
    let mut pages = client.describe_instances().filters(up).into_paginator().send();
    let mut used = 0_u32;
    while let Some(page) = pages.next().await {
        let page = page.ok()?;
        for instance in page.reservations().iter().flat_map(Reservation::instances) {
            if is_held(instance, order, unit) {
                used = used.saturating_add(if unit == "vCPU" { vcpu(instance)? } else { 1 });
            }
        }
    }
    Some(used)
}

/// Whether the quota that refused the order holds this machine.
fn is_held(instance: &Instance, order: &LaunchOrder, unit: &str) -> bool {
    let spot = instance.instance_lifecycle() == Some(&InstanceLifecycleType::Spot);
    let Some(machine_type) = instance.instance_type().map(|kind| MachineType::from(kind.as_str())) else {
        return false;
    };
    let wanted = &order.launch.machine_type;
    let alike =
        if unit == "vCPU" { machine_type.quota_family() == wanted.quota_family() } else { machine_type == *wanted };
    alike && spot == (order.launch.market == Market::Spot)
}

fn vcpu(instance: &Instance) -> Option<u32> {
    let options = instance.cpu_options()?;
    u32::try_from(options.core_count()?.checked_mul(options.threads_per_core()?)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_limit_is_in_the_words_of_the_no() {
        for (said, expected) in [
            (
                "You have requested more vCPU capacity than your current vCPU limit of 32 allows for the bucket",
                Some(32),
            ),
            ("more instances (5) than your current instance limit of 1,024 allows", Some(1_024)),
            ("Max spot instance count exceeded", None),
            ("limit of none", None),
            (" limit of none", None),
        ] {
            assert_eq!(limit(said), expected, "{said}");
        }
    }

    proptest! {
        #[test]
        fn any_words_have_a_limit_or_none(text in ".*") {
            let _ = limit(&text);
            let _ = limit(&format!("x limit of {text}"));
        }
    }
}
