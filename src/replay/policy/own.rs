//! The product's own decisions: the very `plan` that runs live, on what its engine would see.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::Policy;
use super::sight::{learn, owners, see, task};
use crate::engine::advise::Advisors;
use crate::engine::{LEASED_EVERY, WHOLE_EVERY};
use crate::model::advice::Advised;
use crate::model::breaker::{Breaker, Offering};
use crate::model::catalogue::{Catalogue, TypeSpec};
use crate::model::course::Courses;
use crate::model::ids::Revision;
use crate::model::instance::{Agents, Drain, Instance, Origin, Phase, Power};
use crate::model::ledger::Ledger;
use crate::model::money::{Money, Rate};
use crate::model::observed::QueueEntry;
use crate::model::plan::{Action, Launch};
use crate::model::settings::key::{Part, Section};
use crate::model::settings::{Market, OnIdle, PoolSettings, Provider, QueueSettings, Settings, fields};
use crate::model::snapshot::{ErrorClass, QueueState, Snapshot, Source, Surplus};
use crate::plan::pace::{QUICK, SLOW, SLOWER, pace};
use crate::plan::plan;
use crate::replay::trace::{Millis, TraceQueue};
use crate::replay::week::Week;

const REGION: &str = "replay";

/// How long a source's answer is good for; here every look is answered.
const FRESH: SignedDuration = SignedDuration::from_mins(3);

/// The calls for a machine that ends: its hold tasks are looked for, its mailbox goes, and its worker's row.
const ENDED: u64 = 3;

/// The engine's first pause after the cloud had no capacity, and its longest.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_mins(1);
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_mins(20);

/// Tidegate's own loop.
#[derive(Debug)]
pub struct Own {
    settings: Settings,
    snapshot: Snapshot,
    /// The machines of the snapshot, by their numbers.
    shown: Vec<usize>,
    ledger: Ledger,
    interval: SignedDuration,
    leased: Option<Millis>,
    listed: Option<Millis>,
    /// Tasks up to this one were asked whose they are.
    asked: usize,
    /// How often in a row the cloud had no capacity.
    shortage: Option<u32>,
    /// A look found nothing to do, and the world has not changed since.
    still: Option<u64>,
    /// Policies of the user's; what went wrong with one first.
    advisors: Advisors,
    failure: Option<String>,
}

impl Own {
    /// On settings with one pool a queue. `options`: fields of every pool, as people write them.
    ///
    /// # Errors
    /// An option that is no field of a pool, or whose value is none; or several agents on a machine, where a week's
    /// machines run one task at a time.
    pub fn new(week: &Week<'_>, options: &[(String, String)], waiting: Rate) -> Result<Self, String> {
        let mut settings = Settings::blank(Revision::new("replay"));
        settings.the_loop.price_of_waiting = waiting;
        let mut catalogue = Catalogue::default();
        for (place, queue) in week.trace.queues.iter().enumerate() {
            let Some(class) = week.cloud.classes.get(week.class(place)) else { continue };
            let caps = week.caps(place);
            let pools: Vec<_> = (0..caps.len()).map(|pool| pool_name(queue, pool)).collect();
            settings.queues.push(QueueSettings {
                pools: pools.iter().map(|pool| pool.as_str().into()).collect(),
                ..QueueSettings::with_defaults(queue.name.as_str())
            });
            for (place, (pool, cap)) in pools.into_iter().zip(caps).enumerate() {
                let market = if week.cloud.is_spot(place) { Market::Spot } else { Market::OnDemand };
                let mut pool = PoolSettings {
                    region: REGION.to_owned(),
                    types: vec![class.machine_type.as_str().into()],
                    market,
                    ..PoolSettings::with_defaults(pool)
                };
                pool.limits.max = Some(*cap);
                if week.cloud.stopped > 0 {
                    (pool.on_idle, pool.max_stopped) = (OnIdle::Stop, week.cloud.stopped);
                }
                settings.pools.push(pool);
            }
            let spec = TypeSpec {
                vcpu: class.vcpu,
                gpu: class.gpus,
                on_demand: Some(class.rate),
                spot: week.cloud.spot.map(|_| week.cloud.rate(class)),
                source: String::new(),
                spot_source: None,
            };
            catalogue.insert(Provider::Aws, REGION, class.machine_type.as_str().into(), spec);
        }
        for (name, text) in options {
            set(&mut settings, name, text).map_err(|wrong| format!("{name}: {wrong}"))?;
        }
        if let Some(pool) = settings.pools.iter().find(|pool| pool.agent.agents() > 1) {
            let agents = pool.agent.agents();
            return Err(format!("agents_per_machine: `{agents}`: a week's machines run one task at a time"));
        }
        let source =
            |name: String| Source { name, last_good: None, stale_after: FRESH, error: None, credentials_end: None };
        let queue = |queue: &QueueSettings| QueueState {
            name: queue.name.clone(),
            id: Some(queue.name.as_str().into()),
            nearest: None,
            phantoms: Vec::new(),
            retried: 0,
            waiting: Vec::new(),
        };
        let snapshot = Snapshot {
            queues: settings.queues.iter().map(queue).collect(),
            catalogue: Arc::new(catalogue),
            sources: vec![source(Source::CLEARML.to_owned()), source(Source::region(Provider::Aws, REGION))],
            ..Snapshot::default()
        };
        Ok(Self {
            settings,
            snapshot,
            shown: Vec::new(),
            ledger: Ledger::default(),
            interval: QUICK,
            leased: None,
            listed: None,
            asked: 0,
            shortage: None,
            still: None,
            advisors: Advisors::default(),
            failure: None,
        })
    }

