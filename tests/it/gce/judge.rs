//! Google's own message types, `google.cloud.compute_v1`, as a second judge of every body: one Python program serves all
//! tests of a run, since it takes seconds to start.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{LazyLock, Mutex};

use serde_json::{Value, json};

use crate::support::python::program;

/// It ends with the run, when nobody holds its input any more.
static JUDGE: LazyLock<Mutex<Judge>> = LazyLock::new(|| Mutex::new(Judge::start()));

struct Judge {
    _program: Child,
    asks: ChildStdin,
    says: BufReader<ChildStdout>,
}

/// Starts it, and waits until it answers.
pub(super) fn load() {
    assert_eq!(wrong("Instance", &json!({})), Vec::<String>::new());
}

/// What is wrong with a value of a type, as they say.
pub(super) fn wrong(kind: &str, value: &Value) -> Vec<String> {
    JUDGE.lock().unwrap().asked(kind, value)
}

impl Judge {
    fn start() -> Self {
        let mut command = Command::new(program("python"));
        command.arg("-c").arg(include_str!("judge.py")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut program = command.spawn().unwrap();
        let (asks, says) = (program.stdin.take().unwrap(), program.stdout.take().unwrap());
        Self { _program: program, asks, says: BufReader::new(says) }
    }

    fn asked(&mut self, kind: &str, value: &Value) -> Vec<String> {
        writeln!(self.asks, "{kind}\t{value}").unwrap();
        let mut line = String::new();
        self.says.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("the judge of bodies said `{line}`: {error}"))
    }
}

#[test]
fn what_google_s_own_types_do_not_hold_is_refused() {
    for (kind, value, told) in [
        ("Instance", json!({"nam": "m-1"}), "no field named \"nam\""),
        ("Instance", json!({"disks": [{"boot": true, "size": "9"}]}), "no field named \"size\""),
        ("Instance", json!({"scheduling": {"provisioningModel": "CHEAP"}}), "provisioningModel is CHEAP, none of"),
        ("Instance", json!({"scheduling": {"provisioningModel": "UNDEFINED_PROVISIONING_MODEL"}}), "none of"),
        ("Instance", json!({"disks": [{"mode": "READ"}]}), "Instance.disks.mode is READ, none of"),
        ("Instance", json!({"id": "m-1"}), "Failed to parse id field"),
        ("Operation", json!({"status": "OVER"}), "Invalid enum value OVER"),
        ("InstanceAggregatedList", json!({"items": {"zones/a": {"instances": [{"status": "GO"}]}}}), "status is GO"),
        ("ZoneSetLabelsRequest", json!({"labels": {"a": 1}}), "ZoneSetLabelsRequest"),
        ("Instanc", json!({}), "compute_v1 has no Instanc"),
    ] {
        let said = wrong(kind, &value);
        assert!(said.len() == 1 && said[0].contains(told), "{value}: {said:?}");
    }
    let right = json!({"name": "m-1", "disks": [{"boot": true, "mode": "READ_WRITE"}],
        "scheduling": {"provisioningModel": "SPOT", "maxRunDuration": {"seconds": "60"}}});
    assert_eq!(wrong("Instance", &right), Vec::<String>::new());
}
