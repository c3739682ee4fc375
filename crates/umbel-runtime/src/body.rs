//! Bodies on their way out of a guest, and what their end means for the guest.

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use wasmtime_wasi_http::WasiBody;

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
}

/// A response body that reports to whoever drives the guest which produces it.
pub(crate) struct Watched {
    inner: WasiBody,
    watch: Option<Arc<dyn BodyWatch>>,
    // Bytes that are still to come, where that is known: a server stops reading after the last of them, and does not ask for the end.
    left: Option<u64>,
}

impl Watched {
    /// `length` is what the response's head says of the body: nothing for a chunked one, 0 for the answer to a HEAD.
    pub(crate) fn body(inner: WasiBody, watch: Arc<dyn BodyWatch>, length: Option<u64>) -> Body {
        Watched { inner, watch: Some(watch), left: length }.boxed_unsync()
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
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
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
struct WasiBodyError(wasmtime_wasi_http::Error);

/// A body from outside as the engine's WASI wants it.
pub(crate) fn into_wasi(body: Body) -> WasiBody {
    body.map_err(|e| wasmtime_wasi_http::Error::InternalError(Some(e.to_string()))).boxed_unsync()
}

/// A guest's body as the rest of Umbel wants it.
pub(crate) fn from_wasi(body: WasiBody) -> Body {
    body.map_err(|e| Box::new(WasiBodyError(e)) as BodyError).boxed_unsync()
}
