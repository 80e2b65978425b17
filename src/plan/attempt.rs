//! What is to be done about a try at a task on a cluster, by what the cluster shows of its Job and ClearML of its task. Pure.
//! No task is lost: one whose Job is gone goes back to its queue, or is ended with a reason; and none has two Jobs: its
//! attempt stands until that is done.

use jiff::{SignedDuration, Timestamp};

/// A task that is about to end does so within seconds of its Job: that is waited for.
const SETTLES: SignedDuration = SignedDuration::from_secs(15);

/// A pod whose task is over for so long hangs.
const HANGS: SignedDuration = SignedDuration::from_mins(5);

/// A pod that waits while its task has run for so long is another than the one that began it: that one is gone. It is longer
/// than what is watched may be behind.
const REPLACED: SignedDuration = SignedDuration::from_mins(5);

/// A task that never began goes back so often, whatever the rule of its queue for those that ran.
const NEVER_BEGUN: u32 = 3;

/// How the cluster shows the attempt's Job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// Not, and it is not proved that it is gone.
    Unseen,
    /// It waits for us.
    Held,
    /// Its pod does not run yet.
    Pending,
    Running,
    /// It is being deleted.
    Ending,
    /// It has ended, or is gone: nothing of it runs, or will. Since when, where that is known.
    Over(Option<Timestamp>),
}

/// How ClearML shows its task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// It waits in the queue that it came from.
    WaitsInQueue,
    /// It waits for its pod.
    WaitsForPod,
    Runs,
    /// We stopped it since its pod was lost, and did not come to put it back.
    StoppedByUs,
    /// It is done, or a person took it away. Since when, where that is known.
    Over(Option<Timestamp>),
}

/// All that is known of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Something is done about it right now, or what is seen of it is older than that.
    pub calling: bool,
    pub opened: Timestamp,
    pub job: Job,
    /// `None`: ClearML was not asked since it was opened.
    pub task: Option<Task>,
    /// Since when the task runs, where it does.
    pub began: Option<Timestamp>,
    /// When ClearML was asked.
    pub asked: Timestamp,
    /// How often the task was put back already.
    pub put_back: u32,
    /// How often the rule of its queue lets one be put back that ran.
    pub allowed: u32,
    /// How long its pod may wait; `None`: for as long as it takes.
    pub patience: Option<SignedDuration>,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Wait,
    /// Its task was taken: let its Job go.
    Carry,
    /// Its task was not taken, and something of what it needs may be missing: delete its Job, unless that was let go
    /// meanwhile. Another attempt is made.
    Withdraw,
    /// Delete its Job: its task waits for it no more.
    Cancel,
    /// Delete its Job: the pod that ran its task is gone, and the cluster has made another, which the task waits for no more.
    Replaced,
    /// Delete its Job: its pod has waited for as long as it may.
    TimeOut,
    /// Put its task back into its queue, for the so-manieth time.
    PutBack(u32),
    /// It was put back often enough: end its task with the reason.
    GiveUp,
    /// Nothing is open any more.
    Settle,
}

/// What is to be done about it at `now`.
#[must_use]
pub fn next(seen: &Seen, now: Timestamp) -> Step {
    let Some(task) = seen.task.filter(|_| !seen.calling) else { return Step::Wait };
    match (seen.job, task) {
        (Job::Pending, Task::WaitsForPod)
            if seen.patience.is_some_and(|most| now.duration_since(seen.opened) >= most) =>
        {
            Step::TimeOut
        }
        (Job::Pending, Task::Runs) if seen.began.is_some_and(|began| now.duration_since(began) >= REPLACED) => {
            Step::Replaced
        }
        (Job::Unseen | Job::Ending, _) | (Job::Pending | Job::Running, Task::WaitsForPod | Task::Runs) => Step::Wait,
        (Job::Held, Task::WaitsForPod) => Step::Carry,
        (Job::Held, _) => Step::Withdraw,
        (Job::Pending, Task::Over(_)) | (Job::Pending | Job::Running, Task::WaitsInQueue | Task::StoppedByUs) => {
            Step::Cancel
        }
        (Job::Running, Task::Over(since)) => {
            let hangs = since.is_some_and(|since| now.duration_since(since) >= HANGS);
            if hangs { Step::Cancel } else { Step::Wait }
        }
        (Job::Over(_), Task::WaitsInQueue | Task::Over(_)) => Step::Settle,
        (Job::Over(since), Task::WaitsForPod | Task::Runs)
            if seen.asked.duration_since(since.unwrap_or(seen.opened)) < SETTLES =>
        {
            Step::Wait
        }
        (Job::Over(_), Task::StoppedByUs) => Step::PutBack(seen.put_back.saturating_add(1)),
        (Job::Over(_), Task::Runs) => again(seen, seen.allowed),
        (Job::Over(_), Task::WaitsForPod) => again(seen, seen.allowed.max(NEVER_BEGUN)),
    }
}

