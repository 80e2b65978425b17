//! Deeds that failed are not tried again at once, and the later the oftener they failed.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::engine::act::deed::Deed;

const FIRST: SignedDuration = SignedDuration::from_secs(15);
const LONGEST: SignedDuration = SignedDuration::from_mins(10);

/// What failed is forgotten when nobody tried it again for so long: it is not wanted any more.
const KEPT: SignedDuration = SignedDuration::from_hours(1);

#[derive(Debug, Clone, Copy)]
struct Rest {
    strikes: u32,
    until: Timestamp,
}

/// The deeds that are left alone for a while.
#[derive(Debug, Default)]
pub(in crate::engine) struct Retries(BTreeMap<String, Rest>);

impl Retries {
    /// It failed. Says whether it is the first time in a row.
    pub(in crate::engine) fn failed(&mut self, deed: &Deed, now: Timestamp) -> bool {
        let key = deed.to_string();
        let strikes = self.0.get(&key).map_or(0, |rest| rest.strikes).saturating_add(1);
        let pause = FIRST.saturating_mul(2_i32.saturating_pow(strikes - 1)).min(LONGEST);
        self.0.insert(key, Rest { strikes, until: later(now, pause) });
        strikes == 1
    }

    /// It went well.
    pub(in crate::engine) fn done(&mut self, deed: &Deed) {
        self.0.remove(&deed.to_string());
    }

    /// It went well, and what it changed may be seen only after `span`.
    pub(in crate::engine) fn rest(&mut self, deed: &Deed, span: SignedDuration, now: Timestamp) {
        self.0.insert(deed.to_string(), Rest { strikes: 0, until: later(now, span) });
    }

    /// Whether it is too early to try it again.
    #[must_use]
    pub(in crate::engine) fn blocks(&self, deed: &Deed, now: Timestamp) -> bool {
        !self.0.is_empty() && self.0.get(&deed.to_string()).is_some_and(|rest| rest.until > now)
    }

    /// Everything may be tried at once: the clock jumped.
    pub(in crate::engine) fn clear(&mut self) {
        self.0.clear();
    }

    pub(in crate::engine) fn forget_old(&mut self, now: Timestamp) {
        self.0.retain(|_, rest| now.duration_since(rest.until) < KEPT);
    }
}

fn later(now: Timestamp, span: SignedDuration) -> Timestamp {
    now.saturating_add(span).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_the_longest_and_ends_with_success() {
        let deed = Deed::CreateMailbox { instance: "i-1".into() };
        let start = Timestamp::UNIX_EPOCH;
        let mut retries = Retries::default();
        for (strike, seconds) in [(1, 15), (2, 30), (3, 60), (4, 120), (5, 240), (6, 480), (7, 600), (8, 600)] {
            assert_eq!(retries.failed(&deed, start), strike == 1);
            assert!(retries.blocks(&deed, start + SignedDuration::from_secs(seconds - 1)), "strike {strike}");
            assert!(!retries.blocks(&deed, start + SignedDuration::from_secs(seconds)), "strike {strike}");
        }
        retries.done(&deed);
        assert!(!retries.blocks(&deed, start));
        assert!(retries.failed(&deed, start));
        retries.forget_old(start + SignedDuration::from_hours(2));
        assert!(retries.failed(&deed, start));
    }
}
