//! A call as it arrives: its path, its body, and the fields that it must or may have.

use std::fmt;

use axum::http::HeaderMap;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::Memory;
use crate::model::ids::{QueueId, TaskId};
use crate::world::sim::clearml::{ClearmlServer, Refused, Said, Task, UserId};

/// What an endpoint answers. `None`: there is no such endpoint.
pub(super) type Done = Option<Result<Value, Refused>>;

/// A version of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(pub(super) u32, pub(super) u32);

impl Version {
    /// What a path without a version asks for.
    const NEWEST: Self = Self(2, 34);

    fn read(text: &str) -> Option<Self> {
        let (major, minor) = text.strip_prefix('v')?.split_once('.')?;
        Some(Self(major.parse().ok()?, minor.parse().ok()?))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// Which endpoint is asked for, in which version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) endpoint: String,
    pub(super) version: Version,
}

impl Target {
    /// Reads `[/v2.30]/<service>.<action>`.
    pub(super) fn of_path(path: &str) -> Option<Self> {
        let path = path.strip_prefix('/')?;
        let (version, endpoint) = match path.split_once('/') {
            Some((version, endpoint)) => (Version::read(version)?, endpoint),
            None => (Version::NEWEST, path),
        };
        let (service, action) = endpoint.split_once('.')?;
        let name = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        (name(service) && name(action)).then(|| Self { endpoint: endpoint.to_owned(), version })
    }

    pub(super) fn service(&self) -> &str {
        self.endpoint.split('.').next().unwrap_or_default()
    }

    pub(super) fn action(&self) -> &str {
        self.endpoint.split('.').nth(1).unwrap_or_default()
    }

    pub(super) fn not_found(&self) -> String {
        format!("Unable to find endpoint for name {} and version {}", self.endpoint, self.version)
    }
}

/// A body: one JSON object, or one a line.
#[derive(Debug)]
pub(super) struct Body {
    lines: Vec<Value>,
}

impl Body {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Refused> {
        let lines: Result<Vec<Value>, _> = serde_json::Deserializer::from_slice(bytes).into_iter().collect();
        let mut lines = lines.map_err(|_| {
            let said = "The browser (or proxy) sent a request that this server could not understand.";
            Refused::new(400, 0, said.to_owned())
        })?;
        if lines.is_empty() {
            lines.push(Value::Object(Map::new()));
        }
        Ok(Self { lines })
    }

    /// The body of a call that is no batch.
    pub(super) fn value(&self) -> &Value {
        self.lines.first().unwrap_or(&Value::Null)
    }

    /// Each item of a batch.
    pub(super) fn lines(&self) -> &[Value] {
        &self.lines
    }
}

/// A call that is being answered.
pub(super) struct Call<'a> {
    pub(super) server: &'a mut ClearmlServer,
    pub(super) memory: &'a mut Memory,
    pub(super) now: Timestamp,
    pub(super) user: UserId,
    pub(super) version: Version,
    pub(super) body: &'a Body,
    pub(super) headers: &'a HeaderMap,
}

impl<'a> Call<'a> {
    /// A field; one that is null is not there.
    pub(super) fn field(&self, key: &str) -> Option<&'a Value> {
        self.body.value().get(key).filter(|value| !value.is_null())
    }

    pub(super) fn optional(&self, key: &str) -> Option<&'a str> {
        self.field(key)?.as_str()
    }

    pub(super) fn required(&self, key: &str) -> Result<&'a str, Refused> {
        self.optional(key).ok_or_else(|| missing(key))
    }

    pub(super) fn flag(&self, key: &str) -> bool {
        self.field(key).and_then(Value::as_bool).unwrap_or_default()
    }

    pub(super) fn number(&self, key: &str) -> Option<i64> {
        self.field(key)?.as_i64()
    }

    /// A count; a negative one is none.
    pub(super) fn count(&self, key: &str) -> Option<usize> {
        usize::try_from(self.number(key)?).ok()
    }

    /// The texts of a list, or one text alone.
    pub(super) fn texts(&self, key: &str) -> Option<Vec<&'a str>> {
        let value = self.field(key)?;
        match value {
            Value::String(one) => Some(vec![one]),
            Value::Array(all) => Some(all.iter().filter_map(Value::as_str).collect()),
            _ => None,
        }
    }

    pub(super) fn task(&self) -> Result<TaskId, Refused> {
        self.required("task").map(TaskId::from)
    }

    pub(super) fn queue(&self) -> Result<QueueId, Refused> {
        self.required("queue").map(QueueId::from)
    }

    /// The words of a change of status.
    pub(super) fn said(&self) -> Said<'a> {
        Said {
            reason: self.optional("status_reason").unwrap_or_default(),
            message: self.optional("status_message").unwrap_or_default(),
        }
    }

    /// The items of a list of objects.
    pub(super) fn objects(&self, key: &str) -> Vec<&'a Map<String, Value>> {
        let list = self.field(key).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_object).collect()
    }

    /// The task of the call, to write its body; the write is a sign of life.
    pub(super) fn touched_task(&mut self) -> Result<&mut Task, Refused> {
        let id = self.task()?;
        let (now, user) = (self.now, self.user.clone());
        let task = self.server.task_mut(&id)?;
        (task.last_update, task.last_change, task.last_changed_by) = (now, now, user);
        Ok(task)
    }
}

pub(super) fn missing(key: &str) -> Refused {
    invalid(&format!("error for field '{key}'. field is required!"))
}

pub(super) fn invalid(what: &str) -> Refused {
    Refused::bad(12, format!("Validation error ({what})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_path_names_an_endpoint_with_or_without_a_version() {
        for (path, endpoint, version) in [
            ("/v2.30/queues.get_all", "queues.get_all", Version(2, 30)),
            ("/queues.get_all", "queues.get_all", Version(2, 34)),
            ("/v99.9/tasks.started", "tasks.started", Version(99, 9)),
        ] {
            let target = Target::of_path(path).unwrap();
            assert_eq!((target.endpoint.as_str(), target.version), (endpoint, version));
        }
        for path in ["/", "/nonsense", "/v2/queues.get_all", "/v2.30/", "/x/queues.get_all", "/a.b/c.d", "/v2.30/a.b.c"]
        {
            assert_eq!(Target::of_path(path), None, "{path}");
        }
        assert!(Version(2, 16) < Version(2, 17) && Version(2, 34) < Version(10, 0));
    }

    #[test]
    fn a_body_is_an_object_a_batch_or_nothing() {
        for (text, lines) in [("", 1), ("{}", 1), ("{\"a\":1}\n{\"a\":2}\n", 2)] {
            assert_eq!(Body::read(text.as_bytes()).unwrap().lines().len(), lines, "{text}");
        }
        assert_eq!(Body::read(b"{").unwrap_err().code, 400);
    }

    proptest! {
        #[test]
        fn any_path_and_any_body_are_read_or_refused(path: String, body: Vec<u8>) {
            let _ = Target::of_path(&path);
            let _ = Body::read(&body);
        }
    }
}
