//! Fields to fill in: the limits and budgets of something, or how long a machine is held. What is typed is checked at
//! each letter, and what the loop would do with it is shown before it is applied.

use std::sync::Arc;

use jiff::Timestamp;
use tui_input::Input;

use super::fields::{self, Check};
use super::several::called;
use crate::engine::command::Edit;
use crate::engine::event::{Foresight, View};
use crate::model::ids::{InstanceId, Revision};
use crate::model::instance::{Hold, Instance};
use crate::tui::state::place::Subject;

/// What a form is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Settings of this.
    Edit(Subject),
    /// Holds these machines.
    Hold(Vec<InstanceId>),
}

/// One line to fill in.
#[derive(Debug)]
pub(crate) struct Field {
    /// The setting's key; for a hold the field's own name.
    pub key: String,
    pub label: String,
    pub doc: String,
    /// What may be typed, and what nothing typed means.
    pub range: String,
    /// What is used of it now.
    pub used: Option<String>,
    pub input: Input,
    /// What it is now; empty: the default.
    pub was: String,
    /// What it was when the form was opened, where another hand has changed it since.
    pub began: Option<String>,
    pub check: Check,
}

impl Field {
    pub(crate) fn text(&self) -> &str {
        self.input.value().trim()
    }

    /// A text of it as it is told; where there is none, what that means.
    pub(crate) fn told<'a>(&self, text: &'a str) -> &'a str {
        if text.is_empty() { self.check.unset() } else { text }
    }

    pub(crate) fn changed(&self) -> bool {
        self.text() != self.was
    }

    /// Why what is typed cannot be.
    pub(crate) fn error(&self) -> Option<String> {
        self.check.wrong(self.text()).filter(|_| self.changed() || !matches!(self.check, Check::Setting(_)))
    }
}

/// What the loop would do with what is typed.
#[derive(Debug, Default)]
pub(crate) enum Preview {
    /// Nothing is changed, or something is wrong.
    #[default]
    None,
    /// Asked for these edits; others may have been typed since.
    Asked(Vec<Edit>),
    Known {
        edits: Vec<Edit>,
        foresight: Box<Foresight>,
        /// What was so without them.
        beside: Arc<View>,
        /// It is asked for once more.
        again: bool,
    },
    Refused {
        edits: Vec<Edit>,
        why: String,
    },
}

impl Preview {
    fn edits(&self) -> Option<&[Edit]> {
        match self {
            Self::None => None,
            Self::Asked(edits) | Self::Known { edits, .. } | Self::Refused { edits, .. } => Some(edits),
        }
    }
}

/// An open form.
#[derive(Debug)]
pub(crate) struct Form {
    pub purpose: Purpose,
    pub fields: Vec<Field>,
    /// The field that takes the keys; after the last one: Apply.
    pub focus: usize,
    /// Nothing was typed since the field has the focus: the first letter takes the place of what is there.
    pub untouched: bool,
    /// The settings that it was opened on.
    pub seen: Option<Revision>,
    pub preview: Preview,
    /// Sent, and not answered.
    pub applying: bool,
    /// Why the last try was refused, or what another hand changed.
    pub refused: Option<String>,
    /// Of those that it goes to, which are not seen.
    pub note: Option<String>,
}

impl Form {
    /// The limits and budgets of something; `None` where it has none.
    pub(crate) fn edit(view: &View, subject: &Subject) -> Option<Self> {
        let fields = fields::of(view, subject);
        (!fields.is_empty())
            .then(|| Self::new(Purpose::Edit(subject.clone()), fields, Some(view.settings.revision.clone())))
    }

    pub(crate) fn hold(machines: Vec<InstanceId>) -> Self {
        let field = |key: &str, doc: &str, range: &str, text: &str, check| Field {
            key: key.to_owned(),
            label: key.to_owned(),
            doc: doc.to_owned(),
            range: range.to_owned(),
            used: None,
            input: text.into(),
            was: text.to_owned(),
            began: None,
            check,
        };
        let fields = vec![
            field("for", "How long the loop leaves it alone.", "such as 90m or 2d, from 1m to 30d", "1h", Check::Held),
            field("why", "For the journal, and for others who see it held.", "any text", "", Check::Text),
        ];
        Self::new(Purpose::Hold(machines), fields, None)
    }

    fn new(purpose: Purpose, fields: Vec<Field>, seen: Option<Revision>) -> Self {
        Self {
            purpose,
            fields,
            focus: 0,
            untouched: true,
            seen,
            preview: Preview::None,
            applying: false,
            refused: None,
            note: None,
        }
    }

    /// Gives another field the focus; after the last one: Apply.
    pub(crate) fn focus_on(&mut self, at: usize) {
        (self.focus, self.untouched) = (at, true);
    }

    /// The field with the focus, about to be typed into: where that is text, it begins anew.
    pub(crate) fn touch(&mut self, writes: bool) -> Option<&mut Field> {
        let begins = std::mem::take(&mut self.untouched) && writes;
        let field = self.fields.get_mut(self.focus)?;
        if begins {
            field.input.reset();
        }
        Some(field)
    }

