//! Streams that are followed: server-sent events (WHATWG HTML §9.2), read as documents.

use super::connection::Reply;
use crate::document::{EventEntry, LogEntry, Lost, SpyEntry};
use crate::problem::Problems;
use serde::de::DeserializeOwned;
use std::collections::VecDeque;
use umbel_core::Problem;
use umbel_core::code::api;

/// The largest single event, bytes.
const EVENT_BYTES_MAX: usize = 4 << 20;

/// What comes next in a stream.
#[derive(Debug, Clone, PartialEq)]
pub enum Followed<T> {
    /// An entry.
    Item(T),
    /// Entries that cannot be had any more.
    Lost(Lost),
}

/// Log lines as they come.
#[derive(Debug)]
pub struct LogStream(Frames);

/// Events as they come.
#[derive(Debug)]
pub struct EventStream(Frames);

/// Messages of the lattice as they come.
#[derive(Debug)]
pub struct SpyStream(Frames);

impl LogStream {
    pub(super) fn new(reply: Reply) -> LogStream {
        LogStream(Frames::new(reply))
    }

    /// The next entry; `None` when the platform ended the stream, which it does when it stops.
    pub async fn next(&mut self) -> Result<Option<Followed<LogEntry>>, Problems> {
        self.0.next("log").await
    }
}

impl EventStream {
    pub(super) fn new(reply: Reply) -> EventStream {
        EventStream(Frames::new(reply))
    }

    /// The next entry; `None` when the platform ended the stream, which it does when it stops.
    pub async fn next(&mut self) -> Result<Option<Followed<EventEntry>>, Problems> {
        self.0.next("event").await
    }
}

impl SpyStream {
    pub(super) fn new(reply: Reply) -> SpyStream {
        SpyStream(Frames::new(reply))
    }

    /// The next entry; `None` when the platform ended the stream, which it does when it stops.
    pub async fn next(&mut self) -> Result<Option<Followed<SpyEntry>>, Problems> {
        self.0.next("spy").await
    }
}

#[derive(Debug)]
struct Frames {
    reply: Reply,
    parser: Parser,
    waiting: VecDeque<Frame>,
}

impl Frames {
    fn new(reply: Reply) -> Frames {
        Frames { reply, parser: Parser::default(), waiting: VecDeque::new() }
    }

    async fn next<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<Followed<T>>, Problems> {
        loop {
            while let Some(frame) = self.waiting.pop_front() {
                match frame.event.as_str() {
                    "lost" => return Ok(Some(Followed::Lost(read(&frame.data)?))),
                    "problem" => {
                        return Err(
                            Problems::from_json(frame.data.as_bytes()).unwrap_or_else(|| unreadable(None))
                        );
                    }
                    event if event == name => return Ok(Some(Followed::Item(read(&frame.data)?))),
                    // A newer platform may send kinds of entries that this client does not know.
                    _ => {}
                }
            }
            let Some(chunk) = self.reply.chunk().await? else { return Ok(None) };
            self.waiting.extend(self.parser.push(&chunk)?);
        }
    }
}

fn read<T: DeserializeOwned>(data: &str) -> Result<T, Problems> {
    serde_json::from_str(data).map_err(|error| unreadable(Some(&error)))
}

fn unreadable(error: Option<&serde_json::Error>) -> Problems {
    let problem = Problem::new(api::ANSWER_UNREADABLE, "the stream does not have the expected form");
    error.map_or(problem.clone(), |error| problem.with_cause(error.to_string())).into()
}

/// One server-sent event.
#[derive(Debug, Default, PartialEq, Eq)]
struct Frame {
    event: String,
    data: String,
}

/// Turns bytes into events, however they are cut.
#[derive(Debug, Default)]
struct Parser {
    line: Vec<u8>,
    frame: Frame,
    has_data: bool,
}

impl Parser {
    fn push(&mut self, bytes: &[u8]) -> Result<Vec<Frame>, Problem> {
        let mut frames = Vec::new();
        for byte in bytes {
            if *byte != b'\n' {
                self.line.push(*byte);
            } else if let Some(frame) = self.end_of_line() {
                frames.push(frame);
            }
            if self.line.len() + self.frame.data.len() > EVENT_BYTES_MAX {
                return Err(Problem::new(
                    api::ANSWER_UNREADABLE,
                    format!("an event of the stream has more than {EVENT_BYTES_MAX} bytes"),
                ));
            }
        }
        Ok(frames)
    }

    fn end_of_line(&mut self) -> Option<Frame> {
        let line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned();
        let line = line.strip_suffix('\r').unwrap_or(&line);
        if line.is_empty() {
            let frame = std::mem::take(&mut self.frame);
            return std::mem::take(&mut self.has_data).then_some(frame);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.frame.event = value.into(),
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.frame.data.push('\n');
                }
                self.frame.data.push_str(value);
            }
            // Comments keep the connection alive; ids are in the documents.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests;
