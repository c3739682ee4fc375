//! Says hello to every HTTP request, as a WASI 0.3 component.

mod arena;

use wasip3::exports::http::handler::Guest;
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::{wit_bindgen, wit_future, wit_stream};

#[global_allocator]
static MEMORY: arena::Arena = arena::Arena::new();

struct Hello;

wasip3::http::service::export!(Hello);

impl Guest for Hello {
    async fn handle(_request: Request) -> Result<Response, ErrorCode> {
        let headers = Fields::new();
        let _ = headers.append("content-type", b"text/plain");
        let (mut body, reader) = wit_stream::new();
        let (trailers, trailers_reader) = wit_future::new(|| Ok(None));
        let (response, _sent) = Response::new(headers, Some(reader), trailers_reader);
        // Dropped without a value, it answers what `new` was given: no trailers.
        drop(trailers);
        wit_bindgen::spawn_local(async move {
            // A caller that has gone away is no error of ours.
            let _ = body.write_all(b"Hello from Umbel!\n".to_vec()).await;
        });
        Ok(response)
    }
}
