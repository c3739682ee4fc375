//! HTTP as calls of `wrpc:http@0.1.0`: requests and responses as values with a stream and a future each, which is how hosts and providers
//! of wasmCloud 1.x carry them (`facts/wasmcloud.md` §4.6).

use super::{Body, BodyError, Handler, HeaderMap, HeaderName, HeaderValue, Method};
use super::{OutgoingOptions, Request, Response, StatusCode, Uri};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::sync::oneshot;
use umbel_core::Problem;
use umbel_core::code::{guest, wire};
use umbel_core::link::LinkKey;
use umbel_lattice::wrpc::{Catalog, Client, Outgoing as Called, Signature};
use umbel_wit::value::{Input, Later};
use umbel_wit::{Call, Interface, InterfaceName, Serve, Value};

/// Calls of components that answer HTTP.
pub const INCOMING: &str = "wrpc:http/incoming-handler";
/// Requests that leave through a provider.
pub const OUTGOING: &str = "wrpc:http/outgoing-handler";

const WIT: &str = include_str!("wrpc-http.wit");

/// The cases of `error-code` by their places.
const ERRORS: [&str; 39] = [
    "DNS timeout",
    "DNS error",
    "destination not found",
    "destination unavailable",
    "destination address prohibited",
    "destination address unroutable",
    "connection refused",
    "connection terminated",
    "connection timeout",
    "connection read timeout",
    "connection write timeout",
    "connection limit reached",
    "TLS protocol error",
    "TLS certificate error",
    "TLS alert received",
    "request denied",
    "the request's length is required",
    "request body too large",
    "request method invalid",
    "request URI invalid",
    "request URI too long",
    "request headers too large",
    "request header too large",
    "request trailers too large",
    "request trailer too large",
    "response incomplete",
    "response headers too large",
    "response header too large",
    "response body too large",
    "response trailers too large",
    "response trailer too large",
    "response transfer coding",
    "response content coding",
    "response timeout",
    "upgrade failed",
    "protocol error",
    "loop detected",
    "configuration error",
    "internal error",
];
/// The places of those that we say.
const TIMEOUT: u32 = 33;
const DENIED: u32 = 15;
const INTERNAL: u32 = 38;

/// The cases of `method` by their places; the one after them is any other.
const METHODS: [Method; 9] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::DELETE,
    Method::CONNECT,
    Method::OPTIONS,
    Method::TRACE,
    Method::PATCH,
];

/// The types of both interfaces.
pub fn interfaces() -> &'static [(InterfaceName, Arc<Interface>)] {
    CATALOG.interfaces()
}

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| {
    let all = umbel_wit::package::interfaces(&[WIT]).expect("our own text is WIT");
    Catalog::new(all.into_iter().map(|(name, interface)| (name, Arc::new(interface))))
});

fn signature(interface: &str) -> Arc<Signature> {
    let version = semver::Version::new(0, 1, 0);
    CATALOG.outgoing(interface, Some(&version), "handle").expect("our own text has both functions")
}

static HANDLE: LazyLock<Arc<Signature>> = LazyLock::new(|| signature(INCOMING));
static SEND: LazyLock<Arc<Signature>> = LazyLock::new(|| signature(OUTGOING));

/// Has a component somewhere on the lattice answer a request.
///
/// Errors: what the component's host says, `UM0602` if nobody serves it, `UM0552` after the patience.
pub async fn handle(client: &Client, called: &Called, request: Request) -> Result<Response, Problem> {
    let args = vec![from_request(request)];
    answered(called, client.call(called, &HANDLE, args).await?)
}

/// Sends a request by a provider somewhere on the lattice.
///
/// Errors: as [`handle`].
pub async fn send(
    client: &Client,
    called: &Called,
    request: Request,
    options: OutgoingOptions,
) -> Result<Response, Problem> {
    let ns = |time: Option<Duration>| {
        Value::Option(
            time.map(|time| Box::new(Value::U64(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)))),
        )
    };
    let options = Value::Record(vec![
        ns(options.connect_timeout),
        ns(options.first_byte_timeout),
        ns(options.between_bytes_timeout),
    ]);
    let args = vec![from_request(request), Value::some(options)];
    answered(called, client.call(called, &SEND, args).await?)
}

fn answered(called: &Called, value: Option<Value>) -> Result<Response, Problem> {
    match value {
        Some(Value::Result(Ok(Some(response)))) => to_response(*response),
        Some(Value::Result(Err(Some(error)))) => Err(to_problem(&called.target, *error)),
        _ => Err(broken("no response")),
    }
}

/// Serves calls of [`INCOMING`] by a component.
pub struct Answers(pub Arc<dyn Handler>);

