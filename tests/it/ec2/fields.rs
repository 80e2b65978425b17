//! Every launch field of ClearML's AWS autoscaler (FEATURES rows 19 to 41): the setting, what it is on the wire, and
//! what is said of a wrong value.

use std::io::Read;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use flate2::read::GzDecoder;
use tidegate::model::ids::MachineType;
use tidegate::model::settings::run_instances::{MEMBERS, Takes, in_template};
use tidegate::model::settings::{Edit, Settings};
use tidegate::model::snapshot::ErrorClass;
use tidegate::store::settings::SettingsFile;
use tidegate::world::cloud::{Bid, Cloud, LaunchOrder};

use crate::ec2::fake::{Form, Image, State, serve};
use crate::ec2::{ec2, order};

const BASE: &str = r#"
[loop]
fleet = "research"
[account.lab]
[queue.train]
pools = ["g5"]
[pool.g5]
provider = "aws"
region = "us-east-1"
types = ["g5.xlarge"]
ami = "ami-0aa"
"#;

/// One field.
struct Row {
    /// The row of the list of features.
    feature: u32,
    key: &'static str,
    value: &'static str,
    /// Other settings that it needs.
    with: &'static [(&'static str, &'static str)],
    /// Parameters of the launch call; in `UserData` the text is looked for in the script.
    wire: &'static [(&'static str, &'static str)],
    wrong: &'static str,
    said: &'static str,
}

const fn row(
    feature: u32,
    key: &'static str,
    value: &'static str,
    wire: &'static [(&'static str, &'static str)],
    wrong: &'static str,
    said: &'static str,
) -> Row {
    Row { feature, key, value, with: &[], wire, wrong, said }
}

const PINNED: &str =
    "clearml-agent==3.0.3 --hash=sha256:b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c";
const SPOT: &[(&str, &str)] = &[("market", "spot")];

