//! `pool.X.min` machines are kept up whatever waits. Their home is the pool's first queue by priority.

use crate::model::ids::Actor;
use crate::model::plan::Rule;
use crate::model::reason::Reason;
use crate::plan::launch::Want;
use crate::plan::pass::{About, Pass};
use crate::plan::rules::grow;

pub(in crate::plan) fn warm(pass: &mut Pass<'_>) {
    let index = pass.index;
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
        let kept = keep(pass, place, min - up, &reason);
        let count = min - up - kept;
        let by = Actor::the_loop();
        let launched = pass.launch(&Want { rule: Rule::Warm, by: &by, queue, pool: place, count, reason: &reason });
        about.short_of = count - launched.count;
        for reason in launched.refused {
            pass.refuse(Rule::Warm, &about, reason);
        }
    }
}

/// Keeps machines that are only just being let go; says how many.
fn keep(pass: &mut Pass<'_>, pool: usize, count: u32, reason: &Reason) -> u32 {
    let machines = pass.machines.iter().enumerate();
    let kept: Vec<_> = machines
        .filter(|(_, machine)| machine.pool == Some(pool) && grow::may_keep(pass, machine))
        .map(|(place, _)| place)
        .take(usize::try_from(count).unwrap_or(usize::MAX))
        .collect();
    for place in &kept {
        grow::keep(pass, Rule::Warm, *place, reason);
    }
    u32::try_from(kept.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use crate::model::instance::{DrainCause, Phase};
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
            "NOT warm train gpu (2 short): pool.gpu.max is 1: 1 instances used, one more needs 1 instances",
        ]);
        let mut machine = instance("i-1", Phase::Draining);
        machine.drain = Some(drain(DrainCause::Surplus, 9, None));
        warm(1).with(machine).expect(&["warm: cancel the drain of i-1: pool.gpu.min is 1, 0 up"]);
        warm(1)
            .last_heard("clearml", 61)
            .expect(&["NOT warm train gpu (1 short): clearml has not answered for 1m01, more than 1m00"]);
    }
}
