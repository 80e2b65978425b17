//! Which rows of a list are answered, in which order, and how much of each.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use jiff::SignedDuration;
use regex::bytes::{Regex, RegexBuilder};
use serde_json::{Map, Value, json};

use super::Scroll;
use super::call::{Call, invalid};
use crate::world::sim::clearml::Refused;

/// A list answer holds at most this many rows.
const MOST_ROWS: usize = 500;

/// How long a scroll is remembered after its last use.
const SCROLL_LIFE: SignedDuration = SignedDuration::from_mins(10);

/// The regular expression that a field asks for. An empty one is none.
pub(super) fn pattern(call: &Call<'_>, key: &str) -> Result<Option<Regex>, Refused> {
    call.optional(key).filter(|text| !text.is_empty()).map(expression).transpose()
}

/// Names are matched byte by byte: only a class such as `[é]` asks for more than that can do.
fn expression(text: &str) -> Result<Regex, Refused> {
    RegexBuilder::new(text).unicode(false).build().map_err(|error| {
        let said = error.to_string();
        let said = said.lines().last().unwrap_or_default();
        Refused::bad(21, format!("Malformed regular expression: err={said}, extra_info=None"))
    })
}

/// Whether tags are what a filter asks for: any of the plain ones, none of those after a minus.
pub(super) fn tagged(wanted: Option<&Vec<&str>>, tags: &[String]) -> bool {
    let Some(wanted) = wanted else { return true };
    let has = |tag: &str| tags.iter().any(|other| other == tag);
    let mut plain = wanted.iter().filter(|tag| !tag.starts_with('-')).peekable();
    let any = plain.peek().is_none() || plain.any(|tag| has(tag));
    any && !wanted.iter().filter_map(|tag| tag.strip_prefix('-')).any(has)
}

/// Orders, cuts and projects the rows, under the list's name.
pub(super) fn list(call: &mut Call<'_>, name: &str, rows: Vec<Value>) -> Result<Value, Refused> {
    let fields: Vec<String> = call.texts("only_fields").into_iter().flatten().map(str::to_owned).collect();
    let mut answer = whole(call, name, rows)?;
    if let (false, Some(Value::Array(rows))) = (fields.is_empty(), answer.get_mut(name)) {
        let tree = Tree::of(&fields.iter().map(String::as_str).collect::<Vec<_>>());
        for row in rows {
            *row = tree.project(row);
        }
    }
    Ok(answer)
}

/// Orders and cuts the rows, under the list's name.
pub(super) fn whole(call: &mut Call<'_>, name: &str, mut rows: Vec<Value>) -> Result<Value, Refused> {
    for field in call.texts("order_by").into_iter().flatten().rev() {
        sort(&mut rows, field);
    }
    let (rows, scroll) = cut(call, &rows)?;
    let mut answer = Map::from_iter([(name.to_owned(), Value::Array(rows))]);
    if let Some(scroll) = scroll {
        answer.insert("scroll_id".to_owned(), json!(scroll));
    }
    Ok(Value::Object(answer))
}

/// The page, or the next rows of a scroll with its id.
fn cut(call: &mut Call<'_>, rows: &[Value]) -> Result<(Vec<Value>, Option<String>), Refused> {
    let part = |first: usize, size: usize| rows.iter().skip(first).take(size.min(MOST_ROWS)).cloned().collect();
    if call.field("size").is_some() || call.field("scroll_id").is_some() {
        let size = call.count("size").filter(|size| *size > 0).unwrap_or(MOST_ROWS);
        let (id, position) = scroll(call, size.min(MOST_ROWS));
        return Ok((part(position, size), Some(id)));
    }
    if call.field("page_size").is_some() && call.count("page_size").is_none_or(|size| size == 0) {
        return Err(Refused::bad(12, "Validation error (page_size must be >0): field=page_size".to_owned()));
    }
    if call.field("page").is_some() && call.count("page").is_none() {
        return Err(invalid("page must be >=0): field=page"));
    }
    let size = call.count("page_size").unwrap_or(MOST_ROWS);
    Ok((part(call.count("page").unwrap_or_default().saturating_mul(size), size), None))
}

/// The scroll that is asked for, moved on by `size`, and where it stood. An unknown one is a new one.
fn scroll(call: &mut Call<'_>, size: usize) -> (String, usize) {
    let now = call.now;
    call.memory.scrolls.retain(|_, scroll| now.duration_since(scroll.touched) < SCROLL_LIFE);
    let known = call.optional("scroll_id").filter(|id| call.memory.scrolls.contains_key(*id));
    let id = known.map_or_else(|| format!("{:032x}", call.memory.answered), str::to_owned);
    let scroll = call.memory.scrolls.entry(id.clone()).or_insert(Scroll { position: 0, touched: now });
    let position = scroll.position;
    (scroll.position, scroll.touched) = (position.saturating_add(size), now);
    (id, position)
}

