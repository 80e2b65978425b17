//! Changing one value in a TOML text. Only the bytes of that value, or its line, are touched: every comment, space
//! and line beside it stays, since nothing is ever written anew.

mod list;

use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::model::settings::fields::Written;
use crate::model::settings::key::{Key, Part, Section, word};
use crate::store::settings::problem::SettingsProblems;

type Value<'a> = Spanned<DeValue<'a>>;

/// Where an entry lives: in a section, or in a table of texts that is one of the section's fields.
#[derive(Clone, Copy)]
struct Home<'a> {
    section: &'a Section,
    field: Option<&'a str>,
}

/// The text with the value at the key, or without its line.
pub(super) fn set(text: &str, key: &Key, value: Option<&Written>) -> Result<String, SettingsProblems> {
    let home = Home { section: &key.section, field: None };
    let name = key.field.name;
    let Some(value) = value else { return remove(text, home, name) };
    match value {
        Written::Table(entries) => {
            let old =
                with_entry(text, home, name, |entry| entry.and_then(|(_, old)| old.get_ref().as_table().map(names)))?;
            let Some(old) = old else { return put(text, home, name, value) };
            let home = Home { section: &key.section, field: Some(name) };
            let mut text = text.to_owned();
            for (name, entry) in entries {
                text = put(&text, home, name, &Written::Text(entry.clone()))?;
            }
            for gone in old.iter().filter(|name| !entries.contains_key(*name)) {
                text = remove(&text, home, gone)?;
            }
            Ok(text)
        }
        _ => put(text, home, name, value),
    }
}

fn names(table: &DeTable) -> Vec<String> {
    table.keys().map(|name| name.get_ref().to_string()).collect()
}

fn parse(text: &str) -> Result<Spanned<DeTable<'_>>, SettingsProblems> {
    let not_toml = |error: toml::de::Error| SettingsProblems::unread(Path::new("settings"), error.message().to_owned());
    DeTable::parse(text).map_err(not_toml)
}

fn with_entry<T>(
    text: &str,
    home: Home,
    name: &str,
    then: impl FnOnce(Option<(&Spanned<std::borrow::Cow<str>>, &Value)>) -> T,
) -> Result<T, SettingsProblems> {
    let root = parse(text)?;
    let table = table_of(root.get_ref(), home).and_then(|table| table.get_ref().as_table());
    Ok(then(table.and_then(|table| table.get_key_value(name))))
}

fn table_of<'a, 'i>(root: &'a DeTable<'i>, home: Home) -> Option<&'a Value<'i>> {
    let section = section_of(root, home.section)?;
    match home.field {
        Some(field) => section.get_ref().as_table()?.get(field),
        None => Some(section),
    }
}

fn section_of<'a, 'i>(root: &'a DeTable<'i>, section: &Section) -> Option<&'a Value<'i>> {
    let mut words = section.part().words().iter();
    let mut found = root.get(*words.next()?)?;
    for word in words {
        found = found.get_ref().as_table()?.get(*word)?;
    }
    match section {
        Section::Budget(name) => {
            let is_it = |budget: &&Value| {
                budget.get_ref().get("name").and_then(|name| name.get_ref().as_str()) == Some(name.as_str())
            };
            found.get_ref().as_array()?.iter().find(is_it)
        }
        _ => match section.name() {
            Some(name) => found.get_ref().as_table()?.get(name),
            None => Some(found),
        },
    }
}

/// Puts the value in the old one's place, else behind the last entry of its home, else into a new section.
fn put(text: &str, home: Home, name: &str, value: &Written) -> Result<String, SettingsProblems> {
    let root = parse(text)?;
    let table = table_of(root.get_ref(), home);
    let entries = table.and_then(|table| table.get_ref().as_table());
    if let Some(old) = entries.and_then(|entries| entries.get(name)) {
        return Ok(match (old.get_ref(), value) {
            (DeValue::Array(old_items), Written::List(items)) => list::put(text, &old.span(), old_items, items),
            _ => spliced(text, old.span(), &value.to_toml()),
        });
    }
    let entry = format!("{} = {}", word(name), value.to_toml());
    Ok(match table.zip(entries) {
        Some((table, entries)) => {
            insert(text, table, entries, &entry).unwrap_or_else(|| begin(text, root.get_ref(), home.section, &entry))
        }
        None => begin(text, root.get_ref(), home.section, &entry),
    })
}

