//! How a link's requests are answered, beside what the component says: the settings of wasmCloud 1.x's http-server for caching, reading
//! only, timeouts and CORS. A link that says none of them costs nothing.

use super::error::ServerError;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, CACHE_CONTROL,
    HeaderName, HeaderValue, ORIGIN, VARY,
};
use http::{Method, StatusCode};
use http_body_util::{BodyExt, Empty};
use std::sync::Arc;
use std::time::Duration;
use umbel_core::Problem;
use umbel_core::code::{call, guest};
use umbel_core::link::Values;
use umbel_provider::http::{Handler, Request, Response};

/// The keys, in small letters; wasmCloud takes them in any.
pub(super) const KEYS: &[&str] = &[
    "cache_control",
    "readonly_mode",
    "timeout_ms",
    "cors_allowed_origins",
    "cors_allowed_methods",
    "cors_allowed_headers",
    "cors_exposed_headers",
    "cors_max_age_secs",
];

/// What browsers may do without being told, where CORS is configured and says nothing of it.
const METHODS: &str = "GET,POST,PUT,DELETE,HEAD,OPTIONS";
const HEADERS: &str = "accept,accept-language,content-type,content-language";
const MAX_AGE: Duration = Duration::from_secs(300);

/// The settings of one link, checked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Manner {
    /// `cache_control`: a header of every answer.
    cache_control: Option<HeaderValue>,
    /// `readonly_mode`: GET and HEAD, and nothing else.
    is_readonly: bool,
    /// `timeout_ms`: until the head of the answer is there.
    timeout: Option<Duration>,
    cors: Option<Cors>,
}

/// What pages of other origins may do. Lists are headers as they are sent; an empty one of origins is all.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cors {
    origins: Vec<HeaderValue>,
    methods: HeaderValue,
    headers: HeaderValue,
    exposed: HeaderValue,
    max_age: Duration,
}

impl Manner {
    /// Reads a link's settings over those of its provider; nothing if there are none.
    pub(super) fn read(provider: &Values, link: &Values) -> Result<Option<Arc<Manner>>, ServerError> {
        let mut manner = Manner::default();
        for (key, value) in provider.iter().chain(link).filter(|(key, _)| KEYS.contains(&key.as_str())) {
            manner.set(key, value.trim())?;
        }
        Ok((manner != Manner::default()).then(|| Arc::new(manner)))
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), ServerError> {
        let number = || value.parse::<u64>().map_err(|_| wrong(key, "it is not a number"));
        match key {
            "cache_control" => self.cache_control = Some(header(key, value)?),
            "readonly_mode" => {
                self.is_readonly =
                    value.parse().map_err(|_| wrong(key, "it is neither `true` nor `false`"))?;
            }
            "timeout_ms" => self.timeout = Some(Duration::from_millis(number()?.max(1))),
            "cors_allowed_origins" => {
                self.cors().origins =
                    list(key, value)?.iter().map(|o| header(key, o)).collect::<Result<_, _>>()?;
            }
            "cors_allowed_methods" => {
                let methods = list(key, value)?;
                if methods.iter().any(|method| method.parse::<Method>().is_err()) {
                    return Err(wrong(key, "one of them is no method"));
                }
                self.cors().methods = joined(key, &methods)?;
            }
            "cors_allowed_headers" => self.cors().headers = joined(key, &names(key, value)?)?,
            "cors_exposed_headers" => self.cors().exposed = joined(key, &names(key, value)?)?,
            "cors_max_age_secs" => self.cors().max_age = Duration::from_secs(number()?),
            _ => {}
        }
        Ok(())
    }

    fn cors(&mut self) -> &mut Cors {
        self.cors.get_or_insert_with(|| Cors {
            origins: Vec::new(),
            methods: HeaderValue::from_static(METHODS),
            headers: HeaderValue::from_static(HEADERS),
            exposed: HeaderValue::from_static("*"),
            max_age: MAX_AGE,
        })
    }

