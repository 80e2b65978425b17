//! How long an idle machine is kept: the time at which what the idle time costs, and what a boot and the waiting for it
//! cost after the gaps that are longer, is least together, over the newest gaps.

use jiff::SignedDuration;

use super::Terms;
use crate::model::course::Weighed;
use crate::model::money::Money;
use crate::model::record::Samples;

/// No machine is kept idle for longer because of what was learned.
pub(in crate::plan) const LONGEST: SignedDuration = SignedDuration::from_mins(45);

/// Keep-alives are whole multiples of so many seconds.
pub(super) const STEP: i64 = 60;

/// As if so many gaps had been longer than any machine is kept, before the first was seen: what is idle is ended soon
/// until experience speaks for keeping it.
pub(super) const ASSUMED: i64 = 10;

/// A keep-alive, and what it costs.
#[derive(Debug)]
pub(in crate::plan) struct Kept {
    pub(in crate::plan) time: SignedDuration,
    pub(in crate::plan) weighed: Weighed,
    /// Over all gaps, those counted that are assumed.
    pub(in crate::plan) total: Money,
}

/// The keep-alive that costs least over `gaps`, and how it compares.
pub(in crate::plan) fn keep_alive(gaps: Option<&Samples>, terms: &Terms) -> Kept {
    let sorted = gaps.map(Samples::sorted).unwrap_or_default();
    let all = i64::try_from(sorted.len()).unwrap_or(i64::MAX);
    let miss = terms.miss().micros();
    let idle = |seconds: i64| terms.rate.cost(SignedDuration::from_secs(seconds)).micros();
    let mut best: Option<(i64, i64, i64)> = None;
    let (mut shorter, mut of_shorter) = (0, 0_i64);
    let mut gaps = sorted.iter().map(SignedDuration::as_secs).peekable();
    for seconds in (0..=LONGEST.as_secs()).step_by(usize::try_from(STEP).unwrap_or(1)) {
        while let Some(gap) = gaps.next_if(|gap| *gap <= seconds) {
            of_shorter += idle(gap);
            shorter += 1;
        }
        let cost = of_shorter + (all - shorter + ASSUMED) * (idle(seconds) + miss);
        if best.is_none_or(|(least, ..)| cost < least) {
            best = Some((cost, seconds, all - shorter));
        }
    }
    let (total, seconds, longer) = best.unwrap_or_default();
    let keep_alive = SignedDuration::from_secs(seconds);
    let weighed = Weighed {
        gaps: sorted.len(),
        longer: usize::try_from(longer).unwrap_or_default(),
        cost: each(sorted, seconds, longer, idle, miss),
        at_once: Money::from_micros(miss),
        again: None,
    };
    Kept { time: keep_alive, weighed, total: Money::from_micros(total) }
}

/// What a keep-alive costs for each gap, of those that were seen.
fn each(sorted: &[SignedDuration], seconds: i64, longer: i64, idle: impl Fn(i64) -> i64, miss: i64) -> Money {
    let all = i64::try_from(sorted.len()).unwrap_or(i64::MAX);
    let shorter = sorted.iter().map(SignedDuration::as_secs).take_while(|gap| *gap <= seconds);
    let sum = shorter.map(&idle).sum::<i64>() + longer * (idle(seconds) + miss);
    Money::from_micros(sum.checked_div(all).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::money::Rate;
    use proptest::prelude::*;

    fn terms(rate: i64, boot: i64, waiting: i64) -> Terms {
        Terms {
            rate: Rate::from_micros_per_hour(rate),
            boot: SignedDuration::from_secs(boot),
            waiting: Rate::from_micros_per_hour(waiting),
        }
    }

    fn samples(gaps: &[i64]) -> Samples {
        Samples::from(gaps.iter().map(|gap| SignedDuration::from_secs(*gap)).collect::<Vec<_>>())
    }

    #[test]
    fn a_machine_is_kept_where_gaps_are_short_and_not_where_they_are_long() {
        let free = terms(0, 286, 2_000_000);
        assert_eq!(keep_alive(None, &free).time, SignedDuration::ZERO, "the shortest of those that cost the same");
        let terms = terms(1_006_000, 286, 2_000_000);
        let kept = |gaps: &[i64]| keep_alive(Some(&samples(gaps)), &terms).time.as_secs();
        assert_eq!(keep_alive(None, &terms).time, SignedDuration::ZERO);
        assert_eq!(kept(&[]), 0);
        assert_eq!(kept(&[300]), 0, "one gap says little");
        assert_eq!(kept(&[30; 20]), 60);
        assert_eq!(kept(&[170; 100]), 180);
        assert_eq!(kept(&[10_000; 100]), 0);
        // Half a boot's money is not worth ten minutes.
        assert_eq!(kept(&[600; 200]), 600);
        assert_eq!(kept(&[1_200; 200]), 0);
    }

    #[test]
    fn the_figures_can_be_checked_by_hand() {
        let terms = terms(3_600_000, 100, 7_200_000);
        // A second of the machine is $0.001, of a task $0.002; a boot is 100 s: $0.30 a miss.
        let gaps: Vec<i64> = [50].repeat(90).into_iter().chain([9_999].repeat(10)).collect();
        let Kept { time: kept, weighed, .. } = keep_alive(Some(&samples(&gaps)), &terms);
        assert_eq!(kept.as_secs(), 60);
        // 90 x $0.05 + 10 x ($0.06 + $0.30) = $8.10 for 100.
        assert_eq!(
            weighed.to_string(),
            "learned: 10 of the last 100 gaps were longer; so it costs $0.081 a gap, ending it at once $0.30"
        );
    }

    proptest! {
        #[test]
        fn nothing_else_is_cheaper(
            gaps in proptest::collection::vec(0_i64..4_000, 0..250),
            rate in 0_i64..40_000_000,
            boot in 0_i64..900,
            waiting in 0_i64..20_000_000,
        ) {
            let terms = terms(rate, boot, waiting);
            let gaps = samples(&gaps);
            let Kept { time: kept, weighed, .. } = keep_alive(Some(&gaps), &terms);
            let cost = |seconds: i64| {
                let idle = |seconds| terms.rate.cost(SignedDuration::from_secs(seconds)).micros();
                let of = |gap: &SignedDuration| match gap.as_secs() {
                    gap if gap <= seconds => idle(gap),
                    _ => idle(seconds) + terms.miss().micros(),
                };
                gaps.as_slice().iter().map(of).sum::<i64>() + ASSUMED * (idle(seconds) + terms.miss().micros())
            };
            prop_assert!(kept <= LONGEST);
            prop_assert!((0..=45).all(|minutes| cost(kept.as_secs()) <= cost(minutes * 60)));
            prop_assert!(weighed.longer <= weighed.gaps && weighed.gaps <= Samples::KEPT);
        }

        #[test]
        fn dearer_waiting_keeps_no_shorter(
            gaps in proptest::collection::vec(0_i64..4_000, 0..250),
            rate in 1_i64..40_000_000,
            waiting in 0_i64..20_000_000,
            more in 0_i64..20_000_000,
        ) {
            let gaps = samples(&gaps);
            let kept = |waiting| keep_alive(Some(&gaps), &terms(rate, 286, waiting)).time;
            prop_assert!(kept(waiting) <= kept(waiting + more));
        }
    }
}
