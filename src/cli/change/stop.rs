//! `stop`: machines without a task end; with `--kill` those with one, too; with `--all` every one.

use clap::Args;

use super::confirm::{Deed, Proof, confirm};
use crate::cli::Place;
use crate::cli::failure::Failure;
use crate::cli::reach::Loop;
use crate::engine::command::Command;
use crate::engine::event::View;
use crate::model::instance::Instance;
use crate::model::snapshot::Ask;

/// End machines that surely have no task
///
/// A machine that may have a task is refused: `drain` lets it finish first, `--kill` ends it with its task, which is
/// then enqueued again by the queue's `on_lost`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Stop {
    /// The machines' ids, as the cloud names them
    #[arg(required_unless_present = "all", value_name = "INSTANCE")]
    instances: Vec<String>,
    /// Emergency stop: end every machine of the fleet, tasks or not, and pause the loop
    #[arg(long, conflicts_with_all = ["instances", "kill"])]
    all: bool,
    /// End them even with a task
    #[arg(long)]
    kill: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Stop {
    pub(in crate::cli) async fn run(&self, place: &Place) -> Result<(), Failure> {
        let mut the_loop = Loop::connect(place).await?;
        let view = the_loop.view().await?;
        let (asks, deeds) = self.decide(&view)?;
        for deed in &deeds {
            confirm(deed, self.yes)?;
        }
        the_loop.order(Command::Ask(asks)).await
    }

    /// What is asked of the loop, and what a person must agree to first.
    fn decide(&self, view: &View) -> Result<(Vec<Ask>, Vec<Deed>), Failure> {
        if self.all {
            return Ok((vec![Ask::StopAll], vec![emergency(view)]));
        }
        let mut asks = Vec::new();
        let mut deeds = Vec::new();
        for id in &self.instances {
            let found =
                view.snapshot.instances.iter().find(|instance| instance.id.as_str() == id && instance.is_there());
            let instance = found.ok_or_else(|| Failure::Usage(format!("there is no machine `{id}` in this fleet")))?;
            if instance.may_have_task() {
                if !self.kill {
                    let task = task(instance);
                    return Err(Failure::Refused(format!(
                        "{id} {task}: `tidegate drain {id}` lets it finish first, --kill ends it with its task"
                    )));
                }
                deeds.push(killing(instance, view));
            }
            asks.push(Ask::Stop { instance: instance.id.clone(), kill: self.kill });
        }
        Ok((asks, deeds))
    }
}

fn task(instance: &Instance) -> String {
    let tasks: Vec<_> = instance.tasks().map(|task| format!("task {} ({})", task.id, task.name)).collect();
    if tasks.is_empty() { "may have a task".to_owned() } else { format!("runs {}", tasks.join(" and ")) }
}

fn killing(instance: &Instance, view: &View) -> Deed {
    let queue = instance.task.as_ref().and_then(|task| task.queue.as_ref()).unwrap_or(&instance.home);
    let after = match view.settings.queue(queue).map(|queue| queue.on_lost) {
        Some(crate::model::settings::OnLost::Requeue(times)) => {
            format!("a killed task is enqueued again, at most {times} times")
        }
        _ => "a killed task is not enqueued again".to_owned(),
    };
    Deed {
        consequence: format!(
            "{} {}; it is ended with {}; {after} (queue.{queue}.on_lost).",
            instance.id,
            task(instance),
            if instance.more_tasks.is_empty() { "it" } else { "them" }
        ),
        proof: Proof::Name(instance.id.to_string()),
    }
}

fn emergency(view: &View) -> Deed {
    let up: Vec<_> = view.snapshot.instances.iter().filter(|instance| instance.is_there()).collect();
    let tasks = up.iter().filter(|instance| instance.may_have_task()).count();
    Deed {
        consequence: format!(
            "Emergency stop of {}: all {} machines are ended, {tasks} of which have or may have a task; {} less; the loop \
             is paused.",
            view.fleet,
            up.len(),
            view.spend.rate
        ),
        proof: Proof::Name(view.fleet.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::view;

    fn stop(instances: &[&str], kill: bool) -> Stop {
        Stop { instances: instances.iter().map(|id| (*id).to_owned()).collect(), all: false, kill, yes: false }
    }

    #[test]
    fn an_idle_drained_machine_needs_no_proof() {
        let (asks, deeds) = stop(&["i-drained"], false).decide(&view()).unwrap();
        assert_eq!(asks, [Ask::Stop { instance: "i-drained".into(), kill: false }]);
        assert_eq!(deeds, []);
    }

    #[test]
    fn a_machine_with_a_task_is_refused_without_kill_and_named_with_it() {
        let view = view();
        for id in ["i-busy", "i-held"] {
            let refused = stop(&[id], false).decide(&view).unwrap_err();
            assert_eq!(refused.code(), 5);
            assert!(refused.to_string().contains(&format!("tidegate drain {id}")), "{refused}");
        }
        let (asks, deeds) = stop(&["i-busy"], true).decide(&view).unwrap();
        assert_eq!(asks, [Ask::Stop { instance: "i-busy".into(), kill: true }]);
        assert_eq!(deeds.len(), 1);
        assert_eq!(deeds[0].proof, Proof::Name("i-busy".to_owned()));
        assert_eq!(
            deeds[0].consequence,
            "i-busy runs task t-1 (train bert); it is ended with it; a killed task is enqueued again, at most 1 times \
             (queue.train.on_lost)."
        );
    }

    #[test]
    fn an_unknown_machine_stops_the_whole_order() {
        assert_eq!(stop(&["i-drained", "i-nope"], true).decide(&view()).unwrap_err().code(), 2);
    }

    #[test]
    fn an_emergency_stop_is_proved_by_the_fleets_name() {
        let all = Stop { instances: Vec::new(), all: true, kill: false, yes: false };
        let (asks, deeds) = all.decide(&view()).unwrap();
        assert_eq!((asks, &deeds[0].proof), (vec![Ask::StopAll], &Proof::Name("lab".to_owned())));
        assert_eq!(
            deeds[0].consequence,
            "Emergency stop of lab: all 4 machines are ended, 2 of which have or may have a task; $65.87/h less; the loop \
             is paused."
        );
    }
}
