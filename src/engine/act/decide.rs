//! From a plan's actions to records and deeds: what is written down first, and what is then done. Pure.

use jiff::Timestamp;

use crate::engine::act::deed::{Deed, LaunchDeed};
use crate::engine::act::naming::Naming;
use crate::engine::seen::adopt::adopted;
use crate::engine::seen::facts::Facts;
use crate::engine::seen::sight::{Sights, our_workers};
use crate::engine::words::{Line, line};
use crate::model::ids::{InstanceId, IntentId, MachineType, Term, Zone};
use crate::model::instance::{Drain, Power};
use crate::model::journal::EntryKind;
use crate::model::observed::LostTask;
use crate::model::plan::{Action, Choice, Launch, Plan, Planned};
use crate::model::record::{Intent, IntentOutcome, Memory, Record};
use crate::model::settings::spot_cap::SpotCap;
use crate::model::settings::{Market, PoolSettings, Provider, Settings};
use crate::model::snapshot::Snapshot;
use crate::world::cloud::{Bid, intent_of};

/// What an action comes to: records that are written first, and a deed, where the world has part in it.
#[derive(Debug)]
pub(in crate::engine) struct Decision {
    pub records: Vec<Record>,
    pub deed: Option<Deed>,
}

/// What is known while deciding.
#[derive(Debug)]
pub(in crate::engine) struct Ground<'a> {
    pub plan: &'a Plan,
    pub snapshot: &'a Snapshot,
    pub settings: &'a Settings,
    pub memory: &'a Memory,
    pub facts: &'a Facts,
    pub sights: &'a Sights,
    pub term: Term,
    pub now: Timestamp,
}

