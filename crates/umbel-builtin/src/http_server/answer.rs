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

/// Who is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reader {
    pub(crate) format: Format,
    /// Whether only this machine can be asked here: then whoever asks is likely the one who runs it.
    pub(crate) is_near: bool,
}

/// What strangers are told where the help is for whoever runs this.
const FOR_STRANGERS: &str = "whoever runs this application finds more in its log; try again later";

impl Reader {
    /// The help as it is for this reader. What a stranger did not cause, a stranger cannot mend: commands would only tell how this is made.
    fn help<'a>(&self, problem: &'a Problem) -> &'a str {
        if self.is_near || status(problem).is_client_error() { &problem.help } else { FOR_STRANGERS }
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
fn text(problem: &Problem, reader: Reader) -> Bytes {
    let help = reader.help(problem);
    match reader.format {
        Format::Text => format!("{}: {}\n  help: {help}\n", problem.code, problem.message).into(),
        Format::Json => serde_json::json!({
            "code": problem.code,
            "message": problem.message,
            "help": help,
        })
        .to_string()
        .into(),
    }
}

/// The whole answer.
pub(crate) fn respond(problem: &Problem, reader: Reader) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::text(text(problem, reader)));
    *response.status_mut() = status(problem);
    let kind = match reader.format {
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
    let body = text(problem, Reader { format: Format::Text, is_near: false });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_not_told_how_to_mend_what_they_did_not_cause() {
        let unlinked =
            Problem::new(guest::UNLINKED, "shop called `x`").with_help("umbel link put shop TARGET x");
        let invalid = Problem::new(call::HTTP_HOST_INVALID, "no Host header");
        let text = |problem: &Problem, is_near| {
            let body = text(problem, Reader { format: Format::Text, is_near });
            String::from_utf8_lossy(&body).into_owned()
        };
        assert!(text(&unlinked, true).contains("umbel link put"));
        let told = text(&unlinked, false);
        assert!(told.starts_with("UM0550: shop called") && !told.contains("umbel link put"), "{told}");
        assert_eq!(text(&invalid, false), text(&invalid, true));
    }
}
