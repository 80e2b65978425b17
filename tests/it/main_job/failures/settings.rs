//! What a misspelt setting does.

use tidegate::store::settings::SettingsFile;

use super::{day, done, scenario, set};
use crate::main_job::rehearsal::{Day, assert_clean};

/// A limit of two machines, which the settings hold in a line of their own.
fn two_at_most(line: &str) -> Day {
    let mut judged = scenario(6, 40, 0, None);
    judged.limits.total = Some(2);
    set(day(judged, 4), "max = 8", line)
}

#[test]
fn row_36_a_limit_that_is_misspelt_is_refused() {
    let misspelt = two_at_most("maxx = 2").settings;
    let refused = SettingsFile::in_memory(&misspelt).map(drop).unwrap_err().to_string();
    assert!(refused.contains("maxx") && refused.contains("did you mean `max`?"), "{refused}");
    let outcome = two_at_most("max = 2").live();
    assert_clean(&outcome);
    assert_eq!(done(&outcome), 6);
    // Who passes over what he does not know has no limit.
    let ignored = two_at_most("").live();
    assert!(ignored.judgement.limit_violations > 0, "{ignored:?}");
}
