//! `import`: the settings of ClearML's AWS autoscaler, of the open example's file or of the app's export, as settings of
//! ours. Every field is mapped, kept as a comment, or refused by name.

mod adopt;
mod draft;
mod read;
mod rows;
mod secrets;
mod values;

use std::path::{Path, PathBuf};

use clap::Args;

use super::Place;
use super::failure::Failure;
use super::say::{complain, say};
use super::table::{Side, table};
use crate::store::settings::{create, parse};

/// Bring over the configuration of ClearML's AWS autoscaler: `aws_autoscaler.yaml`, or what its app exported
///
/// The settings go to standard output, or to a new file; what became of each field is told on standard error. Secrets are
/// never written: they become references, with what to export. Machines of the old autoscaler stay foreign: they are counted
/// while they are idle, and never acted on. With --adopt they are taken into the settings in use, once those are written:
/// they then count in the limits and in the ledger, and are stopped by hand, since no guard runs on them.
#[derive(Debug, Args)]
pub(super) struct Import {
    /// The autoscaler's YAML, or the app's JSON
    file: PathBuf,
    /// Write the settings to this new file
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The fleet's name [default: the workers' prefix with `-tidegate`]
    #[arg(long, value_name = "NAME")]
    fleet: Option<String>,
    /// Write no settings; take the old autoscaler's running machines over into the settings in use
    #[arg(long, conflicts_with_all = ["output", "fleet"])]
    adopt: bool,
    /// With --adopt: do not ask
    #[arg(long, requires = "adopt")]
    yes: bool,
}

/// What an import comes to.
#[derive(Debug)]
struct Imported {
    settings: String,
    /// Each field, and what became of it.
    report: Vec<[String; 2]>,
    old: adopt::OldNames,
}

/// From the old file's text to new settings.
fn import(text: &str, from: &str, fleet: Option<&str>) -> Result<Imported, read::NotRead> {
    Ok(draft::draft(&read::read(text)?, from, fleet))
}

impl Import {
    pub(super) async fn run(&self, place: &Place) -> Result<(), Failure> {
        let shown = self.file.display().to_string();
        let unread = |error: &dyn std::fmt::Display| Failure::Failed(format!("{shown}: {error}"));
        let text = std::fs::read_to_string(&self.file).map_err(|error| unread(&error))?;
        let name = self.file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let imported = import(&text, &name, self.fleet.as_deref()).map_err(|error| unread(&error))?;
        if self.adopt {
            return adopt::adopt(&imported.old, place, self.yes).await;
        }
        complain(table([("FIELD", Side::Left), ("WHAT BECAME OF IT", Side::Left)], &imported.report).trim_end());
        match &self.output {
            Some(path) => {
                create(path, &imported.settings)
                    .map_err(|error| Failure::Failed(format!("{}: {error}", path.display())))?;
                complain(&format!("written to {}; next: `tidegate check --config {0}`", path.display()));
            }
            None => say(&imported.settings)?,
        }
        let path = self.output.as_deref().unwrap_or(Path::new("the imported settings"));
        parse(&imported.settings, path).map(drop).map_err(|problems| Failure::Settings(problems.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::model::settings::autoscaler::STANDINGS;

    /// The open example's file with every field set.
    const EXAMPLE: &str = include_str!("example.yaml");
    /// What the app exports, as far as it is known.
    const APP: &str = include_str!("app.json");

    fn told(imported: &Imported) -> String {
        let report = table([("FIELD", Side::Left), ("WHAT BECAME OF IT", Side::Left)], &imported.report);
        format!("{report}\n{}", imported.settings)
    }

    #[test]
    fn the_example_with_every_field_set_becomes_settings_that_hold() {
        let imported = import(EXAMPLE, "aws_autoscaler.yaml", None).unwrap();
        insta::assert_snapshot!("example", told(&imported));
        parse(&imported.settings, Path::new("t")).unwrap();
    }

    #[test]
    fn the_app_s_export_becomes_settings_that_hold() {
        let imported = import(APP, "app.json", Some("lab")).unwrap();
        insta::assert_snapshot!("app", told(&imported));
        parse(&imported.settings, Path::new("t")).unwrap();
    }

    #[test]
    fn no_secret_is_written_anywhere() {
        for (text, name) in [(EXAMPLE, "aws_autoscaler.yaml"), (APP, "app.json")] {
            assert!(text.contains("hush"));
            let told = told(&import(text, name, None).unwrap());
            assert!(!told.contains("hush"), "{told}");
        }
    }

    #[test]
    fn every_field_of_the_open_autoscaler_has_a_row() {
        let known: BTreeSet<&str> = rows::ROWS.iter().flat_map(|row| row.names.iter().copied()).collect();
        let structure = ["queues", "resource_configurations"];
        for name in STANDINGS.iter().flat_map(|standing| standing.sdk).filter(|name| !structure.contains(name)) {
            assert!(known.contains(name), "{name}");
        }
    }

    #[test]
    fn a_field_that_nobody_knows_is_refused_by_name() {
        let text = EXAMPLE.replace("cpu_only: true", "gpu_flavour: hot");
        let imported = import(&text, "a.yaml", None).unwrap();
        let row = imported.report.iter().find(|row| row[0].ends_with("gpu_flavour")).unwrap();
        assert!(row[1].starts_with("refused"), "{row:?}");
    }

    #[test]
    fn what_is_no_autoscaler_s_file_is_refused() {
        for text in ["", "a", "[]", "- 1", "a: [", "hyper_params: {}", "queues: 3", "*a", "\u{0}"] {
            assert!(import(text, "a", None).is_err(), "{text}");
        }
    }

    fn value() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            ".{0,12}".prop_map(Into::into),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            let names = prop::sample::select(rows::ROWS.iter().flat_map(|row| row.names).copied().collect::<Vec<_>>());
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::vec((names, inner), 0..6)
                    .prop_map(|entries| entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(?s).*") {
            let _ = import(&text, "t", None);
        }

        /// Whatever the fields hold, what is written is TOML whose every value is allowed.
        #[test]
        fn any_values_become_valid_settings(general in value(), resource in value(), max in value(), name in ".{0,8}") {
            let text = serde_json::json!({
                "hyper_params": general,
                "configurations": {
                    "resource_configurations": { name.clone(): resource },
                    "queues": { "q": [[name, max]] },
                },
            });
            if let Ok(imported) = import(&text.to_string(), "t", None)
                && let Err(problems) = parse(&imported.settings, Path::new("t"))
            {
                for problem in problems.problems {
                    let missing = problem.message.starts_with("is missing");
                    prop_assert!(missing, "{} {:?}\n{}", problem.message, problem.key, imported.settings);
                }
            }
        }
    }
}
