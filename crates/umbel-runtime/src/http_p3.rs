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
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::oneshot;
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::p3::Request;
use wasmtime_wasi_http::p3::bindings::Service;

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
            // Nobody listens any more when the caller went away meanwhile; then this task is being ended.
            let _ = answer.send(Ok(response));
            call.body_ended().await;
            std::future::poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
            Ok(())
        })
        .await;
    done.flatten().map_err(|error| guest::failed(store, call, error))
}

pub(crate) type P3Shelf = Shelf<Service>;
