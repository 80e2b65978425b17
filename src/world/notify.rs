//! Telling people outside the screen: a notice is posted to a webhook, or given to a command.

use std::process::Stdio;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

use crate::model::notice::Notice;
use crate::model::settings::{NotifySettings, SecretRef, SecretText};
use crate::world::causes;
use crate::world::secret::{self, SecretError};

/// How long one try may take.
const DEADLINE: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(10);

/// Letters of an answer, or of a command's complaint, that are told.
const SHOWN: usize = 200;

/// Why a notice was not told. No text of it holds the address or a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotifyError {
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error("{0} is not an address")]
    NoAddress(&'static str),
    #[error("the value of the header Authorization holds a sign that no header may")]
    NoHeader,
    #[error("the webhook cannot be reached: {0}")]
    Unreachable(String),
    #[error("the webhook answered {status}: {text}")]
    Answered { status: StatusCode, text: String },
    #[error("`{program}` cannot be run: {message}")]
    NotRun { program: String, message: String },
    #[error("`{program}` ended with {status}: {text}")]
    Ended { program: String, status: String, text: String },
    #[error("`{program}` did not end within {} s", DEADLINE.as_secs())]
    Slow { program: String },
}

impl NotifyError {
    /// Whether the same try may end well a moment later.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Answered { status, .. } => {
                status.is_server_error()
                    || matches!(*status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
            }
            Self::Unreachable(_) | Self::Ended { .. } | Self::Slow { .. } => true,
            Self::Secret(_) | Self::NoAddress(_) | Self::NoHeader | Self::NotRun { .. } => false,
        }
    }
}

/// Tells the notice, once. Secrets are read anew each time, so that a new one counts at once.
///
/// # Errors
/// It was not told, or nobody knows.
pub async fn tell(to: &NotifySettings, notice: &Notice) -> Result<(), NotifyError> {
    let body = serde_json::to_vec(notice).unwrap_or_default();
    match (&to.url, to.command.as_slice()) {
        (Some(url), _) => post(url, to.authorization.as_ref(), body).await,
        (None, [program, arguments @ ..]) => run(program, arguments, &body).await,
        (None, []) => Ok(()),
    }
}

async fn post(url: &SecretText, authorization: Option<&SecretRef>, body: Vec<u8>) -> Result<(), NotifyError> {
    let address = secret::text(url)?;
    let address =
        reqwest::Url::parse(address.expose()).map_err(|_| NotifyError::NoAddress("what stands for the url"))?;
    let unreachable = |error: reqwest::Error| NotifyError::Unreachable(causes(&error.without_url()));
    let client = Client::builder().connect_timeout(CONNECT).timeout(DEADLINE).redirect(Policy::none());
    let client = client.user_agent(concat!("tidegate/", env!("CARGO_PKG_VERSION"))).build().map_err(unreachable)?;
    let mut request = client.post(address).header("Content-Type", "application/json").body(body);
    if let Some(place) = authorization {
        let mut value = HeaderValue::from_str(secret::read(place)?.expose()).map_err(|_| NotifyError::NoHeader)?;
        value.set_sensitive(true);
        request = request.header(AUTHORIZATION, value);
    }
    let response = request.send().await.map_err(unreachable)?;
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let text = response.text().await.unwrap_or_default();
    Err(NotifyError::Answered { status, text: first_line(&text) })
}

async fn run(program: &str, arguments: &[String], body: &[u8]) -> Result<(), NotifyError> {
    let not_run =
        |error: std::io::Error| NotifyError::NotRun { program: program.to_owned(), message: error.to_string() };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(not_run)?;
    let input = child.stdin.take();
    let ended = timeout(DEADLINE, async {
        if let Some(mut input) = input {
            // One that does not read its input may still have done its work.
            let _ = input.write_all(&[body, b"\n"].concat()).await;
        }
        child.wait_with_output().await
    });
    let output = ended.await.map_err(|_| NotifyError::Slow { program: program.to_owned() })?.map_err(not_run)?;
    if output.status.success() {
        return Ok(());
    }
    let text = first_line(&String::from_utf8_lossy(&output.stderr));
    Err(NotifyError::Ended { program: program.to_owned(), status: output.status.to_string(), text })
}