impl Ground<'_> {
    /// Decides one action. `None`: what it is about went away meanwhile.
    pub(in crate::engine) fn decide(&self, planned: &Planned, naming: &mut Naming) -> Option<Decision> {
        let told = self.told(planned);
        match &planned.action {
            Action::Launch(launch) => self.launch(launch, told, naming),
            Action::Stop { instance, kill } => self.stop(instance, *kill, told),
            Action::SwitchOff { instance } => {
                let known = self.memory.known.get(instance)?;
                let power = Power::SwitchingOff { at: self.now };
                let set = Record::PowerSet { instance: instance.clone(), power };
                let (provider, region) = (known.provider, known.region.clone());
                let deed = Deed::SwitchOff { provider, region, instance: instance.clone() };
                Some(Decision { records: vec![set, told.about_machine(known).record()], deed: Some(deed) })
            }
            Action::Start { instance, launch } => {
                let known = self.memory.known.get(instance)?;
                let (pool, batch) = (self.settings.pool(&launch.pool)?, naming.batch());
                let max_life = known.max_life;
                let intent = self.intent(launch, pool, &batch, 0);
                let intent = Intent { starts: Some(instance.clone()), max_life, ..intent };
                let told = told.about_machine(known).intent(Some(&intent.id));
                let deed = Deed::Start {
                    provider: known.provider,
                    region: known.region.clone(),
                    instance: instance.clone(),
                    intent: intent.id.clone(),
                };
                Some(Decision { records: vec![Record::IntentOpened(intent), told.record()], deed: Some(deed) })
            }
            Action::Drain { instance, cause } => self.drain(instance, *cause, &planned.by, told, naming),
            Action::CancelDrain { instance } => self.cancel_drain(instance, told),
            Action::Checkpoint { instance } => self.checkpoint(instance, told),
            Action::Adopt { instance } => {
                let orphan = self.snapshot.instance(instance)?;
                let has_worker = !self.facts.knows_clearml()
                    || our_workers(self.facts, &self.settings.the_loop.fleet)
                        .any(|(name, _)| name.instance == *instance);
                // One that was proved gone and is back is billed on from there.
                let billed_from = self.memory.gone.get(instance).copied().unwrap_or(orphan.launched);
                let opened =
                    adopted(orphan, has_worker, billed_from, self.settings, &self.snapshot.catalogue, self.now);
                let told = told.about_machine(&opened.known).intent(opened.known.intent.as_ref());
                Some(Decision { records: vec![Record::Opened(Box::new(opened)), told.record()], deed: None })
            }
            Action::Hold { instance, hold } => {
                let known = self.memory.known.get(instance)?;
                let set = Record::HoldSet { instance: instance.clone(), hold: Some(hold.clone()) };
                let told = told.because(&format!("{}: {}", planned.reason, hold.why));
                Some(Decision { records: vec![set, told.about_machine(known).record()], deed: None })
            }
            Action::Release { instance } => {
                let known = self.memory.known.get(instance)?;
                let set = Record::HoldSet { instance: instance.clone(), hold: None };
                Some(Decision { records: vec![set, told.about_machine(known).record()], deed: None })
            }
            Action::Replace { instance } | Action::LetBe { instance } => {
                let known = self.memory.known.get(instance)?;
                let by = matches!(planned.action, Action::Replace { .. }).then(|| planned.by.clone());
                let set = Record::ReplaceSet { instance: instance.clone(), by };
                Some(Decision { records: vec![set, told.about_machine(known).record()], deed: None })
            }
            Action::Requeue { task, queue, worker, instance, started, attempt } => {
                let lost = LostTask {
                    task: task.clone(),
                    queue: self.facts.queues.named(queue)?.id.clone(),
                    worker: worker.clone(),
                    instance: instance.clone(),
                    started: *started,
                };
                let counted = Record::Requeued { task: task.clone(), count: *attempt, at: self.now };
                let told = told.about(planned.action.subject()).record();
                let records = vec![Record::RequeueOpened(lost.clone()), counted, told];
                Some(Decision { records, deed: Some(Deed::Requeue { lost }) })
            }
            Action::Enqueue { task, queue } => {
                let queue = self.facts.queues.named(queue)?.id.clone();
                let records = vec![told.about(planned.action.subject()).record()];
                Some(Decision { records, deed: Some(Deed::Enqueue { task: task.clone(), queue }) })
            }
            Action::Unregister { worker } => {
                let records = vec![told.about(planned.action.subject()).record()];
                Some(Decision { records, deed: Some(Deed::Unregister { worker: worker.clone() }) })
            }
        }
    }

    fn stop(&self, instance: &InstanceId, kill: bool, told: Line) -> Option<Decision> {
        let known = self.memory.known.get(instance)?;
        let stop = Record::StopSent { instance: instance.clone(), at: self.now };
        // A kill waits for no proof, however often it is asked for.
        let held = known.drain.as_ref().filter(|drain| kill && drain.held);
        let not_held = held.map(|drain| Drain { held: false, acknowledged: None, ..drain.clone() });
        let not_held = not_held.map(|drain| Record::DrainSet { instance: instance.clone(), drain: Some(drain) });
        let deed = Deed::Stop { provider: known.provider, region: known.region.clone(), instance: instance.clone() };
        let records = not_held.into_iter().chain([stop, told.about_machine(known).record()]).collect();
        Some(Decision { records, deed: Some(deed) })
    }

    fn told(&self, planned: &Planned) -> Line {
        line(self.now, EntryKind::Decided, planned.action.to_string())
            .by(&planned.by)
            .because(&planned.reason)
            .revision(&self.plan.revision)
    }

    /// Each machine of the call gets an intent of its own; the batch is the call's idempotency token.
    fn launch(&self, launch: &Launch, told: Line, naming: &mut Naming) -> Option<Decision> {
        let pool = &self.settings.as_made(self.settings.pool(&launch.pool)?);
        if pool.provider == Provider::Kubernetes {
            return self.tries(launch, pool, told, naming);
        }
        let (batch, bids) = (naming.batch(), self.bids(pool, launch));
        let intents = (0..launch.count).map(|place| Record::IntentOpened(self.intent(launch, pool, &batch, place)));
        let mut records: Vec<Record> = intents.collect();
        records.push(told.about(Action::Launch(launch.clone()).subject()).intent(Some(&batch)).record());
        let deed = LaunchDeed {
            fleet: self.settings.the_loop.fleet.clone(),
            batch,
            launch: launch.clone(),
            pool: if bids.is_empty() {
                self.without_backed_off_zones(self.capped(pool, launch), launch)
            } else {
                pool.clone()
            },
            // An agent that is told to listen to a queue that is not there does not start.
            queues: self
                .settings
                .queues_of(&pool.name)
                .map(|queue| queue.name.clone())
                .filter(|queue| self.facts.queues.named(queue).is_some())
                .collect(),
            revision: self.plan.revision.clone(),
            term: self.term,
            bids,
            tries: Vec::new(),
        };
        Some(Decision { records, deed: Some(Deed::Launch(Box::new(deed))) })
    }

    /// What the cloud chooses among: each type with its cap in money and without the zones where it backs off. A type whose
    /// cap is a share of a price that is not known is left out; all left out, the cloud's side refuses the launch.
    fn bids(&self, pool: &PoolSettings, launch: &Launch) -> Vec<Bid> {
        let bid = |choice: &Choice| {
            let machine_type = choice.machine_type.clone();
            let spec = self.snapshot.catalogue.spec(pool.provider, &pool.region, &machine_type);
            let cap = pool.launch.spot_max_price.map(|cap| cap.rate(spec.and_then(|spec| spec.on_demand)));
            let max_price = match cap {
                None => None,
                Some(cap) => Some(cap?),
            };
            let without = self.backed_off_zones(pool, &machine_type, launch.market).cloned().collect();
            Some(Bid { machine_type, max_price, without })
        };
        launch.choices.iter().filter_map(bid).collect()
    }

    /// The zones that have no machine of the type for now.
    fn backed_off_zones(
        &self,
        pool: &PoolSettings,
        machine_type: &MachineType,
        market: Market,
    ) -> impl Iterator<Item = &Zone> {
        let breakers = self.snapshot.breakers.iter().filter(|breaker| breaker.until > self.now);
        let here = breakers.filter(move |breaker| breaker.on.covers(pool, machine_type, market));
        here.filter_map(|breaker| breaker.on.zone.as_ref())
    }

    /// The pool with its cap on spot prices in money; a share of a price that is not known stays one, and the cloud's
    /// side refuses it.
    fn capped(&self, pool: &PoolSettings, launch: &Launch) -> PoolSettings {
        let mut pool = pool.clone();
        let spec = self.snapshot.catalogue.spec(pool.provider, &pool.region, &launch.machine_type);
        let on_demand = spec.and_then(|spec| spec.on_demand);
        if let Some(rate) = pool.launch.spot_max_price.and_then(|cap| cap.rate(on_demand)) {
            pool.launch.spot_max_price = Some(SpotCap::Price(rate));
        }
        pool
    }

    /// The pool without the zones, and their subnets, that have no such machine for now.
    fn without_backed_off_zones(&self, mut pool: PoolSettings, launch: &Launch) -> PoolSettings {
        let zones: Vec<&Zone> = self.backed_off_zones(&pool, &launch.machine_type, launch.market).collect();
        let has = |zone: &String| !zones.iter().any(|without| without.as_str() == zone);
        let keeps: Vec<bool> = pool.launch.zones.iter().map(has).collect();
        if keeps.contains(&true) {
            let matched = pool.launch.subnets.len() == keeps.len();
            let mut kept = keeps.iter();
            pool.launch.zones.retain(|_| kept.next() != Some(&false));
            if matched {
                let mut kept = keeps.iter();
                pool.launch.subnets.retain(|_| kept.next() != Some(&false));
            }
        }
        pool
    }

    pub(super) fn intent(&self, launch: &Launch, pool: &PoolSettings, batch: &IntentId, place: u32) -> Intent {
        Intent {
            id: intent_of(batch, place),
            batch: batch.clone(),
            pool: launch.pool.clone(),
            queue: launch.queue.clone(),
            provider: pool.provider,
            region: pool.site(),
            machine_type: launch.machine_type.clone(),
            market: launch.market,
            vcpu: launch.vcpu,
            gpu: launch.gpu,
            rate: launch.rate,
            reservation: launch.reservation,
            opened: self.now,
            revision: self.plan.revision.clone(),
            outcome: IntentOutcome::Open,
            starts: None,
            max_life: Some(pool.max_life),
            choices: launch.choices.clone(),
        }
    }
}

