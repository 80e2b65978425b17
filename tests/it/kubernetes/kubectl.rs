//! What we make as `kubectl` sees it. No pod of it can be placed anywhere.

use std::path::PathBuf;
use std::process::Command;

use crate::kubernetes::flow::full;
use crate::kubernetes::rig::SETTINGS;

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
    let mut rig = full(&settings);
    let namespace = rig.namespace();
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
