//! Policies of the user's: each queue's script is asked at every pass what it wants, and `plan` takes the answer in as data.
//! Its file is read anew at every pass: an edit counts at the next one.

mod answer;
mod facts;
mod script;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use rhai::Dynamic;

use crate::engine::advise::facts::Facts;
use crate::engine::advise::script::Script;
use crate::model::advice::Advised;
use crate::model::ids::QueueName;
use crate::model::ledger::Ledger;
use crate::model::settings::{QueueSettings, Settings};
use crate::model::snapshot::Snapshot;
use crate::store::directory::refuse_exposed;
use crate::world::clock::Clock;

/// No script is longer, in bytes.
const LONGEST_SCRIPT: u64 = 256 * 1_024;

/// Why a policy's answer does not count. Lines and columns begin at 1; 0: it has none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdviceError {
    #[error("{policy}: it cannot be read: {error}")]
    Unreadable { policy: Arc<str>, error: String },
    #[error("{policy}:{line}:{column}: {message}")]
    Script { policy: Arc<str>, line: usize, column: usize, message: String },
    #[error("{policy}: for queue {queue}: {message}")]
    Answer { policy: Arc<str>, queue: QueueName, message: String },
}

/// A script as it was read last.
#[derive(Debug)]
struct Loaded {
    /// `None`: it could not be read.
    text: Option<String>,
    script: Result<Script, AdviceError>,
}

/// The policies of the settings.
#[derive(Debug, Default)]
pub struct Advisors {
    /// What a path without a beginning begins with: where the settings are.
    directory: PathBuf,
    loaded: BTreeMap<String, Loaded>,
    /// By which a script ends that takes long; without it its operations alone are counted.
    clock: Option<Clock>,
}

impl Advisors {
    /// Scripts beside the settings' file, which others cannot write, each held to a quarter of a second by `clock`.
    #[must_use]
    pub fn new(settings: Option<&Path>, clock: Option<Clock>) -> Self {
        let directory = settings.and_then(Path::parent).map(Path::to_owned).unwrap_or_default();
        Self { directory, loaded: BTreeMap::new(), clock }
    }

    /// What the policies want, by the queues that have one and are not left to the loop by it.
    pub fn advise(
        &mut self,
        snapshot: &Snapshot,
        settings: &Settings,
        ledger: &Ledger,
        now: Timestamp,
    ) -> BTreeMap<QueueName, Advised> {
        let policies: Vec<(&QueueSettings, &str)> =
            settings.queues.iter().filter_map(|queue| Some((queue, settings.policy_of(queue)?))).collect();
        self.loaded.retain(|policy, _| policies.iter().any(|(_, used)| used == policy));
        if policies.is_empty() {
            return BTreeMap::new();
        }
        for (_, policy) in &policies {
            self.load(policy);
        }
        let facts = Facts::new(snapshot, settings, ledger, now);
        let world = rhai::serde::to_dynamic(&facts);
        let asked = policies.into_iter().filter_map(|(queue, policy)| {
            let advised = match world.as_ref().map_err(ToString::to_string) {
                Ok(world) => self.ask(world, queue, policy).transpose()?,
                Err(error) => Err(AdviceError::Unreadable { policy: policy.into(), error }),
            };
            let failed = |error: AdviceError| Advised::Failed { policy: policy.to_owned(), error: error.to_string() };
            Some((queue.name.clone(), advised.unwrap_or_else(failed)))
        });
        asked.collect()
    }

    fn ask(&mut self, world: &Dynamic, queue: &QueueSettings, policy: &str) -> Result<Option<Advised>, AdviceError> {
        let Some(loaded) = self.loaded.get_mut(policy) else { return Ok(None) };
        let script = loaded.script.as_mut().map_err(|error| error.clone())?;
        let answer = script.ask(world, queue.name.as_str(), self.clock)?;
        let wrong = |message| AdviceError::Answer { policy: policy.into(), queue: queue.name.clone(), message };
        Ok(answer::read(answer, policy, queue).map_err(wrong)?.map(Advised::Wants))
    }

    /// Reads a script; it is compiled anew where it is another than before.
    fn load(&mut self, policy: &str) {
        let path = self.directory.join(policy);
        // Whoever can write a live script says what is bought.
        let exposed =
            if self.clock.is_some() { refuse_exposed(&path).map_err(|error| error.to_string()) } else { Ok(()) };
        match text(&path).and_then(|text| exposed.map(|()| text)) {
            Ok(text) if self.loaded.get(policy).is_some_and(|loaded| loaded.text.as_ref() == Some(&text)) => {}
            Ok(text) => {
                let script = Script::compile(policy, &text);
                self.loaded.insert(policy.to_owned(), Loaded { text: Some(text), script });
            }
            Err(error) => {
                let script = Err(AdviceError::Unreadable { policy: policy.into(), error });
                self.loaded.insert(policy.to_owned(), Loaded { text: None, script });
            }
        }
    }
}

/// A file's text. What is no plain file may never end.
fn text(path: &Path) -> Result<String, String> {
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is no file".to_owned());
    }
    if metadata.len() > LONGEST_SCRIPT {
        return Err(format!("it is longer than {LONGEST_SCRIPT} bytes"));
    }
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}