#[cfg(test)]
pub(in crate::engine) mod tests {
    use super::*;
    use crate::engine::seen::example::Fleet;
    use crate::engine::seen::hold::Held;
    use crate::model::ids::{Actor, InstanceId};
    use crate::model::instance::{DrainCause, Hold};
    use crate::model::money::{Money, Rate};
    use crate::model::observed::CloudState;
    use crate::model::plan::Rule;
    use crate::model::reason::Reason;
    use crate::model::settings::{Market, SpotStrategy};

    pub(in crate::engine) fn launch(count: u32) -> Action {
        Action::Launch(Launch {
            pool: "gpu".into(),
            queue: "train".into(),
            machine_type: "g5.xlarge".into(),
            market: Market::OnDemand,
            count,
            vcpu: 4,
            gpu: 1,
            rate: None,
            reservation: crate::model::money::Money::ZERO,
            choices: Vec::new(),
        })
    }

    pub(in crate::engine) fn decided(fleet: &Fleet, action: Action) -> Option<Decision> {
        let by = Actor::new("ann");
        let reason = Reason::Asked { by: by.clone() };
        let planned = Planned { rule: Rule::Person, by, action, reason };
        let plan = Plan {
            at: fleet.now,
            revision: fleet.settings.revision.clone(),
            actions: Vec::new(),
            refusals: Vec::new(),
            outlooks: Vec::new(),
            surplus: crate::model::snapshot::Surplus::new(),
            courses: std::collections::BTreeMap::new(),
            lessons: Vec::new(),
            due: None,
        };
        let snapshot = fleet.snapshot();
        let ground = Ground {
            plan: &plan,
            snapshot: &snapshot,
            settings: &fleet.settings,
            memory: &fleet.memory,
            facts: &fleet.facts,
            sights: &fleet.sights,
            term: Term(1),
            now: fleet.now,
        };
        ground.decide(&planned, &mut Naming::seeded(1))
    }

