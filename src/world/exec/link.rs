//! A program that runs, and the requests to it that are not answered yet. One that ends, falls silent or talks nonsense is
//! started anew after a pause.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex as Shared, PoisonError};
use std::time::Duration;

use jiff::SignedDuration;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::sync::{Mutex, oneshot};

use crate::model::snapshot::ErrorClass;
use crate::world::clock::{Clock, Stopwatch};
use crate::world::cloud::CloudError;
use crate::world::exec::wire::{No, unreadable};
use crate::world::program::{self, Heard, Manner, Program};

/// The version of what is spoken.
pub const PROTOCOL: u32 = 1;

/// The first pause before it is started anew, and the longest; doubled each time.
const PAUSE: SignedDuration = SignedDuration::from_secs(1);
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_mins(1);

/// A list of ten thousand machines is a tenth of it.
const LONGEST_LINE: u64 = 64 * 1_024 * 1_024;

/// When the loop ends it may finish what it does.
const GRACE: Duration = Duration::from_secs(2);

/// What a program may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Call {
    Hello,
    List,
    Launch,
    Terminate,
    Stop,
    Start,
    Console,
    Prices,
}

impl Call {
    /// All but the greeting.
    pub const ALL: [Self; 7] =
        [Self::List, Self::Launch, Self::Terminate, Self::Stop, Self::Start, Self::Console, Self::Prices];

    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::List => "list",
            Self::Launch => "launch",
            Self::Terminate => "terminate",
            Self::Stop => "stop",
            Self::Start => "start",
            Self::Console => "console",
            Self::Prices => "prices",
        }
    }

    /// Whether something may be done by it.
    #[must_use]
    pub fn changes(self) -> bool {
        matches!(self, Self::Launch | Self::Terminate | Self::Stop | Self::Start)
    }

    /// How long it may take.
    #[must_use]
    pub fn deadline(self) -> Duration {
        Duration::from_secs(match self {
            Self::Hello => 10,
            Self::List | Self::Console | Self::Prices => 20,
            Self::Launch | Self::Terminate | Self::Stop | Self::Start => 50,
        })
    }
}

/// What a program says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Greeting {
    pub(super) version: u32,
    pub(super) name: String,
    /// What it can do; `list`, `launch` and `terminate` at the least.
    pub(super) calls: Vec<Call>,
}

/// A program's line.
#[derive(Debug, Deserialize)]
struct Line {
    id: u64,
    ok: Option<Value>,
    error: Option<No>,
}

/// Requests that are not answered, or why none will be.
#[derive(Debug, Default)]
struct Open {
    waiting: BTreeMap<u64, oneshot::Sender<Line>>,
    ended: Option<String>,
}

#[derive(Debug)]
struct Up {
    program: Program,
    open: Arc<Shared<Open>>,
    greeting: Greeting,
    asked: u64,
}

#[derive(Debug)]
struct State {
    up: Option<Up>,
    strikes: u32,
    why: String,
    since: Stopwatch,
}

/// A program, whether it runs or not.
#[derive(Debug)]
pub(super) struct Link {
    path: PathBuf,
    /// Variables that it does not get.
    secrets: Arc<BTreeSet<String>>,
    state: Mutex<State>,
}

/// What a program gets of the loop's environment. Its own cloud's credentials are its; ClearML's, and what else the settings
/// take secrets from, are the loop's.
#[must_use]
pub fn environment(secrets: &BTreeSet<String>) -> BTreeMap<OsString, OsString> {
    program::environment(|name| {
        let name = name.to_string_lossy();
        !secrets.contains(name.as_ref()) && !["CLEARML_", "TRAINS_"].iter().any(|ours| name.starts_with(ours))
    })
}

impl Link {
    pub(super) fn new(path: &Path, secrets: Arc<BTreeSet<String>>) -> Self {
        let state = State { up: None, strikes: 0, why: String::new(), since: Stopwatch::start(Clock::Wall) };
        Self { path: path.to_owned(), secrets, state: Mutex::new(state) }
    }

    /// What the program says of itself; it is started if need be.
    pub(super) async fn greeted(&self) -> Result<Greeting, CloudError> {
        Ok(self.up(&mut *self.state.lock().await).await?.greeting.clone())
    }

