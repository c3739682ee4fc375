//! Calls `?url=http://HOST[:PORT]/PATH` and reports the status, or the error.

use wasip2::http::outgoing_handler;
use wasip2::http::types::{ErrorCode, Fields, OutgoingRequest, Scheme};

fn answer(request: &guest::IncomingRequest) -> String {
    let url = guest::query(request, "url").unwrap_or_default();
    match call(&url) {
        Ok(status) => format!("status {status}\n"),
        Err(error) => format!("error {error:?}\n"),
    }
}

fn call(url: &str) -> Result<u16, ErrorCode> {
    let rest = url.strip_prefix("http://").ok_or(ErrorCode::HttpRequestUriInvalid)?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let invalid = |()| ErrorCode::HttpRequestUriInvalid;
    let request = OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&Scheme::Http)).map_err(invalid)?;
    request.set_authority(Some(authority)).map_err(invalid)?;
    request.set_path_with_query(Some(if path.is_empty() { "/" } else { path })).map_err(invalid)?;
    let pending = outgoing_handler::handle(request, None)?;
    pending.subscribe().block();
    Ok(pending.get().expect("it is ready").expect("it is taken once")?.status())
}

guest::serve!(answer);
