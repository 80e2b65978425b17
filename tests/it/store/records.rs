//! Any records, of few names, so that they meet.

use jiff::{SignedDuration, Timestamp};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use tidegate::model::account::Owner;
use tidegate::model::attempt::Attempt;
use tidegate::model::course::{Lesson, Rise};
use tidegate::model::glance::{Glance, States};
use tidegate::model::instance::{Drain, DrainCause, Hold, Origin, Power};
use tidegate::model::journal::{Entry, EntryKind, Subject};
use tidegate::model::ledger::{Interval, Share};
use tidegate::model::money::{Money, Rate};
use tidegate::model::observed::LostTask;
use tidegate::model::plan::Choice;
use tidegate::model::record::{Intent, IntentEnd, IntentOutcome, KnownInstance, Opened, Record};
use tidegate::model::settings::{Market, Provider};
use tidegate::model::waste::Standing;

pub(super) fn now() -> Timestamp {
    "2026-11-02T08:00:00Z".parse().unwrap()
}

/// Few names, so that records meet.
pub(super) fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "Ünï 'c'\"", ""]).prop_map(str::to_owned)
}

prop_compose! {
    pub(super) fn instant()(nanoseconds in 0_i64..40 * 86_400_000_000_000) -> Timestamp {
        now().saturating_sub(SignedDuration::from_nanos(nanoseconds)).unwrap()
    }
}

prop_compose! {
    pub(super) fn drain()(nonce in name(), by in name(), ordered in instant(), acknowledged in option::of(instant()), cancelled: bool, held: bool, end_asked in option::of(instant())) -> Drain {
        Drain { nonce, cause: DrainCause::Person, by: by.into(), ordered, acknowledged, cancelled, held, end_asked }
    }
}

pub(super) fn power() -> impl Strategy<Value = Power> {
    prop_oneof![
        Just(Power::On),
        instant().prop_map(|at| Power::SwitchingOff { at }),
        instant().prop_map(|since| Power::Off { since }),
    ]
}

prop_compose! {
    pub(super) fn hold()(until in instant(), by in name(), why in ".{0,9}") -> Hold {
        Hold { until, by: by.into(), why }
    }
}

prop_compose! {
    pub(super) fn intent()(id in name(), pool in name(), rate in option::of(0_i64..9_000_000), opened in instant(), lost: bool) -> Intent {
        Intent {
            id: id.clone().into(),
            batch: id.into(),
            pool: pool.into(),
            queue: "q".into(),
            provider: Provider::Aws,
            region: "r".to_owned(),
            machine_type: "m".into(),
            market: Market::Spot,
            vcpu: 8,
            gpu: 1,
            rate: rate.map(Rate::from_micros_per_hour),
            reservation: Money::from_micros(7),
            opened,
            revision: tidegate::model::ids::Revision::new("0a"),
            outcome: if lost { IntentOutcome::Unknown } else { IntentOutcome::Open },
            starts: lost.then(|| "i".into()),
            max_life: lost.then_some(SignedDuration::from_hours(24)),
            choices: vec![Choice {
                machine_type: "m".into(),
                vcpu: 8,
                gpu: 1,
                rate: rate.map(Rate::from_micros_per_hour),
                reservation: Money::from_micros(7),
            }],
        }
    }
}

/// A machine that nothing more is known of.
pub(super) fn known_as(id: &str, launched: Timestamp) -> KnownInstance {
    KnownInstance {
        id: id.into(),
        provider: Provider::Aws,
        region: "r".to_owned(),
        pool: "p".into(),
        home: "q".into(),
        machine_type: "m".into(),
        zone: None,
        market: Market::OnDemand,
        vcpu: 4,
        gpu: 0,
        intent: None,
        origin: Origin::Orphan,
        launched,
        registered: false,
        drain: None,
        hold: None,
        stop_sent: None,
        power: Power::On,
        replace: None,
        started_again: false,
        max_life: None,
    }
}

