//! Machines of which nothing is heard: no worker registered in `pool.X.max_boot`, or one that shows no task has been
//! silent for `pool.X.max_silence`. They are drained first, so that none can take a task at the last moment, and stopped
//! once the order has surely been read or there is nobody to read it. A silent machine that may have a task is a
//! person's matter: silence is no proof of anything. So it is with a machine some of whose agents are silent: no answer to
//! its drain can come, for that is of all of them; where one stands for whatever reason, the same proof ends it.

use jiff::SignedDuration;

use crate::model::instance::{DrainCause, Fault};
use crate::model::plan::{Action, Rule};
use crate::model::reason::Reason;
use crate::plan::index::Index;
use crate::plan::machine::{Machine, Order, State};
use crate::plan::pass::{About, Pass};

/// A gate reads its mailbox every 15 s and takes nothing after it read the order. A worker that was not there when
/// ClearML was asked this long after the order came too late for any task.
const PROOF: SignedDuration = SignedDuration::from_secs(60);

/// A task that was pulled just before the order is in progress by its status within seconds, and the loop asks for those
/// once a minute; one that was lost on the way lies in no queue, and is put back after a minute and a half.
const PROOF_OF_NO_TASK: SignedDuration = SignedDuration::from_mins(3);

pub(in crate::plan) fn end(pass: &mut Pass<'_>) {
    for place in 0..pass.machines.len() {
        let Some(machine) = pass.machines.get(place) else { continue };
        let Some(case) = case(pass.index, machine) else { continue };
        let decision = decide(pass, machine, &case);
        let id = &machine.seen.id;
        match decision {
            Decision::Wait => {}
            Decision::Refuse(reason) => pass.refuse(case.rule, &About::instance(id), reason),
            Decision::Act(action) => {
                if let Some(machine) = pass.machines.get_mut(place) {
                    match action {
                        Action::Stop { .. } => machine.stopped = true,
                        _ => machine.order_drain(),
                    }
                }
                pass.act(case.rule, action, case.reason);
            }
        }
    }
}

/// Why a machine is to end, and what proves that it may.
struct Case {
    rule: Rule,
    cause: DrainCause,
    fault: Fault,
    reason: Reason,
    proof: SignedDuration,
}

enum Decision {
    Act(Action),
    Refuse(Reason),
    /// The order is given and not yet proved.
    Wait,
}

fn case(index: &Index<'_>, machine: &Machine<'_>) -> Option<Case> {
    let (seen, pool) = (machine.seen, index.pools.get(machine.pool?)?.settings);
    if machine.acknowledged {
        return None;
    }
    if machine.state() == State::Draining && machine.partly_silent {
        let missing = seen.agents.all.saturating_sub(seen.agents.present);
        let silent = seen.agents.missing_since.map(|since| index.now.duration_since(since)).unwrap_or_default();
        let reason = Reason::PartlySilent { missing, all: seen.agents.all, silent, max_silence: pool.max_silence };
        let (rule, cause, fault) = (Rule::Silent, DrainCause::Silent, Fault::AgentsMissing);
        return Some(Case { rule, cause, fault, reason, proof: PROOF_OF_NO_TASK });
    }
    if machine.state() != State::Faulty {
        return None;
    }
    if machine.overdue && matches!(seen.fault, None | Some(Fault::Stuck)) && !machine.may_have_task() {
        let reason = Reason::NeverRegistered { age: seen.age(index.now), max_boot: pool.max_boot };
        let (rule, cause, fault) = (Rule::Stuck, DrainCause::Stuck, Fault::Stuck);
        return Some(Case { rule, cause, fault, reason, proof: PROOF });
    }
    let silent = index.now.duration_since(seen.silent_since.filter(|_| machine.silent)?);
    let reason = Reason::Silent { silent, max_silence: pool.max_silence };
    let (rule, cause, fault) = (Rule::Silent, DrainCause::Silent, Fault::Lost);
    Some(Case { rule, cause, fault, reason, proof: PROOF_OF_NO_TASK })
}

