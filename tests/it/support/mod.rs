//! The real parts that the tests run against: Python programs in an environment of their own, on loopback.

pub(crate) mod agent;
pub(crate) mod conf;
pub(crate) mod docker;
#[cfg(feature = "aws")]
pub(crate) mod ec2;
pub(crate) mod face;
pub(crate) mod jobs;
pub(crate) mod machine;
pub(crate) mod microburst;
pub(crate) mod moto;
pub(crate) mod postgres;
pub(crate) mod process;
pub(crate) mod python;
pub(crate) mod told;
