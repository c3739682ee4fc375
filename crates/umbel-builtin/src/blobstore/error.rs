//! Why the blobstore does not do what it was asked.

use std::io;
use umbel_core::code::blobstore as code;
use umbel_core::{Code, Coded};

/// A failure. A guest is told code and text, and no path of the host.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are what the texts say")]
pub enum BlobError {
    /// The container is not in the space.
    #[error("there is no container `{}`", shown(container))]
    ContainerNotFound { container: String },
    /// The object is not in the container.
    #[error("there is no object `{}` in the container `{}`", shown(object), shown(container))]
    ObjectNotFound { container: String, object: String },
    /// A name is over the limit.
    #[error("a name of {bytes} bytes is longer than {bytes_max} bytes")]
    NameTooLong { bytes: usize, bytes_max: usize },
    /// A range has its end before its start.
    #[error("the range from byte {start} to byte {end} begins behind its end")]
    BadRange { start: u64, end: u64 },
    /// A body is over the limit.
    #[error("the object has more than {bytes_max} bytes")]
    ObjectTooLarge { bytes_max: u64 },
    /// A value is too large for one list.
    #[error("{bytes} bytes are more than the {bytes_max} that are given at once")]
    TooLargeAtOnce { bytes: u64, bytes_max: u64 },
    /// The space has too many files open.
    #[error("{open_max} values and lists of names are open already")]
    TooManyOpen { open_max: usize },
    /// The disk is full, or nearly.
    #[error("there is no room left for the object")]
    StoreFull,
    /// The disk or the folder fails.
    #[error("the store failed")]
    StoreFailed(#[source] io::Error),
    /// The server fails, or does not answer.
    #[error("the object server failed")]
    ServerFailed(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A value was finished that is no object's.
    #[error("the outgoing value was finished, but never given to `write-data`")]
    ValueUnnamed,
    /// A value was given to a second object.
    #[error("the outgoing value was given to `write-data` before")]
    ValueUsed,
    /// A value was finished while it was written.
    #[error("the outgoing value was finished while its output-stream was open")]
    BodyOpen,
    /// The config is wrong.
    #[error("config `{key}`: {reason}")]
    BadConfig { key: String, reason: String },
}

impl From<io::Error> for BlobError {
    fn from(source: io::Error) -> BlobError {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => BlobError::StoreFull,
            _ => BlobError::StoreFailed(source),
        }
    }
}

impl Coded for BlobError {
    fn code(&self) -> Code {
        match self {
            BlobError::ContainerNotFound { .. } => code::CONTAINER_NOT_FOUND,
            BlobError::ObjectNotFound { .. } => code::OBJECT_NOT_FOUND,
            BlobError::NameTooLong { .. } => code::NAME_TOO_LONG,
            BlobError::BadRange { .. } => code::BAD_RANGE,
            BlobError::ObjectTooLarge { .. } => code::OBJECT_TOO_LARGE,
            BlobError::TooLargeAtOnce { .. } => code::TOO_LARGE_AT_ONCE,
            BlobError::TooManyOpen { .. } => code::TOO_MANY_OPEN,
            BlobError::StoreFull => code::STORE_FULL,
            BlobError::StoreFailed(_) => code::STORE_FAILED,
            BlobError::ServerFailed(_) => code::SERVER_FAILED,
            BlobError::ValueUnnamed => code::VALUE_UNNAMED,
            BlobError::ValueUsed => code::VALUE_USED,
            BlobError::BodyOpen => code::BODY_OPEN,
            BlobError::BadConfig { .. } => code::BAD_CONFIG,
        }
    }
}

/// The start of a name, printable.
fn shown(name: &str) -> String {
    name.chars().take(60).flat_map(char::escape_debug).collect()
}
