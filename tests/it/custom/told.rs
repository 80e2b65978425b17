//! Why tasks wait, in ClearML's own words: on the simulated server, by the calls that a real one takes.

use std::time::Duration;

use tidegate::model::ids::TaskId;
use tidegate::world::clearml::Clearml;
use tidegate::world::clearml::credentials::{Credentials, User};
use tidegate::world::clock::Clock;
use tidegate::world::secret::Secret;
use tidegate::world::sim::clearml::{ClearmlServer, Said, Status};
use tidegate::world::tracker::Tracker;

use crate::support::face::Served;

fn credentials(server: &str) -> Credentials {
    let user = |name: &str| User {
        key: Secret::new(format!("{}-KEY", name.to_uppercase())),
        secret: Secret::new(format!("{name}-secret")),
        from: "the test".to_owned(),
    };
    let (server, server_from) = (server.to_owned(), "the test".to_owned());
    Credentials { server, server_from, console: user("console"), agents: user("agents") }
}

#[test]
fn the_queue_and_its_waiting_tasks_say_why_and_one_that_runs_does_not() {
    let served = Served::start(&["gpu"]);
    let queue = served.queue("gpu");
    let tasks: Vec<TaskId> = (0..3).map(|_| served.enqueue_shell("gpu", "true")).collect();
    // An agent has begun the first.
    let agents = ClearmlServer::agents();
    served.server().started(Clock::Wall.now(), &agents, &tasks[0], Said::default(), false).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let credentials = credentials(&served.url);
    let tell = |text: &str| {
        let told = Clearml::new(credentials.clone(), Clock::Wall).unwrap();
        let told =
            async { tokio::time::timeout(Duration::from_secs(20), told.tell_waiting(&queue, text, &tasks)).await };
        runtime.block_on(told).unwrap().unwrap();
    };
    tell("Tidegate, fleet lab: no machine is to be had");
    let said = |place: usize| served.server().task(&tasks[place]).unwrap().status_message.clone();
    assert_eq!([said(1), said(2)], ["Tidegate, fleet lab: no machine is to be had"; 2]);
    assert!(!said(0).contains("Tidegate"), "{}", said(0));
    assert_eq!(served.metadata("gpu", "tidegate").as_deref(), Some("Tidegate, fleet lab: no machine is to be had"));
    assert_eq!(served.status(&tasks[1]), Status::Queued, "it waits as before");
    tell("");
    assert_eq!(served.metadata("gpu", "tidegate").as_deref(), Some(""));
    served.all_known();
}
