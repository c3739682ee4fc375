//! Chat rooms over HTTP: a page for each room, `POST /rooms/ROOM` to say something, `GET /rooms/ROOM/events` to hear it.
//!
//! What is said is published and not written down here: whoever subscribes to `rooms.*` does that, or whatever else it likes.

mod answer;
mod events;
mod page;
mod room;
mod text;

use answer::Answer;
use room::{Room, Said};
use text::form;
use wasi::keyvalue::store::Error;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, Method, ResponseOutparam};
use wasip2::io::streams::StreamError;
use wasmcloud::messaging::consumer;
use wasmcloud::messaging::types::BrokerMessage;

wit_bindgen::generate!({ path: "../wit", world: "rooms", generate_all });

const BODY_BYTES_MAX: usize = 16 << 10;
const NAME_CHARS_MAX: usize = 40;
const TEXT_CHARS_MAX: usize = 2_000;

struct Rooms;

wasip2::http::proxy::export!(Rooms);

impl Guest for Rooms {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let answer = match (request.method(), parts.as_slice()) {
            (Method::Get, [""]) => page::index(query),
            (Method::Get, ["chat.js"]) => page::file("text/javascript", include_str!("chat.js")),
            (Method::Get, ["chat.css"]) => page::file("text/css", include_str!("chat.css")),
            (Method::Get, ["rooms", room]) => in_room(room, |room| page::room(&room)),
            (Method::Post, ["rooms", room]) => in_room(room, |room| say(&request, &room)),
            (Method::Get, ["rooms", room, "events"]) => match Room::open(room) {
                Ok(Some(room)) => return events::stream(&room, listened_to(&request, query), out),
                Ok(None) => no_room(),
                Err(error) => failed(error),
            },
            (Method::Get | Method::Post, _) => Answer::text(404, "there is no such page\n"),
            _ => Answer::text(405, "GET or POST\n"),
        };
        answer.send(out);
    }
}

fn in_room(name: &str, answer: impl FnOnce(Room) -> Result<Answer, Error>) -> Answer {
    match Room::open(name) {
        Ok(Some(room)) => answer(room).unwrap_or_else(failed),
        Ok(None) => no_room(),
        Err(error) => failed(error),
    }
}

fn no_room() -> Answer {
    Answer::text(404, "a room's name is up to 40 letters, digits and hyphens\n")
}

fn failed(error: Error) -> Answer {
    match error {
        Error::Other(why) => Answer::text(503, &format!("{why}\n")),
        _ => Answer::text(503, "the store cannot be used\n"),
    }
}

/// The number of the last message that the listener has, if it says so: a browser that comes again does.
fn listened_to(request: &IncomingRequest, query: &str) -> Option<u64> {
    let header = request.headers().get("last-event-id").into_iter().next();
    let header = header.and_then(|value| String::from_utf8(value).ok());
    header.or_else(|| form(query, "after")).and_then(|number| number.trim().parse().ok())
}

fn say(request: &IncomingRequest, room: &Room) -> Result<Answer, Error> {
    let Some(body) = read(request) else { return Ok(Answer::text(413, "that is too long\n")) };
    let said = Said {
        name: form(&body, "name").unwrap_or_default().trim().to_owned(),
        text: form(&body, "text").unwrap_or_default().trim().to_owned(),
    };
    let too_long = said.name.chars().count() > NAME_CHARS_MAX || said.text.chars().count() > TEXT_CHARS_MAX;
    if said.name.is_empty() || said.text.is_empty() {
        return Ok(Answer::text(400, "say who you are and what you say: name=Ada&text=Hello\n"));
    }
    if too_long || said.name.contains(char::is_control) {
        return Ok(Answer::text(400, "a name is a line of up to 40 characters, a text has up to 2000\n"));
    }
    let message = BrokerMessage { subject: room.subject(), body: said.write().into(), reply_to: None };
    if let Err(why) = consumer::publish(&message) {
        return Ok(Answer::text(503, &format!("{why}\n")));
    }
    // Browsers without scripts are led back to the room.
    let accept = request.headers().get("accept").into_iter().next().unwrap_or_default();
    match String::from_utf8_lossy(&accept).contains("text/html") {
        true => Ok(Answer::text(303, "").header("location", &room.path())),
        false => Ok(Answer::text(202, "")),
    }
}

/// The body, if all of it came and it is not too long.
fn read(request: &IncomingRequest) -> Option<String> {
    let body = request.consume().ok()?;
    let stream = body.stream().ok()?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(4096) {
            Ok(piece) => bytes.extend(piece),
            Err(StreamError::Closed) => return Some(String::from_utf8_lossy(&bytes).into_owned()),
            Err(StreamError::LastOperationFailed(_)) => return None,
        }
        if bytes.len() > BODY_BYTES_MAX {
            return None;
        }
    }
}
