//! Credentials by reference: a metadata service with a role, AWS's two stores behind it, the boot script, the real agent.

use std::process::Command;

use tidegate::store::settings::SettingsFile;
use tidegate::world::cloud::LaunchOrder;
use tidegate::world::guard::{boot_script, user_data};
use tidegate::world::sim::clearml::{ClearmlServer, Status};

use super::{order, wait};
use crate::support::face::Served;
use crate::support::machine::Machine;
use crate::support::process::{Group, free_port, listens, write};
use crate::support::python::{clean, program};

const ROLE: &str = include_str!("role.py");

/// The metadata service and the stores, with these values in them.
struct Aws {
    server: Group,
    url: String,
    _folder: tempfile::TempDir,
}

impl Aws {
    fn start(secrets: &serde_json::Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (script, port) = (folder.path().join("role.py"), free_port());
        write(&script, ROLE);
        let mut command = Command::new(program("python"));
        command.arg(&script).args([port.to_string(), secrets.to_string()]);
        clean(&mut command, folder.path());
        let mut server = Group::start("role.py", command, &folder.path().join("calls"));
        server.wait_for("it listens", || listens(port));
        Self { server, url: format!("http://127.0.0.1:{port}"), _folder: folder }
    }

    fn boot(&self, order: &LaunchOrder) -> Machine {
        let settings = [("TIDEGATE_IMDS", self.url.as_str()), ("TIDEGATE_AWS", &self.url), ("TIDEGATE_INSTANCE", "")];
        Machine::boot_user_data(&user_data(order).unwrap(), "i-1", &settings)
    }
}

#[test]
fn a_machine_fetches_its_key_and_git_s_with_its_role_and_tells_nobody() {
    let server = Served::start(&["one", "two"]);
    let agents = server.server().user(&ClearmlServer::agents()).unwrap().clone();
    let (key, hush) = (agents.access_key, agents.secret_key.expose().to_owned());
    let git = r#"{"username": "robot", "password": "hush:hu\"sh"}"#;
    let aws = Aws::start(&serde_json::json!({ "ssm:/agents": format!("{key}:{hush}"), "secretsmanager:git": git }));
    let mut order = order(&server);
    order.pool.agent.agent_credentials = Some("ssm:/agents".to_owned());
    order.pool.agent.git_credentials = Some("secretsmanager:git".to_owned());
    let script = boot_script(&order).unwrap();
    assert!(!script.contains(order.agents.token.expose()) && !script.contains("hush"));
    let machine = aws.boot(&order);
    let task = server.enqueue_shell("one", "echo \"heard: <$CLEARML_API_SECRET_KEY> <$CLEARML_AGENT_GIT_PASS>\"");
    wait(&machine, "the task ends", || server.status(&task) == Status::Completed);
    let written = machine.written();
    assert!(written.contains("agent.git_user = robot") && written.contains("heard: <> <>"), "{written}");
    assert!(!written.contains(&hush) && !written.contains("hush"), "{written}");
    let conf = std::fs::read_to_string(machine.file("../../var/lib/tidegate/clearml.conf")).unwrap();
    assert!(conf.contains(r#"agent.git_pass: "hush:hu\"sh""#), "{conf}");
    assert!(!conf.contains(&hush), "{conf}");
    for call in ["POST / AmazonSSM.GetParameter 200", "POST / secretsmanager.GetSecretValue 200"] {
        assert!(aws.server.written().contains(call), "{}", aws.server.written());
    }
}

#[test]
fn row_24_the_settings_take_the_place_of_a_secret_and_no_secret() {
    let settings = |credentials: &str| {
        let text = format!(
            "[loop]\nfleet = \"lab\"\n[queue.one]\npools = [\"small\"]\n[pool.small]\nprovider = \"aws\"\nregion = \
             \"us-east-1\"\ntypes = [\"t3.medium\"]\nami = \"ami-1\"\ngit_credentials = \"{credentials}\"\ninstance_profile = \"tasks\"\n"
        );
        SettingsFile::in_memory(&text)
    };
    let refused = settings("robot:hush").map(drop).unwrap_err().to_string();
    assert!(refused.contains("git_credentials") && !refused.contains("hush"), "{refused}");
    let server = Served::start(&["one", "two"]);
    let script = |credentials: &str| {
        let mut order = order(&server);
        order.pool.agent.git_credentials = Some(credentials.to_owned());
        boot_script(&order).unwrap()
    };
    let place = "secretsmanager:tidegate/git";
    settings(place).unwrap();
    assert!(script(place).contains(place) && !script(place).contains("hush") && !script(place).contains("set -x"));
    // Past the settings' check it would be in what whoever can describe the machine reads.
    assert!(script("robot:hush").contains("hush"));
}

#[test]
fn a_key_that_cannot_be_read_ends_the_machine() {
    let server = Served::start(&["one", "two"]);
    let aws = Aws::start(&serde_json::json!({}));
    let mut order = order(&server);
    order.pool.agent.git_credentials = Some("ssm:/git".to_owned());
    let machine = aws.boot(&order);
    wait(&machine, "it switches itself off", || machine.is_off());
    let gone = server.metadata(super::MAILBOX, "gone");
    assert_eq!(gone.as_deref(), Some("git_credentials could not be read"), "{}", machine.written());
    assert_eq!(server.workers().len(), 0);
}
