//! What stands over the page and takes the keys.

pub(crate) mod consequence;
pub(crate) mod deed;
pub(crate) mod fields;
pub(crate) mod form;
pub(crate) mod palette;
pub(crate) mod picker;
pub(crate) mod scroll;
pub(crate) mod several;

use tui_input::Input;

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
}

impl Dialog {
    pub(crate) fn confirm(deed: Deed) -> Self {
        Self::Confirm(Confirm::new(deed))
    }
}

impl Confirm {
    pub(crate) fn new(deed: Deed) -> Self {
        Self { deed, typed: Input::default(), hint: None, form: None, top: 0 }
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
    /// The first line of it that is shown, where the screen has not room for all.
    pub top: usize,
}
