//! One connection: its protocol, its timeouts, and its end.
//!
//! Timeouts cost nothing per request: the connection notes what it waits for and since when, and a sweep per core, a few times
//! per second, ends those that waited too long.
//!
//! ```text
//! accepted ─▶ first bytes ─▶ HTTP/1.1 ──▶ closed       sweep: head too slow → 408, idle → closed, client does not read → cut
//!                       └──▶ HTTP/2   ──▶ closed       stream whose client does not take it → reset
//!                                                      drain: HTTP/1.1 answers carry `Connection: close`, HTTP/2 gets GOAWAY
//! ```

use super::answer;
use super::body::cut;
use super::framing::{Framing, Violation};
use super::server::{Core, Shared};
use super::service::{Service, Site};
use futures::stream::{FuturesUnordered, StreamExt};
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use umbel_core::Problem;
use umbel_core::code::call;

const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// After an error was written, so much is read and thrown away: closing with unread bytes would destroy the answer.
const LINGER_BYTES_MAX: usize = 256 << 10;
const LINGER: Duration = Duration::from_secs(1);
/// How long the peer of an HTTP/2 connection may leave a ping unanswered.
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// What the connection is asked to do.
const GO_ON: u8 = 0;
const CLOSE_GRACEFULLY: u8 = 1;
const CUT: u8 = 2;
const CUT_HEAD_TIMEOUT: u8 = 3;

/// What is known of a connection outside of its own task. Written by the thread of its core; others only send commands.
pub(crate) struct Connection {
    pub(crate) server: Arc<Shared>,
    pub(crate) listener: Arc<Site>,
    pub(crate) core: usize,
    pub(crate) is_h2: AtomicBool,
    in_flight: AtomicU64,
    /// Whether a head has begun and is not complete.
    in_head: AtomicBool,
    /// When it began to wait for what it waits for now, in ms of the server.
    waits_since: AtomicU64,
    /// When the client stopped taking what is written; 0: it takes it.
    blocked_since: AtomicU64,
    command: AtomicU8,
    /// The waker of the connection's task, which stays the same as long as that lives.
    waker: Mutex<Option<Waker>>,
}

impl Connection {
    pub(crate) fn new(server: Arc<Shared>, listener: Arc<Site>, core: usize) -> Connection {
        let now = server.cores[core].now();
        Connection {
            server,
            listener,
            core,
            is_h2: AtomicBool::new(false),
            in_flight: AtomicU64::new(0),
            in_head: AtomicBool::new(true),
            waits_since: AtomicU64::new(now),
            blocked_since: AtomicU64::new(0),
            command: AtomicU8::new(GO_ON),
            waker: Mutex::new(None),
        }
    }

    pub(crate) fn core(&self) -> &Core {
        &self.server.cores[self.core]
    }

    pub(crate) fn request_begins(&self) {
        self.in_flight.store(self.in_flight.load(Relaxed) + 1, Relaxed);
    }

    pub(crate) fn request_ends(&self) {
        self.in_flight.store(self.in_flight.load(Relaxed) - 1, Relaxed);
        self.waits_since.store(self.core().now(), Relaxed);
    }

    /// Finish what is there and close.
    pub(crate) fn close(&self) {
        self.send(CLOSE_GRACEFULLY);
    }

    /// End now.
    pub(crate) fn cut(&self) {
        self.send(CUT);
    }

    fn send(&self, command: u8) {
        if self.command.fetch_max(command, Relaxed) < command {
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            waker.wake_by_ref();
        }
    }

    fn listen(&self, cx: &Context<'_>) {
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
    }

