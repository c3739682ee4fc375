//! Answers that are whole before they are sent.

use wasip2::http::types::{Fields, OutgoingBody, OutgoingResponse, ResponseOutparam};

pub struct Answer {
    status: u16,
    headers: Fields,
    body: String,
}

impl Answer {
    pub fn text(status: u16, body: &str) -> Answer {
        let answer = Answer { status, headers: Fields::new(), body: body.to_owned() };
        answer.header("content-type", "text/plain; charset=utf-8")
    }

    pub fn json(body: String) -> Answer {
        let answer = Answer { status: 200, headers: Fields::new(), body };
        answer.header("content-type", "application/json")
    }

    pub fn header(self, name: &str, value: &str) -> Answer {
        let _ = self.headers.append(name, value.as_bytes());
        self
    }

    pub fn send(self, out: ResponseOutparam) {
        let response = OutgoingResponse::new(self.headers);
        let _ = response.set_status_code(self.status);
        let body = response.body().expect("the body is taken once");
        ResponseOutparam::set(out, Ok(response));
        let stream = body.write().expect("the stream is taken once");
        let pieces = self.body.as_bytes().chunks(4096);
        let is_sent = pieces.into_iter().all(|piece| stream.blocking_write_and_flush(piece).is_ok());
        drop(stream);
        // Dropped unfinished, the body tells the caller that it is incomplete.
        if is_sent {
            let _ = OutgoingBody::finish(body, None);
        }
    }
}

/// A JSON string.
pub fn json(text: &str) -> String {
    let mut out = String::from("\"");
    for char in text.chars() {
        match char {
            '"' | '\\' => out.extend(['\\', char]),
            char if u32::from(char) < 0x20 => out.push_str(&format!("\\u{:04x}", u32::from(char))),
            char => out.push(char),
        }
    }
    out.push('"');
    out
}