const ROWS: &[Row] = &[
    row(19, "types", "g5.xlarge, g5.2xlarge", &[("InstanceType", "g5.xlarge")], "", "is empty"),
    row(22, "ami", "ami-0bb", &[("ImageId", "ami-0bb")], "ubuntu", "`ubuntu` is not an image"),
    row(22, "ami", "name:gpu-*", &[("ImageId", "ami-new")], "name:*", "`name:*` is not an image"),
    row(22, "ami", "ssm:/golden/gpu", &[("ImageId", "resolve:ssm:/golden/gpu")], "ssm:", "`ssm:` is not an image"),
    Row {
        with: &[("ami", "name:gpu-*")],
        ..row(22, "ami_owner", "amazon", &[("ImageId", "ami-amazon")], "me", "`me` is not whose images")
    },
    row(23, "zones", "us-east-1b", &[("Placement.AvailabilityZone", "us-east-1b")], "b c", "`b c` is not a zone"),
    row(23, "subnets", "subnet-0a", &[("SubnetId", "subnet-0a")], "a b", "`a b` is not a subnet"),
    Row {
        with: &[("zones", "us-east-1a, us-east-1b")],
        ..row(
            23,
            "subnets",
            "subnet-0a, subnet-0b",
            &[("SubnetId", "subnet-0a")],
            "subnet-0a",
            "do not match 1 subnets",
        )
    },
    row(
        25,
        "security_groups",
        "sg-0a, inside",
        &[("SecurityGroupId.1", "sg-0a"), ("SecurityGroup.1", "inside")],
        "\" sg\"",
        "is not a security group",
    ),
    row(25, "key_name", "ops", &[("KeyName", "ops")], "\"\"", "is not the name of a key pair"),
    Row {
        with: &[("disk_gb", "100")],
        ..row(
            26,
            "disk_device",
            "/dev/xvdz",
            &[("BlockDeviceMapping.1.DeviceName", "/dev/xvdz")],
            "sda",
            "is not a device",
        )
    },
    row(
        26,
        "disk_gb",
        "200",
        &[
            // The image's own device is looked up.
            ("BlockDeviceMapping.1.DeviceName", "/dev/xvda"),
            ("BlockDeviceMapping.1.Ebs.VolumeSize", "200"),
            ("BlockDeviceMapping.1.Ebs.VolumeType", "gp3"),
            ("BlockDeviceMapping.1.Ebs.DeleteOnTermination", "true"),
        ],
        "0",
        "`0` is not in 1..65536",
    ),
    row(26, "disk_type", "gp2", &[("BlockDeviceMapping.1.Ebs.VolumeType", "gp2")], "ssd", "is not one of `gp3`"),
    Row {
        with: &[("disk_type", "io2")],
        ..row(26, "disk_iops", "9000", &[("BlockDeviceMapping.1.Ebs.Iops", "9000")], "7", "`7` is not in 100..256000")
    },
    row(26, "disk_iops", "6000", &[("BlockDeviceMapping.1.Ebs.Iops", "6000")], "100", "the iops of gp3"),
    row(
        26,
        "disk_throughput",
        "500",
        &[("BlockDeviceMapping.1.Ebs.Throughput", "500")],
        "1",
        "`1` is not in 125..2000",
    ),
    row(26, "disk_encrypted", "true", &[("BlockDeviceMapping.1.Ebs.Encrypted", "true")], "yes", "is not true or false"),
    row(
        26,
        "disk_snapshot",
        "snap-0a",
        &[("BlockDeviceMapping.1.Ebs.SnapshotId", "snap-0a")],
        "0a",
        "is not a snapshot",
    ),
    row(
        26,
        "volumes",
        "/dev/sdf size=500 type=io1 iops=900 encrypted snapshot=snap-0b",
        &[
            ("BlockDeviceMapping.1.DeviceName", "/dev/sdf"),
            ("BlockDeviceMapping.1.Ebs.VolumeSize", "500"),
            ("BlockDeviceMapping.1.Ebs.VolumeType", "io1"),
            ("BlockDeviceMapping.1.Ebs.Iops", "900"),
            ("BlockDeviceMapping.1.Ebs.Encrypted", "true"),
            ("BlockDeviceMapping.1.Ebs.SnapshotId", "snap-0b"),
            ("BlockDeviceMapping.1.Ebs.DeleteOnTermination", "true"),
        ],
        "/dev/sdf",
        "is not a disk",
    ),
    row(
        27,
        "tags",
        "team = ml",
        &[
            ("TagSpecification.1.ResourceType", "instance"),
            ("TagSpecification.1.Tag.2.Key", "team"),
            ("TagSpecification.1.Tag.2.Value", "ml"),
            ("TagSpecification.2.ResourceType", "volume"),
            ("TagSpecification.2.Tag.2.Key", "team"),
            ("TagSpecification.3.ResourceType", "network-interface"),
            ("TagSpecification.3.Tag.2.Key", "team"),
        ],
        "aws:x = 1",
        "`aws:x` is not a tag's name",
    ),
    row(28, "instance_profile", "tasks", &[("IamInstanceProfile.Name", "tasks")], "a b", "is not the name or ARN"),
    row(
        28,
        "instance_profile",
        "arn:aws:iam::1:instance-profile/tasks",
        &[("IamInstanceProfile.Arn", "arn:aws:iam::1:instance-profile/tasks")],
        "\"\"",
        "is not the name or ARN",
    ),
    row(
        30,
        "run_instances",
        "CpuOptions.ThreadsPerCore = 1, Placement.Tenancy = dedicated",
        &[("CpuOptions.ThreadsPerCore", "1"), ("Placement.Tenancy", "dedicated")],
        "ImageId = ami-1",
        "`ImageId` is not yours to set: ImageId: `ami` sets it",
    ),
    row(30, "run_instances", "EbsOptimized = true", &[("EbsOptimized", "true")], "EbsOptimised = true", "did you mean"),
    row(30, "monitoring", "true", &[("Monitoring.Enabled", "true")], "on", "is not true or false"),
    row(
        31,
        "market",
        "spot",
        &[
            ("InstanceMarketOptions.MarketType", "spot"),
            ("InstanceMarketOptions.SpotOptions.SpotInstanceType", "one-time"),
            ("TagSpecification.4.ResourceType", "spot-instances-request"),
        ],
        "cheap",
        "is not one of `on-demand`, `spot`",
    ),
    Row {
        with: SPOT,
        ..row(
            33,
            "spot_max_price",
            "$0.50/h",
            &[("InstanceMarketOptions.SpotOptions.MaxPrice", "0.500000")],
            "120%",
            "`120%` is not a share of the on-demand price in 1%..100%",
        )
    },
    Row {
        with: &[("market", "spot"), ("zones", "us-east-1a, us-east-1b")],
        ..row(
            31,
            "spot_strategy",
            "lowest-price",
            &[("Placement.AvailabilityZone", "us-east-1b")],
            "cheap",
            "`cheap` is not one of `in-order`, `lowest-price`, `price-capacity-optimized`",
        )
    },
    row(
        36,
        "init_script",
        "apt-get install -y ffmpeg",
        &[("UserData", "apt-get install -y ffmpeg")],
        "\"a\\u0000\"",
        "zero byte",
    ),
    row(36, "agent_version", "3.0.2", &[("UserData", "AGENT_VERSION='3.0.2'")], ">=3", "is not an exact version"),
    row(
        36,
        "agent_arguments",
        "--log-level, DEBUG",
        &[("UserData", "--foreground '--log-level' 'DEBUG'")],
        "--docker, img",
        "`--docker` is not for here: set it by `docker` and `docker_image`",
    ),
    row(17, "agents_per_machine", "4", &[("UserData", "AGENTS='4'\nSHARE_GPUS='yes'")], "17", "`17` is not in 1..16"),
    row(
        37,
        "extra_clearml_conf",
        "agent.default_python: 3.12",
        &[("UserData", "CONF='agent.default_python: 3.12'")],
        "agent {",
        "the text at its line 1, column 8 is not HOCON: it ends too early",
    ),
    row(
        36,
        "agent_requirements",
        PINNED,
        &[("UserData", PINNED)],
        "clearml-agent==3.0.3",
        "is not a version with the hashes of its files",
    ),
    Row {
        with: &[("instance_profile", "tasks")],
        ..row(
            35,
            "git_credentials",
            "ssm:/git",
            &[("UserData", "GIT='ssm:/git'")],
            "robot:hush",
            "the value (not shown, it may be a secret) is not `ssm:NAME` or `secretsmanager:NAME`",
        )
    },
    Row {
        with: &[("instance_profile", "tasks")],
        ..row(
            38,
            "agent_credentials",
            "secretsmanager:agents",
            &[("UserData", "TOKEN=''\nCREDENTIALS='secretsmanager:agents'")],
            "KEY:hush",
            "the value (not shown, it may be a secret) is not `ssm:NAME` or `secretsmanager:NAME`",
        )
    },
    row(20, "cpu_only", "true", &[("UserData", "daemon --cpu-only")], "yes", "is not true or false"),
    row(34, "docker", "true", &[("UserData", "--docker --foreground")], "img", "is not true or false"),
    Row {
        with: &[("docker", "true")],
        ..row(
            34,
            "docker_image",
            "python:3.12",
            &[("UserData", "--docker 'python:3.12' --foreground")],
            "--rm",
            "is not the name of a container's image",
        )
    },
    Row {
        with: &[("docker", "true")],
        ..row(34, "docker_arguments", "--ipc=host", &[("UserData", "--ipc=host")], "\" \"", "is not one argument")
    },
    row(
        40,
        "account",
        "lab",
        &[("ImageId", "ami-0aa")],
        "labs",
        "no account is called `labs` in these settings: did you mean `lab`?",
    ),
    row(40, "region", "eu-west-1", &[], "a b", "is not a region"),
];

