//! One HTTP request through `wasi:http/incoming-handler@0.2`.

use crate::body::{Body, into_wasi};
use crate::component::Inner;
use crate::error::CallError;
use crate::guest::{self, Call};
use crate::image::Entry;
use crate::warm::{Shelf, Warm};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::oneshot;
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::p2::bindings::Proxy;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};

pub(crate) type Answer = Result<http::Response<WasiBody>, String>;

/// Runs the request in a fresh or kept instance. The answer leaves through `answer` as soon as the guest sets it.
pub(crate) async fn run(
    inner: Arc<Inner>,
    request: http::Request<Body>,
    call: Arc<Call>,
    answer: oneshot::Sender<Answer>,
) -> Result<(), CallError> {
    let mut warm = match inner.kept_p2() {
        Some(mut warm) => {
            warm.store.data_mut().call = call.clone();
            warm
        }
        None => instantiate(&inner, &call).await?,
    };
    handle(&mut warm, &inner, request, &call, answer).await?;
    // One that kept the right to answer is not kept: its caller would wait for as long as it lives.
    if let Some(shelf) = inner.shelf_p2().filter(|_| call.is_answered()) {
        // A guest that forgot to finish its body holds it open; until it has ended, the call's deadline must go on.
        call.body_ended().await;
        shelf.put(warm);
    }
    Ok(())
}

async fn instantiate(inner: &Inner, call: &Arc<Call>) -> Result<Warm<Proxy>, CallError> {
    let Entry::HttpP2(pre) = &inner.image.entry else {
        return Err(CallError::NoExport { component: inner.shared.id.clone(), wanted: "HTTP" });
    };
    let mut store = guest::store(&inner.engine, &inner.shared, call);
    match pre.instantiate_async(&mut store).await {
        Ok(proxy) => Ok(Warm { store, proxy, uses: 0, since: Instant::now() }),
        Err(error) => Err(guest::failed(&store, call, error)),
    }
}

async fn handle(
    warm: &mut Warm<Proxy>,
    inner: &Inner,
    request: http::Request<Body>,
    call: &Arc<Call>,
    answer: oneshot::Sender<Answer>,
) -> Result<(), CallError> {
    let bad = |e: wasmtime::Error| CallError::Request {
        component: inner.shared.id.clone(),
        reason: format!("{e:#}"),
    };
    let store = &mut warm.store;
    let scheme = match request.uri().scheme_str() {
        Some("https") => Scheme::Https,
        _ => Scheme::Http,
    };
    let request = request.map(into_wasi);
    let request = store.data_mut().http().new_incoming_request(scheme, request).map_err(bad)?;
    let told = call.clone();
    let outparam = store.data_mut().http().new_response_outparam_from_callback(move |set| {
        told.answer();
        // Nobody listens any more when the caller went away meanwhile.
        let _ = answer.send(set.map_err(|code: ErrorCode| format!("{code:?}")));
    });
    let outparam = outparam.map_err(bad)?;
    let called = warm.proxy.wasi_http_incoming_handler().call_handle(&mut *store, request, outparam).await;
    called.map_err(|error| guest::failed(store, call, error))
}

pub(crate) type P2Shelf = Shelf<Proxy>;
