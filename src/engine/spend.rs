//! Money at a glance, from the ledger. Pure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::engine::event::{BudgetState, Spend};
use crate::model::account::{AccountOf, NOBODY};
use crate::model::bound::{Bound, Exposure, Runner};
use crate::model::calendar::{Bounds, Windows, bounds};
use crate::model::ids::PoolName;
use crate::model::instance::Power;
use crate::model::ledger::Interval;
use crate::model::money::{Money, Rate};
use crate::model::record::{Intent, KnownInstance, Memory};
use crate::model::settings::ladder::Step;
use crate::model::settings::{Budget, BudgetScope, GuardKind, Per, Period, Settings};

/// What has been spent, what is committed, and what it costs now.
#[must_use]
pub fn spend(memory: &Memory, settings: &Settings, now: Timestamp) -> Spend {
    let ledger = &memory.ledger;
    let (zone, pools) = (&settings.the_loop.time_zone, &settings.pools);
    let day = bounds(Period::Day, zone, now);
    let month = bounds(Period::Month, zone, now);
    let today_by_account = ledger.spent_by_account(day.start, now);
    let mut queue_today: BTreeMap<_, Money> = BTreeMap::new();
    for (account, money) in &today_by_account {
        *queue_today.entry(account.queue.clone()).or_default() += *money;
    }
    let windows = Windows::new(&settings.budgets, zone, now);
    let by_account = ledger.by_account(windows.starts(), now);
    let state = |(budget, span): (&Budget, &Bounds)| {
        let coverage = budget.scope.among(pools);
        let covered = || by_account.iter().filter(|(account, _)| coverage.covers(**account)).map(|(_, money)| money);
        let intents = memory.intents.values().filter(|intent| coverage.of_launch(&intent.pool, &intent.queue));
        let intents: Money = intents.map(|intent| intent.reservation).sum();
        let spent: Money = covered().map(|money| windows.spent(*span, money)).sum();
        let before = budget.spent_before_ledger(span.start, ledger.whole_since);
        BudgetState {
            name: budget.name.clone(),
            scope: budget.scope.clone(),
            per: budget.per,
            at: budget.at.clone(),
            bound: bound(budget, *span, spent + before, memory, settings, now),
            likely: None,
            limit: budget.limit,
            hard: budget.hard,
            period_start: span.start,
            period_end: span.end,
            spent: spent + before,
            committed: covered().map(|money| money.committed).sum::<Money>() + intents,
            rate: ledger.rate(&coverage),
        }
    };
    let unpriced = ledger.running().filter(|interval| interval.rate.is_none());
    Spend {
        rate: ledger.rate(&BudgetScope::All.among(pools)),
        total: ledger.total(now),
        today: today_by_account.values().copied().sum(),
        month: ledger.spent(&BudgetScope::All.among(pools), month.start, now),
        budgets: settings.budgets.iter().zip(windows.bounds()).map(state).collect(),
        today_by_account: today_by_account.into_iter().collect(),
        today_by_hour: ledger.spent_by_hour(&BudgetScope::All.among(pools), day.start, now),
        whole_since: ledger.whole_since,
        unpriced: unpriced.map(|interval| interval.instance.clone()).collect(),
        queue_today: queue_today.into_iter().collect(),
        waste_today: ledger.waste(day.start, now),
    }
}