/// The settings after the edits of the pool, or what is said of them.
fn edited(edits: &[(&str, &str)]) -> Result<Settings, String> {
    let edit = |(name, value): &(&str, &str)| Edit { key: format!("pool.g5.{name}"), value: Some((*value).to_owned()) };
    let edits: Vec<_> = edits.iter().map(edit).collect();
    SettingsFile::in_memory(BASE)
        .unwrap()
        .preview(&edits, jiff::Timestamp::UNIX_EPOCH)
        .map_err(|error| error.to_string())
}

fn order_of(settings: &Settings) -> LaunchOrder {
    let pool = settings.pools[0].clone();
    let mut order = order("b1", 1);
    order.launch.machine_type = pool.types[0].clone();
    order.launch.market = pool.market;
    order.queues = vec!["train".into()];
    let bid = |kind: &MachineType| Bid { machine_type: kind.clone(), max_price: None, without: Vec::new() };
    order.bids = pool.types.iter().filter(|_| pool.cloud_chooses(pool.market)).map(bid).collect();
    LaunchOrder { pool, ..order }
}

fn images() -> Vec<Image> {
    let image = |owner, id, name, made| Image { owner, id, name, made };
    vec![
        image("self", "ami-old", "gpu-1", "2026-01-01T00:00:00.000Z"),
        image("self", "ami-new", "gpu-2", "2026-11-01T00:00:00.000Z"),
        image("self", "ami-middle", "gpu-3", "2026-06-01T00:00:00.000Z"),
        image("self", "ami-0aa", "other", "2026-12-01T00:00:00.000Z"),
        image("amazon", "ami-amazon", "gpu-9", "2026-12-01T00:00:00.000Z"),
    ]
}

