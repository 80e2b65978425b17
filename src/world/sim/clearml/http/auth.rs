//! Who calls: keys, and tokens of the real server's shape.

use std::collections::BTreeSet;

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::call::{Call, Done, invalid};
use crate::world::sim::clearml::{COMPANY, ClearmlServer, Refused, UserId};

/// How long a token lives unless its login asks for less or more.
const TOKEN_LIFE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// The longest life that may be asked for, in seconds.
const LONGEST_LIFE: i64 = 365 * 24 * 3_600;

/// What signs the tokens. Nobody is kept out by it: it tells this server's tokens from other texts.
const SIGNATURE_KEY: &str = "simulated";

pub(super) fn answer(call: &mut Call<'_>, action: &str) -> Done {
    Some(match action {
        "login" => login(call),
        "logout" => Ok(logout(call)),
        _ => return None,
    })
}

/// A bearer may log in too: any live token can mint another (GUARD.md section 7).
fn login(call: &Call<'_>) -> Result<Value, Refused> {
    let life = match call.number("expiration_sec") {
        None => TOKEN_LIFE,
        Some(seconds) if (1..=LONGEST_LIFE).contains(&seconds) => SignedDuration::from_secs(seconds),
        Some(seconds) => {
            let bounds = format!("1 to {LONGEST_LIFE}");
            return Err(invalid(&format!("error for field 'expiration_sec'. {seconds} is not within {bounds}")));
        }
    };
    Ok(json!({ "token": token(call.server, &call.user, call.now, life) }))
}

fn logout(call: &mut Call<'_>) -> Value {
    if let Some(token) = bearer(call.headers) {
        call.memory.revoked.insert(token.to_owned());
    }
    json!({})
}

/// A token as the server makes them: its clients read its payload.
pub(super) fn token(server: &ClearmlServer, user: &UserId, now: Timestamp, life: SignedDuration) -> String {
    let name = server.user(user).map_or(user.as_str(), |user| user.name.as_str());
    let identity = json!({ "role": "user", "company_name": "clearml", "user": user.as_str(), "company": COMPANY, "user_name": name });
    let issued = now.as_second();
    let payload = json!({ "session_id": format!("{:032x}", now.as_nanosecond()), "iat": issued, "exp": issued + life.as_secs(),
        "env": "<unknown>", "identity": identity, "auth_type": "Bearer", "api_version": "2.34",
        "server_version": "2.3.0", "server_build": "", "feature_set": "basic" });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&json!({ "alg": "HS256", "typ": "JWT" })), part(&payload));
    format!("{signed}.{}", signature(&signed))
}

fn signature(signed: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(format!("{SIGNATURE_KEY}.{signed}")))
}

/// The user that a call's `Authorization` proves.
pub(super) fn authenticate(
    server: &ClearmlServer,
    revoked: &BTreeSet<String>,
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<UserId, Refused> {
    if let Some(token) = bearer(headers) {
        return user_of_token(server, revoked, token, now);
    }
    let Some(pair) = scheme(headers, "Basic ") else {
        return Err(Refused::new(401, 20, "Unauthorized (missing credentials)".to_owned()));
    };
    let pair = STANDARD.decode(pair).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let user =
        pair.as_deref().and_then(|pair| pair.split_once(':')).and_then(|(key, secret)| server.user_of_key(key, secret));
    user.map(|user| user.id.clone()).ok_or_else(|| {
        let said = "Unauthorized (invalid credentials) (failed to locate provided credentials)";
        Refused::new(401, 22, said.to_owned())
    })
}

#[derive(Deserialize)]
struct Payload {
    exp: i64,
    identity: Identity,
}

#[derive(Deserialize)]
struct Identity {
    user: String,
}

fn user_of_token(
    server: &ClearmlServer,
    revoked: &BTreeSet<String>,
    token: &str,
    now: Timestamp,
) -> Result<UserId, Refused> {
    let bad = |reason: &str| Refused::new(401, 30, format!("Invalid token (invalid jwt token): reason={reason}"));
    let payload = token
        .rsplit_once('.')
        .filter(|(signed, sign)| signature(signed) == *sign)
        .and_then(|(signed, _)| URL_SAFE_NO_PAD.decode(signed.split('.').nth(1)?).ok())
        .and_then(|payload| serde_json::from_slice::<Payload>(&payload).ok())
        .ok_or_else(|| bad("Signature verification failed"))?;
    if payload.exp <= now.as_second() {
        return Err(bad("Signature has expired"));
    }
    if revoked.contains(token) {
        return Err(Refused::new(401, 30, "Invalid token (revoked token)".to_owned()));
    }
    let user = server.user(&UserId::new(payload.identity.user));
    user.map(|user| user.id.clone()).ok_or_else(|| bad("Unknown user"))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    scheme(headers, "Bearer ")
}

fn scheme<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    headers.get("authorization")?.to_str().ok()?.strip_prefix(scheme)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn headers(text: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", text.parse().unwrap());
        headers
    }

    fn who(server: &ClearmlServer, authorization: &str, now: Timestamp) -> Result<UserId, u16> {
        authenticate(server, &BTreeSet::new(), &headers(authorization), now).map_err(|refused| refused.subcode)
    }

    #[test]
    fn a_token_ends_at_its_end_and_no_other_text_is_one() {
        let server = ClearmlServer::new(at(0));
        let token = token(&server, &ClearmlServer::agents(), at(0), SignedDuration::from_secs(60));
        let bearer = format!("Bearer {token}");
        assert_eq!(who(&server, &bearer, at(59)), Ok(ClearmlServer::agents()));
        assert_eq!(who(&server, &bearer, at(60)), Err(30));
        let (payload, _) = token.rsplit_once('.').unwrap();
        for text in ["Bearer x", "Bearer ", "Bearer a.b.c", &format!("Bearer {payload}.AAAA"), &format!("{bearer}x")] {
            assert_eq!(who(&server, text, at(0)), Err(30), "{text}");
        }
        let revoked = BTreeSet::from([token]);
        assert_eq!(authenticate(&server, &revoked, &headers(&bearer), at(0)).unwrap_err().subcode, 30);
    }

    #[test]
    fn a_key_works_everywhere_and_a_wrong_one_nowhere() {
        let server = ClearmlServer::new(at(0));
        let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        assert_eq!(who(&server, &basic("CONSOLE-KEY:console-secret"), at(0)), Ok(ClearmlServer::console()));
        for pair in ["CONSOLE-KEY:agents-secret", "CONSOLE-KEY", "", ":"] {
            assert_eq!(who(&server, &basic(pair), at(0)), Err(22), "{pair}");
        }
        assert_eq!(who(&server, "Basic ***", at(0)), Err(22));
        assert_eq!(authenticate(&server, &BTreeSet::new(), &HeaderMap::new(), at(0)).unwrap_err().subcode, 20);
    }

    proptest! {
        #[test]
        fn any_text_is_refused(text in "[ -~]{0,80}") {
            let server = ClearmlServer::new(at(0));
            prop_assert!(who(&server, &text, at(0)).is_err());
            prop_assert_eq!(who(&server, &format!("Bearer {text}"), at(0)), Err(30));
        }
    }
}
