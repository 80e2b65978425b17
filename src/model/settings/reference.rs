//! The reference file and the documentation, written from the field table.

use std::fmt::Write;

use crate::model::settings::fields::{self, Field, Unset};
use crate::model::settings::key::{Part, Section, word};

/// Letters of a comment line.
const WIDTH: usize = 110;

/// Keys and values as people write them.
type Lines = &'static [(&'static str, &'static str)];

/// What the reference file sets: a small fleet under small budgets.
const EXAMPLE: [(Part, &str, Lines); 14] = [
    (Part::Clearml, "", &[]),
    (Part::Agents, "", &[]),
    (Part::Loop, "", &[("fleet", "research")]),
    (Part::Limits, "", &[("max", "4"), ("max_hourly", "$6/h")]),
    (
        Part::Budget,
        "team month",
        &[("name", "team month"), ("scope", "all"), ("per", "month"), ("limit", "$200"), ("hard", "true")],
    ),
    (
        Part::Budget,
        "evaluation day",
        &[("name", "evaluation day"), ("scope", "queue:eval"), ("per", "day"), ("limit", "$10")],
    ),
    (Part::Schedule, "night", &[("from", "22:00"), ("to", "06:00"), ("set", "limits.max_hourly = $2/h")]),
    (Part::Account, "research", &[]),
    (Part::Notify, "team", &[("on", "budget, capacity"), ("url", "https://chat.example.com/hooks/tidegate")]),
    (Part::Queue, "train", &[("pools", "g5-spot, g5"), ("priority", "10"), ("max", "2")]),
    (Part::Queue, "eval", &[("pools", "g5-spot"), ("expected_task", "20m"), ("max", "2")]),
    (
        Part::Pool,
        "g5-spot",
        &[
            ("provider", "aws"),
            ("region", "us-east-1"),
            ("types", "g5.xlarge, g5.2xlarge"),
            ("market", "spot"),
            ("ami", "ami-0123456789abcdef0"),
            ("max", "3"),
        ],
    ),
    (
        Part::Pool,
        "g5",
        &[
            ("provider", "aws"),
            ("region", "us-east-1"),
            ("types", "g5.xlarge"),
            ("market", "on-demand"),
            ("keep_alive", "5m"),
            ("ami", "ami-0123456789abcdef0"),
            ("max", "1"),
        ],
    ),
    (Part::Keys, "", &[]),
];

const OPENING: &str = "\
Tidegate's settings: every setting there is, with what it means, what it takes, and when a change counts. \
A setting behind # shows its default, or an example where it has none. \
Edits on the screen and by `tidegate set` land in this file and leave the rest of it as it is.";

/// The commented reference file, `config/tidegate.toml`. It is valid as it stands.
#[must_use]
pub fn toml() -> String {
    let mut text = String::new();
    comment(&mut text, "#", OPENING);
    let mut told = Vec::new();
    for (part, name, lines) in EXAMPLE {
        text.push('\n');
        if !told.contains(&part) {
            comment(&mut text, "#", of_part(part));
        }
        text.push_str(&header(part, name));
        for field in fields::of(part) {
            let value = lines.iter().find(|(key, _)| *key == field.name).map(|(_, value)| *value);
            if !told.contains(&part) {
                comment(&mut text, "#", field.doc);
                comment(&mut text, "#  ", &facts(field));
            }
            match value {
                Some(value) => text.push_str(&line(field, value)),
                None if told.contains(&part) => {}
                None => {
                    let value = if let Unset::Is(value) = field.unset { value } else { field.example };
                    text.extend(["#", &line(field, value)]);
                }
            }
        }
        told.push(part);
    }
    text
}

fn header(part: Part, name: &str) -> String {
    if part == Part::Budget { part.heading() + "\n" } else { format!("[{}]\n", Section::new(part, name)) }
}

fn line(field: &Field, value: &str) -> String {
    format!("{} = {}\n", word(field.name), field.kind.written(value).to_toml())
}

/// What a field takes, what holds without it, and when a change counts.
fn facts(field: &Field) -> String {
    let default = match field.unset {
        Unset::Required => "required".to_owned(),
        Unset::Is(value) => format!("default `{value}`"),
        Unset::Means(meaning) => format!("default: {meaning}"),
    };
    format!("{}; {default}; a change counts {}", takes(field), field.takes.words())
}

