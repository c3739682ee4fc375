//! One message: a subject, an optional reply subject, headers and bytes.

use bytes::Bytes;
use serde::Serialize;

/// Headers in the order they were added. Names are compared without regard to case; one name may have several values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// The first value of the name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Adds a value; those that the name has stay.
    pub fn append(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.push((name.into(), value.into()));
    }

    /// All names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// One message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// Where it goes, e.g. `wasmbus.ctl.v1.default.host.ping`; no wildcards.
    pub subject: String,
    /// Where an answer is expected.
    pub reply: Option<String>,
    /// Headers.
    pub headers: Headers,
    /// The body, usually JSON.
    pub payload: Bytes,
}

impl Message {
    /// A message without reply subject and headers.
    pub fn new(subject: impl Into<String>, payload: impl Into<Bytes>) -> Message {
        Message { subject: subject.into(), payload: payload.into(), ..Message::default() }
    }

    /// A message whose body is the JSON of `value`.
    pub fn json<T: Serialize + ?Sized>(subject: impl Into<String>, value: &T) -> Message {
        Message::new(subject, to_json(value))
    }

    /// The same with one more header.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Message {
        self.headers.append(name, value);
        self
    }

    /// The same with a reply subject.
    #[must_use]
    pub fn with_reply(mut self, reply: impl Into<String>) -> Message {
        self.reply = Some(reply.into());
        self
    }
}

/// The JSON of one of our message types.
pub fn to_json<T: Serialize + ?Sized>(value: &T) -> Bytes {
    // Only a map with keys that are not strings, or a failing `Serialize` of our own, could fail; we have neither.
    serde_json::to_vec(value).expect("our messages are plain JSON data").into()
}
