//! Pages. They work without scripts too; the script makes them live.

use crate::answer::Answer;
use crate::room::{Message, Room};
use crate::text::{form, html};
use crate::wasi::keyvalue::store::Error;

/// What a page shows of a room that has more.
const MESSAGES_SHOWN: u64 = 50;

pub fn file(media_type: &str, content: &str) -> Answer {
    Answer::of_type(200, &format!("{media_type}; charset=utf-8"), content)
}

/// Asks for a room; leads there when it is told.
pub fn index(query: &str) -> Answer {
    if let Some(room) = form(query, "room") {
        let room: String = room.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
        if !room.is_empty() {
            return Answer::text(303, "").header("location", &format!("/rooms/{room}"));
        }
    }
    let body =
        "<form><label>Room <input name=room required pattern=\"[A-Za-z0-9\\-]{1,40}\" autofocus></label> \
                <button>Enter</button></form>";
    Answer::page(&whole("Chat", body))
}

pub fn room(room: &Room) -> Result<Answer, Error> {
    let last = room.last()?;
    let (messages, _) = room.messages(last.saturating_sub(MESSAGES_SHOWN), last)?;
    let lines: String = messages.iter().map(line).collect();
    let (name, path) = (html(&room.name), html(&room.path()));
    let body = format!(
        "<ol id=said data-events=\"{path}/events?after={last}\">\n{lines}</ol>\n\
         <form method=post action=\"{path}\">\n\
         <label>Name <input name=name required maxlength=40></label>\n\
         <label>Text <input name=text required maxlength=2000 autocomplete=off autofocus></label>\n\
         <button>Say</button>\n</form>\n<script src=/chat.js></script>"
    );
    Ok(Answer::page(&whole(&name, &body)))
}

fn line(message: &Message) -> String {
    let said = &message.said;
    format!("<li><b>{}</b> {}</li>\n", html(&said.name), html(&said.text))
}

/// The title is HTML already.
fn whole(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=en>\n<meta charset=utf-8>\n\
         <meta name=viewport content=\"width=device-width\">\n\
         <title>{title}</title>\n<link rel=stylesheet href=/chat.css>\n<h1>{title}</h1>\n{body}\n</html>\n"
    )
}
