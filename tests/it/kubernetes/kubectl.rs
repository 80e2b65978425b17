//! The same server by `kubectl`, and the same flow on a real cluster: with `TIDEGATE_TEST_KUBECONFIG` set it runs there, in a
//! namespace of its own, which is deleted at its end. No pod of it can be placed anywhere.

use std::path::PathBuf;
use std::process::Command;

use crate::kubernetes::flow::full;
use crate::kubernetes::rig::{Rig, SETTINGS};

/// A namespace of a real cluster; dropped, it is deleted.
struct Namespace {
    kubeconfig: PathBuf,
    name: String,
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = kubectl(&self.kubeconfig, &["delete", "namespace", &self.name, "--wait=false"]);
    }
}

/// What it wrote; an error where it failed.
fn kubectl(kubeconfig: &PathBuf, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("kubectl").arg("--kubeconfig").arg(kubeconfig).args(arguments).output();
    let output = output.map_err(|error| format!("kubectl: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

#[test]
fn kubectl_sees_what_we_make_and_what_it_deletes_is_made_again() {
    if Command::new("kubectl").args(["version", "--client"]).output().is_err() {
        eprintln!("there is no kubectl here: nothing is tried");
        return;
    }
    let settings = SETTINGS.replace("pod_cpu = \"1\"", "pod_cpu = \"900\"");
    let real = std::env::var_os("TIDEGATE_TEST_KUBECONFIG").map(PathBuf::from);
    let (mut rig, namespace, _kept) = match real {
        None => (full(&settings), "ml-tasks".to_owned(), None),
        Some(kubeconfig) => {
            let name = format!("tidegate-test-{}", std::process::id());
            kubectl(&kubeconfig, &["create", "namespace", &name]).unwrap();
            let settings = settings.replace("context = \"test\"\n", "").replace("ml-tasks", &name);
            let kept = Namespace { kubeconfig: kubeconfig.clone(), name: name.clone() };
            (Rig::new(&settings).on(kubeconfig), name, Some(kept))
        }
    };
    let kubeconfig = rig.kubeconfig();
    let ask = |arguments: &[&str]| {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--namespace", &namespace]).collect();
        kubectl(&kubeconfig, &arguments).unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
    };
    let (code, said) = rig.tidegate(&["check"]);
    assert!(said.contains("a pod of its template (cluster)"), "{code:?} {said}");
    let tasks: Vec<_> = (0..2).map(|_| rig.served.enqueue_shell("gpu", "true")).collect();
    rig.start_armed(&[]);
    let name = |task: usize, number: u32| format!("job.batch/clearml-{}-{number}", tasks[task]);
    rig.wait("kubectl sees both Jobs", |_| {
        let jobs = ask(&["get", "jobs", "--output", "name"]);
        (0..2).all(|task| jobs.contains(&name(task, 1)))
    });
    rig.wait("their pods wait", |rig| {
        let told = rig.tidegate(&["why", "gpu"]).1;
        ["unschedulable", "nothing will come", "node coming"].iter().any(|word| told.contains(word))
    });
    assert_eq!(
        ask(&["get", "secrets", "--output", "name"]).lines().filter(|name| name.contains("/clearml-")).count(),
        2
    );
    ask(&["delete", &name(0, 1)]);
    rig.wait("its task is tried again", |_| ask(&["get", "jobs", "--output", "name"]).contains(&name(0, 2)));
    for task in &tasks {
        rig.served.dequeue(task);
    }
    rig.wait("nothing is left", |_| ask(&["get", "jobs,pods", "--output", "name"]).trim().is_empty());
    rig.wait_for_nothing();
}
