//! What the screen looks like, where the terminal is not to decide.

use clap::{Args, ValueEnum};

use crate::tui::theme::{Palette, Theme};

/// How the console looks.
#[derive(Debug, Args)]
pub(super) struct Looks {
    /// The console's colours [default: by the terminal's background and `NO_COLOR`]
    #[arg(long, value_enum, value_name = "NAME")]
    theme: Option<Colours>,
    /// Only signs that any terminal has [default: where the locale is not UTF-8]
    #[arg(long, requires = "theme")]
    ascii: bool,
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
