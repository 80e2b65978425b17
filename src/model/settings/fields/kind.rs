//! What a field takes: its shape, its unit, its range, and the words that say so.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::SignedDuration;

use super::written::{self, Written};
use crate::model::hocon::{self, NotHocon};
use crate::model::money::{self, Money, Rate};
use crate::model::settings::run_instances;
use crate::model::span;

/// Longer values are cut in messages.
const LONGEST_SHOWN: usize = 60;

/// Why a value cannot be a field's: `61` is not in 0..60.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {problem}")]
pub struct Wrong {
    /// The value, in backticks and cut; hidden where it may be a secret.
    what: String,
    /// What it is not, with all that is allowed.
    problem: String,
}

impl Wrong {
    pub(super) fn new(value: impl fmt::Display, problem: impl Into<String>) -> Self {
        let mut shown: String = value.to_string().replace(['\n', '\r', '\t'], " ");
        if let Some((at, _)) = shown.char_indices().nth(LONGEST_SHOWN) {
            shown.truncate(at);
            shown.push_str("...");
        }
        Self { what: format!("`{shown}`"), problem: problem.into() }
    }
}

/// A rule for a text.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    pub(super) holds: fn(&str) -> bool,
    /// What a text must be: "a zone, such as `us-east-1a`".
    pub(super) is: &'static str,
}

/// What a field takes.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    Flag,
    /// A whole number.
    Whole {
        unit: &'static str,
        min: i64,
        max: i64,
    },
    /// A duration, or one word instead of it.
    Span {
        min: SignedDuration,
        max: SignedDuration,
        word: Option<&'static str>,
    },
    Money {
        max: Money,
    },
    Rate {
        min: Rate,
        max: Rate,
    },
    Choice(&'static [&'static str]),
    Text(Rule),
    /// A text that may be a secret by mistake: it is never shown.
    Hidden(Rule),
    List {
        item: Rule,
        /// Whether there must be one.
        some: bool,
    },
    /// Texts by name.
    Table {
        name: Rule,
        text: Rule,
    },
    /// Members of EC2's launch call, by their dotted names.
    Members,
    /// A piece of clearml.conf.
    Hocon,
}

impl Kind {
    /// What is allowed, to follow "is not".
    #[must_use]
    pub fn allowed(&self) -> String {
        match self {
            Self::Flag => "true or false".to_owned(),
            Self::Whole { min, max, .. } => format!("a whole number in {min}..{max}"),
            Self::Span { min, max, word } => {
                let span =
                    format!("a duration in {}..{}, such as `90s` or `1h30m`", span::Exact(*min), span::Exact(*max));
                word.map_or_else(|| span.clone(), |word| format!("`{word}` or {span}"))
            }
            Self::Money { max } => {
                format!("an amount of money in $0..{}, such as `$12.50`", money::Exact(*max))
            }
            Self::Rate { min, max } => {
                format!("a price in {}..{}, such as `$1.25/h`", money::ExactRate(*min), money::ExactRate(*max))
            }
            Self::Choice(words) => match words {
                [only] => format!("`{only}`"),
                words => {
                    format!("one of {}", words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "))
                }
            },
            Self::Text(rule) | Self::Hidden(rule) => rule.is.to_owned(),
            Self::List { item, some: true } => format!("a list of one or more texts, each {}", item.is),
            Self::List { item, some: false } => format!("a list of texts, each {}", item.is),
            Self::Table { name, text } => format!("a table of texts; each name is {}, each text {}", name.is, text.is),
            Self::Members => {
                "a table of texts; each name is a member of RunInstances that no other setting sets, such as \
                              `CpuOptions.ThreadsPerCore`, in quotes, and each text what it takes"
                    .to_owned()
            }
            Self::Hocon => "HOCON, the grammar of clearml.conf, without braces around all of it".to_owned(),
        }
    }

    /// What a number counts; empty where its words or the value say so.
    #[must_use]
    pub fn unit(&self) -> &'static str {
        if let Self::Whole { unit, .. } = self { unit } else { "" }
    }

