//! The loop's view of everything, for whoever listens.

use std::sync::Arc;

use crate::engine::event::{ActUnderWay, Event, Mode, View};
use crate::engine::run::Loop;
use crate::engine::seen::rivals::rivals;
use crate::engine::spend::spend;

impl Loop {
    /// Tells everyone how things are.
    pub(super) fn publish(&mut self) {
        self.show_decided();
        let now = self.setup.clock.now();
        let mut spend = spend(&self.memory, &self.settings, now);
        self.foreseen.tell(&mut spend.budgets, &self.memory.ledger, &self.settings, now);
        let settings = &self.setup.settings;
        let view = Arc::new(View {
            at: now,
            fleet: self.settings.the_loop.fleet.clone(),
            mode: Mode { armed: self.memory.armed, paused: self.memory.paused },
            leader: self.setup.leader.clone(),
            reaches_leader: self.reaches_leader(),
            leads_since: self.lead.as_ref().filter(|_| self.leads()).and_then(|lead| lead.since),
            rivals: rivals(&self.facts, &self.settings),
            snapshot: Arc::clone(&self.snapshot),
            plan: Arc::clone(&self.plan),
            settings: Arc::new(self.as_they_run(Arc::unwrap_or_clone(settings.settings())).0),
            settings_problem: settings.problem(),
            settings_path: settings.path().map(|path| path.display().to_string()),
            spend,
            prices: self.pricing.sources(),
            acts: self
                .under_way
                .iter()
                .filter(|act| act.deed.matters())
                .map(|act| ActUnderWay {
                    what: act.deed.to_string(),
                    instance: act.deed.instance().cloned(),
                    pool: act.deed.pool().cloned(),
                    since: act.since,
                    deadline: act.deed.deadline(),
                })
                .collect(),
            next_pass: self.next_pass,
            warnings: self.warnings(),
        });
        if self.leads() {
            self.notifier.look(&view);
        }
        self.tell(Event::View(view));
    }

    /// What an administrator's file keeps lower than the settings.
    fn guardrails(&self) -> impl Iterator<Item = String> {
        let settings = &self.setup.settings;
        let read_only = settings.read_only().map(|from| format!("read only, by the guardrails of {from}"));
        settings.guarded().iter().map(ToString::to_string).chain(read_only)
    }

    fn warnings(&self) -> Vec<String> {
        let unsure = self.leads() && !self.fence.is_sure();
        let unsure = unsure.then_some("ClearML does not confirm that this console leads: only stops by hand are done");
        let own = self.store_problem.iter().chain(&self.until_restart);
        self.setup
            .warnings
            .iter()
            .chain(own)
            .cloned()
            .chain(unsure.map(str::to_owned))
            .chain(self.guardrails())
            .chain(self.scheduled())
            .collect()
    }
}
