//! Pages that are read rather than chosen from: lines of toned text, as wide as the screen.

mod drain;
mod help;
mod log;
mod machine;
mod spend;
mod task;
mod why;

use jiff::Timestamp;

use super::state::State;
use super::state::place::{Page, Subject};
use super::theme::Tone;
use super::words::wrap;

/// A line: pieces of text, each with what it means.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Line(pub Vec<(String, Tone)>);

impl Line {
    fn of(text: impl Into<String>, tone: Tone) -> Self {
        Self(vec![(text.into(), tone)])
    }

    fn plain(text: impl Into<String>) -> Self {
        Self::of(text, Tone::Plain)
    }

    fn and(mut self, text: impl Into<String>, tone: Tone) -> Self {
        self.0.push((text.into(), tone));
        self
    }
}

fn heading(text: &str) -> Line {
    Line::of(text, Tone::Strong)
}

/// `name      value`, the value wrapped under itself.
fn fact(name: &str, value: &str, width: usize) -> Vec<Line> {
    const NAMES: usize = 11;
    wrap(value, width.saturating_sub(NAMES))
        .into_iter()
        .enumerate()
        .map(|(at, part)| {
            let name = if at == 0 { name } else { "" };
            Line::of(format!("{name:<NAMES$}"), Tone::Dim).and(part, Tone::Plain)
        })
        .collect()
}

fn wrapped(text: &str, tone: Tone, width: usize) -> Vec<Line> {
    wrap(text, width).into_iter().map(|line| Line::of(line, tone)).collect()
}

pub(crate) fn length(state: &State, now: Timestamp) -> usize {
    match log::lines(state) {
        Some(lines) => lines.len(),
        None => built(state, now).len(),
    }
}

/// The lines from `top` on.
pub(crate) fn window(state: &State, now: Timestamp, top: usize, height: usize) -> Vec<Line> {
    match log::lines(state) {
        // Logs may be long: only what is shown is built.
        Some(lines) => {
            let wanted = state.look().filter;
            lines.iter().skip(top).take(height).map(|line| log::told(line, &wanted)).collect()
        }
        None => built(state, now).into_iter().skip(top).take(height).collect(),
    }
}

fn built(state: &State, now: Timestamp) -> Vec<Line> {
    let width = usize::from(state.size.width).saturating_sub(2);
    let now = state.shown_at(now);
    match (state.place.page, state.view()) {
        (Page::Help, _) => help::lines(&state.keys, width),
        (Page::Logs, _) => own_log(state),
        (Page::BootLog, _) => boot_log(state),
        (Page::TaskLog, _) => task_log(state),
        (_, None) => vec![Line::of("The loop has not looked yet.", Tone::Dim)],
        (Page::Spend, Some(view)) => spend::lines(view, width),
        (Page::Machine, Some(view)) => machine::lines(view, state.place.about.as_ref(), &state.keys, width, now),
        (Page::Why, Some(view)) => match &state.place.about {
            Some(Subject::Task(queue, id)) => task::lines(state, view, queue, id, width, now),
            Some(subject) => why::lines(view, subject, &state.journal, width, now),
            None => Vec::new(),
        },
        _ => Vec::new(),
    }
}

fn own_log(state: &State) -> Vec<Line> {
    let text = match &state.log {
        _ if !state.setup.has_log => "This program writes no log.".to_owned(),
        None => "The log is being read.".to_owned(),
        Some(Ok(_)) => "The log is empty.".to_owned(),
        Some(Err(error)) => error.clone(),
    };
    vec![Line::of(text, Tone::Dim)]
}

fn task_log(state: &State) -> Vec<Line> {
    let Some(Subject::Task(_, id)) = &state.place.about else { return Vec::new() };
    let text = match state.task_logs.get(id) {
        None | Some(None) => "Asking ClearML for it.".to_owned(),
        Some(Some(Ok(_))) => "The task has written nothing yet.".to_owned(),
        Some(Some(Err(error))) => error.clone(),
    };
    vec![Line::of(text, Tone::Dim)]
}

fn boot_log(state: &State) -> Vec<Line> {
    let Some(Subject::Instance(id)) = &state.place.about else { return Vec::new() };
    let text = match state.boot_logs.get(id) {
        None | Some(None) => "Asking the cloud for it.".to_owned(),
        Some(Some(Ok(_))) => "The machine has written nothing yet; the cloud may show it some minutes late.".to_owned(),
        Some(Some(Err(error))) => error.clone(),
    };
    vec![Line::of(text, Tone::Dim)]
}

pub(crate) use drain::lines as drain_lines;
pub(crate) use log::{found, is_log, length as log_length, text as log_text};
pub(crate) use why::in_short as why_in_short;
