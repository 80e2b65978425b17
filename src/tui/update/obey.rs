//! Commands: what each does to the state, or asks first.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{desk, editor, hear, leave, log, order, pickers};
use crate::engine::command::{Command, Edit};
use crate::model::ids::{Actor, InstanceId};
use crate::model::instance::Instance;
use crate::model::journal::{Entry, EntryKind};
use crate::model::tasks::TaskDeed;
use crate::model::which::Which;
use crate::tui::chart;
use crate::tui::commands::Id;
use crate::tui::dialog::Dialog;
use crate::tui::dialog::deed::Deed;
use crate::tui::dialog::edits::{Undone, Whole};
use crate::tui::dialog::form::Form;
use crate::tui::dialog::palette::Palette;
use crate::tui::dialog::several::is_open;
use crate::tui::list;
use crate::tui::message::Effect;
use crate::tui::state::place::{Page, Place, Subject};
use crate::tui::state::{Asked, Draft, Move, State, Undo};

/// Does a command that is enabled.
pub(super) fn obey(state: &mut State, id: Id, now: Timestamp, effects: &mut Vec<Effect>) {
    match id {
        Id::Down => step(state, Move::By(1), now, effects),
        Id::Up => step(state, Move::By(-1), now, effects),
        Id::PageDown => step(state, Move::Pages(1), now, effects),
        Id::PageUp => step(state, Move::Pages(-1), now, effects),
        Id::HalfDown => step(state, Move::HalfPages(1), now, effects),
        Id::HalfUp => step(state, Move::HalfPages(-1), now, effects),
        Id::Top => step(state, Move::Top, now, effects),
        Id::Bottom => step(state, Move::Bottom, now, effects),
        Id::Open if state.place.page == Page::Charts => state.charts.alone = !state.charts.alone,
        Id::Open => open(state, effects),
        Id::ZoomIn => chart::zoom(state, true),
        Id::ZoomOut => chart::zoom(state, false),
        Id::Markers => {
            let markers = state.charts.markers.next();
            (state.charts.markers, state.charts.chose_markers) = (markers, true);
            state.inform(format!("lines are drawn with {}", markers.word()));
        }
        Id::PanLeft => chart::pan(state, false),
        Id::PanRight => chart::pan(state, true),
        Id::Leave => up(state, effects),
        Id::Last => last(state, effects),
        Id::Mark => mark(state, now, effects),
        Id::MarkRange => state.range(),
        Id::MarkAll => state.mark_all(),
        Id::CopyCell => pickers::cells(state, now),
        Id::Previous => history(state, effects, true),
        Id::Next => history(state, effects, false),
        // Who has read it goes on where it was asked for.
        Id::Go(Page::Help) => enter(state, Place::of(Page::Help), effects),
        Id::Go(page) => visit(state, Place::of(page), effects),
        Id::Why => about(state, Page::Why, effects),
        Id::BootLog => about(state, Page::BootLog, effects),
        Id::Tasks => about(state, Page::Tasks, effects),
        Id::TaskLog => task_log(state, effects),
        Id::TaskUp | Id::TaskDown | Id::TaskFront | Id::TaskBack | Id::TakeOut | Id::PutIn => {
            desk::obey(state, id, effects);
        }
        Id::NextMatch => log::next(state, true, now),
        Id::PreviousMatch => log::next(state, false, now),
        Id::Wrap => log::wrap(state),
        Id::SaveLog => log::save(state, effects),
        Id::Drain | Id::CancelDrain | Id::Stop | Id::Hold | Id::Replace => machine(state, id, now),
        Id::DrainIdle => drain_idle(state, now),
        Id::Edit => edit(state),
        Id::EditFile => editor::begin(state, effects),
        Id::Launch => pickers::launch(state),
        Id::TryAgain => pickers::try_again(state),
        Id::Pause => ask_mode(state, |armed, paused| match (armed, paused) {
            (_, true) => Deed::Resume,
            (_, false) => Deed::Pause,
        }),
        Id::Arm => ask_mode(state, |armed, _| if armed { Deed::Disarm } else { Deed::Arm }),
        Id::EmergencyStop => state.ask_person(Deed::StopAll),
        Id::Undo => undo(state),
        Id::Palette => state.dialog = Some(Dialog::Palette(Palette::default())),
        Id::Filter => {
            let before = state.look().filter;
            state.dialog = Some(Dialog::Filter { input: before.as_str().into(), before });
        }
        Id::Sort => pickers::sort(state),
        Id::Invert => {
            let look = state.look_mut();
            look.inverted = !look.inverted;
            state.relist = true;
        }
        Id::Dearest => dearest(state, now),
        Id::Actions => pickers::actions(state),
        Id::Refresh => {
            let asked = Asked::Deed { what: "refresh".to_owned(), undo: None };
            order::send(state, Command::Refresh, asked, effects);
        }
        Id::Copy => {
            if let Some(subject) = state.subject() {
                copy(state, subject.name(), effects);
            }
        }
        Id::Freeze => freeze(state, now),
        Id::Theme => pickers::themes(state),
        Id::Mouse => {
            state.wants_mouse = !state.wants_mouse;
            let whose = if state.wants_mouse { "the console" } else { "the terminal" };
            state.inform(format!("the mouse works for {whose}"));
        }
        Id::Problems => state.dialog = Some(Dialog::Problems { top: 0 }),
        Id::Suspend => suspend(state, effects),
        Id::Quit => leave::wanted(state, effects),
    }
}

