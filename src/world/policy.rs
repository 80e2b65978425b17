//! The least that IAM must allow for the settings in use, as policies that can be pasted. Pure: nobody is asked.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::model::ids::AccountName;
use crate::model::settings::{
    AccountSettings, Image, LaunchSettings, Market, OnIdle, PoolSettings, Provider, Settings,
};

/// The tag on everything that a launch makes; it is what the other rights hang on.
const FLEET_TAG: &str = "tidegate-fleet";

/// What a launch makes, and tags in the same call.
const MADE: [&str; 3] = ["instance", "network-interface", "volume"];
/// What it uses.
const USED: [&str; 5] = ["image", "key-pair", "security-group", "snapshot", "subnet"];

/// The policy of whoever the console is in an account; `None`: in the usual one.
#[must_use]
pub fn console(settings: &Settings, account: Option<&AccountName>) -> Value {
    let here = |pool: &&PoolSettings| pool.provider == Provider::Aws && pool.account.as_ref() == account;
    let pools: Vec<&PoolSettings> = settings.pools.iter().filter(here).collect();
    let fleet = settings.the_loop.fleet.as_str();
    let spot = pools.iter().any(|pool| pool.market == Market::Spot);
    let chosen = pools.iter().any(|pool| pool.cloud_chooses(pool.market));
    let made: Vec<&str> = MADE.into_iter().chain(spot.then_some("spot-instances-request")).collect();
    let mut statements = Vec::new();
    if !pools.is_empty() {
        statements.extend(machines(&pools, fleet, &made));
    }
    if !pools.is_empty() {
        statements.push(json!({
            "Sid": "SeeThePriceList",
            "Effect": "Allow",
            "Action": "pricing:GetProducts",
            "Resource": "*",
        }));
    }
    if spot {
        statements.push(json!({
            "Sid": "CancelSpotRequestsOfTheFleet",
            "Effect": "Allow",
            "Action": "ec2:CancelSpotInstanceRequests",
            "Resource": arns(&["spot-instances-request"]),
            "Condition": { "StringEquals": { format!("aws:ResourceTag/{FLEET_TAG}"): fleet } },
        }));
        statements.push(json!({
            "Sid": "MakeTheRoleOfAnAccountsFirstSpotRequest",
            "Effect": "Allow",
            "Action": "iam:CreateServiceLinkedRole",
            "Resource": "arn:aws:iam::*:role/aws-service-role/spot.amazonaws.com/AWSServiceRoleForEC2Spot",
            "Condition": { "StringEquals": { "iam:AWSServiceName": "spot.amazonaws.com" } },
        }));
    }
    if chosen {
        statements.extend(fleets(&pools, fleet, &made));
    }
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
    // Who has a key of its own enters the role with that.
    let entered = |other: &&AccountSettings| other.profile.is_none() && other.credentials.is_none();
    let accounts = settings.accounts.iter().filter(entered).filter_map(|other| other.role_arn.as_deref());
    let accounts: BTreeSet<&str> = accounts.filter(|_| account.is_none()).collect();
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

/// To have EC2 choose types and places: by templates of the fleet's own, each for one launch.
fn fleets(pools: &[&PoolSettings], fleet: &str, made: &[&str]) -> [Value; 4] {
    let regions: BTreeSet<&str> = pools.iter().map(|pool| pool.region.as_str()).collect();
    let launched: Vec<&str> = made.iter().copied().chain(USED).collect();
    let of_the_fleet = json!({ format!("aws:ResourceTag/{FLEET_TAG}"): fleet });
    let for_the_fleet = json!({ format!("aws:RequestTag/{FLEET_TAG}"): fleet });
    [
        json!({
            "Sid": "MakeATemplateForEachLaunch",
            "Effect": "Allow",
            "Action": ["ec2:CreateFleet", "ec2:CreateLaunchTemplate"],
            "Resource": arns(&["fleet", "launch-template"]),
            "Condition": { "StringEquals": for_the_fleet },
        }),
        json!({
            "Sid": "LaunchByItAndDeleteIt",
            "Effect": "Allow",
            "Action": ["ec2:CreateFleet", "ec2:DeleteLaunchTemplate", "ec2:RunInstances"],
            "Resource": arns(&["launch-template"]),
            "Condition": { "StringEquals": of_the_fleet },
        }),
        // Its machines are started with our own right to start them, and have their tags by the template: its call names none.
        json!({
            "Sid": "LeaveTheChoiceToAFleet",
            "Effect": "Allow",
            "Action": "ec2:CreateFleet",
            "Resource": arns(&launched),
            "Condition": { "StringEquals": { "aws:RequestedRegion": regions } },
        }),
        json!({
            "Sid": "TagThemAsTheyAreMade",
            "Effect": "Allow",
            "Action": "ec2:CreateTags",
            "Resource": arns(&["fleet", "launch-template"]),
            "Condition": { "StringEquals": {
                "ec2:CreateAction": ["CreateFleet", "CreateLaunchTemplate"],
                format!("aws:RequestTag/{FLEET_TAG}"): fleet,
            } },
        }),
    ]
}

/// To see, start and end the fleet's machines, and what they leave.
fn machines(pools: &[&PoolSettings], fleet: &str, made: &[&str]) -> [Value; 6] {
    let regions: BTreeSet<&str> = pools.iter().map(|pool| pool.region.as_str()).collect();
    let regions = json!(regions);
    let of_our_regions = json!({ "aws:RequestedRegion": regions });
    let chosen = pools.iter().any(|pool| pool.cloud_chooses(pool.market));
    let started = if chosen { json!(["CreateFleet", "RunInstances"]) } else { json!("RunInstances") };
    let of_the_fleet = json!({ format!("aws:ResourceTag/{FLEET_TAG}"): fleet });
    [
        json!({
            "Sid": "SeeMachines",
            "Effect": "Allow",
            "Action": see(pools),
            "Resource": "*",
            "Condition": { "StringEquals": of_our_regions },
        }),
        json!({
            "Sid": "StartMachinesOfTheFleet",
            "Effect": "Allow",
            "Action": "ec2:RunInstances",
            "Resource": arns(made),
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
            "Resource": arns(made),
            "Condition": { "StringEquals": {
                "ec2:CreateAction": started,
                format!("aws:RequestTag/{FLEET_TAG}"): fleet,
            } },
        }),
        json!({
            "Sid": "EndMachinesOfTheFleet",
            "Effect": "Allow",
            "Action": on_machines(pools),
            "Resource": arns(&["instance"]),
            "Condition": { "StringEquals": of_the_fleet },
        }),
        json!({
            "Sid": "DeleteDisksThatMachinesLeft",
            "Effect": "Allow",
            "Action": "ec2:DeleteVolume",
            "Resource": arns(&["volume"]),
            "Condition": { "StringEquals": of_the_fleet },
        }),
    ]
}

/// The role of a pool's machines: to read what the settings name, for the boot script. `None`: it reads nothing there.
#[must_use]
pub fn machine(pool: &PoolSettings) -> Option<Value> {
    let statements: Vec<Value> =
        pool.agent.secrets().filter_map(|(_, place)| read_secret(place, &pool.region)).collect();
    (!statements.is_empty()).then(|| json!({ "Version": "2012-10-17", "Statement": statements }))
}

fn read_secret(place: &str, region: &str) -> Option<Value> {
    let (store, name) = place.split_once(':')?;
    let (action, resource) = match store {
        "ssm" => ("ssm:GetParameter", format!("arn:aws:ssm:{region}:*:parameter/{}", name.trim_start_matches('/'))),
        // Six letters of the store's own stand behind the name.
        _ => ("secretsmanager:GetSecretValue", format!("arn:aws:secretsmanager:{region}:*:secret:{name}-??????")),
    };
    let resource = if name.starts_with("arn:") { name.to_owned() } else { resource };
    Some(json!({ "Effect": "Allow", "Action": action, "Resource": resource }))
}

fn see(pools: &[&PoolSettings]) -> Vec<&'static str> {
    let images = pools.iter().any(|pool| pool.launch.looks_image_up()).then_some("ec2:DescribeImages");
    let spot = pools.iter().any(|pool| pool.market == Market::Spot);
    let prices = spot.then_some("ec2:DescribeSpotPriceHistory");
    let spot = spot.then_some("ec2:DescribeSpotInstanceRequests");
    let chosen = pools.iter().any(|pool| pool.cloud_chooses(pool.market)).then_some("ec2:DescribeLaunchTemplates");
    let machines = ["ec2:DescribeInstances"].into_iter().chain(chosen).chain(spot);
    images.into_iter().chain(machines).chain(prices).chain(["ec2:DescribeVolumes"]).collect()
}