    /// The component behind the settings.
    pub(super) fn around(self: &Arc<Self>, handler: Arc<dyn Handler>) -> Arc<dyn Handler> {
        Arc::new(Mannered { manner: self.clone(), handler })
    }
}

fn wrong(key: &str, reason: &str) -> ServerError {
    ServerError::LinkConfig { key: key.into(), reason: reason.into() }
}

fn header(key: &str, value: &str) -> Result<HeaderValue, ServerError> {
    HeaderValue::from_str(value).map_err(|_| wrong(key, "it has characters that a header cannot have"))
}

/// A list as wasmCloud has it, `["a", "b"]`, or its items with commas between them.
fn list(key: &str, value: &str) -> Result<Vec<String>, ServerError> {
    if value.starts_with('[') {
        return serde_json::from_str(value)
            .map_err(|_| wrong(key, "it is not a list such as `[\"a\", \"b\"]`"));
    }
    Ok(value.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_string).collect())
}

fn names(key: &str, value: &str) -> Result<Vec<String>, ServerError> {
    let names = list(key, value)?;
    match names.iter().any(|name| name != "*" && name.parse::<HeaderName>().is_err()) {
        true => Err(wrong(key, "one of them is no name of a header")),
        false => Ok(names),
    }
}

/// As a header; an empty list is everything.
fn joined(key: &str, items: &[String]) -> Result<HeaderValue, ServerError> {
    match items {
        [] => Ok(HeaderValue::from_static("*")),
        items => header(key, &items.join(",")),
    }
}

impl Cors {
    fn is_preflight(request: &Request) -> bool {
        request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
    }

    /// What an answer says to the page that asks.
    fn allow(&self, origin: Option<&HeaderValue>, response: &mut Response) {
        let allowed = match (self.origins.is_empty(), origin) {
            (true, _) => Some(HeaderValue::from_static("*")),
            (false, Some(origin)) if self.origins.contains(origin) => Some(origin.clone()),
            _ => None,
        };
        let headers = response.headers_mut();
        headers.append(VARY, HeaderValue::from_static("origin"));
        if let Some(allowed) = allowed {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, self.exposed.clone());
        }
    }

    fn preflight(&self, origin: Option<&HeaderValue>) -> Response {
        let mut response = empty(StatusCode::OK);
        self.allow(origin, &mut response);
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, self.headers.clone());
        headers.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.as_secs().into());
        response
    }
}

fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    response
}

struct Mannered {
    manner: Arc<Manner>,
    handler: Arc<dyn Handler>,
}

impl Handler for Mannered {
    fn call(&self, request: Request) -> BoxFuture<'static, Result<Response, Problem>> {
        let manner = self.manner.clone();
        let origin = request.headers().get(ORIGIN).cloned();
        if let Some(cors) = manner.cors.as_ref().filter(|_| Cors::is_preflight(&request)) {
            let response = cors.preflight(origin.as_ref());
            return futures::future::ready(Ok(response)).boxed();
        }
        if manner.is_readonly && !matches!(*request.method(), Method::GET | Method::HEAD) {
            let message = format!("{} is not served here: the link is `readonly_mode`", request.method());
            return futures::future::ready(Err(Problem::new(call::HTTP_METHOD_REFUSED, message))).boxed();
        }
        let answer = self.handler.call(request);
        async move {
            let answer = match manner.timeout {
                Some(timeout) => tokio::time::timeout(timeout, answer).await.unwrap_or_else(|_| {
                    let message = format!("the component gave no answer within {timeout:?}");
                    Err(Problem::new(guest::CALL_TIMEOUT, message))
                }),
                None => answer.await,
            };
            let mut response = answer?;
            if let Some(value) = &manner.cache_control {
                response.headers_mut().append(CACHE_CONTROL, value.clone());
            }
            if let Some(cors) = &manner.cors {
                cors.allow(origin.as_ref(), &mut response);
            }
            Ok(response)
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests;