prop_compose! {
    pub(super) fn known()(id in name(), zone in option::of(name()), launched in instant(), registered: bool, drain in option::of(drain()),
        hold in option::of(hold()), stop_sent in option::of(instant()), power in power()) -> KnownInstance {
        let zone = zone.map(Into::into);
        KnownInstance { zone, registered, drain, hold, stop_sent, power, ..known_as(&id, launched) }
    }
}

prop_compose! {
    pub(super) fn share()(from in instant(), queue in name(), task in option::of(name()), project in option::of(name()),
        user in option::of(name()), standing in prop::sample::select(vec![Standing::Boot, Standing::Idle, Standing::Drained, Standing::Off, Standing::Waits])) -> Share {
        let owner = Owner { project: project.map(Into::into), user: user.map(Into::into) };
        Share { from, queue: queue.into(), task: task.map(Into::into), owner, standing }
    }
}

prop_compose! {
    pub(super) fn interval()(instance in name(), pool in name(), rate in option::of(0_i64..40_000_000), extras in 0_i64..9, off: bool, start in instant(),
        end in option::of(instant()), shares in vec(share(), 0..3)) -> Interval {
        Interval {
            instance: instance.into(),
            pool: pool.into(),
            home: "q".into(),
            rate: rate.map(Rate::from_micros_per_hour),
            extras: Rate::from_micros_per_hour(extras),
            disks: Rate::from_micros_per_hour(extras / 2),
            off,
            reservation: Money::from_micros(9),
            start,
            end,
            shares,
        }
    }
}

prop_compose! {
    pub(super) fn attempt()(instance in name(), task in name(), number in 1_u32..9, site in option::of(name()), intent in option::of(name()), user in option::of(name()),
        opened in instant(), (queue_id, pending, goes_back) in (option::of(name()), option::of(name()), option::of(1_u32..4))) -> Attempt {
        Attempt {
            instance: instance.into(),
            task: task.into(),
            queue: "q".into(),
            queue_id: queue_id.map(Into::into),
            pending: pending.map(Into::into),
            number,
            pool: "p".into(),
            site,
            intent: intent.map(Into::into),
            owner: Owner { project: None, user: user.map(Into::into) },
            opened,
            goes_back,
        }
    }
}

prop_compose! {
    pub(super) fn lost()(task in name(), started in option::of(instant())) -> LostTask {
        LostTask { task: task.into(), queue: "q".into(), worker: Some("w".into()), instance: "i".into(), started }
    }
}

prop_compose! {
    pub(super) fn entry()(at in instant(), by in name(), text in "[a-cA-C é]{0,4}", reason in "[a-c]{0,2}", queue in option::of(name()),
        pool in option::of(name()), task in option::of(name()), intent in option::of(name()), refused: bool) -> Entry {
        Entry {
            at,
            by: by.into(),
            kind: if refused { EntryKind::Refused } else { EntryKind::Edited },
            text,
            reason,
            subject: Subject { queue: queue.map(Into::into), pool: pool.map(Into::into), instance: None, task: task.map(Into::into) },
            revision: intent.clone().map(tidegate::model::ids::Revision::new),
            intent: intent.map(Into::into),
        }
    }
}

pub(super) fn glance() -> impl Strategy<Value = Glance> {
    let states = any::<[u32; 5]>().prop_map(|[busy, idle, starting, leaving, faulty]| States {
        busy,
        idle,
        starting,
        leaving,
        faulty,
    });
    let spent = prop::collection::vec((name(), any::<i64>()), 0..3);
    (instant(), states, any::<u32>(), any::<i64>(), spent).prop_map(|(at, states, waiting, oldest, spent)| Glance {
        at,
        states,
        waiting,
        oldest,
        spent: spent.into_iter().map(|(name, micros)| (name.as_str().into(), Money::from_micros(micros))).collect(),
    })
}