    /// With a policy for every queue, as `loop.policy` names one.
    #[must_use]
    pub fn with_policy(mut self, policy: &str) -> Self {
        self.settings.the_loop.policy = Some(policy.to_owned());
        self
    }

    /// Asks the policy, if there is one. One that fails anywhere would be scored for what the loop did without it.
    fn ask(&mut self, week: &Week<'_>, now: Timestamp) {
        if self.settings.the_loop.policy.is_some() {
            self.snapshot.owners = Arc::new(owners(week));
            self.snapshot.advice = self.advisors.advise(&self.snapshot, &self.settings, &self.ledger, now);
            let failed = self.snapshot.advice.values().find_map(Advised::failure);
            self.failure = self.failure.take().or(failed);
        }
    }

    fn look(&mut self, week: &Week<'_>, now: Timestamp) {
        for source in &mut self.snapshot.sources {
            source.last_good = Some(now);
        }
        for (place, queue) in self.snapshot.queues.iter_mut().enumerate() {
            let waiting = week.waiting(place);
            let same = queue.waiting.len() == waiting.len();
            if same && queue.waiting.iter().zip(waiting).all(|(entry, job)| entry.added == submitted(week, *job)) {
                continue;
            }
            let entry = |job: &usize| QueueEntry { task: task(*job), added: submitted(week, *job) };
            queue.waiting = waiting.iter().map(entry).collect();
        }
        let gone = |number: &usize| week.machines().get(*number).is_none_or(|machine| machine.ended.is_some());
        if self.shown.iter().any(gone) {
            let mut kept = self.shown.iter().map(|number| !gone(number));
            self.snapshot.instances.retain(|_| kept.next().unwrap_or_default());
            self.shown.retain(|number| !gone(number));
        }
        let learned = Arc::make_mut(&mut self.snapshot.learned);
        for (number, instance) in self.shown.iter().zip(&mut self.snapshot.instances) {
            if let Some(machine) = week.machines().get(*number) {
                learn(learned, instance, machine, week.now(), now);
                see(instance, machine, week.now(), now);
            }
        }
    }

    /// The calls of a look: queues, workers and mailboxes in one; all workers where one is new, and with all tasks now and
    /// then; whose a new task is; the lease.
    fn count_calls(&mut self, week: &mut Week<'_>) {
        let mut calls = 1;
        let registers = |(number, seen): (&usize, &Instance)| {
            let machine = week.machines().get(*number);
            !seen.registered && machine.is_some_and(|machine| machine.registers <= week.now())
        };
        if self.listed.is_none_or(|at| week.now() - at >= millis(WHOLE_EVERY)) {
            self.listed = Some(week.now());
            calls += 2;
        } else if self.shown.iter().zip(&self.snapshot.instances).any(registers) {
            calls += 1;
        }
        let newest = (0..week.trace.queues.len()).filter_map(|queue| week.waiting(queue).iter().max()).max();
        if let Some(newest) = newest.filter(|newest| **newest >= self.asked) {
            self.asked = newest + 1;
            calls += 1;
        }
        if self.leased.is_none_or(|at| week.now() - at >= millis(LEASED_EVERY)) {
            self.leased = Some(week.now());
            calls += 1;
        }
        week.tally_mut().clearml_calls += calls;
        week.tally_mut().cloud_calls += 1;
    }

