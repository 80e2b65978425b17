//! `reset`: ends back-offs.

use clap::Args;

use crate::cli::Place;
use crate::cli::failure::Failure;
use crate::engine::command::Command;
use crate::model::breaker;
use crate::model::ids::PoolName;
use crate::model::reason::Reason;

/// End back-offs: what failed is tried again at once, and failed boots are forgiven
#[derive(Debug, Args)]
pub(in crate::cli) struct Reset {
    /// The pool whose machines are to be tried again
    #[arg(required_unless_present = "all", value_name = "POOL")]
    pool: Option<String>,
    /// Every back-off there is
    #[arg(long, conflicts_with = "pool")]
    all: bool,
}

impl Reset {
    pub(in crate::cli) async fn run(&self, place: &Place) -> Result<(), Failure> {
        let pool = self.pool.as_deref().map(PoolName::new);
        let names: Vec<_> = pool.iter().map(|pool| Reason::NoSuchPool { pool: pool.clone() }).collect();
        let what = pool.map_or(breaker::Reset::All, breaker::Reset::Pool);
        super::order_of(place, Command::ResetBackOff(what), &names).await
    }
}
