//! The field table: every setting once, with its range, its default, its words and its place in [`Settings`].
//! The file's parser, the screen's form, `check`, the reference file and the documentation all read it.

mod cluster;
mod form;
mod google;
mod kind;
mod place;
mod rules;
mod slot;
mod table;
mod written;

pub use form::{Line, form};
pub use kind::{Kind, Wrong};
pub(super) use rules::{is_account, is_house_name, is_line};
pub use written::Written;

use crate::model::nearest::did_you_mean;
use crate::model::settings::key::{Key, KeyError, Part, Section, word};
use crate::model::settings::{PoolSettings, Settings};

/// When a changed value begins to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// Within one pass of the loop.
    AtOnce,
    /// For machines that start later; those that run stay as they are.
    NewMachines,
    /// When the console is started again.
    Restart,
}

impl Takes {
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::AtOnce => "at once",
            Self::NewMachines => "for machines started later",
            Self::Restart => "after a restart",
        }
    }
}

/// What holds where the file has no line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unset {
    /// Nothing: the file must have the line.
    Required,
    /// This value, as people write it.
    Is(&'static str),
    /// No value, which means this.
    Means(&'static str),
}

/// One setting.
#[derive(Debug)]
pub struct Field {
    pub name: &'static str,
    pub kind: Kind,
    pub unset: Unset,
    pub takes: Takes,
    /// One or two sentences.
    pub doc: &'static str,
    /// A value that is allowed, as people write it.
    pub example: &'static str,
    /// Beginnings of values that are meant to come, and are refused until then.
    later: &'static [&'static str],
    lens: place::Lens,
}

impl Field {
    #[must_use]
    pub fn part(&self) -> Part {
        self.lens.part()
    }

    /// With a star for the section's own name: `queue.*.max`.
    #[must_use]
    pub fn pattern(&self) -> String {
        format!("{}.{}", self.part(), self.name)
    }

    /// Whether the value can be this field's.
    pub fn check(&self, value: &Written) -> Result<(), Wrong> {
        if let Written::Text(text) = value
            && self.later.iter().any(|later| text.starts_with(later))
        {
            let problem = format!("is not supported yet: it must be {}", self.kind.allowed());
            return Err(self.kind.refused(value, problem));
        }
        self.kind.check(value)
    }

    /// Reads what a person typed.
    pub fn read(&self, typed: &str) -> Result<Written, Wrong> {
        let value = self.kind.written(typed);
        self.check(&value).map(|()| value)
    }
}

/// Every field, in the order of the file.
pub fn all() -> impl Iterator<Item = &'static Field> {
    table::TABLE.iter().copied().flatten()
}

/// The fields of a kind of section.
pub fn of(part: Part) -> impl Iterator<Item = &'static Field> {
    all().filter(move |field| field.part() == part)
}

/// The field of this name.
pub fn find(part: Part, name: &str) -> Result<&'static Field, KeyError> {
    if let Some(field) = of(part).find(|field| field.name == name) {
        return Ok(field);
    }
    let word = name.to_owned();
    let hint = did_you_mean(name, of(part).map(|field| field.name));
    Err(KeyError::Field { part, word, hint })
}

/// Settings of where machines stand and how they are bought, not of what they are.
const ELSEWHERE: [&str; 7] = ["types", "market", "zones", "subnets", "spot_max_price", "spot_strategy", "provisioning"];

/// The fields of a pool, by their names, whose values are not the defaults.
pub(super) fn set_in(pool: &PoolSettings) -> impl Iterator<Item = &'static str> {
    let plain = PoolSettings::with_defaults("");
    let differs = move |field: &&Field| field.lens.of_pool(pool) != field.lens.of_pool(&plain);
    of(Part::Pool).filter(differs).map(|field| field.name)
}

/// What the pool's machines are made of and what they run, by the fields' names: every value that is not the default.
pub fn made_of(pool: &PoolSettings) -> impl Iterator<Item = (&'static str, Written)> {
    let plain = PoolSettings::with_defaults("");
    let made = of(Part::Pool).filter(|field| field.takes == Takes::NewMachines && !ELSEWHERE.contains(&field.name));
    made.filter_map(move |field| {
        let value = field.lens.of_pool(pool);
        let value = value.filter(|value| field.lens.of_pool(&plain).as_ref() != Some(value))?;
        Some((field.name, value))
    })
}

/// The section begins with its defaults, unless it is there.
pub(crate) fn begin(settings: &mut Settings, section: &Section) {
    place::begin(settings, section);
}

