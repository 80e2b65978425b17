//! The last plan, step by step: what is done, what is refused, and why.

use super::{Cell, Column, Data, FILL, Row};
use crate::engine::event::View;
use crate::model::ids::Actor;
use crate::model::journal::Subject as Names;
use crate::model::plan::{Plan, Planned, Refusal, Rule};
use crate::model::reason::Reason;
use crate::tui::state::place::Subject;
use crate::tui::theme::Tone;

pub(super) const COLUMNS: [Column; 5] = [
    Column::left("STEP", [0, 8, 8, 8]),
    Column::left("RULE", [7, 7, 8, 8]),
    Column::left("BY", [0, 0, 10, 12]),
    Column::left("WHAT", [FILL, 28, 32, 46]),
    Column::left("WHY", [0, FILL, FILL, FILL]),
];

/// One step of a plan.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step<'a> {
    Act(&'a Planned),
    Refused(&'a Refusal),
}

impl<'a> Step<'a> {
    fn rule(self) -> Rule {
        match self {
            Self::Act(planned) => planned.rule,
            Self::Refused(refusal) => refusal.rule,
        }
    }

    fn by(self) -> &'a Actor {
        match self {
            Self::Act(planned) => &planned.by,
            Self::Refused(refusal) => &refusal.by,
        }
    }

    pub(crate) fn reason(self) -> &'a Reason {
        match self {
            Self::Act(planned) => &planned.reason,
            Self::Refused(refusal) => &refusal.reason,
        }
    }

    /// What would turn a refusal round.
    pub(crate) fn remedy(self, view: &View) -> Option<String> {
        match self {
            Self::Act(_) => None,
            Self::Refused(refusal) => view.remedy(&refusal.reason),
        }
    }

    /// `launch 2 x g5.xlarge in a10g for train`, or `not for queue train, 2 short`.
    pub(crate) fn what(self) -> String {
        match self {
            Self::Act(planned) => planned.action.to_string(),
            Self::Refused(refusal) => {
                let names = [
                    refusal.queue.as_ref().map(|queue| format!("queue {queue}")),
                    refusal.pool.as_ref().map(|pool| format!("pool {pool}")),
                    refusal.instance.as_ref().map(ToString::to_string),
                ];
                let names: Vec<_> = names.into_iter().flatten().collect();
                let short = if refusal.short_of > 0 { format!(", {} short", refusal.short_of) } else { String::new() };
                format!("not for {}{short}", names.join(" "))
            }
        }
    }

    pub(crate) fn word(self) -> (&'static str, Tone) {
        match self {
            Self::Act(_) => ("act", Tone::Good),
            Self::Refused(_) => ("refused", Tone::Warn),
        }
    }

    fn names(self) -> Names {
        match self {
            Self::Act(planned) => planned.action.subject(),
            Self::Refused(refusal) => Names {
                queue: refusal.queue.clone(),
                pool: refusal.pool.clone(),
                instance: refusal.instance.clone(),
                task: None,
            },
        }
    }

    /// The nearest thing that has a page of its own.
    pub(crate) fn subject(self) -> Option<Subject> {
        let Names { queue, pool, instance, task: _ } = self.names();
        instance.map(Subject::Instance).or(queue.map(Subject::Queue)).or(pool.map(Subject::Pool))
    }

    fn is_about(self, subject: &Subject) -> bool {
        let names = self.names();
        match subject {
            Subject::Queue(queue) => names.queue.as_ref() == Some(queue),
            Subject::Pool(pool) => names.pool.as_ref() == Some(pool),
            Subject::Instance(instance) => names.instance.as_ref() == Some(instance),
            Subject::Task(_, task) => names.task.as_ref() == Some(task),
            Subject::Budget(budget) => {
                matches!(self.reason(), Reason::Budget { name, .. } | Reason::OwnerSpent { name, .. } | Reason::Step { name, .. } | Reason::Checkpoint { name, .. }
                    if name == budget)
            }
            _ => false,
        }
    }
}

pub(crate) fn steps(plan: &Plan) -> impl Iterator<Item = Step<'_>> {
    plan.actions.iter().map(Step::Act).chain(plan.refusals.iter().map(Step::Refused))
}

/// The step in this place: actions first, then refusals.
pub(super) fn at(plan: &Plan, at: usize) -> Option<Step<'_>> {
    match plan.actions.get(at) {
        Some(planned) => Some(Step::Act(planned)),
        None => plan.refusals.get(at.checked_sub(plan.actions.len())?).map(Step::Refused),
    }
}

/// The steps that are about something.
pub(crate) fn about<'a>(view: &'a View, subject: &'a Subject) -> impl Iterator<Item = Step<'a>> {
    steps(&view.plan).filter(move |step| step.is_about(subject))
}

pub(super) fn rows(data: &Data<'_>) -> Vec<Row> {
    steps(&data.view.plan)
        .enumerate()
        .map(|(at, step)| {
            let text = format!("{} {} {}", step.word().0, step.rule().word(), step.what());
            Row { subject: Subject::Step(text), at }
        })
        .collect()
}

pub(super) fn cell(data: &Data<'_>, at: usize, column: &str) -> Option<Cell> {
    let step = self::at(&data.view.plan, at)?;
    Some(match column {
        "STEP" => {
            let (word, tone) = step.word();
            Cell::text(word).toned(tone)
        }
        "RULE" => Cell::number(&step.rule().word(), step.rule() as i64),
        "BY" => Cell::text(&step.by()),
        "WHAT" => Cell::text(&step.what()).toned(Tone::Strong),
        _ => match step.remedy(data.view) {
            Some(remedy) => Cell::text(&format!("{}; {remedy}", step.reason())),
            None => Cell::text(&step.reason()),
        },
    })
}