pub(super) fn step(state: &mut State, step: Move, now: Timestamp, effects: &mut Vec<Effect>) {
    if state.place.page == Page::Charts {
        match step {
            Move::By(lines) | Move::Pages(lines) | Move::HalfPages(lines) => {
                state.charts.which = state.charts.which.beside(lines > 0);
            }
            Move::Top => state.charts.cursor = state.history.glances().next().map(|glance| glance.at),
            Move::Bottom => state.charts.cursor = None,
        }
        return;
    }
    let before = state.look().row;
    state.go(step, now);
    let at_end = state.look().row + 1 >= state.list.rows.len() && before <= state.look().row;
    if state.place.page == Page::Journal && at_end && state.journal_goes_on {
        let held = u32::try_from(state.journal.len()).unwrap_or(u32::MAX);
        hear::ask_journal(state, held.max(hear::FIRST_LINES).saturating_mul(4), effects);
    }
}

/// Goes to a place; the way back is kept.
pub(super) fn visit(state: &mut State, place: Place, effects: &mut Vec<Effect>) {
    const KEPT: usize = 100;
    if state.place == place {
        return;
    }
    state.back.push(std::mem::replace(&mut state.place, place));
    let over = state.back.len().saturating_sub(KEPT);
    state.back.drain(..over);
    state.forward.clear();
    arrived(state, effects);
}

/// Goes to a place that was opened from the present one.
fn enter(state: &mut State, place: Place, effects: &mut Vec<Effect>) {
    if state.place != place {
        state.above.insert(place.clone(), state.place.clone());
    }
    visit(state, place, effects);
}

fn history(state: &mut State, effects: &mut Vec<Effect>, back: bool) {
    let from = if back { &mut state.back } else { &mut state.forward };
    let Some(place) = from.pop() else { return };
    let left = std::mem::replace(&mut state.place, place);
    let to = if back { &mut state.forward } else { &mut state.back };
    to.push(left);
    arrived(state, effects);
}

/// To the place before; the next time, back from there.
fn last(state: &mut State, effects: &mut Vec<Effect>) {
    if let Some(place) = state.back.last().cloned() {
        visit(state, place, effects);
    }
}

fn mark(state: &mut State, now: Timestamp, effects: &mut Vec<Effect>) {
    if state.range_from.is_some() {
        state.range();
    } else if state.mark() {
        step(state, Move::By(1), now, effects);
    }
}

fn arrived(state: &mut State, effects: &mut Vec<Effect>) {
    state.relist = true;
    state.range_from = None;
    match (state.place.page, &state.place.about) {
        (Page::Logs, _) => read_log(state, effects),
        (Page::BootLog, Some(Subject::Instance(id))) => {
            let id = id.clone();
            state.look_mut().top = usize::MAX;
            desk::fetch_boot_log(state, id, effects);
        }
        (Page::Tasks | Page::TaskLog | Page::Charts, _) => {
            match state.place.page {
                Page::TaskLog => state.look_mut().top = usize::MAX,
                // Who comes to the charts comes to the present.
                Page::Charts => state.charts.cursor = None,
                _ => {}
            }
            desk::read(state, effects);
        }
        _ => {}
    }
}

