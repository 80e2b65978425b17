//! Lists to choose from: what each offers.

use jiff::Timestamp;

use crate::model::breaker::{Breaker, Reset};
use crate::model::ids::QueueName;
use crate::tui::commands::{Id, Scope, TABLE};
use crate::tui::dialog::Dialog;
use crate::tui::dialog::deed::Deed;
use crate::tui::dialog::picker::{Choice, Item, Picker};
use crate::tui::list;
use crate::tui::state::State;
use crate::tui::state::place::Subject;
use crate::tui::theme::Theme;
use crate::tui::words::without_shapes;

pub(super) fn launch(state: &mut State) {
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
            state.dialog = Some(Dialog::Picker(Picker::of("Launch one in", items)));
        }
    }
}

pub(super) fn try_again(state: &mut State) {
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
    state.dialog = Some(Dialog::Picker(Picker::of("Try again", items)));
}

pub(super) fn sort(state: &mut State) {
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
    state.dialog = Some(Dialog::Picker(Picker { at, ..Picker::of("Sort by", items) }));
}

/// Everything that can be done to what is selected.
pub(super) fn actions(state: &mut State) {
    let items: Vec<_> = TABLE
        .iter()
        .filter(|command| command.shown_hint(state).is_some() && command.id != Id::Actions)
        .filter(|command| command.scope == Scope::Everywhere || command.in_scope(state))
        .map(|command| Item {
            // Who types commands by their names has no keys.
            label: if state.keys.is_spoken() {
                command.name.to_owned()
            } else {
                format!("{:<6} {}", state.keys.all(command.id), command.name)
            },
            doc: command.doc().to_owned(),
            choice: Choice::Command(command.id),
            off: command.enabled(state).err(),
        })
        .collect();
    let title = state.subject().map_or_else(|| "Actions".to_owned(), |subject| subject.name());
    state.dialog = Some(Dialog::Picker(Picker::of(&title, items)));
}

/// The cells of the row, to be copied.
pub(super) fn cells(state: &mut State, now: Timestamp) {
    let Some(data) = state.data(now) else { return };
    let Some(row) = state.list.rows.get(state.look().row) else { return };
    let items: Vec<_> = list::columns(&state.place)
        .iter()
        .map(|column| {
            let text = without_shapes(&list::cell(&state.place, &data, row, column.name).text);
            Item { label: column.name.to_owned(), doc: text.clone(), choice: Choice::Copy(text), off: None }
        })
        .collect();
    let title = "Copy a cell".to_owned();
    state.dialog = Some(Dialog::Picker(Picker::of(&title, items)));
}

/// Every look; the one under the cursor is shown at once.
pub(super) fn themes(state: &mut State) {
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
    state.dialog = Some(Dialog::Picker(Picker { at, theme_before, ..Picker::of("Colours and signs", items) }));
}
