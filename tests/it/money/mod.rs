//! Money: what was spent, and whether it was right.

mod books;
mod reconcile;
mod report;