/// What a field takes, with its unit.
pub(super) fn takes(field: &Field) -> String {
    match field.kind.unit() {
        "" => field.kind.allowed(),
        unit => format!("{} ({unit})", field.kind.allowed()),
    }
}

/// What holds without a line.
pub(super) fn without(field: &Field) -> String {
    match field.unset {
        Unset::Required => "required".to_owned(),
        Unset::Is(value) => format!("`{value}`"),
        Unset::Means(meaning) => meaning.to_owned(),
    }
}

fn of_part(part: Part) -> &'static str {
    match part {
        Part::Clearml => "Where ClearML is, and who the console is there.",
        Part::Agents => "Who the machines' agents are on the ClearML server.",
        Part::Loop => "How the loop itself behaves.",
        Part::Limits => {
            "Limits over everything; a queue and a pool may have the same ones. No limit is passed at any step."
        }
        Part::Budget => "Money for a period; any number of them.",
        Part::Schedule => "Hours at which settings are others, such as a lower limit at night. Any number of them.",
        Part::Account => {
            "An account of the cloud's, beside the one that every tool of the cloud's would use; pools name it. Any number of them."
        }
        Part::Notify => "Who is told of what happens, by a webhook or by a command. Any number of them.",
        Part::Queue => "A ClearML queue that is served, by its name; it is never created. Any number of them.",
        Part::Keys => {
            "Which keys do what on the screen, where a command is to have others than its own; several stand with spaces \
             between them. Two commands never have the same key. What a dialog takes (`y`, `Enter`, `Esc`, `Tab`) stays."
        }
        Part::Pool => "A kind of machine that may be rented. Any number of them; the name holds no spaces, `:` or `/`.",
    }
}

fn comment(text: &mut String, opening: &str, words: &str) {
    let mut line = opening.to_owned();
    for word in words.split_whitespace() {
        if line.len() + word.len() >= WIDTH {
            text.extend([line.as_str(), "\n"]);
            opening.clone_into(&mut line);
        }
        line.extend([" ", word]);
    }
    text.extend([line.as_str(), "\n"]);
}

/// The documentation of the settings, `assets/SETTINGS.md`.
#[must_use]
pub fn markdown() -> String {
    let mut text = "# The settings\n\n\
        One TOML file: `--config FILE`, else `TIDEGATE_CONFIG`, else `tidegate/tidegate.toml` in the user's config directory. \
        `config/tidegate.toml` has every setting with these words.\n\n\
        On the command line and in the journal a setting is addressed by its key, such as `queue.train.max`; \
        a name with spaces or dots stands in quotes: `budget.\"team month\".limit`. \
        Durations are written as `90s`, `10m`, `1h30m` or `3d`, money as `$12.50`, prices as `$1.25/h`.\n"
        .to_owned();
    for part in Part::ALL {
        let _ = write!(text, "\n## `{}`\n\n{}\n\n", part.heading(), of_part(part));
        text.push_str("| key | what it is | it takes | without it | a change counts |\n|---|---|---|---|---|\n");
        for field in fields::of(part) {
            let (name, doc, counts) = (field.name, field.doc, field.takes.words());
            let _ = writeln!(text, "| `{name}` | {doc} | {} | {} | {counts} |", takes(field), without(field));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::path::Path;

    use super::*;
    use crate::model::settings::autoscaler;

    /// Set it to have the files written from the table again: `TIDEGATE_REGENERATE=1 cargo test --lib reference`.
    const REGENERATE: &str = "TIDEGATE_REGENERATE";

    #[test]
    fn the_reference_file_and_the_documentation_are_as_the_table_says() {
        for (name, text) in [
            ("config/tidegate.toml", toml()),
            ("assets/SETTINGS.md", markdown()),
            ("assets/AWS_AUTOSCALER.md", autoscaler::markdown()),
            ("assets/GCP_AUTOSCALER.md", autoscaler::gcp::markdown()),
        ] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
            if std::env::var_os(REGENERATE).is_some() {
                let mut open = std::fs::OpenOptions::new();
                let mut file = open.write(true).create(true).truncate(true).open(&path).unwrap();
                file.write_all(text.as_bytes()).unwrap();
            }
            let found = std::fs::read_to_string(&path).unwrap();
            assert!(
                found == text,
                "{name} is not what the field table says: run with {REGENERATE}=1 to write it again"
            );
        }
    }
}
