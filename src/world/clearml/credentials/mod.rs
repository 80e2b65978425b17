//! Who we are on the ClearML server, and where that was found.

mod conf;

use std::path::{Path, PathBuf};

use crate::model::settings::{ClearmlSettings, SecretRef};
use crate::world::clearml::credentials::conf::Conf;
use crate::world::secret::Secret;

/// The server and the two users of a fleet.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The API server's address, without a slash at its end.
    pub server: String,
    pub server_from: String,
    /// The console's own user.
    pub console: User,
    /// The user of the machines' agents: it mints their boot tokens and unregisters their ghosts.
    pub agents: User,
}

/// One user's key and where it was found.
#[derive(Debug, Clone)]
pub struct User {
    pub key: Secret,
    pub secret: Secret,
    pub from: String,
}

/// Why there are no credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    #[error(
        "no ClearML {what}: looked at {}; run `clearml-init`, set {variables}, or name {setting} in the settings",
        .looked.join(", ")
    )]
    Missing { what: &'static str, looked: Vec<String>, variables: &'static str, setting: &'static str },
    #[error("{from} is set, and {missing} is not: a key needs both halves")]
    Half { from: String, missing: String },
    #[error("{from} holds no key: write `access key:secret key`")]
    NotAKey { from: String },
    #[error("cannot read {}: {message}", .path.display())]
    Unread { path: PathBuf, message: String },
    #[error("{} is not a clearml.conf: {message}", .path.display())]
    NotHocon { path: PathBuf, message: String },
    #[error("{} includes another file, which is not supported: name that file, or set CLEARML_API_*", .path.display())]
    Include { path: PathBuf },
    #[error("the API server's address from {from} is `{address}`: write it as https://api.example.com")]
    Address { from: String, address: String },
}

/// Looks up an environment variable.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

const SERVER: &str = "CLEARML_API_HOST";
const KEY: &str = "CLEARML_API_ACCESS_KEY";
const SECRET: &str = "CLEARML_API_SECRET_KEY";
const CONF: &str = "CLEARML_CONFIG_FILE";

impl Credentials {
    /// Finds server and users: the settings' own words first, then the environment, then clearml.conf
    /// (`CLEARML_CONFIG_FILE`, else in the `home` folder).
    pub fn find(settings: &ClearmlSettings, env: Env, home: Option<&Path>) -> Result<Self, CredentialsError> {
        let places = Places { env, home };
        let console = match &settings.credentials {
            Some(reference) => places.named(reference)?,
            None => places.found()?,
        };
        let agents = match &settings.agents_credentials {
            Some(reference) => places.named(reference)?.user,
            None => console.user.clone(),
        };
        let (server, server_from) = places.server(settings, console.server)?;
        Ok(Self { server, server_from, console: console.user, agents })
    }

    /// What is unsafe about these users, in a sentence.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        (self.console.key == self.agents.key).then(|| {
            format!(
                "the machines' agents use the console's own ClearML user (from {}): any task can act as you; \
                 name a user of their own in clearml.agents.credentials",
                self.agents.from
            )
        })
    }
}

/// A user, and the server that the same file names.
struct Found {
    user: User,
    server: Option<(String, String)>,
}

struct Places<'a> {
    env: Env<'a>,
    home: Option<&'a Path>,
}

