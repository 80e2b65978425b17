//! How a cluster is reached: the kubeconfig as it is now, and what its plugins give.

use std::path::PathBuf;
use std::time::Duration;

use kube::config::{ExecInteractiveMode, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config, Error};

use crate::world::cloud::CloudError;
use crate::world::kubernetes::proxy::proxy;
use crate::world::kubernetes::safe;

/// An API server that does not let us in by then does not answer.
const CONNECTS: Duration = Duration::from_secs(10);
/// Where the kubeconfig's files are named.
const FILES: &str = "KUBECONFIG";

/// A client of the kubeconfig's context of that name; without a name of its current one, and where there is no kubeconfig of
/// the cluster that we are a pod of. It waits for the kubeconfig's plugins.
pub(super) async fn open(context: Option<&str>) -> Result<Client, CloudError> {
    let by_file = match Kubeconfig::read() {
        Ok(read) => config(read, context).await,
        Err(error) => Err(told(&error)),
    };
    let config = match (by_file, context) {
        (Err(why), None) => Config::incluster().map_err(|error| format!("{why}; and as a pod of a cluster: {error}")),
        (found, _) => found,
    };
    let mut config = config.map_err(|error| CloudError::refused(format!("no way to the cluster: {error}")))?;
    if context.is_none() {
        config.apply_debug_overrides();
    }
    client(config)
}

/// What the kubeconfig says of a context.
async fn config(read: Kubeconfig, context: Option<&str>) -> Result<Config, String> {
    let own = own_proxy(&read, context);
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    let found = Config::from_custom_kubeconfig(read, &options).await;
    let mut config = found.map_err(|error| safe::kubeconfig(&error))?;
    // The library asks for no proxy where the proxy itself is named, and not where the server is.
    config.proxy_url = proxy(&config.cluster_url, own.as_deref(), |name| std::env::var(name).ok())?;
    Ok(config)
}

/// The proxy that the kubeconfig names for a context's cluster.
fn own_proxy(read: &Kubeconfig, context: Option<&str>) -> Option<String> {
    let name = context.or(read.current_context.as_deref())?;
    let context = read.contexts.iter().find(|context| context.name == name)?.context.as_ref()?;
    let cluster = read.clusters.iter().find(|cluster| cluster.name == context.cluster)?;
    cluster.cluster.as_ref()?.proxy_url.clone()
}

/// With the file in which it is.
fn told(error: &KubeconfigError) -> String {
    let said = safe::kubeconfig(error);
    let is_wrong = |file: &PathBuf| matches!(Kubeconfig::read_from(file), Err(KubeconfigError::Parse(_)));
    let wrong = matches!(error, KubeconfigError::Parse(_)).then(|| files().into_iter().find(is_wrong)).flatten();
    wrong.map_or(said.clone(), |file| format!("{}: {said}", file.display()))
}

/// The kubeconfig's files.
fn files() -> Vec<PathBuf> {
    let named: Vec<PathBuf> = match std::env::var_os(FILES) {
        Some(paths) => std::env::split_paths(&paths).filter(|path| !path.as_os_str().is_empty()).collect(),
        None => Vec::new(),
    };
    let usual = || directories::BaseDirs::new().map(|dirs| dirs.home_dir().join(".kube/config")).into_iter().collect();
    if named.is_empty() { usual() } else { named }
}