    /// Called by the sweep: whether a limit is exceeded. Returns whether the connection was told to end.
    pub(crate) fn check(&self, now: u64) -> bool {
        let limits = &self.server.config.limits;
        let exceeds = |since: u64, limit: Duration| now.saturating_sub(since) as u128 > limit.as_millis();
        let blocked = self.blocked_since.load(Relaxed);
        if blocked != 0 && exceeds(blocked, limits.body_idle_timeout) {
            self.cut();
            return true;
        }
        if self.in_flight.load(Relaxed) > 0 {
            if self.is_h2.load(Relaxed) {
                // Its own task looks at its streams.
                self.wake();
            }
            return false;
        }
        let since = self.waits_since.load(Relaxed);
        if self.in_head.load(Relaxed) && exceeds(since, limits.head_timeout) {
            self.send(CUT_HEAD_TIMEOUT);
            return true;
        }
        if exceeds(since, limits.idle_timeout) {
            self.close();
        }
        // A peer that does not let go after GOAWAY or half a close.
        if exceeds(since, limits.idle_timeout + limits.head_timeout) {
            self.cut();
        }
        false
    }
}

/// Serves the connection to its end.
pub(crate) async fn serve(mut stream: TcpStream, connection: Arc<Connection>) {
    let _ = stream.set_nodelay(true);
    let Some((early, is_h2)) = first_bytes(&mut stream, &connection).await else { return };
    connection.is_h2.store(is_h2, Relaxed);
    let limits = &connection.server.config.limits;
    let framing = (!is_h2).then(|| Framing::new(limits.head_bytes_max, limits.headers_max));
    let wire = Wire { stream, early, framing, violation: None, connection: connection.clone() };
    if is_h2 {
        connection.in_head.store(false, Relaxed);
        serve_h2(wire, connection).await;
    } else {
        serve_h1(wire, connection).await;
    }
}

/// Reads until the protocol is known: the preface of HTTP/2, or anything else.
async fn first_bytes(stream: &mut TcpStream, connection: &Connection) -> Option<(Vec<u8>, bool)> {
    let mut early = vec![0; H2_PREFACE.len()];
    let mut length = 0;
    let mut is_last_look = false;
    while length < H2_PREFACE.len() && early[..length] == H2_PREFACE[..length] {
        let read = poll_fn(|cx| {
            connection.listen(cx);
            let command = connection.command.load(Relaxed);
            if command > CLOSE_GRACEFULLY {
                return Poll::Ready(Ok(Some(0)));
            }
            let mut buffer = ReadBuf::new(&mut early[length..]);
            match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
                Poll::Ready(read) => Poll::Ready(read.map(|()| Some(buffer.filled().len()))),
                Poll::Pending if command == GO_ON => Poll::Pending,
                Poll::Pending => Poll::Ready(io::Result::Ok(None)),
            }
        });
        match read.await {
            // A request that has already come is answered, and the runtime may not have heard of it yet: it asks the kernel when
            // everybody else has had a turn.
            Ok(None) if !is_last_look => {
                is_last_look = true;
                tokio::task::yield_now().await;
            }
            Ok(None | Some(0)) | Err(_) if length == 0 => return None,
            Ok(None | Some(0)) | Err(_) => break,
            Ok(Some(more)) => length += more,
        }
    }
    early.truncate(length);
    let is_h2 = early == H2_PREFACE;
    Some((early, is_h2))
}

