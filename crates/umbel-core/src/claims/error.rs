//! What can be wrong with claims.

use super::CLAIMS_BYTES_MAX;
use crate::clock::rfc3339;
use crate::code::{Code, artifact, identity, runtime};
use crate::error::Coded;
use crate::nkey::{KeyError, KeyKind, PublicKey};
use std::time::Duration;

/// Why claims are refused, or could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimsError {
    /// More bytes than are read.
    #[error("the claims have {bytes} bytes, more than {CLAIMS_BYTES_MAX}")]
    TooLarge {
        /// How many there are.
        bytes: u64,
    },
    /// Not a token of this form.
    #[error("the claims cannot be read: {reason}")]
    Malformed {
        /// What is wrong, shortened and printable.
        reason: String,
    },
    /// Not Ed25519.
    #[error("the claims are signed with `{found}`, and only `Ed25519` is accepted")]
    Algorithm {
        /// What the header says, shortened and printable.
        found: String,
    },
    /// The signature is not the issuer's.
    #[error("the signature of the claims is not that of their issuer {issuer}")]
    Forged {
        /// Who is said to have signed.
        issuer: PublicKey,
    },
    /// A key of a kind that may not stand there.
    #[error("the {role} of the claims is a key of kind {found}, not {wanted}")]
    WrongSigner {
        /// `subject` or `issuer`.
        role: &'static str,
        /// What it is.
        found: KeyKind,
        /// What it may be.
        wanted: String,
    },
    /// They were good until then.
    #[error("the claims have expired at {}", rfc3339(Duration::from_secs(*at)))]
    Expired {
        /// Unix seconds.
        at: u64,
    },
    /// They will be good from then on.
    #[error("the claims are not valid before {}", rfc3339(Duration::from_secs(*at)))]
    NotYetValid {
        /// Unix seconds.
        at: u64,
    },
    /// The hash is of other bytes.
    #[error("the claims are for bytes with the hash {claimed}…, and these have {actual}…")]
    OtherBytes {
        /// What the claims say, shortened.
        claimed: String,
        /// What the bytes have, shortened.
        actual: String,
    },
    /// A provider's claims say nothing of an executable.
    #[error("the claims say nothing of the executable for {target}")]
    NoTarget {
        /// The target, shortened and printable.
        target: String,
    },
    /// The claims name one issuer and another key was to sign them.
    #[error("the claims name the issuer {issuer}, and the key is {key}")]
    OtherKey {
        /// Whom the claims name.
        issuer: PublicKey,
        /// Whose key it is.
        key: PublicKey,
    },
    /// The key cannot sign.
    #[error("the claims could not be signed")]
    Key {
        /// Why.
        source: KeyError,
    },
    /// The sections of the wasm file are not whole, or not sections.
    #[error("the WebAssembly file is damaged at byte {offset}: {reason}")]
    Damaged {
        /// What is wrong.
        reason: &'static str,
        /// Where.
        offset: u64,
    },
    /// The file fails while it is read.
    #[error("the WebAssembly file cannot be read: {kind}")]
    Unreadable {
        /// What the system says.
        kind: std::io::ErrorKind,
    },
}

impl Coded for ClaimsError {
    fn code(&self) -> Code {
        match self {
            ClaimsError::TooLarge { .. } => identity::CLAIMS_TOO_LARGE,
            ClaimsError::Malformed { .. } => identity::CLAIMS_MALFORMED,
            ClaimsError::Algorithm { .. } => identity::CLAIMS_ALGORITHM,
            ClaimsError::Forged { .. } => identity::CLAIMS_FORGED,
            ClaimsError::WrongSigner { .. } | ClaimsError::OtherKey { .. } => identity::CLAIMS_WRONG_SIGNER,
            ClaimsError::Expired { .. } => identity::CLAIMS_EXPIRED,
            ClaimsError::NotYetValid { .. } => identity::CLAIMS_NOT_YET_VALID,
            ClaimsError::OtherBytes { .. } => identity::CLAIMS_OF_OTHER_BYTES,
            ClaimsError::NoTarget { .. } => identity::CLAIMS_NO_TARGET,
            ClaimsError::Key { source } => source.code(),
            // The same code as the loader's: it is the same damage, noticed earlier.
            ClaimsError::Damaged { .. } => runtime::DAMAGED_WASM,
            ClaimsError::Unreadable { .. } => artifact::FILE_UNREADABLE,
        }
    }
}
