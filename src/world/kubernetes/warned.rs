//! What API servers warned of, for as long as it matters.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

use crate::world::clock::Clock;

/// A warning that does not come again is forgotten.
const FORGOTTEN: SignedDuration = SignedDuration::from_hours(1);
/// Different ones that are kept of a site.
const MOST: usize = 5;

/// Warnings of each site, each once, with when it was last heard.
#[derive(Debug, Default)]
pub(super) struct Warned(Mutex<BTreeMap<String, Vec<(String, Timestamp)>>>);

impl Warned {
    pub(super) fn hear(&self, site: &str, warnings: Vec<String>) {
        if warnings.is_empty() {
            return;
        }
        let now = Clock::Wall.now();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.entry(site.to_owned()).or_default();
        for warning in warnings {
            known.retain(|(text, _)| *text != warning);
            known.push((warning, now));
        }
        let old = known.len().saturating_sub(MOST);
        known.drain(..old);
    }

    /// Those of a site, the newest last.
    pub(super) fn of(&self, site: &str) -> Vec<String> {
        let now = Clock::Wall.now();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = all.get_mut(site) else { return Vec::new() };
        known.retain(|(_, at)| now.duration_since(*at) < FORGOTTEN);
        known.iter().map(|(text, _)| text.clone()).collect()
    }
}
