//! When the tokens end that an account's calls carry. Google's client renews them and does not tell: Google is asked, once
//! for each token; one that a service account signs itself says it.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use tokio::time::timeout;

use crate::world::gce::rest::{Rest, Service};
use crate::world::gce::site::Site;
use crate::world::secret::Secret;

const TOKENS: Service = Service { name: "www.googleapis.com", variable: "CLOUDSDK_API_ENDPOINT_OVERRIDES_OAUTH2" };

/// No look at the world waits longer for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// The newest token of an account, and when it ends, where that is known.
#[derive(Debug)]
pub(super) struct Expiry {
    token: Secret,
    end: Option<Timestamp>,
}

/// The end of the token that calls carry now; `None`: nobody knows it.
pub(super) async fn end(site: &Site, known: &mut Option<Expiry>, now: Timestamp) -> Option<Timestamp> {
    let rest = site.rest(&TOKENS).ok()?;
    let token = timeout(PATIENCE, rest.token()).await.ok()?.ok()?;
    if let Some(expiry) = known.as_ref().filter(|expiry| expiry.token == token) {
        return expiry.end;
    }
    let end = match signed_until(token.expose()) {
        Some(end) => Some(end),
        None => timeout(PATIENCE, told(&rest, &token, now)).await.ok().flatten(),
    };
    *known = Some(Expiry { token, end });
    end
}

async fn told(rest: &Rest, token: &Secret, now: Timestamp) -> Option<Timestamp> {
    #[derive(Deserialize)]
    struct Told {
        expires_in: i64,
    }
    // An error may repeat the address, which has the token: it is dropped.
    let query = [("access_token", token.expose())];
    let answer = rest.post_query("oauth2.tokeninfo", "/oauth2/v2/tokeninfo", &query).await.ok()?;
    let told: Told = serde_json::from_str(&answer).ok()?;
    now.checked_add(SignedDuration::from_secs(told.expires_in)).ok()
}

/// The end of a signed token (RFC 7519), which says it itself.
fn signed_until(token: &str) -> Option<Timestamp> {
    #[derive(Deserialize)]
    struct Claims {
        exp: i64,
    }
    let mut parts = token.split('.');
    let (_, claims, _, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else { return None };
    let claims = URL_SAFE_NO_PAD.decode(claims).ok()?;
    let claims: Claims = serde_json::from_slice(&claims).ok()?;
    Timestamp::from_second(claims.exp).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_signed_token_says_when_it_ends() {
        let token = |claims: &str| format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims));
        let end = Timestamp::from_second(1_700_003_600).unwrap();
        assert_eq!(signed_until(&token(r#"{"iat": 1700000000, "exp": 1700003600}"#)), Some(end));
        for other in [token("{}"), token("no"), "ya29.a0Af_opaque".to_owned(), "a.b.c.d".to_owned(), String::new()] {
            assert_eq!(signed_until(&other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_token(text: String, claims: String) {
            let _ = signed_until(&text);
            let _ = signed_until(&format!("e30.{}.x", URL_SAFE_NO_PAD.encode(claims)));
        }
    }
}
