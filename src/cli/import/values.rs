//! A value of the old file in the shapes of our settings. `None`: it is of another shape.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde_json::Value;

use crate::model::settings::fields::Written;
use crate::model::span::Exact;

/// Whether there is nothing to bring over.
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(items) => items.iter().all(is_empty),
        Value::Object(entries) => entries.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// As people read it.
pub(super) fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

pub(super) fn text(value: &Value) -> Option<Written> {
    value.as_str().map(|text| Written::Text(text.trim().to_owned()))
}

/// A text that is in a file.
pub(super) fn file(value: &Value) -> Option<Written> {
    value.as_str().map(|path| Written::Text(format!("file:{}", path.trim())))
}

/// What the agent is told where its tasks see no packages of the image.
pub(super) fn no_system_packages(value: &Value) -> Option<Written> {
    let text = "agent.package_manager.system_site_packages: false";
    is_true(value).filter(|set| *set).map(|_| Written::Text(text.to_owned()))
}

pub(super) fn flag(value: &Value) -> Option<Written> {
    is_true(value).map(Written::Flag)
}

pub(super) fn is_true(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

pub(super) fn market(value: &Value) -> Option<Written> {
    is_true(value).map(|spot| Written::Text(if spot { "spot" } else { "on-demand" }.to_owned()))
}

pub(super) fn whole(value: &Value) -> Option<Written> {
    let number = value.as_i64().or_else(|| value.as_str()?.trim().parse().ok());
    number.map(Written::Whole)
}

/// One text, several with commas, or a list of them.
pub(super) fn list(value: &Value) -> Option<Written> {
    let items = match value {
        Value::String(text) => text.split(',').map(|item| item.trim().to_owned()).collect::<Vec<_>>(),
        Value::Array(items) => {
            items.iter().map(|item| item.as_str().map(|item| item.trim().to_owned())).collect::<Option<_>>()?
        }
        _ => return None,
    };
    Some(Written::List(items.into_iter().filter(|item| !item.is_empty()).collect()))
}

/// Minutes, perhaps with a fraction.
pub(super) fn minutes(value: &Value) -> Option<Written> {
    span(value).map(|span| Written::Text(Exact(span).to_string()))
}

/// The same, within what the loop takes.
pub(super) fn poll(value: &Value) -> Option<Written> {
    let span = span(value)?.clamp(SignedDuration::from_secs(1), SignedDuration::from_mins(10));
    Some(Written::Text(Exact(span).to_string()))
}

/// None is shorter than nothing.
fn span(value: &Value) -> Option<SignedDuration> {
    let minutes = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok()).filter(|minutes| *minutes >= 0.0)?;
    let span = SignedDuration::try_from_secs_f64(minutes * 60.0).ok()?;
    Some(SignedDuration::from_secs(span.as_secs()))
}

/// An id, an alias of the Systems Manager, or a name.
pub(super) fn image(value: &Value) -> Option<Written> {
    let text = value.as_str()?.trim();
    let named = match text.strip_prefix("resolve:ssm:").or_else(|| text.strip_prefix("ssm:")) {
        Some(parameter) => format!("ssm:{parameter}"),
        None if text.starts_with('/') => format!("ssm:{text}"),
        None if text.starts_with("ami-") || text.starts_with("name:") => text.to_owned(),
        None => format!("name:{text}"),
    };
    Some(Written::Text(named))
}

/// `Name=a,team=b`, a list of such, a list of `{Key, Value}`, or a table.
pub(super) fn tags(value: &Value) -> Option<Written> {
    let mut tags = BTreeMap::new();
    read_tags(value, &mut tags)?;
    Some(Written::Table(tags))
}

fn read_tags(value: &Value, tags: &mut BTreeMap<String, String>) -> Option<()> {
    match value {
        Value::String(text) => {
            for tag in text.split(',').filter(|tag| !tag.trim().is_empty()) {
                let (name, text) = tag.split_once('=')?;
                tags.insert(name.trim().to_owned(), text.trim().to_owned());
            }
        }
        Value::Array(items) => items.iter().try_for_each(|item| read_tags(item, tags))?,
        Value::Object(entry) => match (entry.get("Key"), entry.get("Value")) {
            (Some(Value::String(name)), Some(text)) => drop(tags.insert(name.clone(), shown(text))),
            _ => tags.extend(entry.iter().map(|(name, text)| (name.clone(), shown(text)))),
        },
        _ => return None,
    }
    Some(())
}

/// The members of a launch call by their dotted names.
pub(super) fn members(value: &Value) -> Option<Written> {
    let parsed;
    let value = match value {
        Value::String(text) => {
            parsed = serde_json::from_str(text).ok()?;
            &parsed
        }
        other => other,
    };
    let mut members = BTreeMap::new();
    flatten(value.as_object()?, "", &mut members);
    Some(Written::Table(members))
}

fn flatten(object: &serde_json::Map<String, Value>, path: &str, members: &mut BTreeMap<String, String>) {
    for (name, value) in object {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match value {
            Value::Object(inner) => flatten(inner, &path, members),
            other => drop(members.insert(path, shown(other))),
        }
    }
}

/// The image and the arguments behind it, as one line has them.
pub(super) fn container(value: &Value) -> Option<(String, Vec<String>)> {
    let mut words = value.as_str()?.split_whitespace().map(str::to_owned);
    Some((words.next()?, words.collect()))
}
