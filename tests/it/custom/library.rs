//! The library's face: the examples are compiled into this test and run, and the README's policy is theirs.

use std::path::Path;

use tidegate::engine::advise::Advisors;
use tidegate::model::advice::Advised;
use tidegate::model::ledger::Ledger;
use tidegate::{Advice, Policy, Question};

use crate::custom::World;

#[path = "../../../examples/custom_cloud.rs"]
#[allow(dead_code, unreachable_pub, reason = "a program of its own")]
mod custom_cloud;
#[path = "../../../examples/custom_policy.rs"]
#[allow(dead_code, unreachable_pub, reason = "a program of its own")]
mod custom_policy;

#[test]
fn the_policy_s_example_runs_and_holds_its_queue_back() {
    let [alone, with] = [false, true].map(|with_policy| custom_policy::day(10, with_policy).unwrap());
    for outcome in [&alone, &with] {
        let judged = &outcome.judgement;
        assert_eq!((judged.tasks_lost, judged.limit_violations), (0, 0));
        assert_eq!(outcome.spent_microusd, judged.bill_microusd);
    }
    assert!(with.spent_microusd < alone.spent_microusd, "{alone:?} {with:?}");
}

#[test]
fn the_cloud_s_example_runs_and_is_closed_for_an_hour() {
    let (outcome, refused) = custom_cloud::day(6, 10).unwrap();
    assert_eq!((outcome.judgement.tasks_lost, outcome.judgement.limit_violations), (0, 0));
    assert_eq!(outcome.spent_microusd, outcome.judgement.bill_microusd);
    assert!(refused > 0 && outcome.judgement.tasks_done > 0, "{refused} {outcome:?}");
}

#[test]
fn the_readme_s_policy_is_the_example_s_and_short() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = |name: &str| std::fs::read_to_string(root.join(name)).unwrap();
    let example = text("examples/custom_policy.rs");
    let (_, rest) = example.split_once("// --- the policy\n").unwrap();
    let (policy, _) = rest.split_once("// --- the end").unwrap();
    assert!(policy.lines().count() <= 34, "{}", policy.lines().count());
    assert!(text("README.md").contains(&format!("```rust\n{policy}```\n")), "the README has another");
}

/// Says whatever a test wants.
#[derive(Debug)]
struct Says(Result<Option<Advice>, String>);

impl Policy for Says {
    fn name(&self) -> &'static str {
        "own"
    }

    fn advise(&mut self, question: &Question<'_>) -> Result<Option<Advice>, String> {
        assert_eq!((question.waiting().len(), question.running().count()), (2, 0));
        self.0.clone()
    }
}

#[test]
fn a_policy_in_rust_is_held_to_what_a_script_is() {
    let world = World::at("2026-11-30T12:00:00Z", &[(60, "ann", "vision"); 2]);
    let ask = |says: Result<Option<Advice>, String>| {
        let mut settings = world.settings.clone();
        settings.the_loop.policy = None;
        let mut advisors = Advisors::default().with_own(Some(Box::new(Says(says))));
        advisors.advise(&world.snapshot, &settings, &Ledger::default(), world.now).remove("train")
    };
    let pools = |names: &[&str]| Some(names.iter().map(|name| (*name).into()).collect());
    assert_eq!(ask(Ok(None)), None);
    assert_eq!(ask(Ok(Some(Advice::because("no wish")))), None);
    let Some(Advised::Wants(advice)) =
        ask(Ok(Some(Advice { pools: pools(&["gpu", "gpu"]), ..Advice::because("a\nb ") })))
    else {
        panic!("it answered")
    };
    assert_eq!((advice.policy.as_str(), advice.said.as_str(), advice.pools), ("own", "a b", pools(&["gpu"])));
    for (says, told) in [
        (Err("out of coffee".to_owned()), "own: for queue train: out of coffee"),
        (Ok(Some(Advice { veto: true, ..Advice::default() })), "it gives no reason"),
        (Ok(Some(Advice { pools: pools(&["moon"]), ..Advice::because("x") })), "does not name `moon`"),
        (Ok(Some(Advice { pools: pools(&[]), ..Advice::because("x") })), "pools is empty"),
    ] {
        let error = ask(says).unwrap().failure().unwrap();
        assert!(error.contains(told), "{error}");
    }
    // A policy of the settings comes first.
    let mut advisors = Advisors::default().with_own(Some(Box::new(Says(Err("asked".to_owned())))));
    let told = advisors.advise(&world.snapshot, &world.settings, &Ledger::default(), world.now);
    assert!(told["train"].failure().unwrap().contains("own.rhai"), "{told:?}");
}
