//! HTTP without a wire: requests and responses as values with streaming bodies.

pub mod wire;

use bytes::Bytes;
use futures::future::BoxFuture;
use http_body_util::combinators::UnsyncBoxBody;
use std::time::Duration;
use umbel_core::Problem;

pub use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};

/// Why a body ended early.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A streamed body: data frames, then perhaps trailers. Dropping it before its end cancels what produces it.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// A request with its body.
pub type Request = http::Request<Body>;

/// A response with its body.
pub type Response = http::Response<Body>;

/// Something that answers requests: a component's `wasi:http` export.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request. The future runs on the thread that polls it and drops everything it started when it is dropped.
    /// A [`Problem`] means that there is no response: its kind gives the HTTP status.
    fn call(&self, request: Request) -> BoxFuture<'static, Result<Response, Problem>>;
}

/// Limits of one outgoing call; what is `None` is the provider's default.
#[derive(Debug, Clone, Copy, Default)]
pub struct OutgoingOptions {
    /// Until the connection stands.
    pub connect_timeout: Option<Duration>,
    /// Until the response's head is there.
    pub first_byte_timeout: Option<Duration>,
    /// Between two frames of the response's body.
    pub between_bytes_timeout: Option<Duration>,
}

/// Something that carries requests out of the host: the target of a `wasi:http/outgoing-handler` link.
pub trait Outgoing: Send + Sync + 'static {
    /// Sends one request, whose URI is absolute. The caller has already checked that the component may reach that host.
    fn send(
        &self,
        link: &umbel_core::link::LinkKey,
        request: Request,
        options: OutgoingOptions,
    ) -> BoxFuture<'static, Result<Response, Problem>>;
}