impl Places<'_> {
    fn variable(&self, name: &str) -> Option<String> {
        (self.env)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// The place that the settings name.
    fn named(&self, reference: &SecretRef) -> Result<Found, CredentialsError> {
        match reference {
            SecretRef::Env(name) => {
                let pair = self.pair(&format!("{name}_ACCESS_KEY"), &format!("{name}_SECRET_KEY"))?;
                let user = match (pair, self.variable(name)) {
                    (Some(user), _) => user,
                    (None, Some(text)) => one_line(&text, &format!("the variable {name}"))?,
                    (None, None) => {
                        return Err(CredentialsError::Missing {
                            what: "credentials",
                            looked: vec![format!("the variables {name}_ACCESS_KEY and {name}")],
                            variables: "them",
                            setting: "another place",
                        });
                    }
                };
                Ok(Found { user, server: None })
            }
            SecretRef::File(path) => {
                let (text, path) = (read(path)?, path.clone());
                let from = path.display().to_string();
                if let Ok(user) = one_line(&text, &from) {
                    return Ok(Found { user, server: None });
                }
                let conf = conf::parse(&text, &path)?;
                let user = conf.user(&from).ok_or_else(|| CredentialsError::NotAKey { from: from.clone() })?;
                Ok(Found { user, server: conf.server.map(|server| (server, from)) })
            }
        }
    }

    /// The usual places.
    fn found(&self) -> Result<Found, CredentialsError> {
        if let Some(user) = self.pair(KEY, SECRET)? {
            return Ok(Found { user, server: None });
        }
        let looked = self.looked(KEY);
        let found = self.user_conf()?.and_then(|(conf, from)| {
            Some(Found { user: conf.user(&from)?, server: conf.server.map(|server| (server, from)) })
        });
        found.ok_or(CredentialsError::Missing {
            what: "credentials",
            looked,
            variables: "CLEARML_API_ACCESS_KEY and CLEARML_API_SECRET_KEY",
            setting: "clearml.credentials",
        })
    }

    fn server(
        &self,
        settings: &ClearmlSettings,
        beside_the_key: Option<(String, String)>,
    ) -> Result<(String, String), CredentialsError> {
        let named = settings.api_server.clone().map(|server| (server, "clearml.api_server in the settings".to_owned()));
        let variable = self.variable(SERVER).map(|server| (server, format!("the variable {SERVER}")));
        let found = match named.or(variable).or(beside_the_key) {
            Some(found) => Some(found),
            None => self.user_conf()?.and_then(|(conf, from)| Some((conf.server?, from))),
        };
        let (address, from) = found.ok_or_else(|| CredentialsError::Missing {
            what: "API server",
            looked: self.looked(SERVER),
            variables: SERVER,
            setting: "clearml.api_server",
        })?;
        let host = address.strip_prefix("http://").or_else(|| address.strip_prefix("https://"));
        let readable = host.is_some_and(|host| !host.is_empty() && !host.starts_with('/'));
        if readable && !address.contains(|c: char| c.is_whitespace() || c.is_control()) {
            Ok((address.trim_end_matches('/').to_owned(), from))
        } else {
            Err(CredentialsError::Address { from, address })
        }
    }

    fn pair(&self, key: &str, secret: &str) -> Result<Option<User>, CredentialsError> {
        let half = |from: &str, missing: &str| {
            Err(CredentialsError::Half { from: format!("the variable {from}"), missing: missing.to_owned() })
        };
        match (self.variable(key), self.variable(secret)) {
            (None, None) => Ok(None),
            (Some(_), None) => half(key, secret),
            (None, Some(_)) => half(secret, key),
            (Some(access), Some(hidden)) => Ok(Some(User {
                key: Secret::new(access),
                secret: Secret::new(hidden),
                from: format!("the variable {key}"),
            })),
        }
    }

    /// The user's clearml.conf and its path; `None`: there is none.
    fn user_conf(&self) -> Result<Option<(Conf, String)>, CredentialsError> {
        match self.conf_path() {
            Some((path, named)) if named || path.exists() => {
                Ok(Some((conf::parse(&read(&path)?, &path)?, path.display().to_string())))
            }
            _ => Ok(None),
        }
    }

    /// The path, and whether it was named and so must exist.
    fn conf_path(&self) -> Option<(PathBuf, bool)> {
        let home = self.home;
        let Some(named) = self.variable(CONF) else { return home.map(|home| (home.join("clearml.conf"), false)) };
        let expanded = named.strip_prefix("~/").and_then(|rest| Some(home?.join(rest)));
        Some((expanded.unwrap_or_else(|| PathBuf::from(named)), true))
    }

    fn looked(&self, variable: &str) -> Vec<String> {
        let conf = self.conf_path().map_or_else(|| CONF.to_owned(), |(path, _)| path.display().to_string());
        vec![format!("the variable {variable}"), conf]
    }
}

