//! A clearml.conf for a server of the tests.

use std::path::{Path, PathBuf};

use crate::support::process::write;

/// Writes `<folder>/clearml.conf` for the server's address and key; answers its path.
pub(crate) fn clearml_conf(folder: &Path, server: &str, access_key: &str, secret_key: &str) -> PathBuf {
    let path = folder.join("clearml.conf");
    write(
        &path,
        &format!(
            "api {{\n    web_server: \"{server}\"\n    api_server: \"{server}\"\n    files_server: \"{server}\"\n    \
             credentials {{ access_key: \"{access_key}\", secret_key: \"{secret_key}\" }}\n}}\n\
             sdk.development.default_output_uri: \"\"\n\
             agent {{\n    venvs_dir: \"{home}/venvs\"\n    vcs_cache.enabled: false\n    venvs_cache.free_space_threshold_gb: -1\n    \
             package_manager.type: pip\n    pip_download_cache.path: \"{home}/pip\"\n    \
             docker_pip_cache: \"{home}/pip\"\n    docker_apt_cache: \"{home}/apt\"\n}}\n",
            home = folder.display()
        ),
    );
    path
}
