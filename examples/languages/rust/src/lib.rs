//! Answers HTTP, counts visits, and greets: what the other three do, in Rust.

use examples::languages::greeter;
use exports::examples::languages::greeter::{Greeting, Guest as Greeter};
use wasi::keyvalue::atomics::increment;
use wasi::keyvalue::store::{self, Error};
use wasip2::exports::http::incoming_handler::Guest as Handler;
use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

wit_bindgen::generate!({
    path: ["../wit/greeter.wit", "../wit/keyvalue.wit", "world.wit"],
    world: "examples:languages-rust/app",
    generate_all,
});

const LANGUAGE: &str = "Rust";

struct App;

export!(App);
wasip2::http::proxy::export!(App);

/// What this component serves to others.
impl Greeter for App {
    fn greet(name: String) -> Greeting {
        Greeting { language: LANGUAGE.to_owned(), text: format!("Hello, {name}! Rust greets you.") }
    }
}

impl Handler for App {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        match answer(&request) {
            Ok(json) => send(out, 200, "application/json", &json),
            Err(Error::Other(why)) => send(out, 503, "text/plain; charset=utf-8", &format!("{why}\n")),
            Err(_) => send(out, 503, "text/plain; charset=utf-8", "the store cannot be used\n"),
        }
    }
}

fn answer(request: &IncomingRequest) -> Result<String, Error> {
    let visits = increment(&store::open("visits")?, LANGUAGE, 1)?;
    let target = request.path_with_query().unwrap_or_default();
    // The component that the manifest links, in whatever language it is.
    let greeting = greeter::greet(&name_of(&target));
    let answer = serde_json::json!({
        "language": LANGUAGE,
        "visits": visits,
        "greeting": { "language": greeting.language, "text": greeting.text },
    });
    Ok(format!("{answer}\n"))
}

/// The name in the query of a path.
fn name_of(target: &str) -> String {
    let (_, query) = target.split_once('?').unwrap_or_default();
    let name = form_urlencoded::parse(query.as_bytes()).find(|(key, name)| key == "name" && !name.is_empty());
    name.map_or_else(|| "World".to_owned(), |(_, name)| name.into_owned())
}

fn send(out: ResponseOutparam, status: u16, media_type: &str, text: &str) {
    let headers = Fields::new();
    let _ = headers.append("content-type", media_type.as_bytes());
    let response = OutgoingResponse::new(headers);
    let _ = response.set_status_code(status);
    let body = response.body().expect("the body is taken once");
    ResponseOutparam::set(out, Ok(response));
    let stream = body.write().expect("the stream is taken once");
    let sent = text.as_bytes().chunks(4096).all(|piece| stream.blocking_write_and_flush(piece).is_ok());
    drop(stream);
    if sent {
        let _ = OutgoingBody::finish(body, None);
    }
}
