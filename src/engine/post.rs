//! Orders between consoles that share a store: one that watches posts what is asked of it, and the one that leads takes it,
//! does it as if it were asked here, and answers. An order is taken once; one that nobody takes in time lapses.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::engine::command::{Command, Request};
use crate::engine::event::{Answer, Leader};
use crate::engine::run::{EngineError, Loop};
use crate::model::ids::Actor;
use crate::model::posted::{Fate, Posted};
use crate::world::clock::Stopwatch;

/// The leader looks for orders so often.
const TAKES_EVERY: SignedDuration = SignedDuration::from_secs(1);
/// Who posted one looks so often what became of it.
const ASKS_EVERY: SignedDuration = SignedDuration::from_millis(250);
/// A store that did not answer is left alone for so long: the loop stands still while it waits for one.
const AFTER_FAILURE: SignedDuration = SignedDuration::from_secs(15);
/// An order that no leader took in this time is not done any more.
const LAPSES_AFTER: SignedDuration = SignedDuration::from_secs(30);
/// One that was taken is waited for so long altogether: whoever asked is told before he gives up.
const ANSWERED_WITHIN: SignedDuration = SignedDuration::from_secs(50);
/// Ids of requests that came by the store: above those of a screen, below those of the socket.
const FIRST_ID: u64 = 1 << 62;

/// What becomes of an order whose leader died over it.
const LOST: &str = "the console that led took the order and ended before it answered: the journal says whether it was \
                    done; it is not done again";

type Answered = Result<Answer, String>;

/// Orders on their way.
#[derive(Debug, Default)]
pub(super) struct Post {
    /// By the order's id: of which request it is, and since when it is on its way.
    sent: BTreeMap<String, (u64, Stopwatch)>,
    /// Those that were taken here: the orders' ids by those of their requests.
    taken: BTreeMap<u64, String>,
    answers: Vec<(String, Answered)>,
    last_id: u64,
    /// When orders are looked for again.
    next: Option<Timestamp>,
}

impl Post {
    /// Keeps the answer of a request that came by the store, which is written at once; gives back any other.
    pub(super) fn keep(&mut self, id: u64, answered: Answered) -> Option<Answered> {
        match self.taken.remove(&id) {
            Some(order) => {
                self.answers.push((order, answered));
                self.next = None;
                None
            }
            None => Some(answered),
        }
    }
}

impl Loop {
    /// Whether what is asked here reaches the console that leads.
    pub(super) fn reaches_leader(&self) -> bool {
        !self.leads() && self.setup.store.is_shared() && self.setup.settings.read_only().is_none()
    }

    /// Until orders are looked for; `None`: there can be none.
    pub(super) fn until_post(&self) -> Option<SignedDuration> {
        let is_idle = self.post.sent.is_empty() && self.post.answers.is_empty();
        if !self.setup.store.is_shared() || (!self.leads() && is_idle) {
            return None;
        }
        let left = self.post.next.map(|next| next.duration_since(self.setup.clock.now()));
        Some(left.unwrap_or_default().clamp(SignedDuration::ZERO, AFTER_FAILURE))
    }

