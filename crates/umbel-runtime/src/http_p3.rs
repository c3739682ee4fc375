//! One HTTP request through `wasi:http/handler@0.3`.
//!
//! The guest's body is a stream inside the store, so the store is driven until the last frame has left, and until the guest has
//! no task left that it cares about.

use crate::body::{Body, into_wasi};
use crate::component::Inner;
use crate::error::CallError;
use crate::guest::{self, Call};
use crate::http_p2::Answer;
use crate::image::Entry;
use crate::warm::{Shelf, Warm};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::sync::oneshot;
use wasmtime_wasi_http::p3::Request;
use wasmtime_wasi_http::p3::bindings::Service;
use wasmtime_wasi_http::{Error, WasiBody, WasiHttpView};

/// As [`crate::http_p2::run`], for WASI 0.3.
pub(crate) async fn run(
    inner: Arc<Inner>,
    request: http::Request<Body>,
    call: Arc<Call>,
    answer: oneshot::Sender<Answer>,
) -> Result<(), CallError> {
    let mut warm = match inner.kept_p3() {
        Some(mut warm) => {
            warm.store.data_mut().call = call.clone();
            warm
        }
        None => instantiate(&inner, &call).await?,
    };
    handle(&mut warm, request, &call, answer).await?;
    if let Some(shelf) = inner.shelf_p3() {
        shelf.put(warm);
    }
    Ok(())
}

async fn instantiate(inner: &Inner, call: &Arc<Call>) -> Result<Warm<Service>, CallError> {
    let Entry::HttpP3(pre) = &inner.image.entry else {
        return Err(CallError::NoExport { component: inner.shared.id.clone(), wanted: "HTTP" });
    };
    let mut store = guest::store(&inner.engine, &inner.shared, call);
    match pre.instantiate_async(&mut store).await {
        Ok(proxy) => Ok(Warm { store, proxy, uses: 0, since: Instant::now() }),
        Err(error) => Err(guest::failed(&store, call, error)),
    }
}

async fn handle(
    warm: &mut Warm<Service>,
    request: http::Request<Body>,
    call: &Call,
    answer: oneshot::Sender<Answer>,
) -> Result<(), CallError> {
    let store = &mut warm.store;
    let service = &warm.proxy;
    let (request, io) = Request::from_http(store.data_mut().http().hooks, request.map(into_wasi));
    let done = store
        .run_concurrent(async |accessor| -> wasmtime::Result<()> {
            let response = match service.handle(accessor, request).await? {
                Ok(response) => response,
                Err(code) => {
                    let _ = answer.send(Err(format!("{code:?}")));
                    return Ok(());
                }
            };
            let response = accessor.with(|store| response.into_http(store, io))?;
            let (response, whole) = begin(response).await;
            // Nobody listens any more when the caller went away meanwhile; then this task is being ended.
            let _ = answer.send(Ok(response));
            if !whole {
                call.body_ended().await;
            }
            std::future::poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
            Ok(())
        })
        .await;
    done.flatten().map_err(|error| guest::failed(store, call, error))
}

/// Lets the guest take its first steps before the head leaves: a short body is then there already, and the answer goes out in one
/// piece with its length. Also tells whether the body is whole, so that the guest need not be driven while a client reads it.
async fn begin(response: http::Response<WasiBody>) -> (http::Response<WasiBody>, bool) {
    let (parts, mut body) = response.into_parts();
    let mut begun = Begun::default();
    for _ in 0..FIRST_STEPS {
        while let Poll::Ready(frame) = futures::poll!(body.frame()) {
            let ends = frame.as_ref().is_none_or(Result::is_err);
            begun.first.extend(frame);
            if ends {
                return (http::Response::from_parts(parts, begun.boxed_unsync()), true);
            }
            if begun.first.len() >= FIRST_FRAMES_MAX {
                break;
            }
        }
        step().await;
    }
    begun.rest = Some(body);
    (http::Response::from_parts(parts, begun.boxed_unsync()), false)
}

/// Turns of the store's event loop that the head waits for the body.
const FIRST_STEPS: usize = 3;
/// Frames that are taken before somebody reads them.
const FIRST_FRAMES_MAX: usize = 4;

/// Gives the guest's other tasks a turn.
async fn step() {
    let mut given = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut given, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A body of which the beginning, or all, is there.
#[derive(Default)]
struct Begun {
    first: VecDeque<Result<Frame<Bytes>, Error>>,
    rest: Option<WasiBody>,
}

impl http_body::Body for Begun {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Some(frame) = self.first.pop_front() {
            return Poll::Ready(Some(frame));
        }
        match &mut self.rest {
            Some(rest) => Pin::new(rest).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_empty() && self.rest.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let data: Option<Vec<u64>> =
            self.first.iter().map(|f| f.as_ref().ok()?.data_ref().map(|d| d.len() as u64)).collect();
        match (data, &self.rest) {
            // Only data, and all of it: its length is known. Trailers need a body without one.
            (Some(data), None) => SizeHint::with_exact(data.iter().sum()),
            _ => SizeHint::default(),
        }
    }
}

pub(crate) type P3Shelf = Shelf<Service>;
