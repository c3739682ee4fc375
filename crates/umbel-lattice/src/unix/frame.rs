//! Frames: a length of four bytes (little end first), a kind, a body. Texts are a LEB128 length and UTF-8.

use super::FRAME_BYTES_MAX;
use crate::lattice::PAYLOAD_BYTES_MAX;
use crate::wrpc::codec::{CodecError, Reader, put_unsigned};
use crate::{Headers, Message};
use bytes::{Buf, Bytes, BytesMut};
use umbel_core::Problem;
use umbel_core::code::wire;

/// Payloads from this length on are not copied into the frame, and share the memory that they were read into.
pub(crate) const SHARED_BYTES: usize = 16 << 10;

/// The first text of a hello.
const MAGIC: &str = "umbel-lattice";

/// Most headers of a message.
const HEADERS_MAX: usize = 256;

#[derive(Debug, PartialEq)]
pub(crate) enum Frame {
    /// From the process, once, first.
    Hello { version: u64, id: String, token: String },
    /// From the process: to whoever subscribes. A request wants to hear if nobody does.
    Publish { is_request: bool, message: Message },
    /// From the process.
    Subscribe { sid: u64, pattern: String, group: Option<String>, is_observer: bool },
    /// From the process.
    Unsubscribe { sid: u64 },
    /// From the host, once, first: the lattice's name, what inboxes of the process begin with, and the longest payload of a message
    /// beyond the host.
    Welcome { version: u64, lattice: String, inbox: String, payload_bytes_max: u64 },
    /// From the host, instead: why not.
    Refused { problem: Problem },
    /// From the host.
    Deliver { sid: u64, message: Message },
    /// From the host: a subscription is in force.
    Subscribed { sid: u64 },
    /// From the host: it is not, and why.
    NotSubscribed { sid: u64, problem: Problem },
    /// From the host: a request will have no answer, for the status that HTTP would have for it.
    Status { reply: String, status: u64 },
    /// From the host: a message was not passed on, and why.
    Denied { subject: String, problem: Problem },
    /// From the host: its own connection was lost, and messages for the subscription may be missing.
    Interrupted { sid: u64 },
    /// From either: the connection ends now, and why.
    Closing { problem: Problem },
    /// Of a later version.
    Unknown,
}

const HELLO: u8 = 1;
const PUBLISH: u8 = 2;
const SUBSCRIBE: u8 = 3;
const UNSUBSCRIBE: u8 = 4;
const WELCOME: u8 = 16;
const REFUSED: u8 = 17;
const DELIVER: u8 = 18;
const SUBSCRIBED: u8 = 19;
const NOT_SUBSCRIBED: u8 = 20;
const STATUS: u8 = 21;
const DENIED: u8 = 22;
const INTERRUPTED: u8 = 23;
const CLOSING: u8 = 31;

impl Frame {
    /// Appends the frame. A long payload is returned, to be written after it.
    pub(crate) fn write(self, out: &mut Vec<u8>) -> Option<Bytes> {
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        let rest = self.body(out);
        let length = out.len() - start - 4 + rest.as_ref().map_or(0, Bytes::len);
        // The limit of payloads, subjects and headers is far below 4 GiB.
        out[start..start + 4].copy_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
        rest
    }

    fn body(self, out: &mut Vec<u8>) -> Option<Bytes> {
        match self {
            Frame::Hello { version, id, token } => {
                out.push(HELLO);
                put_text(out, MAGIC);
                put_unsigned(out, version);
                put_text(out, &id);
                put_text(out, &token);
            }
            Frame::Publish { is_request, message } => {
                out.extend_from_slice(&[PUBLISH, is_request.into()]);
                return put_message(out, message);
            }
            Frame::Subscribe { sid, pattern, group, is_observer } => {
                out.push(SUBSCRIBE);
                put_unsigned(out, sid);
                put_text(out, &pattern);
                put_option(out, group.as_deref());
                out.push(is_observer.into());
            }
            Frame::Unsubscribe { sid } => put_number(out, UNSUBSCRIBE, sid),
            Frame::Welcome { version, lattice, inbox, payload_bytes_max } => {
                out.push(WELCOME);
                put_unsigned(out, version);
                put_text(out, &lattice);
                put_text(out, &inbox);
                put_unsigned(out, payload_bytes_max);
            }
            Frame::Refused { problem } => {
                out.push(REFUSED);
                put_problem(out, &problem);
            }
            Frame::Deliver { sid, message } => {
                out.push(DELIVER);
                put_unsigned(out, sid);
                return put_message(out, message);
            }
            Frame::Interrupted { sid } => put_number(out, INTERRUPTED, sid),
            Frame::Subscribed { sid } => put_number(out, SUBSCRIBED, sid),
            Frame::NotSubscribed { sid, problem } => {
                out.push(NOT_SUBSCRIBED);
                put_unsigned(out, sid);
                put_problem(out, &problem);
            }
            Frame::Status { reply, status } => {
                out.push(STATUS);
                put_text(out, &reply);
                put_unsigned(out, status);
            }
            Frame::Denied { subject, problem } => {
                out.push(DENIED);
                put_text(out, &subject);
                put_problem(out, &problem);
            }
            Frame::Closing { problem } => {
                out.push(CLOSING);
                put_problem(out, &problem);
            }
            // A kind that nobody has.
            Frame::Unknown => out.push(0),
        }
        None
    }

