//! What `check` tries: against moto's IAM, which holds our own policy, and against a server that knows no dry runs.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_ec2::config::{Credentials, SharedCredentialsProvider};
use serde_json::{Value, json};
use tidegate::model::settings::{Market, OnIdle, PoolSettings, Settings, SpotStrategy};
use tidegate::store::settings::SettingsFile;
use tidegate::world::aws::Ec2;
use tidegate::world::cloud::{Answer, Bid, Cloud, LaunchOrder, Right};
use tidegate::world::policy;

use crate::ec2::fake::{Machine, State, serve};
use crate::ec2::{REGION, config, ec2, order};
use crate::support::{moto, python};

/// Makes a user for each policy, hands out their keys, and lets IAM judge from then on. The first is held as it is printed,
/// to be judged as a document; moto compares no tags and no resources, so that what the users get are the actions alone.
const USERS: &str = r#"
import boto3, json, urllib.request
iam = boto3.client("iam", endpoint_url="URL", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
policy, actions = json.loads(r'''POLICY'''), json.loads(r'''ACTIONS''')
iam.create_policy(PolicyName="printed", PolicyDocument=json.dumps(policy))
for without in [None] + actions:
    name = "without-" + str(without).replace(":", "-")
    left = [action for action in actions if action != without]
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": left, "Resource": "*"}]}
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="actions", PolicyDocument=json.dumps(document))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    print(json.dumps([without, key["AccessKeyId"], key["SecretAccessKey"]]))
urllib.request.urlopen(urllib.request.Request("URL/moto-api/reset-auth", data=b"0", headers={"Content-Type": "text/plain"})).read()
"#;

/// A pool that needs every right that there is.
fn greedy() -> LaunchOrder {
    let mut order = order("check", 1);
    order.launch.market = Market::Spot;
    order.pool = PoolSettings { market: Market::Spot, on_idle: OnIdle::Stop, ..order.pool };
    order.pool.launch.spot_strategy = SpotStrategy::LowestPrice;
    order.pool.launch.disk_device = None;
    "name:amzn2-ami-hvm-2.0.*-x86_64-gp2".clone_into(&mut order.pool.launch.ami);
    "amazon".clone_into(&mut order.pool.launch.ami_owner);
    order.pool.launch.zones = vec!["us-east-1a".to_owned()];
    order
}

/// A pool for which EC2 chooses.
fn chosen() -> LaunchOrder {
    let mut order = order("check", 1);
    order.launch.market = Market::Spot;
    order.pool.market = Market::Spot;
    order.pool.launch.spot_strategy = SpotStrategy::PriceCapacityOptimized;
    order.bids = vec![Bid { machine_type: "g5.xlarge".into(), max_price: None, without: Vec::new() }];
    order
}

/// What is tried by a name that nothing has.
const ON_NOTHING: [&str; 3] = ["ec2:DeleteVolume", "ec2:CancelSpotInstanceRequests", "ec2:DeleteLaunchTemplate"];

fn settings(orders: &[LaunchOrder]) -> Settings {
    let file = SettingsFile::in_memory("[loop]\nfleet = \"research\"\n").unwrap();
    Settings { pools: orders.iter().map(|order| order.pool.clone()).collect(), ..(*file.settings()).clone() }
}

/// The actions of a policy that EC2 judges.
fn actions(policy: &Value) -> BTreeSet<String> {
    let of = |action: &Value| match action {
        Value::Array(all) => all.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>(),
        one => one.as_str().map(str::to_owned).into_iter().collect(),
    };
    let all = policy["Statement"].as_array().unwrap().iter().flat_map(|statement| of(&statement["Action"]));
    // moto judges neither the tags of a launch nor the role that Spot makes for itself.
    all.filter(|action| action.starts_with("ec2:") && action != "ec2:CreateTags").collect()
}

async fn tried(url: &str, key: &str, secret: &str, orders: &[LaunchOrder]) -> Vec<Right> {
    let credentials = SharedCredentialsProvider::new(Credentials::new(key, secret, None, None, "test"));
    let config = config(url, Duration::from_mins(1)).await.into_builder().credentials_provider(credentials).build();
    Ec2::with_config(config).rights(&"research".into(), REGION, orders).await.unwrap()
}

