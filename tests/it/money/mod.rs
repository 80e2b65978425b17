//! Money: what was spent, and whether it was right.

mod budgets;
mod console;
