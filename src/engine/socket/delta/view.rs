//! How a change of each field of the view is told: the large collections row by row, and the machines' rows field by
//! field, for a report of each is most of what changes.

use std::borrow::Cow;
use std::collections::BTreeSet;

use jiff::Timestamp;

use super::rows::{Row, Rows};
use super::{Change, Map, Mismatch, Shared, Whole, fields};
use crate::engine::event::{ActUnderWay, BudgetState, Leader, Mode, Spend, View};
use crate::model::account::{Account, Owner};
use crate::model::advice::Advised;
use crate::model::attempt::Pod;
use crate::model::breaker::Breaker;
use crate::model::catalogue::Catalogue;
use crate::model::cluster::Cluster;
use crate::model::course::{Course, Lesson, Rise};
use crate::model::drift::Drift;
use crate::model::ids::{
    Actor, FleetId, InstanceId, IntentId, MachineType, PoolName, QueueId, QueueName, Revision, TaskId, WorkerId, Zone,
};
use crate::model::instance::{Agents, Drain, Fault, Hold, Instance, OffOutside, Origin, Phase, Power, RunningTask};
use crate::model::money::{Money, Rate};
use crate::model::observed::QueueEntry;
use crate::model::plan::{Outlook, Plan, Planned, Refusal};
use crate::model::prices::PriceSource;
use crate::model::record::{Intent, Learned, Samples};
use crate::model::settings::{Market, Provider, Settings};
use crate::model::snapshot::{ForeignWorker, Ghost, Order, Phantom, QueueState, Snapshot, Source, Stray};
use crate::model::waste::Waste;

fields! {
    ViewChange of View {
        at: Whole<Timestamp>,
        fleet: Whole<FleetId>,
        mode: Whole<Mode>,
        leader: Whole<Leader>,
        reaches_leader: Whole<bool>,
        leads_since: Whole<Option<Timestamp>>,
        rivals: Whole<Vec<String>>,
        snapshot: Shared<SnapshotChange>,
        plan: Shared<PlanChange>,
        settings: Shared<Whole<Settings>>,
        settings_problem: Whole<Option<String>>,
        settings_path: Whole<Option<String>>,
        spend: SpendChange,
        prices: Whole<Vec<PriceSource>>,
        acts: Rows<Whole<ActUnderWay>>,
        next_pass: Whole<Timestamp>,
        warnings: Whole<Vec<String>>,
    }
}

fields! {
    SnapshotChange of Snapshot {
        queues: Rows<QueueChange>,
        instances: Rows<InstanceChange>,
        intents: Rows<Whole<Intent>>,
        foreign: Rows<Whole<ForeignWorker>>,
        ghosts: Whole<Vec<Ghost>>,
        strays: Whole<Vec<Stray>>,
        interrupted_once: Whole<BTreeSet<TaskId>>,
        owners: Shared<Map<TaskId, Owner>>,
        tags: Shared<Map<TaskId, Vec<String>>>,
        breakers: Whole<Vec<Breaker>>,
        boots_failed: Map<PoolName, u32>,
        surplus: Map<PoolName, Vec<Timestamp>>,
        courses: Map<PoolName, Course>,
        learned: Shared<LearnedChange>,
        catalogue: Shared<Whole<Catalogue>>,
        advice: Map<QueueName, Advised>,
        clusters: Shared<Map<String, Cluster>>,
        orders: Whole<Vec<Order>>,
        sources: Whole<Vec<Source>>,
    }
}

fields! {
    QueueChange of QueueState {
        name: Whole<QueueName>,
        id: Whole<Option<QueueId>>,
        nearest: Whole<Option<QueueName>>,
        waiting: Rows<Whole<QueueEntry>>,
        phantoms: Whole<Vec<Phantom>>,
        retried: Whole<u32>,
    }
}