fn spliced(text: &str, range: Range<usize>, new: &str) -> String {
    let mut text = text.to_owned();
    text.replace_range(range, new);
    text
}

fn newline(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}

fn begins_with(text: &str, span: &Range<usize>, letter: char) -> bool {
    text.get(span.start..).is_some_and(|rest| rest.starts_with(letter))
}

fn line_start(text: &str, at: usize) -> usize {
    text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1)
}

/// Behind the line's newline, or at the text's end.
fn line_end(text: &str, at: usize) -> usize {
    text.get(at..).and_then(|rest| rest.find('\n')).map_or(text.len(), |newline| at + newline + 1)
}

/// Where a value and all that is in it ends.
fn end_of(value: &Value) -> usize {
    let inner = match value.get_ref() {
        DeValue::Table(table) => table.values().map(end_of).max(),
        DeValue::Array(items) => items.iter().map(end_of).max(),
        _ => None,
    };
    inner.unwrap_or_default().max(value.span().end)
}

/// Whether a value stands behind its key, not in a section of its own or behind dotted keys.
fn is_behind_its_key(text: &str, key_end: usize, value: &Value) -> bool {
    !value.get_ref().is_table() || (value.span().start >= key_end && begins_with(text, &value.span(), '{'))
}

/// Behind the last entry of the table; `None` where it has no place of its own in the text.
fn insert(text: &str, table: &Value, entries: &DeTable, entry: &str) -> Option<String> {
    if begins_with(text, &table.span(), '{') {
        return Some(match entries.values().map(end_of).max() {
            Some(end) => spliced(text, end..end, &format!(", {entry}")),
            None => spliced(text, table.span(), &format!("{{ {entry} }}")),
        });
    }
    let last = entries
        .iter()
        .filter(|(name, value)| is_behind_its_key(text, name.span().end, value))
        .max_by_key(|(_, value)| value.span().end);
    if let Some((name, value)) = last {
        // What stands before the last key, spaces or the words of a dotted key, stands before the new one.
        let before = text.get(line_start(text, name.span().start)..name.span().start)?;
        return Some(with_line(text, line_end(text, value.span().end), &format!("{before}{entry}")));
    }
    begins_with(text, &table.span(), '[').then(|| with_line(text, line_end(text, table.span().end), entry))
}

/// The text with another line at `at`, which is a line's start or the text's end.
fn with_line(text: &str, at: usize, line: &str) -> String {
    let newline = newline(text);
    let open = text.get(..at).is_some_and(|before| !before.is_empty() && !before.ends_with('\n'));
    spliced(text, at..at, &format!("{}{line}{newline}", if open { newline } else { "" }))
}

/// A new section with its first entry: behind the last of its kind, else behind what goes before it in the file.
fn begin(text: &str, root: &DeTable, section: &Section, entry: &str) -> String {
    let words: Vec<String> = section.part().words().iter().copied().chain(section.name()).map(word).collect();
    let newline = newline(text);
    let mut lines = match section {
        Section::Budget(name) => {
            let name = Written::Text(name.to_string()).to_toml();
            format!("[[{}]]{newline}name = {name}", Part::Budget.words().join("."))
        }
        _ => format!("[{}]", words.join(".")),
    };
    lines.extend([newline, entry]);
    let at = place_of(text, root, section.part());
    let rest = text.get(at..).unwrap_or_default();
    if !text.get(..at).unwrap_or_default().trim().is_empty() {
        lines.insert_str(0, newline);
    }
    if !rest.trim_start_matches([' ', '\t', '\r']).starts_with('\n') && !rest.is_empty() {
        lines.push_str(newline);
    }
    with_line(text, at, &lines)
}

fn place_of(text: &str, root: &DeTable, part: Part) -> usize {
    let rank = |name: &str| Part::ALL.iter().position(|part| part.words().first() == Some(&name));
    let first_word = part.words().first().copied().unwrap_or_default();
    let same = root.get(first_word).map(end_of);
    let before =
        root.iter().filter(|(name, _)| rank(name.get_ref()) < rank(first_word)).map(|(_, value)| end_of(value)).max();
    // Before the first header the text is nobody's section, and a header there would take what follows.
    let headers = root.values().filter_map(|value| first_header(text, value));
    let first_header = headers.min().unwrap_or(text.len());
    let at = same.or(before).unwrap_or(text.len());
    if at < first_header {
        let loose = root.values().map(|value| loose_end(value, first_header)).max();
        return line_end(text, at.max(loose.unwrap_or_default()));
    }
    line_end(text, at)
}

