//! Policies that are programs: what they are told, what they may answer, and what becomes of one that does not.

use std::path::Path;
use std::time::Duration;

use jiff::SignedDuration;

use tidegate::engine::advise::Advisors;
use tidegate::model::advice::{Advice, Advised};
use tidegate::model::ledger::Ledger;
use tidegate::world::clock::Clock;

use crate::custom::{World, example, program};
use crate::support::process::eventually;

const NOON: &str = "2026-11-30T12:00:00Z";

/// A live loop's advisors with a program of these lines.
struct Asked {
    world: World,
    advisors: Advisors,
    folder: tempfile::TempDir,
}

impl Asked {
    fn new(lines: &str) -> Self {
        Self::by(lines, Some(Clock::Wall))
    }

    /// One that waits for a loaded machine.
    fn patient(lines: &str) -> Self {
        Self::by(lines, None)
    }

    fn by(lines: &str, clock: Option<Clock>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = program(folder.path(), lines);
        let mut world = World::at(NOON, &[(60, "ann", "vision"); 3]);
        world.settings.the_loop.policy = Some(format!("exec:{}", file.display()));
        Self { world, advisors: Advisors::new(None, clock), folder }
    }

    fn ask(&mut self) -> Option<Advised> {
        let World { settings, snapshot, now } = &self.world;
        self.advisors.advise(snapshot, settings, &Ledger::default(), *now).remove("train")
    }

