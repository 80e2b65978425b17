//! What the credentials permit. Google tells of a project which permissions whoever asks has; nothing is tried on a machine.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::json;

use crate::model::settings::PoolSettings;
use crate::world::cloud::{Answer, CloudError, LaunchOrder, Right};
use crate::world::gce::Site;
use crate::world::gce::error::{is_of_caller, unreadable};
use crate::world::gce::price_list;
use crate::world::gce::rest::{Service, switched_on_by};
use crate::world::role;

const CALL: &str = "projects.testIamPermissions";

/// Tells what a caller may do in a project.
static RESOURCE_MANAGER: Service = Service {
    name: "cloudresourcemanager.googleapis.com",
    variable: "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDRESOURCEMANAGER",
};

/// The permission to ask is nobody's: everyone may, where the service is on.
const ASKING: &str = "cloudresourcemanager.projects.testIamPermissions";

#[derive(Debug, Deserialize)]
struct Has {
    #[serde(default)]
    permissions: BTreeSet<String>,
}

/// Which of the permissions that `orders`, all of one site, need are there.
pub(super) async fn tried(site: &Site, orders: &[LaunchOrder]) -> Result<Vec<Right>, CloudError> {
    let pools: Vec<&PoolSettings> = orders.iter().map(|order| &order.pool).collect();
    let needed = needed(&pools, &site.project);
    let mut rights = Vec::new();
    match asked(site, needed.keys().copied().collect()).await {
        Ok(has) => {
            let right = |(action, elsewhere)| {
                let answer = answer(action, has.contains(action), elsewhere);
                Right { action, of: String::new(), answer }
            };
            rights.extend(needed.into_iter().map(right));
        }
        Err(error) if is_of_caller(&error) => return Err(error),
        Err(error) => {
            let hint = switched_on_by(&RESOURCE_MANAGER, &error, &site.project);
            let said = format!("no right could be tried: {error}{hint}");
            rights.push(Right { action: ASKING, of: String::new(), answer: Answer::Unclear(said) });
        }
    }
    rights.push(price_list::see(site).await);
    Ok(rights)
}

async fn asked(site: &Site, permissions: Vec<&str>) -> Result<BTreeSet<String>, CloudError> {
    let path = format!("/v1/projects/{}:testIamPermissions", site.project);
    let text = site.rest(&RESOURCE_MANAGER)?.post(CALL, &path, &json!({ "permissions": permissions })).await?;
    let has: Has = serde_json::from_str(&text).map_err(|error| unreadable(CALL, &error.to_string()))?;
    Ok(has.permissions)
}

/// What the pools need, and what it may be granted on in the place of the project.
fn needed(pools: &[&PoolSettings], project: &str) -> BTreeMap<&'static str, Option<&'static str>> {
    let mut needed: BTreeMap<&'static str, Option<&'static str>> = BTreeMap::new();
    for pool in pools {
        for permission in role::of_pool(pool) {
            let elsewhere = elsewhere(pool, permission, project);
            let known = needed.entry(permission).or_insert(elsewhere);
            *known = known.and(elsewhere);
        }
    }
    needed
}

/// What a permission may be granted on alone, beside the project: what is of another project, and service accounts.
fn elsewhere(pool: &PoolSettings, permission: &str, project: &str) -> Option<&'static str> {
    let own = format!("projects/{project}/");
    let others = |path: Option<&String>| path.is_some_and(|path| path.contains("projects/") && !path.contains(&own));
    let (gce, begins) = (&pool.launch.gce, |prefix: &str| permission.starts_with(prefix));
    if begins("iam.serviceAccounts.") {
        Some("the service account itself")
    } else if begins("compute.subnetworks.") && others(pool.launch.subnets.first()) {
        Some("the project of the subnet")
    } else if begins("compute.images.") && others(gce.image.as_ref()) {
        Some("the project of the image")
    } else if begins("compute.machineImages.") && others(gce.machine_image.as_ref()) {
        Some("the project of the machine image")
    } else {
        None
    }
}

fn answer(permission: &str, has: bool, elsewhere: Option<&str>) -> Answer {
    let role = predefined(permission);
    match (has, elsewhere) {
        (true, _) => Answer::Granted,
        (false, Some(on)) => {
            Answer::Unclear(format!("it is not granted on the project, but may be on {on} (by {role})"))
        }
        (false, None) => Answer::Refused(format!("{role} holds it; `tidegate policy` prints the least role")),
    }
}

/// A role of Google's own that holds a permission.
fn predefined(permission: &str) -> &'static str {
    match permission {
        "iam.serviceAccounts.actAs" => "roles/iam.serviceAccountUser",
        _ if permission.starts_with("compute.networks.") || permission.starts_with("compute.subnetworks.") => {
            "roles/compute.networkUser"
        }
        _ => "roles/compute.instanceAdmin.v1",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::settings::Provider;

    fn pool(subnet: &str) -> PoolSettings {
        let mut pool = PoolSettings { provider: Provider::Gce, ..PoolSettings::with_defaults("l4") };
        pool.launch.subnets = vec![subnet.to_owned()];
        pool.launch.gce.image = Some("projects/p/global/images/x".to_owned());
        pool.launch.gce.service_account = Some("default".to_owned());
        pool
    }

    #[test]
    fn what_may_be_granted_elsewhere_is_no_certain_no() {
        let (own, shared) = (pool("tasks"), pool("projects/host/regions/us-central1/subnetworks/tasks"));
        let of = |pools: &[&PoolSettings], permission: &str| needed(pools, "p").get(permission).copied();
        assert_eq!(of(&[&shared], "compute.subnetworks.use"), Some(Some("the project of the subnet")));
        assert_eq!(of(&[&shared, &own], "compute.subnetworks.use"), Some(None), "one needs it here");
        assert_eq!(of(&[&own, &shared], "compute.subnetworks.use"), Some(None));
        assert_eq!(of(&[&own], "compute.images.useReadOnly"), Some(None), "the image is of this project");
        assert_eq!(of(&[&own], "iam.serviceAccounts.actAs"), Some(Some("the service account itself")));
        assert_eq!(of(&[&own], "compute.instances.start"), None);
        let unclear = answer("iam.serviceAccounts.actAs", false, Some("the service account itself"));
        assert!(matches!(unclear, Answer::Unclear(said) if said.ends_with("(by roles/iam.serviceAccountUser)")));
        assert_eq!(answer("compute.instances.list", true, None), Answer::Granted);
    }
}
