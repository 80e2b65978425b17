//! What people ask of the loop, by the screen or over the socket, and its answers.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::engine::act::deed::Deed;
use crate::engine::became::became;
use crate::engine::command::{Command, Edit, Request};
use crate::engine::event::{Answer, Leader};
use crate::engine::pass::Undone;
use crate::engine::run::{EngineError, Loop};
use crate::engine::words::line;
use crate::model::ids::{Actor, InstanceId, Revision};
use crate::model::journal::EntryKind;
use crate::model::plan::Rule;
use crate::model::record::Record;
use crate::model::settings::key::Key;
use crate::model::settings::{Settings, change};
use crate::model::snapshot::{Ask, Order};
use crate::store::settings::EditError;

type Answered = Result<Answer, String>;

impl Loop {
    pub(super) async fn handle(&mut self, request: Request) -> Result<(), EngineError> {
        if request.command.changes() && self.reaches_leader() {
            self.post(request).await;
            return Ok(());
        }
        let Request { id, by, command } = request;
        let answered = match command {
            Command::Arm => self.arm(&by, true).await?,
            Command::Disarm => self.arm(&by, false).await?,
            Command::Pause => self.pause(&by, true).await?,
            Command::Resume => self.pause(&by, false).await?,
            Command::Refresh => {
                self.look();
                Ok(Answer::Done)
            }
            Command::Ask(asks) => self.ask(&by, asks).await?,
            Command::Set { edits, seen } => self.set(&by, &edits, seen.as_ref()).await?,
            Command::SettingsText => self.setup.settings.on_disk().map(Answer::Text).map_err(|error| error.to_string()),
            Command::Write { text, was } => self.write(&by, &text, &was).await?,
            Command::Preview(edits) => self.previewed(&edits),
            Command::ResetBackOff(what) => self.reset(&by, &what).await?,
            Command::BootLog(instance) => match self.boot_log(id, &instance) {
                // The answer comes with the cloud's.
                Ok(()) => return Ok(()),
                Err(error) => Err(error),
            },
            Command::Tasks(queue) => match self.read_tasks(id, &queue) {
                Ok(()) => return Ok(()),
                Err(error) => Err(error),
            },
            Command::TaskLog(task) => {
                self.read_task_log(id, task);
                return Ok(());
            }
            Command::TaskDeed { queue, tasks, deed } => match self.order_tasks(id, &by, &queue, tasks, deed).await {
                Ok(()) => return Ok(()),
                Err(error) => Err(error),
            },
            Command::Journal(filter) => {
                // Who asks is told first what is in the answer, and then what is not: no line twice, and none never.
                self.hear().await;
                let lines = self.setup.store.journal(&filter).await;
                lines.map(Answer::Journal).map_err(|error| error.to_string())
            }
            Command::History => self.history().await.map(Answer::History).map_err(|error| error.to_string()),
            Command::Quit { on_exit } => {
                let on_exit = on_exit.unwrap_or(self.settings.the_loop.on_exit);
                self.quit(&by, on_exit).await?;
                self.publish();
                Ok(Answer::Done)
            }
        };
        self.answer(id, answered);
        Ok(())
    }

    /// A loop that only watches changes nothing.
    pub(super) fn may_change(&self) -> Result<(), String> {
        if let Some(from) = self.setup.settings.read_only() {
            return Err(format!("read only, by the guardrails of {from}: nothing can be changed from here"));
        }
        match &self.setup.leader {
            Leader::Us(_) => Ok(()),
            Leader::Other(who) => Err(format!("this loop only watches: {who} leads")),
        }
    }

    async fn arm(&mut self, by: &Actor, armed: bool) -> Result<Answered, EngineError> {
        let word = if armed { "armed: the loop acts" } else { "disarmed: a dry run from now on" };
        self.turn(by, self.memory.armed == armed, Record::Armed(armed), word).await
    }

