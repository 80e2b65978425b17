//! `pool.X.min` machines are kept up whatever waits. Their home is the pool's first queue by priority.

use crate::model::ids::Actor;
use crate::model::plan::Rule;
use crate::model::reason::Reason;
use crate::model::settings::ladder::Step;
use crate::plan::index::Map;
use crate::plan::launch::Want;
use crate::plan::machine::Machine;
use crate::plan::pass::{About, Pass};
use crate::plan::rules::grow;

pub(in crate::plan) fn warm(pass: &mut Pass<'_>) {
    let index = pass.index;
    let mut retained: Option<Map<usize, Vec<usize>>> = None;
    for (place, pool) in index.pools.iter().enumerate() {
        let (min, up) = (pool.settings.min, pass.demand.supply(place).up);
        let Some(queue) = pool.first.filter(|_| up < min) else { continue };
        let reason = Reason::Warm { pool: pool.settings.name.clone(), min, up };
        let name = index.queues.get(queue).map(|queue| &queue.settings.name);
        let mut about = About { queue: name, pool: Some(&pool.settings.name), instance: None, short_of: min - up };
        if let Some(no) = grow::forbidden(pass) {
            pass.refuse(Rule::Warm, &about, no);
            continue;
        }
        let retained = retained.get_or_insert_with(|| let_go(pass));
        let kept = keep(pass, retained.remove(&place).unwrap_or_default(), min - up, &reason);
        let count = min - up - kept;
        if count == 0 {
            continue;
        }
        let by = Actor::the_loop();
        let (rule, on_demand) = (Rule::Warm, false);
        let launched = pass.launch(&Want { rule, by: &by, queue, pool: place, count, on_demand, reason: &reason });
        about.short_of = count - launched.count;
        for reason in launched.refused {
            pass.refuse(Rule::Warm, &about, reason);
        }
    }
}

/// Machines that are only just being let go, by pool.
fn let_go(pass: &Pass<'_>) -> Map<usize, Vec<usize>> {
    let mut machines: Map<_, Vec<_>> = Map::default();
    for (place, machine) in pass.machines.iter().enumerate() {
        if let Some(pool) = machine.pool.filter(|_| may_keep(pass, machine)) {
            machines.entry(pool).or_default().push(place);
        }
    }
    machines
}

/// A minimum keeps none that a budget wants to go.
fn may_keep(pass: &Pass<'_>, machine: &Machine<'_>) -> bool {
    grow::may_keep(pass, machine) && pass.step_over(machine) < Some(Step::StopIdle)
}

/// Keeps them, as many as are wanted; says how many.
fn keep(pass: &mut Pass<'_>, machines: Vec<usize>, wanted: u32, reason: &Reason) -> u32 {
    let mut kept = 0;
    for machine in machines {
        if kept < wanted {
            grow::keep(pass, Rule::Warm, machine, reason);
            kept += 1;
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use crate::model::instance::{DrainCause, Instance, Phase};
    use crate::plan::example::{World, drain, instance, queue};

    fn warm(min: u32) -> World {
        World::new().waiting("train", 0).set(|settings| settings.pools[0].min = min)
    }

    #[test]
    fn the_minimum_is_kept_up_of_machines_that_work() {
        warm(2).expect(&["warm: launch 2 x g5.xlarge in gpu for train: pool.gpu.min is 2, 0 up"]);
        warm(2)
            .with(instance("i-1", Phase::Busy))
            .intent("gpu", "train")
            .expect(&["NOT shrink gpu: 2 up, pool.gpu.min is 2"]);
        warm(1)
            .with(instance("i-1", Phase::Stopping))
            .expect(&["warm: launch 1 x g5.xlarge in gpu for train: pool.gpu.min is 1, 0 up"]);
        warm(2).waiting("train", 3).expect(&[
            "grow: launch 3 x g5.xlarge in gpu for train: 3 waiting - 0 idle - 0 starting - 0 foreign idle = 3 needed",
        ]);
    }

    #[test]
    fn its_home_is_the_first_queue_that_the_server_has() {
        let world = warm(1).set(|settings| {
            settings.queues = vec![queue("eval", &["gpu"]), queue("train", &["gpu"]), queue("best", &["gpu"])];
            settings.queues[1].priority = 5;
            settings.queues[2].priority = 9;
        });
        world
            .clone()
            .waiting("eval", 0)
            .expect(&["warm: launch 1 x g5.xlarge in gpu for train: pool.gpu.min is 1, 0 up"]);
        warm(1).set(|settings| settings.queues.clear()).expect(&[]);
    }

    #[test]
    fn limits_bind_and_what_is_being_let_go_is_kept() {
        warm(3).set(|settings| settings.pools[0].limits.max = Some(1)).expect(&[
            "warm: launch 1 x g5.xlarge in gpu for train: pool.gpu.min is 3, 0 up",
            "NOT warm train gpu (2 short): pool.gpu.max is 1: 1 instance used, one more needs 1 instance",
        ]);
        let mut machine = instance("i-1", Phase::Draining);
        machine.drain = Some(drain(DrainCause::Surplus, 9, None));
        let other = Instance { id: "i-2".into(), ..machine.clone() };
        warm(1).with(machine.clone()).with(other).expect(&["warm: cancel the drain of i-1: pool.gpu.min is 1, 0 up"]);
        let one_up = |min| warm(min).with(instance("i-0", Phase::Busy));
        let another = Instance { id: "i-2".into(), ..machine.clone() };
        one_up(2)
            .with(machine.clone())
            .with(another)
            .expect(&["warm: cancel the drain of i-1: pool.gpu.min is 2, 1 up"]);
        one_up(3).expect(&["warm: launch 2 x g5.xlarge in gpu for train: pool.gpu.min is 3, 1 up"]);
        one_up(3)
            .last_heard("clearml", 61)
            .expect(&["NOT warm train gpu (2 short): clearml has not answered for 1m01, more than 1m00"]);
        warm(3).with(machine.clone()).set(|settings| settings.pools[0].limits.max = Some(2)).expect(&[
            "warm: cancel the drain of i-1: pool.gpu.min is 3, 0 up",
            "warm: launch 1 x g5.xlarge in gpu for train: pool.gpu.min is 3, 0 up",
            "NOT warm train gpu (1 short): pool.gpu.max is 2: 2 instances used, one more needs 1 instance",
        ]);
        warm(1).with(machine).expect(&["warm: cancel the drain of i-1: pool.gpu.min is 1, 0 up"]);
        warm(1)
            .last_heard("clearml", 61)
            .expect(&["NOT warm train gpu (1 short): clearml has not answered for 1m01, more than 1m00"]);
    }
}
