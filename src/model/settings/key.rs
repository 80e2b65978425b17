//! How settings are addressed, in one place: `limits.max`, `queue.gpu-large.max`, `budget."team month".limit`.
//! A name that is more than letters, digits, `-` and `_` stands in quotes, as in the file.

use std::fmt;

use crate::model::ids::{AccountName, BudgetName, NotifyName, PoolName, QueueName, ScheduleName};
use crate::model::nearest::did_you_mean;
use crate::model::settings::Settings;
use crate::model::settings::fields::{self, Field};

/// A kind of section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    Clearml,
    Agents,
    Loop,
    Limits,
    Budget,
    Schedule,
    Account,
    Notify,
    Queue,
    Pool,
    Keys,
}

impl Part {
    /// In the order of the file.
    pub const ALL: [Self; 11] = [
        Self::Clearml,
        Self::Agents,
        Self::Loop,
        Self::Limits,
        Self::Budget,
        Self::Schedule,
        Self::Account,
        Self::Notify,
        Self::Queue,
        Self::Pool,
        Self::Keys,
    ];

    /// The words that its keys begin with; a section's own name comes after them.
    #[must_use]
    pub fn words(self) -> &'static [&'static str] {
        match self {
            Self::Clearml => &["clearml"],
            Self::Agents => &["clearml", "agents"],
            Self::Loop => &["loop"],
            Self::Limits => &["limits"],
            Self::Budget => &["budget"],
            Self::Schedule => &["schedule"],
            Self::Account => &["account"],
            Self::Notify => &["notify"],
            Self::Queue => &["queue"],
            Self::Pool => &["pool"],
            Self::Keys => &["keys"],
        }
    }

    /// As the file has it, a star for the name: `[queue.*]`, `[[budget]]`.
    #[must_use]
    pub fn heading(self) -> String {
        if self == Self::Budget { "[[budget]]".to_owned() } else { format!("[{self}]") }
    }

    /// Whether there may be several, each with a name.
    #[must_use]
    pub fn is_named(self) -> bool {
        matches!(self, Self::Budget | Self::Schedule | Self::Account | Self::Notify | Self::Queue | Self::Pool)
    }
}

/// As a pattern: `queue.*`.
impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().join("."))?;
        if self.is_named() { f.write_str(".*") } else { Ok(()) }
    }
}

/// One section of the settings.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Section {
    Clearml,
    Agents,
    Loop,
    Limits,
    Budget(BudgetName),
    Schedule(ScheduleName),
    Account(AccountName),
    Notify(NotifyName),
    Queue(QueueName),
    Pool(PoolName),
    Keys,
}

impl Section {
    /// The section of this kind; the name counts where the kind has names.
    #[must_use]
    pub fn new(part: Part, name: &str) -> Self {
        match part {
            Part::Clearml => Self::Clearml,
            Part::Agents => Self::Agents,
            Part::Loop => Self::Loop,
            Part::Limits => Self::Limits,
            Part::Budget => Self::Budget(name.into()),
            Part::Schedule => Self::Schedule(name.into()),
            Part::Account => Self::Account(name.into()),
            Part::Notify => Self::Notify(name.into()),
            Part::Queue => Self::Queue(name.into()),
            Part::Pool => Self::Pool(name.into()),
            Part::Keys => Self::Keys,
        }
    }

    #[must_use]
    pub fn part(&self) -> Part {
        match self {
            Self::Clearml => Part::Clearml,
            Self::Agents => Part::Agents,
            Self::Loop => Part::Loop,
            Self::Limits => Part::Limits,
            Self::Budget(_) => Part::Budget,
            Self::Schedule(_) => Part::Schedule,
            Self::Account(_) => Part::Account,
            Self::Notify(_) => Part::Notify,
            Self::Queue(_) => Part::Queue,
            Self::Pool(_) => Part::Pool,
            Self::Keys => Part::Keys,
        }
    }

    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Budget(name) => Some(name.as_str()),
            Self::Schedule(name) => Some(name.as_str()),
            Self::Account(name) => Some(name.as_str()),
            Self::Notify(name) => Some(name.as_str()),
            Self::Queue(name) => Some(name.as_str()),
            Self::Pool(name) => Some(name.as_str()),
            Self::Clearml | Self::Agents | Self::Loop | Self::Limits | Self::Keys => None,
        }
    }

    /// The key of one of its fields.
    #[must_use]
    pub fn key(&self, field: &'static Field) -> Key {
        Key { section: self.clone(), field }
    }
}

/// As keys begin: `queue.gpu-large`.
impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.part().words().join("."))?;
        match self.name() {
            Some(name) => write!(f, ".{}", word(name)),
            None => Ok(()),
        }
    }
}

impl Settings {
    /// Every section, in the order of the file's parts.
    #[must_use]
    pub fn sections(&self) -> Vec<Section> {
        let single = [Section::Clearml, Section::Agents, Section::Loop, Section::Limits];
        let budgets = self.budgets.iter().map(|budget| Section::Budget(budget.name.clone()));
        let schedules = self.schedules.iter().map(|schedule| Section::Schedule(schedule.name.clone()));
        let queues = self.queues.iter().map(|queue| Section::Queue(queue.name.clone()));
        let pools = self.pools.iter().map(|pool| Section::Pool(pool.name.clone()));
        let accounts = self.accounts.iter().map(|account| Section::Account(account.name.clone()));
        let notify = self.notify.iter().map(|told| Section::Notify(told.name.clone()));
        single
            .into_iter()
            .chain(budgets)
            .chain(schedules)
            .chain(accounts)
            .chain(notify)
            .chain(queues)
            .chain(pools)
            .chain([Section::Keys])
            .collect()
    }
}