/// The newest of a zone counts.
const PRICES: [(&str, &str); 3] = [("us-east-1a", "0.500000"), ("us-east-1b", "0.300000"), ("us-east-1a", "0.100000")];

/// What a launch under these settings is on the wire.
async fn sent(settings: &Settings) -> Form {
    let state = Arc::new(Mutex::new(State { images: images(), spot_prices: PRICES.into(), ..State::default() }));
    let cloud = ec2(&serve(state.clone()).await).await.with_accounts(settings.accounts.clone());
    cloud.launch(&order_of(settings)).await.unwrap();
    let state = state.lock().unwrap();
    state.form.clone()
}

/// What a launch for which EC2 chooses is on the wire: the template and the fleet.
async fn sent_to_choose(settings: &Settings) -> (Form, Form) {
    let state = Arc::new(Mutex::new(State { images: images(), template_stays: true, ..State::default() }));
    let cloud = ec2(&serve(state.clone()).await).await.with_accounts(settings.accounts.clone());
    cloud.launch(&order_of(settings)).await.unwrap();
    let state = state.lock().unwrap();
    let strip = |(name, value): (&String, &String)| Some((name.strip_prefix(DATA)?.to_owned(), value.clone()));
    (state.templates["tidegate-b1"].iter().filter_map(strip).collect(), state.fleets[0].clone())
}

const DATA: &str = "LaunchTemplateData.";
const CHOSEN: [(&str, &str); 2] = [("market", "spot"), ("spot_strategy", "price-capacity-optimized")];

/// Said by the fleet, and by no template: the type, the place, and how it is bought.
const BY_THE_FLEET: [&str; 4] = ["InstanceType", "SubnetId", "Placement.AvailabilityZone", "InstanceMarketOptions"];

fn script(form: &Form) -> String {
    let packed = base64::engine::general_purpose::STANDARD.decode(&form["UserData"]).unwrap();
    let mut script = String::new();
    GzDecoder::new(packed.as_slice()).read_to_string(&mut script).unwrap();
    script
}