    #[track_caller]
    fn wants(&mut self) -> Advice {
        match self.ask() {
            Some(Advised::Wants(advice)) => advice,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn fails(&mut self) -> String {
        match self.ask() {
            Some(Advised::Failed { error, .. }) => {
                error.replace(&format!("exec:{}/", self.folder.path().display()), "")
            }
            other => panic!("{other:?}"),
        }
    }
}

fn since(begun: jiff::Timestamp) -> SignedDuration {
    Clock::Wall.now().duration_since(begun)
}

fn is_running(process: &str) -> bool {
    // One that ended and that nobody has waited for is a zombie.
    let status = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    !status.is_empty() && !status.contains(") Z ")
}

#[test]
fn one_process_is_asked_at_every_pass_and_told_the_world() {
    let mut asked = Asked::patient(
        "number = 0\nwhile True:\n    question = ask()\n    number += 1\n    world = question['world']\n    \
         here = world['queues']['train']\n    \
         say(question, {'capacity': here['waiting'], 'pools': ['gpu'], 'reason': f\"{number} {os.getpid()} {question['queues']} \" \
         f\"{world['version']} {world['local']['weekday']} {here['tasks'][0]['user']} {world['pools']['gpu']['price']}\"})",
    );
    let first = asked.wants();
    let words: Vec<&str> = first.said.split(' ').collect();
    assert_eq!((words[0], &words[2..]), ("1", &["['train']", "1", "monday", "ann", "1.006"][..]));
    assert_eq!((first.capacity, first.pools), (Some(3), Some(vec!["gpu".into()])));
    let second = asked.wants();
    assert!(second.said.starts_with(&format!("2 {}", words[1])), "{}", second.said);
    let process = words[1].to_owned();
    assert!(is_running(&process));
    drop(asked);
    assert!(!is_running(&process), "it ends with the loop");
}

#[test]
fn one_that_answers_nothing_leaves_it_to_the_loop() {
    let mut asked = Asked::patient("while True: say(ask(), None)");
    assert_eq!(asked.ask(), None);
    let mut asked = Asked::patient("while True: print(json.dumps({'id': ask()['id']}), flush=True)");
    assert_eq!(asked.ask(), None);
}

#[test]
fn one_that_loops_for_ever_is_ended_by_the_deadline_with_all_that_it_started() {
    let mut asked = Asked::new(
        "child = subprocess.Popen(['sleep', '1000'])\nopen('child', 'w').write(str(child.pid))\n\
         say(ask(), {'veto': True, 'reason': 'none'})\nwhile True: pass",
    );
    assert!(asked.wants().veto);
    let child = std::fs::read_to_string(asked.folder.path().join("child")).unwrap();
    assert!(is_running(&child));
    let begun = Clock::Wall.now();
    assert_eq!(asked.fails(), "rules.py: it did not answer within 1 s; it was ended");
    // Nobody waits for one that is down.
    let again = asked.fails();
    assert_eq!(again, "rules.py: it did not answer within 1 s; it was ended; it is started anew in 1 s at most");
    assert!(since(begun) < SignedDuration::from_secs(30), "{:?}", since(begun));
    eventually("its child ends", 3_600, || !is_running(&child));
}

#[test]
fn one_that_is_slow_at_first_has_time_to_start_and_none_to_sleep() {
    let mut asked = Asked::new("time.sleep(1.5)\nwhile True: say(ask(), {'veto': True, 'reason': 'none'})");
    assert!(asked.wants().veto);
    let mut asked = Asked::new("time.sleep(60)");
    let begun = Clock::Wall.now();
    assert_eq!(asked.fails(), "rules.py: it did not answer within 5 s; it was ended");
    assert!(since(begun) < SignedDuration::from_secs(30), "{:?}", since(begun));
}

#[test]
fn what_is_wrong_with_it_is_told_in_one_line() {
    for (lines, told) in [
        (
            "ask()\nprint('hello', flush=True)\ntime.sleep(60)",
            "rules.py: its line is no answer: expected value at line 1 column 1",
        ),
        (
            "ask()\nprint('42', flush=True)\ntime.sleep(60)",
            "rules.py: its line is no answer: invalid type: integer `42`",
        ),
        (
            "ask()\nsys.exit('out of coffee')",
            "rules.py: it closed its output; it ended (exit status: 1): out of coffee",
        ),
        ("os.kill(os.getpid(), 9)", "rules.py: it closed its output; it ended (signal: 9 (SIGKILL))"),
        ("ask()['nothing']", "(exit status: 1): KeyError: 'nothing'"),
        ("say({'id': 7}, None)\ntime.sleep(60)", "rules.py: it answered question 7, not 1"),
        (
            "print(json.dumps({'id': ask()['id'], 'answers': {'other': None}}), flush=True)\ntime.sleep(60)",
            "rules.py: it answers for queue `other`, which it was not asked about",
        ),
        (
            "print(json.dumps({'id': ask()['id'], 'error': 'no quota file'}), flush=True)\ntime.sleep(60)",
            "rules.py: it says: no quota file",
        ),
        (
            "print(json.dumps({'id': ask()['id'], 'anwsers': {}}), flush=True)\ntime.sleep(60)",
            "unknown field `anwsers`",
        ),
        ("ask()\nprint('x' * 2_000_000, flush=True)\ntime.sleep(60)", "it wrote more than 1048576 bytes on one line"),
        (
            "ask()\nsys.stdout.buffer.write(b'\\xff\\n')\nsys.stdout.flush()\ntime.sleep(60)",
            "it wrote what is not UTF-8",
        ),
        ("print('[' * 100_000, flush=True)\ntime.sleep(60)", "its line is no answer"),
        (
            "say(ask(), {'capacity': -1, 'reason': 'x'})",
            "for queue train: capacity is -1, not a whole number from 0 on",
        ),
        (
            "say(ask(), {'capacity': 1e30, 'reason': 'x'})",
            "capacity is a number with a fraction, not a whole number from 0 on",
        ),
        ("say(ask(), {'capacity': 10**19, 'reason': 'x'})", "not a whole number from 0 on"),
        ("say(ask(), {'veto': True})", "it gives no reason"),
        ("say(ask(), {'pools': ['moon'], 'reason': 'x'})", "queue.train.pools does not name `moon`"),
        ("say(ask(), 7)", "it answered a whole number, not a table or ()"),
    ] {
        let error = Asked::patient(lines).fails();
        assert!(error.contains(told) && !error.contains('\n'), "{lines}: {error}");
    }
}

#[test]
fn one_that_dies_is_started_anew_after_a_pause_and_an_edited_one_at_once() {
    let mut asked = Asked::new("say(ask(), {'veto': True, 'reason': str(os.getpid())})");
    let first = asked.wants().said;
    assert!(asked.fails().contains("it ended (exit status: 0)"));
    assert!(asked.fails().ends_with("it is started anew in 1 s at most"));
    std::thread::sleep(Duration::from_millis(1_100));
    assert_ne!(asked.wants().said, first, "another process");
    let _ = asked.fails();
    program(asked.folder.path(), "while True: say(ask(), {'capacity': 1, 'reason': 'mended'})");
    assert_eq!(asked.wants().said, "mended");
}

#[test]
fn what_cannot_be_started_or_others_can_write_is_not_followed() {
    let mut asked = Asked::new("say(ask(), None)");
    let file = asked.folder.path().join("rules.py");
    let mode = |mode| std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    mode(0o600);
    assert!(asked.fails().contains("it cannot be started: Permission denied"));
    mode(0o722);
    assert!(asked.fails().contains("can be written by others (mode 722)"));
    std::fs::remove_file(&file).unwrap();
    assert!(asked.fails().contains("it cannot be read: No such file"));
}

#[test]
fn it_gets_none_of_the_loop_s_environment_but_what_a_program_needs() {
    let mut asked = Asked::patient("say(ask(), {'veto': True, 'reason': ' '.join(sorted(os.environ))})");
    let names = asked.wants().said;
    // What its own interpreter's wrapper sets is there, too.
    let is_ours = |name: &str| name.starts_with("CARGO");
    assert!(std::env::vars().any(|(name, _)| is_ours(&name)), "this process has others");
    assert!(names.contains("PATH") && !names.split(' ').any(is_ours), "{names}");
}

#[test]
fn the_port_of_an_autoscaler_holds_its_resources_and_its_budget() {
    let mut world = World::at(NOON, &[(60, "ann", "vision"); 9]);
    let answer = |world: &World| {
        let mut settings = world.settings.clone();
        settings.the_loop.policy = Some(format!("exec:{}", example("autoscaler.py").display()));
        // A loaded machine is slow.
        let mut told = Advisors::default().advise(&world.snapshot, &settings, &Ledger::default(), world.now);
        match told.remove("train") {
            Some(Advised::Wants(advice)) => advice,
            other => panic!("{other:?}"),
        }
    };
    let advice = answer(&world);
    assert_eq!((advice.capacity, advice.pools.unwrap().len()), (Some(5), 2));
    assert_eq!(advice.said, "5 of 9 tasks in ['spot', 'gpu'], 0% of the budget");
    let text =
        "[[budget]]\nname = \"month\"\nscope = \"all\"\nper = \"month\"\nlimit = \"$100\"\nalready_spent = \"$85\"\n";
    let text = format!("{}{text}", super::SETTINGS.replace("POLICY", "own.rhai"));
    world.settings = tidegate::store::settings::parse(&text, Path::new("t.toml")).unwrap();
    let advice = answer(&world);
    assert_eq!((advice.capacity, advice.pools), (Some(3), Some(vec!["spot".into()])));
    assert_eq!(advice.said, "3 of 9 tasks in ['spot'], 85% of the budget");
    // Of no money all is spent.
    let text = text.replace("limit = \"$100\"\nalready_spent = \"$85\"", "limit = \"$0\"");
    world.settings = tidegate::store::settings::parse(&text, Path::new("t.toml")).unwrap();
    assert_eq!(answer(&world).said, "3 of 9 tasks in ['spot'], 100% of the budget");
}