pub(super) fn record() -> impl Strategy<Value = Record> {
    let span = (0_i64..90_000_000_000_000).prop_map(SignedDuration::from_nanos);
    let end = prop::sample::select(vec![IntentEnd::Made, IntentEnd::Refused, IntentEnd::NeverAppeared]);
    let machines = prop_oneof![
        (known(), interval()).prop_map(|(known, interval)| Record::Opened(Box::new(Opened { known, interval }))),
        (known(), interval()).prop_map(|(known, interval)| Record::Restarted(Box::new(Opened { known, interval }))),
        interval().prop_map(|interval| Record::DisksBilled(Box::new(Interval { off: true, ..interval }))),
        name().prop_map(|id| Record::Registered(id.into())),
        (name(), power()).prop_map(|(id, power)| Record::PowerSet { instance: id.into(), power }),
        (name(), share()).prop_map(|(id, share)| Record::Charged { instance: id.into(), share }),
        (name(), instant()).prop_map(|(id, at)| Record::StopSent { instance: id.into(), at }),
        (name(), instant()).prop_map(|(id, end)| Record::Closed { instance: id.into(), end }),
        (name(), instant()).prop_map(|(id, at)| Record::Gone { instance: id.into(), at }),
        name().prop_map(|id| Record::Withdrawn(id.into())),
        (name(), option::of(drain())).prop_map(|(id, drain)| Record::DrainSet { instance: id.into(), drain }),
        (name(), option::of(name()))
            .prop_map(|(id, by)| Record::ReplaceSet { instance: id.into(), by: by.map(Into::into) }),
        (name(), option::of(hold())).prop_map(|(id, hold)| Record::HoldSet { instance: id.into(), hold }),
    ];
    let others = prop_oneof![
        any::<bool>().prop_map(Record::Armed),
        any::<bool>().prop_map(Record::Paused),
        intent().prop_map(Record::IntentOpened),
        name().prop_map(|id| Record::IntentUnknown(id.into())),
        (name(), end).prop_map(|(id, end)| Record::IntentClosed { id: id.into(), end }),
        attempt().prop_map(|attempt| Record::AttemptOpened(Box::new(attempt))),
        name().prop_map(|id| Record::AttemptSettled(id.into())),
        lost().prop_map(Record::RequeueOpened),
        name().prop_map(|task| Record::RequeueClosed(task.into())),
        (name(), any::<u32>(), instant()).prop_map(|(task, count, at)| Record::Requeued {
            task: task.into(),
            count,
            at
        }),
        (name(), instant()).prop_map(|(task, at)| Record::Interrupted { task: task.into(), at }),
        (name(), span.clone()).prop_map(|(queue, duration)| Record::TaskTook { queue: queue.into(), duration }),
        (name(), span.clone()).prop_map(|(pool, duration)| Record::BootTook { pool: pool.into(), duration }),
        (name(), span.clone()).prop_map(|(pool, duration)| Record::StartTook { pool: pool.into(), duration }),
        (name(), span.clone()).prop_map(|(pool, lasted)| Record::Learned(Lesson::Gap { pool: pool.into(), lasted })),
        (name(), span).prop_map(|(pool, lasted)| Record::Learned(Lesson::Interval { pool: pool.into(), lasted })),
        (name(), any::<(u32, u32, u32)>()).prop_map(|(pool, (over, lately, more))| {
            Record::Learned(Lesson::Rise { pool: pool.into(), rise: Rise { over, lately, more } })
        }),
        (name(), name()).prop_map(|(pool, id)| Record::BootFailed { pool: pool.into(), instance: id.into() }),
        name().prop_map(|pool| Record::BootsForgiven(pool.into())),
        instant().prop_map(Record::LedgerWholeSince),
        (name(), 0_i64..40_000_000).prop_map(|(of, micros)| {
            Record::PodPriced { of: format!("{of} in a/b: 1 cpu"), rate: Rate::from_micros_per_hour(micros) }
        }),
        glance().prop_map(|glance| Record::Glanced(Box::new(glance))),
        entry().prop_map(Record::Journal),
    ];
    prop_oneof![2 => machines, 1 => others]
}
