//! Tasks that wait may find a machine free before one that is started for them is worth its money: how many of the busy
//! ones are likely to be free by then, by how long the queue's tasks have taken.

use jiff::SignedDuration;

use super::Terms;
use crate::model::record::Samples;

/// What is known of a machine that will be free.
#[derive(Debug, Clone, Copy)]
pub(in crate::plan) enum Until {
    /// Its task has run for so long.
    Busy(SignedDuration),
    /// It is ready after so long, and a task is there for it.
    Ready(SignedDuration),
}

/// The time that a task may wait for a machine to be free: as long as a boot takes, and as much longer as the boot's money
/// is worth; half of that, for the machine would serve others too.
pub(in crate::plan) fn horizon(terms: &Terms) -> SignedDuration {
    let (rate, price) = (terms.rate.micros_per_hour(), terms.waiting.micros_per_hour());
    let worth = terms.boot.as_secs().saturating_mul(rate).checked_div(price.saturating_mul(2)).unwrap_or_default();
    terms.boot.saturating_add(SignedDuration::from_secs(worth))
}

/// How many machines are to be expected free within `horizon`. `None`: too little is known.
pub(in crate::plan) fn free(
    machines: impl Iterator<Item = Until>,
    took: &Samples,
    horizon: SignedDuration,
) -> Option<u32> {
    if !took.is_enough() {
        return None;
    }
    let expected: f64 = machines.map(|until| ends_within(until, took, horizon)).sum();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at most as many as there are machines"
    )]
    Some(expected.floor() as u32)
}

fn ends_within(until: Until, took: &Samples, horizon: SignedDuration) -> f64 {
    match until {
        Until::Busy(spent) => took.share_over(spent, spent.saturating_add(horizon)),
        Until::Ready(after) => took.share_over(SignedDuration::ZERO, horizon.saturating_sub(after)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::money::Rate;
    use proptest::prelude::*;

    fn secs(seconds: i64) -> SignedDuration {
        SignedDuration::from_secs(seconds)
    }

    fn samples(all: impl Iterator<Item = i64>) -> Samples {
        Samples::from(all.map(secs).collect::<Vec<_>>())
    }

    #[test]
    fn the_horizon_is_a_boot_and_half_of_its_worth() {
        let terms = |rate, waiting| Terms {
            rate: Rate::from_micros_per_hour(rate),
            boot: secs(300),
            waiting: Rate::from_micros_per_hour(waiting),
        };
        assert_eq!(horizon(&terms(2_000_000, 2_000_000)), secs(450));
        assert_eq!(horizon(&terms(16_000_000, 2_000_000)), secs(1_500));
        assert_eq!(horizon(&terms(2_000_000, 0)), secs(300));
    }

    #[test]
    fn short_tasks_make_room_and_long_ones_do_not() {
        let short = samples((1..=100).map(|second| second * 2));
        let busy = |count| std::iter::repeat_n(Until::Busy(secs(10)), count);
        assert_eq!(free(busy(10), &short, secs(400)), Some(10));
        assert_eq!(free(busy(1), &short, secs(150)), Some(0), "likely is not enough for one");
        assert_eq!(free(busy(10), &samples((1..=100).map(|second| second * 900)), secs(400)), Some(0));
        assert_eq!(free(busy(10), &samples(1..=5), secs(400)), None, "too little is known");
        // What runs longer than any before may run on.
        assert_eq!(free(std::iter::repeat_n(Until::Busy(secs(999)), 10), &short, secs(400)), Some(0));
        let ready = |after| std::iter::repeat_n(Until::Ready(secs(after)), 10);
        assert_eq!((free(ready(100), &short, secs(400)), free(ready(400), &short, secs(400))), (Some(10), Some(0)));
        // Of 150 s that are left three of four need no more.
        assert_eq!((free(ready(100), &short, secs(250)), free(ready(999), &short, secs(400))), (Some(7), Some(0)));
    }

    proptest! {
        #[test]
        fn no_more_are_free_than_there_are(
            took in proptest::collection::vec(0_i64..9_000, 30..200),
            spent in proptest::collection::vec(0_i64..9_000, 0..40),
            horizon in 0_i64..5_000,
        ) {
            let machines = spent.iter().map(|spent| Until::Busy(secs(*spent)));
            let free = free(machines, &samples(took.into_iter()), secs(horizon)).unwrap();
            prop_assert!(usize::try_from(free).unwrap() <= spent.len());
        }
    }
}
