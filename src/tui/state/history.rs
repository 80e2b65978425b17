//! What was seen, for the charts: a glance for each view since this screen was opened, and before that what the loop kept;
//! thinned as it grows old.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;

use crate::engine::event::View;
use crate::model::glance::Glance;

/// More are thinned: of the older half every other one goes.
const MOST: usize = 4_000;

/// The oldest glance first.
#[derive(Debug, Default)]
pub(crate) struct History {
    glances: VecDeque<Glance>,
    /// The loop has told what it kept, as far as it can.
    pub is_whole: bool,
}

impl History {
    /// A view of the same instant takes the place of the one before.
    pub(crate) fn see(&mut self, view: &View) {
        // A clock that was set back: what is newer than now is not the past.
        while self.glances.pop_back_if(|last| last.at >= view.at).is_some() {}
        self.glances.push_back(view.glance());
        self.thin();
    }

    /// Takes in what the loop kept; what was seen here is as true, and closer.
    pub(crate) fn recall(&mut self, kept: Vec<Glance>) {
        let newest = self.glances.back().map(|glance| glance.at);
        let past = kept.into_iter().filter(|glance| newest.is_none_or(|newest| glance.at < newest));
        let mut all: BTreeMap<Timestamp, Glance> = past.map(|glance| (glance.at, glance)).collect();
        all.extend(std::mem::take(&mut self.glances).into_iter().map(|glance| (glance.at, glance)));
        self.glances = all.into_values().collect();
        self.is_whole = true;
        self.thin();
    }

    fn thin(&mut self) {
        while self.glances.len() > MOST {
            let mut place = 0;
            self.glances.retain(|_| {
                place += 1;
                place > MOST / 2 || place % 2 == 1
            });
        }
    }

    pub(crate) fn glances(&self) -> impl DoubleEndedIterator<Item = &Glance> {
        self.glances.iter()
    }

    /// The newest glance that is not newer than an instant, else the oldest.
    pub(crate) fn at(&self, at: Timestamp) -> Option<&Glance> {
        let after = self.glances.partition_point(|glance| glance.at <= at);
        self.glances.get(after.saturating_sub(1))
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
        let samples: Vec<_> = history.glances().map(|glance| glance.at).collect();
        assert!(samples.len() <= MOST && samples.is_sorted(), "{}", samples.len());
        assert_eq!((samples[0], samples[samples.len() - 1]), (first, first + SignedDuration::from_secs(9_999)));
        let asked = first + SignedDuration::from_secs(9_990);
        assert_eq!(history.at(asked).map(|glance| glance.at), Some(asked));
        assert_eq!(history.at(first - SignedDuration::from_secs(5)).map(|glance| glance.at), Some(first));
    }

    #[test]
    fn a_clock_that_was_set_back_leaves_no_future() {
        let (mut history, mut view) = (History::default(), view());
        history.see(&view);
        view.at += SignedDuration::from_secs(60);
        history.see(&view);
        view.at -= SignedDuration::from_secs(90);
        history.see(&view);
        assert_eq!(history.glances().map(|glance| glance.at).collect::<Vec<_>>(), [view.at]);
    }

    #[test]
    fn what_the_loop_kept_goes_before_what_was_seen_and_never_after() {
        let (mut history, mut view) = (History::default(), view());
        let now = view.at;
        history.see(&view);
        view.at += SignedDuration::from_secs(60);
        history.see(&view);
        let kept = |minutes: i64| Glance { at: now + SignedDuration::from_mins(minutes), ..view.glance() };
        history.recall(vec![kept(-120), kept(-60), kept(0), kept(30)]);
        let minutes: Vec<_> = history.glances().map(|glance| glance.at.duration_since(now).as_secs() / 60).collect();
        assert_eq!((minutes, history.is_whole), (vec![-120, -60, 0, 1], true));
    }
}
