//! What is there already: ClearML's server and its queues, and a cloud that takes the credentials.

use std::env;
use std::fmt::Write;
use std::path::PathBuf;

use crate::cli::live;
use crate::model::ids::Revision;
use crate::model::settings::{Provider, Settings};
use crate::store::settings::parse;
use crate::world::World;

/// Where machines are rented if nobody says otherwise.
const AWS_REGION: &str = "us-east-1";
const GCE_REGION: &str = "us-central1";

/// A queue of the server, and how many tasks wait in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Offered {
    pub name: String,
    pub waiting: usize,
}

/// A cloud that takes the credentials.
#[derive(Debug, Clone)]
pub(super) struct CloudFound {
    pub provider: Provider,
    pub region: String,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Lines to be told, each with whether it is as it should be.
    said: Vec<(bool, String)>,
    /// `None`: the server could not be asked.
    pub queues: Option<Vec<Offered>>,
    pub cloud: Option<CloudFound>,
    agents: bool,
}

impl Found {
    /// Looks for credentials and tries them. `wanted`: only this cloud.
    pub(super) async fn look(wanted: Option<Provider>, region: Option<&str>) -> Self {
        let mut found = Self::default();
        let settings = blank();
        match live::credentials(&settings) {
            Ok(credentials) => {
                let (server, from) = (&credentials.server, &credentials.console.from);
                found.say(true, format!("clearml: {server}, with the credentials of {from}"));
                if let Some(warning) = credentials.warning() {
                    found.agents = true;
                    found.say(true, format!("clearml: {warning}"));
                }
            }
            Err(error) => found.say(false, format!("clearml: {error}")),
        }
        if let Ok((world, _)) = live::world(&settings, None) {
            found.ask(&world).await;
        }
        let clouds = live::clouds(&settings, None);
        for (provider, region) in places(wanted, region) {
            let Some(cloud) = clouds.get(&provider) else { continue };
            match cloud.check(&region).await {
                Ok(said) => {
                    found.say(true, said);
                    found.cloud = Some(CloudFound { provider, region });
                    break;
                }
                Err(error) => found.say(false, format!("{} {region}: {error}", provider.word())),
            }
        }
        found
    }

    /// Tries the server, and asks for its queues.
    async fn ask(&mut self, world: &World) {
        match world.tracker.check().await {
            Ok(said) => self.say(true, format!("clearml: {said}")),
            Err(error) => self.say(false, format!("clearml: {error}")),
        }
        if let Ok(queues) = world.tracker.queues().await {
            let mut queues: Vec<_> = queues
                .into_iter()
                .map(|queue| Offered { name: queue.name.to_string(), waiting: queue.entries.len() })
                .collect();
            // Where something waits, there it is needed.
            queues.sort_by_key(|queue| (std::cmp::Reverse(queue.waiting), queue.name.clone()));
            self.queues = Some(queues);
        }
    }

    fn say(&mut self, ok: bool, text: String) {
        self.said.push((ok, text));
    }

    /// Whether a task on a machine could act as the console's user.
    pub(super) fn warns_of_agents(&self) -> bool {
        self.agents
    }

    pub(super) fn told(&self) -> String {
        self.said.iter().fold(String::new(), |mut text, (ok, said)| {
            let _ = writeln!(text, "{} {said}", if *ok { "ok     " } else { "not yet" });
            text
        })
    }
}

/// The clouds to try, and where: first the one whose credentials are seen.
fn places(wanted: Option<Provider>, region: Option<&str>) -> Vec<(Provider, String)> {
    let named = |names: &[&str]| names.iter().find_map(|name| env::var(name).ok().filter(|value| !value.is_empty()));
    let region = |names: &[&str], else_: &str| {
        region.map(str::to_owned).or_else(|| named(names)).unwrap_or_else(|| else_.to_owned())
    };
    let aws = (Provider::Aws, region(&["AWS_REGION", "AWS_DEFAULT_REGION"], AWS_REGION));
    let gce = (Provider::Gce, region(&["CLOUDSDK_COMPUTE_REGION"], GCE_REGION));
    match wanted {
        Some(Provider::Aws) => vec![aws],
        Some(Provider::Gce) => vec![gce],
        _ if has_aws() || !has_google() => vec![aws, gce].into_iter().take(1 + usize::from(has_google())).collect(),
        _ => vec![gce],
    }
}

fn home() -> Option<PathBuf> {
    directories::BaseDirs::new().map(|dirs| dirs.home_dir().to_owned())
}

fn has_aws() -> bool {
    let variables = ["AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE"];
    let files = [".aws/credentials", ".aws/config"];
    variables.iter().any(|name| env::var_os(name).is_some())
        || home().is_some_and(|home| files.iter().any(|file| home.join(file).exists()))
}

fn has_google() -> bool {
    let file = ".config/gcloud/application_default_credentials.json";
    let variables = ["GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT", "CLOUDSDK_CORE_PROJECT"];
    variables.iter().any(|name| env::var_os(name).is_some()) || home().is_some_and(|home| home.join(file).exists())
}

/// Settings that say nothing of their own.
fn blank() -> Settings {
    let text = "[loop]\nfleet = \"init\"\n";
    parse(text, std::path::Path::new("init")).unwrap_or_else(|_| Settings::blank(Revision::new("")))
}
