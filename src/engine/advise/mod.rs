//! Policies of the user's: each queue's script or program is asked at every pass what it wants, and `plan` takes the answer in
//! as data. Its file is looked at anew at every pass: an edit counts at the next one.

mod answer;
mod facts;
mod program;
mod script;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use rhai::Dynamic;

use crate::engine::advise::facts::Facts;
use crate::engine::advise::program::Runner;
use crate::engine::advise::script::Script;
use crate::model::advice::{Advice, Advised};
use crate::model::ids::QueueName;
use crate::model::instance::RunningTask;
use crate::model::ledger::Ledger;
use crate::model::observed::QueueEntry;
use crate::model::settings::{QueueSettings, Settings};
use crate::model::snapshot::Snapshot;
use crate::store::directory::refuse_exposed;
use crate::world::clock::Clock;

/// A policy in Rust, for those who embed the loop: see [`Setup`](crate::engine::Setup). What it wants is held to the same rules
/// as what a script or a program answers, and passes no limit, no budget and no invariant.
pub trait Policy: Send + std::fmt::Debug {
    /// As reasons, the journal and the screen call it.
    fn name(&self) -> &str;

    /// What a queue is to have; `None` leaves it to the loop. It is asked at every pass, and the loop waits for it.
    ///
    /// # Errors
    /// Why it cannot say: the loop decides as without it, and the screen shows why.
    fn advise(&mut self, question: &Question<'_>) -> Result<Option<Advice>, String>;
}

/// What a [`Policy`] is asked about, and all that is known.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    pub queue: &'a QueueSettings,
    pub snapshot: &'a Snapshot,
    pub settings: &'a Settings,
    pub ledger: &'a Ledger,
    pub now: Timestamp,
}

impl<'a> Question<'a> {
    /// The queue's tasks that wait, the first first.
    #[must_use]
    pub fn waiting(&self) -> &'a [QueueEntry] {
        self.snapshot.queue(&self.queue.name).map(|queue| queue.waiting.as_slice()).unwrap_or_default()
    }

    /// The queue's tasks that run.
    pub fn running(&self) -> impl Iterator<Item = &'a RunningTask> {
        let (name, instances) = (&self.queue.name, &self.snapshot.instances);
        let tasks = instances.iter().flat_map(|instance| instance.tasks().map(move |task| (instance, task)));
        tasks
            .filter(move |(instance, task)| task.queue.as_ref().unwrap_or(&instance.home) == name)
            .map(|(_, task)| task)
    }
}

/// How the settings begin the name of a policy that is a program.
const EXEC: &str = "exec:";

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
    #[error("{policy}: {message}")]
    Program { policy: Arc<str>, message: String },
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
    /// Programs, by what the settings call them.
    programs: BTreeMap<String, Runner>,
    /// Asked where the settings name none.
    own: Option<Box<dyn Policy>>,
    /// By which a script ends that takes long; without it its operations alone are counted, and programs have more time.
    clock: Option<Clock>,
}

/// What a policy answers for each of its queues, or why it does not.
type Answers = Result<BTreeMap<String, Dynamic>, AdviceError>;

impl Advisors {
    /// Policies beside the settings' file, which others cannot write, each script held to a quarter of a second by `clock`.
    #[must_use]
    pub fn new(settings: Option<&Path>, clock: Option<Clock>) -> Self {
        let directory = settings.and_then(Path::parent).map(Path::to_owned).unwrap_or_default();
        Self { directory, loaded: BTreeMap::new(), programs: BTreeMap::new(), own: None, clock }
    }

    /// With a policy for the queues for which the settings name none.
    #[must_use]
    pub fn with_own(self, own: Option<Box<dyn Policy>>) -> Self {
        Self { own, ..self }
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
        let is_used = |policy: &str| policies.iter().any(|(_, used)| *used == policy);
        self.loaded.retain(|policy, _| is_used(policy));
        self.programs.retain(|policy, _| is_used(policy));
        let mut advised = self.ask_own(snapshot, settings, ledger, now);
        if policies.is_empty() {
            return advised;
        }
        let facts = Facts::new(snapshot, settings, ledger, now);
        // They think while the scripts run.
        let asked = self.ask_programs(&facts, &policies);
        advised.extend(self.ask_scripts(&facts, &policies));
        for (policy, asked) in asked {
            let Some(runner) = self.programs.get_mut(policy) else { continue };
            let answers = asked.and_then(|()| runner.answer()).and_then(|answers| known(answers, policy, &policies));
            for (queue, _) in policies.iter().filter(|(_, used)| *used == policy) {
                let wrong = |message| AdviceError::Answer { policy: policy.into(), queue: queue.name.clone(), message };
                let wants = answers.as_ref().map_err(Clone::clone).and_then(|answers| {
                    let answer = answers.get(queue.name.as_str()).cloned().unwrap_or(Dynamic::UNIT);
                    answer::read(answer, policy, queue).map_err(wrong)
                });
                advised.extend(told(queue, policy, wants));
            }
        }
        advised
    }

