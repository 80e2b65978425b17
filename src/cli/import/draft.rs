//! The new settings, and the report of what became of the old ones.

mod addresses;
mod counts;
mod unasked;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use serde_json::Value;

use super::Imported;
use super::adopt::OldNames;
use super::google;
use super::read::{Kind, Old, Refused, Resource, plain};
use super::rows::{self, Becomes, PREFIX};
use super::secrets::{is_secret, without_secrets};
use super::values::{self, is_empty, shown};
use crate::model::settings::fields::{self, Written};
use crate::model::settings::key::{Key, Part, Section, word};
use crate::store::settings::{Problem, parse};

/// What theirs takes where nothing is said.
const THEIR_PREFIX: &str = "dynamic_worker";
const THEIR_GLUE: &str = "k8s";
/// The account that an old file's project becomes.
const ACCOUNT: &str = "gcp";

/// A section under way.
#[derive(Debug, Default)]
struct Draft {
    /// By field: the value, and where it is from.
    lines: BTreeMap<&'static str, (Written, String)>,
    comments: Vec<String>,
    /// What stands where a count of machines should.
    no_count: Option<String>,
}

/// Everything under way.
struct Desk {
    kind: Kind,
    pools: Vec<(String, Draft)>,
    the_loop: Draft,
    clearml: Draft,
    account: Draft,
    /// Of ClearML's servers, by their names in clearml.conf: the address, and where it is from.
    addresses: BTreeMap<&'static str, (String, String)>,
    report: Vec<[String; 2]>,
}

pub(super) fn draft(old: &Old, from: &str, fleet: Option<&str>) -> Imported {
    let prefix = old.general.iter().find(|(path, _)| plain(path) == PREFIX);
    let of_kind = if old.kind == Kind::Glue { THEIR_GLUE } else { THEIR_PREFIX };
    let prefix = prefix.and_then(|(_, value)| value.as_str()).filter(|text| !text.is_empty()).unwrap_or(of_kind);
    let theirs = prefix.to_owned();
    let fleet = fleet.map_or_else(|| house_name(&format!("{prefix}-tidegate")), str::to_owned);
    let old_workers = format!("{prefix}:RESOURCE:TYPE:ID");
    let mut desk = Desk {
        kind: old.kind,
        pools: Vec::new(),
        the_loop: Draft::default(),
        clearml: Draft::default(),
        account: Draft::default(),
        addresses: BTreeMap::new(),
        report: Vec::new(),
    };
    let mut names = BTreeMap::new();
    for resource in &old.resources {
        let name = desk.pool(resource, &mut names);
        let place = desk.pools.len() - 1;
        desk.fields(&format!("{}.", resource.name), resource.fields.iter(), &[place]);
        if name != resource.name {
            desk.tell(&resource.name, format!("pool `{name}`: a pool's name has no spaces, `:` and `/`"));
        }
    }
    let all: Vec<usize> = (0..desk.pools.len()).collect();
    desk.fields("", old.general.iter().map(|(path, value)| (path, value)), &all);
    for Refused { path, value, why } in &old.refused {
        match value {
            Value::Null => desk.tell(path, format!("refused: {why}")),
            value => desk.refuse(path, value, why, &all),
        }
    }
    desk.servers();
    desk.unasked();
    let queues = desk.queues(old, &names);
    desk.uncounted();
    let mut settings = text(&desk, &queues, from, &fleet, &old_workers);
    // What is right by itself may not fit what stands beside it.
    while let Err(problems) = parse(&settings, Path::new(from))
        && problems.problems.iter().any(|problem| desk.withdraw(problem))
    {
        settings = text(&desk, &queues, from, &fleet, &old_workers);
    }
    Imported { settings, report: desk.report, old: OldNames { prefix: theirs, pools: names }, kind: old.kind }
}

/// Fit for a fleet or a pool.
fn house_name(text: &str) -> String {
    let fit = |letter: char| if letter.is_alphanumeric() || "-_.".contains(letter) { letter } else { '-' };
    let name: String = text.trim().chars().map(fit).collect();
    if name.trim_matches('.').is_empty() { "pool".to_owned() } else { name }
}

impl Desk {
    fn tell(&mut self, field: &str, became: impl Into<String>) {
        self.report.push([field.to_owned(), became.into()]);
    }