fn again(seen: &Seen, allowed: u32) -> Step {
    if seen.put_back < allowed { Step::PutBack(seen.put_back.saturating_add(1)) } else { Step::GiveUp }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn seen(job: Job, task: Task) -> Seen {
        Seen {
            calling: false,
            opened: at(0),
            job,
            task: Some(task),
            began: None,
            asked: at(100),
            put_back: 0,
            allowed: 1,
            patience: None,
        }
    }

    #[test]
    fn each_state_has_its_step() {
        for (job, task, step) in [
            (Job::Held, Task::WaitsInQueue, Step::Withdraw),
            (Job::Held, Task::WaitsForPod, Step::Carry),
            (Job::Held, Task::Over(None), Step::Withdraw),
            (Job::Held, Task::Runs, Step::Withdraw),
            (Job::Pending, Task::WaitsForPod, Step::Wait),
            (Job::Pending, Task::Over(None), Step::Cancel),
            (Job::Pending, Task::WaitsInQueue, Step::Cancel),
            (Job::Running, Task::Runs, Step::Wait),
            (Job::Running, Task::WaitsForPod, Step::Wait),
            (Job::Running, Task::Over(Some(at(0))), Step::Wait),
            (Job::Running, Task::Over(Some(at(-300))), Step::Cancel),
            (Job::Ending, Task::Runs, Step::Wait),
            (Job::Unseen, Task::Runs, Step::Wait),
            (Job::Over(Some(at(90))), Task::Runs, Step::Wait),
            (Job::Over(Some(at(80))), Task::Runs, Step::PutBack(1)),
            (Job::Over(None), Task::WaitsForPod, Step::PutBack(1)),
            (Job::Over(None), Task::StoppedByUs, Step::PutBack(1)),
            (Job::Over(None), Task::Over(None), Step::Settle),
            (Job::Over(None), Task::WaitsInQueue, Step::Settle),
        ] {
            assert_eq!(next(&seen(job, task), at(100)), step, "{job:?} {task:?}");
        }
    }

    #[test]
    fn a_task_is_put_back_as_often_as_allowed_and_one_that_never_began_some_times_more() {
        for (task, allowed, put_back, step) in [
            (Task::Runs, 0, 0, Step::GiveUp),
            (Task::Runs, 2, 1, Step::PutBack(2)),
            (Task::Runs, 2, 2, Step::GiveUp),
            (Task::WaitsForPod, 0, 2, Step::PutBack(3)),
            (Task::WaitsForPod, 0, 3, Step::GiveUp),
        ] {
            let seen = Seen { put_back, allowed, ..seen(Job::Over(None), task) };
            assert_eq!(next(&seen, at(100)), step, "{task:?} {allowed} {put_back}");
        }
    }

    #[test]
    fn a_pod_waits_for_as_long_as_it_may() {
        for (job, task, patience, step) in [
            (Job::Pending, Task::WaitsForPod, Some(100), Step::TimeOut),
            (Job::Pending, Task::WaitsForPod, Some(101), Step::Wait),
            (Job::Pending, Task::WaitsForPod, None, Step::Wait),
            (Job::Pending, Task::Runs, Some(1), Step::Wait),
            (Job::Running, Task::WaitsForPod, Some(1), Step::Wait),
        ] {
            let seen = Seen { patience: patience.map(SignedDuration::from_secs), ..seen(job, task) };
            assert_eq!(next(&seen, at(100)), step, "{job:?} {task:?} {patience:?}");
        }
    }

    #[test]
    fn a_pod_that_waits_while_its_task_runs_is_not_the_one_that_began_it() {
        for (job, began, step) in [
            (Job::Pending, Some(101), Step::Wait),
            (Job::Pending, Some(100), Step::Replaced),
            (Job::Pending, None, Step::Wait),
            (Job::Running, Some(0), Step::Wait),
        ] {
            let seen = Seen { began: began.map(at), ..seen(job, Task::Runs) };
            assert_eq!(next(&seen, at(400)), step, "{job:?} {began:?}");
        }
    }

    fn any_seen() -> impl Strategy<Value = Seen> {
        let time = prop::option::of((-1_000_i64..1_000).prop_map(at));
        let job = prop_oneof![
            Just(Job::Unseen),
            Just(Job::Held),
            Just(Job::Pending),
            Just(Job::Running),
            Just(Job::Ending),
            time.clone().prop_map(Job::Over)
        ];
        let task = prop_oneof![
            Just(Task::WaitsInQueue),
            Just(Task::WaitsForPod),
            Just(Task::Runs),
            Just(Task::StoppedByUs),
            time.prop_map(Task::Over)
        ];
        let patience = prop::option::of((1_i64..1_000).prop_map(SignedDuration::from_secs));
        let counts = (0_u32..5, 0_u32..5, patience, prop::option::of((-1_000_i64..1_000).prop_map(at)));
        (any::<bool>(), -1_000_i64..1_000, job, prop::option::of(task), -1_000_i64..1_000, counts).prop_map(
            |(calling, opened, job, task, asked, (put_back, allowed, patience, began))| Seen {
                calling,
                opened: at(opened),
                job,
                task,
                began,
                asked: at(asked),
                put_back,
                allowed,
                patience,
            },
        )
    }

    proptest! {
        /// Whatever is seen: a task is changed only while no pod of it can run, an attempt is settled only when its task
        /// needs nobody, and nothing is done on what is not known.
        #[test]
        fn no_task_is_lost_and_none_has_two_pods(seen in any_seen(), now in -1_000_i64..1_000) {
            let over = matches!(seen.job, Job::Over(_));
            match next(&seen, at(now)) {
                Step::Wait => {}
                Step::Carry | Step::Withdraw => prop_assert!(seen.job == Job::Held && !seen.calling),
                Step::Cancel => {
                    prop_assert!(!over && !seen.calling);
                    let waits_or_runs = matches!(seen.task, Some(Task::WaitsForPod | Task::Runs));
                    prop_assert!(!waits_or_runs);
                }
                Step::Replaced => prop_assert!(seen.job == Job::Pending && seen.task == Some(Task::Runs)),
                Step::TimeOut => prop_assert!(
                    seen.job == Job::Pending && seen.task == Some(Task::WaitsForPod) && seen.patience.is_some()
                ),
                Step::PutBack(times) => prop_assert!(over && times == seen.put_back + 1),
                Step::GiveUp => prop_assert!(over && seen.put_back >= seen.allowed),
                Step::Settle => {
                    prop_assert!(over && matches!(seen.task, Some(Task::WaitsInQueue | Task::Over(_))));
                }
            }
            if seen.calling || seen.task.is_none() || seen.job == Job::Unseen {
                prop_assert_eq!(next(&seen, at(now)), Step::Wait);
            }
        }

        /// What is over and known is brought to an end: nothing is waited for for ever.
        #[test]
        fn every_job_that_is_over_leads_to_a_step(seen in any_seen()) {
            let late = Seen { asked: at(100_000), calling: false, ..seen };
            if matches!(late.job, Job::Over(_)) && late.task.is_some() {
                prop_assert_ne!(next(&late, at(100_000)), Step::Wait);
            }
        }
    }
}
