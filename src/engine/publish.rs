//! The loop's view of everything, for whoever listens.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::engine::event::{ActUnderWay, Event, Mode, READ_ONLY, UNSURE, View};
use crate::engine::run::Loop;
use crate::engine::seen::rivals::rivals;
use crate::engine::spend::spend;
use crate::model::glance::Glance;
use crate::model::record::Record;
use crate::store::StoreError;

/// So often what was told is kept for charts.
const GLANCED_EVERY: SignedDuration = SignedDuration::from_secs(60);
/// Charts reach so far back: a month's budget is one of them.
const FAR: SignedDuration = SignedDuration::from_hours(35 * 24);
const FAR_EVERY: SignedDuration = SignedDuration::from_hours(1);
/// And closely so far.
const NEAR: SignedDuration = SignedDuration::from_hours(24);
const NEAR_EVERY: SignedDuration = SignedDuration::from_mins(1);

impl Loop {
    /// Tells everyone how things are. What was told.
    pub(super) fn publish(&mut self) -> Arc<View> {
        self.show_decided();
        if self.strangers.text.is_some() {
            // A period may have ended since.
            self.look_for_strangers();
        }
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
        self.tell(Event::View(Arc::clone(&view)));
        view
    }

    /// Keeps what was told for charts, once a minute.
    pub(super) async fn keep_glance(&mut self, view: &View) {
        let since = self.glanced_at.map(|last| view.at.duration_since(last));
        // A clock that was set back begins anew.
        let due = since.is_none_or(|since| since >= GLANCED_EVERY || since < SignedDuration::ZERO);
        if due && self.leads() {
            self.glanced_at = Some(view.at);
            self.commit(vec![Record::Glanced(Box::new(view.glance()))]).await;
        }
    }

    /// What was kept for charts: the last day closely, what was before that from afar.
    pub(super) async fn history(&mut self) -> Result<Vec<Glance>, StoreError> {
        let now = self.setup.clock.now();
        let back = |span| now.saturating_sub(span).unwrap_or(Timestamp::MIN);
        let mut glances = Vec::new();
        for (from, to, every) in [(back(FAR), back(NEAR), FAR_EVERY), (back(NEAR), Timestamp::MAX, NEAR_EVERY)] {
            glances.extend(self.setup.store.glances(from, to, every).await?);
        }
        Ok(glances)
    }

    /// What an administrator's file keeps lower than the settings.
    fn guardrails(&self) -> impl Iterator<Item = String> {
        let settings = &self.setup.settings;
        let read_only = settings.read_only().map(|from| format!("{READ_ONLY}{from}"));
        settings.guarded().iter().map(ToString::to_string).chain(read_only)
    }

    fn warnings(&self) -> Vec<String> {
        let unsure = self.leads() && !self.fence.is_sure();
        let unsure = unsure.then_some(UNSURE);
        let own = self.store_problem.iter().chain(&self.until_restart).chain(&self.strangers.text);
        self.setup
            .warnings
            .iter()
            .chain(own)
            .cloned()
            .chain(unsure.map(str::to_owned))
            .chain(self.clocks.warning())
            .chain(self.guardrails())
            .chain(self.scheduled())
            .collect()
    }
}
