//! Budgets in the loop that runs live, on the simulated world: what they refuse, what they do, and what the screen says.

use tidegate::engine::command::Command;
use tidegate::engine::event::{Answer, View};
use tidegate::model::instance::Phase;
use tidegate::model::journal::JournalFilter;
use tidegate::model::money::Money;
use tidegate::model::settings::ladder::Step;

use super::console::{Console, edit, task, with};

fn up(view: &View) -> usize {
    view.snapshot.instances.iter().filter(|instance| instance.is_there()).count()
}

fn phases(view: &View) -> Vec<Phase> {
    view.snapshot.instances.iter().filter(|instance| instance.is_there()).map(|instance| instance.phase).collect()
}

async fn journal(console: &mut Console) -> String {
    let filter = JournalFilter { since: None, text: None, limit: 500 };
    let Answer::Journal(entries) = console.ask(Command::Journal(filter)).await.unwrap() else { panic!() };
    let lines: Vec<String> = entries.iter().map(|entry| format!("{} {}", entry.text, entry.reason)).collect();
    lines.join("\n")
}

#[test]
fn a_budget_that_binds_refuses_the_launch_that_would_cross_it_with_its_number() {
    let budget = "[[budget]]\nname = \"day\"\nper = \"day\"\nlimit = \"$3\"\n";
    with(budget, (0..6).map(|_| task(0, 30, "ann")).collect(), async |console| {
        let view = console.wait(3).await;
        assert_eq!(up(&view) + view.snapshot.intents.len(), 2, "each reserves $1.3 and more");
        let next = view.plan.outlooks[0].next.as_ref().unwrap().to_string();
        assert!(next.starts_with("budget \"day\" is $3.00: ") && next.contains("one more reserves $1."), "{next}");
        let state = &view.spend.budgets[0];
        assert!(state.spent + state.committed <= state.limit);
        // With what it says it would take, there is one more.
        let remedy = view.plan.outlooks[0].next.as_ref().unwrap().remedy().unwrap();
        let limit = remedy.rsplit(' ').next().unwrap();
        console.set("budget.day.limit", limit).await;
        let view = console.wait(1).await;
        assert_eq!(up(&view) + view.snapshot.intents.len(), 3, "{remedy}");
    });
}

#[test]
fn a_budget_lowered_below_what_is_spent_says_what_happens_next_and_does_it() {
    let budget = "[[budget]]\nname = \"day\"\nper = \"day\"\nlimit = \"$50\"\nat = { \"100%\" = \"drain\" }\n";
    let mut tasks: Vec<_> = (0..3).map(|_| task(0, 180, "ann")).collect();
    tasks.push(task(70, 20, "ann"));
    with(budget, tasks, async |console| {
        let view = console.wait(60).await;
        assert_eq!(phases(&view), [Phase::Busy; 3]);
        let edits = vec![edit("budget.day.limit", "$1")];
        let Answer::Preview(foresight) = console.ask(Command::Preview(edits)).await.unwrap() else { panic!() };
        let actions: Vec<String> = foresight.plan.actions.iter().map(|planned| planned.action.to_string()).collect();
        assert!(actions.len() == 3 && actions.iter().all(|action| action.starts_with("drain i-")), "{actions:?}");
        let then = &foresight.budgets[0];
        assert_eq!(then.step().map(|rung| rung.step), Some(Step::Drain));
        assert_eq!(then.forecast(view.at).crosses, Some(view.at.min(foresight.plan.at)), "its limit is reached");
        console.set("budget.day.limit", "$1").await;
        let view = console.wait(2).await;
        assert_eq!(phases(&view), [Phase::Draining; 3]);
        let told = journal(console).await;
        assert!(told.contains("budget \"day\": drain, as $3.") && told.contains("are spent (100% and more)"), "{told}");
        let bound = view.spend.budgets[0].bound.unwrap();
        // The task that comes now waits, and says why; those that ran are finished and nothing else is.
        let view = console.wait(150).await;
        assert_eq!((up(&view), view.plan.outlooks[0].waiting), (0, 1));
        let next = view.plan.outlooks[0].next.as_ref().unwrap().to_string();
        assert!(next.contains("from 100% on it says drain"), "{next}");
        let judged = console.judge();
        assert_eq!((judged.tasks_done, judged.tasks_lost, judged.busy_kills), (3, 0, 0));
        let spent = view.spend.budgets[0].spent;
        assert!(spent <= bound.most && spent > Money::from_micros(8_000_000), "{spent} of {bound:?}");
        assert_eq!(view.spend.total.micros(), judged.bill_microusd);
    });
}

