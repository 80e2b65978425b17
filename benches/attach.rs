//! A screen attached to a loop with 10,000 machines: bytes on the socket, key to frame, processor time and memory of the
//! screen, while nothing moves, while some machines do, and while each reports at every look; beside one that is told every
//! view whole. `cargo bench --bench attach` prints it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a bench that cannot go on fails, and prints"
)]

#[path = "support/fleet.rs"]
mod fleet;
#[path = "support/terminal.rs"]
mod terminal;

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::SignedDuration;
use tidegate::engine::command::{Command, Request};
use tidegate::engine::event::{Answer, Event, View};
use tidegate::engine::socket::{self, Client, Server};
use tidegate::model::instance::Phase;
use tidegate::model::money::Money;
use tokio::sync::{broadcast, mpsc, watch};

use fleet::fleet;
use terminal::{Program, millis, now};

const MACHINES: usize = 10_000;
const KEYS: usize = 60;
const WINDOW: Duration = Duration::from_secs(30);

/// What happens at the loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scene {
    /// A look every ten seconds in which nothing has moved.
    Idle,
    /// A view every second: of 10,000 machines 40 change what they do, 5 end and 5 come.
    Busy,
    /// A look every ten seconds for which every machine reported.
    Reports,
}

impl Scene {
    const ALL: [Self; 3] = [Self::Idle, Self::Busy, Self::Reports];

    fn told(self) -> &'static str {
        match self {
            Self::Idle => "a look every 10 s, nothing has moved",
            Self::Busy => "a view every second, 40 machines change, 5 end and 5 come",
            Self::Reports => "a look every 10 s, each machine has reported",
        }
    }

    fn pace(self) -> Duration {
        if self == Self::Busy { Duration::from_secs(1) } else { Duration::from_secs(10) }
    }
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let (inner, outer) = (folder.path().join("inner"), folder.path().join("outer"));
    for directory in [&inner, &outer] {
        std::fs::create_dir(directory).unwrap();
    }
    let view = fleet(MACHINES);
    row("a view as JSON, bytes", serde_json::to_string(&view).unwrap().len() as f64);
    let (scenes, scene) = watch::channel(Scene::Idle);
    let served = inner.clone();
    std::thread::Builder::new().spawn(move || serve(&served, view, scene)).unwrap();
    until_bound(&inner);
    let carried = Arc::new(AtomicU64::new(0));
    proxy(&inner, &outer, Arc::clone(&carried));
    for scene in Scene::ALL {
        scenes.send(scene).unwrap();
        println!("\n{}", scene.told());
        row("told whole, bytes/s", whole(&outer, &carried));
        attached(&outer, &carried);
    }
}

/// A client that does not follow changes.
fn whole(directory: &Path, carried: &AtomicU64) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut client = Client::connect(directory).await.unwrap();
        client.view().await.unwrap();
        let before = carried.load(Ordering::Relaxed);
        let read = async {
            loop {
                client.view().await.unwrap();
            }
        };
        let _: Result<(), _> = tokio::time::timeout(WINDOW, read).await;
        (carried.load(Ordering::Relaxed) - before) as f64 / WINDOW.as_secs_f64()
    })
}

/// The program's own screen, in a terminal.
fn attached(directory: &Path, carried: &AtomicU64) {
    let before = carried.load(Ordering::Relaxed);
    let begun = now();
    let arguments = ["attach", "--state-dir", directory.to_str().unwrap()];
    let mut screen = Program::start(env!("CARGO_BIN_EXE_tidegate"), &arguments, None);
    while !screen.has_drawn() {
        std::thread::sleep(Duration::from_millis(1));
    }
    row("first frame, ms", millis(begun));
    std::thread::sleep(Duration::from_secs(5));
    row("until then, bytes", (carried.load(Ordering::Relaxed) - before) as f64);
    let (before, ticks) = (carried.load(Ordering::Relaxed), screen.ticks());
    std::thread::sleep(WINDOW);
    let seconds = WINDOW.as_secs_f64();
    row("attached screen, bytes/s", (carried.load(Ordering::Relaxed) - before) as f64 / seconds);
    row("its processor time, %", (screen.ticks() - ticks) / TICKS / seconds * 100.0);
    row("its memory, MiB", screen.resident());
    screen.writer.write_all(b"2").unwrap();
    let keys: [&[u8]; 2] = [b"\x1b[6~", b"\x1b[5~"];
    let mut answers: Vec<f64> = (0..KEYS).map(|at| screen.key(keys[at % 2])).collect();
    answers.sort_by(f64::total_cmp);
    row("key to frame, ms, p50", answers[KEYS / 2]);
    row("key to frame, ms, p95", answers[KEYS * 95 / 100]);
}

