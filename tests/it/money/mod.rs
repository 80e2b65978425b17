//! Money: what was spent, what budgets do about it, and whether it was right.

mod books;
mod budgets;
mod console;
mod forecast;
mod off;
#[cfg(feature = "aws")]
mod prices;
mod reconcile;
mod report;
mod soak;
