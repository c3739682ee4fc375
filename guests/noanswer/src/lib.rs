//! Returns without an answer.

struct Component;

impl guest::Guest for Component {
    fn handle(_: guest::IncomingRequest, _: guest::ResponseOutparam) {}
}

guest::wasip2::http::proxy::export!(Component with_types_in guest::wasip2);
