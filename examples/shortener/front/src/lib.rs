//! The link shortener over HTTP: `POST /` with a URL, `GET /CODE` to follow it, `GET /CODE/stats`, and `GET /` for all links.
//!
//! It knows of requests and answers only. What a code is and how visits are counted is up to whoever serves the two contracts.

mod answer;

use answer::{json, Answer};
use examples::shortener::links::{self, Link, Listing, Problem};
use examples::visits::stats;
use wasip2::cli::stderr::get_stderr;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, Method, ResponseOutparam};
use wasip2::io::streams::StreamError;

wit_bindgen::generate!({ path: "../wit", world: "front", generate_all });

/// More than any URL that is taken.
const BODY_BYTES_MAX: usize = 8 << 10;

struct Front;

wasip2::http::proxy::export!(Front);

impl Guest for Front {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let answer = answer(&request).unwrap_or_else(|problem| match problem {
            Problem::BadUrl(why) => Answer::text(400, &format!("{why}\n")),
            Problem::TooLong(max) => Answer::text(400, &format!("a URL may have {max} bytes\n")),
            Problem::UnknownCode => Answer::text(404, "there is no such link\n"),
            Problem::Store(why) => Answer::text(503, &format!("{why}\n")),
        });
        answer.send(out);
    }
}

fn answer(request: &IncomingRequest) -> Result<Answer, Problem> {
    let target = request.path_with_query().unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match (request.method(), parts.as_slice()) {
        (Method::Get, [""]) => list(),
        (Method::Post, [""]) => shorten(request),
        (Method::Get, [code]) => follow(code),
        (Method::Get, [code, "stats"]) => visits(code),
        (Method::Get | Method::Post, _) => Err(Problem::UnknownCode),
        _ => Ok(Answer::text(405, "GET or POST\n")),
    }
}

fn shorten(request: &IncomingRequest) -> Result<Answer, Problem> {
    let bad = |why: &str| Problem::BadUrl(why.to_owned());
    let body = read(request).ok_or_else(|| bad("the request is too long, or broke off"))?;
    let url = String::from_utf8(body).map_err(|_| bad("a URL is ASCII"))?;
    let link = links::shorten(&url)?;
    let here = request.authority().unwrap_or_default();
    let short = format!("http://{here}/{}", link.code);
    Ok(Answer::text(201, &format!("{short}\n")).header("location", &short))
}

fn follow(code: &str) -> Result<Answer, Problem> {
    let link = links::resolve(code)?;
    // Who follows a link wants to get there, counted or not.
    if let Err(why) = stats::count(code) {
        log(&format!("a visit of {code} was not counted: {why}\n"));
    }
    // Browsers must ask again, or further visits would not be seen.
    Ok(Answer::text(302, &format!("{}\n", link.url))
        .header("location", &link.url)
        .header("cache-control", "no-store"))
}

fn visits(code: &str) -> Result<Answer, Problem> {
    let link = links::resolve(code)?;
    let days = stats::days(code).map_err(Problem::Store)?;
    let all: u64 = days.iter().map(|day| day.visits).sum();
    let days: Vec<String> = days.iter().map(|day| format!("{}:{}", json(&day.date), day.visits)).collect();
    let head = entry(&link);
    Ok(Answer::json(format!("{{{head},\"visits\":{all},\"days\":{{{}}}}}\n", days.join(","))))
}

/// All links, the oldest first.
fn list() -> Result<Answer, Problem> {
    let listing = Listing::new();
    let mut entries = Vec::new();
    loop {
        let page = listing.next()?;
        if page.is_empty() {
            break;
        }
        entries.extend(page.iter().map(|link| format!("{{{}}}", entry(link))));
    }
    Ok(Answer::json(format!("[{}]\n", entries.join(",\n "))))
}

fn entry(link: &Link) -> String {
    format!("\"code\":{},\"url\":{},\"made_at\":{}", json(&link.code), json(&link.url), link.made_at)
}

/// A line for the operator. It is written by hand because `eprintln!` needs a target whose standard library knows WASI.
fn log(line: &str) {
    let _ = get_stderr().blocking_write_and_flush(line.as_bytes());
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
        if bytes.len() > BODY_BYTES_MAX {
            return None;
        }
    }
}