    /// Posts what was asked here; its answer comes when the leader has given it.
    pub(super) async fn post(&mut self, request: Request) {
        let Request { id, by, command } = request;
        let Leader::Other(who) = self.setup.leader.clone() else { return };
        // It waits in the store.
        let command = match command {
            Command::Set { edits, seen } => {
                Command::Set { edits: edits.iter().map(|edit| self.setup.settings.told(edit)).collect(), seen }
            }
            command => command,
        };
        let posted = match serde_json::to_string(&command) {
            Ok(command) => {
                let order =
                    Posted { id: self.setup.naming.nonce(), by: at_host(&by), at: self.setup.clock.now(), command };
                self.setup.store.post(&order).await.map(|()| order.id).map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        match posted {
            Ok(order) => {
                self.post.sent.insert(order, (id, Stopwatch::start(self.setup.clock)));
                self.post.next = None;
            }
            Err(error) => {
                self.answer(id, Err(format!("this loop only watches: {who} leads, and is not reached: {error}")));
            }
        }
    }

    /// Takes what was posted, answers what was done, and hears what became of what was posted here.
    pub(super) async fn tend_post(&mut self) -> Result<(), EngineError> {
        let pause = if self.post.sent.is_empty() { TAKES_EVERY } else { ASKS_EVERY };
        let answers = self.send_answers().await && (!self.leads() || self.take_posted().await?);
        let pause = if answers { pause } else { AFTER_FAILURE };
        self.hear_fates().await;
        self.post.next = self.setup.clock.now().checked_add(pause).ok();
        Ok(())
    }

    /// `false`: the store did not answer.
    async fn take_posted(&mut self) -> Result<bool, EngineError> {
        let lost = as_text(&Err(LOST.to_owned()));
        loop {
            match self.setup.store.take_posted(&lost).await {
                Ok(Some(order)) => {
                    self.obey(order).await?;
                    if !self.send_answers().await {
                        return Ok(false);
                    }
                }
                Ok(None) => return Ok(true),
                Err(error) => {
                    tracing::warn!(%error, "no orders are taken");
                    return Ok(false);
                }
            }
        }
    }

    async fn obey(&mut self, order: Posted) -> Result<(), EngineError> {
        let age = self.setup.clock.now().duration_since(order.at);
        let command: Result<Command, _> = serde_json::from_str(&order.command);
        let refused = match &command {
            _ if age > LAPSES_AFTER => Some(lapsed(age)),
            Ok(command) if command.changes() => None,
            Ok(_) => Some("it is nothing to be done by the console that leads".to_owned()),
            Err(error) => Some(format!("the console that leads is of another version: {error}")),
        };
        if let (Ok(command), None) = (command, &refused) {
            self.post.last_id = self.post.last_id.max(FIRST_ID).saturating_add(1);
            self.post.taken.insert(self.post.last_id, order.id);
            return self.handle(Request { id: self.post.last_id, by: order.by, command }).await;
        }
        self.post.answers.push((order.id, Err(refused.unwrap_or_default())));
        Ok(())
    }

    async fn send_answers(&mut self) -> bool {
        while let Some((order, answered)) = self.post.answers.first() {
            if let Err(error) = self.setup.store.answer_posted(order, &as_text(answered)).await {
                tracing::warn!(%error, "an order cannot be answered");
                return false;
            }
            let _ = self.post.answers.remove(0);
        }
        true
    }

    async fn hear_fates(&mut self) {
        for (order, (request, since)) in self.post.sent.clone() {
            let fate = self.setup.store.fate_of_posted(&order).await;
            let waited = since.at_least();
            let answered = match fate {
                Ok(Fate::Answered(text)) => of_text(&text),
                Ok(Fate::Waits) if waited >= LAPSES_AFTER => match self.setup.store.withdraw_posted(&order).await {
                    Ok(true) => Err(lapsed(waited)),
                    Ok(false) | Err(_) => continue,
                },
                Ok(Fate::Taken) | Err(_) if waited >= ANSWERED_WITHIN => {
                    Err("no answer came in time: the journal says whether it was done".to_owned())
                }
                Ok(_) | Err(_) => continue,
            };
            self.post.sent.remove(&order);
            self.answer(request, answered);
        }
    }
}

fn lapsed(age: SignedDuration) -> String {
    let after = LAPSES_AFTER.as_secs();
    format!(
        "the order lapsed: nobody who leads took it in {after} s, it is {} s old, and nothing was done",
        age.as_secs()
    )
}

/// As the journal names a person of another host.
fn at_host(by: &Actor) -> Actor {
    if by.as_str().contains('@') {
        return by.clone();
    }
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    Actor::new(format!("{by}@{host}"))
}

fn as_text(answered: &Answered) -> String {
    serde_json::to_string(answered).unwrap_or_default()
}

fn of_text(text: &str) -> Answered {
    let answered: Result<Answered, _> = serde_json::from_str(text);
    answered.unwrap_or_else(|error| Err(format!("the console that leads is of another version: {error} in its answer")))
}
