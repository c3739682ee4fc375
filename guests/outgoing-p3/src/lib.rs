//! Sends every request on to `http://next` under the same path, and reports the status, or the error (WASI 0.3).

use wasip3::exports::http::handler::Guest;
use wasip3::http::client;
use wasip3::http::types::{ErrorCode, Fields, Request, Response, Scheme};
use wasip3::{wit_bindgen, wit_future, wit_stream};

struct Component;

wasip3::http::service::export!(Component);

impl Guest for Component {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let said = match call(request.get_path_with_query()).await {
            Ok(status) => format!("status {status}\n"),
            Err(error) => format!("error {error:?}\n"),
        };
        let (mut body, reader) = wit_stream::new();
        let (trailers, trailers_reader) = wit_future::new(|| Ok(None));
        let (response, _sent) = Response::new(Fields::new(), Some(reader), trailers_reader);
        drop(trailers);
        wit_bindgen::spawn_local(async move {
            let _ = body.write_all(said.into_bytes()).await;
        });
        Ok(response)
    }
}

async fn call(path: Option<String>) -> Result<u16, ErrorCode> {
    let (trailers, trailers_reader) = wit_future::new(|| Ok(None));
    let (request, _sent) = Request::new(Fields::new(), None, trailers_reader, None);
    drop(trailers);
    let invalid = |()| ErrorCode::HttpRequestUriInvalid;
    request.set_scheme(Some(&Scheme::Http)).map_err(invalid)?;
    request.set_authority(Some("next")).map_err(invalid)?;
    request.set_path_with_query(path.as_deref()).map_err(invalid)?;
    Ok(client::send(request).await?.get_status_code())
}
