//! Why a control request failed.

use crate::LatticeError;
use std::sync::Arc;
use umbel_core::code::{Code, lattice as code};
use umbel_core::{Coded, Problem};

/// Why a control request failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ControlError {
    /// It did not arrive, or no answer came.
    #[error(transparent)]
    Lattice(#[from] LatticeError),
    /// Whoever serves it refused, and said why.
    #[error("{}", problem.message)]
    Refused {
        /// Its reason.
        problem: Box<Problem>,
    },
    /// The answer cannot be read.
    #[error("the answer on `{subject}` could not be understood")]
    Answer {
        /// The subject of the request.
        subject: String,
        /// What is wrong with it.
        #[source]
        source: Arc<serde_json::Error>,
    },
    /// The request cannot be read.
    #[error("the request on `{subject}` could not be understood")]
    Request {
        /// The subject of the request.
        subject: String,
        /// What is wrong with it.
        #[source]
        source: Arc<serde_json::Error>,
    },
}

impl ControlError {
    /// A refusal; hosts that are not ours give a message only.
    pub(crate) fn refused(message: String, problem: Option<Problem>) -> ControlError {
        let problem = problem.unwrap_or_else(|| Problem::new(code::CONTROL_REFUSED, message));
        ControlError::Refused { problem: Box::new(problem) }
    }
}

impl Coded for ControlError {
    fn code(&self) -> Code {
        match self {
            ControlError::Lattice(error) => error.code(),
            ControlError::Refused { problem } => problem.code,
            ControlError::Answer { .. } => code::BAD_ANSWER,
            ControlError::Request { .. } => code::BAD_REQUEST,
        }
    }

    fn help(&self) -> String {
        match self {
            ControlError::Lattice(error) => error.help(),
            ControlError::Refused { problem } => problem.help.clone(),
            _ => self.code().entry().help.to_string(),
        }
    }
}

impl From<ControlError> for Problem {
    fn from(error: ControlError) -> Problem {
        match error {
            // As the other side gave it, with its causes.
            ControlError::Refused { problem } => *problem,
            other => Problem::from(&other),
        }
    }
}