/// A word of a key as it is written: in quotes where it must be.
#[must_use]
pub fn word(text: &str) -> String {
    toml_edit::Key::new(text).to_string()
}

/// Why a text is not the key of a setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("`{text}` is not a key: write it as `queue.NAME.max`, a name with spaces or dots in quotes")]
    Grammar { text: String },
    #[error("there is no `{word}` in the settings{hint}")]
    Section { word: String, hint: String },
    #[error("`{text}` is a section: go on with one of its fields, {fields}")]
    Incomplete { text: String, fields: String },
    #[error("`{text}` has names: go on with one and a field, as in `{text}.NAME.FIELD`")]
    Nameless { text: String },
    #[error("there is no `{word}` in {}{hint}", .part.heading())]
    Field { part: Part, word: String, hint: String },
    #[error("`{text}` goes on after the field: its value is written as a whole")]
    TooLong { text: String },
}

/// The address of one setting.
#[derive(Debug, Clone)]
pub struct Key {
    pub section: Section,
    pub field: &'static Field,
}

impl Key {
    /// Reads a key as people write it.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let grammar = || KeyError::Grammar { text: text.to_owned() };
        let words = toml_edit::Key::parse(text.trim()).map_err(|_| grammar())?;
        let words: Vec<&str> = words.iter().map(toml_edit::Key::get).collect();
        let (part, rest) =
            part_of(&words).ok_or_else(|| unknown_section(words.first().copied().unwrap_or_default()))?;
        let incomplete = || KeyError::Incomplete { text: text.trim().to_owned(), fields: field_list(part) };
        let (name, rest) = match rest {
            [name, rest @ ..] if part.is_named() => (*name, rest),
            _ if part.is_named() => {
                return Err(KeyError::Nameless { text: text.trim().to_owned() });
            }
            _ => ("", rest),
        };
        match rest {
            [] => Err(incomplete()),
            [field] => Ok(Self { section: Section::new(part, name), field: fields::find(part, field)? }),
            [field, ..] => {
                fields::find(part, field)?;
                Err(KeyError::TooLong { text: text.trim().to_owned() })
            }
        }
    }
}

fn part_of<'a>(words: &'a [&'a str]) -> Option<(Part, &'a [&'a str])> {
    let matching = Part::ALL.into_iter().filter_map(|part| Some((part, words.strip_prefix(part.words())?)));
    matching.max_by_key(|(part, _)| part.words().len())
}

pub(crate) fn unknown_section(word: &str) -> KeyError {
    let known = Part::ALL.iter().filter_map(|part| part.words().first().copied());
    KeyError::Section { word: word.to_owned(), hint: did_you_mean(word, known) }
}

fn field_list(part: Part) -> String {
    fields::of(part).map(|field| field.name).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.section, self.field.name)
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.section == other.section && self.field.name == other.field.name
    }
}

impl Eq for Key {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_are_read_as_people_write_them() {
        for (text, section, field) in [
            ("loop.poll", Section::Loop, "poll"),
            ("clearml.api_server", Section::Clearml, "api_server"),
            ("clearml.agents.credentials", Section::Agents, "credentials"),
            ("queue.gpu-large.max", Section::Queue("gpu-large".into()), "max"),
            ("queue.\"a.b c\".max", Section::Queue("a.b c".into()), "max"),
            (" budget.'team month'.limit ", Section::Budget("team month".into()), "limit"),
            ("pool.p4d.price", Section::Pool("p4d".into()), "price"),
        ] {
            let key = Key::parse(text).unwrap();
            assert_eq!((key.section, key.field.name), (section, field), "{text}");
        }
    }

    #[test]
    fn a_wrong_key_is_told_with_what_is_near() {
        for (text, said) in [
            ("", "`` is not a key: write it as `queue.NAME.max`, a name with spaces or dots in quotes"),
            ("a b.c", "`a b.c` is not a key: write it as `queue.NAME.max`, a name with spaces or dots in quotes"),
            ("queues.gpu.max", "there is no `queues` in the settings: did you mean `queue`?"),
            ("queue.gpu.maxx", "there is no `maxx` in [queue.*]: did you mean `max`?"),
            ("queue.gpu.zone", "there is no `zone` in [queue.*]"),
            ("limits", "`limits` is a section: go on with one of its fields, max, max_gpu, max_vcpu, max_hourly"),
            ("clearml.agents", "`clearml.agents` is a section: go on with one of its fields, credentials"),
            ("queue", "`queue` has names: go on with one and a field, as in `queue.NAME.FIELD`"),
            ("pool.p.tags.team", "`pool.p.tags.team` goes on after the field: its value is written as a whole"),
        ] {
            assert_eq!(Key::parse(text).unwrap_err().to_string(), said, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_name_is_addressed_and_read_back(name in "(?s).{1,12}") {
            let key = Section::new(Part::Queue, &name).key(fields::find(Part::Queue, "max").unwrap());
            prop_assert_eq!(Key::parse(&key.to_string()).unwrap(), key);
        }

        #[test]
        fn any_text_is_a_key_or_refused(text in "(?s).*") {
            let _ = Key::parse(&text);
        }
    }
}
