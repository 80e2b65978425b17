//! Tasks in pods: against a server of our own that answers as the recorded one does, with a stand-in for the cluster's
//! controllers and its kubelet, and the real agent in each pod.

mod api;
mod cluster;
mod flow;
mod rig;
mod shape;
mod whole;
