//! What stands over the page and takes the keys.

pub(crate) mod consequence;
pub(crate) mod deed;
pub(crate) mod edits;
pub(crate) mod fields;
pub(crate) mod form;
pub(crate) mod palette;
pub(crate) mod picker;
pub(crate) mod room;
pub(crate) mod scroll;
pub(crate) mod several;

use jiff::Timestamp;
use tui_input::Input;

use super::commands::Keymap;
use crate::engine::event::View;
use consequence::Question;
use deed::Deed;
use form::Form;
use palette::Palette;
use picker::Picker;

/// The open dialog.
#[derive(Debug)]
pub(crate) enum Dialog {
    Confirm(Confirm),
    Picker(Picker),
    Form(Box<Form>),
    Palette(Palette),
    /// The filter being typed, with what it was before.
    Filter {
        input: Input,
        before: String,
    },
    /// Errors and lasting warnings, from this line on.
    Problems {
        top: usize,
    },
    /// Why the one before was closed by itself. It hears the keys that were meant for that one.
    Gone(String),
}

impl Dialog {
    pub(crate) fn confirm(deed: Deed) -> Self {
        Self::Confirm(Confirm::new(deed))
    }
}

impl Confirm {
    pub(crate) fn new(deed: Deed) -> Self {
        Self { deed, typed: Input::default(), hint: None, form: None, note: None, top: 0 }
    }

    /// What its deed would do by the newest view, after what there is to know of whom it goes to.
    pub(crate) fn question(&self, view: &View, keys: &Keymap, now: Timestamp) -> Result<Question, String> {
        let mut question = self.deed.question(view, keys, now)?;
        if let Some(note) = &self.note {
            question.lines.insert(0, note.clone());
        }
        Ok(question)
    }
}

/// A question before a deed. It carries the deed as data; what it says is made from the newest view each time.
#[derive(Debug)]
pub(crate) struct Confirm {
    pub deed: Deed,
    /// What has been typed as proof.
    pub typed: Input,
    /// Why the last key did nothing.
    pub hint: Option<String>,
    /// The form that it comes from, and goes back to.
    pub form: Option<Box<Form>>,
    /// Of those that it goes to, which are not seen.
    pub note: Option<String>,
    /// The first line of it that is shown, where the screen has not room for all.
    pub top: usize,
}
