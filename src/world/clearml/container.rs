//! What a task says of its container, as people write it for ClearML's agents in docker mode.

use serde::Deserialize;
use serde_json::json;

use crate::model::ids::TaskId;
use crate::world::clearml::Clearml;
use crate::world::tracker::{TaskContainer, TrackerError};

#[derive(Deserialize)]
struct Row {
    #[serde(default)]
    container: Option<Written>,
}

/// As the SDK writes it; whatever else is there is not read.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Written {
    image: Option<String>,
    arguments: Option<String>,
}

pub(super) async fn of(server: &Clearml, task: &TaskId) -> Result<TaskContainer, TrackerError> {
    let filter = json!({ "id": [task.as_str()], "search_hidden": true });
    let mut rows: Vec<Row> = server.console.pages("tasks.get_all", "tasks", &["id", "container"], filter).await?;
    let written = rows.pop().and_then(|row| row.container).unwrap_or_default();
    let image = written.image.map(|image| image.trim().to_owned()).filter(|image| !image.is_empty());
    Ok(TaskContainer { image, environment: environment(&written.arguments.unwrap_or_default()) })
}

/// The environment that docker's arguments set: `-e NAME=VALUE`, `--env NAME=VALUE`, `--env=NAME=VALUE`. A value may be quoted.
fn environment(arguments: &str) -> Vec<(String, String)> {
    let mut words = words(arguments).into_iter();
    let mut found = Vec::new();
    while let Some(word) = words.next() {
        let pair = match word.as_str() {
            "-e" | "--env" => words.next(),
            word => word.strip_prefix("--env=").map(str::to_owned),
        };
        let pair = pair.as_deref().and_then(|pair| pair.split_once('='));
        if let Some((name, value)) = pair.filter(|(name, _)| is_name(name)) {
            found.push((name.to_owned(), value.to_owned()));
        }
    }
    found
}

/// Whether a pod takes it as the name of a variable.
fn is_name(name: &str) -> bool {
    let may = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    name.chars().all(may) && name.chars().next().is_some_and(|first| !first.is_ascii_digit())
}

/// Words as a shell parts them: quotes hold one together, a backslash takes the next letter as it is.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (None, '\'' | '"') => (quote, word) = (Some(letter), Some(word.unwrap_or_default())),
            (Some(open), _) if open == letter => quote = None,
            (None | Some('"'), '\\') => word.get_or_insert_default().extend(letters.next()),
            (None, letter) if letter.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_dockers_arguments_the_environment_is_read() {
        for (arguments, found) in [
            ("", vec![]),
            ("-e A=b --gpus all --env C=d=e -v /a:/b --env=F=", vec![("A", "b"), ("C", "d=e"), ("F", "")]),
            ("-e 'A=b c' -e B=\"d \\\"e\\\"\" -e C=x\\ y", vec![("A", "b c"), ("B", "d \"e\""), ("C", "x y")]),
            ("-e HOME -e 1A=b -e =c --ipc=host -e", vec![]),
            ("-e 'A=it''s' -e B='open", vec![("A", "its"), ("B", "open")]),
        ] {
            let found: Vec<_> = found.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            assert_eq!(environment(arguments), found, "{arguments}");
        }
    }
}