fn on_machines(pools: &[&PoolSettings]) -> Vec<&'static str> {
    let stops = pools.iter().any(|pool| pool.on_idle == OnIdle::Stop);
    let switches = ["ec2:StartInstances", "ec2:StopInstances"].into_iter().filter(|_| stops);
    ["ec2:GetConsoleOutput"].into_iter().chain(switches).chain(["ec2:TerminateInstances"]).collect()
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
        serde_json::to_string_pretty(&console(&SettingsFile::in_memory(&text).unwrap().settings(), None)).unwrap()
    }

    #[test]
    fn the_least_for_the_reference_settings() {
        insta::assert_snapshot!("reference", of(""));
    }

    #[test]
    fn a_machine_reads_its_own_secrets_only() {
        let mut pool = PoolSettings { region: "eu-west-1".to_owned(), ..PoolSettings::with_defaults("p") };
        assert_eq!(machine(&pool), None);
        pool.agent.agent_credentials = Some("ssm:/tidegate/agents".to_owned());
        pool.agent.git_credentials = Some("secretsmanager:git".to_owned());
        let statement =
            |action: &str, resource: &str| json!({ "Effect": "Allow", "Action": action, "Resource": resource });
        let ssm = statement("ssm:GetParameter", "arn:aws:ssm:eu-west-1:*:parameter/tidegate/agents");
        let git = "arn:aws:secretsmanager:eu-west-1:*:secret:git-??????";
        let git = statement("secretsmanager:GetSecretValue", git);
        assert_eq!(machine(&pool).unwrap()["Statement"], json!([ssm, git]));
        let arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:git-AbCdEf";
        pool.agent.agent_credentials = None;
        pool.agent.git_credentials = Some(format!("secretsmanager:{arn}"));
        assert_eq!(machine(&pool).unwrap()["Statement"][0]["Resource"], arn);
    }

    #[test]
    fn a_right_is_asked_for_only_where_a_pool_needs_it() {
        let settings = |pool: &str| {
            let text = format!(
                "[loop]\nfleet = \"x\"\n[pool.p]\nprovider = \"aws\"\nregion = \"eu-west-1\"\ntypes = [\"m5.large\"]\n{pool}\n"
            );
            console(&SettingsFile::in_memory(&text).unwrap().settings(), None).to_string()
        };
        let bare = settings("ami = \"ami-1\"");
        for right in [
            "PassRole",
            "ssm:",
            "CreateFleet",
            "LaunchTemplate",
            "spot",
            "Spot",
            "DescribeImages",
            "StopInstances",
            "AssumeRole",
        ] {
            assert!(!bare.contains(right), "{right}");
        }
        for (pool, right) in [
            ("ami = \"ami-1\"\ndisk_gb = 100", "ec2:DescribeImages"),
            ("ami = \"name:golden*\"", "ec2:DescribeImages"),
            ("ami = \"ami-1\"\nmarket = \"spot\"", "arn:aws:ec2:*:*:spot-instances-request/*"),
            ("ami = \"ami-1\"\nmarket = \"spot\"", "iam:CreateServiceLinkedRole"),
            ("ami = \"ami-1\"\nmarket = \"spot\"", "ec2:DescribeSpotPriceHistory"),
            ("ami = \"ami-1\"\nmarket = \"spot\"", "\"ec2:CancelSpotInstanceRequests\""),
            ("ami = \"ami-1\"\nmarket = \"spot\"\nspot_strategy = \"price-capacity-optimized\"", "ec2:CreateFleet"),
            (
                "ami = \"ami-1\"\nmarket = \"spot\"\nspot_strategy = \"price-capacity-optimized\"",
                "ec2:DescribeLaunchTemplates",
            ),
            ("ami = \"ami-1\"\non_idle = \"stop\"", "\"ec2:StartInstances\",\"ec2:StopInstances\""),
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

    #[test]
    fn each_account_has_its_own_and_the_usual_one_may_enter_the_roles() {
        let text = "[loop]\nfleet = \"x\"\n[account.lab]\nrole_arn = \"arn:aws:iam::111122223333:role/lab\"\n\
                    [account.own]\nprofile = \"own\"\nrole_arn = \"arn:aws:iam::444455556666:role/own\"\n\
                    [pool.p]\nprovider = \"aws\"\naccount = \"lab\"\nregion = \"eu-west-1\"\n\
                    types = [\"m5.large\"]\nami = \"ami-1\"\n";
        let settings = SettingsFile::in_memory(text).unwrap().settings();
        let usual = console(&settings, None);
        assert_eq!(usual["Statement"].as_array().unwrap().len(), 1, "{usual}");
        assert_eq!(usual["Statement"][0]["Resource"], json!(["arn:aws:iam::111122223333:role/lab"]));
        let lab = console(&settings, Some(&"lab".into())).to_string();
        assert!(lab.contains("ec2:RunInstances") && !lab.contains("sts:"), "{lab}");
    }
}
