//! What can go wrong between a reference and its bytes.

use std::io;
use std::path::{Path, PathBuf};
use umbel_core::code::{Code, artifact};
use umbel_core::digest::Digest;
use umbel_core::{Coded, Problem};

/// Why there is no artifact.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The file does not exist.
    #[error("there is no file {}", shown(path))]
    NotFound {
        /// Where it was looked for, from the root on.
        path: PathBuf,
    },
    /// Something else than a regular file.
    #[error("{} is a {what}, not a file", shown(path))]
    NotAFile {
        /// What was opened.
        path: PathBuf,
        /// What it is: `folder`, `pipe`, `socket`, `device`.
        what: &'static str,
    },
    /// More bytes than the store takes.
    #[error("{} has more than {}", name.as_deref().map_or("the artifact".into(), shown), size(*bytes_max))]
    TooLarge {
        /// The file, if it came from one.
        name: Option<PathBuf>,
        /// What the store takes.
        bytes_max: u64,
    },
    /// The file exists and cannot be read.
    #[error("{} cannot be read", shown(path))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The store's own folder fails.
    #[error("the folder {} of the artifact store cannot be used", shown(folder))]
    Store {
        /// The folder that the store was opened in.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The stored bytes are not those of the digest.
    #[error("what is stored as {digest} is damaged: it is {found}")]
    Damaged {
        /// What they should be.
        digest: Digest,
        /// What they are.
        found: Digest,
    },
    /// Nothing is stored under the digest.
    #[error("nothing is stored as {digest}")]
    UnknownDigest {
        /// What was asked for.
        digest: Digest,
    },
    /// A file whose bytes are not those that were asked for.
    #[error("{} is no longer {digest}: it is {found}", shown(path))]
    FileChanged {
        /// The file.
        path: PathBuf,
        /// What it should be.
        digest: Digest,
        /// What it is.
        found: Digest,
    },
    /// An image in a registry.
    #[error("`{reference}` is an image in a registry, and only files can be fetched")]
    NoRegistryClient {
        /// The reference.
        reference: String,
    },
    /// A provider that Umbel ships.
    #[error("`{reference}` is a part of Umbel and has no file")]
    NotAnArtifact {
        /// The reference.
        reference: String,
    },
}

impl Coded for ArtifactError {
    fn code(&self) -> Code {
        match self {
            ArtifactError::NotFound { .. } => artifact::FILE_NOT_FOUND,
            ArtifactError::NotAFile { .. } => artifact::NOT_A_FILE,
            ArtifactError::TooLarge { .. } => artifact::ARTIFACT_TOO_LARGE,
            ArtifactError::Unreadable { .. } => artifact::FILE_UNREADABLE,
            ArtifactError::Store { .. } => artifact::STORE_UNUSABLE,
            ArtifactError::Damaged { .. } => artifact::BLOB_DAMAGED,
            ArtifactError::UnknownDigest { .. } => artifact::DIGEST_UNKNOWN,
            ArtifactError::FileChanged { .. } => artifact::FILE_CHANGED,
            ArtifactError::NoRegistryClient { .. } => artifact::NO_REGISTRY_CLIENT,
            ArtifactError::NotAnArtifact { .. } => artifact::NOT_AN_ARTIFACT,
        }
    }

    fn help(&self) -> String {
        match self {
            ArtifactError::NotFound { path } => format!("check it with `ls -l {}`", shown(path)),
            ArtifactError::Unreadable { path, .. } => {
                format!("check that the host's user may read it: `ls -l {}`", shown(path))
            }
            ArtifactError::Store { folder, .. } => {
                let folder = shown(folder);
                format!("check space and rights with `df -h {folder}` and `ls -ld {folder}`, then try again")
            }
            _ => self.code().entry().help.to_string(),
        }
    }
}

impl From<ArtifactError> for Problem {
    fn from(error: ArtifactError) -> Problem {
        Problem::from(&error)
    }
}

/// A path as it may stand in a message: control characters, which a terminal would obey, are escaped.
pub(crate) fn shown(path: &Path) -> String {
    let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    path.to_string_lossy().chars().map(escape).collect()
}

/// A limit for people.
fn size(bytes: u64) -> String {
    if bytes >= 1 << 20 { format!("{} MiB", bytes >> 20) } else { format!("{bytes} bytes") }
}
