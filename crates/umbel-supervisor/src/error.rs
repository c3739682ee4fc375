//! What can go wrong when a supervisor is asked for something.

use umbel_core::code::supervisor as code;
use umbel_core::{Code, Coded, Problem};

/// Why a request to a supervisor failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SupervisorError {
    /// The id is taken.
    #[error("`{supervisor}` has a child `{id}` already")]
    Exists {
        /// The supervisor that was asked.
        supervisor: String,
        /// The id that is taken.
        id: String,
    },
    /// No such child.
    #[error("`{supervisor}` has no child `{id}`")]
    Unknown {
        /// The supervisor that was asked.
        supervisor: String,
        /// The id that was not found.
        id: String,
    },
    /// The supervisor is stopping, stopped, or between two restarts.
    #[error("the supervisor `{supervisor}` is not running")]
    NotRunning {
        /// The supervisor that was asked.
        supervisor: String,
    },
    /// The child failed before it was ready. It stays supervised: what happens next is up to its policy.
    #[error("`{id}` failed to start: {problem}")]
    Failed {
        /// The child.
        id: String,
        /// Its reason.
        problem: Box<Problem>,
    },
    /// The child was stopped or removed before it was ready.
    #[error("`{id}` was stopped before it was ready")]
    Stopped {
        /// The child.
        id: String,
    },
}

impl Coded for SupervisorError {
    fn code(&self) -> Code {
        match self {
            SupervisorError::Exists { .. } => code::CHILD_EXISTS,
            SupervisorError::Unknown { .. } => code::CHILD_UNKNOWN,
            SupervisorError::NotRunning { .. } => code::SUPERVISOR_STOPPED,
            // The reason of the child is what the user can act on.
            SupervisorError::Failed { problem, .. } => problem.code,
            SupervisorError::Stopped { .. } => code::CHILD_STOPPED,
        }
    }

    fn help(&self) -> String {
        match self {
            SupervisorError::Failed { problem, .. } => problem.help.clone(),
            other => other.code().entry().help.to_string(),
        }
    }
}
