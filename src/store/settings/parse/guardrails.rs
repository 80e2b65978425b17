//! From a guardrails file's text to [`Guardrails`], with the same care as the settings.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Reader, Seen, in_order, problems, read_text, written};
use crate::model::settings::fields::{self, Field, Unset, Written};
use crate::model::settings::guardrails::Guardrails;
use crate::model::settings::key::{Part, Section};
use crate::store::settings::problem::SettingsProblems;

/// The sections and keys of a guardrails file.
const SHAPE: &str =
    "a guardrails file has `read_only`, `regions`, `types`, [limits], [queue.NAME], [pool.NAME] and [[budget]]";

/// Reads a guardrails file's text.
pub(in crate::store::settings) fn parse(text: &str, path: &Path) -> Result<Guardrails, SettingsProblems> {
    let mut rails = (None, None, false);
    let (ceilings, found) = read_text(text, |reader, root| rails = reader.guardrails(root));
    if found.is_empty() {
        let (regions, types, read_only) = rails;
        return Ok(Guardrails { from: path.display().to_string(), ceilings, regions, types, read_only });
    }
    Err(problems(text, path, found))
}

type Rails = (Option<Vec<String>>, Option<Vec<String>>, bool);

impl Reader<'_> {
    fn guardrails(&mut self, root: &DeTable) -> Rails {
        let (mut regions, mut types, mut read_only) = (None, None, false);
        for (name, at, value) in in_order(root) {
            match (name, written(self.text, value)) {
                ("limits", Written::Table(_) | Written::Other(_)) => self.ceilings(&Section::Limits, &at, value),
                ("queue" | "pool", _) => self.named_ceilings(name, &at, value),
                ("budget", _) => self.budgets(&at, value),
                ("read_only", Written::Flag(flag)) => read_only = flag,
                ("regions", Written::List(list)) => regions = Some(list),
                ("types", Written::List(list)) => types = Some(list),
                ("read_only", other) => {
                    self.say(&value.span(), Some(name.to_owned()), format!("`{other}` is not `true` or `false`"));
                }
                ("regions" | "types", other) => {
                    self.say(&value.span(), Some(name.to_owned()), format!("`{other}` is not a list of texts"));
                }
                _ => self.say(&at, None, format!("there is no `{name}` here: {SHAPE}")),
            }
        }
        self.require_of_budgets();
        (regions, types, read_only)
    }

    fn named_ceilings(&mut self, name: &str, at: &Range<usize>, value: &Spanned<DeValue>) {
        let part = if name == "queue" { Part::Queue } else { Part::Pool };
        let DeValue::Table(table) = value.get_ref() else {
            return self.say(at, None, format!("`{name}` are sections, each with a name: write them as [{name}.NAME]"));
        };
        for (name, at, value) in in_order(table) {
            self.ceilings(&Section::new(part, name), &at, value);
        }
    }

    /// A section of limits, and of nothing else.
    fn ceilings(&mut self, section: &Section, at: &Range<usize>, value: &Spanned<DeValue>) {
        let DeValue::Table(table) = value.get_ref() else {
            return self.say(at, None, format!("`{section}` is a section: write it as [{section}]"));
        };
        for (name, at, _) in in_order(table) {
            if !is_limit(name) {
                let limits: Vec<&str> = fields::of(Part::Limits).map(|field| field.name).collect();
                let message = format!("is no guardrail: a ceiling is one of {}", limits.join(", "));
                self.say(&at, Some(format!("{section}.{name}")), message);
                return;
            }
        }
        self.section(section, at, table);
    }

    fn require_of_budgets(&mut self) {
        let missing = |seen: &Seen, field: &&Field| !seen.fields.iter().any(|(there, _)| there.name == field.name);
        let budgets = self.seen.iter().filter(|seen| seen.section.part() == Part::Budget);
        let required = || fields::of(Part::Budget).filter(|field| field.unset == Unset::Required);
        let missing = budgets.flat_map(|seen| {
            let missing = required().filter(move |field| missing(seen, field));
            missing.map(|field| (seen.at.clone(), seen.section.key(field).to_string(), field.name))
        });
        for (at, key, name) in missing.collect::<Vec<_>>() {
            self.say(&at, Some(key), format!("is missing: write `{name} = ...`"));
        }
    }
}

fn is_limit(name: &str) -> bool {
    fields::of(Part::Limits).any(|field| field.name == name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_problem_is_told_with_its_place() {
        let text = r#"
read_only = "yes"
regions = "us-east-1"
fleet = "x"
[limits]
max = "six"
[pool.g5]
max = 3
types = ["g5.xlarge"]
[loop]
fleet = "x"
[[budget]]
name = "all"
limit = "$5"
"#;
        let told = parse(text, Path::new("guardrails.toml")).unwrap_err().to_string();
        insta::assert_snapshot!("guardrails", told);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(?s).*") {
            let _ = parse(&text, Path::new("t"));
        }
    }
}
