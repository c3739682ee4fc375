//! Bodies on their way out of a guest, and what their end means for the guest.

use crate::wasi_error;
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use wasmtime_wasi_http::{Error, WasiBody};

/// Why a body ended early.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A streamed body of a request or response.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// Told of the life of a response body by [`Watched`].
pub(crate) trait BodyWatch: Send + Sync {
    /// A frame left: the call makes progress.
    fn progressed(&self);
    /// The last frame left.
    fn ended(&self);
    /// The body was dropped before its end: nobody reads it any more.
    fn abandoned(&self);
    /// Whether the guest failed: what it sent may look whole, and is not.
    fn is_broken(&self) -> bool;
}

/// A guest's body, of which the beginning, or all, is there.
pub(crate) struct Pieces {
    first: VecDeque<Result<Frame<Bytes>, Error>>,
    /// What follows; nothing when it is known that nothing does.
    rest: Option<WasiBody>,
}

/// Frames that are taken before somebody reads them.
const FIRST_MAX: usize = 4;

impl Pieces {
    pub(crate) fn of(body: WasiBody) -> Pieces {
        Pieces { first: VecDeque::new(), rest: Some(body) }
    }

    /// Whether all of it is there, so that it needs the guest no more.
    pub(crate) fn is_whole(&self) -> bool {
        self.rest.is_none()
    }

    /// Takes frames until they are all or many.
    pub(crate) fn poll_gather(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(rest) = &mut self.rest
            && self.first.len() < FIRST_MAX
        {
            let frame = ready!(Pin::new(rest).poll_frame(cx));
            if frame.as_ref().is_none_or(Result::is_err) {
                self.rest = None;
            }
            self.first.extend(frame);
        }
        Poll::Ready(())
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match (self.first.pop_front(), &mut self.rest) {
            (Some(frame), _) => Poll::Ready(Some(frame)),
            (None, Some(rest)) => Pin::new(rest).poll_frame(cx),
            (None, None) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_empty() && self.rest.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let data = |frame: &Result<Frame<Bytes>, Error>| Some(frame.as_ref().ok()?.data_ref()?.len() as u64);
        match (self.first.iter().map(data).sum::<Option<u64>>(), &self.rest) {
            // Only data, and all of it: its length is known. Trailers need a body without one.
            (Some(length), None) => SizeHint::with_exact(length),
            (_, Some(rest)) if self.first.is_empty() => rest.size_hint(),
            _ => SizeHint::default(),
        }
    }
}

/// A response body that reports to whoever drives the guest which produces it.
pub(crate) struct Watched {
    inner: Pieces,
    watch: Option<Arc<dyn BodyWatch>>,
    // Bytes that are still to come, where that is known: a server stops reading after the last of them, and does not ask for the end.
    left: Option<u64>,
}

impl Watched {
    /// `length` is what the response's head says of the body: nothing for a chunked one, 0 for the answer to a HEAD. A whole body
    /// needs no watch.
    pub(crate) fn body(inner: Pieces, watch: Arc<dyn BodyWatch>, length: Option<u64>) -> Body {
        let watch = (!inner.is_whole()).then_some(watch);
        Watched { inner, watch, left: length }.boxed_unsync()
    }

    fn end(&mut self) {
        if let Some(watch) = self.watch.take() {
            watch.ended();
        }
    }
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut polled = self.inner.poll_frame(cx);
        if let (Poll::Ready(None), Some(watch)) = (&polled, &self.watch)
            && watch.is_broken()
        {
            polled = Poll::Ready(Some(Err(Error::HttpResponseIncomplete)));
        }
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let (Some(left), Some(data)) = (&mut self.left, frame.data_ref()) {
                    *left = left.saturating_sub(data.len() as u64);
                }
                let last = frame.is_trailers() || self.inner.is_end_stream();
                if let Some(watch) = &self.watch {
                    watch.progressed();
                }
                if last {
                    self.end();
                }
            }
            Poll::Ready(Some(Err(_)) | None) => self.end(),
            Poll::Pending => {}
        }
        polled.map(|frame| frame.map(|result| result.map_err(|e| Box::new(WasiBodyError(e)) as BodyError)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(watch) = self.watch.take() {
            let whole = self.inner.is_end_stream() || self.left == Some(0);
            if whole { watch.ended() } else { watch.abandoned() }
        }
    }
}

/// An error of a guest's body.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct WasiBodyError(Error);

/// A body from outside as the engine's WASI wants it.
pub(crate) fn into_wasi(body: Body) -> WasiBody {
    body.map_err(|e| wasi_error::of_body(&e)).boxed_unsync()
}

/// A guest's body as the rest of Umbel wants it.
pub(crate) fn from_wasi(body: WasiBody) -> Body {
    body.map_err(|e| Box::new(WasiBodyError(e)) as BodyError).boxed_unsync()
}

#[cfg(test)]
mod tests;
