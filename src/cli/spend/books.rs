//! The ledger on disk, and what it is read by: the running loop's settings and time, else those on disk.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::cli::Place;
use crate::cli::failure::Failure;
use crate::cli::kept::Kept;
use crate::cli::live::Ground;
use crate::cli::reach::{Loop, state_dir};
use crate::engine::event::{BudgetState, View};
use crate::model::calendar::{Bounds, Windows};
use crate::model::ids::FleetId;
use crate::model::ledger::{Interval, MINIMUM_BILLED};
use crate::model::pseudonym::Renames;
use crate::model::settings::{LoopSettings, Settings};
use crate::store::sqlite::FILE;
use crate::world::clock::Clock;

pub(super) struct Books {
    pub store: Kept,
    /// What the running loop sees.
    view: Option<Arc<View>>,
    /// `None`: a store without its settings.
    pub settings: Option<Arc<Settings>>,
    /// What users are called whom the store has under other names.
    renames: Renames,
    pub now: Timestamp,
}

/// How things stand now, whatever period is asked for.
pub(super) struct Standing {
    pub budgets: Vec<BudgetState>,
    pub whole_since: Option<Timestamp>,
}

impl Books {
    /// Opens the store of the fleet; it is only read, also while its loop writes.
    pub(super) async fn open(place: &Place) -> Result<Self, Failure> {
        let view = match Loop::connect(place).await {
            Ok(mut the_loop) => Some(the_loop.view().await?),
            Err(Failure::NotReachable(_)) => None,
            Err(failure) => return Err(failure),
        };
        let directory = state_dir(place)?;
        let mut renames = Renames::default();
        let settings = match &view {
            Some(view) => {
                renames = renamed(&view.settings.the_loop, place);
                Some(Arc::clone(&view.settings))
            }
            None => match Ground::called(place) {
                Ok(ground) => {
                    renames = ground.settings.renames();
                    Some(ground.settings.settings())
                }
                Err(failure) if place.state_dir.is_none() || place.config.is_some() => return Err(failure),
                Err(_) => None,
            },
        };
        let now = view.as_ref().map_or_else(|| Clock::Wall.now(), |view| view.at);
        let Some(store) = Kept::find(settings.as_deref(), &directory, now).await? else {
            let file = directory.join(FILE);
            let missing = format!("there is no ledger: no {} (a loop without a store keeps none)", file.display());
            return Err(Failure::NotReachable(missing));
        };
        Ok(Self { store, view, settings, renames, now })
    }

    /// Shows every interval that bills some of the time from `from` to `to`, and says how things stand now: as the loop
    /// does, which knows of its intents; else as the same intervals tell.
    pub(super) async fn read(&mut self, span: Bounds, mut visit: impl FnMut(&Interval)) -> Result<Standing, Failure> {
        if let Some(view) = &self.view {
            let standing = Standing { budgets: view.spend.budgets.clone(), whole_since: view.spend.whole_since };
            let renames = &self.renames;
            let each = |mut interval: Interval| {
                interval.call_users(renames);
                visit(&interval);
            };
            self.store.each_interval(span.start, span.end, each).await?;
            return Ok(standing);
        }
        let mut memory = self.store.standing().await?;
        memory.call_users(&self.renames);
        let budgets = self.settings.as_ref().map_or(&[][..], |settings| &settings.budgets);
        let since = Windows::new(budgets, &self.zone(), self.now).starts().first().copied();
        let (from, to) = since.map_or((span.start, span.end), |since| (since.min(span.start), self.now.max(span.end)));
        let renames = &self.renames;
        let each = |mut interval: Interval| {
            interval.call_users(renames);
            visit(&interval);
            // Only what budgets may ask for: its sum is not everything that was ever billed.
            if interval
                .end
                .zip(since)
                .is_some_and(|(end, since)| end.saturating_add(MINIMUM_BILLED).is_ok_and(|end| end > since))
            {
                memory.ledger.add_closed(&interval);
            }
        };
        self.store.each_interval(from, to, each).await?;
        let budgets = self.settings.as_ref().map(|settings| crate::engine::spend(&memory, settings, self.now).budgets);
        Ok(Standing { budgets: budgets.unwrap_or_default(), whole_since: memory.ledger.whole_since })
    }

    pub(super) fn zone(&self) -> TimeZone {
        self.settings.as_ref().map_or(TimeZone::UTC, |settings| settings.the_loop.time_zone.clone())
    }

    pub(super) fn fleet(&self) -> Option<FleetId> {
        self.settings.as_ref().map(|settings| settings.the_loop.fleet.clone())
    }
}

/// What users of the store are called where a loop runs by these settings. Whoever has no key for it reads no names either.
fn renamed(the_loop: &LoopSettings, place: &Place) -> Renames {
    if the_loop.pseudonyms.is_none() && the_loop.pseudonyms_before.is_none() {
        return Renames::default();
    }
    match Ground::called(place) {
        Ok(ground) => ground.settings.renames(),
        Err(_) if the_loop.pseudonyms.is_some() => Renames::blind(),
        Err(_) => Renames::default(),
    }
}
