//! `plan`: what the last pass decided, item by item, each with its reason.

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Form, clock, tell, view};
use crate::cli::Place;
use crate::cli::failure::Failure;
use crate::cli::table::{Side, plain, table};
use crate::engine::event::View;
use crate::model::journal::Subject;
use crate::model::plan::{Planned, Refusal};
use crate::model::reason::Reason;

/// Show what the loop decided in its last pass, and what it refused to do, with reasons
///
/// In a dry run, and while the loop is paused, this is what it would do.
#[derive(Debug, Args)]
pub(in crate::cli) struct PlanCommand {
    #[command(flatten)]
    form: Form,
}

impl PlanCommand {
    pub(in crate::cli) async fn run(&self, place: &Place) -> Result<(), Failure> {
        let view = view(place).await?;
        tell(&self.form, &view, "plan", &steps(&view), &text(&view))
    }
}

/// A line of `plan --json`.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::cli) struct Step {
    /// `false`: wanted, and refused.
    act: bool,
    rule: &'static str,
    by: String,
    /// The action in words; absent where it was refused.
    action: Option<String>,
    subject: Subject,
    /// How many machines were wanted and not started.
    short_of: u32,
    /// In words, with the numbers that decided.
    reason: String,
    /// What would turn a refusal round.
    remedy: Option<String>,
    /// The reason as data.
    numbers: Reason,
}

pub(super) fn steps(view: &View) -> Vec<Step> {
    let acts = view.plan.actions.iter().map(of_action);
    acts.chain(view.plan.refusals.iter().map(|refusal| of_refusal(view, refusal))).collect()
}

fn of_action(planned: &Planned) -> Step {
    Step {
        act: true,
        rule: planned.rule.word(),
        by: planned.by.to_string(),
        action: Some(planned.action.to_string()),
        subject: planned.action.subject(),
        short_of: 0,
        reason: planned.reason.to_string(),
        remedy: None,
        numbers: planned.reason.clone(),
    }
}

fn of_refusal(view: &View, refusal: &Refusal) -> Step {
    Step {
        act: false,
        rule: refusal.rule.word(),
        by: refusal.by.to_string(),
        action: None,
        subject: Subject {
            queue: refusal.queue.clone(),
            pool: refusal.pool.clone(),
            instance: refusal.instance.clone(),
            task: None,
        },
        short_of: refusal.short_of,
        reason: refusal.reason.to_string(),
        remedy: view.remedy(&refusal.reason),
        numbers: refusal.reason.clone(),
    }
}

impl Step {
    /// Whether it is about this queue, pool or machine.
    pub(super) fn is_about(&self, name: &str) -> bool {
        let Subject { queue, pool, instance, task: _ } = &self.subject;
        let names =
            [queue.as_ref().map(AsRef::as_ref), pool.as_ref().map(AsRef::as_ref), instance.as_ref().map(AsRef::as_ref)];
        names.contains(&Some(name))
    }

    /// `launch 2 x g5.xlarge in a10g for train`, or `no launch for train: 2 short`.
    fn what(&self) -> String {
        if let Some(action) = &self.action {
            return action.clone();
        }
        let Subject { queue, pool, instance, task: _ } = &self.subject;
        let names = [
            queue.as_ref().map(|queue| format!("queue {queue}")),
            pool.as_ref().map(|pool| format!("pool {pool}")),
            instance.as_ref().map(ToString::to_string),
        ];
        let names: Vec<_> = names.into_iter().flatten().collect();
        let short = if self.short_of > 0 { format!(", {} short", self.short_of) } else { String::new() };
        format!("not for {}{short}", names.join(" "))
    }

    fn why(&self) -> String {
        self.remedy.as_ref().map_or_else(|| self.reason.clone(), |remedy| format!("{}; {remedy}", self.reason))
    }
}

pub(super) fn text(view: &View) -> String {
    let steps = steps(view);
    let acts = view.mode.armed && !view.mode.paused;
    let head = format!(
        "{}: plan of {}, settings {}{}\n",
        view.mode.word(),
        clock(view.plan.at),
        plain(view.plan.revision.as_str()),
        if acts { "" } else { ": nothing of it is done" }
    );
    if steps.is_empty() {
        return format!("{head}nothing to do, nothing refused\n");
    }
    format!("{head}\n{}", lines(steps.iter()))
}

/// The steps as a table.
pub(super) fn lines<'a>(steps: impl Iterator<Item = &'a Step>) -> String {
    let head = [("", Side::Left), ("RULE", Side::Left), ("BY", Side::Left), ("WHAT", Side::Left), ("WHY", Side::Left)];
    let rows: Vec<_> = steps
        .map(|step| {
            let mark = if step.act { "act" } else { "refused" };
            [mark.to_owned(), step.rule.to_owned(), step.by.clone(), step.what(), step.why()]
        })
        .collect();
    table(head, &rows)
}
