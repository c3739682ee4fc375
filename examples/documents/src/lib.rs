//! Documents over HTTP: `PUT`, `GET`, `HEAD` and `DELETE /NAME`, `POST /NAME?copy-to=` and `?move-to=`, `GET /` for what is there.
//!
//! Nothing is collected: a piece is taken from where it comes when where it goes has room for it.

mod answer;
mod documents;
mod range;

use answer::{status_of, text, Answer, Reply};
use documents::{Document, Documents};
use wasi::blobstore::types::Error;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingBody, IncomingRequest, Method, ResponseOutparam};
use wasip2::io::streams::{InputStream, OutputStream, StreamError};

wit_bindgen::generate!({
    path: "wit",
    world: "needs",
    with: { "wasi:io/streams@0.2.0": wasip2::io::streams },
    generate_all,
});

const PIECE_BYTES: u64 = 64 << 10;

struct Service;

wasip2::http::proxy::export!(Service);

impl Guest for Service {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let mut reply = Reply::new(out);
        if let Err(error) = answer(&request, &mut reply) {
            text(&mut reply, status_of(&error), &format!("{error}\n"));
        }
    }
}

/// Answers, or says what went wrong before there was an answer.
fn answer(request: &IncomingRequest, reply: &mut Reply) -> Result<(), Error> {
    let target = request.path_with_query().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let name = unescape(path.strip_prefix('/').unwrap_or(path)).ok_or("a name is UTF-8")?;
    let documents = Documents::open()?;
    match (request.method(), name.as_str()) {
        (Method::Get, "") => list(&documents, reply)?,
        (_, "") => text(reply, 405, "a document needs a name\n"),
        (Method::Get, name) => get(&documents, name, request, true, reply)?,
        (Method::Head, name) => get(&documents, name, request, false, reply)?,
        (Method::Put, name) => put(&documents, name, request, reply)?,
        (Method::Delete, name) => delete(&documents, name, reply)?,
        (Method::Post, name) => rename(&documents, name, query, reply)?,
        _ => text(reply, 405, "GET, HEAD, PUT, POST or DELETE\n"),
    }
    Ok(())
}

fn put(documents: &Documents, name: &str, request: &IncomingRequest, reply: &mut Reply) -> Result<(), Error> {
    let is_new = !documents.has(name)?;
    let body = request.consume().expect("the body is taken once");
    let upload = documents.upload(name)?;
    // What comes must be as long as it was said to be. An upload that breaks off is dropped, and nothing of it is kept.
    let announced = header(request, "content-length").and_then(|length| length.parse::<u64>().ok());
    match receive(&body, upload.stream()) {
        Ok(count) if announced.is_none_or(|announced| announced == count) => upload.finish()?,
        Ok(_) | Err(Broken::Upload) => return Err("the upload broke off".into()),
        // It says why where the upload is finished.
        Err(Broken::Store) => {
            return Err(upload.finish().err().unwrap_or_else(|| "the store takes no more".into()))
        }
    }
    text(reply, if is_new { 201 } else { 204 }, "");
    Ok(())
}

enum Broken {
    Upload,
    Store,
}

/// Copies all of a body; how many bytes it had.
fn receive(body: &IncomingBody, to: &OutputStream) -> Result<u64, Broken> {
    let from = body.stream().expect("the stream is taken once");
    let mut count = 0;
    loop {
        match to.blocking_splice(&from, PIECE_BYTES) {
            Ok(copied) => count += copied,
            // Either end closes the same way; a flush tells whose it was.
            Err(StreamError::Closed) => {
                return to.blocking_flush().map(|()| count).map_err(|_| Broken::Store)
            }
            Err(StreamError::LastOperationFailed(_)) => return Err(Broken::Upload),
        }
    }
}

fn get(
    documents: &Documents,
    name: &str,
    request: &IncomingRequest,
    with_body: bool,
    reply: &mut Reply,
) -> Result<(), Error> {
    let size = documents.size(name)?;
    let wanted = header(request, "range").and_then(|header| range::read(&header, size));
    let (start, end) = match wanted {
        None => (0, size.saturating_sub(1)),
        Some(Ok(range)) => range,
        Some(Err(())) => {
            let answer = Answer::new(416).header("content-range", &format!("bytes */{size}"));
            answer.send(reply, 0);
            return Ok(());
        }
    };
    let Document { length, stream } = documents.open_range(name, start, end)?;
    let mut answer = Answer::new(if wanted.is_some() { 206 } else { 200 })
        .header("content-type", answer::type_of(name))
        .header("accept-ranges", "bytes");
    if wanted.is_some() {
        answer = answer.header("content-range", &format!("bytes {start}-{end}/{size}"));
    }
    let to = answer.send(reply, length);
    if with_body && send(&stream, to.stream()) {
        to.finish();
    }
    // Otherwise the body is dropped unfinished, which tells the caller that it is incomplete.
    Ok(())
}

/// Whether all of it was copied.
fn send(from: &InputStream, to: &OutputStream) -> bool {
    loop {
        match to.blocking_splice(from, PIECE_BYTES) {
            Ok(_) => {}
            Err(StreamError::Closed) => return to.blocking_flush().is_ok(),
            Err(StreamError::LastOperationFailed(_)) => return false,
        }
    }
}

fn delete(documents: &Documents, name: &str, reply: &mut Reply) -> Result<(), Error> {
    // That there was nothing to delete is no error of the store, but the caller may want to know.
    documents.size(name)?;
    documents.delete(name)?;
    text(reply, 204, "");
    Ok(())
}

fn rename(documents: &Documents, name: &str, query: &str, reply: &mut Reply) -> Result<(), Error> {
    let value =
        |key: &str| query.split('&').find_map(|pair| unescape(pair.strip_prefix(key)?.strip_prefix('=')?));
    match (value("copy-to"), value("move-to")) {
        (Some(to), None) if !to.is_empty() => documents.copy(name, &to)?,
        (None, Some(to)) if !to.is_empty() => documents.rename(name, &to)?,
        _ => {
            text(reply, 400, "say where to: ?copy-to=NAME or ?move-to=NAME\n");
            return Ok(());
        }
    }
    text(reply, 204, "");
    Ok(())
}

/// A JSON list, a document on each line, as they are found.
fn list(documents: &Documents, reply: &mut Reply) -> Result<(), Error> {
    let mut names = documents.names()?;
    let to = Answer::new(200).header("content-type", "application/json").send_unknown(reply);
    let mut separator = "[\n";
    for name in names.by_ref() {
        // One that has been deleted meanwhile is not there.
        let Ok(size) = documents.size(&name) else { continue };
        let line = format!("{separator}{{\"name\":{},\"size\":{size}}}", answer::json(&name));
        separator = ",\n";
        if !to.write(line.as_bytes()) {
            return Ok(());
        }
    }
    let end = if separator == "[\n" { "[]\n" } else { "\n]\n" };
    if names.is_complete() && to.write(end.as_bytes()) {
        to.finish();
    }
    Ok(())
}

fn header(request: &IncomingRequest, name: &str) -> Option<String> {
    let value = request.headers().get(name).into_iter().next()?;
    String::from_utf8(value).ok()
}

/// Undoes the escapes of URLs.
fn unescape(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = text.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (bytes[at], hex) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8(out).ok()
}
