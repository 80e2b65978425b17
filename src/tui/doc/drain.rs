//! How far a drain has come: how much of it is over, what it waits for, by when it ends at the latest, and how it is taken back.

use jiff::{SignedDuration, Timestamp};

use super::{Line, wrapped};
use crate::engine::event::View;
use crate::model::instance::{Instance, RunningTask};
use crate::model::progress::{Progress, Waits};
use crate::tui::commands::{Id, Keymap};
use crate::tui::theme::Tone;
use crate::tui::words::{plural, short, time_or_day};

/// The bar is so many cells long, where there is room beside it for what the rest is told by.
const CELLS: usize = 20;
const NARROW: usize = 100;

/// None where the machine is not drained.
pub(crate) fn lines(instance: &Instance, view: &View, keys: &Keymap, width: usize, now: Timestamp) -> Vec<Line> {
    let (Some(progress), Some(drain)) = (view.progress(instance, now), &instance.drain) else { return Vec::new() };
    let zone = &view.settings.the_loop.time_zone;
    let mut lines = vec![bar(&progress, width, now)];
    let ordered = time_or_day(drain.ordered, now, zone);
    let head = format!("ordered by {} at {ordered}, {} ago", drain.by, short(now.duration_since(drain.ordered)));
    lines.extend(wrapped(&format!("{head}; {}", waits(&progress, instance, now)), Tone::Plain, width));
    let latest = progress.deadline.as_ref().map(|deadline| {
        let (at, left) = (time_or_day(deadline.at, now, zone), short(deadline.at.duration_since(now)));
        format!("ends by {at} at the latest, in {left}: {}", deadline.by)
    });
    let is_open = !drain.cancelled && progress.waits != Waits::Cloud;
    let back = is_open.then(|| format!("{} takes it back", keys.first(Id::CancelDrain)));
    let rest: Vec<_> = latest.into_iter().chain(back).collect();
    if !rest.is_empty() {
        lines.extend(wrapped(&rest.join("; "), Tone::Plain, width));
    }
    lines
}

/// `drain ████████░░░░░░░░░░░░ 40%, about 12m03 left (p50 of 34 tasks)`
fn bar(progress: &Progress, width: usize, now: Timestamp) -> Line {
    let head = Line::of("drain ", Tone::Strong);
    let (Some(percent), Some(left)) = (progress.percent(now), &progress.left) else {
        return head.and(step(progress.waits), Tone::Warn);
    };
    let cells = if width < NARROW { CELLS / 2 } else { CELLS };
    let full = cells * usize::from(percent) / 100;
    head.and("█".repeat(full), Tone::Warn)
        .and("░".repeat(cells - full), Tone::Dim)
        .and(format!(" {percent}%, about {} left ({})", short(left.left), left.by), Tone::Plain)
}

/// Where it stands while nobody can tell how much of it is over.
fn step(waits: Waits) -> &'static str {
    match waits {
        Waits::Tasks(_) => "a task runs longer than any that is known",
        Waits::Checkpoint(_) => "its tasks write what they have",
        Waits::Answer => "asked; not answered yet",
        Waits::Silent(_) => "its agent is silent",
        Waits::Stop => "answered: it has no task and takes none",
        Waits::Cloud => "done: it ends",
        Waits::TakenBack => "taken back",
    }
}

fn waits(progress: &Progress, instance: &Instance, now: Timestamp) -> String {
    let ago = |at: Timestamp| short(now.duration_since(at).max(SignedDuration::ZERO));
    match progress.waits {
        Waits::Tasks(_) => format!("waits for {}", tasks(instance, now)),
        Waits::Checkpoint(_) => {
            format!("asked to write what it has and to go back to its queue: {}", tasks(instance, now))
        }
        Waits::Answer => "waits for its agent's answer, which reads its orders before it takes a task".to_owned(),
        Waits::Silent(since) => format!("waits for its agent's answer, which has been silent for {}", ago(since)),
        Waits::Stop => "the loop ends it at its next look".to_owned(),
        Waits::Cloud => format!("told to end {} ago: waits for its cloud", ago(instance.phase_since)),
        Waits::TakenBack => "its agent has yet to read that it takes tasks again".to_owned(),
    }
}

fn tasks(instance: &Instance, now: Timestamp) -> String {
    const SHOWN: usize = 2;
    let told =
        |task: &RunningTask| format!("{} ({}), here for {}", task.name, task.id, short(now.duration_since(task.since)));
    let shown: Vec<_> = instance.tasks().take(SHOWN).map(told).collect();
    let more = instance.tasks().count().saturating_sub(SHOWN);
    let more = (more > 0).then(|| plural(more, "other task", "other tasks"));
    shown.into_iter().chain(more).collect::<Vec<_>>().join("; ")
}
