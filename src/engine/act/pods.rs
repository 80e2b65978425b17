//! Pods: from a launch to tries at tasks, what is done for each, and what follows from that. A Job is made before its task is
//! touched, and nothing of it runs before the task is taken: after a crash between any two calls the task is where it was, or
//! its Job is there to say what it is for.

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};

use crate::engine::act::breakers::Breakers;
use crate::engine::act::decide::{Decision, Ground};
use crate::engine::act::deed::{Deed, Done, Failed, LaunchDeed};
use crate::engine::act::naming::Naming;
use crate::engine::act::outcome::{Consequence, close};
use crate::engine::seen::notice::opened;
use crate::engine::words::{Line, line};
use crate::model::attempt::{Attempt, waits_reason};
use crate::model::ids::{InstanceId, PoolName, TaskId};
use crate::model::journal::{EntryKind, Subject};
use crate::model::observed::{QueueEntry, TaskStatus};
use crate::model::plan::{Action, Launch};
use crate::model::record::{IntentEnd, Memory, Record};
use crate::model::settings::{PoolSettings, Provider};
use crate::world::World;
use crate::world::cloud::{AgentAccess, Launched, PodOrder, intent_of};
use crate::world::tracker::{PodPlace, Requeue, Taken, TaskContainer};

/// So many at once; the next pass has the others.
const MOST_AT_ONCE: usize = 20;

/// The task of a pod that is gone is back in its queue by then, or something keeps it from there.
const COMES_BACK_WITHIN: SignedDuration = SignedDuration::from_mins(5);

/// A try at a task, with what is needed to carry it through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Try {
    pub attempt: Attempt,
    pub provider: Provider,
    /// Where its Job is.
    pub region: String,
    pub place: PodPlace,
}

/// A pod may wait for a node for as long as it takes; the token of one that waits longer than this and then runs is refused, and
/// its task gets another pod. No `pending_timeout` is longer.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_hours(7 * 24);

/// What became of a try.
#[derive(Debug)]
pub(crate) struct Tried {
    pub instance: InstanceId,
    /// `None`: its task waited no more, and nothing is left of it.
    pub made: Result<Option<Launched>, Failed>,
}

impl Ground<'_> {
    /// A try at each of the tasks that have waited longest, as many as were decided. `None`: none waits any more.
    pub(super) fn tries(
        &self,
        launch: &Launch,
        pool: &PoolSettings,
        told: Line,
        naming: &mut Naming,
    ) -> Option<Decision> {
        let queue = self.facts.queues.named(&launch.queue)?;
        let most = usize::try_from(launch.count).unwrap_or(usize::MAX).min(MOST_AT_ONCE);
        // The place of a pod that was lost is its own task's, which is on its way to the front of its queue.
        let most = most.saturating_sub(self.on_their_way_back(&pool.name));
        let batch = naming.batch();
        let waiting = queue.entries.iter().filter(|entry| self.waits(entry));
        let tries = waiting.take(most).zip(0..).filter_map(|(entry, place)| {
            let number = self.next_number(&entry.task);
            let attempt = Attempt {
                instance: Attempt::name(&entry.task, number)?,
                task: entry.task.clone(),
                queue: launch.queue.clone(),
                queue_id: Some(queue.id.clone()),
                pending: Some(pool.launch.kubernetes.pending_queue.as_str().into()),
                number,
                pool: pool.name.clone(),
                site: Some(pool.site()),
                intent: Some(intent_of(&batch, place)),
                owner: self.facts.owners.get(&entry.task).cloned().unwrap_or_default(),
                opened: self.now,
                goes_back: None,
            };
            let place = PodPlace {
                task: entry.task.clone(),
                queue: queue.id.clone(),
                pending: pool.launch.kubernetes.pending_queue.as_str().into(),
                instance: attempt.instance.clone(),
                waits: waits_reason(&attempt.instance, &self.settings.the_loop.fleet, &launch.queue),
            };
            Some(Try { attempt, provider: pool.provider, region: pool.site(), place })
        });
        let tries: Vec<Try> = tries.collect();
        if tries.is_empty() {
            return None;
        }
        let mut records = Vec::new();
        for (one, place) in tries.iter().zip(0..) {
            records.push(Record::IntentOpened(self.intent(launch, pool, &batch, place)));
            records.push(Record::AttemptOpened(Box::new(one.attempt.clone())));
        }
        let launch = Launch { count: u32::try_from(tries.len()).unwrap_or(u32::MAX), ..launch.clone() };
        records.push(told.about(Action::Launch(launch.clone()).subject()).intent(Some(&batch)).record());
        let deed = LaunchDeed {
            fleet: self.settings.the_loop.fleet.clone(),
            batch,
            launch,
            pool: pool.clone(),
            queues: Vec::new(),
            revision: self.plan.revision.clone(),
            term: self.term,
            bids: Vec::new(),
            tries,
        };
        Some(Decision { records, deed: Some(Deed::Launch(Box::new(deed))) })
    }

    /// Attempts of the pool whose pods are gone since a moment ago, and whose tasks are not settled yet. One that cannot be
    /// settled keeps nobody's place for good.
    fn on_their_way_back(&self, pool: &PoolName) -> usize {
        let of_pool = self.memory.attempts.values().filter(|attempt| attempt.pool == *pool);
        let lately = |attempt: &&Attempt| {
            let since = self.memory.gone.get(&attempt.instance).copied().unwrap_or(attempt.opened);
            self.now.duration_since(since) < COMES_BACK_WITHIN
        };
        let stands = |attempt: &&Attempt| {
            self.memory.known.contains_key(&attempt.instance)
                || attempt.intent.as_ref().is_some_and(|intent| self.memory.intents.contains_key(intent))
        };
        of_pool.filter(|attempt| !stands(attempt) && lately(attempt)).count()
    }

    /// Behind the entry a task waits that nobody tries.
    fn waits(&self, entry: &QueueEntry) -> bool {
        let queued = matches!(self.facts.statuses.get(&entry.task), None | Some(Some(TaskStatus::Queued)));
        queued && self.memory.attempts.values().all(|attempt| attempt.task != entry.task)
    }

    /// One more than any Job of the task has that is known of.
    fn next_number(&self, task: &TaskId) -> u32 {
        let names = self.facts.machines.keys().chain(self.memory.known.keys()).chain(self.memory.gone.keys());
        names.filter_map(|name| Attempt::number_in(name, task)).max().unwrap_or_default().saturating_add(1)
    }
}

