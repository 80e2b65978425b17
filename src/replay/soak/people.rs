//! What people, and the machine that the loop runs on, do to it: orders, edits, crashes, clocks. Drawn by lot.

use super::episode::Episode;
use super::house::{Money, catalogue, dollars, one, type_by_lot};
use super::kinds::Kind;
use super::world::{HOUR, MINUTE, Millis, stamp};
use crate::model::ids::{Actor, InstanceId};
use crate::model::instance::{Hold, Instance};
use crate::model::settings::Edit;
use crate::model::snapshot::{Ask, Order};

/// Common ones, each as likely.
pub(super) const COMMON: &[Kind] = &[
    Kind::LimitLowered,
    Kind::LimitChanged,
    Kind::LimitChanged,
    Kind::BudgetLowered,
    Kind::BudgetRemoved,
    Kind::BudgetAdded,
    Kind::BudgetChanged,
    Kind::BudgetChanged,
    Kind::PriceChanged,
    Kind::PriceUnknown,
    Kind::PoolEdited,
    Kind::BadSettings,
    Kind::PersonDrains,
    Kind::PersonCancels,
    Kind::PersonStops,
    Kind::PersonKills,
    Kind::PersonHolds,
    Kind::PersonReplaces,
    Kind::PersonLaunches,
    Kind::StoreFails,
    Kind::CrashBeforeIntent,
    Kind::CrashAfterIntent,
    Kind::CrashAfterCall,
];

/// Those after which little is as it was.
pub(super) const RARE: &[Kind] = &[
    Kind::StoreLost,
    Kind::Sleeps,
    Kind::ClockForward,
    Kind::ClockBack,
    Kind::ClockDrifts,
    Kind::AnotherLeads,
    Kind::Disarmed,
    Kind::Paused,
    Kind::EmergencyStop,
];

/// What ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Undo {
    Arm,
    Resume,
    Clock(Millis),
    Lead,
    Store,
    Prices,
    Limits,
}

fn ann() -> Actor {
    Actor::new("ann")
}

impl Episode {
    pub(super) fn interfere(&mut self, kind: Kind) {
        if self.interferes(kind).is_some() {
            self.world.counts.add(kind);
        }
    }

    fn later(&mut self, least: Millis, most: Millis, undo: Undo) {
        let at = self.world.now + self.world.span(least, most);
        self.undo.push((at, undo));
    }

    fn interferes(&mut self, kind: Kind) -> Option<()> {
        let dice = &mut self.world.dice;
        match kind {
            Kind::LimitLowered => {
                self.house.max = Some(dice.between(0, 2));
                self.later(10 * MINUTE, 2 * HOUR, Undo::Limits);
                self.edit("limits.max", self.house.max.map(|max| max.to_string()));
            }
            Kind::LimitChanged => return self.change_a_limit(),
            Kind::BudgetLowered | Kind::BudgetChanged => return self.change_a_budget(kind == Kind::BudgetLowered),
            Kind::BudgetRemoved => {
                let last = u32::try_from(self.house.budgets.len().checked_sub(1)?).ok()?;
                self.house.budgets.remove(dice.between(0, last) as usize);
                self.rewrite();
            }
            Kind::BudgetAdded => {
                (self.house.budgets.len() < 4).then_some(())?;
                self.house.add_budget(dice);
                self.rewrite();
            }
            Kind::PriceChanged => {
                let percent = dice.between(40, 220).into();
                self.stepper.set_catalogue(catalogue(percent, None));
            }
            Kind::PriceUnknown => {
                let without = type_by_lot(dice);
                self.stepper.set_catalogue(catalogue(100, Some(without)));
                self.later(5 * MINUTE, HOUR, Undo::Prices);
            }
            Kind::PoolEdited => return self.edit_a_pool(),
            Kind::BadSettings => return self.write_nonsense(),
            Kind::StoreFails => {
                self.stepper.set_store_fails(true);
                self.later(20_000, 5 * MINUTE, Undo::Store);
            }
            Kind::CrashBeforeIntent | Kind::CrashAfterIntent | Kind::CrashAfterCall => {
                // It strikes when there is something to do; it is counted then.
                self.crash = Some(kind);
                return None;
            }
            Kind::StoreLost => {
                self.stepper.lose_store(self.now());
                self.judge.forget();
                self.replies.clear();
                self.later(MINUTE, 10 * MINUTE, Undo::Arm);
            }
            Kind::Sleeps => {
                for _ in 0..8 * 60 {
                    let to = self.world.now + MINUTE;
                    self.world.advance(to);
                }
                self.stepper.jumped(self.now());
                self.judge.restarted();
            }
            Kind::ClockForward => self.jump(8 * HOUR)?,
            Kind::ClockBack => self.jump(-8 * HOUR)?,
            Kind::ClockDrifts => {
                // Further off, workers that report seem to be silent.
                let by = self.world.span(0, 2 * MINUTE) - MINUTE;
                self.jump(by)?;
            }
            Kind::AnotherLeads => {
                self.stepper.leads().then_some(())?;
                self.world.leader = crate::model::ids::Term(self.stepper.term().0 + 1);
                self.stepper.follow();
                self.later(2 * MINUTE, 30 * MINUTE, Undo::Lead);
            }
            Kind::Disarmed => {
                self.stepper.arm(false);
                self.later(MINUTE, 30 * MINUTE, Undo::Arm);
            }
            Kind::Paused => {
                self.stepper.pause(true);
                self.later(MINUTE, 40 * MINUTE, Undo::Resume);
            }
            _ => return self.order(kind),
        }
        Some(())
    }

