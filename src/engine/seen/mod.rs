//! What is seen, and what is concluded from it: looks at the world (`observe`) become [`facts`]; a row of them tells
//! what one cannot ([`sight`]), and what a hold task proves (`hold`); what changed is noticed as records (`notice`, `bill`, `drains`); facts and memory join into the snapshot
//! that the plan is made from ([`join`]).

pub(super) mod adopt;
mod agents;
mod bill;
mod boots;
mod drains;
#[cfg(test)]
pub(super) mod example;
pub mod facts;
mod fault;
pub(super) mod hold;
pub mod join;
mod making;
pub(super) mod node_price;
pub(super) mod notice;
pub(super) mod observe;
mod pods;
pub(super) mod rivals;
pub mod sight;