fields! {
    InstanceChange of Instance {
        id: Whole<InstanceId>,
        provider: Whole<Provider>,
        region: Whole<String>,
        pool: Whole<PoolName>,
        home: Whole<QueueName>,
        machine_type: Whole<MachineType>,
        zone: Whole<Option<Zone>>,
        market: Whole<Market>,
        vcpu: Whole<u32>,
        gpu: Whole<u32>,
        rate: Whole<Option<Rate>>,
        reservation: Whole<Money>,
        intent: Whole<Option<IntentId>>,
        origin: Whole<Origin>,
        launched: Whole<Timestamp>,
        ended: Whole<Option<Timestamp>>,
        ends_by: Whole<Option<Timestamp>>,
        phase: Whole<Phase>,
        phase_since: Whole<Timestamp>,
        boot: Whole<Option<String>>,
        fault: Whole<Option<Fault>>,
        fault_why: Whole<Option<String>>,
        silent_since: Whole<Option<Timestamp>>,
        worker: Whole<Option<WorkerId>>,
        last_report: Whole<Option<Timestamp>>,
        agents: Whole<Agents>,
        task: Whole<Option<RunningTask>>,
        more_tasks: Whole<Vec<RunningTask>>,
        registered: Whole<bool>,
        drain: Whole<Option<Drain>>,
        hold: Whole<Option<Hold>>,
        power: Whole<Power>,
        off_outside: Whole<Option<OffOutside>>,
        drift: Whole<Vec<Drift>>,
        replace: Whole<Option<Actor>>,
        no_start_until: Whole<Option<Timestamp>>,
        pod: Whole<Option<Pod>>,
    }
}

fields! {
    LearnedChange of Learned {
        tasks: Map<QueueName, Samples>,
        boots: Map<PoolName, Samples>,
        starts: Map<PoolName, Samples>,
        gaps: Map<PoolName, Samples>,
        intervals: Map<PoolName, Samples>,
        rises: Map<PoolName, Vec<Rise>>,
    }
}

fields! {
    PlanChange of Plan {
        at: Whole<Timestamp>,
        revision: Whole<Revision>,
        actions: Rows<Whole<Planned>>,
        refusals: Rows<Whole<Refusal>>,
        outlooks: Rows<Whole<Outlook>>,
        surplus: Map<PoolName, Vec<Timestamp>>,
        courses: Map<PoolName, Course>,
        lessons: Whole<Vec<Lesson>>,
        due: Whole<Option<Timestamp>>,
    }
}

fields! {
    SpendChange of Spend {
        rate: Whole<Rate>,
        total: Whole<Money>,
        today: Whole<Money>,
        month: Whole<Money>,
        budgets: Whole<Vec<BudgetState>>,
        today_by_account: Whole<Vec<(Account, Money)>>,
        today_by_hour: Whole<Vec<Money>>,
        whole_since: Whole<Option<Timestamp>>,
        unpriced: Whole<Vec<InstanceId>>,
        queue_today: Rows<Whole<(QueueName, Money)>>,
        waste_today: Whole<Waste>,
    }
}

/// Rows that have a name of their own.
macro_rules! named {
    ($($row:ty: $name:expr,)*) => {
        $(impl Row for $row {
            fn name(&self) -> Cow<'_, str> {
                let name: fn(&Self) -> Cow<'_, str> = $name;
                name(self)
            }
        })*
    };
}