    fn fleet() -> Fleet {
        let mut fleet = Fleet::new().machine("i-1", CloudState::Running, 30).known().worker(None);
        fleet.live(0);
        fleet
    }

    /// Every deed can be done again from what was written before it.
    #[test]
    fn what_is_to_be_done_is_written_first() {
        let instance: InstanceId = "i-1".into();
        let mut fleet = fleet();
        let decision = decided(&fleet, launch(2)).unwrap();
        let Some(Deed::Launch(order)) = &decision.deed else { panic!("{decision:?}") };
        let opened = |record: &Record| matches!(record, Record::IntentOpened(intent) if intent.batch == order.batch);
        assert_eq!(decision.records.iter().filter(|record| opened(record)).count(), 2);
        decision.records.iter().for_each(|record| fleet.memory.apply(record));
        assert!((0..2).all(|place| fleet.memory.intents.contains_key(&intent_of(&order.batch, place))));

        let drain = Action::Drain { instance: instance.clone(), cause: DrainCause::Person };
        let decision = decided(&fleet, drain).unwrap();
        decision.records.iter().for_each(|record| fleet.memory.apply(record));
        let written = fleet.memory.known[&instance].drain.clone().unwrap();
        assert!(matches!(decision.deed, Some(Deed::Drain { nonce, .. }) if nonce == written.nonce));

        let decision = decided(&fleet, Action::CancelDrain { instance: instance.clone() }).unwrap();
        decision.records.iter().for_each(|record| fleet.memory.apply(record));
        assert!(fleet.memory.known[&instance].drain.as_ref().unwrap().cancelled);
        assert!(matches!(decision.deed, Some(Deed::CancelDrain { nonce, .. }) if nonce == written.nonce));

        let decision = decided(&fleet, Action::Stop { instance: instance.clone(), kill: true }).unwrap();
        decision.records.iter().for_each(|record| fleet.memory.apply(record));
        assert_eq!(fleet.memory.known[&instance].stop_sent, Some(fleet.now));
        assert!(matches!(decision.deed, Some(Deed::Stop { .. })));

        let requeue = Action::Requeue {
            task: "t".into(),
            queue: "train".into(),
            worker: Some("lab:gpu:g5.xlarge:i-0".into()),
            instance: "i-0".into(),
            started: None,
            attempt: 1,
        };
        let decision = decided(&fleet, requeue).unwrap();
        decision.records.iter().for_each(|record| fleet.memory.apply(record));
        assert!(fleet.memory.requeueing.contains_key("t"));
        assert!(matches!(decision.deed, Some(Deed::Requeue { .. })));
        assert_eq!(fleet.memory.requeues_of(&"t".into()), 1, "it counts whatever comes of the call");
    }

