//! A trace of what was really asked for: the tasks that a tracker remembers.

use jiff::{SignedDuration, Timestamp};

use crate::model::history::FinishedTask;
use crate::model::ids::QueueName;

/// A task that was made longer before its start than this did not wait for all of that: it was written long before it
/// was enqueued. When it was enqueued nobody remembers.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_hours(24);

/// A job as a trace's file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub submitted: Timestamp,
    pub duration: SignedDuration,
    pub gpus: u32,
    pub queue: QueueName,
    pub user: String,
    pub project: String,
}

/// What was remembered: the jobs in order, and how many tasks are none, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    pub rows: Vec<Row>,
    /// They were in no queue, or in one that is not there any more.
    pub no_queue: usize,
    /// They ended before anyone began them.
    pub never_begun: usize,
    /// They were written long before they were enqueued: they are taken as submitted when they began.
    pub begun_long_after: usize,
}

impl History {
    /// `gpus`: what a machine of the queue has.
    #[must_use]
    pub fn new(tasks: &[FinishedTask], gpus: impl Fn(&QueueName) -> u32) -> Self {
        let mut history = Self::default();
        for task in tasks {
            let Some(queue) = &task.queue else {
                history.no_queue += 1;
                continue;
            };
            let Some(started) = task.started else {
                history.never_begun += 1;
                continue;
            };
            let waited = started.duration_since(task.created);
            let long = waited > LONGEST_WAIT;
            history.begun_long_after += usize::from(long);
            history.rows.push(Row {
                submitted: if long || waited.is_negative() { started } else { task.created },
                duration: task.ended.duration_since(started).max(SignedDuration::ZERO),
                gpus: gpus(queue),
                queue: queue.clone(),
                user: task.owner.user.as_ref().map(ToString::to_string).unwrap_or_default(),
                project: task.owner.project.as_ref().map(ToString::to_string).unwrap_or_default(),
            });
        }
        history.rows.sort_by(|a, b| a.submitted.cmp(&b.submitted).then_with(|| a.queue.cmp(&b.queue)));
        history
    }

    /// The file of the trace: times in seconds since the first job was submitted.
    ///
    /// # Errors
    /// What the CSV writer says.
    pub fn csv(&self) -> Result<Vec<u8>, String> {
        let mut file = csv::Writer::from_writer(Vec::new());
        let told = |error: csv::Error| error.to_string();
        file.write_record(["submit_s", "duration_s", "gpus", "queue", "user", "project"]).map_err(told)?;
        let first = self.rows.first().map_or(Timestamp::UNIX_EPOCH, |row| row.submitted);
        for row in &self.rows {
            let seconds = |span: SignedDuration| format!("{:.3}", span.as_secs_f64());
            let (submitted, duration) = (seconds(row.submitted.duration_since(first)), seconds(row.duration));
            let gpus = row.gpus.to_string();
            let whose = [row.queue.as_str(), &row.user, &row.project];
            let times = [submitted.as_str(), &duration, &gpus];
            file.write_record(times.into_iter().chain(whose)).map_err(told)?;
        }
        file.into_inner().map_err(|error| error.to_string())
    }

    /// What was left out or guessed, in one sentence; `None`: nothing.
    #[must_use]
    pub fn left_out(&self) -> Option<String> {
        let parts = [
            (self.no_queue, "were in no queue: left out"),
            (self.never_begun, "ended before anyone began them: left out"),
            (self.begun_long_after, "were written over a day before they began: taken as submitted as they began"),
        ];
        let told: Vec<String> =
            parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
        (!told.is_empty()).then(|| told.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::account::Owner;
    use crate::replay::trace::Trace;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_793_606_400 + second).unwrap()
    }

    fn task(id: &str, queue: Option<&str>, created: i64, started: Option<i64>, ended: i64) -> FinishedTask {
        FinishedTask {
            id: id.into(),
            queue: queue.map(Into::into),
            owner: Owner { project: None, user: Some("ann, jr".into()) },
            worker: None,
            created: at(created),
            started: started.map(at),
            ended: at(ended),
        }
    }

    #[test]
    fn tasks_become_the_jobs_of_a_trace_that_can_be_read_again() {
        let tasks = [
            task("b", Some("train"), 100, Some(160), 400),
            task("a", Some("eval"), 40, Some(40), 41),
            task("long", Some("train"), -200_000, Some(500), 560),
            task("local", None, 0, Some(1), 2),
            task("never", Some("train"), 0, None, 2),
        ];
        let history = History::new(&tasks, |queue| if queue.as_str() == "train" { 4 } else { 1 });
        let told = "1 were in no queue: left out; 1 ended before anyone began them: left out; \
                    1 were written over a day before they began: taken as submitted as they began";
        assert_eq!(history.left_out().as_deref(), Some(told));
        let csv = history.csv().unwrap();
        let text = String::from_utf8(csv.clone()).unwrap();
        let lines = [
            "submit_s,duration_s,gpus,queue,user,project",
            "0.000,1.000,1,eval,\"ann, jr\",",
            "60.000,240.000,4,train,\"ann, jr\",",
            "460.000,60.000,4,train,\"ann, jr\",",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), lines);
        let trace = Trace::read(&csv, std::path::Path::new("own.csv")).unwrap();
        let queues: Vec<_> = trace.queues.iter().map(|queue| (queue.name.as_str(), queue.gpus)).collect();
        assert_eq!((trace.jobs.len(), queues), (3, vec![("eval", 1), ("train", 4)]));
    }
}
