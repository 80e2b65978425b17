//! The tasks of a ClearML server, played under many settings.

use std::path::Path;
use std::process::{Command, Output};

use jiff::{SignedDuration, Timestamp};
use tidegate::model::ids::QueueId;
use tidegate::world::clock::Clock;
use tidegate::world::sim::clearml::{ClearmlServer, NewTask, Said};

use crate::support::face::Served;
use crate::support::process::write;
use crate::support::told::told;

const SETTINGS: &str = r#"
credentials = "env:CONSOLE"
[loop]
fleet = "lab"
[queue.train]
pools = ["gpu"]
[pool.gpu]
provider = "aws"
region = "us-east-1"
types = ["g5.12xlarge"]
ami = "ami-1"
price = "$3/h"
keep_alive = "7m"
"#;

/// A task that was enqueued, begun and ended so many minutes ago.
fn task(served: &Served, queue: Option<&QueueId>, made: i64, begun: Option<i64>, ended: i64) {
    let ago = |minutes| -> Timestamp { Clock::Wall.now() - SignedDuration::from_mins(minutes) };
    let (console, agents) = (ClearmlServer::console(), ClearmlServer::agents());
    let mut clearml = served.server();
    let task = clearml.create_task(ago(made), NewTask::new("train", console.clone())).unwrap();
    if let Some(queue) = queue {
        clearml.enqueue(ago(made), &console, &task, queue, Said::default(), false).unwrap();
        clearml.next_task(ago(begun.unwrap_or(made)), queue, None).unwrap();
    }
    if let Some(begun) = begun {
        clearml.started(ago(begun), &agents, &task, Said::default(), true).unwrap();
    }
    clearml.completed(ago(ended), &agents, &task, Said::default(), true).unwrap();
}

fn replay(url: &str, folder: &Path, arguments: &[&str]) -> Output {
    write(&folder.join("tidegate.toml"), &format!("[clearml]\napi_server = \"{url}\"{SETTINGS}"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.arg("replay").args(arguments).args(["--seeds", "2"]).current_dir(folder);
    command.env("TIDEGATE_CONFIG", folder.join("tidegate.toml")).env("TIDEGATE_STATE_DIR", folder);
    command.env("CONSOLE", "CONSOLE-KEY:console-secret");
    command.output().unwrap()
}

#[test]
fn the_tasks_of_a_server_are_saved_played_and_plotted() {
    let served = Served::start(&["train", "eval"]);
    let (train, eval) = (served.queue("train"), served.queue("eval"));
    for hour in 1..30 {
        task(&served, Some(&train), hour * 60 + 5, Some(hour * 60), hour * 60 - 20);
    }
    task(&served, Some(&eval), 500, Some(480), 470);
    task(&served, None, 90, Some(90), 80);
    task(&served, Some(&train), 60 * 24 * 50, Some(60 * 24 * 50), 60 * 24 * 49);
    let folder = tempfile::tempdir().unwrap();
    let asked = ["--from-clearml", "--since", "30d", "--save", "own.csv", "--plot", "own.svg"];
    let output = replay(&served.url, folder.path(), &asked);
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(text.contains("30 tasks ended in the last 30d") && text.contains("1 were in no queue"), "{text}");
    let present = text.lines().find(|line| line.contains("present")).unwrap();
    assert!(present.contains("tidegate:keep_alive=7m"), "{text}");
    assert!(text.contains("clearml:poll=30s,idle=60s") && text.contains("down and left is better"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    let plot = text.lines().skip_while(|line| *line != "mean wait");
    assert!(plot.clone().all(|line| line.chars().count() <= 80) && plot.count() > 15, "{text}");

    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let saved = read("own.csv");
    // Four GPUs, by the pool's machine type; a queue that the settings do not know has one.
    assert_eq!(saved.lines().filter(|line| line.contains(",4,train,")).count(), 29, "{saved}");
    assert_eq!(saved.lines().filter(|line| line.contains(",1,eval,")).count(), 1, "{saved}");
    let svg = read("own.svg");
    assert!(svg.starts_with("<svg") && svg.contains("keep_alive=7m (present)") && svg.contains("total, $"), "{svg}");

    // What was saved can be swept again, at the settings' price: $3/h for twenty minutes each at least.
    let output = replay(&served.url, folder.path(), &["--sweep", "--json", "own.csv"]);
    let answer = told("sweep", &output.stdout);
    let points = answer["sweeps"][0]["settings"].as_array().unwrap();
    let least = points[0]["total_usd"].as_f64().unwrap();
    assert!((29.0..60.0).contains(&least), "{least}: 29 times 20 minutes at $3/h are $29");
    assert_eq!(points.iter().filter(|point| point["present"] == true).count(), 1);
    served.all_known();
}

#[test]
fn a_server_without_ended_tasks_and_none_at_all_are_said() {
    let served = Served::start(&["train"]);
    let folder = tempfile::tempdir().unwrap();
    let output = replay(&served.url, folder.path(), &["--from-clearml", "--save", "own.csv"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &b""[..]));
    assert!(said.contains("no task of a queue has ended in the last 30d"), "{said}");
    assert!(!folder.path().join("own.csv").exists());
    let output = replay("http://127.0.0.1:9", folder.path(), &["--from-clearml"]);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(4), &b""[..]), "{output:?}");
}
