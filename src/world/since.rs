//! Since when something has been seen that should not be there: by our own clock, whatever the thing itself says.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

/// For so long a disk may be without a machine before it is deleted: whoever wants it can take its tag or label off.
pub(super) const DISK_GRACE: SignedDuration = SignedDuration::from_hours(1);

/// Those of `seen` that are new, and those that have been seen for `grace`.
pub(super) fn due(
    since: &mut BTreeMap<String, Timestamp>,
    seen: &BTreeSet<&String>,
    grace: SignedDuration,
    now: Timestamp,
) -> (Vec<String>, Vec<String>) {
    since.retain(|id, _| seen.contains(id));
    let new: Vec<String> = seen.iter().filter(|id| !since.contains_key(**id)).map(|id| (*id).clone()).collect();
    since.extend(new.iter().map(|id| (id.clone(), now)));
    let due = since.iter().filter(|(_, first)| now.duration_since(**first) >= grace).map(|(id, _)| id.clone());
    (new, due.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_for_the_grace_is_due_and_what_went_meanwhile_begins_anew() {
        let mut since = BTreeMap::new();
        let ids = ["a", "b"].map(str::to_owned);
        let (both, first): (BTreeSet<_>, BTreeSet<_>) = (ids.iter().collect(), ids.iter().take(1).collect());
        let mut at = |minute: i64, seen: &BTreeSet<&String>| {
            let now = Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minute);
            due(&mut since, seen, SignedDuration::from_mins(60), now)
        };
        let only = |id: &str| vec![id.to_owned()];
        assert_eq!(at(0, &both), (ids.to_vec(), vec![]));
        assert_eq!(at(30, &first), (vec![], vec![]));
        assert_eq!(at(59, &both), (only("b"), vec![]));
        assert_eq!(at(60, &both), (vec![], only("a")));
        assert_eq!(at(119, &both), (vec![], ids.to_vec()));
        // The clock is set back: it only takes longer.
        assert_eq!(at(-600, &both), (vec![], vec![]));
    }
}
