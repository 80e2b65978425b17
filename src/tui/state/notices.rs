//! What just happened, and what is wrong until it is read.

use std::collections::BTreeSet;

use super::State;
use crate::engine::event::View;
use crate::model::advice::Advised;
use crate::tui::commands::Id;

/// How long a message stays, in seconds of wall time.
const STAYS: u32 = 4;
/// Older errors are in the log.
const ERRORS_KEPT: usize = 50;

/// A message that goes by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notice {
    pub text: String,
    pub seconds_left: u32,
}

/// What the line above the footer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shown<'a> {
    Info(&'a str),
    /// The newest error, and how many are unread.
    Error(&'a str, usize),
}

impl State {
    pub(crate) fn inform(&mut self, text: impl Into<String>) {
        self.notice = Some(Notice { text: text.into(), seconds_left: STAYS });
    }

    /// It stays until it is read.
    pub(crate) fn complain(&mut self, text: impl Into<String>) {
        let text = text.into();
        tracing::warn!("{text}");
        if self.errors.front() != Some(&text) {
            self.errors.push_front(text);
            self.errors.truncate(ERRORS_KEPT);
        }
    }

    pub(crate) fn shown_notice(&self) -> Option<Shown<'_>> {
        match (&self.notice, self.errors.front()) {
            (Some(notice), _) => Some(Shown::Info(&notice.text)),
            (None, Some(error)) => Some(Shown::Error(error, self.errors.len())),
            (None, None) => None,
        }
    }

    /// What is wrong and lasts: the settings' file, a source that does not answer, a warning that was not read.
    pub(crate) fn banner(&self) -> Option<String> {
        let view = self.view()?;
        if self.loop_gone {
            return Some(format!("{}; {} leaves, the log says more", self.gone_words(), self.keys.first(Id::Quit)));
        }
        let lasting = lasting(view);
        let unread: Vec<_> = lasting.iter().filter(|warning| !self.read.contains(*warning)).collect();
        let first = unread.first()?;
        Some(match unread.len() {
            1 => (*first).clone(),
            more => format!("(1 of {more}, {} reads) {first}", self.keys.first(Id::Problems)),
        })
    }
}

/// Everything that is wrong and lasts, the worst first.
pub(crate) fn lasting(view: &View) -> Vec<String> {
    let problem = view.settings_problem.iter().map(|problem| format!("the settings on disk do not run: {problem}"));
    let sources = view.snapshot.sources.iter();
    let errors = sources.filter_map(|source| source.error.as_ref().map(|error| format!("{}: {error}", source.name)));
    let ending = view.snapshot.sources.iter().filter_map(|source| source.credentials_warning(view.at));
    let failed: BTreeSet<String> = view.snapshot.advice.values().filter_map(Advised::failure).collect();
    let failed = failed.into_iter().map(|error| format!("a policy fails, the loop decides without it: {error}"));
    problem.chain(failed).chain(errors).chain(ending).chain(view.warnings.iter().cloned()).collect()
}
