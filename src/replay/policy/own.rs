//! The product's own decisions: the very `plan` that runs live, on what its engine would see.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::Policy;
use crate::model::catalogue::{Catalogue, TypeSpec};
use crate::model::ids::Revision;
use crate::model::instance::{Agents, Drain, Instance, Origin, Phase, Power, RunningTask};
use crate::model::ledger::Ledger;
use crate::model::money::Money;
use crate::model::observed::QueueEntry;
use crate::model::plan::Action;
use crate::model::settings::key::{Part, Section};
use crate::model::settings::{Market, PoolSettings, Provider, QueueSettings, Settings, fields};
use crate::model::snapshot::{QueueState, Snapshot, Source};
use crate::plan::pace::{QUICK, pace};
use crate::plan::plan;
use crate::replay::trace::{Millis, TraceQueue};
use crate::replay::week::{Doing, Machine, Week};

const REGION: &str = "replay";

/// How long a source's answer is good for; here every look is answered.
const FRESH: SignedDuration = SignedDuration::from_mins(3);

/// The lease of the fleet is written so often.
const LEASE: Millis = 60_000;

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
    /// A look found nothing to do, and the world has not changed since.
    still: Option<u64>,
}

impl Own {
    /// On settings with one pool a queue. `options`: fields of every pool, as people write them.
    ///
    /// # Errors
    /// An option that is no field of a pool, or whose value is none; or several agents on a machine, where a week's
    /// machines run one task at a time.
    pub fn new(week: &Week<'_>, options: &[(String, String)]) -> Result<Self, String> {
        let mut settings = Settings::blank(Revision::new("replay"));
        let mut catalogue = Catalogue::default();
        for (place, queue) in week.trace.queues.iter().enumerate() {
            let Some(class) = week.cloud.classes.get(week.class(place)) else { continue };
            let pool = pool_name(queue);
            settings.queues.push(QueueSettings {
                pools: vec![pool.as_str().into()],
                ..QueueSettings::with_defaults(queue.name.as_str())
            });
            let mut pool = PoolSettings {
                region: REGION.to_owned(),
                types: vec![class.machine_type.as_str().into()],
                ..PoolSettings::with_defaults(pool)
            };
            pool.limits.max = Some(class.cap);
            settings.pools.push(pool);
            let spec = TypeSpec {
                vcpu: class.vcpu,
                gpu: class.gpus,
                on_demand: Some(class.rate),
                spot: None,
                source: String::new(),
                spot_source: None,
            };
            catalogue.insert(Provider::Aws, REGION, class.machine_type.as_str().into(), spec);
        }
        for (name, text) in options {
            let field = fields::find(Part::Pool, name).map_err(|error| error.to_string())?;
            let value = field.read(text).map_err(|wrong| format!("{name}: {wrong}"))?;
            for pool in settings.pools.iter().map(|pool| pool.name.clone()).collect::<Vec<_>>() {
                let key = Section::Pool(pool).key(field);
                fields::put(&mut settings, &key, &value).map_err(|wrong| format!("{name}: {wrong}"))?;
            }
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
            still: None,
        })
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
        for (number, instance) in self.shown.iter().zip(&mut self.snapshot.instances) {
            if let Some(machine) = week.machines().get(*number) {
                see(instance, machine, week.now(), now);
            }
        }
    }

    /// Carries a plan out; whether it did anything.
    fn carry_out(&mut self, week: &mut Week<'_>, now: Timestamp) -> bool {
        let decided = plan(&self.snapshot, &self.settings, &self.ledger, now);
        self.interval = pace(&self.snapshot, &decided, self.interval);
        self.snapshot.surplus = decided.surplus;
        let acted = !decided.actions.is_empty();
        for planned in decided.actions {
            match planned.action {
                Action::Launch(launch) => {
                    let queue = self.settings.queues.iter().position(|queue| queue.name == launch.queue);
                    week.tally_mut().cloud_calls += 1;
                    for _ in 0..launch.count {
                        let Some(queue) = queue else { continue };
                        let (number, _) = week.launch(queue);
                        let instance = launched(number, &launch, now);
                        self.shown.push(number);
                        self.snapshot.instances.push(instance);
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
                        });
                        week.tally_mut().clearml_calls += 1;
                        week.order_drain(number);
                    }
                }
                Action::Stop { instance, .. } => {
                    if let Some((number, _)) = self.find(&instance) {
                        week.tally_mut().cloud_calls += 1;
                        // The mailbox goes with the machine, and its worker's row.
                        week.tally_mut().clearml_calls += 2;
                        week.terminate(number);
                    }
                }
                _ => {}
            }
        }
        acted
    }

    fn find(&mut self, id: &crate::model::ids::InstanceId) -> Option<(usize, &mut Instance)> {
        let place = self.snapshot.instances.iter().position(|instance| instance.id == *id)?;
        Some((*self.shown.get(place)?, self.snapshot.instances.get_mut(place)?))
    }
}