    /// The words that it takes; none where it takes more than words.
    #[must_use]
    pub fn words(&self) -> &'static [&'static str] {
        match self {
            Self::Flag => &["true", "false"],
            Self::Choice(words) => words,
            _ => &[],
        }
    }

    /// Reads what a person typed; whether it is allowed is another question.
    #[must_use]
    pub fn written(&self, typed: &str) -> Written {
        let typed = typed.trim();
        match self {
            Self::Flag => typed.parse().map_or_else(|_| Written::Text(typed.to_owned()), Written::Flag),
            Self::Whole { .. } => typed.parse().map_or_else(|_| Written::Text(typed.to_owned()), Written::Whole),
            Self::List { .. } => written::list_of(typed),
            Self::Table { .. } | Self::Members => written::table_of(typed),
            Self::Span { .. }
            | Self::Money { .. }
            | Self::Rate { .. }
            | Self::Choice(_)
            | Self::Text(_)
            | Self::Hidden(_)
            | Self::Hocon => written::text_of(typed),
        }
    }

    /// That the value is none of this kind.
    pub(super) fn wrong(&self, value: &Written) -> Wrong {
        self.refused(value, format!("is not {}", self.allowed()))
    }

    pub(super) fn refused(&self, value: &Written, problem: String) -> Wrong {
        match self {
            Self::Hidden(_) => Wrong { what: "the value (not shown, it may be a secret)".to_owned(), problem },
            _ => Wrong::new(value, problem),
        }
    }

    /// Whether the value is of this kind and in its range.
    pub fn check(&self, value: &Written) -> Result<(), Wrong> {
        let holds = match (self, value) {
            (Self::Flag, Written::Flag(_)) => true,
            (Self::Whole { min, max, .. }, Written::Whole(number)) => {
                return in_range(value, *number, *min, *max, &format!("{min}..{max}"));
            }
            (Self::Span { word: Some(word), .. }, Written::Text(text)) if text == word => true,
            (Self::Span { min, max, .. }, Written::Text(text)) => match span::parse(text) {
                Ok(found) => {
                    let range = format!("{}..{}", span::Exact(*min), span::Exact(*max));
                    return in_range(value, found, *min, *max, &range);
                }
                Err(_) => false,
            },
            (Self::Money { max }, Written::Text(text)) => match Money::from_str(text) {
                Ok(found) => return in_range(value, found, Money::ZERO, *max, &format!("$0..{}", money::Exact(*max))),
                Err(_) => false,
            },
            (Self::Rate { min, max }, Written::Text(text)) => match Rate::from_str(text) {
                Ok(found) => {
                    let range = format!("{}..{}", money::ExactRate(*min), money::ExactRate(*max));
                    return in_range(value, found, *min, *max, &range);
                }
                Err(_) => false,
            },
            (Self::Choice(words), Written::Text(text)) => words.contains(&text.as_str()),
            (Self::Text(rule) | Self::Hidden(rule), Written::Text(text)) => (rule.holds)(text),
            (Self::List { some: true, .. }, Written::List(items)) if items.is_empty() => {
                return Err(Wrong::new("[]", "is empty: at least one is needed"));
            }
            (Self::List { item: rule, .. }, Written::List(items)) => return each(items, *rule),
            (Self::Table { name, text }, Written::Table(entries)) => {
                return each(entries.keys(), *name).and_then(|()| each(entries.values(), *text));
            }
            (Self::Members, Written::Table(entries)) => return members(entries),
            (Self::Hocon, Written::Text(text)) if text.contains('\0') => {
                return Err(Wrong::new(text, "holds a zero byte"));
            }
            (Self::Hocon, Written::Text(text)) => return hocon::check(text).map_err(|wrong| not_hocon(&wrong)),
            _ => false,
        };
        if holds { Ok(()) } else { Err(self.wrong(value)) }
    }
}

fn in_range<T: PartialOrd + Copy>(value: &Written, found: T, min: T, max: T, range: &str) -> Result<(), Wrong> {
    if found >= min && found <= max { Ok(()) } else { Err(Wrong::new(value, format!("is not in {range}"))) }
}

fn members(entries: &BTreeMap<String, String>) -> Result<(), Wrong> {
    entries.iter().try_for_each(|(name, text)| {
        run_instances::check_name(name).map_err(|problem| Wrong::new(name, problem))?;
        run_instances::check_text(name, text).map_err(|problem| Wrong::new(text, problem))
    })
}

/// The text itself is long, and may hold a secret by mistake: only the place is shown.
fn not_hocon(wrong: &NotHocon) -> Wrong {
    let what = format!("the text at its line {}, column {}", wrong.line, wrong.column);
    Wrong { what, problem: format!("is not HOCON: {}", wrong.why) }
}

fn each<'a>(items: impl IntoIterator<Item = &'a String>, rule: Rule) -> Result<(), Wrong> {
    match items.into_iter().find(|item| !(rule.holds)(item)) {
        Some(item) => Err(Wrong::new(item, format!("is not {}", rule.is))),
        None => Ok(()),
    }
}
