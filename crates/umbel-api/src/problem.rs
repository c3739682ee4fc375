//! Failures as the API answers them: a [`Problem`] as JSON, with the status of its kind.

use crate::document::typed;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use umbel_core::code::api;
use umbel_core::error::Span;
use umbel_core::{Code, Coded, Kind, Problem};

/// The `$type` of a failure.
pub const PROBLEM_TYPE: &str = "problem/v1";

/// One or more problems: a manifest's are reported all at once. The first decides status and exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    /// The problem that decides.
    pub first: Problem,
    /// What else is wrong.
    pub others: Vec<Problem>,
}

impl Problems {
    /// The problems in order; `None` when there are none.
    pub fn from_list(list: Vec<Problem>) -> Option<Problems> {
        let mut list = list.into_iter();
        let first = list.next()?;
        Some(Problems { first, others: list.collect() })
    }

    /// All of them, the first first.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// The JSON form: the first problem's fields, the rest in `others`.
    pub fn to_json(&self) -> Value {
        let mut json = typed(PROBLEM_TYPE, &self.first);
        if !self.others.is_empty()
            && let Value::Object(fields) = &mut json
        {
            fields.insert(
                "others".into(),
                self.others.iter().map(|other| typed(PROBLEM_TYPE, other)).collect(),
            );
        }
        json
    }

    /// Reads the JSON form.
    pub fn from_json(json: &[u8]) -> Option<Problems> {
        #[derive(Deserialize)]
        struct Wire {
            #[serde(flatten)]
            first: Problem,
            #[serde(default)]
            others: Vec<Problem>,
        }
        let wire: Wire = serde_json::from_slice(json).ok()?;
        Some(Problems { first: wire.first, others: wire.others })
    }
}

impl From<Problem> for Problems {
    fn from(first: Problem) -> Problems {
        Problems { first, others: Vec::new() }
    }
}

impl std::fmt::Display for Problems {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.first.fmt(f)
    }
}

impl std::error::Error for Problems {}

impl Coded for Problems {
    fn code(&self) -> Code {
        self.first.code
    }

    fn help(&self) -> String {
        self.first.help.clone()
    }
}

impl IntoResponse for Problems {
    fn into_response(self) -> Response {
        // A few codes have a status that says more than their kind's.
        let status = if self.first.code == api::METHOD_NOT_ALLOWED {
            StatusCode::METHOD_NOT_ALLOWED
        } else if self.first.code == api::BODY_TOO_LARGE {
            StatusCode::PAYLOAD_TOO_LARGE
        } else {
            StatusCode::from_u16(self.first.kind.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
        };
        let mut response = json(status, &self.to_json());
        if self.first.kind == Kind::Unauthenticated {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// A JSON answer.
pub(crate) fn json(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body.to_string())
        .into_response()
}

/// The schema of a failure, for the OpenAPI document; [`Problem`] itself is of a crate that does not know OpenAPI.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub struct ProblemView {
    /// The code, e.g. `UM0412`; `umbel explain UM0412` tells more.
    pub code: String,
    /// The class of failure, which decides the status.
    pub kind: String,
    /// What happened, one line.
    pub message: String,
    /// Why, from the nearest cause to the root.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// What to do: a command, or the manifest line to write.
    pub help: String,
    /// Where in the manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<SpanView>)]
    pub span: Option<Span>,
    /// What else is wrong, when several problems are reported at once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(no_recursion)]
    pub others: Vec<ProblemView>,
}

/// The schema of a place in a text.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = Span)]
pub struct SpanView {
    /// The name of the text.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

#[cfg(test)]
mod tests;
