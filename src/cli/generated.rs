//! `completions` and `man`: made from the subcommands themselves.

use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;

use super::Cli;
use super::failure::Failure;
use super::say::say;

/// Print the completions of a shell
#[derive(Debug, Args)]
pub(super) struct Completions {
    shell: Shell,
}

impl Completions {
    pub(super) fn run(&self) -> Result<(), Failure> {
        say(&completions(self.shell))
    }
}

/// Print the manual page
///
/// To read it: `tidegate man | man -l -`.
#[derive(Debug, Args)]
pub(super) struct Man {}

impl Man {
    #[expect(clippy::unused_self, reason = "each subcommand is run the same way")]
    pub(super) fn run(&self) -> Result<(), Failure> {
        say(&manual()?)
    }
}

fn completions(shell: Shell) -> String {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "tidegate", &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// One page: the program, then each subcommand with its options.
fn manual() -> Result<String, Failure> {
    let mut program = Cli::command();
    program.build();
    let mut text = Vec::new();
    let failed = |error: std::io::Error| Failure::Failed(format!("the manual: {error}"));
    let page = clap_mangen::Man::new(program.clone()).section("1").source("tidegate");
    page.render_title(&mut text).map_err(failed)?;
    page.render_name_section(&mut text).map_err(failed)?;
    page.render_synopsis_section(&mut text).map_err(failed)?;
    page.render_description_section(&mut text).map_err(failed)?;
    page.render_options_section(&mut text).map_err(failed)?;
    for subcommand in program.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
        let page = clap_mangen::Man::new(shown_alone(subcommand));
        text.extend_from_slice(format!(".SH TIDEGATE {}\n", subcommand.get_name().to_uppercase()).as_bytes());
        let mut body = Vec::new();
        page.render_synopsis_section(&mut body).map_err(failed)?;
        page.render_description_section(&mut body).map_err(failed)?;
        page.render_options_section(&mut body).map_err(failed)?;
        // A subcommand's own headings stand one level lower.
        text.extend_from_slice(String::from_utf8_lossy(&body).replace(".SH ", ".SS ").as_bytes());
    }
    page.render_extra_section(&mut text).map_err(failed)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// A subcommand without what every subcommand has.
fn shown_alone(subcommand: &Command) -> Command {
    subcommand.clone().mut_args(|argument| {
        let everywhere = argument.is_global_set() || argument.get_id() == "help";
        argument.hide(everywhere)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::EXIT_CODES;

    #[test]
    fn every_argument_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_subcommand_says_what_it_does() {
        let mut program = Cli::command().term_width(100);
        program.build();
        let mut pages = vec![program.render_long_help().to_string()];
        pages.extend(program.get_subcommands_mut().map(|subcommand| {
            format!("==== {}\n{}", subcommand.get_name(), subcommand.clone().term_width(100).render_long_help())
        }));
        insta::assert_snapshot!("help", pages.join("\n"));
    }

    #[test]
    fn the_manual_and_the_completions_are_made() {
        let manual = manual().unwrap().replace(env!("CARGO_PKG_VERSION"), "VERSION");
        assert!(manual.contains(EXIT_CODES.split(',').next().unwrap()));
        insta::assert_snapshot!("manual", manual);
        insta::assert_snapshot!("completions_bash", completions(Shell::Bash));
        for shell in [Shell::Zsh, Shell::Fish, Shell::Elvish, Shell::PowerShell] {
            assert!(completions(shell).contains("journal"), "{shell}");
        }
    }
}
