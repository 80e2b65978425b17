//! A server on loopback that answers what a test tells it to, and remembers what it was asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tidegate::world::clearml::Clearml;
use tidegate::world::clearml::credentials::{Credentials, User};
use tidegate::world::clock::Clock;
use tidegate::world::secret::Secret;

/// A call as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) endpoint: String,
    pub(crate) authorization: String,
    pub(crate) body: Value,
    /// How often this endpoint was called before.
    pub(crate) nth: usize,
}

pub(crate) enum Reply {
    Data(Value),
    Error(u16, u16, &'static str),
    Text(u16, &'static str),
    /// No answer, ever.
    Silence,
}

type Handler = Box<dyn Fn(&Call) -> Reply + Send + Sync>;

#[derive(Clone)]
struct Shared {
    handler: Arc<Handler>,
    calls: Arc<Mutex<Vec<Call>>>,
    logins: Arc<Mutex<BTreeMap<String, usize>>>,
}

pub(crate) struct Stub {
    pub(crate) url: String,
    shared: Shared,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Stub {
    /// Starts it. Logins are answered with tokens of a long life, unless the handler has an answer.
    #[expect(clippy::disallowed_methods, reason = "the test's own server")]
    pub(crate) async fn start(handler: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Shared { handler: Arc::new(Box::new(handler)), calls: Arc::default(), logins: Arc::default() };
        let router = Router::new().fallback(answer).with_state(shared.clone());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, shared, server }
    }

    /// A client of two users: key `console` and key `agents`.
    pub(crate) fn client(&self, clock: Clock) -> Clearml {
        client(&self.url, clock)
    }

    /// What was asked, logins left out.
    pub(crate) fn calls(&self) -> Vec<Call> {
        let calls = self.shared.calls.lock().unwrap();
        calls.iter().filter(|call| call.endpoint != "auth.login").cloned().collect()
    }

    pub(crate) fn endpoints(&self) -> Vec<String> {
        self.calls().into_iter().map(|call| call.endpoint).collect()
    }

    /// How many logins there were, whoever's.
    pub(crate) fn logins(&self) -> usize {
        self.shared.calls.lock().unwrap().iter().filter(|call| call.endpoint == "auth.login").count()
    }
}

pub(crate) fn client(url: &str, clock: Clock) -> Clearml {
    let user = |name: &str| User {
        key: Secret::new(name),
        secret: Secret::new("s3cr3t"),
        from: format!("the place of {name}"),
    };
    let credentials = Credentials {
        server: url.to_owned(),
        server_from: "the test".to_owned(),
        console: user("console"),
        agents: user("agents"),
    };
    Clearml::new(credentials, clock).unwrap()
}

/// A token as the server makes them, that ends then (seconds since 1970).
pub(crate) fn token(owner: &str, end: i64) -> String {
    let payload = json!({ "exp": end, "feature_set": "basic", "identity": { "user": owner } });
    format!("{owner}.{}.x", URL_SAFE_NO_PAD.encode(payload.to_string()))
}

/// The far future, for tokens.
pub(crate) const NEVER: i64 = 9_999_999_999;

async fn answer(State(shared): State<Shared>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let endpoint = uri.path().rsplit('/').next().unwrap().to_owned();
    assert!(uri.path().starts_with("/v2.30/"), "{uri}");
    let authorization = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
    let authorization = authorization.unwrap_or_default();
    let nth = {
        let mut seen = shared.logins.lock().unwrap();
        let count = seen.entry(endpoint.clone()).or_default();
        *count += 1;
        *count - 1
    };
    let call = Call { endpoint, authorization, body: serde_json::from_slice(&body).unwrap(), nth };
    shared.calls.lock().unwrap().push(call.clone());
    let reply = match (shared.handler)(&call) {
        Reply::Data(Value::Null) if call.endpoint == "auth.login" => Reply::Data(json!({ "token": login(&call) })),
        reply => reply,
    };
    match reply {
        Reply::Data(data) => envelope(200, 0, "OK", &data),
        Reply::Error(code, subcode, message) => envelope(code, subcode, message, &json!({})),
        Reply::Text(code, text) => (StatusCode::from_u16(code).unwrap(), text).into_response(),
        Reply::Silence => std::future::pending().await,
    }
}

/// A token that names whose key it was made from.
fn login(call: &Call) -> String {
    let basic = base64::engine::general_purpose::STANDARD.decode(call.authorization.strip_prefix("Basic ").unwrap());
    let pair = String::from_utf8(basic.unwrap()).unwrap();
    let (owner, secret) = pair.split_once(':').unwrap();
    assert_eq!(secret, "s3cr3t");
    token(owner, NEVER)
}

fn envelope(code: u16, subcode: u16, message: &str, data: &Value) -> Response {
    let meta = json!({ "id": "1", "trx": "1", "endpoint": { "name": "x" }, "result_code": code,
        "result_subcode": subcode, "result_msg": message, "error_stack": null, "error_data": {} });
    let body = json!({ "meta": meta, "data": data }).to_string();
    (StatusCode::from_u16(code).unwrap(), [("content-type", "application/json")], body).into_response()
}