    /// Carries a plan out; whether it did anything.
    fn carry_out(&mut self, week: &mut Week<'_>, now: Timestamp) -> bool {
        self.ask(week, now);
        let decided = plan(&self.snapshot, &self.settings, &self.ledger, now);
        self.interval = pace(&self.snapshot, &decided, self.interval);
        self.snapshot.surplus = decided.surplus;
        self.snapshot.courses = decided.courses;
        if !decided.lessons.is_empty() {
            let learned = Arc::make_mut(&mut self.snapshot.learned);
            decided.lessons.iter().for_each(|lesson| learned.take(lesson));
        }
        let acted = !decided.actions.is_empty();
        for planned in decided.actions {
            match planned.action {
                Action::Launch(launch) => self.launch(week, &launch, now),
                Action::Start { instance, launch } => {
                    week.tally_mut().cloud_calls += 1;
                    if let Some((number, seen)) = self.find(&instance) {
                        *seen = Instance { id: seen.id.clone(), ..launched(number, &launch, now) };
                        week.start(number);
                    }
                }
                Action::SwitchOff { instance } => {
                    if let Some((number, _)) = self.find(&instance) {
                        week.tally_mut().cloud_calls += 1;
                        week.tally_mut().clearml_calls += ENDED;
                        week.switch_off(number);
                    }
                }
                Action::Drain { instance, cause } => {
                    if let Some((number, seen)) = self.find(&instance) {
                        seen.drain = Some(Drain {
                            nonce: String::new(),
                            cause,
                            by: planned.by,
                            ordered: now,
                            acknowledged: None,
                            cancelled: false,
                            held: false,
                            end_asked: None,
                        });
                        week.tally_mut().clearml_calls += 1;
                        week.order_drain(number);
                    }
                }
                Action::Stop { instance, .. } => {
                    if let Some((number, _)) = self.find(&instance) {
                        week.tally_mut().cloud_calls += 1;
                        week.tally_mut().clearml_calls += ENDED;
                        week.terminate(number);
                    }
                }
                _ => {}
            }
        }
        acted
    }

    fn launch(&mut self, week: &mut Week<'_>, launch: &Launch, now: Timestamp) {
        week.tally_mut().cloud_calls += 1;
        // A token for their agents, and a mailbox for each.
        week.tally_mut().clearml_calls += 1;
        let queue = self.settings.queues.iter().position(|queue| queue.name == launch.queue);
        let Some(queue) = queue else { return };
        let pools = self.settings.queues.get(queue).map(|queue| queue.pools.as_slice()).unwrap_or_default();
        let Some(pool) = pools.iter().position(|pool| *pool == launch.pool) else { return };
        for _ in 0..launch.count {
            let Some((number, _)) = week.launch(queue, pool) else {
                self.back_off(launch, now);
                return;
            };
            week.tally_mut().clearml_calls += 1;
            self.shown.push(number);
            self.snapshot.instances.push(launched(number, launch, now));
        }
        self.shortage = None;
    }

    /// The cloud had no capacity: as the engine backs off.
    fn back_off(&mut self, launch: &Launch, now: Timestamp) {
        let Some(pool) = self.settings.pool(&launch.pool) else { return };
        let strikes = self.shortage.map_or(0, |strikes| strikes) + 1;
        self.shortage = Some(strikes);
        let pause = FIRST_PAUSE.saturating_mul(2_i32.saturating_pow(strikes - 1)).min(LONGEST_PAUSE);
        let on = Offering {
            machine_type: Some(launch.machine_type.clone()),
            market: Some(launch.market),
            ..Offering::of_account(pool.account())
        };
        self.snapshot.breakers.retain(|breaker| breaker.on != on);
        self.snapshot.breakers.push(Breaker {
            on,
            since: now,
            until: now.saturating_add(pause).unwrap_or(Timestamp::MAX),
            class: ErrorClass::Capacity,
            strikes,
            at_most: 0,
            quota: None,
            message: "InsufficientInstanceCapacity".to_owned(),
        });
    }

    fn find(&mut self, id: &crate::model::ids::InstanceId) -> Option<(usize, &mut Instance)> {
        let place = self.snapshot.instances.iter().position(|instance| instance.id == *id)?;
        Some((*self.shown.get(place)?, self.snapshot.instances.get_mut(place)?))
    }
}

