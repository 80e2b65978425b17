//! How a subcommand fails: in words for people, with an exit code for programs.

use crate::engine::EngineError;
use crate::engine::socket::SocketError;
use crate::store::StoreError;

/// Why a subcommand did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{0}")]
    Failed(String),
    /// The arguments ask for nothing that can be done.
    #[error("{0}")]
    Usage(String),
    /// No settings, or settings that cannot be used.
    #[error("{0}")]
    Settings(String),
    /// No running loop, or a server or cloud that does not answer.
    #[error("{0}")]
    NotReachable(String),
    /// A limit, a budget, or a machine that may have a task.
    #[error("{0}")]
    Refused(String),
}

impl Failure {
    pub(super) fn code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Settings(_) => 3,
            Self::NotReachable(_) => 4,
            Self::Refused(_) => 5,
        }
    }
}

impl From<SocketError> for Failure {
    fn from(error: SocketError) -> Self {
        match error {
            SocketError::NotReachable { .. } | SocketError::Lost(_) => Self::NotReachable(error.to_string()),
            SocketError::Refused(said) => Self::Refused(said),
            other => Self::Failed(other.to_string()),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unreached { .. } => Self::NotReachable(error.to_string()),
            other => Self::Failed(other.to_string()),
        }
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Store(error) => error.into(),
            EngineError::Settings(said) => Self::Settings(said),
            other => Self::Failed(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_does_not_answer_is_not_reachable_by_whatever_way_it_is_told() {
        let unreached = || StoreError::Unreached { message: "db:5432 cannot be reached: refused".to_owned() };
        assert_eq!(Failure::from(unreached()).code(), 4);
        assert_eq!(Failure::from(EngineError::from(unreached())).code(), 4);
        assert_eq!(Failure::from(EngineError::Settings("loop.store: no such file".to_owned())).code(), 3);
        assert_eq!(Failure::from(StoreError::Shared { message: "it is not empty".to_owned() }).code(), 1);
    }
}
