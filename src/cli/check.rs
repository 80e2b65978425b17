//! `check`: settings, credentials and permissions, without starting anything.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use clap::Args;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::Place;
use super::conform::conform;
use super::failure::Failure;
use super::live::{Ground, price_table, world};
use super::policy::CREATE_ROLE;
use super::say::{Version, say, say_json};
use super::{kept, policy, trial};
use crate::engine::act::naming::Naming;
use crate::engine::advise::Advisors;
use crate::model::advice::Advised;
use crate::model::catalogue::{Catalogue, Priced};
use crate::model::ids::{AccountName, MachineType};
use crate::model::ledger::Ledger;
use crate::model::nearest::did_you_mean;
use crate::model::prices::{believed, priced};
use crate::model::pseudonym::Pseudonyms;
use crate::model::settings::{Budget, Market, PoolSettings, Provider, QueueSettings, Settings};
use crate::model::site;
use crate::model::snapshot::{Snapshot, Source};
use crate::world::World;
use crate::world::clock::Clock;
use crate::world::cloud::{Answer, LaunchOrder, Right};
use crate::world::secret::Secret;

/// In place of the token that a machine would have, so that the script is as long as a real one.
const TOKEN_LIKE: &str =
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJleHAiOjE3NjQwNjg0MDB9.0000000000000000000000000000000000000000000";

/// Access scopes of Google's that are for nearly everything.
const BROAD: [&str; 2] = ["/auth/cloud-platform", "/auth/compute"];

/// Check the settings, the credentials and what they permit; nothing is started
#[derive(Debug, Args)]
pub(super) struct Check {
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
    /// Check whether the program of this account keeps what the loop relies on: one machine is launched, and ended again
    #[arg(long, value_name = "ACCOUNT")]
    provider: Option<String>,
    /// Launch it without asking
    #[arg(long, requires = "provider")]
    yes: bool,
}

/// What `check --json` says.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Told {
    version: Version,
    check: Vec<Finding>,
}

/// One thing that was checked.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(super) struct Finding {
    pub(super) what: String,
    /// Whether it is as it must be.
    pub(super) ok: bool,
    pub(super) said: String,
}

impl Check {
    pub(super) async fn run(&self, place: &Place) -> Result<(), Failure> {
        let ground = Ground::called(place)?;
        let settings = ground.settings.settings();
        if let Some(name) = &self.provider {
            let findings = conform(&settings, name, self.yes).await?;
            self.show(&findings)?;
            return all_right(&findings);
        }
        let path = ground.settings.path().map(|path| path.display().to_string()).unwrap_or_default();
        let mut findings = vec![Finding { what: "settings".to_owned(), ok: true, said: summary(&path, &settings) }];
        let guarded = ground.settings.guarded().iter().map(ToString::to_string);
        let read_only = ground.settings.read_only().map(|from| format!("read only, by {from}"));
        let rails = guarded.chain(read_only);
        findings.extend(rails.map(|said| Finding { what: "guardrails".to_owned(), ok: true, said }));
        findings.push(called(ground.settings.pseudonyms()));
        findings.push(store(&settings, &ground.directory).await);
        findings.extend(settings.pools.iter().filter_map(broad));
        let (mut catalogue, now) = (price_table()?, Clock::Wall.now());
        findings.extend(policies(ground.settings.path(), &settings, &catalogue, now));
        let mut lacking = BTreeSet::new();
        let reachable = match world(&settings, ground.settings.path()) {
            Ok((world, warnings)) => {
                let warned = warnings.into_iter().map(|said| Finding { what: "agents".to_owned(), ok: true, said });
                findings.extend(warned);
                findings.extend(clearml(&world, &settings).await);
                let (found, accounts) = clouds(&world, &settings).await;
                findings.extend(found);
                lacking = accounts;
                ask_prices(&world, &settings, &mut catalogue, now).await;
                Ok(())
            }
            Err(error) => {
                findings.push(Finding { what: "clearml".to_owned(), ok: false, said: error.to_string() });
                Err(error)
            }
        };
        findings.extend(prices(&settings, &catalogue, now));
        self.show(&findings)?;
        for (cloud, account) in lacking.into_iter().filter(|_| !self.json) {
            let least = policy::text(&settings, cloud, account.as_ref())?;
            say(&format!("\n{}\n{least}\n", heading(cloud, account.as_ref())))?;
        }
        reachable?;
        all_right(&findings)
    }

