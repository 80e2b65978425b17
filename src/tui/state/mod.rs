//! Everything that the screen knows. `update` changes it, `view` draws it.

mod cursor;
pub(crate) mod history;
mod marks;
mod notices;
pub(crate) mod place;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use ratatui::layout::Rect;

use super::chart::Looked;
use super::commands::Keymap;
use super::dialog::Dialog;
use super::dialog::deed::Deed;
use super::list::{Data, Facts, List};
use super::theme::Theme;
use crate::engine::command::Edit;
use crate::engine::event::{Leader, View};
use crate::model::ids::{Actor, InstanceId, QueueName, Revision, TaskId};
use crate::model::instance::Instance;
use crate::model::journal::Entry;
use crate::model::settings::OnExit;
use crate::model::tasks::{NamedTask, QueuedTask};
use history::History;
use place::{Look, Page, Place, Subject};

pub(crate) use cursor::Move;
pub(crate) use notices::{Notice, Shown, lasting};

/// What the screen is told when it starts, and never changes.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub by: Actor,
    /// How many times faster than the wall the loop's clock runs.
    pub speed: Option<u32>,
    pub has_log: bool,
    /// Where the loop runs, if elsewhere: leaving the screen does not end it.
    pub attached: Option<String>,
}

/// What was asked of the loop and is not answered yet.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Asked {
    /// A deed, in words; `undo` is kept once it is done.
    Deed {
        what: String,
        undo: Option<Undo>,
    },
    /// The open form's edits.
    Apply {
        undo: Undo,
    },
    Preview {
        edits: Vec<Edit>,
    },
    BootLog(InstanceId),
    Tasks(QueueName),
    TaskLog(TaskId),
    Journal {
        limit: u32,
    },
    /// What charts show of the time before this screen.
    History,
    /// The settings as the file has them.
    SettingsText,
    /// A text that came from the editor, or one that takes such a text back.
    Write {
        draft: Draft,
        is_back: bool,
    },
    Quit,
}

/// Settings as a person leaves them in an editor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Draft {
    /// The text that was begun with.
    pub was: String,
    pub text: String,
}

/// How something done here is taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Undo {
    /// Sets the settings back.
    Edits {
        back: Vec<Edit>,
        /// What was set.
        done: Vec<Edit>,
    },
    /// Writes the text that was there before this one.
    Text(Draft),
    /// Cancels a drain.
    Drain(Vec<InstanceId>),
    /// Puts tasks back into their queue.
    Tasks(QueueName, Vec<NamedTask>),
}

/// A machine's or a task's console output, or why there is none.
pub(crate) type BootLog = Result<Vec<String>, String>;

/// The screen waits for the loop's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leaving {
    pub on_exit: OnExit,
    /// Seconds of wall time until it is left behind.
    pub seconds_left: u32,
    pub waited: u32,
}

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, not a state of one machine")]
pub(crate) struct State {
    pub setup: Setup,
    pub theme: Theme,
    /// A person chose the theme here, or an earlier time.
    pub chose_theme: bool,
    /// Which key does what.
    pub keys: Keymap,
    pub size: Rect,
    /// The loop's newest view.
    pub live: Option<Arc<View>>,
    /// What was seen.
    pub history: History,
    pub charts: Looked,
    /// A person wants the mouse to work here.
    pub wants_mouse: bool,
    /// The terminal was told so.
    pub has_mouse: bool,
    /// The view that is shown while the screen is frozen, and since when.
    pub frozen: Option<(Arc<View>, Timestamp)>,
    pub facts: Facts,
    pub loop_gone: bool,
    pub place: Place,
    pub back: Vec<Place>,
    pub forward: Vec<Place>,
    /// From where a place was opened: there Esc leads back.
    pub above: BTreeMap<Place, Place>,
    pub looks: BTreeMap<Place, Look>,
    /// Rows that were marked, on whichever page; what is gone is no longer among them.
    pub marks: BTreeSet<Subject>,
    /// The other end of the range that is being marked.
    pub range_from: Option<Subject>,
    pub list: List,
    /// Newest first.
    pub journal: VecDeque<Entry>,
    /// The journal's store has older lines.
    pub journal_goes_on: bool,
    pub log: Option<Result<Vec<String>, String>>,
    pub reading_log: bool,
    pub boot_logs: BTreeMap<InstanceId, Option<BootLog>>,
    /// The tasks of queues, as they were last read.
    pub tasks: BTreeMap<QueueName, Result<Vec<QueuedTask>, String>>,
    pub task_logs: BTreeMap<TaskId, Option<BootLog>>,
    /// Seconds of wall time since the start.
    pub ticks: u32,
    pub dialog: Option<Dialog>,
    pub notice: Option<Notice>,
    pub errors: VecDeque<String>,
    /// Warnings of the loop that a person has read.
    pub read: BTreeSet<String>,
    pub asked: BTreeMap<u64, Asked>,
    pub next_id: u64,
    pub undo: Vec<Undo>,
    /// The text that the open editor was given.
    pub editing: Option<String>,
    /// What was left in the editor and is not written yet.
    pub draft: Option<Draft>,
    pub leaving: Option<Leaving>,
    /// What the rows are made from has changed.
    pub relist: bool,
    /// Something has changed that is not on the screen yet.
    pub dirty: bool,
}

