//! The envelope of every answer to a control request.

use super::ControlError;
use crate::Message;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use umbel_core::{Coded, Problem};

/// `{"success":bool,"message":str,"response"?:T}`, and ours: `"problem"?`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
pub struct CtlResponse<T = ()> {
    /// Whether the request was accepted.
    pub success: bool,
    /// For people; may be empty.
    #[serde(default)]
    pub message: String,
    /// What was asked for.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub response: Option<T>,
    /// Extension: why not, with code and help.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

// A plain `default` would ask for `T: Default`.
fn none<T>() -> Option<T> {
    None
}

impl<T> CtlResponse<T> {
    /// Accepted, with nothing to tell but a message.
    pub fn accepted(message: impl Into<String>) -> CtlResponse<T> {
        CtlResponse { success: true, message: message.into(), response: None, problem: None }
    }

    /// Here is what was asked for.
    pub fn with(response: T) -> CtlResponse<T> {
        CtlResponse { success: true, message: String::new(), response: Some(response), problem: None }
    }

    /// Refused.
    pub fn refused(problem: impl Into<Problem>) -> CtlResponse<T> {
        let problem = problem.into();
        CtlResponse {
            success: false,
            message: problem.message.clone(),
            response: None,
            problem: Some(problem),
        }
    }

    /// Refused, because of an error of ours.
    pub fn failed(error: &(impl Coded + ?Sized)) -> CtlResponse<T> {
        CtlResponse::refused(Problem::from(error))
    }

    /// The answer to a subject that is subscribed to but means nothing, word for word that of wasmCloud 1.x.
    pub fn unsupported() -> CtlResponse<T> {
        CtlResponse { success: false, message: "unsupported subject".into(), response: None, problem: None }
    }
}

impl<T: Serialize> CtlResponse<T> {
    /// The bytes to answer with.
    pub fn to_bytes(&self) -> Bytes {
        crate::message::to_json(self)
    }
}

/// Reads a request. An empty payload is read as `null`, so that `Option<T>` takes it.
pub fn parse_request<T: DeserializeOwned>(message: &Message) -> Result<T, ControlError> {
    let text: &[u8] = if message.payload.is_empty() { b"null" } else { &message.payload };
    serde_json::from_slice(text).map_err(|source| ControlError::Request {
        subject: message.subject.clone(),
        source: std::sync::Arc::new(source),
    })
}
