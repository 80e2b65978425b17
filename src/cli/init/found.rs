//! What is there already: ClearML's server and its queues, and a cloud that takes the credentials.

use std::env;
use std::fmt::Write;
use std::path::PathBuf;

use crate::cli::live;
use crate::model::ids::Revision;
use crate::model::settings::{Provider, Settings};
use crate::model::snapshot::ErrorClass;
use crate::store::settings::parse;
use crate::world::World;
use crate::world::cloud::CloudError;
use crate::world::tracker::TrackerError;

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

/// Whether something is as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Fine,
    /// It works, and is not safe.
    Unsafe,
    Wrong,
}

impl Mark {
    fn word(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Unsafe => "warn",
            Self::Wrong => "not yet",
        }
    }
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Lines to be told, each with whether it is as it should be.
    said: Vec<(Mark, String)>,
    /// `None`: the server could not be asked.
    pub queues: Option<Vec<Offered>>,
    pub cloud: Option<CloudFound>,
    /// What is wrong with the server where there are credentials for it; what would mend it.
    pub server_needs: Option<String>,
    /// The same of the cloud that was tried first.
    pub cloud_needs: Option<String>,
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
                found.say(Mark::Fine, format!("clearml: {server}, with the credentials of {from}"));
                if let Some(warning) = credentials.warning() {
                    found.agents = true;
                    found.say(Mark::Unsafe, format!("clearml: {warning}"));
                }
            }
            Err(error) => found.say(Mark::Wrong, format!("clearml: {error}")),
        }
        if let Ok((world, _)) = live::world(&settings, None) {
            found.ask(&world).await;
        }
        let clouds = live::clouds(&settings, None);
        for (provider, region) in places(wanted, region) {
            let Some(cloud) = clouds.get(&provider) else { continue };
            match cloud.check(&region).await {
                Ok(said) => {
                    found.say(Mark::Fine, said);
                    found.cloud = Some(CloudFound { provider, region });
                    break;
                }
                Err(error) => {
                    found.cloud_needs = found.cloud_needs.take().or_else(|| cloud_needs(provider, &region, &error));
                    found.say(Mark::Wrong, refused(provider, &region, &error));
                }
            }
        }
        found
    }

    /// Tries the server, and asks for its queues.
    async fn ask(&mut self, world: &World) {
        match world.tracker.check().await {
            Ok(said) => self.say(Mark::Fine, format!("clearml: {said}")),
            Err(error) => {
                self.server_needs = Some(server_needs(&error));
                self.say(Mark::Wrong, format!("clearml: {error}"));
            }
        }
        match world.tracker.queues().await {
            Ok(queues) => {
                let mut queues: Vec<_> = queues
                    .into_iter()
                    .map(|queue| Offered { name: queue.name.to_string(), waiting: queue.entries.len() })
                    .collect();
                // Where something waits, there it is needed.
                queues.sort_by_key(|queue| (std::cmp::Reverse(queue.waiting), queue.name.clone()));
                self.queues = Some(queues);
            }
            Err(error) => {
                self.server_needs.get_or_insert_with(|| server_needs(&error));
                self.say(Mark::Wrong, format!("clearml: its queues cannot be read: {error}"));
            }
        }
    }

    fn say(&mut self, mark: Mark, text: String) {
        self.said.push((mark, text));
    }

    /// Whether a task on a machine could act as the console's user.
    pub(super) fn warns_of_agents(&self) -> bool {
        self.agents
    }

    pub(super) fn told(&self) -> String {
        self.said.iter().fold(String::new(), |mut text, (mark, said)| {
            let _ = writeln!(text, "{:<7} {said}", mark.word());
            text
        })
    }
}

/// What a server needs that was asked with credentials.
pub(super) fn server_needs(error: &TrackerError) -> String {
    match error {
        TrackerError::Credentials { server, from, .. } => {
            format!(
                "ClearML credentials that {server} takes: those of {from} are refused; `clearml-init` takes new ones"
            )
        }
        TrackerError::Unreachable { server, .. } => {
            format!("an answer of {server}: whether it runs, and whether its address is right")
        }
        error => format!("a ClearML server that answers as one: {error}"),
    }
}

/// What a cloud needs that was asked with credentials; `None`: there are none.
fn cloud_needs(provider: Provider, region: &str, error: &CloudError) -> Option<String> {
    let cloud = provider.word();
    match (error.class, &error.code) {
        (ErrorClass::Credentials, None) => None,
        (ErrorClass::Credentials, Some(code)) => {
            Some(format!("credentials that {cloud} takes in {region}: those that are there are refused ({code})"))
        }
        _ => Some(format!("an answer of {cloud} in {region}, with the credentials that are there: {error}")),
    }
}

/// Why a cloud does not take the credentials. Without a code of the cloud's nobody was asked: there are none.
fn refused(provider: Provider, region: &str, error: &CloudError) -> String {
    let cloud = provider.word();
    if error.class != ErrorClass::Credentials || error.code.is_some() {
        return format!("{cloud} {region}: {error}");
    }
    match provider {
        Provider::Aws => format!(
            "{cloud} {region}: no credentials: `aws configure`, AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        ),
        _ => format!("{cloud} {region}: no credentials: `gcloud auth application-default login` ({})", error.message),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_and_what_is_unsafe_is_told_as_such() {
        let mut found = Found::default();
        found.say(Mark::Fine, "a".to_owned());
        found.say(Mark::Unsafe, "b".to_owned());
        found.say(Mark::Wrong, "c".to_owned());
        assert_eq!(found.told(), "ok      a\nwarn    b\nnot yet c\n");
        let none = CloudError {
            class: ErrorClass::Credentials,
            ..CloudError::refused("DescribeInstances: dispatch failure: other: x".to_owned())
        };
        let told = refused(Provider::Aws, "us-east-1", &none);
        assert!(told.starts_with("aws us-east-1: no credentials: `aws configure`"), "{told}");
        assert_eq!(cloud_needs(Provider::Aws, "us-east-1", &none), None);
        let bad = CloudError { code: Some("AuthFailure".to_owned()), ..none };
        let needs = cloud_needs(Provider::Aws, "us-east-1", &bad).unwrap();
        assert_eq!(needs, "credentials that aws takes in us-east-1: those that are there are refused (AuthFailure)");
        let silent = CloudError { class: ErrorClass::Unknown, code: None, ..bad.clone() };
        let needs = cloud_needs(Provider::Aws, "us-east-1", &silent).unwrap();
        assert!(needs.starts_with("an answer of aws in us-east-1, with the credentials that are there: "), "{needs}");
        assert!(refused(Provider::Aws, "us-east-1", &bad).contains("AuthFailure (credentials): Describe"));
    }
}
