//! The screen's use of the field table: which settings a form shows, what they say, and whether a text can be one.

use super::form::Field;
use crate::engine::command::Edit;
use crate::engine::event::View;
use crate::model::instance::Hold;
use crate::model::settings::fields::{self as table, Unset};
use crate::model::settings::key::{Key, Section};
use crate::model::settings::{BudgetScope, Settings};
use crate::tui::state::place::Subject;
use crate::tui::usage::Usage;
use crate::tui::words::rate;

/// How a text is checked.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Check {
    Setting(&'static table::Field),
    /// How long a machine is held.
    Held,
    Text,
}

impl Check {
    /// What nothing typed means.
    pub(crate) fn unset(self) -> &'static str {
        match self {
            Self::Setting(field) => match field.unset {
                Unset::Is(meaning) | Unset::Means(meaning) => meaning,
                Unset::Required => "nothing",
            },
            Self::Held | Self::Text => "nothing",
        }
    }

    /// Why the text cannot be; nothing typed is the default.
    pub(crate) fn wrong(self, text: &str) -> Option<String> {
        match self {
            Self::Setting(field) if text.is_empty() && field.unset != Unset::Required => None,
            Self::Setting(field) => field.read(text).err().map(|wrong| wrong.to_string()),
            Self::Held => Hold::read_span(text).err(),
            Self::Text => None,
        }
    }
}

const LIMITS: [&str; 4] = ["max", "max_gpu", "max_vcpu", "max_hourly"];

/// The fields of something's form: its limits, what else decides, and the budgets over it.
pub(super) fn of(view: &View, subject: &Subject) -> Vec<Field> {
    let settings = &view.settings;
    let (section, more, budgets): (Section, &[&str], BudgetScope) = match subject {
        Subject::All => (Section::Limits, &[], BudgetScope::All),
        Subject::Queue(name) => {
            (Section::Queue(name.clone()), &["priority", "expected_task"], BudgetScope::Queue(name.clone()))
        }
        Subject::Pool(name) => {
            (Section::Pool(name.clone()), &["min", "keep_alive", "price"], BudgetScope::Pool(name.clone()))
        }
        Subject::Budget(name) => return lines(settings, &Section::Budget(name.clone()), &["limit", "hard"], &[]),
        _ => return Vec::new(),
    };
    let mut all = lines(settings, &section, more, &used(view, subject));
    for budget in settings.budgets.iter().filter(|budget| budget.scope == budgets) {
        let state = view.spend.budgets.iter().find(|state| state.name == budget.name);
        let spent = state.map(|state| format!("{}, {} more committed", state.spent, state.committed));
        let section = Section::Budget(budget.name.clone());
        for mut field in lines(settings, &section, &["limit"], &[]) {
            field.label = budget.name.to_string();
            field.used.clone_from(&spent);
            all.push(field);
        }
    }
    all
}

/// What is used of each limit.
fn used(view: &View, subject: &Subject) -> [String; 4] {
    let usage = Usage::of(view, subject);
    [usage.instances.to_string(), usage.gpu.to_string(), usage.vcpu.to_string(), format!("${}/h", rate(usage.rate))]
}

fn lines(settings: &Settings, section: &Section, more: &[&str], used: &[String]) -> Vec<Field> {
    let shown: Vec<&str> = if section.name().is_some() && matches!(section, Section::Budget(_)) {
        more.to_vec()
    } else {
        LIMITS.into_iter().chain(more.iter().copied()).collect()
    };
    let lines = table::form(settings, section);
    let line_of = |name: &&str| lines.iter().find(|line| line.field().name == *name);
    shown
        .iter()
        .filter_map(line_of)
        .map(|line| {
            let field = line.field();
            // What only a default says is not written into the file.
            let text = if line.is_default { String::new() } else { line.text.clone() };
            let limit = LIMITS.iter().position(|limit| *limit == field.name);
            Field {
                key: line.key.to_string(),
                label: field.name.to_owned(),
                doc: format!("{} Counts {}.", field.doc, field.takes.words()),
                range: range(field),
                used: limit.and_then(|limit| used.get(limit)).cloned(),
                input: text.as_str().into(),
                was: text,
                began: None,
                check: Check::Setting(field),
            }
        })
        .collect()
}

pub(crate) fn range(field: &table::Field) -> String {
    allowed(field, "empty")
}

/// What a field takes, with the word that stands for its default.
fn allowed(field: &table::Field, unset: &str) -> String {
    let unit = field.kind.unit();
    let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
    let empty = match field.unset {
        Unset::Required => String::new(),
        Unset::Is(text) => format!("; {unset}: {text}"),
        Unset::Means(meaning) => format!("; {unset}: {meaning}"),
    };
    format!("{}{unit}{empty}", field.kind.allowed())
}

/// Every setting's key, for completion.
pub(crate) fn keys(settings: &Settings) -> Vec<Key> {
    let sections = settings.sections();
    sections.iter().flat_map(|section| table::of(section.part()).map(|field| section.key(field))).collect()
}

/// An edit as it was typed, checked, and what would take it back; `None`: the default.
pub(crate) fn edit(settings: &Settings, key: &Key, value: Option<&str>) -> Result<(Edit, Edit), String> {
    match value {
        Some(value) => {
            key.field.read(value).map_err(|wrong| wrong.to_string())?;
        }
        None if key.field.unset == Unset::Required => return Err("it has no default: type a value".to_owned()),
        None => {}
    }
    let line = table::form(settings, &key.section).into_iter().find(|line| line.key == *key);
    let was = line.filter(|line| !line.is_default).map(|line| line.text);
    let back = Edit { key: key.to_string(), value: was };
    Ok((Edit { key: key.to_string(), value: value.map(str::to_owned) }, back))
}

/// Typed in the palette for a key's default.
pub(crate) const DEFAULT: &str = "default";

/// What a key takes, for the palette.
pub(crate) fn takes(key: &Key) -> String {
    allowed(key.field, &format!("or `{DEFAULT}`"))
}

/// The same, with what it is for.
pub(crate) fn doc(key: &Key) -> String {
    format!("{}. {}", takes(key), key.field.doc)
}
