//! What was seen while this screen was open, for its charts: a sample for each view, thinned as it grows old.

use std::collections::VecDeque;

use jiff::Timestamp;

use crate::engine::event::View;
use crate::model::ids::BudgetName;
use crate::model::instance::Phase;
use crate::model::money::Money;

/// More samples are thinned: of the older half every other one goes.
const MOST: usize = 4_000;

/// How many machines are in which state, those with a fault apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct States {
    pub busy: u32,
    pub idle: u32,
    /// Asked for, pending or booting.
    pub starting: u32,
    /// Draining or stopping.
    pub leaving: u32,
    pub faulty: u32,
}

/// One look at everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sample {
    pub at: Timestamp,
    pub states: States,
    pub waiting: u32,
    /// Seconds that the oldest waiting task has waited.
    pub oldest: i64,
    /// Spent of each budget's present period.
    pub spent: Vec<(BudgetName, Money)>,
}

impl Sample {
    fn of(view: &View) -> Self {
        let mut states = States::default();
        for instance in view.snapshot.instances.iter().filter(|instance| instance.counts()) {
            let place = match instance.phase {
                _ if instance.fault.is_some() => &mut states.faulty,
                Phase::Busy => &mut states.busy,
                Phase::Idle => &mut states.idle,
                Phase::Pending | Phase::Booting => &mut states.starting,
                Phase::Draining | Phase::Stopping => &mut states.leaving,
                Phase::Stopped | Phase::Gone => continue,
            };
            *place += 1;
        }
        states.starting += u32::try_from(view.snapshot.intents.len()).unwrap_or(u32::MAX);
        let outlooks = &view.plan.outlooks;
        let oldest = outlooks.iter().filter_map(|outlook| outlook.oldest).min();
        Self {
            at: view.at,
            states,
            waiting: outlooks.iter().map(|outlook| outlook.waiting).sum(),
            oldest: oldest.map_or(0, |oldest| view.at.duration_since(oldest).as_secs().max(0)),
            spent: view.spend.budgets.iter().map(|budget| (budget.name.clone(), budget.spent)).collect(),
        }
    }
}

/// The oldest sample first.
#[derive(Debug, Default)]
pub(crate) struct History(VecDeque<Sample>);

impl History {
    /// A view of the same instant takes the place of the one before.
    pub(crate) fn see(&mut self, view: &View) {
        // A clock that was set back: what is newer than now is not the past.
        while self.0.pop_back_if(|last| last.at >= view.at).is_some() {}
        self.0.push_back(Sample::of(view));
        if self.0.len() > MOST {
            let mut place = 0;
            self.0.retain(|_| {
                place += 1;
                place > MOST / 2 || place % 2 == 1
            });
        }
    }

    pub(crate) fn samples(&self) -> impl DoubleEndedIterator<Item = &Sample> {
        self.0.iter()
    }

    /// The newest sample that is not newer than an instant, else the oldest.
    pub(crate) fn at(&self, at: Timestamp) -> Option<&Sample> {
        let after = self.0.partition_point(|sample| sample.at <= at);
        self.0.get(after.saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::example::view;

    #[test]
    fn it_is_thinned_and_keeps_its_ends() {
        let (mut history, first) = (History::default(), view().at);
        for second in 0..10_000 {
            let mut view = view();
            view.at = first + SignedDuration::from_secs(second);
            history.see(&view);
        }
        let samples: Vec<_> = history.samples().map(|sample| sample.at).collect();
        assert!(samples.len() <= MOST && samples.is_sorted(), "{}", samples.len());
        assert_eq!((samples[0], samples[samples.len() - 1]), (first, first + SignedDuration::from_secs(9_999)));
        let asked = first + SignedDuration::from_secs(9_990);
        assert_eq!(history.at(asked).map(|sample| sample.at), Some(asked));
        assert_eq!(history.at(first - SignedDuration::from_secs(5)).map(|sample| sample.at), Some(first));
    }

    #[test]
    fn a_clock_that_was_set_back_leaves_no_future() {
        let (mut history, mut view) = (History::default(), view());
        history.see(&view);
        view.at += SignedDuration::from_secs(60);
        history.see(&view);
        view.at -= SignedDuration::from_secs(90);
        history.see(&view);
        assert_eq!(history.samples().map(|sample| sample.at).collect::<Vec<_>>(), [view.at]);
    }
}
