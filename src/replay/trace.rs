//! Traces: what was asked of a cluster, job by job. A CSV file with the columns `submit_s,duration_s,gpus,queue,user`,
//! times in whole or broken seconds since the trace's beginning; a column `project` may stand beside them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// Milliseconds.
pub type Millis = i64;

/// One job, as it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Job {
    /// Since the trace's beginning.
    pub submitted: Millis,
    /// How long it runs: what no policy may know.
    pub duration: Millis,
    /// Its place in [`Trace::queues`].
    pub queue: usize,
    /// Its place in [`Trace::users`].
    pub user: usize,
    /// Its place in [`Trace::projects`], if it has one.
    pub project: Option<usize>,
}

/// A queue of a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceQueue {
    pub name: String,
    /// The most that one of its jobs asks for.
    pub gpus: u32,
}

/// Jobs in the order in which they were submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// The file's name.
    pub name: String,
    pub queues: Vec<TraceQueue>,
    pub users: Vec<String>,
    pub projects: Vec<String>,
    pub jobs: Vec<Job>,
}

/// Why a trace cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    #[error("{}: {source}", .file.display())]
    Unreadable { file: PathBuf, source: std::io::Error },
    #[error("{}: there is no column {column}: a trace has submit_s,duration_s,gpus,queue,user", .file.display())]
    NoColumn { file: PathBuf, column: &'static str },
    #[error("{}:{line}: {problem}", .file.display())]
    Row { file: PathBuf, line: u64, problem: String },
    #[error("{}: no jobs", .file.display())]
    Empty { file: PathBuf },
}

const COLUMNS: [&str; 5] = ["submit_s", "duration_s", "gpus", "queue", "user"];

/// The most that a time in a trace may be, in seconds: ten years.
const LONGEST: f64 = 10.0 * 366.0 * 86_400.0;

#[derive(Deserialize)]
struct Row {
    submit_s: f64,
    duration_s: f64,
    gpus: u32,
    queue: String,
    user: String,
    #[serde(default)]
    project: String,
}

/// Names in the order in which they were first seen.
#[derive(Default)]
struct Names {
    all: Vec<String>,
    places: BTreeMap<String, usize>,
}

impl Names {
    fn place(&mut self, name: String) -> usize {
        *self.places.entry(name.clone()).or_insert_with(|| {
            self.all.push(name);
            self.all.len() - 1
        })
    }
}

impl Trace {
    /// Reads a trace's file.
    pub fn open(file: &Path) -> Result<Self, TraceError> {
        let bytes = std::fs::read(file).map_err(|source| TraceError::Unreadable { file: file.to_owned(), source })?;
        Self::read(&bytes, file)
    }

    /// Reads a trace's text; `file` is what errors name.
    pub fn read(bytes: &[u8], file: &Path) -> Result<Self, TraceError> {
        let row_error = |line, problem: String| TraceError::Row { file: file.to_owned(), line, problem };
        let broken = |error: csv::Error| {
            let line = error.position().map_or(1, csv::Position::line);
            row_error(line, error.to_string())
        };
        let mut rows = csv::Reader::from_reader(bytes);
        let head = rows.headers().map_err(broken)?.clone();
        if let Some(column) = COLUMNS.into_iter().find(|column| head.iter().all(|name| name != *column)) {
            return Err(TraceError::NoColumn { file: file.to_owned(), column });
        }
        let (mut queues, mut places) = (Vec::<TraceQueue>::new(), BTreeMap::new());
        let (mut users, mut projects) = (Names::default(), Names::default());
        let mut jobs = Vec::new();
        for record in rows.into_records() {
            let record = record.map_err(broken)?;
            let line = record.position().map_or(0, csv::Position::line);
            let row: Row = record.deserialize(Some(&head)).map_err(|error| row_error(line, words(&error)))?;
            let time = |name: &str, seconds: f64, least: f64| {
                let holds = (least..=LONGEST).contains(&seconds);
                holds.then(|| millis(seconds)).ok_or_else(|| {
                    row_error(line, format!("{name} is {seconds}: it must be {least} to {LONGEST} seconds"))
                })
            };
            let (submitted, duration) =
                (time("submit_s", row.submit_s, 0.0)?, time("duration_s", row.duration_s, 0.0)?);
            if row.queue.is_empty() {
                return Err(row_error(line, "the queue has no name".to_owned()));
            }
            let queue = *places.entry(row.queue.clone()).or_insert_with(|| {
                queues.push(TraceQueue { name: row.queue, gpus: 0 });
                queues.len() - 1
            });
            if let Some(queue) = queues.get_mut(queue) {
                queue.gpus = queue.gpus.max(row.gpus);
            }
            let project = (!row.project.is_empty()).then(|| projects.place(row.project));
            jobs.push(Job { submitted, duration, queue, user: users.place(row.user), project });
        }
        if jobs.is_empty() {
            return Err(TraceError::Empty { file: file.to_owned() });
        }
        jobs.sort_by_key(|job| job.submitted);
        let name = file.file_name().map_or_else(|| "trace".to_owned(), |name| name.to_string_lossy().into_owned());
        Ok(Self { name, queues, users: users.all, projects: projects.all, jobs })
    }
}

