//! What a policy of the user's has to do with it, in its own words and in numbers.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Machines are launched as a policy wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Wanted {
    pub policy: String,
    pub said: String,
    /// Tasks at a time; `None`: as many as wait.
    pub capacity: Option<u32>,
    pub waiting: u32,
    pub running: u32,
    pub idle: u32,
    pub starting: u32,
    pub foreign: u32,
    pub need: u32,
}

/// For `tasks` of those that wait none is launched, since a policy wants that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Kept {
    pub policy: String,
    pub said: String,
    /// Tasks at a time; `None`: nothing is launched at all.
    pub capacity: Option<u32>,
    pub running: u32,
    pub tasks: u32,
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { policy, said, capacity, waiting, running, idle, starting, foreign, need } = self;
        write!(f, "{waiting} waiting, {running} running, {idle} idle, {starting} starting, {foreign} foreign idle: ")?;
        match capacity {
            Some(capacity) => write!(f, "{policy} wants {capacity} at a time, {need} more: {said}"),
            None => write!(f, "{need} needed; {policy}: {said}"),
        }
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { policy, said, capacity, running, tasks } = self;
        match capacity {
            Some(most) => write!(f, "{policy} wants {most} at a time, {running} run: {tasks} wait on: {said}"),
            None => write!(f, "{policy} lets no machine be launched, {tasks} wait on: {said}"),
        }
    }
}
