//! The examples in `config/policies`, each on a small world that shows what it is for.

use tidegate::model::advice::{Advice, Advised};
use tidegate::model::ids::PoolName;

use crate::custom::{World, example};

/// Monday noon in Berlin.
const NOON: &str = "2026-11-30T11:00:00Z";
/// The same day, late.
const NIGHT: &str = "2026-11-30T22:00:00Z";
const SATURDAY: &str = "2026-11-28T11:00:00Z";

#[track_caller]
fn wants(name: &str, now: &str, tasks: &[(i64, &str, &str)]) -> Option<Advice> {
    match World::at(now, tasks).ask(&example(name)) {
        None => None,
        Some(Advised::Wants(advice)) => Some(advice),
        Some(Advised::Failed { error, .. }) => panic!("{error}"),
    }
}

fn pools(advice: &Advice) -> Vec<&str> {
    advice.pools.iter().flatten().map(PoolName::as_str).collect()
}

#[test]
fn at_night_and_at_weekends_there_are_more() {
    let tasks = [(60, "ann", "vision"); 5];
    let capacity = |now| wants("night.rhai", now, &tasks).unwrap().capacity;
    assert_eq!([NOON, NIGHT, SATURDAY].map(capacity), [Some(2), Some(5), Some(5)]);
    assert_eq!(wants("night.rhai", NIGHT, &[]).unwrap().capacity, Some(0), "no machine waits for tasks");
}

#[test]
fn no_user_has_more_than_a_share() {
    let mut tasks = vec![(60, "ann", "vision"); 9];
    tasks.extend([(30, "bob", "speech"); 2]);
    let advice = wants("fair_shares.rhai", NOON, &tasks).unwrap();
    assert_eq!(advice.capacity, Some(4 + 2));
    assert!(advice.said.ends_with("more wait of [\"ann\"]"), "{}", advice.said);
    assert_eq!(wants("fair_shares.rhai", NOON, &tasks[6..]), None);
}

#[test]
fn a_project_that_matters_gets_machines_on_demand() {
    let urgent = wants("projects_first.rhai", NOON, &[(60, "ann", "vision"), (5, "bob", "production")]).unwrap();
    assert_eq!(pools(&urgent), ["gpu", "spot"]);
    let other = wants("projects_first.rhai", NOON, &[(60, "ann", "vision")]).unwrap();
    assert_eq!(pools(&other), ["spot"]);
}

#[test]
fn spot_machines_come_first_until_a_task_has_waited_long() {
    let soon = wants("spot_until.rhai", NOON, &[(60, "ann", "vision")]).unwrap();
    assert_eq!(pools(&soon), ["spot"]);
    assert_eq!(wants("spot_until.rhai", NOON, &[(60, "ann", "vision"), (1_200, "ann", "vision")]), None);
}

#[test]
fn a_queue_has_so_many_gpus_and_one_without_a_quota_none() {
    let advice = wants("gpu_quota.rhai", NOON, &[(60, "ann", "vision"); 40]).unwrap();
    assert_eq!(advice.capacity, Some(16));
    let mut world = World::at(NOON, &[(60, "ann", "vision")]);
    world.snapshot.catalogue = std::sync::Arc::default();
    let told = world.ask(&example("gpu_quota.rhai"));
    let vetoes = |advice: &Advice| advice.veto && advice.said.contains("nobody knows how many GPUs");
    assert!(told.as_ref().and_then(Advised::wants).is_some_and(vetoes), "{told:?}");
    world.settings.queues[0].name = "other".into();
    world.snapshot.queues[0].name = "other".into();
    let mut settings = world.settings.clone();
    settings.the_loop.policy = Some(example("gpu_quota.rhai").display().to_string());
    let mut advisors = tidegate::engine::advise::Advisors::default();
    let told = advisors.advise(&world.snapshot, &settings, &tidegate::model::ledger::Ledger::default(), world.now);
    assert!(told["other"].wants().is_some_and(|advice| advice.veto));
}

#[test]
fn every_example_is_tested_here() {
    let tests = [include_str!("examples.rs"), include_str!("programs.rs")].concat();
    for entry in std::fs::read_dir(example("")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(tests.contains(&format!("\"{name}\"")), "{name} is in no test");
    }
}
