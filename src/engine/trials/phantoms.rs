//! Entries of queues that no task waits behind: found by asking for each task once, and again once a minute.

use jiff::SignedDuration;

use super::still::{finish_a_look, still};
use crate::engine::run::Loop;
use crate::engine::seen::example::Fleet;
use crate::model::observed::TaskStatus;

/// A look, `seconds` after the last one. What the queue's entries come to: waiting tasks, phantoms.
async fn look(the_loop: &mut Loop, seconds: i64) -> (usize, usize) {
    the_loop.setup.clock.sleep(SignedDuration::from_secs(seconds)).await;
    the_loop.look();
    finish_a_look(the_loop).await;
    let queue = &the_loop.snapshot.queues[0];
    (queue.waiting.len(), queue.phantoms.len())
}

#[tokio::test(start_paused = true)]
async fn only_tasks_that_are_new_are_asked_for_and_all_of_them_now_and_then() {
    let (mut the_loop, world) = still().await;
    assert_eq!((look(&mut the_loop, 0).await, world.calls("task_facts")), ((1, 0), 1));
    assert_eq!((look(&mut the_loop, 10).await, world.calls("task_facts")), ((1, 0), 1), "known");
    world.facts().waiting.push("p".into());
    world.facts().tasks.push(Fleet::task("p", TaskStatus::InProgress, None));
    assert_eq!((look(&mut the_loop, 10).await, world.calls("task_facts")), ((1, 1), 2), "one is new");
    world.facts().tasks.push(Fleet::task("t0", TaskStatus::Stopped, None));
    assert_eq!((look(&mut the_loop, 10).await, world.calls("task_facts")), ((1, 1), 2));
    assert_eq!((look(&mut the_loop, 180).await, world.calls("task_facts")), ((0, 2), 3), "all are asked again");
    // What ClearML tells as queued anyway is not asked for by id.
    world.facts().tasks.iter_mut().for_each(|task| task.status = TaskStatus::Queued);
    assert_eq!((look(&mut the_loop, 180).await, world.calls("task_facts")), ((2, 0), 3));
}