    /// A pool whose types the cloud chooses, and a launch of one machine in it.
    pub(in crate::engine) fn chosen() -> (Fleet, Action) {
        let mut fleet = fleet();
        let pool = &mut fleet.settings.pools[0];
        pool.types = ["g5.xlarge", "g5.2xlarge", "x9.unlisted"].map(Into::into).into();
        pool.market = Market::Spot;
        pool.launch.spot_strategy = SpotStrategy::PriceCapacityOptimized;
        pool.launch.zones = vec!["a".to_owned(), "b".to_owned()];
        let choice = |machine_type: &str, vcpu, cents: i64| Choice {
            machine_type: machine_type.into(),
            vcpu,
            gpu: 1,
            rate: Some(Rate::from_micros_per_hour(cents * 10_000)),
            reservation: Money::from_micros(cents * 11_000),
        };
        let Action::Launch(mut launch) = launch(1) else { panic!() };
        launch.market = Market::Spot;
        launch.choices = vec![choice("g5.xlarge", 4, 40), choice("g5.2xlarge", 8, 70), choice("x9.unlisted", 2, 10)];
        (launch.vcpu, launch.rate) = (8, launch.choices[1].rate);
        launch.reservation = launch.choices[1].reservation;
        (fleet, Action::Launch(launch))
    }

    #[test]
    fn the_cloud_is_given_each_type_with_its_cap_and_its_zones() {
        let bids = |cap: Option<&str>| {
            let (mut fleet, action) = chosen();
            fleet.settings.pools[0].launch.spot_max_price = cap.map(|cap| cap.parse().unwrap());
            let mut decision = decided(&fleet, action).unwrap();
            let Some(Deed::Launch(order)) = decision.deed.take() else { panic!("{decision:?}") };
            let [Record::IntentOpened(intent), ..] = &decision.records[..] else { panic!("{decision:?}") };
            assert_eq!((&intent.choices, intent.vcpu), (&order.launch.choices, 8));
            assert_eq!(order.pool.launch.zones.len(), 2);
            let bid = |bid: &Bid| (bid.machine_type.to_string(), bid.max_price.map(Rate::micros_per_hour));
            order.bids.iter().map(bid).collect::<Vec<_>>()
        };
        let named = |rows: &[(&str, Option<i64>)]| -> Vec<_> {
            rows.iter().map(|(kind, cap)| ((*kind).to_owned(), *cap)).collect()
        };
        let free = named(&[("g5.xlarge", None), ("g5.2xlarge", None), ("x9.unlisted", None)]);
        assert_eq!(bids(None), free);
        // Half of $1.006 and of $1.212; nobody knows what half of the third is.
        assert_eq!(bids(Some("50%")), named(&[("g5.xlarge", Some(503_000)), ("g5.2xlarge", Some(606_000))]));
        let fixed = Some(300_000);
        let fixed = named(&[("g5.xlarge", fixed), ("g5.2xlarge", fixed), ("x9.unlisted", fixed)]);
        assert_eq!(bids(Some("$0.30/h")), fixed);
    }

