//! Counts visits: `GET /PATH` counts one more and says how many, `GET /?all` tells all numbers, `DELETE /PATH` forgets one.
//!
//! Every request has a fresh instance, which remembers nothing: the numbers are in the store.

use wasi::keyvalue::atomics;
use wasi::keyvalue::store::{self, Bucket, Error};
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    Fields, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

wit_bindgen::generate!({ path: "wit", world: "needs", generate_all });

struct Counter;

wasip2::http::proxy::export!(Counter);

struct Answer {
    status: u16,
    media_type: &'static str,
    body: String,
}

impl Guest for Counter {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let answer = answer(&request).unwrap_or_else(|error| match error {
            Error::NoSuchStore => text(500, "the store is not there\n"),
            Error::AccessDenied => text(500, "the store may not be used\n"),
            // The store says what was wrong. A path that is too long for a key stays so; anything else may pass, such as a store that is
            // away.
            Error::Other(why) => text(if why.starts_with("UM1100") { 414 } else { 503 }, &format!("{why}\n")),
        });
        send(out, &answer);
    }
}

fn answer(request: &IncomingRequest) -> Result<Answer, Error> {
    let target = request.path_with_query().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let bucket = store::open("visits")?;
    Ok(match (request.method(), path, query) {
        (Method::Get, "/", "all") => json(&all(&bucket)?),
        (Method::Get, path, _) => text(200, &format!("{}\n", atomics::increment(&bucket, path, 1)?)),
        (Method::Delete, path, _) => {
            bucket.delete(path)?;
            text(204, "")
        }
        _ => text(405, "GET or DELETE\n"),
    })
}

/// The number of every path that was ever asked for.
fn all(bucket: &Bucket) -> Result<Vec<(String, u64)>, Error> {
    let mut all = Vec::new();
    let mut cursor = None;
    loop {
        let page = bucket.list_keys(cursor)?;
        for path in page.keys {
            // One that has been forgotten meanwhile has no number.
            let value = bucket.get(&path)?;
            if let Some(count) = value.and_then(|value| String::from_utf8(value).ok()?.parse().ok()) {
                all.push((path, count));
            }
        }
        cursor = page.cursor;
        if cursor.is_none() {
            return Ok(all);
        }
    }
}

fn text(status: u16, text: &str) -> Answer {
    Answer { status, media_type: "text/plain; charset=utf-8", body: text.to_owned() }
}

fn json(counts: &[(String, u64)]) -> Answer {
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let entries: Vec<String> =
        counts.iter().map(|(path, count)| format!("  \"{}\": {count}", quoted(path))).collect();
    let body = match entries.is_empty() {
        true => "{}\n".to_owned(),
        false => format!("{{\n{}\n}}\n", entries.join(",\n")),
    };
    Answer { status: 200, media_type: "application/json", body }
}

fn send(out: ResponseOutparam, answer: &Answer) {
    let headers = Fields::new();
    let _ = headers.append("content-type", answer.media_type.as_bytes());
    let response = OutgoingResponse::new(headers);
    let _ = response.set_status_code(answer.status);
    let body = response.body().expect("the body is taken once");
    ResponseOutparam::set(out, Ok(response));
    let stream = body.write().expect("the stream is taken once");
    let sent =
        answer.body.as_bytes().chunks(4096).all(|piece| stream.blocking_write_and_flush(piece).is_ok());
    drop(stream);
    if sent {
        let _ = OutgoingBody::finish(body, None);
    }
}
