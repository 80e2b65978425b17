//! What may be said of an error. The kubeconfig holds tokens and keys, its plugins are given and write them, and a proxy's URL
//! may have a password: errors show these texts, so that only what is known to hold none is taken from them.

use std::error::Error as StdError;

use axum::http::Uri;
use kube::Error;
use kube::client::AuthError;
use kube::config::{KubeconfigError, LoadDataError};

/// In the place of a message that may hold what was read.
const UNREADABLE: &str = "it cannot be read";

/// What happened, as the innermost cause says: "connection refused".
pub(super) fn root(error: &Error) -> String {
    let mut said = String::new();
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(cause) = next {
        if let Some(error) = cause.downcast_ref::<AuthError>() {
            return auth(error, None);
        }
        if let Some(error) = cause.downcast_ref::<KubeconfigError>() {
            return kubeconfig(error);
        }
        match cause.downcast_ref::<Error>() {
            Some(Error::ProxyProtocolUnsupported { proxy_url } | Error::ProxyProtocolDisabled { proxy_url, .. }) => {
                return proxy(proxy_url);
            }
            Some(Error::SerdeError(error)) => return json(error),
            _ => said = cause.to_string(),
        }
        next = cause.source();
    }
    said
}

/// `command`: the plugin's, where it is known. What it was given and what it wrote is never said.
pub(super) fn auth(error: &AuthError, command: Option<&str>) -> String {
    let plugin = command.map_or_else(|| "the kubeconfig's plugin".to_owned(), |name| format!("the plugin `{name}`"));
    match error {
        AuthError::AuthExecRun { out, .. } => {
            format!("{plugin} for credentials has failed ({}): run it by hand to see why", out.status)
        }
        AuthError::AuthExecStart(error) => format!("{plugin} for credentials cannot be run: {error}"),
        AuthError::AuthExecParse(error) => format!("what {plugin} for credentials wrote: {}", yaml(error)),
        AuthError::ParseTokenKey(error) => format!("what {plugin} for credentials wrote: {}", json(error)),
        AuthError::MalformedTokenExpirationDate(_) => "when the credentials end is no time".to_owned(),
        AuthError::InvalidBasicAuth(_) | AuthError::InvalidBearerToken(_) => {
            "the token or the password has letters that no header can hold".to_owned()
        }
        AuthError::AuthExec(_) => format!("{plugin} for credentials has failed, or its kind is not supported"),
        other => other.to_string(),
    }
}

pub(super) fn kubeconfig(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::Parse(error) => yaml(error),
        KubeconfigError::ReadConfig(error, path) => format!("{}: {error}", path.display()),
        KubeconfigError::ParseCertificates(_) => "the cluster's certificate authority is no PEM".to_owned(),
        KubeconfigError::LoadClientKey(error) => format!("the client's key: {}", data(error)),
        KubeconfigError::LoadClientCertificate(error) => format!("the client's certificate: {}", data(error)),
        KubeconfigError::LoadCertificateAuthority(error) => format!("the certificate authority: {}", data(error)),
        KubeconfigError::ParseNoProxy(_) => {
            "the variable NO_PROXY cannot be read: name hosts, addresses and ranges, with commas between them"
                .to_owned()
        }
        KubeconfigError::LoadContext(name) => format!("the kubeconfig has no context `{name}`"),
        other => other.to_string(),
    }
}

fn data(error: &LoadDataError) -> String {
    match error {
        LoadDataError::DecodeBase64(_) => "it is not base64".to_owned(),
        LoadDataError::ReadFile(error, path) => format!("{}: {error}", path.display()),
        LoadDataError::NoBase64DataOrFile => error.to_string(),
    }
}

/// Where it is wrong, and how; no line of it.
pub(super) fn yaml(error: &serde_saphyr::Error) -> String {
    let error = error.without_snippet();
    let said = match error {
        serde_saphyr::Error::ExternalMessage { msg, .. } => msg.clone(),
        serde_saphyr::Error::DuplicateMappingKey { key: Some(key), .. } => format!("`{key}` is there twice"),
        serde_saphyr::Error::SerdeMissingField { field, .. } => format!("`{field}` is missing"),
        serde_saphyr::Error::SerdeInvalidType { expected, .. } => format!("{expected} is expected here"),
        serde_saphyr::Error::Unexpected { expected, .. } => format!("{expected} is expected here"),
        serde_saphyr::Error::UnknownAnchor { .. } => "nothing before has the name of this alias".to_owned(),
        _ => UNREADABLE.to_owned(),
    };
    match error.location() {
        Some(at) => format!("line {}, column {}: {said}", at.line(), at.column()),
        None => said,
    }
}

/// An error of the syntax has none of the text; one of its contents may.
pub(super) fn json(error: &serde_json::Error) -> String {
    if error.is_data() {
        return format!("line {}, column {}: something else is expected here", error.line(), error.column());
    }
    error.to_string()
}

fn proxy(url: &Uri) -> String {
    let scheme = url.scheme_str().unwrap_or_default();
    let host = url.host().unwrap_or_default();
    format!("the proxy at {host} is one for {scheme}, which is not supported: name one for http or https")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_error_shows_a_proxy_s_password_or_a_line_of_a_file() {
        let url = || Box::new("socks5://user:hunter2@proxy.corp:1080".parse().unwrap());
        for error in [
            Error::ProxyProtocolUnsupported { proxy_url: url() },
            Error::ProxyProtocolDisabled { proxy_url: url(), protocol_feature: "kube/socks5" },
        ] {
            assert!(error.to_string().contains("hunter2"), "nothing is planted: {error}");
            let said = root(&error);
            assert!(said.contains("proxy.corp") && said.contains("socks5") && !said.contains("hunter2"), "{said}");
        }
        for (text, words) in [
            ("users:\n- name: me\n  user: {token: hunter2\nclusters: []\n", "line "),
            ("users: hunter2\n", ""),
            ("users:\n- user: [hunter2]\n", ""),
            ("current-context: a\ncurrent-context: hunter\n", "`current-context` is there twice"),
        ] {
            let error = kube::config::Kubeconfig::from_yaml(text).unwrap_err();
            let said = kubeconfig(&error);
            assert!(said.contains(words) && !said.contains("hunter"), "{text}: {said}");
            let said = root(&Error::InferKubeconfig(error));
            assert!(said.contains(words) && !said.contains("hunter"), "{text}: {said}");
        }
        let wrong = serde_json::from_str::<u64>("\"hunter2\"").unwrap_err();
        assert!(wrong.to_string().contains("hunter2"), "nothing is planted: {wrong}");
        let said = root(&Error::SerdeError(wrong));
        assert!(said.contains("line 1, column 9") && !said.contains("hunter2"), "{said}");
    }
}
