//! The least that IAM must allow for the settings in use, as policies that can be pasted. Pure: nobody is asked.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::model::settings::{Image, LaunchSettings, Market, PoolSettings, Provider, Settings};

/// The tag on everything that a launch makes; it is what the other rights hang on.
const FLEET_TAG: &str = "tidegate-fleet";

/// What a launch makes, and tags in the same call.
const MADE: [&str; 3] = ["instance", "network-interface", "volume"];
/// What it uses.
const USED: [&str; 5] = ["image", "key-pair", "security-group", "snapshot", "subnet"];

/// The policy of whoever runs the console.
#[must_use]
pub fn console(settings: &Settings) -> Value {
    let pools: Vec<&PoolSettings> = settings.pools.iter().filter(|pool| pool.provider == Provider::Aws).collect();
    let fleet = settings.the_loop.fleet.as_str();
    let regions: BTreeSet<&str> = pools.iter().map(|pool| pool.region.as_str()).collect();
    let regions = json!(regions);
    let spot = pools.iter().any(|pool| pool.market == Market::Spot);
    let made: Vec<&str> = MADE.into_iter().chain(spot.then_some("spot-instances-request")).collect();
    let of_our_regions = json!({ "aws:RequestedRegion": regions });
    let mut statements = vec![
        json!({
            "Sid": "SeeMachines",
            "Effect": "Allow",
            "Action": see(&pools),
            "Resource": "*",
            "Condition": { "StringEquals": of_our_regions },
        }),
        json!({
            "Sid": "StartMachinesOfTheFleet",
            "Effect": "Allow",
            "Action": "ec2:RunInstances",
            "Resource": arns(&made),
            "Condition": { "StringEquals": {
                "aws:RequestedRegion": regions,
                format!("aws:RequestTag/{FLEET_TAG}"): fleet,
            } },
        }),
        json!({
            "Sid": "StartThemFrom",
            "Effect": "Allow",
            "Action": "ec2:RunInstances",
            "Resource": arns(&USED),
            "Condition": { "StringEquals": of_our_regions },
        }),
        json!({
            "Sid": "TagThemAsTheyStart",
            "Effect": "Allow",
            "Action": "ec2:CreateTags",
            "Resource": arns(&made),
            "Condition": { "StringEquals": {
                "ec2:CreateAction": "RunInstances",
                format!("aws:RequestTag/{FLEET_TAG}"): fleet,
            } },
        }),
        json!({
            "Sid": "EndMachinesOfTheFleet",
            "Effect": "Allow",
            "Action": ["ec2:GetConsoleOutput", "ec2:TerminateInstances"],
            "Resource": arns(&["instance"]),
            "Condition": { "StringEquals": { format!("aws:ResourceTag/{FLEET_TAG}"): fleet } },
        }),
    ];
    let parameters: BTreeSet<String> = pools.iter().filter_map(|pool| parameter(pool)).collect();
    if !parameters.is_empty() {
        statements.push(json!({
            "Sid": "FindImages",
            "Effect": "Allow",
            "Action": "ssm:GetParameters",
            "Resource": parameters,
        }));
    }
    let roles: BTreeSet<String> = pools.iter().filter_map(|pool| role(&pool.launch)).collect();
    if !roles.is_empty() {
        statements.push(json!({
            "Sid": "GiveMachinesTheirRole",
            "Effect": "Allow",
            "Action": "iam:PassRole",
            "Resource": roles,
            "Condition": { "StringEquals": { "iam:PassedToService": "ec2.amazonaws.com" } },
        }));
    }
    let accounts: BTreeSet<&str> = settings.accounts.iter().filter_map(|account| account.role_arn.as_deref()).collect();
    if !accounts.is_empty() {
        statements.push(json!({
            "Sid": "ActInOtherAccounts",
            "Effect": "Allow",
            "Action": "sts:AssumeRole",
            "Resource": accounts,
        }));
    }
    json!({ "Version": "2012-10-17", "Statement": statements })
}

