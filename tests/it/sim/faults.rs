//! Each fault does what it says, and nothing else.

use jiff::SignedDuration;
use tidegate::model::observed::{CloudState, TaskStatus};
use tidegate::model::snapshot::ErrorClass;
use tidegate::world::sim::scenario::{Call, Fault, Pick, Scenario, TimedFault};
use tidegate::world::tracker::TrackerError;

use crate::sim::driver::{Console, FLEET, REGION, scenario, start};

const TEN_MINUTES: SignedDuration = SignedDuration::from_mins(10);

#[tokio::test(start_paused = true)]
async fn while_the_tracker_is_down_nobody_pulls_and_work_goes_on_when_it_is_up() {
    let mut console = Console::new(scenario(&[(0, 500), (0, 100), (700, 100)]), 2);
    let instance = console.booted().await;
    console.wait(30).await;
    let before = console.worker().await.unwrap().last_report.unwrap();
    console.sim.fault(&Fault::TrackerDown { lasts: TEN_MINUTES });
    let error = console.tracker().queues().await.unwrap_err();
    assert!(matches!(error, TrackerError::Unreachable { .. }), "{error}");
    assert!(console.tracker().order_drain(&instance, "n").await.is_err());
    console.wait(590).await;
    assert_eq!((console.judge().tasks_done, console.judge().tasks_running), (0, 1), "its end cannot be told");
    console.wait(15).await;
    let worker = console.worker().await.unwrap();
    assert!(worker.last_report.unwrap() > before);
    assert_eq!(console.mail(&instance, "want").await, None, "the order did not act");
    console.wait(300).await;
    let judgement = console.judge();
    assert_eq!((judgement.tasks_done, judgement.tasks_arrived), (2, 2), "nobody could enqueue the third");
}

#[tokio::test(start_paused = true)]
async fn a_row_of_a_worker_that_cannot_report_grows_old() {
    let mut console = Console::new(scenario(&[]), 2);
    console.booted().await;
    console.wait(60).await;
    let registered = console.worker().await.unwrap().registered;
    console.sim.fault(&Fault::TrackerDown { lasts: TEN_MINUTES });
    console.wait(601).await;
    let silent = console.clock.now();
    let row = console.worker().await;
    assert!(row.is_none_or(|row| silent.duration_since(row.last_report.unwrap()) > SignedDuration::from_secs(550)));
    console.wait(40).await;
    assert!(console.worker().await.unwrap().registered >= registered);
}

