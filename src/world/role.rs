//! The least that Google's IAM must allow for the settings in use, as a custom role: what `gcloud iam roles create` takes; and
//! what the machines' own service account must be allowed, as the commands that do so.
//! Pure: nobody is asked.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::model::ids::AccountName;
use crate::model::settings::{Market, OnIdle, PoolSettings, Provider, Settings};

/// Seeing and ending machines and the disks that they leave, and what became of a call.
const ALWAYS: [&str; 7] = [
    "compute.disks.delete",
    "compute.disks.list",
    "compute.instances.delete",
    "compute.instances.get",
    "compute.instances.getSerialPortOutput",
    "compute.instances.list",
    "compute.zoneOperations.get",
];

const LAUNCH: [&str; 4] = [
    "compute.disks.create",
    "compute.instances.create",
    "compute.instances.setLabels",
    "compute.instances.setMetadata",
];

/// The role of whoever the console is in an account's project; `None`: no pool is of Google's there.
#[must_use]
pub fn console(settings: &Settings, account: Option<&AccountName>) -> Option<Value> {
    let here = |pool: &&PoolSettings| pool.provider == Provider::Gce && pool.account.as_ref() == account;
    let pools: Vec<&PoolSettings> = settings.pools.iter().filter(here).collect();
    let permissions: BTreeSet<&str> = pools.iter().flat_map(|pool| of_pool(pool)).collect();
    (!pools.is_empty()).then(|| {
        json!({
            "title": "Tidegate",
            "description": format!("What the console of fleet {} does", settings.the_loop.fleet),
            "stage": "GA",
            "includedPermissions": permissions,
        })
    })
}

/// What a pool of Google's needs.
pub(super) fn of_pool(pool: &PoolSettings) -> Vec<&'static str> {
    let gce = &pool.launch.gce;
    let own_network = pool.launch.subnets.is_empty();
    let sometimes = [
        (gce.image.is_some(), "compute.disks.setLabels"),
        (gce.image.is_some(), "compute.images.useReadOnly"),
        // Its disks are labelled when they are there.
        (gce.machine_image.is_some(), "compute.disks.get"),
        (gce.machine_image.is_some(), "compute.disks.setLabels"),
        (gce.machine_image.is_some(), "compute.machineImages.useReadOnly"),
        (own_network, "compute.networks.use"),
        (own_network && pool.public_address, "compute.networks.useExternalIp"),
        (true, "compute.subnetworks.use"),
        (pool.public_address, "compute.subnetworks.useExternalIp"),
        (!gce.network_tags.is_empty(), "compute.instances.setTags"),
        (gce.service_account.is_some(), "compute.instances.setServiceAccount"),
        (gce.service_account.is_some(), "iam.serviceAccounts.actAs"),
        (pool.on_idle == OnIdle::Stop, "compute.instances.stop"),
        (pool.on_idle == OnIdle::Stop, "compute.instances.start"),
        // Who took a machine back.
        (pool.market == Market::Spot, "compute.zoneOperations.list"),
    ];
    let sometimes = sometimes.into_iter().filter(|(needed, _)| *needed).map(|(_, permission)| permission);
    ALWAYS.into_iter().chain(LAUNCH).chain(sometimes).collect()
}

/// What makes the service account of a pool's machines one that reads what the settings name, for the boot script. Empty: it
/// reads nothing there.
#[must_use]
pub fn machine(pool: &PoolSettings) -> Vec<String> {
    let account = match pool.launch.gce.service_account.as_deref() {
        None | Some("default") => "PROJECT_NUMBER-compute@developer.gserviceaccount.com",
        Some(account) => account,
    };
    let command = |(_, place): (&str, &str)| {
        let name = place.split_once(':')?.1;
        let parts: Vec<&str> = name.split('/').collect();
        let secret = match parts.as_slice() {
            ["projects", project, "secrets", secret, ..] => format!("{secret} --project {project}"),
            _ => name.to_owned(),
        };
        Some(format!(
            "gcloud secrets add-iam-policy-binding {secret} --member serviceAccount:{account} --role \
             roles/secretmanager.secretAccessor"
        ))
    };
    pool.agent.secrets().filter_map(command).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::Revision;

    fn of(change: impl FnOnce(&mut PoolSettings)) -> String {
        let mut settings = Settings::blank(Revision::new("0"));
        let mut pool = PoolSettings { provider: Provider::Gce, ..PoolSettings::with_defaults("l4") };
        change(&mut pool);
        settings.pools = vec![pool];
        console(&settings, None).unwrap_or_default().to_string()
    }

    #[test]
    fn a_role_holds_what_the_pools_need_and_nothing_else() {
        let plain = of(|_| ());
        assert!(plain.contains("compute.instances.create") && plain.contains("compute.zoneOperations.get"));
        for (change, permission) in [
            (of(|pool| pool.on_idle = OnIdle::Stop), "compute.instances.start"),
            (of(|pool| pool.launch.gce.service_account = Some("default".to_owned())), "iam.serviceAccounts.actAs"),
            (of(|pool| pool.launch.gce.image = Some("x".to_owned())), "compute.images.useReadOnly"),
            (of(|pool| pool.launch.gce.machine_image = Some("x".to_owned())), "compute.machineImages.useReadOnly"),
            (of(|pool| pool.launch.gce.machine_image = Some("x".to_owned())), "compute.disks.get"),
            (of(|pool| pool.launch.gce.machine_image = Some("x".to_owned())), "compute.disks.setLabels"),
            (of(|pool| pool.launch.gce.network_tags = vec!["x".to_owned()]), "compute.instances.setTags"),
            (of(|pool| pool.public_address = true), "compute.subnetworks.useExternalIp"),
            (of(|pool| pool.market = Market::Spot), "compute.zoneOperations.list"),
        ] {
            assert!(change.contains(permission) && !plain.contains(permission), "{permission}: {change}");
        }
    }

    #[test]
    fn a_machine_reads_its_own_secrets_only() {
        let mut pool = PoolSettings { provider: Provider::Gce, ..PoolSettings::with_defaults("l4") };
        assert!(machine(&pool).is_empty());
        pool.launch.gce.service_account = Some("tasks@lab.iam.gserviceaccount.com".to_owned());
        pool.agent.agent_credentials = Some("secretmanager:agents".to_owned());
        pool.agent.git_credentials = Some("secretmanager:projects/keys/secrets/git/versions/3".to_owned());
        let command = |secret: &str| {
            format!(
                "gcloud secrets add-iam-policy-binding {secret} --member serviceAccount:tasks@lab.iam.gserviceaccount.com \
                 --role roles/secretmanager.secretAccessor"
            )
        };
        assert_eq!(machine(&pool), [command("agents"), command("git --project keys")]);
    }

    #[test]
    fn a_project_without_a_pool_of_googles_needs_no_role() {
        assert_eq!(of(|pool| pool.provider = Provider::Aws), "null");
        assert_eq!(of(|pool| pool.account = Some("lab".into())), "null");
    }
}