fn first_line(text: &str) -> String {
    text.trim().lines().next().unwrap_or_default().chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::extract::State;
    use axum::http::HeaderMap;
    use axum::routing::post;

    use super::*;
    use crate::model::journal::Subject;
    use crate::model::notice::{NoticeKind, VERSION};

    fn notice() -> Notice {
        Notice {
            version: VERSION,
            at: "2026-11-02T08:00:00Z".parse().unwrap(),
            fleet: "lab".into(),
            event: NoticeKind::Stuck,
            text: "i-1 is stuck".to_owned(),
            budget: None,
            subject: Subject { instance: Some("i-1".into()), ..Subject::default() },
        }
    }

    fn to(url: &str) -> NotifySettings {
        NotifySettings { url: Some(SecretText::Here(url.to_owned())), ..NotifySettings::blank("team".into()) }
    }

    fn by(command: &[&str]) -> NotifySettings {
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        NotifySettings { command, ..NotifySettings::blank("team".into()) }
    }

    type Heard = Arc<Mutex<Vec<(Option<String>, String)>>>;

    /// Answers with the given status, and keeps what it was sent.
    async fn webhook(status: u16, tasks: &mut tokio::task::JoinSet<()>) -> (String, Heard) {
        let heard = Heard::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hooks/s3cr3t", listener.local_addr().unwrap());
        let answer = move |State(heard): State<Heard>, headers: HeaderMap, body: String| async move {
            let header = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
            heard.lock().unwrap().push((header, body));
            (axum::http::StatusCode::from_u16(status).unwrap(), "no such hook\nreally")
        };
        let app = Router::new().route("/hooks/s3cr3t", post(answer)).with_state(Arc::clone(&heard));
        tasks.spawn(async move { axum::serve(listener, app).await.unwrap() });
        (url, heard)
    }

    #[tokio::test]
    async fn a_webhook_is_posted_the_notice_and_its_header() {
        let mut tasks = tokio::task::JoinSet::new();
        let (url, heard) = webhook(204, &mut tasks).await;
        let kept = |text: &str| {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
            file
        };
        let (address, token) = (
            kept(&format!(
                "{url}
"
            )),
            kept(
                "Bearer t0k3n
",
            ),
        );
        let settings = NotifySettings {
            url: Some(SecretText::Kept(SecretRef::File(address.path().to_owned()))),
            authorization: Some(SecretRef::File(token.path().to_owned())),
            ..NotifySettings::blank("team".into())
        };
        tell(&settings, &notice()).await.unwrap();
        let heard = heard.lock().unwrap();
        let (header, body) = &heard[0];
        assert_eq!(header.as_deref(), Some("Bearer t0k3n"));
        assert_eq!(
            body,
            r#"{"version":1,"at":"2026-11-02T08:00:00Z","fleet":"lab","event":"stuck","text":"i-1 is stuck","budget":null,"queue":null,"pool":null,"instance":"i-1","task":null}"#
        );
    }

    #[tokio::test]
    async fn what_fails_is_told_without_the_address() {
        let mut tasks = tokio::task::JoinSet::new();
        for (status, may_pass) in [(500, true), (429, true), (404, false), (302, false)] {
            let (url, _) = webhook(status, &mut tasks).await;
            let error = tell(&to(&url), &notice()).await.unwrap_err();
            assert_eq!(error.may_pass(), may_pass, "{error}");
            assert!(error.to_string().ends_with(": no such hook"), "{error}");
        }
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = tell(&to(&format!("http://{free}/s3cr3t")), &notice()).await.unwrap_err();
        assert!(error.may_pass() && !error.to_string().contains("s3cr3t"), "{error}");
        let kept = SecretText::Kept(SecretRef::Env("TIDEGATE_NO_SUCH_VARIABLE".to_owned()));
        let nowhere = NotifySettings { url: Some(kept), ..NotifySettings::blank("team".into()) };
        let error = tell(&nowhere, &notice()).await.unwrap_err();
        assert_eq!(error, SecretError::NoVariable("TIDEGATE_NO_SUCH_VARIABLE".to_owned()).into());
    }

    #[tokio::test]
    async fn a_command_reads_the_notice_and_its_failure_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let heard = folder.path().join("heard");
        tell(&by(&["tee", heard.to_str().unwrap()]), &notice()).await.unwrap();
        let text = std::fs::read_to_string(&heard).unwrap();
        let line = text.strip_suffix('\n').unwrap();
        assert!(!line.contains('\n'), "one line: {text}");
        assert_eq!(serde_json::from_str::<Notice>(line).unwrap(), notice());
        tell(&by(&["true"]), &notice()).await.unwrap();
        let error = tell(&by(&["sh", "-c", "echo no pager >&2; exit 3"]), &notice()).await.unwrap_err();
        assert!(error.may_pass(), "{error}");
        assert_eq!(error.to_string(), "`sh` ended with exit status: 3: no pager");
        let error = tell(&by(&["/no/such/program"]), &notice()).await.unwrap_err();
        assert!(!error.may_pass(), "{error}");
    }
}
