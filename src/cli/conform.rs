//! `check --provider`: whether a program of `exec` keeps what the loop relies on. It launches one machine, and ends it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::Path;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use serde_json::{Value, json};

use super::change::confirm::{Deed, Proof, confirm};
use super::check::Finding;
use super::failure::Failure;
use super::trial;
use crate::engine::act::naming::Naming;
use crate::model::ids::{FleetId, InstanceId};
use crate::model::nearest::did_you_mean;
use crate::model::observed::{CloudInstance, CloudState};
use crate::model::settings::{PoolSettings, Provider, Settings};
use crate::world::clock::Clock;
use crate::world::cloud::{Cloud, CloudError, LaunchOrder, name_of};
use crate::world::exec::{Call, Exec, PROTOCOL, environment};
use crate::world::program::{Heard, Manner, Program};
use crate::world::secret::Secret;

/// In place of the token and the server of a real launch: nobody answers there.
const NOWHERE: &str = "http://127.0.0.1:9";

/// For a machine to be off, or gone.
const PATIENCE: Duration = Duration::from_mins(2);
/// To be seen.
const SEEN: Duration = Duration::from_secs(20);
const LISTED: &str = "listed";
const LOOK: Duration = Duration::from_millis(500);

/// Of the lines that are no request.
const LONGEST_LINE: u64 = 1_024 * 1_024;

/// What is checked, one by one.
struct Conformance {
    cloud: Exec,
    order: LaunchOrder,
    site: String,
    what: String,
    findings: Vec<Finding>,
    /// What it says that it can do.
    calls: Vec<Call>,
}

/// Checks the program of an account, with a machine of the first pool that it serves.
pub(super) async fn conform(settings: &Settings, name: &str, yes: bool) -> Result<Vec<Finding>, Failure> {
    let programs = || settings.accounts.iter().filter(|account| account.program.is_some());
    let account = programs().find(|account| account.name.as_str() == name).ok_or_else(|| {
        let hint = did_you_mean(name, programs().map(|account| account.name.as_str()));
        Failure::Usage(format!("no account with a program is called `{name}`{hint}"))
    })?;
    let of_account =
        |pool: &&PoolSettings| pool.provider == Provider::Exec && pool.account.as_ref() == Some(&account.name);
    let pool = settings.pools.iter().find(of_account);
    let pool = pool.ok_or_else(|| Failure::Usage(format!("no pool is of account {name}")))?;
    let program = account.program.as_deref().unwrap_or_default();
    let consequence = format!("{program} launches a machine as of pool {}, which is ended again", pool.name);
    confirm(&Deed { consequence, proof: Proof::Yes }, yes)?;
    let nonce = Naming::random().nonce();
    let batch = format!("check-{nonce}");
    let mut order = trial::order(settings, pool, batch.as_str().into(), NOWHERE.to_owned(), Secret::new("none"));
    // It finds no server, and would end itself for that: it is kept busy before it looks for one.
    order.pool.agent.init_script = Some("sleep 3600".to_owned());
    // A fleet of its own: no loop takes the machine for one of its.
    order.fleet = FleetId::new(format!("check-{}", nonce.get(..8).unwrap_or_default()));
    if order.queues.is_empty() {
        order.queues.push("none".into());
    }
    let mut conformance = Conformance {
        cloud: Exec::new(settings),
        site: pool.site(),
        what: format!("program {name}"),
        findings: Vec::new(),
        calls: Vec::new(),
        order,
    };
    let id = InstanceId::new(name_of(&conformance.order.intent(0)));
    if conformance.greets().await {
        conformance.launches(&id).await;
        conformance.switches(&id).await;
        conformance.ends(&id).await;
        conformance.prices().await;
    }
    conformance.nonsense(Path::new(program), &settings.secret_variables()).await;
    Ok(conformance.findings)
}

impl Conformance {
    fn note(&mut self, ok: bool, said: impl Into<String>) {
        self.findings.push(Finding { what: self.what.clone(), ok, said: said.into() });
    }

    /// Notes what came of a step: its own words where it held.
    fn held(&mut self, step: &str, held: Result<String, String>) -> bool {
        let ok = held.is_ok();
        let said = held.unwrap_or_else(|why| why);
        self.note(ok, format!("{step}: {said}"));
        ok
    }

