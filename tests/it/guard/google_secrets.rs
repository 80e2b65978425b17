//! Credentials by reference on a machine of Google's: its metadata service with a service account, the Secret Manager, the boot
//! script, the real agent.

use std::process::Command;

use tidegate::model::settings::Provider;
use tidegate::world::cloud::LaunchOrder;
use tidegate::world::guard::startup_script;
use tidegate::world::sim::clearml::{ClearmlServer, Status};

use super::{order, wait};
use crate::support::face::Served;
use crate::support::machine::Machine;
use crate::support::process::{Group, free_port, listens, write};
use crate::support::python::{clean, program};

const ROLE: &str = include_str!("google_role.py");
const NAME: &str = "tidegate-b1-0";

/// The metadata service and the store, with these values in it.
struct Google {
    server: Group,
    url: String,
    _folder: tempfile::TempDir,
}

impl Google {
    fn start(secrets: &serde_json::Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (script, port) = (folder.path().join("google_role.py"), free_port());
        write(&script, ROLE);
        let mut command = Command::new(program("python"));
        command.arg(&script).args([port.to_string(), secrets.to_string()]);
        clean(&mut command, folder.path());
        let mut server = Group::start("google_role.py", command, &folder.path().join("calls"));
        server.wait_for("it listens", || listens(port));
        Self { server, url: format!("http://127.0.0.1:{port}"), _folder: folder }
    }

    fn boot(&self, order: &LaunchOrder) -> Machine {
        let settings =
            [("TIDEGATE_IMDS", self.url.as_str()), ("TIDEGATE_GOOGLE", &self.url), ("TIDEGATE_INSTANCE", "")];
        Machine::boot(&startup_script(order, NAME).unwrap(), NAME, &settings)
    }
}

fn googles(server: &Served) -> LaunchOrder {
    let mut order = order(server);
    order.pool.provider = Provider::Gce;
    order
}

#[test]
fn a_machine_of_googles_fetches_its_key_and_git_s_with_its_service_account_and_tells_nobody() {
    let server = Served::start(&["one", "two"]);
    let agents = server.server().user(&ClearmlServer::agents()).unwrap().clone();
    let (key, hush) = (agents.access_key, agents.secret_key.expose().to_owned());
    let google = Google::start(&serde_json::json!({
        "projects/lab-1/secrets/agents/versions/latest": format!("{key}:{hush}\n"),
        "projects/keys/secrets/git/versions/3": r#"{"username": "robot", "password": "hush:hu\"sh"}"#,
    }));
    let mut order = googles(&server);
    order.pool.agent.agent_credentials = Some("secretmanager:agents".to_owned());
    order.pool.agent.git_credentials = Some("secretmanager:projects/keys/secrets/git/versions/3".to_owned());
    let script = startup_script(&order, NAME).unwrap();
    assert!(!script.contains(order.agents.token.expose()) && !script.contains("hush"));
    let machine = google.boot(&order);
    let task = server.enqueue_shell("one", "echo \"heard: <$CLEARML_API_SECRET_KEY> <$CLEARML_AGENT_GIT_PASS>\"");
    wait(&machine, "the task ends", || server.status(&task) == Status::Completed);
    let written = machine.written();
    assert!(written.contains("agent.git_user = robot") && written.contains("heard: <> <>"), "{written}");
    assert!(!written.contains(&hush) && !written.contains("hush") && !written.contains("ya29"), "{written}");
    let conf = std::fs::read_to_string(machine.file("../../var/lib/tidegate/clearml.conf")).unwrap();
    assert!(conf.contains(r#"agent.git_pass: "hush:hu\"sh""#) && !conf.contains(&hush), "{conf}");
    for call in [
        "GET /v1/projects/lab-1/secrets/agents/versions/latest:access 200",
        "GET /v1/projects/keys/secrets/git/versions/3:access 200",
    ] {
        assert!(google.server.written().contains(call), "{}", google.server.written());
    }
}

#[test]
fn a_secret_of_googles_that_cannot_be_read_ends_the_machine_and_says_why() {
    let server = Served::start(&["one", "two"]);
    let google = Google::start(&serde_json::json!({}));
    let mut order = googles(&server);
    order.pool.agent.git_credentials = Some("secretmanager:git".to_owned());
    let machine = google.boot(&order);
    wait(&machine, "it switches itself off", || machine.is_off());
    let gone = server.metadata(&format!("drain:{NAME}"), "gone");
    assert_eq!(gone.as_deref(), Some("git_credentials could not be read"), "{}", machine.written());
    let called = google.server.written();
    assert!(called.contains("GET /v1/projects/lab-1/secrets/git/versions/latest:access 404"), "{called}");
    assert!(machine.written().contains("NOT_FOUND"), "{}", machine.written());
    assert_eq!(server.workers().len(), 0);
}
