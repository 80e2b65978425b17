//! The palette: everything by its name. Commands with their key and, where they cannot be done, why not; views of
//! queues, pools and machines; `set KEY VALUE`.

use tui_input::Input;

use super::fields;
use crate::engine::command::Edit;
use crate::model::settings::fields::Unset;
use crate::model::settings::key::Key;
use crate::model::settings::{Settings, change};
use crate::tui::commands::{Id, TABLE};
use crate::tui::list::Filter;
use crate::tui::state::State;
use crate::tui::state::place::{Page, Place, Subject};

const SET: &str = "set ";
/// What is found by its name comes before what is found by its words.
const BY_NAME: u32 = 1_000;
/// More are not worth reading.
const MOST: usize = 100;

#[derive(Debug, Default)]
pub(crate) struct Palette {
    pub input: Input,
    pub at: usize,
}

/// Something that the palette offers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Offer {
    pub label: String,
    pub keys: String,
    pub doc: String,
    /// Why it cannot be done now.
    pub off: Option<String>,
    pub what: What,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum What {
    Command(Id),
    Visit(Place),
    /// Goes on typing with this.
    Type(String),
    /// The edit, and what takes it back.
    Set(Edit, Edit),
    /// Only says this.
    Say(String),
    Nothing,
}

/// What fits to a text, the best first.
pub(crate) fn offers(state: &State, text: &str) -> Vec<Offer> {
    if let Some(rest) = text.strip_prefix(SET) {
        return settings(state, rest);
    }
    let mut filter = Filter::new(text);
    let mut scored: Vec<(u32, Offer)> = Vec::new();
    for command in TABLE {
        let is_name = (command.name == text).then_some(u32::MAX);
        let is_key = state.keys.keys(command.id).iter().any(|key| key.to_string() == text).then_some(u32::MAX);
        let by_name = filter.score(command.name).map(|score| score.saturating_add(BY_NAME));
        let by_doc = command.doc().to_lowercase().contains(&text.to_lowercase()).then_some(0);
        if let Some(score) = is_name.or(is_key).or(by_name).or(by_doc) {
            let offer = Offer {
                label: command.name.to_owned(),
                keys: state.keys.all(command.id),
                doc: command.doc().to_owned(),
                off: command.enabled(state).err(),
                what: What::Command(command.id),
            };
            scored.push((score, offer));
        }
    }
    if let Some(score) = filter.score("set") {
        scored.push((score.saturating_add(BY_NAME), set_offer()));
    }
    if !filter.is_empty() {
        for subject in subjects(state) {
            if let Some(score) = filter.score(&subject.name()) {
                scored.push((score.saturating_add(BY_NAME), visit(subject)));
            }
        }
        // Stable: what scores the same stays in the table's order.
        scored.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    }
    scored.into_iter().map(|(_, offer)| offer).take(MOST).collect()
}

fn set_offer() -> Offer {
    Offer {
        label: "set".to_owned(),
        keys: String::new(),
        doc: "Change a setting: set KEY VALUE".to_owned(),
        off: None,
        what: What::Type(SET.to_owned()),
    }
}

fn subjects(state: &State) -> Vec<Subject> {
    let Some(view) = state.live.as_deref() else { return Vec::new() };
    let queues = view.settings.queues.iter().map(|queue| Subject::Queue(queue.name.clone()));
    let pools = view.settings.pools.iter().map(|pool| Subject::Pool(pool.name.clone()));
    let machines = view.snapshot.instances.iter().map(|instance| Subject::Instance(instance.id.clone()));
    queues.chain(pools).chain(machines).collect()
}

fn visit(subject: Subject) -> Offer {
    let page = if matches!(subject, Subject::Instance(_)) { Page::Machine } else { Page::Instances };
    Offer {
        label: subject.name(),
        keys: String::new(),
        doc: format!("Show this {}", subject.kind()),
        off: None,
        what: What::Visit(Place::about(page, subject)),
    }
}

