//! `replace`: another machine in place of this one, once it is idle.

use clap::Args;

use crate::cli::Place;
use crate::cli::failure::Failure;
use crate::engine::command::Command;
use crate::model::ids::InstanceId;
use crate::model::snapshot::Ask;

/// Drain a machine once it is idle and no task needs it; what its pool keeps up starts anew
#[derive(Debug, Args)]
pub(in crate::cli) struct Replace {
    /// The machine's id, as the cloud names it
    instance: String,
    /// Let the machine be
    #[arg(long)]
    cancel: bool,
}

impl Replace {
    pub(in crate::cli) async fn run(&self, place: &Place) -> Result<(), Failure> {
        let instance = InstanceId::new(self.instance.as_str());
        let names = [super::no_machine(&instance)];
        let ask = if self.cancel { Ask::LetBe(instance) } else { Ask::Replace(instance) };
        super::order_of(place, Command::Ask(vec![ask]), &names).await
    }
}
