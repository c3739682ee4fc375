//! Says hello to every HTTP request.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

struct Hello;

wasip2::http::proxy::export!(Hello);

impl Guest for Hello {
    fn handle(_request: IncomingRequest, answer: ResponseOutparam) {
        let headers = Fields::new();
        let _ = headers.append("content-type", b"text/plain");
        let response = OutgoingResponse::new(headers);
        let body = response.body().expect("the body is taken once");
        ResponseOutparam::set(answer, Ok(response));

        let stream = body.write().expect("the stream is taken once");
        // A caller that has gone away is no error of ours.
        let _ = stream.blocking_write_and_flush(b"Hello from Umbel!\n");
        drop(stream);
        let _ = OutgoingBody::finish(body, None);
    }
}
