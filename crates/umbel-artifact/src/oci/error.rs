//! What can go wrong between an image and its bytes.

use crate::ArtifactError;
use std::path::PathBuf;
use std::time::Duration;
use umbel_core::code::{Code, artifact};
use umbel_core::digest::Digest;
use umbel_core::{Coded, Problem};

/// Whatever caused it.
type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why an image was not pulled or pushed. No text of it has credentials.
#[derive(Debug, thiserror::Error)]
pub enum OciError {
    /// A reference without a host.
    #[error("`{image}` names no registry")]
    NoRegistry {
        /// The reference.
        image: String,
    },
    /// A file of settings.
    #[error("`{}` cannot be used: {reason}", path.display())]
    Settings {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No connection, or one that breaks.
    #[error("{host} cannot be reached")]
    Unreachable {
        /// Host and port.
        host: String,
        /// Why.
        source: Cause,
    },
    /// Nothing came for too long.
    #[error("{host} did not {what} within {} s", after.as_secs_f32())]
    Timeout {
        /// Host and port.
        host: String,
        /// What was waited for.
        what: &'static str,
        /// How long.
        after: Duration,
    },
    /// TLS failed.
    #[error("there is no secure connection to {host}")]
    Tls {
        /// Host and port.
        host: String,
        /// Why.
        source: Cause,
    },
    /// 401, or no token was given.
    #[error("{host} wants credentials for `{repository}`{}", if *given { ", and does not take those that it was given" } else { "" })]
    Unauthenticated {
        /// The registry.
        host: String,
        /// What was asked for.
        repository: String,
        /// Whether there were any.
        given: bool,
    },
    /// 403.
    #[error("{host} does not allow to {what} `{repository}`")]
    Denied {
        /// The registry.
        host: String,
        /// `pull` or `push`.
        what: &'static str,
        /// What was asked for.
        repository: String,
    },
    /// 404.
    #[error("{host} has no `{image}`")]
    Unknown {
        /// The registry.
        host: String,
        /// The repository with tag or digest.
        image: String,
    },
    /// Another status.
    #[error("{host} answered {status}{}", .said.as_deref().map(|said| format!(": {said}")).unwrap_or_default())]
    Refused {
        /// The registry.
        host: String,
        /// The status of HTTP.
        status: u16,
        /// What its body says, shortened and printable.
        said: Option<String>,
    },
    /// Not the protocol.
    #[error("{host} does not answer as a registry does: {reason}")]
    Answer {
        /// The registry.
        host: String,
        /// What is wrong.
        reason: String,
    },
    /// A redirect, or a server for tokens, that is not followed.
    #[error("{host} leads to {to}, which is not asked: {reason}")]
    Redirect {
        /// Who led there.
        host: String,
        /// Host and port.
        to: String,
        /// Why not.
        reason: &'static str,
    },
    /// A manifest that says nothing usable.
    #[error("the manifest of `{image}` cannot be used: {reason}")]
    Malformed {
        /// The image.
        image: String,
        /// What is wrong.
        reason: String,
    },
    /// No layer of ours.
    #[error("`{image}` is neither a component nor a provider archive: {found}")]
    NotOurs {
        /// The image.
        image: String,
        /// What it has.
        found: String,
    },
    /// An index without this platform.
    #[error("`{image}` is not there for {platform}, only for {found}")]
    NoPlatform {
        /// The image.
        image: String,
        /// What was looked for.
        platform: String,
        /// What there is.
        found: String,
    },
    /// Other bytes than those of the digest.
    #[error("the {} that {host} sent is {found}, not {expected}", part.word())]
    Mismatch {
        /// Who sent it.
        host: String,
        /// What of the image.
        part: Part,
        /// What it should be.
        expected: Digest,
        /// What it is.
        found: Digest,
    },
    /// Too much or too little of what the digest names.
    #[error("the {} that {host} sends has not the {expected} bytes that it should have", part.word())]
    Size {
        /// Who sent it.
        host: String,
        /// What of the image.
        part: Part,
        /// Its bytes.
        expected: u64,
    },
    /// A file that is not for registries.
    #[error("`{}` is neither a component nor a provider archive", path.display())]
    NotPushable {
        /// The file.
        path: PathBuf,
    },
    /// The disk.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
}

/// A part of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The list of images by platform.
    Index,
    /// What an image consists of.
    Manifest,
    /// What is said of it.
    Config,
    /// The artifact itself.
    Layer,
}

impl Part {
    fn word(self) -> &'static str {
        match self {
            Part::Index => "index",
            Part::Manifest => "manifest",
            Part::Config => "config",
            Part::Layer => "artifact",
        }
    }
}

impl OciError {
    /// Whether the registry was not there: what was pulled before may be used instead.
    pub fn is_away(&self) -> bool {
        matches!(
            self,
            OciError::Unreachable { .. }
                | OciError::Timeout { .. }
                | OciError::Refused { status: 429 | 500.., .. }
        )
    }
}

impl Coded for OciError {
    fn code(&self) -> Code {
        match self {
            OciError::NoRegistry { .. } => artifact::IMAGE_WITHOUT_REGISTRY,
            OciError::Settings { .. } => artifact::REGISTRY_SETTINGS,
            OciError::Unreachable { .. } => artifact::REGISTRY_UNREACHABLE,
            OciError::Timeout { .. } => artifact::REGISTRY_TIMEOUT,
            OciError::Tls { .. } => artifact::REGISTRY_TLS,
            OciError::Unauthenticated { .. } => artifact::REGISTRY_UNAUTHENTICATED,
            OciError::Denied { .. } => artifact::REGISTRY_DENIED,
            OciError::Unknown { .. } => artifact::IMAGE_UNKNOWN,
            OciError::Refused { .. } => artifact::REGISTRY_REFUSED,
            OciError::Answer { .. } => artifact::REGISTRY_ANSWER,
            OciError::Redirect { .. } => artifact::REDIRECT_DENIED,
            OciError::Malformed { .. } => artifact::IMAGE_MALFORMED,
            OciError::NotOurs { .. } => artifact::IMAGE_NOT_OURS,
            OciError::NoPlatform { .. } => artifact::IMAGE_NO_PLATFORM,
            OciError::Mismatch { part, .. } | OciError::Size { part, .. } => match part {
                Part::Index => artifact::INDEX_DIGEST,
                Part::Manifest => artifact::MANIFEST_DIGEST,
                Part::Config => artifact::CONFIG_DIGEST,
                Part::Layer => artifact::LAYER_DIGEST,
            },
            OciError::NotPushable { .. } => artifact::NOT_PUSHABLE,
            OciError::Artifact(error) => error.code(),
        }
    }

    fn help(&self) -> String {
        match self {
            OciError::Artifact(error) => error.help(),
            _ => self.code().entry().help.to_string(),
        }
    }
}

impl From<OciError> for Problem {
    fn from(error: OciError) -> Problem {
        Problem::from(&error)
    }
}

/// What a registry says, as it may stand in a message.
pub(super) fn printable(text: &str, chars_max: usize) -> String {
    text.chars()
        .take(chars_max)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect::<String>()
        .trim()
        .into()
}
