//! One request and its response.

use super::config::Settings;
use super::connect::{self, Target};
use super::error::ClientError;
use super::pool::{Pool, Sender};
use bytes::Bytes;
use http::header::{CONNECTION, HOST, HeaderName, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use http::{Request, Response, Uri, Version};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper::rt::Executor;
use hyper_util::rt::TokioTimer;
use rustls::ClientConfig;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};
use umbel_core::Problem;
use umbel_provider::http::{Body, BodyError, OutgoingOptions};
use umbel_supervisor::scope::Spawner;

/// How often a request is given to another connection after an idle one turned out to be closed.
const STALE_MAX: usize = 3;
/// How often an HTTP/2 connection is probed while it waits for a response.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// Everything that links with the same settings share.
pub(crate) struct Client {
    settings: Settings,
    tls: Arc<ClientConfig>,
    pool: Arc<Pool>,
    /// One place for each open connection; who drives it holds its place.
    places: Arc<Semaphore>,
    tasks: Spawner,
}

impl Client {
    pub(crate) fn new(settings: Settings, tasks: Spawner) -> Result<Client, ClientError> {
        let tls = Arc::new(connect::tls_config(&settings)?);
        let pool = Arc::new(Pool::new(settings.idle_per_host_max, settings.idle_timeout));
        let places = Arc::new(Semaphore::new(settings.connections_max));
        Ok(Client { settings, tls, pool, places, tasks })
    }

    pub(crate) fn close_idle(&self) {
        self.pool.clear();
    }

    pub(crate) async fn send(
        &self,
        request: Request<Body>,
        options: OutgoingOptions,
    ) -> Result<Response<Body>, ClientError> {
        let target = Target::of(request.uri())?;
        let part = Pool::part();
        let limit = options.first_byte_timeout.unwrap_or(self.settings.first_byte_timeout);
        let mut request = request;
        let mut stale = 0;
        let (response, sender) = loop {
            let idle = if stale < STALE_MAX { self.pool.take(part, &target) } else { None };
            let is_reused = idle.is_some();
            let mut sender = match idle {
                Some(sender) => sender,
                None => self.connect(&target, part, &options).await?,
            };
            let sent = tokio::time::timeout(limit, sender.send(request)).await;
            match sent {
                Ok(Ok(response)) => break (response, sender),
                // The request did not leave this machine.
                Ok(Err((_, Some(unsent)))) if is_reused => {
                    request = *unsent;
                    stale += 1;
                }
                Ok(Err((error, _))) => return Err(broken(&target, error)),
                Err(_) => {
                    let (host, port) = (target.host, target.port);
                    return Err(ClientError::FirstByteTimeout { host, port, after: limit });
                }
            }
        };
        let pause = options.between_bytes_timeout.unwrap_or(self.settings.between_bytes_timeout);
        let back = Back { pool: self.pool.clone(), part, sender };
        Ok(response.map(|incoming| Body::new(ResponseBody::new(incoming, target, pause, back))))
    }

    async fn connect(
        &self,
        target: &Target,
        part: usize,
        options: &OutgoingOptions,
    ) -> Result<Sender, ClientError> {
        let limit = options.connect_timeout.unwrap_or(self.settings.connect_timeout);
        let due = Instant::now() + limit;
        let place = self.place(target, limit).await?;
        let left = due.saturating_duration_since(Instant::now());
        let dialled = connect::dial(target, &self.settings, &self.tls, left).await?;
        let fail = |error| broken(target, error);
        if dialled.is_h2 {
            let (sender, connection) = http2::Builder::new(Tasks(self.tasks.clone()))
                .timer(TokioTimer::new())
                .keep_alive_interval(PING_INTERVAL)
                .adaptive_window(true)
                .handshake(dialled.io)
                .await
                .map_err(fail)?;
            self.drive(async move { drop(connection.await) }, part, target, place);
            self.pool.put(part, target, Sender::H2(sender.clone()));
            Ok(Sender::H2(sender))
        } else {
            let (sender, connection) = http1::handshake(dialled.io).await.map_err(fail)?;
            self.drive(async move { drop(connection.await) }, part, target, place);
            Ok(Sender::H1(sender))
        }
    }

    /// A place for one more connection.
    async fn place(&self, target: &Target, limit: Duration) -> Result<OwnedSemaphorePermit, ClientError> {
        if let Ok(place) = self.places.clone().try_acquire_owned() {
            return Ok(place);
        }
        // Nobody uses the idle ones, and none becomes idle while somebody waits.
        let _wanted = self.pool.make_place();
        match tokio::time::timeout(limit, self.places.clone().acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            _ => Err(ClientError::Connections {
                host: target.host.clone(),
                port: target.port,
                connections_max: self.settings.connections_max,
                after: limit,
            }),
        }
    }

