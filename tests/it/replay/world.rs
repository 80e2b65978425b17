//! Other worlds than the clean one: faults, machines that are kept or taken back, scenario files; and what decisions may
//! know.

use tidegate::model::money::Rate;
use tidegate::replay::contest::{PolicySpec, Terms, Watch, contest, played};
use tidegate::replay::generate;
use tidegate::replay::honest::is_blind_to_the_future;
use tidegate::replay::model::{CloudModel, Fault, Spot};
use tidegate::replay::score::Score;
use tidegate::replay::trace::Trace;

fn week(kind: &str) -> Trace {
    let kinds = generate::kinds();
    let (name, habits) = kinds.iter().find(|(name, _)| *name == kind).unwrap();
    generate::week(name, habits, 3)
}

fn own() -> PolicySpec {
    "tidegate".parse().unwrap()
}

fn waiting() -> Rate {
    Rate::from_micros_per_hour(2_000_000)
}

fn score(trace: &Trace, policy: &str, cloud: &CloudModel) -> Score {
    let watch = Watch { clock: &|| jiff::Timestamp::UNIX_EPOCH, ran: &|| {} };
    let terms = Terms { cloud, seeds: 2, waiting: waiting() };
    contest(trace, &[policy.parse().unwrap()], terms, &watch).unwrap().policies.remove(0)
}

#[test]
fn with_every_fault_all_jobs_are_done_nothing_busy_is_killed_and_no_limit_is_passed() {
    let trace = week("sweeps");
    let clean = score(&trace, "tidegate", &CloudModel::default());
    for fault in Fault::ALL {
        let cloud = CloudModel { fault: Some(fault), ..CloudModel::default() };
        let score = score(&trace, "tidegate", &cloud);
        let word = fault.word();
        assert_eq!((score.unfinished, score.busy_kills, score.violations), (0, 0, 0), "{word}");
        assert!(score.wait_p99_s <= 2.0 * clean.wait_p99_s, "{word}: {} of {}", score.wait_p99_s, clean.wait_p99_s);
    }
}

#[test]
fn the_peer_starves_where_a_dead_worker_counts_as_free() {
    let trace = week("rare");
    let clean = score(&trace, "clearml", &CloudModel::default());
    let zombies = CloudModel { fault: Some(Fault::Zombie), ..CloudModel::default() };
    assert!(score(&trace, "clearml", &zombies).wait_p99_s > 2.0 * clean.wait_p99_s);
    let own = [&zombies, &CloudModel::default()].map(|cloud| score(&trace, "tidegate", cloud).wait_p99_s);
    assert!(own[0] <= 1.01 * own[1], "{own:?}");
}

#[test]
fn machines_that_are_kept_switched_off_cost_less_and_start_sooner() {
    let trace = week("rare");
    let clean = score(&trace, "tidegate", &CloudModel::default());
    let kept = score(&trace, "tidegate", &CloudModel { stopped: 4, ..CloudModel::default() });
    assert!(kept.overhead_usd < clean.overhead_usd && kept.wait_mean_s < 0.7 * clean.wait_mean_s, "{kept:?}");
    let off = "$5/h".parse().unwrap();
    let dear = score(&trace, "tidegate", &CloudModel { stopped: 4, off_rate: off, ..CloudModel::default() });
    assert!(dear.overhead_usd > clean.overhead_usd, "what is kept costs its disk");
}

#[test]
fn what_the_cloud_takes_back_is_done_again_from_its_checkpoint() {
    let trace = week("rare");
    let spot = |hazard, checkpoint| CloudModel {
        spot: Some(Spot { price_percent: 40, hazard, mixed: false }),
        checkpoint,
        ..CloudModel::default()
    };
    let calm = score(&trace, "tidegate", &spot(0.0, 1_800_000));
    assert!(calm.lost_usd.abs() < 1e-9);
    let rough = score(&trace, "tidegate", &spot(0.3, 1_800_000));
    let careless = score(&trace, "tidegate", &spot(0.3, 48 * 3_600_000));
    assert!(
        rough.lost_usd > 0.0 && careless.lost_usd > 2.0 * rough.lost_usd,
        "{} {}",
        rough.lost_usd,
        careless.lost_usd
    );
    assert_eq!((rough.unfinished, rough.busy_kills), (0, 0));
    let parts = rough.boot_usd + rough.idle_usd + rough.lost_usd;
    assert!((rough.overhead_usd - parts).abs() < 1e-6);
}

#[test]
fn another_future_changes_nothing_that_was_decided_before() {
    let cloud = CloudModel { stopped: 2, ..CloudModel::default() };
    for kind in ["even", "sweeps", "short"] {
        let terms = Terms { cloud: &cloud, seeds: 1, waiting: waiting() };
        assert!(is_blind_to_the_future(&week(kind), &own(), terms).unwrap(), "{kind}");
    }
}

#[test]
fn the_same_seed_is_the_same_week_to_the_last_byte_on_any_number_of_threads() {
    let trace = week("sweeps");
    let (cloud, policies) = (CloudModel::default(), [own(), "clearml".parse().unwrap()]);
    let terms = Terms { cloud: &cloud, seeds: 3, waiting: waiting() };
    let watch = Watch { clock: &|| jiff::Timestamp::UNIX_EPOCH, ran: &|| {} };
    let once = || serde_json::to_string(&contest(&trace, &policies, terms, &watch).unwrap()).unwrap();
    assert_eq!(once(), once());
    let alone = |seed| played(&trace, &policies[0], seed, terms).unwrap().into_tally();
    assert_eq!(alone(1), alone(1));
    assert_ne!(alone(1), alone(2));
}

#[test]
fn what_was_learned_beats_the_peer_tuned_on_weeks_that_nobody_tuned_it_to() {
    for (name, habits) in generate::kinds() {
        let trace = generate::week(name, &habits, 11);
        let scores =
            ["tidegate", "clearml:poll=30s,idle=60s"].map(|policy| score(&trace, policy, &CloudModel::default()));
        assert!(
            scores[0].score_usd < scores[1].score_usd,
            "{name}: {:?} {:?}",
            scores[0].score_usd,
            scores[1].score_usd
        );
        assert!(scores[0].clearml_calls < 60_000.0, "{name}: {}", scores[0].clearml_calls);
    }
}
