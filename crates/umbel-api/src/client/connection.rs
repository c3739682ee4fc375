//! One request on a connection of its own, driven by whoever waits for its answer: nothing runs in the background.

use super::{Address, Body};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Method, Request, StatusCode, header};
use http_body::Body as _;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use umbel_core::Problem;
use umbel_core::code::api;

/// The connection, which has to be polled for the answer to move. `None` once it has ended.
type Driver = Option<BoxFuture<'static, hyper::Result<()>>>;

/// An answer whose body is still to be read.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    body: Incoming,
    driver: Driver,
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reply").field("status", &self.status).finish_non_exhaustive()
    }
}

impl Reply {
    /// The next piece of the body; `None` at its end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, Problem> {
        loop {
            let frame = poll_fn(|cx| {
                drive(&mut self.driver, cx);
                Pin::new(&mut self.body).poll_frame(cx)
            });
            match frame.await {
                None => return Ok(None),
                // Trailers carry nothing that we read.
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
                Some(Err(error)) => return Err(lost(&error)),
            }
        }
    }

    /// The rest of the body, at most `max` bytes.
    pub(crate) async fn collect(&mut self, max: usize) -> Result<Bytes, Problem> {
        let mut all = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if all.len() + chunk.len() > max {
                return Err(Problem::new(
                    api::ANSWER_UNREADABLE,
                    format!("the answer has more than {max} bytes"),
                ));
            }
            all.extend_from_slice(&chunk);
        }
        Ok(all.into())
    }
}

/// Polls the connection once. Its end, good or bad, shows in the body that it feeds.
fn drive(driver: &mut Driver, cx: &mut Context<'_>) {
    if let Some(connection) = driver
        && connection.poll_unpin(cx).is_ready()
    {
        *driver = None;
    }
}

/// Connects, sends, and waits for the head of the answer.
pub(crate) async fn request(
    address: &Address,
    method: Method,
    path: &str,
    body: Option<Body>,
    connect_timeout: Duration,
) -> Result<Reply, Problem> {
    let mut request = Request::builder().method(method).uri(path);
    let bytes = match body {
        Some(body) => {
            request = request.header(header::CONTENT_TYPE, body.content_type);
            body.bytes
        }
        None => Bytes::new(),
    };
    let late = |_| Problem::new(api::NOT_RUNNING, format!("nobody accepts on {address}"));
    match address {
        Address::Unix(path) => {
            let request = request.header(header::HOST, "localhost");
            let stream =
                tokio::time::timeout(connect_timeout, UnixStream::connect(path)).await.map_err(late)?;
            exchange(stream.map_err(|error| refused(address, &error))?, finish(request, bytes)?).await
        }
        Address::Tcp(socket, token) => {
            let request = request
                .header(header::HOST, socket.to_string())
                .header(header::AUTHORIZATION, format!("Bearer {}", token.text()));
            let stream =
                tokio::time::timeout(connect_timeout, TcpStream::connect(socket)).await.map_err(late)?;
            exchange(stream.map_err(|error| refused(address, &error))?, finish(request, bytes)?).await
        }
    }
}

fn finish(request: http::request::Builder, bytes: Bytes) -> Result<Request<Full<Bytes>>, Problem> {
    request.body(Full::new(bytes)).map_err(|error| {
        Problem::new(api::BAD_REQUEST, "the request cannot be written").with_cause(error.to_string())
    })
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Reply, Problem>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| lost(&error))?;
    let mut driver: Driver = Some(connection.boxed());
    let mut answer = Box::pin(sender.send_request(request));
    let response = poll_fn(|cx| {
        drive(&mut driver, cx);
        answer.poll_unpin(cx)
    })
    .await
    .map_err(|error| lost(&error))?;
    let (head, body) = response.into_parts();
    Ok(Reply { status: head.status, body, driver })
}

fn lost(error: &hyper::Error) -> Problem {
    let mut problem = Problem::new(api::CONNECTION_LOST, "the connection to the platform broke");
    let mut source: Option<&dyn std::error::Error> = Some(error);
    while let Some(cause) = source {
        problem.causes.push(cause.to_string());
        source = cause.source();
    }
    problem
}

fn refused(address: &Address, error: &std::io::Error) -> Problem {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
            Problem::new(api::NOT_RUNNING, format!("nothing listens on {address}"))
        }
        ErrorKind::PermissionDenied => {
            Problem::new(api::STATE_FOLDER, format!("this user may not use {address}"))
                .with_cause(error.to_string())
        }
        _ => Problem::new(api::NOT_RUNNING, format!("{address} cannot be reached"))
            .with_cause(error.to_string()),
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Address::Unix(path) => write!(f, "the socket `{}`", path.display()),
            Address::Tcp(address, _) => write!(f, "{address}"),
        }
    }
}
