//! Calls out: answers with what the URL in the query (`?url=…`) or in the config value `url` answers, streamed.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingRequest, IncomingResponse, OutgoingBody, OutgoingRequest, OutgoingResponse,
    ResponseOutparam, Scheme,
};
use wasip2::io::streams::StreamError;

wit_bindgen::generate!({
    inline: "
        package umbel:proxy;
        world needs { import wasi:config/store@0.2.0-rc.1; }
        package wasi:config@0.2.0-rc.1 {
            interface store {
                variant error { upstream(string), io(string) }
                get: func(key: string) -> result<option<string>, error>;
                get-all: func() -> result<list<tuple<string, string>>, error>;
            }
        }
    ",
    world: "umbel:proxy/needs",
    generate_all,
});

struct Proxy;

wasip2::http::proxy::export!(Proxy);

impl Guest for Proxy {
    fn handle(request: IncomingRequest, answer: ResponseOutparam) {
        let Some(url) = url_of(&request) else {
            return text(answer, 400, "say which URL: ?url=http://… or the config value `url`\n");
        };
        match call(&url) {
            Ok(response) => pass_on(response, answer),
            Err(error) => text(answer, 502, &format!("{url}: {error:?}\n")),
        }
    }
}

fn url_of(request: &IncomingRequest) -> Option<String> {
    let path = request.path_with_query().unwrap_or_default();
    if let Some((_, query)) = path.split_once('?') {
        if let Some(url) = query.split('&').find_map(|pair| pair.strip_prefix("url=")) {
            return Some(url.replace("%3A", ":").replace("%2F", "/").replace("%3a", ":").replace("%2f", "/"));
        }
    }
    wasi::config::store::get("url").ok().flatten()
}

fn call(url: &str) -> Result<IncomingResponse, ErrorCode> {
    let (scheme, rest) = match url.split_once("://") {
        Some(("http", rest)) => (Scheme::Http, rest),
        Some(("https", rest)) => (Scheme::Https, rest),
        _ => return Err(ErrorCode::HttpRequestUriInvalid),
    };
    let (authority, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, "/"),
    };
    let invalid = |()| ErrorCode::HttpRequestUriInvalid;
    let request = OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&scheme)).map_err(invalid)?;
    request.set_authority(Some(authority)).map_err(invalid)?;
    request.set_path_with_query(Some(path)).map_err(invalid)?;
    let pending = outgoing_handler::handle(request, None)?;
    pending.subscribe().block();
    pending.get().expect("it is ready").expect("it is taken once")
}

fn pass_on(response: IncomingResponse, answer: ResponseOutparam) {
    let headers = Fields::new();
    for value in response.headers().get("content-type") {
        let _ = headers.append("content-type", &value);
    }
    let ours = OutgoingResponse::new(headers);
    let _ = ours.set_status_code(response.status());
    let to = ours.body().expect("the body is taken once");
    ResponseOutparam::set(answer, Ok(ours));

    let from = response.consume().expect("the body is taken once");
    let input = from.stream().expect("the stream is taken once");
    let output = to.write().expect("the stream is taken once");
    let end = loop {
        match output.blocking_splice(&input, 64 << 10) {
            Ok(_) => {}
            Err(end) => break end,
        }
    };
    // An answer that broke off must not look complete, so its body is dropped unfinished.
    if matches!(end, StreamError::Closed) && output.blocking_flush().is_ok() {
        drop(output);
        let _ = OutgoingBody::finish(to, None);
    }
}

fn text(answer: ResponseOutparam, status: u16, message: &str) {
    let headers = Fields::new();
    let _ = headers.append("content-type", b"text/plain");
    let response = OutgoingResponse::new(headers);
    let _ = response.set_status_code(status);
    let body = response.body().expect("the body is taken once");
    ResponseOutparam::set(answer, Ok(response));
    let stream = body.write().expect("the stream is taken once");
    let _ = stream.blocking_write_and_flush(message.as_bytes());
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
}
