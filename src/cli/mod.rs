//! The program: one file a subcommand. Each speaks to people and, with `--json`, to programs.
//!
//! Exit codes: 0 done, 1 failed, 2 usage, 3 settings invalid, 4 not reachable, 5 refused by a rule.

mod attach;
mod change;
mod check;
mod cleanup;
mod conform;
mod console;
mod demo;
mod export;
mod failure;
mod generated;
mod import;
mod init;
mod kept;
mod live;
pub mod log;
mod looks;
mod manager;
mod move_store;
mod notify;
mod once;
mod policy;
mod pseudonym;
mod reach;
mod read;
mod replay;
mod run;
mod say;
mod schema;
mod screenshot;
mod soak;
mod spend;
mod table;
mod trial;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use failure::Failure;

/// An operator's console for ClearML queues on rented machines.
///
/// It scales them, holds their budgets and says why. Without a subcommand it opens the console: the screen with its loop.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, after_help = EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    looks: looks::Looks,
    #[command(subcommand)]
    command: Option<Command>,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 failed, 2 usage, 3 settings invalid, 4 not reachable, 5 refused by a rule.";

/// Where the loop is.
#[derive(Debug, Args)]
struct Place {
    /// Directory of the store, the socket and the logs [default: the fleet's, in your state directory]
    #[arg(long, global = true, value_name = "DIR", env = crate::store::directory::VARIABLE, hide_env_values = true)]
    state_dir: Option<PathBuf>,
    /// The settings [default: tidegate/tidegate.toml in your configuration directory]
    #[arg(long, global = true, value_name = "FILE", env = crate::store::settings::VARIABLE, hide_env_values = true)]
    config: Option<PathBuf>,
    /// Ceilings that no setting passes; guardrails.toml beside the settings and in /etc/tidegate hold in any case
    #[arg(long, global = true, value_name = "FILE", env = crate::store::settings::GUARDRAILS, hide_env_values = true)]
    guardrails: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Init),
    Demo(demo::Demo),
    Replay(replay::Replay),
    #[command(hide = true)]
    Soak(soak::Soak),
    Run(run::Run),
    Attach(attach::Attach),
    Check(check::Check),
    Policy(policy::Policy),
    Import(import::Import),
    Export(export::Export),
    Status(read::status::Status),
    Queues(read::queues::Queues),
    Instances(read::instances::Instances),
    Spend(spend::Spend),
    Plan(read::plan::PlanCommand),
    Why(read::why::Why),
    Guard(read::guard::Guard),
    Journal(read::journal::Journal),
    Arm(change::arm::Arm),
    Disarm(change::arm::Disarm),
    Pause(change::pause::Pause),
    Resume(change::pause::Resume),
    Drain(change::drain::Drain),
    Stop(change::stop::Stop),
    Hold(change::hold::Hold),
    Replace(change::replace::Replace),
    Launch(change::launch::Launch),
    Reset(change::reset::Reset),
    Set(change::set::Set),
    Cleanup(cleanup::Cleanup),
    Notify(notify::Notify),
    MoveStore(move_store::MoveStore),
    Pseudonym(pseudonym::Pseudonym),
    Schema(schema::Schema),
    Completions(generated::Completions),
    Man(generated::Man),
}

/// Runs the program on the arguments that it was started with.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match parsed(std::env::args_os()) {
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

fn parsed(arguments: impl Iterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let mut command = Cli::command();
    let matches = command.try_get_matches_from_mut(arguments)?;
    if let Some(("demo", demo)) = matches.subcommand() {
        refuse_place(&matches, demo).map_err(|why| command.error(ErrorKind::ArgumentConflict, why))?;
    }
    Cli::from_arg_matches(&matches)
}

