//! Services of Google's beside Compute Engine, as JSON over HTTPS with the account's own token.

use std::time::Duration;

use axum::http::header::AUTHORIZATION;
use axum::http::{Extensions, HeaderMap};
use google_cloud_auth::credentials::{CacheableResource, Credentials};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, StatusCode, Url};
use serde::Deserialize;
use serde_json::Value;

use crate::model::snapshot::ErrorClass;
use crate::world::cloud::CloudError;
use crate::world::gce::error::{class_of, class_of_status, class_without_token, code_of_status, refused, unreadable};
use crate::world::secret::Secret;

const CONNECT: Duration = Duration::from_secs(5);
const DEADLINE: Duration = Duration::from_secs(30);

/// What Google says of a service that a project has not switched on.
const DISABLED: [&str; 2] = ["SERVICE_DISABLED", "accessNotConfigured"];

/// A service of Google's.
#[derive(Debug)]
pub(super) struct Service {
    /// Its name, and its usual host.
    pub(super) name: &'static str,
    /// Where `gcloud` looks for another address.
    pub(super) variable: &'static str,
}

/// A service, and who asks.
#[derive(Debug)]
pub(super) struct Rest {
    http: Client,
    credentials: Credentials,
    /// Without a slash at its end.
    address: String,
}

/// How Google says no.
#[derive(Debug, Deserialize, Default)]
struct Refusal {
    #[serde(default)]
    error: Told,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default)]
struct Told {
    message: String,
    status: Option<String>,
    details: Vec<Value>,
    errors: Vec<Value>,
}

impl Rest {
    pub(super) fn open(
        service: &'static Service,
        credentials: &Credentials,
        endpoint: Option<&str>,
    ) -> Result<Self, CloudError> {
        let address = endpoint.map(str::to_owned).or_else(|| std::env::var(service.variable).ok());
        let address = address.unwrap_or_else(|| format!("https://{}", service.name));
        let client = Client::builder().connect_timeout(CONNECT).timeout(DEADLINE).redirect(Policy::none());
        let client = client.user_agent(concat!("tidegate/", env!("CARGO_PKG_VERSION"))).build();
        let http = client.map_err(|error| refused(format!("{} cannot be asked: {}", service.name, causes(&error))))?;
        Ok(Self { http, credentials: credentials.clone(), address: address.trim_end_matches('/').to_owned() })
    }

    /// What is at `path`, as text. `call` names it in errors.
    pub(super) async fn get(&self, call: &str, path: &str, query: &[(&str, &str)]) -> Result<String, CloudError> {
        let mut address = self.at(call, path)?;
        address.query_pairs_mut().extend_pairs(query);
        self.send(call, self.http.get(address)).await
    }

    /// With what is asked in the address, and no body.
    pub(super) async fn post_query(
        &self,
        call: &str,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<String, CloudError> {
        let mut address = self.at(call, path)?;
        address.query_pairs_mut().extend_pairs(query);
        // Without a length Google refuses it (HTTP 411).
        self.send(call, self.http.post(address).body(String::new())).await
    }

    fn at(&self, call: &str, path: &str) -> Result<Url, CloudError> {
        let address = format!("{}{path}", self.address);
        Url::parse(&address).map_err(|error| refused(format!("{call}: {address}: {error}")))
    }

    /// The token that calls carry now.
    pub(super) async fn token(&self) -> Result<Secret, CloudError> {
        let headers = self.headers("the token").await?;
        let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        bearer.map(|token| Secret::new(token.to_owned())).ok_or_else(|| unreadable("the token", "there is none"))
    }

    async fn headers(&self, call: &str) -> Result<HeaderMap, CloudError> {
        match self.credentials.headers(Extensions::new()).await {
            Ok(CacheableResource::New { data, .. }) => Ok(data),
            // It is only said to who has it already.
            Ok(CacheableResource::NotModified) => Err(unreadable(call, "no token was given")),
            Err(error) => {
                let message = format!("{call}: no token: {error}");
                Err(CloudError { class: class_without_token(&error), ..refused(message) })
            }
        }
    }

    pub(super) async fn post(&self, call: &str, path: &str, body: &Value) -> Result<String, CloudError> {
        self.send(call, self.http.post(format!("{}{path}", self.address)).json(body)).await
    }

    async fn send(&self, call: &str, request: RequestBuilder) -> Result<String, CloudError> {
        let headers = self.headers(call).await?;
        let silent = |error: &reqwest::Error| CloudError {
            class: ErrorClass::Unknown,
            code: error.is_timeout().then(|| "Deadline".to_owned()),
            ..refused(format!("{call}: {}", causes(error)))
        };
        let answer = request.headers(headers).send().await.map_err(|error| silent(&error))?;
        let status = answer.status();
        let text = answer.text().await.map_err(|error| silent(&error))?;
        if status == StatusCode::OK { Ok(text) } else { Err(no(call, status.as_u16(), &text)) }
    }
}

/// What to do about a service that the project has not switched on; nothing of any other error.
pub(super) fn switched_on_by(service: &Service, error: &CloudError, project: &str) -> String {
    let is_off = error.code.as_deref().is_some_and(|code| DISABLED.contains(&code));
    let how = || format!("; switch it on with `gcloud services enable {} --project {project}`", service.name);
    if is_off { how() } else { String::new() }
}

/// A refusal, classed.
fn no(call: &str, status: u16, text: &str) -> CloudError {
    let told = serde_json::from_str::<Refusal>(text).unwrap_or_default().error;
    let reasons = told.details.iter().chain(&told.errors).filter_map(|detail| detail.get("reason")?.as_str());
    let code = reasons.map(str::to_owned).next().or(told.status);
    let code = code.or_else(|| code_of_status(status).map(str::to_owned));
    let class = code.as_deref().and_then(class_of).unwrap_or_else(|| class_of_status(status));
    let said = if told.message.is_empty() { "no text" } else { told.message.as_str() };
    CloudError { class, code, ..refused(format!("{call}: HTTP {status}: {said}")) }
}

/// An error with what is behind it.
fn causes(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut next: Option<&dyn std::error::Error> = Some(error);
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = if text.is_empty() { said } else { format!("{text}: {said}") };
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::gce::error::is_of_caller;
    use proptest::prelude::*;

    #[test]
    fn a_refusal_is_told_by_its_reason() {
        let disabled = r#"{"error": {"code": 403, "message": "it is off", "status": "PERMISSION_DENIED",
            "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "SERVICE_DISABLED"}]}}"#;
        let error = no("call", 403, disabled);
        let service = Service { name: "x.googleapis.com", variable: "NO_SUCH" };
        let hint = switched_on_by(&service, &error, "p");
        assert_eq!(hint, "; switch it on with `gcloud services enable x.googleapis.com --project p`");
        assert_eq!((error.class, error.message.as_str()), (ErrorClass::Credentials, "call: HTTP 403: it is off"));
        let old = r#"{"error": {"code": 403, "errors": [{"reason": "rateLimitExceeded"}], "message": "slow"}}"#;
        assert_eq!(no("call", 403, old).class, ErrorClass::Throttle);
        assert!(is_of_caller(&no("call", 401, "")) && !is_of_caller(&no("call", 403, "")));
        assert_eq!(no("call", 503, "<html>").class, ErrorClass::Unknown);
        let other = no("call", 403, r#"{"error": {"status": "PERMISSION_DENIED"}}"#);
        assert_eq!(switched_on_by(&service, &other, "p"), "");
    }

    proptest! {
        #[test]
        fn any_answer_is_a_refusal(status in 400_u16..600, text: String) {
            let _ = no("call", status, &text);
        }
    }
}
