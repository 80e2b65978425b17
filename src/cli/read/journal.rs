//! `journal`: what the loop and people did, newest first.

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Form, clock};
use crate::cli::Place;
use crate::cli::failure::Failure;
use crate::cli::kept::Kept;
use crate::cli::live::Ground;
use crate::cli::reach::{Loop, state_dir};
use crate::cli::say::{Version, json_line, say, say_json, say_on};
use crate::cli::table::{Side, table};
use crate::engine::command::Command;
use crate::engine::event::{Answer, Event};
use crate::model::journal::{Entry, JournalFilter};
use crate::model::span;
use crate::world::clock::Clock;

/// Show what the loop and people did, newest first
///
/// Without a running loop the store of --state-dir is read.
#[derive(Debug, Args)]
pub(in crate::cli) struct Journal {
    /// Only lines that hold this text: in a name, the text or the reason, whatever its case
    text: Option<String>,
    /// Only lines of the last while, such as `90m` or `2d`
    #[arg(long, value_name = "DURATION", value_parser = span::parse)]
    since: Option<SignedDuration>,
    /// At most so many lines
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u32,
    /// Show the lines oldest first, and go on with each as it is written; with --json, a JSON object a line
    #[arg(long, short)]
    follow: bool,
    #[command(flatten)]
    form: Form,
}

impl Journal {
    pub(in crate::cli) async fn run(&self, place: &Place) -> Result<(), Failure> {
        if self.follow {
            return self.follow(place).await;
        }
        let now = Clock::Wall.now();
        let entries = match Loop::connect(place).await {
            Ok(mut the_loop) => {
                // The demo's time is not ours.
                let now = the_loop.view().await?.at;
                match the_loop.ask(Command::Journal(self.filter(now))).await.map_err(unread)? {
                    Answer::Journal(entries) => entries,
                    other => return Err(Failure::Failed(format!("the loop answered {other:?}"))),
                }
            }
            Err(Failure::NotReachable(why)) => {
                let directory = state_dir(place)?;
                let ground = Ground::find(place).ok();
                let settings = ground.as_ref().map(|ground| ground.settings.settings());
                let Some(found) = Kept::find(settings.as_deref(), &directory, now).await? else {
                    return Err(Failure::NotReachable(why));
                };
                found.store().journal(&self.filter(now)).await?
            }
            Err(failure) => return Err(failure),
        };
        if self.form.json { say_json(&Told::of(entries)) } else { say(&text(&entries)) }
    }

    async fn follow(&self, place: &Place) -> Result<(), Failure> {
        let mut the_loop = Loop::connect(place).await?;
        let now = the_loop.view().await?.at;
        let filter = self.filter(now);
        // What is written before the answer is in it; what comes after it on this connection was written later.
        let answer = the_loop.ask(Command::Journal(filter.clone())).await.map_err(unread)?;
        let Answer::Journal(mut entries) = answer else {
            return Err(Failure::Failed("the loop answered with something else".to_owned()));
        };
        entries.reverse();
        let form = |entry: &Entry| if self.form.json { json_line(&Line::of(entry.clone())) } else { Ok(line(entry)) };
        for entry in entries {
            if !say_on(&form(&entry)?)? {
                return Ok(());
            }
        }
        loop {
            match the_loop.next().await? {
                Event::Journal(entry) if filter.wants(&entry) && !say_on(&form(&entry)?)? => return Ok(()),
                Event::Ended => return Err(Failure::NotReachable("the loop has ended".to_owned())),
                _ => {}
            }
        }
    }

    fn filter(&self, now: Timestamp) -> JournalFilter {
        JournalFilter {
            since: self.since.map(|since| now.saturating_sub(since).unwrap_or(Timestamp::MIN)),
            text: self.text.clone(),
            limit: self.limit,
        }
    }
}

/// No rule keeps the loop from telling its journal: where it does not, its store did not answer.
fn unread(failure: Failure) -> Failure {
    match failure {
        Failure::Refused(said) => Failure::NotReachable(said),
        other => other,
    }
}

/// What `journal --json` says.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::cli) struct Told {
    version: Version,
    /// The newest first.
    journal: Vec<Entry>,
}

impl Told {
    fn of(journal: Vec<Entry>) -> Self {
        Self { version: Version, journal }
    }
}

/// One event of the stream of `journal --follow --json`.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::cli) struct Line {
    version: Version,
    line: Entry,
}

impl Line {
    fn of(line: Entry) -> Self {
        Self { version: Version, line }
    }
}

fn line(entry: &Entry) -> String {
    let Entry { at, by, kind, text, reason, .. } = entry;
    let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    format!("{}  {by}  {}  {text}{why}\n", clock(*at), kind.word())
}

pub(super) fn text(entries: &[Entry]) -> String {
    let head =
        [("TIME", Side::Left), ("BY", Side::Left), ("KIND", Side::Left), ("WHAT", Side::Left), ("WHY", Side::Left)];
    let rows: Vec<_> = entries
        .iter()
        .map(|entry| {
            [
                clock(entry.at),
                entry.by.to_string(),
                entry.kind.word().to_owned(),
                entry.text.clone(),
                entry.reason.clone(),
            ]
        })
        .collect();
    table(head, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::journal::{EntryKind, Subject};

    #[test]
    fn a_store_that_does_not_answer_the_loop_is_not_reachable() {
        assert_eq!(unread(Failure::Refused("db:5432 cannot be reached".to_owned())).code(), 4);
        assert_eq!(unread(Failure::Failed("no".to_owned())).code(), 1);
    }

    #[test]
    fn a_line_each_newest_first() {
        let entry = Entry {
            at: "2026-11-02T08:00:00.123Z".parse().unwrap(),
            by: "ann".into(),
            kind: EntryKind::Edited,
            text: "sets queue.train.max = 3".to_owned(),
            reason: "revision 0a before".to_owned(),
            subject: Subject::default(),
            intent: None,
            revision: Some(crate::model::ids::Revision::new("0b")),
        };
        assert_eq!(
            text(std::slice::from_ref(&entry)),
            "TIME                  BY   KIND    WHAT                      WHY\n\
             2026-11-02 08:00:00Z  ann  edited  sets queue.train.max = 3  revision 0a before\n"
        );
        let told = "2026-11-02 08:00:00Z  ann  edited  sets queue.train.max = 3: revision 0a before\n";
        assert_eq!(line(&entry), told);
        let event: serde_json::Value = serde_json::to_value(Line::of(entry.clone())).unwrap();
        assert_eq!((&event["version"], &event["line"]["by"]), (&1.into(), &"ann".into()));
        let line: serde_json::Value = serde_json::to_value(Told::of(vec![entry])).unwrap();
        assert_eq!((&line["version"], &line["journal"][0]["by"]), (&1.into(), &"ann".into()));
    }
}
