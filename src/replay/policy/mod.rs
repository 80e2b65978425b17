//! Who decides while a trace is played.

mod clearml;
mod own;
mod sight;

pub use clearml::Clearml;
pub use own::Own;
pub(super) use own::field;

use super::model::Fault;
use super::trace::Millis;
use super::week::Week;

/// Decides over machines.
pub trait Policy {
    /// Looks and acts, at [`Week::now`]; it may let time pass meanwhile. When to look next.
    fn act(&mut self, week: &mut Week<'_>) -> Millis;

    /// Why what it did counts for nothing, if so.
    fn failure(&self) -> Option<String> {
        None
    }

    /// It is started anew, with what it has written down.
    fn restart(&mut self, week: &Week<'_>);
}

/// In milliseconds.
const FIRST_LOOK: u32 = 300_000;

/// When a policy first looks.
pub fn first_look(week: &Week<'_>) -> Millis {
    week.luck("loop").between(0, FIRST_LOOK).into()
}

fn restart_at(week: &Week<'_>) -> Option<Millis> {
    let middle = week.trace.jobs.last().map_or(0, |job| job.submitted) / 2;
    (week.cloud.fault == Some(Fault::Restart)).then_some(middle)
}

/// Plays a whole trace under a policy, or until there is nothing more to be waited for, or what it did counts for nothing.
pub fn play(week: &mut Week<'_>, policy: &mut dyn Policy) {
    // The loop ran before the week began: its first look comes at any moment.
    let mut next = first_look(week);
    let mut restarts = restart_at(week);
    while !week.is_over() {
        let until = next.min(week.given_up());
        week.advance(until);
        if until < next {
            // What has happened up to here may be a reason to wait for more.
            if week.given_up() <= week.now() {
                break;
            }
            continue;
        }
        if restarts.take_if(|at| *at <= next).is_some() {
            policy.restart(week);
        }
        next = policy.act(week).max(week.now() + 1);
        if policy.failure().is_some() {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::money::Rate;
    use crate::replay::model::CloudModel;
    use crate::replay::trace::{Job, Trace, TraceQueue};
    use crate::replay::week::Tally;
    use crate::world::sim::random::Dice;

    const HOUR: Millis = 3_600_000;

    /// A day of two queues: sweeps of many jobs on one, single long ones on the other.
    fn day(seed: u64) -> Trace {
        let mut dice = Dice::new(seed, "day", 0);
        let queue = |name: &str, gpus| TraceQueue { name: name.to_owned(), gpus };
        let mut jobs = Vec::new();
        for hour in 0..24 {
            let sweep = if dice.chance(0.3) { dice.between(5, 90) } else { dice.between(0, 3) };
            for queue in [0].repeat(sweep as usize).into_iter().chain([1]) {
                let submitted = hour * HOUR + Millis::from(dice.between(0, 3_000_000));
                let duration = Millis::from(dice.between(10_000, 4_000_000));
                jobs.push(Job { submitted, duration, queue, user: 0, project: None });
            }
        }
        jobs.sort_by_key(|job| job.submitted);
        Trace {
            name: "day".to_owned(),
            queues: vec![queue("small", 1), queue("large", 8)],
            users: vec![String::new()],
            projects: Vec::new(),
            jobs,
        }
    }

    type Make = fn(&Week<'_>) -> Box<dyn Policy>;

    const POLICIES: [Make; 2] = [
        |_| Box::new(Clearml::default()),
        |week| Box::new(Own::new(week, &[], Rate::from_micros_per_hour(2_000_000)).unwrap()),
    ];

    fn played(trace: &Trace, seed: u64, make: Make) -> (Tally, Vec<(Millis, usize, Option<Millis>)>) {
        let cloud = CloudModel::default();
        let mut week = Week::new(trace, &cloud, seed);
        let mut policy = make(&week);
        play(&mut week, policy.as_mut());
        let machines = week.machines().iter().map(|machine| (machine.called, machine.queue, machine.ended)).collect();
        (week.into_tally(), machines)
    }

    #[test]
    fn every_job_is_done_under_the_caps_and_the_same_seed_is_the_same_day() {
        for seed in 0..4 {
            let trace = day(seed);
            for make in POLICIES {
                let (tally, machines) = played(&trace, seed, make);
                assert_eq!((tally.unfinished, tally.violations, tally.waits.len()), (0, 0, trace.jobs.len()));
                assert!(tally.overhead() > crate::model::money::Money::ZERO);
                assert_eq!(played(&trace, seed, make), (tally, machines));
            }
            assert_eq!(played(&trace, seed, POLICIES[1]).0.busy_kills, 0);
        }
    }

    /// What the future holds is hidden: other jobs after noon change nothing that was decided before.
    #[test]
    fn no_decision_knows_the_future() {
        const NOON: Millis = 12 * HOUR;
        for seed in 0..4 {
            let trace = day(seed);
            let mut other = trace.clone();
            other.jobs.retain(|job| job.submitted < NOON || job.submitted % 2 == 0);
            for job in &mut other.jobs {
                // Those that are over by then keep their length; the others would have gone on for any time.
                if job.submitted + job.duration > NOON - 8 * HOUR {
                    job.duration += 20 * HOUR;
                }
            }
            for make in POLICIES {
                let before = |trace: &Trace| {
                    let machines = played(trace, seed, make).1;
                    let until = NOON - 8 * HOUR;
                    machines
                        .into_iter()
                        .filter(|(called, ..)| *called < until)
                        .map(|(called, queue, ended)| (called, queue, ended.filter(|ended| *ended < until)))
                        .collect::<Vec<_>>()
                };
                assert!(!before(&trace).is_empty());
                assert_eq!(before(&trace), before(&other));
            }
        }
    }

    #[test]
    fn launching_together_and_not_blocking_makes_jobs_wait_less_than_under_clearml() {
        let (peer, own): (f64, f64) = (0..4)
            .map(|seed| {
                let trace = day(seed);
                (played(&trace, seed, POLICIES[0]).0.mean_wait(), played(&trace, seed, POLICIES[1]).0.mean_wait())
            })
            .fold((0.0, 0.0), |sum, waits| (sum.0 + waits.0, sum.1 + waits.1));
        assert!(own < peer, "{own} against {peer}");
    }

    /// Launches one machine for the first queue and keeps it, or none at all.
    struct Stubborn {
        keeps: bool,
        looks: usize,
    }

    impl Policy for Stubborn {
        fn act(&mut self, week: &mut Week<'_>) -> Millis {
            self.looks += 1;
            if self.keeps && week.machines().is_empty() {
                week.launch(0, 0);
            }
            week.now() + 60_000
        }

        fn restart(&mut self, _week: &Week<'_>) {}
    }

    /// Fails at its first look.
    struct Failing {
        looks: usize,
    }

    impl Policy for Failing {
        fn act(&mut self, week: &mut Week<'_>) -> Millis {
            self.looks += 1;
            week.now() + 60_000
        }

        fn failure(&self) -> Option<String> {
            (self.looks > 0).then(|| "it fails".to_owned())
        }

        fn restart(&mut self, _week: &Week<'_>) {}
    }

    #[test]
    fn a_policy_that_failed_is_not_asked_again() {
        let (trace, cloud) = (day(0), CloudModel::default());
        let mut week = Week::new(&trace, &cloud, 0);
        let mut policy = Failing { looks: 0 };
        play(&mut week, &mut policy);
        assert_eq!(policy.looks, 1);
    }

    /// Three jobs of ten minutes, at once.
    fn short() -> Trace {
        let job = Job { submitted: 0, duration: 600_000, queue: 0, user: 0, project: None };
        let queues = vec![TraceQueue { name: "small".to_owned(), gpus: 1 }];
        let (users, jobs) = (vec![String::new()], vec![job; 3]);
        Trace { name: "short".to_owned(), queues, users, projects: Vec::new(), jobs }
    }

    fn stubborn(keeps: bool) -> Tally {
        let (trace, cloud) = (short(), CloudModel::default());
        let mut week = Week::new(&trace, &cloud, 0);
        let mut policy = Stubborn { keeps, looks: 0 };
        play(&mut week, &mut policy);
        assert!(policy.looks < 2_000, "{} looks", policy.looks);
        week.into_tally()
    }

    #[test]
    fn a_machine_that_is_kept_costs_a_tail_and_not_a_month() {
        let kept = stubborn(true);
        let short = short();
        assert_eq!((kept.unfinished, kept.waits.len()), (0, short.jobs.len()));
        assert!((3 * HOUR..5 * HOUR).contains(&kept.lasted), "{}", kept.lasted);
    }

    #[test]
    fn jobs_that_nobody_runs_are_given_up_after_a_day_and_have_waited_for_it() {
        let vetoed = stubborn(false);
        assert_eq!((vetoed.unfinished, vetoed.lasted), (3, 24 * HOUR));
        assert_eq!(vetoed.waits, [24 * HOUR; 3]);
        assert_eq!(vetoed.overhead(), crate::model::money::Money::ZERO);
        let (waiting, money) = (Rate::from_micros_per_hour(2_000_000), 0.0);
        let score = crate::replay::score::Score::new("veto".to_owned(), &[vetoed], money, waiting, 0.0);
        assert_eq!((score.score_usd, score.unfinished), (None, 3));
    }

    /// However long it takes: what runs is waited for.
    #[test]
    fn a_long_job_is_no_standstill() {
        let mut trace = short();
        for job in &mut trace.jobs {
            job.duration = 50 * HOUR;
        }
        let cloud = CloudModel::default();
        let mut week = Week::new(&trace, &cloud, 0);
        play(&mut week, &mut Stubborn { keeps: true, looks: 0 });
        let tally = week.into_tally();
        assert_eq!(tally.unfinished, 0);
        assert!(tally.lasted > 150 * HOUR);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test's own file")]
    fn a_policy_that_others_can_write_is_not_tried_either() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let cloud = CloudModel::default();
        let terms = crate::replay::contest::Terms { cloud: &cloud, seeds: 1, waiting: Rate::from_micros_per_hour(1) };
        for (kind, text, mode) in [("script", "()", 0o666), ("exec", "#!/bin/sh\nread line\n", 0o777)] {
            let file = folder.path().join(kind);
            std::fs::write(&file, text).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            let spec = format!("{kind}:{}", file.display()).parse().unwrap();
            let why = crate::replay::contest::played(&short(), &spec, 0, terms).unwrap_err();
            assert!(why.contains(&format!("can be written by others (mode {mode:o})")), "{why}");
        }
    }
}