    /// Whether it can do this.
    pub(super) async fn can(&self, call: Call) -> Result<bool, CloudError> {
        Ok(self.greeted().await?.calls.contains(&call))
    }

    /// Asks it. Several may be asked at once; it may answer in any order.
    pub(super) async fn call<T: DeserializeOwned>(&self, call: Call, body: impl Serialize) -> Result<T, CloudError> {
        let (asked, answer) = {
            let mut state = self.state.lock().await;
            let up = self.up(&mut state).await?;
            if !up.greeting.calls.contains(&call) {
                return Err(CloudError::refused(format!("{} cannot {}", up.greeting.name, call.word())));
            }
            up.ask(call, body)?
        };
        let heard = tokio::time::timeout(call.deadline(), answer).await;
        let doubtful = |error: CloudError| CloudError { may_have_acted: call.changes(), ..error };
        let line = match heard {
            Ok(Ok(line)) => line,
            Ok(Err(_)) => {
                let why = self.fell("", true).await;
                return Err(doubtful(unreadable(format!("{}: {why}", call.word()))));
            }
            Err(_) if call.changes() => {
                // It may be at it still: what came of it the list shows.
                self.forget(asked).await;
                return Err(CloudError::deadline(call.word()));
            }
            Err(_) => {
                let late = format!("`{}` took longer than {} s", call.word(), call.deadline().as_secs());
                let why = self.fell(&late, false).await;
                return Err(CloudError { may_have_acted: false, message: why, ..CloudError::deadline(call.word()) });
            }
        };
        match line {
            Line { error: Some(no), .. } => Err(no.read(call.changes())),
            Line { ok: Some(value), .. } => {
                let read = serde_json::from_value(value);
                read.map_err(|error| doubtful(unreadable(format!("the answer to `{}`: {error}", call.word()))))
            }
            Line { .. } => Err(doubtful(unreadable(format!("`{}` is answered neither ok nor error", call.word())))),
        }
    }

    async fn forget(&self, asked: u64) {
        if let Some(up) = &self.state.lock().await.up {
            lock(&up.open).waiting.remove(&asked);
        }
    }

    /// The program that runs. One that does not is started, unless it fell a moment ago.
    async fn up<'a>(&self, state: &'a mut State) -> Result<&'a mut Up, CloudError> {
        if state.up.as_ref().is_some_and(|up| lock(&up.open).ended.is_some()) {
            fell(state, "", true).await;
        }
        if state.up.is_none() {
            let pause = PAUSE.saturating_mul(2_i32.saturating_pow(state.strikes.saturating_sub(1))).min(LONGEST_PAUSE);
            let left = pause - state.since.at_most();
            if state.strikes > 0 && left.is_positive() {
                let why = &state.why;
                return Err(unreadable(format!("{why}; it is started anew in {} s at most", left.as_secs() + 1)));
            }
            match self.started().await {
                Ok(up) => state.up = Some(up),
                Err(why) => {
                    strike(state, why.clone());
                    return Err(CloudError { class: ErrorClass::BadRequest, ..unreadable(why) });
                }
            }
        }
        state.up.as_mut().ok_or_else(|| unreadable("it does not run".to_owned()))
    }

    async fn started(&self) -> Result<Up, String> {
        let open = Arc::new(Shared::new(Open::default()));
        let hearing = Arc::clone(&open);
        let environment = environment(&self.secrets);
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        let manner =
            Manner { folder, environment: &environment, longest_line: LONGEST_LINE, grace: GRACE, guarded: true };
        let shown = self.path.display();
        let program = Program::start(&self.path, manner, move |heard| hear(&hearing, heard));
        let program = program.map_err(|error| format!("{shown} cannot be started: {error}"))?;
        let greeting = Greeting { version: PROTOCOL, name: shown.to_string(), calls: vec![Call::Hello] };
        let mut up = Up { program, open, greeting, asked: 0 };
        let hello = json!({ "versions": [PROTOCOL] });
        let (_, answer) = up.ask(Call::Hello, hello).map_err(|error| error.to_string())?;
        let greeting = match tokio::time::timeout(Call::Hello.deadline(), answer).await {
            Ok(Ok(Line { ok: Some(value), .. })) => {
                serde_json::from_value(value).map_err(|error| format!("its answer to `hello`: {error}"))
            }
            Ok(Ok(Line { error: Some(no), .. })) => Err(format!("it says: {}", no.read(false).message)),
            Ok(Ok(_)) => Err("its answer to `hello` is neither ok nor error".to_owned()),
            Ok(Err(_)) => Err(lock(&up.open).ended.clone().unwrap_or_default()),
            Err(_) => Err(format!("it did not answer `hello` within {} s", Call::Hello.deadline().as_secs())),
        };
        let greeting: Greeting = match greeting.and_then(fit) {
            Ok(greeting) => greeting,
            Err(why) => return Err(format!("{shown}: {why}; {}", ended(up.program).await)),
        };
        up.greeting = greeting;
        Ok(up)
    }

    /// It is of no use any more; why, in its own words too. `by_itself`: only where it fell, not one that was started since.
    async fn fell(&self, why: &str, by_itself: bool) -> String {
        let mut state = self.state.lock().await;
        fell(&mut state, why, by_itself).await;
        state.why.clone()
    }
}

