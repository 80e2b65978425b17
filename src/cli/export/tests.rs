//! What is exported is what our own import reads, and nothing that has no place there is lost without a word.

use super::*;
use crate::store::settings::parse;

const SETTINGS: &str = r#"[loop]
fleet = "lab"
poll = "30s"
price_of_waiting = "$5/h"

[limits]
max = 20

[[budget]]
name = "month"
per = "month"
limit = "$900"

[queue."gpu queue"]
pools = ["spot", "large", "cluster"]
priority = 3

[queue.cpu]
pools = ["large", "small"]
max = 4

[pool.spot]
provider = "aws"
region = "us-east-1"
types = ["g5.xlarge", "g5.2xlarge"]
market = "spot"
ami = "ssm:/images/gpu"
keep_alive = "90s"
max_boot = "15m"
max = 3
zones = ["us-east-1a"]
subnets = ["subnet-0123456789abcdef0"]
security_groups = ["sg-0123456789abcdef0"]
key_name = "lab"
disk_gb = 120
disk_device = "/dev/sda1"
disk_type = "gp3"
monitoring = true
tags = { team = "vision", note = "a,b" }
docker = true
docker_image = "nvidia/cuda:12.4.1"
docker_arguments = ["--ipc=host"]
init_script = """
#!/bin/sh
apt-get install -y ffmpeg
"""
extra_clearml_conf = "agent.package_manager.type: pip"

[pool.spot.run_instances]
"CpuOptions.ThreadsPerCore" = "1"

[pool.large]
provider = "aws"
region = "us-east-1"
types = ["g5.12xlarge"]
ami = "name:golden gpu *"
keep_alive = "learned"
max_life = "2d"

[pool.small]
provider = "aws"
region = "eu-west-1"
types = ["m5.large"]
ami = "ami-0123456789abcdef0"

[pool.cluster]
provider = "kubernetes"
namespace = "ml-tasks"
pod_image = "python:3.12"
"#;

fn exported(text: &str, provider: Provider) -> Exported {
    let settings = parse(text, std::path::Path::new("t.toml")).unwrap();
    export(&settings, provider, "dynamic_worker").unwrap()
}

/// What our import makes of it.
fn back(text: &str) -> Settings {
    let settings = crate::cli::import::settings_of(text);
    parse(&settings, std::path::Path::new("t.toml")).unwrap_or_else(|error| panic!("{error}\n{settings}"))
}

#[test]
fn the_yaml_is_read_again_and_is_the_same() {
    let Exported { text, report } = exported(SETTINGS, Provider::Aws);
    let (old, new) = (parse(SETTINGS, std::path::Path::new("t.toml")).unwrap(), back(&text));
    let [was, is] = [&old, &new].map(|settings| settings.pool(&"spot".into()).unwrap().clone());
    let fields = |pool: &PoolSettings| {
        let launch = &pool.launch;
        let made = format!(
            "{:?}",
            (&launch.ami, &launch.zones, &launch.subnets, &launch.security_groups, &launch.key_name, launch.disk_gb)
        );
        let disk = format!("{:?}", (&launch.disk_device, launch.disk_type, launch.monitoring, &launch.run_instances));
        let agent = format!("{:?}", (&pool.agent.docker_image, &pool.agent.docker_arguments, pool.agent.docker));
        let texts = format!("{:?}", (&pool.agent.init_script, pool.agent.extra_clearml_conf.as_deref().map(str::trim)));
        (pool.region.clone(), pool.market, pool.limits.max, pool.max_boot, made, disk, agent, texts)
    };
    assert_eq!(fields(&is), fields(&was));
    assert_eq!(is.types, ["g5.xlarge".into()]);
    assert_eq!(is.launch.tags, [("team".to_owned(), "vision".to_owned())].into());
    assert_eq!(is.keep_alive, KeepAlive::For(jiff::SignedDuration::from_mins(2)), "theirs are whole minutes");
    assert_eq!(new.the_loop.poll, old.the_loop.poll);
    assert_eq!(new.pool(&"large".into()).unwrap().launch.ami, "name:golden gpu *");
    assert_eq!(new.queue(&"gpu queue".into()).unwrap().pools, ["spot".into(), "large".into()]);
    for line in [
        "pool small: left out, it is in eu-west-1, not us-east-1",
        "pool cluster: left out, it is of kubernetes",
        "queue cpu: pool large serves gpu queue only there",
        "pool.spot.types: theirs takes one; the first is written",
        "pool.spot.tags: `note` has a comma or a `=`: left out",
        "pool.large.keep_alive: theirs is one for all machines; the first pool's is written",
        "budget.month: left out, theirs has none",
        "loop.price_of_waiting = $5/h: left out, theirs has no such field",
        "queue.\"gpu queue\".priority = 3: left out, theirs has no such field",
        "limits.max = 20: left out, theirs has no such field",
        "pool.large.max_life = 2d: left out, theirs has no such field",
    ] {
        assert!(report.iter().any(|told| told == line), "{line}\n{report:#?}");
    }
    assert!(report.iter().all(|line| !line.contains("pool.small.") && !line.contains("init_script =")), "{report:#?}");
}

#[test]
fn the_apps_json_of_google_is_read_again_and_is_the_same() {
    const GOOGLE: &str = r#"[loop]
fleet = "lab"
gce_metadata = { enable-oslogin = "TRUE" }
[account.research]
project = "research-4711"
[queue.gpu]
pools = ["t4"]
[pool.t4]
provider = "gce"
account = "research"
region = "us-central1"
zones = ["us-central1-a"]
types = ["n1-standard-8"]
gpu_type = "nvidia-tesla-t4"
market = "spot"
spot_rollback = "10m"
image = "family/clearml-gpu"
disk_gb = 100
subnets = ["projects/host-1/regions/us-central1/subnetworks/tasks"]
service_account = "tasks@research-4711.iam.gserviceaccount.com"
scopes = ["storage-rw"]
metadata = { Owner = "Admin" }
max = 3
"#;
    let Exported { text, .. } = exported(GOOGLE, Provider::Gce);
    let (old, new) = (parse(GOOGLE, std::path::Path::new("t.toml")).unwrap(), back(&text));
    let fields = |settings: &Settings| {
        let pool = settings.pool(&"t4".into()).unwrap();
        let (launch, gce) = (&pool.launch, &pool.launch.gce);
        let made = format!(
            "{:?}",
            (&launch.zones, &pool.types, &gce.gpu_type, pool.market, pool.spot.rollback, launch.disk_gb)
        );
        let of =
            format!("{:?}", (gce.image_path(), &launch.subnets, &gce.service_account, &gce.metadata, pool.limits.max));
        let scopes: Vec<String> = gce.whole_scopes().collect();
        let account = settings.account(pool.account.as_ref().unwrap()).unwrap().project.clone();
        (
            made,
            of,
            scopes,
            account,
            settings.the_loop.gce_metadata.clone(),
            settings.queue(&"gpu".into()).unwrap().pools.clone(),
        )
    };
    assert_eq!(fields(&new), fields(&old), "{text}");
}

#[test]
fn a_provider_without_pools_is_refused() {
    let settings = parse(SETTINGS, std::path::Path::new("t.toml")).unwrap();
    let error = export(&settings, Provider::Gce, "w").unwrap_err().to_string();
    assert!(error.contains("no pool has provider = \"gce\""), "{error}");
}
