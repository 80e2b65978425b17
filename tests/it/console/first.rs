//! `tidegate init`: the first run, against a ClearML server and an EC2 server, as a person at 80x24 and as a script.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::terminal::Terminal;
use crate::gce::fake::Fake;
use crate::support::conf::clearml_conf;
use crate::support::face::Served;
use crate::support::moto::{self, Moto};

/// The same with Google in the place of EC2: found by the project in the environment and the machine's own account.
struct OnGoogle {
    home: tempfile::TempDir,
    face: Served,
    google: Fake,
    _runtime: tokio::runtime::Runtime,
}

impl OnGoogle {
    fn new() -> Self {
        let (home, face) = (tempfile::tempdir().unwrap(), Served::start(&["gpu-large"]));
        clearml_conf(home.path(), &face.url, "CONSOLE-KEY", "console-secret");
        face.enqueue_shell("gpu-large", "true");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let google = runtime.block_on(Fake::start());
        google.state().by_the_wall = true;
        Self { home, face, google, _runtime: runtime }
    }

    fn config(&self) -> PathBuf {
        self.home.path().join("made/tidegate.toml")
    }

    fn environment(&self) -> Vec<(String, String)> {
        let home = self.home.path().display().to_string();
        let url = &self.google.url;
        let of = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        vec![
            of("HOME", &home),
            of("CLEARML_CONFIG_FILE", &format!("{home}/clearml.conf")),
            of("TIDEGATE_STATE_DIR", &format!("{home}/state")),
            of("AWS_EC2_METADATA_DISABLED", "true"),
            of("CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE", &format!("{url}/compute/v1/")),
            of("CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDRESOURCEMANAGER", url),
            of("CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDBILLING", url),
            of("CLOUDSDK_API_ENDPOINT_OVERRIDES_OAUTH2", url),
            of("GOOGLE_CLOUD_PROJECT", "proj-1"),
            of("GCE_METADATA_HOST", url.trim_start_matches("http://")),
        ]
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(arguments).env_clear().env("PATH", "/usr/bin:/bin").envs(self.environment());
        command.stdin(Stdio::null()).output().unwrap()
    }
}

/// A person's home with a clearml.conf in it, and two servers.
struct First {
    home: tempfile::TempDir,
    face: Served,
    moto: Moto,
}

impl First {
    fn new() -> Self {
        let (home, face) = (tempfile::tempdir().unwrap(), Served::start(&["gpu-large"]));
        clearml_conf(home.path(), &face.url, "CONSOLE-KEY", "console-secret");
        face.enqueue_shell("gpu-large", "true");
        Self { home, face, moto: moto::start() }
    }

    fn config(&self) -> PathBuf {
        self.home.path().join("made/tidegate.toml")
    }

    fn environment(&self) -> Vec<(String, String)> {
        let home = self.home.path().display().to_string();
        let of = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        vec![
            of("HOME", &home),
            of("CLEARML_CONFIG_FILE", &format!("{home}/clearml.conf")),
            of("TIDEGATE_STATE_DIR", &format!("{home}/state")),
            of("AWS_ACCESS_KEY_ID", "testing"),
            of("AWS_SECRET_ACCESS_KEY", "testing"),
            of("AWS_EC2_METADATA_DISABLED", "true"),
            of("AWS_ENDPOINT_URL", &self.moto.url),
            of("AWS_REGION", "us-east-1"),
        ]
    }