/// Puts a value where the key says; a section that is not there yet begins with its defaults.
pub fn put(settings: &mut Settings, key: &Key, value: &Written) -> Result<(), Wrong> {
    key.field.check(value)?;
    if place::take(settings, key, value) { Ok(()) } else { Err(key.field.kind.wrong(value)) }
}

/// The value at the key; `None` where it has none, or where there is no such section.
#[must_use]
pub fn value(settings: &Settings, key: &Key) -> Option<Written> {
    place::give(settings, key)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::model::ids::Revision;

    fn key(field: &'static Field) -> Key {
        Section::new(field.part(), "one").key(field)
    }

    #[test]
    fn every_example_and_default_is_taken_and_given_back() {
        for field in all() {
            let mut settings = Settings::blank(Revision::new("0"));
            let texts = [Some(field.example), if let Unset::Is(text) = field.unset { Some(text) } else { None }];
            for text in texts.into_iter().flatten() {
                let read = field.read(text).unwrap_or_else(|wrong| panic!("{}: {wrong}", field.pattern()));
                put(&mut settings, &key(field), &read).unwrap();
                let name = if field.name == "name" { text } else { "one" };
                let given = value(&settings, &Section::new(field.part(), name).key(field)).unwrap();
                assert_eq!(given, read, "{}", field.pattern());
                assert_eq!(field.read(&given.to_string()).unwrap(), read, "{}", field.pattern());
            }
        }
    }

    #[test]
    fn every_field_is_addressed_by_its_pattern() {
        let mut seen = BTreeSet::new();
        for field in all() {
            assert!(seen.insert(field.pattern()), "{} is there twice", field.pattern());
            let key = Key::parse(&field.pattern().replace('*', "one")).unwrap();
            assert_eq!(key, self::key(field));
            assert_eq!(Key::parse(&key.to_string()).unwrap(), key);
            assert!(field.doc.ends_with(['.', '?']) && field.doc.len() > 10, "{}", field.pattern());
        }
    }

    #[test]
    fn a_new_section_has_every_default() {
        let mut settings = Settings::blank(Revision::new("0"));
        place::begin(&mut settings, &Section::new(Part::Pool, "one"));
        place::begin(&mut settings, &Section::new(Part::Queue, "one"));
        place::begin(&mut settings, &Section::new(Part::Budget, "one"));
        place::begin(&mut settings, &Section::new(Part::Schedule, "one"));
        place::begin(&mut settings, &Section::new(Part::Notify, "one"));
        for field in all() {
            let given = value(&settings, &key(field));
            match field.unset {
                Unset::Is(text) => assert_eq!(given.unwrap(), field.read(text).unwrap(), "{}", field.pattern()),
                Unset::Means(_) => {
                    let nothing = given.as_ref().is_none_or(|given| *given == field.kind.written(""));
                    assert!(nothing, "{}: {given:?}", field.pattern());
                }
                Unset::Required => {}
            }
        }
    }

    #[test]
    fn a_wrong_value_is_told_with_what_is_allowed() {
        for (key, typed, said) in [
            ("limits.max", "six", "`six` is not a whole number in 0..100000"),
            ("limits.max", "-1", "`-1` is not in 0..100000"),
            ("limits.max_hourly", "$5", "`$5` is not a price in $0/h..$1000000/h, such as `$1.25/h`"),
            ("loop.poll", "1h", "`1h` is not in 1s..10m"),
            ("loop.poll", "never", "`never` is not `auto` or a duration in 1s..10m, such as `90s` or `1h30m`"),
            ("loop.on_exit", "stop", "`stop` is not one of `leave`, `stop-idle`, `stop-all`"),
            ("loop.count_foreign", "yes", "`yes` is not true or false"),
            (
                "pool.p.keep_alive",
                "taught",
                "`taught` is not `learned` or a duration in 0s..30d, such as `90s` or `1h30m`",
            ),
            ("queue.q.on_lost", "requeue:0", "`requeue:0` is not `never` or `requeue:N` with N in 1..100"),
            (
                "clearml.credentials",
                "AKIA:hush",
                "the value (not shown, it may be a secret) is not `env:NAME` or `file:PATH`, the place where a secret is",
            ),
            ("pool.p.zones", "a, b c", "`b c` is not a zone, such as `us-east-1a` or `us-central1-a`"),
            ("pool.p.types", "", "`[]` is empty: at least one is needed"),
            (
                "pool.p.extra_clearml_conf",
                "\"agent {\\n  git_pass: hush }}\"",
                "the text at its line 2, column 19 is not HOCON: expected end of file, found `}`",
            ),
        ] {
            let field = Key::parse(key).unwrap().field;
            assert_eq!(field.read(typed).unwrap_err().to_string(), said, "{key}");
        }
    }
}
