//! Who we are in a project of Google's: an account of the settings, or whoever every Google tool would be.

use std::path::PathBuf;

use google_cloud_auth::credentials::{
    Builder, Credentials, external_account, impersonated, service_account, user_account,
};
use serde_json::Value;

use crate::model::settings::{AccountSettings, SecretRef};
use crate::model::snapshot::ErrorClass;
use crate::world::cloud::CloudError;
use crate::world::gce::error::refused;

/// Where Google's tools look for the project that is not named.
const PROJECT_VARIABLES: [&str; 3] = ["GOOGLE_CLOUD_PROJECT", "CLOUDSDK_CORE_PROJECT", "GCLOUD_PROJECT"];

/// Where the key of a service account is looked for that is not named.
const KEY_VARIABLE: &str = "GOOGLE_APPLICATION_CREDENTIALS";

/// Where the login of a user is kept, below the folder of their settings.
const LOGIN: &str = "gcloud/application_default_credentials.json";

/// A project, and who we are in it.
#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) project: String,
    pub(super) credentials: Credentials,
    /// `None`: the caller's own.
    pub(super) kind: Option<Kind>,
}

/// What our credentials are. Google's client renews each kind by itself and tells nobody until when one holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Person,
    ServiceAccount,
    Workload,
    Impersonated,
    /// The machine's own, by its metadata service.
    Machine,
}

impl Kind {
    fn of_key(kind: &str) -> Option<Self> {
        Some(match kind {
            "authorized_user" => Self::Person,
            "service_account" => Self::ServiceAccount,
            "external_account" => Self::Workload,
            "impersonated_service_account" => Self::Impersonated,
            _ => return None,
        })
    }

    /// In words.
    pub(super) fn told(self) -> &'static str {
        match self {
            Self::Person => "a person's login",
            Self::ServiceAccount => "a service account's key",
            Self::Workload => "a workload identity",
            Self::Impersonated => "an impersonated service account",
            Self::Machine => "the service account of this machine",
        }
    }

    /// What to do once Google takes them no more.
    pub(super) fn mended_by(self) -> &'static str {
        match self {
            Self::Person => "log in again: `gcloud auth application-default login`",
            Self::ServiceAccount => "see whether the key was deleted or its account disabled, and give another",
            Self::Workload => "see whether the provider of the identity still gives its token",
            Self::Impersonated => "see whether we may still act as that account, and log in again",
            Self::Machine => "see whether this machine still has a service account, and that one is not disabled",
        }
    }
}

impl Account {
    /// The same in the project that the settings' account names.
    pub(super) fn of(self, account: Option<&AccountSettings>) -> Self {
        Self { project: account.and_then(|account| account.project.clone()).unwrap_or(self.project), ..self }
    }
}

/// Finds out who we are. Nobody is called yet.
pub(super) fn open(account: Option<&AccountSettings>) -> Result<Account, CloudError> {
    let key = account.and_then(|account| account.credentials.as_ref()).map(named).transpose()?;
    let kind = match &key {
        Some((key, _)) => key.get("type").and_then(Value::as_str).and_then(Kind::of_key),
        None => Some(usual_kind()),
    };
    let credentials = match &key {
        Some((key, from)) => of_key(key, from)?,
        None => Builder::default().build().map_err(|error| no(format!("no credentials of Google's: {error}")))?,
    };
    let of_account = account.and_then(|account| account.project.clone());
    let project = of_account.or_else(|| key.as_ref().and_then(|(key, _)| project_of(key))).or_else(usual_project);
    let project = project.ok_or_else(|| {
        let name = account.map_or("NAME", |account| account.name.as_str());
        refused(format!(
            "no project is named: set account.{name}.project, or {} in the environment",
            PROJECT_VARIABLES[0]
        ))
    })?;
    Ok(Account { project, credentials, kind })
}

fn no(message: String) -> CloudError {
    CloudError { class: ErrorClass::Credentials, ..refused(message) }
}

/// The key that the settings name the place of, and that place.
fn named(reference: &SecretRef) -> Result<(Value, String), CloudError> {
    let (text, from) = match reference {
        SecretRef::Env(name) => {
            (std::env::var(name).map_err(|error| error.to_string()), format!("the variable {name}"))
        }
        SecretRef::File(path) => {
            (std::fs::read_to_string(path).map_err(|error| error.to_string()), path.display().to_string())
        }
    };
    let text = text.map_err(|error| no(format!("cannot read {from}: {error}")))?;
    // What the parser says would hold a piece of the key.
    let key = serde_json::from_str(&text).map_err(|_| no(format!("{from} holds no JSON of Google's")))?;
    Ok((key, from))
}

