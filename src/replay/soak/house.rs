//! The settings of a soaked fleet: drawn by lot, written as the TOML that people write, and edited while the loop runs.

use std::fmt::Write;
use std::sync::Arc;

use crate::model::catalogue::{Catalogue, TypeSpec};
use crate::model::money::Rate;
use crate::model::settings::Provider;
use crate::world::sim::random::Dice;

pub(super) const FLEET: &str = "soak";
pub(super) const REGIONS: [&str; 2] = ["us-east-1", "eu-west-1"];

const TYPES: [(&str, u32, u32, i64); 4] = [
    ("g5.xlarge", 4, 1, 1_006_000),
    ("g5.2xlarge", 8, 1, 1_212_000),
    ("g5.12xlarge", 48, 4, 5_672_000),
    ("c6i.large", 2, 0, 85_001),
];

const ZONES: [&str; 4] = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"];

/// Begins of a world (UTC): two of three have a change of the clocks within the next day somewhere.
pub(super) const BEGINS: [i64; 6] = [
    1_793_232_000, // 2026-10-29
    1_774_656_000, // 2026-03-28: Berlin goes forward on the 29th
    1_792_800_000, // 2026-10-24: Berlin goes back on the 25th
    1_793_404_800, // 2026-10-31: New York goes back on the 1st
    1_791_028_800, // 2026-10-04: Lord Howe went forward the night before
    1_772_928_000, // 2026-03-08: New York goes forward
];

/// What budgets do at parts of their limits.
const LADDERS: [&str; 6] = [
    "",
    "",
    "",
    "at = { \"80%\" = \"warn\", \"90%\" = \"cheapest-only\", \"100%\" = \"stop-idle\" }",
    "at = { \"70%\" = \"stop-launching\", \"100%\" = \"drain\" }",
    "at = { \"90%\" = \"drain\", \"110%\" = \"kill after 10m\" }",
];

/// A budget as it is written.
#[derive(Debug, Clone)]
pub(super) struct Money {
    pub name: String,
    pub scope: String,
    pub per: &'static str,
    pub cents: u32,
    pub hard: bool,
    /// What is done at parts of it.
    pub at: &'static str,
}

#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "what is drawn by lot")]
pub(super) struct Pool {
    pub name: String,
    pub region: usize,
    pub types: Vec<&'static str>,
    pub spot: bool,
    pub max: Option<u32>,
    pub min: u32,
    pub keep_alive: u32,
    pub stops: bool,
    pub max_life: u32,
    /// In micro-dollars an hour.
    pub price: Option<i64>,
    pub guard: &'static str,
    pub chooses: bool,
    pub when_idle: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Queue {
    pub name: String,
    pub pools: Vec<String>,
    pub max: Option<u32>,
    pub on_lost: u32,
    pub priority: u32,
}

/// Everything that is written.
#[derive(Debug, Clone)]
pub(super) struct House {
    pub zone: &'static str,
    pub max: Option<u32>,
    /// In cents an hour.
    pub max_hourly: Option<u32>,
    pub max_gpu: Option<u32>,
    pub budgets: Vec<Money>,
    pub queues: Vec<Queue>,
    pub pools: Vec<Pool>,
    pub budgets_made: u32,
}

pub(super) fn one<'a, T>(dice: &mut Dice, list: &'a [T]) -> Option<&'a T> {
    let highest = u32::try_from(list.len().checked_sub(1)?).unwrap_or(u32::MAX);
    list.get(dice.between(0, highest) as usize)
}

impl House {
    pub(super) fn drawn(dice: &mut Dice) -> Self {
        let pools = dice.between(1, 3);
        let pools: Vec<Pool> = (0..pools).map(|place| Pool::drawn(place, dice)).collect();
        let queues = dice.between(1, 3);
        let queues = (0..queues).map(|place| Queue::drawn(place, &pools, dice)).collect();
        let mut house = Self {
            zone: one(dice, &ZONES).copied().unwrap_or("UTC"),
            max: Some(dice.between(2, 12)),
            max_hourly: dice.chance(0.3).then(|| dice.between(200, 3_000)),
            max_gpu: dice.chance(0.2).then(|| dice.between(2, 20)),
            budgets: Vec::new(),
            queues,
            pools,
            budgets_made: 0,
        };
        for _ in 0..dice.between(0, 3) {
            house.add_budget(dice);
        }
        house
    }

    pub(super) fn add_budget(&mut self, dice: &mut Dice) {
        self.budgets_made += 1;
        let queue = one(dice, &self.queues).map(|queue| queue.name.clone()).unwrap_or_default();
        let pool = one(dice, &self.pools).map(|pool| pool.name.clone()).unwrap_or_default();
        let per =
            one(dice, &["hour", "day", "day", "week", "month", "rolling 6h", "rolling 24h"]).copied().unwrap_or("day");
        let scope = match dice.between(0, 9) {
            0..=4 => "all".to_owned(),
            5 => "provider:aws".to_owned(),
            6 => format!("pool:{pool}"),
            7 => format!("queue:{queue}"),
            8 => "project:vision".to_owned(),
            _ => "user:ann".to_owned(),
        };
        let of_machines = !scope.starts_with("project") && !scope.starts_with("user");
        self.budgets.push(Money {
            name: format!("b{}", self.budgets_made),
            scope,
            per,
            cents: if per == "hour" { dice.between(300, 3_000) } else { dice.between(500, 12_000) },
            hard: dice.chance(0.9),
            at: if of_machines { one(dice, &LADDERS).copied().unwrap_or_default() } else { "" },
        });
    }

