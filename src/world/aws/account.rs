//! Who we are in an account of AWS's: a profile, a key, an assumed role, or whoever every AWS tool would be.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_config::identity::IdentityCache;
use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use jiff::Timestamp;

use crate::model::settings::{AccountSettings, SecretRef};
use crate::model::snapshot::ErrorClass;
use crate::world::aws::error::refused;
use crate::world::cloud::CloudError;

/// Credentials are renewed so long before they end. Those that end sooner could not be renewed.
const RENEWED_BEFORE: Duration = Duration::from_mins(5);

/// What the AWS side calls our sessions of an assumed role.
const SESSION: &str = "tidegate";

/// How a region of an account is asked, and when what we are there ends.
#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) config: SdkConfig,
    pub(super) ends: Ends,
}

/// When the credentials end that were used last; credentials that never end say nothing.
#[derive(Debug, Clone, Default)]
pub(super) struct Ends(Arc<Mutex<Option<SystemTime>>>);

impl Ends {
    pub(super) fn at(&self) -> Option<Timestamp> {
        let at = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        at.and_then(|at| Timestamp::try_from(at).ok())
    }
}

/// A provider that tells when what it gives ends.
#[derive(Debug)]
struct Watched {
    inner: SharedCredentialsProvider,
    ends: Ends,
}

impl ProvideCredentials for Watched {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            let given = self.inner.provide_credentials().await?;
            *self.ends.0.lock().unwrap_or_else(PoisonError::into_inner) = given.expiry();
            Ok(given)
        })
    }
}

/// Finds out who we are. `given`: a configuration of the caller's that stands for the usual places.
pub(super) async fn open(
    given: Option<&SdkConfig>,
    account: Option<&AccountSettings>,
    region: &str,
) -> Result<Account, CloudError> {
    let region = Region::new(region.to_owned());
    let base = if let Some(config) = given {
        config.clone()
    } else {
        let mut loader = aws_config::defaults(BehaviorVersion::latest()).region(region.clone());
        if let Some(profile) = account.and_then(|account| account.profile.as_deref()) {
            loader = loader.profile_name(profile);
        }
        loader.load().await
    };
    let mut builder = base.into_builder();
    builder.set_region(region);
    if let Some(reference) = account.and_then(|account| account.credentials.as_ref()) {
        builder.set_credentials_provider(Some(SharedCredentialsProvider::new(named(reference)?)));
    }
    let mut config = builder.build();
    if let Some((account, role)) = account.and_then(|account| Some((account, account.role_arn.as_deref()?))) {
        let mut provider = AssumeRoleProvider::builder(role).session_name(SESSION).configure(&config);
        if let Some(id) = &account.external_id {
            provider = provider.external_id(id);
        }
        let assumed = SharedCredentialsProvider::new(provider.build().await);
        config = config.into_builder().credentials_provider(assumed).build();
    }
    let ends = Ends::default();
    if let Some(inner) = config.credentials_provider() {
        let watched = SharedCredentialsProvider::new(Watched { inner, ends: ends.clone() });
        let cache = IdentityCache::lazy().buffer_time(RENEWED_BEFORE).build();
        config = config.into_builder().credentials_provider(watched).identity_cache(cache).build();
    }
    Ok(Account { config, ends })
}

/// The key that the settings name the place of.
fn named(reference: &SecretRef) -> Result<Credentials, CloudError> {
    let no = |message: String| CloudError { class: ErrorClass::Credentials, ..refused(message) };
    let variable = |name: String| std::env::var(&name).ok().filter(|value| !value.is_empty());
    let from = match reference {
        SecretRef::Env(name) => format!("the variables {name}_ACCESS_KEY and {name}_SECRET_KEY"),
        SecretRef::File(path) => path.display().to_string(),
    };
    let parts = match reference {
        SecretRef::Env(name) => {
            let half = |half: &str| variable(format!("{name}_{half}"));
            match (half("ACCESS_KEY"), half("SECRET_KEY"), variable(name.clone())) {
                (Some(key), Some(secret), _) => Some((key, secret, half("SESSION_TOKEN"))),
                (None, None, Some(line)) => key_line(&line),
                _ => None,
            }
        }
        SecretRef::File(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| no(format!("cannot read {from}: {error}")))?;
            key_line(&text)
        }
    };
    let (key, secret, token) = parts
        .ok_or_else(|| no(format!("{from} hold no key of AWS: `key:secret`, or the variables with both halves")))?;
    Ok(Credentials::new(key, secret, token, None, "tidegate settings"))
}

/// `key:secret` or `key:secret:token`, on one line.
fn key_line(text: &str) -> Option<(String, String, Option<String>)> {
    let mut parts = text.trim().splitn(3, ':').map(|part| part.trim().to_owned());
    let (key, secret, token) = (parts.next()?, parts.next()?, parts.next());
    let is_word = |part: &str| !part.is_empty() && !part.contains(char::is_whitespace);
    let whole = is_word(&key) && is_word(&secret) && token.as_deref().is_none_or(is_word);
    whole.then_some((key, secret, token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_from_one_line() {
        let read = |text: &str| key_line(text).map(|(key, secret, token)| format!("{key} {secret} {token:?}"));
        assert_eq!(read("AKIA:se/cret\n").as_deref(), Some("AKIA se/cret None"));
        assert_eq!(read("AKIA:se:tok:en").as_deref(), Some("AKIA se Some(\"tok:en\")"));
        for text in ["", "AKIA", "AKIA:", ":se", "AKIA:se:", "a b:c", "[default]\nkey:secret"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_key_that_is_not_there_is_told_by_its_place_only() {
        let error = named(&SecretRef::Env("TIDEGATE_NO_SUCH".to_owned())).unwrap_err();
        assert_eq!(error.class, ErrorClass::Credentials);
        assert!(error.message.contains("TIDEGATE_NO_SUCH_ACCESS_KEY"), "{error}");
        let folder = tempfile::tempdir().unwrap();
        let error = named(&SecretRef::File(folder.path().join("none"))).unwrap_err();
        assert!(error.message.starts_with("cannot read "), "{error}");
    }
}
