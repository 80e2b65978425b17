//! A team's consoles on one database: whoever leads is killed at any moment, and the next one knows what it had begun.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use tidegate::world::clock::Clock;

use super::leaders::{Rig, SETTINGS, TAKE_OVERS, TIMES, median};
use crate::support::ec2::{Ec2Console, Listed};
use crate::support::moto;
use crate::support::postgres::Postgres;
use crate::support::process::{A_MINUTE, eventually};

/// Looks of 50 ms within which a launch whose outcome nobody knows is made, or known not to be.
const KNOWN_WITHIN: u32 = 6_000;

#[test]
fn a_leader_that_is_killed_loses_no_intent_and_starts_no_machine_twice() {
    let (postgres, moto) = (Postgres::start(), moto::start());
    let store = format!("fleet = \"lab\"\nstore = \"{}\"", postgres.address());
    let settings = SETTINGS.replace("fleet = \"lab\"", &store).replace("ami-1", "ami-12345678");
    let (rig, ec2) = (Rig::with(&settings, &moto.url), Ec2Console::new(&moto.url));
    let up = || ec2.machines().into_iter().filter(Listed::is_up).count();
    let mut leader = rig.start("ann");
    eventually("the first leads", A_MINUTE, || rig.leads(&leader, 1));
    assert!(rig.command("ann", &["arm", "--yes"]).output().unwrap().status.success());
    let mut other = rig.start("bo");
    let mut times = Vec::new();
    for round in 1..=TAKE_OVERS {
        let term = u64::try_from(round).unwrap();
        eventually("the other watches", A_MINUTE, || rig.status(&other)["led_by"].is_string());
        rig.served.enqueue_shell("train", "true");
        // Before it looks, while it decides, while it calls, or after.
        std::thread::sleep(Duration::from_millis(103 * term % 1_300));
        let died = Clock::Wall.now();
        let killed = leader.name;
        drop(leader);
        eventually("the other takes over", A_MINUTE, || rig.leads(&other, term + 1));
        times.push(Clock::Wall.now().duration_since(died));
        assert_eq!(rig.status(&other)["armed"], Value::Bool(true), "it goes on as it was");
        eventually("each task has its machine", KNOWN_WITHIN, || up() == round && rig.status(&other)["intents"] == 0);
        leader = std::mem::replace(&mut other, rig.start(killed));
    }
    std::thread::sleep(Duration::from_secs(3));
    let machines = ec2.machines();
    let intents: BTreeSet<_> = machines.iter().map(|machine| machine.intent.clone()).collect();
    assert_eq!((machines.len(), intents.len()), (TAKE_OVERS, TAKE_OVERS), "{machines:?}");
    let output = rig.command(leader.name, &["journal", "--limit", "5000"]).output().unwrap();
    let journal = String::from_utf8(output.stdout).unwrap();
    assert_eq!(journal.matches("takes over in term").count(), TAKE_OVERS, "one journal: {journal}");
    let output = rig.command(leader.name, &["instances", "--json"]).output().unwrap();
    let instances: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(instances["instances"].as_array().unwrap().len(), TAKE_OVERS);
    assert!(!journal.contains("orphan"), "the next one knew each machine: {journal}");
    let median = median(times);
    println!("{TAKE_OVERS} take-overs where silence is {:#}: median {median:#}", TIMES.silence);
    assert!(median <= TIMES.silence * 2, "{median:#}");
}
