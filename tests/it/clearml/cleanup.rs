//! `tidegate cleanup` on a server: shown first, removed when it is told to, and never what may be needed.

use std::process::Command;

use jiff::SignedDuration;
use tidegate::world::clock::Clock;

use crate::support::face::Served;
use crate::support::process::write;

fn hidden(served: &Served) -> Vec<String> {
    let clearml = served.server();
    clearml.queues(true).filter(|queue| queue.hidden()).map(|queue| queue.name.to_string()).collect()
}

#[test]
fn what_is_left_over_is_shown_and_then_removed() {
    let served = Served::start(&["train"]);
    let yesterday = Clock::Wall.now() - SignedDuration::from_hours(30);
    for name in ["claim:t1:0", "drain:i-1", "tidegate:lab", "tidegate:lab:leader:1", "tidegate:lab:leader:2"] {
        served.server().create_queue(yesterday, name, &["k8s-glue"]).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let settings =
        format!("[clearml]\napi_server = \"{}\"\ncredentials = \"env:CONSOLE\"\n[loop]\nfleet = \"lab\"\n", served.url);
    write(&folder.path().join("tidegate.toml"), &settings);
    let cleanup = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.arg("cleanup").args(arguments).env("TIDEGATE_CONFIG", folder.path().join("tidegate.toml"));
        command.env("TIDEGATE_STATE_DIR", folder.path()).env("CONSOLE", "CONSOLE-KEY:console-secret");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let before = hidden(&served);
    let shown = cleanup(&[]);
    assert!(shown.contains("claim:t1:0") && shown.contains("drain:i-1") && shown.contains("lab:leader:1"), "{shown}");
    assert_eq!(hidden(&served), before, "without --yes nothing is removed");
    cleanup(&["--yes"]);
    assert_eq!(hidden(&served), ["tidegate:lab", "tidegate:lab:leader:2"]);
    assert_eq!(cleanup(&["--yes"]), "nothing is left over\n");
    served.all_known();
}
