//! Why an application request failed.

use std::sync::Arc;
use umbel_core::code::{Code, manager as code};
use umbel_core::{Coded, Problem};
use umbel_lattice::LatticeError;
use umbel_lattice::control::ControlError;

/// Why an application request failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ManagerError {
    /// No such application.
    #[error("there is no application `{name}`")]
    ApplicationNotFound {
        /// Its name.
        name: String,
    },
    /// No such version.
    #[error("`{name}` has no version `{version}`")]
    VersionNotFound {
        /// The application.
        name: String,
        /// The version.
        version: String,
    },
    /// The manifest's own version exists and is another.
    #[error("`{name}` has a version `{version}` with another content")]
    VersionExists {
        /// The application.
        name: String,
        /// The version.
        version: String,
    },
    /// Nothing was deployed before.
    #[error("`{name}` has no earlier version to roll back to")]
    NothingToRollBack {
        /// The application.
        name: String,
    },
    /// Nobody can fetch images.
    #[error("no host answers, so the images of `{name}` cannot be fetched")]
    NoHost {
        /// The application.
        name: String,
    },
    /// The list of versions is full.
    #[error("`{name}` has {versions} versions, and none of them can be dropped")]
    TooManyVersions {
        /// The application.
        name: String,
        /// How many.
        versions: usize,
    },
    /// Somebody else was faster, again and again.
    #[error("`{name}` keeps being changed by somebody else")]
    Contended {
        /// The application.
        name: String,
    },
    /// The request makes no sense.
    #[error("the request on `{subject}` could not be understood: {reason}")]
    BadRequest {
        /// The subject.
        subject: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Stored state makes no sense.
    #[error("the stored entry `{key}` cannot be read")]
    BadRecord {
        /// Its key.
        key: String,
        /// What is wrong with it.
        #[source]
        source: Arc<serde_json::Error>,
    },
    /// What is wrong with a manifest.
    #[error("the manifest has {} problem(s)", problems.len())]
    Manifest {
        /// All of them.
        problems: Vec<Problem>,
    },
    /// A host refused, or did not answer.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The lattice failed.
    #[error(transparent)]
    Lattice(#[from] LatticeError),
}

impl ManagerError {
    /// What is told to whoever asked: for a manifest, everything that is wrong with it.
    pub fn problems(&self) -> Vec<Problem> {
        match self {
            ManagerError::Manifest { problems } => problems.clone(),
            ManagerError::Control(error) => vec![Problem::from(error.clone())],
            other => vec![Problem::from(other)],
        }
    }
}

impl Coded for ManagerError {
    fn code(&self) -> Code {
        match self {
            ManagerError::ApplicationNotFound { .. } => code::APPLICATION_NOT_FOUND,
            ManagerError::VersionNotFound { .. } => code::VERSION_NOT_FOUND,
            ManagerError::VersionExists { .. } => code::VERSION_EXISTS,
            ManagerError::NothingToRollBack { .. } => code::NOTHING_TO_ROLL_BACK,
            ManagerError::NoHost { .. } => code::NO_HOST,
            ManagerError::TooManyVersions { .. } => code::TOO_MANY_VERSIONS,
            ManagerError::Contended { .. } => code::CONTENDED,
            ManagerError::BadRequest { .. } => code::BAD_APPLICATION_REQUEST,
            ManagerError::BadRecord { .. } => code::BAD_RECORD,
            ManagerError::Manifest { problems } => {
                problems.first().map_or(code::BAD_APPLICATION_REQUEST, |problem| problem.code)
            }
            ManagerError::Control(error) => error.code(),
            ManagerError::Lattice(error) => error.code(),
        }
    }

    fn help(&self) -> String {
        match self {
            ManagerError::Control(error) => error.help(),
            ManagerError::Lattice(error) => error.help(),
            ManagerError::NothingToRollBack { name } => {
                format!(
                    "`umbel inspect {name}` lists the versions; `umbel rollback {name} VERSION` deploys one"
                )
            }
            other => other.code().entry().help.to_string(),
        }
    }
}
