//! Which key does what: the commands' own keys, or those that the settings give them.

use std::collections::BTreeMap;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{Command, Id, TABLE, find};
use crate::model::keys::{Code, Key, Keys};
use crate::model::settings::keys::keys_of;

/// The keys of every command.
#[derive(Debug, Clone)]
pub(crate) struct Keymap {
    /// As the settings have them.
    from: BTreeMap<String, Keys>,
    keys: BTreeMap<Id, Keys>,
    /// A person types commands' names, line by line, and presses no key.
    is_spoken: bool,
}

impl Default for Keymap {
    fn default() -> Self {
        Self::of(&BTreeMap::new())
    }
}

impl Keymap {
    /// The keys as the settings have them.
    pub(crate) fn of(settings: &BTreeMap<String, Keys>) -> Self {
        let keys = TABLE.iter().map(|command| {
            let keys = command.field().map(|field| keys_of(settings, field)).unwrap_or_default();
            (command.id, keys)
        });
        Self { from: settings.clone(), keys: keys.collect(), is_spoken: false }
    }

    /// For a person who types commands by their names.
    pub(crate) fn spoken(self) -> Self {
        Self { is_spoken: true, ..self }
    }

    pub(crate) fn is_spoken(&self) -> bool {
        self.is_spoken
    }

    /// The keys as other settings have them, in front of the same person.
    pub(crate) fn renewed(&self, settings: &BTreeMap<String, Keys>) -> Self {
        Self { is_spoken: self.is_spoken, ..Self::of(settings) }
    }

    /// Whether they are those of these settings.
    pub(crate) fn is_of(&self, settings: &BTreeMap<String, Keys>) -> bool {
        self.from == *settings
    }

    /// The command of a key.
    pub(crate) fn command(&self, key: Key) -> Option<&'static Command> {
        let (id, _) = self.keys.iter().find(|(_, keys)| keys.0.contains(&key))?;
        find(*id)
    }

    /// The keys of a command.
    pub(crate) fn keys(&self, id: Id) -> &[Key] {
        self.keys.get(&id).map(|keys| keys.0.as_slice()).unwrap_or_default()
    }

    /// Its keys, as help and menus show them; empty for none.
    pub(crate) fn all(&self, id: Id) -> String {
        self.keys(id).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    /// How a command is done, in a sentence: its first key, else its name in the palette. Line by line its name alone.
    pub(crate) fn first(&self, id: Id) -> String {
        if self.is_spoken {
            return find(id).map(|command| command.name.to_owned()).unwrap_or_default();
        }
        let by_name = || find(id).map(|command| format!(":{}", command.name)).unwrap_or_default();
        self.keys(id).first().map_or_else(by_name, ToString::to_string)
    }
}

/// Keys that write nothing, as the terminal tells them.
const CODES: [(Code, KeyCode); 15] = [
    (Code::Enter, KeyCode::Enter),
    (Code::Esc, KeyCode::Esc),
    (Code::Tab, KeyCode::Tab),
    (Code::BackTab, KeyCode::BackTab),
    (Code::Up, KeyCode::Up),
    (Code::Down, KeyCode::Down),
    (Code::Left, KeyCode::Left),
    (Code::Right, KeyCode::Right),
    (Code::PageUp, KeyCode::PageUp),
    (Code::PageDown, KeyCode::PageDown),
    (Code::Home, KeyCode::Home),
    (Code::End, KeyCode::End),
    (Code::Insert, KeyCode::Insert),
    (Code::Delete, KeyCode::Delete),
    (Code::Backspace, KeyCode::Backspace),
];

/// The key that was pressed; `None` for one that no command can have.
pub(crate) fn pressed(event: KeyEvent) -> Option<Key> {
    let code = match event.code {
        KeyCode::Char(letter) => Code::Letter(letter),
        KeyCode::F(number) => Code::Function(number),
        other => CODES.iter().find(|(_, code)| *code == other)?.0,
    };
    let held = |modifier| event.modifiers.contains(modifier);
    Some(Key { code, ctrl: held(KeyModifiers::CONTROL), alt: held(KeyModifiers::ALT) })
}

/// A key as the terminal would tell it.
pub(crate) fn as_event(key: Key) -> KeyEvent {
    let code = match key.code {
        Code::Letter(letter) => KeyCode::Char(letter),
        Code::Function(number) => KeyCode::F(number),
        other => CODES.iter().find(|(code, _)| *code == other).map_or(KeyCode::Null, |(_, code)| *code),
    };
    let held = |is_held: bool, modifier| if is_held { modifier } else { KeyModifiers::NONE };
    KeyEvent::new(code, held(key.ctrl, KeyModifiers::CONTROL) | held(key.alt, KeyModifiers::ALT))
}
