//! Streams the request body back as the response body, and the trailers after it.
//!
//! Nothing is collected: a piece is taken from the request when the caller of the response has room for it, so an upload of
//! any size uses the same memory, and a slow reader slows the writer down.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    Fields, IncomingBody, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam, Trailers,
};

struct Echo;

wasip2::http::proxy::export!(Echo);

impl Guest for Echo {
    fn handle(request: IncomingRequest, answer: ResponseOutparam) {
        let headers = Fields::new();
        // HTTP/1.1 sends only the trailers that the header `trailer` announces.
        for name in ["content-type", "trailer"] {
            for value in request.headers().get(name) {
                let _ = headers.append(name, &value);
            }
        }
        let response = OutgoingResponse::new(headers);
        let to = response.body().expect("the body is taken once");
        ResponseOutparam::set(answer, Ok(response));

        let from = request.consume().expect("the body is taken once");
        if copy(&from, &to) {
            let _ = OutgoingBody::finish(to, trailers(from));
        }
        // Otherwise the body is dropped unfinished, which tells the caller that it is incomplete.
    }
}

/// Whether all of it was copied.
fn copy(from: &IncomingBody, to: &OutgoingBody) -> bool {
    let input = from.stream().expect("the stream is taken once");
    let output = to.write().expect("the stream is taken once");
    loop {
        match output.blocking_splice(&input, 64 << 10) {
            Ok(_) => {}
            // Either end closes the same way; a write tells whose it was.
            Err(wasip2::io::streams::StreamError::Closed) => return output.blocking_flush().is_ok(),
            Err(_) => return false,
        }
    }
}

fn trailers(body: IncomingBody) -> Option<Trailers> {
    let trailers = IncomingBody::finish(body);
    trailers.subscribe().block();
    match trailers.get() {
        Some(Ok(Ok(Some(fields)))) => Some(fields.clone()),
        _ => None,
    }
}
