//! Money that ran no task: what a machine was paid for meanwhile. Pure.

use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

use crate::model::ledger::{Interval, Share};
use crate::model::money::Money;

/// What a machine does while it runs no task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// From its launch until its worker was first seen.
    Boot,
    #[default]
    Idle,
    /// From the proof that it takes no more tasks until it ends, or takes tasks again.
    Drained,
    /// Switched off and kept: its disks cost.
    Off,
    /// A pod waits for its node: nothing is billed of it yet.
    Waits,
}

impl Standing {
    /// As the store writes it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Boot => "boot",
            Self::Idle => "idle",
            Self::Drained => "drained",
            Self::Off => "off",
            Self::Waits => "waits",
        }
    }

    /// Of a word that the store holds.
    #[must_use]
    pub fn of_word(word: &str) -> Self {
        match word {
            "boot" => Self::Boot,
            "drained" => Self::Drained,
            "off" => Self::Off,
            "waits" => Self::Waits,
            _ => Self::Idle,
        }
    }
}

/// What a piece of a machine's time was used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Use {
    /// A task ran.
    Work,
    Boot,
    /// The whole life of a machine that ended and never registered.
    FailedBoot,
    Idle,
    Drained,
    SwitchedOff,
}

impl Use {
    pub const ALL: [Self; 6] = [Self::Work, Self::Boot, Self::FailedBoot, Self::Idle, Self::Drained, Self::SwitchedOff];

    /// What a share of an interval was used for.
    #[must_use]
    pub fn of(interval: &Interval, share: &Share) -> Self {
        let boots = |share: &Share| share.task.is_none() && share.standing == Standing::Boot;
        match share.standing {
            _ if share.task.is_some() => Self::Work,
            Standing::Boot if interval.end.is_some() && interval.shares.iter().all(boots) => Self::FailedBoot,
            Standing::Boot | Standing::Waits => Self::Boot,
            Standing::Idle => Self::Idle,
            Standing::Drained => Self::Drained,
            Standing::Off => Self::SwitchedOff,
        }
    }

    /// As a name of a column.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Work => "work",
            Self::Boot => "boot",
            Self::FailedBoot => "failed_boot",
            Self::Idle => "idle",
            Self::Drained => "drained",
            Self::SwitchedOff => "switched_off",
        }
    }

    /// For people.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Work => "tasks",
            Self::Boot => "boots",
            Self::FailedBoot => "failed boots",
            Self::Idle => "idle",
            Self::Drained => "drained",
            Self::SwitchedOff => "switched off",
        }
    }
}

/// Money by what it was used for, waste only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Waste {
    pub boot: Money,
    pub failed_boot: Money,
    pub idle: Money,
    pub drained: Money,
    #[serde(default)]
    pub switched_off: Money,
}

impl Waste {
    /// Money of a use; work is no waste.
    #[must_use]
    pub fn of(used: Use, money: Money) -> Self {
        let mut waste = Self::default();
        match used {
            Use::Work => {}
            Use::Boot => waste.boot = money,
            Use::FailedBoot => waste.failed_boot = money,
            Use::Idle => waste.idle = money,
            Use::Drained => waste.drained = money,
            Use::SwitchedOff => waste.switched_off = money,
        }
        waste
    }

    /// Each sort, for people.
    #[must_use]
    pub fn parts(&self) -> [(Use, Money); 5] {
        [
            (Use::Boot, self.boot),
            (Use::FailedBoot, self.failed_boot),
            (Use::Idle, self.idle),
            (Use::Drained, self.drained),
            (Use::SwitchedOff, self.switched_off),
        ]
    }

    #[must_use]
    pub fn total(&self) -> Money {
        self.parts().into_iter().map(|(_, money)| money).sum()
    }
}

impl Add for Waste {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            boot: self.boot + other.boot,
            failed_boot: self.failed_boot + other.failed_boot,
            idle: self.idle + other.idle,
            drained: self.drained + other.drained,
            switched_off: self.switched_off + other.switched_off,
        }
    }
}

impl AddAssign for Waste {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}