/// How far a budget's period can come with what is up or on its way.
fn bound(
    budget: &Budget,
    span: Bounds,
    spent: Money,
    memory: &Memory,
    settings: &Settings,
    now: Timestamp,
) -> Option<Bound> {
    let obeys = |pool: &PoolName| settings.pool(pool).is_some_and(|pool| pool.guard != GuardKind::Off);
    let life_of = |known: &KnownInstance| known.max_life.map(|max_life| (max_life, obeys(&known.pool)));
    let runner =
        |rate: Option<Rate>, launched: Timestamp, unbilled: Timestamp, ends: Option<(SignedDuration, bool)>| Runner {
            rate: rate.unwrap_or_default(),
            launched,
            unbilled,
            max_life: ends.map(|(max_life, _)| max_life),
            obeys: ends.is_some_and(|(_, obeys)| obeys),
        };
    let up = memory.ledger.open().values().filter(|interval| may_charge(budget, interval.charged(), settings));
    let up = up.map(|interval| {
        runner(interval.rate, interval.start, now, memory.known.get(&interval.instance).and_then(life_of))
    });
    let home = |intent: &Intent| {
        may_charge(budget, AccountOf { pool: &intent.pool, queue: &intent.queue, owner: &NOBODY }, settings)
    };
    let off = memory.ledger.off().values().filter(|interval| may_charge(budget, interval.charged(), settings));
    let off = off.map(|interval| {
        let ends = stays_off(interval, memory, settings).map(|lasts| (lasts, true));
        runner(interval.rate, interval.start, now, ends)
    });
    let intents = memory.intents.values().filter(|intent| home(intent));
    let intents = intents.map(|intent| {
        let ends = intent.max_life.map(|max_life| (max_life, obeys(&intent.pool)));
        runner(intent.rate, now, intent.opened, ends)
    });
    let runners: Vec<Runner> = up.chain(off).chain(intents).collect();
    let kill = budget.at.rungs().iter().find_map(|rung| match rung.step {
        Step::Kill { after } => Some((rung.amount(budget.limit), after)),
        _ => None,
    });
    let period_end = matches!(budget.per, Per::Calendar(_)).then_some(span.end);
    Exposure { spent, runners: &runners, kill, period_end, now }.bound()
}

/// For how long at most a machine that we switched off is kept; `None`: nothing ends it.
fn stays_off(interval: &Interval, memory: &Memory, settings: &Settings) -> Option<SignedDuration> {
    let known = memory.known.get(&interval.instance).filter(|known| known.power != Power::On)?;
    let held = known.hold.as_ref().map(|hold| hold.until.duration_since(interval.start)).unwrap_or_default();
    Some(settings.pool(&interval.pool)?.stopped_for.max(held))
}

