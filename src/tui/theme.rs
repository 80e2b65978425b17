//! What things look like. A state is always a shape, a word and a colour, so that any two of them may be missing.

use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier, Style};

use crate::model::instance::Phase;

/// What a piece of text means; the theme gives it its look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Tone {
    #[default]
    Plain,
    Dim,
    Strong,
    Good,
    Active,
    Warn,
    Bad,
    Key,
}

/// The colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Palette {
    Dark,
    Light,
    /// No colour at all: reverse video, bold and words.
    Mono,
    /// Blue, orange and magenta of different brightness: no meaning hangs on red against green. On dark and light alike.
    ColourBlind,
}

impl Palette {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Dark => "dark",
            Self::Light => "light",
            Self::Mono => "mono",
            Self::ColourBlind => "colour-blind",
        }
    }

    pub(crate) fn doc(self) -> &'static str {
        match self {
            Self::Dark => "for a dark background",
            Self::Light => "for a light background",
            Self::Mono => "no colour: reverse video, bold and words",
            Self::ColourBlind => "blue, orange and magenta, on dark and light",
        }
    }
}

/// What a terminal cannot do, by its `TERM`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Abilities {
    /// It has no screen: nothing can be written over.
    pub only_lines: bool,
    pub no_colour: bool,
    /// Its font has ASCII, and little else.
    pub few_signs: bool,
}

impl Abilities {
    pub(crate) fn of(term: Option<&str>) -> Self {
        let term = term.unwrap_or_default();
        let only_lines = matches!(term, "" | "dumb" | "unknown");
        let old = term.starts_with("vt") || only_lines;
        let no_colour = old || ["-m", "-mono"].iter().any(|end| term.ends_with(end));
        Self { only_lines, no_colour, few_signs: old || matches!(term, "linux" | "cons25" | "ansi") }
    }
}

/// Colours and glyphs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    pub palette: Palette,
    /// Only characters that any terminal has.
    pub ascii: bool,
}

impl Theme {
    /// The one for this terminal: no colour where `no_color` asks for none, ASCII where the locale is not UTF-8.
    #[must_use]
    pub fn fitting(no_color: bool, light: bool, locale: Option<&str>) -> Self {
        let palette = match (no_color, light) {
            (true, _) => Palette::Mono,
            (false, true) => Palette::Light,
            (false, false) => Palette::Dark,
        };
        let utf8 = locale.is_some_and(|locale| {
            let locale = locale.to_ascii_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        });
        Self { palette, ascii: !utf8 }
    }

    /// Every look, as it is offered.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let palettes = [Palette::Dark, Palette::Light, Palette::ColourBlind, Palette::Mono];
        [false, true].into_iter().flat_map(move |ascii| palettes.map(|palette| Self { palette, ascii }))
    }

    pub(crate) fn name(self) -> String {
        format!("{}{}", self.palette.word(), if self.ascii { ", ASCII signs" } else { "" })
    }

    pub(crate) fn style(self, tone: Tone) -> Style {
        let plain = Style::default();
        let weight = match tone {
            Tone::Strong | Tone::Bad | Tone::Key => plain.add_modifier(Modifier::BOLD),
            Tone::Dim if self.palette == Palette::Dark => plain,
            Tone::Dim => plain.add_modifier(Modifier::DIM),
            _ => plain,
        };
        match self.colour(tone) {
            Some(colour) => weight.fg(colour),
            None => weight,
        }
    }

    fn colour(self, tone: Tone) -> Option<Color> {
        let (dark, light) = match tone {
            Tone::Plain | Tone::Strong => return None,
            Tone::Dim => (Color::DarkGray, Color::Gray),
            Tone::Good => (Color::Green, Color::Indexed(22)),
            Tone::Active => (Color::Cyan, Color::Indexed(24)),
            Tone::Warn => (Color::Yellow, Color::Indexed(94)),
            Tone::Bad => (Color::LightRed, Color::Indexed(124)),
            Tone::Key => (Color::LightBlue, Color::Indexed(19)),
        };
        let blind = match tone {
            Tone::Plain | Tone::Strong | Tone::Dim => None,
            Tone::Good | Tone::Key => Some(Color::Indexed(32)),
            Tone::Active => Some(Color::Indexed(38)),
            Tone::Warn => Some(Color::Indexed(172)),
            Tone::Bad => Some(Color::Indexed(161)),
        };
        match self.palette {
            Palette::Dark => Some(dark),
            Palette::Light if tone == Tone::Dim => None,
            Palette::Light => Some(light),
            Palette::Mono => None,
            Palette::ColourBlind => blind,
        }
    }

    /// The selected row: reverse video, which needs no colour.
    pub(crate) fn selected() -> Style {
        Style::default().add_modifier(Modifier::REVERSED)
    }

    /// A letter that the filter found.
    pub(crate) fn hit() -> Style {
        Style::default().add_modifier(Modifier::UNDERLINED | Modifier::BOLD)
    }

    /// A badge such as the mode: its word stands out without colour, too.
    pub(crate) fn badge(self, tone: Tone) -> Style {
        self.style(tone).add_modifier(Modifier::REVERSED | Modifier::BOLD)
    }
}

