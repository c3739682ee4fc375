//! One request: find its route, hand it to the component, pass the answer on. All on the thread that accepted the connection,
//! without locks; what it allocates is the future and the body that the contract asks for.

use super::answer::{self, Format, Reader};
use super::authority::HostName;
use super::body::{self, ResponseBody, Verdict};
use super::connection::{Connection, Pace, Streams};
use super::link::Claim;
use super::router::{Group, Table};
use super::stats::{Shard, add};
use futures::future::BoxFuture;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use http::{Method, Request, Response, Version};
use hyper::body::Incoming;
use std::cell::RefCell;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Instant;
use umbel_core::Problem;
use umbel_core::code::call;
use umbel_provider::Targets;
use umbel_provider::http as provider_http;

/// Where a link leads, with its counters, one shard per core.
pub(crate) struct Route {
    pub(crate) claim: Claim,
    pub(crate) targets: Arc<dyn Targets>,
    pub(crate) shards: Box<[Arc<Shard>]>,
}

/// A request that is not finished. Dropping it is what finishes it.
pub(crate) struct InFlight {
    connection: Arc<Connection>,
    shard: Arc<Shard>,
    begun: Instant,
    status: u16,
    /// Of its HTTP/2 stream. The socket tells whether the client of an HTTP/1.1 connection takes its answer.
    pace: Option<Pace>,
}

impl InFlight {
    fn begin(connection: Arc<Connection>, shard: Arc<Shard>, pace: Option<Pace>) -> InFlight {
        shard.begin();
        connection.request_begins();
        InFlight { connection, shard, begun: Instant::now(), status: 0, pace }
    }

    /// Whether the server takes nothing new and waits for what is under way.
    pub(crate) fn is_draining(&self) -> bool {
        self.connection.server.is_draining()
    }

    /// Notes whether the client was offered something, or has taken everything and waits for more.
    pub(crate) fn note(&self, is_offered: bool) {
        match &self.pace {
            Some(pace) if is_offered => pace.offered(self.connection.core().now()),
            Some(pace) => pace.taken(),
            None => {}
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.shard.end(self.status, self.begun.elapsed());
        self.connection.request_ends();
    }
}

/// The service of one connection.
pub(crate) struct Service {
    connection: Arc<Connection>,
    /// Of an HTTP/2 connection.
    streams: Option<Streams>,
    /// What the last request asked for: the next one on the same connection nearly always names the same host.
    seen: RefCell<Seen>,
}

/// A Host header and what it led to in one version of the table.
#[derive(Default)]
struct Seen {
    host: Vec<u8>,
    table: u64,
    group: Option<Group>,
}

impl Service {
    pub(crate) fn new(connection: Arc<Connection>, streams: Option<Streams>) -> Service {
        Service { connection, streams, seen: RefCell::default() }
    }
}

impl hyper::service::Service<Request<Incoming>> for Service {
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        let connection = &self.connection;
        let closing = connection.server.is_draining() && request.version() < Version::HTTP_2;
        let format = Format::wanted(request.headers());
        let reader = Reader { format, is_near: connection.listener.is_loopback() };
        match self.admit(&request) {
            Ok((shard, handler)) => {
                let in_flight =
                    InFlight::begin(connection.clone(), shard, self.streams.as_ref().map(Streams::pace));
                let limits = &connection.server.config.limits;
                let (head, incoming) = request.into_parts();
                if let (Some(max), Some(size)) =
                    (limits.body_bytes_max, http_body::Body::size_hint(&incoming).exact())
                    && size > max
                {
                    let problem = body::cut(call::HTTP_BODY_TOO_LARGE);
                    return Answering::refused(answer_counted(&problem, reader, in_flight), closing);
                }
                let (body, verdict) =
                    body::request(incoming, limits.body_bytes_max, limits.body_idle_timeout);
                let call = handler.call(Request::from_parts(head, body));
                Answering::Calling { call, in_flight: Some(in_flight), verdict, reader, closing }
            }
            Err(problem) => {
                add(&connection.core().unrouted, 1);
                Answering::refused(answer::respond(&problem, reader), closing)
            }
        }
    }
}

type Admitted = (Arc<Shard>, Arc<dyn provider_http::Handler>);

