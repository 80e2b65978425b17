//! One user's conversation with the server: the token, its renewal, deadlines and repeats.

use std::sync::Arc;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use jiff::SignedDuration;
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use tokio::sync::Mutex;

use crate::world::causes;
use crate::world::clearml::ahead::Ahead;
use crate::world::clearml::answer::{self, Outcome};
use crate::world::clearml::credentials::User;
use crate::world::clearml::token::{Identity, Token};
use crate::world::clearml::{PAGE, wire};
use crate::world::clock::Clock;
use crate::world::secret::Secret;
use crate::world::tracker::TrackerError;

/// Every path begins with it; metadata is readable from 2.17 on only (GUARD.md section 3).
const API: &str = "v2.30";

/// How long one call may take.
const DEADLINE: SignedDuration = SignedDuration::from_secs(20);
const CONNECT: Duration = Duration::from_secs(5);

/// Repeats of a call that is safe to repeat, after the first try.
const REPEATS: usize = 2;

/// Whether a call may be sent again when nobody knows what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// A read, or a write that does the same when done twice.
    Safe,
    Never,
}

/// A user's session. The token is kept; callers at the same time share one login.
#[derive(Debug)]
pub(super) struct Session {
    http: Client,
    server: String,
    user: User,
    clock: Clock,
    ahead: Arc<Ahead>,
    token: Mutex<Option<Token>>,
}

/// The client that both sessions share. It follows no redirect: a POST would become a GET.
pub(super) fn http_client(server: &str) -> Result<Client, TrackerError> {
    let client = Client::builder().connect_timeout(CONNECT).redirect(Policy::none());
    let client = client.user_agent(concat!("tidegate/", env!("CARGO_PKG_VERSION"))).build();
    client.map_err(|error| TrackerError::Unreachable { server: server.to_owned(), message: causes(&error) })
}

impl Session {
    /// `ahead`: told of the dates of all answers.
    pub(super) fn new(http: Client, server: &str, user: User, clock: Clock, ahead: &Arc<Ahead>) -> Self {
        let (server, ahead) = (server.to_owned(), Arc::clone(ahead));
        Self { http, server, user, clock, ahead, token: Mutex::new(None) }
    }

