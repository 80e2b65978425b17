//! The share of the soak that every change is held to: some forty thousand ticks, each judged.

use std::process::Command;

use tidegate::replay::soak::{Soak, soak, trace};

use crate::support::told::told;

/// Of each world.
const TICKS: u32 = 800;

fn share(seed: u64, ticks: u64, threads: usize) -> tidegate::replay::soak::Soaked {
    soak(Soak { seed, ticks, world_ticks: Some(TICKS), threads }, &|_| {}).unwrap()
}

#[test]
fn no_invariant_is_broken_at_any_step() {
    let soaked = share(10_000, 40_000, 2);
    assert_eq!(soaked.failure, None, "{} of {} worlds failed", soaked.failed, soaked.worlds);
    let faults = &soaked.faults;
    assert!(soaked.ticks >= 40_000 && faults.total() >= 4_000 && faults.kinds() >= 60, "{faults:?}");
    // The money was there to be crossed.
    assert!(soaked.launches > 300 && soaked.governed > 200, "{} {}", soaked.launches, soaked.governed);
}

#[test]
fn a_seed_is_the_same_world_again() {
    let (first, failure) = trace(7, 300).unwrap();
    assert_eq!(failure, None);
    assert!(first.len() > 100);
    assert!(first == trace(7, 300).unwrap().0 && first != trace(8, 300).unwrap().0);
}

#[test]
fn the_command_tells_what_was_soaked() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(["soak", "--seed", "3", "--ticks", "1", "--world", "200", "--threads", "1", "--json"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let told = told("soak", &output.stdout);
    assert_eq!((&told["worlds"], &told["failed_worlds"]), (&1.into(), &0.into()));
    assert!(told["ticks"].as_u64() > Some(200) && told["by_kind"]["DrainRaced"].is_u64(), "{told}");
}