    /// The settings as a person would write them.
    pub(super) fn text(&self) -> String {
        let mut text = format!("[loop]\nfleet = \"{FLEET}\"\ntime_zone = \"{}\"\n[limits]\n", self.zone);
        let line = |text: &mut String, key: &str, value: Option<u32>| {
            if let Some(value) = value {
                let _ = writeln!(text, "{key} = {value}");
            }
        };
        line(&mut text, "max", self.max);
        line(&mut text, "max_gpu", self.max_gpu);
        if let Some(cents) = self.max_hourly {
            let _ = writeln!(text, "max_hourly = \"{}/h\"", dollars(cents));
        }
        for Money { name, scope, per, cents, hard, at } in &self.budgets {
            let limit = dollars(*cents);
            let _ = writeln!(
                text,
                "[[budget]]\nname = \"{name}\"\nscope = \"{scope}\"\nper = \"{per}\"\nlimit = \"{limit}\"\nhard = {hard}\n{at}"
            );
        }
        for queue in &self.queues {
            let pools: Vec<String> = queue.pools.iter().map(|pool| format!("\"{pool}\"")).collect();
            let _ = writeln!(text, "[queue.{}]\npools = [{}]", queue.name, pools.join(", "));
            let on_lost = if queue.on_lost == 0 { "never".to_owned() } else { format!("requeue:{}", queue.on_lost) };
            let _ = writeln!(text, "priority = {}\non_lost = \"{on_lost}\"", queue.priority);
            line(&mut text, "max", queue.max);
        }
        for pool in &self.pools {
            pool.write(&mut text);
        }
        text
    }
}

pub(super) fn dollars(cents: u32) -> String {
    format!("${}.{:02}", cents / 100, cents % 100)
}

impl Pool {
    fn drawn(place: u32, dice: &mut Dice) -> Self {
        let spot = dice.chance(0.35);
        let first = one(dice, &TYPES).map_or("g5.xlarge", |row| row.0);
        let second = one(dice, &TYPES).map(|row| row.0).filter(|second| *second != first && dice.chance(0.4));
        Self {
            name: format!("p{place}"),
            region: usize::from(dice.chance(0.3)),
            types: std::iter::once(first).chain(second).collect(),
            spot,
            max: dice.chance(0.7).then(|| dice.between(1, 8)),
            min: u32::from(dice.chance(0.15)),
            keep_alive: dice.between(0, 20),
            stops: !spot && dice.chance(0.3),
            max_life: dice.between(4, 60),
            price: dice.chance(0.1).then(|| i64::from(dice.between(100_000, 3_000_000))),
            guard: if dice.chance(0.9) { "gate" } else { "off" },
            chooses: spot && dice.chance(0.4),
            when_idle: dice.chance(0.2),
        }
    }

    fn write(&self, text: &mut String) {
        let types: Vec<String> = self.types.iter().map(|name| format!("\"{name}\"")).collect();
        let region = REGIONS.get(self.region).copied().unwrap_or_default();
        let _ = writeln!(text, "[pool.{}]\nprovider = \"aws\"\nregion = \"{region}\"", self.name);
        let _ = writeln!(text, "types = [{}]\nami = \"ami-1\"\nguard = \"{}\"", types.join(", "), self.guard);
        let _ = writeln!(text, "keep_alive = \"{}m\"\nmin = {}", self.keep_alive, self.min);
        let _ = writeln!(text, "max_life = \"{}h\"", self.max_life);
        let market = if self.spot { "spot" } else { "on-demand" };
        let _ = writeln!(text, "market = \"{market}\"");
        if self.chooses {
            text.push_str("spot_strategy = \"price-capacity-optimized\"\n");
        }
        if self.stops {
            text.push_str("on_idle = \"stop\"\ndisk_gb = 200\n");
        }
        if self.when_idle {
            text.push_str("replace_drifted = \"when-idle\"\n");
        }
        if let Some(max) = self.max {
            let _ = writeln!(text, "max = {max}");
        }
        if let Some(price) = self.price {
            let _ = writeln!(text, "price = \"${}.{:06}/h\"", price / 1_000_000, price % 1_000_000);
        }
    }
}

impl Queue {
    fn drawn(place: u32, pools: &[Pool], dice: &mut Dice) -> Self {
        let first = one(dice, pools).map(|pool| pool.name.clone()).unwrap_or_default();
        let second = one(dice, pools).map(|pool| pool.name.clone()).filter(|second| *second != first);
        Self {
            name: format!("q{place}"),
            pools: std::iter::once(first).chain(second).collect(),
            max: dice.chance(0.4).then(|| dice.between(1, 8)),
            on_lost: dice.between(0, 3),
            priority: dice.between(0, 2),
        }
    }
}

/// What the clouds charge: every price by this many hundredths of the usual one; `without`: a type that has none.
pub(super) fn catalogue(percent: i64, without: Option<&str>) -> Arc<Catalogue> {
    let mut catalogue = Catalogue::default();
    for region in REGIONS {
        for (name, vcpu, gpu, micros) in TYPES {
            let priced = without != Some(name);
            let on_demand = priced.then(|| Rate::from_micros_per_hour(micros * percent / 100));
            let spot = priced.then(|| Rate::from_micros_per_hour(micros * percent / 250));
            let spec = TypeSpec { vcpu, gpu, on_demand, spot, source: String::new(), spot_source: None };
            catalogue.insert(Provider::Aws, region, name.into(), spec);
        }
    }
    Arc::new(catalogue)
}

pub(super) fn type_by_lot(dice: &mut Dice) -> &'static str {
    one(dice, &TYPES).map_or("g5.xlarge", |row| row.0)
}