    /// Calls an endpoint with a live token. A refused token is renewed once.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        endpoint: &str,
        body: Value,
        repeat: Repeat,
    ) -> Result<T, TrackerError> {
        let attempt = || self.call_once(endpoint, &body);
        match repeat {
            Repeat::Never => attempt().await,
            Repeat::Safe => {
                let pause = ExponentialBuilder::default().with_jitter().with_max_times(REPEATS);
                let pause = pause.with_min_delay(Duration::from_millis(200)).with_max_delay(Duration::from_secs(2));
                attempt.retry(pause).when(|error| matches!(error, TrackerError::Unreachable { .. })).await
            }
        }
    }

    /// Every row of a list, with these fields, or all where none is named: page by page, in the order of the ids, so that no page shifts another.
    pub(super) async fn pages<T: DeserializeOwned>(
        &self,
        endpoint: &str,
        list: &'static str,
        fields: &[&str],
        filter: Value,
    ) -> Result<Vec<T>, TrackerError> {
        let mut rows = Vec::new();
        let Value::Object(mut body) = filter else { return Ok(rows) };
        if !fields.is_empty() {
            body.insert("only_fields".to_owned(), json!(fields));
        }
        body.insert("order_by".to_owned(), json!(["id"]));
        body.insert("page_size".to_owned(), json!(PAGE));
        for page in 0_usize.. {
            body.insert("page".to_owned(), json!(page));
            let mut answer: Map<String, Value> = self.call(endpoint, Value::Object(body.clone()), Repeat::Safe).await?;
            let page: Vec<T> = serde_json::from_value(answer.remove(list).unwrap_or_default()).map_err(|error| {
                TrackerError::Unreadable { endpoint: endpoint.to_owned(), message: format!("{list}: {error}") }
            })?;
            let full = page.len() >= PAGE;
            rows.extend(page);
            if !full {
                break;
            }
        }
        Ok(rows)
    }

    /// A new token that lives for `life`, or as long as the server likes.
    pub(super) async fn login(&self, life: Option<SignedDuration>) -> Result<Secret, TrackerError> {
        let body = life.map_or_else(|| json!({}), |life| json!({ "expiration_sec": life.as_secs() }));
        let request = self.post("auth.login", &body);
        let request = request.basic_auth(self.user.key.expose(), Some(self.user.secret.expose()));
        match self.send::<wire::Login>("auth.login", request).await? {
            Outcome::Data(login) => Ok(Secret::new(login.token)),
            outcome => Err(self.failed(outcome)),
        }
    }

    /// Who this session's user is.
    pub(super) async fn who(&self) -> Result<wire::User, TrackerError> {
        let answer: wire::CurrentUser = self.call("users.get_current_user", json!({}), Repeat::Safe).await?;
        Ok(answer.user)
    }

    /// What the present token says about the server.
    pub(super) async fn identity(&self) -> Option<Identity> {
        self.token.lock().await.as_ref().map(|token| token.identity.clone())
    }

    async fn call_once<T: DeserializeOwned>(&self, endpoint: &str, body: &Value) -> Result<T, TrackerError> {
        let token = self.live_token(None).await?;
        let outcome = match self.with_token(endpoint, body, &token).await? {
            Outcome::Unauthorized(_) => {
                let token = self.live_token(Some(&token)).await?;
                self.with_token(endpoint, body, &token).await?
            }
            outcome => outcome,
        };
        match outcome {
            Outcome::Data(data) => Ok(data),
            outcome => Err(self.failed(outcome)),
        }
    }

    async fn with_token<T: DeserializeOwned>(
        &self,
        endpoint: &str,
        body: &Value,
        token: &Secret,
    ) -> Result<Outcome<T>, TrackerError> {
        self.send(endpoint, self.post(endpoint, body).bearer_auth(token.expose())).await
    }

    /// The token, renewed when it ends soon or when it is the one that was `refused`.
    async fn live_token(&self, refused: Option<&Secret>) -> Result<Secret, TrackerError> {
        let mut kept = self.token.lock().await;
        let now = self.clock.now();
        let usable = kept.as_ref().filter(|token| !token.ends_soon(now) && Some(&token.text) != refused);
        if let Some(token) = usable {
            return Ok(token.text.clone());
        }
        let token = Token::new(self.login(None).await?);
        Ok(kept.insert(token).text.clone())
    }

    fn post(&self, endpoint: &str, body: &Value) -> RequestBuilder {
        self.http.post(format!("{}/{API}/{endpoint}", self.server)).json(body)
    }

    async fn send<T: DeserializeOwned>(
        &self,
        endpoint: &str,
        request: RequestBuilder,
    ) -> Result<Outcome<T>, TrackerError> {
        let work = async {
            let sent = self.clock.now();
            let answer = request.send().await?;
            self.ahead.note(answer.headers(), sent, self.clock.now());
            let status = answer.status();
            Ok::<(StatusCode, Vec<u8>), reqwest::Error>((status, answer.bytes().await?.to_vec()))
        };
        match self.clock.deadline(DEADLINE, work).await {
            None => Err(TrackerError::Deadline { endpoint: endpoint.to_owned() }),
            Some(Err(error)) => Err(self.unreachable(format!("{endpoint}: {}", causes(&error.without_url())))),
            Some(Ok((status, body))) => Ok(answer::read(endpoint, status, &body)),
        }
    }

    fn failed<T>(&self, outcome: Outcome<T>) -> TrackerError {
        match outcome {
            Outcome::Wrong(error) => error,
            Outcome::Unable(message) => self.unreachable(message),
            Outcome::Unauthorized(message) => {
                TrackerError::Credentials { server: self.server.clone(), from: self.user.from.clone(), message }
            }
            Outcome::Data(_) => self.unreachable("no error".to_owned()),
        }
    }

    fn unreachable(&self, message: String) -> TrackerError {
        TrackerError::Unreachable { server: self.server.clone(), message }
    }
}