impl State {
    pub(crate) fn new(setup: Setup, theme: Theme, size: Rect) -> Self {
        Self {
            setup,
            theme,
            chose_theme: false,
            keys: Keymap::default(),
            size,
            live: None,
            history: History::default(),
            charts: Looked::default(),
            wants_mouse: true,
            has_mouse: false,
            frozen: None,
            facts: Facts::default(),
            loop_gone: false,
            place: Place::of(Page::Queues),
            back: Vec::new(),
            forward: Vec::new(),
            above: BTreeMap::new(),
            looks: BTreeMap::new(),
            marks: BTreeSet::new(),
            range_from: None,
            list: List::default(),
            journal: VecDeque::new(),
            journal_goes_on: false,
            log: None,
            reading_log: false,
            boot_logs: BTreeMap::new(),
            tasks: BTreeMap::new(),
            task_logs: BTreeMap::new(),
            ticks: 0,
            dialog: None,
            notice: None,
            errors: VecDeque::new(),
            read: BTreeSet::new(),
            asked: BTreeMap::new(),
            next_id: 1,
            undo: Vec::new(),
            editing: None,
            draft: None,
            leaving: None,
            relist: true,
            dirty: true,
        }
    }

    /// The view that is shown: the newest, or the frozen one.
    pub(crate) fn view(&self) -> Option<&View> {
        self.frozen.as_ref().map(|(view, _)| view.as_ref()).or(self.live.as_deref())
    }

    /// The time that ages are counted to.
    pub(crate) fn shown_at(&self, now: Timestamp) -> Timestamp {
        self.frozen.as_ref().map_or(now, |(_, at)| *at)
    }

    pub(crate) fn data(&self, now: Timestamp) -> Option<Data<'_>> {
        let now = self.shown_at(now);
        let tasks = match &self.place.about {
            Some(Subject::Queue(queue)) => self.tasks.get(queue).and_then(|tasks| tasks.as_deref().ok()),
            _ => None,
        };
        let tasks = tasks.unwrap_or_default();
        self.view().map(|view| Data { view, facts: &self.facts, journal: &self.journal, tasks, now })
    }

    pub(crate) fn look(&self) -> Look {
        self.looks.get(&self.place).cloned().unwrap_or_default()
    }

    pub(crate) fn look_mut(&mut self) -> &mut Look {
        self.looks.entry(self.place.clone()).or_default()
    }

    /// What commands are about: the page's own subject, or the selected row's.
    pub(crate) fn subject(&self) -> Option<Subject> {
        match (self.place.page, &self.place.about) {
            (Page::Machine | Page::BootLog | Page::TaskLog | Page::Why, Some(about)) => Some(about.clone()),
            (Page::Spend, _) => Some(Subject::All),
            (
                Page::Queues | Page::Instances | Page::Why | Page::Settings | Page::Journal | Page::Pools | Page::Tasks,
                _,
            ) => self.selected(),
            _ => None,
        }
    }

    /// The row under the cursor, where it is shown: what a filter hides is not acted on. A step of the plan and a journal
    /// line stand for what they are about.
    fn selected(&self) -> Option<Subject> {
        let look = self.looks.get(&self.place)?;
        let cursor = look.cursor.as_ref()?;
        // Every command asks, in every frame: a long list is not gone through for each.
        let stays = self.list.rows.get(look.row).is_some_and(|row| row.subject == *cursor);
        let index = if stays { look.row } else { self.list.position(cursor)? };
        match cursor {
            Subject::Step(_) => {
                let view = self.view()?;
                self.list.rows.get(index)?.step(view)?.subject()
            }
            Subject::Line(..) => {
                let names = &self.list.rows.get(index)?.entry(&self.journal)?.subject;
                let instance = names.instance.clone().map(Subject::Instance);
                instance.or(names.queue.clone().map(Subject::Queue)).or(names.pool.clone().map(Subject::Pool))
            }
            other => Some(other.clone()),
        }
    }

    /// A machine of the newest view: deeds are done on what is, not on what is shown.
    pub(crate) fn machine(&self, id: &InstanceId) -> Option<&Instance> {
        self.live.as_ref()?.snapshot.instance(id)
    }

    /// Whether orders reach a loop that acts, and if not, why.
    pub(crate) fn can_order(&self) -> Result<&View, String> {
        if self.loop_gone {
            return Err(self.gone_words().to_owned());
        }
        if self.leaving.is_some() {
            return Err("the loop is ending".to_owned());
        }
        let view = self.live.as_deref().ok_or_else(|| "the loop has not looked yet".to_owned())?;
        match &view.leader {
            Leader::Us(_) => Ok(view),
            Leader::Other(_) if view.read_only().is_some() => Err(read_only(view)),
            Leader::Other(_) if view.reaches_leader => Ok(view),
            Leader::Other(who) => Err(format!("{who} leads: this console only watches")),
        }
    }

    /// What it means that the loop is not heard any more.
    pub(crate) fn gone_words(&self) -> &'static str {
        if self.setup.attached.is_some() {
            "the loop does not answer: connecting anew"
        } else {
            "the loop has died: nothing is acted on"
        }
    }

    pub(crate) fn revision(&self) -> Option<Revision> {
        self.live.as_ref().map(|view| view.settings.revision.clone())
    }

    /// Something to be agreed to before it is done; what cannot be done any more is not asked about.
    pub(crate) fn ask_person(&mut self, deed: Deed) {
        if let Some(view) = &self.live
            && let Err(why) = deed.question(view, &self.keys, view.at)
        {
            self.inform(why);
            return;
        }
        self.dialog = Some(Dialog::confirm(deed));
    }

    /// The same, of what is marked: those that no row shows are told.
    pub(crate) fn ask_of_marked(&mut self, deed: Deed) {
        let hidden = self.hidden_told();
        self.ask_person(deed);
        if let Some(Dialog::Confirm(confirm)) = &mut self.dialog {
            confirm.note = hidden;
        }
    }
}

/// Why nothing is done from a console that may change nothing.
pub(crate) fn read_only(view: &View) -> String {
    format!("read only, by {}: nothing is done from here", view.read_only().unwrap_or("its guardrails"))
}