    fn show(&self, findings: &[Finding]) -> Result<(), Failure> {
        if self.json {
            return say_json(&Told { version: Version, check: findings.to_vec() });
        }
        say(&text(findings))
    }
}

fn all_right(findings: &[Finding]) -> Result<(), Failure> {
    let wrong: Vec<&str> = findings.iter().filter(|finding| !finding.ok).map(|found| found.what.as_str()).collect();
    if wrong.is_empty() { Ok(()) } else { Err(Failure::NotReachable(format!("not right: {}", wrong.join(", ")))) }
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

/// Whether users and tasks have their names.
fn called(pseudonyms: &Pseudonyms) -> Finding {
    let said = match pseudonyms.tag() {
        Some(tag) => format!("users and tasks have pseudonyms, by a key whose pseudonyms begin with {tag}"),
        None => "users and tasks have their names: loop.pseudonyms is not set".to_owned(),
    };
    Finding { what: "names".to_owned(), ok: true, said }
}

/// Whether a loop would have its memory.
async fn store(settings: &Settings, directory: &Path) -> Finding {
    let found = kept::check(settings, directory).await;
    let ok = found.is_ok();
    Finding { what: "store".to_owned(), ok, said: found.unwrap_or_else(|error| error.to_string()) }
}

/// The scripts of the queues, each asked about a queue in which nothing waits.
fn policies(path: Option<&Path>, settings: &Settings, catalogue: &Catalogue, now: Timestamp) -> Vec<Finding> {
    let mut advisors = Advisors::new(path, Some(Clock::Wall));
    let snapshot = Snapshot { catalogue: Arc::new(catalogue.clone()), ..Snapshot::default() };
    let told = advisors.advise(&snapshot, settings, &Ledger::default(), now);
    let asked = settings.queues.iter().filter_map(|queue| Some((queue, settings.policy_of(queue)?)));
    let finding = |(queue, policy): (&QueueSettings, &str)| {
        let failure = told.get(&queue.name).and_then(Advised::failure);
        let fine = || format!("{policy} answers for queue {}", queue.name);
        Finding { what: "policy".to_owned(), ok: failure.is_none(), said: failure.unwrap_or_else(fine) }
    };
    asked.map(finding).collect()
}

/// What a task on a machine of Google's may do that no pool needs.
fn broad(pool: &PoolSettings) -> Option<Finding> {
    let gce = &pool.launch.gce;
    let scope = gce.whole_scopes().find(|scope| BROAD.iter().any(|broad| scope.ends_with(broad)))?;
    let account = gce.service_account.as_deref().unwrap_or_default();
    let needed = pool
        .agent
        .secrets()
        .next()
        .map_or("", |_| ", and the Secret Manager takes no other: give the account few roles");
    let said = format!("the scope {scope} is broad: a task on its machines may do all that {account} may{needed}");
    Some(Finding { what: format!("pool {}", pool.name), ok: true, said })
}

/// Asks the clouds for the prices that the table does not have, as the loop will.
async fn ask_prices(world: &World, settings: &Settings, catalogue: &mut Catalogue, now: Timestamp) {
    for pool in &settings.pools {
        let known = |kind| catalogue.offer(pool, kind, pool.market, now).rate.is_some();
        let cloud = world.cloud(pool.provider).ok().filter(|cloud| cloud.tells_prices());
        let Some(cloud) = cloud.filter(|_| !pool.types.iter().all(known)) else { continue };
        let (site, types): (_, Vec<MachineType>) = (pool.site(), priced(pool).collect());
        for market in BTreeSet::from([Market::OnDemand, pool.market]) {
            // Without an answer they are not known: that is what is said then.
            for (kind, rate) in cloud.prices(&site, &types, market, now).await.unwrap_or_default() {
                let listed = catalogue.spec_near(pool.provider, &site, &kind);
                if let Ok(rate) = believed(&kind, market, rate, listed) {
                    let price = Priced { market, rate, source: "told by the cloud".to_owned() };
                    catalogue.set_price(pool.provider, &site, &kind, price);
                }
            }
        }
    }
}

/// Pools of which no price is known, where a hard budget would keep them from starting.
fn prices(settings: &Settings, catalogue: &Catalogue, now: Timestamp) -> Vec<Finding> {
    let governed = settings.budgets.iter().any(Budget::governs);
    let offers = settings.pools.iter().flat_map(|pool| pool.types.iter().map(move |kind| (pool, kind)));
    let without = offers.filter(|(pool, kind)| catalogue.offer(pool, kind, pool.market, now).rate.is_none());
    without
        .map(|(pool, kind)| Finding {
            what: format!("pool {}", pool.name),
            ok: !governed,
            said: unpriced(kind, &pool.region, pool.name.as_str()),
        })
        .collect()
}

/// What is said of a type that has no price.
pub(super) fn unpriced(kind: &MachineType, region: &str, pool: &str) -> String {
    format!("no price is known for {kind} in {region}: set pool.{pool}.price")
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

/// What the clouds say, and the accounts in which a right is missing.
async fn clouds(world: &World, settings: &Settings) -> (Vec<Finding>, BTreeSet<(Provider, Option<AccountName>)>) {
    let mut sites: BTreeMap<(Provider, String), Vec<&PoolSettings>> = BTreeMap::new();
    for pool in &settings.pools {
        sites.entry((pool.provider, pool.site())).or_default().push(pool);
    }
    let (mut findings, mut lacking) = (Vec::new(), BTreeSet::new());
    for ((provider, site), pools) in sites {
        let what = Source::region(provider, &site);
        let finding = |ok: bool, said: String| Finding { what: what.clone(), ok, said };
        let cloud = match world.cloud(provider) {
            Ok(cloud) => cloud,
            Err(error) => {
                findings.push(finding(false, error.to_string()));
                continue;
            }
        };
        match cloud.check(&site).await {
            Ok(said) => findings.push(finding(true, said)),
            Err(error) => {
                findings.push(finding(false, error.to_string()));
                continue;
            }
        }
        match cloud.rights(&settings.the_loop.fleet, &site, &orders(world, settings, &pools)).await {
            Ok(tried) => {
                let refused = tried.iter().any(|right| matches!(right.answer, Answer::Refused(_)));
                lacking.extend(refused.then(|| (provider, site::parts(&site).0)));
                findings.extend(rights(&tried).into_iter().map(|(ok, said)| finding(ok, said)));
            }
            Err(error) => findings.push(finding(false, error.to_string())),
        }
    }
    (findings, lacking)
}

/// What the pools would ask for. Nobody makes a machine of it; a name of its own keeps its token apart from any real one.
fn orders(world: &World, settings: &Settings, pools: &[&PoolSettings]) -> Vec<LaunchOrder> {
    let batch = format!("check-{}", Naming::random().nonce());
    let order = |pool: &&PoolSettings| {
        let token = Secret::new(TOKEN_LIKE);
        trial::order(settings, pool, batch.as_str().into(), world.tracker.api_server(), token)
    };
    pools.iter().map(order).collect()
}

/// What of the rights is there; what is not, one by one.
fn rights(tried: &[Right]) -> Vec<(bool, String)> {
    let granted = tried.iter().filter(|right| right.answer == Answer::Granted).map(shown);
    let granted: Vec<String> = granted.collect();
    let told = (!granted.is_empty()).then(|| (true, format!("permits {}", granted.join(", "))));
    let others = tried.iter().filter_map(|right| match &right.answer {
        Answer::Granted => None,
        Answer::Refused(said) => Some((false, format!("does not permit {}: {said}", shown(right)))),
        Answer::Wrong(said) => Some((false, format!("{} would fail: {said}", shown(right)))),
        Answer::Unclear(said) => Some((true, format!("{} is not known to be permitted: {said}", shown(right)))),
    });
    told.into_iter().chain(others).collect()
}

fn heading(cloud: Provider, account: Option<&AccountName>) -> String {
    let of = account.map(|account| format!(" in account {account}")).unwrap_or_default();
    match cloud {
        Provider::Aws => format!("The least that IAM must allow{of}, ready to paste:"),
        Provider::Gce => format!("The least that Google must allow{of}, as a custom role for `{CREATE_ROLE}`:"),
        Provider::Exec => "What the program needs is its own matter:".to_owned(),
        Provider::Kubernetes => "The least that the cluster must allow, as a Role for `kubectl apply -f -`:".to_owned(),
    }
}

fn shown(right: &Right) -> String {
    if right.of.is_empty() { right.action.to_owned() } else { format!("{} ({})", right.action, right.of) }
}

fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let word = if finding.ok { "ok   " } else { "WRONG" };
        let _ = writeln!(text, "{word} {}: {}", finding.what, finding.said);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_store_that_cannot_be_had_is_a_finding() {
        let folder = tempfile::tempdir().unwrap();
        let settings = |text: &str| {
            crate::store::settings::parse(&format!("[loop]\nfleet = \"lab\"\n{text}"), Path::new("t")).unwrap()
        };
        let found = store(&settings(""), folder.path()).await;
        assert!(found.ok && found.said.contains("is not there yet"), "{found:?}");
        let address = folder.path().join("address");
        crate::store::settings::create(&address, "postgres://ann:hush@127.0.0.1:9/lab").unwrap();
        let found = store(&settings(&format!("store = \"file:{}\"\n", address.display())), folder.path()).await;
        assert!(!found.ok && found.said.contains("127.0.0.1:9 cannot be reached"), "{found:?}");
        std::fs::remove_file(&address).unwrap();
        let found = store(&settings(&format!("store = \"file:{}\"\n", address.display())), folder.path()).await;
        assert!(!found.ok && found.said.contains("loop.store: "), "{found:?}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "a check makes nothing");
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test's own file")]
    fn a_script_that_fails_is_a_finding_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tidegate.toml");
        std::fs::write(folder.path().join("good.rhai"), "#{ capacity: world.queues[queue].waiting, reason: \"all\" }")
            .unwrap();
        std::fs::write(folder.path().join("bad.rhai"), "let x = 1;\nx +").unwrap();
        let sized = "if world.pools.gpu.gpu != 1 { throw `${world.pools.gpu.gpu}`; }";
        std::fs::write(folder.path().join("sized.rhai"), sized).unwrap();
        let text = "[loop]\nfleet = \"lab\"\npolicy = \"good.rhai\"\n[queue.a]\npools = [\"gpu\"]\n[queue.b]\npools = [\"gpu\"]\npolicy = \"bad.rhai\"\n\
                    [queue.c]\npools = [\"gpu\"]\npolicy = \"none.rhai\"\n[queue.d]\npools = [\"gpu\"]\npolicy = \"sized.rhai\"\n[pool.gpu]\nprovider = \"aws\"\nregion = \"us-east-1\"\ntypes = [\"g5.xlarge\"]\nami = \"ami-1\"\n";
        let settings = crate::store::settings::parse(text, &path).unwrap();
        let found = policies(Some(&path), &settings, &price_table().unwrap(), Timestamp::UNIX_EPOCH);
        let told: Vec<_> = found.iter().map(|finding| (finding.ok, finding.said.as_str())).collect();
        assert_eq!(told[0], (true, "good.rhai answers for queue a"));
        assert!(!told[1].0 && told[1].1.starts_with("bad.rhai:2:"), "{told:?}");
        assert!(!told[2].0 && told[2].1.starts_with("none.rhai: it cannot be read: No such file"), "{told:?}");
        assert!(told[3].0, "{told:?}");
    }
}
