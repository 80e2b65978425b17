//! Whether a policy decides by what it could know: other durations of what still runs, and other arrivals from an instant on,
//! must change nothing that was decided before it.

use super::contest::{PolicySpec, Terms, played};
use super::trace::{Millis, Trace};
use super::week::{Deed, Week};

/// Whether other futures change nothing that was decided before the middle of the trace.
///
/// # Errors
/// The policy's option does not fit.
pub fn is_blind_to_the_future(trace: &Trace, policy: &PolicySpec, terms: Terms<'_>) -> Result<bool, String> {
    let middle = trace.jobs.last().map_or(0, |job| job.submitted) / 2;
    let other = with_another_future(trace, middle);
    let decided = |trace: &Trace| {
        let week = played(trace, policy, 0, terms)?;
        Ok::<_, String>(before(&week, middle))
    };
    Ok(decided(trace)? == decided(&other)?)
}

fn before(week: &Week<'_>, instant: Millis) -> Vec<(Millis, usize, Deed)> {
    week.deeds().iter().take_while(|(at, ..)| *at < instant).copied().collect()
}

/// The same up to an instant. What cannot have ended by then takes as long as others of its kind do, and what comes later
/// comes in reverse.
#[must_use]
pub fn with_another_future(trace: &Trace, instant: Millis) -> Trace {
    let mut other = trace.clone();
    let open = |submitted: Millis, duration: Millis| submitted < instant && submitted + duration > instant;
    let mut lengths: Vec<Millis> =
        trace.jobs.iter().filter(|job| open(job.submitted, job.duration)).map(|job| job.duration).collect();
    for job in other.jobs.iter_mut().filter(|job| open(job.submitted, job.duration)) {
        job.duration = lengths.pop().unwrap_or(job.duration).max(instant - job.submitted + 1);
    }
    let last = trace.jobs.last().map_or(0, |job| job.submitted);
    let mut later: Vec<Millis> =
        trace.jobs.iter().filter(|job| job.submitted >= instant).map(|job| job.duration).collect();
    for job in other.jobs.iter_mut().filter(|job| job.submitted >= instant) {
        job.submitted = instant + last - job.submitted;
        job.duration = later.pop().unwrap_or(job.duration);
    }
    other.jobs.sort_by_key(|job| job.submitted);
    other
}
