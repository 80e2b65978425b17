//! Where a person is: a page, what it is about, and how it is looked at.

use crate::model::ids::{BudgetName, InstanceId, IntentId, PoolName, QueueName, TaskId, WorkerId};

/// A view; each answers a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Page {
    /// What waits, and what happens next?
    Queues,
    /// What is up?
    Instances,
    /// What does it cost?
    Spend,
    /// Why (not)?
    Why,
    /// Who did what?
    Journal,
    /// What is allowed?
    Settings,
    /// What can still be rented, and at what price?
    Pools,
    /// How did it go, and where does it lead?
    Charts,
    /// Which tasks wait in a queue, and in which order?
    Tasks,
    /// What a task wrote on its console.
    TaskLog,
    /// What does the program itself report?
    Logs,
    Help,
    /// Everything about one machine.
    Machine,
    /// What a machine wrote on its console.
    BootLog,
}

impl Page {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Queues => "Queues",
            Self::Instances => "Instances",
            Self::Spend => "Spend",
            Self::Why => "Why",
            Self::Journal => "Journal",
            Self::Settings => "Settings",
            Self::Pools => "Pools",
            Self::Charts => "Charts",
            Self::Tasks => "Tasks",
            Self::TaskLog => "Console",
            Self::Logs => "Logs",
            Self::Help => "Help",
            Self::Machine => "Machine",
            Self::BootLog => "Boot log",
        }
    }
}

/// What a row, a page or a dialog is about. Selection is by this, never by the row's number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Subject {
    /// Everything together.
    All,
    Queue(QueueName),
    Pool(PoolName),
    Budget(BudgetName),
    Instance(InstanceId),
    Intent(IntentId),
    Foreign(WorkerId),
    Ghost(WorkerId),
    /// A task of a queue.
    Task(QueueName, TaskId),
    /// A step of the plan, by what it says it is about.
    Step(String),
    /// A journal line, by its time in microseconds and its text.
    Line(i64, String),
}

impl Subject {
    /// As people know it.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::All => "everything".to_owned(),
            Self::Queue(name) => name.to_string(),
            Self::Pool(name) => name.to_string(),
            Self::Budget(name) => name.to_string(),
            Self::Instance(id) => id.to_string(),
            Self::Task(_, id) => id.to_string(),
            Self::Intent(id) => id.to_string(),
            Self::Foreign(id) | Self::Ghost(id) => id.to_string(),
            Self::Step(text) | Self::Line(_, text) => text.clone(),
        }
    }

    /// The sort of thing, for those whose name alone does not tell.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::All => "settings",
            Self::Queue(_) => "queue",
            Self::Pool(_) => "pool",
            Self::Budget(_) => "budget",
            Self::Instance(_) => "machine",
            Self::Task(..) => "task",
            Self::Intent(_) => "launch on its way",
            Self::Foreign(_) => "foreign worker",
            Self::Ghost(_) => "ghost worker",
            Self::Step(_) => "step of the plan",
            Self::Line(..) => "journal line",
        }
    }
}

/// A page and what it is about; `None`: all of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub page: Page,
    pub about: Option<Subject>,
}

impl Place {
    pub(crate) fn of(page: Page) -> Self {
        Self { page, about: None }
    }

    pub(crate) fn about(page: Page, subject: Subject) -> Self {
        Self { page, about: Some(subject) }
    }

    /// The place above, to which Esc leads where it was not opened from another.
    pub(crate) fn up(&self) -> Option<Self> {
        match (self.page, &self.about) {
            (Page::Queues, None) => None,
            (Page::Machine | Page::BootLog, _) => Some(Self::of(Page::Instances)),
            (Page::TaskLog, Some(Subject::Task(queue, _))) => {
                Some(Self::about(Page::Tasks, Subject::Queue(queue.clone())))
            }
            (Page::Instances | Page::Help | Page::Logs | Page::Tasks, _) | (_, None) => Some(Self::of(Page::Queues)),
            (page, Some(_)) => Some(Self::of(page)),
        }
    }

    pub(crate) fn crumbs(&self) -> Vec<String> {
        let own = self.about.iter().map(Subject::name);
        let above = match (self.page, &self.about) {
            (Page::Instances | Page::Tasks, Some(Subject::Queue(_))) => vec![Page::Queues.title()],
            (Page::Machine | Page::BootLog, _) => vec![Page::Instances.title()],
            (Page::TaskLog, Some(_)) => vec![Page::Tasks.title()],
            (page, _) => vec![page.title()],
        };
        let below = match self.page {
            Page::BootLog => Some("boot log".to_owned()),
            Page::Tasks => Some("tasks".to_owned()),
            Page::TaskLog => Some("console".to_owned()),
            _ => None,
        };
        above.into_iter().map(str::to_owned).chain(own).chain(below).collect()
    }
}

/// How a place is looked at; kept while the program runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Look {
    pub filter: String,
    /// The column, by its name; `None`: in the natural order.
    pub sort: Option<&'static str>,
    pub inverted: bool,
    pub cursor: Option<Subject>,
    /// Where the cursor was, for when its row goes.
    pub row: usize,
    /// The first line shown.
    pub top: usize,
    /// Long lines of a log go on below.
    pub wrap: bool,
}