    fn ask_own(
        &mut self,
        snapshot: &Snapshot,
        settings: &Settings,
        ledger: &Ledger,
        now: Timestamp,
    ) -> BTreeMap<QueueName, Advised> {
        let Some(own) = &mut self.own else { return BTreeMap::new() };
        let left = settings.queues.iter().filter(|queue| settings.policy_of(queue).is_none());
        let asked = left.filter_map(|queue| {
            let wants = own.advise(&Question { queue, snapshot, settings, ledger, now });
            let name = own.name();
            let wants = wants.and_then(|advice| advice.map_or(Ok(None), |advice| answer::fit(advice, name, queue)));
            let wrong = |message| AdviceError::Answer { policy: name.into(), queue: queue.name.clone(), message };
            told(queue, name, wants.map_err(wrong))
        });
        asked.collect()
    }

    /// Puts the question to each program, about all of its queues at once.
    fn ask_programs<'a>(
        &mut self,
        facts: &Facts<'_>,
        policies: &[(&QueueSettings, &'a str)],
    ) -> BTreeMap<&'a str, Result<(), AdviceError>> {
        let mut queues: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (queue, policy) in policies.iter().filter(|(_, policy)| policy.starts_with(EXEC)) {
            queues.entry(policy).or_default().push(queue.name.as_str());
        }
        if queues.is_empty() {
            return BTreeMap::new();
        }
        let world = serde_json::to_string(facts);
        let asked = queues.into_iter().map(|(policy, queues)| {
            let path = self.directory.join(policy.strip_prefix(EXEC).unwrap_or(policy));
            let new = || Runner::new(policy, path, self.clock.is_some());
            let runner = self.programs.entry(policy.to_owned()).or_insert_with(new);
            let asked = match &world {
                Ok(world) => runner.ask(world, &queues),
                Err(error) => Err(AdviceError::Unreadable { policy: policy.into(), error: error.to_string() }),
            };
            (policy, asked)
        });
        asked.collect()
    }

    fn ask_scripts(&mut self, facts: &Facts<'_>, policies: &[(&QueueSettings, &str)]) -> BTreeMap<QueueName, Advised> {
        let scripts: Vec<_> = policies.iter().filter(|(_, policy)| !policy.starts_with(EXEC)).collect();
        if scripts.is_empty() {
            return BTreeMap::new();
        }
        for (_, policy) in &scripts {
            self.load(policy);
        }
        let world = rhai::serde::to_dynamic(facts);
        let asked = scripts.into_iter().filter_map(|(queue, policy)| {
            let wants = match world.as_ref().map_err(ToString::to_string) {
                Ok(world) => self.ask(world, queue, policy),
                Err(error) => Err(AdviceError::Unreadable { policy: (*policy).into(), error }),
            };
            told(queue, policy, wants)
        });
        asked.collect()
    }

    fn ask(&mut self, world: &Dynamic, queue: &QueueSettings, policy: &str) -> Result<Option<Advice>, AdviceError> {
        let Some(loaded) = self.loaded.get_mut(policy) else { return Ok(None) };
        let script = loaded.script.as_mut().map_err(|error| error.clone())?;
        let answer = script.ask(world, queue.name.as_str(), self.clock)?;
        let wrong = |message| AdviceError::Answer { policy: policy.into(), queue: queue.name.clone(), message };
        answer::read(answer, policy, queue).map_err(wrong)
    }

    /// Reads a script; it is compiled anew where it is another than before.
    fn load(&mut self, policy: &str) {
        let path = self.directory.join(policy);
        // Whoever can write a live script says what is bought; one that is only tried is the same file.
        let exposed = refuse_exposed(&path).map_err(|error| error.to_string());
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

/// What came of asking about a queue, unless it is left to the loop.
fn told(
    queue: &QueueSettings,
    policy: &str,
    wants: Result<Option<Advice>, AdviceError>,
) -> Option<(QueueName, Advised)> {
    let advised = match wants {
        Ok(wants) => Advised::Wants(wants?),
        Err(error) => Advised::Failed { policy: policy.to_owned(), error: error.to_string() },
    };
    Some((queue.name.clone(), advised))
}

/// Refuses answers for queues that were not asked about.
fn known(answers: BTreeMap<String, Dynamic>, policy: &str, policies: &[(&QueueSettings, &str)]) -> Answers {
    let asked = |name: &str| policies.iter().any(|(queue, used)| *used == policy && queue.name.as_str() == name);
    match answers.keys().find(|name| !asked(name)) {
        None => Ok(answers),
        Some(name) => {
            let plain: String = name.chars().filter(|letter| !letter.is_control()).take(100).collect();
            let message = format!("it answers for queue `{plain}`, which it was not asked about");
            Err(AdviceError::Program { policy: policy.into(), message })
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
