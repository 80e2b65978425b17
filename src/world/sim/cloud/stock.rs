//! How many machines of a type a zone has to give.

use std::collections::BTreeMap;

use crate::world::sim::events::{Index, Millis};
use crate::world::sim::random::Dice;
use crate::world::sim::scenario::{Drought, Scenario};

/// The droughts by chance and the shortages by order.
#[derive(Debug)]
pub(in crate::world::sim) struct Stock {
    seed: u64,
    start: Millis,
    droughts: Vec<Drought>,
    /// By drought and zone: the dice, and the present or next dry time.
    dry: BTreeMap<(Index, String), (Dice, Millis, Millis)>,
    shortages: Vec<Shortage>,
}

#[derive(Debug)]
struct Shortage {
    machine_type: String,
    zone: Option<String>,
    until: Millis,
    left: u32,
}

impl Shortage {
    fn holds(&self, machine_type: &str, zone: &str) -> bool {
        self.machine_type == machine_type && self.zone.as_deref().is_none_or(|own| own == zone)
    }
}

impl Stock {
    pub(in crate::world::sim) fn new(scenario: &Scenario, seed: u64, start: Millis) -> Self {
        Self { seed, start, droughts: scenario.droughts.clone(), dry: BTreeMap::new(), shortages: Vec::new() }
    }

    pub(in crate::world::sim) fn shorten(&mut self, machine_type: &str, zone: Option<&str>, until: Millis, left: u32) {
        let (machine_type, zone) = (machine_type.to_owned(), zone.map(str::to_owned));
        self.shortages.push(Shortage { machine_type, zone, until, left });
    }

    /// How many of `wanted` machines the zone gives; they are taken.
    pub(in crate::world::sim) fn take(&mut self, machine_type: &str, zone: &str, wanted: u32, now: Millis) -> u32 {
        if self.is_dry(machine_type, zone, now) {
            return 0;
        }
        self.shortages.retain(|shortage| now < shortage.until);
        let here = |shortage: &&mut Shortage| shortage.holds(machine_type, zone);
        let given = self.shortages.iter_mut().filter(here).map(|shortage| shortage.left).fold(wanted, u32::min);
        for shortage in self.shortages.iter_mut().filter(here) {
            shortage.left -= given;
        }
        given
    }

    fn is_dry(&mut self, machine_type: &str, zone: &str, now: Millis) -> bool {
        let (seed, start) = (self.seed, self.start);
        let mut dry = false;
        for (index, drought) in self.droughts.iter().enumerate() {
            let here = drought.zone.as_deref().is_none_or(|own| own == zone);
            if drought.machine_type != machine_type || !here {
                continue;
            }
            let new = || (Dice::new(seed, &format!("drought:{machine_type}:{zone}"), 0), start, start);
            let (dice, from, to) = self.dry.entry((index, zone.to_owned())).or_insert_with(new);
            while *to <= now {
                let wet = dice.gap(drought.every_hours);
                let lasts = dice.gap(drought.lasts_hours);
                *from = to.saturating_add(wet);
                *to = from.saturating_add(lasts);
            }
            dry |= *from <= now;
        }
        dry
    }
}