    async fn pause(&mut self, by: &Actor, paused: bool) -> Result<Answered, EngineError> {
        let word = if paused { "paused: only what people ask for is done" } else { "resumed" };
        self.turn(by, self.memory.paused == paused, Record::Paused(paused), word).await
    }

    async fn turn(&mut self, by: &Actor, already: bool, record: Record, text: &str) -> Result<Answered, EngineError> {
        if let Err(error) = self.may_change() {
            return Ok(Err(error));
        }
        if already {
            return Ok(Ok(Answer::Said(format!("already {text}"))));
        }
        let line = line(self.setup.clock.now(), EntryKind::Edited, text).by(by);
        if !self.commit(vec![record, line.record()]).await {
            return Ok(Err(self.store_problem.clone().unwrap_or_default()));
        }
        if !self.memory.armed || !self.memory.paused {
            // A person wants the loop to go on, or to do nothing at all: not to stop what comes up.
            self.stop_all = None;
        }
        self.replan(Vec::new()).await?;
        // Whoever follows as the leader goes on in the same mode.
        self.beat();
        self.publish();
        Ok(Ok(Answer::Said(text.to_owned())))
    }

    async fn ask(&mut self, by: &Actor, asks: Vec<Ask>) -> Result<Answered, EngineError> {
        if let Err(error) = self.may_change() {
            return Ok(Err(error));
        }
        let is_note = |ask: &Ask| matches!(ask, Ask::Hold { .. } | Ask::Release(_) | Ask::Replace(_) | Ask::LetBe(_));
        let only_notes = asks.iter().all(is_note);
        if !self.memory.armed && !only_notes {
            return Ok(Err("the loop is not armed, this is a dry run: arm it first (`tidegate arm`)".to_owned()));
        }
        if self.stop_all.is_some() && asks.iter().any(|ask| matches!(ask, Ask::Launch { .. })) {
            return Ok(Err("an emergency stop is under way: resume first (`tidegate resume`)".to_owned()));
        }
        if asks.contains(&Ask::StopAll) {
            let text = "emergency stop: every machine is ended, and the loop is paused";
            let line = line(self.setup.clock.now(), EntryKind::Edited, text).by(by);
            if !self.commit(vec![Record::Paused(true), line.record()]).await {
                return Ok(Err(self.store_problem.clone().unwrap_or_default()));
            }
            self.stop_all = Some(by.clone());
        }
        let orders = asks.into_iter().map(|what| Order { by: by.clone(), what }).collect();
        let undone = self.replan(orders).await?;
        self.publish();
        Ok(self.what_became(by, &undone))
    }

    /// The plan's words on what a person asked for.
    fn what_became(&self, by: &Actor, undone: &Undone) -> Answered {
        let asked = self.plan.actions.iter().enumerate();
        let asked = asked.filter(|(_, planned)| planned.rule == Rule::Person && planned.by == *by);
        let (mut done, mut refused) = (Vec::new(), Vec::new());
        for (index, planned) in asked {
            match undone.get(&index) {
                None => done.push(&planned.action),
                Some(why) => refused.push(format!("{}: {why}", planned.action)),
            }
        }
        let refusals = self.plan.refusals.iter().filter(|refusal| refusal.rule == Rule::Person && refusal.by == *by);
        refused.extend(refusals.map(|refusal| match refusal.reason.remedy() {
            Some(remedy) => format!("{}; {remedy}", refusal.reason),
            None => refusal.reason.to_string(),
        }));
        // Of many machines the reason is often the same.
        let mut told = BTreeSet::new();
        refused.retain(|why| told.insert(why.clone()));
        let done = became(&done, &self.settings.the_loop.time_zone, self.setup.clock.now());
        match (done.is_empty(), refused.is_empty()) {
            (true, false) => Err(refused.join("; ")),
            (false, false) => Ok(Answer::Said(format!("{}; refused: {}", done.join(", "), refused.join("; ")))),
            (_, true) => Ok(Answer::Said(done.join(", "))),
        }
    }