impl Policy for Own {
    fn failure(&self) -> Option<String> {
        self.failure.clone()
    }

    fn act(&mut self, week: &mut Week<'_>) -> Millis {
        let now = Timestamp::from_millisecond(week.now()).unwrap_or(Timestamp::MAX);
        self.count_calls(week);
        let expects =
            self.snapshot.courses.values().any(|course| !course.expected.is_empty() || !course.fell.is_empty());
        // Back-offs end, and what waits for a machine that is soon free has waited longer.
        let waits = (0..week.trace.queues.len()).any(|queue| !week.waiting(queue).is_empty());
        let asks_nobody = self.settings.the_loop.policy.is_none();
        let stands =
            asks_nobody && self.still == Some(week.changes()) && self.snapshot.surplus.is_empty() && !expects && !waits;
        if stands && !self.snapshot.instances.iter().any(|instance| !instance.registered) {
            // As `pace` has it when nothing moves.
            self.interval = (self.interval + SLOWER).min(SLOW);
            return week.now() + millis(self.interval);
        }
        self.look(week, now);
        let acted = self.carry_out(week, now);
        self.still = (!acted).then(|| week.changes());
        week.now() + millis(self.interval)
    }

    /// Machines, their orders and what was learned are in the store; how long a surplus has lasted and what the need was
    /// lately is not.
    fn restart(&mut self, _week: &Week<'_>) {
        (self.snapshot.surplus, self.snapshot.courses) = (Surplus::new(), Courses::new());
        self.snapshot.breakers.clear();
        (self.leased, self.listed, self.shortage, self.still) = (None, None, None, None);
        self.interval = QUICK;
    }
}

fn millis(span: SignedDuration) -> Millis {
    Millis::try_from(span.as_millis()).unwrap_or(Millis::MAX)
}

fn pool_name(queue: &TraceQueue, pool: usize) -> String {
    let name = queue.name.replace([':', '/', ' '], "-");
    if pool == 0 { name } else { format!("{name}-{}", pool + 1) }
}

/// Sets a field of every pool, or of the loop.
fn set(settings: &mut Settings, name: &str, text: &str) -> Result<(), String> {
    let (part, field) = field(name)?;
    let value = field.read(text).map_err(|wrong| wrong.to_string())?;
    let sections: Vec<Section> = match part {
        Part::Loop => vec![Section::Loop],
        _ => settings.pools.iter().map(|pool| Section::Pool(pool.name.clone())).collect(),
    };
    for section in sections {
        fields::put(settings, &section.key(field), &value).map_err(|wrong| wrong.to_string())?;
    }
    Ok(())
}

/// The field of that name, of a pool or of the loop.
pub(in crate::replay) fn field(name: &str) -> Result<(Part, &'static fields::Field), String> {
    let of_pool = fields::find(Part::Pool, name).map(|field| (Part::Pool, field));
    of_pool
        .or_else(|error| fields::find(Part::Loop, name).map(|field| (Part::Loop, field)).map_err(|_| error.to_string()))
}

fn submitted(week: &Week<'_>, job: usize) -> Timestamp {
    let at = week.trace.jobs.get(job).map_or(0, |job| job.submitted);
    Timestamp::from_millisecond(at).unwrap_or(Timestamp::MAX)
}

fn launched(number: usize, launch: &Launch, now: Timestamp) -> Instance {
    Instance {
        id: format!("i-{number:08}").into(),
        provider: Provider::Aws,
        region: REGION.to_owned(),
        pool: launch.pool.clone(),
        home: launch.queue.clone(),
        machine_type: launch.machine_type.clone(),
        zone: None,
        market: launch.market,
        vcpu: launch.vcpu,
        gpu: launch.gpu,
        rate: launch.rate,
        reservation: Money::ZERO,
        intent: None,
        origin: Origin::Launched,
        launched: now,
        ended: None,
        ends_by: None,
        phase: Phase::Pending,
        phase_since: now,
        boot: None,
        fault: None,
        fault_why: None,
        silent_since: None,
        worker: None,
        last_report: None,
        agents: Agents::default(),
        task: None,
        more_tasks: Vec::new(),
        registered: false,
        drain: None,
        hold: None,
        power: Power::On,
        drift: Vec::new(),
        replace: None,
        off_outside: None,
        no_start_until: None,
        pod: None,
    }
}
