//! Identifiers: each kind of name is a type of its own, cheap to clone.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            #[must_use]
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self::new(text)
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self::new(text)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

text_id! {
    /// The machines that one set of settings owns; unique per ClearML server; holds no `:` or `/`.
    FleetId
}
text_id! {
    /// A kind of machine, as the settings name it; holds no `:` or `/`.
    PoolName
}
text_id! {
    /// A ClearML queue, as people name it.
    QueueName
}
text_id! {
    /// A ClearML queue, as the server names it.
    QueueId
}
text_id! {
    /// A ClearML project, as people name it.
    ProjectName
}
text_id! {
    /// A ClearML user, as people name them.
    UserName
}
text_id! {
    /// A ClearML task, as the server names it.
    TaskId
}
text_id! {
    /// A machine, as its cloud names it (on Compute Engine: our name for it).
    InstanceId
}
text_id! {
    /// A ClearML worker: `<fleet>:<pool>:<type>:<cloud id>` for ours, with `.<n>` behind it where the machine has several
    /// agents; anything for others.
    WorkerId
}
text_id! {
    /// A decided launch or stop, written down before it is sent; also the idempotency token.
    IntentId
}
text_id! {
    /// A machine type of a cloud, such as `g5.xlarge`.
    MachineType
}
text_id! {
    /// An availability zone of a cloud, such as `us-east-1a`.
    Zone
}
text_id! {
    /// An account of a cloud's, as the settings name it; holds no `@`.
    AccountName
}
text_id! {
    /// Who is told of what happens, as the settings name it.
    NotifyName
}
text_id! {
    /// Hours at which settings are others, as the settings name them.
    ScheduleName
}
text_id! {
    /// A money budget, as the settings name it.
    BudgetName
}
text_id! {
    /// Who did it: `loop`, or a person's login name.
    Actor
}

impl MachineType {
    /// The group of types that share a quota in EC2: the letters before the first digit, all general ones together.
    #[must_use]
    pub fn quota_family(&self) -> &str {
        const STANDARD: [&str; 9] = ["a", "c", "d", "h", "i", "m", "r", "t", "z"];
        let text = self.as_str();
        let letters = text.find(|letter: char| letter.is_ascii_digit()).and_then(|end| text.get(..end)).unwrap_or(text);
        let one = letters.get(..1).unwrap_or_default();
        match letters {
            "vt" => "g",
            "trn" | "inf" | "dl" | "hpc" | "u-" => letters,
            _ if STANDARD.contains(&one) => "standard",
            _ => one,
        }
    }
}

impl Actor {
    /// The loop itself.
    #[must_use]
    pub fn the_loop() -> Self {
        Self::new("loop")
    }
}

/// Which version of the settings decided: a hash of the file that was read, in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Revision(Arc<str>);

impl Revision {
    #[must_use]
    pub fn new(hash: impl Into<Arc<str>>) -> Self {
        Self(hash.into())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The leader's term: it rises by one at each take-over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Term(pub u64);

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The parts of one of our workers' names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerName {
    pub fleet: FleetId,
    pub pool: PoolName,
    pub machine_type: MachineType,
    pub instance: InstanceId,
    /// Which of the machine's agents it is, from 1 on; `None`: its only one.
    pub agent: Option<u32>,
}

impl WorkerName {
    /// Reads `<fleet>:<pool>:<type>:<cloud id>`, or the same with `.<n>` behind it; `None` for any other shape.
    #[must_use]
    pub fn parse(worker: &WorkerId) -> Option<Self> {
        let mut parts = worker.as_str().split(':');
        let (fleet, pool, machine_type, instance) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let (instance, agent) = agent_of(instance).map_or((instance, None), |(id, agent)| (id, Some(agent)));
        let whole = parts.next().is_none() && [fleet, pool, machine_type, instance].iter().all(|part| !part.is_empty());
        whole.then(|| Self {
            fleet: fleet.into(),
            pool: pool.into(),
            machine_type: machine_type.into(),
            instance: instance.into(),
            agent,
        })
    }

    #[must_use]
    pub fn worker(&self) -> WorkerId {
        let agent = self.agent.map(|agent| format!(".{agent}")).unwrap_or_default();
        WorkerId::new(format!("{}:{}:{}:{}{agent}", self.fleet, self.pool, self.machine_type, self.instance))
    }
}

/// No cloud's id has a dot in it.
fn agent_of(text: &str) -> Option<(&str, u32)> {
    let (instance, agent) = text.rsplit_once('.')?;
    let agent =
        Some(agent).filter(|agent| agent.bytes().all(|byte| byte.is_ascii_digit()) && !agent.starts_with('0'))?;
    Some((instance, agent.parse().ok()?))
}

/// The name of the hidden queue whose metadata is a machine's mailbox.
#[must_use]
pub fn mailbox_queue(instance: &InstanceId) -> QueueName {
    QueueName::new(format!("drain:{instance}"))
}

/// The name of a task that holds a machine for the drain of that nonce: it sleeps in the machine's own queue.
#[must_use]
pub fn hold_task(instance: &InstanceId, nonce: &str) -> String {
    format!("{}{nonce}", hold_tasks(instance))
}

/// How the names of all tasks begin that hold a machine.
#[must_use]
pub fn hold_tasks(instance: &InstanceId) -> String {
    format!("tidegate:hold:{instance}:")
}

/// The name of the hidden queue whose metadata is the fleet's lease.
#[must_use]
pub fn lease_queue(fleet: &FleetId) -> QueueName {
    QueueName::new(format!("tidegate:{fleet}"))
}

/// The name of the hidden queue that only the leader of a term could create.
#[must_use]
pub fn leader_queue(fleet: &FleetId, term: Term) -> QueueName {
    QueueName::new(format!("tidegate:{fleet}:leader:{term}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_share_a_quota_with_their_family() {
        for (one, family) in [
            ("g5.xlarge", "g"),
            ("vt1.3xlarge", "g"),
            ("g6e.4xlarge", "g"),
            ("p4d.24xlarge", "p"),
            ("m5.large", "standard"),
            ("c7gn.metal", "standard"),
            ("inf2.xlarge", "inf"),
            ("trn1.2xlarge", "trn"),
            ("", ""),
        ] {
            assert_eq!(MachineType::from(one).quota_family(), family, "{one}");
        }
    }

    #[test]
    fn a_worker_name_is_read_back() {
        let name = WorkerName {
            fleet: "research".into(),
            pool: "p4d".into(),
            machine_type: "p4d.24xlarge".into(),
            instance: "i-0aa".into(),
            agent: None,
        };
        assert_eq!(WorkerName::parse(&name.worker()), Some(name.clone()));
        let second = WorkerName { agent: Some(2), ..name };
        assert_eq!(second.worker().as_str(), "research:p4d:p4d.24xlarge:i-0aa.2");
        assert_eq!(WorkerName::parse(&second.worker()), Some(second));
        for other in ["host:gpu0", "a:b:c", "a:b:c:d:e", "a::c:d", "a:b:c:.2", ""] {
            assert_eq!(WorkerName::parse(&other.into()), None, "{other}");
        }
    }
}