async fn serve_h1(wire: Wire, connection: Arc<Connection>) {
    let limits = &connection.server.config.limits;
    let mut builder = http1::Builder::new();
    // Head and body go out as one copied piece: for the usual small answer that is a tenth cheaper than two parts.
    builder.writev(false).header_read_timeout(None).max_buf_size(limits.head_bytes_max.max(8192) + 4096);
    if limits.headers_max != 100 {
        builder.max_headers(limits.headers_max);
    }
    let service = Service::new(connection.clone(), None);
    let mut http = builder.serve_connection(TokioIo::new(wire), service);
    let mut listens = false;
    let mut closing = false;
    let command = poll_fn(|cx| {
        if !listens {
            connection.listen(cx);
            listens = true;
        }
        match connection.command.load(Relaxed) {
            GO_ON => {}
            CLOSE_GRACEFULLY if !closing => {
                closing = true;
                // One on which hyper has read nothing yet it closes at once, whatever waits to be read.
                if Pin::new(&mut http).poll(cx).is_ready() {
                    return Poll::Ready(GO_ON);
                }
                Pin::new(&mut http).graceful_shutdown();
            }
            CLOSE_GRACEFULLY => {}
            other => return Poll::Ready(other),
        }
        Pin::new(&mut http).poll(cx).map(|_| GO_ON)
    })
    .await;
    let idle = connection.in_flight.load(Relaxed) == 0;
    let mut wire = http.into_parts().io.into_inner();
    let problem = match (command, wire.violation) {
        (CUT_HEAD_TIMEOUT, _) if idle => cut(call::HTTP_HEAD_TIMEOUT),
        (GO_ON, Some(Violation::Malformed(why))) => Problem::new(call::HTTP_MALFORMED, why),
        (GO_ON, Some(Violation::HeadTooLarge)) => cut(call::HTTP_HEAD_TOO_LARGE),
        _ => return,
    };
    super::stats::add(&connection.core().cut, 1);
    // A violation within a request that the component works on is not answered: its own answer may be half-way out.
    if idle && wire.violation.is_none_or(|_| !wire.mid_request()) {
        wire.last_words(&problem).await;
    }
}

async fn serve_h2(wire: Wire, connection: Arc<Connection>) {
    let limits = &connection.server.config.limits;
    let streams = Streams::default();
    let mut builder = http2::Builder::new(streams.clone());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams_max)
        .max_header_list_size(u32::try_from(limits.head_bytes_max).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(1024)
        .max_send_buf_size(64 << 10)
        .keep_alive_interval(limits.idle_timeout)
        .keep_alive_timeout(PING_TIMEOUT);
    let service = Service::new(connection.clone(), Some(streams.clone()));
    let mut http = std::pin::pin!(builder.serve_connection(TokioIo::new(wire), service));
    let mut running = FuturesUnordered::new();
    let mut listens = false;
    let mut closing = false;
    let mut looked_at = 0;
    poll_fn(|cx| {
        if !listens {
            connection.listen(cx);
            listens = true;
        }
        match connection.command.load(Relaxed) {
            GO_ON => {}
            CLOSE_GRACEFULLY if !closing => {
                closing = true;
                http.as_mut().graceful_shutdown();
            }
            CLOSE_GRACEFULLY => {}
            _ => return Poll::Ready(()),
        }
        let now = connection.core().now();
        if looked_at != now {
            looked_at = now;
            reset_stalled(&mut running, now, limits.body_idle_timeout);
        }
        loop {
            if http.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            let new = streams.take();
            let grew = !new.is_empty();
            running.extend(new);
            // A stream that ends may let the connection go on; a new one must be polled once to be woken at all.
            match running.poll_next_unpin(cx) {
                Poll::Ready(Some(())) => {}
                _ if grew => {}
                _ => return Poll::Pending,
            }
        }
    })
    .await;
}

/// Ends the streams whose clients have not taken what was offered to them for longer than `pause_max`.
fn reset_stalled(running: &mut FuturesUnordered<Stream>, now: u64, pause_max: Duration) {
    let is_stalled = |stream: &Stream| {
        let pause = stream.pace.as_ref().and_then(|pace| pace.pause(now));
        pause.is_some_and(|pause| pause as u128 > pause_max.as_millis())
    };
    if running.iter().any(&is_stalled) {
        // What is dropped is reset. The others are polled once without need, which is seldom enough.
        *running = std::mem::take(running).into_iter().filter(|stream| !is_stalled(stream)).collect();
    }
}

/// Since when a stream's client could take what it was offered. hyper asks a body for more when the client has room for more, and
/// while it has none nothing of the stream is polled, so that nobody but a clock notices.
#[derive(Clone, Default)]
pub(crate) struct Pace(Rc<Cell<Option<u64>>>);

impl Pace {
    /// Something was offered at that time.
    pub(crate) fn offered(&self, now: u64) {
        self.0.set(Some(now));
    }

