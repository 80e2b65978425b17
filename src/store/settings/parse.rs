//! From the file's text to [`Settings`], or to everything that is wrong with it.

pub(super) mod guardrails;

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use sha2::{Digest, Sha256};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::model::ids::Revision;
use crate::model::settings::Settings;
use crate::model::settings::check::complaints;
use crate::model::settings::fields::{self, Field, Unset, Written};
use crate::model::settings::key::{Part, Section, unknown_section};
use crate::store::settings::problem::{Position, Problem, SettingsProblems};

/// Bytes of the hash that name a revision.
const REVISION_BYTES: usize = 6;

/// Which version of the settings a text is.
pub(super) fn revision(text: &str) -> Revision {
    let hash = Sha256::digest(text.as_bytes());
    let digits = hash.iter().take(REVISION_BYTES).flat_map(|byte| [byte >> 4, byte & 0xf]);
    Revision::new(digits.filter_map(|digit| char::from_digit(u32::from(digit), 16)).collect::<String>())
}

/// Reads a settings file's text; `path` is only told in the problems.
pub fn parse(text: &str, path: &Path) -> Result<Settings, SettingsProblems> {
    let (settings, found) = read_text(text, |reader, root| {
        reader.read(root);
        reader.finish();
        reader.settings.complete();
    });
    if found.is_empty() { Ok(settings) } else { Err(problems(text, path, found)) }
}

/// Reads a text as `read` does.
fn read_text(text: &str, read: impl FnOnce(&mut Reader<'_>, &DeTable<'_>)) -> (Settings, Vec<Found>) {
    let (root, errors) = DeTable::parse_recoverable(text);
    let problems: Vec<Found> = errors.iter().map(|error| syntax(text, error)).collect();
    let settings = Settings::blank(revision(text));
    // What stands in a text that is no TOML would be a guess, and so would be what is wrong with it.
    if !problems.is_empty() {
        return (settings, problems);
    }
    let mut reader = Reader { text, settings, seen: Vec::new(), problems };
    read(&mut reader, root.get_ref());
    (reader.settings, reader.problems)
}

/// The byte where a setting's value begins, such as that of `loop.store`.
pub(super) fn place_of(text: &str, key: &str) -> Option<usize> {
    let root = DeTable::parse(text).ok()?;
    let (section, field) = key.split_once('.')?;
    let value = root.get_ref().get(section)?.get_ref().as_table()?.get(field)?;
    Some(value.span().start)
}

/// In the order of the text, each with its place.
fn problems(text: &str, path: &Path, mut found: Vec<Found>) -> SettingsProblems {
    found.sort_by_key(|found| found.offset);
    let problem =
        |found: Found| Problem { at: Some(Position::of(text, found.offset)), key: found.key, message: found.message };
    SettingsProblems { path: path.to_owned(), problems: found.into_iter().map(problem).collect() }
}

fn syntax(text: &str, error: &toml::de::Error) -> Found {
    let offset = error.span().map_or(text.len(), |span| span.start);
    Found { offset, key: None, message: format!("this is not TOML: {}", error.message()) }
}

/// A problem and the byte where it is.
struct Found {
    offset: usize,
    key: Option<String>,
    message: String,
}

/// A section of the text, with its fields.
struct Seen {
    section: Section,
    /// Its header or its name.
    at: Range<usize>,
    /// With the places of their values.
    fields: Vec<(&'static Field, Range<usize>)>,
}

struct Reader<'a> {
    text: &'a str,
    settings: Settings,
    seen: Vec<Seen>,
    problems: Vec<Found>,
}

type Entry<'a> = (&'a str, Range<usize>, &'a Spanned<DeValue<'a>>);

/// The entries of a table in the order of the file.
fn in_order<'a>(table: &'a DeTable<'a>) -> Vec<Entry<'a>> {
    let mut entries: Vec<Entry> =
        table.iter().map(|(name, value)| (name.get_ref().as_ref(), name.span(), value)).collect();
    entries.sort_by_key(|(_, span, _)| span.start);
    entries
}

