//! Whole runs: one seed is one run, every task is somewhere, and the demo shows what it should.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use proptest::prelude::*;
use tidegate::model::money::Rate;
use tidegate::model::settings::{Market, Provider};
use tidegate::world::sim::Judgement;
use tidegate::world::sim::scenario::{Fault, Hazards, Pick, Scenario, TimedFault};

use crate::sim::driver::{Console, pool, scenario};

fn demo_console(seed: u64) -> Console {
    let mut console = Console::new(Scenario::demo().unwrap(), seed);
    console.pools = BTreeMap::from([
        ("cpu-small".into(), (pool("cpu", "m5.xlarge", Market::OnDemand), 3)),
        ("gpu-small".into(), (pool("a10g", "g5.xlarge", Market::OnDemand), 4)),
        ("gpu-large".into(), (pool("a10g-4x", "g5.12xlarge", Market::OnDemand), 2)),
        ("gpu-spot".into(), (pool("a10g-spot", "g5.xlarge", Market::Spot), 4)),
    ]);
    console
}

async fn demo(seed: u64, hours: i64) -> (Judgement, String) {
    let mut console = demo_console(seed);
    console.seen = Some(String::new());
    let judgement = console.run(SignedDuration::from_hours(hours)).await;
    (judgement, console.seen.unwrap_or_default())
}

#[tokio::test(start_paused = true)]
async fn one_seed_is_one_run_byte_for_byte() {
    let (first, second, other) = (demo(7, 4).await, demo(7, 4).await, demo(8, 4).await);
    assert_eq!(first, second);
    assert_ne!(first.1, other.1);
    assert_ne!(first.0.bill_microusd, other.0.bill_microusd);
}

#[tokio::test(start_paused = true)]
async fn a_monday_of_the_demo_is_busy_and_nothing_is_lost() {
    let judgement = demo_console(1).run(SignedDuration::from_hours(12)).await;
    assert!(judgement.tasks_done > 150 && judgement.launched > 40 && judgement.stopped > 30, "{judgement:?}");
    assert_eq!((judgement.tasks_lost, judgement.busy_kills, judgement.limit_violations), (0, 0, 0), "{judgement:?}");
    assert_eq!((judgement.double_launches, judgement.interrupted_runs), (0, 0), "{judgement:?}");
}

#[tokio::test(start_paused = true)]
async fn within_the_first_hour_of_the_demo_machines_come_work_and_go() {
    let mut console = demo_console(1);
    console.run(SignedDuration::from_mins(25)).await;
    let early = console.judge();
    assert!(early.tasks_done > 0 && early.tasks_running > 0 && early.launched >= 5, "{early:?}");
    let hour = console.run(SignedDuration::from_mins(35)).await;
    assert!(hour.stopped > 0 && hour.bill_microusd > early.bill_microusd, "{hour:?}");
}

fn conserved(judgement: &Judgement) -> bool {
    let Judgement { tasks_done, tasks_waiting, tasks_running, tasks_lost, tasks_stranded, tasks_withdrawn, .. } =
        judgement;
    judgement.tasks_arrived
        == tasks_done + tasks_waiting + tasks_running + tasks_lost + tasks_stranded + tasks_withdrawn
}

fn any_fault() -> impl Strategy<Value = Fault> {
    let lasts = (1_i64..2_000).prop_map(SignedDuration::from_secs);
    let machine = prop_oneof![Just(Pick::Busy), Just(Pick::Idle), Just(Pick::Pool("a10g".to_owned()))];
    prop_oneof![
        lasts.clone().prop_map(|lasts| Fault::TrackerDown { lasts }),
        lasts.clone().prop_map(|lasts| Fault::CloudDown { lasts }),
        machine.clone().prop_map(|machine| Fault::StoppedOutside { machine }),
        machine.clone().prop_map(|machine| Fault::MachineDies { machine }),
        machine.clone().prop_map(|machine| Fault::SpotNotice { machine }),
        (machine, lasts).prop_map(|(machine, lasts)| Fault::Unlisted { machine, lasts }),
        (1_u32..4).prop_map(|machines| Fault::NeverRegister { machines }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever goes wrong, every task is in exactly one place, and what is done is not queued.
    #[test]
    fn every_task_is_somewhere(
        seed: u64,
        tasks in prop::collection::vec((0_i64..7_200, 1_i64..4_000), 1..12),
        faults in prop::collection::vec((0_i64..7_200, any_fault()), 0..8),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let faults = faults.iter().map(|(at, fault)| TimedFault { at: SignedDuration::from_secs(*at), fault: fault.clone() });
            let hazard = Hazards { machine_per_hour: 0.2, ..Hazards::default() };
            let mut console = Console::new(Scenario { faults: faults.collect(), hazard, ..scenario(&tasks) }, seed);
            for _ in 0..6 {
                let judgement = console.run(SignedDuration::from_mins(40)).await;
                prop_assert!(conserved(&judgement), "{:?}", judgement);
                let entries = console.tracker().queues().await.map_or(0, |queues| queues.iter().map(|q| q.entries.len()).sum());
                prop_assert!(console.judge().tasks_done + entries as u64 <= tasks.len() as u64);
            }
            prop_assert_eq!(console.judge().busy_kills, 0);
            Ok(())
        })?;
    }
}

/// The judge and the cloud have numbers of their own; in the demo they are those of its settings and of the table.
#[test]
fn the_demos_two_files_agree() {
    let settings: toml::Table = include_str!("../../../assets/demo/settings.toml").parse().unwrap();
    let scenario = Scenario::demo().unwrap();
    let limit = |section: &toml::Value| u32::try_from(section["max"].as_integer().unwrap()).unwrap();
    let limits = |kind: &str| settings[kind].as_table().unwrap().iter().map(|(name, one)| (name.clone(), limit(one)));
    assert_eq!(scenario.limits.total, Some(limit(&settings["limits"])));
    assert_eq!(scenario.limits.queue, limits("queue").collect());
    assert_eq!(scenario.limits.pool, limits("pool").collect());
    let queues: Vec<_> = scenario.queues.iter().map(|queue| queue.name.as_str()).collect();
    assert_eq!(queues, ["cpu-small", "gpu-small", "gpu-large", "gpu-spot"]);

    let catalogue = tidegate::world::prices::catalogue().unwrap();
    for offer in &scenario.machines {
        let spec = catalogue.spec(Provider::Aws, "us-east-1", &offer.name.as_str().into()).unwrap();
        assert_eq!(spec.on_demand.map(Rate::micros_per_hour), Some(offer.on_demand), "{}", offer.name);
        assert_eq!(spec.vcpu, offer.vcpu);
    }
    let spot: Rate = settings["pool"]["a10g-spot"]["price"].as_str().unwrap().parse().unwrap();
    assert_eq!(scenario.machines[1].spot, Some(spot.micros_per_hour()));
}