impl Service {
    fn admit(&self, request: &Request<Incoming>) -> Result<Admitted, Problem> {
        if request.method() == Method::CONNECT {
            return Err(Problem::new(call::HTTP_METHOD_REFUSED, "CONNECT is not served here"));
        }
        let table = self.connection.listener.table.load();
        let group = match self.group_seen(request, &table) {
            Some(group) => Some(group),
            None => self.group(request, &table)?,
        };
        let Some(route) = group.and_then(|group| table.route(group, request.uri().path())) else {
            return Err(self.nothing_here(request, &table));
        };
        match route.targets.http(&route.claim.component) {
            Some(handler) => {
                let handler = match &route.claim.manner {
                    Some(manner) => manner.around(handler),
                    None => handler,
                };
                Ok((route.shards[self.connection.core].clone(), handler))
            }
            None => Err(target_down(&route.claim)),
        }
    }

    /// The group of the last request, if this one is for the same host and no link has changed.
    fn group_seen(&self, request: &Request<Incoming>, table: &Table<Arc<Route>>) -> Option<Group> {
        let seen = self.seen.borrow();
        if seen.table != table.version() || request.uri().authority().is_some() {
            return None;
        }
        let mut hosts = request.headers().get_all(HOST).iter();
        let same = hosts.next()?.as_bytes() == seen.host && hosts.next().is_none();
        if same { seen.group } else { None }
    }

    #[inline(never)]
    fn group(
        &self,
        request: &Request<Incoming>,
        table: &Table<Arc<Route>>,
    ) -> Result<Option<Group>, Problem> {
        let host = host_of(request)?;
        let group = table.group(host.as_ref());
        if let (Some(header), None) = (request.headers().get(HOST), request.uri().authority()) {
            let mut seen = self.seen.borrow_mut();
            seen.host.clear();
            seen.host.extend_from_slice(header.as_bytes());
            seen.table = table.version();
            seen.group = group;
        }
        Ok(group)
    }

    /// 404, with what does answer here; strangers (who came by another than a loopback address) do not get the list.
    fn nothing_here(&self, request: &Request<Incoming>, table: &Table<Arc<Route>>) -> Problem {
        let listener = &self.connection.listener;
        let asked: String = request.uri().path().chars().take(80).collect();
        let host = host_of(request).ok().flatten();
        let host = host.as_ref().map_or("", |host| host.as_str());
        if table.is_held() {
            let message =
                format!("the platform is starting; what answers at `{host}{asked}` is not known yet");
            return Problem::new(call::HTTP_STARTING, message);
        }
        let problem = Problem::new(call::HTTP_NO_ROUTE, format!("no application answers at `{host}{asked}`"));
        if !listener.is_loopback() {
            return problem;
        }
        let mut help = String::from(
            "deploy one with `umbel launch`; `umbel provider list` shows an http-server that was stopped by hand",
        );
        if !table.known().is_empty() {
            help = String::from("these answer:");
            for (host, path) in table.known().iter().take(20) {
                let _ = write!(help, "\n    {}", listener.url(host, path));
            }
            if table.known().len() > 20 {
                help.push_str("\n    … (`umbel ps` lists all)");
            }
        }
        problem.with_help(help)
    }
}

fn target_down(claim: &Claim) -> Problem {
    Problem::new(call::HTTP_TARGET_DOWN, format!("component `{}` is not running", claim.component))
}

fn answer_counted(problem: &Problem, reader: Reader, mut in_flight: InFlight) -> Response<ResponseBody> {
    let response = answer::respond(problem, reader);
    in_flight.status = response.status().as_u16();
    response.map(|body| body.counted(in_flight))
}

/// The host that the request names; `None` for HTTP/1.0 without one.
fn host_of(request: &Request<Incoming>) -> Result<Option<HostName>, Problem> {
    let refuse = |message: &str| Err(Problem::new(call::HTTP_HOST_INVALID, message));
    let mut headers = request.headers().get_all(HOST).iter();
    let header = match headers.next() {
        Some(value) => match HostName::parse(value.as_bytes()) {
            Some(host) => Some(host),
            None => return refuse("the Host header is not a host name or address"),
        },
        None => None,
    };
    if headers.next().is_some() {
        return refuse("there is more than one Host header");
    }
    let Some(authority) = request.uri().authority() else {
        return match header {
            None if request.version() > Version::HTTP_10 => refuse("there is no Host header"),
            host => Ok(host),
        };
    };
    // The target of the request line, and :authority, say more than Host (RFC 9112 §3.2.2, RFC 9113 §8.3.1).
    let Some(host) = HostName::parse(authority.as_str().as_bytes()) else {
        return refuse("the authority is not a host name or address");
    };
    match header {
        Some(header) if header.as_bytes() != host.as_bytes() => {
            refuse("Host and the request's target name different hosts")
        }
        None if request.version() == Version::HTTP_11 => refuse("there is no Host header"),
        _ => Ok(Some(host)),
    }
}