fn decide(pass: &Pass<'_>, machine: &Machine<'_>, case: &Case) -> Decision {
    let (index, seen) = (pass.index, machine.seen);
    if let Some(stale) = index.stale_clearml().or_else(|| index.stale_region(seen.provider, &seen.region)) {
        return Decision::Refuse(stale);
    }
    if let Some(held) = machine.held() {
        return Decision::Refuse(held);
    }
    if machine.no_guard(index).is_some() {
        return Decision::Refuse(Reason::Faulty { instance: seen.id.clone(), fault: case.fault });
    }
    if machine.order != Order::Standing {
        return Decision::Act(Action::Drain { instance: seen.id.clone(), cause: case.cause });
    }
    let ordered = machine.standing().map(|drain| drain.ordered);
    let proved =
        ordered.zip(index.clearml_seen()).is_some_and(|(ordered, looked)| looked.duration_since(ordered) >= case.proof);
    if proved { Decision::Act(Action::Stop { instance: seen.id.clone(), kill: false }) } else { Decision::Wait }
}

#[cfg(test)]
mod tests {
    use crate::model::instance::{Agents, DrainCause, Fault, Instance, Phase};
    use crate::model::settings::{Budget, BudgetScope, GuardKind, Ladder};
    use crate::plan::example::{World, ago, budget, drain, hold, instance};

    fn machine(age: i64, drain_age: Option<i64>) -> Instance {
        let mut machine = instance("i-1", Phase::Booting);
        machine.launched = ago(age);
        machine.drain = drain_age.map(|age| drain(DrainCause::Stuck, age, None));
        machine
    }

    #[test]
    fn a_machine_without_a_worker_is_drained_then_stopped_once_that_is_proved() {
        let why = "no worker 15m01 after its launch, max_boot is 15m00";
        let cooling = "NOT shrink gpu: 1 more than needed for 0s; one is drained at 10m00";
        for (age, drain_age, told) in [
            (900, None, cooling.to_owned()),
            (901, None, format!("stuck: drain i-1: {why}")),
            (901, Some(64), String::new()),
            (901, Some(65), format!("stuck: stop i-1: {why}")),
        ] {
            let told: Vec<_> = [told.as_str()].into_iter().filter(|told| !told.is_empty()).collect();
            // ClearML was asked 5 s ago: only what it said a minute after the order proves anything.
            World::new().with(machine(age, drain_age)).expect(&told);
        }
    }

    fn silent(seconds: i64, drain_age: Option<i64>) -> Instance {
        let mut machine = instance("i-1", Phase::Idle);
        (machine.fault, machine.silent_since) = (Some(Fault::Lost), Some(ago(seconds)));
        machine.launched = ago(9_000);
        machine.drain = drain_age.map(|age| drain(DrainCause::Silent, age, None));
        machine
    }

    /// FAILURES.md row 14.
    #[test]
    fn a_silent_machine_without_a_task_is_drained_then_stopped_once_it_surely_has_none() {
        let why = "silent for 30m00, max_silence is 30m00; no task in progress names it";
        let person = "NOT shrink i-1: i-1 is lost and may have a task: a person decides";
        for (seconds, drain_age, told) in [
            (1_799, None, person.to_owned()),
            (1_800, None, format!("silent: drain i-1: {why}")),
            (1_800, Some(184), String::new()),
            (1_800, Some(185), format!("silent: stop i-1: {why}")),
        ] {
            let told: Vec<_> = [told.as_str()].into_iter().filter(|told| !told.is_empty()).collect();
            World::new().with(silent(seconds, drain_age)).expect(&told);
        }
        let mut busy = silent(9_000, Some(900));
        busy.task = instance("i-1", Phase::Busy).task;
        World::new().with(busy).expect(&[person]);
        let mut heard = silent(9_000, Some(900));
        heard.fault = None;
        World::new().with(heard).expect(&[]);
        World::new()
            .with(silent(9_000, Some(900)))
            .last_heard("clearml", 61)
            .expect(&["NOT silent i-1: clearml has not answered for 1m01, more than 1m00"]);
        World::new()
            .with(silent(9_000, None))
            .set(|settings| settings.pools[0].guard = GuardKind::Off)
            .expect(&["NOT silent i-1: i-1 is lost and may have a task: a person decides"]);
    }