/// Does them all at once: each says for itself what became of it.
pub(super) async fn launch(world: &World, deed: &LaunchDeed) -> Result<Done, Failed> {
    // It must live as long as the pod may wait, boot and run.
    let waits = deed.pool.launch.kubernetes.pending_timeout.unwrap_or(LONGEST_WAIT);
    let life = deed.pool.max_life.saturating_add(deed.pool.max_boot).saturating_add(waits);
    let token = world.tracker.mint_agent_token(life).await.map_err(|error| Failed {
        message: format!("no token for the pod's agent: {error}"),
        // Nothing was asked of the cluster yet.
        may_have_acted: false,
        ..Failed::from(error)
    })?;
    let one = |one: Try| {
        let agents = AgentAccess { api_server: world.tracker.api_server(), token: token.clone() };
        async move {
            let instance = one.attempt.instance.clone();
            Tried { instance, made: try_one(world, deed, &one, agents).await }
        }
    };
    Ok(Done::Tried(join_all(deed.tries.iter().cloned().map(one)).await))
}

async fn try_one(world: &World, deed: &LaunchDeed, one: &Try, agents: AgentAccess) -> Result<Option<Launched>, Failed> {
    let container = if deed.pool.launch.kubernetes.task_image {
        world.tracker.container(&one.attempt.task).await
    } else {
        Ok(TaskContainer::default())
    };
    // Nothing was asked of the cluster yet.
    let container = container.map_err(|error| Failed { may_have_acted: false, ..Failed::from(error) })?;
    let order = PodOrder {
        fleet: deed.fleet.clone(),
        attempt: one.attempt.clone(),
        machine_type: deed.launch.machine_type.clone(),
        pool: deed.pool.clone(),
        revision: deed.revision.clone(),
        term: deed.term,
        agents,
        container,
    };
    let made = world.cloud(one.provider)?.prepare(&order).await?;
    match carry(world, one).await {
        Ok(Taken::Taken) => Ok(Some(made)),
        Ok(Taken::NotWaiting) => Ok(None),
        // Its Job is there: that is seen, and it is carried through.
        Err(failed) => Err(Failed { may_have_acted: true, ..failed }),
    }
}

/// Takes the task, and lets its Job go. A Job whose task waits no more is deleted, unless it was let go already.
pub(super) async fn carry(world: &World, one: &Try) -> Result<Taken, Failed> {
    let cloud = world.cloud(one.provider)?;
    let taken = world.tracker.take(&one.place).await?;
    match taken {
        Taken::Taken => cloud.release(&one.region, &one.attempt.instance).await?,
        Taken::NotWaiting => cloud.withdraw(&one.region, &one.attempt.instance).await?,
    }
    Ok(taken)
}