    /// Begins a resource's pool; its name.
    fn pool(&mut self, resource: &Resource, names: &mut BTreeMap<String, String>) -> String {
        let fit = house_name(&resource.name);
        let mut name = fit.clone();
        let mut more = 2;
        while self.pools.iter().any(|(known, _)| *known == name) {
            name = format!("{fit}-{more}");
            more += 1;
        }
        let mut draft = Draft::default();
        draft.lines.insert("provider", (Written::Text(self.kind.provider().word().to_owned()), String::new()));
        self.pools.push((name.clone(), draft));
        names.insert(resource.name.clone(), name.clone());
        name
    }

    fn fields<'a>(
        &mut self,
        path: &str,
        fields: impl Iterator<Item = (&'a String, &'a Value)> + Clone,
        pools: &[usize],
    ) {
        let hidden = rows::hidden(self.kind, fields.clone());
        for (name, value) in fields {
            if hidden.contains(&plain(name).as_str()) && !is_empty(value) {
                self.tell(&format!("{path}{name}"), "not used: there it is switched off");
            } else {
                self.field(&format!("{path}{name}"), value, pools);
            }
        }
    }

    /// One field, of these pools where it is a pool's.
    fn field(&mut self, path: &str, value: &Value, pools: &[usize]) {
        let row = rows::find(self.kind, path);
        // Parts of a path that a row's name is made of are kept together by a slash.
        let shown_path = path.replace('/', ".");
        let path = if self.kind == Kind::Glue { shown_path.as_str() } else { path };
        let Some(row) = row else {
            let other = self.kind.other();
            let known = rows::is_only_of(other, path).then(|| format!("refused: it is a field of {}", other.words()));
            return self.tell(path, known.unwrap_or_else(|| "refused: nobody knows this field".to_owned()));
        };
        if is_empty(value) {
            return self.tell(path, "empty: nothing to bring over");
        }
        match &row.becomes {
            Becomes::Secret(instead) => self.tell(path, format!("not written, it is a secret: {instead}")),
            Becomes::Dropped(why) => self.tell(path, format!("not needed: {why}")),
            Becomes::Template(place) => self.tell(path, *place),
            Becomes::Refused(why) => self.refuse(path, value, why, pools),
            Becomes::Comment(why) => {
                let (text, secrets) = without_secrets(&shown(value));
                self.comment(path, &text, pools);
                self.tell(path, format!("kept as a comment: {why}{}", left_out(&secrets)));
            }
            Becomes::Container => match values::container(value) {
                Some((image, arguments)) => {
                    let mut told = self.put(Part::Pool, "docker_image", Written::Text(image), path, pools);
                    if !arguments.is_empty() {
                        let arguments = self.put(Part::Pool, "docker_arguments", Written::List(arguments), path, pools);
                        told = told.and_then(|image| Ok(format!("{image}; {}", arguments?)));
                    }
                    self.told(path, value, told, "", pools);
                }
                None => self.refuse(path, value, "it is of another shape than theirs", pools),
            },
            Becomes::Zones => match values::list(value) {
                Some(Written::List(zones)) => {
                    let region = zones.first().and_then(|zone| google::region(zone)).map(str::to_owned);
                    let told = match region {
                        Some(region) => {
                            let zones = self.put(Part::Pool, "zones", Written::List(zones), path, pools);
                            let region = self.put(Part::Pool, "region", Written::Text(region), path, pools);
                            zones.and_then(|zones| Ok(format!("{zones}; {}", region?)))
                        }
                        None => Err("it is no zone of Google's, such as `us-central1-a`".to_owned()),
                    };
                    self.told(path, value, told, "", pools);
                }
                _ => self.refuse(path, value, "it is of another shape than theirs", pools),
            },
            Becomes::GoogleImage => match values::text(value) {
                Some(Written::Text(image)) => {
                    let told = self.put(Part::Pool, google::image(&image), Written::Text(image), path, pools);
                    self.told(path, value, told, "", pools);
                }
                _ => self.refuse(path, value, "it is of another shape than theirs", pools),
            },
            Becomes::Address(server) => self.address(server, path, value, pools),
            Becomes::Metadata(part, field) => match values::tags(value) {
                Some(Written::Table(entries)) => {
                    let (secret, plain): (BTreeMap<_, _>, BTreeMap<_, _>) = entries
                        .into_iter()
                        .partition(|(name, text)| is_secret(name) || !without_secrets(text).1.is_empty());
                    let secrets: Vec<String> = secret.into_keys().collect();
                    let told = if plain.is_empty() {
                        Ok("nothing is left of it".to_owned())
                    } else {
                        self.put(*part, field, Written::Table(plain), path, pools)
                    };
                    self.told(path, &Value::Null, told, &left_out(&secrets), pools);
                }
                _ => self.refuse(path, value, "it is of another shape than theirs", pools),
            },
            Becomes::Script(field) => {
                let (text, secrets) = without_secrets(&shown(value));
                let told = self.put(Part::Pool, field, Written::Text(text.replace("\r\n", "\n")), path, pools);
                self.told(path, value, told, &left_out(&secrets), pools);
            }
            Becomes::Setting(part, field, read) => {
                let written = read(value).ok_or_else(|| "it is of another shape than theirs".to_owned());
                let told = written.and_then(|written| self.put(*part, field, written, path, pools));
                if told.is_err() && *field == "max" {
                    self.no_count(path, value, pools);
                }
                self.told(path, value, told, "", pools);
            }
        }
    }

    fn told(&mut self, path: &str, value: &Value, told: Result<String, String>, more: &str, pools: &[usize]) {
        match told {
            Ok(became) => self.tell(path, format!("{became}{more}")),
            Err(why) => self.refuse(path, value, &why, pools),
        }
    }

    fn refuse(&mut self, path: &str, value: &Value, why: &str, pools: &[usize]) {
        let (text, secrets) = without_secrets(&shown(value));
        self.comment(path, &text, pools);
        // What is wrong with a value shows a piece of it.
        let why = if secrets.is_empty() { why } else { "it holds a secret" };
        self.tell(path, format!("refused, kept as a comment: {why}"));
    }

    fn comment(&mut self, path: &str, text: &str, pools: &[usize]) {
        let name = path.rsplit('.').next().unwrap_or(path);
        let first = pools.first().and_then(|pool| self.pools.get_mut(*pool));
        // What is over everything stands once.
        let draft =
            if pools.len() == 1 { first.map_or(&mut self.the_loop, |(_, draft)| draft) } else { &mut self.the_loop };
        draft.comments.push(format!("{name}: {text}"));
    }

    /// Puts a setting, if it is allowed; says where.
    fn put(
        &mut self,
        part: Part,
        field: &'static str,
        written: Written,
        path: &str,
        pools: &[usize],
    ) -> Result<String, String> {
        let rule = fields::find(part, field).map_err(|error| error.to_string())?;
        let (written, refused) = allowed(rule, written)?;
        let more = if refused.is_empty() { String::new() } else { format!("; refused: {}", refused.join(", ")) };
        let line = (written.clone(), path.to_owned());
        match part {
            Part::Loop => drop(self.the_loop.lines.insert(rule.name, line)),
            Part::Clearml => drop(self.clearml.lines.insert(rule.name, line)),
            Part::Account => drop(self.account.lines.insert(rule.name, line)),
            _ => {
                let mut taken = false;
                for pool in pools {
                    if let Some((_, draft)) = self.pools.get_mut(*pool)
                        && !draft.lines.contains_key(rule.name)
                    {
                        draft.lines.insert(rule.name, line.clone());
                        taken = true;
                    }
                }
                if !taken {
                    return Ok(format!("not used: another field gives {}", rule.pattern()));
                }
            }
        }
        let shown = if matches!(&written, Written::Text(text) if text.contains('\n')) {
            String::new()
        } else {
            format!(" = {written}")
        };
        Ok(format!("{}{shown}{more}", rule.pattern()))
    }

    /// Takes back the setting that a problem is about; `false`: there is none.
    fn withdraw(&mut self, problem: &Problem) -> bool {
        let Some(Ok(key)) = problem.key.as_deref().map(Key::parse) else { return false };
        let draft = match &key.section {
            Section::Pool(name) => {
                self.pools.iter_mut().find(|(pool, _)| pool == name.as_str()).map(|(_, draft)| draft)
            }
            Section::Loop => Some(&mut self.the_loop),
            Section::Clearml => Some(&mut self.clearml),
            Section::Account(_) => Some(&mut self.account),
            _ => None,
        };
        let Some(draft) = draft else { return false };
        let Some(taken) = draft.lines.remove(key.field.name).map(|(written, _)| written.to_toml()) else {
            return false;
        };
        draft.comments.push(format!("{}: {taken}", key.field.name));
        self.tell(&key.to_string(), format!("refused, kept as a comment: {}", problem.message));
        true
    }
}

