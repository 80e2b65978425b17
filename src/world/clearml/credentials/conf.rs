//! clearml.conf: HOCON, of which four values matter here.

use std::path::Path;
use std::sync::LazyLock;

use hocon_rs::{Config, Value};
use regex::Regex;
use tracing::subscriber::{NoSubscriber, with_default};

use crate::model::hocon::with_quoted_addresses;
use crate::world::clearml::credentials::{CredentialsError, User};
use crate::world::secret::Secret;

static INCLUDE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"(?m)^\s*include\s*(?:"|(?:required|file|url|classpath)\s*\()"#).ok());

/// What a clearml.conf says about the API.
#[derive(Debug, Default)]
pub(super) struct Conf {
    pub(super) server: Option<String>,
    key: Option<Secret>,
    secret: Option<Secret>,
}

impl Conf {
    /// The key, if both its halves are there.
    pub(super) fn user(&self, from: &str) -> Option<User> {
        Some(User { key: self.key.clone()?, secret: self.secret.clone()?, from: from.to_owned() })
    }
}

/// Reads a clearml.conf.
pub(super) fn parse(text: &str, path: &Path) -> Result<Conf, CredentialsError> {
    if INCLUDE.as_ref().is_some_and(|include| include.is_match(text)) {
        return Err(CredentialsError::Include { path: path.to_owned() });
    }
    let text = with_quoted_addresses(text);
    // The parser traces whole values; no subscriber may hear them.
    let parsed = with_default(NoSubscriber::new(), || Config::parse_str::<Value>(&text, None));
    let whole =
        parsed.map_err(|error| CredentialsError::NotHocon { path: path.to_owned(), message: error.to_string() })?;
    let at = |keys: &[&str]| {
        let found = keys.iter().try_fold(&whole, |value, key| value.get_by_path([*key]));
        found.and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty()).map(ToOwned::to_owned)
    };
    Ok(Conf {
        server: at(&["api", "api_server"]),
        key: at(&["api", "credentials", "access_key"]).map(Secret::new),
        secret: at(&["api", "credentials", "secret_key"]).map(Secret::new),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn conf(text: &str) -> Result<Conf, CredentialsError> {
        parse(text, Path::new("clearml.conf"))
    }

    #[test]
    fn the_ways_to_write_it_say_the_same() {
        for text in [
            "api {\n  # mine\n  web_server: https://app.x\n  api_server: https://api.x:8008\n  files_server: https://files.x\n  credentials {\"access_key\": \"K\", \"secret_key\": \"S\"}\n}",
            "api { api_server = \"https://api.x:8008\" , credentials { access_key = K\n secret_key = S } }",
            "api.api_server = \"https://api.x:8008\"\napi.credentials.access_key = K\napi.credentials.secret_key = S",
            "host = \"https://api.x\"\napi { api_server: ${host}\":8008\" }\napi.credentials { access_key: \"K\", secret_key: \"S\" }\n",
            "\"api\" { \"web_server\": https://w.x, \"api_server\": https://api.x:8008, note: \"see: https://n.x\" // https://c.x\n credentials { access_key: K, secret_key: S } }",
            "{\"api\": {\"api_server\": \"https://api.x:8008\", \"credentials\": {\"access_key\": \"K\", \"secret_key\": \"S\"}}}",
            "agent { package_manager { pip_version: [\"<20.2 ; python_version < '3.10'\"] } } // comment\napi { api_server: https://api.x:8008 } # end\napi { credentials { access_key: \"K\", secret_key: \"S\" } }",
        ] {
            let conf = conf(text).unwrap();
            let user = conf.user("here").unwrap();
            assert_eq!(conf.server.as_deref(), Some("https://api.x:8008"), "{text}");
            assert_eq!((user.key.expose(), user.secret.expose()), ("K", "S"), "{text}");
        }
    }

    #[test]
    fn a_half_key_is_no_key() {
        for text in
            ["api { credentials { access_key: K } }", "api { credentials { access_key: K, secret_key: \"\" } }", ""]
        {
            assert!(conf(text).unwrap().user("here").is_none(), "{text}");
        }
    }

    #[test]
    fn the_environment_fills_substitutions() {
        let path = std::env::var("PATH").unwrap();
        let conf = conf(
            "api { api_server: \"http://x\", credentials { access_key: ${PATH}, secret_key: ${?NOT_SET_AT_ALL} } }",
        )
        .unwrap();
        assert_eq!(conf.key.unwrap().expose(), path.trim());
        assert!(conf.secret.is_none());
    }

    #[test]
    fn what_is_no_hocon_is_refused_and_an_include_is_not_followed() {
        for text in ["}", "a: ${NOT_SET_AT_ALL}", "{a: 1}}"] {
            assert!(matches!(conf(text), Err(CredentialsError::NotHocon { .. })), "{text}");
        }
        for text in ["include \"/etc/passwd\"", "a: 1\n  include file(\"x\")\n", "include required(\"x\")"] {
            assert!(matches!(conf(text), Err(CredentialsError::Include { .. })), "{text}");
        }
        assert!(conf("# include \"x\"\nnot_included: \"y\"\n").is_ok());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text: String, value in "[ -~\n]{0,60}") {
            let _ = conf(&text);
            let _ = conf(&format!("api {{ api_server: {value} }}"));
            let _ = conf(&value);
        }
    }
}
