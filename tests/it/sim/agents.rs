//! Agents poll on their grid and obey the mailbox; guards end machines that nobody needs.

use jiff::SignedDuration;
use tidegate::model::observed::{CloudState, LostTask, TaskStatus};
use tidegate::model::settings::GuardKind;
use tidegate::world::secret::Secret;
use tidegate::world::sim::scenario::{AgentManners, ForeignAgent, Scenario, Spread};
use tidegate::world::tracker::Requeue;

use crate::sim::driver::{Console, FLEET, scenario, start};

fn prompt(tasks: &[(i64, i64)]) -> Scenario {
    let agent = AgentManners { start_takes: Spread::new(0, 0.0), ..AgentManners::default() };
    Scenario { agent, ..scenario(tasks) }
}

#[tokio::test(start_paused = true)]
async fn a_machine_registers_under_its_name_with_a_mailbox_of_its_own_and_polls_on_its_grid() {
    for at in [1_201, 1_203, 1_204, 1_399] {
        let mut console = Console::new(prompt(&[(at, 3_000)]), 3);
        let instance = console.booted().await;
        let worker = console.worker().await.unwrap();
        assert_eq!(worker.id.as_str(), format!("{FLEET}:a10g:g5.xlarge:{instance}"));
        assert!(
            console.tracker().glance(&FLEET.into()).await.unwrap().mailboxes.iter().any(|one| one.instance == instance)
        );
        console.wait(1_410 - console.clock.now().duration_since(start()).as_secs()).await;
        let task = console.tasks(TaskStatus::InProgress).await.pop().unwrap();
        let polled = task.started.unwrap();
        let since = polled.duration_since(worker.registered).as_millis() - 1_000;
        assert_eq!(since % 5_000, 0, "{since}");
        let arrived = start() + SignedDuration::from_secs(at);
        assert!(polled > arrived && polled.duration_since(arrived) <= SignedDuration::from_secs(5));
        assert_eq!(console.worker().await.unwrap().task.unwrap().id, task.id);
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_machine_acknowledges_a_drain_at_its_next_reading_and_takes_nothing_until_it_is_cancelled() {
    let mut console = Console::new(prompt(&[(1_500, 60)]), 4);
    let instance = console.booted().await;
    console.wait(900).await;
    console.tracker().order_drain(&instance, "n1").await.unwrap();
    console.wait(21).await;
    assert_eq!(console.mail(&instance, "state").await.as_deref(), Some("drained:n1"));
    console.tracker().cancel_drain(&instance).await.unwrap();
    console.wait(21).await;
    assert_eq!(console.mail(&instance, "state").await.as_deref(), Some("run:n1"));
    console.wait(1_490 - console.clock.now().duration_since(start()).as_secs()).await;
    console.tracker().order_drain(&instance, "n2").await.unwrap();
    console.wait(30).await;
    assert_eq!((console.waiting().await, console.judge().tasks_running), (1, 0));
    console.tracker().cancel_drain(&instance).await.unwrap();
    console.wait(100).await;
    assert_eq!(console.judge().tasks_done, 1);
}

#[tokio::test(start_paused = true)]
async fn a_busy_machine_acknowledges_only_when_its_task_is_done_and_leaves_the_next_one() {
    let mut console = Console::new(prompt(&[(0, 1_000), (1, 1_000)]), 5);
    let instance = console.booted().await;
    console.wait(60).await;
    console.tracker().order_drain(&instance, "n").await.unwrap();
    console.wait(600).await;
    assert_eq!(console.mail(&instance, "state").await, None);
    assert_eq!(console.judge().tasks_running, 1);
    console.wait(360).await;
    assert_eq!(console.mail(&instance, "state").await.as_deref(), Some("drained:n"));
    let judgement = console.judge();
    assert_eq!((judgement.tasks_done, judgement.tasks_waiting), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_drained_machine_that_nobody_ends_ends_itself() {
    let mut console = Console::new(prompt(&[]), 6);
    let instance = console.booted().await;
    console.tracker().order_drain(&instance, "n").await.unwrap();
    console.wait(60).await;
    assert_eq!(console.list().await[0].state, CloudState::Running);
    console.wait(40).await;
    let machine = console.list().await.remove(0);
    assert_eq!(machine.state, CloudState::ShuttingDown);
    assert!(machine.state_reason.unwrap().starts_with("Client.InstanceInitiatedShutdown"));
    assert_eq!(console.mail(&instance, "gone").await.as_deref(), Some("drained"));
    assert!(console.worker().await.is_none(), "it unregisters");
    assert_eq!(console.judge().stopped_by_guard, 1);
}

#[tokio::test(start_paused = true)]
async fn without_a_sign_of_the_console_an_idle_machine_ends_itself_and_a_busy_one_does_not() {
    let mut console = Console::new(prompt(&[(0, 9_000)]), 7);
    let instance = console.booted().await;
    console.wait(3_600).await;
    assert_eq!(console.judge().tasks_running, 1);
    console.wait(5_000 + 2_400).await;
    assert_eq!(console.judge().tasks_done, 1);
    assert_eq!(console.mail(&instance, "gone").await.as_deref(), Some("console lost, idle"));

    let mut console = Console::new(prompt(&[]), 7);
    console.booted().await;
    for n in 0..90 {
        console.tracker().renew_lease(&FLEET.into(), &format!("{n}")).await.unwrap();
        console.wait(60).await;
    }
    assert_eq!(console.judge().stopped, 0, "the lease is renewed");
    console.wait(1_500).await;
    assert_eq!(console.judge().stopped, 0, "it is not yet old");
    console.wait(600).await;
    assert_eq!(console.judge().stopped_by_guard, 1);
}

#[tokio::test(start_paused = true)]
async fn a_machine_ends_with_its_life_and_its_task_goes_back_exactly_once() {
    let mut console = Console::new(prompt(&[(0, 9_000)]), 8);
    console.pools.get_mut("train").unwrap().0.max_life = SignedDuration::from_mins(20);
    let instance = console.booted().await;
    console.wait(1_300).await;
    assert_eq!(console.mail(&instance, "gone").await.as_deref(), Some("end of life"));
    let task = console.tasks(TaskStatus::InProgress).await.pop().unwrap();
    let row = console.worker().await.expect("the row of a killed worker stays");
    assert_eq!(row.task.as_ref().unwrap().id, task.id);
    assert_eq!(console.judge().tasks_stranded, 1);
    let (worker, queue) = (task.last_worker.clone().unwrap(), task.queue.clone().unwrap());
    let lost = LostTask { task: task.id, queue, worker: Some(worker), instance, started: task.started };
    let other_worker = LostTask { worker: Some("demo:a10g:g5.xlarge:i-other".into()), ..lost.clone() };
    let other_run = LostTask { started: None, ..lost.clone() };
    for stale in [other_worker, other_run] {
        assert_eq!(console.tracker().requeue_lost(&stale).await, Ok(Requeue::NotNeeded));
    }
    assert_eq!(console.tracker().requeue_lost(&lost).await, Ok(Requeue::Enqueued));
    assert_eq!(console.tracker().requeue_lost(&lost).await, Ok(Requeue::Waits));
    assert_eq!(console.waiting().await, 1);
    console.wait(600).await;
    assert!(console.worker().await.is_none(), "ten minutes after its last report it is forgotten");
}

#[tokio::test(start_paused = true)]
async fn a_task_put_back_under_a_living_agent_interrupts_it_and_is_counted() {
    let mut console = Console::new(prompt(&[(0, 5_000)]), 9);
    let instance = console.booted().await;
    console.wait(60).await;
    let task = console.tasks(TaskStatus::InProgress).await.pop().unwrap();
    let (worker, queue) = (task.last_worker.clone().unwrap(), task.queue.clone().unwrap());
    let lost =
        LostTask { task: task.id.clone(), queue: queue.clone(), worker: Some(worker), instance, started: task.started };
    assert_eq!(console.tracker().enqueue(&task.id, &queue).await, Ok(Requeue::NotNeeded), "it runs");
    assert_eq!(console.tracker().requeue_lost(&lost).await, Ok(Requeue::Enqueued));
    console.wait(20).await;
    let judgement = console.judge();
    assert_eq!((judgement.interrupted_runs, judgement.tasks_running, judgement.tasks_waiting), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_gate_without_its_mailbox_is_closed() {
    let mut console = Console::new(prompt(&[(1_000, 60)]), 10);
    let instance = console.booted().await;
    console.tracker().delete_mailbox(&instance).await.unwrap();
    console.tracker().delete_mailbox(&instance).await.unwrap();
    console.wait(1_100).await;
    assert_eq!(console.waiting().await, 1);
    console.tracker().create_mailbox(&instance).await.unwrap();
    console.wait(80).await;
    assert_eq!(console.judge().tasks_done, 1);
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_cannot_start_its_agent_ends_itself() {
    for spoil in [0, 1] {
        let mut console = Console::new(prompt(&[]), 11);
        let mut order = console.order("train", 1).await;
        match spoil {
            0 => order.agents.token = Secret::new("stolen"),
            _ => order.queues.push("no such queue".into()),
        }
        console.cloud().launch(&order).await.unwrap();
        console.wait(1_500).await;
        assert!(console.worker().await.is_none());
        assert_eq!(console.judge().stopped_by_guard, 1, "{spoil}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_expires() {
    let mut console = Console::new(prompt(&[]), 11);
    let mut order = console.order("train", 1).await;
    order.agents.token = console.tracker().mint_agent_token(SignedDuration::from_mins(1)).await.unwrap();
    console.cloud().launch(&order).await.unwrap();
    console.wait(1_000).await;
    assert_eq!(console.judge().stopped_by_guard, 1);
}

#[tokio::test(start_paused = true)]
async fn without_a_gate_nothing_answers() {
    let mut console = Console::new(prompt(&[(1_000, 60)]), 12);
    console.pools.get_mut("train").unwrap().0.guard = GuardKind::Off;
    let instance = console.booted().await;
    assert!(console.tracker().glance(&FLEET.into()).await.unwrap().mailboxes.is_empty());
    console.tracker().order_drain(&instance, "n").await.unwrap();
    console.wait(1_100).await;
    assert_eq!(console.mail(&instance, "state").await, None);
    assert_eq!(console.judge().tasks_done, 1);
}

#[tokio::test(start_paused = true)]
async fn a_machine_without_a_gate_takes_the_task_that_holds_it_first_and_nothing_else_while_it_sleeps() {
    let mut console = Console::new(prompt(&[(0, 900), (1, 900)]), 16);
    console.pools.get_mut("train").unwrap().0.guard = GuardKind::Hold;
    let instance = console.booted().await;
    console.wait(100).await;
    console.tracker().place_hold(&instance, "n").await.unwrap();
    console.tracker().place_hold(&instance, "n").await.unwrap();
    let queue = console.tracker().glance(&FLEET.into()).await.unwrap().mailboxes.remove(0).queue;
    let holds = async |console: &Console, status| {
        console.tracker().tasks(std::slice::from_ref(&queue), &[status]).await.unwrap()
    };
    assert_eq!(holds(&console, TaskStatus::Queued).await.len(), 1);
    console.wait(900).await;
    let running = holds(&console, TaskStatus::InProgress).await;
    assert_eq!(running.len(), 1);
    let row = console.worker().await.unwrap();
    assert_eq!((&row.id, &row.task.unwrap().id), (running[0].last_worker.as_ref().unwrap(), &running[0].id));
    assert_eq!((console.judge().tasks_done, console.waiting().await), (1, 1), "the next one waits");
    // It is asked to stop, and the agent goes on.
    console.tracker().end_holds(&instance).await.unwrap();
    console.wait(30).await;
    assert!(holds(&console, TaskStatus::InProgress).await.is_empty());
    console.wait(950).await;
    assert_eq!(console.judge().tasks_done, 2);
    // One that nobody ends sleeps out.
    console.tracker().place_hold(&instance, "m").await.unwrap();
    console.wait(60).await;
    assert_eq!(holds(&console, TaskStatus::InProgress).await.len(), 1);
    console.wait(900).await;
    assert!(holds(&console, TaskStatus::InProgress).await.is_empty());
    console.cloud().terminate(crate::sim::driver::REGION, std::slice::from_ref(&instance)).await.unwrap();
    console.tracker().delete_mailbox(&instance).await.unwrap();
    assert_eq!((console.judge().busy_kills, console.judge().tasks_arrived), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn somebody_elses_worker_takes_tasks_too() {
    let foreign = ForeignAgent {
        worker: "lab:gpu0".to_owned(),
        queues: vec!["train".to_owned()],
        comes: SignedDuration::from_secs(100),
    };
    let console = Console::new(Scenario { foreign: vec![foreign], ..prompt(&[(0, 300)]) }, 13);
    console.wait(50).await;
    assert!(console.worker().await.is_none());
    console.wait(60).await;
    assert_eq!(console.worker().await.unwrap().id.as_str(), "lab:gpu0");
    console.wait(400).await;
    assert_eq!((console.judge().tasks_done, console.judge().launched), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn an_agent_asks_its_queues_in_their_order() {
    let mut demand = prompt(&[(0, 5_000), (1, 5_000)]);
    let mut urgent = demand.queues[0].clone();
    urgent.name = "urgent".to_owned();
    demand.queues.push(urgent);
    demand.tasks[1].queue = "urgent".to_owned();
    let mut console = Console::new(demand, 14);
    let mut order = console.order("train", 1).await;
    order.queues = vec!["urgent".into(), "train".into()];
    console.cloud().launch(&order).await.unwrap();
    console.wait(1_000).await;
    let running = console.tasks(TaskStatus::InProgress).await;
    assert_eq!(running.iter().map(|task| task.name.as_str()).collect::<Vec<_>>(), ["task 1"]);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_saves_its_progress_goes_on_from_there() {
    for (checkpoint, done) in [(None, 0), (Some(SignedDuration::from_secs(600)), 1)] {
        let mut console = Console::new(Scenario { checkpoint, ..prompt(&[(0, 2_000)]) }, 15);
        let instance = console.booted().await;
        console.wait(1_500).await;
        let task = console.tasks(TaskStatus::InProgress).await.pop().unwrap();
        let (worker, queue) = (task.last_worker.clone().unwrap(), task.queue.clone().unwrap());
        console.cloud().terminate(crate::sim::driver::REGION, std::slice::from_ref(&instance)).await.unwrap();
        let lost = LostTask { task: task.id, queue, worker: Some(worker), instance, started: task.started };
        console.tracker().requeue_lost(&lost).await.unwrap();
        console.launch("train", 1).await.unwrap();
        console.wait(1_400).await;
        assert_eq!(console.judge().tasks_done, done, "{checkpoint:?}");
    }
}

/// One that runs four agents.
async fn booted_with_four(tasks: &[(i64, i64)], seed: u64) -> (Console, tidegate::model::ids::InstanceId) {
    let mut console = Console::new(prompt(tasks), seed);
    for (pool, _) in console.pools.values_mut() {
        pool.agent.agents_per_machine = 4;
    }
    let instance = console.booted().await;
    (console, instance)
}

#[tokio::test(start_paused = true)]
async fn the_agents_of_a_machine_have_a_name_each_and_a_task_each() {
    let (console, instance) = booted_with_four(&[(0, 900); 5], 12).await;
    let workers = console.tracker().workers(&FLEET.into()).await.unwrap();
    let names: Vec<_> = workers.iter().map(|worker| worker.id.to_string()).collect();
    assert_eq!(names, [1, 2, 3, 4].map(|agent| format!("{FLEET}:a10g:g5.xlarge:{instance}.{agent}")));
    assert_eq!(console.mail(&instance, "agents").await.as_deref(), Some("4"));
    console.wait(60).await;
    assert_eq!((console.judge().tasks_running, console.waiting().await), (4, 1));
}

#[tokio::test(start_paused = true)]
async fn a_machine_acknowledges_a_drain_when_the_last_of_its_agents_has_proved_it() {
    let (console, instance) = booted_with_four(&[(0, 300), (0, 900), (0, 1_200), (1, 60)], 13).await;
    console.wait(60).await;
    console.tracker().order_drain(&instance, "n").await.unwrap();
    for (wait, done) in [(300, 1), (600, 3)] {
        console.wait(wait).await;
        assert_eq!(console.mail(&instance, "state").await, None, "{done} are done");
    }
    // Its guard would end it a minute after its answer.
    for _ in 0..62 {
        console.wait(5).await;
        if console.mail(&instance, "state").await.is_some() {
            break;
        }
    }
    assert_eq!(console.mail(&instance, "state").await.as_deref(), Some("drained:n"));
    assert_eq!(console.judge().tasks_done, 4);
    console.tracker().cancel_drain(&instance).await.unwrap();
    console.wait(21).await;
    assert_eq!(console.mail(&instance, "state").await.as_deref(), Some("run:n"));
    assert_eq!(console.list().await[0].state, CloudState::Running);
    console.tracker().order_drain(&instance, "m").await.unwrap();
    console.wait(100).await;
    assert_eq!(console.mail(&instance, "gone").await.as_deref(), Some("drained"));
}