fn read(path: &Path) -> Result<String, CredentialsError> {
    std::fs::read_to_string(path)
        .map_err(|error| CredentialsError::Unread { path: path.to_owned(), message: error.to_string() })
}

/// Reads `access key:secret key`.
fn one_line(text: &str, from: &str) -> Result<User, CredentialsError> {
    let word = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_graphic() && !b"\"'{}=:".contains(&b));
    match text.trim().split_once(':') {
        Some((key, secret)) if word(key) && !secret.is_empty() && secret.bytes().all(|b| b.is_ascii_graphic()) => {
            Ok(User { key: Secret::new(key), secret: Secret::new(secret), from: from.to_owned() })
        }
        _ => Err(CredentialsError::NotAKey { from: from.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    const CONF_TEXT: &str = "api {\n  api_server: https://api.clear.ml/\n  credentials {\"access_key\" = \"CK\", \"secret_key\" = \"CS\"}\n}\n";

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let mut options = std::fs::OpenOptions::new();
            options
                .create(true)
                .write(true)
                .open(folder.path().join(name))
                .unwrap()
                .write_all(text.as_bytes())
                .unwrap();
        }
        folder
    }

    fn find(
        settings: &ClearmlSettings,
        env: &[(&str, &str)],
        home: Option<&Path>,
    ) -> Result<Credentials, CredentialsError> {
        let lookup = |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Credentials::find(settings, &lookup, home)
    }

    fn key(user: &User) -> (&str, &str) {
        (user.key.expose(), user.secret.expose())
    }

    #[test]
    fn clearml_conf_alone_is_enough_and_says_that_one_user_does_all() {
        let home = folder(&[("clearml.conf", CONF_TEXT)]);
        let found = find(&ClearmlSettings::default(), &[], Some(home.path())).unwrap();
        assert_eq!((found.server.as_str(), key(&found.console)), ("https://api.clear.ml", ("CK", "CS")));
        assert!(found.console.from.ends_with("clearml.conf") && found.server_from.ends_with("clearml.conf"));
        assert!(found.warning().unwrap().contains("clearml.agents.credentials"));
    }

    #[test]
    fn the_environment_wins_over_the_file_and_the_settings_over_both() {
        let home = folder(&[("clearml.conf", CONF_TEXT), ("one.key", "FK:FS\n")]);
        let env = [
            (SERVER, "http://10.0.0.1:8008"),
            (KEY, "EK"),
            (SECRET, "ES"),
            ("AG_ACCESS_KEY", "AK"),
            ("AG_SECRET_KEY", "AS"),
            ("PAIR", "PK:P:S"),
        ];
        let found = find(&ClearmlSettings::default(), &env, Some(home.path())).unwrap();
        assert_eq!((found.server.as_str(), key(&found.console)), ("http://10.0.0.1:8008", ("EK", "ES")));
        let settings = ClearmlSettings {
            api_server: Some("https://mine".to_owned()),
            credentials: Some(SecretRef::File(home.path().join("one.key"))),
            agents_credentials: Some(SecretRef::Env("AG".to_owned())),
        };
        let found = find(&settings, &env, Some(home.path())).unwrap();
        assert_eq!(
            (found.server.as_str(), key(&found.console), key(&found.agents)),
            ("https://mine", ("FK", "FS"), ("AK", "AS"))
        );
        assert_eq!(found.warning(), None);
        let settings = ClearmlSettings { agents_credentials: Some(SecretRef::Env("PAIR".to_owned())), ..settings };
        assert_eq!(key(&find(&settings, &env, None).unwrap().agents), ("PK", "P:S"));
    }

    #[test]
    fn a_named_clearml_conf_names_its_server_too() {
        let folder = folder(&[("work.conf", CONF_TEXT)]);
        let path = folder.path().join("work.conf");
        let settings =
            ClearmlSettings { credentials: Some(SecretRef::File(path.clone())), ..ClearmlSettings::default() };
        assert_eq!(find(&settings, &[], None).unwrap().server, "https://api.clear.ml");
        let found = find(&ClearmlSettings::default(), &[(CONF, path.to_str().unwrap())], None).unwrap();
        assert_eq!(key(&found.console), ("CK", "CS"));
        let found = find(&ClearmlSettings::default(), &[(CONF, "~/work.conf")], Some(folder.path())).unwrap();
        assert_eq!(key(&found.console), ("CK", "CS"));
    }

    #[test]
    fn what_is_missing_or_wrong_is_said_with_its_place() {
        let home = folder(&[
            ("bad.conf", "api { credentials { access_key: ${NOT_SET_AT_ALL} } }"),
            ("include.conf", "include \"other.conf\"\napi {}\n"),
            ("empty.conf", "api {}\n"),
        ]);
        let path = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
        let settings = ClearmlSettings::default();
        let file = |name: &str| ClearmlSettings {
            credentials: Some(SecretRef::File(home.path().join(name))),
            ..ClearmlSettings::default()
        };
        let env_ref =
            ClearmlSettings { credentials: Some(SecretRef::Env("NOPE".to_owned())), ..ClearmlSettings::default() };
        let keyed = [(KEY, "EK"), (SECRET, "ES")];
        for (settings, env, words) in [
            (&settings, vec![], vec!["no ClearML credentials", KEY, "clearml.conf", "clearml-init"]),
            (&settings, vec![(KEY, "EK")], vec![SECRET, "both halves"]),
            (&settings, vec![(SECRET, "EK")], vec![KEY, "both halves"]),
            (&settings, keyed.to_vec(), vec!["no ClearML API server", SERVER, "clearml.api_server"]),
            (&settings, [&keyed[..], &[(SERVER, "api.clear.ml")]].concat(), vec![SERVER, "`api.clear.ml`", "https://"]),
            (&settings, [&keyed[..], &[(SERVER, "http://")]].concat(), vec!["`http://`"]),
            (&settings, vec![(CONF, "/nowhere/x.conf")], vec!["/nowhere/x.conf", "cannot read"]),
            (&file("bad.conf"), vec![], vec![&path("bad.conf"), "not a clearml.conf"]),
            (&file("include.conf"), vec![], vec![&path("include.conf"), "includes"]),
            (&file("empty.conf"), vec![], vec![&path("empty.conf"), "holds no key"]),
            (&file("none.conf"), vec![], vec![&path("none.conf"), "cannot read"]),
            (&env_ref, vec![], vec!["NOPE_ACCESS_KEY", "NOPE"]),
            (&env_ref, vec![("NOPE", "no-colon")], vec!["NOPE", "holds no key"]),
        ] {
            let said = find(settings, &env, Some(home.path())).unwrap_err().to_string();
            assert!(words.iter().all(|word| said.contains(word)), "{said} / {words:?}");
        }
    }

    #[test]
    fn no_secret_is_printed() {
        let env = [(SERVER, "http://x"), (KEY, "hidden-key"), (SECRET, "hidden-secret")];
        let found = find(&ClearmlSettings::default(), &env, None).unwrap();
        assert!(!format!("{found:?} {:?}", found.warning()).contains("hidden"));
    }

    proptest! {
        #[test]
        fn any_value_is_a_key_or_refused_without_showing_it(value in "[ -~]{8,40}") {
            let settings =
                ClearmlSettings { credentials: Some(SecretRef::Env("SOME".to_owned())), ..ClearmlSettings::default() };
            if let Err(error) = find(&settings, &[(SERVER, "http://x"), ("SOME", value.as_str())], None) {
                prop_assert!(!error.to_string().contains(value.trim()) || value.trim().len() < 8);
            }
        }
    }
}