named! {
    Instance: |row| row.id.as_str().into(),
    QueueState: |row| row.name.as_str().into(),
    QueueEntry: |row| row.task.as_str().into(),
    Intent: |row| row.id.as_str().into(),
    ForeignWorker: |row| row.id.as_str().into(),
    ActUnderWay: |row| row.what.as_str().into(),
    Outlook: |row| row.queue.as_str().into(),
    Planned: |row| row.action.to_string().into(),
    Refusal: |row| format!("{:?} {:?} {:?} {:?}", row.rule, row.queue, row.pool, row.instance).into(),
    (QueueName, Money): |row| row.0.as_str().into(),
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::SignedDuration;
    use proptest::prelude::*;

    use super::*;
    use crate::example;

    /// One thing that happens to a view; `place` and `value` say to what, and what it is then.
    fn happen(view: &mut View, kind: u8, place: usize, value: u32) {
        let at = view.at + SignedDuration::from_secs(i64::from(value));
        let (snapshot, plan) = (Arc::make_mut(&mut view.snapshot), Arc::make_mut(&mut view.plan));
        let machines = snapshot.instances.len().max(1);
        let machine = snapshot.instances.get_mut(place % machines);
        match kind {
            0 => view.at = at,
            1 => view.spend.unpriced.push(format!("i-{value}").as_str().into()),
            2 => view.warnings = (0..value % 3).map(|number| number.to_string()).collect(),
            3 => view.settings_problem = value.is_multiple_of(2).then(|| value.to_string()),
            4 => view.spend.queue_today.insert(0, (format!("q{value}").as_str().into(), Money::from_micros(7))),
            5 => snapshot.instances.reverse(),
            6 => snapshot.instances.truncate(place % machines),
            7 => {
                if let Some(machine) = machine {
                    let copy = Instance { id: format!("i-{value}").as_str().into(), ..machine.clone() };
                    snapshot.instances.insert(place % machines, copy);
                }
            }
            8 => {
                if let Some(machine) = machine {
                    (machine.last_report, machine.boot) = (Some(at), Some(value.to_string()));
                }
            }
            9 => {
                if let Some(machine) = machine {
                    (machine.last_report, machine.boot, machine.task) = (None, None, None);
                }
            }
            10 => {
                if let Some(queue) = snapshot.queues.first_mut() {
                    queue.waiting.push(QueueEntry { task: value.to_string().as_str().into(), added: at });
                }
            }
            11 => {
                if let Some(queue) = snapshot.queues.first_mut() {
                    queue.waiting.truncate(place % 3);
                }
            }
            12 => {
                let owners = Arc::make_mut(&mut snapshot.owners);
                owners.insert(value.to_string().as_str().into(), Owner::default());
            }
            13 => Arc::make_mut(&mut snapshot.owners).clear(),
            14 => {
                let learned = Arc::make_mut(&mut snapshot.learned);
                learned.tasks.entry("train".into()).or_default().push(SignedDuration::from_secs(i64::from(value)));
            }
            15 => drop(snapshot.surplus.insert("p".into(), vec![at; place % 3])),
            16 => plan.outlooks.reverse(),
            17 => plan.refusals.truncate(place % 2),
            18 => plan.due = value.is_multiple_of(2).then_some(at),
            _ => view.acts.clear(),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_changes_of_any_sequence_of_views_make_the_same_views(
            steps in proptest::collection::vec(
                proptest::collection::vec((0..20_u8, 0..40_usize, 0..6_u32), 0..6), 1..12,
            ),
        ) {
            let mut told = example::view();
            let mut heard = told.clone();
            for happenings in steps {
                let mut next = told.clone();
                for (kind, place, value) in happenings {
                    happen(&mut next, kind, place, value);
                }
                let change = ViewChange::between(&told, &next);
                prop_assert_eq!(change.is_none(), told == next);
                if let Some(change) = change {
                    let line = serde_json::to_string(&change).unwrap();
                    serde_json::from_str::<ViewChange>(&line).unwrap().apply(&mut heard).unwrap();
                }
                prop_assert_eq!(&heard, &next);
                told = next;
            }
        }
    }

    #[test]
    fn everything_at_once_becomes_other() {
        let empty = View { snapshot: Arc::default(), spend: Spend::default(), warnings: Vec::new(), ..example::view() };
        for (old, new) in [(example::view(), empty.clone()), (empty, example::view())] {
            let mut applied = old.clone();
            ViewChange::between(&old, &new).unwrap().apply(&mut applied).unwrap();
            assert_eq!(applied, new);
        }
    }

    #[test]
    fn a_report_of_one_machine_is_told_in_few_bytes() {
        let old = example::view();
        let mut new = old.clone();
        new.at += SignedDuration::from_secs(10);
        Arc::make_mut(&mut new.snapshot).instances[1].last_report = Some(new.at);
        let told = serde_json::to_string(&ViewChange::between(&old, &new)).unwrap();
        let at = new.at;
        let changed = format!(r#"[[1,{{"last_report":["{at}"]}}]]"#);
        assert_eq!(told, format!(r#"{{"at":["{at}"],"snapshot":{{"instances":{{"changed":{changed}}}}}}}"#));
    }
}
