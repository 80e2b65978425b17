//! Where the running loop is, and how it is asked.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::command::Command;
use crate::engine::event::{Answer, Event, View};
use crate::engine::socket::{self, Client, SocketError};
use crate::model::ids::Actor;
use crate::store::directory;

use super::Place;
use super::failure::Failure;
use super::live::Ground;

/// How long the loop may take to answer; its own calls to the clouds have shorter deadlines.
const PATIENCE: Duration = Duration::from_mins(1);

/// The state directory: the one that was named, else that of the settings that were named, else that of the one loop
/// that this user runs, else that of the user's own settings.
pub(super) fn state_dir(place: &Place) -> Result<PathBuf, Failure> {
    if let Some(named) = &place.state_dir {
        return Ok(named.clone());
    }
    if place.config.is_some() {
        return Ok(Ground::find(place)?.directory);
    }
    let running: Vec<_> = directory::fleets()?.into_iter().filter(|fleet| socket::path(fleet).exists()).collect();
    match running.as_slice() {
        [one] => Ok(one.clone()),
        [] => Ground::find(place).map(|ground| ground.directory).map_err(|failure| {
            Failure::NotReachable(format!(
                "no loop of yours is running, and there are no settings to start one: {failure}"
            ))
        }),
        several => {
            let found: Vec<_> = several.iter().map(|path| path.display().to_string()).collect();
            Err(Failure::Usage(format!("several loops are running: name one with --state-dir: {}", found.join(", "))))
        }
    }
}

/// The running loop.
pub(super) struct Loop {
    client: Client,
}

impl Loop {
    pub(super) async fn connect(place: &Place) -> Result<Self, Failure> {
        let directory = state_dir(place)?;
        Ok(Self { client: in_time(Client::connect(&directory)).await? })
    }

    /// What the loop sees.
    pub(super) async fn view(&mut self) -> Result<Arc<View>, Failure> {
        in_time(self.client.view()).await
    }

    /// The next thing that it tells, whenever that is.
    pub(super) async fn next(&mut self) -> Result<Event, Failure> {
        Ok(self.client.next().await?)
    }

    /// Asks in the name of the person at the keyboard.
    pub(super) async fn ask(&mut self, command: Command) -> Result<Answer, Failure> {
        in_time(self.client.ask(person(), command)).await
    }

    /// Asks for something that is done or refused; says what was done.
    pub(super) async fn order(&mut self, command: Command) -> Result<(), Failure> {
        match self.ask(command).await? {
            Answer::Said(what) if !what.is_empty() => super::say::say(&format!("{what}\n")),
            _ => super::say::say("done\n"),
        }
    }
}

async fn in_time<T>(work: impl Future<Output = Result<T, SocketError>>) -> Result<T, Failure> {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Failure::NotReachable(format!("the loop did not answer in {} s", PATIENCE.as_secs()))),
    }
}

/// The login name, for the journal. Who uses the account of a service by `sudo` is still who they are.
pub(super) fn person() -> Actor {
    let name = ["SUDO_USER", "USER", "LOGNAME"];
    let said = name.iter().find_map(|name| std::env::var(name).ok().filter(|name| !name.is_empty()));
    named(said, rustix::process::getuid().as_raw())
}

/// A service's environment may not say who it is; the system knows, and its number is better than nothing.
fn named(said: Option<String>, uid: u32) -> Actor {
    Actor::new(said.or_else(|| login(uid)).unwrap_or_else(|| format!("uid {uid}")))
}

/// The name of a user's account, if it has one.
fn login(uid: u32) -> Option<String> {
    let user = nix::unistd::User::from_uid(uid.into()).ok().flatten();
    user.map(|user| user.name).filter(|name| !name.is_empty())
}

/// What this host calls itself.
pub(super) fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tokio::sync::{broadcast, mpsc};
    use tokio::task::JoinSet;

    use super::*;
    use crate::engine::command::Request;
    use crate::engine::socket::Server;

    fn at(directory: &Path) -> Place {
        Place { state_dir: Some(directory.to_owned()), config: None, guardrails: None }
    }

    #[test]
    fn who_is_not_named_is_known_by_the_account_or_its_number() {
        assert_eq!(named(Some("ann".to_owned()), 0).as_str(), "ann");
        assert_eq!(named(None, 0).as_str(), "root");
        assert_eq!(named(None, 3_999_999_999).as_str(), "uid 3999999999");
    }

    /// A loop that shows the example and refuses whatever is asked.
    fn refuse_everything(directory: &Path, tasks: &mut JoinSet<()>) {
        let (sender, mut requests) = mpsc::channel::<Request>(4);
        let events = broadcast::Sender::new(16);
        tasks.spawn(Server::bind(directory).unwrap().serve(sender, events.subscribe()));
        events.send(Event::View(Arc::new(crate::example::view()))).unwrap();
        tasks.spawn(async move {
            while let Some(Request { id, by, command: _ }) = requests.recv().await {
                let result = Err(format!("no, {by}"));
                events.send(Event::Answer { id, result }).unwrap();
            }
        });
    }

    #[tokio::test]
    async fn the_loop_is_seen_and_its_refusal_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let mut tasks = JoinSet::new();
        refuse_everything(directory.path(), &mut tasks);
        let mut the_loop = Loop::connect(&at(directory.path())).await.unwrap();
        assert_eq!(*the_loop.view().await.unwrap(), crate::example::view());
        let refused = the_loop.order(Command::Pause).await.unwrap_err();
        assert_eq!((refused.code(), refused.to_string()), (5, format!("no, {}", person())));
    }

    #[tokio::test]
    async fn without_a_loop_nothing_is_reachable() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("none");
        for directory in [directory.path(), &missing] {
            let failure = Loop::connect(&at(directory)).await.map(|_| ()).unwrap_err();
            assert_eq!(failure.code(), 4, "{failure}");
        }
    }
}
