//! Server-sent events: an answer that goes on for as long as somebody listens.

use crate::answer::{Answer, Body};
use crate::room::{Message, Room};
use crate::text::json;
use crate::wasi::keyvalue::store::Error;
use wasip2::clocks::monotonic_clock::{now, subscribe_duration};
use wasip2::http::types::ResponseOutparam;

const SECOND: u64 = 1_000_000_000;

/// How often the room is looked at.
const PAUSE: u64 = SECOND / 5;
/// After this long without a message a comment is sent: it keeps the connection open, and tells here when nobody listens any more.
const QUIET: u64 = 10 * SECOND;
/// The manifest allows a little more. Browsers come again and say what they have seen.
const WHOLE: u64 = 30 * 60 * SECOND;

/// What a listener hears at first who does not say what it has.
const MESSAGES_FIRST: u64 = 50;

pub fn stream(room: &Room, seen: Option<u64>, out: ResponseOutparam) {
    let last = match room.last() {
        Ok(last) => last,
        Err(error) => return crate::failed(error).send(out),
    };
    // More than there is has been seen of a room that was lost since.
    let seen = seen.unwrap_or(last.saturating_sub(MESSAGES_FIRST)).min(last);
    let body = Answer::events().begin(out);
    if follow(room, seen, &body).is_ok() {
        body.finish();
    }
}

/// Why a stream was not ended properly.
enum Broken {
    Gone,
    Store,
}

fn follow(room: &Room, mut seen: u64, to: &Body) -> Result<(), Broken> {
    let start = now();
    let mut said_at = start;
    // The first words tell how soon to come again, and that this is the beginning of a stream.
    let mut piece = "retry: 1000\n\n".to_owned();
    loop {
        let last = room.last()?;
        while seen < last {
            let (messages, end) = room.messages(seen, last)?;
            messages.iter().for_each(|message| piece.push_str(&event(message)));
            seen = end;
        }
        if piece.is_empty() && now() - said_at >= QUIET {
            piece.push_str(":\n\n");
        }
        if !piece.is_empty() {
            to.write(piece.as_bytes()).ok_or(Broken::Gone)?;
            piece.clear();
            said_at = now();
        }
        if now() - start >= WHOLE {
            return Ok(());
        }
        subscribe_duration(PAUSE).block();
    }
}

/// JSON has no line breaks, which would end the data.
fn event(message: &Message) -> String {
    let Message { number, at, said } = message;
    let (name, text) = (json(&said.name), json(&said.text));
    format!("id: {number}\ndata: {{\"name\":{name},\"text\":{text},\"at\":{at}}}\n\n")
}

impl From<Error> for Broken {
    fn from(_: Error) -> Broken {
        Broken::Store
    }
}