    async fn greets(&mut self) -> bool {
        let said = self.cloud.check(&self.site).await.map_err(|error| words(&error));
        self.calls = self.cloud.calls(&self.site).await.unwrap_or_default();
        self.held("hello", said)
    }

    async fn listed(&self) -> Result<Vec<CloudInstance>, String> {
        self.cloud.list(&self.order.fleet, &self.site).await.map_err(|error| words(&error))
    }

    async fn machine(&self, id: &InstanceId) -> Result<Option<CloudInstance>, String> {
        Ok(self.listed().await?.into_iter().find(|machine| machine.id == *id))
    }

    /// Waits until the machine is as it shall be.
    async fn becomes(
        &self,
        id: &InstanceId,
        wanted: &str,
        is: impl Fn(Option<&CloudInstance>) -> bool,
    ) -> Result<String, String> {
        let patience = if wanted == LISTED { SEEN } else { PATIENCE };
        let mut left = patience;
        loop {
            let machine = self.machine(id).await?;
            if is(machine.as_ref()) {
                return Ok(format!("it is {wanted}"));
            }
            if left.is_zero() {
                let state = machine.map(|machine| format!("{:?}", machine.state));
                return Err(format!("it is not {wanted} after {} s: {state:?}", patience.as_secs()));
            }
            tokio::time::sleep(LOOK).await;
            left = left.saturating_sub(LOOK);
        }
    }

    async fn launches(&mut self, id: &InstanceId) {
        let before = self.listed().await.and_then(|there| match there.len() {
            0 => Ok("a fleet without machines has none".to_owned()),
            some => Err(format!("a fleet without machines has {some}")),
        });
        self.held("list", before);
        let once = self.cloud.launch(&self.order).await.map_err(|error| words(&error));
        let once = once.and_then(|made| match made.as_slice() {
            [made] if made.id == *id => Ok(format!("made {id}")),
            other => Err(format!("asked for one machine, it says {}", other.len())),
        });
        if !self.held("launch", once) {
            return;
        }
        let seen = self.becomes(id, LISTED, |machine| machine.is_some()).await;
        self.held("list after launch", seen);
        let twice = match self.cloud.launch(&self.order).await {
            Ok(made) if made.iter().all(|one| one.id == *id) => self.listed().await.and_then(|there| {
                let up = there.iter().filter(|machine| machine.state != CloudState::Terminated).count();
                if up == 1 { Ok("one machine".to_owned()) } else { Err(format!("{up} machines")) }
            }),
            Ok(_) => Err("it made another".to_owned()),
            Err(error) => Err(words(&error)),
        };
        self.held("the same launch twice", twice);
        let tags = self.machine(id).await.and_then(|machine| {
            let tags = machine.ok_or("it is not listed")?.tags;
            let wanted = (Some(&self.order.launch.pool), Some(&self.order.launch.queue), Some(self.order.intent(0)));
            let fits = (tags.pool.as_ref(), tags.queue.as_ref(), tags.intent.clone()) == wanted
                && tags.revision.as_ref() == Some(&self.order.revision)
                && tags.term == Some(self.order.term)
                && tags.settings == Some(self.order.pool.fingerprint());
            if fits { Ok("all came back".to_owned()) } else { Err(format!("they came back as {tags:?}")) }
        });
        self.held("tags", tags);
        // Before it is sifted here: each fleet would be told of every other's machines.
        let elsewhere = self.cloud.told(&FleetId::new("check-nobody"), &self.site).await.map_err(|error| words(&error));
        let elsewhere = elsewhere.and_then(|there| match there.first() {
            None => Ok("does not list it".to_owned()),
            Some(_) if there.iter().any(|one| one == id.as_str()) => Err("lists it".to_owned()),
            Some(other) => Err(format!("a fleet that never was has {other}")),
        });
        self.held("another fleet", elsewhere);
        if self.calls.contains(&Call::Console) {
            let console = self.cloud.console(&self.site, id).await;
            let said = console.map(|text| format!("{} bytes", text.len())).map_err(|error| words(&error));
            self.held("console", said);
        }
    }