fn left_out(secrets: &[String]) -> String {
    if secrets.is_empty() {
        return String::new();
    }
    format!(
        "; lines that set secrets were left out: {}: give them through the image or the machine's role",
        secrets.join(", ")
    )
}

/// What of the value the field takes, and the entries of a table that it does not.
fn allowed(rule: &'static fields::Field, written: Written) -> Result<(Written, Vec<String>), String> {
    let Err(wrong) = rule.check(&written) else { return Ok((written, Vec::new())) };
    let Written::Table(entries) = written else { return Err(wrong.to_string()) };
    let holds = |entry: &(String, String)| rule.check(&Written::Table(BTreeMap::from([entry.clone()]))).is_ok();
    let (right, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
        entries.into_iter().partition(|(name, text)| holds(&(name.clone(), text.clone())));
    if right.is_empty() || rule.check(&Written::Table(right.clone())).is_err() {
        return Err(wrong.to_string());
    }
    Ok((Written::Table(right), others.into_keys().collect()))
}

/// The file.
fn text(desk: &Desk, queues: &[(String, Vec<String>)], from: &str, fleet: &str, old_workers: &str) -> String {
    let from: String = from.chars().filter(|letter| !letter.is_control()).collect();
    let mut text = if desk.kind == Kind::Glue {
        format!(
            "# Brought over from {from} by `tidegate import`. Read it, then: tidegate check\n\
             # Stop the old glue first: while it runs, both take tasks from the same queues. Its pods are left alone, and told\n\
             # of in `tidegate why POOL`: they end with their tasks.\n"
        )
    } else {
        format!(
            "# Brought over from {from} by `tidegate import`. Read it, then: tidegate check\n\
         # Stop the old autoscaler first: while it runs, both start machines for the same queues. Its machines, with\n\
         # workers {}, are foreign here: counted while they are idle, never acted on, until\n# `tidegate import FILE --adopt` takes them over.\n",
            old_workers.chars().filter(|letter| !letter.is_control()).collect::<String>()
        )
    };
    if !desk.clearml.lines.is_empty() {
        section(&mut text, "[clearml]", &desk.clearml, Part::Clearml);
    }
    let mut the_loop = format!("\n[loop]\nfleet = {}\n", Written::Text(fleet.to_owned()).to_toml());
    lines(&mut the_loop, &desk.the_loop, Part::Loop);
    text.push_str(&the_loop);
    let maxima: Option<Vec<i64>> = desk
        .pools
        .iter()
        .map(|(_, draft)| match draft.lines.get("max") {
            Some((Written::Whole(max), _)) if draft.no_count.is_none() => Some(*max),
            _ => None,
        })
        .collect();
    if let Some(total) = maxima.map(|maxima| maxima.iter().fold(0_i64, |sum, max| sum.saturating_add(*max)))
        && total <= 100_000
    {
        let _ = write!(text, "\n[limits]\nmax = {total} # as many as the old one could start\n");
    }
    text.push_str(
        "\n# The old one knew no money. A hard budget is never passed by a launch:\n\
         # [[budget]]\n# name = \"all\"\n# per = \"month\"\n# limit = \"$1000\"\n",
    );
    if !desk.account.lines.is_empty() {
        section(&mut text, &format!("[{}]", Section::new(Part::Account, ACCOUNT)), &desk.account, Part::Account);
    }
    for (queue, pools) in queues {
        let pools = Written::List(pools.clone()).to_toml();
        let _ = write!(text, "\n[{}]\npools = {pools}\n", Section::new(Part::Queue, queue));
    }
    for (pool, draft) in &desk.pools {
        section(&mut text, &format!("[pool.{}]", word(pool)), draft, Part::Pool);
    }
    text
}

fn section(text: &mut String, heading: &str, draft: &Draft, part: Part) {
    let _ = write!(text, "\n{heading}\n");
    lines(text, draft, part);
}

fn lines(text: &mut String, draft: &Draft, part: Part) {
    for field in fields::of(part) {
        if let Some((written, from)) = draft.lines.get(field.name) {
            let from: String = from.chars().filter(|letter| !letter.is_control()).collect();
            let value = written.to_toml();
            let was = if from.is_empty() || value.contains('\n') { String::new() } else { format!(" # {from}") };
            let _ = writeln!(text, "{} = {value}{was}", field.name);
        }
    }
    for comment in &draft.comments {
        for line in comment.lines() {
            let line: String = line.chars().filter(|letter| !letter.is_control()).collect();
            let _ = writeln!(text, "# {line}");
        }
    }
}
