//! The loop without its runtime: the same pure parts in the same order, driven by hand. The soak runs on it
//! (in the replay folder): facts, sights, notices, join, plan, check, decisions, outcomes, back-off and what is tended are the
//! loop's own; deadlines, the lead's election, the SQL store, sockets and the network are not in it.

mod life;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::engine::WHOLE_EVERY;
use crate::engine::act::breakers::Breakers;
use crate::engine::act::decide::{Decision, Ground};
use crate::engine::act::deed::{Deed, Done, Failed, Outcome};
use crate::engine::act::naming::Naming;
use crate::engine::act::outcome::{Consequence, settle};
use crate::engine::act::retry::Retries;
use crate::engine::backoff::heed;
use crate::engine::pass::{is_adoption, stale_after};
use crate::engine::seen::facts::{Facts, Observation};
use crate::engine::seen::hold::Held;
use crate::engine::seen::join::{Parts, join};
use crate::engine::seen::notice::{Known, notice};
use crate::engine::seen::sight::Sights;
use crate::engine::spend::spend;
use crate::engine::stance::Stance;
use crate::engine::tend::{Delivered, Tended, Tending, note_done};
use crate::model::catalogue::Catalogue;
use crate::model::course::Courses;
use crate::model::ids::{InstanceId, IntentId, TaskId, Term, WorkerId};
use crate::model::plan::Plan;
use crate::model::record::{IntentEnd, KnownInstance, Memory, Record};
use crate::model::settings::Settings;
use crate::model::snapshot::{Ask, Order, Snapshot, Surplus};
use crate::plan::check::{Broken, check};
use crate::plan::pace::{QUICK, pace};
use crate::plan::plan;
use crate::store::settings::SettingsFile;

/// What the next look asks for, beside queues, workers and machines.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    /// Workers of which all but what they run is known; `None`: all are to be listed.
    pub workers: Option<BTreeSet<WorkerId>>,
    pub tasks: bool,
    /// Machines whose hold tasks are asked for.
    pub held: BTreeSet<InstanceId>,
    /// Tasks whose status is known.
    pub known: BTreeSet<TaskId>,
}

/// A deed that was begun; its number is given back with what became of it.
pub(crate) type Begun = (u64, Deed);

/// A loop at rest between two steps.
#[derive(Debug)]
pub(crate) struct Stepper {
    file: SettingsFile,
    settings: Arc<Settings>,
    catalogue: Arc<Catalogue>,
    naming: Naming,
    memory: Memory,
    facts: Facts,
    sights: Sights,
    breakers: Breakers,
    retries: Retries,
    delivered: Delivered,
    surplus: Surplus,
    courses: Courses,
    snapshot: Snapshot,
    plan: Plan,
    under_way: Vec<Begun>,
    begun: u64,
    interval: SignedDuration,
    looked_deep_at: Option<Timestamp>,
    stop_all: Option<Order>,
    term: Term,
    leads: bool,
    /// Nothing can be written: nothing is done.
    store_fails: bool,
    /// It dies as it is about to write what it decided.
    dies: bool,
    /// What was written since it was last asked for.
    told: Vec<Record>,
}

impl Stepper {
    /// A loop on these settings, which are in no file, with an empty store.
    ///
    /// # Errors
    /// The settings are not valid.
    pub(crate) fn new(settings: &str, catalogue: Arc<Catalogue>, seed: u64, now: Timestamp) -> Result<Self, String> {
        let file = SettingsFile::in_memory(settings).map_err(|problems| problems.to_string())?;
        let settings = file.settings();
        let plan = nothing_planned(&settings, now);
        Ok(Self {
            file,
            settings,
            catalogue,
            naming: Naming::seeded(seed),
            memory: Memory::default(),
            facts: Facts::default(),
            sights: Sights::default(),
            breakers: Breakers::default(),
            retries: Retries::default(),
            delivered: Delivered::default(),
            surplus: Surplus::new(),
            courses: Courses::new(),
            snapshot: Snapshot::default(),
            plan,
            under_way: Vec::new(),
            begun: 0,
            interval: QUICK,
            looked_deep_at: None,
            stop_all: None,
            term: Term(1),
            leads: true,
            store_fails: false,
            dies: false,
            told: Vec::new(),
        })
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    pub(crate) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(crate) fn leads(&self) -> bool {
        self.leads
    }

    pub(crate) fn term(&self) -> Term {
        self.term
    }

    /// Until the next look.
    pub(crate) fn interval(&self) -> SignedDuration {
        self.interval
    }

    pub(crate) fn take_told(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.told)
    }

    /// What the screen shows of the budgets.
    pub(crate) fn budgets(&self, now: Timestamp) -> Vec<crate::engine::event::BudgetState> {
        spend(&self.memory, &self.settings, now).budgets
    }

