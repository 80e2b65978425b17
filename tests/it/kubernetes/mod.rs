//! Tasks in pods: against a server of our own that answers as the recorded one does, with a stand-in for the cluster's
//! controllers and its kubelet, and the real agent in each pod. With `TIDEGATE_TEST_KUBECONFIG` set the same tests run on a
//! real control plane ([`real`] says how); those few that cannot say so.

mod api;
mod around;
mod cluster;
mod faults;
mod flow;
mod kubectl;
mod load;
mod real;
mod rig;
mod shape;
mod two;
mod whole;

/// A recorded answer of a real API server, by its file.
fn recorded(file: &str) -> serde_json::Value {
    let path = format!("{}/tests/it/kubernetes/recorded/{file}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}