/// A client that hands on each answer as it comes.
pub(super) fn client(mut config: Config) -> Result<Client, CloudError> {
    config.connect_timeout = Some(CONNECTS);
    // It would ask a server that is down again by itself, after pauses that double up to a quarter of an hour, and tell nobody.
    config.default_retry = false;
    let mut command = None;
    if let Some(plugin) = &mut config.auth_info.exec {
        // It would read the keys that are meant for us, and write over the screen.
        plugin.interactive_mode = Some(ExecInteractiveMode::Never);
        command.clone_from(&plugin.command);
    }
    Client::try_from(config).map_err(|error| {
        let said = match &error {
            Error::Auth(error) => safe::auth(error, command.as_deref()),
            error => safe::root(error),
        };
        CloudError::refused(format!("no client for the cluster: {said}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::kubernetes::error::cloud_error;
    use std::path::Path;

    /// A kubeconfig with a plugin, which is a script. It is given what is secret in every way that there is.
    #[expect(clippy::disallowed_methods, reason = "a file of the test's own")]
    fn plugged(folder: &Path, script: &str) -> Kubeconfig {
        let plugin = folder.join("plugin");
        std::fs::write(&plugin, format!("cd {}\n{script}", folder.display())).unwrap();
        let text = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "contexts": [{ "name": "test", "context": { "cluster": "c", "user": "u" } }],
            "clusters": [{ "name": "c", "cluster": { "server": "http://127.0.0.1:9" } }],
            "users": [{ "name": "u", "user": { "exec": {
                "apiVersion": "client.authentication.k8s.io/v1", "command": "/bin/sh", "args": [plugin, "hunter2-argument"],
                "env": [{ "name": "PASSWORD", "value": "hunter2-variable" }], "interactiveMode": "Always" } } }],
        });
        Kubeconfig::from_yaml(&text.to_string()).unwrap()
    }

    async fn client_of(read: Kubeconfig) -> Result<Client, CloudError> {
        client(config(read, None).await.unwrap())
    }

    fn is_safe(error: &CloudError, words: &[&str]) {
        let said = format!("{error} {error:?}");
        assert!(!said.contains("hunter2"), "{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{words:?}: {said}");
    }

    #[tokio::test]
    async fn a_plugin_that_fails_is_named_and_nothing_of_what_it_was_given_and_wrote() {
        let folder = tempfile::tempdir().unwrap();
        let fails = "echo hunter2-output; echo hunter2-complaint >&2; exit 3";
        let error = client_of(plugged(folder.path(), fails)).await.err().unwrap();
        is_safe(&error, &["the plugin `/bin/sh` for credentials has failed", "exit status: 3"]);
        for wrong in ["echo '{token: hunter2'", "echo '{\"status\": {\"token\": [\"hunter2\"]}}'", "echo 'hunter2'"] {
            let error = client_of(plugged(folder.path(), wrong)).await.err().unwrap();
            is_safe(&error, &["the plugin `/bin/sh` for credentials wrote"]);
        }
        let status = r#"{"token": "t", "expirationTimestamp": "hunter2"}"#;
        let wrong = format!("echo '{{\"kind\": \"ExecCredential\", \"status\": {status}}}'");
        is_safe(&client_of(plugged(folder.path(), &wrong)).await.err().unwrap(), &["no time"]);
    }

    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "a file of the test's own")]
    async fn a_plugin_that_fails_later_is_not_quoted_either() {
        let folder = tempfile::tempdir().unwrap();
        // It is asked again at once: what it gave has ended.
        let script = r#"[ -e fail ] && { echo hunter2-output; echo hunter2-complaint >&2; exit 3; }
            echo '{"kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1",
                "status": {"token": "hunter2", "expirationTimestamp": "2020-01-01T00:00:00Z"}}'"#;
        let client = client_of(plugged(folder.path(), script)).await.unwrap();
        std::fs::write(folder.path().join("fail"), "").unwrap();
        let error = client.apiserver_version().await.unwrap_err();
        is_safe(&cloud_error("the API server", &error), &["plugin for credentials has failed", "exit status: 3"]);
    }

    #[tokio::test]
    async fn a_plugin_reads_no_keys_and_is_told_so() {
        let folder = tempfile::tempdir().unwrap();
        let script = r#"cat >read; printf '%s' "$KUBERNETES_EXEC_INFO" >told
            echo '{"kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1", "status": {"token": "t"}}'"#;
        client_of(plugged(folder.path(), script)).await.unwrap();
        let told = std::fs::read_to_string(folder.path().join("told")).unwrap();
        assert!(told.contains(r#""interactive":false"#), "{told}");
        assert_eq!(std::fs::read_to_string(folder.path().join("read")).unwrap(), "");
    }

    #[tokio::test]
    async fn a_key_or_a_token_that_cannot_be_used_is_not_quoted() {
        let with = |user: &str| {
            let text = format!(
                "current-context: test\ncontexts:\n- name: test\n  context: {{cluster: c, user: u}}\nclusters:\n- name: c\n  cluster: \
                 {{server: 'https://127.0.0.1:9'}}\nusers:\n- name: u\n  user: {user}\n"
            );
            Kubeconfig::from_yaml(&text).unwrap()
        };
        for user in [
            "{client-certificate-data: aHVudGVyMg==, client-key-data: '!hunter2'}",
            "{client-certificate-data: aHVudGVyMg==, client-key-data: aHVudGVyMg==}",
        ] {
            is_safe(&client_of(with(user)).await.err().unwrap(), &["no client for the cluster"]);
        }
        let missing = config(with("{}"), Some("elsewhere")).await.unwrap_err();
        assert!(missing.contains("elsewhere"), "{missing}");
    }
}