impl Reader<'_> {
    fn say(&mut self, at: &Range<usize>, key: Option<String>, message: String) {
        self.problems.push(Found { offset: at.start, key, message });
    }

    fn read(&mut self, root: &DeTable) {
        for (name, at, value) in in_order(root) {
            match name {
                "clearml" => self.clearml(&at, value),
                "loop" => self.single(&Section::Loop, &at, value),
                "limits" => self.single(&Section::Limits, &at, value),
                "budget" => self.budgets(&at, value),
                "schedule" => self.named(Part::Schedule, &at, value),
                "account" => self.named(Part::Account, &at, value),
                "notify" => self.named(Part::Notify, &at, value),
                "queue" => self.named(Part::Queue, &at, value),
                "pool" => self.named(Part::Pool, &at, value),
                "keys" => self.single(&Section::Keys, &at, value),
                unknown => self.say(&at, None, unknown_section(unknown).to_string()),
            }
        }
    }

    fn clearml(&mut self, at: &Range<usize>, value: &Spanned<DeValue>) {
        self.single(&Section::Clearml, at, value);
        let agents = value.get_ref().as_table().and_then(|table| table.get_key_value("agents"));
        if let Some((name, agents)) = agents {
            self.single(&Section::Agents, &name.span(), agents);
        }
    }

    fn single(&mut self, section: &Section, at: &Range<usize>, value: &Spanned<DeValue>) {
        match value.get_ref() {
            DeValue::Table(table) => self.section(section, at, table),
            _ => self.say(at, None, format!("`{section}` is a section: write it as [{section}]")),
        }
    }

    fn named(&mut self, part: Part, at: &Range<usize>, value: &Spanned<DeValue>) {
        let DeValue::Table(table) = value.get_ref() else {
            return self.say(
                at,
                None,
                format!("`{part}` are sections, each with a name: write them as [{}.NAME]", part.words().join(".")),
            );
        };
        for (name, at, value) in in_order(table) {
            self.single(&Section::new(part, name), &at, value);
        }
    }

    fn budgets(&mut self, at: &Range<usize>, value: &Spanned<DeValue>) {
        let DeValue::Array(budgets) = value.get_ref() else {
            return self.say(at, None, "budgets are a list: write each as [[budget]], with its `name`".to_owned());
        };
        let mut names = BTreeSet::new();
        for budget in budgets {
            let DeValue::Table(table) = budget.get_ref() else {
                self.say(&budget.span(), None, "a budget is a section: write it as [[budget]]".to_owned());
                continue;
            };
            let name = table.get("name").and_then(|name| Some((name.span(), name.get_ref().as_str()?)));
            if let Some((at, name)) = &name
                && !names.insert((*name).to_owned())
            {
                self.say(at, None, format!("a budget called `{name}` is there already"));
                continue;
            }
            let name = name.map(|(_, name)| name).unwrap_or_default();
            self.section(&Section::new(Part::Budget, name), &budget.span(), table);
        }
    }

    fn section(&mut self, section: &Section, at: &Range<usize>, table: &DeTable) {
        fields::begin(&mut self.settings, section);
        let mut seen = Seen { section: section.clone(), at: at.clone(), fields: Vec::new() };
        for (name, at, value) in in_order(table) {
            if *section == Section::Clearml && name == "agents" {
                continue;
            }
            let field = match fields::find(section.part(), name) {
                Ok(field) => field,
                Err(error) => {
                    self.say(&at, None, error.to_string());
                    continue;
                }
            };
            let key = section.key(field);
            let place = if value.get_ref().is_table() { at } else { value.span() };
            if let Err(wrong) = fields::put(&mut self.settings, &key, &written(self.text, value)) {
                self.say(&place, Some(key.to_string()), wrong.to_string());
            }
            seen.fields.push((field, place));
        }
        self.seen.push(seen);
    }

    /// What is missing, and what does not hold between the settings.
    fn finish(&mut self) {
        if !self.seen.iter().any(|seen| seen.section == Section::Loop) {
            self.seen.push(Seen { section: Section::Loop, at: 0..0, fields: Vec::new() });
        }
        for seen in std::mem::take(&mut self.seen) {
            for field in fields::of(seen.section.part()).filter(|field| field.unset == Unset::Required) {
                if !seen.fields.iter().any(|(there, _)| there.name == field.name) {
                    let key = seen.section.key(field).to_string();
                    let example = field.kind.written(field.example).to_toml();
                    self.say(&seen.at, Some(key), format!("is missing: write `{} = {example}`", field.name));
                }
            }
            self.seen.push(seen);
        }
        let unread: BTreeSet<String> = self.problems.iter().filter_map(|found| found.key.clone()).collect();
        for complaint in complaints(&self.settings) {
            let seen = self.seen.iter().find(|seen| seen.section == complaint.section);
            let field = complaint.field.and_then(|name| {
                seen.and_then(|seen| seen.fields.iter().find(|(field, _)| field.name == name)).map(|(_, at)| at.clone())
            });
            let at = field.or_else(|| seen.map(|seen| seen.at.clone())).unwrap_or_default();
            let field = complaint.field.map(|field| format!(".{field}")).unwrap_or_default();
            let key = format!("{}{field}", complaint.section);
            // What could not be read is not judged by its default.
            if !unread.contains(&key) {
                self.say(&at, Some(key), complaint.message);
            }
        }
    }
}

