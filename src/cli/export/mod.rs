//! `export`: the settings as those of ClearML's autoscaler - the open AWS example's YAML, or what its GCP app imports - and,
//! by name, what has no place there.

mod aws;
mod gcp;
mod yaml;

use clap::Args;
use serde_json::{Map, Value, json};

use super::Place;
use super::failure::Failure;
use super::live::Ground;
use super::say::{complain, say};
use crate::model::nearest::did_you_mean;
use crate::model::settings::fields::{self, Written};
use crate::model::settings::key::{Part, Section};
use crate::model::settings::{KeepAlive, Poll, PoolSettings, Provider, Settings};

/// Theirs where nothing is said; where ours is learned, too.
const MAX_IDLE: i64 = 15;

/// Where ours adapts.
const POLLING: f64 = 1.0;

/// The settings as those of ClearML's autoscaler, to go back to it or to run it beside
///
/// Pools of EC2 become the YAML of the open `aws_autoscaler` example, with `--provider gce` those of Google the JSON that the GCP app imports; on standard
/// output. What has no place there, budgets above all, is told on standard error, field by field. No secret is written.
#[derive(Debug, Args)]
pub(super) struct Export {
    /// Whose pools: `aws` or `gce` [default: the first pool's]
    #[arg(long, value_name = "PROVIDER")]
    provider: Option<String>,
    /// The prefix of the workers' names there
    #[arg(long, value_name = "NAME", default_value = "dynamic_worker")]
    workers_prefix: String,
}

/// What an export comes to.
#[derive(Debug)]
struct Exported {
    text: String,
    /// What was left out or changed, one line each.
    report: Vec<String>,
}

impl Export {
    pub(super) fn run(&self, place: &Place) -> Result<(), Failure> {
        let settings = Ground::find(place)?.settings.settings();
        let provider = match self.provider.as_deref() {
            Some("aws") => Provider::Aws,
            Some("gce") => Provider::Gce,
            Some(word) => {
                let hint = did_you_mean(word, ["aws", "gce"]);
                return Err(Failure::Usage(format!(
                    "`{word}` has no autoscaler of ClearML's{hint}: it is `aws` or `gce`"
                )));
            }
            None if settings.pools.first().is_some_and(|pool| pool.provider == Provider::Gce) => Provider::Gce,
            None => Provider::Aws,
        };
        let exported = export(&settings, provider, &self.workers_prefix)?;
        for line in &exported.report {
            complain(line);
        }
        say(&exported.text)
    }
}

fn export(settings: &Settings, provider: Provider, prefix: &str) -> Result<Exported, Failure> {
    let pools: Vec<&PoolSettings> = settings.pools.iter().filter(|pool| pool.provider == provider).collect();
    let Some(first) = pools.first().copied() else {
        return Err(Failure::Usage(format!("no pool has provider = \"{}\"", provider.word())));
    };
    let mut report = Vec::new();
    let left = settings.pools.iter().filter(|pool| pool.provider != provider);
    report.extend(left.map(|pool| format!("pool {}: left out, it is of {}", pool.name, pool.provider.word())));
    // Theirs has one region, or zone, and one account.
    let (here, elsewhere): (Vec<_>, Vec<_>) = pools.into_iter().partition(|pool| pool.site() == first.site());
    let site = first.site();
    report.extend(
        elsewhere.iter().map(|pool| format!("pool {}: left out, it is in {}, not {site}", pool.name, pool.site())),
    );
    let shares = shares(settings, &here, &mut report);
    let mut general = general(settings, &here, prefix, &mut report);
    let (text, kept) = if provider == Provider::Gce {
        (gcp::text(settings, &here, &shares, general)?, gcp::KEPT)
    } else {
        // The open example asks for it.
        general.entry("default_docker_image").or_insert_with(|| json!(""));
        (aws::text(&here, &shares, general, &mut report), aws::KEPT)
    };
    report.extend(placeless(settings, &here, kept));
    Ok(Exported { text, report })
}

/// A queue, a pool of its and how many machines of it there may be.
struct Share<'a> {
    queue: &'a str,
    pool: &'a PoolSettings,
    most: u32,
}

