//! What can go wrong. No variant has a place for a value.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use umbel_core::code::secrets as code;
use umbel_core::{Code, Coded};

/// Why a secret is not put, deleted or served.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SecretsError {
    /// Not a name.
    #[error("not a name of a secret: {reason}")]
    Name {
        /// The rule it breaks.
        reason: &'static str,
    },
    /// A value beyond the limit.
    #[error("the secret has {bytes} bytes, and at most {bytes_max} are allowed")]
    TooLarge {
        /// Its bytes.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// No room.
    #[error("all secrets together would be more than {max} {unit}")]
    Full {
        /// The limit.
        max: usize,
        /// Of what.
        unit: &'static str,
    },
    /// None of that name.
    #[error("there is no secret `{name}` of {scope}")]
    NotFound {
        /// The name.
        name: String,
        /// Whose it would be.
        scope: String,
    },
    /// Others can read it.
    #[error("{}: `{}`", how.0, path.display())]
    Permissions {
        /// The file.
        path: PathBuf,
        /// In which way.
        how: Open,
    },
    /// Sealed secrets without their key.
    #[error("there are sealed secrets in `{}` and no key", path.display())]
    KeyMissing {
        /// The sealed file.
        path: PathBuf,
    },
    /// Not a key.
    #[error("not 64 hexadecimal digits: `{}`", path.display())]
    KeyInvalid {
        /// The key's file.
        path: PathBuf,
    },
    /// Another key, or changed.
    #[error("the key does not open `{}`, or it was changed; it has been left as it is", path.display())]
    Sealed {
        /// The sealed file.
        path: PathBuf,
    },
    /// Of another version, or of somebody else.
    #[error("`{}` is not of this version of umbel; it has been left as it is", path.display())]
    Version {
        /// The sealed file.
        path: PathBuf,
    },
    /// In use.
    #[error("another process has `{}` open", path.display())]
    Locked {
        /// The sealed file.
        path: PathBuf,
    },
    /// The operating system refuses.
    #[error("`{}` cannot be read or written", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: Arc<io::Error>,
    },
    /// The system has no random numbers.
    #[error("the system has no random numbers")]
    Random,
    /// Wrong config.
    #[error("config `{key}`: {reason}")]
    Config {
        /// The key.
        key: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// In which way a file is open to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Open(pub &'static str);

impl SecretsError {
    pub(super) fn io(path: &Path, error: io::Error) -> SecretsError {
        SecretsError::Io { path: path.to_path_buf(), source: Arc::new(error) }
    }
}

impl Coded for SecretsError {
    fn code(&self) -> Code {
        match self {
            SecretsError::Name { .. } => code::NAME,
            SecretsError::TooLarge { .. } => code::TOO_LARGE,
            SecretsError::Full { .. } => code::FULL,
            SecretsError::NotFound { .. } => code::NOT_FOUND,
            SecretsError::Permissions { .. } => code::KEY_PERMISSIONS,
            SecretsError::KeyMissing { .. } => code::KEY_MISSING,
            SecretsError::KeyInvalid { .. } => code::KEY_INVALID,
            SecretsError::Sealed { .. } => code::SEALED,
            SecretsError::Version { .. } => code::VERSION,
            SecretsError::Locked { .. } => code::LOCKED,
            SecretsError::Io { .. } | SecretsError::Random => code::IO,
            SecretsError::Config { .. } => code::CONFIG,
        }
    }
}
