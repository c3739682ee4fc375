//! Answers.

use wasip2::http::types::{Fields, OutgoingBody, OutgoingResponse, ResponseOutparam};
use wasip2::io::streams::OutputStream;

pub struct Answer {
    status: u16,
    headers: Fields,
    body: String,
}

/// An answer's body. Dropped before it is finished, it is incomplete, and the caller is told so.
pub struct Body {
    // In this order: the stream is the body's child.
    stream: OutputStream,
    body: OutgoingBody,
}

impl Answer {
    pub fn text(status: u16, body: &str) -> Answer {
        Answer::of_type(status, "text/plain; charset=utf-8", body)
    }

    /// Nothing of it may come from elsewhere, and no script may stand in it.
    pub fn page(body: &str) -> Answer {
        let policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
        Answer::of_type(200, "text/html; charset=utf-8", body).header("content-security-policy", policy)
    }

    /// A stream that nobody on the way may keep.
    pub fn events() -> Answer {
        Answer::of_type(200, "text/event-stream", "").header("cache-control", "no-store")
    }

    pub fn of_type(status: u16, media_type: &str, body: &str) -> Answer {
        let answer = Answer { status, headers: Fields::new(), body: body.to_owned() };
        answer.header("content-type", media_type).header("x-content-type-options", "nosniff")
    }

    pub fn header(self, name: &str, value: &str) -> Answer {
        let _ = self.headers.append(name, value.as_bytes());
        self
    }

    pub fn begin(self, out: ResponseOutparam) -> Body {
        let response = OutgoingResponse::new(self.headers);
        let _ = response.set_status_code(self.status);
        let body = response.body().expect("the body is taken once");
        ResponseOutparam::set(out, Ok(response));
        Body { stream: body.write().expect("the stream is taken once"), body }
    }

    pub fn send(mut self, out: ResponseOutparam) {
        let content = std::mem::take(&mut self.body);
        let body = self.begin(out);
        if body.write(content.as_bytes()).is_some() {
            body.finish();
        }
    }
}

impl Body {
    /// Nothing if nobody takes it.
    pub fn write(&self, bytes: &[u8]) -> Option<()> {
        bytes.chunks(4096).try_for_each(|piece| self.stream.blocking_write_and_flush(piece)).ok()
    }

    pub fn finish(self) {
        drop(self.stream);
        let _ = OutgoingBody::finish(self.body, None);
    }
}