/// Theirs counts each machine for one queue, and needs to know how many there may be.
fn shares<'a>(settings: &'a Settings, pools: &[&'a PoolSettings], report: &mut Vec<String>) -> Vec<Share<'a>> {
    let mut shares: Vec<Share<'a>> = Vec::new();
    for queue in &settings.queues {
        for pool in queue.pools.iter().filter_map(|name| pools.iter().find(|pool| pool.name == *name)) {
            if let Some(taken) = shares.iter().find(|share| share.pool.name == pool.name) {
                report.push(format!("queue {}: pool {} serves {} only there", queue.name, pool.name, taken.queue));
                continue;
            }
            // Theirs counts each kind of machine by itself: no more than the tightest of ours.
            let limits = [pool.limits.max, queue.limits.max, settings.limits.max];
            let most = limits.into_iter().flatten().min().unwrap_or_else(|| {
                report.push(format!("pool {}: it has no limit; 1 is written", pool.name));
                1
            });
            shares.push(Share { queue: queue.name.as_str(), pool, most });
        }
    }
    let limited = settings.queues.iter().filter_map(|queue| Some((queue, queue.limits.max?)));
    report.extend(limited.filter(|(queue, _)| queue.pools.len() > 1).map(|(queue, max)| {
        format!(
            "queue.{}.max = {max}: theirs has no limit for a queue; it is written for each of its machines",
            queue.name
        )
    }));
    let unserved = pools.iter().filter(|pool| shares.iter().all(|share| share.pool.name != pool.name));
    report.extend(unserved.map(|pool| format!("pool {}: no queue names it; it is written all the same", pool.name)));
    shares
}

/// What they have once for all machines and we for each pool: the first pool's, and what others have instead.
fn of_all<T: PartialEq>(
    pools: &[&PoolSettings],
    name: &str,
    of: impl Fn(&PoolSettings) -> T,
    report: &mut Vec<String>,
) -> Option<T> {
    let first = of(pools.first()?);
    let others = pools.iter().filter(|pool| of(pool) != first);
    report.extend(
        others.map(|pool| {
            format!("pool.{}.{name}: theirs is one for all machines; the first pool's is written", pool.name)
        }),
    );
    Some(first)
}

/// The fields that both of theirs have over everything.
fn general(settings: &Settings, pools: &[&PoolSettings], prefix: &str, report: &mut Vec<String>) -> Map<String, Value> {
    let idle = of_all(pools, "keep_alive", |pool| pool.keep_alive, report);
    let idle = match idle {
        Some(KeepAlive::For(span)) => whole_minutes(span.as_secs()),
        Some(KeepAlive::Learned) | None => {
            report.push(format!("keep_alive: it is learned here; {MAX_IDLE} minutes are written"));
            MAX_IDLE
        }
    };
    let boot = of_all(pools, "max_boot", |pool| pool.max_boot, report).map_or(30, |span| whole_minutes(span.as_secs()));
    let poll = match settings.the_loop.poll {
        Poll::Auto => POLLING,
        Poll::Every(span) => span.as_secs_f64() / 60.0,
    };
    let image = of_all(
        pools,
        "docker_image",
        |pool| {
            let agent = &pool.agent;
            let image = agent.docker.then(|| agent.docker_image.clone().unwrap_or_default());
            image.map(|image| [vec![image], agent.docker_arguments.clone()].concat().join(" "))
        },
        report,
    );
    let mut fields = Map::new();
    for (name, field) in [("extra_vm_bash_script", "init_script"), ("extra_clearml_conf", "extra_clearml_conf")] {
        let of = |pool: &PoolSettings| match name {
            "extra_vm_bash_script" => pool.agent.init_script.clone(),
            _ => pool.agent.extra_clearml_conf.clone(),
        };
        let text = of_all(pools, field, of, report).flatten().unwrap_or_default();
        fields.insert(name.to_owned(), json!(text));
    }
    if let Some(image) = image.flatten().filter(|image| !image.is_empty()) {
        fields.insert("default_docker_image".to_owned(), json!(image));
    }
    fields.insert("max_idle_time_min".to_owned(), json!(idle));
    fields.insert("max_spin_up_time_min".to_owned(), json!(boot));
    fields.insert("polling_interval_time_min".to_owned(), json!(poll));
    fields.insert("workers_prefix".to_owned(), json!(prefix));
    fields
}

/// Theirs are whole, and one at the least.
fn whole_minutes(seconds: i64) -> i64 {
    (seconds.saturating_add(59) / 60).max(1)
}

/// Settings that are not the defaults and have no place there.
fn placeless(settings: &Settings, pools: &[&PoolSettings], kept: &[&str]) -> Vec<String> {
    let mut told = Vec::new();
    let mut plain = Settings::blank(settings.revision.clone());
    for section in settings.sections() {
        match &section {
            Section::Budget(_) | Section::Schedule(_) => {
                told.push(format!("{section}: left out, theirs has none"));
                continue;
            }
            Section::Pool(name) if pools.iter().all(|pool| pool.name != *name) => continue,
            Section::Account(_) => continue,
            _ => fields::begin(&mut plain, &section),
        }
        let known: &[&str] = match section.part() {
            Part::Pool => kept,
            Part::Queue => &["pools", "max"],
            Part::Loop => &["fleet", "poll"],
            // Where ClearML is their own configuration says.
            Part::Clearml | Part::Agents => &["api_server", "credentials"],
            _ => &[],
        };
        for field in fields::of(section.part()).filter(|field| !known.contains(&field.name)) {
            let key = section.key(field);
            let value =
                fields::value(settings, &key).filter(|value| fields::value(&plain, &key).as_ref() != Some(value));
            told.extend(value.map(|value| format!("{key} = {}: left out, theirs has no such field", shown(&value))));
        }
    }
    told
}

fn shown(value: &Written) -> String {
    match value {
        Written::Text(text) if text.contains('\n') => "a text".to_owned(),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests;
