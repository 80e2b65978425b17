//! Subcommands that read: they change nothing.

pub(super) mod guard;
pub(super) mod instances;
pub(super) mod journal;
pub(super) mod plan;
pub(super) mod queues;
pub(super) mod status;
pub(super) mod why;

use std::sync::Arc;

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::failure::Failure;
use super::reach::Loop;
use super::say::{as_json, say};
use super::{Place, once, table};
use crate::engine::event::View;
use crate::model::span::Short;

/// For people or for programs.
#[derive(Debug, Args)]
pub(super) struct Form {
    /// Print one line of JSON: `version` is that of its shape; money is in micro-dollars, spans are in seconds
    #[arg(long)]
    json: bool,
}

/// What the running loop sees; where none runs, one look of our own.
async fn view(place: &Place) -> Result<Arc<View>, Failure> {
    match Loop::connect(place).await {
        Ok(mut the_loop) => the_loop.view().await,
        Err(Failure::NotReachable(_)) => once::look(place).await,
        Err(failure) => Err(failure),
    }
}

/// Says a view's part to people as text, to programs as JSON under its name.
fn tell(form: &Form, view: &View, name: &str, value: &impl Serialize, text: &str) -> Result<(), Failure> {
    if form.json { say(&as_json(view, name, value)) } else { say(text) }
}

/// An instant as people read it, in UTC.
fn clock(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

fn short(span: SignedDuration) -> String {
    Short(span).to_string()
}

/// Text from elsewhere, or a dash.
fn or_dash(text: Option<impl ToString>) -> String {
    text.map_or_else(|| "-".to_owned(), |text| table::plain(&text.to_string()))
}

#[cfg(test)]
mod tests {
    //! A view with one of everything, shown by each subcommand.

    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::example::view;

    #[test]
    fn the_tables() {
        let view = view();
        insta::assert_snapshot!("status", status::text(&view));
        insta::assert_snapshot!("queues", queues::text(&queues::rows(&view), true));
        insta::assert_snapshot!("instances", instances::text(&instances::rows(&view)));
        insta::assert_snapshot!("plan", plan::text(&view));
        for name in ["train", "eval", "i-busy", "i-stuck", "i-held", "p4d"] {
            insta::assert_snapshot!(format!("why_{name}"), why::text(&why::explain(&view, Some(name)).unwrap()));
        }
        insta::assert_snapshot!("why", why::text(&why::explain(&view, None).unwrap()));
    }

    #[test]
    fn before_clearmls_first_answer_nobody_is_told_what_waits() {
        let mut view = view();
        std::sync::Arc::make_mut(&mut view.snapshot).sources[0].last_good = None;
        let why = why::text(&why::explain(&view, Some("train")).unwrap());
        let queues = queues::text(&queues::rows(&view), view.snapshot.knows_clearml());
        assert!(why.contains("ClearML has not answered yet") && why.starts_with("queue train: ClearML"), "{why}");
        assert_eq!(queues.lines().nth(1).and_then(|line| line.split_whitespace().nth(1)), Some("-"), "{queues}");
        assert!(status::text(&view).contains("waiting not known, ClearML has not answered yet"));
    }

    #[test]
    fn the_json() {
        let shown: Vec<_> = answers().iter().map(|answer| serde_json::to_string_pretty(answer).unwrap()).collect();
        insta::assert_snapshot!("json", shown.join("\n"));
    }

    /// What each subcommand answers to programs.
    fn answers() -> Vec<Value> {
        let view = view();
        let lines = [
            as_json(&view, "status", &status::summary(&view)),
            as_json(&view, "queues", &queues::rows(&view)),
            as_json(&view, "instances", &instances::rows(&view)),
            as_json(&view, "plan", &plan::steps(&view)),
            as_json(&view, "why", &why::explain(&view, Some("train")).unwrap()),
        ];
        lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn the_answers_are_as_their_schemas_say() {
        for (name, answer) in ["status", "queues", "instances", "plan", "why"].into_iter().zip(answers()) {
            crate::cli::schema::tests::assert_valid(name, &answer);
        }
    }

    fn keys(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    found.insert(key.clone());
                    // The reasons' own fields are named by the words of the reason.
                    if key != "numbers" {
                        keys(value, found);
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| keys(item, found)),
            _ => {}
        }
    }

    #[test]
    fn every_field_is_documented() {
        let page = include_str!("../../../assets/JSON.md");
        let mut found = BTreeSet::new();
        for answer in answers() {
            keys(&answer, &mut found);
        }
        let missing: Vec<_> = found.iter().filter(|key| !page.contains(&format!("`{key}`"))).collect();
        assert!(found.len() > 40 && missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn a_queue_of_the_settings_is_known_before_the_first_plan() {
        let mut view = view();
        std::sync::Arc::make_mut(&mut view.plan).outlooks.clear();
        let told = why::explain(&view, Some("train")).unwrap();
        assert!(why::text(&told).contains("not looked at yet"), "{}", why::text(&told));
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest() {
        let unknown = why::explain(&view(), Some("trian")).unwrap_err().to_string();
        assert_eq!(unknown, "no queue, machine or pool is called `trian`: did you mean `train`?");
    }
}
