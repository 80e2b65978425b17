//! Other autoscalers on our queues: workers that are named as an autoscaler names them, and are not of our fleet. A
//! machine that was brought over tells nothing of the autoscaler that once made it.

use std::collections::BTreeMap;

use crate::engine::seen::facts::Facts;
use crate::engine::seen::sight::is_fresh;
use crate::model::ids::{QueueName, WorkerName};
use crate::model::settings::Settings;

/// Each with the queues of ours that its machines serve: `dynamic_worker on train`.
#[must_use]
pub(in crate::engine) fn rivals(facts: &Facts, settings: &Settings) -> Vec<String> {
    let mut rivals: BTreeMap<String, Vec<&QueueName>> = BTreeMap::new();
    for worker in facts.workers.iter().filter(|worker| is_fresh(worker, facts)) {
        let ours = |name: &WorkerName| {
            let machine = facts.machines.get(&name.instance);
            name.fleet == settings.the_loop.fleet || machine.is_some_and(|machine| machine.tags.brought_over)
        };
        let named = WorkerName::parse(&worker.id).filter(|name| !ours(name));
        let Some(name) = named else { continue };
        let ours = facts.queues.iter().filter(|queue| worker.queues.contains(&queue.id));
        for queue in ours.map(|queue| &queue.name).filter(|queue| settings.queue(queue).is_some()) {
            let queues = rivals.entry(name.fleet.to_string()).or_default();
            if !queues.contains(&queue) {
                queues.push(queue);
            }
        }
    }
    let told = |(name, queues): (String, Vec<&QueueName>)| {
        let queues: Vec<&str> = queues.into_iter().map(QueueName::as_str).collect();
        format!("{name} on {}", queues.join(", "))
    };
    rivals.into_iter().map(told).collect()
}

#[cfg(test)]
mod tests {
    use crate::engine::seen::example::Fleet;
    use crate::model::observed::{CloudState, ObservedWorker};

    use super::*;

    #[test]
    fn another_autoscaler_on_our_queues_is_named_and_a_worker_of_a_person_is_not() {
        let mut fleet = Fleet::new().machine("i-1", CloudState::Running, 30).known().worker(None);
        fleet.live(0);
        assert!(rivals(&fleet.facts, &fleet.settings).is_empty());
        let ours = fleet.facts.workers[0].clone();
        let mut add = |id: &str, worker: &ObservedWorker| {
            fleet.facts.workers.push(ObservedWorker { id: id.into(), ..worker.clone() });
        };
        add("dynamic_worker:g5:g5.xlarge:i-7", &ours);
        add("dynamic_worker:g5:g5.xlarge:i-8", &ours);
        add("workstation:gpu0", &ours);
        add("elsewhere:g5:g5.xlarge:i-9", &ObservedWorker { queues: vec!["q-other".into()], ..ours.clone() });
        assert_eq!(rivals(&fleet.facts, &fleet.settings), ["dynamic_worker on train"]);
    }
}
