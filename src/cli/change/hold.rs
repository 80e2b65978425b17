//! `hold`: the loop leaves a machine alone until a time.

use clap::Args;
use jiff::SignedDuration;

use crate::cli::Place;
use crate::cli::failure::Failure;
use crate::cli::reach::{Loop, person};
use crate::engine::command::Command;
use crate::model::ids::InstanceId;
use crate::model::instance::Hold as Held;
use crate::model::snapshot::Ask;
use crate::model::span;

/// Let the loop leave a machine alone for a while: it is neither drained nor stopped
#[derive(Debug, Args)]
pub(in crate::cli) struct Hold {
    /// The machine's id, as the cloud names it
    instance: String,
    /// How long, such as `90m` or `2d`, from 1m to 30d
    #[arg(long = "for", value_name = "DURATION", value_parser = Held::read_span, default_value = "1h")]
    lasts: SignedDuration,
    /// For the journal, and for others who see the machine held
    #[arg(long, value_name = "TEXT", default_value = "no reason given")]
    why: String,
    /// End the hold
    #[arg(long, conflicts_with_all = ["lasts", "why"])]
    release: bool,
}

impl Hold {
    pub(in crate::cli) async fn run(&self, place: &Place) -> Result<(), Failure> {
        let instance = InstanceId::new(self.instance.as_str());
        let names = [super::no_machine(&instance)];
        let mut the_loop = Loop::connect(place).await?;
        let ask = if self.release {
            Ask::Release(instance)
        } else {
            // By the loop's clock: the demo's time is not ours.
            let now = the_loop.view().await?.at;
            let until = now
                .checked_add(self.lasts)
                .map_err(|_| Failure::Usage(format!("{} is too long", span::Exact(self.lasts))))?;
            Ask::Hold { instance, hold: Held { until, by: person(), why: self.why.clone() } }
        };
        the_loop.order(Command::Ask(vec![ask])).await.map_err(|failure| super::slip(failure, &names))
    }
}