async fn fell(state: &mut State, why: &str, by_itself: bool) {
    let has_fallen = |up: &mut Up| !by_itself || lock(&up.open).ended.is_some();
    let Some(up) = state.up.take_if(has_fallen) else { return };
    let heard = lock(&up.open).ended.clone().unwrap_or_default();
    let name = up.greeting.name;
    let said = [why.to_owned(), heard, ended(up.program).await];
    let said: Vec<String> = said.into_iter().filter(|part| !part.is_empty()).collect();
    strike(state, format!("{name}: {}", said.join("; ")));
}

fn strike(state: &mut State, why: String) {
    // One that has run for long since begins anew.
    let ran_long = state.since.at_most() > LONGEST_PAUSE;
    state.strikes = if ran_long { 1 } else { state.strikes.saturating_add(1) };
    state.why = why;
    state.since = Stopwatch::start(Clock::Wall);
}

/// Ends it without holding anyone up.
async fn ended(program: Program) -> String {
    tokio::task::spawn_blocking(move || program.end()).await.unwrap_or_default()
}

fn fit(greeting: Greeting) -> Result<Greeting, String> {
    if greeting.version != PROTOCOL {
        return Err(format!("it speaks protocol {}, and this is {PROTOCOL}", greeting.version));
    }
    let needed = [Call::List, Call::Launch, Call::Terminate];
    match needed.iter().find(|call| !greeting.calls.contains(call)) {
        Some(call) => Err(format!("it cannot {}", call.word())),
        None => Ok(greeting),
    }
}

impl Up {
    fn ask(&mut self, call: Call, body: impl Serialize) -> Result<(u64, oneshot::Receiver<Line>), CloudError> {
        self.asked += 1;
        let fields = serde_json::to_value(body).map_err(|error| CloudError::refused(error.to_string()))?;
        let mut line: Map<String, Value> =
            [("id".to_owned(), json!(self.asked)), ("call".to_owned(), json!(call))].into_iter().collect();
        if let Value::Object(fields) = fields {
            line.extend(fields);
        }
        let (answers, answer) = oneshot::channel();
        let mut open = lock(&self.open);
        // The sender goes with one that has ended, and that is heard.
        if open.ended.is_none() {
            open.waiting.insert(self.asked, answers);
        }
        drop(open);
        self.program.say(Value::Object(line).to_string());
        Ok((self.asked, answer))
    }
}

/// A line of the program's, in the thread that reads it.
fn hear(open: &Shared<Open>, heard: Heard) {
    let mut open = lock(open);
    if open.ended.is_some() {
        return;
    }
    let ended = match heard {
        Heard::Ended(why) => why,
        Heard::Line(line) => match serde_json::from_str::<Line>(&line) {
            Ok(line) => {
                // One that nobody waits for any more came too late.
                if let Some(waiting) = open.waiting.remove(&line.id) {
                    let _ = waiting.send(line);
                }
                return;
            }
            Err(error) => format!("a line of its is no answer: {error}"),
        },
    };
    open.ended = Some(ended);
    open.waiting.clear();
}

fn lock(open: &Shared<Open>) -> std::sync::MutexGuard<'_, Open> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}