/// The key and the value of what follows `set `; a name in quotes may hold spaces.
fn split(rest: &str) -> (&str, Option<&str>) {
    let mut quoted = false;
    for (at, letter) in rest.char_indices() {
        match letter {
            '"' => quoted = !quoted,
            ' ' if !quoted => {
                let (key, value) = rest.split_at(at);
                return (key, Some(value.trim()));
            }
            _ => {}
        }
    }
    (rest, None)
}

fn settings(state: &State, rest: &str) -> Vec<Offer> {
    let Some(view) = state.live.as_deref() else { return Vec::new() };
    let (key, value) = split(rest.trim_start());
    if let Some(value) = value {
        return match Key::parse(key) {
            Ok(key) => values(state, &view.settings, &key, value),
            Err(error) => {
                let off = Some(format!("no such setting: {error}"));
                vec![Offer { label: key.to_owned(), keys: String::new(), doc: String::new(), off, what: What::Nothing }]
            }
        };
    }
    let mut filter = Filter::new(key);
    let mut scored: Vec<_> = fields::keys(&view.settings)
        .into_iter()
        .filter_map(|known| Some((filter.score(&known.to_string())?, known)))
        .collect();
    if !filter.is_empty() {
        scored.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    }
    scored
        .into_iter()
        .take(MOST)
        .map(|(_, known)| Offer {
            label: known.to_string(),
            keys: String::new(),
            doc: fields::doc(&known),
            off: None,
            what: What::Type(format!("{SET}{known} ")),
        })
        .collect()
}

/// What a key can be set to: what is typed, words that begin with it, and last its default.
fn values(state: &State, settings: &Settings, key: &Key, value: &str) -> Vec<Offer> {
    let there = change::present(settings, key);
    let now = change::words(key, there.as_ref());
    let unset = change::words(key, None);
    let takes = fields::takes(key);
    let offer = |label: String, doc: String, what, off| Offer { label, keys: String::new(), doc, off, what };
    let set = |value: Option<&str>| match (fields::edit(settings, key, value), state.can_order()) {
        (_, Err(why)) | (Err(why), _) => (What::Nothing, Some(why)),
        (Ok((edit, back)), Ok(_)) => (What::Set(edit, back), None),
    };
    // A field may take the word itself.
    let is_default = value == fields::DEFAULT && key.field.read(value).is_err();
    let is_needed = key.field.unset == Unset::Required;
    let own = if value.is_empty() {
        let hint = format!("now {now}; type {takes}");
        offer(format!("{key} is {now}"), hint.clone(), What::Say(format!("{key} is {hint}")), None)
    } else {
        let (what, off) = set(Some(value).filter(|_| !is_default));
        let label = if is_default && !is_needed { format!("{key}: {unset}") } else { format!("{key} = {value}") };
        offer(label, format!("now {now}; {takes}"), what, off)
    };
    // Words that begin with what is typed are as good as typed.
    let words = key.field.kind.words().iter().filter(|word| word.starts_with(value) && **word != value);
    let more = words.map(|word| {
        let typed = What::Type(format!("{SET}{key} {word}"));
        offer(format!("{key} = {word}"), String::new(), typed, None)
    });
    let resets = value.is_empty() && there.is_some() && !is_needed;
    let default = resets.then(|| {
        let (what, off) = set(None);
        offer(format!("{key}: {unset}"), format!("now {now}"), what, off)
    });
    std::iter::once(own).chain(more).chain(default).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_quotes_may_hold_spaces() {
        for (rest, key, value) in [
            ("limits.max 5", "limits.max", Some("5")),
            ("limits.max", "limits.max", None),
            ("limits.max ", "limits.max", Some("")),
            ("budget.\"team month\".limit $5", "budget.\"team month\".limit", Some("$5")),
            ("budget.\"team mo", "budget.\"team mo", None),
            ("pool.p.types a, b", "pool.p.types", Some("a, b")),
        ] {
            assert_eq!(split(rest), (key, value), "{rest}");
        }
    }
}
