//! Money: what was spent, and whether it was right.

mod books;
#[cfg(feature = "aws")]
mod prices;
mod reconcile;
mod report;
