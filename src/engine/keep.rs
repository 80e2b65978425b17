//! How long what is remembered is kept.

use jiff::{SignedDuration, Timestamp};

use crate::engine::run::Loop;
use crate::model::record::Record;
use crate::model::settings::LoopSettings;
use crate::store::Keep;

/// No budget's period reaches further back, and no bill of a cloud that the ledger is compared with.
const LONGEST_PERIOD: SignedDuration = SignedDuration::from_hours(70 * 24);
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// From when on, by the settings. Bills are kept at least for as long as a budget, a comparison or a report of the year
/// needs them.
fn kept(settings: &LoopSettings, now: Timestamp) -> Keep {
    let before = |span| now.saturating_sub(span).unwrap_or(Timestamp::MIN);
    let year = now.to_zoned(settings.time_zone.clone()).first_of_year().and_then(|first| first.start_of_day());
    // Without a calendar no bill is too old.
    let year = year.map_or(Timestamp::MIN, |first| first.timestamp());
    let bills = settings.keep_bills.map(|span| before(span).min(before(LONGEST_PERIOD)).min(year));
    Keep { lines: before(settings.keep), bills }
}

impl Loop {
    /// Forgets what is too old to be asked for: once a day, and at each look while there is more.
    pub(super) async fn prune(&mut self) {
        let now = self.setup.clock.now();
        let due = self.pruned_at.is_none_or(|last| now.duration_since(last) >= DAY);
        if !due || !self.leads() {
            return;
        }
        self.pruned_at = Some(now);
        let keep = kept(&self.settings.the_loop, now);
        let pruned = match self.setup.store.prune(keep).await {
            Ok(pruned) => pruned,
            Err(error) => {
                tracing::warn!(%error, "old records could not be removed");
                return;
            }
        };
        if pruned.more {
            self.pruned_at = None;
        }
        self.memory.forget_before(keep.lines);
        self.memory.ledger.forget_before(now.saturating_sub(LONGEST_PERIOD).unwrap_or(Timestamp::MIN));
        if let Some(since) = keep.bills.filter(|_| pruned.bills > 0)
            && self.memory.ledger.whole_since.is_none_or(|whole| whole < since)
        {
            // What is reported of the time before is not all that there was.
            self.commit(vec![Record::LedgerWholeSince(since)]).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;

    #[test]
    fn bills_of_the_year_and_of_the_longest_period_are_kept_whatever_the_settings_say() {
        let mut settings = example::view().settings.the_loop.clone();
        settings.time_zone = jiff::tz::TimeZone::get("Europe/Berlin").unwrap();
        let days = |days: i64| SignedDuration::from_hours(24 * days);
        for (now, span, kept_from) in [
            // The year begins earlier than the span.
            ("2026-11-02T08:00:00Z", days(1), "2025-12-31T23:00:00Z"),
            // A period of the last year may be asked for still.
            ("2026-01-10T08:00:00Z", days(1), "2025-11-01T08:00:00Z"),
            ("2026-11-02T08:00:00Z", days(365), "2025-11-02T08:00:00Z"),
        ] {
            settings.keep_bills = Some(span);
            let keep = kept(&settings, now.parse().unwrap());
            assert_eq!(keep.bills, Some(kept_from.parse().unwrap()), "{now}");
        }
        settings.keep_bills = None;
        let now: Timestamp = "2026-11-02T08:00:00Z".parse().unwrap();
        assert_eq!(kept(&settings, now), Keep { lines: now - settings.keep, bills: None });
    }
}
