//! The glue's command line with its environment, in a script, a Dockerfile, a file of variables or a list of arguments.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{NAMESPACE, POOL, names};
use crate::cli::import::read::{Kind, Most, Old, Refused, Resource};

/// Flags of the glue that have no value.
const SWITCHES: [&str; 5] = ["ports-mode", "create-queue", "use-owner-token", "no-system-packages", "debug"];
/// Beginnings of names of its environment.
const ENVIRONMENT: [&str; 5] =
    ["K8S_GLUE_", "CLEARML_K8S_GLUE_", "CLEARML_API_HOST", "CLEARML_WEB_HOST", "CLEARML_FILES_HOST"];
/// What it is called in text of a shell.
const PROGRAM: &str = "k8s_glue";
/// A quote that is still open after so many lines is a mark of something else.
const LONGEST: usize = 200;
/// Scripts in quotes of scripts in quotes.
const DEEPEST: usize = 4;

/// `python3 k8s_glue_example.py --queue a,b --max-pods 3`, and what stands around it.
pub(super) fn read(text: &str) -> Old {
    let mut old = Old {
        kind: Kind::Glue,
        resources: vec![Resource { name: POOL.to_owned(), fields: Map::new() }],
        ..Old::default()
    };
    let mut words = Words::default();
    words.of(&text.replace("\r\n", "\n"), 0);
    old.refused = words.unread.iter().map(|line| unread(format!("line {line}"))).collect();
    old.general = fields(words.words);
    let named = old.general.iter().filter(|(name, _)| ["queue", "K8S_GLUE_QUEUE"].contains(&name.as_str()));
    let mut queues: Vec<String> = named.filter_map(|(_, value)| value.as_str()).flat_map(names).collect();
    let mut seen = BTreeSet::new();
    queues.retain(|queue| seen.insert(queue.clone()));
    let says_none = queues.is_empty();
    // What the shell would put there nobody here knows.
    let (variables, mut queues): (Vec<_>, Vec<_>) = queues.into_iter().partition(|queue| queue.contains('$'));
    old.refused.extend(variables.into_iter().map(|variable| Refused {
        path: format!("queue {variable}"),
        value: Value::Null,
        why: "it is a variable of a shell: write a [queue.X] with the queue's name",
    }));
    if !old.general.iter().any(|(name, _)| name == "namespace") {
        old.general.push(("namespace".to_owned(), json!(NAMESPACE)));
    }
    if says_none {
        queues.push("k8s_glue".to_owned());
    }
    old.queues.extend(queues.into_iter().map(|queue| (queue, vec![(POOL.to_owned(), Most::Unsaid)])));
    old
}

fn unread(path: String) -> Refused {
    let why = "a quote is open at its end; it was read word by word, without quotes";
    Refused { path, value: Value::Null, why }
}

/// Flags and variables, each with its value.
fn fields(words: Vec<String>) -> Vec<(String, Value)> {
    let mut fields = Vec::new();
    let mut words = words.into_iter().peekable();
    while let Some(word) = words.next() {
        if let Some(flag) = word.strip_prefix("--").filter(|flag| !flag.is_empty()) {
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, json!(value)),
                None if SWITCHES.contains(&flag) => (flag, json!(true)),
                None => match words.next_if(|next| !next.starts_with("--")) {
                    Some(value) => (flag, json!(value)),
                    None => (flag, json!(true)),
                },
            };
            fields.push((name.to_owned(), value));
        } else if let Some((name, value)) = word.split_once('=')
            && is_of_environment(name)
        {
            fields.push((name.to_owned(), json!(value)));
        }
    }
    fields
}

fn is_of_environment(name: &str) -> bool {
    ENVIRONMENT.iter().any(|known| name.starts_with(known))
}

/// The words of a text, as a shell takes them.
#[derive(Default)]
struct Words {
    words: Vec<String>,
    /// Lines whose quotes do not close.
    unread: Vec<usize>,
}

impl Words {
    fn of(&mut self, text: &str, depth: usize) {
        let lines: Vec<&str> = text.lines().collect();
        let mut at = 0;
        while at < lines.len() {
            let (taken, words) = statement(lines.get(at..).unwrap_or_default());
            if let Some(words) = words {
                for word in words {
                    self.take(&word, depth);
                }
            } else {
                // Lines of a text in quotes are counted by nobody.
                if depth == 0 {
                    self.unread.push(at + 1);
                }
                let line = lines.get(at).copied().unwrap_or_default();
                let words = line.split_whitespace().take_while(|word| !word.starts_with('#'));
                self.words.extend(words.map(|word| bare(word.trim_matches(['"', '\''])).to_owned()));
            }
            at += taken;
        }
    }

