//! Fleets to look at, larger than the example.

use std::sync::Arc;

use jiff::SignedDuration;

use crate::engine::event::{BudgetState, View};
use crate::example::view;
use crate::model::account::{Account, Owner};
use crate::model::journal::{Entry, EntryKind, Subject};
use crate::model::money::{Money, Rate};
use crate::model::plan::{Outlook, Refusal, Rule};
use crate::model::reason::Reason;
use crate::model::settings::{Budget, BudgetScope, Ladder, Per, Period};
use crate::model::snapshot::QueueState;

/// The example, acting, with budgets, hours, an unknown queue and a refusal by budget.
pub(super) fn rich() -> View {
    let mut view = view();
    view.mode.armed = true;
    view.settings_problem = None;
    view.warnings.clear();
    let snapshot = Arc::make_mut(&mut view.snapshot);
    snapshot.sources[1].last_good = snapshot.sources[0].last_good;
    snapshot.sources[1].error = None;
    snapshot.queues = ["train", "eval"]
        .into_iter()
        .map(|name| QueueState {
            name: name.into(),
            id: (name == "train").then(|| "q1".into()),
            nearest: (name == "eval").then(|| "evals".into()),
            waiting: Vec::new(),
            phantoms: Vec::new(),
            retried: 0,
        })
        .collect();
    let settings = Arc::make_mut(&mut view.settings);
    settings.budgets = vec![
        Budget {
            name: "team month".into(),
            scope: BudgetScope::All,
            per: Per::Calendar(Period::Month),
            limit: "$2500".parse().unwrap(),
            hard: true,
            already_spent: Money::ZERO,
            at: crate::model::settings::Ladder::default(),
        },
        Budget {
            name: "train day".into(),
            scope: BudgetScope::Queue("train".into()),
            per: Per::Calendar(Period::Day),
            limit: "$80".parse().unwrap(),
            hard: false,
            already_spent: Money::ZERO,
            at: crate::model::settings::Ladder::default(),
        },
    ];
    let start = view.spend.budgets[0].period_start;
    view.spend.budgets.push(BudgetState {
        name: "train day".into(),
        scope: BudgetScope::Queue("train".into()),
        per: Per::Calendar(Period::Day),
        at: Ladder::read(&[("80%".to_owned(), "cheapest-only".to_owned())].into()).unwrap(),
        bound: None,
        likely: None,
        limit: "$80".parse().unwrap(),
        hard: false,
        period_start: start,
        period_end: view.at.checked_add(SignedDuration::from_hours(16)).unwrap(),
        spent: "$52.40".parse().unwrap(),
        committed: "$30".parse().unwrap(),
        rate: Rate::from_micros_per_hour(1_100_000),
    });
    view.spend.today_by_hour = [0, 2, 5, 9, 4, 1, 0, 7].map(|dollars| Money::from_micros(dollars * 1_000_000)).to_vec();
    view.spend.today_by_account = [("p4d", "train", "$10.10"), ("p4d", "eval", "$2.30")]
        .map(|(pool, queue, money)| {
            let owner = if queue == "eval" {
                Owner { project: Some("vision".into()), user: Some("ann".into()) }
            } else {
                Owner::default()
            };
            (Account { pool: pool.into(), queue: queue.into(), owner }, money.parse().unwrap())
        })
        .to_vec();
    view.spend.queue_today =
        vec![("train".into(), "$10.10".parse().unwrap()), ("eval".into(), "$2.30".parse().unwrap())];
    view.spend.whole_since = Some(start);
    let reason = Reason::Budget {
        name: "team month".into(),
        limit: "$2500".parse().unwrap(),
        spent: "$230.10".parse().unwrap(),
        committed: "$45".parse().unwrap(),
        reservation: "$2300".parse().unwrap(),
    };
    Arc::make_mut(&mut view.plan).refusals.push(Refusal {
        rule: Rule::Grow,
        by: "loop".into(),
        queue: Some("eval".into()),
        pool: Some("p4d".into()),
        instance: None,
        short_of: 2,
        reason,
    });
    view
}

/// What was done before.
pub(super) fn entries() -> Vec<Entry> {
    let at = |seconds: i64| view().at.checked_sub(SignedDuration::from_secs(seconds)).unwrap();
    let entry = |seconds, by: &str, kind, text: &str, reason: &str| Entry {
        at: at(seconds),
        by: by.into(),
        kind,
        text: text.to_owned(),
        reason: reason.to_owned(),
        subject: Subject { queue: Some("train".into()), ..Subject::default() },
        intent: None,
        revision: Some(view().settings.revision.clone()),
    };
    vec![
        entry(30, "loop", EntryKind::Refused, "no launch for train", "pool.p4d.max is 5: 5 instances used"),
        entry(60, "ann", EntryKind::Decided, "drain i-drained", "ann asked"),
        entry(400, "bo", EntryKind::Edited, "sets queue.train.max = 6", ""),
        entry(90_000, "loop", EntryKind::Failed, "launch 1 x p4d.24xlarge", "InsufficientInstanceCapacity"),
    ]
}

/// Many queues and machines.
pub(super) fn large(queues: usize, machines: usize) -> View {
    let mut view = rich();
    let outlooks: Vec<_> = (0..queues)
        .map(|number| Outlook {
            queue: format!("queue-{number:04}").into(),
            waiting: u32::try_from(number % 7).unwrap(),
            ..view.plan.outlooks[0].clone()
        })
        .collect();
    Arc::make_mut(&mut view.plan).outlooks = outlooks;
    let snapshot = Arc::make_mut(&mut view.snapshot);
    let model = snapshot.instances.clone();
    snapshot.instances = (0..machines)
        .map(|number| {
            let mut instance = model[number % model.len()].clone();
            instance.id = format!("i-{number:017x}").into();
            instance.home = format!("queue-{:04}", number % queues.max(1)).into();
            instance
        })
        .collect();
    view
}