    pub(crate) fn title(&self) -> String {
        match &self.purpose {
            Purpose::Edit(subject) => format!("Limits and budgets of {}", subject.name()),
            Purpose::Hold(machines) => format!("Hold {}", called(machines)),
        }
    }

    /// What it is about is no more, and the form with it.
    pub(crate) fn gone(&self, view: &View) -> Option<String> {
        let (name, is_there) = match &self.purpose {
            Purpose::Hold(ids) => {
                let counts = |id| view.snapshot.instance(id).is_some_and(Instance::counts);
                (called(ids), ids.iter().any(counts))
            }
            Purpose::Edit(subject) => {
                let settings = &view.settings;
                let is_there = match subject {
                    Subject::Queue(name) => settings.queue(name).is_some(),
                    Subject::Pool(name) => settings.pool(name).is_some(),
                    Subject::Budget(name) => settings.budgets.iter().any(|budget| budget.name == *name),
                    _ => true,
                };
                (subject.name(), is_there)
            }
        };
        (!is_there).then(|| format!("{name} is gone: nothing was done"))
    }

    /// The settings are others now: fields that were not touched here follow them, what was typed stays. What to say of it.
    pub(crate) fn meet(&mut self, view: &View) -> Option<String> {
        let Purpose::Edit(subject) = &self.purpose else { return None };
        let now = Some(view.settings.revision.clone());
        if self.applying || self.seen == now {
            return None;
        }
        self.seen = now;
        let fresh = fields::of(view, subject);
        let mut changed = Vec::new();
        for field in &mut self.fields {
            let Some(other) = fresh.iter().find(|other| other.key == field.key) else { continue };
            field.used.clone_from(&other.used);
            if other.was == field.was {
                continue;
            }
            changed.push(field.key.clone());
            if !field.changed() {
                field.input = other.was.as_str().into();
            }
            let was = std::mem::replace(&mut field.was, other.was.clone());
            field.began.get_or_insert(was);
        }
        self.preview = Preview::None;
        (!changed.is_empty()).then(|| format!("another hand changed {}; what you typed stays", changed.join(", ")))
    }

    pub(crate) fn first_error(&self) -> Option<usize> {
        self.fields.iter().position(|field| field.error().is_some())
    }

    /// What would be set, as it is typed.
    pub(crate) fn edits(&self) -> Vec<Edit> {
        let changed = self.fields.iter().filter(|field| field.changed());
        changed.map(|field| edit(&field.key, field.text())).collect()
    }

    /// What would set it back.
    pub(crate) fn back(&self) -> Vec<Edit> {
        let changed = self.fields.iter().filter(|field| field.changed());
        changed.map(|field| edit(&field.key, &field.was)).collect()
    }

    /// The edits that the loop should be asked about now, if any: at most one question is under way.
    pub(crate) fn to_preview(&self) -> Option<Vec<Edit>> {
        let edits = self.edits();
        let waits = matches!(self.preview, Preview::Asked(_));
        let is_known = self.preview.edits() == Some(&edits);
        let asks = matches!(self.purpose, Purpose::Edit(_)) && !waits && !is_known && self.first_error().is_none();
        (asks && !edits.is_empty()).then_some(edits)
    }

    /// The edits that the loop should be asked about once more, since it has planned anew.
    pub(crate) fn ask_again(&mut self, planned: Timestamp) -> Option<Vec<Edit>> {
        match &mut self.preview {
            Preview::Known { edits, beside, again, .. } if !*again && beside.plan.at != planned => {
                *again = true;
                Some(edits.clone())
            }
            _ => None,
        }
    }

    /// Whether such an answer is waited for.
    pub(crate) fn waits_for(&self, edits: &[Edit]) -> bool {
        match &self.preview {
            Preview::Asked(asked) => asked == edits,
            Preview::Known { edits: of, again, .. } => *again && of == edits,
            Preview::None | Preview::Refused { .. } => false,
        }
    }

    /// The preview of what is typed now, and what was so without it.
    pub(crate) fn known(&self) -> Option<Result<(&Foresight, &View), &str>> {
        let edits = self.edits();
        match &self.preview {
            Preview::Known { edits: of, foresight, beside, .. } if *of == edits => Some(Ok((foresight, beside))),
            Preview::Refused { edits: of, why } if *of == edits => Some(Err(why)),
            _ => None,
        }
    }

    /// When a hold would end, and why it is held.
    pub(crate) fn held(&self, now: Timestamp) -> Option<(Timestamp, String)> {
        let text = |key: &str| self.fields.iter().find(|field| field.key == key).map(Field::text);
        let lasts = Hold::read_span(text("for")?).ok()?;
        let why = text("why").filter(|why| !why.is_empty()).unwrap_or("no reason given");
        Some((now.checked_add(lasts).ok()?, why.to_owned()))
    }
}

fn edit(key: &str, text: &str) -> Edit {
    Edit { key: key.to_owned(), value: Some(text.to_owned()).filter(|text| !text.is_empty()) }
}
