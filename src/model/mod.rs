//! Plain values shared by all: no I/O, no clock, no decisions.

pub mod breaker;
pub mod calendar;
pub mod catalogue;
pub mod claim;
pub mod drift;
pub mod eta;
pub mod forecast;
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
pub mod reconcile;
pub mod record;
pub mod report;
pub mod settings;
pub mod site;
pub mod snapshot;
pub mod span;
pub mod which;
