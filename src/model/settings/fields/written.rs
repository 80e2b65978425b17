//! A value as the file has it, before anyone asked whether it is right.

use std::collections::BTreeMap;
use std::fmt;

use toml_edit::Value;

/// A written value, in the shapes that settings have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    Flag(bool),
    Whole(i64),
    Text(String),
    List(Vec<String>),
    Table(BTreeMap<String, String>),
    /// A shape that no setting has, as its text.
    Other(String),
}

impl Written {
    /// Reads one value in the file's own grammar; `None` for what is none.
    #[must_use]
    pub fn from_toml(text: &str) -> Option<Self> {
        let value: Value = text.trim().parse().ok()?;
        Some(of(&value).unwrap_or_else(|| Self::Other(text.trim().to_owned())))
    }

    /// As the file has it.
    #[must_use]
    pub fn to_toml(&self) -> String {
        match self {
            Self::Flag(flag) => flag.to_string(),
            Self::Whole(number) => number.to_string(),
            Self::Text(text) => quoted(text),
            Self::List(items) => {
                let items: Vec<_> = items.iter().map(|item| quoted(item)).collect();
                format!("[{}]", items.join(", "))
            }
            Self::Table(entries) if entries.is_empty() => "{}".to_owned(),
            Self::Table(entries) => {
                let entries: Vec<_> =
                    entries.iter().map(|(name, text)| format!("{} = {}", super::word(name), quoted(text))).collect();
                format!("{{ {} }}", entries.join(", "))
            }
            Self::Other(text) => text.clone(),
        }
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// `None` for a shape that no setting has.
fn of(value: &Value) -> Option<Written> {
    match value {
        Value::Boolean(flag) => Some(Written::Flag(*flag.value())),
        Value::Integer(number) => Some(Written::Whole(*number.value())),
        Value::String(text) => Some(Written::Text(text.value().clone())),
        Value::Array(items) => {
            let items = items.iter().map(|item| item.as_str().map(str::to_owned));
            Some(Written::List(items.collect::<Option<_>>()?))
        }
        Value::InlineTable(entries) => {
            let entries = entries.iter().map(|(name, value)| Some((name.to_owned(), value.as_str()?.to_owned())));
            Some(Written::Table(entries.collect::<Option<_>>()?))
        }
        Value::Float(_) | Value::Datetime(_) => None,
    }
}

/// As people write it on a command line or into a form: without quotes and brackets where none are needed.
impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Whole(number) => write!(f, "{number}"),
            Self::Text(text) if is_plain_text(text) => f.write_str(text),
            Self::List(items) if items.iter().all(|item| is_plain_item(item)) => f.write_str(&items.join(", ")),
            Self::Table(entries) if entries.iter().all(|(name, text)| is_plain_item(name) && is_plain_item(text)) => {
                let entries: Vec<_> = entries.iter().map(|(name, text)| format!("{name} = {text}")).collect();
                f.write_str(&entries.join(", "))
            }
            Self::Text(_) | Self::List(_) | Self::Table(_) => f.write_str(&on_one_line(self)),
            Self::Other(text) => f.write_str(text),
        }
    }
}

/// The file's grammar, but never its strings of several lines: a form has one line.
fn on_one_line(written: &Written) -> String {
    match written {
        Written::Text(text) if text.contains(['\n', '\r']) => format!("\"{}\"", escaped(text)),
        other => other.to_toml(),
    }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        match letter {
            '"' | '\\' => escaped.extend(['\\', letter]),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            control if control.is_control() => escaped.extend(["\\u", &format!("{:04X}", u32::from(control))]),
            other => escaped.push(other),
        }
    }
    escaped
}

fn is_plain_text(text: &str) -> bool {
    text.trim() == text && !text.contains(char::is_control) && !text.starts_with(['"', '\''])
}

fn is_plain_item(item: &str) -> bool {
    !item.is_empty()
        && item.trim() == item
        && !item.contains(|letter: char| letter.is_control() || ",=\"'[]{}".contains(letter))
}

/// Reads a text in the file's grammar where it is in quotes, else as it stands.
pub(super) fn text_of(typed: &str) -> Written {
    let quoted = typed.starts_with(['"', '\'']).then(|| Written::from_toml(typed)).flatten();
    quoted.unwrap_or_else(|| Written::Text(typed.to_owned()))
}

/// Reads `a, b`, or a list in the file's grammar.
pub(super) fn list_of(typed: &str) -> Written {
    if typed.starts_with(['[', '"', '\'']) {
        let list = Written::from_toml(typed).or_else(|| Written::from_toml(&format!("[{typed}]")));
        return match list {
            Some(Written::Text(item)) => Written::List(vec![item]),
            Some(list) => list,
            None => Written::Other(typed.to_owned()),
        };
    }
    let items = typed.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty());
    Written::List(items.collect())
}

/// Reads `name = text, other = text`, or a table in the file's grammar.
pub(super) fn table_of(typed: &str) -> Written {
    if typed.starts_with('{') {
        return Written::from_toml(typed).unwrap_or_else(|| Written::Other(typed.to_owned()));
    }
    let entries = typed.split(',').filter(|entry| !entry.trim().is_empty());
    let entries = entries.map(|entry| {
        let (name, text) = entry.split_once('=')?;
        Some((name.trim().to_owned(), text.trim().to_owned()))
    });
    entries.collect::<Option<_>>().map_or_else(|| Written::Other(typed.to_owned()), Written::Table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lists_and_tables_are_read_as_people_write_them() {
        let list = |items: &[&str]| Written::List(items.iter().map(|item| (*item).to_owned()).collect());
        for (typed, written) in [
            ("a, b", list(&["a", "b"])),
            ("a,b,", list(&["a", "b"])),
            ("", list(&[])),
            ("[\"--gpus\", \"0,1\"]", list(&["--gpus", "0,1"])),
            ("\"0,1\"", list(&["0,1"])),
            ("\"a\", \"b\"", list(&["a", "b"])),
            ("[1]", Written::Other("[1]".to_owned())),
        ] {
            assert_eq!(list_of(typed), written, "{typed}");
        }
        let table = |entries: &[(&str, &str)]| {
            Written::Table(entries.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect())
        };
        for (typed, written) in [
            ("team = ml, site=north", table(&[("team", "ml"), ("site", "north")])),
            ("{ team = \"m, l\" }", table(&[("team", "m, l")])),
            ("", table(&[])),
            ("team", Written::Other("team".to_owned())),
        ] {
            assert_eq!(table_of(typed), written, "{typed}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn text_is_read_back(text in "(?s).*") {
            let written = Written::Text(text);
            prop_assert_eq!(text_of(&written.to_string()), written.clone());
            prop_assert_eq!(Written::from_toml(&written.to_toml()), Some(written));
        }

        #[test]
        fn lists_are_read_back(items in prop::collection::vec("(?s).{0,5}", 0..4)) {
            let written = Written::List(items);
            prop_assert_eq!(list_of(&written.to_string()), written.clone());
            prop_assert_eq!(Written::from_toml(&written.to_toml()), Some(written));
        }

        #[test]
        fn tables_are_read_back(entries in prop::collection::btree_map("(?s).{0,5}", "(?s).{0,5}", 0..4)) {
            let written = Written::Table(entries);
            prop_assert_eq!(table_of(&written.to_string()), written.clone());
            prop_assert_eq!(Written::from_toml(&written.to_toml()), Some(written));
        }
    }
}
