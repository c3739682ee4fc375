//! What handlers take from requests, with failures as problems.

use crate::problem::Problems;
use crate::query::percent_decode;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use bytes::Bytes;
use http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use umbel_core::Problem;
use umbel_core::code::api;

/// The largest body of a request, bytes.
pub(crate) const BODY_BYTES_MAX: usize = 2 << 20;

fn bad_request(message: impl Into<String>, cause: impl std::fmt::Display) -> Problems {
    Problem::new(api::BAD_REQUEST, message).with_cause(cause.to_string()).into()
}

/// The body, whole.
pub(crate) struct Payload(pub(crate) Bytes);

impl<S: Send + Sync> FromRequest<S> for Payload {
    type Rejection = Problems;

    async fn from_request(request: Request, _: &S) -> Result<Payload, Problems> {
        match Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await {
            Ok(body) => Ok(Payload(body.to_bytes())),
            Err(error) if is_too_long(error.as_ref()) => {
                let message = format!("the body has more than {BODY_BYTES_MAX} bytes");
                Err(Problem::new(api::BODY_TOO_LARGE, message).into())
            }
            Err(error) => Err(bad_request("the body cannot be read", error)),
        }
    }
}

fn is_too_long(error: &(dyn std::error::Error + 'static)) -> bool {
    error.is::<LengthLimitError>() || error.source().is_some_and(is_too_long)
}

/// The body as JSON. An empty one is `null`, so that a request without options needs none.
pub(crate) struct Json<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problems;

    async fn from_request(request: Request, state: &S) -> Result<Json<T>, Problems> {
        let Payload(bytes) = Payload::from_request(request, state).await?;
        let text: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
        let value =
            serde_json::from_slice(text).map_err(|error| bad_request("the body is not understood", error))?;
        Ok(Json(value))
    }
}

/// The parameters behind the `?`.
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problems;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Query<T>, Problems> {
        axum::extract::Query::try_from_uri(&parts.uri)
            .map(|axum::extract::Query(value)| Query(value))
            .map_err(|error| bad_request("the parameters are not understood", error.body_text()))
    }
}

/// The one parameter of the path.
pub(crate) struct Name(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Problems;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Name, Problems> {
        let unreadable = || Problems::from(Problem::new(api::BAD_REQUEST, "the path is not understood"));
        let params = RawPathParams::from_request_parts(parts, state).await.map_err(|_| unreadable())?;
        let (_, value) = params.iter().next().ok_or_else(unreadable)?;
        percent_decode(value).map(Name).ok_or_else(unreadable)
    }
}