/// The answer on its way.
pub(crate) enum Answering {
    /// There is no component to ask.
    Refused(Option<Box<Response<ResponseBody>>>),
    /// The component works on it.
    Calling {
        call: BoxFuture<'static, Result<provider_http::Response, Problem>>,
        in_flight: Option<InFlight>,
        verdict: Verdict,
        reader: Reader,
        closing: bool,
    },
}

impl Answering {
    fn refused(mut response: Response<ResponseBody>, closing: bool) -> Answering {
        if closing {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Answering::Refused(Some(Box::new(response)))
    }
}

impl Future for Answering {
    type Output = Result<Response<ResponseBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Answering::Refused(response) => {
                Poll::Ready(Ok(*response.take().expect("a future is not polled after it was ready")))
            }
            Answering::Calling { call, in_flight, verdict, reader, closing } => {
                match call.as_mut().poll(cx) {
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(result) => {
                        let in_flight = in_flight.take().expect("a future is not polled after it was ready");
                        // Draining may have begun while the component worked.
                        let closing = *closing || in_flight.connection.closes_after_answer();
                        Poll::Ready(Ok(finish(result, in_flight, verdict, *reader, closing)))
                    }
                }
            }
        }
    }
}

fn finish(
    result: Result<provider_http::Response, Problem>,
    mut in_flight: InFlight,
    verdict: &Verdict,
    reader: Reader,
    closing: bool,
) -> Response<ResponseBody> {
    // The component's answer to a body that we have cut is not passed on; the client hears why.
    let problem = match (verdict.problem(), result) {
        (Some(problem), _) | (None, Err(problem)) => problem,
        (None, Ok(response)) if response.status().is_informational() => {
            let message = format!("the component answered with status {}", response.status().as_u16());
            Problem::new(call::HTTP_BAD_RESPONSE, message)
        }
        (None, Ok(response)) => {
            let (mut head, body) = response.into_parts();
            in_flight.status = head.status.as_u16();
            if !head.headers.is_empty() {
                // These speak about the connection, which is ours.
                for name in [CONNECTION, TRANSFER_ENCODING, UPGRADE] {
                    head.headers.remove(name);
                }
            }
            if closing {
                head.headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            let is_events = head.headers.get(CONTENT_TYPE).is_some_and(|content| {
                content.as_bytes().to_ascii_lowercase().starts_with(b"text/event-stream")
            });
            return Response::from_parts(head, ResponseBody::guest(body, in_flight, is_events));
        }
    };
    let mut response = answer_counted(&problem, reader, in_flight);
    if closing {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// A listener as requests see it.
pub(crate) struct Site {
    pub(crate) addresses: Vec<std::net::SocketAddr>,
    pub(crate) table: arc_swap::ArcSwap<Table<Arc<Route>>>,
}

impl Site {
    pub(crate) fn is_loopback(&self) -> bool {
        self.addresses.iter().all(|address| address.ip().is_loopback())
    }

    /// The URL of a host (empty: any) and path on this listener.
    pub(crate) fn url(&self, host: &str, path: &str) -> String {
        let address = self.addresses.first();
        let port = match address.map_or(80, std::net::SocketAddr::port) {
            80 => String::new(),
            port => format!(":{port}"),
        };
        let own = address.map(|a| match a.ip() {
            ip if ip.is_unspecified() || ip.is_loopback() => "localhost".to_string(),
            std::net::IpAddr::V6(ip) => format!("[{ip}]"),
            std::net::IpAddr::V4(ip) => ip.to_string(),
        });
        let host = if host.is_empty() { own.as_deref().unwrap_or("localhost") } else { host };
        format!("http://{host}{port}{path}")
    }
}

impl Connection {
    fn closes_after_answer(&self) -> bool {
        !self.is_h2.load(Relaxed) && self.server.is_draining()
    }
}