    #[test]
    fn a_kill_waits_for_no_hold_task() {
        for (kill, held) in [(false, true), (true, false)] {
            let mut fleet = fleet();
            let drain = Drain {
                nonce: "n".to_owned(),
                cause: DrainCause::Person,
                by: "ann".into(),
                ordered: fleet.now,
                acknowledged: Some(fleet.now),
                cancelled: false,
                held: true,
                end_asked: None,
            };
            fleet.memory.apply(&Record::DrainSet { instance: "i-1".into(), drain: Some(drain) });
            let decision = decided(&fleet, Action::Stop { instance: "i-1".into(), kill }).unwrap();
            decision.records.iter().for_each(|record| fleet.memory.apply(record));
            let known = &fleet.memory.known["i-1"];
            assert_eq!(Held::of(known, &fleet.facts, &fleet.settings).unwrap().may_end(fleet.now), !held, "{kill}");
        }
    }

    #[test]
    fn a_hold_is_in_the_journal_with_its_reason() {
        let fleet = fleet();
        let hold = Hold { until: fleet.now, by: "ann".into(), why: "driver bug".to_owned() };
        let decision = decided(&fleet, Action::Hold { instance: "i-1".into(), hold }).unwrap();
        let reasons: Vec<&str> = decision
            .records
            .iter()
            .filter_map(|record| if let Record::Journal(entry) = record { Some(entry.reason.as_str()) } else { None })
            .collect();
        assert!(matches!(&reasons[..], [one] if one.ends_with(": driver bug")), "{reasons:?}");
    }

    #[test]
    fn what_went_away_is_left_alone() {
        let fleet = fleet();
        let instance = || InstanceId::from("i-9");
        let hold = Hold { until: fleet.now, by: "ann".into(), why: String::new() };
        for action in [
            Action::Stop { instance: instance(), kill: true },
            Action::Drain { instance: instance(), cause: DrainCause::Person },
            Action::CancelDrain { instance: instance() },
            Action::Checkpoint { instance: instance() },
            Action::Checkpoint { instance: "i-1".into() },
            Action::CancelDrain { instance: "i-1".into() },
            Action::Adopt { instance: instance() },
            Action::Hold { instance: instance(), hold },
            Action::Release { instance: instance() },
            Action::Replace { instance: instance() },
            Action::LetBe { instance: instance() },
            Action::Enqueue { task: "t".into(), queue: "elsewhere".into() },
        ] {
            assert!(decided(&fleet, action.clone()).is_none(), "{action}");
        }
    }

    #[test]
    fn an_adopted_machine_is_billed_from_its_launch_or_from_where_its_bill_was_ended() {
        for gone in [None, Some(5)] {
            let mut fleet = Fleet::new().machine("i-1", CloudState::Running, 30);
            let launched = fleet.last().launched;
            let from = gone.map_or(launched, |ago| fleet.now - jiff::SignedDuration::from_mins(ago));
            if gone.is_some() {
                fleet.memory.apply(&Record::Gone { instance: "i-1".into(), at: from });
            }
            fleet.look();
            let decision = decided(&fleet, Action::Adopt { instance: "i-1".into() }).unwrap();
            decision.records.iter().for_each(|record| fleet.memory.apply(record));
            assert_eq!(fleet.memory.ledger.open()["i-1"].start, from);
            let known = &fleet.memory.known["i-1"];
            // Past its boot and without a worker: it may have had one, with a task.
            assert!(known.registered && known.launched == launched);
            assert!(fleet.memory.gone.is_empty());
        }
    }
}