#[tokio::test]
async fn each_field_is_on_the_wire_as_ec2_documents_it() {
    for Row { feature, key, value, with, wire, .. } in ROWS {
        let edits: Vec<_> = with.iter().copied().chain([(*key, *value)]).collect();
        let settings = edited(&edits).unwrap_or_else(|said| panic!("row {feature}, {key}: {said}"));
        let form = sent(&settings).await;
        for (name, expected) in *wire {
            match *name {
                "UserData" => assert!(script(&form).contains(expected), "row {feature}, {key}: {}", script(&form)),
                _ => {
                    assert_eq!(form.get(*name).map(String::as_str), Some(*expected), "row {feature}, {key}: {form:#?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn each_field_is_in_the_template_where_ec2_chooses() {
    let mut checked = 0;
    for Row { feature, key, value, with, wire, .. } in ROWS {
        if ["market", "spot_strategy"].contains(key) {
            continue;
        }
        let with = with.iter().copied().filter(|(key, _)| *key != "market");
        let edits: Vec<_> = CHOSEN.into_iter().chain(with).chain([(*key, *value)]).collect();
        let settings = edited(&edits).unwrap_or_else(|said| panic!("row {feature}, {key}: {said}"));
        let (template, fleet) = sent_to_choose(&settings).await;
        assert!(!BY_THE_FLEET.iter().any(|part| template.keys().any(|name| name.starts_with(part))), "{template:#?}");
        for (name, expected) in *wire {
            let in_fleet = name.rsplit('.').next().map(|last| format!("LaunchTemplateConfigs.1.Overrides.1.{last}"));
            let said = match *name {
                "UserData" => {
                    assert!(script(&template).contains(expected), "row {feature}, {key}: {}", script(&template));
                    continue;
                }
                // Each bid has its own.
                "InstanceMarketOptions.SpotOptions.MaxPrice" => continue,
                _ if BY_THE_FLEET.contains(name) => fleet.get(&in_fleet.unwrap()),
                _ => template.get(*name),
            };
            assert_eq!(said.map(String::as_str), Some(*expected), "row {feature}, {key}, {name}: {template:#?}");
            checked += 1;
        }
    }
    assert!(checked > 30, "{checked}");
}

/// One that the member takes.
fn some_value(takes: Takes) -> String {
    match takes {
        Takes::Flag => "true".to_owned(),
        Takes::Whole(_, max) => max.to_string(),
        Takes::Words(words) => words[0].to_owned(),
        Takes::Text => "a name & more".to_owned(),
        Takes::Id(begins) => format!("{begins}0"),
    }
}

#[tokio::test]
async fn every_member_of_the_overlay_is_in_the_template_or_refused_beforehand() {
    for member in MEMBERS {
        let name = member.name.replace('#', "1");
        let value = some_value(member.takes);
        let overlay = format!("{name} = {value}");
        let edits: Vec<_> = CHOSEN.into_iter().chain([("run_instances", overlay.as_str())]).collect();
        match (edited(&edits), in_template(&name)) {
            (Ok(settings), Some(known)) => {
                assert_eq!(sent_to_choose(&settings).await.0.get(known), Some(&value), "{name}");
            }
            (Err(said), None) => assert!(said.contains("is in no launch template"), "{said}"),
            (taken, known) => panic!("{name}: {taken:?} {known:?}"),
        }
    }
}

#[test]
fn each_fields_bad_value_is_refused_by_name() {
    for Row { feature, key, with, wrong, said, .. } in ROWS {
        let edits: Vec<_> = with.iter().copied().chain([(*key, *wrong)]).collect();
        let told = edited(&edits).expect_err(key);
        assert!(told.contains(said) && told.contains("pool.g5."), "row {feature}, {key}: {told}");
    }
}

#[tokio::test]
async fn without_a_setting_nothing_of_it_is_sent() {
    let form = sent(&edited(&[]).unwrap()).await;
    for part in ["BlockDeviceMapping", "Monitoring", "InstanceMarketOptions", "SubnetId", "KeyName", "Placement"] {
        assert!(!form.keys().any(|name| name.starts_with(part)), "{part}: {form:#?}");
    }
}

#[tokio::test]
async fn every_member_of_the_overlay_reaches_the_wire_under_its_name() {
    let mut settings = edited(&[]).unwrap();
    for member in MEMBERS {
        let value = some_value(member.takes);
        settings.pools[0].launch.run_instances.insert(member.name.replace('#', "1"), value);
    }
    let form = sent(&settings).await;
    for (name, value) in &settings.pools[0].launch.run_instances {
        assert_eq!(form.get(name), Some(value), "{name}");
    }
}

#[tokio::test]
async fn a_launch_that_cannot_be_meant_asks_nothing_of_the_cloud() {
    for (edits, said) in [
        (vec![("ami", "name:nobodys-*")], "no image of `self` has a name like `nobodys-*`"),
        (vec![("ami", "ami-0ff"), ("disk_gb", "100")], "there is no image `ami-0ff`"),
        (
            vec![("market", "spot"), ("spot_max_price", "70%")],
            "spot_max_price is 70% of the on-demand price of g5.xlarge",
        ),
    ] {
        let state = Arc::new(Mutex::new(State { images: images(), ..State::default() }));
        let cloud = ec2(&serve(state.clone()).await).await;
        let error = cloud.launch(&order_of(&edited(&edits).unwrap())).await.unwrap_err();
        assert_eq!((error.class, error.may_have_acted), (ErrorClass::BadRequest, false), "{error}");
        assert!(error.message.contains(said), "{error}");
        assert!(state.lock().unwrap().launches.is_empty());
    }
}

#[test]
fn what_does_not_hold_between_the_fields_is_told() {
    for (edits, said) in [
        (
            vec![("agents_per_machine", "2"), ("agent_arguments", "--gpus, all")],
            "pool.g5.agent_arguments: `--gpus` is not for here: each agent is given its share of the machine's GPUs, with \
             `agents_per_machine = 2`",
        ),
        (vec![("disk_type", "io2")], "pool.g5.disk_iops: io2 needs its iops"),
        (
            vec![("disk_type", "st1"), ("disk_throughput", "200")],
            "pool.g5.disk_throughput: `200`: st1 takes no throughput",
        ),
        (vec![("ami", "ssm:/a"), ("disk_gb", "9")], "pool.g5.disk_device: is missing"),
        (vec![("volumes", "[\"/dev/sdf size=1\", \"/dev/sdf size=2\"]")], "pool.g5.volumes: `/dev/sdf` is there twice"),
        (vec![("disk_device", "/dev/sdf"), ("volumes", "/dev/sdf size=1")], "`/dev/sdf` is there twice"),
    ] {
        let told = edited(&edits).unwrap_err();
        assert!(told.contains(said), "{told}");
    }
}
