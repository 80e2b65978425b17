//! The loop's socket: JSON lines over a Unix socket in the state directory. A client sends one
//! [`Request`](crate::engine::command::Request) a line and is told one [`Event`](crate::engine::event::Event) a
//! line, the newest view first; a line that is no request is answered with `{"error": "..."}`. A client that says so is
//! told only what changes from view to view: see `line`.

mod client;
mod delta;
mod ear;
mod line;
mod relay;
mod server;

pub use client::Client;
pub use server::Server;

use std::io;
use std::path::{Path, PathBuf};

use crate::store::StoreError;

/// The socket of a state directory.
#[must_use]
pub fn path(directory: &Path) -> PathBuf {
    directory.join("tidegate.sock")
}

/// Why the socket cannot be served or spoken to.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    #[error("no loop answers at {path} ({message}): start one with `tidegate` or `tidegate run --headless`")]
    NotReachable { path: PathBuf, message: String },
    #[error("another loop answers at {path}")]
    Live { path: PathBuf },
    #[error("{path} is not a socket: move it away")]
    NotASocket { path: PathBuf },
    #[error("{path}: {error} (a shorter --state-dir helps if the path is too long)")]
    Bind { path: PathBuf, error: io::Error },
    #[error(transparent)]
    Directory(#[from] StoreError),
    #[error("the loop went away: {0}")]
    Lost(String),
    /// The loop's own words.
    #[error("{0}")]
    Refused(String),
    #[error("the loop speaks another version: {message} in `{line}`")]
    Unreadable { line: String, message: String },
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;

    use jiff::Timestamp;
    use proptest::prelude::*;
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::net::UnixStream;
    use tokio::sync::{broadcast, mpsc};

    use super::*;
    use crate::engine::command::{Command, Request};
    use crate::engine::event::{Answer, Event, Leader, Mode, Spend, View};
    use crate::model::ids::{Revision, Term};
    use crate::model::plan::Plan;
    use crate::model::settings::{ClearmlSettings, Limits, LoopSettings, OnExit, Poll, Settings};
    use crate::model::snapshot::Snapshot;

    fn view(warning: &str) -> Event {
        let at: Timestamp = "2026-11-02T08:00:00Z".parse().unwrap();
        let revision = Revision::new("0a");
        Event::View(Arc::new(View {
            at,
            fleet: "lab".into(),
            mode: Mode { armed: false, paused: false },
            leader: Leader::Us(Term(1)),
            reaches_leader: false,
            leads_since: None,
            rivals: Vec::new(),
            snapshot: Arc::new(Snapshot::default()),
            plan: Arc::new(Plan {
                at,
                revision: revision.clone(),
                actions: Vec::new(),
                refusals: Vec::new(),
                outlooks: Vec::new(),
                surplus: std::collections::BTreeMap::new(),
                courses: std::collections::BTreeMap::new(),
                lessons: Vec::new(),
                due: None,
            }),
            settings: Arc::new(Settings {
                revision,
                clearml: ClearmlSettings::default(),
                the_loop: LoopSettings {
                    fleet: "lab".into(),
                    poll: Poll::Auto,
                    count_foreign: true,
                    price_of_waiting: crate::model::money::Rate::from_micros_per_hour(2_000_000),
                    on_exit: OnExit::Leave,
                    time_zone: jiff::tz::TimeZone::UTC,
                    gce_metadata: std::collections::BTreeMap::new(),
                    tell_waiting: false,
                    policy: None,
                    metrics: None,
                    store: None,
                    keep: jiff::SignedDuration::from_hours(24 * 90),
                    keep_bills: None,
                    pseudonyms: None,
                    pseudonyms_before: None,
                },
                limits: Limits::default(),
                accounts: Vec::new(),
                notify: Vec::new(),
                budgets: Vec::new(),
                schedules: Vec::new(),
                keys: std::collections::BTreeMap::new(),
                queues: Vec::new(),
                pools: Vec::new(),
            }),
            settings_problem: None,
            settings_path: None,
            prices: Vec::new(),
            spend: Spend::default(),
            acts: Vec::new(),
            next_pass: at,
            warnings: vec![warning.to_owned()],
        }))
    }

    /// A loop that answers each request with the sender's name.
    struct Loop {
        directory: tempfile::TempDir,
        events: broadcast::Sender<Event>,
    }

    impl Loop {
        fn start(tasks: &mut tokio::task::JoinSet<()>) -> Self {
            let directory = tempfile::tempdir().unwrap();
            let events = broadcast::Sender::new(4_096);
            let (requests, mut asked) = mpsc::channel::<Request>(4);
            tasks.spawn(Server::bind(directory.path()).unwrap().serve(requests, events.subscribe()));
            let answers = events.clone();
            tasks.spawn(async move {
                while let Some(Request { id, by, command }) = asked.recv().await {
                    let result = match command {
                        Command::Arm => Err(format!("not you, {by}")),
                        _ => Ok(Answer::Said(by.to_string())),
                    };
                    answers.send(Event::Answer { id, result }).unwrap();
                }
            });
            Self { directory, events }
        }
    }

    #[tokio::test]
    async fn each_client_gets_its_own_answer_and_the_newest_view_at_once() {
        let mut tasks = tokio::task::JoinSet::new();
        let it = Loop::start(&mut tasks);
        it.events.send(view("old")).unwrap();
        it.events.send(view("new")).unwrap();
        let mut clients =
            [Client::connect(it.directory.path()).await.unwrap(), Client::connect(it.directory.path()).await.unwrap()];
        for client in &mut clients {
            assert_eq!(client.view().await.unwrap().warnings, ["new"]);
        }
        for (client, name) in clients.iter_mut().zip(["ann", "bo"]) {
            let answer = client.ask(name.into(), Command::Refresh).await.unwrap();
            assert_eq!(answer, Answer::Said(name.to_owned()));
        }
        let refused = clients[0].ask("cy".into(), Command::Arm).await.unwrap_err();
        assert_eq!(refused.to_string(), "not you, cy");
        it.events.send(Event::Ended).unwrap();
        for client in &mut clients {
            assert_eq!(client.next().await.unwrap(), Event::Ended);
            assert!(matches!(client.next().await, Err(SocketError::Lost(_))));
        }
        tasks.join_next().await.unwrap().unwrap();
        let gone = Client::connect(it.directory.path()).await.unwrap_err();
        assert!(matches!(gone, SocketError::NotReachable { .. }), "{gone}");
        assert!(gone.to_string().contains("tidegate run --headless"));
    }

    #[tokio::test]
    async fn a_reader_that_sleeps_is_dropped_and_holds_up_nobody() {
        let mut tasks = tokio::task::JoinSet::new();
        let it = Loop::start(&mut tasks);
        let mut sleeper = Client::connect(it.directory.path()).await.unwrap();
        sleeper.ask("bo".into(), Command::Refresh).await.unwrap();
        it.events.send(view(&"x".repeat(1 << 22))).unwrap();
        let mut awake = Client::connect(it.directory.path()).await.unwrap();
        assert_eq!(awake.view().await.unwrap().warnings[0].len(), 1 << 22);
        assert_eq!(awake.ask("cy".into(), Command::Refresh).await.unwrap(), Answer::Said("cy".to_owned()));
        for _ in 0..2_000 {
            it.events.send(Event::Answer { id: 0, result: Err(String::new()) }).unwrap();
        }
        let end = loop {
            if let Err(end) = sleeper.next().await {
                break end;
            }
        };
        assert!(matches!(end, SocketError::Lost(_)), "{end}");
    }

    /// The next line that a client says.
    async fn said(reader: &mut tokio::io::Lines<BufReader<tokio::net::unix::OwnedReadHalf>>) -> String {
        reader.next_line().await.unwrap().unwrap()
    }

    fn shown(warning: &str) -> Arc<View> {
        let Event::View(view) = view(warning) else { unreachable!("it is a view") };
        view
    }

    #[tokio::test]
    async fn one_who_follows_changes_is_told_few_bytes_and_sees_every_view() {
        let mut tasks = tokio::task::JoinSet::new();
        let it = Loop::start(&mut tasks);
        it.events.send(view(&"x".repeat(1 << 16))).unwrap();
        let mut client = Client::connect(it.directory.path()).await.unwrap();
        client.follow_changes().await.unwrap();
        assert_eq!(client.view().await.unwrap().warnings[0].len(), 1 << 16);
        client.ask("ann".into(), Command::Refresh).await.unwrap();
        for number in 0..20 {
            let at = shown("").at + jiff::SignedDuration::from_secs(number);
            let new = Arc::new(View { at, ..Arc::unwrap_or_clone(shown(&format!("{number}"))) });
            it.events.send(Event::View(Arc::clone(&new))).unwrap();
            assert_eq!(client.view().await.unwrap(), new);
        }
        // Another one that does not say that it follows is told the whole.
        let mut other = Client::connect(it.directory.path()).await.unwrap();
        assert_eq!(other.view().await.unwrap().warnings, ["19"]);
    }

    #[tokio::test]
    async fn one_who_sleeps_sees_the_newest_view_and_not_all_that_it_missed() {
        let mut tasks = tokio::task::JoinSet::new();
        let it = Loop::start(&mut tasks);
        it.events.send(view("first")).unwrap();
        let mut client = Client::connect(it.directory.path()).await.unwrap();
        client.follow_changes().await.unwrap();
        client.ask("ann".into(), Command::Refresh).await.unwrap();
        // Each is far larger than what the socket holds.
        for number in 0..100 {
            it.events.send(view(&format!("{number} {}", "x".repeat(1 << 18)))).unwrap();
            tokio::task::yield_now().await;
        }
        let mut seen = 0;
        while !client.view().await.unwrap().warnings[0].starts_with("99 ") {
            seen += 1;
        }
        assert!(seen < 50, "it was shown {seen} old views");
    }

    #[tokio::test]
    async fn a_change_that_is_missing_has_the_view_asked_for_whole() {
        let directory = tempfile::tempdir().unwrap();
        let listener = tokio::net::UnixListener::bind(path(directory.path())).unwrap();
        let mut client = Client::connect(directory.path()).await.unwrap();
        client.follow_changes().await.unwrap();
        let (reader, mut writer) = listener.accept().await.unwrap().0.into_split();
        let mut reader = BufReader::new(reader).lines();
        assert!(said(&mut reader).await.starts_with("{\"hello\":{"));
        let change = |number, from: &str, to: &str| {
            let change = <delta::ViewChange as delta::Change>::between(&shown(from), &shown(to)).unwrap();
            line::Line::Change { number, change: Box::new(change) }
        };
        let speech = line::Speech::own();
        let tell = [
            line::Line::View(shown("a")),
            line::Line::Hello { speech, number: 7 },
            change(8, "a", "b"),
            change(10, "c", "d"),
            change(11, "d", "e"),
            line::Line::Whole { number: 11, view: shown("e") },
            change(12, "e", "f"),
            change(12, "f", "g"),
            line::Line::Whole { number: 13, view: shown("h") },
        ];
        for line in tell {
            writer.write_all(format!("{}\n", serde_json::to_string(&line).unwrap()).as_bytes()).await.unwrap();
        }
        for warning in ["a", "b", "e", "f", "h"] {
            assert_eq!(client.view().await.unwrap().warnings, [warning]);
        }
        assert_eq!([said(&mut reader).await, said(&mut reader).await], ["\"whole\"", "\"whole\""]);
    }

    #[tokio::test]
    async fn a_loop_of_another_version_is_told_of_on_the_screen() {
        let hello = r#"{"hello":{"speech":{"version":"9.9.9","changes":7},"number":0}}"#;
        let unknown = r#"{"error":"not a request: unknown field `hello`"}"#;
        for (answer, told) in [(hello, "the loop is Tidegate 9.9.9 (changes 7)"), (unknown, "an older Tidegate")] {
            let directory = tempfile::tempdir().unwrap();
            let listener = tokio::net::UnixListener::bind(path(directory.path())).unwrap();
            let mut client = Client::connect(directory.path()).await.unwrap();
            client.follow_changes().await.unwrap();
            let (mut stream, _) = listener.accept().await.unwrap();
            let view = serde_json::to_string(&view("a")).unwrap();
            stream.write_all(format!("{view}\n{answer}\n{view}\n").as_bytes()).await.unwrap();
            assert_eq!(client.view().await.unwrap().warnings.len(), 1);
            let seen = client.view().await.unwrap();
            assert!(seen.warnings[1].contains(told), "{:?}", seen.warnings);
        }
    }

    #[tokio::test]
    async fn one_who_reads_slowly_is_heard_before_it_is_told_the_next_view_whole() {
        let mut tasks = tokio::task::JoinSet::new();
        let it = Loop::start(&mut tasks);
        it.events.send(view(&"x".repeat(1 << 22))).unwrap();
        let mut stream = UnixStream::connect(path(it.directory.path())).await.unwrap();
        // The first view is on its way, and more than the socket holds.
        stream.readable().await.unwrap();
        let hello = serde_json::to_string(&line::Word::Hello(line::Speech::own())).unwrap();
        stream.write_all(format!("{hello}\n").as_bytes()).await.unwrap();
        it.events.send(view(&"y".repeat(1 << 22))).unwrap();
        tokio::task::yield_now().await;
        let mut told = BufReader::new(&mut stream).lines();
        for begin in ["{\"view\":", "{\"hello\":", "{\"change\":"] {
            let line = told.next_line().await.unwrap().unwrap();
            assert!(line.starts_with(begin), "{begin}: {}", &line[..60]);
        }
    }

    #[tokio::test]
    async fn who_speaks_otherwise_is_told_whole_views() {
        let mut tasks = tokio::task::JoinSet::new();
        let it = Loop::start(&mut tasks);
        let mut stream = UnixStream::connect(path(it.directory.path())).await.unwrap();
        stream.write_all(b"{\"hello\":{\"version\":\"0.0.1\",\"changes\":0}}\n").await.unwrap();
        let mut told = BufReader::new(&mut stream).lines();
        assert!(told.next_line().await.unwrap().unwrap().starts_with("{\"hello\":{\"speech\":{"));
        for warning in ["a", "b"] {
            it.events.send(view(warning)).unwrap();
            let line = told.next_line().await.unwrap().unwrap();
            assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), view(warning));
        }
    }

    #[tokio::test]
    async fn a_dead_socket_is_replaced_a_live_one_and_a_file_are_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = path(directory.path());
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let server = Server::bind(directory.path()).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(Server::bind(directory.path()), Err(SocketError::Live { .. })));
        drop(server);
        assert!(!path.exists());
        std::fs::File::options().create(true).append(true).open(&path).unwrap();
        assert!(matches!(Server::bind(directory.path()), Err(SocketError::NotASocket { .. })));
        let long = directory.path().join("x".repeat(120));
        assert!(Server::bind(&long).unwrap_err().to_string().contains("--state-dir"));
    }

    #[test]
    fn requests_and_events_survive_the_wire() {
        let request = Request { id: 7, by: "ann".into(), command: Command::BootLog("i-1".into()) };
        assert_eq!(serde_json::to_string(&request).unwrap(), r#"{"id":7,"by":"ann","command":{"boot_log":"i-1"}}"#);
        let line = serde_json::to_string(&view("w")).unwrap();
        assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), view("w"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_client_survives_whatever_answers(lines in proptest::collection::vec("[^\\n]{0,40}", 1..6)) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let directory = tempfile::tempdir().unwrap();
                let listener = tokio::net::UnixListener::bind(path(directory.path())).unwrap();
                let mut client = Client::connect(directory.path()).await.unwrap();
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.write_all(format!("{}\n", lines.join("\n")).as_bytes()).await.unwrap();
                drop(stream);
                for line in &lines {
                    let told = client.next().await.unwrap_err();
                    assert!(matches!(told, SocketError::Unreadable { .. }), "{line}: {told}");
                }
                assert!(matches!(client.next().await, Err(SocketError::Lost(_))));
            });
        }

        #[test]
        fn no_line_ends_the_conversation(lines in proptest::collection::vec("[^\\n]{0,40}", 1..6)) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let ending = runtime.block_on(async {
                let mut tasks = tokio::task::JoinSet::new();
                let it = Loop::start(&mut tasks);
                let mut stream = UnixStream::connect(path(it.directory.path())).await.unwrap();
                let (reader, mut writer) = stream.split();
                let mut told = BufReader::new(reader).lines();
                for line in &lines {
                    writer.write_all(format!("{line}\n").as_bytes()).await.unwrap();
                    let error = told.next_line().await.unwrap().unwrap();
                    assert!(error.starts_with("{\"error\":\"not a request: "), "{error}");
                }
                let good = r#"{"id":3,"by":"ann","command":"refresh"}"#;
                writer.write_all(format!("{good}\n").as_bytes()).await.unwrap();
                told.next_line().await.unwrap().unwrap()
            });
            prop_assert_eq!(ending, r#"{"answer":{"id":3,"result":{"Ok":{"said":"ann"}}}}"#);
        }
    }
}
