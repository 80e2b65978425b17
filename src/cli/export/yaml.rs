//! YAML of plain values: mappings and lists in blocks, longer texts as they are, all other texts in quotes.

use std::fmt::Write;

use serde_json::Value;

/// As a document.
pub(super) fn text(value: &Value) -> String {
    let mut text = String::new();
    write(value, 0, &mut text);
    text
}

/// What stands under a key or a dash, from the next line on.
fn write(value: &Value, depth: usize, text: &mut String) {
    let margin = "  ".repeat(depth);
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let _ = write!(text, "{margin}{}:", name_of(name));
                under(value, depth, text);
            }
        }
        Value::Array(items) => {
            for item in items {
                let _ = write!(text, "{margin}-");
                under(item, depth, text);
            }
        }
        scalar => {
            let _ = writeln!(text, "{margin}{scalar}");
        }
    }
}

fn under(value: &Value, depth: usize, text: &mut String) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            text.push('\n');
            write(value, depth + 1, text);
        }
        Value::Array(items) if !items.is_empty() => {
            text.push('\n');
            write(value, depth + 1, text);
        }
        Value::String(lines) if is_block(lines) => {
            let margin = "  ".repeat(depth + 1);
            text.push_str(" |\n");
            for line in lines.lines() {
                let _ = writeln!(text, "{}", if line.is_empty() { String::new() } else { format!("{margin}{line}") });
            }
        }
        // JSON's own writing of it, which YAML takes.
        other => {
            let _ = writeln!(text, " {other}");
        }
    }
}

/// Whether it can stand as it is: of several lines, the first with no space before it, the last one ended.
fn is_block(text: &str) -> bool {
    let plain = |letter: char| letter == '\n' || !letter.is_control();
    text.ends_with('\n')
        && !text.ends_with("\n\n")
        && !text.starts_with([' ', '\n'])
        && text.chars().all(plain)
        && text.len() > 1
}

/// A key, in quotes unless it is surely a plain word.
fn name_of(name: &str) -> String {
    let is_plain = name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-')
        && !["yes", "no", "on", "off", "y", "n", "true", "false", "null"].contains(&name.to_ascii_lowercase().as_str());
    if is_plain { name.to_owned() } else { Value::String(name.to_owned()).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn it_reads_as_people_write_it() {
        let value = json!({ "a": { "b c": [["x", 2], []], "on": true }, "script": "one\n\n  two\n", "tight": "no end", "none": {} });
        let wanted = "a:\n  \"b c\":\n    -\n      - \"x\"\n      - 2\n    - []\n  \"on\": true\nnone: {}\nscript: |\n  one\n\n    two\ntight: \"no end\"\n";
        assert_eq!(text(&value), wanted);
    }

    proptest! {
        #[test]
        fn any_texts_come_back(texts in proptest::collection::btree_map("[ -~\n\té]{0,12}", "[ -~\n\té:#|]{0,40}", 0..5)) {
            let value = json!({ "all": texts });
            let back: Value = serde_saphyr::from_str(&text(&value)).unwrap();
            prop_assert_eq!(back, value);
        }
    }
}
