//! Rows of schedules.

use super::super::rules::{DAYS, KEY, TIME, VALUE};
use super::super::{Field, Kind, Takes, Unset};
use super::at;

pub(super) const SCHEDULE: &[Field] = &[
    Field {
        name: "days",
        kind: Kind::Text(DAYS),
        unset: Unset::Is("mon-sun"),
        takes: Takes::AtOnce,
        doc: "The days on which it begins.",
        example: "mon-fri",
        later: &[],
        lens: at!(Schedule, days),
    },
    Field {
        name: "from",
        kind: Kind::Text(TIME),
        unset: Unset::Required,
        takes: Takes::AtOnce,
        doc: "When it begins, by the clock of `loop.time_zone`.",
        example: "22:00",
        later: &[],
        lens: at!(Schedule, from),
    },
    Field {
        name: "to",
        kind: Kind::Text(TIME),
        unset: Unset::Required,
        takes: Takes::AtOnce,
        doc: "When it ends; where that is not after `from`, on the next day.",
        example: "06:00",
        later: &[],
        lens: at!(Schedule, to),
    },
    Field {
        name: "set",
        kind: Kind::Table { name: KEY, text: VALUE },
        unset: Unset::Required,
        takes: Takes::AtOnce,
        doc: "What holds meanwhile, by its key: limits of everything, of a queue or a pool, a pool's `min` and `keep_alive`, a \
              budget's `limit`. Where several schedules hold, the later one in the file wins. A lower limit stops nothing that runs.",
        example: "limits.max_hourly = $5/h",
        later: &[],
        lens: at!(Schedule, set),
    },
];
