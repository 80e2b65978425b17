//! That nothing of ClearML's open AWS autoscaler is forgotten: its own classes are asked, in the pinned SDK.

use std::collections::BTreeSet;

use tidegate::model::settings::autoscaler::STANDINGS;

use crate::support::python;

/// Fields of the classes, and what the driver and the loop read out of their files by name.
const ASK: &str = r#"
import attr, inspect, re
import clearml.automation.auto_scaler as scaler, clearml.automation.aws_driver as aws, clearml.automation.cloud_driver as cloud
for kind in (scaler.ScalerConfig, cloud.CloudDriver, aws.AWSDriver):
    for field in attr.fields(kind):
        print(field.name)
for module in (scaler, aws, cloud):
    text = inspect.getsource(module)
    for name in re.findall(r'resource_conf(?:\.get\(|\[)"(\w+)"', text) + re.findall(r'\["hyper_params"\](?:\.get\(|\[)"(\w+)"', text):
        print(name)
"#;

#[test]
fn every_field_of_the_open_autoscaler_stands_in_the_table() {
    let folder = tempfile::tempdir().unwrap();
    let asked = python::run(&folder.path().join("clearml.conf"), ASK);
    let asked: BTreeSet<&str> = asked.lines().map(str::trim).filter(|name| !name.is_empty()).collect();
    assert!(asked.len() > 30, "{asked:?}");
    let told: BTreeSet<&str> = STANDINGS.iter().flat_map(|standing| standing.sdk.iter().copied()).collect();
    let missing: Vec<_> = asked.difference(&told).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