    /// What the look at `now` asks for.
    pub(crate) fn asks(&mut self, now: Timestamp) -> Asked {
        let deep = self.looked_deep_at.is_none_or(|last| now.duration_since(last) >= WHOLE_EVERY);
        if deep {
            self.looked_deep_at = Some(now);
        }
        let held = |known: &&KnownInstance| {
            Held::of(known, &self.facts, &self.settings).is_some_and(|held| held.is_wanted(&self.sights))
        };
        Asked {
            workers: (!deep).then(|| self.facts.known_workers()),
            tasks: deep || !self.snapshot.ghosts.is_empty() || !self.memory.requeueing.is_empty(),
            held: self.memory.known.values().filter(held).map(|known| known.id.clone()).collect(),
            known: if deep { BTreeSet::new() } else { self.facts.statuses.keys().cloned().collect() },
        }
    }

    /// Takes in a look, plans with what people ask for, and says what is to be done and what the check found broken.
    pub(crate) fn step(
        &mut self,
        observation: Observation,
        orders: Vec<Order>,
        now: Timestamp,
    ) -> (Vec<Begun>, Vec<Broken>) {
        let fresh = self.facts.take(observation);
        self.sights.take(&fresh, &self.facts, &self.memory, &self.settings);
        if self.leads {
            let calling = self.calling();
            let known = Known {
                facts: &self.facts,
                sights: &self.sights,
                memory: &self.memory,
                settings: &self.settings,
                catalogue: &self.catalogue,
                calling: &calling,
                now,
            };
            let records = notice(&known, &fresh);
            heed(&records, &self.memory, &self.settings, &mut self.breakers, now);
            self.commit(records);
        }
        let (mut begun, broken) = self.replan(orders, now);
        begun.extend(self.tend(now));
        self.interval =
            if self.memory.intents.is_empty() { pace(&self.snapshot, &self.plan, self.interval) } else { QUICK };
        (begun, broken)
    }

    /// What would be done now, if the world stood still since the last step. Nothing is.
    pub(crate) fn again(&self, now: Timestamp) -> Plan {
        plan(&self.joined(Vec::new(), now), &self.settings, &self.memory.ledger, now)
    }

    fn calling(&self) -> BTreeSet<IntentId> {
        let mut calling = BTreeSet::new();
        for (_, deed) in &self.under_way {
            match deed {
                Deed::Launch(order) => {
                    let batch = self.memory.intents.values().filter(|intent| intent.batch == order.batch);
                    calling.extend(batch.map(|intent| intent.id.clone()));
                }
                Deed::Start { intent, .. } => drop(calling.insert(intent.clone())),
                _ => {}
            }
        }
        calling
    }

    fn joined(&self, orders: Vec<Order>, now: Timestamp) -> Snapshot {
        let parts = Parts {
            facts: &self.facts,
            sights: &self.sights,
            memory: &self.memory,
            settings: &self.settings,
            catalogue: &self.catalogue,
            breakers: self.breakers.waiting(now),
            surplus: self.surplus.clone(),
            courses: self.courses.clone(),
            orders,
            stale_after: stale_after(&self.settings),
        };
        join(parts, &self.snapshot, now)
    }

    fn replan(&mut self, mut orders: Vec<Order>, now: Timestamp) -> (Vec<Begun>, Vec<Broken>) {
        if let Some(stop_all) = orders.iter().find(|order| order.what == Ask::StopAll).cloned()
            && self.memory.armed
            && self.leads
            && self.commit(vec![Record::Paused(true)])
        {
            self.stop_all = Some(stop_all);
        }
        if let Some(stop_all) = &self.stop_all
            && !orders.contains(stop_all)
        {
            orders.push(stop_all.clone());
        }
        let snapshot = self.joined(orders, now);
        self.plan = plan(&snapshot, &self.settings, &self.memory.ledger, now);
        self.surplus.clone_from(&self.plan.surplus);
        self.courses.clone_from(&self.plan.courses);
        self.snapshot = snapshot;
        if !self.leads {
            return (Vec::new(), Vec::new());
        }
        self.act(now)
    }

    fn act(&mut self, now: Timestamp) -> (Vec<Begun>, Vec<Broken>) {
        let broken = check(&self.plan, &self.snapshot, &self.settings, &self.memory.ledger, now);
        let undone: BTreeSet<usize> = broken.iter().map(|broken| broken.action).collect();
        let (adopt, others): (Vec<usize>, Vec<usize>) =
            (0..self.plan.actions.len()).partition(|index| is_adoption(&self.plan, *index));
        let wanted = |index: &usize| !undone.contains(index);
        let adopted = adopt.into_iter().filter(wanted).filter_map(|index| self.decide(index, now));
        let mut records: Vec<Record> = adopted.flat_map(|decision| decision.records).collect();
        records.extend(self.plan.lessons.iter().cloned().map(Record::Learned));
        if !self.commit(records) {
            return (Vec::new(), broken);
        }
        let (mut records, mut deeds) = (Vec::new(), Vec::new());
        for index in others.into_iter().filter(|index| !undone.contains(index)) {
            let Some(Decision { records: written, deed }) = self.decide(index, now) else { continue };
            if let Some(deed) = deed {
                if self.is_blocked(&deed, now) && !deed.stands() {
                    continue;
                }
                deeds.push(deed);
            }
            records.extend(written);
        }
        if self.dies && !deeds.is_empty() {
            return (Vec::new(), broken);
        }
        if !self.commit(records) {
            return (Vec::new(), broken);
        }
        let begun = deeds.into_iter().filter_map(|deed| self.begin(deed, now)).collect();
        (begun, broken)
    }

