//! What can go wrong on a lattice.

use std::path::PathBuf;
use std::time::Duration;
use umbel_core::code::{Code, lattice as code};
use umbel_core::{Coded, Problem};

/// The result of lattice calls.
pub type Result<T, E = LatticeError> = std::result::Result<T, E>;

/// Why a lattice call failed. It can be cloned, because one failed disk write may fail many calls.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LatticeError {
    /// Not a subject, or a wildcard where none is allowed.
    #[error("`{subject}` is not a subject: {reason}")]
    InvalidSubject {
        /// What was given, shortened.
        subject: String,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// A header that cannot travel.
    #[error("the header `{name}` cannot be sent: a name is letters, digits and `-`, and a value is one line")]
    InvalidHeader {
        /// Its name, shortened.
        name: String,
    },
    /// Nobody subscribes who could answer.
    #[error("nobody answers on `{subject}`")]
    NoResponders {
        /// The subject of the request.
        subject: String,
    },
    /// No answer in time.
    #[error("no answer on `{subject}` within {after:?}")]
    Timeout {
        /// The subject of the request.
        subject: String,
        /// The deadline.
        after: Duration,
    },
    /// Longer than the limit.
    #[error("{what} of {bytes} bytes is longer than the limit of {bytes_max}")]
    TooLarge {
        /// What it is: `a message`, `a value`.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// Those who could answer have full queues.
    #[error("whoever answers on `{subject}` has a full queue")]
    Busy {
        /// The subject of the request.
        subject: String,
    },
    /// The lattice is closed.
    #[error("the lattice is closed")]
    Closed,
    /// `create` of something that exists.
    #[error("`{key}` exists already in `{bucket}`, at revision {revision}")]
    KeyExists {
        /// The bucket.
        bucket: String,
        /// The key.
        key: String,
        /// The revision of what is there.
        revision: u64,
    },
    /// Compare-and-swap lost.
    #[error("`{key}` in `{bucket}` is not at revision {expected} but {}", at_revision(*.actual))]
    WrongRevision {
        /// The bucket.
        bucket: String,
        /// The key.
        key: String,
        /// The revision that the caller expected.
        expected: u64,
        /// The revision that is there, if any.
        actual: Option<u64>,
    },
    /// Not a key, or not a bucket's name.
    #[error("`{key}` is not a key: {reason}")]
    InvalidKey {
        /// What was given, shortened.
        key: String,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// A watch cannot resume from so long ago.
    #[error("the changes of `{bucket}` since revision {after} are no longer known")]
    RevisionGone {
        /// The bucket.
        bucket: String,
        /// Where the watch was to resume.
        after: u64,
    },
    /// What the other end of a connection says, or what ended it.
    #[error("{problem}")]
    Peer {
        /// With its own code.
        problem: Box<Problem>,
    },
    /// The server that carries the lattice cannot be used, or refuses something.
    #[error("{problem} ({server})")]
    Nats {
        /// Its addresses, without credentials.
        server: String,
        /// What is wrong.
        problem: NatsProblem,
    },
    /// The connection to the server that carries the lattice is lost, and is being made again.
    #[error("the connection to the server of the lattice is lost: `{what}` was not answered")]
    Disconnected {
        /// What was asked for: a subject, or a bucket.
        what: String,
    },
    /// The state file cannot be used.
    #[error("{problem}: `{}`", path.display())]
    State {
        /// The state file.
        path: PathBuf,
        /// What is wrong with it.
        problem: StateProblem,
        /// What the operating system or the storage engine said.
        #[source]
        source: Option<std::sync::Arc<dyn std::error::Error + Send + Sync>>,
    },
}

/// What is wrong with the server that carries the lattice, or with what is said of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NatsProblem {
    /// The description of the server is not one.
    #[error("`{key}`: {reason}")]
    Spec {
        /// The field that is wrong.
        key: &'static str,
        /// Why; without secrets.
        reason: String,
    },
    /// Nothing answers there.
    #[error("the server cannot be reached: {reason}")]
    Unreachable {
        /// What the last attempt said.
        reason: String,
    },
    /// It does not let us in.
    #[error("the server refuses the credentials: {reason}")]
    Refused {
        /// What it said.
        reason: String,
    },
    /// No agreement on TLS.
    #[error("no TLS connection: {reason}")]
    Tls {
        /// What failed.
        reason: String,
    },
    /// No place for state.
    #[error("there is no JetStream for this account{}: {reason}", in_domain(domain.as_deref()))]
    NoJetStream {
        /// The domain that was asked for.
        domain: Option<String>,
        /// What was said.
        reason: String,
    },
    /// Too old.
    #[error("the server has version {found}, and 2.10 is the oldest that works")]
    Version {
        /// Its version.
        found: String,
    },
    /// JetStream refuses an entry or a bucket.
    #[error("JetStream refuses: {reason}")]
    State {
        /// What it said.
        reason: String,
    },
}

fn in_domain(domain: Option<&str>) -> String {
    domain.map_or_else(String::new, |domain| format!(" in the domain `{domain}`"))
}

/// What is wrong with a state file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateProblem {
    /// Another process has it.
    #[error("another process has the state file open")]
    Locked,
    /// Checksums do not fit.
    #[error("the state file is damaged ({reason}) and has been left as it is")]
    Damaged {
        /// How that was seen.
        reason: String,
    },
    /// Not ours.
    #[error("this is not a state file of umbel and has been left as it is")]
    Foreign,
    /// Ours, of another version.
    #[error("the state file has format {found}, this build reads {ours}; it has been left as it is")]
    Version {
        /// Its format.
        found: u64,
        /// The format that this build writes.
        ours: u64,
    },
    /// Not writable.
    #[error("the state file cannot be written")]
    ReadOnly,
    /// Disk full, or quota reached.
    #[error("no space is left for the state file")]
    DiskFull,
    /// Any other failure of the machine.
    #[error("the state file cannot be read or written")]
    Io,
    /// Our own limit.
    #[error("all entries together would have more than {bytes_max} bytes, the limit of the state file")]
    TooLarge {
        /// The limit.
        bytes_max: u64,
    },
}

