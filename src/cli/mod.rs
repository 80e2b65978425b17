//! The program: one file a subcommand. Each speaks to people and, with `--json`, to programs.
//!
//! Exit codes: 0 done, 1 failed, 2 usage, 3 settings invalid, 4 not reachable, 5 refused by a rule.

mod change;
mod failure;
mod generated;
pub mod log;
mod reach;
mod read;
mod say;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use failure::Failure;

/// An operator's console for ClearML queues on rented machines.
///
/// It scales them, holds their budgets and says why.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, arg_required_else_help = true, after_help = EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 failed, 2 usage, 3 settings invalid, 4 not reachable, 5 refused by a rule.";

/// Where the loop is.
#[derive(Debug, Args)]
struct Place {
    /// Directory of the store, the socket and the logs [default: the fleet's, in your state directory]
    #[arg(long, global = true, value_name = "DIR", env = crate::store::directory::VARIABLE, hide_env_values = true)]
    state_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Status(read::status::Status),
    Queues(read::queues::Queues),
    Instances(read::instances::Instances),
    Plan(read::plan::PlanCommand),
    Why(read::why::Why),
    Journal(read::journal::Journal),
    Arm(change::arm::Arm),
    Disarm(change::arm::Disarm),
    Pause(change::pause::Pause),
    Resume(change::pause::Resume),
    Drain(change::drain::Drain),
    Stop(change::stop::Stop),
    Hold(change::hold::Hold),
    Launch(change::launch::Launch),
    Set(change::set::Set),
    Completions(generated::Completions),
    Man(generated::Man),
}

/// Runs the program on the arguments that it was started with.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            say::complain(&format!("tidegate: {failure}"));
            ExitCode::from(failure.code())
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("no runtime: {error}")))?;
    let place = &cli.place;
    match cli.command {
        Command::Status(command) => runtime.block_on(command.run(place)),
        Command::Queues(command) => runtime.block_on(command.run(place)),
        Command::Instances(command) => runtime.block_on(command.run(place)),
        Command::Plan(command) => runtime.block_on(command.run(place)),
        Command::Why(command) => runtime.block_on(command.run(place)),
        Command::Journal(command) => runtime.block_on(command.run(place)),
        Command::Arm(command) => runtime.block_on(command.run(place)),
        Command::Disarm(command) => runtime.block_on(command.run(place)),
        Command::Pause(command) => runtime.block_on(command.run(place)),
        Command::Resume(command) => runtime.block_on(command.run(place)),
        Command::Drain(command) => runtime.block_on(command.run(place)),
        Command::Stop(command) => runtime.block_on(command.run(place)),
        Command::Hold(command) => runtime.block_on(command.run(place)),
        Command::Launch(command) => runtime.block_on(command.run(place)),
        Command::Set(command) => runtime.block_on(command.run(place)),
        Command::Completions(command) => command.run(),
        Command::Man(command) => command.run(),
    }
}