impl Serve for Answers {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Option<Value>, Problem>> {
        let request = call.args.into_iter().next().ok_or_else(|| broken("no request")).and_then(to_request);
        match request {
            Ok(request) => {
                let answer = self.0.call(request);
                async move { Ok(Some(Value::ok(from_response(answer.await?)))) }.boxed()
            }
            Err(problem) => futures::future::ready(Err(problem)).boxed(),
        }
    }
}

/// Serves calls of [`OUTGOING`] by a provider.
pub struct Sends(pub Arc<dyn super::Outgoing>);

impl Serve for Sends {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Option<Value>, Problem>> {
        let mut args = call.args.into_iter();
        let request = args.next().ok_or_else(|| broken("no request")).and_then(to_request);
        let options = options_of(args.next());
        let key = LinkKey {
            source_id: call.link.source_id.clone(),
            name: call.link.name.clone(),
            wit_namespace: "wasi".into(),
            wit_package: "http".into(),
        };
        match request {
            Ok(request) => {
                let answer = self.0.send(&key, request, options);
                async move {
                    Ok(Some(match answer.await {
                        Ok(response) => Value::ok(from_response(response)),
                        Err(problem) => Value::err(from_problem(&problem)),
                    }))
                }
                .boxed()
            }
            Err(problem) => futures::future::ready(Err(problem)).boxed(),
        }
    }
}

fn options_of(value: Option<Value>) -> OutgoingOptions {
    let Some(Value::Option(Some(options))) = value else { return OutgoingOptions::default() };
    let Value::Record(fields) = *options else { return OutgoingOptions::default() };
    let mut times = fields.into_iter().map(|field| match field {
        Value::Option(Some(ns)) => match *ns {
            Value::U64(ns) => Some(Duration::from_nanos(ns)),
            _ => None,
        },
        _ => None,
    });
    OutgoingOptions {
        connect_timeout: times.next().flatten(),
        first_byte_timeout: times.next().flatten(),
        between_bytes_timeout: times.next().flatten(),
    }
}

fn from_request(request: Request) -> Value {
    let (parts, body) = request.into_parts();
    let (body, trailers) = apart(body);
    let method = METHODS.iter().position(|method| *method == parts.method);
    let method = match method.and_then(|place| u32::try_from(place).ok()) {
        Some(place) => Value::Variant(place, None),
        None => Value::case(9, parts.method.as_str().into()),
    };
    let scheme = match parts.uri.scheme_str() {
        Some("https") => Value::Variant(1, None),
        Some("http") | None => Value::Variant(0, None),
        Some(other) => Value::case(2, other.into()),
    };
    let host = || parts.headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
    let authority = parts.uri.authority().map(http::uri::Authority::as_str).or_else(host);
    let path = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    Value::Record(vec![
        body,
        trailers,
        method,
        Value::some(path.into()),
        Value::some(scheme),
        Value::Option(authority.map(|authority| Box::new(authority.into()))),
        from_fields(&parts.headers),
    ])
}

fn to_request(value: Value) -> Result<Request, Problem> {
    let Value::Record(fields) = value else { return Err(broken("a request that is no record")) };
    let Ok([body, trailers, method, path, scheme, authority, headers]) = <[Value; 7]>::try_from(fields)
    else {
        return Err(broken("a request with other fields"));
    };
    let method = match method {
        Value::Variant(place, None) => METHODS.get(place as usize).cloned(),
        Value::Variant(_, Some(name)) => text(*name).and_then(|name| name.parse().ok()),
        _ => None,
    };
    let method = method.ok_or_else(|| broken("a method that is none"))?;
    let scheme = match inner(scheme) {
        Some(Value::Variant(1, _)) => "https".to_string(),
        Some(Value::Variant(2, Some(name))) => text(*name).unwrap_or_default(),
        _ => "http".into(),
    };
    let path = inner(path).and_then(text).filter(|path| !path.is_empty()).unwrap_or_else(|| "/".into());
    let uri = match inner(authority).and_then(text).filter(|authority| !authority.is_empty()) {
        Some(authority) => Uri::builder().scheme(scheme.as_str()).authority(authority).path_and_query(path),
        None => Uri::builder().path_and_query(path),
    };
    let uri = uri.build().map_err(|error| broken(&format!("an address that is none: {error}")))?;
    let mut request = Request::new(together(body, trailers)?);
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.headers_mut() = to_fields(headers)?;
    Ok(request)
}

fn from_response(response: Response) -> Value {
    let (parts, body) = response.into_parts();
    let (body, trailers) = apart(body);
    Value::Record(vec![body, trailers, Value::U16(parts.status.as_u16()), from_fields(&parts.headers)])
}

fn to_response(value: Value) -> Result<Response, Problem> {
    let Value::Record(fields) = value else { return Err(broken("a response that is no record")) };
    let Ok([body, trailers, Value::U16(status), headers]) = <[Value; 4]>::try_from(fields) else {
        return Err(broken("a response with other fields"));
    };
    let status = StatusCode::from_u16(status).map_err(|_| broken("a status that is none"))?;
    let mut response = Response::new(together(body, trailers)?);
    *response.status_mut() = status;
    *response.headers_mut() = to_fields(headers)?;
    Ok(response)
}

