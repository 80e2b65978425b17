//! From ClearML's AWS autoscaler: its example file with every field set is brought over, `check` passes against EC2, and
//! the loop starts what the fields say and runs the tasks. Its machines are foreign, until a person adopts them.

use serde_json::{Value, json};

use super::rig::Rig;
use crate::support::docker::{self, Docker};
use crate::support::moto::{self, Moto};
use crate::support::python;
use crate::support::{agent, process};

const EXAMPLE: &str = include_str!("../../../src/cli/import/example.yaml");

/// Makes on EC2 what the example's fields name, and prints the ids by what stands for them in the example.
const MAKE: &str = r#"
import boto3, json
keys = dict(endpoint_url="URL", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
ec2, iam = boto3.client("ec2", **keys), boto3.client("iam", **keys)
images = ec2.describe_images(Filters=[{"Name": "name", "Values": ["amzn2-ami-hvm-2.0.*-x86_64-gp2"]}])["Images"]
machine = ec2.run_instances(ImageId=images[0]["ImageId"], InstanceType="t3.medium", MinCount=1, MaxCount=1)["Instances"][0]
golden = ec2.create_image(InstanceId=machine["InstanceId"], Name="golden gpu image")
ec2.terminate_instances(InstanceIds=[machine["InstanceId"]])
subnets = ec2.describe_subnets(Filters=[{"Name": "availability-zone", "Values": ["us-east-1a"]}])["Subnets"]
disk = ec2.create_volume(Size=20, AvailabilityZone="us-east-1a")
ec2.create_key_pair(KeyName="g5-test")
iam.create_instance_profile(InstanceProfileName="tasks")
print(json.dumps({
    "ami-0123456789abcdef0": images[0]["ImageId"],
    "subnet-0123456789abcdef0": subnets[0]["SubnetId"],
    "sg-0123456789abcdef0": ec2.create_security_group(GroupName="g", Description="g", VpcId=subnets[0]["VpcId"])["GroupId"],
    "snap-0123456789abcdef0": ec2.create_snapshot(VolumeId=disk["VolumeId"])["SnapshotId"],
    "arn:aws:iam::123456789012:instance-profile/tasks": iam.get_instance_profile(InstanceProfileName="tasks")["InstanceProfile"]["Arn"],
    # moto resolves no parameter in a launch.
    "/aws/service/canonical/ubuntu/server/22.04/stable/current/amd64/hvm/ebs-gp2/ami-id": golden["ImageId"],
}))
"#;

/// A machine as the old autoscaler makes it: without any tag of ours.
const OLD_MACHINE: &str = r#"
import boto3
ec2 = boto3.client("ec2", endpoint_url="URL", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
image = ec2.describe_images(Filters=[{"Name": "name", "Values": ["golden gpu image"]}])["Images"][0]["ImageId"]
print(ec2.run_instances(ImageId=image, InstanceType="m5.xlarge", MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"])
"#;

/// What each machine looks like on EC2.
const LOOK: &str = r#"
import boto3, json
ec2 = boto3.client("ec2", endpoint_url="URL", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
for page in ec2.describe_instances()["Reservations"]:
    for machine in page["Instances"]:
        print(json.dumps(machine, default=str))
"#;

/// The old autoscaler's file and the program's first steps from it.
struct Move {
    rig: Rig,
    url: String,
    docker: Docker,
}

impl Move {
    fn begin() -> Self {
        let moto =
            moto::start_with(&[("MOTO_ENABLE_AMI_VALIDATION", "1"), ("MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION", "1")]);
        let (url, docker) = (moto.url.clone(), Docker::install());
        let old = old_file(&moto);
        let machines = [("PATH", docker.path())];
        let machines: Vec<_> = machines.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let rig = Rig::on(moto, &["aws_gpu_12x", "aws_cpu"], "", |_| None, &machines);
        process::write(&rig.path("aws_autoscaler.yaml"), &old);
        let (from, to) = (rig.path("aws_autoscaler.yaml"), rig.path("imported.toml"));
        rig.done(&["import", from.to_str().unwrap(), "--output", to.to_str().unwrap()]);
        // What a person adds: where ClearML is and by what keys, and here that containers have their agent already.
        let clearml = "[clearml]\napi_server = \"API_SERVER\"\ncredentials = \"env:CONSOLE\"\n\n[clearml.agents]\n\
                       credentials = \"env:AGENTS\"\n\n[loop]\n";
        let imported = std::fs::read_to_string(to).unwrap();
        let imported = imported.replace("[loop]\n", clearml);
        rig.write_settings(
            &imported.replace("docker = true", "agent_arguments = [\"--standalone-mode\"]\ndocker = true"),
        );
        Self { rig, url, docker }
    }

    fn python(&self, script: &str) -> String {
        python(&self.url, script)
    }

    /// Machines that are of our fleet, or all.
    fn machines(&self, ours: bool) -> Vec<Value> {
        let told = self.python(LOOK);
        let machines = told.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        machines.filter(|machine| !ours || tag(machine, "tidegate-fleet").is_some()).collect()
    }
}

fn python(url: &str, script: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    python::run(&folder.path().join("clearml.conf"), &script.replace("URL", url))
}

/// The example, naming what there is, as quick as a test wants it and with nothing that installs.
fn old_file(moto: &Moto) -> String {
    let made: Value = serde_json::from_str(&python(&moto.url, MAKE)).unwrap();
    let mut old = EXAMPLE.to_owned();
    let made = made.as_object().unwrap().iter().map(|(name, id)| (name.clone(), id.as_str().unwrap().to_owned()));
    let ours = [
        ("polling_interval_time_min: 0.5", "polling_interval_time_min: 0.02"),
        ("max_idle_time_min: 2", "max_idle_time_min: 0.05"),
        ("apt-get install -y ffmpeg", "echo the init script ran"),
        ("agent.package_manager.system_site_packages: true", "agent.force_git_ssh_port: 2222"),
    ];
    let ours = ours.map(|(theirs, ours)| (theirs.to_owned(), ours.to_owned()));
    let arguments = ("--ipc=host".to_owned(), format!("--ipc=host -e {}", docker::local_python()));
    for (theirs, ours) in made.chain(ours).chain([arguments]) {
        assert!(old.contains(&theirs), "{theirs}");
        old = old.replace(&theirs, &ours);
    }
    old
}

fn tag<'a>(machine: &'a Value, key: &str) -> Option<&'a str> {
    let tags = machine["Tags"].as_array()?;
    tags.iter().find(|tag| tag["Key"] == key)?["Value"].as_str()
}

#[test]
fn the_example_is_brought_over_checked_and_run() {
    let mut new = Move::begin();
    let checked = new.rig.tidegate(&["check"]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert!(!checked.out.contains("WRONG"), "{checked:?}");
    for right in ["ec2:RunInstances (cpu: m5.xlarge", "ec2:RunInstances (dev-g5-12x-large-a: g5.12xlarge"] {
        assert!(checked.out.contains(right), "{right}: {checked:?}");
    }
    let tasks = new.rig.enqueue(&[("aws_gpu_12x", "job-a", 8), ("aws_cpu", "job-b", 8)]);
    new.rig.start_armed();
    new.rig.wait("both jobs run", |rig| rig.runs().len() == 2);
    let machines = new.machines(true);
    new.rig.wait_for_tasks(&tasks);
    new.rig.wait_for_no_machine();
    new.rig.assert_nothing_lost(&tasks, &[]);

    assert_eq!(machines.len(), 2, "{}", new.rig.report());
    let of = |pool: &str| machines.iter().find(|machine| tag(machine, "tidegate-pool") == Some(pool)).unwrap();
    let (gpu, cpu) = (of("dev-g5-12x-large-a"), of("cpu"));
    assert_eq!((&gpu["InstanceType"], &gpu["InstanceLifecycle"]), (&json!("g5.12xlarge"), &json!("spot")));
    assert_eq!((tag(gpu, "team"), &gpu["KeyName"]), (Some("ml"), &json!("g5-test")));
    assert_eq!(gpu["Placement"]["AvailabilityZone"], "us-east-1a");
    assert_eq!(gpu["Monitoring"]["State"], "enabled");
    assert!(gpu["IamInstanceProfile"]["Arn"].as_str().unwrap().ends_with("/tasks"), "{gpu}");
    assert_eq!((&cpu["InstanceType"], cpu.get("InstanceLifecycle")), (&json!("m5.xlarge"), None));
    let runs = new.docker.runs();
    let has = |words: &[&str]| runs.iter().filter(|run| run.windows(words.len()).any(|part| part == words)).count();
    assert_eq!(
        (runs.len(), has(&["nvidia/cuda:10.1-runtime-ubuntu18.04"]), has(&["--ipc=host"])),
        (2, 2, 2),
        "{runs:?}"
    );
    assert_eq!(has(&["--gpus", "all"]), 1, "only the machine that is not cpu_only: {runs:?}");
    let report = new.rig.report();
    assert_eq!(report.matches("\nthe init script ran").count(), 2, "{report}");
}

#[test]
fn an_old_machine_is_foreign_until_a_person_adopts_it() {
    let mut new = Move::begin();
    let id = new.python(OLD_MACHINE).trim().to_owned();
    let name = format!("dynamic_worker:cpu:m5.xlarge:{id}");
    let conf = new.rig.agents_conf();
    let mut old = agent::start(&conf, &name, &["aws_cpu"]);
    old.wait_for("it registers", || new.rig.served.workers() == [name.clone()]);
    new.rig.start_armed();
    let row = |new: &Move| new.rig.ask("instances")[0].clone();
    new.rig.wait("it is foreign", |rig| rig.ask("instances")[0]["phase"] == "foreign");
    new.rig.wait("its maker is named", |rig| rig.done(&["status"]).contains("dynamic_worker on aws_cpu"));

    let file = new.rig.path("aws_autoscaler.yaml");
    let adopt =
        |new: &Move, more: &[&str]| new.rig.tidegate(&[&["import", file.to_str().unwrap(), "--adopt"], more].concat());
    let unasked = adopt(&new, &[]);
    assert_eq!((unasked.code, new.machines(true).len()), (Some(2), 0), "{unasked:?}");
    let adopted = adopt(&new, &["--yes"]);
    assert_eq!(
        (adopted.code, adopted.out.trim()),
        (Some(0), format!("{id}: adopted into pool cpu").as_str()),
        "{adopted:?}"
    );
    new.rig.wait("it is ours", |rig| rig.ask("instances")[0]["id"] == id.as_str());
    new.rig.wait("it is idle", |rig| rig.ask("instances")[0]["phase"] == "idle");
    assert_eq!(row(&new)["queue"], "aws_cpu", "{}", new.rig.report());
    assert!(!new.rig.done(&["status"]).contains("dynamic_worker on"));

    // It takes the tasks of its queue, and is left alone however long it idles.
    let tasks = new.rig.enqueue(&[("aws_cpu", "job-a", 1)]);
    new.rig.wait_for_tasks(&tasks);
    new.rig.assert_nothing_lost(&tasks, &[]);
    let said = |rig: &Rig| rig.done(&["plan"]).contains(&format!("{id} is another autoscaler's machine"));
    new.rig.wait("the loop says why it stays", |rig| said(rig));
    let refused = new.rig.tidegate(&["drain", &id, "--yes"]);
    assert!(refused.code != Some(0) && refused.err.contains("cannot be drained"), "{refused:?}");
    assert_eq!((new.machines(true).len(), old.ended()), (1, None));
    let again = adopt(&new, &["--yes"]);
    assert!(again.code == Some(1) && again.err.contains("is of fleet dynamic_worker-tidegate already"), "{again:?}");

    new.rig.done(&["stop", &id, "--kill", "--yes"]);
    new.rig.wait_for_no_machine();
    assert_eq!(new.machines(true)[0]["State"]["Name"], "terminated");
    let spent = new.rig.ask("status")["total_microusd"].as_i64();
    assert!(spent.is_some_and(|spent| spent > 0), "it was billed from its launch: {spent:?}\n{}", new.rig.report());
}
