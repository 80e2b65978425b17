//! Guardrails: ceilings that an administrator sets in a file of their own. The settings count only up to them, whoever
//! changes the settings and however.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::ids::{BudgetName, MachineType};
use crate::model::settings::{Budget, Limits, PoolSettings, Settings};

/// What one guardrails file says.
#[derive(Debug, Clone, PartialEq)]
pub struct Guardrails {
    /// The file.
    pub from: String,
    /// Its limits and budgets; nothing else in it counts.
    pub ceilings: Settings,
    /// Regions where machines may be started. `None`: everywhere.
    pub regions: Option<Vec<String>>,
    /// Machine types that may be started, `g5.*` for a family. `None`: all.
    pub types: Option<Vec<String>>,
    /// The console changes nothing in the world.
    pub read_only: bool,
}

/// What stands before the guardrail's value where one is told of.
pub const GUARDRAIL: &str = "; guardrail: ";

/// A setting that does not count as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guarded {
    pub key: String,
    pub written: String,
    pub holds: String,
    pub from: String,
}

impl fmt::Display for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}{GUARDRAIL}{}, from {}", self.key, self.written, self.holds, self.from)
    }
}

impl Guardrails {
    /// Brings the settings down to what is allowed; says what was brought down.
    pub fn apply(&self, settings: &mut Settings) -> Vec<Guarded> {
        let mut guarded = Vec::new();
        self.limit(&mut settings.limits, &self.ceilings.limits, "limits", &mut guarded);
        for queue in &mut settings.queues {
            if let Some(ceiling) = self.ceilings.queue(&queue.name) {
                self.limit(&mut queue.limits, &ceiling.limits, &format!("queue.{}", queue.name), &mut guarded);
            }
        }
        for pool in &mut settings.pools {
            if let Some(ceiling) = self.ceilings.pool(&pool.name) {
                self.limit(&mut pool.limits, &ceiling.limits, &format!("pool.{}", pool.name), &mut guarded);
            }
            self.allow(pool, &mut guarded);
        }
        for budget in &self.ceilings.budgets {
            self.budget(&mut settings.budgets, budget, &mut guarded);
        }
        guarded
    }

    fn say(&self, key: String, written: &impl ToString, holds: &impl ToString) -> Guarded {
        Guarded { key, written: written.to_string(), holds: holds.to_string(), from: self.from.clone() }
    }

    fn limit(&self, limits: &mut Limits, ceiling: &Limits, section: &str, guarded: &mut Vec<Guarded>) {
        guarded.extend(self.lower(&mut limits.max, ceiling.max, format!("{section}.max")));
        guarded.extend(self.lower(&mut limits.max_gpu, ceiling.max_gpu, format!("{section}.max_gpu")));
        guarded.extend(self.lower(&mut limits.max_vcpu, ceiling.max_vcpu, format!("{section}.max_vcpu")));
        guarded.extend(self.lower(&mut limits.max_hourly, ceiling.max_hourly, format!("{section}.max_hourly")));
    }

    fn lower<T: Ord + Copy + fmt::Display>(
        &self,
        limit: &mut Option<T>,
        ceiling: Option<T>,
        key: String,
    ) -> Option<Guarded> {
        let ceiling = ceiling.filter(|ceiling| limit.is_none_or(|limit| limit > *ceiling))?;
        let written = limit.replace(ceiling).map_or_else(|| "not limited".to_owned(), |limit| limit.to_string());
        Some(self.say(key, &written, &ceiling))
    }

    /// A type or a region that is not allowed is not rented in.
    fn allow(&self, pool: &mut PoolSettings, guarded: &mut Vec<Guarded>) {
        if let Some(regions) = &self.regions
            && !regions.contains(&pool.region)
        {
            guarded.push(self.say(format!("pool.{}.region", pool.name), &pool.region, &regions.join(", ")));
            pool.types.clear();
        }
        let Some(types) = &self.types else { return };
        let allowed = |name: &str| {
            types.iter().any(|allowed| match allowed.strip_suffix('*') {
                Some(family) => name.starts_with(family),
                None => name == allowed,
            })
        };
        let (kept, dropped): (Vec<_>, Vec<_>) = pool.types.drain(..).partition(|one| allowed(one.as_str()));
        pool.types = kept;
        if !dropped.is_empty() {
            let dropped: Vec<&str> = dropped.iter().map(MachineType::as_str).collect();
            guarded.push(self.say(format!("pool.{}.types", pool.name), &dropped.join(", "), &types.join(", ")));
        }
    }

    /// A budget of the same scope and period is brought down; else the guardrail's own holds beside the others.
    fn budget(&self, budgets: &mut Vec<Budget>, ceiling: &Budget, guarded: &mut Vec<Guarded>) {
        let mut alike =
            budgets.iter_mut().filter(|one| (&one.scope, one.per) == (&ceiling.scope, ceiling.per)).peekable();
        if alike.peek().is_none() {
            let name = BudgetName::new(format!("{} (guardrail)", ceiling.name));
            guarded.push(self.say(format!("budget.\"{}\".limit", ceiling.name), &"not set", &ceiling.limit));
            budgets.push(Budget { name, hard: true, ..ceiling.clone() });
            return;
        }
        for budget in alike {
            let key = |field: &str| format!("budget.\"{}\".{field}", budget.name);
            if budget.limit > ceiling.limit {
                guarded.push(self.say(key("limit"), &budget.limit, &ceiling.limit));
            }
            if ceiling.hard && !budget.hard {
                guarded.push(self.say(key("hard"), &false, &true));
            }
            budget.limit = budget.limit.min(ceiling.limit);
            budget.hard |= ceiling.hard;
        }
    }
}
