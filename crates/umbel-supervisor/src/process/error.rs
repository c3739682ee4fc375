//! What can go wrong with a process.

use super::Output;
use std::path::PathBuf;
use std::time::Duration;
use umbel_core::code::supervisor as code;
use umbel_core::{Code, Coded};

/// How many characters of a process's errors an error of ours quotes.
const QUOTE_MAX: usize = 300;

/// Why a process did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It could not be started.
    #[error("`{program}` could not be started")]
    NotStarted {
        /// The program.
        program: String,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// It ended with a failure.
    #[error("`{program}` ended with {}{}", output.status, quote(output))]
    Failed {
        /// The program.
        program: String,
        /// What is left of it.
        output: Box<Output>,
    },
    /// It ran longer than its deadline, and its group was killed.
    #[error("`{program}` ran longer than {} s and was killed{}", deadline.as_secs_f64(), quote(output))]
    Deadline {
        /// The program.
        program: String,
        /// The deadline.
        deadline: Duration,
        /// What is left of it.
        output: Box<Output>,
    },
    /// It used more CPU time than its limit.
    #[error("`{program}` used more than {cpu_s} s of CPU time and was ended{}", quote(output))]
    CpuLimit {
        /// The program.
        program: String,
        /// The limit.
        cpu_s: u64,
        /// What is left of it.
        output: Box<Output>,
    },
    /// It was asked to stop, or not started because a stop was requested before.
    #[error("`{program}` was stopped{}", if *killed { ", and killed because it did not end" } else { "" })]
    Stopped {
        /// The program.
        program: String,
        /// Whether it did not end by itself within its grace.
        killed: bool,
        /// What is left of it, if it was started.
        output: Option<Box<Output>>,
    },
    /// A pipe, or waiting for its end, failed.
    #[error("waiting for `{program}` failed")]
    Io {
        /// The program.
        program: String,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// Its cgroup, its run folder or its pipes could not be made.
    #[error("{what} failed")]
    Containment {
        /// What was tried, with the path.
        what: String,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// Its landlock or seccomp profile could not be made.
    #[error("the sandbox of a process could not be made: {reason}")]
    Sandbox {
        /// What is wrong.
        reason: String,
    },
    /// The file that says what runs cannot be used.
    #[error("the record `{}` cannot be used: {reason}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// It was killed and is still there.
    #[error("`{name}` was killed and {left} of its processes are still there")]
    Remains {
        /// Its name.
        name: String,
        /// How many processes are left.
        left: usize,
    },
    /// Another host owns the folder.
    #[error("another host keeps its processes in `{}`", folder.display())]
    FolderTaken {
        /// The folder.
        folder: PathBuf,
    },
    /// It ended before it could be adopted.
    #[error("`{name}` is gone and cannot be adopted")]
    Gone {
        /// Its name.
        name: String,
    },
    /// The name of a process or of a host cannot be used.
    #[error("`{name}` is not a name for a process")]
    Name {
        /// The name.
        name: String,
    },
}

impl ProcessError {
    pub(super) fn containment(what: impl Into<String>, source: impl Into<std::io::Error>) -> ProcessError {
        ProcessError::Containment { what: what.into(), source: source.into() }
    }
}

impl Coded for ProcessError {
    fn code(&self) -> Code {
        match self {
            ProcessError::NotStarted { .. } => code::PROCESS_NOT_STARTED,
            ProcessError::Failed { .. } => code::PROCESS_FAILED,
            ProcessError::Deadline { .. } => code::PROCESS_DEADLINE,
            ProcessError::CpuLimit { .. } => code::PROCESS_CPU_LIMIT,
            ProcessError::Stopped { .. } => code::PROCESS_STOPPED,
            ProcessError::Io { .. } => code::PROCESS_IO,
            ProcessError::Containment { .. } => code::PROCESS_CONTAINMENT,
            ProcessError::Sandbox { .. } => code::PROCESS_SANDBOX,
            ProcessError::Record { .. } => code::PROCESS_RECORD,
            ProcessError::Remains { .. } => code::PROCESS_REMAINS,
            ProcessError::FolderTaken { .. } => code::PROCESS_FOLDER_TAKEN,
            ProcessError::Gone { .. } => code::PROCESS_GONE,
            ProcessError::Name { .. } => code::PROCESS_NAME,
        }
    }
}

/// The end of what the process printed as errors, on one line and without control characters.
fn quote(output: &Output) -> String {
    let text = output.stderr.text();
    let line: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let length = line.chars().count();
    match length {
        0 => String::new(),
        _ => format!(": {}", line.chars().skip(length.saturating_sub(QUOTE_MAX)).collect::<String>()),
    }
}