    /// The client has taken everything.
    pub(crate) fn taken(&self) {
        self.0.set(None);
    }

    fn pause(&self, now: u64) -> Option<u64> {
        self.0.get().map(|since| now.saturating_sub(since))
    }
}

/// The task of one stream of an HTTP/2 connection.
struct Stream {
    task: Pin<Box<dyn Future<Output = ()>>>,
    pace: Option<Pace>,
}

impl Future for Stream {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.task.as_mut().poll(cx)
    }
}

/// The tasks of an HTTP/2 connection's streams. They run within the connection's own task, so that they end with it.
#[derive(Clone, Default)]
pub(crate) struct Streams {
    new: Rc<RefCell<Vec<Stream>>>,
    /// Of the stream that is about to begin: hyper calls the service, and then starts the task that works on the answer.
    next: Rc<RefCell<Option<Pace>>>,
}

impl Streams {
    /// The pace of the stream that is being called for.
    pub(crate) fn pace(&self) -> Pace {
        self.next.borrow_mut().insert(Pace::default()).clone()
    }

    fn take(&self) -> Vec<Stream> {
        self.new.take()
    }
}

impl<F: Future<Output = ()> + 'static> Executor<F> for Streams {
    fn execute(&self, future: F) {
        self.new.borrow_mut().push(Stream { task: Box::pin(future), pace: self.next.take() });
    }
}

/// The socket, watched.
struct Wire {
    stream: TcpStream,
    /// What was read to find out the protocol.
    early: Vec<u8>,
    /// Only for HTTP/1.1.
    framing: Option<Framing>,
    violation: Option<Violation>,
    connection: Arc<Connection>,
}

impl Wire {
    /// Looks at bytes that were just read.
    fn inspect(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(framing) = &mut self.framing else { return Ok(()) };
        if let Err(violation) = framing.feed(bytes) {
            self.violation = Some(violation);
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        }
        let in_head = framing.is_in_head();
        if self.connection.in_head.load(Relaxed) != in_head {
            self.connection.in_head.store(in_head, Relaxed);
            if in_head && self.connection.in_flight.load(Relaxed) == 0 {
                self.connection.waits_since.store(self.connection.core().now(), Relaxed);
            }
        }
        Ok(())
    }

    fn mid_request(&self) -> bool {
        self.framing.as_ref().is_some_and(|framing| !framing.is_in_head() && !framing.is_between())
    }

    fn note_write(&self, is_pending: bool) {
        let blocked = self.connection.blocked_since.load(Relaxed) != 0;
        if is_pending != blocked {
            let since = if is_pending { self.connection.core().now().max(1) } else { 0 };
            self.connection.blocked_since.store(since, Relaxed);
        }
    }

    /// Writes the answer that ends the connection, and gives the client a moment to take it.
    async fn last_words(&mut self, problem: &Problem) {
        let polite = async {
            self.stream.write_all(&answer::last_words(problem)).await?;
            self.stream.shutdown().await?;
            let mut sink = vec![0; 8192];
            let mut left = LINGER_BYTES_MAX;
            while left > 0 {
                match self.stream.read(&mut sink).await? {
                    0 => break,
                    read => left = left.saturating_sub(read),
                }
            }
            io::Result::Ok(())
        };
        let _ = tokio::time::timeout(LINGER, polite).await;
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.violation.is_some() {
            return Poll::Ready(Err(io::Error::from(io::ErrorKind::InvalidData)));
        }
        let before = buf.filled().len();
        if this.early.is_empty() {
            ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        } else {
            let part = this.early.len().min(buf.remaining());
            buf.put_slice(&this.early[..part]);
            this.early.drain(..part);
        }
        Poll::Ready(this.inspect(&buf.filled()[before..]))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, data);
        self.note_write(result.is_pending());
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, data);
        self.note_write(result.is_pending());
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The last words are still to be written.
        if self.violation.is_some() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
