//! Jobs as a person makes them with the official SDK: shell tasks, each of which leaves a trace of its runs in a file.

use std::collections::BTreeMap;
use std::path::Path;

use tidegate::model::ids::TaskId;

use crate::support::python;

/// What a person's program does: makes shell tasks and enqueues them. It reads `[[queue, name, script], ...]`.
const ENQUEUE: &str = r#"
import json
from clearml import Task

for queue, name, script in json.loads(r'''JOBS'''):
    task = Task.create(project_name="tides", task_name=name, task_type="training")
    task.update_task({"script": {"binary": "/bin/bash", "repository": "", "entry_point": "job.sh",
                                 "working_dir": ".", "diff": script, "requirements": {"pip": ""}}})
    Task.enqueue(task, queue_name=queue)
    print("ID", task.id)
"#;

/// A task's script that leaves a trace of each of its runs in `runs`.
pub(crate) fn script(runs: &Path, name: &str, seconds: u32) -> String {
    let runs = runs.display();
    format!("echo start {name} >>{runs}\nsleep {seconds}\necho end {name} >>{runs}\n")
}

/// Enqueues such jobs with the SDK, as the person of `conf`: queue, name and seconds of each.
pub(crate) fn enqueue(conf: &Path, runs: &Path, jobs: &[(&str, &str, u32)]) -> Vec<TaskId> {
    let jobs: Vec<_> = jobs.iter().map(|(queue, name, seconds)| (queue, name, script(runs, name, *seconds))).collect();
    let said = python::run(conf, &ENQUEUE.replace("JOBS", &serde_json::to_string(&jobs).unwrap()));
    let ids: Vec<TaskId> = said.lines().filter_map(|line| line.strip_prefix("ID ")).map(TaskId::from).collect();
    assert_eq!(ids.len(), jobs.len(), "{said}");
    ids
}

/// How often each job began and ended, by its own trace.
pub(crate) fn runs(file: &Path) -> BTreeMap<String, (u32, u32)> {
    let mut runs: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    for line in std::fs::read_to_string(file).unwrap_or_default().lines() {
        match line.split_once(' ') {
            Some(("start", name)) => runs.entry(name.to_owned()).or_default().0 += 1,
            Some(("end", name)) => runs.entry(name.to_owned()).or_default().1 += 1,
            _ => panic!("{line}"),
        }
    }
    runs
}