    /// Drives the connection to its end, which comes at the latest when it was idle for long.
    fn drive(
        &self,
        connection: impl Future<Output = ()> + Send + 'static,
        part: usize,
        target: &Target,
        place: OwnedSemaphorePermit,
    ) {
        let (pool, target, idle) = (Arc::downgrade(&self.pool), target.clone(), self.settings.idle_timeout);
        self.tasks.spawn(async move {
            let _place = place;
            tokio::pin!(connection);
            while tokio::time::timeout(idle, &mut connection).await.is_err() {
                if let Some(pool) = pool.upgrade() {
                    pool.expire(part, &target);
                }
            }
        });
    }
}

/// hyper blames the user for what a request's body reports.
fn broken(target: &Target, source: hyper::Error) -> ClientError {
    let (host, port) = (target.host.clone(), target.port);
    match source.is_user() {
        true => ClientError::RequestBody { host, port, source },
        false => ClientError::Protocol { host, port, source },
    }
}

type SendFailure = (hyper::Error, Option<Box<Request<Body>>>);

impl Sender {
    /// Sends; a request that did not leave comes back with the error, as it was.
    async fn send(&mut self, request: Request<Body>) -> Result<Response<Incoming>, SendFailure> {
        let uri = request.uri().clone();
        let sent = match self {
            Sender::H1(sender) => match sender.ready().await {
                Ok(()) => sender.try_send_request(for_h1(request)).await,
                Err(error) => return Err((error, Some(Box::new(request)))),
            },
            Sender::H2(sender) => match sender.ready().await {
                Ok(()) => sender.try_send_request(for_h2(request)).await,
                Err(error) => return Err((error, Some(Box::new(request)))),
            },
        };
        sent.map_err(|mut failure: TrySendError<Request<Body>>| {
            let unsent = failure.take_message().map(|mut request| {
                *request.uri_mut() = uri;
                Box::new(request)
            });
            (failure.into_error(), unsent)
        })
    }
}

/// Headers that are about one connection, which is ours.
fn strip(request: &mut Request<Body>) {
    let keep_alive = HeaderName::from_static("keep-alive");
    let proxy = HeaderName::from_static("proxy-connection");
    for name in [CONNECTION, TRANSFER_ENCODING, UPGRADE, HOST, keep_alive, proxy] {
        request.headers_mut().remove(name);
    }
}

/// HTTP/1.1: a path in the request line and the authority in `Host`.
fn for_h1(mut request: Request<Body>) -> Request<Body> {
    strip(&mut request);
    if let Some(host) = request.uri().authority().and_then(|a| HeaderValue::from_str(a.as_str()).ok()) {
        request.headers_mut().insert(HOST, host);
    }
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map_or_else(|| Uri::from_static("/"), Uri::from);
    *request.version_mut() = Version::HTTP_11;
    request
}

/// HTTP/2: the whole URI, which becomes pseudo-headers.
fn for_h2(mut request: Request<Body>) -> Request<Body> {
    strip(&mut request);
    *request.version_mut() = Version::HTTP_2;
    request
}

/// Starts hyper's own tasks as tracked ones.
#[derive(Clone)]
struct Tasks(Spawner);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

/// The way back to the pool.
struct Back {
    pool: Arc<Pool>,
    part: usize,
    sender: Sender,
}

/// The body of a response. At its end, the connection can be used again; dropped before, it is closed.
struct ResponseBody {
    incoming: Incoming,
    target: Target,
    pause: Duration,
    alarm: Option<Pin<Box<Sleep>>>,
    waits_since: Option<Instant>,
    back: Option<Back>,
}

impl ResponseBody {
    fn new(incoming: Incoming, target: Target, pause: Duration, back: Back) -> ResponseBody {
        let mut body =
            ResponseBody { incoming, target, pause, alarm: None, waits_since: None, back: Some(back) };
        if body.incoming.is_end_stream() {
            body.finish();
        }
        body
    }

    fn finish(&mut self) {
        if let Some(back) = self.back.take() {
            back.pool.put(back.part, &self.target, back.sender);
        }
    }

    fn fail(&mut self, error: &ClientError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.back = None;
        Poll::Ready(Some(Err(Problem::from(error).into())))
    }
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        match Pin::new(&mut this.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.waits_since = None;
                if this.incoming.is_end_stream() {
                    this.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(source))) => {
                let error =
                    ClientError::Protocol { host: this.target.host.clone(), port: this.target.port, source };
                this.fail(&error)
            }
            Poll::Ready(None) => {
                this.finish();
                Poll::Ready(None)
            }
            Poll::Pending => {
                let due = *this.waits_since.get_or_insert_with(Instant::now) + this.pause;
                let alarm = this.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
                // An alarm that was set for an earlier wait rings early; it is then set for this one.
                loop {
                    ready!(alarm.as_mut().poll(cx));
                    if Instant::now() >= due {
                        break;
                    }
                    alarm.as_mut().reset(due);
                }
                let (host, port) = (this.target.host.clone(), this.target.port);
                this.fail(&ClientError::BodyTimeout { host, port, after: this.pause })
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
