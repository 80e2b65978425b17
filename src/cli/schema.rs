//! `schema`: the JSON schemas of what the program says to programs, made from the types that say it.

use clap::Args;
use schemars::{JsonSchema, Schema as JsonShape, SchemaGenerator, json_schema};
use serde_json::Value;

use super::failure::Failure;
use super::read::{guard, instances, journal, plan, queues, status, why};
use super::replay::{self, gates, history};
use super::say::{Version, say};
use super::spend::{against, told};
use super::{check, cleanup, demo, soak};
use crate::model::nearest::did_you_mean;

/// Print the JSON schema of what a subcommand says with `--json`; without a name, the names
#[derive(Debug, Args)]
pub(super) struct Schema {
    /// Of which answer
    answer: Option<String>,
}

/// What is said to programs.
struct Answer {
    name: &'static str,
    /// Who says it.
    said_by: &'static str,
    shape: fn(&mut SchemaGenerator, &'static str) -> JsonShape,
}

const ANSWERS: [Answer; 17] = [
    Answer { name: "status", said_by: "status --json", shape: seen::<status::Summary> },
    Answer { name: "queues", said_by: "queues --json", shape: seen::<Vec<queues::Row>> },
    Answer { name: "instances", said_by: "instances --json", shape: seen::<Vec<instances::Row>> },
    Answer { name: "plan", said_by: "plan --json", shape: seen::<Vec<plan::Step>> },
    Answer { name: "why", said_by: "why --json", shape: seen::<Vec<why::Explained>> },
    Answer { name: "guard", said_by: "guard show POOL --json", shape: whole::<guard::Told> },
    Answer { name: "journal", said_by: "journal --json", shape: whole::<journal::Told> },
    Answer { name: "journal-line", said_by: "journal --follow --json, each line", shape: whole::<journal::Line> },
    Answer { name: "spend", said_by: "spend --json", shape: whole::<told::Answer> },
    Answer { name: "reconciliation", said_by: "spend --against FILE --json", shape: whole::<against::Answer> },
    Answer { name: "check", said_by: "check --json", shape: whole::<check::Told> },
    Answer { name: "cleanup", said_by: "cleanup --json", shape: whole::<cleanup::Told> },
    Answer { name: "demo", said_by: "demo --headless --json", shape: whole::<demo::Told> },
    Answer { name: "replay", said_by: "replay --json TRACE", shape: whole::<replay::Told> },
    Answer { name: "gates", said_by: "replay --gates DIR --json", shape: whole::<gates::Told<'static>> },
    Answer { name: "sweep", said_by: "replay --sweep --json", shape: whole::<history::Told> },
    Answer { name: "soak", said_by: "soak --json", shape: whole::<soak::Told> },
];

/// The whole answer is of one type.
fn whole<T: JsonSchema>(generator: &mut SchemaGenerator, _: &'static str) -> JsonShape {
    generator.root_schema_for::<T>()
}

/// What a look at the fleet says is under its own name, beside whose it is and when it was seen; see
/// [`super::say::as_json`].
fn seen<T: JsonSchema>(generator: &mut SchemaGenerator, name: &'static str) -> JsonShape {
    let (version, at) = (generator.subschema_for::<Version>(), generator.subschema_for::<jiff::Timestamp>());
    let said = generator.subschema_for::<T>();
    json_schema!({
        "$schema": generator.settings().meta_schema,
        "type": "object",
        "properties": { "version": version, "fleet": { "type": "string" }, "at": at, name: said },
        "required": ["version", "fleet", "at", name],
        "$defs": generator.take_definitions(true),
    })
}

impl Schema {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let Some(name) = &self.answer else {
            let names = ANSWERS.iter().map(|answer| format!("{:<15} tidegate {}\n", answer.name, answer.said_by));
            return say(&names.collect::<String>());
        };
        let answer = ANSWERS.iter().find(|answer| answer.name == name).ok_or_else(|| {
            let hint = did_you_mean(name, ANSWERS.iter().map(|answer| answer.name));
            Failure::Usage(format!("no answer is called `{name}`{hint}"))
        })?;
        say(&text(&answer.schema()))
    }
}

impl Answer {
    /// JSON Schema, draft 2020-12. The instants, spans and amounts are as `assets/JSON.md` has them.
    fn schema(&self) -> Value {
        // As it is written, not as it would be read: what is always there is required.
        let mut generator = schemars::generate::SchemaSettings::draft2020_12().for_serialize().into_generator();
        let mut schema = (self.shape)(&mut generator, self.name);
        schema.insert("title".to_owned(), format!("tidegate {}", self.said_by).into());
        schema.to_value()
    }
}

fn text(schema: &Value) -> String {
    format!("{schema:#}\n")
}

#[cfg(test)]
pub(super) mod tests {
    use boon::{Compiler, Schemas};

    use super::*;

    /// Whether a value is what the schema of an answer says.
    #[track_caller]
    pub(in crate::cli) fn assert_valid(name: &str, told: &Value) {
        let answer = ANSWERS.iter().find(|answer| answer.name == name).unwrap();
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.enable_format_assertions();
        compiler.add_resource("http://localhost/answer.json", answer.schema()).unwrap();
        let index = compiler.compile("http://localhost/answer.json", &mut schemas).unwrap();
        if let Err(wrong) = schemas.validate(told, index) {
            panic!("{name}: {wrong:#}\n{told:#}");
        }
    }

    #[test]
    fn what_is_not_an_answer_is_refused() {
        let empty = serde_json::json!({ "version": 1, "journal": [] });
        assert_valid("journal", &empty);
        let other = [serde_json::json!({ "version": 2, "journal": [] }), serde_json::json!({ "version": 1 })];
        for wrong in other {
            assert!(std::panic::catch_unwind(|| assert_valid("journal", &wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_assets_hold_every_schema() {
        for answer in &ANSWERS {
            crate::example::assert_generated(&format!("assets/schemas/{}.json", answer.name), &text(&answer.schema()));
        }
    }
}