    fn jump(&mut self, by: Millis) -> Option<()> {
        (self.skew == 0).then_some(())?;
        self.set_clock(by);
        self.later(10 * MINUTE, 10 * HOUR, Undo::Clock(0));
        Some(())
    }

    fn change_a_limit(&mut self) -> Option<()> {
        let dice = &mut self.world.dice;
        match dice.between(0, 3) {
            0 => {
                self.house.max = dice.chance(0.8).then(|| dice.between(1, 12));
                self.edit("limits.max", self.house.max.map(|max| max.to_string()));
            }
            1 => {
                let cents = dice.chance(0.6).then(|| dice.between(100, 3_000));
                self.house.max_hourly = cents;
                self.edit("limits.max_hourly", cents.map(|cents| format!("{}/h", dollars(cents))));
            }
            2 => {
                let place = dice.between(0, u32::try_from(self.house.pools.len()).ok()?.checked_sub(1)?) as usize;
                let pool = self.house.pools.get_mut(place)?;
                let max = dice.chance(0.7).then(|| dice.between(pool.min, 8));
                pool.max = max;
                let key = format!("pool.{}.max", pool.name);
                self.edit(&key, max.map(|max| max.to_string()));
            }
            _ => {
                let place = dice.between(0, u32::try_from(self.house.queues.len()).ok()?.checked_sub(1)?) as usize;
                let max = dice.chance(0.6).then(|| dice.between(0, 8));
                let queue = self.house.queues.get_mut(place)?;
                queue.max = max;
                let key = format!("queue.{}.max", queue.name);
                self.edit(&key, max.map(|max| max.to_string()));
            }
        }
        Some(())
    }

    fn change_a_budget(&mut self, below: bool) -> Option<()> {
        let shown = self.stepper.budgets(self.now());
        let dice = &mut self.world.dice;
        let name = one(dice, &self.house.budgets)?.name.clone();
        let spent = shown.iter().find(|state| state.name.as_str() == name).map_or(0, |state| state.spent.micros());
        let spent = u32::try_from(spent / 10_000).unwrap_or(u32::MAX);
        let cents = if below { spent / 2 } else { spent.saturating_add(dice.between(0, 6_000)) }.max(1);
        let budget: &mut Money = self.house.budgets.iter_mut().find(|budget| budget.name == name)?;
        budget.cents = cents;
        self.edit(&format!("budget.{name}.limit"), Some(dollars(cents)));
        Some(())
    }

    fn edit_a_pool(&mut self) -> Option<()> {
        let dice = &mut self.world.dice;
        let place = dice.between(0, u32::try_from(self.house.pools.len()).ok()?.checked_sub(1)?) as usize;
        let (minutes, what) = (dice.between(0, 30), dice.between(0, 2));
        let price = dice.chance(0.6).then(|| i64::from(dice.between(50_000, 4_000_000)));
        let min = u32::from(dice.chance(0.3));
        let pool = self.house.pools.get_mut(place)?;
        let name = pool.name.clone();
        match what {
            0 => {
                pool.keep_alive = minutes;
                self.edit(&format!("pool.{name}.keep_alive"), Some(format!("{minutes}m")));
            }
            1 => {
                pool.price = price;
                let written = price.map(|price| format!("${}.{:06}/h", price / 1_000_000, price % 1_000_000));
                self.edit(&format!("pool.{name}.price"), written);
            }
            _ => {
                (pool.max != Some(0)).then_some(())?;
                pool.min = min;
                self.edit(&format!("pool.{name}.min"), Some(min.to_string()));
            }
        }
        Some(())
    }