impl Coded for LatticeError {
    fn code(&self) -> Code {
        match self {
            LatticeError::InvalidSubject { .. } => code::INVALID_SUBJECT,
            LatticeError::InvalidHeader { .. } => code::INVALID_HEADER,
            LatticeError::NoResponders { .. } => code::NO_RESPONDERS,
            LatticeError::Timeout { .. } => code::REQUEST_TIMEOUT,
            LatticeError::TooLarge { .. } => code::MESSAGE_TOO_LARGE,
            LatticeError::Busy { .. } => code::RESPONDER_BUSY,
            LatticeError::Closed => code::LATTICE_CLOSED,
            LatticeError::KeyExists { .. } => code::KEY_EXISTS,
            LatticeError::WrongRevision { .. } => code::WRONG_REVISION,
            LatticeError::InvalidKey { .. } => code::INVALID_KEY,
            LatticeError::RevisionGone { .. } => code::REVISION_GONE,
            LatticeError::Peer { problem } => problem.code,
            LatticeError::Disconnected { .. } => code::DISCONNECTED,
            LatticeError::Nats { problem, .. } => match problem {
                NatsProblem::Spec { .. } => code::NATS_SPEC,
                NatsProblem::Unreachable { .. } => code::NATS_UNREACHABLE,
                NatsProblem::Refused { .. } => code::NATS_REFUSED,
                NatsProblem::Tls { .. } => code::NATS_TLS,
                NatsProblem::NoJetStream { .. } => code::NATS_NO_JETSTREAM,
                NatsProblem::Version { .. } => code::NATS_VERSION,
                NatsProblem::State { .. } => code::NATS_STATE,
            },
            LatticeError::State { problem, .. } => match problem {
                StateProblem::Locked => code::STATE_LOCKED,
                StateProblem::Damaged { .. } => code::STATE_DAMAGED,
                StateProblem::Foreign => code::STATE_FOREIGN,
                StateProblem::Version { .. } => code::STATE_VERSION,
                StateProblem::ReadOnly => code::STATE_READ_ONLY,
                StateProblem::DiskFull => code::STATE_DISK_FULL,
                StateProblem::Io => code::STATE_IO,
                StateProblem::TooLarge { .. } => code::STATE_TOO_LARGE,
            },
        }
    }

    fn help(&self) -> String {
        match self {
            LatticeError::State { path, problem: StateProblem::Damaged { .. }, .. } => {
                let path = path.display();
                format!(
                    "keep it with `mv {path} {path}.damaged`, then put back a copy from a backup, \
                     or start without it and deploy the applications again"
                )
            }
            LatticeError::Peer { problem } => problem.help.clone(),
            _ => self.code().entry().help.to_string(),
        }
    }
}

impl From<Problem> for LatticeError {
    fn from(problem: Problem) -> LatticeError {
        LatticeError::Peer { problem: Box::new(problem) }
    }
}

fn at_revision(revision: Option<u64>) -> String {
    revision.map_or_else(|| "absent".to_string(), |r| r.to_string())
}

/// At most 80 characters of `text`, printable, for use in a message.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_debug).collect()
}