impl Policy for Own {
    fn act(&mut self, week: &mut Week<'_>) -> Millis {
        let now = Timestamp::from_millisecond(week.now()).unwrap_or(Timestamp::MAX);
        let drains = self.snapshot.instances.iter().any(|instance| instance.drain.is_some());
        // Queues and workers; the mailboxes while one is expected to answer; the lease.
        week.tally_mut().clearml_calls += 2 + u64::from(drains);
        week.tally_mut().cloud_calls += 1;
        if self.leased.is_none_or(|at| week.now() - at >= LEASE) {
            self.leased = Some(week.now());
            week.tally_mut().clearml_calls += 1;
        }
        let stands = self.still == Some(week.changes()) && self.snapshot.surplus.is_empty();
        if stands && !self.snapshot.instances.iter().any(|instance| !instance.registered) {
            return week.now() + millis(self.interval);
        }
        self.look(week, now);
        let acted = self.carry_out(week, now);
        self.still = (!acted).then(|| week.changes());
        week.now() + millis(self.interval)
    }
}

fn millis(span: SignedDuration) -> Millis {
    Millis::try_from(span.as_millis()).unwrap_or(Millis::MAX)
}

fn pool_name(queue: &TraceQueue) -> String {
    queue.name.replace([':', '/', ' '], "-")
}

fn task(job: usize) -> crate::model::ids::TaskId {
    format!("job-{job}").into()
}

fn submitted(week: &Week<'_>, job: usize) -> Timestamp {
    let at = week.trace.jobs.get(job).map_or(0, |job| job.submitted);
    Timestamp::from_millisecond(at).unwrap_or(Timestamp::MAX)
}

fn launched(number: usize, launch: &crate::model::plan::Launch, now: Timestamp) -> Instance {
    Instance {
        id: format!("i-{number:08}").into(),
        provider: Provider::Aws,
        region: REGION.to_owned(),
        pool: launch.pool.clone(),
        home: launch.queue.clone(),
        machine_type: launch.machine_type.clone(),
        zone: None,
        market: Market::OnDemand,
        vcpu: launch.vcpu,
        gpu: launch.gpu,
        rate: launch.rate,
        reservation: Money::ZERO,
        intent: None,
        origin: Origin::Launched,
        launched: now,
        ended: None,
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
        no_start_until: None,
    }
}

/// A machine as the engine's join would show it.
fn see(instance: &mut Instance, machine: &Machine, millis: Millis, now: Timestamp) {
    let draining = instance.drain.is_some();
    let phase = match machine.doing {
        _ if draining => Phase::Draining,
        Doing::Booting if machine.runs > millis => Phase::Pending,
        Doing::Booting => Phase::Booting,
        Doing::Idle | Doing::Drained => Phase::Idle,
        Doing::Running(_) => Phase::Busy,
        Doing::Gone => Phase::Gone,
    };
    if instance.phase != phase {
        (instance.phase, instance.phase_since) = (phase, now);
    }
    instance.registered = machine.registers <= millis;
    instance.last_report = instance.registered.then_some(now);
    match machine.doing {
        Doing::Running(job) => {
            if instance.task.as_ref().is_none_or(|running| running.id != task(job)) {
                let queue = Some(instance.home.clone());
                instance.task = Some(RunningTask { id: task(job), name: String::new(), queue, since: now });
            }
        }
        _ => instance.task = None,
    }
    if machine.doing == Doing::Drained
        && let Some(drain) = instance.drain.as_mut().filter(|drain| drain.acknowledged.is_none())
    {
        drain.acknowledged = Some(now);
    }
}
