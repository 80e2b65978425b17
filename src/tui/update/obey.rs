//! Commands: what each does to the state, or asks first.

use jiff::Timestamp;

use super::{desk, hear, leave, order};
use crate::engine::command::Command;
use crate::model::breaker::{Breaker, Reset};
use crate::model::ids::{InstanceId, QueueName};
use crate::model::tasks::TaskDeed;
use crate::model::which::Which;
use crate::tui::chart;
use crate::tui::commands::{Id, Scope, TABLE};
use crate::tui::dialog::Dialog;
use crate::tui::dialog::deed::Deed;
use crate::tui::dialog::form::Form;
use crate::tui::dialog::palette::Palette;
use crate::tui::dialog::picker::{Choice, Item, Picker};
use crate::tui::dialog::several::is_open;
use crate::tui::list;
use crate::tui::message::Effect;
use crate::tui::state::place::{Page, Place, Subject};
use crate::tui::state::{Asked, Move, State, Undo};
use crate::tui::theme::Theme;

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
        Id::PanLeft => chart::pan(state, false),
        Id::PanRight => chart::pan(state, true),
        Id::Leave => up(state, effects),
        Id::Last => last(state, effects),
        Id::Mark => mark(state, now, effects),
        Id::MarkRange => state.range(),
        Id::MarkAll => state.mark_all(),
        Id::CopyCell => cells(state, now),
        Id::Previous => history(state, effects, true),
        Id::Next => history(state, effects, false),
        Id::Go(page) => visit(state, Place::of(page), effects),
        Id::Why => about(state, Page::Why, effects),
        Id::BootLog => about(state, Page::BootLog, effects),
        Id::Tasks => about(state, Page::Tasks, effects),
        Id::TaskLog => task_log(state, effects),
        Id::TaskUp | Id::TaskDown | Id::TaskFront | Id::TaskBack | Id::TakeOut | Id::PutIn => {
            desk::obey(state, id, effects);
        }
        Id::Drain | Id::CancelDrain | Id::Stop | Id::Hold | Id::Replace => machine(state, id, now),
        Id::DrainIdle => drain_idle(state, now),
        Id::Edit => edit(state),
        Id::Launch => launch(state),
        Id::TryAgain => try_again(state),
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
        Id::Sort => sort(state),
        Id::Invert => {
            let look = state.look_mut();
            look.inverted = !look.inverted;
            state.relist = true;
        }
        Id::Dearest => dearest(state, now),
        Id::Actions => actions(state),
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
        Id::Theme => themes(state),
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
            Move::Top => state.charts.cursor = state.history.samples().next().map(|sample| sample.at),
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
            fetch_boot_log(state, id, effects);
        }
        (Page::Tasks | Page::TaskLog, _) => {
            if state.place.page == Page::TaskLog {
                state.look_mut().top = usize::MAX;
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

fn fetch_boot_log(state: &mut State, id: InstanceId, effects: &mut Vec<Effect>) {
    let waits = state.asked.values().any(|asked| matches!(asked, Asked::BootLog(other) if *other == id));
    if !waits {
        state.boot_logs.entry(id.clone()).or_insert(None);
        order::send(state, Command::BootLog(id.clone()), Asked::BootLog(id), effects);
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
    visit(state, place, effects);
}

/// Clears the filter, else the marks, else goes one level up.
fn up(state: &mut State, effects: &mut Vec<Effect>) {
    if state.look().filter.is_empty() {
        if state.unmark() {
            return;
        }
        if let Some(place) = state.place.up() {
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
        visit(state, Place::about(Page::TaskLog, subject), effects);
    }
}

fn about(state: &mut State, page: Page, effects: &mut Vec<Effect>) {
    if let Some(subject) = state.subject() {
        visit(state, Place::about(page, subject), effects);
    }
}

/// Orders about one machine, or about all that are marked: each is asked about first.
fn machine(state: &mut State, id: Id, now: Timestamp) {
    let marked = state.marked_machines();
    if !marked.is_empty() {
        match id {
            Id::Drain => state.ask_person(Deed::DrainThese(marked)),
            Id::CancelDrain => state.ask_person(Deed::CancelAll(marked)),
            Id::Stop => {
                // What each has is read anew when a person agrees.
                let machines = marked.into_iter().map(|id| (id, false)).collect();
                state.ask_person(Deed::StopThese(machines));
            }
            _ => {}
        }
        return;
    }
    let Some(Subject::Instance(instance)) = state.subject() else { return };
    let Some(machine) = state.machine(&instance) else { return };
    let deed = match id {
        Id::Drain => Deed::Drain(instance),
        Id::CancelDrain => Deed::CancelDrain(instance),
        Id::Replace if machine.replace.is_some() => Deed::LetBe(instance),
        Id::Replace => Deed::Replace(instance),
        Id::Stop if machine.may_have_task() => Deed::Kill(instance),
        Id::Stop => Deed::Stop(instance),
        _ if machine.is_held(now) => Deed::Release(instance),
        _ => {
            state.dialog = Some(Dialog::Form(Box::new(Form::hold(instance))));
            return;
        }
    };
    state.ask_person(deed);
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

fn launch(state: &mut State) {
    let Some(view) = state.live.as_deref() else { return };
    let pairs: Vec<(crate::model::ids::PoolName, QueueName)> = match state.subject() {
        Some(Subject::Queue(queue)) => {
            let pools = view.settings.queue(&queue).map(|settings| settings.pools.clone()).unwrap_or_default();
            pools.into_iter().map(|pool| (pool, queue.clone())).collect()
        }
        Some(Subject::Pool(pool)) => {
            view.settings.queues_of(&pool).map(|queue| (pool.clone(), queue.name.clone())).collect()
        }
        _ => Vec::new(),
    };
    match pairs.as_slice() {
        [] => state.inform("launch: the settings name no pool for it"),
        [(pool, queue)] => state.ask_person(Deed::Launch { pool: pool.clone(), queue: queue.clone() }),
        _ => {
            let items = pairs.iter().map(|(pool, queue)| Item {
                label: pool.to_string(),
                doc: format!("for {queue}"),
                choice: Choice::Deed(Deed::Launch { pool: pool.clone(), queue: queue.clone() }),
                off: None,
            });
            let items = items.collect();
            state.dialog =
                Some(Dialog::Picker(Picker { title: "Launch one in".to_owned(), items, at: 0, theme_before: None }));
        }
    }
}

fn try_again(state: &mut State) {
    let Some(view) = state.live.as_deref() else { return };
    let item = |label: String, doc: String, what: Reset| Item {
        label,
        doc,
        choice: Choice::Deed(Deed::ResetBackOff(what)),
        off: None,
    };
    let snapshot = &view.snapshot;
    let one = |breaker: &Breaker| {
        let doc = format!("{}: {}", breaker.row(), breaker.message);
        item(breaker.on.to_string(), doc, Reset::One(breaker.on.clone()))
    };
    let mut items: Vec<_> = snapshot.breakers.iter().map(one).collect();
    let has_breaker = |name| snapshot.breakers.iter().any(|one| one.on.pool.as_ref() == Some(name));
    let failed = snapshot.boots_failed.iter().filter(|(pool, _)| !has_breaker(pool));
    items.extend(failed.map(|(pool, failed)| {
        item(format!("pool {pool}"), format!("the last {failed} never registered"), Reset::Pool(pool.clone()))
    }));
    if items.len() > 1 {
        items.push(item("everything".to_owned(), "every back-off".to_owned(), Reset::All));
    }
    state.dialog = Some(Dialog::Picker(Picker { title: "Try again".to_owned(), items, at: 0, theme_before: None }));
}

fn ask_mode(state: &mut State, deed: impl FnOnce(bool, bool) -> Deed) {
    let Some(mode) = state.live.as_ref().map(|view| view.mode) else { return };
    state.ask_person(deed(mode.armed, mode.paused));
}

/// The newest thing that can still be taken back.
fn undo(state: &mut State) {
    while let Some(undo) = state.undo.last().cloned() {
        match undo {
            Undo::Edits(back) => {
                let seen = state.revision();
                state.ask_person(Deed::Set { edits: back, seen, back: None, proof: None });
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

fn sort(state: &mut State) {
    let sorted = state.look().sort;
    let natural = Item { label: "as it comes".to_owned(), doc: String::new(), choice: Choice::Sort(None), off: None };
    let columns = list::columns(&state.place).iter().map(|column| Item {
        label: column.name.to_owned(),
        doc: String::new(),
        choice: Choice::Sort(Some(column.name)),
        off: None,
    });
    let items: Vec<_> = std::iter::once(natural).chain(columns).collect();
    let at = items.iter().position(|item| item.choice == Choice::Sort(sorted)).unwrap_or(0);
    state.dialog = Some(Dialog::Picker(Picker { title: "Sort by".to_owned(), items, at, theme_before: None }));
}

/// The dearest first, and the cursor on it.
fn dearest(state: &mut State, now: Timestamp) {
    let look = state.look_mut();
    (look.sort, look.inverted) = (Some(list::PRICE), true);
    state.relist = true;
    state.settle(now);
    state.go(Move::Top, now);
}

/// Everything that can be done to what is selected.
fn actions(state: &mut State) {
    let items: Vec<_> = TABLE
        .iter()
        .filter(|command| command.shown_hint(state).is_some() && command.id != Id::Actions)
        .filter(|command| command.scope == Scope::Everywhere || command.in_scope(state))
        .map(|command| Item {
            label: format!("{:<6} {}", command.shown_keys(), command.name),
            doc: command.doc.to_owned(),
            choice: Choice::Command(command.id),
            off: command.enabled(state).err(),
        })
        .collect();
    let title = state.subject().map_or_else(|| "Actions".to_owned(), |subject| subject.name());
    state.dialog = Some(Dialog::Picker(Picker { title, items, at: 0, theme_before: None }));
}

pub(super) fn copy(state: &mut State, text: String, effects: &mut Vec<Effect>) {
    state.inform(format!("copied {text}"));
    effects.push(Effect::Copy(text));
}

/// The cells of the row, to be copied.
fn cells(state: &mut State, now: Timestamp) {
    let Some(data) = state.data(now) else { return };
    let Some(row) = state.list.rows.get(state.look().row) else { return };
    let items: Vec<_> = list::columns(&state.place)
        .iter()
        .map(|column| {
            let text = list::cell(&state.place, &data, row, column.name).text;
            Item { label: column.name.to_owned(), doc: text.clone(), choice: Choice::Copy(text), off: None }
        })
        .collect();
    let title = "Copy a cell".to_owned();
    state.dialog = Some(Dialog::Picker(Picker { title, items, at: 0, theme_before: None }));
}

/// Every look; the one under the cursor is shown at once.
fn themes(state: &mut State) {
    let items: Vec<_> = Theme::all()
        .map(|theme| Item {
            label: theme.name(),
            doc: theme.palette.doc().to_owned(),
            choice: Choice::Theme(theme),
            off: None,
        })
        .collect();
    let at = items.iter().position(|item| item.choice == Choice::Theme(state.theme)).unwrap_or(0);
    let theme_before = Some(state.theme);
    state.dialog = Some(Dialog::Picker(Picker { title: "Colours and signs".to_owned(), items, at, theme_before }));
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
