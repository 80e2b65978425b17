//! Policies of the user's own: what a script may do, what its answer may be, the examples, and their scores.

mod examples;
mod exported;
mod library;
mod programs;
mod provider;
mod pseudonyms;
mod replayed;
mod sandbox;
#[cfg(feature = "aws")]
mod screens;
mod service;
mod told;

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use tidegate::engine::advise::Advisors;
use tidegate::model::account::Owner;
use tidegate::model::advice::Advised;
use tidegate::model::ledger::Ledger;
use tidegate::model::observed::QueueEntry;
use tidegate::model::settings::Settings;
use tidegate::model::snapshot::{QueueState, Snapshot};
use tidegate::store::settings::parse;
use tidegate::world::clock::Clock;

const SETTINGS: &str = r#"[loop]
fleet = "lab"
time_zone = "Europe/Berlin"
policy = "POLICY"

[queue.train]
pools = ["spot", "gpu"]

[pool.spot]
provider = "aws"
region = "us-east-1"
types = ["g5.xlarge"]
market = "spot"
ami = "ami-1"

[pool.gpu]
provider = "aws"
region = "us-east-1"
types = ["g5.xlarge"]
ami = "ami-1"
"#;

#[expect(clippy::disallowed_methods, reason = "a test's own file")]
fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

/// A queue with tasks, each with its age in seconds, its user and its project.
struct World {
    settings: Settings,
    snapshot: Snapshot,
    now: Timestamp,
}

impl World {
    fn at(now: &str, tasks: &[(i64, &str, &str)]) -> Self {
        let settings = parse(&SETTINGS.replace("POLICY", "own.rhai"), Path::new("t.toml")).unwrap();
        let now: Timestamp = now.parse().unwrap();
        let mut snapshot = Snapshot::default();
        let mut owners = std::collections::BTreeMap::new();
        let mut waiting = Vec::new();
        for (place, (age, user, project)) in tasks.iter().enumerate() {
            let task = tidegate::model::ids::TaskId::from(format!("t{place}").as_str());
            owners.insert(task.clone(), Owner { user: Some((*user).into()), project: Some((*project).into()) });
            waiting.push(QueueEntry { task, added: now - jiff::SignedDuration::from_secs(*age) });
        }
        snapshot.owners = owners.into();
        snapshot.queues = vec![QueueState {
            name: "train".into(),
            id: Some("q".into()),
            nearest: None,
            waiting,
            phantoms: Vec::new(),
            retried: 0,
        }];
        let catalogue = tidegate::world::prices::catalogue().unwrap();
        snapshot.catalogue = std::sync::Arc::new(catalogue);
        Self { settings, snapshot, now }
    }

    /// What a script says of the queue; `None`: nothing.
    fn ask(&self, path: &Path) -> Option<Advised> {
        // A checkout may be a group's, and a loaded machine slow.
        self.ask_by(path, None)
    }

    fn ask_by(&self, path: &Path, clock: Option<Clock>) -> Option<Advised> {
        let mut settings = self.settings.clone();
        settings.the_loop.policy = Some(path.display().to_string());
        let mut advisors = Advisors::new(None, clock);
        advisors.advise(&self.snapshot, &settings, &Ledger::default(), self.now).remove("train")
    }

    /// The same of a text, as the loop asks it.
    fn says(&self, script: &str) -> Option<Advised> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("own.rhai");
        write(&file, script);
        let said = self.ask_by(&file, Some(Clock::Wall));
        let folder = format!("{}/", folder.path().display());
        said.map(|said| match said {
            Advised::Failed { policy, error } => {
                Advised::Failed { policy: policy.replace(&folder, ""), error: error.replace(&folder, "") }
            }
            wants @ Advised::Wants(_) => wants,
        })
    }
}

/// A program of these lines of Python, after those that read a question and say an answer. It is copied into its place by
/// another process: a file that this one wrote may be busy.
fn program(folder: &Path, lines: &str) -> PathBuf {
    let (draft, file) = (folder.join("draft"), folder.join("rules.py"));
    let text = format!(
        "#!/usr/bin/env python3\nimport json, os, subprocess, sys, time\n\
         def ask():\n    return json.loads(sys.stdin.readline() or sys.exit(0))\n\
         def say(asked, answer):\n    print(json.dumps({{'id': asked['id'], 'answers': {{'train': answer}}}}), flush=True)\n\
         {lines}\n"
    );
    write(&draft, &text);
    std::fs::set_permissions(&draft, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let copied = std::process::Command::new("cp").arg("-p").args([&draft, &file]).status().unwrap();
    assert!(copied.success());
    file
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/policies").join(name)
}