    /// As a script: nobody can be asked.
    fn script(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.arg("init").arg("--config").arg(self.config()).args(arguments);
        command.env_clear().env("PATH", "/usr/bin:/bin").envs(self.environment());
        command.stdin(Stdio::null()).output().unwrap()
    }
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn a_script_is_told_what_it_needs_and_then_has_settings_that_are_safe() {
    let first = First::new();
    let output = first.script(&[]);
    let said = told(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for words in [
        "clearml: http://127.0.0.1",
        "clearml.conf",
        "EC2 in us-east-1 takes the credentials",
        "nothing was written; still needed:",
        "--queue NAME, one or more of gpu-large, default",
        "--type TYPE, such as",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!first.config().exists() && !said.contains("console-secret"));
    let output = first.script(&["--queue", "gpu-larg", "--type", "g4dn.xlarge"]);
    assert!(told(&output).contains("the server has no queue `gpu-larg`") && !first.config().exists());
    let answers = ["--queue", "gpu-large", "--type", "g4dn.xlarge", "--max", "3", "--budget", "$7", "--fleet", "ours"];
    let output = first.script(&answers);
    let said = told(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("at most 3 machines and $7.00 a day") && said.contains("dry run until you arm it"), "{said}");
    let text = read(&first.config());
    for line in [
        "fleet = \"ours\"",
        "[queue.gpu-large]",
        "types = [\"g4dn.xlarge\"]",
        "max = 3",
        "limit = \"$7\"",
        "hard = true",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(!text.contains("console-secret"));
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(first.config()).unwrap()) & 0o777;
    assert_eq!(mode, 0o600);
    // What is there is never written over.
    let again = first.script(&answers);
    assert_eq!(again.status.code(), Some(5), "{}", told(&again));
    assert_eq!(read(&first.config()), text);
    first.face.all_known();
}

#[test]
fn without_credentials_it_says_where_it_looked_and_what_to_run() {
    let first = First::new();
    std::fs::remove_file(first.home.path().join("clearml.conf")).unwrap();
    let output = first.script(&["--queue", "default", "--type", "g4dn.xlarge"]);
    let said = told(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("clearml.conf: No such file") && said.contains("a ClearML server that answers: `clearml-init`"),
        "{said}"
    );
    assert!(!first.config().exists());
}

#[test]
fn a_person_chooses_and_ends_in_the_console_which_does_nothing_yet() {
    let first = First::new();
    let config = first.config().display().to_string();
    let environment = first.environment();
    let environment: Vec<_> = environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let mut terminal = Terminal::of(&["init", "--config", &config], &environment, "Which queues?");
    // What waits comes first.
    let text = terminal.text();
    assert!(text.contains("1  gpu-large                1 wait") && text.contains("2  default"), "{text}");
    terminal.line("7");
    terminal.until("a refusal", |text| text.contains("`7` is none of them"));
    terminal.line("1");
    let text = terminal.until("types", |text| text.contains("Which machine types"));
    assert!(text.contains("1 GPU") && text.contains("/h"), "{text}");
    terminal.line("g4dn.xlarge");
    terminal.until("the image", |text| text.contains("The machines' image ["));
    terminal.line("");
    terminal.until("a number", |text| text.contains("Machines at most [2]:"));
    terminal.line("some");
    terminal.until("a refusal", |text| text.contains("`some` is not"));
    terminal.line("1");
    terminal.until("money", |text| text.contains("Money for a day at most [$20.00]:"));
    terminal.line("$5");
    terminal.until("a name", |text| text.contains("The fleet's name ["));
    terminal.line("mine");
    let text = terminal.until("the console", |text| text.contains("DRY RUN") && text.contains("gpu-large"));
    assert!(text.contains("mine"), "{text}");
    assert!(read(&first.config()).contains("limit = \"$5\""));
    terminal.press("q");
    terminal.until("the end", |text| !text.contains("QUEUE") || text.contains("Quit"));
    assert!(first.face.entries("gpu-large").len() == 1, "the task waits: nothing was started");
}

#[test]
fn on_google_a_script_gets_settings_that_pass_their_check() {
    let first = OnGoogle::new();
    let config = first.config().display().to_string();
    let init = ["init", "--config", &config, "--region", "us-east1", "--queue", "gpu-large"];
    let output = first.run(&init);
    let said = told(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for words in [
        "Compute Engine in us-east1 takes the credentials for project proj-1: the service account of this machine",
        "still needed:\n  --type TYPE, such as ",
        "g2-standard-4 ($0.71/h)",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let output = first.run(&[&init[..], &["--type", "g2-standard-4"]].concat());
    assert!(output.status.success(), "{}", told(&output));
    let text = read(&first.config());
    for line in [
        "provider = \"gce\"",
        "image = \"projects/deeplearning-platform-release/global/images/family/common-cu129-ubuntu-2404-nvidia-580\"",
        "zones = [\"us-east1-b\", \"us-east1-c\", \"us-east1-d\"]",
        "public_address = true",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let checked = first.run(&["check", "--config", &config]);
    let said = told(&checked);
    assert!(checked.status.success(), "{said}");
    assert!(said.contains("ok    gce us-east1: Compute Engine in us-east1 takes the credentials"), "{said}");
    first.face.all_known();
}

#[test]
fn on_google_a_person_chooses_arms_and_has_a_machine() {
    let first = OnGoogle::new();
    let config = first.config().display().to_string();
    let environment = first.environment();
    let environment: Vec<_> = environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let mut terminal = Terminal::of(&["init", "--config", &config], &environment, "Which queues?");
    terminal.line("gpu-large");
    let text = terminal.until("types", |text| text.contains("Which machine types"));
    assert!(text.contains("g2-standard-4       1 GPU    4 vCPU  $0.71/h"), "{text}");
    terminal.line("nonsense");
    terminal.until("a refusal", |text| text.contains("`nonsense` is none of them"));
    // One that the table does not have.
    terminal.line("1, a2-highgpu-1g");
    for (question, answer) in
        [("The machines' image [", ""), ("at most [2]:", "1"), ("Money for a day at most [", "$9"), ("name [", "mine")]
    {
        terminal.until(question, |text| text.contains(question));
        terminal.line(answer);
    }
    terminal.until("the console", |text| text.contains("DRY RUN") && text.contains("gpu-large"));
    terminal.until("a look", |text| text.contains("grow by 1"));
    assert!(first.google.state().machines.is_empty(), "a dry run");
    terminal.press("A");
    terminal.until("the question", |text| text.contains("Arm the loop?"));
    terminal.press("y");
    terminal.until("armed", |text| text.contains("ARMED"));
    for _ in 0..300 {
        if !first.google.state().machines.is_empty() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let machines = first.google.state().machines.clone();
    let (place, machine) = machines.iter().next().expect("a machine");
    assert_eq!(place.0, "us-central1-a");
    assert!(machine["machineType"].as_str().unwrap().ends_with("g2-standard-4"), "{machine}");
    assert!(machine["networkInterfaces"][0]["accessConfigs"].is_array(), "{machine}");
    assert!(read(&first.config()).contains("types = [\"g2-standard-4\", \"a2-highgpu-1g\"]"));
}