fn of_key(key: &Value, from: &str) -> Result<Credentials, CloudError> {
    let kind = key.get("type").and_then(Value::as_str).unwrap_or_default();
    let built = match kind {
        "service_account" => service_account::Builder::new(key.clone()).build(),
        "external_account" => external_account::Builder::new(key.clone()).build(),
        "authorized_user" => user_account::Builder::new(key.clone()).build(),
        "impersonated_service_account" => impersonated::Builder::new(key.clone()).build(),
        _ => {
            let known = "a service account's key, or the configuration of a workload identity";
            return Err(no(format!("{from} is neither {known}")));
        }
    };
    built.map_err(|_| no(format!("{from} is no whole key of type {kind}")))
}

fn project_of(key: &Value) -> Option<String> {
    ["project_id", "quota_project_id"].iter().find_map(|name| key.get(name)?.as_str()).map(str::to_owned)
}

fn usual_project() -> Option<String> {
    let variable = |name: &&str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let of_key = || {
        let text = std::fs::read_to_string(variable(&KEY_VARIABLE)?).ok()?;
        project_of(&serde_json::from_str(&text).ok()?)
    };
    PROJECT_VARIABLES.iter().find_map(variable).or_else(of_key)
}

/// What every Google tool would use: a key that is named, else the login of the user, else the machine's own.
fn usual_kind() -> Kind {
    let home = |name: &str, below: &str| Some(PathBuf::from(std::env::var_os(name)?).join(below));
    let logins = [home("APPDATA", LOGIN), home("HOME", ".config").map(|folder| folder.join(LOGIN))];
    let named = std::env::var_os(KEY_VARIABLE).map(PathBuf::from);
    let texts = std::iter::once(named).chain(logins).flatten().filter_map(|path| std::fs::read_to_string(path).ok());
    let mut kinds = texts.filter_map(|text| {
        let key: Value = serde_json::from_str(&text).ok()?;
        key.get("type").and_then(Value::as_str).and_then(Kind::of_key)
    });
    kinds.next().unwrap_or(Kind::Machine)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::AccountName;
    use std::io::Write as _;

    fn account(project: Option<&str>, credentials: SecretRef) -> AccountSettings {
        AccountSettings {
            name: AccountName::new("lab"),
            profile: None,
            credentials: Some(credentials),
            role_arn: None,
            external_id: None,
            project: project.map(str::to_owned),
            program: None,
        }
    }

    fn key_file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    #[test]
    fn a_key_that_is_none_is_told_by_its_place_only() {
        let said = |text: &str| {
            let file = key_file(text);
            let error = open(Some(&account(Some("p"), SecretRef::File(file.path().to_owned())))).unwrap_err();
            assert_eq!(error.class, ErrorClass::Credentials);
            error.message.replace(&file.path().display().to_string(), "PATH")
        };
        assert_eq!(said("hush"), "PATH holds no JSON of Google's");
        assert!(said(r#"{"type": "hush"}"#).starts_with("PATH is neither a service account's key"));
        assert_eq!(said(r#"{"type": "service_account", "x": "hush"}"#), "PATH is no whole key of type service_account");
        let error = open(Some(&account(None, SecretRef::Env("TIDEGATE_NO_SUCH".to_owned())))).unwrap_err();
        assert!(error.message.starts_with("cannot read the variable TIDEGATE_NO_SUCH"), "{error}");
    }

    #[tokio::test]
    async fn the_project_is_the_accounts_else_the_keys() {
        let key = r#"{"type": "authorized_user", "client_id": "a", "client_secret": "b", "refresh_token": "c",
            "quota_project_id": "of-the-key"}"#;
        let file = key_file(key);
        for (project, found) in [(Some("of-the-account"), "of-the-account"), (None, "of-the-key")] {
            let account = account(project, SecretRef::File(file.path().to_owned()));
            let opened = open(Some(&account)).unwrap();
            assert_eq!((opened.project.as_str(), opened.kind), (found, Some(Kind::Person)));
        }
    }
}
