//! Keys of a keyboard, as people write them: `d`, `Ctrl-D`, `F5`, `Space`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a key is, without what is held down beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// What it writes; upper case is Shift.
    Letter(char),
    /// `F1` and further.
    Function(u8),
    Enter,
    Esc,
    Tab,
    /// Shift and Tab.
    BackTab,
    Up,
    Down,
    Left,
    Right,
    PageUp,
    PageDown,
    Home,
    End,
    Insert,
    Delete,
    Backspace,
}

/// Those that write nothing, by their names.
const NAMED: [(&str, Code); 16] = [
    ("Space", Code::Letter(' ')),
    ("Enter", Code::Enter),
    ("Esc", Code::Esc),
    ("Tab", Code::Tab),
    ("Shift-Tab", Code::BackTab),
    ("Up", Code::Up),
    ("Down", Code::Down),
    ("Left", Code::Left),
    ("Right", Code::Right),
    ("PgUp", Code::PageUp),
    ("PgDn", Code::PageDown),
    ("Home", Code::Home),
    ("End", Code::End),
    ("Ins", Code::Insert),
    ("Del", Code::Delete),
    ("Backspace", Code::Backspace),
];

/// Keyboards have no more.
const LAST_FUNCTION: u8 = 24;

/// Letters that a terminal does not tell from a key of their own while Ctrl is held: Tab and Enter.
const TAKEN_WITH_CTRL: [char; 2] = ['i', 'm'];

/// A key, with what is held down beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub code: Code,
    pub ctrl: bool,
    pub alt: bool,
}

impl Key {
    #[must_use]
    pub const fn of(letter: char) -> Self {
        Self::named(Code::Letter(letter))
    }

    #[must_use]
    pub const fn ctrl(letter: char) -> Self {
        Self { ctrl: true, ..Self::of(letter) }
    }

    #[must_use]
    pub const fn named(code: Code) -> Self {
        Self { code, ctrl: false, alt: false }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match (NAMED.iter().find(|(_, code)| *code == self.code), self.code) {
            (Some((name, _)), _) => (*name).to_owned(),
            (None, Code::Letter(letter)) if self.ctrl => letter.to_ascii_uppercase().to_string(),
            (None, Code::Letter(letter)) => letter.to_string(),
            (None, Code::Function(number)) => format!("F{number}"),
            (None, other) => format!("{other:?}"),
        };
        let held = |is_held: bool, name: &'static str| if is_held { name } else { "" };
        f.pad(&format!("{}{}{name}", held(self.ctrl, "Ctrl-"), held(self.alt, "Alt-")))
    }
}

/// The text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoKey;

impl FromStr for Key {
    type Err = NoKey;

    fn from_str(text: &str) -> Result<Self, NoKey> {
        let (ctrl, rest) = text.strip_prefix("Ctrl-").map_or((false, text), |rest| (true, rest));
        let (alt, rest) = rest.strip_prefix("Alt-").map_or((false, rest), |rest| (true, rest));
        let mut letters = rest.chars();
        let code = match (NAMED.iter().find(|(name, _)| *name == rest), letters.next(), letters.next()) {
            (Some((_, code)), ..) => *code,
            (None, Some(letter), None) if !letter.is_whitespace() && !letter.is_control() => Code::Letter(letter),
            (None, Some('F'), Some(_)) => {
                let number = rest.get(1..).and_then(|digits| digits.parse().ok()).ok_or(NoKey)?;
                if rest != format!("F{number}") || !(1..=LAST_FUNCTION).contains(&number) {
                    return Err(NoKey);
                }
                Code::Function(number)
            }
            _ => return Err(NoKey),
        };
        let code = match code {
            Code::Letter(letter) if ctrl => {
                let letter = letter.to_ascii_lowercase();
                if !letter.is_ascii_lowercase() || TAKEN_WITH_CTRL.contains(&letter) {
                    return Err(NoKey);
                }
                Code::Letter(letter)
            }
            other => other,
        };
        Ok(Self { code, ctrl, alt })
    }
}

/// What [`Keys`] are, to follow "is not".
pub const GRAMMAR: &str =
    "a key or several with spaces between them, such as `d`, `F5`, `Space` or `q Ctrl-C`, or `none`";

/// The text of no key at all.
const NONE: &str = "none";

/// The keys of one command, the first one shown. None: it is done by its name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Keys(pub Vec<Key>);

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str(NONE);
        }
        for (at, key) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(" ")?;
            }
            write!(f, "{key}")?;
        }
        Ok(())
    }
}

impl FromStr for Keys {
    type Err = NoKey;

    fn from_str(text: &str) -> Result<Self, NoKey> {
        if text.trim() == NONE {
            return Ok(Self::default());
        }
        let keys = text.split_whitespace().map(Key::from_str).collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() { Err(NoKey) } else { Ok(Self(keys)) }
    }
}

impl From<Keys> for String {
    fn from(keys: Keys) -> Self {
        keys.to_string()
    }
}

impl TryFrom<String> for Keys {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map_err(|NoKey| format!("`{text}` is not {GRAMMAR}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_are_read_as_they_are_shown() {
        for text in [
            "d",
            "D",
            "é",
            "-",
            "/",
            "Space",
            "Ctrl-D",
            "Alt-x",
            "Ctrl-Alt-X",
            "F1",
            "F24",
            "Enter",
            "Shift-Tab",
            "PgDn",
            "Ctrl-Left",
            "q Ctrl-C",
            "none",
            "Esc",
            "Alt-Enter",
        ] {
            assert_eq!(text.parse::<Keys>().unwrap().to_string(), text);
        }
        assert_eq!("Ctrl-d".parse(), Ok(Key::ctrl('d')));
        assert_eq!("Space".parse(), Ok(Key::of(' ')));
    }

    #[test]
    fn what_no_terminal_tells_apart_is_no_key() {
        for text in ["", " ", "dd", "F0", "F25", "F05", "F+5", "Ctrl-I", "Ctrl-M", "Ctrl-1", "Ctrl-é", "Strg-D", "\t"]
        {
            assert_eq!(text.parse::<Keys>(), Err(NoKey), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(?s).{0,12}") {
            if let Ok(keys) = text.parse::<Keys>() {
                prop_assert_eq!(keys.to_string().parse::<Keys>().unwrap(), keys);
            }
        }
    }
}
