//! How many machines are worth starting ahead of their tasks, while more and more of these come. The rises before this one
//! that were most like it tell how far it may go on: a machine more pays where the waiting that it spares, in those that
//! went on so far, is worth more than the boots that are for nothing in the others.

use jiff::SignedDuration;

use super::Terms;
use crate::model::course::{Foreseen, Rise};
use crate::model::money::Money;

/// So many of the rises before are compared with.
const ALIKE: usize = 20;

/// A task that comes is seen so long afterwards.
const SEEN_AFTER: SignedDuration = SignedDuration::from_secs(10);

/// The most machines that are foreseen.
const MOST: u32 = 1_000;

/// How many more machines to start for a rise like this one, if any.
pub(in crate::plan) fn foresee(rises: &[Rise], rise: Rise, terms: &Terms) -> Option<Foreseen> {
    if rise.over == 0 || rises.len() < ALIKE {
        return None;
    }
    let mut alike: Vec<(f64, u32)> = rises.iter().map(|other| (distance(*other, rise), other.more)).collect();
    let (nearest, ..) = alike.select_nth_unstable_by(ALIKE - 1, |one, other| one.0.total_cmp(&other.0));
    let mut mores: Vec<u32> = nearest.iter().map(|(_, more)| *more).collect();
    mores.extend(alike.get(ALIKE - 1).map(|(_, more)| *more));
    let boot = terms.billed_boot();
    let mut more = 0;
    while more < MOST && gain(&mores, more + 1, boot, terms) > Money::ZERO {
        more += 1;
    }
    let went_on = mores.iter().filter(|other| **other >= more).count();
    (more > 0).then_some(Foreseen::Rise { rise, alike: ALIKE, went_on, more })
}

/// What the `place`-th machine more brings: the tasks of a rise come evenly over its time, and each spares the time until
/// it comes. One rise more than was seen is assumed to end here.
fn gain(mores: &[u32], place: u32, boot: Money, terms: &Terms) -> Money {
    let spared = |more: u32| {
        let (place, more) = (i32::try_from(place), i32::try_from(more));
        let comes = place.ok().zip(more.ok()).map(|(place, more)| Rise::WITHIN * place / (more + 1));
        terms.waiting.cost(comes.unwrap_or_default().max(SEEN_AFTER).min(terms.boot))
    };
    let seen = mores.iter().map(|more| if *more >= place { spared(*more) } else { Money::ZERO - boot });
    seen.sum::<Money>() - boot
}

/// Rises are alike whose sizes differ little as a ratio.
fn distance(one: Rise, other: Rise) -> f64 {
    let ratio = |one: u32, other: u32| f64::from(one.max(other).saturating_add(1)) / f64::from(one.min(other) + 1);
    ratio(one.over, other.over) * ratio(one.lately, other.lately)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::money::Rate;
    use proptest::prelude::*;

    fn terms(rate: i64) -> Terms {
        Terms {
            rate: Rate::from_micros_per_hour(rate),
            boot: SignedDuration::from_secs(286),
            waiting: Rate::from_micros_per_hour(2_000_000),
        }
    }

    fn rise(over: u32, more: u32) -> Rise {
        Rise { over, lately: over, more }
    }

    #[test]
    fn what_always_went_on_is_foreseen_and_what_did_not_is_not() {
        let sweeps: Vec<Rise> = [rise(10, 70)].repeat(30);
        let foreseen = foresee(&sweeps, rise(9, 0), &terms(1_006_000)).unwrap();
        assert_eq!(foreseen.more(), 70);
        let told = "9 more asked for in 5m00, 9 of them in 1m00: 20 of the 20 rises most like it went on by 70 or more";
        assert_eq!(foreseen.to_string(), told);
        let singles: Vec<Rise> = [rise(1, 0)].repeat(200);
        let both: Vec<Rise> = sweeps.iter().chain(&singles).copied().collect();
        assert_eq!(foresee(&both, rise(1, 0), &terms(1_006_000)), None);
        assert_eq!(foresee(&both, rise(9, 0), &terms(1_006_000)).unwrap().more(), 70);
        assert_eq!(foresee(&both, rise(0, 0), &terms(1_006_000)), None);
        assert_eq!(foresee(&sweeps[..19], rise(9, 0), &terms(1_006_000)), None, "too few");
        let just_enough = foresee(&sweeps[..20], rise(9, 0), &terms(1_006_000)).unwrap();
        assert!(matches!(just_enough, Foreseen::Rise { went_on: 20, .. }));
        // A boot of a dear machine is worth more than anyone's waiting.
        assert_eq!(foresee(&sweeps, rise(9, 0), &terms(99_000_000)), None);
    }

    #[test]
    fn a_machine_more_pays_where_the_waiting_that_it_spares_is_worth_more_than_the_boots() {
        let more =
            |rate: i64| foresee(&[rise(9, 9)].repeat(20), rise(9, 0), &terms(rate)).map(|foreseen| foreseen.more());
        // The first of nine comes after 30 s, and spares that in 20 of 21 rises: $0.33 at $2/h. A boot is 286 s.
        assert_eq!((more(3_000_000), more(4_100_000), more(4_300_000)), (Some(9), Some(9), None));
        let endless = foresee(&[rise(9, 5_000)].repeat(20), rise(9, 0), &terms(1_006_000)).unwrap();
        assert_eq!(endless.more(), MOST);
        let worthless = Terms { waiting: Rate::ZERO, ..terms(0) };
        assert_eq!(foresee(&[rise(9, 9)].repeat(20), rise(9, 0), &worthless), None, "nothing is gained");
    }

    #[test]
    fn rises_are_as_far_apart_as_the_ratios_of_their_sizes() {
        let apart = |one, other| distance(rise(one, 0), rise(other, 0));
        assert!((apart(5, 1) - 9.0).abs() < 1e-9 && (apart(0, 1) - 4.0).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn no_more_is_foreseen_than_ever_came(
            rises in proptest::collection::vec((0_u32..99, 0_u32..99, 0_u32..99), 0..60),
            over in 0_u32..99,
        ) {
            let rises: Vec<Rise> =
                rises.into_iter().map(|(over, lately, more)| Rise { over, lately, more }).collect();
            if let Some(foreseen) = foresee(&rises, rise(over, 0), &terms(1_006_000)) {
                prop_assert!(foreseen.more() <= rises.iter().map(|rise| rise.more).max().unwrap());
                let went_on = matches!(foreseen, Foreseen::Rise { went_on: 1.., .. });
                prop_assert!(went_on);
            }
        }
    }
}
