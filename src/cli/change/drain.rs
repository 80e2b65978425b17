//! `drain`: a machine takes no more tasks, finishes the present one, and is stopped.

use clap::Args;

use crate::cli::Place;
use crate::cli::failure::Failure;
use crate::engine::command::Command;
use crate::model::ids::InstanceId;
use crate::model::snapshot::Ask;

/// Let machines take no more tasks, finish the present one, and stop
#[derive(Debug, Args)]
pub(in crate::cli) struct Drain {
    /// The machines' ids, as the cloud names them
    #[arg(required = true, value_name = "INSTANCE")]
    instances: Vec<String>,
    /// Take the order back: they take tasks again
    #[arg(long)]
    cancel: bool,
}

impl Drain {
    pub(in crate::cli) async fn run(&self, place: &Place) -> Result<(), Failure> {
        let ids = self.instances.iter().map(|id| InstanceId::new(id.as_str()));
        let asks = ids.map(if self.cancel { Ask::CancelDrain } else { Ask::Drain }).collect();
        super::order(place, Command::Ask(asks)).await
    }
}