/// The demo has no place. What variables name is for the other subcommands.
fn refuse_place(above: &ArgMatches, demo: &ArgMatches) -> Result<(), String> {
    let typed = |id: &&str| [above, demo].iter().any(|on| on.value_source(id) == Some(ValueSource::CommandLine));
    match ["state_dir", "config", "guardrails"].into_iter().find(typed) {
        Some(id) => Err(format!(
            "`--{}` does nothing here: the demo has its own settings and keeps nothing; leave it out, or run `tidegate` \
             without `demo`",
            id.replace('_', "-")
        )),
        None => Ok(()),
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    let place = &cli.place;
    match cli.command {
        // Those that have runtimes of their own: a screen's, a loop's, simulated time.
        None => console::run(place, &cli.looks),
        Some(Command::Init(command)) => command.run(place, &cli.looks),
        Some(Command::Demo(command)) => command.run(),
        Some(Command::Replay(command)) => command.run(place),
        Some(Command::Soak(command)) => command.run(),
        Some(Command::Run(command)) => command.run(place),
        Some(Command::Attach(command)) => command.run(place, &cli.looks),
        Some(Command::Policy(command)) => command.run(place),
        Some(Command::Export(command)) => command.run(place),
        Some(Command::Pseudonym(command)) => command.run(place),
        Some(Command::Schema(command)) => command.run(),
        Some(Command::Completions(command)) => command.run(),
        Some(Command::Man(command)) => command.run(),
        Some(command) => runtime()?.block_on(ask(command, place)),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("no runtime: {error}")))
}

/// Those that ask or order a running loop, or look for themselves.
async fn ask(command: Command, place: &Place) -> Result<(), Failure> {
    match command {
        Command::Check(command) => command.run(place).await,
        Command::Import(command) => command.run(place).await,
        Command::Status(command) => command.run(place).await,
        Command::Queues(command) => command.run(place).await,
        Command::Instances(command) => command.run(place).await,
        Command::Spend(command) => command.run(place).await,
        Command::Plan(command) => command.run(place).await,
        Command::Why(command) => command.run(place).await,
        Command::Guard(command) => command.run(place).await,
        Command::Journal(command) => command.run(place).await,
        Command::Arm(command) => command.run(place).await,
        Command::Disarm(command) => command.run(place).await,
        Command::Pause(command) => command.run(place).await,
        Command::Resume(command) => command.run(place).await,
        Command::Drain(command) => command.run(place).await,
        Command::Stop(command) => command.run(place).await,
        Command::Hold(command) => command.run(place).await,
        Command::Replace(command) => command.run(place).await,
        Command::Launch(command) => command.run(place).await,
        Command::Reset(command) => command.run(place).await,
        Command::Set(command) => command.run(place).await,
        Command::Cleanup(command) => command.run(place).await,
        Command::Notify(command) => command.run(place).await,
        Command::MoveStore(command) => command.run(place).await,
        Command::Init(_)
        | Command::Demo(_)
        | Command::Replay(_)
        | Command::Soak(_)
        | Command::Run(_)
        | Command::Attach(_)
        | Command::Pseudonym(_)
        | Command::Schema(_)
        | Command::Completions(_)
        | Command::Man(_)
        | Command::Policy(_)
        | Command::Export(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(arguments: &[&str]) -> Option<(i32, String)> {
        let words = std::iter::once("tidegate").chain(arguments.iter().copied()).map(OsString::from);
        parsed(words).err().map(|error| (error.exit_code(), error.to_string()))
    }

    #[test]
    fn what_would_do_nothing_is_usage() {
        for (arguments, why) in [
            (&["demo", "--config", "a.toml"][..], "`--config` does nothing here"),
            (&["--config", "a.toml", "demo", "--headless"], "`--config` does nothing here"),
            (&["demo", "--state-dir", "d"], "`--state-dir` does nothing here"),
            (&["demo", "--guardrails", "g.toml"], "`--guardrails` does nothing here"),
            (&["replay", "--from-clearml", "week.csv"], "--from-clearml"),
        ] {
            let (code, said) = refused(arguments).unwrap();
            assert!(code == 2 && said.contains(why), "{arguments:?}: {said}");
        }
        for arguments in
            [&["demo", "--seed", "7"][..], &["replay", "--from-clearml"], &["replay", "week.csv"], &["--config", "a"]]
        {
            assert_eq!(refused(arguments), None, "{arguments:?}");
        }
    }
}
