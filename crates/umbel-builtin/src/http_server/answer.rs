//! A problem as an HTTP answer: status by kind, and a short body for people or for programs.

use super::body::ResponseBody;
use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use umbel_core::Problem;
use umbel_core::code::{call, guest};

/// What the client would like to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Json,
}

impl Format {
    /// JSON for those who ask for it and do not prefer text; text for browsers, curl and everybody else.
    pub(crate) fn wanted(headers: &HeaderMap) -> Format {
        let Some(accept) = headers.get(ACCEPT) else { return Format::Text };
        let accept = accept.as_bytes();
        let json = memchr::memmem::find(accept, b"json");
        match (json, memchr::memmem::find(accept, b"text/")) {
            (Some(json), Some(text)) if text < json => Format::Text,
            (Some(_), _) => Format::Json,
            (None, _) => Format::Text,
        }
    }
}

/// The status for a problem: by its code where HTTP has a better word than its kind.
pub(crate) fn status(problem: &Problem) -> StatusCode {
    if problem.code == call::HTTP_BODY_TOO_LARGE {
        StatusCode::PAYLOAD_TOO_LARGE
    } else if problem.code == call::HTTP_BODY_IDLE || problem.code == call::HTTP_HEAD_TIMEOUT {
        StatusCode::REQUEST_TIMEOUT
    } else if problem.code == call::HTTP_METHOD_REFUSED {
        StatusCode::METHOD_NOT_ALLOWED
    } else if problem.code == call::HTTP_HEAD_TOO_LARGE {
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
    } else if problem.code == guest::CONTRACT_MISMATCH || problem.code == guest::NOT_CARRIED {
        // The client did nothing wrong: the component behind is linked to something that cannot serve it.
        StatusCode::BAD_GATEWAY
    } else {
        StatusCode::from_u16(problem.kind.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// The body for a problem. Causes stay in the host's log: they may name what a stranger need not know.
fn text(problem: &Problem, format: Format) -> Bytes {
    match format {
        Format::Text => format!("{}: {}\n  help: {}\n", problem.code, problem.message, problem.help).into(),
        Format::Json => serde_json::json!({
            "code": problem.code,
            "message": problem.message,
            "help": problem.help,
        })
        .to_string()
        .into(),
    }
}

/// The whole answer.
pub(crate) fn respond(problem: &Problem, format: Format) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::text(text(problem, format)));
    *response.status_mut() = status(problem);
    let kind = match format {
        Format::Text => "text/plain; charset=utf-8",
        Format::Json => "application/json",
    };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    if response.status() == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        let methods = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
        response.headers_mut().insert(ALLOW, methods);
    }
    response
}

/// The same for a connection that has no parser any more: the bytes to write before it is closed.
pub(crate) fn last_words(problem: &Problem) -> Vec<u8> {
    let status = status(problem);
    let body = text(problem, Format::Text);
    let mut bytes = format!(
        "HTTP/1.1 {} {}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        status.as_u16(),
        status.canonical_reason().unwrap_or("Error"),
        body.len(),
    )
    .into_bytes();
    bytes.extend_from_slice(&body);
    bytes
}
