//! What the screen looks like, where the terminal is not to decide.

use clap::{Args, ValueEnum};

use crate::tui::theme::{Palette, Theme};

/// How the console looks.
#[derive(Debug, Args)]
pub(super) struct Looks {
    /// The console's colours [default: by the terminal, its background and `NO_COLOR`]
    #[arg(long, value_enum, value_name = "NAME")]
    theme: Option<Colours>,
    /// Only signs that any terminal has [default: where the locale is not UTF-8, or the terminal has no others]
    #[arg(long)]
    pub ascii: bool,
    /// Line by line, for screen readers: sentences instead of a screen, commands by their names
    #[arg(long, conflicts_with_all = ["theme", "ascii"])]
    pub plain: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Colours {
    Dark,
    Light,
    Mono,
    ColourBlind,
}

impl Looks {
    /// `None`: as the terminal says.
    pub(super) fn theme(&self) -> Option<Theme> {
        let palette = match self.theme? {
            Colours::Dark => Palette::Dark,
            Colours::Light => Palette::Light,
            Colours::Mono => Palette::Mono,
            Colours::ColourBlind => Palette::ColourBlind,
        };
        Some(Theme { palette, ascii: self.ascii })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Only {
        #[command(flatten)]
        looks: Looks,
    }

    #[test]
    fn signs_are_chosen_without_colours_and_not_with_lines() {
        let read = |arguments: &[&str]| Only::try_parse_from(["tidegate"].iter().chain(arguments));
        let looks = read(&["--ascii"]).unwrap().looks;
        assert!(looks.ascii && looks.theme().is_none());
        let both = read(&["--ascii", "--theme", "mono"]).unwrap().looks;
        assert_eq!(both.theme(), Some(Theme { palette: Palette::Mono, ascii: true }));
        assert!(read(&["--ascii", "--plain"]).is_err());
    }
}
