//! Users whom settings name: in the scopes of budgets.

use crate::model::ids::UserName;
use crate::model::settings::{BudgetScope, Settings};

/// How a scope that is a user's begins, as it is written.
const USER: &str = "user:";

impl Settings {
    /// Everyone who is named.
    pub fn users(&self) -> impl Iterator<Item = &UserName> {
        self.budgets.iter().filter_map(|budget| match &budget.scope {
            BudgetScope::User(user) => Some(user),
            _ => None,
        })
    }

    /// The same settings, with users as they are called.
    #[must_use]
    pub fn with_users(mut self, called: impl Fn(&UserName) -> UserName) -> Self {
        for budget in &mut self.budgets {
            if let BudgetScope::User(user) = &mut budget.scope {
                *user = called(user);
            }
        }
        self
    }
}

/// A value as it is written, with the user as they are called where it is a user's scope.
#[must_use]
pub fn with_user(value: &str, called: impl Fn(&UserName) -> UserName) -> String {
    let user = value.strip_prefix(USER).filter(|name| !name.is_empty()).map(UserName::from);
    user.map_or_else(|| value.to_owned(), |user| format!("{USER}{}", called(&user)))
}
