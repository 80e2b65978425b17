//! The way back to ClearML: its own loader takes what is exported.

use std::process::Command;

use serde_json::{Value, json};

use crate::custom::write;
use crate::support::conf::clearml_conf;
use crate::support::face::Served;
use crate::support::python::run;

const SETTINGS: &str = r#"[loop]
fleet = "lab"

[[budget]]
name = "month"
per = "month"
limit = "$900"

[queue.gpu]
pools = ["spot", "large"]
max = 2

[pool.spot]
provider = "aws"
region = "us-east-1"
types = ["g5.xlarge"]
market = "spot"
ami = "ami-0123456789abcdef0"
keep_alive = "10m"
zones = ["us-east-1a"]
disk_gb = 120
disk_device = "/dev/sda1"
tags = { team = "vision" }
docker = true
docker_image = "nvidia/cuda:12.4.1"
init_script = """
#!/bin/sh
echo "it's: a {test}"
"""
max = 3

[pool.large]
provider = "aws"
region = "us-east-1"
types = ["g5.12xlarge"]
ami = "ami-0123456789abcdef0"
keep_alive = "10m"
docker = true
docker_image = "nvidia/cuda:12.4.1"
init_script = """
#!/bin/sh
echo "it's: a {test}"
"""
max = 2
"#;

#[test]
fn clearml_s_own_loader_takes_the_export() {
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("tidegate.toml");
    write(&settings, SETTINGS);
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    let output = command.args(["export", "--config"]).arg(&settings).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.contains("budget.month: left out, theirs has none"), "{said}");
    assert!(said.contains("queue.gpu.max = 2: theirs has no limit for a queue"), "{said}");
    let file = folder.path().join("aws_autoscaler.yaml");
    write(&file, &String::from_utf8(output.stdout).unwrap());
    let served = Served::start(&["gpu"]);
    let conf = clearml_conf(folder.path(), &served.url, "CONSOLE-KEY", "console-secret");
    let script = format!(
        "import json, yaml\nfrom clearml.automation.auto_scaler import ScalerConfig\n\
         from clearml.automation.aws_driver import AWSDriver\nconfig = yaml.safe_load(open({:?}))\n\
         scaler, driver = ScalerConfig.from_config(config), AWSDriver.from_config(config)\n\
         print(json.dumps([scaler.queues, scaler.max_idle_time_min, scaler.resource_configurations['spot'], \
         driver.aws_region, driver.docker_image, driver.extra_vm_bash_script]))\n",
        file.display().to_string()
    );
    let said = run(&conf, &script);
    let told: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!(told[0], json!({ "gpu": [["spot", 2], ["large", 2]] }));
    assert_eq!(told[1], 10);
    let spot = &told[2];
    assert_eq!(
        (&spot["instance_type"], &spot["is_spot"], &spot["ebs_volume_size"]),
        (&json!("g5.xlarge"), &json!(true), &json!(120))
    );
    assert_eq!((&spot["availability_zone"], &spot["tags"]), (&json!("us-east-1a"), &json!("team=vision")));
    assert_eq!((&told[3], &told[4]), (&json!("us-east-1"), &json!("nvidia/cuda:12.4.1")));
    assert_eq!(told[5], "#!/bin/sh\necho \"it's: a {test}\"\n");
}