#[tokio::test(start_paused = true)]
async fn while_the_cloud_is_down_calls_fail_and_do_nothing() {
    let mut console = Console::new(scenario(&[]), 2);
    console.sim.fault(&Fault::CloudDown { lasts: TEN_MINUTES });
    let error = console.launch("train", 1).await.unwrap_err();
    assert_eq!((error.class, error.may_have_acted), (ErrorClass::Unknown, true));
    assert!(console.cloud().list(&FLEET.into(), REGION).await.is_err());
    assert!(console.tracker().queues().await.is_ok());
    console.wait(600).await;
    assert!(console.list().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_silent_launch_may_have_acted() {
    for acted in [false, true] {
        let mut console = Console::new(scenario(&[]), 2);
        console.sim.fault(&Fault::Silence { call: Call::Launch, times: 1, acted });
        let error = console.launch("train", 2).await.unwrap_err();
        assert_eq!(error.code.as_deref(), Some("Deadline"));
        console.wait(40).await;
        assert_eq!(console.list().await.len(), if acted { 2 } else { 0 });
        assert_eq!(console.launch("train", 1).await.unwrap().len(), 1, "only one call was silent");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_without_an_answer_hangs_until_its_deadline() {
    let mut console = Console::new(scenario(&[]), 2);
    let instance = console.booted().await;
    for (call, acted) in [(Call::Read, false), (Call::Write, true)] {
        console.sim.fault(&Fault::Silence { call, times: 1, acted });
        let before = console.clock.now();
        let tracker = console.tracker();
        let work = async {
            match call {
                Call::Read => tracker.queues().await.map(drop),
                _ => tracker.order_drain(&instance, "n").await,
            }
        };
        assert!(console.clock.deadline(SignedDuration::from_secs(20), work).await.is_none());
        assert_eq!(console.clock.now().duration_since(before), SignedDuration::from_secs(20));
    }
    assert_eq!(console.mail(&instance, "want").await.as_deref(), Some("drain:n"), "it acted all the same");
}

#[tokio::test(start_paused = true)]
async fn a_throttled_launch_may_have_acted() {
    for acted in [false, true] {
        let mut console = Console::new(scenario(&[]), 2);
        console.sim.fault(&Fault::Throttle { call: Call::Launch, times: 1, acted });
        let error = console.launch("train", 2).await.unwrap_err();
        assert_eq!((error.class, error.may_have_acted), (ErrorClass::Throttle, true));
        console.wait(40).await;
        assert_eq!(console.list().await.len(), if acted { 2 } else { 0 });
    }
}

#[tokio::test(start_paused = true)]
async fn a_machine_can_be_ended_by_others_and_break_down() {
    for (fault, reason) in [
        (Fault::StoppedOutside { machine: Pick::Busy }, "Client.UserInitiatedShutdown"),
        (Fault::MachineDies { machine: Pick::Busy }, "Server.InternalError"),
    ] {
        let mut console = Console::new(scenario(&[(0, 5_000)]), 2);
        assert!(!console.sim.fault(&fault), "there is no machine yet");
        console.booted().await;
        console.wait(60).await;
        assert!(console.sim.fault(&fault));
        let machine = console.list().await.remove(0);
        assert!(machine.state_reason.unwrap().starts_with(reason));
        let judgement = console.judge();
        assert_eq!((judgement.tasks_stranded, judgement.busy_kills, judgement.stopped_by_call), (1, 0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_agent_leaves_its_machine_its_row_and_its_task() {
    let mut console = Console::new(scenario(&[(0, 500)]), 2);
    let instance = console.booted().await;
    console.wait(60).await;
    assert!(console.sim.fault(&Fault::AgentDies { machine: Pick::Id(instance.to_string()) }));
    console.wait(500).await;
    let row = console.worker().await.unwrap();
    assert!(console.clock.now().duration_since(row.last_report.unwrap()) > SignedDuration::from_secs(490));
    assert_eq!(console.tasks(TaskStatus::InProgress).await.len(), 1);
    console.wait(600).await;
    assert!(console.worker().await.is_none());
    assert_eq!(console.list().await[0].state, CloudState::Running);
    console.cloud().terminate(REGION, &[instance]).await.unwrap();
    assert_eq!((console.judge().tasks_lost, console.judge().busy_kills), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_machine_may_never_register_and_may_vanish_from_the_list() {
    let mut console = Console::new(scenario(&[]), 2);
    console.sim.fault(&Fault::NeverRegister { machines: 1 });
    console.launch("train", 1).await.unwrap();
    console.wait(3_600).await;
    assert!(console.worker().await.is_none());
    console.sim.fault(&Fault::Unlisted { machine: Pick::Pool("a10g".to_owned()), lasts: TEN_MINUTES });
    assert!(console.list().await.is_empty());
    console.wait(600).await;
    assert_eq!(console.list().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_queue_takes_its_tasks_along_and_deafens_its_agents() {
    let mut console = Console::new(scenario(&[(0, 100), (0, 100)]), 2);
    console.booted().await;
    console.wait(30).await;
    assert!(console.sim.fault(&Fault::QueueDeleted { queue: "train".to_owned() }));
    assert!(!console.sim.fault(&Fault::QueueDeleted { queue: "train".to_owned() }));
    console.wait(300).await;
    let judgement = console.judge();
    assert_eq!((judgement.tasks_done, judgement.tasks_withdrawn, judgement.tasks_lost), (1, 1, 0));
    let worker = console.worker().await.unwrap();
    assert!(worker.task.is_none() && console.clock.now().duration_since(worker.last_report.unwrap()).as_secs() <= 30);
}

#[tokio::test(start_paused = true)]
async fn a_fault_of_the_scenario_happens_at_its_time() {
    let toml = r#"
        [[queue]]
        name = "train"
        [[fault]]
        at = "10m"
        kind = "tracker-down"
        lasts = "5m"
        [[fault]]
        at = "20m"
        kind = "queue-deleted"
        queue = "train"
        [[fault]]
        at = "30m"
        kind = "agent-dies"
        machine = { id = "i-1" }
    "#;
    let scenario = Scenario { start: start(), ..Scenario::parse(toml).unwrap() };
    assert_eq!(scenario.faults[2].fault, Fault::AgentDies { machine: Pick::Id("i-1".to_owned()) });
    let console = Console::new(scenario, 2);
    for (wait, answers) in [(599, true), (2, false), (297, false), (3, true)] {
        console.wait(wait).await;
        assert_eq!(console.tracker().queues().await.is_ok(), answers, "{}", console.clock.now());
    }
    console.wait(300).await;
    assert!(console.tracker().queues().await.unwrap().iter().all(|queue| queue.name.as_str() != "train"));
}

#[test]
fn a_scenario_that_cannot_be_is_refused_in_words() {
    for (text, said) in [
        ("[[task]]\nat = \"1s\"\nqueue = \"no\"\nname = \"n\"\nduration = \"1s\"", "no [[queue]] of the name `no`"),
        ("[[queue]]\nname = \"a\"\nrate = 3", "unknown field `rate`"),
        ("speed = 1", "unknown field `speed`"),
        ("[[fault]]\nat = \"1s\"\nkind = \"meteor\"", "unknown variant `meteor`"),
        ("lost_after = \"soon\"", "soon"),
    ] {
        let error = Scenario::parse(text).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    let timed = TimedFault { at: TEN_MINUTES, fault: Fault::CloudDown { lasts: TEN_MINUTES } };
    let whole = Scenario { faults: vec![timed], ..scenario(&[(1, 2)]) };
    assert_eq!(Scenario::parse(&toml::to_string(&whole).unwrap()).unwrap(), whole);
}