/// Data and trailers of a body: those come when that has ended.
fn apart(body: Body) -> (Value, Value) {
    let (told, trailers) = oneshot::channel::<HeaderMap>();
    let data = futures::stream::unfold((body, Some(told)), |(mut body, mut told)| async move {
        loop {
            match body.frame().await? {
                Ok(frame) => match frame.into_data() {
                    Ok(data) => return Some((Ok(data), (body, told))),
                    Err(frame) => {
                        if let (Ok(trailers), Some(told)) = (frame.into_trailers(), told.take()) {
                            // Whoever reads the data need not read the trailers.
                            let _ = told.send(trailers);
                        }
                    }
                },
                Err(error) => {
                    let problem = Problem::new(wire::STREAM_BROKEN, "the body ended early");
                    return Some((Err(problem.with_cause(error.to_string())), (body, told)));
                }
            }
        }
    });
    let trailers = Later::new(async move {
        Ok(match trailers.await {
            Ok(trailers) => Value::some(from_fields(&trailers)),
            Err(_) => Value::none(),
        })
    });
    (Value::Stream(Input::new(data.boxed())), Value::Later(trailers))
}

/// A body of data and trailers.
fn together(body: Value, trailers: Value) -> Result<Body, Problem> {
    let (Value::Stream(body), Value::Later(trailers)) = (body, trailers) else {
        return Err(broken("a body that is no stream"));
    };
    let data = body.into_stream().map(|bytes| bytes.map(Frame::data));
    // An end of the trailers without a value is that of peers which send none.
    let last = futures::stream::once(trailers.into_future()).filter_map(|trailers| async {
        let fields = to_fields(inner(trailers.ok()?)?).ok().filter(|fields| !fields.is_empty())?;
        Some(Ok(Frame::trailers(fields)))
    });
    let frames = data.chain(last).map(|frame| frame.map_err(|problem| BodyError::from(problem.to_string())));
    Ok(StreamBody::new(frames).boxed_unsync())
}

/// Names with all of their values, in the order of their first ones.
fn from_fields(fields: &HeaderMap) -> Value {
    let one = |name: &HeaderName| {
        let values =
            fields.get_all(name).iter().map(|value| Value::bytes(Bytes::copy_from_slice(value.as_bytes())));
        Value::Tuple(vec![name.as_str().into(), Value::List(values.collect())])
    };
    Value::List(fields.keys().map(one).collect())
}

fn to_fields(value: Value) -> Result<HeaderMap, Problem> {
    let Value::List(all) = value else { return Err(broken("headers that are no list")) };
    let mut fields = HeaderMap::with_capacity(all.len());
    for field in all {
        let Value::Tuple(pair) = field else { return Err(broken("a header that is no pair")) };
        let Ok([Value::String(name), Value::List(values)]) = <[Value; 2]>::try_from(pair) else {
            return Err(broken("a header that is not a name with values"));
        };
        let name: HeaderName = name.parse().map_err(|_| broken("a header's name that is none"))?;
        for value in values {
            let Value::Bytes(value) = value else { return Err(broken("a header's value that is no bytes")) };
            let value = HeaderValue::from_maybe_shared(value);
            fields.append(&name, value.map_err(|_| broken("a header's value that is none"))?);
        }
    }
    Ok(fields)
}

fn from_problem(problem: &Problem) -> Value {
    if problem.code == guest::CALL_TIMEOUT {
        return Value::Variant(TIMEOUT, None);
    }
    if problem.code == guest::HOST_DENIED {
        return Value::Variant(DENIED, None);
    }
    Value::case(INTERNAL, Value::some(problem.to_string().into()))
}

fn to_problem(target: &str, error: Value) -> Problem {
    let Value::Variant(place, payload) = error else { return broken("an error that is none") };
    let code = if place == TIMEOUT { guest::CALL_TIMEOUT } else { guest::SERVER_FAILED };
    let said = match payload.map(|payload| *payload) {
        Some(Value::Option(Some(why))) => text(*why),
        _ => None,
    };
    let name = ERRORS.get(place as usize).copied().unwrap_or("an unknown error");
    let problem = Problem::new(code, format!("`{target}` could not answer: {name}"));
    match said {
        Some(said) => problem.with_cause(said),
        None => problem,
    }
}

fn inner(value: Value) -> Option<Value> {
    match value {
        Value::Option(value) => value.map(|value| *value),
        _ => None,
    }
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

fn broken(what: &str) -> Problem {
    Problem::new(wire::WIRE_BROKEN, format!("HTTP over the lattice: {what}"))
}

#[cfg(test)]
mod tests;