/// Whether a machine's time may come to be a budget's: of a queue's budget all that may serve the queue, of a project's or
/// a user's any, as anybody's task may run there next.
fn may_charge(budget: &Budget, account: AccountOf<'_>, settings: &Settings) -> bool {
    let covered = budget.scope.among(&settings.pools).covers(account);
    covered
        || match &budget.scope {
            BudgetScope::Queue(queue) => settings.queue(queue).is_some_and(|queue| queue.pools.contains(account.pool)),
            scope => !scope.holds_launches(),
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::seen::example::intent;
    use crate::model::ids::QueueName;
    use crate::model::ledger::Share;
    use crate::model::record::Record;
    use proptest::prelude::*;

    const SETTINGS: &str = r#"
[loop]
fleet = "lab"
time_zone = "Asia/Kathmandu"
[[budget]]
name = "day"
per = "day"
limit = "$10"
[[budget]]
name = "evals"
scope = "queue:eval"
per = "month"
limit = "$10"
[queue.train]
pools = ["gpu"]
[queue.eval]
pools = ["gpu"]
[pool.gpu]
provider = "aws"
region = "us-east-1"
types = ["g5.xlarge"]
ami = "ami-1"
"#;

    #[test]
    fn a_bound_counts_what_machines_that_are_off_go_on_costing() {
        let text = SETTINGS.replace("ami =", "on_idle = \"stop\"\nstopped_for = \"10h\"\ndisk_gb = 1000\nami =");
        let settings = crate::store::settings::parse(&text, std::path::Path::new("settings")).unwrap();
        let off: Timestamp = "2026-11-02T08:00:00Z".parse().unwrap();
        let start = off - SignedDuration::from_hours(1);
        let id: crate::model::ids::InstanceId = "i-1".into();
        let opened =
            crate::engine::seen::notice::opened(&intent("b.0", start), id.clone(), &"g5.xlarge".into(), start, None);
        let opened = opened.with_extras(settings.pool(&"gpu".into()), &crate::model::catalogue::Catalogue::default());
        let disks = opened.interval.switched_off(off);
        assert_eq!(disks.rate, Some(Rate::from_micros_per_hour(109_589)));
        let mut memory = Memory::default();
        let record = |memory: &mut Memory, record| memory.apply(&record);
        record(&mut memory, Record::Opened(Box::new(opened)));
        record(&mut memory, Record::Closed { instance: id.clone(), end: off });
        record(&mut memory, Record::PowerSet { instance: id.clone(), power: Power::Off { since: off } });
        let bound = |memory: &Memory| spend(memory, &settings, off).budgets[1].bound.unwrap();
        let without = bound(&memory).most;
        record(&mut memory, Record::DisksBilled(Box::new(disks)));
        // Ten hours, and the time that is given to the loop's looks.
        let most = (bound(&memory).most - without).micros();
        assert!((1_095_890..1_150_000).contains(&most), "{most}");
        let hold = |hours| crate::model::instance::Hold {
            until: off + SignedDuration::from_hours(hours),
            by: "ann".into(),
            why: String::new(),
        };
        record(&mut memory, Record::HoldSet { instance: id, hold: Some(hold(100)) });
        assert!((bound(&memory).most - without).micros() > 10_958_900, "as long as a person holds it");
    }

    proptest! {
        /// However machines come and go, every view of the same money agrees.
        #[test]
        fn hours_accounts_queues_and_budgets_add_up(
            machines in prop::collection::vec((0_i64..50 * 3600, 0_i64..30 * 3600, 0_i64..9_000), 0..12),
        ) {
            let settings = crate::store::settings::parse(SETTINGS, std::path::Path::new("settings")).unwrap();
            let now: Timestamp = "2026-11-02T08:00:13Z".parse().unwrap();
            let mut memory = Memory::default();
            for (place, (ago, lasts, eval_after)) in machines.into_iter().enumerate() {
                let start = now - SignedDuration::from_secs(ago);
                let end = start + SignedDuration::from_secs(lasts);
                let instance: crate::model::ids::InstanceId = format!("i-{place}").into();
                let (intent, made) = (intent("b.0", start), "g5.xlarge".into());
                let opened = crate::engine::seen::notice::opened(&intent, instance.clone(), &made, start, None);
                memory.apply(&Record::Opened(Box::new(opened)));
                let from = start + SignedDuration::from_secs(eval_after);
                let share = Share::idle(from, "eval".into());
                memory.apply(&Record::Charged { instance: instance.clone(), share });
                if end < now {
                    memory.apply(&Record::Closed { instance, end });
                }
            }
            let spend = spend(&memory, &settings, now);
            let sum = |money: &[Money]| money.iter().copied().sum::<Money>();
            let queues: Vec<Money> = spend.queue_today.iter().map(|(_, money)| *money).collect();
            prop_assert_eq!(sum(&spend.today_by_hour), spend.today);
            prop_assert_eq!(sum(&queues), spend.today);
            prop_assert_eq!(spend.budgets[0].spent, spend.today);
            prop_assert_eq!(spend.total, memory.ledger.total(now));
            let month = spend.budgets[1].period_start;
            let evals = BudgetScope::Queue(QueueName::new("eval"));
            prop_assert_eq!(spend.budgets[1].spent, memory.ledger.spent(&evals.among(&[]), month, now));
            prop_assert_eq!(spend.month, memory.ledger.spent(&BudgetScope::All.among(&[]), month, now));
            prop_assert_eq!(spend.budgets[0].committed, memory.ledger.committed(&BudgetScope::All.among(&[]), now));
            // Each hour is what was spent from its beginning on, less what was from its end on.
            for (hour, money) in (0..).zip(&spend.today_by_hour) {
                let from = spend.budgets[0].period_start + SignedDuration::from_hours(hour);
                let until = from + SignedDuration::from_hours(1);
                let spent = |from| memory.ledger.spent(&BudgetScope::All.among(&[]), from, now);
                let later = if until < now { spent(until) } else { Money::ZERO };
                prop_assert_eq!(*money, spent(from) - later);
            }
        }
    }
}
