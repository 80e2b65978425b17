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
