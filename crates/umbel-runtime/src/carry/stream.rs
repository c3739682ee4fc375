//! `stream<u8>` between stores: what a guest writes becomes [`ByteStream`], and the other way round.
//!
//! A stream outlives the call that passes it, and its producer is driven by a task of its own for as long as anybody reads. Other element types have
//! no size at compile time, which the engine's streams want, so a contract with them is refused when it is linked.

use crate::body::BodyWatch;
use crate::ctx::Ctx;
use crate::guest::Call;
use crate::lane;
use bytes::Bytes;
use futures::channel::mpsc;
use futures::future::{BoxFuture, Shared};
use futures::{FutureExt, StreamExt};
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};
use umbel_core::Problem;
use umbel_wit::ByteStream;
use wasmtime::component::{Destination, Source, StreamConsumer, StreamProducer, StreamReader, StreamResult};
use wasmtime::{AsContextMut, Result, StoreContextMut};

/// How much is taken from a guest at once.
const PIECE: usize = 64 << 10;
/// Pieces on the way from one store to the other.
const PIECES: usize = 2;

/// The readable end of a stream in a store, for the one who takes it.
#[derive(Clone)]
pub(crate) struct Reader(Arc<Mutex<Option<StreamReader<u8>>>>);

impl Reader {
    pub(super) fn new(reader: StreamReader<u8>) -> Reader {
        Reader(Arc::new(Mutex::new(Some(reader))))
    }

    pub(super) fn take(&self) -> Result<StreamReader<u8>> {
        let reader = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        reader.ok_or_else(|| wasmtime::format_err!("a stream was passed on twice"))
    }
}

/// What drives the producers of a call's streams, and how that ended: a problem means that the streams ended early.
pub(crate) type Drive = Shared<BoxFuture<'static, Option<Problem>>>;

/// The streams that a call gave, and what drives them once that is known.
#[derive(Default)]
pub(crate) struct Given {
    drive: Arc<OnceLock<Drive>>,
    /// Each ends when its stream has.
    ended: Vec<mpsc::Receiver<()>>,
}

impl Given {
    pub(crate) fn is_empty(&self) -> bool {
        self.ended.is_empty()
    }

    /// Ends when all streams have.
    pub(crate) fn ended(&mut self) -> impl Future<Output = ()> + Send + use<> {
        let ended = std::mem::take(&mut self.ended);
        futures::future::join_all(ended.into_iter().map(|mut ended| async move { ended.next().await }))
            .map(drop)
    }

    /// Says what drives them; it ends when nobody holds one of the streams any more.
    pub(crate) fn driven_by(&self, drive: impl Future<Output = Option<Problem>> + Send + 'static) {
        let _ = self.drive.set(lane::apart(drive).map(Option::flatten).boxed().shared());
    }
}

/// Takes a stream out of a store, as bytes for another. `given` keeps account of those whose producer is to be driven.
pub(super) fn take(
    mut store: impl AsContextMut<Data = Ctx>,
    reader: &Reader,
    given: Option<&mut Given>,
) -> Result<ByteStream> {
    let (sender, receiver) = mpsc::channel(PIECES);
    let (alive, ended) = mpsc::channel(0);
    // The producer's call has ended; what goes on is the stream.
    let call = given.is_some().then(|| store.as_context_mut().data().call.clone());
    reader.take()?.pipe(store, Consuming { sender, call, _alive: alive })?;
    let drive = given.map(|given| {
        given.ended.push(ended);
        given.drive.clone()
    });
    Ok(Driven { receiver, drive, ending: None }.boxed())
}

/// Gives a store a stream of bytes.
pub(super) fn put(store: impl AsContextMut<Data = Ctx>, stream: ByteStream) -> Result<Reader> {
    Ok(Reader::new(StreamReader::new(store, Producing { stream })?))
}

/// What a guest writes, piece by piece.
struct Consuming {
    sender: mpsc::Sender<Bytes>,
    /// Whose deadline each piece moves on.
    call: Option<Arc<Call>>,
    // Dropped when the guest has written all, or nobody reads on.
    _alive: mpsc::Sender<()>,
}

impl StreamConsumer<Ctx> for Consuming {
    type Item = u8;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<Ctx>,
        source: Source<'_, u8>,
        finish: bool,
    ) -> Poll<Result<StreamResult>> {
        match self.sender.poll_ready(cx) {
            Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(_)) => return Poll::Ready(Ok(StreamResult::Dropped)),
            Poll::Ready(Ok(())) => {}
        }
        let mut source = source.as_direct(store);
        let written = source.remaining();
        let piece = Bytes::copy_from_slice(&written[..written.len().min(PIECE)]);
        source.mark_read(piece.len());
        if let Some(call) = &self.call {
            call.progressed();
        }
        if !piece.is_empty() && self.sender.start_send(piece).is_err() {
            return Poll::Ready(Ok(StreamResult::Dropped));
        }
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

/// Bytes that a guest reads.
struct Producing {
    stream: ByteStream,
}

// A boxed stream is polled by whoever has the store, one at a time.
impl StreamProducer<Ctx> for Producing {
    type Item = u8;
    type Buffer = Bytes;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, Ctx>,
        mut destination: Destination<'a, u8, Bytes>,
        finish: bool,
    ) -> Poll<Result<StreamResult>> {
        if destination.remaining(&mut store) == Some(0) {
            // A guest that reads nothing asks whether there is something.
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        loop {
            let next = match self.stream.poll_next_unpin(cx) {
                Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
                next => ready!(next),
            };
            match next {
                None => return Poll::Ready(Ok(StreamResult::Dropped)),
                // There is no other way to tell the guest that what it has is not all.
                Some(Err(problem)) => {
                    let problem = Box::new(problem);
                    return Poll::Ready(Err(wasmtime::Error::new(crate::error::CallError::Link { problem })));
                }
                Some(Ok(piece)) if piece.is_empty() => {}
                Some(Ok(piece)) => {
                    destination.set_buffer(piece);
                    return Poll::Ready(Ok(StreamResult::Completed));
                }
            }
        }
    }
}

/// A stream and what drives its producer, which tells how that ended.
struct Driven {
    receiver: mpsc::Receiver<Bytes>,
    drive: Option<Arc<OnceLock<Drive>>>,
    /// What is waited for at the end: kept, because it wakes only those who still hold it.
    ending: Option<Drive>,
}

impl futures::Stream for Driven {
    type Item = Result<Bytes, Problem>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(piece) = ready!(self.receiver.poll_next_unpin(cx)) {
            return Poll::Ready(Some(Ok(piece)));
        }
        // No more comes: because that was all, or because the producer failed.
        if let Some(drive) = self.drive.take() {
            self.ending = drive.get().cloned();
        }
        let Some(ending) = &mut self.ending else { return Poll::Ready(None) };
        let problem = ready!(ending.poll_unpin(cx));
        self.ending = None;
        Poll::Ready(problem.map(Err))
    }
}
