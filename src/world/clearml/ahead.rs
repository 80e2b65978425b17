//! How far the server's clock is ahead of ours, by the dates of its answers.

use std::sync::{Mutex, PoisonError};

use jiff::fmt::rfc2822::DateTimeParser;
use jiff::{SignedDuration, Timestamp};
use reqwest::header::{AGE, DATE, HeaderMap};

/// A date is a whole second, which was cut off.
const CUT_OFF: SignedDuration = SignedDuration::from_secs(1);

/// An answer that took longer tells too little of when it was dated.
const SLOW: SignedDuration = SignedDuration::from_secs(5);

/// What the newest dated answer told.
#[derive(Debug, Default)]
pub(super) struct Ahead(Mutex<Option<SignedDuration>>);

impl Ahead {
    pub(super) fn get(&self) -> Option<SignedDuration> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in an answer to what was sent and heard at these times by our clock.
    pub(super) fn note(&self, headers: &HeaderMap, sent: Timestamp, heard: Timestamp) {
        // What somebody kept on the way is dated as it was then.
        let date = headers.get(DATE).filter(|_| !headers.contains_key(AGE)).and_then(|date| date.to_str().ok());
        if let Some(ahead) = date.and_then(|date| between(date, sent, heard)) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(ahead);
        }
    }
}

/// The smallest difference of the clocks that explains the date: none where the server may have dated its answer while we
/// waited for it.
fn between(date: &str, sent: Timestamp, heard: Timestamp) -> Option<SignedDuration> {
    let took = heard.duration_since(sent);
    if took.is_negative() || took > SLOW {
        return None;
    }
    let dated = DateTimeParser::new().parse_timestamp(date).ok()?;
    let (least, most) = (dated.duration_since(heard), dated.duration_since(sent).saturating_add(CUT_OFF));
    Some(SignedDuration::ZERO.clamp(least, most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_no_delay_explains_is_a_difference_of_clocks() {
        let sent: Timestamp = "2026-11-30T15:00:10.25Z".parse().unwrap();
        let heard = sent + SignedDuration::from_millis(500);
        let seen = |date: &str| between(date, sent, heard).map(|ahead| ahead.as_millis());
        for (date, ahead) in [
            ("Mon, 30 Nov 2026 15:00:10 GMT", Some(0)),
            ("Mon, 30 Nov 2026 15:00:09 GMT", Some(-250)),
            ("Mon, 30 Nov 2026 15:00:11 GMT", Some(250)),
            ("Mon, 30 Nov 2026 14:58:10 GMT", Some(-119_250)),
            ("Mon, 30 Nov 2026 16:00:10 GMT", Some(3_599_250)),
            ("yesterday", None),
        ] {
            assert_eq!(seen(date), ahead, "{date}");
        }
        let date = "Mon, 30 Nov 2026 14:58:10 GMT";
        assert_eq!(between(date, sent, sent + SLOW + CUT_OFF), None, "a slow answer tells nothing");
        assert_eq!(between(date, sent, sent - CUT_OFF), None, "nor does one that a clock was set meanwhile");
    }

    #[test]
    fn a_date_that_was_kept_on_the_way_is_none() {
        let (ahead, at) = (Ahead::default(), "2026-11-30T15:00:10Z".parse().unwrap());
        let mut headers = HeaderMap::new();
        ahead.note(&headers, at, at);
        headers.insert(DATE, "Mon, 30 Nov 2026 14:00:10 GMT".parse().unwrap());
        headers.insert(AGE, "3600".parse().unwrap());
        ahead.note(&headers, at, at);
        assert_eq!(ahead.get(), None);
        headers.remove(AGE);
        ahead.note(&headers, at, at);
        assert_eq!(ahead.get(), Some(SignedDuration::from_secs(-3_599)));
    }
}