/// What follows from a launch of pods.
pub(super) fn tried_all(
    order: &LaunchDeed,
    tried: &[Tried],
    memory: &Memory,
    breakers: &mut Breakers,
    now: Timestamp,
) -> Consequence {
    let mut consequence = Consequence::default();
    let mut failed = None;
    for one in tried {
        let Some(attempt) = order.tries.iter().map(|one| &one.attempt).find(|of| of.instance == one.instance) else {
            continue;
        };
        let Some(intent) = attempt.intent.as_ref() else { continue };
        let subject = of_attempt(attempt);
        let about = |kind, text| line(now, kind, text).about(subject.clone()).intent(Some(intent));
        let settled = [close(intent, IntentEnd::Refused), Record::AttemptSettled(attempt.instance.clone())];
        let records = &mut consequence.records;
        match &one.made {
            Ok(Some(made)) => {
                // A listing that showed it first has settled its intent.
                if let (Some(intent), Some(launched)) = (memory.intents.get(intent), made.launched) {
                    let opened = opened(intent, made.id.clone(), &made.machine_type, launched, None);
                    records.extend([Record::Opened(Box::new(opened)), close(&intent.id, IntentEnd::Made)]);
                }
                let text = format!("{} is attempt {} at task {}", made.id, attempt.number, attempt.task);
                records.push(about(EntryKind::Done, text).record());
            }
            Ok(None) => {
                records.extend(settled);
                let text = format!("task {} does not wait any more: no pod is made for it", attempt.task);
                records.push(about(EntryKind::Seen, text).record());
            }
            Err(why) => {
                let doubt = if why.may_have_acted {
                    records.push(Record::IntentUnknown(intent.clone()));
                    "its Job may exist: it counts until the cluster shows otherwise"
                } else {
                    records.extend(settled);
                    "its task waits where it did"
                };
                let text = format!("no pod for task {}", attempt.task);
                let reason = format!("{}: {}; {doubt}", why.class.word(), why.message);
                records.push(about(EntryKind::Failed, text).because(&reason).record());
                failed = failed.or(Some(why));
            }
        }
    }
    match failed {
        Some(failed) => breakers.failed(order, failed, now),
        None => breakers.succeeded(order, None, now),
    }
    consequence
}

/// What follows when a task was put back, or ended.
pub(super) fn put_back(attempt: &Attempt, give_up: Option<&str>, requeue: Requeue, now: Timestamp) -> Vec<Record> {
    if requeue != Requeue::Enqueued {
        // Its next look says what became of it.
        return Vec::new();
    }
    let settled = Record::AttemptSettled(attempt.instance.clone());
    let subject = of_attempt(attempt);
    let line = match give_up {
        None => {
            let text = format!("task {} waits at the front of its queue again", attempt.task);
            line(now, EntryKind::Done, text).about(subject)
        }
        Some(why) => {
            let text = format!("task {} was ended", attempt.task);
            line(now, EntryKind::Alarm, text).about(subject).because(&why)
        }
    };
    vec![settled, line.record()]
}

/// What a line is about that tells of an attempt.
pub(in crate::engine) fn of_attempt(attempt: &Attempt) -> Subject {
    Subject {
        queue: Some(attempt.queue.clone()),
        pool: Some(attempt.pool.clone()),
        instance: Some(attempt.instance.clone()),
        task: Some(attempt.task.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::act::decide::tests::{decided, launch};
    use crate::engine::seen::example::Fleet;
    use crate::store::settings::parse;

    const SETTINGS: &str = r#"
[loop]
fleet = "lab"
[queue.train]
pools = ["gpu"]
[pool.gpu]
provider = "kubernetes"
namespace = "ml"
pod_image = "python:3.12"
pending_queue = "k8s_one"
price = "$1/h"
"#;

    /// A cluster with room for one, and the pod of another task that went so many minutes ago and is not settled.
    fn tried(minutes: i64) -> Vec<Attempt> {
        let mut fleet = Fleet::new();
        fleet.settings = parse(SETTINGS, std::path::Path::new("settings")).unwrap();
        fleet.waiting = vec!["other"];
        let gone = fleet.now - SignedDuration::from_mins(minutes);
        let lost = Attempt {
            instance: "clearml-t-1".into(),
            task: "t".into(),
            queue: "train".into(),
            queue_id: None,
            pending: None,
            number: 1,
            pool: "gpu".into(),
            site: Some("current/ml".to_owned()),
            intent: None,
            owner: crate::model::account::Owner::default(),
            opened: gone - SignedDuration::from_hours(1),
            goes_back: None,
        };
        fleet.memory.apply(&Record::AttemptOpened(Box::new(lost)));
        fleet.memory.apply(&Record::Gone { instance: "clearml-t-1".into(), at: gone });
        fleet.look();
        let records = decided(&fleet, launch(1)).map(|decision| decision.records).unwrap_or_default();
        let opened = records.into_iter().filter_map(|record| match record {
            Record::AttemptOpened(attempt) => Some(*attempt),
            _ => None,
        });
        opened.collect()
    }

    #[test]
    fn a_task_on_its_way_back_keeps_its_place_and_one_that_cannot_come_back_nobodys() {
        assert_eq!(tried(4), []);
        let tried = tried(5);
        let [attempt] = tried.as_slice() else { panic!("{tried:?}") };
        assert_eq!(attempt.task, "other".into());
        assert_eq!((&attempt.queue_id, &attempt.pending), (&Some("q-train".into()), &Some("k8s_one".into())));
    }
}
