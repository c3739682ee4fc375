//! What can go wrong, as the operator is told it and as a guest is.

use std::path::PathBuf;
use std::sync::Arc;
use umbel_core::code::keyvalue as code;
use umbel_core::{Code, Coded};
use umbel_wit::Value;

/// Why a call, a config or a store is refused.
#[derive(Debug, Clone, thiserror::Error)]
pub enum KeyvalueError {
    /// A key beyond the limit.
    #[error("the key has {bytes} bytes, and at most {bytes_max} are allowed")]
    Key {
        /// Its bytes.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// A value beyond the limit.
    #[error("the value has {bytes} bytes, and at most {bytes_max} are allowed")]
    Value {
        /// Its bytes.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// A bucket's name beyond the limit.
    #[error("the name of the bucket has {bytes} bytes, and at most 256 are allowed")]
    BucketName {
        /// Its bytes.
        bytes: usize,
    },
    /// More at once than one call may.
    #[error("the batch is larger than {max} {unit}")]
    Batch {
        /// The limit.
        max: usize,
        /// Of what.
        unit: &'static str,
    },
    /// No room.
    #[error("{whose} may have {bytes_max} bytes, and the write would exceed that")]
    Full {
        /// Whose limit it is.
        whose: String,
        /// The limit.
        bytes_max: u64,
    },
    /// Not a cursor of ours.
    #[error("`{text}` is not a cursor of this bucket")]
    Cursor {
        /// What was given, shortened.
        text: String,
    },
    /// An increment of something else.
    #[error("the value to increment is not a number")]
    NotANumber,
    /// An increment beyond the type.
    #[error("{number} plus {delta} is beyond the counter's type")]
    Overflow {
        /// What is there.
        number: i128,
        /// What was to be added.
        delta: i128,
    },
    /// Wrong config.
    #[error("config `{key}`: {reason}")]
    Config {
        /// The key.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The server that keeps the entries.
    #[error("{problem}")]
    Server {
        /// What is wrong with it.
        problem: ServerProblem,
        /// What the client or the server said.
        #[source]
        source: Option<Arc<dyn std::error::Error + Send + Sync>>,
    },
    /// Stopping, or not there after a failure.
    #[error("the key-value store is closed")]
    Closed,
    /// The file cannot be used.
    #[error("{problem}: `{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: FileProblem,
        /// What the operating system or the storage engine said.
        #[source]
        source: Option<Arc<dyn std::error::Error + Send + Sync>>,
    },
}

/// What is wrong with a server that keeps the entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ServerProblem {
    /// It does not answer.
    #[error("the key-value server does not answer")]
    Unreachable,
    /// It answers with an error.
    #[error("the key-value server refuses the call")]
    Refused,
    /// It has no memory left.
    #[error("the key-value server has no memory left")]
    Full,
}

/// What is wrong with a store's file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileProblem {
    /// Another process has it.
    #[error("another process has the key-value store open")]
    Locked,
    /// Checksums do not fit.
    #[error("the key-value store is damaged ({reason}) and has been left as it is")]
    Damaged {
        /// How that was seen.
        reason: String,
    },
    /// Not ours.
    #[error("this is not a key-value store of umbel and has been left as it is")]
    Foreign,
    /// Ours, of another version.
    #[error("the key-value store has format {found}, this build reads {ours}; it has been left as it is")]
    Version {
        /// Its format.
        found: u64,
        /// The format that this build writes.
        ours: u64,
    },
    /// Not writable.
    #[error("the key-value store cannot be written")]
    ReadOnly,
    /// Disk full, or quota reached.
    #[error("no space is left for the key-value store")]
    DiskFull,
    /// Any other failure of the machine.
    #[error("the key-value store cannot be read or written")]
    Io,
}

impl KeyvalueError {
    /// The error as `wasi:keyvalue` says it: `other` with the code. A guest is not told where the host keeps its files.
    pub(crate) fn value(&self) -> Value {
        const OTHER: u32 = 2;
        let code = self.code();
        let text = match self {
            KeyvalueError::File { .. } => format!("{code}: {}", code.entry().title),
            _ => format!("{code}: {self}"),
        };
        Value::case(OTHER, text.into())
    }
}

impl Coded for KeyvalueError {
    fn code(&self) -> Code {
        match self {
            KeyvalueError::Key { .. } => code::KEY_TOO_LONG,
            KeyvalueError::Value { .. } => code::VALUE_TOO_LARGE,
            KeyvalueError::BucketName { .. } => code::BUCKET_NAME_TOO_LONG,
            KeyvalueError::Batch { .. } => code::BATCH_TOO_LARGE,
            KeyvalueError::Full { .. } => code::FULL,
            KeyvalueError::Cursor { .. } => code::CURSOR,
            KeyvalueError::NotANumber => code::NOT_A_NUMBER,
            KeyvalueError::Overflow { .. } => code::OVERFLOW,
            KeyvalueError::Config { .. } => code::CONFIG,
            KeyvalueError::Closed => code::CLOSED,
            KeyvalueError::File { problem, .. } => match problem {
                FileProblem::Locked => code::LOCKED,
                FileProblem::Damaged { .. } => code::DAMAGED,
                FileProblem::Foreign => code::FOREIGN,
                FileProblem::Version { .. } => code::VERSION,
                FileProblem::ReadOnly => code::READ_ONLY,
                FileProblem::DiskFull => code::DISK_FULL,
                FileProblem::Io => code::IO,
            },
            KeyvalueError::Server { problem, .. } => match problem {
                ServerProblem::Unreachable => code::UNREACHABLE,
                ServerProblem::Refused => code::REFUSED,
                ServerProblem::Full => code::DISK_FULL,
            },
        }
    }

    fn help(&self) -> String {
        match self {
            KeyvalueError::File { path, problem: FileProblem::Damaged { .. }, .. } => {
                let path = path.display();
                format!(
                    "keep it with `mv {path} {path}.damaged`, then put back a copy from a backup, or start without it and with no data"
                )
            }
            _ => self.code().entry().help.to_string(),
        }
    }
}