fn sort(rows: &mut [Value], field: &str) {
    let (path, down) = field.strip_prefix('-').map_or((field, false), |path| (path, true));
    let pointer = format!("/{}", path.replace('.', "/"));
    rows.sort_by(|a, b| {
        let order = compare(a.pointer(&pointer), b.pointer(&pointer));
        if down { order.reverse() } else { order }
    });
}

/// What is absent comes first; times are texts that sort as they are.
fn compare(a: Option<&Value>, b: Option<&Value>) -> Ordering {
    match (a, b) {
        (Some(Value::String(a)), Some(Value::String(b))) => a.cmp(b),
        (Some(Value::Number(a)), Some(Value::Number(b))) => {
            a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal)
        }
        (a, b) => a.is_some().cmp(&b.is_some()),
    }
}

/// The fields that are wanted, part by part; a leaf is wanted whole.
#[derive(Debug, Default)]
struct Tree(BTreeMap<String, Tree>);

impl Tree {
    fn of(fields: &[&str]) -> Self {
        let mut tree = Self::default();
        for field in fields {
            let mut at = &mut tree;
            for part in field.split('.') {
                at = at.0.entry(part.to_owned()).or_default();
            }
        }
        tree
    }

    fn project(&self, value: &Value) -> Value {
        if self.0.is_empty() {
            return value.clone();
        }
        match value {
            Value::Object(map) => {
                let found = self.0.iter().filter_map(|(key, tree)| Some((key.clone(), tree.project(map.get(key)?))));
                Value::Object(found.collect())
            }
            Value::Array(items) => items.iter().map(|item| self.project(item)).collect(),
            other => other.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_row_is_projected_as_the_server_does() {
        let row = json!({ "id": "q", "name": "n", "execution": { "queue": "x", "artifacts": [] },
            "entries": [{ "task": "t", "added": "a" }, { "task": "u", "added": "b" }], "script": {} });
        for (fields, wanted) in [
            (vec!["id"], json!({ "id": "q" })),
            (vec!["execution.queue", "name"], json!({ "execution": { "queue": "x" }, "name": "n" })),
            (vec!["entries.task"], json!({ "entries": [{ "task": "t" }, { "task": "u" }] })),
            (vec!["entries"], json!({ "entries": row["entries"] })),
            (vec!["script.binary", "nothing"], json!({ "script": {} })),
        ] {
            assert_eq!(Tree::of(&fields).project(&row), wanted, "{fields:?}");
        }
    }

    #[test]
    fn rows_are_sorted_by_a_part_up_or_down_and_what_lacks_it_comes_first() {
        let rows = || vec![json!({ "x": { "n": 2 } }), json!({ "x": { "n": 10 } }), json!({})];
        let (mut up, mut down) = (rows(), rows());
        sort(&mut up, "x.n");
        sort(&mut down, "-x.n");
        assert_eq!(up, [json!({}), json!({ "x": { "n": 2 } }), json!({ "x": { "n": 10 } })]);
        down.reverse();
        assert_eq!(up, down);
    }

    #[test]
    fn a_name_is_searched_as_python_does_after_its_escapes() {
        for (text, name, found) in [
            (r"^drain:i\-0a$", "drain:i-0a", true),
            (r"^gpu\ large\#\~\&$", "gpu large#~&", true),
            ("gpu", "my-gpu-1", true),
            ("^GPU", "gpu", false),
            ("(?i)^GPU", "gpu", true),
            (r"^größe\d+\w$", "größe12x", true),
            ("^grö.$", "gröx", true),
        ] {
            assert_eq!(expression(text).unwrap().is_match(name.as_bytes()), found, "{text} {name}");
        }
        for text in ["[", "(", "*", r"\"] {
            assert_eq!(expression(text).unwrap_err().subcode, 21, "{text}");
        }
    }

    #[test]
    fn tags_are_any_of_the_plain_and_none_of_the_minus() {
        let tags = ["a".to_owned(), "b".to_owned()];
        for (wanted, found) in
            [(vec![], true), (vec!["a", "x"], true), (vec!["x"], false), (vec!["-b"], false), (vec!["a", "-x"], true)]
        {
            assert_eq!(tagged(Some(&wanted), &tags), found, "{wanted:?}");
        }
        assert!(tagged(None, &tags));
    }

    proptest! {
        #[test]
        fn any_text_is_an_expression_or_refused(text: String) {
            let _ = expression(&text);
        }

        #[test]
        fn any_fields_are_projected(fields: Vec<String>) {
            let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
            let _ = Tree::of(&fields).project(&json!({ "a": [{ "b": 1 }], "": {} }));
        }
    }
}
