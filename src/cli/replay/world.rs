//! The world that a trace is played in, as the command line says it.

use std::path::PathBuf;

use clap::Args;

use crate::cli::failure::Failure;
use crate::replay::model::{CloudModel, Fault, Spot};

/// Another world than the one that is assumed.
#[derive(Debug, Args)]
pub(super) struct WorldArgs {
    /// Another cloud: a TOML file in which every figure of it may stand
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// What goes wrong
    #[arg(long, value_name = "FAULT")]
    fault: Option<Fault>,
    /// So many idle machines of each pool are switched off and kept rather than ended
    #[arg(long, value_name = "N")]
    pub(super) stopped: Option<u32>,
    /// Machines cost less, and the cloud takes each back so often in an hour
    #[arg(long, value_name = "PER HOUR", num_args = 0..=1, default_missing_value = "0.05")]
    spot: Option<f64>,
    /// Half of each queue's machines are on demand all the same, in a pool of their own
    #[arg(long, requires = "spot", conflicts_with = "fault")]
    mixed: bool,
}

/// What the spot market asks for of the price on demand, in percent.
const SPOT_PERCENT: u32 = 40;

impl WorldArgs {
    pub(super) fn cloud(&self) -> Result<CloudModel, Failure> {
        let mut cloud = match &self.scenario {
            None => CloudModel::default(),
            Some(file) => {
                let failed = |error: &dyn std::fmt::Display| Failure::Failed(format!("{}: {error}", file.display()));
                let text = std::fs::read_to_string(file).map_err(|error| failed(&error))?;
                CloudModel::parse(&text).map_err(|error| failed(&error))?
            }
        };
        cloud.fault = self.fault.or(cloud.fault);
        cloud.stopped = self.stopped.unwrap_or(cloud.stopped);
        if let Some(hazard) = self.spot {
            if !(0.0..=3_600.0).contains(&hazard) {
                return Err(Failure::Usage(format!("--spot is {hazard}: it must be 0 to 3600 in an hour")));
            }
            cloud.spot = Some(Spot { price_percent: SPOT_PERCENT, hazard, mixed: self.mixed });
        }
        Ok(cloud)
    }
}
