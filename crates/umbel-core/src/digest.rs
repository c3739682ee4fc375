//! Digests: bytes named by their SHA-256.

use crate::code::{Code, identity};
use crate::error::Coded;
use crate::id::shown;
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Why a text is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a digest: it must be `sha256:` and 64 characters of 0-9 and a-f")]
pub struct DigestError {
    /// What was given, shortened.
    pub text: String,
}

impl Coded for DigestError {
    fn code(&self) -> Code {
        identity::INVALID_DIGEST
    }
}

/// The SHA-256 of some bytes; the text is `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// Computes the digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(Sha256::digest(bytes).into())
    }

    /// Wraps a SHA-256 that was computed elsewhere.
    pub const fn from_sha256(hash: [u8; 32]) -> Digest {
        Digest(hash)
    }

    /// Parses `sha256:…`.
    pub fn new(text: impl AsRef<str>) -> Result<Digest, DigestError> {
        let text = text.as_ref();
        let fail = || DigestError { text: shown(text) };
        let hex = text.strip_prefix("sha256:").ok_or_else(fail)?;
        let bytes = HEXLOWER.decode(hex.as_bytes()).map_err(|_| fail())?;
        Ok(Digest(bytes.try_into().map_err(|_| fail())?))
    }

    /// The 64 hexadecimal digits, good as a file name.
    pub fn hex(&self) -> String {
        HEXLOWER.encode(&self.0)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;
    fn try_from(text: String) -> Result<Digest, DigestError> {
        Digest::new(text)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.to_string()
    }
}

impl std::str::FromStr for Digest {
    type Err = DigestError;
    fn from_str(text: &str) -> Result<Digest, DigestError> {
        Digest::new(text)
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests;
