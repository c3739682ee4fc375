//! One request and its answer, on a connection of its own, driven by whoever waits for it.

use super::connect::{self, Whose, authority};
use super::error::OciError;
use super::settings::Times;
use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body::Body as _;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, Connection};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use url::Url;

/// What a request carries.
pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// No bytes.
pub(super) fn empty() -> Body {
    full(Bytes::new())
}

/// These bytes.
pub(super) fn full(bytes: Bytes) -> Body {
    http_body_util::Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// The longest head of an answer, bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// An answer whose body is still to come.
pub(super) struct Answer {
    pub(super) head: http::response::Parts,
    pub(super) url: Url,
    /// Whether it came from this machine.
    pub(super) here: bool,
    body: Incoming,
    connection: Driven,
    times: Times,
}

type Wire = Connection<TokioIo<Box<dyn connect::Stream>>, Body>;

/// A connection that lives as long as somebody waits for something of it.
struct Driven {
    connection: Option<Pin<Box<Wire>>>,
}

impl Driven {
    fn poll(&mut self, cx: &mut Context<'_>) {
        // What it ends with is told by the request or the body as well.
        if let Some(connection) = &mut self.connection
            && connection.as_mut().poll(cx).is_ready()
        {
            self.connection = None;
        }
    }

    async fn until<T>(&mut self, future: impl Future<Output = T>) -> T {
        let mut future = std::pin::pin!(future);
        poll_fn(|cx| {
            self.poll(cx);
            future.as_mut().poll(cx)
        })
        .await
    }
}

/// Sends a request; the answer's head has come when this returns.
pub(super) async fn send(
    url: &Url,
    whose: Whose,
    request: Request<Body>,
    tls: &Arc<ClientConfig>,
    times: &Times,
) -> Result<Answer, OciError> {
    let host = authority(url);
    let connected = connect::connect(url, whose, tls, times).await?;
    let lost = |error: hyper::Error| broken(&host, error);
    let shake = http1::Builder::new().max_buf_size(HEAD_BYTES_MAX).handshake(TokioIo::new(connected.stream));
    let (mut sender, connection) = shake.await.map_err(lost)?;
    let mut connection = Driven { connection: Some(Box::pin(connection)) };
    // Sending a body is limited by the time for a layer, which the caller keeps.
    let has_body = request.body().size_hint().exact() != Some(0);
    let answering = connection.until(sender.send_request(request));
    let answered: Result<Response<Incoming>, hyper::Error> = if has_body {
        answering.await
    } else {
        match tokio::time::timeout(times.head, answering).await {
            Ok(answered) => answered,
            Err(_) => return Err(OciError::Timeout { host, what: "answer", after: times.head }),
        }
    };
    let (head, body) = answered.map_err(lost)?.into_parts();
    Ok(Answer { head, url: url.clone(), here: connected.here, body, connection, times: *times })
}

fn broken(host: &str, error: hyper::Error) -> OciError {
    if error.is_parse() {
        return OciError::Answer { host: host.into(), reason: error.to_string() };
    }
    OciError::Unreachable { host: host.into(), source: error.into() }
}

impl Answer {
    /// Its status.
    pub(super) fn status(&self) -> u16 {
        self.head.status.as_u16()
    }

    /// A header's text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name)?.to_str().ok()
    }

    /// Who answered.
    pub(super) fn host(&self) -> String {
        authority(&self.url)
    }

    /// The next bytes of the body; nothing at its end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, OciError> {
        let host = authority(&self.url);
        loop {
            let body = &mut self.body;
            let framing = self.connection.until(poll_fn(|cx| match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Ready(frame) => Poll::Ready(frame),
                Poll::Pending => Poll::Pending,
            }));
            let pause = self.times.pause;
            let frame = tokio::time::timeout(pause, framing).await;
            let frame =
                frame.map_err(|_| OciError::Timeout { host: host.clone(), what: "send on", after: pause })?;
            match frame {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data()
                        && !data.is_empty()
                    {
                        return Ok(Some(data));
                    }
                }
                Some(Err(error)) => return Err(broken(&host, error)),
            }
        }
    }

    /// The whole body, if it has at most so many bytes.
    pub(super) async fn all(&mut self, bytes_max: u64) -> Result<Bytes, OciError> {
        let mut all = BytesMut::new();
        while let Some(data) = self.next().await? {
            if (all.len() + data.len()) as u64 > bytes_max {
                let reason = format!("it sends more than {bytes_max} bytes where they cannot be");
                return Err(OciError::Answer { host: self.host(), reason });
            }
            all.extend_from_slice(&data);
        }
        Ok(all.freeze())
    }
}
