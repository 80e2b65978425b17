//! One file a rule.

pub(super) mod ahead;
pub(super) mod budget;
pub(super) mod demand;
pub(super) mod drain;
pub(super) mod grow;
pub(super) mod kept;
pub(super) mod off;
pub(super) mod person;
pub(super) mod recover;
pub(super) mod replace;
pub(super) mod shrink;
pub(super) mod stuck;
pub(super) mod sweep;
pub(super) mod warm;
