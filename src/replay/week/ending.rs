//! When a week that a policy does not bring to its end ends all the same, and what came of it.

use super::{Millis, Tally, Week};

const HOUR: Millis = 3_600_000;

/// Machines that are kept after the last job cost nothing from then on: longer than any sensible keep-alive, and the same for
/// every policy.
const TAIL: Millis = 3 * HOUR;

/// Jobs are given up once no job has begun, ended or run for so long, and none comes any more.
const STANDSTILL: Millis = 24 * HOUR;

/// And so long after the last job came in any case.
const LONGEST: Millis = 30 * 24 * HOUR;

impl Week<'_> {
    /// When there is nothing more to be waited for, as things are now.
    pub fn given_up(&self) -> Millis {
        let last = self.trace.jobs.last().map_or(0, |job| job.submitted);
        match (self.unfinished, self.running) {
            (0, _) => self.moved + TAIL,
            (_, 0) => (last.max(self.moved) + STANDSTILL).min(last + LONGEST),
            _ => last + LONGEST,
        }
    }

    /// What came of it. Machines that still run are billed up to now; jobs that are not done have waited until now.
    pub fn into_tally(mut self) -> Tally {
        if self.unfinished == 0 {
            self.now = self.now.min(self.given_up());
        }
        for machine in 0..self.machines.len() {
            self.terminate(machine);
        }
        self.tally.unfinished = self.unfinished;
        self.tally.lasted = self.now;
        let mut worked = Vec::with_capacity(self.jobs.len());
        for (job, progress) in self.trace.jobs.iter().zip(&self.jobs) {
            worked.push(if progress.done { job.duration } else { progress.saved });
            if !progress.done {
                self.tally.done(Some(job), progress.waited + (self.now - progress.since).max(0));
            }
        }
        self.tally.finish(self.trace, self.cloud, &worked);
        self.tally
    }
}
