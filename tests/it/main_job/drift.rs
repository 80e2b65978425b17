//! Machines that were made of an older image give way to newer ones, each once and none for nothing.

use tidegate::replay::Outcome;
use tidegate::world::sim::scenario::{Fault, TimedFault};

use super::failures::{day, mins, scenario, set};
use super::rehearsal::assert_clean;

/// Two machines are kept up; new images are made in the second hour, and three tasks come at once in the third.
fn ten_hours(replace_drifted: &str) -> Outcome {
    let mut hours = scenario(3, 10, 0, None);
    for task in &mut hours.tasks {
        task.at += mins(120);
    }
    hours.faults.push(TimedFault { at: mins(60), fault: Fault::ImagesMade });
    let lab = set(day(hours, 10), "ami = \"ami-1\"", "ami = \"name:golden *\"\nmin = 2");
    set(lab, "keep_alive", &format!("replace_drifted = \"{replace_drifted}\"\nkeep_alive")).live()
}

#[test]
fn what_is_made_of_an_older_image_is_replaced_once_where_the_pool_says_so() {
    let kept = ten_hours("never");
    assert_clean(&kept);
    let replaced = ten_hours("when-idle");
    assert_clean(&replaced);
    assert_eq!((kept.judgement.tasks_done, replaced.judgement.tasks_done), (3, 3));
    // The third task's machine tells of the new image; one of the old two goes as too many, the other for a new one.
    assert_eq!((kept.judgement.launched, replaced.judgement.launched), (3, 4));
}