    /// What is not valid must change nothing.
    fn write_nonsense(&mut self) -> Option<()> {
        let before = self.stepper.settings().revision.clone();
        let edits = [
            ("limits.max", "many"),
            ("limits.mx", "3"),
            ("pool.nowhere.max", "3"),
            ("loop.time_zone", "Europe/Atlantis"),
            ("pool.p0.price", "ten dollars"),
        ];
        let (key, value) = one(&mut self.world.dice, &edits).copied()?;
        if self.stepper.edit(&[edit(key, Some(value.to_owned()))]).is_ok() {
            self.world.crimes.push(format!("9: {key} = {value} was taken"));
        }
        if self.stepper.settings().revision != before {
            self.world.crimes.push("9: settings that are not valid changed what runs".to_owned());
        }
        Some(())
    }

    /// Edits one key.
    fn edit(&mut self, key: &str, value: Option<String>) {
        if let Err(error) = self.stepper.edit(&[edit(key, value)]) {
            self.world.crimes.push(format!("9: {key} was refused: {error}"));
        }
    }

    /// The file is written anew.
    fn rewrite(&mut self) {
        if let Err(error) = self.stepper.reread(&self.house.text()) {
            self.world.crimes.push(format!("9: the settings were refused: {error}"));
        }
    }

    fn any_shown(&mut self, is: impl Fn(&Instance) -> bool) -> Option<InstanceId> {
        let fitting: Vec<&Instance> = self.stepper.snapshot().instances.iter().filter(|one| is(one)).collect();
        one(&mut self.world.dice, &fitting).map(|instance| instance.id.clone())
    }

    fn order(&mut self, kind: Kind) -> Option<()> {
        if self.stepper.leads() && self.stepper.memory().armed {
            let what = self.asked(kind)?;
            self.orders.push(Order { by: ann(), what });
            return Some(());
        }
        None
    }

    fn asked(&mut self, kind: Kind) -> Option<Ask> {
        let ask = match kind {
            Kind::PersonDrains => Ask::Drain(self.any_shown(|_| true)?),
            Kind::PersonCancels => Ask::CancelDrain(self.any_shown(|instance| instance.drain.is_some())?),
            // One that has not registered yet is stopped at once, and may register and take a task as the call is made.
            Kind::PersonStops => Ask::Stop { instance: self.any_shown(|instance| instance.registered)?, kill: false },
            Kind::PersonKills => {
                let instance = self.any_shown(|_| true)?;
                self.world.kills_asked.insert(instance.clone());
                Ask::Stop { instance, kill: true }
            }
            Kind::PersonHolds => {
                let instance = self.any_shown(|_| true)?;
                let until = stamp(self.world.now + self.skew + self.world.span(MINUTE, 3 * HOUR));
                Ask::Hold { instance, hold: Hold { until, by: ann(), why: "profiling".to_owned() } }
            }
            Kind::PersonReplaces => Ask::Replace(self.any_shown(|_| true)?),
            Kind::PersonLaunches => {
                let queue = one(&mut self.world.dice, &self.house.queues)?;
                let pool = queue.pools.first()?.as_str().into();
                Ask::Launch { pool, queue: queue.name.as_str().into() }
            }
            Kind::EmergencyStop => {
                self.world.all_killed_until = Millis::MAX;
                self.later(5 * MINUTE, HOUR, Undo::Resume);
                Ask::StopAll
            }
            _ => return None,
        };
        Some(ask)
    }

    /// What was to end by now does.
    pub(super) fn undo(&mut self) {
        let now = self.world.now;
        let due: Vec<(Millis, Undo)> = self.undo.extract_if(.., |(at, _)| *at <= now).collect();
        for (_, undo) in due {
            match undo {
                Undo::Arm => self.stepper.arm(true),
                Undo::Resume => {
                    self.stepper.pause(false);
                    self.world.all_killed_until = now;
                }
                Undo::Clock(skew) => self.set_clock(skew),
                Undo::Lead => {
                    self.stepper.take_over();
                    self.world.leader = self.stepper.term();
                    self.judge.restarted();
                }
                Undo::Store => self.stepper.set_store_fails(false),
                Undo::Prices => self.stepper.set_catalogue(catalogue(100, None)),
                Undo::Limits => {
                    self.house.max = Some(self.world.dice.between(3, 12));
                    self.edit("limits.max", self.house.max.map(|max| max.to_string()));
                }
            }
        }
    }
}

fn edit(key: &str, value: Option<String>) -> Edit {
    Edit { key: key.to_owned(), value }
}
