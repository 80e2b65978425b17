//! What edits of the settings would change: each value beside the one that is there now, and what must be typed.

use std::collections::BTreeMap;

use super::consequence::{Proof, Question};
use super::deed::Deed;
use crate::engine::command::{Edit, settings_of};
use crate::engine::event::View;
use crate::model::ids::Actor;
use crate::model::settings::Settings;
use crate::model::settings::change::{self, Change, Weight};
use crate::model::settings::key::Key;
use crate::tui::state::Draft;

/// More changes of a text are counted.
const SHOWN: usize = 8;

/// How much the edits of what runs weigh.
pub(crate) fn weight(view: &View, edits: &[Edit]) -> Weight {
    change::weigh(&view.settings, &change::of_edits(&view.settings, edits))
}

fn proof(weight: Weight) -> Proof {
    match weight {
        Weight::Hard(amount) => Proof::Type(amount),
        Weight::Light | Weight::Raised | Weight::Lifted => Proof::Yes,
    }
}

/// `queue.train.max = 9, now 6`; said of those that change nothing, too.
fn line(settings: &Settings, edit: &Edit) -> String {
    let Ok(key) = Key::parse(&edit.key) else { return edit.key.clone() };
    let (was, now) = (change::present(settings, &key), change::meant(settings, &key, edit.value.as_deref()));
    Change { key, was, now }.told("now")
}

pub(super) fn set(edits: &[Edit], view: &View) -> Question {
    let lines = edits.iter().map(|edit| line(&view.settings, edit)).collect();
    Question { title: "Set this?".to_owned(), lines, verb: "set", proof: proof(weight(view, edits)) }
}

/// What was set here, and is to be taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Undone {
    /// What would set it back.
    pub back: Vec<Edit>,
    pub done: Vec<Edit>,
    /// Who set each of the keys last, as far as the journal tells and it was another.
    pub since: BTreeMap<String, Actor>,
}

pub(super) fn take_back(undone: &Undone, view: &View) -> Question {
    let settings = &view.settings;
    let lines = undone.back.iter().map(|edit| {
        let line = line(settings, edit);
        overruled(undone, &edit.key, view).map_or_else(|| line.clone(), |why| format!("{line}: {why}"))
    });
    let lines = lines.collect();
    Question { title: "Take the edit back?".to_owned(), lines, verb: "undo", proof: proof(weight(view, &undone.back)) }
}

/// Why the value is not the one that was set here.
fn overruled(undone: &Undone, key: &str, view: &View) -> Option<String> {
    let settings = &view.settings;
    let done = undone.done.iter().find(|done| done.key == key)?;
    let parsed = Key::parse(key).ok()?;
    if change::present(settings, &parsed) == change::meant(settings, &parsed, done.value.as_deref()) {
        return None;
    }
    let rail = format!("{key} is ");
    if view.warnings.iter().any(|warning| warning.starts_with(&rail) && warning.contains("; guardrail: ")) {
        return Some("a guardrail holds it there".to_owned());
    }
    if let Some((schedule, _)) = settings.schedules_at(view.at).find(|(schedule, _)| schedule.set.contains_key(key)) {
        return Some(format!("the schedule {} holds it there", schedule.name));
    }
    let by = undone.since.get(key).map_or_else(|| "another hand".to_owned(), ToString::to_string);
    Some(format!("set since by {by}"))
}

/// The settings as a text, as a person left it in an editor, with what it changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Whole {
    pub draft: Draft,
    lines: Vec<String>,
    weight: Weight,
    /// An edit that is taken back.
    pub is_back: bool,
}

impl Whole {
    /// `settings`: what runs, where what the person began with does not.
    pub(crate) fn new(draft: Draft, settings: &Settings, is_back: bool) -> Self {
        let old = settings_of(&draft.was);
        let old = old.as_ref().unwrap_or(settings);
        // What does not run is written nowhere: the loop says what is wrong with it.
        let changes = settings_of(&draft.text).map(|new| change::between(old, &new)).unwrap_or_default();
        let (lines, weight) = (change::told(old, &changes, "now"), change::weigh(old, &changes));
        Self { draft, lines, weight, is_back }
    }

    /// Whether a person is asked before it is written.
    pub(crate) fn is_asked(&self) -> bool {
        self.is_back || self.weight > Weight::Light
    }

    pub(super) fn question(&self) -> Question {
        let more = self.lines.len().saturating_sub(SHOWN);
        let more = (more > 0).then(|| format!("And {more} more."));
        let mut lines: Vec<String> = self.lines.iter().take(SHOWN).cloned().chain(more).collect();
        if lines.is_empty() {
            lines.push("No value is another one.".to_owned());
        }
        let (title, verb) =
            if self.is_back { ("Take the edit of the file back?", "undo") } else { ("Write these settings?", "write") };
        Question { title: title.to_owned(), lines, verb, proof: proof(self.weight.clone()) }
    }
}

impl Deed {
    pub(crate) fn set(edits: Vec<Edit>, back: Vec<Edit>, view: &View) -> Self {
        Self::Set { edits, back, seen: Some(view.settings.revision.clone()) }
    }
}