/// At most one reading at a time.
pub(super) fn read_log(state: &mut State, effects: &mut Vec<Effect>) {
    if state.setup.has_log && !state.reading_log {
        state.reading_log = true;
        effects.push(Effect::ReadLog);
    }
}

fn open(state: &mut State, effects: &mut Vec<Effect>) {
    let place = match (state.place.page, state.subject()) {
        (_, Some(subject @ Subject::Task(..))) => Place::about(Page::TaskLog, subject),
        (_, Some(Subject::Instance(id))) => Place::about(Page::Machine, Subject::Instance(id)),
        (Page::Queues | Page::Settings | Page::Pools, Some(subject @ (Subject::Queue(_) | Subject::Pool(_)))) => {
            Place::about(Page::Instances, subject)
        }
        (_, Some(subject)) => Place::about(Page::Why, subject),
        (_, None) => return,
    };
    enter(state, place, effects);
}

/// Clears the filter, else the marks, else goes to where this was opened, or one level up.
fn up(state: &mut State, effects: &mut Vec<Effect>) {
    if state.look().filter.is_empty() {
        if state.unmark() {
            return;
        }
        if let Some(place) = state.above.remove(&state.place).or_else(|| state.place.up()) {
            visit(state, place, effects);
        }
    } else {
        state.look_mut().filter.clear();
        state.relist = true;
    }
}

/// Of the task itself, or of the one that a machine runs.
fn task_log(state: &mut State, effects: &mut Vec<Effect>) {
    let subject = match state.subject() {
        Some(subject @ Subject::Task(..)) => Some(subject),
        Some(Subject::Instance(id)) => state.machine(&id).and_then(|machine| {
            let task = machine.task.as_ref()?;
            Some(Subject::Task(list::charged(machine).clone(), task.id.clone()))
        }),
        _ => None,
    };
    if let Some(subject) = subject {
        enter(state, Place::about(Page::TaskLog, subject), effects);
    }
}

fn about(state: &mut State, page: Page, effects: &mut Vec<Effect>) {
    if let Some(subject) = state.subject() {
        enter(state, Place::about(page, subject), effects);
    }
}

/// Orders about one machine, or about all that are marked: each is asked about first.
fn machine(state: &mut State, id: Id, now: Timestamp) {
    let marked = state.marked_machines();
    if !marked.is_empty() {
        match id {
            Id::Drain => state.ask_of_marked(Deed::DrainThese(marked)),
            Id::CancelDrain => state.ask_of_marked(Deed::CancelAll(marked)),
            Id::Stop => {
                // What each has is read anew when a person agrees.
                let machines = marked.into_iter().map(|id| (id, false)).collect();
                state.ask_of_marked(Deed::StopThese(machines));
            }
            Id::Hold | Id::Replace => note(state, id, marked, now),
            _ => {}
        }
        return;
    }
    let Some(Subject::Instance(instance)) = state.subject() else { return };
    let Some(machine) = state.machine(&instance) else { return };
    let deed = match id {
        Id::Drain => Deed::Drain(instance),
        Id::CancelDrain => Deed::CancelDrain(instance),
        Id::Stop if machine.may_have_task() => Deed::Kill(instance),
        Id::Stop => Deed::Stop(instance),
        _ => return note(state, id, vec![instance], now),
    };
    state.ask_person(deed);
}

/// A hold or a replacement of what has none yet; where all have it, its end.
fn note(state: &mut State, id: Id, machines: Vec<InstanceId>, now: Timestamp) {
    let has = |machine: &Instance| if id == Id::Hold { machine.is_held(now) } else { machine.replace.is_some() };
    let (with, without): (Vec<InstanceId>, Vec<InstanceId>) =
        machines.into_iter().partition(|id| state.machine(id).is_some_and(has));
    match (id, without.is_empty()) {
        (Id::Hold, true) => state.ask_of_marked(Deed::Release(with)),
        (Id::Hold, false) => {
            let form = Form { note: state.hidden_told(), ..Form::hold(without) };
            state.dialog = Some(Dialog::Form(Box::new(form)));
        }
        (_, true) => state.ask_of_marked(Deed::LetBe(with)),
        (_, false) => state.ask_of_marked(Deed::Replace(without)),
    }
}

