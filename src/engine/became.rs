//! What became of a person's orders, in a line: of several machines how many, and not each.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::model::ids::InstanceId;
use crate::model::plan::Action;

/// What is said of one kind of order, before and after the machines.
#[derive(Debug, PartialEq, Eq)]
struct Words {
    before: &'static str,
    after: String,
    /// The same of several.
    after_several: String,
}

impl Words {
    fn around(before: &'static str, after: impl Into<String>) -> Self {
        let after = after.into();
        Self { before, after_several: after.clone(), after }
    }
}

/// Each kind once, in the order of their first.
pub(super) fn became(done: &[&Action], zone: &TimeZone, now: Timestamp) -> Vec<String> {
    let mut kinds: Vec<(Words, Vec<&InstanceId>)> = Vec::new();
    let mut others = Vec::new();
    for action in done {
        let Some((words, instance)) = words(action, zone, now) else {
            others.push(action.to_string());
            continue;
        };
        match kinds.iter_mut().find(|(kind, _)| *kind == words) {
            Some((_, machines)) => machines.push(instance),
            None => kinds.push((words, vec![instance])),
        }
    }
    let told = kinds.into_iter().map(|(Words { before, after, after_several }, machines)| match machines.as_slice() {
        [one] => format!("{before}{one}{after}"),
        several => format!("{before}{} machines{after_several}", several.len()),
    });
    told.chain(others).collect()
}

/// `None`: it is about no machine that is there.
fn words<'a>(action: &'a Action, zone: &TimeZone, now: Timestamp) -> Option<(Words, &'a InstanceId)> {
    Some(match action {
        Action::Drain { instance, .. } => (Words::around("drain ", ""), instance),
        Action::CancelDrain { instance } => (Words::around("cancel the drain of ", ""), instance),
        Action::Stop { instance, kill: false } => (Words::around("stop ", ""), instance),
        Action::Stop { instance, kill: true } => (Words::around("kill ", ""), instance),
        Action::Hold { instance, hold } => {
            let (until, now) = (hold.until.to_zoned(zone.clone()), now.to_zoned(zone.clone()));
            let pattern = if until.date() == now.date() { "%H:%M" } else { "%Y-%m-%d %H:%M" };
            (Words::around("", format!(" held until {}", until.strftime(pattern))), instance)
        }
        Action::Release { instance } => (Words::around("release ", ""), instance),
        Action::LetBe { instance } => (Words::around("let ", " be"), instance),
        Action::Replace { instance } => {
            let after_several = " when each is idle".to_owned();
            (Words { after_several, ..Words::around("replace ", " when it is idle") }, instance)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::instance::Hold;

    #[test]
    fn several_machines_are_counted_and_times_are_those_of_the_settings() {
        let now: Timestamp = "2026-11-02T08:00:00Z".parse().unwrap();
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        let hold = |instance: &str, until: &str| Action::Hold {
            instance: instance.into(),
            hold: Hold { until: until.parse().unwrap(), by: "ann".into(), why: String::new() },
        };
        let soon = "2026-11-02T09:03:00Z";
        let (one, two) = (hold("i-1", soon), hold("i-2", soon));
        let later = hold("i-3", "2026-11-03T09:03:00Z");
        let stop = |instance: &str, kill| Action::Stop { instance: instance.into(), kill };
        let replace = |instance: &str| Action::Replace { instance: instance.into() };
        let (killed, first, second) = (stop("i-1", true), stop("i-2", false), stop("i-3", false));
        let (replaced, other) = (replace("i-1"), replace("i-2"));
        for (done, told) in [
            (vec![&one], vec!["i-1 held until 10:03"]),
            (vec![&one, &two, &later], vec!["2 machines held until 10:03", "i-3 held until 2026-11-03 10:03"]),
            (vec![&first, &killed, &second], vec!["stop 2 machines", "kill i-1"]),
            (vec![&replaced], vec!["replace i-1 when it is idle"]),
            (vec![&replaced, &other], vec!["replace 2 machines when each is idle"]),
            (vec![], vec![]),
        ] {
            assert_eq!(became(&done, &zone, now), told);
        }
    }
}