    fn decide(&mut self, index: usize, now: Timestamp) -> Option<Decision> {
        let planned = self.plan.actions.get(index)?;
        let stance = Stance { read_only: false, surely_leads: self.leads, ends: false };
        if !stance.allows(planned, &self.memory, &self.delivered, now) {
            return None;
        }
        let ground = Ground {
            plan: &self.plan,
            snapshot: &self.snapshot,
            settings: &self.settings,
            memory: &self.memory,
            facts: &self.facts,
            sights: &self.sights,
            term: self.term,
            now,
        };
        ground.decide(planned, &mut self.naming)
    }

    fn tend(&mut self, now: Timestamp) -> Vec<Begun> {
        if !self.leads || !self.memory.armed {
            return Vec::new();
        }
        self.retries.forget_old(now);
        self.delivered.forget_old(&self.memory);
        let tending = Tending {
            memory: &self.memory,
            facts: &self.facts,
            sights: &self.sights,
            settings: &self.settings,
            delivered: &self.delivered,
            snapshot: &self.snapshot,
            plan: &self.plan,
            now,
        };
        let Tended { deeds, unheeded, withdrawn } = tending.tended();
        let mut begun: Vec<Begun> = deeds.into_iter().filter_map(|deed| self.begin(deed, now)).collect();
        for records in withdrawn {
            self.commit(records);
        }
        for (alarm, deed) in unheeded {
            if !self.is_blocked(&deed, now) && self.commit(vec![alarm]) {
                begun.extend(self.begin(deed, now));
            }
        }
        begun
    }

    fn begin(&mut self, deed: Deed, now: Timestamp) -> Option<Begun> {
        if self.is_blocked(&deed, now) {
            return None;
        }
        self.begun += 1;
        self.under_way.push((self.begun, deed.clone()));
        Some((self.begun, deed))
    }

    fn is_blocked(&self, deed: &Deed, now: Timestamp) -> bool {
        self.under_way.iter().any(|(_, other)| other.collides(deed)) || self.retries.blocks(deed, now)
    }

    /// What became of a deed, and what is done next because of it.
    pub(crate) fn settle(&mut self, number: u64, result: Result<Done, Failed>, now: Timestamp) -> Vec<Begun> {
        let Some(place) = self.under_way.iter().position(|(begun, _)| *begun == number) else { return Vec::new() };
        let (_, deed) = self.under_way.swap_remove(place);
        if matches!(result, Ok(Done::KeptBack(_))) {
            if let Deed::Launch(order) = &deed {
                let batch = self.memory.intents.values().filter(|intent| intent.batch == order.batch);
                let closed = |id: &IntentId| Record::IntentClosed { id: id.clone(), end: IntentEnd::Refused };
                let records = batch.map(|intent| closed(&intent.id)).collect();
                self.commit(records);
            }
            self.retries.failed(&deed, now);
            return Vec::new();
        }
        if let Deed::Enqueue { task, .. } = &deed {
            self.facts.tasks.retain(|known| known.id != *task);
            self.sights.forget_nowhere(task);
        }
        let first = if result.is_ok() {
            note_done(&deed, &mut self.delivered, &mut self.retries, &mut self.facts, now);
            true
        } else {
            if let Deed::Start { instance, .. } = &deed {
                self.sights.refuse_start(instance, now);
            }
            matches!(deed, Deed::Launch(_) | Deed::Start { .. }) || self.retries.failed(&deed, now)
        };
        let outcome = Outcome { deed, result };
        let Consequence { records, deeds } =
            settle(&outcome, &self.memory, &mut self.breakers, first, &self.catalogue, now);
        self.commit(records);
        deeds.into_iter().filter_map(|deed| self.begin(deed, now)).collect()
    }

    fn commit(&mut self, records: Vec<Record>) -> bool {
        if records.is_empty() {
            return true;
        }
        if self.store_fails {
            return false;
        }
        for record in &records {
            self.memory.apply(record);
        }
        self.told.extend(records);
        true
    }
}

fn nothing_planned(settings: &Settings, now: Timestamp) -> Plan {
    Plan {
        at: now,
        revision: settings.revision.clone(),
        actions: Vec::new(),
        refusals: Vec::new(),
        outlooks: Vec::new(),
        surplus: BTreeMap::new(),
        courses: Courses::new(),
        lessons: Vec::new(),
        due: None,
    }
}
