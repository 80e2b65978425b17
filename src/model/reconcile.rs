//! The cloud's own bill beside our ledger, machine by machine. Pure.

use std::collections::BTreeMap;

use crate::model::ids::{InstanceId, PoolName};
use crate::model::money::Money;

/// A difference of more than one part in so many of the whole bill is an alarm: 1 %.
const ALARM_PART: i128 = 100;

/// What the bill says of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Billed {
    pub cost: Money,
    /// The part of `cost` that is not machine time, such as data transfer.
    pub other: Money,
}

/// What our ledger says of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Booked {
    pub pool: PoolName,
    pub cost: Money,
}

/// One machine on both sides; at least one of them knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub instance: InstanceId,
    pub ours: Option<Booked>,
    pub theirs: Option<Billed>,
}

impl Line {
    /// Ours less theirs.
    #[must_use]
    pub fn difference(&self) -> Money {
        let ours = self.ours.as_ref().map_or(Money::ZERO, |ours| ours.cost);
        ours - self.theirs.map_or(Money::ZERO, |theirs| theirs.cost)
    }
}

/// Both sides whole.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reconciliation {
    /// Every machine of either side, the largest difference first.
    pub lines: Vec<Line>,
    pub ours: Money,
    pub theirs: Money,
}

impl Reconciliation {
    /// Puts the sides together.
    #[must_use]
    pub fn of(mut ours: BTreeMap<InstanceId, Booked>, theirs: BTreeMap<InstanceId, Billed>) -> Self {
        let sum = Self {
            lines: Vec::new(),
            ours: ours.values().map(|booked| booked.cost).sum(),
            theirs: theirs.values().map(|billed| billed.cost).sum(),
        };
        let both = theirs.into_iter().map(|(instance, billed)| {
            let ours = ours.remove(&instance);
            Line { instance, ours, theirs: Some(billed) }
        });
        let mut lines: Vec<Line> = both.collect();
        lines.extend(ours.into_iter().map(|(instance, booked)| Line { instance, ours: Some(booked), theirs: None }));
        lines.sort_by(|one, other| {
            let size = |line: &Line| line.difference().micros().unsigned_abs();
            size(other).cmp(&size(one)).then_with(|| one.instance.cmp(&other.instance))
        });
        Self { lines, ..sum }
    }

    /// Ours less theirs.
    #[must_use]
    pub fn difference(&self) -> Money {
        self.ours - self.theirs
    }

    /// The difference is over 1 % of the bill.
    #[must_use]
    pub fn is_alarming(&self) -> bool {
        let (difference, bill) = (i128::from(self.difference().micros()), i128::from(self.theirs.micros()));
        difference.abs() * ALARM_PART > bill.abs()
    }
}

/// `difference` in percent of `theirs`, for people; `None`: there is nothing to compare it with.
#[must_use]
pub fn percent(difference: Money, theirs: Money) -> Option<f64> {
    (theirs != Money::ZERO).then(|| difference.as_dollars() / theirs.as_dollars() * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn booked(micros: i64) -> Booked {
        Booked { pool: "gpu".into(), cost: Money::from_micros(micros) }
    }

    fn billed(micros: i64) -> Billed {
        Billed { cost: Money::from_micros(micros), other: Money::ZERO }
    }

    #[test]
    fn one_percent_is_no_alarm_and_a_micro_dollar_more_is() {
        for (ours, theirs, alarming) in [
            (1_010_000, 1_000_000, false),
            (1_010_001, 1_000_000, true),
            (990_000, 1_000_000, false),
            (989_999, 1_000_000, true),
            (0, 0, false),
            (1, 0, true),
            (0, 1, true),
        ] {
            let found = Reconciliation::of([("i".into(), booked(ours))].into(), [("i".into(), billed(theirs))].into());
            assert_eq!(found.is_alarming(), alarming, "{ours} {theirs}");
        }
    }

    #[test]
    fn machines_of_either_side_are_listed_the_largest_difference_first() {
        let ours = [("i-a", 10), ("i-b", 700), ("i-c", 30)].map(|(id, micros)| (id.into(), booked(micros)));
        let theirs = [("i-a", 10), ("i-c", 1_030), ("i-d", 5)].map(|(id, micros)| (id.into(), billed(micros)));
        let found = Reconciliation::of(ours.into(), theirs.into());
        let lines = found.lines.iter().map(|line| (line.instance.as_str(), line.difference().micros()));
        assert_eq!(lines.collect::<Vec<_>>(), [("i-c", -1_000), ("i-b", 700), ("i-d", -5), ("i-a", 0)]);
        assert_eq!(found.difference().micros(), 740 - 1_045);
    }

    proptest! {
        #[test]
        fn the_lines_add_up_to_the_sums(
            ours in prop::collection::btree_map(0_u8..20, 0_i64..9_000_000, 0..20),
            theirs in prop::collection::btree_map(0_u8..20, -9_000_i64..9_000_000, 0..20),
        ) {
            let id = |place: u8| InstanceId::from(format!("i-{place}"));
            let found = Reconciliation::of(
                ours.into_iter().map(|(place, micros)| (id(place), booked(micros))).collect(),
                theirs.into_iter().map(|(place, micros)| (id(place), billed(micros))).collect(),
            );
            prop_assert_eq!(found.lines.iter().map(Line::difference).sum::<Money>(), found.difference());
        }
    }
}