    async fn switches(&mut self, id: &InstanceId) {
        let ids = [id.clone()];
        if !self.calls.contains(&Call::Stop) || !self.calls.contains(&Call::Start) {
            self.note(true, "stop: it cannot stop and start, so on_idle = \"stop\" is not for it");
            return;
        }
        let off = match self.cloud.stop(&self.site, &ids).await {
            Ok(()) => {
                self.becomes(id, "off", |machine| machine.is_some_and(|it| it.state == CloudState::Stopped)).await
            }
            Err(error) => Err(words(&error)),
        };
        self.held("stop", off);
        let again =
            self.cloud.stop(&self.site, &ids).await.map(|()| "is success".to_owned()).map_err(|error| words(&error));
        self.held("stop of one that is off", again);
        let on = match self.cloud.start(&self.site, &ids).await {
            Ok(()) => self.becomes(id, "on", |machine| machine.is_some_and(|it| it.state == CloudState::Running)).await,
            Err(error) => Err(words(&error)),
        };
        self.held("start", on);
    }

    async fn ends(&mut self, id: &InstanceId) {
        let ids = [id.clone()];
        let gone = match self.cloud.terminate(&self.site, &ids).await {
            Ok(()) => {
                let is_gone =
                    |machine: Option<&CloudInstance>| machine.is_none_or(|it| it.state == CloudState::Terminated);
                self.becomes(id, "gone", is_gone).await
            }
            Err(error) => Err(words(&error)),
        };
        self.held("terminate", gone);
        for (step, ids) in [("terminate again", ids), ("terminate of one that never was", ["tidegate-never".into()])] {
            let again = self
                .cloud
                .terminate(&self.site, &ids)
                .await
                .map(|()| "is success".to_owned())
                .map_err(|error| words(&error));
            self.held(step, again);
        }
    }

    async fn prices(&mut self) {
        let types = [self.order.launch.machine_type.clone()];
        let told = self.cloud.prices(&self.site, &types, self.order.launch.market, Clock::Wall.now()).await;
        let [kind] = &types;
        let told = told.map_err(|error| words(&error)).map(|prices| match prices.get(kind) {
            Some(price) => format!("{kind} costs {price}"),
            None => format!("none of {kind}: set the pool's price"),
        });
        self.held("prices", told);
    }

    /// A line that is no request, and a call that it does not know: it lives on, and answers what follows in time.
    async fn nonsense(&mut self, program: &Path, secrets: &BTreeSet<String>) {
        let (asked, environment) = (program.to_owned(), environment(secrets));
        let said = tokio::task::spawn_blocking(move || nonsense(&asked, &environment)).await;
        let said = said.unwrap_or_else(|error| Err(error.to_string()));
        self.held("nonsense", said);
    }
}

fn nonsense(program: &Path, environment: &BTreeMap<OsString, OsString>) -> Result<String, String> {
    let (to, heard) = mpsc::channel();
    let folder = program.parent().unwrap_or(Path::new("/"));
    let manner = Manner { folder, environment, longest_line: LONGEST_LINE, grace: Duration::ZERO, guarded: true };
    let program = Program::start(program, manner, move |line| {
        // Whoever listened has had enough.
        let _ = to.send(line);
    });
    let program = program.map_err(|error| format!("it cannot be started: {error}"))?;
    program.say("this is no request".to_owned());
    program.say(json!({ "id": 1, "call": "dance" }).to_string());
    program.say(json!({ "id": 2, "call": "hello", "versions": [PROTOCOL] }).to_string());
    let refused = answer_to(1, &heard).and_then(|answer| {
        answer.get("error").map(drop).ok_or_else(|| "a call that there is not is answered with success".to_owned())
    });
    let greeted = refused.and_then(|()| answer_to(2, &heard));
    let status = program.end();
    match greeted {
        Ok(answer) if answer.get("ok").is_some() => Ok("refused, and what followed was answered".to_owned()),
        Ok(answer) => Err(format!("what followed was answered {answer}")),
        Err(why) => Err(format!("{why}; {status}")),
    }
}

/// The answer with this id; what comes before it is let go.
fn answer_to(id: u64, heard: &Receiver<Heard>) -> Result<Value, String> {
    loop {
        match heard.recv_timeout(Call::Hello.deadline()) {
            Ok(Heard::Line(line)) => {
                let answer: Value =
                    serde_json::from_str(&line).map_err(|error| format!("it wrote no JSON: {error}"))?;
                if answer.get("id").and_then(Value::as_u64) == Some(id) {
                    return Ok(answer);
                }
            }
            Ok(Heard::Ended(why)) => return Err(why),
            Err(_) => return Err(format!("question {id} is not answered in {} s", Call::Hello.deadline().as_secs())),
        }
    }
}

fn words(error: &CloudError) -> String {
    error.to_string()
}
