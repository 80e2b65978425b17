//! Machines that are switched off and kept: what their disks go on costing, in the ledger and on the cloud's bill.

use tidegate::model::instance::Phase;
use tidegate::model::money::Rate;
use tidegate::model::waste::Waste;

use super::console::{task, with};

/// 500 GB of gp3 at $0.08 for a GB and a month.
const DISKS: Rate = Rate::from_micros_per_hour(54_794);

const SETTINGS: &str = r#"
on_idle = "stop"
stopped_for = "3h"
disk_gb = 500
public_address = true
[[budget]]
name = "gpu day"
scope = "pool:gpu"
per = "day"
limit = "$20"
at = { "100%" = "stop-idle" }
"#;

#[test]
fn the_disks_of_what_is_kept_are_in_the_ledger_to_the_micro_dollar_of_the_bill() {
    with(SETTINGS, vec![task(0, 20, "ann"), task(150, 20, "ann")], async |console| {
        let agrees = |console: &super::console::Console, view: &tidegate::engine::event::View| {
            let (ours, theirs) = (view.spend.total.micros(), console.judge().bill_microusd);
            let least = theirs - view.spend.rate.micros_per_hour() / 60;
            assert!(ours <= theirs && ours >= least, "{ours} of {theirs}: as of the last look");
        };
        let view = console.wait(60).await;
        let machine = &view.snapshot.instances[0];
        assert_eq!((machine.phase, machine.rate, view.spend.rate), (Phase::Stopped, Some(DISKS), DISKS));
        agrees(console, &view);
        let (before, at) = (view.spend.clone(), view.at);
        let view = console.wait(60).await;
        let cost = DISKS.cost_between(at, view.at);
        let more = (view.spend.total - before.total).micros() - cost.micros();
        assert!((-1..=1).contains(&more), "an interval is rounded down once");
        let off = |waste: &Waste| waste.switched_off;
        assert_eq!(off(&view.spend.waste_today) - off(&before.waste_today), view.spend.total - before.total);
        let (budget, earlier) = (&view.spend.budgets[0], &before.budgets[0]);
        assert_eq!((budget.spent - earlier.spent, budget.rate), (view.spend.total - before.total, DISKS));
        assert!(budget.bound.unwrap().most > budget.spent + DISKS.cost(jiff::SignedDuration::from_hours(1)));
        // It is started for the next task, costs its whole price, and is switched off again.
        let view = console.wait(45).await;
        assert_eq!(view.spend.rate.micros_per_hour(), 1_006_000 + 54_794 + 5_000);
        agrees(console, &view);
        let view = console.wait(60).await;
        assert_eq!(view.snapshot.instances[0].phase, Phase::Stopped);
        agrees(console, &view);
        // Kept for as long as it may be, it is ended, and costs nothing more: the bills are the same.
        let view = console.wait(5 * 60).await;
        assert!(view.snapshot.instances.is_empty() && view.spend.rate == Rate::ZERO);
        let judged = console.judge();
        assert_eq!(view.spend.total.micros(), judged.bill_microusd);
        assert_eq!((judged.launched, judged.tasks_done, judged.tasks_lost), (1, 2, 0));
        assert!(off(&view.spend.waste_today) > DISKS.cost(jiff::SignedDuration::from_hours(4)));
    });
}

#[test]
fn what_is_kept_is_ended_when_a_budget_says_to_stop_what_is_idle() {
    with(SETTINGS, vec![task(0, 20, "ann")], async |console| {
        let view = console.wait(60).await;
        assert_eq!(view.snapshot.instances[0].phase, Phase::Stopped);
        console.set("budget.\"gpu day\".limit", "$0.5").await;
        let view = console.wait(5).await;
        assert_eq!((view.snapshot.instances.len(), view.spend.rate), (0, Rate::ZERO));
        assert_eq!(view.spend.total.micros(), console.judge().bill_microusd);
    });
}