pub(crate) const FOREIGN: &str = "◇";
pub(crate) const GHOST: &str = "✖";
pub(crate) const INTENDED: &str = "◔";
pub(crate) const FAULT: &str = "✖";

pub(crate) fn phase_glyph(phase: Phase) -> (&'static str, Tone) {
    match phase {
        Phase::Pending | Phase::Booting => ("◐", Tone::Active),
        Phase::Idle => ("◌", Tone::Plain),
        Phase::Busy => ("●", Tone::Good),
        Phase::Draining => ("▼", Tone::Warn),
        Phase::Stopping => ("■", Tone::Warn),
        Phase::Stopped => ("□", Tone::Dim),
        Phase::Gone => ("·", Tone::Dim),
    }
}

/// What stands for a glyph where only ASCII can be shown.
const SUBSTITUTES: [(&str, &str); 30] = [
    ("□", "="),
    ("●", "*"),
    ("•", "*"),
    ("◐", "+"),
    ("◔", "+"),
    ("◌", "o"),
    ("▼", "v"),
    ("■", "#"),
    ("✖", "x"),
    ("◇", "~"),
    ("·", "."),
    ("…", "~"),
    ("▁", "_"),
    ("▂", "."),
    ("▃", ":"),
    ("▄", "-"),
    ("▅", "="),
    ("▆", "+"),
    ("▇", "*"),
    ("█", "#"),
    ("▓", "%"),
    ("▒", ":"),
    ("░", "."),
    ("│", "|"),
    ("─", "-"),
    ("┌", "+"),
    ("┐", "+"),
    ("└", "+"),
    ("┘", "+"),
    ("↑", "^"),
];

/// Replaces everything that is not ASCII. Names from elsewhere lose their letters rather than tear the screen.
pub(crate) fn to_ascii(buffer: &mut Buffer) {
    for cell in &mut buffer.content {
        if !cell.symbol().is_ascii() {
            let substitute =
                SUBSTITUTES.iter().find(|(glyph, _)| *glyph == cell.symbol()).map_or("?", |(_, ascii)| ascii);
            cell.set_symbol(substitute);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_terminal_decides() {
        for (no_color, light, locale, palette, ascii) in [
            (false, false, Some("en_US.UTF-8"), Palette::Dark, false),
            (false, true, Some("C.utf8"), Palette::Light, false),
            (true, true, Some("C"), Palette::Mono, true),
            (false, false, None, Palette::Dark, true),
        ] {
            assert_eq!(Theme::fitting(no_color, light, locale), Theme { palette, ascii }, "{locale:?}");
        }
    }

    #[test]
    fn what_a_terminal_cannot_do_is_known_by_its_name() {
        for (term, only_lines, no_colour, few_signs) in [
            (Some("xterm-256color"), false, false, false),
            (Some("tmux"), false, false, false),
            (Some("vt100"), false, true, true),
            (Some("xterm-mono"), false, true, false),
            (Some("linux"), false, false, true),
            (Some("dumb"), true, true, true),
            (Some(""), true, true, true),
            (None, true, true, true),
        ] {
            assert_eq!(Abilities::of(term), Abilities { only_lines, no_colour, few_signs }, "{term:?}");
        }
    }

    #[test]
    fn mono_has_no_colour() {
        let mono = Theme { palette: Palette::Mono, ascii: false };
        for tone in [Tone::Plain, Tone::Dim, Tone::Strong, Tone::Good, Tone::Active, Tone::Warn, Tone::Bad, Tone::Key] {
            assert_eq!((mono.style(tone).fg, mono.style(tone).bg), (None, None), "{tone:?}");
        }
    }
}
