//! What the conformance check finds, in the example and in programs that are wrong in one thing each.

use std::path::{Path, PathBuf};

use tidegate::world::cloud::Cloud;
use tidegate::world::exec::Exec;

use super::{Place, SETTINGS, local};
use crate::custom::write;

#[test]
fn the_example_keeps_all_that_the_loop_relies_on() {
    let place = Place::new(&local());
    let (code, said) = place.check();
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("WRONG"), "{said}");
    for step in [
        "hello: processes of this host speaks protocol 1",
        "list after launch: it is listed",
        "the same launch twice: one machine",
        "tags: all came back",
        "another fleet: does not list it",
        "console: ",
        "stop: it is off",
        "start: it is on",
        "terminate: it is gone",
        "terminate again: is success",
        "terminate of one that never was: is success",
        "nonsense: refused, and what followed was answered",
    ] {
        assert!(said.contains(step), "{step}\n{said}");
    }
    let output = place.tidegate(&["check", "--provider", "her", "--yes"]);
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && err.contains("did you mean `here`"), "{err}");
    let output = place.tidegate(&["check", "--provider", "here"]);
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && err.contains("launches a machine as of pool cores"), "{err}");
}

/// A program whose machines are a table in its memory, and that is wrong in what `wrong` puts in the place of a right line.
fn program(folder: &Path, right: &str, wrong: &str) -> PathBuf {
    const TEXT: &str = r#"#!/usr/bin/env python3
import json, sys, time
machines = {}
def now():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
def hello(asked):
    return {"version": 1, "name": "a table", "calls": ["list", "launch", "terminate"]}
def list_(asked):
    return {"machines": [dict(m, id=i) for i, m in machines.items() if m["tags"]["tidegate-fleet"] == asked["fleet"]]}
def launch(asked):
    for wanted in asked["machines"]:
        machine = {"type": asked["type"], "state": "running", "launched": now(), "tags": wanted["tags"]}
        machines.setdefault(wanted["id"], machine)
    return {"machines": [{"id": wanted["id"]} for wanted in asked["machines"]]}
def terminate(asked):
    for name in asked["machines"]:
        machines.pop(name, None)
    return {}
calls = {"hello": hello, "list": list_, "launch": launch, "terminate": terminate}
for line in sys.stdin:
    asked = {}
    try:
        asked = json.loads(line)
        answer = {"id": asked["id"], "ok": calls[asked["call"]](asked)}
    except Exception as error:
        answer = {"id": asked.get("id", 0), "error": {"class": "bad-request", "message": repr(error)}}
    print(json.dumps(answer), flush=True)
"#;
    assert!(TEXT.contains(right), "{right}");
    let (draft, file) = (folder.join("draft"), folder.join("table.py"));
    write(&draft, &TEXT.replacen(right, wrong, 1));
    std::fs::set_permissions(&draft, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    // A file that this process wrote may be busy: another forked meanwhile.
    assert!(std::process::Command::new("cp").arg("-p").args([&draft, &file]).status().unwrap().success());
    file
}

#[test]
fn what_a_program_does_wrong_is_found() {
    for (right, wrong, told) in [
        ("", "", ""),
        ("\"version\": 1", "\"version\": 2", "it speaks protocol 2, and this is 1"),
        (", \"launch\", \"terminate\"]", "]", "it cannot launch"),
        ("def hello(asked):", "def hello(asked):\n    sys.exit('out of coffee')", "out of coffee"),
        (
            "machines.setdefault(wanted[\"id\"], machine)",
            "machines[wanted[\"id\"] + str(len(machines))] = machine",
            "list after launch: it is not listed",
        ),
        (
            "        machines.setdefault(wanted[\"id\"], machine)",
            "        wanted[\"id\"] += str(len(machines)); machines[wanted[\"id\"]] = machine",
            "which was not asked for, or twice",
        ),
        ("\"tags\": wanted[\"tags\"]}", "\"tags\": {\"tidegate-fleet\": asked[\"fleet\"]}}", "tags: they came back as"),
        ("if m[\"tags\"][\"tidegate-fleet\"] == asked[\"fleet\"]", "", "WRONG program here: another fleet: lists it"),
        ("machines.pop(name, None)", "machines.pop(name)", "WRONG program here: terminate again: "),
        ("\"state\": \"running\"", "\"state\": \"fine\"", "unknown variant `fine`"),
        ("now()", "\"yesterday\"", ""),
        ("def terminate(asked):", "def terminate(asked):\n    print('done')", "a line of its is no answer"),
        ("except Exception as error:", "except KeyError as error:", "nonsense: it closed its output"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (code, said) = Place::new(&program(folder.path(), right, wrong)).check();
        if told.is_empty() && wrong != "\"yesterday\"" {
            assert_eq!(code, Some(0), "{wrong}: {said}");
            assert!(said.contains("stop: it cannot"), "{said}");
        } else {
            assert_eq!(code, Some(4), "{wrong}: {said}");
            assert!(said.contains(told) && said.contains("WRONG"), "{wrong}: {told}: {said}");
        }
    }
}

#[test]
fn one_that_does_not_answer_is_found_by_the_deadline() {
    for (right, wrong, told) in [
        ("def hello(asked):", "def hello(asked):\n    time.sleep(60)", "it did not answer `hello` within 10 s"),
        ("def list_(asked):", "def list_(asked):\n    time.sleep(60)", "`list` took longer than 20 s"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (code, said) = Place::new(&program(folder.path(), right, wrong)).check();
        assert_eq!(code, Some(4), "{said}");
        assert!(said.contains(told), "{told}: {said}");
    }
}

#[test]
fn one_that_dies_is_started_anew_and_what_it_was_asked_to_do_is_in_doubt() {
    let folder = tempfile::tempdir().unwrap();
    let dies = program(folder.path(), "def terminate(asked):", "def terminate(asked):\n    sys.exit('out of coffee')");
    let text = SETTINGS.replace("PROGRAM", &dies.display().to_string());
    let settings = tidegate::store::settings::parse(&text, Path::new("t.toml")).unwrap();
    let (exec, site, fleet) = (Exec::new(&settings), "here@local", "lab".into());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        assert_eq!(exec.list(&fleet, site).await, Ok(Vec::new()));
        let error = exec.terminate(site, &["tidegate-1".into()]).await.unwrap_err();
        assert!(error.may_have_acted && error.message.contains("out of coffee"), "{error:?}");
        let down = exec.list(&fleet, site).await.unwrap_err();
        assert!(!down.may_have_acted && down.message.contains("it is started anew in"), "{down:?}");
        tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
        assert_eq!(exec.list(&fleet, site).await, Ok(Vec::new()));
        let unknown = exec.list(&fleet, "there@local").await.unwrap_err();
        assert!(unknown.message.contains("no account `there` was in the settings"), "{unknown:?}");
    });
}

#[test]
fn a_program_gets_its_own_environment_and_no_secret_of_the_loops() {
    let folder = tempfile::tempdir().unwrap();
    let tells = "def hello(asked):\n    import os; sys.exit(' '.join(sorted(os.environ)))";
    let place = Place::new(&program(folder.path(), "def hello(asked):", tells));
    let file = place.folder.path().join("tidegate.toml");
    let settings = std::fs::read_to_string(&file).unwrap();
    let secrets = "[clearml]\ncredentials = \"env:OURS\"\n[clearml.agents]\ncredentials = \"env:AGENTS\"\n";
    write(&file, &(settings.replace("[loop]", "[loop]\npseudonyms = \"env:NAMES\"") + secrets));
    let mut command = place.command(&["check", "--provider", "here", "--yes"]);
    for name in ["RACK_PASSWORD", "OURS_ACCESS_KEY", "OURS_SECRET_KEY", "AGENTS", "NAMES", "CLEARML_API_SECRET_KEY"] {
        command.env(name, "0123456789abcdef0123456789abcdef");
    }
    let said = String::from_utf8(command.output().unwrap().stdout).unwrap();
    assert!(said.contains(" PATH RACK_PASSWORD"), "{said}");
    for name in ["OURS", "AGENTS", "NAMES", "CLEARML"] {
        assert!(!said.contains(name), "{name}: {said}");
    }
}

#[test]
fn a_program_that_others_can_write_is_not_started() {
    let folder = tempfile::tempdir().unwrap();
    let file = program(folder.path(), "", "");
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o722)).unwrap();
    let (code, said) = Place::new(&file).check();
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("it can be written by others (mode 722): run `chmod go-w"), "{said}");
}

#[test]
fn settings_of_a_program_are_checked() {
    let place = Place::new(&local());
    let file = place.folder.path().join("tidegate.toml");
    let right = std::fs::read_to_string(&file).unwrap();
    for (line, other, told) in [
        ("account = \"here\"", "", "account: is missing: name a section [account.NAME] with a program"),
        ("program = ", "project = \"research-4711\" # ", "has a project, which is not for exec"),
        ("cpu_only = true", "cpu_only = true\nami = \"ami-1\"", "ami: is not for provider = \"exec\""),
        ("cpu_only = true", "cpu_only = true\ndisk_gb = 20", "disk_gb: is not for provider = \"exec\""),
        ("program = \"/", "program = \"./", "the absolute path of a program"),
        (
            "provider = \"exec\"",
            "provider = \"aws\"\nregion = \"r\"\nami = \"ami-1\"",
            "machine_vcpu: is not for provider = \"aws\"",
        ),
    ] {
        write(&file, &right.replacen(line, other, 1));
        let output = place.tidegate(&["check", "--provider", "here", "--yes"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(3) && said.contains(told), "{told}: {said}");
    }
}