#[test]
fn a_kill_step_ends_what_still_runs_after_its_grace_within_the_bound_on_the_screen() {
    let budget = "[[budget]]\nname = \"day\"\nper = \"day\"\nlimit = \"$2\"\nhard = false\nat = { \"100%\" = \"kill after 30m\" }\n";
    with(budget, (0..2).map(|_| task(0, 600, "ann")).collect(), async |console| {
        let mut view = console.wait(10).await;
        while view.spend.budgets[0].step().is_none() {
            view = console.wait(1).await;
        }
        let (bound, crossed) = (view.spend.budgets[0].bound.unwrap(), view.at);
        view = console.wait(25).await;
        assert_eq!(phases(&view), [Phase::Draining; 2], "they have their grace");
        view = console.wait(15).await;
        assert_eq!(up(&view), 0);
        let told = journal(console).await;
        let asked = "budget \"day\" says kill after 30m00: asked to checkpoint at 09:";
        assert!(told.contains("checkpoint its task and end it") && told.contains(asked), "{told}");
        let spent = view.spend.budgets[0].spent;
        assert!(spent <= bound.most && spent > Money::from_micros(2_900_000), "{spent} of {bound:?} since {crossed}");
        // Their tasks wait again, and nothing is launched for them.
        view = console.wait(10).await;
        assert_eq!((up(&view), view.plan.outlooks[0].waiting), (0, 2));
        let judged = console.judge();
        assert_eq!(
            (judged.tasks_lost, judged.busy_kills, judged.stopped_by_call),
            (0, 0, 2),
            "each ended without a task"
        );
        // With money again they go on where they were: of ten hours each the first hour and more is done.
        console.set("budget.day.limit", "$100").await;
        view = console.wait(9 * 60).await;
        assert_eq!((up(&view), console.judge().tasks_done), (0, 2), "{:?}", phases(&view));
    });
}

#[test]
fn a_user_whose_budget_is_spent_gets_no_more_machines_and_others_do() {
    let budget = "[[budget]]\nname = \"ann's day\"\nscope = \"user:ann\"\nper = \"day\"\nlimit = \"$1\"\n";
    let tasks = vec![task(0, 70, "ann"), task(100, 30, "ann"), task(100, 30, "bob")];
    with(budget, tasks, async |console| {
        let view = console.wait(102).await;
        let launched = up(&view) + view.snapshot.intents.len();
        assert_eq!((view.plan.outlooks[0].waiting, launched), (1, 1), "of two tasks one is demand");
        let state = &view.spend.budgets[0];
        assert!(state.spent > state.limit && state.committed == Money::ZERO, "{state:?}");
        let refusals: Vec<String> = view.plan.refusals.iter().map(|refusal| refusal.reason.to_string()).collect();
        let barred = "budget \"ann's day\" is $1.00: ";
        assert!(refusals.iter().any(|reason| reason.starts_with(barred)), "{refusals:?}");
        // Every piece of the bill is somebody's, or nobody's.
        let by_account: Money = view.spend.today_by_account.iter().map(|(_, money)| *money).sum();
        assert_eq!(by_account, view.spend.today);
        let of =
            |user: &str| view.spend.today_by_account.iter().any(|(account, _)| account.owner.user == Some(user.into()));
        assert!(of("ann"));
    });
}

#[test]
fn a_schedule_lowers_a_budget_by_the_clock() {
    let settings = "[[budget]]\nname = \"day\"\nper = \"day\"\nlimit = \"$50\"\n\
                    [schedule.morning]\nfrom = \"09:00\"\nto = \"10:00\"\nset = { \"budget.day.limit\" = \"$0.50\" }\n";
    with(settings, vec![task(0, 10, "ann"), task(65, 10, "ann")], async |console| {
        console.wait(55).await;
        let view = console.wait(15).await;
        assert_eq!((view.plan.outlooks[0].waiting, view.spend.budgets[0].limit), (1, "$0.50".parse().unwrap()));
        assert!(view.warnings.iter().any(|line| line.starts_with("schedule morning holds until Mon 10:00")));
        let view = console.wait(80).await;
        assert_eq!((view.plan.outlooks[0].waiting, view.spend.budgets[0].limit), (0, "$50".parse().unwrap()));
        assert_eq!(console.judge().tasks_done, 2);
    });
}