fn see(pools: &[&PoolSettings]) -> Vec<&'static str> {
    let looks_up = |pool: &&PoolSettings| match pool.launch.image() {
        Image::Name(_) => true,
        // The name of its root disk.
        Image::Id(_) => pool.launch.sets_disk() && pool.launch.disk_device.is_none(),
        Image::Parameter(_) => false,
    };
    let images = pools.iter().any(looks_up).then_some("ec2:DescribeImages");
    images.into_iter().chain(["ec2:DescribeInstances"]).collect()
}

fn arns(kinds: &[&str]) -> Vec<String> {
    // Images and public snapshots are of no account of ours.
    kinds.iter().map(|kind| format!("arn:aws:ec2:*:*:{kind}/*")).collect()
}

fn parameter(pool: &PoolSettings) -> Option<String> {
    let Image::Parameter(name) = pool.launch.image() else { return None };
    // A version or a label behind the name is no part of it.
    let name = name.split(':').next().unwrap_or(name).trim_start_matches('/');
    let account = if name.starts_with("aws/service/") { "" } else { "*" };
    Some(format!("arn:aws:ssm:{}:{account}:parameter/{name}", pool.region))
}

/// The role of an instance profile. They have one name, unless somebody made them apart.
fn role(launch: &LaunchSettings) -> Option<String> {
    let profile = launch.instance_profile.as_deref()?;
    Some(match profile.strip_prefix("arn:") {
        Some(_) => profile.replacen(":instance-profile/", ":role/", 1),
        None => format!("arn:aws:iam::*:role/{profile}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::settings::reference;
    use crate::store::settings::SettingsFile;

    fn of(edits: &str) -> String {
        let text = format!("{}\n{edits}", reference::toml());
        serde_json::to_string_pretty(&console(&SettingsFile::in_memory(&text).unwrap().settings())).unwrap()
    }

    #[test]
    fn the_least_for_the_reference_settings() {
        insta::assert_snapshot!("reference", of(""));
    }

    #[test]
    fn a_right_is_asked_for_only_where_a_pool_needs_it() {
        let settings = |pool: &str| {
            let text = format!(
                "[loop]\nfleet = \"x\"\n[pool.p]\nprovider = \"aws\"\nregion = \"eu-west-1\"\ntypes = [\"m5.large\"]\n{pool}\n"
            );
            console(&SettingsFile::in_memory(&text).unwrap().settings()).to_string()
        };
        let bare = settings("ami = \"ami-1\"");
        for right in ["PassRole", "ssm:", "spot-instances-request", "DescribeImages", "StopInstances"] {
            assert!(!bare.contains(right), "{right}");
        }
        for (pool, right) in [
            ("ami = \"ami-1\"\ndisk_gb = 100", "ec2:DescribeImages"),
            ("ami = \"name:golden*\"", "ec2:DescribeImages"),
            ("ami = \"ami-1\"\nmarket = \"spot\"", "arn:aws:ec2:*:*:spot-instances-request/*"),
            (
                "ami = \"ssm:/aws/service/x:3\"\ndisk_device = \"/dev/sda1\"",
                "arn:aws:ssm:eu-west-1::parameter/aws/service/x\"",
            ),
            ("ami = \"ssm:golden\"\ndisk_device = \"/dev/sda1\"", "arn:aws:ssm:eu-west-1:*:parameter/golden\""),
            ("ami = \"ami-1\"\ninstance_profile = \"tasks\"", "\"arn:aws:iam::*:role/tasks\""),
            (
                "ami = \"ami-1\"\ninstance_profile = \"arn:aws:iam::123456789012:instance-profile/tasks\"",
                "\"arn:aws:iam::123456789012:role/tasks\"",
            ),
        ] {
            assert!(settings(pool).contains(right), "{pool}: {}", settings(pool));
        }
    }
}
