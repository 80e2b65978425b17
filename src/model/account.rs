//! Whose money it is, and what a budget covers of it.

use serde::{Deserialize, Serialize};

use crate::model::ids::{PoolName, ProjectName, QueueName, UserName};
use crate::model::settings::{BudgetScope, PoolSettings};

/// Whose task it is, as ClearML says. Boot and idle time is nobody's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Owner {
    pub project: Option<ProjectName>,
    pub user: Option<UserName>,
}

/// Whose money a piece of a machine's time was.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Account {
    pub pool: PoolName,
    pub queue: QueueName,
    #[serde(default)]
    pub owner: Owner,
}

/// The same, borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AccountOf<'a> {
    pub pool: &'a PoolName,
    pub queue: &'a QueueName,
    pub owner: &'a Owner,
}

impl Account {
    #[must_use]
    pub fn borrowed(&self) -> AccountOf<'_> {
        AccountOf { pool: &self.pool, queue: &self.queue, owner: &self.owner }
    }
}

impl AccountOf<'_> {
    #[must_use]
    pub fn cloned(self) -> Account {
        Account { pool: self.pool.clone(), queue: self.queue.clone(), owner: self.owner.clone() }
    }
}

/// A budget's scope among the pools of the settings.
#[derive(Debug, Clone, Copy)]
pub struct Coverage<'s> {
    scope: &'s BudgetScope,
    pools: &'s [PoolSettings],
}

impl BudgetScope {
    #[must_use]
    pub fn among<'s>(&'s self, pools: &'s [PoolSettings]) -> Coverage<'s> {
        Coverage { scope: self, pools }
    }

    /// Whether a launch can be held to it: nobody knows whose tasks a machine will run.
    #[must_use]
    pub fn holds_launches(&self) -> bool {
        !matches!(self, Self::Project(_) | Self::User(_))
    }
}

impl Coverage<'_> {
    /// Whether it covers what is launched in a pool for a queue, as far as that is not a task's of someone.
    #[must_use]
    pub fn of_launch(&self, pool: &PoolName, home: &QueueName) -> bool {
        self.covers(AccountOf { pool, queue: home, owner: &NOBODY })
    }

    /// Money of a pool that the settings do not name any more counts for every provider.
    #[must_use]
    pub fn covers(&self, account: AccountOf<'_>) -> bool {
        match self.scope {
            BudgetScope::All => true,
            BudgetScope::Provider(provider) => {
                let pool = self.pools.iter().find(|pool| pool.name == *account.pool);
                pool.is_none_or(|pool| pool.provider == *provider)
            }
            BudgetScope::Pool(pool) => pool == account.pool,
            BudgetScope::Queue(queue) => queue == account.queue,
            BudgetScope::Project(_) | BudgetScope::User(_) => self.owns(account.owner),
        }
    }

    /// Whether it is a project's or a user's, and this task is theirs.
    #[must_use]
    pub fn owns(&self, owner: &Owner) -> bool {
        match self.scope {
            BudgetScope::Project(project) => owner.project.as_ref() == Some(project),
            BudgetScope::User(user) => owner.user.as_ref() == Some(user),
            _ => false,
        }
    }
}

/// The owner of boot and idle time.
pub const NOBODY: Owner = Owner { project: None, user: None };

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::settings::Provider;

    #[test]
    fn each_scope_covers_its_own_money() {
        let pools = [PoolSettings::with_defaults("gpu")];
        let owner = Owner { project: Some("vision".into()), user: Some("ann".into()) };
        let account = Account { pool: "gpu".into(), queue: "train".into(), owner };
        let (mine, others) = (
            [
                BudgetScope::All,
                BudgetScope::Provider(Provider::Aws),
                BudgetScope::Pool("gpu".into()),
                BudgetScope::Queue("train".into()),
                BudgetScope::Project("vision".into()),
                BudgetScope::User("ann".into()),
            ],
            [
                BudgetScope::Pool("spot".into()),
                BudgetScope::Queue("eval".into()),
                BudgetScope::Project("speech".into()),
                BudgetScope::User("bob".into()),
            ],
        );
        assert!(mine.iter().all(|scope| scope.among(&pools).covers(account.borrowed())));
        assert!(!others.iter().any(|scope| scope.among(&pools).covers(account.borrowed())));
        let idle = AccountOf { owner: &NOBODY, ..account.borrowed() };
        assert!(mine.iter().all(|scope| scope.among(&pools).covers(idle) == scope.holds_launches()));
    }
}
