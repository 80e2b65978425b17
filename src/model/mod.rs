//! Plain values shared by all: no I/O, no clock, no decisions.

pub mod account;
pub mod bound;
pub mod breaker;
pub mod calendar;
pub mod catalogue;
pub mod claim;
pub mod drift;
pub mod eta;
pub mod forecast;
pub mod history;
pub mod hocon;
pub mod ids;
pub mod instance;
pub mod journal;
pub mod ledger;
pub mod money;
pub mod nearest;
pub mod observed;
pub mod plan;
pub mod reason;
pub mod record;
pub mod settings;
pub mod site;
pub mod snapshot;
pub mod span;
pub mod which;
