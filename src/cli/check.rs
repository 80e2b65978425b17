//! `check`: settings, credentials and permissions, without starting anything.

use std::collections::BTreeSet;
use std::fmt::Write;

use clap::Args;
use serde::Serialize;
use serde_json::json;

use super::Place;
use super::failure::Failure;
use super::live::{Ground, price_table, world};
use super::say::{VERSION, say};
use crate::model::catalogue::Catalogue;
use crate::model::nearest::did_you_mean;
use crate::model::settings::{Provider, Settings};
use crate::model::snapshot::Source;
use crate::world::World;

/// Check the settings, the credentials and what they permit; nothing is started
#[derive(Debug, Args)]
pub(super) struct Check {
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

/// One thing that was checked.
#[derive(Debug, Serialize)]
struct Finding {
    what: String,
    ok: bool,
    said: String,
}

impl Check {
    pub(super) async fn run(&self, place: &Place) -> Result<(), Failure> {
        let ground = Ground::find(place)?;
        let settings = ground.settings.settings();
        let path = ground.settings.path().map(|path| path.display().to_string()).unwrap_or_default();
        let mut findings = vec![Finding { what: "settings".to_owned(), ok: true, said: summary(&path, &settings) }];
        let guarded = ground.settings.guarded().iter().map(ToString::to_string);
        let read_only = ground.settings.read_only().map(|from| format!("read only, by {from}"));
        let rails = guarded.chain(read_only);
        findings.extend(rails.map(|said| Finding { what: "guardrails".to_owned(), ok: true, said }));
        findings.extend(prices(&settings, &price_table()?));
        let reachable = match world(&settings) {
            Ok((world, warnings)) => {
                let warned = warnings.into_iter().map(|said| Finding { what: "agents".to_owned(), ok: true, said });
                findings.extend(warned);
                findings.extend(clearml(&world, &settings).await);
                findings.extend(clouds(&world, &settings).await);
                Ok(())
            }
            Err(error) => {
                findings.push(Finding { what: "clearml".to_owned(), ok: false, said: error.to_string() });
                Err(error)
            }
        };
        if self.json {
            say(&format!("{}\n", json!({ "version": VERSION, "check": findings })))?;
        } else {
            say(&text(&findings))?;
        }
        reachable?;
        let wrong: Vec<&str> = findings.iter().filter(|finding| !finding.ok).map(|found| found.what.as_str()).collect();
        if wrong.is_empty() { Ok(()) } else { Err(Failure::NotReachable(format!("not right: {}", wrong.join(", ")))) }
    }
}

fn summary(path: &str, settings: &Settings) -> String {
    format!(
        "{path} is valid: fleet {}, {} queues, {} pools, {} budgets, revision {}",
        settings.the_loop.fleet,
        settings.queues.len(),
        settings.pools.len(),
        settings.budgets.len(),
        settings.revision
    )
}

/// Pools of which no price is known, where a hard budget would keep them from starting.
fn prices(settings: &Settings, catalogue: &Catalogue) -> Vec<Finding> {
    let hard = settings.budgets.iter().any(|budget| budget.hard);
    let offers = settings.pools.iter().flat_map(|pool| pool.types.iter().map(move |kind| (pool, kind)));
    let unpriced = offers.filter(|(pool, kind)| catalogue.offer(pool, kind, pool.market).rate.is_none());
    unpriced
        .map(|(pool, kind)| Finding {
            what: format!("pool {}", pool.name),
            ok: !hard,
            said: format!("no price is known for {kind} in {}: set pool.{}.price", pool.region, pool.name),
        })
        .collect()
}

async fn clearml(world: &World, settings: &Settings) -> Vec<Finding> {
    let finding = |ok: bool, said: String| Finding { what: "clearml".to_owned(), ok, said };
    let mut findings = match world.tracker.check().await {
        Ok(said) => vec![finding(true, said)],
        Err(error) => return vec![finding(false, error.to_string())],
    };
    match world.tracker.queues().await {
        Err(error) => findings.push(finding(false, error.to_string())),
        Ok(queues) => {
            for queue in &settings.queues {
                if queues.iter().all(|known| known.name != queue.name) {
                    let hint = did_you_mean(queue.name.as_str(), queues.iter().map(|known| known.name.as_str()));
                    let said = format!("the server has no queue `{}`; it is not created{hint}", queue.name);
                    findings.push(finding(false, said));
                }
            }
        }
    }
    findings
}

async fn clouds(world: &World, settings: &Settings) -> Vec<Finding> {
    let places: BTreeSet<(Provider, String)> = settings.pools.iter().map(|pool| (pool.provider, pool.site())).collect();
    let mut findings = Vec::new();
    for (provider, region) in places {
        let answer = match world.cloud(provider) {
            Ok(cloud) => cloud.check(&region).await,
            Err(error) => Err(error),
        };
        let what = Source::region(provider, &region);
        findings.push(match answer {
            Ok(said) => Finding { what, ok: true, said },
            Err(error) => Finding { what, ok: false, said: error.to_string() },
        });
    }
    findings
}

fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let word = if finding.ok { "ok   " } else { "WRONG" };
        let _ = writeln!(text, "{word} {}: {}", finding.what, finding.said);
    }
    text
}
