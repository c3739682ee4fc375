//! Bytes of artifacts from host to host, by digest: whoever has them says so, and then gives them in pieces.

use crate::Message;
use crate::control::{ControlError, CtlResponse};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use umbel_core::digest::Digest;
use umbel_core::id::HostId;

/// Asks every host for the bytes of a digest. Whoever does not have them says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactQuery {
    /// What they are.
    pub digest: Digest,
}

/// The answer of a host that has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactOffer {
    /// Which host.
    pub host_id: HostId,
    /// How many bytes.
    pub size: u64,
}

/// Asks that host for a piece.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactRead {
    /// Of what.
    pub digest: Digest,
    /// Where the piece begins, in bytes.
    pub offset: u64,
    /// How long it may be, in bytes; the host may give less, and nothing behind the end.
    pub bytes_max: u64,
}

/// Marks an answer that is a piece; every other one is a refusal in JSON.
const PIECE_HEADER: &str = "Umbel-Piece";

impl ArtifactRead {
    /// The answer with a piece: its bytes as they are, and where they begin in a header.
    pub fn piece(&self, to: String, bytes: Vec<u8>) -> Message {
        Message::new(to, bytes).with_header(PIECE_HEADER, self.offset.to_string())
    }

    /// The bytes of an answer.
    ///
    /// # Errors
    /// [`ControlError::Refused`] as the host says it; [`ControlError::Answer`] for what is neither a refusal nor the piece.
    pub fn of(&self, subject: &str, answer: &Message) -> Result<Bytes, ControlError> {
        if answer.headers.get(PIECE_HEADER) == Some(&self.offset.to_string())
            && answer.payload.len() as u64 <= self.bytes_max
        {
            return Ok(answer.payload.clone());
        }
        let malformed =
            |source| ControlError::Answer { subject: subject.to_string(), source: Arc::new(source) };
        let said: CtlResponse<Value> = serde_json::from_slice(&answer.payload).map_err(malformed)?;
        if said.success {
            return Err(malformed(<serde_json::Error as serde::de::Error>::custom("this is not the piece")));
        }
        Err(ControlError::refused(said.message, said.problem))
    }
}

#[cfg(test)]
mod tests;
