//! What the HTTP guests share: from a function of the request to a component that answers with its text.

pub use wasip2::exports::http::incoming_handler::Guest;
pub use wasip2::http::types::{IncomingRequest, ResponseOutparam};
use wasip2::http::types::{Fields, OutgoingBody, OutgoingResponse};

pub use wasip2;

/// Exports `wasi:http/incoming-handler`, answering each request with the text of `$answer: fn(&IncomingRequest) -> String`.
#[macro_export]
macro_rules! serve {
    ($answer:expr) => {
        struct Component;
        impl $crate::Guest for Component {
            fn handle(request: $crate::IncomingRequest, out: $crate::ResponseOutparam) {
                let text: String = $answer(&request);
                $crate::respond(out, 200, text.as_bytes());
            }
        }
        $crate::wasip2::http::proxy::export!(Component with_types_in $crate::wasip2);
    };
}

/// Answers with a status and a text.
pub fn respond(out: ResponseOutparam, status: u16, text: &[u8]) {
    let headers = Fields::new();
    let _ = headers.append("content-type", b"text/plain");
    let response = OutgoingResponse::new(headers);
    let _ = response.set_status_code(status);
    let body = response.body().expect("the body is taken once");
    ResponseOutparam::set(out, Ok(response));
    let stream = body.write().expect("the stream is taken once");
    for piece in text.chunks(4096) {
        if stream.blocking_write_and_flush(piece).is_err() {
            return;
        }
    }
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
}

/// The path without the query.
pub fn path(request: &IncomingRequest) -> String {
    let path = request.path_with_query().unwrap_or_default();
    path.split('?').next().unwrap_or_default().to_owned()
}

/// A value of the query, with the escapes of URLs undone.
pub fn query(request: &IncomingRequest, name: &str) -> Option<String> {
    let path = request.path_with_query()?;
    let (_, query) = path.split_once('?')?;
    let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
    Some(unescape(value))
}

/// A number of the query.
pub fn number(request: &IncomingRequest, name: &str, default: u64) -> u64 {
    query(request, name).and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn unescape(value: &str) -> String {
    let bytes = value.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let hex = value.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (bytes[at], hex) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
