//! The settings as they hold now: schedules begin and end while the loop runs.

use std::sync::Arc;

use jiff::Timestamp;

use crate::engine::run::Loop;
use crate::engine::words::line;
use crate::model::ids::ScheduleName;
use crate::model::journal::EntryKind;
use crate::model::record::Record;
use crate::model::settings::Schedule;

/// The schedules that hold, and when each ends.
pub(super) type Held = Vec<(ScheduleName, Timestamp)>;

impl Loop {
    /// Takes the settings of now where a schedule has begun or ended; what to write of that.
    pub(super) fn follow_schedules(&mut self, now: Timestamp) -> Vec<Record> {
        let base = self.setup.settings.settings();
        let held: Held = base.schedules_at(now).map(|(schedule, until)| (schedule.name.clone(), until)).collect();
        let names = |held: &Held| held.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        let (before, after) = (names(&self.scheduled), names(&held));
        let ended = self.scheduled.iter().filter(|(name, _)| !after.contains(name));
        let ended: Vec<String> = ended.map(|(name, _)| format!("schedule {name} ends")).collect();
        let began = base.schedules_at(now).filter(|(schedule, _)| !before.contains(&schedule.name));
        let began: Vec<String> =
            began.map(|(schedule, _)| format!("schedule {} begins: {}", schedule.name, sets(schedule))).collect();
        self.scheduled = held;
        if ended.is_empty() && began.is_empty() {
            return Vec::new();
        }
        self.settings = Arc::new(self.as_they_run(Arc::unwrap_or_clone(self.setup.settings.settings_at(now))).0);
        ended.into_iter().chain(began).map(|text| line(now, EntryKind::Edited, text).record()).collect()
    }

    /// What holds in place of what the settings say, for people.
    pub(super) fn scheduled(&self) -> impl Iterator<Item = String> {
        let zone = &self.settings.the_loop.time_zone;
        self.scheduled.iter().filter_map(move |(name, until)| {
            let schedule = self.settings.schedules.iter().find(|schedule| schedule.name == *name)?;
            let until = until.to_zoned(zone.clone()).strftime("%a %H:%M");
            Some(format!("schedule {name} holds until {until}: {}", sets(schedule)))
        })
    }
}

fn sets(schedule: &Schedule) -> String {
    let sets: Vec<String> = schedule.set.iter().map(|(key, value)| format!("{key} = {value}")).collect();
    sets.join(", ")
}
