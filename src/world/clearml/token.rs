//! What a ClearML token says about itself. Its signature is the server's business.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use crate::world::secret::Secret;

/// A token is renewed when it has less than this to live, as the SDK does.
const RENEW_BELOW: SignedDuration = SignedDuration::from_secs(360);

/// A token in use.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) text: Secret,
    pub(super) identity: Identity,
}

/// The part of a token's payload that we read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Identity {
    /// End of its life, in seconds since 1970.
    pub(super) exp: Option<i64>,
    /// `basic`: the open-source server.
    pub(super) feature_set: Option<String>,
}

impl Token {
    pub(super) fn new(text: Secret) -> Self {
        let identity = read(text.expose()).unwrap_or_default();
        Self { text, identity }
    }

    /// Whether it must be renewed before its next use. One that does not say when it ends is used until
    /// the server refuses it.
    pub(super) fn ends_soon(&self, now: Timestamp) -> bool {
        self.identity.exp.is_some_and(|end| end.saturating_sub(now.as_second()) < RENEW_BELOW.as_secs())
    }
}

fn read(token: &str) -> Option<Identity> {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&payload).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token(payload: &str) -> Token {
        Token::new(Secret::new(format!("head.{}.sign", URL_SAFE_NO_PAD.encode(payload))))
    }

    #[test]
    fn a_token_ends_soon_six_minutes_before_its_end() {
        let token = token(r#"{"exp": 1000000, "feature_set": "basic", "identity": {"user": "x"}}"#);
        assert_eq!(token.identity.feature_set.as_deref(), Some("basic"));
        for (now, soon) in [(0, false), (999_640, false), (999_641, true), (1_000_001, true)] {
            assert_eq!(token.ends_soon(Timestamp::from_second(now).unwrap()), soon, "{now}");
        }
    }

    #[test]
    fn a_token_of_another_shape_never_ends_by_itself() {
        for text in ["", "a", "a.b", "a.b.c", "..", "opaque"] {
            assert!(!Token::new(Secret::new(text)).ends_soon(Timestamp::MAX), "{text}");
        }
        assert!(!token("{}").ends_soon(Timestamp::MAX));
    }

    proptest! {
        #[test]
        fn any_text_is_a_token(text: String, payload: Vec<u8>, exp: i64, now in -1_000_000_000_i64..10_000_000_000) {
            let now = Timestamp::from_second(now).unwrap();
            let _ = Token::new(Secret::new(text)).ends_soon(now);
            let _ = Token::new(Secret::new(format!("a.{}.c", URL_SAFE_NO_PAD.encode(payload)))).ends_soon(now);
            let _ = token(&format!("{{\"exp\":{exp}}}")).ends_soon(now);
        }
    }
}
