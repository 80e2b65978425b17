//! Schedules begin and end while the loop runs.

use super::world::Scripted;
use super::{Disk, SETTINGS, Trial};
use crate::model::record::Record;
use crate::store::Store;
use crate::store::settings::SettingsFile;
use crate::world::clock::Clock;

const EARLY: &str = r#"
[schedule.early]
from = "07:00"
to = "08:02"
set = { "limits.max" = "1" }
"#;

#[tokio::test(start_paused = true)]
async fn a_limit_of_a_schedule_holds_as_long_as_it_does() {
    let disk = Disk::default();
    disk.clone().commit(&[Record::Armed(true)]).await.unwrap();
    let clock = Clock::simulated("2026-11-02T08:00:00Z".parse().unwrap(), 1);
    let settings = SettingsFile::in_memory(&format!("{SETTINGS}{EARLY}")).unwrap();
    let mut trial = Trial::start(Scripted::new(clock, 3), disk, clock, settings);
    trial.pass(60).await;
    assert_eq!(trial.world.facts().machines.len(), 1);
    let told = "schedule early holds until Mon 08:02: limits.max = 1".to_owned();
    assert!(trial.view().warnings.contains(&told), "{:?}", trial.view().warnings);
    assert_eq!(trial.view().settings.limits.max, Some(4), "the settings say what they say");
    trial.pass(120).await;
    assert_eq!(trial.world.facts().machines.len(), 3);
    assert!(!trial.view().warnings.contains(&told));
}
