//! People who are told outside the screen. None of them can hold up the loop: each has a task and a line of its own, what
//! fails is tried again for some minutes, and what is lost then is written in the journal.

mod standing;

use std::collections::BTreeMap;
use std::future::pending;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::engine::event::View;
use crate::model::ids::{FleetId, NotifyName};
use crate::model::journal::{Entry, Subject};
use crate::model::notice::{Notice, NoticeKind};
use crate::model::settings::NotifySettings;
use crate::world::notify::{self, NotifyError};
use standing::Standing;

/// Notices that wait for one who is told; more than these are lost.
const WAITING: usize = 256;

/// How long the last notices have when the loop ends.
const FAREWELL: Duration = Duration::from_secs(3);

/// Tries after the first: 1, 4, 16, 64 and 256 s apart.
const AGAIN: usize = 5;

/// A notice that was not told.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) to: NotifyName,
    pub(super) notice: Notice,
    /// `None`: too many waited before it.
    pub(super) error: Option<NotifyError>,
}

/// Everyone who is told.
#[derive(Debug)]
pub(super) struct Notifier {
    standing: Standing,
    lines: BTreeMap<NotifyName, (NotifySettings, mpsc::Sender<Notice>)>,
    tasks: JoinSet<()>,
    lost: (mpsc::Sender<Lost>, mpsc::Receiver<Lost>),
}

impl Default for Notifier {
    fn default() -> Self {
        Self {
            standing: Standing::default(),
            lines: BTreeMap::new(),
            tasks: JoinSet::new(),
            lost: mpsc::channel(WAITING),
        }
    }
}

impl Notifier {
    /// Tells what is new since the last view.
    pub(super) fn look(&mut self, view: &View) {
        self.settle(&view.settings.notify);
        if !self.lines.is_empty() {
            for notice in self.standing.news(view) {
                self.tell(&notice);
            }
        }
    }

    /// Tells of a line of the journal, if a person should look at it.
    pub(super) fn read(&mut self, entry: &Entry, fleet: &FleetId) {
        if !self.lines.is_empty()
            && let Some(notice) = self.standing.alarm(entry, fleet)
        {
            self.tell(&notice);
        }
    }

    /// The next notice that was not told. It never ends by itself, and dropping the wait loses none.
    pub(super) async fn lost(&mut self) -> Lost {
        match self.lost.1.recv().await {
            Some(lost) => lost,
            None => pending().await,
        }
    }

    /// Nobody else is told; the last notices have a moment.
    pub(super) async fn farewell(mut self) {
        self.lines.clear();
        let _ = timeout(FAREWELL, async { while self.tasks.join_next().await.is_some() {} }).await;
    }

    fn tell(&self, notice: &Notice) {
        for (name, (settings, line)) in &self.lines {
            if settings.on.contains(&notice.event) && line.try_send(notice.clone()).is_err() {
                let lost = Lost { to: name.clone(), notice: notice.clone(), error: None };
                // With so many lost, one more says nothing new.
                let _ = self.lost.0.try_send(lost);
            }
        }
    }

    /// Those of the settings are told, and no others.
    fn settle(&mut self, settings: &[NotifySettings]) {
        while self.tasks.try_join_next().is_some() {}
        self.lines.retain(|_, (told, _)| settings.contains(told));
        for told in settings {
            if !self.lines.contains_key(&told.name) {
                let (line, notices) = mpsc::channel(WAITING);
                self.tasks.spawn(deliver(told.clone(), notices, self.lost.0.clone()));
                self.lines.insert(told.name.clone(), (told.clone(), line));
            }
        }
    }
}

/// Tells one after the other, to the end of the line.
async fn deliver(to: NotifySettings, mut notices: mpsc::Receiver<Notice>, lost: mpsc::Sender<Lost>) {
    while let Some(notice) = notices.recv().await {
        let told = (|| notify::tell(&to, &notice))
            .retry(
                ExponentialBuilder::default()
                    .with_factor(4.0)
                    .with_max_delay(Duration::from_secs(256))
                    .with_max_times(AGAIN),
            )
            .when(NotifyError::may_pass)
            .await;
        if let Err(error) = told {
            let _ = lost.send(Lost { to: to.name.clone(), notice, error: Some(error) }).await;
        }
    }
}

impl Lost {
    pub(super) fn subject(&self) -> Subject {
        self.notice.subject.clone()
    }

    /// In one sentence, and why.
    pub(super) fn told(&self) -> (String, String) {
        let why = match &self.error {
            Some(error) => error.to_string(),
            None => format!("{WAITING} notices wait already"),
        };
        (format!("{} was not told: {}", self.to, self.notice.text), why)
    }
}

/// A notice that says only that notices arrive.
#[must_use]
pub fn example(event: NoticeKind, fleet: FleetId, at: Timestamp) -> Notice {
    standing::notice(at, fleet, event, "a test of Tidegate's notices; nothing has happened")
}