    /// A word; a script in quotes is more of them.
    fn take(&mut self, word: &str, depth: usize) {
        let is_script = word.contains(char::is_whitespace) && word.to_ascii_lowercase().contains(PROGRAM);
        let is_field = word.starts_with("--") || word.split_once('=').is_some_and(|(name, _)| is_of_environment(name));
        if is_script && !is_field && depth < DEEPEST {
            self.of(word, depth + 1);
        } else {
            self.words.push(bare(word).to_owned());
        }
    }
}

/// Without what ends a command or an item of a list.
fn bare(word: &str) -> &str {
    word.trim_end_matches([',', ';'])
}

/// How many lines the first statement takes, and its words; `None`: they are not to be told apart, and it takes one line.
fn statement(lines: &[&str]) -> (usize, Option<Vec<String>>) {
    let mut whole = String::new();
    for (place, line) in lines.iter().enumerate().take(LONGEST) {
        if line.trim_start().starts_with('#') && !is_quoted(&whole) {
            // A remark may stand between the lines of one instruction of a Dockerfile.
            if place == 0 {
                return (1, Some(Vec::new()));
            }
            continue;
        }
        match line.strip_suffix('\\') {
            Some(more) if place + 1 < lines.len() => {
                whole.push_str(more);
                whole.push(' ');
                continue;
            }
            _ => whole.push_str(line),
        }
        if let Some(words) = split(&whole) {
            return (place + 1, Some(words));
        }
        whole.push('\n');
    }
    (1, None)
}

fn is_quoted(begun: &str) -> bool {
    !begun.is_empty() && shlex::split(begun).is_none()
}

fn split(statement: &str) -> Option<Vec<String>> {
    let text = statement.trim();
    let text = text.strip_prefix("- ").unwrap_or(text);
    // As a Dockerfile has a command, or a list of arguments.
    if let (Some(begins), Some(ends)) = (text.find('['), text.rfind(']'))
        && let Some(list) = text.get(begins..=ends)
        && let Ok(words) = serde_json::from_str::<Vec<String>>(list)
    {
        return Some(words);
    }
    // `ENV NAME a value`, as old Dockerfiles have it.
    let mut parts = text.splitn(3, char::is_whitespace);
    if let (Some(instruction), Some(name), Some(value)) = (parts.next(), parts.next(), parts.next())
        && instruction.eq_ignore_ascii_case("ENV")
        && is_of_environment(name)
        && !name.contains('=')
    {
        return Some(vec![format!("{name}={}", value.trim().trim_matches(['"', '\'']))]);
    }
    shlex::split(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queues(text: &str) -> Vec<String> {
        read(text).queues.into_iter().map(|(queue, _)| queue).collect()
    }

    fn value(text: &str, name: &str) -> Option<Value> {
        read(text).general.into_iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    #[test]
    fn words_are_those_of_a_shell() {
        for (text, served) in [
            (r#"python3 k8s_glue_example.py --queue "team gpu,cpu""#, &["team gpu", "cpu"][..]),
            (r#"k8s_glue.py --queue="team gpu",cpu"#, &["team gpu", "cpu"]),
            (r#"export K8S_GLUE_QUEUE="big jobs" # --queue other"#, &["big jobs"]),
            ("k8s_glue.py --queue gpu # --queue other", &["gpu"]),
            ("k8s_glue.py \\\n  --queue \\\n  'team gpu'", &["team gpu"]),
            ("k8s_glue.py --queue gpu; echo done", &["gpu"]),
            ("bash -c 'k8s_glue.py --queue \"team gpu\"'", &["team gpu"]),
            ("sh -c \"\nk8s_glue.py \\\n --queue 'team gpu'\n\"", &["team gpu"]),
            (r#"CMD ["python3", "k8s_glue.py", "--queue", "team gpu"]"#, &["team gpu"]),
            (r#"CMD ["sh", "-c", "k8s_glue.py --queue 'team gpu'"]"#, &["team gpu"]),
            ("ENV K8S_GLUE_QUEUE big jobs", &["big jobs"]),
            ("ENV K8S_GLUE_QUEUE=gpu K8S_GLUE_MAX_PODS=3", &["gpu"]),
            ("args: # k8s_glue\n  - --queue\n  - gpu\n", &["gpu"]),
            ("k8s_glue.py", &["k8s_glue"]),
            ("RUN echo it's\nCMD k8s_glue.py --queue gpu", &["gpu"]),
            ("k8s_glue.py --queue \"$QUEUE\"", &[]),
        ] {
            assert_eq!(queues(text), served, "{text}");
        }
        assert_eq!(value(r#"k8s_glue.py --namespace="ml tasks""#, "namespace"), Some(json!("ml tasks")));
        assert_eq!(value("k8s_glue.py --max-pods -5", "max-pods"), Some(json!("-5")));
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named_and_the_others_are_read() {
        let old = read("# it's\nRUN echo it's\nCMD k8s_glue.py --queue 'team gpu'\n");
        assert_eq!(old.refused.iter().map(|one| one.path.as_str()).collect::<Vec<_>>(), ["line 2"]);
        assert_eq!(old.queues[0].0, "team gpu");
    }
}
