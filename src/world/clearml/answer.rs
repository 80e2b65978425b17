//! The envelope that every ClearML answer comes in, and the errors that it may carry.

use reqwest::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::world::tracker::TrackerError;

/// Subcodes of ClearML's errors that decide something (CLEARML.md section 1).
pub(super) mod subcode {
    pub(in crate::world::clearml) const NO_SUCH_TASK: u16 = 101;
    pub(in crate::world::clearml) const INVALID_STATUS: u16 = 110;
    pub(in crate::world::clearml) const STATUS_CHANGED: u16 = 121;
    pub(in crate::world::clearml) const NO_SUCH_QUEUE: u16 = 701;
    pub(in crate::world::clearml) const NOT_IN_QUEUE: u16 = 703;
    pub(in crate::world::clearml) const ALREADY_QUEUED: u16 = 706;
    pub(in crate::world::clearml) const NAME_TAKEN: u16 = 801;
}

/// How much of an unreadable answer an error quotes, in characters.
const QUOTE: usize = 80;

#[derive(Debug, Deserialize)]
struct Envelope<T> {
    data: T,
}

#[derive(Debug, Deserialize)]
struct Failure {
    meta: Meta,
}

#[derive(Debug, Deserialize)]
struct Meta {
    #[serde(rename = "result_code")]
    code: u16,
    #[serde(rename = "result_subcode", default)]
    subcode: u16,
    #[serde(rename = "result_msg", default)]
    message: String,
}

/// What a call came to.
#[derive(Debug)]
pub(super) enum Outcome<T> {
    Data(T),
    /// 401: the token is refused, or the key.
    Unauthorized(String),
    /// The server, or something before it, is not able now.
    Unable(String),
    Wrong(TrackerError),
}

/// Reads an answer of `endpoint`.
pub(super) fn read<T: DeserializeOwned>(endpoint: &str, status: StatusCode, body: &[u8]) -> Outcome<T> {
    if status.is_success() {
        return match serde_json::from_slice::<Envelope<T>>(body) {
            Ok(envelope) => Outcome::Data(envelope.data),
            Err(error) => Outcome::Wrong(unreadable(endpoint, format!("{error} in {}", quote(body)))),
        };
    }
    if status.is_redirection() {
        let message = format!("HTTP {status}: the address leads elsewhere; name the API server itself");
        return Outcome::Wrong(unreadable(endpoint, message));
    }
    let failure = serde_json::from_slice::<Failure>(body).ok().map(|failure| failure.meta);
    let message =
        failure.as_ref().map_or_else(|| format!("HTTP {status}: {}", quote(body)), |meta| meta.message.clone());
    match (status, failure) {
        (StatusCode::UNAUTHORIZED, _) => Outcome::Unauthorized(message),
        // 509 is what the hosted service says when it limits.
        (StatusCode::TOO_MANY_REQUESTS, _) => Outcome::Unable(message),
        (status, _) if status.is_server_error() || status.as_u16() == 509 => Outcome::Unable(message),
        (_, Some(meta)) => Outcome::Wrong(TrackerError::Refused {
            endpoint: endpoint.to_owned(),
            code: meta.code,
            subcode: meta.subcode,
            message,
        }),
        (status, None) => Outcome::Wrong(TrackerError::Refused {
            endpoint: endpoint.to_owned(),
            code: status.as_u16(),
            subcode: 0,
            message,
        }),
    }
}

/// The subcode of a refusal; 0 for every other error.
pub(super) fn subcode_of(error: &TrackerError) -> u16 {
    match error {
        TrackerError::Refused { subcode, .. } => *subcode,
        _ => 0,
    }
}

fn unreadable(endpoint: &str, message: String) -> TrackerError {
    TrackerError::Unreadable { endpoint: endpoint.to_owned(), message }
}

/// The beginning of an answer. An answer to a login holds a token, so only one that is no JSON is shown.
fn quote(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    match text.trim_start().chars().next() {
        None => "an empty answer".to_owned(),
        Some('{' | '[' | '"') => "its JSON".to_owned(),
        Some(_) => {
            format!("`{}`", text.chars().take(QUOTE).map(|c| if c.is_control() { ' ' } else { c }).collect::<String>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn failure(code: u16, subcode: u16, message: &str) -> (StatusCode, Vec<u8>) {
        let body = format!(
            r#"{{"meta":{{"id":"1","result_code":{code},"result_subcode":{subcode},"result_msg":"{message}","error_stack":null}},"data":{{}}}}"#
        );
        (StatusCode::from_u16(code).unwrap(), body.into_bytes())
    }

    #[test]
    fn every_subcode_stays_with_its_message() {
        for (code, subcode, message) in [
            (403, 20, "Forbidden (not allowed for role)"),
            (404, 0, "Unable to find endpoint"),
            (400, 12, "Validation error"),
            (400, 21, "Malformed regular expression"),
            (400, 101, "Invalid task id"),
            (400, subcode::INVALID_STATUS, "Invalid task status"),
            (400, subcode::STATUS_CHANGED, "probably someone changed it before you"),
            (400, subcode::NO_SUCH_QUEUE, "Invalid queue id"),
            (400, 702, "Queue is not empty"),
            (400, subcode::NOT_IN_QUEUE, "task not in queue"),
            (400, subcode::ALREADY_QUEUED, "already queued"),
            (400, 800, "Data validation error"),
            (400, subcode::NAME_TAKEN, "Value combination already exists"),
        ] {
            let (status, body) = failure(code, subcode, message);
            let Outcome::Wrong(error) = read::<Value>("x.y", status, &body) else { panic!("{code}/{subcode}") };
            assert_eq!(subcode_of(&error), subcode);
            assert!(error.to_string().contains(message) && error.to_string().starts_with("x.y: "), "{error}");
        }
    }

    #[test]
    fn an_unable_server_and_a_refused_token_are_told_apart() {
        for code in [429, 500, 502, 503, 509] {
            let (status, body) = failure(code, 100, "later");
            assert!(matches!(read::<Value>("x.y", status, &body), Outcome::Unable(said) if said == "later"), "{code}");
            assert!(
                matches!(read::<Value>("x.y", status, b"<html>"), Outcome::Unable(said) if said.contains("<html>"))
            );
        }
        let (status, body) = failure(401, 30, "Signature has expired");
        assert!(matches!(read::<Value>("x.y", status, &body), Outcome::Unauthorized(said) if said.contains("expired")));
    }

    #[test]
    fn a_web_page_instead_of_an_answer_is_quoted_and_a_token_is_not() {
        let Outcome::Wrong(error) = read::<Value>("auth.login", StatusCode::OK, b"<!DOCTYPE html>") else { panic!() };
        assert!(error.to_string().contains("<!DOCTYPE html>"), "{error}");
        let Outcome::Wrong(error) = read::<Value>("auth.login", StatusCode::OK, br#"{"token":"s3cr3t"}"#) else {
            panic!()
        };
        assert!(!error.to_string().contains("s3cr3t"), "{error}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(status in 100_u16..600, body: Vec<u8>) {
            let _ = read::<Value>("x.y", StatusCode::from_u16(status).unwrap(), &body);
        }
    }
}