/// The value in the shapes that settings have.
fn written(text: &str, value: &Spanned<DeValue>) -> Written {
    let shaped = match value.get_ref() {
        DeValue::Boolean(flag) => Some(Written::Flag(*flag)),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok().map(Written::Whole),
        DeValue::String(text) => Some(Written::Text(text.to_string())),
        DeValue::Array(items) => {
            let items = items.iter().map(|item| item.get_ref().as_str().map(str::to_owned));
            items.collect::<Option<_>>().map(Written::List)
        }
        DeValue::Table(entries) => {
            let entries = entries
                .iter()
                .map(|(name, value)| Some((name.get_ref().to_string(), value.get_ref().as_str()?.to_owned())));
            entries.collect::<Option<_>>().map(Written::Table)
        }
        DeValue::Float(_) | DeValue::Datetime(_) => None,
    };
    shaped.unwrap_or_else(|| Written::Other(text.get(value.span()).unwrap_or_default().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WRONG: &str = r#"# A file in which much is wrong.
[clearml]
api_server = "api.example.com"
credentials = "AKIAIOSFODNN7EXAMPLE:hush" # a secret in the settings
access_key = "AKIAIOSFODNN7EXAMPLE"

[loop]
poll = "1h"
count_foreign = "yes"
time_zone = "Europe/Berln"
on_exit = "stop"
price_of_waiting = "$2/h"

[limits]
max = "six"
max_gpu = -1
max_vcpu = 1.5
max_hourly = "$60"

[[budget]]
name = "team month"
scope = "queue:trian"
per = "rolling 24h"
limit = 2500
already_spent = "0"
at = { "80%" = "warn" }

[[budget]]
name = "team month"

[[budget]]
scope = "project:x"
per = "day"
limit = "-$5"

[queue.train]
pools = ["p4d", "p5", "p4d"]
priorty = 10
on_lost = "requeue"
expected_task = "1 hour"

[queue.empty]
pools = []

[pool."a/b"]
provider = "gcp"
region = "us-east-1"
types = "p4d.24xlarge"
ami = "ami-1"

[pool.p4d]
provider = "aws"
region = "us-east-1"
types = ["p4d.24xlarge", 5]
min = 5
max = 4
keep_alive = "learned"
max_boot = "3d"
subnets = ["subnet-a", "subnet-b"]
zones = ["us-east-1a"]
agent_version = ">=3.0"
tags = { "tidegate-fleet" = "mine" }
disk_gb = 0
[pool.p4d.launch]
image = "ami-1"

[pools.p5]
"#;

    fn told(text: &str) -> String {
        parse(text, Path::new("tidegate.toml")).unwrap_err().to_string()
    }

    #[test]
    fn every_problem_is_told_with_its_place_its_value_and_what_is_allowed() {
        let problems = parse(WRONG, Path::new("tidegate.toml")).unwrap_err();
        assert!(!format!("{problems:?}").contains("hush"));
        let each = problems
            .problems
            .into_iter()
            .map(|one| SettingsProblems { path: problems.path.clone(), problems: vec![one] }.to_string());
        insta::assert_snapshot!("wrong", each.collect::<Vec<_>>().join("\n"));
    }

    #[test]
    fn what_is_no_toml_is_told_wherever_it_is() {
        insta::assert_snapshot!("syntax", told("[loop]\nfleet = research\n[limits\nmax = 3\nmax = = 4\n[loop]\n"));
    }

    #[test]
    fn sections_of_the_wrong_shape_are_told() {
        let text =
            "queue = 3\nlimits = [1]\npool.a = 1\nbudget = [1]\n[loop]\nfleet = \"x\"\n[clearml]\nagents = \"env:X\"\n";
        insta::assert_snapshot!("shape", told(text));
        assert_eq!(
            told("[budget]\nname = \"x\"\n[loop]\nfleet = \"x\"\n"),
            "tidegate.toml:1:2: budgets are a list: write each as [[budget]], with its `name`"
        );
        assert_eq!(told(""), "tidegate.toml:1:1: loop.fleet: is missing: write `fleet = \"research\"`");
    }

    #[test]
    fn a_key_of_two_commands_is_refused_with_both_and_its_place() {
        let start = "[loop]\nfleet = \"x\"\n[keys]\n";
        for (lines, said) in [
            ("drain = \"x\"", "4:9: keys.drain: `x` is a key of `stop` already: give `stop` another one, or `drain`"),
            ("stop = \"F9 d\"", "4:8: keys.stop: `d` is a key of `drain` already: give `drain` another one, or `stop`"),
            (
                "hold = \"F2\"\ndrain = \"F2\"",
                "4:8: keys.hold: `F2` is a key of `drain` already: give `drain` another one, or `hold`",
            ),
            ("drain = \"F2 F2\"", "4:9: keys.drain: `F2` is there twice"),
            ("drian = \"F2\"", "4:1: there is no `drian` in [keys]: did you mean `drain`?"),
            (
                "drain = \"Strg-D\"",
                "4:9: keys.drain: `Strg-D` is not a key or several with spaces between them, such as `d`, `F5`, `Space` \
                 or `q Ctrl-C`, or `none`",
            ),
            ("quit = \"none\"", "4:8: keys.quit: `quit` must have a key: without one the screen cannot be used"),
        ] {
            assert_eq!(told(&format!("{start}{lines}\n")), format!("tidegate.toml:{said}"));
        }
        // Two that change places are no conflict.
        let swapped =
            parse(&format!("{start}drain = \"x\"\nstop = \"d\"\nlaunch = \"none\"\n"), Path::new("t")).unwrap();
        assert_eq!(swapped.keys.len(), 3);
    }

    #[test]
    fn the_reference_file_is_valid_and_in_its_order() {
        let mut settings = parse(&crate::model::settings::reference::toml(), Path::new("tidegate.toml")).unwrap();
        let names: Vec<_> = settings.queues.iter().map(|queue| queue.name.as_str()).collect();
        assert_eq!(names, ["train", "eval"]);
        settings.revision = Revision::new("of this text");
        insta::assert_snapshot!("reference", serde_json::to_string_pretty(&settings).unwrap());
    }

    #[test]
    fn a_revision_is_of_the_text() {
        assert_eq!(revision(""), Revision::new("e3b0c44298fc"));
        assert_ne!(revision("a"), revision("a "));
    }

    const PIECES: [&str; 34] = [
        "[loop]",
        "[clearml]",
        "[clearml.agents]",
        "[queue.a]",
        "[queue]",
        "[[queue]]",
        "[[budget]]",
        "[pool.\"a b\"]",
        "[pool.p.tags]",
        "fleet = \"x\"",
        "queue.a.max = 3",
        "max = 99999999999999999999",
        "max = 0x1F",
        "pools = [\"p\", 1]",
        "budget = [{ name = \"a\" }]",
        "name = \"\"",
        "scope = \"queue:\"",
        "tags.a = \"b\"",
        "tags = { a = 1 }",
        "a = [[{}]]",
        "at = 1979-05-27",
        "x = nan",
        "\u{feff}",
        "\r\n",
        "=",
        "[",
        "\"",
        "'''",
        "\0",
        "é",
        "#",
        "limits = { max = 1, }",
        ".",
        "}",
    ];

    /// Pieces of settings, right and wrong, in any order.
    fn heap() -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..12).prop_map(|pieces| pieces.join("\n"))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn any_text_is_read_or_refused(text in "(?s).*") {
            let _ = parse(&text, Path::new("t"));
        }

        #[test]
        fn any_heap_of_pieces_is_read_or_refused_with_a_place(text in heap()) {
            if let Err(problems) = parse(&text, Path::new("t")) {
                prop_assert!(!problems.problems.is_empty());
                for problem in problems.problems {
                    prop_assert!(problem.at.unwrap().line <= text.matches('\n').count() + 1);
                }
            }
        }
    }
}