/// Ticks of `/proc/<pid>/stat` in a second.
const TICKS: f64 = 100.0;

fn row(what: &str, value: f64) {
    println!("  {what:<36} {value:>14.2}");
}

fn until_bound(directory: &Path) {
    while UnixStream::connect(socket::path(directory)).is_err() {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The loop's socket, told views by the scene.
fn serve(directory: &Path, view: View, scene: watch::Receiver<Scene>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (requests, mut asked) = mpsc::channel::<Request>(64);
        let (tell, events) = broadcast::channel(64);
        let server = Server::bind(directory).unwrap().serve(requests, events);
        let answers = tell.clone();
        let answer = async {
            while let Some(request) = asked.recv().await {
                let result = Ok(match request.command {
                    Command::Journal(_) => Answer::Journal(Vec::new()),
                    _ => Answer::Done,
                });
                let _ = answers.send(Event::Answer { id: request.id, result });
            }
        };
        tokio::join!(server, answer, play(view, scene, &tell));
    });
}

async fn play(mut view: View, mut scene: watch::Receiver<Scene>, tell: &broadcast::Sender<Event>) {
    let mut round = 0;
    loop {
        let now = *scene.borrow_and_update();
        happen(&mut view, now, round);
        round += 1;
        let _ = tell.send(Event::View(Arc::new(view.clone())));
        tokio::select! {
            () = tokio::time::sleep(now.pace()) => {}
            _ = scene.changed() => {}
        }
    }
}

fn happen(view: &mut View, scene: Scene, round: usize) {
    view.at += SignedDuration::try_from(scene.pace()).unwrap();
    view.next_pass = view.at + SignedDuration::from_secs(10);
    view.spend.total += Money::from_micros(31_000_000);
    view.spend.today += Money::from_micros(31_000_000);
    Arc::make_mut(&mut view.plan).at = view.at;
    let snapshot = Arc::make_mut(&mut view.snapshot);
    for source in &mut snapshot.sources {
        source.last_good = Some(view.at);
    }
    match scene {
        Scene::Idle => {}
        Scene::Busy => {
            for place in 0..40 {
                let machine = &mut snapshot.instances[(round * 37 + place * 241) % MACHINES];
                machine.phase = if machine.phase == Phase::Busy { Phase::Idle } else { Phase::Busy };
                (machine.phase_since, machine.last_report) = (view.at, Some(view.at));
            }
            for place in 0..5 {
                let mut gone = snapshot.instances.remove((round * 911 + place * 1_777) % MACHINES);
                gone.id = format!("i-{:017x}", MACHINES + round * 5 + place).as_str().into();
                snapshot.instances.push(gone);
            }
        }
        Scene::Reports => {
            for machine in &mut snapshot.instances {
                machine.last_report = Some(view.at);
            }
        }
    }
}

/// Stands before the socket of `inner` at `outer`, and counts what the loop says.
fn proxy(inner: &Path, outer: &Path, carried: Arc<AtomicU64>) {
    let (listener, inner) = (UnixListener::bind(socket::path(outer)).unwrap(), socket::path(inner));
    let accept = move || {
        for client in listener.incoming() {
            let (client, server) = (client.unwrap(), UnixStream::connect(&inner).unwrap());
            carry(client.try_clone().unwrap(), server.try_clone().unwrap(), Arc::default());
            carry(server, client, Arc::clone(&carried));
        }
    };
    std::thread::Builder::new().spawn(accept).unwrap();
}

fn carry(mut from: UnixStream, mut to: UnixStream, carried: Arc<AtomicU64>) {
    let pour = move || {
        let mut bytes = vec![0; 1 << 16];
        while let Ok(read @ 1..) = from.read(&mut bytes) {
            carried.fetch_add(u64::try_from(read).unwrap(), Ordering::Relaxed);
            if to.write_all(&bytes[..read]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(std::net::Shutdown::Both);
        let _ = from.shutdown(std::net::Shutdown::Both);
    };
    std::thread::Builder::new().spawn(pour).unwrap();
}
