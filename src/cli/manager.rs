//! What a service manager is told, where there is one that listens (`NOTIFY_SOCKET`, as systemd sets it).

use sd_notify::NotifyState;

use crate::engine::event::View;

/// The manager, and what it was told.
#[derive(Debug, Default)]
pub(super) struct Manager {
    ready: bool,
    status: String,
}

impl Manager {
    /// The loop is ready with its first view; what it is about is told whenever that changes.
    pub(super) fn shows(&mut self, view: &View) {
        if !self.ready {
            self.is_ready();
        }
        let status = status(view);
        if status != self.status {
            tell(&[NotifyState::Status(&status)]);
            self.status = status;
        }
    }

    pub(super) fn is_ready(&mut self) {
        self.ready = true;
        tell(&[NotifyState::Ready]);
    }

    pub(super) fn reloads() {
        // Newer managers want the time of it, to know later signals from earlier ones.
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            Err(_) => tell(&[NotifyState::Reloading]),
        }
    }

    pub(super) fn stops() {
        tell(&[NotifyState::Stopping]);
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager is not told");
    }
}

/// The fleet in one line.
fn status(view: &View) -> String {
    let waiting: usize = view.snapshot.queues.iter().map(|queue| queue.waiting.len()).sum();
    let up = view.snapshot.instances.iter().filter(|instance| instance.counts()).count();
    format!("{}: {waiting} tasks wait, {up} machines, {}", view.mode.word(), view.spend.rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fleet_is_told_in_one_line() {
        insta::assert_snapshot!(status(&crate::example::view()), @"DRY RUN: 0 tasks wait, 4 machines, $65.87/h");
    }
}
