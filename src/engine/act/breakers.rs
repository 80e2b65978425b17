//! Back-off: launches of a kind that failed are not tried again for a while, the longer the oftener they failed.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::model::ids::{MachineType, PoolName};
use crate::model::snapshot::{Breaker, ErrorClass};

/// What is tried: a machine type of a pool.
pub(in crate::engine) type Kind = (PoolName, MachineType);

/// The kinds that fail for now.
#[derive(Debug, Clone, Default)]
pub(in crate::engine) struct Breakers(BTreeMap<Kind, Breaker>);

impl Breakers {
    /// A launch of this kind failed.
    pub(in crate::engine) fn strike(&mut self, kind: Kind, class: ErrorClass, message: &str, now: Timestamp) {
        let strikes = self.0.get(&kind).map_or(0, |breaker| breaker.strikes) + 1;
        let until = now.saturating_add(pause(class, strikes)).unwrap_or(Timestamp::MAX);
        let (pool, machine_type) = kind.clone();
        self.0.insert(kind, Breaker { pool, machine_type, until, class, strikes, message: message.to_owned() });
    }

    /// A launch of this kind went well, or a person wants it tried again. Says whether it was failing.
    pub(in crate::engine) fn reset(&mut self, kind: &Kind) -> bool {
        self.0.remove(kind).is_some()
    }

    /// The clock was set to `now`: nothing waits longer than it would from here on.
    pub(in crate::engine) fn rebase(&mut self, now: Timestamp) {
        for breaker in self.0.values_mut() {
            let longest = now.saturating_add(pause(breaker.class, breaker.strikes)).unwrap_or(Timestamp::MAX);
            breaker.until = breaker.until.min(longest);
        }
    }

    /// Those that still wait at `now`.
    #[must_use]
    pub(in crate::engine) fn waiting(&self, now: Timestamp) -> Vec<Breaker> {
        self.0.values().filter(|breaker| breaker.until > now).cloned().collect()
    }
}

/// First pause and longest one, by the kind of no: a shortage passes in minutes, a quota or a mistake waits for a person.
fn pause(class: ErrorClass, strikes: u32) -> SignedDuration {
    let (first, longest) = match class {
        ErrorClass::Capacity => (60, 20 * 60),
        ErrorClass::Quota => (5 * 60, 60 * 60),
        ErrorClass::Throttle => (15, 5 * 60),
        ErrorClass::Credentials => (60, 10 * 60),
        ErrorClass::BadRequest => (2 * 60, 60 * 60),
        ErrorClass::Unknown => (30, 15 * 60),
    };
    let doubled = 2_i64.saturating_pow(strikes.saturating_sub(1)).saturating_mul(first);
    SignedDuration::from_secs(doubled.min(longest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_the_longest() {
        for (class, strikes, seconds) in [
            (ErrorClass::Capacity, 1, 60),
            (ErrorClass::Capacity, 3, 240),
            (ErrorClass::Capacity, 90, 1_200),
            (ErrorClass::Throttle, 2, 30),
            (ErrorClass::Quota, 1, 300),
        ] {
            assert_eq!(pause(class, strikes).as_secs(), seconds, "{class:?} {strikes}");
        }
    }

    #[test]
    fn a_kind_waits_until_it_is_reset_or_its_time_is_up() {
        let now = Timestamp::UNIX_EPOCH;
        let kind: Kind = ("gpu".into(), "g5.xlarge".into());
        let mut breakers = Breakers::default();
        breakers.strike(kind.clone(), ErrorClass::Capacity, "no", now);
        assert_eq!(breakers.waiting(now).len(), 1);
        assert!(breakers.waiting(now + SignedDuration::from_secs(60)).is_empty());
        breakers.strike(kind.clone(), ErrorClass::Capacity, "no", now);
        assert_eq!(breakers.waiting(now)[0].strikes, 2);
        let yesterday = now - SignedDuration::from_hours(24);
        breakers.rebase(yesterday);
        assert!(breakers.waiting(yesterday + SignedDuration::from_secs(120)).is_empty());
        assert!(breakers.reset(&kind) && !breakers.reset(&kind));
        assert!(breakers.waiting(now).is_empty());
    }
}