    async fn set(&mut self, by: &Actor, edits: &[Edit], seen: Option<&Revision>) -> Result<Answered, EngineError> {
        if let Err(error) = self.may_change() {
            return Ok(Err(error));
        }
        let settings = match self.setup.settings.edit(edits, seen) {
            Ok(settings) => settings,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let now = self.setup.clock.now();
        let told: Vec<String> = edits.iter().map(|edit| said(&self.setup.settings.told(edit))).collect();
        let lines = told
            .iter()
            .map(|text| line(now, EntryKind::Edited, text.as_str()).by(by).revision(&settings.revision).record());
        let lines = lines.collect();
        self.live_by(settings).await;
        self.commit(lines).await;
        self.replan(Vec::new()).await?;
        self.publish();
        let keys = || edits.iter().filter_map(|edit| Key::parse(&edit.key).ok()).map(|key| key.to_string());
        let guarded = self.setup.settings.guarded().iter().filter(|guarded| keys().any(|key| key == guarded.key));
        let told: Vec<String> = told.into_iter().chain(guarded.map(ToString::to_string)).collect();
        Ok(Ok(Answer::Said(told.join(", "))))
    }

    async fn write(&mut self, by: &Actor, text: &str, was: &str) -> Result<Answered, EngineError> {
        if let Err(error) = self.may_change() {
            return Ok(Err(error));
        }
        let before = self.setup.settings.settings();
        let settings = match self.setup.settings.rewrite(text, was) {
            Ok(settings) => settings,
            Err(EditError::Overtaken { .. }) => {
                let now = self.setup.settings.on_disk();
                return Ok(now.map(Answer::Overtaken).map_err(|error| error.to_string()));
            }
            Err(error) => return Ok(Err(error.to_string())),
        };
        let now = self.setup.clock.now();
        let told = format!("the settings were edited as a whole: revision {}", settings.revision);
        let changes = differences(&before, &settings);
        let line = line(now, EntryKind::Edited, told.as_str()).because(&changes).by(by).revision(&settings.revision);
        self.live_by(settings).await;
        self.commit(vec![line.record()]).await;
        self.replan(Vec::new()).await?;
        self.publish();
        Ok(Ok(Answer::Said(told)))
    }

    fn previewed(&self, edits: &[Edit]) -> Answered {
        let now = self.setup.clock.now();
        let settings = self.setup.settings.preview(edits, now).map_err(|error| error.to_string())?;
        Ok(Answer::Preview(Box::new(self.preview(&self.as_they_run(settings).0))))
    }

    /// The file on disk may have changed.
    pub(super) async fn reread(&mut self) -> Result<(), EngineError> {
        let now = self.setup.clock.now();
        let before: BTreeSet<PathBuf> = self.setup.settings.guardrail_files().map(Path::to_owned).collect();
        let (entry, problems) = match self.setup.settings.reread() {
            None => return Ok(()),
            Some(Ok(settings)) => {
                let text = format!("the settings were changed on disk: revision {}", settings.revision);
                (line(now, EntryKind::Edited, text).by(&Actor::new("someone")), None)
            }
            Some(Err(problems)) => {
                let text = "the settings on disk are not valid: the last good ones stay live";
                (line(now, EntryKind::Alarm, text), Some(problems.to_string()))
            }
        };
        self.live_by(self.setup.settings.settings()).await;
        let after = self.setup.settings.guardrail_files().map(Path::to_owned).collect();
        let only =
            self.setup.settings.read_only().map(|from| format!("read only, by {from}: nothing is done from here"));
        let why: Vec<String> = problems.into_iter().chain(moved(&before, &after)).chain(only).collect();
        let entry = if why.is_empty() { entry } else { entry.because(&why.join("; ")) };
        self.commit(vec![entry.record()]).await;
        self.replan(Vec::new()).await?;
        self.publish();
        Ok(())
    }

    /// Takes what the file says now as what runs.
    async fn live_by(&mut self, settings: Arc<Settings>) {
        self.until_restart = self.as_they_run(Arc::unwrap_or_clone(settings)).1;
        let now = self.setup.settings.settings_at(self.setup.clock.now());
        self.settings = Arc::new(self.as_they_run(Arc::unwrap_or_clone(now)).0);
        self.memory.call_users(&self.setup.settings.renames());
        self.tell_strangers().await;
    }

    /// New settings, with what cannot change under a running loop as it was, and what to say of that. With another
    /// fleet's name the machines that are up would be looked for in vain.
    pub(super) fn as_they_run(&self, mut settings: Settings) -> (Settings, Vec<String>) {
        let mut until_restart = Vec::new();
        let runs = &self.settings;
        if settings.the_loop.fleet != runs.the_loop.fleet {
            let (new, old) = (&settings.the_loop.fleet, &runs.the_loop.fleet);
            until_restart.push(format!("loop.fleet is `{new}` after a restart; until then `{old}` runs"));
            settings.the_loop.fleet.clone_from(old);
        }
        if settings.clearml != runs.clearml {
            until_restart.push("the changes in [clearml] count after a restart".to_owned());
            settings.clearml.clone_from(&runs.clearml);
        }
        if settings.the_loop.metrics != runs.the_loop.metrics {
            until_restart.push("loop.metrics counts after a restart".to_owned());
            settings.the_loop.metrics = runs.the_loop.metrics;
        }
        if settings.the_loop.store != runs.the_loop.store {
            until_restart.push("loop.store counts after a restart".to_owned());
            settings.the_loop.store.clone_from(&runs.the_loop.store);
        }
        let keys =
            |settings: &Settings| (settings.the_loop.pseudonyms.clone(), settings.the_loop.pseudonyms_before.clone());
        if keys(&settings) != keys(runs) {
            until_restart.push("the changes of loop.pseudonyms count after a restart".to_owned());
            (settings.the_loop.pseudonyms, settings.the_loop.pseudonyms_before) = keys(runs);
        }
        if settings.accounts != runs.accounts {
            until_restart.push("the changes of accounts count after a restart".to_owned());
            settings.accounts.clone_from(&runs.accounts);
        }
        (settings, until_restart)
    }

    fn boot_log(&mut self, request: u64, instance: &InstanceId) -> Result<(), String> {
        let found = self.snapshot.instance(instance);
        let found = found.ok_or_else(|| format!("there is no machine `{instance}` in this fleet"))?;
        let deed = Deed::BootLog {
            provider: found.provider,
            region: found.region.clone(),
            instance: instance.clone(),
            request,
        };
        self.begin(deed);
        Ok(())
    }
}

fn said(edit: &Edit) -> String {
    if let Some(value) = &edit.value {
        return format!("{} = {value}", edit.key);
    }
    let unset = Key::parse(&edit.key).map(|key| change::words(&key, None));
    format!("{}: {}", edit.key, unset.unwrap_or_else(|_| "the default".to_owned()))
}

/// Guardrails files that came and went.
fn moved(before: &BTreeSet<PathBuf>, after: &BTreeSet<PathBuf>) -> Vec<String> {
    let come = after.difference(before).map(|file| format!("the guardrails of {} hold now", file.display()));
    let gone = before.difference(after).map(|file| format!("the guardrails of {} are gone", file.display()));
    come.chain(gone).collect()
}

/// What a text changed, in one sentence.
fn differences(before: &Settings, after: &Settings) -> String {
    const TOLD: usize = 20;
    let changes = change::told(before, &change::between(before, after), "was");
    let more = changes.len().saturating_sub(TOLD);
    let more = (more > 0).then(|| format!("and {more} more"));
    if changes.is_empty() {
        return "no value is another one".to_owned();
    }
    changes.into_iter().take(TOLD).chain(more).collect::<Vec<_>>().join("; ")
}
