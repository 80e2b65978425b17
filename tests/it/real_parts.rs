//! The real programs that other tests rely on do start here, and end with the test.

use crate::support::process::{eventually, listens};
use crate::support::{microburst, moto, python};

fn port(url: &str) -> u16 {
    url.rsplit(':').next().unwrap().parse().unwrap()
}

#[test]
fn the_environment_has_the_pinned_sdk_and_agent() {
    let folder = tempfile::tempdir().unwrap();
    let script = "import clearml, clearml_agent.version as agent, clearml_agent.commands.worker as worker; \
        print(clearml.__version__, agent.__version__, callable(worker.get_next_task))";
    let said = python::run(&folder.path().join("clearml.conf"), script);
    assert_eq!(said.trim(), "2.1.12 3.0.3 True");
}

#[test]
fn moto_and_microburst_listen_until_they_are_dropped() {
    let moto = moto::start();
    let proxy = microburst::start(
        &moto.url,
        "  - name: none\n    service: ec2\n    operation: RunInstances\n    probability: 0.0\n    error: {code: InsufficientInstanceCapacity, status: 500}",
    );
    let (first, second) = (port(&moto.url), port(&proxy.url));
    assert!(listens(first) && listens(second));
    drop((proxy, moto));
    eventually("both ports are free again", 3_600, || !listens(first) && !listens(second));
}
