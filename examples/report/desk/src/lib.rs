//! Takes sales and shows reports: `POST /sales` with the name of what was sold, `GET /` for the reports there are, `GET /NAME` for one.

mod answer;

use answer::Answer;
use wasi::blobstore::blobstore::create_container;
use wasi::blobstore::types::IncomingValue;
use wasi::keyvalue::atomics::increment;
use wasi::keyvalue::store::{self, Error};
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, Method, ResponseOutparam};
use wasip2::io::streams::StreamError;

wit_bindgen::generate!({
    path: "../wit",
    world: "desk",
    with: { "wasi:io/streams@0.2.0": wasip2::io::streams },
    generate_all,
});

const ITEM_BYTES_MAX: usize = 100;

/// Names that are asked for at once.
const NAMES: u64 = 100;

struct Desk;

wasip2::http::proxy::export!(Desk);

impl Guest for Desk {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        let path = target.split('?').next().unwrap_or_default();
        let answer = match (request.method(), path) {
            (Method::Post, "/sales") => sell(&request),
            (Method::Get, "/") => list(),
            (Method::Get, path) => show(path.trim_start_matches('/')),
            _ => Ok(Answer::text(405, "GET, or POST /sales\n")),
        };
        answer.unwrap_or_else(|why| Answer::text(503, &format!("{why}\n"))).send(out);
    }
}

fn sell(request: &IncomingRequest) -> Result<Answer, String> {
    let item = read(request).and_then(|body| String::from_utf8(body).ok()).unwrap_or_default();
    let item = item.trim();
    if item.is_empty() || item.contains(char::is_control) {
        return Ok(Answer::text(400, "say what was sold: a line of up to 100 bytes\n"));
    }
    let count = store::open("sold").and_then(|sold| increment(&sold, item, 1)).map_err(words)?;
    Ok(Answer::text(200, &format!("{count}\n")))
}

/// A name on each line, the oldest first.
fn list() -> Result<Answer, String> {
    let stream = create_container("reports")?.list_objects()?;
    let mut names = Vec::new();
    loop {
        let (more, is_end) = stream.read_stream_object_names(NAMES)?;
        names.extend(more);
        if is_end {
            break;
        }
    }
    names.sort();
    Ok(Answer::text(200, &names.iter().map(|name| format!("{name}\n")).collect::<String>()))
}

fn show(name: &str) -> Result<Answer, String> {
    let reports = create_container("reports")?;
    if !reports.has_object(name)? {
        return Ok(Answer::text(404, "there is no such report\n"));
    }
    let end = reports.object_info(name)?.size.saturating_sub(1);
    let report = IncomingValue::incoming_value_consume_sync(reports.get_data(name, 0, end)?)?;
    Ok(Answer::text(200, &String::from_utf8_lossy(&report)))
}

fn words(error: Error) -> String {
    match error {
        Error::NoSuchStore => "the store is not there".to_owned(),
        Error::AccessDenied => "the store may not be used".to_owned(),
        Error::Other(why) => why,
    }
}

/// The body, if all of it came and it is not too long.
fn read(request: &IncomingRequest) -> Option<Vec<u8>> {
    let body = request.consume().ok()?;
    let stream = body.stream().ok()?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(4096) {
            Ok(piece) => bytes.extend(piece),
            Err(StreamError::Closed) => return Some(bytes),
            Err(StreamError::LastOperationFailed(_)) => return None,
        }
        if bytes.len() > ITEM_BYTES_MAX {
            return None;
        }
    }
}