    fn read(body: &Bytes) -> Result<Frame, CodecError> {
        let reader = &mut Reader::new(body);
        let frame = match reader.byte()? {
            HELLO => {
                if text(reader)? != MAGIC {
                    return Err(CodecError::Broken { what: "something else than a hello" });
                }
                Frame::Hello { version: number(reader)?, id: text(reader)?, token: text(reader)? }
            }
            PUBLISH => Frame::Publish { is_request: reader.byte()? != 0, message: message(reader)? },
            SUBSCRIBE => Frame::Subscribe {
                sid: number(reader)?,
                pattern: text(reader)?,
                group: option(reader)?,
                is_observer: reader.byte()? != 0,
            },
            UNSUBSCRIBE => Frame::Unsubscribe { sid: number(reader)? },
            WELCOME => Frame::Welcome {
                version: number(reader)?,
                lattice: text(reader)?,
                inbox: text(reader)?,
                // A host that does not say so keeps its messages to itself.
                payload_bytes_max: number(reader).unwrap_or(PAYLOAD_BYTES_MAX as u64),
            },
            REFUSED => Frame::Refused { problem: problem(reader)? },
            DELIVER => Frame::Deliver { sid: number(reader)?, message: message(reader)? },
            SUBSCRIBED => Frame::Subscribed { sid: number(reader)? },
            NOT_SUBSCRIBED => Frame::NotSubscribed { sid: number(reader)?, problem: problem(reader)? },
            STATUS => Frame::Status { reply: text(reader)?, status: number(reader)? },
            INTERRUPTED => Frame::Interrupted { sid: number(reader)? },
            DENIED => Frame::Denied { subject: text(reader)?, problem: problem(reader)? },
            CLOSING => Frame::Closing { problem: problem(reader)? },
            _ => Frame::Unknown,
        };
        Ok(frame)
    }

    /// Takes the next whole frame out of the buffer, if there is one.
    pub(crate) fn take(buffer: &mut BytesMut) -> Result<Option<Frame>, Problem> {
        let Some(head) = buffer.first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_le_bytes(*head) as usize;
        if length == 0 || length > FRAME_BYTES_MAX {
            let message = format!("a frame of {length} bytes; the limit is {FRAME_BYTES_MAX}");
            return Err(Problem::new(wire::WIRE_BROKEN, message));
        }
        if buffer.len() < 4 + length {
            return Ok(None);
        }
        buffer.advance(4);
        let body = buffer.split_to(length).freeze();
        Frame::read(&body).map(Some).map_err(|error| match error {
            CodecError::Incomplete => Problem::new(wire::WIRE_BROKEN, "a frame ends before its contents"),
            error => Problem::from(&error),
        })
    }
}

/// A frame that says no more than which subscription.
fn put_number(out: &mut Vec<u8>, kind: u8, sid: u64) {
    out.push(kind);
    put_unsigned(out, sid);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_unsigned(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

fn put_option(out: &mut Vec<u8>, text: Option<&str>) {
    out.push(text.is_some().into());
    if let Some(text) = text {
        put_text(out, text);
    }
}

fn put_problem(out: &mut Vec<u8>, problem: &Problem) {
    put_text(out, &serde_json::to_string(problem).unwrap_or_default());
}

fn put_message(out: &mut Vec<u8>, message: Message) -> Option<Bytes> {
    put_text(out, &message.subject);
    put_option(out, message.reply.as_deref());
    put_unsigned(out, message.headers.iter().count() as u64);
    for (name, value) in message.headers.iter() {
        put_text(out, name);
        put_text(out, value);
    }
    if message.payload.len() >= SHARED_BYTES {
        return Some(message.payload);
    }
    out.extend_from_slice(&message.payload);
    None
}

fn number(reader: &mut Reader<'_>) -> Result<u64, CodecError> {
    reader.number()
}

fn text(reader: &mut Reader<'_>) -> Result<String, CodecError> {
    let length = reader.length()?;
    let bytes = reader.slice(length)?;
    let text =
        std::str::from_utf8(bytes).map_err(|_| CodecError::Broken { what: "a text that is not UTF-8" })?;
    Ok(text.to_string())
}

fn option(reader: &mut Reader<'_>) -> Result<Option<String>, CodecError> {
    if reader.byte()? == 0 { Ok(None) } else { text(reader).map(Some) }
}

fn problem(reader: &mut Reader<'_>) -> Result<Problem, CodecError> {
    serde_json::from_str(&text(reader)?)
        .map_err(|_| CodecError::Broken { what: "a problem that is not JSON" })
}

fn message(reader: &mut Reader<'_>) -> Result<Message, CodecError> {
    let (subject, reply) = (text(reader)?, option(reader)?);
    let count = reader.length()?;
    if count > HEADERS_MAX {
        return Err(CodecError::Limit { what: "headers", max: HEADERS_MAX });
    }
    let mut headers = Headers::default();
    for _ in 0..count {
        headers.append(text(reader)?, text(reader)?);
    }
    let left = reader.left();
    let payload = if left >= SHARED_BYTES {
        reader.take(left)?
    } else {
        // A small payload must not keep the whole buffer that it was read into.
        Bytes::copy_from_slice(reader.slice(left)?)
    };
    Ok(Message { subject, reply, headers, payload })
}

#[cfg(test)]
mod tests;
