//! What a script may not do, and what its answer may not be: it is told with its line and column, and in time.

use std::time::Duration;

use tidegate::engine::advise::Advisors;
use tidegate::model::advice::Advised;
use tidegate::model::ledger::Ledger;
use tidegate::world::clock::Clock;

use crate::custom::{World, write};

fn world() -> World {
    World::at("2026-11-30T12:00:00Z", &[(60, "ann", "vision")])
}

#[track_caller]
fn fails(script: &str, told: &str) {
    match world().says(script) {
        Some(Advised::Failed { error, .. }) => assert!(error.contains(told), "{script}: {error}"),
        other => panic!("{script}: {other:?}"),
    }
}

#[tokio::test]
async fn a_script_that_never_ends_or_fills_the_memory_is_ended_in_time() {
    for (script, told) in [
        ("loop { }", "own.rhai:1:"),
        ("let x = 0; while true { x += 1; }", "own.rhai:1:"),
        ("fn f(n) { f(n + 1) }\nf(0)", "own.rhai:"),
        ("let text = \"x\"; loop { text += text; }", "own.rhai:1:"),
        ("let list = [1]; loop { list += list; }", "own.rhai:1:"),
        ("let table = #{}; let n = 0; loop { table[\"k\" + n] = n; n += 1; }", "own.rhai:1:"),
        ("sleep(600)", "own.rhai:1:1: a policy may not wait"),
        ("sleep(600.0)", "a policy may not wait"),
    ] {
        let asked =
            tokio::time::timeout(Duration::from_secs(20), tokio::task::spawn_blocking(move || fails(script, told)));
        asked.await.expect("it does not end").unwrap();
    }
}

#[test]
fn nothing_outside_is_within_reach() {
    for script in [
        "import \"std\" as std; ()",
        "eval(\"1\")",
        "open_file(\"/etc/passwd\")",
        "timestamp()",
        "world.queues = #{}",
        "queue = \"other\"",
    ] {
        fails(script, "own.rhai:1:");
    }
}

#[test]
fn what_is_wrong_is_told_with_its_line_and_column() {
    fails("let x = ;", "own.rhai:1:9: ");
    fails("let a = 1;\n  a.b.c", "own.rhai:2:");
    fails("\n\nworld.queues[\"none\"]", "own.rhai:3:");
    fails("let a = 1;\na + missing", "own.rhai:2:5: Undefined variable: missing");
    fails("throw \"no\"", "own.rhai:1:1: ");
}

#[test]
fn an_answer_that_is_none_is_refused() {
    for (answer, told) in [
        ("42", "own.rhai: for queue train: it answered a whole number, not a table or ()"),
        ("#{ capacity: -1, reason: \"x\" }", "capacity is -1, not a whole number from 0 on"),
        ("#{ capacity: 1.5, reason: \"x\" }", "capacity is a number with a fraction, not a whole number"),
        ("#{ capacity: \"3\", reason: \"x\" }", "capacity is a text, not a whole number"),
        ("#{ pools: \"gpu\", reason: \"x\" }", "pools is a text, not a list of names"),
        ("#{ pools: [1], reason: \"x\" }", "not a list of names"),
        ("#{ pools: [\"gpus\"], reason: \"x\" }", "queue.train.pools does not name `gpus`"),
        ("#{ pools: [], reason: \"x\" }", "pools is empty: say `veto: true` for none"),
        ("#{ veto: \"yes\", reason: \"x\" }", "veto is a text, not true or false"),
        ("#{ veto: true }", "it gives no reason"),
        ("#{ capacity: 1, reason: 7 }", "reason is a whole number, not a text"),
        ("#{ capacity: 1, why: \"x\" }", "`why` is none of capacity, pools, veto and reason"),
    ] {
        fails(answer, told);
    }
}

#[test]
fn what_it_leaves_open_is_the_loop_s() {
    for nothing in
        ["()", "", "#{}", "#{ reason: \"x\" }", "#{ capacity: (), pools: (), reason: \"x\" }", "if false { #{} }"]
    {
        assert_eq!(world().says(nothing), None, "{nothing}");
    }
    let Some(Advised::Wants(advice)) =
        world().says("#{ capacity: 9_000_000_000, pools: [\"gpu\", \"gpu\"], reason: \"a\\nb \" }")
    else {
        panic!("it answered")
    };
    assert_eq!((advice.capacity, advice.said.as_str()), (Some(u32::MAX), "a b"));
    assert_eq!(advice.pools, Some(vec!["gpu".into()]));
}

#[test]
fn a_script_sees_the_world() {
    let script = r"
        let here = world.queues[queue];
        let task = here.tasks[0];
        #{ capacity: here.waiting, reason: `${world.version} ${world.local.weekday} ${world.local.hour}:${world.local.minute} ` +
            `${task.id} ${task.age_seconds} ${task.user} ${task.project} ${here.pools} ${world.pools.gpu.price} ` +
            `${world.pools.gpu.gpu} ${here.running.len()} ${world.pools.spot.market} ${world.pools.gpu.max == ()}` }
    ";
    let Some(Advised::Wants(advice)) = world().says(script) else { panic!("{:?}", world().says(script)) };
    assert_eq!(advice.said, "1 monday 13:0 t0 60 ann vision [\"spot\", \"gpu\"] 1.006 1 0 spot true");
    assert_eq!(advice.capacity, Some(1));
}

#[test]
fn few_slow_steps_are_ended_by_the_clock() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("own.rhai");
    write(&file, "let list = [];\nlist.pad(90_000, 0);\nloop { list.reverse(); }");
    let World { mut settings, snapshot, now } = world();
    settings.the_loop.policy = Some(file.display().to_string());
    let mut advisors = Advisors::new(None, Some(Clock::Wall));
    let told = advisors.advise(&snapshot, &settings, &Ledger::default(), now);
    let error = told["train"].failure().unwrap();
    assert!(error.contains("own.rhai:3:") && error.ends_with("it took longer than 250ms"), "{error}");
}