fn first_header(text: &str, value: &Value) -> Option<usize> {
    let own = (value.get_ref().is_table() && begins_with(text, &value.span(), '[')).then(|| value.span().start);
    let inner = match value.get_ref() {
        DeValue::Table(table) => table.values().filter_map(|value| first_header(text, value)).min(),
        DeValue::Array(items) => items.iter().filter_map(|value| first_header(text, value)).min(),
        _ => None,
    };
    own.into_iter().chain(inner).min()
}

/// Where the last value before the first header ends.
fn loose_end(value: &Value, first_header: usize) -> usize {
    match value.get_ref() {
        DeValue::Table(table) => table
            .values()
            .map(|value| loose_end(value, first_header))
            .chain([value.span().end])
            .filter(|end| *end < first_header)
            .max(),
        _ => Some(value.span().end).filter(|end| *end < first_header),
    }
    .unwrap_or_default()
}

/// Removes the entry's line, or the entry from the braces that it stands in.
fn remove(text: &str, home: Home, name: &str) -> Result<String, SettingsProblems> {
    let root = parse(text)?;
    let Some(table) = table_of(root.get_ref(), home) else { return Ok(text.to_owned()) };
    let Some(entries) = table.get_ref().as_table() else { return Ok(text.to_owned()) };
    let Some((key, value)) = entries.get_key_value(name) else { return Ok(text.to_owned()) };
    if begins_with(text, &table.span(), '{') {
        return Ok(spliced(text, in_braces(entries, key.span().start, value), ""));
    }
    if is_behind_its_key(text, key.span().end, value) {
        return Ok(spliced(text, line_start(text, key.span().start)..line_end(text, value.span().end), ""));
    }
    // A table of texts that has a header, or whose texts have dotted keys: each goes by itself, and what is said
    // between them stays.
    let inner = Home { field: Some(name), ..home };
    let mut left = text.to_owned();
    for entry in value.get_ref().as_table().map(names).unwrap_or_default() {
        left = remove(&left, inner, &entry)?;
    }
    let root = parse(&left)?;
    Ok(match table_of(root.get_ref(), inner) {
        Some(table) if begins_with(&left, &table.span(), '[') => {
            let span = table.span();
            spliced(&left, line_start(&left, span.start)..line_end(&left, span.end), "")
        }
        _ => left.clone(),
    })
}

