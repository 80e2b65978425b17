//! The cloud rents, lists, refuses and bills as EC2 does.

use jiff::SignedDuration;
use tidegate::model::observed::CloudState;
use tidegate::model::settings::Market;
use tidegate::model::snapshot::ErrorClass;
use tidegate::world::sim::scenario::{CloudManners, Drought, Fault, JudgedLimits, Pick, Scenario, Spread};

use crate::sim::driver::{Console, FLEET, REGION, pool, scenario};

#[tokio::test(start_paused = true)]
async fn one_token_makes_one_set_of_machines() {
    let mut console = Console::new(scenario(&[]), 1);
    let order = console.order("train", 3).await;
    let first = console.cloud().launch(&order).await.unwrap();
    assert_eq!(console.cloud().launch(&order).await.unwrap(), first);
    let intents: Vec<_> = first.iter().map(|made| made.intent.to_string()).collect();
    assert_eq!(intents, ["b1.0", "b1.1", "b1.2"]);
    let mut other = order.clone();
    other.launch.count = 4;
    let error = console.cloud().launch(&other).await.unwrap_err();
    assert_eq!((error.code.as_deref(), error.may_have_acted), (Some("IdempotentParameterMismatch"), true));
    assert_eq!((console.judge().launched, console.judge().double_launches), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_listed_is_what_was_ordered_and_only_to_its_fleet_in_its_region() {
    let mut console = Console::new(scenario(&[]), 1);
    let made = console.launch("train", 1).await.unwrap().remove(0);
    console.wait(31).await;
    let machine = console.list().await.remove(0);
    assert_eq!((machine.id, Some(machine.launched), machine.zone), (made.id, made.launched, made.zone));
    assert_eq!(machine.tags.intent, Some(made.intent));
    assert_eq!((machine.tags.pool, machine.tags.queue), (Some("a10g".into()), Some("train".into())));
    assert_eq!(machine.launched.subsec_nanosecond() % 1_000_000, 0);
    assert!(console.cloud().list(&"other".into(), REGION).await.unwrap().is_empty());
    assert!(console.cloud().list(&FLEET.into(), "eu-west-1").await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_new_machine_is_listed_late_and_an_ended_one_for_an_hour() {
    let late = Spread::new(5_000, 0.0);
    let cloud = CloudManners { listed_after: late, launch_takes: Spread::new(100, 0.0), ..CloudManners::default() };
    let mut console = Console::new(Scenario { cloud, ..scenario(&[]) }, 1);
    let made = console.launch("train", 1).await.unwrap().remove(0);
    assert!(console.list().await.is_empty());
    console.wait(5).await;
    assert_eq!(console.list().await[0].state, CloudState::Pending);
    console.wait(60).await;
    assert_eq!(console.list().await[0].state, CloudState::Running);
    console.cloud().terminate(REGION, &[made.id.clone(), "i-unknown".into()]).await.unwrap();
    let ended = console.list().await.remove(0);
    assert_eq!(ended.state, CloudState::ShuttingDown);
    console.wait(300).await;
    console.cloud().terminate(REGION, &[made.id]).await.unwrap();
    let still = console.list().await.remove(0);
    assert_eq!((still.state, still.ended), (CloudState::Terminated, ended.ended), "a second call changes nothing");
    console.wait(3_600).await;
    assert!(console.list().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn fewer_than_asked_for_is_success_and_none_is_a_lack_of_capacity() {
    let mut console = Console::new(scenario(&[]), 1);
    let lasts = SignedDuration::from_mins(20);
    let short = Fault::NoCapacity { machine_type: "g5.xlarge".to_owned(), zone: None, lasts, left: 2 };
    assert!(console.sim.fault(&short));
    console.pools.get_mut("train").unwrap().0.launch.zones = vec!["us-east-1a".to_owned()];
    assert_eq!(console.launch("train", 5).await.unwrap().len(), 2);
    let error = console.launch("train", 1).await.unwrap_err();
    assert_eq!((error.class, error.may_have_acted), (ErrorClass::Capacity, false));
    console.wait(1_300).await;
    assert_eq!(console.launch("train", 5).await.unwrap().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn the_next_zone_is_tried_where_the_first_has_nothing() {
    let mut console = Console::new(scenario(&[]), 1);
    let zone = Some("us-east-1a".to_owned());
    let lasts = SignedDuration::from_mins(20);
    console.sim.fault(&Fault::NoCapacity { machine_type: "g5.xlarge".to_owned(), zone, lasts, left: 0 });
    console.pools.get_mut("train").unwrap().0.launch.zones = vec!["us-east-1a".to_owned(), "us-east-1b".to_owned()];
    assert_eq!(console.launch("train", 1).await.unwrap()[0].zone, Some("us-east-1b".into()));
}

#[tokio::test(start_paused = true)]
async fn a_launch_beyond_the_quota_is_refused_whole_and_nonsense_is_a_bad_request() {
    let cloud = CloudManners { quota_vcpu: Some(12), ..CloudManners::default() };
    let mut console = Console::new(Scenario { cloud, ..scenario(&[]) }, 1);
    let error = console.launch("train", 4).await.unwrap_err();
    assert_eq!((error.class, console.judge().launched), (ErrorClass::Quota, 0));
    assert_eq!(console.launch("train", 3).await.unwrap().len(), 3);
    console.pools.get_mut("train").unwrap().0.market = Market::Spot;
    assert_eq!(console.launch("train", 3).await.unwrap().len(), 3, "spot has a quota of its own");
    console.pools.get_mut("train").unwrap().0.types = vec!["g5.huge".into()];
    assert_eq!(console.launch("train", 1).await.unwrap_err().class, ErrorClass::BadRequest);
}

#[tokio::test(start_paused = true)]
async fn the_bill_is_the_price_times_what_the_list_says_with_a_minute_at_least() {
    for (market, micros_per_hour) in [(Market::OnDemand, 1_006_000_i128), (Market::Spot, 402_400)] {
        for seconds in [2_i64, 100, 1_500] {
            let mut console = Console::new(scenario(&[]), seconds.unsigned_abs());
            console.pools.get_mut("train").unwrap().0.market = market;
            let made = console.launch("train", 1).await.unwrap().remove(0);
            console.wait(seconds).await;
            let open = console.clock.now().as_millisecond() - made.launched.unwrap().as_millisecond();
            let cost =
                |millis: i64| i64::try_from(micros_per_hour * i128::from(millis.max(60_000)) / 3_600_000).unwrap();
            assert_eq!(console.judge().bill_microusd, cost(open), "while it runs");
            console.cloud().terminate(REGION, &[made.id]).await.unwrap();
            console.wait(1_000).await;
            let machine = console.list().await.remove(0);
            let closed = machine.ended.unwrap().as_millisecond() - machine.launched.as_millisecond();
            assert_eq!(console.judge().bill_microusd, cost(closed), "{market:?} {seconds}");
            assert_eq!(console.judge().stopped_by_call, 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_boots_luck_depends_on_its_pool_and_number_only() {
    let ids = async |before: u32| {
        let mut console = Console::new(scenario(&[]), 5);
        console.pools.insert("other".into(), (pool("cpu", "g5.xlarge", Market::OnDemand), 9));
        if before > 0 {
            let mut order = console.order("other", before).await;
            order.queues = vec!["train".into()];
            console.cloud().launch(&order).await.unwrap();
        }
        let made = console.launch("train", 3).await.unwrap();
        made.into_iter().map(|one| one.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(0).await, ids(4).await);
}

#[tokio::test(start_paused = true)]
async fn the_console_shows_how_far_a_boot_has_come() {
    let mut console = Console::new(scenario(&[]), 1);
    let made = console.launch("train", 1).await.unwrap().remove(0);
    assert_eq!(console.cloud().console(REGION, &made.id).await.unwrap(), "");
    console.wait(60).await;
    let early = console.cloud().console(REGION, &made.id).await.unwrap();
    assert!(early.contains("Linux version") && !early.contains("tidegate guard"), "{early}");
    console.wait(600).await;
    let late = console.cloud().console(REGION, &made.id).await.unwrap();
    assert!(late.starts_with(&early) && late.contains("tidegate gate: open"), "{late}");
    assert!(console.cloud().console(REGION, &"i-none".into()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_spot_machine_is_taken_back_two_minutes_after_the_notice_and_may_be_free() {
    for free in [false, true] {
        let cloud = CloudManners { first_spot_hour_free: free, ..CloudManners::default() };
        let mut console = Console::new(Scenario { cloud, ..scenario(&[(0, 3_000)]) }, 1);
        console.pools.get_mut("train").unwrap().0.market = Market::Spot;
        console.booted().await;
        console.wait(60).await;
        assert!(console.sim.fault(&Fault::SpotNotice { machine: Pick::Spot }));
        console.wait(115).await;
        assert_eq!(console.judge().tasks_running, 1);
        console.wait(10).await;
        let machine = console.list().await.remove(0);
        assert!(machine.state_reason.unwrap().starts_with("Server.SpotInstanceTermination"));
        let judgement = console.judge();
        assert_eq!((judgement.tasks_stranded, judgement.busy_kills), (1, 0));
        assert_eq!(judgement.bill_microusd == 0, free);
    }
}

#[tokio::test(start_paused = true)]
async fn a_launch_past_a_limit_is_counted_once_for_each_limit() {
    let limits = |total, queue: u32, pool: u32| JudgedLimits {
        total,
        queue: [("train".to_owned(), queue)].into(),
        pool: [("a10g".to_owned(), pool)].into(),
    };
    for (limits, violations) in [
        (JudgedLimits::default(), 0),
        (limits(Some(3), 3, 3), 0),
        (limits(Some(2), 3, 3), 1),
        (limits(None, 2, 2), 2),
        (limits(Some(0), 1, 3), 5),
    ] {
        let mut console = Console::new(scenario(&[]), 1);
        console.sim.set_limits(limits.clone());
        console.launch("train", 3).await.unwrap();
        assert_eq!(console.judge().limit_violations, violations, "{limits:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_machine_counts_against_limits_until_the_cloud_is_done_with_it() {
    let cloud = CloudManners { ends_in: Spread::new(30_000, 0.0), ..CloudManners::default() };
    let limits = JudgedLimits { total: Some(1), ..JudgedLimits::default() };
    for (wait, violations) in [(5, 1), (31, 0)] {
        let mut console = Console::new(Scenario { cloud: cloud.clone(), limits: limits.clone(), ..scenario(&[]) }, 1);
        let made = console.launch("train", 1).await.unwrap().remove(0);
        console.cloud().terminate(REGION, &[made.id]).await.unwrap();
        console.wait(wait).await;
        console.launch("train", 1).await.unwrap();
        assert_eq!(console.judge().limit_violations, violations, "{wait}");
    }
}

#[tokio::test(start_paused = true)]
async fn ending_a_machine_with_a_task_is_a_busy_kill_and_its_task_is_lost_in_time() {
    let mut console = Console::new(scenario(&[(0, 5_000)]), 1);
    let instance = console.booted().await;
    console.wait(60).await;
    console.cloud().terminate(REGION, &[instance]).await.unwrap();
    let judgement = console.judge();
    assert_eq!((judgement.busy_kills, judgement.tasks_stranded, judgement.tasks_lost), (1, 1, 0));
    console.wait(1_000).await;
    let judgement = console.judge();
    assert_eq!((judgement.tasks_stranded, judgement.tasks_lost), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn droughts_come_and_go_by_chance() {
    let drought = Drought { machine_type: "g5.xlarge".to_owned(), zone: None, every_hours: 2.0, lasts_hours: 2.0 };
    let outcomes = async |seed| {
        let mut console = Console::new(Scenario { droughts: vec![drought.clone()], ..scenario(&[]) }, seed);
        console.pools.get_mut("train").unwrap().0.launch.zones = vec!["us-east-1a".to_owned()];
        let mut given = Vec::new();
        for _ in 0..96 {
            given.push(console.launch("train", 1).await.is_ok());
            console.wait(900).await;
        }
        given
    };
    let first = outcomes(1).await;
    assert!(first.contains(&true) && first.contains(&false));
    assert_eq!(first, outcomes(1).await);
    assert_ne!(first, outcomes(2).await);
}

#[tokio::test(start_paused = true)]
async fn calls_fail_as_often_as_the_scenario_says() {
    let cloud = CloudManners { throttled: 0.3, broken: 0.2, silent: 0.2, ..CloudManners::default() };
    let mut console = Console::new(Scenario { cloud, ..scenario(&[]) }, 1);
    let mut codes = std::collections::BTreeMap::<Option<String>, u32>::new();
    let mut given = 0_u64;
    for _ in 0..200 {
        let code = match console.launch("train", 1).await {
            Ok(_) => {
                given += 1;
                None
            }
            Err(error) => error.code,
        };
        *codes.entry(code).or_default() += 1;
    }
    assert!(codes.len() == 4 && codes.values().all(|count| *count > 20), "{codes:?}");
    let launched = console.judge().launched;
    assert!(launched > given && launched < 200, "some that failed acted: {launched} {given}");
}
