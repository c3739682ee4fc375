//! Traps on every request, as a WASI 0.3 component.

use wasip3::exports::http::handler::Guest;
use wasip3::http::types::{ErrorCode, Request, Response};

struct Component;

wasip3::http::service::export!(Component);

impl Guest for Component {
    async fn handle(_: Request) -> Result<Response, ErrorCode> {
        core::arch::wasm32::unreachable()
    }
}
