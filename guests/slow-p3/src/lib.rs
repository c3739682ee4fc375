//! Sleeps `?ms=N` before it answers, as a WASI 0.3 component: an instance serves others in the meantime.

use wasip3::exports::http::handler::Guest;
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::{wit_bindgen, wit_future, wit_stream};

struct Component;

wasip3::http::service::export!(Component);

impl Guest for Component {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let path = request.get_path_with_query().unwrap_or_default();
        let ms = path.split_once("ms=").and_then(|(_, ms)| ms.parse().ok()).unwrap_or(100u64);
        wasip3::clocks::monotonic_clock::wait_for(ms * 1_000_000).await;
        let (mut body, reader) = wit_stream::new();
        let (trailers, trailers_reader) = wit_future::new(|| Ok(None));
        let (response, _sent) = Response::new(Fields::new(), Some(reader), trailers_reader);
        drop(trailers);
        wit_bindgen::spawn_local(async move {
            let _ = body.write_all(format!("slept {ms} ms\n").into_bytes()).await;
        });
        Ok(response)
    }
}
