//! When a token ends is asked once for each.

use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};
use tidegate::world::cloud::Cloud;

use crate::gce::fake::{Fake, No};
use crate::gce::{REGION, TOKEN, gce_with};

const TELL: &str = "oauth2.tokeninfo";

#[tokio::test]
async fn the_end_of_each_token_is_asked_for_once() {
    let fake = Fake::start().await;
    let token = Arc::new(Mutex::new(TOKEN.to_owned()));
    let gce = gce_with(&fake, &token);
    let now: Timestamp = "2026-11-29T12:00:00Z".parse().unwrap();
    let later = |seconds| now + SignedDuration::from_secs(seconds);
    assert_eq!(gce.credentials_end(REGION, now).await, Some(later(3_599)));
    assert_eq!(gce.credentials_end(REGION, later(600)).await, Some(later(3_599)), "the same token ends when it did");
    let calls = || fake.state().asked.iter().filter(|call| call.method == TELL).count();
    assert_eq!(calls(), 1);
    // It was renewed.
    "another".clone_into(&mut token.lock().unwrap());
    fake.take_only("another");
    assert_eq!(gce.credentials_end(REGION, later(3_300)).await, Some(later(3_300 + 3_599)));
    // Who does not say is not asked again and again.
    "a third".clone_into(&mut token.lock().unwrap());
    fake.take_only("a third");
    fake.state().noes = vec![(TELL, "", No::Http(503, "UNAVAILABLE"))];
    for _ in 0..3 {
        assert_eq!(gce.credentials_end(REGION, now).await, None);
    }
    assert_eq!(calls(), 3);
}