#[tokio::test]
async fn the_printed_policy_grants_all_that_is_tried_and_each_missing_right_is_named() {
    let moto = moto::start_with_iam();
    let orders = [greedy(), chosen()];
    let policy = policy::console(&settings(&orders), None);
    let actions = actions(&policy);
    assert!(actions.len() > 8, "{actions:?}");
    ec2(&moto.url).await.launch(&order("b1", 1)).await.unwrap();

    let folder = tempfile::tempdir().unwrap();
    let script = USERS.replace("URL", &moto.url).replace("POLICY", &policy.to_string());
    let script = script.replace("ACTIONS", &json!(actions).to_string());
    let users = python::run(&folder.path().join("clearml.conf"), &script);
    let users: Vec<Value> = users.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(users.len(), actions.len() + 1);
    for user in users {
        let rights = tried(&moto.url, user[1].as_str().unwrap(), user[2].as_str().unwrap(), &orders).await;
        let without = user[0].as_str();
        // There is nothing of ours to try that right on.
        let missing = rights.iter().filter(|right| match right.answer {
            Answer::Unclear(_) => ON_NOTHING.contains(&right.action) && without == Some(right.action),
            _ => right.answer != Answer::Granted,
        });
        let missing: BTreeSet<_> = missing.map(|right| right.action).collect();
        assert_eq!(missing, without.into_iter().collect(), "{without:?}: {rights:#?}");
        let names: BTreeSet<_> = rights.iter().map(|right| right.action.to_owned()).collect();
        // Without its image no launch can be tried.
        let untried: BTreeSet<_> = actions.difference(&names).map(String::as_str).collect();
        assert!(untried.is_empty() || without == Some("ec2:DescribeImages"), "{untried:?}");
    }
}

#[tokio::test]
async fn without_a_machine_to_try_it_on_a_no_tells_nothing() {
    let state = Arc::new(Mutex::new(State { permits: Some(vec!["RunInstances"]), ..State::default() }));
    let cloud = ec2(&serve(state.clone()).await).await;
    let ending = async || {
        let rights = cloud.rights(&"research".into(), REGION, &[order("check", 1)]).await.unwrap();
        rights.into_iter().find(|right| right.action == "ec2:TerminateInstances").unwrap().answer
    };
    assert!(matches!(ending().await, Answer::Unclear(said) if said.contains("try again when it has")));
    let tags = vec![("tidegate-fleet".to_owned(), "research".to_owned())];
    state.lock().unwrap().permits = Some(vec!["RunInstances", "DescribeInstances"]);
    state
        .lock()
        .unwrap()
        .made
        .insert("t".to_owned(), vec![Machine { id: "i-1".to_owned(), tags, ..Machine::default() }]);
    assert!(matches!(ending().await, Answer::Refused(said) if said.ends_with("not authorized.")));
}

#[tokio::test]
async fn what_a_launch_would_be_refused_for_is_told_before_it() {
    let moto =
        moto::start_with(&[("MOTO_ENABLE_AMI_VALIDATION", "1"), ("MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION", "1")]);
    let cloud = ec2(&moto.url).await;
    let mut order = order("check", 1);
    "name:nobody-made-this-*".clone_into(&mut order.pool.launch.ami);
    let long = format!("#{}", "x".repeat(40_000));
    let said = async |order: &LaunchOrder| {
        let rights = cloud.rights(&"research".into(), REGION, std::slice::from_ref(order)).await.unwrap();
        let wrong = rights.into_iter().filter_map(|right| match right.answer {
            Answer::Wrong(said) => Some(format!("{} ({}): {said}", right.action, right.of)),
            _ => None,
        });
        wrong.collect::<Vec<_>>().join("\n")
    };
    let image = said(&order).await;
    assert!(image.starts_with("ec2:DescribeImages (g5): ") && image.contains("nobody-made-this"), "{image}");
    order.pool.launch.disk_encrypted = false;
    order.pool.agent.init_script = Some(random_letters(long.len()));
    let script = said(&order).await;
    assert!(script.contains("16384"), "{script}");
    assert!(cloud.list(&"research".into(), REGION).await.unwrap().is_empty());
}

/// What no compression makes small.
fn random_letters(length: usize) -> String {
    let mut seed = 1_u64;
    let mut letter = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'a' + u8::try_from((seed >> 33) % 26).unwrap())
    };
    (0..length).map(|_| letter()).collect()
}

#[tokio::test]
async fn a_server_that_carries_out_dry_runs_is_given_none() {
    let state = Arc::new(Mutex::new(State::default()));
    let cloud = ec2(&serve(state.clone()).await).await;
    let error = cloud.rights(&"research".into(), REGION, &[order("check", 1)]).await.unwrap_err();
    assert!(error.message.contains("does not know dry runs"), "{error}");
    assert_eq!(state.lock().unwrap().launches, []);
}