/// An entry of an inline table, with one of the commas beside it.
fn in_braces(entries: &DeTable, start: usize, value: &Value) -> Range<usize> {
    let next = entries.keys().map(|key| key.span().start).filter(|other| *other > start).min();
    let last = entries.iter().filter(|(key, _)| key.span().start < start).map(|(_, value)| end_of(value)).max();
    match (next, last) {
        (Some(next), _) => start..next,
        (None, Some(last)) => last..end_of(value),
        (None, None) => start..end_of(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;
    use proptest::prelude::*;

    use crate::model::money::{Exact, ExactRate, Money, Rate};
    use crate::model::settings::fields::{self, Field, Kind};
    use crate::model::settings::reference;
    use crate::model::span;
    use crate::store::settings;

    fn set_typed(text: &str, key: &str, typed: Option<&str>) -> String {
        let key = Key::parse(key).unwrap();
        let value = typed.map(|typed| key.field.read(typed).unwrap());
        set(text, &key, value.as_ref()).unwrap()
    }

    fn check(before: &str, key: &str, typed: Option<&str>, after: &str) {
        assert_eq!(set_typed(before, key, typed), after, "{key} = {typed:?} in {before}");
        if !before.contains('\n') {
            return;
        }
        let crlf = |text: &str| text.replace('\n', "\r\n");
        assert_eq!(set_typed(&crlf(before), key, typed), crlf(after), "{key} = {typed:?} with CRLF");
    }

    #[test]
    fn a_value_is_put_in_the_old_ones_place() {
        check(
            "[limits] # a\n max\t=  4   # b\n# c\n",
            "limits.max",
            Some("5"),
            "[limits] # a\n max\t=  5   # b\n# c\n",
        );
        check("limits.max=4#x", "limits.max", Some("5"), "limits.max=5#x");
        check("limits = { max = 4, }", "limits.max", Some("5"), "limits = { max = 5, }");
        check(
            "[[budget]]\nname = \"a\"\nlimit = '$1' # one\n[[budget]]\nname = \"b c\"\nlimit = '$1' # two\n",
            "budget.\"b c\".limit",
            Some("$2"),
            "[[budget]]\nname = \"a\"\nlimit = '$1' # one\n[[budget]]\nname = \"b c\"\nlimit = \"$2\" # two\n",
        );
    }

    #[test]
    fn a_new_entry_stands_behind_the_last_one_of_its_section() {
        check(
            "[limits]\n  max = 4 # b\n\n[loop]\n",
            "limits.max_gpu",
            Some("5"),
            "[limits]\n  max = 4 # b\n  max_gpu = 5\n\n[loop]\n",
        );
        check("[limits] # none\n\n[loop]\n", "limits.max", Some("5"), "[limits] # none\nmax = 5\n\n[loop]\n");
        check("[limits]", "limits.max", Some("5"), "[limits]\nmax = 5\n");
        check("[limits]\nmax = 4", "limits.max_gpu", Some("5"), "[limits]\nmax = 4\nmax_gpu = 5\n");
        check(
            "queue.a.max = 4\nqueue.b.max = 4\n",
            "queue.a.priority",
            Some("5"),
            "queue.a.max = 4\nqueue.a.priority = 5\nqueue.b.max = 4\n",
        );
        check("[queue]\na.max = 4\n", "queue.a.priority", Some("5"), "[queue]\na.max = 4\na.priority = 5\n");
        check("limits = { max = 4 } # x\n", "limits.max_gpu", Some("5"), "limits = { max = 4, max_gpu = 5 } # x\n");
        check("limits = {} # x\n", "limits.max_gpu", Some("5"), "limits = { max_gpu = 5 } # x\n");
        check(
            "[pool.p]\nami = 'a'\n[pool.p.tags]\nteam = 'x'\n",
            "pool.p.min",
            Some("1"),
            "[pool.p]\nami = 'a'\nmin = 1\n[pool.p.tags]\nteam = 'x'\n",
        );
        check(
            "[pool.p]\ntypes = [\n  'a', # b\n]  # c\n",
            "pool.p.min",
            Some("1"),
            "[pool.p]\ntypes = [\n  'a', # b\n]  # c\nmin = 1\n",
        );
    }

    #[test]
    fn a_new_section_stands_behind_its_like() {
        check(
            "[loop]\nfleet = 'x' # f\n\n# queues\n[queue.a]\n",
            "limits.max",
            Some("5"),
            "[loop]\nfleet = 'x' # f\n\n[limits]\nmax = 5\n\n# queues\n[queue.a]\n",
        );
        check(
            "[queue.a]\nmax = 1\n[pool.p]\n",
            "queue.\"b c\".max",
            Some("5"),
            "[queue.a]\nmax = 1\n\n[queue.\"b c\"]\nmax = 5\n\n[pool.p]\n",
        );
        check("# only a word\n", "limits.max", Some("5"), "# only a word\n\n[limits]\nmax = 5\n");
        check("", "limits.max", Some("5"), "[limits]\nmax = 5\n");
        check(
            "[clearml]\n",
            "clearml.agents.credentials",
            Some("env:A"),
            "[clearml]\n\n[clearml.agents]\ncredentials = \"env:A\"\n",
        );
        check("[loop]\n", "budget.\"a b\".limit", Some("$5"), "[loop]\n\n[[budget]]\nname = \"a b\"\nlimit = \"$5\"\n");
        check(
            "loop.fleet = 'x'\nqueue.a.max = 1\n\n[pool.p]\nmin = 1\n",
            "limits.max",
            Some("5"),
            "loop.fleet = 'x'\nqueue.a.max = 1\n\n[limits]\nmax = 5\n\n[pool.p]\nmin = 1\n",
        );
    }

    #[test]
    fn a_removed_entry_takes_its_line_and_no_other() {
        check("[limits]\n# a\nmax = 4 # b\n# c\n", "limits.max", None, "[limits]\n# a\n# c\n");
        check("[limits]\nmax_gpu = 4", "limits.max_gpu", None, "[limits]\n");
        check("[limits]\n", "limits.max", None, "[limits]\n");
        check("", "limits.max", None, "");
        check("limits = { max = 4, max_gpu = 5 }", "limits.max", None, "limits = { max_gpu = 5 }");
        check("limits = { max = 4, max_gpu = 5 }", "limits.max_gpu", None, "limits = { max = 4 }");
        check("limits = { max = 4 }", "limits.max", None, "limits = {  }");
        check("[pool.p]\ntypes = [\n'a',\n] # x\nmin = 1\n", "pool.p.types", None, "[pool.p]\nmin = 1\n");
        check(
            "[pool.p]\nmin = 1\n[pool.p.tags] # t\n# u\nteam = 'x'\n",
            "pool.p.tags",
            None,
            "[pool.p]\nmin = 1\n# u\n",
        );
        check("[pool.p]\ntags.a = 'x' # t\nmin = 1\ntags.b = 'y'\n", "pool.p.tags", None, "[pool.p]\nmin = 1\n");
        check("[pool.p]\ntags = { a = 'x' }\nmin = 1\n", "pool.p.tags", None, "[pool.p]\nmin = 1\n");
    }

    #[test]
    fn the_texts_of_a_table_change_one_by_one() {
        for (before, after) in [
            ("[pool.p]\ntags = { a = 'x', b = 'y' } # t\n", "[pool.p]\ntags = { a = \"z\", c = \"w\" } # t\n"),
            ("[pool.p.tags]\na = 'x' # a\nb = 'y' # b\n", "[pool.p.tags]\na = \"z\" # a\nc = \"w\"\n"),
            ("[pool.p]\ntags.a = 'x' # a\ntags.b = 'y' # b\n", "[pool.p]\ntags.a = \"z\" # a\ntags.c = \"w\"\n"),
            ("[pool.p]\nmin = 1\n", "[pool.p]\nmin = 1\ntags = { a = \"z\", c = \"w\" }\n"),
        ] {
            check(before, "pool.p.tags", Some("a = z, c = w"), after);
        }
    }

    #[test]
    fn the_items_of_a_list_that_stay_keep_their_comments() {
        let before = "[queue.q]\npools = [\n  'a', # one\n  'b', # two\n  'c', # three\n] # end\n";
        for (typed, after) in [
            ("a, x, c", "[\n  'a', # one\n  \"x\", # two\n  'c', # three\n]"),
            ("x, y, z", "[\n  \"x\", # one\n  \"y\", # two\n  \"z\", # three\n]"),
            ("a, b, c, d", "[\n  'a', # one\n  'b', # two\n  'c', \"d\", # three\n]"),
            ("x, a, b, c", "[\n  \"x\", 'a', # one\n  'b', # two\n  'c', # three\n]"),
            ("a, x, b, c", "[\n  'a', \"x\", # one\n  'b', # two\n  'c', # three\n]"),
            ("b, c", "[\n  'b', # two\n  'c', # three\n]"),
            ("a, c", "[\n  'a', # one\n  'c', # three\n]"),
            ("a, b", "[\n  'a', # one\n  'b', # three\n]"),
            ("a, b, c", "[\n  'a', # one\n  'b', # two\n  'c', # three\n]"),
            ("x", "[\n  \"x\", # three\n]"),
        ] {
            check(before, "queue.q.pools", Some(typed), &format!("[queue.q]\npools = {after} # end\n"));
        }
        check("[pool.p]\nzones = ['a'] # x\n", "pool.p.zones", Some(""), "[pool.p]\nzones = [] # x\n");
        check("[pool.p]\nzones = [ ] # x\n", "pool.p.zones", Some("a, b"), "[pool.p]\nzones = [\"a\", \"b\"] # x\n");
    }

    /// Every field of every part, with comments wherever TOML lets one be.
    fn commented() -> (String, Vec<(Key, Range<usize>)>) {
        let mut text = "# top\n".to_owned();
        let mut places = Vec::new();
        for part in Part::ALL {
            let section = Section::new(part, "a b");
            let header = if part == Part::Budget { part.heading() } else { format!("[{section}]") };
            text.extend(["\n# above ", &section.to_string(), "\n\t", &header, "   # beside\n# below\n\n"]);
            for field in fields::of(part) {
                let typed = if field.name == "name" { "a b" } else { field.example };
                text.extend(["# above ", field.name, "\n  ", field.name, "\t=   "]);
                let start = text.len();
                text.push_str(&field.kind.written(typed).to_toml());
                places.push((section.key(field), start..text.len()));
                text.extend(["  # beside ", field.name, " = \"1\" [x]\n   # below\n"]);
            }
        }
        (text + "# end", places)
    }

    /// A value that the field takes.
    fn typed(field: &'static Field) -> BoxedStrategy<Written> {
        let span = |min: i64, max: i64| {
            (min..=max).prop_map(|seconds| span::Exact(SignedDuration::from_secs(seconds)).to_string())
        };
        let text = |typed: String| field.kind.written(&typed);
        match field.kind {
            Kind::Flag => any::<bool>().prop_map(Written::Flag).boxed(),
            Kind::Whole { min, max, .. } => (min..=max).prop_map(Written::Whole).boxed(),
            Kind::Span { min, max, .. } => span(min.as_secs(), max.as_secs()).prop_map(text).boxed(),
            Kind::Money { max } => (0..=max.micros())
                .prop_map(Money::from_micros)
                .prop_map(move |money| text(Exact(money).to_string()))
                .boxed(),
            Kind::Rate { min, max } => (min.micros_per_hour()..=max.micros_per_hour())
                .prop_map(Rate::from_micros_per_hour)
                .prop_map(move |rate| text(ExactRate(rate).to_string()))
                .boxed(),
            Kind::Choice(words) => {
                prop::sample::select(words.to_vec()).prop_map(|word| Written::Text(word.to_owned())).boxed()
            }
            Kind::Text(_) | Kind::Hidden(_) | Kind::Members | Kind::Hocon => {
                Just(field.kind.written(field.example)).boxed()
            }
            Kind::List { .. } => prop::collection::vec("[a-z]{1,3}", 1..4).prop_map(Written::List).boxed(),
            Kind::Table { .. } => prop::collection::btree_map("[a-z]{1,3}", "[a-z#,'\" \\\\]{0,3}", 0..4)
                .prop_map(Written::Table)
                .prop_filter("no spaces around", |table| fields::find(Part::Pool, "tags").unwrap().check(table).is_ok())
                .boxed(),
        }
    }

    fn some_edit() -> impl Strategy<Value = (usize, Written)> {
        let count = commented().1.len();
        (0..count).prop_flat_map(|index| {
            let (key, _) = commented().1.swap_remove(index);
            (Just(index), typed(key.field))
        })
    }

    fn found(text: &str, key: &Key) -> Option<Written> {
        let settings = settings::parse(text, Path::new("t")).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
        fields::value(&settings, key)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn an_edit_changes_the_bytes_of_its_value_only((index, value) in some_edit()) {
            let (text, mut places) = commented();
            let (key, place) = places.swap_remove(index);
            let edited = set(&text, &key, Some(&value)).unwrap();
            let tail = &text[place.end..];
            prop_assert!(edited.starts_with(&text[..place.start]), "{}", edited);
            prop_assert!(edited.ends_with(tail), "{}", edited);
            let put = &edited[place.start..edited.len() - tail.len()];
            prop_assert_eq!(Written::from_toml(put), Some(value));
        }

        #[test]
        fn a_removed_line_is_all_that_goes_and_comes_back_in_its_section((index, value) in some_edit()) {
            let (text, mut places) = commented();
            let (key, place) = places.swap_remove(index);
            let without = set(&text, &key, None).unwrap();
            let (start, end) = (line_start(&text, place.start), line_end(&text, place.end));
            prop_assert_eq!(&without, &format!("{}{}", &text[..start], &text[end..]));
            if key.field.name != "name" {
                let again = set(&without, &key, Some(&value)).unwrap();
                // The indentation is the last neighbour's, where there is one.
                let line = format!("{} = {}\n", key.field.name, value.to_toml());
                let is_all_that_came = ["  ", ""].iter().any(|indent| again.replacen(&format!("{indent}{line}"), "", 1) == without);
                prop_assert!(is_all_that_came, "{}", again);
            }
        }
    }

    #[test]
    fn what_was_put_is_what_is_read() {
        let text = reference::toml();
        for (key, typed) in [
            ("loop.poll", "30s"),
            ("limits.max_vcpu", "9"),
            ("budget.\"team month\".limit", "$1,000"),
            ("queue.train.pools", "g5"),
            ("queue.eval.priority", "-3"),
            ("pool.g5.tags", "team = a b"),
            ("pool.g5.init_script", "\"set -e\\necho 'x' # y\\n\""),
            ("pool.g5.agent_arguments", "[\"--gpus\", \"0,1\"]"),
            ("clearml.agents.credentials", "file:/etc/agents.conf"),
        ] {
            let key = Key::parse(key).unwrap();
            let value = key.field.read(typed).unwrap();
            let edited = set(&text, &key, Some(&value)).unwrap();
            let canonical = if key.field.name == "limit" { Written::Text("$1000".to_owned()) } else { value };
            assert_eq!(found(&edited, &key), Some(canonical));
        }
    }
}
