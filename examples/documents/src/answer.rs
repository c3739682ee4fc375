//! Answers.

use wasip2::http::types::{Fields, OutgoingBody, OutgoingResponse, ResponseOutparam};
use wasip2::io::streams::OutputStream;

/// Where the answer goes; it is given once.
pub struct Reply(Option<ResponseOutparam>);

/// An answer's head.
pub struct Answer {
    status: u16,
    headers: Fields,
}

/// An answer's body. Dropped before it is finished, it is incomplete, and the caller is told so.
pub struct Body {
    // In this order: the stream is the body's child.
    stream: OutputStream,
    body: OutgoingBody,
}

impl Reply {
    pub fn new(out: ResponseOutparam) -> Reply {
        Reply(Some(out))
    }

    fn give(&mut self, response: OutgoingResponse) {
        if let Some(out) = self.0.take() {
            ResponseOutparam::set(out, Ok(response));
        }
    }
}

impl Answer {
    pub fn new(status: u16) -> Answer {
        Answer { status, headers: Fields::new() }
    }

    pub fn header(self, name: &str, value: &str) -> Answer {
        let _ = self.headers.append(name, value.as_bytes());
        self
    }

    /// Begins the answer; its body has so many bytes.
    pub fn send(self, reply: &mut Reply, length: u64) -> Body {
        self.header("content-length", &length.to_string()).send_unknown(reply)
    }

    /// Begins the answer; its body is as long as it will be.
    pub fn send_unknown(self, reply: &mut Reply) -> Body {
        let response = OutgoingResponse::new(self.headers);
        let _ = response.set_status_code(self.status);
        let body = response.body().expect("the body is taken once");
        reply.give(response);
        Body { stream: body.write().expect("the stream is taken once"), body }
    }
}

impl Body {
    pub fn stream(&self) -> &OutputStream {
        &self.stream
    }

    /// Whether it was taken.
    pub fn write(&self, bytes: &[u8]) -> bool {
        bytes.chunks(4096).all(|piece| self.stream.blocking_write_and_flush(piece).is_ok())
    }

    pub fn finish(self) {
        drop(self.stream);
        let _ = OutgoingBody::finish(self.body, None);
    }
}

/// Answers with a text.
pub fn text(reply: &mut Reply, status: u16, text: &str) {
    let mut answer = Answer::new(status);
    if !text.is_empty() {
        answer = answer.header("content-type", "text/plain; charset=utf-8");
    }
    let body = match status {
        // It has no body, and so no length.
        204 => answer.send_unknown(reply),
        _ => answer.send(reply, text.len() as u64),
    };
    if body.write(text.as_bytes()) {
        body.finish();
    }
}

/// The status for an error of the blobstore, which begins with its code.
pub fn status_of(error: &str) -> u16 {
    match error.split(':').next().unwrap_or_default() {
        "UM1121" => 404,
        "UM1122" => 414,
        "UM1124" => 413,
        "UM1126" => 503,
        "UM1127" => 507,
        code if code.starts_with("UM") => 500,
        _ => 400,
    }
}

/// The media type that a name suggests.
pub fn type_of(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, extension)| extension).to_ascii_lowercase().as_str() {
        "txt" | "md" => "text/plain; charset=utf-8",
        "json" => "application/json",
        "pdf" => "application/pdf",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        // HTML and SVG are downloaded, not shown: a stranger's document must not run scripts in this site's name.
        _ => "application/octet-stream",
    }
}

/// A JSON string.
pub fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            char if (char as u32) < 0x20 => out.push_str(&format!("\\u{:04x}", char as u32)),
            char => out.push(char),
        }
    }
    out.push('"');
    out
}
