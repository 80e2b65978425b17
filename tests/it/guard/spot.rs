//! The cloud takes a machine back while a task runs: a metadata service, the boot script, the real agent.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tidegate::model::settings::Provider;
use tidegate::world::cloud::Bid;
use tidegate::world::guard::{startup_script, user_data};
use tidegate::world::sim::clearml::Status;

use super::{MAILBOX, hold, job_lives, order, pulls, wait, wait_minutes};
use crate::support::face::Served;
use crate::support::machine::Machine;
use crate::support::process::write;

const SECRET: &str = "s3ssion";

/// EC2's metadata service, version 2: no answer without a session's token. And Google's: none without its header.
struct Metadata {
    url: String,
    notice: Arc<AtomicBool>,
}

impl Metadata {
    #[expect(clippy::disallowed_methods, reason = "a server of the test's own")]
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let notice = Arc::new(AtomicBool::new(false));
        let given = Arc::clone(&notice);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                answer(connection, given.load(Ordering::Relaxed));
            }
        });
        Self { url, notice }
    }
}

fn answer(mut connection: TcpStream, notice: bool) {
    let lines = BufReader::new(connection.try_clone().unwrap()).lines().map_while(Result::ok);
    let request: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let authorised = request.iter().any(|line| {
        line.split_once(": ")
            .is_some_and(|(name, value)| name.eq_ignore_ascii_case("x-aws-ec2-metadata-token") && value == SECRET)
    });
    let googles = request.iter().any(|line| line.eq_ignore_ascii_case("metadata-flavor: google"));
    let first = request.first().map_or("", String::as_str);
    let (status, body) = match first.split(" HTTP").next().unwrap_or_default() {
        "PUT /latest/api/token" => ("200 OK", SECRET),
        "GET /computeMetadata/v1/instance/preempted" if googles => ("200 OK", if notice { "TRUE" } else { "FALSE" }),
        _ if !authorised => ("401 Unauthorized", ""),
        "GET /latest/meta-data/instance-id" => ("200 OK", "i-1"),
        "GET /latest/meta-data/instance-type" => ("200 OK", "t3.large"),
        "GET /latest/meta-data/spot/instance-action" if notice => {
            ("200 OK", r#"{"action": "terminate", "time": "2026-01-01T00:02:00Z"}"#)
        }
        _ => ("404 Not Found", ""),
    };
    let length = body.len();
    let _ = write!(connection, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
}

fn boot(server: &Served, metadata: &Metadata, settings: &[(&str, &str)]) -> Machine {
    let mut all = vec![("TIDEGATE_IMDS", metadata.url.as_str()), ("TIDEGATE_INSTANCE", "")];
    all.extend(settings);
    Machine::boot_user_data(&user_data(&order(server)).unwrap(), "i-1", &all)
}

/// What a mailbox says from now on is to be put back, however soon it says otherwise.
fn puts_back(server: &Served) -> Arc<Mutex<Vec<String>>> {
    let said = Arc::<Mutex<Vec<String>>>::default();
    let heard = Arc::clone(&said);
    server.watch.spoil(move |endpoint, body| {
        let entry = &body["metadata"][0];
        if endpoint == "queues.add_or_update_metadata" && entry["key"] == "requeue" {
            heard.lock().unwrap().extend(entry["value"].as_str().map(str::to_owned));
        }
        None
    });
    said
}

#[test]
fn a_machine_whose_type_the_cloud_chose_is_named_by_what_it_is() {
    let (server, metadata) = (Served::start(&["one", "two"]), Metadata::start());
    let mut order = order(&server);
    order.bids = vec![Bid { machine_type: "t3.medium".into(), max_price: None, without: Vec::new() }];
    let settings = [("TIDEGATE_IMDS", metadata.url.as_str()), ("TIDEGATE_INSTANCE", "")];
    let machine = Machine::boot_user_data(&user_data(&order).unwrap(), "i-1", &settings);
    wait(&machine, "it registers", || !server.workers().is_empty());
    assert_eq!(server.workers(), ["test:small:t3.large:i-1"], "{}", machine.written());
}

#[test]
fn a_spot_notice_puts_the_running_task_back_once_and_ends_the_machine() {
    let (server, metadata) = (Served::start(&["one", "two"]), Metadata::start());
    let said = puts_back(&server);
    let machine = boot(&server, &metadata, &[]);
    let task = server.enqueue_shell("one", "sleep 613");
    wait(&machine, "the job runs", || job_lives(&machine, "613"));
    let behind = server.enqueue_shell("one", "sleep 1");
    metadata.notice.store(true, Ordering::Relaxed);
    let wanted = format!("{task}:{}", server.queue("one"));
    wait(&machine, "the mailbox says what to put back", || said.lock().unwrap().contains(&wanted));
    wait(&machine, "it switches itself off", || machine.is_off());
    assert!(!job_lives(&machine, "613"), "{}", machine.written());
    assert_eq!(server.status(&task), Status::Queued, "{}", machine.written());
    assert_eq!(server.entries("one"), [behind, task], "{}", machine.written());
    assert_eq!(server.watch.count("tasks.enqueue"), 1);
    assert_eq!(server.metadata(MAILBOX, "requeue").as_deref(), Some(""));
    assert_eq!(server.metadata(MAILBOX, "gone").as_deref(), Some("spot notice"));
}

#[test]
fn a_spot_notice_puts_the_tasks_of_all_agents_back() {
    let (server, metadata) = (Served::start(&["one", "two"]), Metadata::start());
    let mut several = order(&server);
    several.pool.agent.agents_per_machine = 2;
    let said = puts_back(&server);
    let settings = [("TIDEGATE_IMDS", metadata.url.as_str()), ("TIDEGATE_INSTANCE", "")];
    let machine = Machine::boot_user_data(&user_data(&several).unwrap(), "i-1", &settings);
    let tasks = ["615", "616"].map(|seconds| server.enqueue_shell("one", &format!("sleep {seconds}")));
    wait_minutes(3, &machine, "both jobs run", || ["615", "616"].iter().all(|seconds| job_lives(&machine, seconds)));
    metadata.notice.store(true, Ordering::Relaxed);
    let queue = server.queue("one");
    let wanted: BTreeSet<_> = tasks.iter().map(|task| format!("{task}:{queue}")).collect();
    wait_minutes(3, &machine, "the mailbox says what to put back", || {
        said.lock().unwrap().iter().any(|said| said.split(' ').map(str::to_owned).collect::<BTreeSet<_>>() == wanted)
    });
    wait_minutes(3, &machine, "it switches itself off", || machine.is_off());
    assert!(tasks.iter().all(|task| server.status(task) == Status::Queued), "{}", machine.written());
    assert_eq!(server.entries("one").len(), 2, "{}", machine.written());
    assert_eq!(server.watch.count("tasks.enqueue"), 2);
    assert_eq!(server.metadata(MAILBOX, "requeue").as_deref(), Some(""));
    assert_eq!(server.metadata(MAILBOX, "gone").as_deref(), Some("spot notice"));
}

#[test]
fn a_task_with_an_abort_callback_is_given_the_time_for_it() {
    let (server, metadata) = (Served::start(&["one", "two"]), Metadata::start());
    let folder = tempfile::tempdir().unwrap();
    let (saved, script) = (folder.path().join("saved"), folder.path().join("callback"));
    write(&script, &format!("sleep 2\ntouch {}\n", saved.display()));
    let callback = format!("sh {}", script.display());
    let machine = boot(&server, &metadata, &[("CLEARML_AGENT_ABORT_CALLBACK_CMD", &callback)]);
    let task = server.enqueue_shell("one", "sleep 614");
    wait(&machine, "the job runs", || job_lives(&machine, "614"));
    metadata.notice.store(true, Ordering::Relaxed);
    wait(&machine, "it switches itself off", || machine.is_off());
    assert!(saved.exists(), "{}", machine.written());
    assert_eq!(server.entries("one"), [task], "{}", machine.written());
    assert_eq!(server.metadata(MAILBOX, "gone").as_deref(), Some("spot notice"));
}

#[test]
fn an_idle_machine_ends_at_a_spot_notice_and_one_without_metadata_works_on() {
    let (server, metadata) = (Served::start(&["one", "two"]), Metadata::start());
    let machine = boot(&server, &metadata, &[]);
    pulls(&machine, &server);
    metadata.notice.store(true, Ordering::Relaxed);
    wait(&machine, "it switches itself off", || machine.is_off());
    assert_eq!(server.metadata(MAILBOX, "gone").as_deref(), Some("spot notice"));
    // Nobody listens there.
    let server = Served::start(&["one", "two"]);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let machine = Machine::boot_user_data(
        &user_data(&order(&server)).unwrap(),
        "i-1",
        &[("TIDEGATE_IMDS", &format!("http://{closed}"))],
    );
    let task = server.enqueue_shell("one", "sleep 3");
    wait(&machine, "the task ends", || server.status(&task) == Status::Completed);
    assert!(!machine.is_off());
}

/// Without a gate the agent's own row says what runs.
#[test]
fn a_spot_notice_puts_the_task_of_a_machine_without_a_gate_back_once() {
    let (server, metadata) = (Served::start(&["one", "two"]), Metadata::start());
    let machine = hold::boot(&server, &[("TIDEGATE_IMDS", &metadata.url), ("TIDEGATE_INSTANCE", "")]);
    let task = server.enqueue_shell("one", "sleep 616");
    wait(&machine, "the job runs", || job_lives(&machine, "616"));
    let behind = server.enqueue_shell("one", "sleep 1");
    metadata.notice.store(true, Ordering::Relaxed);
    wait(&machine, "it switches itself off", || machine.is_off());
    assert!(!job_lives(&machine, "616"), "{}", machine.written());
    assert_eq!(server.entries("one"), [behind, task], "{}", machine.written());
    assert_eq!(server.watch.count("tasks.enqueue"), 2, "the task, and what holds the machine after it");
    assert_eq!(hold::holds(&server), [Status::InProgress], "{}", machine.written());
    assert_eq!(server.metadata(MAILBOX, "gone").as_deref(), Some("spot notice"));
}

/// A machine of Google's, which knows its name without asking.
fn boot_googles(server: &Served, metadata: &Metadata, tick: &str) -> Machine {
    let mut order = order(server);
    order.pool.provider = Provider::Gce;
    let settings = [("TIDEGATE_IMDS", metadata.url.as_str()), ("TIDEGATE_INSTANCE", ""), ("TIDEGATE_TICK", tick)];
    Machine::boot(&startup_script(&order, "i-1").unwrap(), "i-1", &settings)
}

#[test]
fn a_machine_that_google_takes_back_puts_its_task_back_once_and_ends() {
    let (server, metadata) = (Served::start(&["one", "two"]), Metadata::start());
    let machine = boot_googles(&server, &metadata, "1");
    let task = server.enqueue_shell("one", "sleep 617");
    wait(&machine, "the job runs", || job_lives(&machine, "617"));
    assert_eq!(server.workers(), ["test:small:t3.medium:i-1"], "{}", machine.written());
    // Google runs the script at every boot by itself.
    assert!(!machine.root().join("var/lib/cloud/scripts/per-boot/zz-tidegate").exists());
    metadata.notice.store(true, Ordering::Relaxed);
    wait(&machine, "it switches itself off", || machine.is_off());
    assert_eq!(server.entries("one"), [task], "{}", machine.written());
    assert_eq!(server.watch.count("tasks.enqueue"), 1);
    assert_eq!(server.metadata(MAILBOX, "gone").as_deref(), Some("spot notice"));
}

#[test]
fn a_machine_of_google_s_that_had_switched_itself_off_works_when_it_is_started_again() {
    let (server, metadata) = (Served::start(&["one", "two"]), Metadata::start());
    let mut order = order(&server);
    order.pool.provider = Provider::Gce;
    let settings = [("TIDEGATE_IMDS", metadata.url.as_str()), ("TIDEGATE_INSTANCE", "")];
    let script = startup_script(&order, "i-1").unwrap();
    let machine = Machine::boot_prepared(&script, "i-1", &settings, |root| {
        let state = root.join("var/lib/tidegate");
        std::fs::create_dir_all(&state).unwrap();
        write(&state.join("named"), "i-1\n");
        write(&state.join("off"), "drained\n");
    });
    pulls(&machine, &server);
    assert!(!machine.is_off(), "{}", machine.written());
}

/// Its power-off comes with the notice, and may come before the next look at it.
#[test]
fn a_power_off_that_is_google_s_notice_puts_the_task_back_too() {
    let (server, metadata) = (Served::start(&["one", "two"]), Metadata::start());
    let machine = boot_googles(&server, &metadata, "600");
    let task = server.enqueue_shell("one", "sleep 618");
    wait(&machine, "the job runs", || job_lives(&machine, "618"));
    metadata.notice.store(true, Ordering::Relaxed);
    machine.guard.signal_leader("TERM");
    wait(&machine, "it switches itself off", || machine.is_off());
    assert_eq!(server.entries("one"), [task], "{}", machine.written());
    assert_eq!(server.metadata(MAILBOX, "gone").as_deref(), Some("spot notice"));
}