    /// No answer to its drain can come while one of its agents hangs.
    #[test]
    fn a_machine_some_of_whose_agents_are_silent_is_stopped_once_drained_for_long_without_a_task() {
        let with = |silent, drain_age: Option<i64>| {
            let mut machine = instance("i-1", Phase::Idle);
            (machine.launched, machine.agents) = (ago(9_000), Agents::whole(4));
            (machine.agents.present, machine.agents.missing_since) = (3, Some(ago(silent)));
            machine.drain = drain_age.map(|age| drain(DrainCause::Surplus, age, None));
            machine
        };
        let why = "1 of 4 agents silent for 30m00, max_silence is 30m00; no task in progress names them";
        let stop = format!("silent: stop i-1: {why}");
        World::new().with(with(1_800, Some(185))).expect(&[&stop]);
        World::new().with(with(1_800, Some(184))).expect(&[]);
        World::new().with(with(1_799, Some(900))).expect(&[]);
        let none = World::new().with(with(9_000, None)).plan();
        assert!(none.actions.is_empty(), "it is wanted: three of its agents work");
        let mut busy = with(9_000, Some(900));
        busy.task = instance("i-1", Phase::Busy).task;
        World::new().with(busy).expect(&[]);
        let mut half = with(1_800, Some(185));
        half.fault = Some(Fault::AgentsMissing);
        World::new().with(half).expect(&[&stop]);
        // What is stopped is not drained once more because a budget's step says so.
        let mut spent = World::new().with(with(1_800, Some(185))).set(|settings| {
            let steps = [("100%".to_owned(), "kill after 1h".to_owned())].into_iter().collect();
            let (at, already_spent) = (Ladder::read(&steps).unwrap(), "$1".parse().unwrap());
            settings.budgets = vec![Budget { already_spent, at, ..budget("day", BudgetScope::All, "$1") }];
        });
        spent.ledger.whole_since = Some(ago(60));
        spent.expect(&[&stop]);
    }

    #[test]
    fn any_order_that_stands_will_do() {
        let mut machine = machine(901, Some(70));
        machine.drain = Some(drain(DrainCause::Surplus, 70, None));
        assert_eq!(World::new().with(machine.clone()).plan().actions[0].action.to_string(), "stop i-1");
        machine.drain.as_mut().unwrap().cancelled = true;
        assert_eq!(World::new().with(machine).plan().actions[0].action.to_string(), "drain i-1");
    }

    #[test]
    fn what_registered_late_is_left_to_its_drain() {
        let mut machine = machine(2_000, Some(500));
        (machine.registered, machine.phase) = (true, Phase::Draining);
        World::new().with(machine).expect(&[]);
    }

    #[test]
    fn what_forbids_it_is_said() {
        let world = |drain| World::new().with(machine(901, drain));
        world(Some(900))
            .last_heard("clearml", 61)
            .expect(&["NOT stuck i-1: clearml has not answered for 1m01, more than 1m00"]);
        world(None)
            .last_heard("aws us-east-1", 61)
            .expect(&["NOT stuck i-1: aws us-east-1 has not answered for 1m01, more than 1m00"]);
        world(None)
            .set(|settings| settings.pools[0].guard = GuardKind::Off)
            .expect(&["NOT stuck i-1: i-1 is stuck and may have a task: a person decides"]);
        let mut held = machine(901, None);
        held.hold = Some(hold(3_600));
        World::new().with(held).expect(&["NOT stuck i-1: held by ann until 2026-11-02 09:00Z: profiling"]);
    }

    #[test]
    fn another_fault_is_a_person_s_matter() {
        let mut machine = machine(901, Some(70));
        machine.fault = Some(Fault::Interrupted);
        World::new().with(machine).expect(&[]);
    }
}
