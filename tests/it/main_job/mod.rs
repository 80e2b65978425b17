//! The main job, end to end: queues, machines, money. Over the simulator, and with everything real.

mod chosen;
#[cfg(all(feature = "aws", feature = "gce"))]
mod clouds;
#[cfg(all(feature = "aws", feature = "gce"))]
mod clouds_troubles;
mod clouds_whole;
mod crashes;
mod drift;
mod failures;
mod faults;
#[cfg(feature = "aws")]
mod imported;
#[cfg(all(feature = "aws", feature = "gce"))]
mod imported_google;
#[cfg(feature = "aws")]
mod killed;
mod leaders;
mod posted;
mod rehearsal;
#[cfg(feature = "aws")]
mod rig;
#[cfg(feature = "aws")]
mod shared;
#[cfg(feature = "aws")]
mod troubles;
#[cfg(feature = "aws")]
mod whole;