fn words(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::Deserialize { err, .. } => {
            match err.field().and_then(|field| COLUMNS.get(usize::try_from(field).ok()?)) {
                Some(column) => format!("{column}: {}", err.kind()),
                None => err.kind().to_string(),
            }
        }
        _ => error.to_string(),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a row's seconds are checked to be fewer than ten years'")]
fn millis(seconds: f64) -> Millis {
    (seconds * 1_000.0).round() as Millis
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Trace, String> {
        Trace::read(text.as_bytes(), Path::new("week.csv")).map_err(|error| error.to_string())
    }

    #[test]
    fn a_trace_is_its_jobs_in_order_and_its_queues() {
        let trace = read("submit_s,duration_s,gpus,queue,user\n20,60,1,a-g1,ann\n10,1.5,4,b-g4,bob\n30,5,2,b-g4,bob\n");
        let trace = trace.unwrap();
        assert_eq!(trace.name, "week.csv");
        let jobs: Vec<_> = trace.jobs.iter().map(|job| (job.submitted, job.duration, job.queue)).collect();
        assert_eq!(jobs, [(10_000, 1_500, 1), (20_000, 60_000, 0), (30_000, 5_000, 1)]);
        let queues: Vec<_> = trace.queues.iter().map(|queue| (queue.name.as_str(), queue.gpus)).collect();
        assert_eq!(queues, [("a-g1", 1), ("b-g4", 4)]);
        assert_eq!((trace.users.as_slice(), trace.jobs[0].user), (&["ann".to_owned(), "bob".to_owned()][..], 1));
        assert_eq!((trace.projects.len(), trace.jobs[0].project), (0, None));
        let trace = read("project,submit_s,duration_s,gpus,queue,user\nvision,1,1,1,q,ann\n,2,1,1,q,ann\n").unwrap();
        let projects: Vec<_> = trace.jobs.iter().map(|job| job.project).collect();
        assert_eq!((trace.projects, projects), (vec!["vision".to_owned()], vec![Some(0), None]));
    }

    #[test]
    fn a_bad_trace_is_refused_with_its_line() {
        let head = "submit_s,duration_s,gpus,queue,user\n1,1,1,q,u\n";
        for (text, expected) in [
            (
                "submit_s,gpus,queue,user\n1,1,q,u\n",
                "week.csv: there is no column duration_s: a trace has submit_s,duration_s,gpus,queue,user",
            ),
            (&format!("{head}5,-3,1,q,u\n"), "week.csv:3: duration_s is -3: it must be 0 to 316224000 seconds"),
            (&format!("{head}NaN,3,1,q,u\n"), "week.csv:3: submit_s is NaN: it must be 0 to 316224000 seconds"),
            (&format!("{head}5,3,some,q,u\n"), "week.csv:3: gpus: invalid digit found in string"),
            (&format!("{head}5,3,1,,u\n"), "week.csv:3: the queue has no name"),
            ("submit_s,duration_s,gpus,queue,user\n", "week.csv: no jobs"),
        ] {
            assert_eq!(read(text).unwrap_err(), expected);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_trace_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Trace::read(&bytes, Path::new("x"));
        }
    }
}
