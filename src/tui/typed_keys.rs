//! Keys as text: letters as they are, others by their names: `2jj<Enter>`, `<C-c>`, `<F5>`, `<lt>` for `<`.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::commands::{Key, as_event};

/// Names that settings do not have.
const SHORT: [(&str, KeyCode); 3] =
    [("BackTab", KeyCode::BackTab), ("BS", KeyCode::Backspace), ("lt", KeyCode::Char('<'))];

/// The keys of a text. `Err`: the name that no key has.
pub(crate) fn keys(text: &str) -> Result<Vec<KeyEvent>, String> {
    let mut keys = Vec::new();
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        if let Some((name, after)) = rest.strip_prefix('<').and_then(|inner| inner.split_once('>')) {
            keys.push(named(name)?);
            rest = after;
        } else {
            keys.push(KeyEvent::new(KeyCode::Char(letter), KeyModifiers::NONE));
            rest = rest.get(letter.len_utf8()..).unwrap_or_default();
        }
    }
    Ok(keys)
}

fn named(name: &str) -> Result<KeyEvent, String> {
    if let Some(letter) = name.strip_prefix("C-").and_then(|rest| rest.chars().next()) {
        return Ok(KeyEvent::new(KeyCode::Char(letter), KeyModifiers::CONTROL));
    }
    if let Some((_, code)) = SHORT.iter().find(|(known, _)| *known == name) {
        return Ok(KeyEvent::new(*code, KeyModifiers::NONE));
    }
    name.parse::<Key>().map(as_event).map_err(|_| format!("no key is called <{name}>"))
}