/// All that are idle at this moment; the dialog shows which.
fn drain_idle(state: &mut State, now: Timestamp) {
    let Some(view) = state.live.as_deref() else { return };
    let idle = Which::all_idle().to_drain(&view.snapshot, now).machines;
    let idle: Vec<_> = idle.into_iter().map(|machine| machine.id.clone()).collect();
    state.ask_person(Deed::DrainAll(idle));
}

fn edit(state: &mut State) {
    let (Some(subject), Some(view)) = (state.subject(), state.live.as_deref()) else { return };
    match Form::edit(view, &subject) {
        Some(form) => state.dialog = Some(Dialog::Form(Box::new(form))),
        None => state.inform(format!("edit: {} has no limits", subject.name())),
    }
}

fn ask_mode(state: &mut State, deed: impl FnOnce(bool, bool) -> Deed) {
    let Some(mode) = state.live.as_ref().map(|view| view.mode) else { return };
    state.ask_person(deed(mode.armed, mode.paused));
}

/// The newest thing that can still be taken back.
fn undo(state: &mut State) {
    while let Some(undo) = state.undo.last().cloned() {
        match undo {
            Undo::Edits { back, done } => {
                let (since, seen) = (set_since(state, &done), state.revision());
                state.ask_person(Deed::TakeBack { undone: Undone { back, done, since }, seen });
                return;
            }
            Undo::Text(Draft { was, text }) => {
                let Some(view) = state.live.clone() else { return };
                let back = Draft { was: text, text: was };
                state.ask_person(Deed::Write(Box::new(Whole::new(back, &view.settings, true))));
                return;
            }
            Undo::Tasks(queue, tasks) => {
                state.ask_person(Deed::Tasks { queue, tasks, deed: TaskDeed::PutIn });
                return;
            }
            Undo::Drain(machines) => {
                let open = |id: &InstanceId| state.machine(id).is_some_and(is_open);
                let open: Vec<_> = machines.into_iter().filter(open).collect();
                match open.as_slice() {
                    [] => {}
                    [one] => {
                        state.ask_person(Deed::CancelDrain(one.clone()));
                        return;
                    }
                    _ => {
                        state.ask_person(Deed::CancelAll(open));
                        return;
                    }
                }
            }
        }
        state.undo.pop();
    }
    state.inform("undo: what was done last has run its course");
}

/// Who changed each of these keys last, where the journal tells it and it was another person, or not this value.
fn set_since(state: &State, done: &[Edit]) -> BTreeMap<String, Actor> {
    let names = |text: &str, key: &str| {
        let after = |at: usize| text.get(at + key.len()..).unwrap_or_default();
        let ends = |at: usize| after(at).starts_with([' ', ':']);
        text.match_indices(key).any(|(at, _)| ends(at))
    };
    let last = |edit: &Edit| {
        let told = |entry: &&Entry| {
            entry.kind == EntryKind::Edited && (names(&entry.text, &edit.key) || names(&entry.reason, &edit.key))
        };
        let entry = state.journal.iter().find(told)?;
        let own = edit.value.as_ref().map(|value| format!("{} = {value}", edit.key));
        let own = own.map_or_else(|| entry.text.starts_with(&format!("{}: ", edit.key)), |own| entry.text == own);
        (!own).then(|| (edit.key.clone(), entry.by.clone()))
    };
    done.iter().filter_map(last).collect()
}

/// The dearest first, and the cursor on it.
fn dearest(state: &mut State, now: Timestamp) {
    let look = state.look_mut();
    (look.sort, look.inverted) = (Some(list::PRICE), true);
    state.relist = true;
    state.settle(now);
    state.go(Move::Top, now);
}

pub(super) fn copy(state: &mut State, text: String, effects: &mut Vec<Effect>) {
    state.inform(format!("copied {text}"));
    effects.push(Effect::Copy(text));
}

fn freeze(state: &mut State, now: Timestamp) {
    state.frozen = match (&state.frozen, &state.live) {
        (None, Some(view)) => Some((view.clone(), now)),
        _ => None,
    };
    state.relist = true;
}

fn suspend(state: &mut State, effects: &mut Vec<Effect>) {
    let acts = state.can_order().is_ok_and(|view| view.mode.armed && !view.mode.paused);
    if acts && state.setup.attached.is_none() {
        state.ask_person(Deed::Suspend);
    } else {
        effects.push(Effect::Suspend);
    }
}
