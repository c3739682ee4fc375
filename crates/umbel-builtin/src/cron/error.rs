//! What is wrong with a job, or went wrong in a run.

use std::time::Duration;
use umbel_core::code::cron as code;
use umbel_core::{Code, Coded, Problem};

/// A failure of the cron provider.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// A key or value of the config.
    #[error("cron config `{key}`: {reason}")]
    Config {
        /// The key.
        key: String,
        /// What is wrong, with the value.
        reason: String,
    },
    /// The schedule cannot be read.
    #[error("the schedule `{schedule}` is wrong at column {column}: {reason}")]
    Schedule {
        /// What was given, shortened.
        schedule: String,
        /// Where, from 1, in characters.
        column: usize,
        /// What is wrong there, and what it may be.
        reason: String,
    },
    /// The schedule is well-formed, and no time fits it.
    #[error("the schedule `{schedule}` names no time that comes")]
    Never {
        /// What was given.
        schedule: String,
    },
    /// The zone is not in the database.
    #[error("there is no time zone `{zone}`")]
    Zone {
        /// What was given, shortened.
        zone: String,
    },
    /// The link is for something else.
    #[error("`{contract}` is not a contract that cron carries over a link in this direction")]
    Contract {
        /// The link's contract.
        contract: String,
    },
    /// The run ended with an error.
    #[error("the job `{job}` of `{component}` failed: {words}")]
    Failed {
        /// The job's name.
        job: String,
        /// The component's id.
        component: String,
        /// What it said, shortened.
        words: String,
    },
    /// The run took too long.
    #[error("the job `{job}` of `{component}` did not end within {} s", after.as_secs())]
    Timeout {
        /// The job's name.
        job: String,
        /// The component's id.
        component: String,
        /// The deadline.
        after: Duration,
    },
    /// The component is not there.
    #[error("the job `{job}` did not run: `{component}` is not running with the export `{interface}`")]
    TargetDown {
        /// The job's name.
        job: String,
        /// The component's id.
        component: String,
        /// What is called.
        interface: String,
    },
    /// The last run cannot be kept.
    #[error("cannot keep when the job `{job}` of `{component}` ran")]
    State {
        /// The job's name.
        job: String,
        /// The component's id.
        component: String,
    },
}

impl Coded for CronError {
    fn code(&self) -> Code {
        match self {
            CronError::Config { .. } => code::CRON_CONFIG,
            CronError::Schedule { .. } => code::CRON_SCHEDULE,
            CronError::Never { .. } => code::CRON_NEVER,
            CronError::Zone { .. } => code::CRON_TIMEZONE,
            CronError::Contract { .. } => code::CRON_LINK_CONTRACT,
            CronError::Failed { .. } => code::CRON_RUN_FAILED,
            CronError::Timeout { .. } => code::CRON_RUN_TIMEOUT,
            CronError::TargetDown { .. } => code::CRON_TARGET_DOWN,
            CronError::State { .. } => code::CRON_STATE,
        }
    }
}

impl From<CronError> for Problem {
    fn from(error: CronError) -> Problem {
        Problem::from(&error)
    }
}
