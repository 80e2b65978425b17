//! The real SDK and the real agent against the simulated server.

use std::path::Path;

use tidegate::model::ids::TaskId;
use tidegate::world::sim::clearml::Status;

use crate::support::agent;
use crate::support::conf::clearml_conf;
use crate::support::face::Served;
use crate::support::process::{Group, eventually};
use crate::support::python;

/// What a person's program does: a shell task, a Python task that reports, one that fails, one of a clone.
const ENQUEUE: &str = r#"
from clearml import Task

def task(name, binary, entry_point, program):
    task = Task.create(project_name="tides", task_name=name, task_type="training")
    task.update_task({"script": {"binary": binary, "repository": "", "entry_point": entry_point,
                                 "working_dir": ".", "diff": program, "requirements": {"pip": ""}}})
    return task

shell = task("shell", "/bin/bash", "job.sh", "echo from the shell; sleep 1\n")
python = task("python", "python", "job.py", """
from clearml import Task
task = Task.init(project_name="tides", task_name="python")
rate = task.connect({"rate": 0.5})["rate"]
task.connect_configuration({"depth": 3}, name="net")
for i in range(4):
    task.get_logger().report_scalar("loss", "train", value=rate / (i + 1), iteration=i)
task.get_logger().report_text("from python")
task.add_tags(["reported"])
task.set_progress(50)
""")
failing = task("failing", "/bin/bash", "job.sh", "exit 3\n")
cloned = Task.clone(source_task=shell, name="cloned")
for each in (shell, python, failing):
    Task.enqueue(each, queue_name="gpu")
Task.enqueue(cloned, queue_name="cpu")
print(shell.id, python.id, failing.id, cloned.id)
assert Task.get_task(task_id=shell.id).get_status() == "queued"
assert [t.name for t in Task.get_tasks(project_name="tides", task_name="fail")] == ["failing"]
"#;

const READ_BACK: &str = r#"
from clearml import Task
task = Task.get_task(project_name="tides", task_name="python")
print(task.get_status(), task.get_last_iteration(), task.get_parameters()["General/rate"], task.get_tags(),
      "from python" in "".join(task.get_reported_console_output(10)))
"#;

const EXECUTE_REMOTELY: &str = r#"
from clearml import Task
task = Task.init(project_name="tides", task_name="remote")
print("ID", task.id, flush=True)
task.execute_remotely(queue_name="gpu")
"#;

fn enqueue(served: &Served, folder: &Path) -> Vec<TaskId> {
    let conf = clearml_conf(folder, &served.url, "CONSOLE-KEY", "console-secret");
    python::run(&conf, ENQUEUE).split_whitespace().map(TaskId::from).collect()
}

fn agent(served: &Served, folder: &Path, worker: &str, queues: &[&str]) -> Group {
    let home = folder.join("agent");
    std::fs::create_dir(&home).unwrap();
    let conf = clearml_conf(&home, &served.url, "AGENTS-KEY", "agents-secret");
    agent::start(&conf, worker, queues)
}

#[test]
fn the_sdk_enqueues_and_an_agent_runs_what_it_can() {
    let (served, folder) = (Served::start(&["gpu", "cpu"]), tempfile::tempdir().unwrap());
    let ids = enqueue(&served, folder.path());
    let [shell, python, failing, cloned] = ids.as_slice() else { panic!("{ids:?}") };
    assert_eq!(served.entries("gpu"), [shell.clone(), python.clone(), failing.clone()]);

    let mut agent = agent(&served, folder.path(), "f:p:t:i-1", &["gpu", "cpu"]);
    for (task, status) in [
        (shell, Status::Completed),
        (python, Status::Completed),
        (failing, Status::Failed),
        (cloned, Status::Completed),
    ] {
        agent.wait_for("every task has ended", || !matches!(served.status(task), Status::Queued | Status::InProgress));
        assert_eq!(served.status(task), status, "{task}\n{}", agent.written());
        let kept = served.server();
        let task = kept.task(task).unwrap();
        assert_eq!(task.last_worker.as_ref().unwrap().as_str(), "f:p:t:i-1");
        assert!(task.started.is_some() && !task.waits());
    }
    assert_eq!(served.workers(), ["f:p:t:i-1"]);
    assert!(served.watch.log(shell).concat().contains("from the shell"), "{:?}", served.watch.log(shell));
    let conf = folder.path().join("clearml.conf");
    assert_eq!(python::run(&conf, READ_BACK).trim(), "completed 3 0.5 ['reported'] True");

    agent.signal_leader("TERM");
    eventually("the agent ends", 400, || agent.ended().is_some());
    assert!(served.workers().is_empty(), "it unregisters");
    served.all_known();
}

#[test]
fn a_running_task_is_stopped_by_its_agent_and_one_of_a_killed_agent_stays() {
    let (served, folder) = (Served::start(&["gpu"]), tempfile::tempdir().unwrap());
    let mut agent = agent(&served, folder.path(), "f:p:t:i-1", &["gpu"]);
    let task = served.enqueue_shell("gpu", "echo running; sleep 600");
    agent.wait_for("the job runs", || served.watch.log(&task).concat().contains("running"));
    let conf = clearml_conf(folder.path(), &served.url, "CONSOLE-KEY", "console-secret");
    let script = format!("from clearml import Task\nTask.get_task(task_id='{task}').mark_stop_request()");
    python::run(&conf, &script);
    agent.wait_for("it stops", || served.status(&task) == Status::Stopped);

    let task = served.enqueue_shell("gpu", "echo running; sleep 600");
    agent.wait_for("the job runs", || served.watch.log(&task).concat().contains("running"));
    agent.signal("KILL");
    eventually("the agent ends", 400, || agent.ended().is_some());
    assert_eq!((served.status(&task), served.workers().len()), (Status::InProgress, 1));
    served.all_known();
}

#[test]
fn a_program_that_sends_itself_to_a_queue_is_in_it() {
    let (served, folder) = (Served::start(&["gpu"]), tempfile::tempdir().unwrap());
    let conf = clearml_conf(folder.path(), &served.url, "CONSOLE-KEY", "console-secret");
    let said = python::run(
        &conf,
        &format!(
            "open('job.py', 'w').write('''{EXECUTE_REMOTELY}''')\nimport runpy\nrunpy.run_path('job.py', run_name='__main__')"
        ),
    );
    let id = said.lines().find_map(|line| line.strip_prefix("ID ")).unwrap_or_else(|| panic!("{said}"));
    assert_eq!(served.entries("gpu"), [TaskId::from(id)]);
    assert_eq!(served.status(&id.into()), Status::Queued);
    served.all_known();
}
