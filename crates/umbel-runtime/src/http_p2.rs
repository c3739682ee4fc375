//! `wasi:http/incoming-handler@0.2`.

use crate::body::{Body, into_wasi};
use crate::component::Inner;
use crate::ctx::Ctx;
use crate::error::CallError;
use crate::guest::{self, Call};
use crate::handler::{Exports, Handler};
use crate::image::{Entry, Image};
use crate::warm::Shelf;
use std::sync::Arc;
use wasmtime::Store;
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::p2::bindings::Proxy;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};

impl Exports for Proxy {
    fn shelf(inner: &Inner) -> &Shelf<Proxy> {
        &inner.p2
    }

    async fn instantiate(image: &Image, store: &mut Store<Ctx>) -> Option<wasmtime::Result<Proxy>> {
        let Entry::HttpP2(pre) = &image.entry else { return None };
        Some(pre.instantiate_async(store).await)
    }
}

impl Handler for Proxy {
    async fn handle(
        &self,
        store: &mut Store<Ctx>,
        request: http::Request<Body>,
        call: &Arc<Call>,
    ) -> Result<(), CallError> {
        let scheme = match request.uri().scheme_str() {
            Some("https") => Scheme::Https,
            _ => Scheme::Http,
        };
        let bad = |store: &Store<Ctx>, error: wasmtime::Error| CallError::Request {
            component: store.data().shared().id.clone(),
            reason: format!("{error:#}"),
        };
        let request = store.data_mut().http().new_incoming_request(scheme, request.map(into_wasi));
        let request = request.map_err(|error| bad(store, error))?;
        let told = call.clone();
        let outparam = store.data_mut().http().new_response_outparam_from_callback(move |set| {
            told.outbox.put(set.map_err(|code: ErrorCode| format!("{code:?}")));
        });
        let outparam = outparam.map_err(|error| bad(store, error))?;
        let called = self.wasi_http_incoming_handler().call_handle(&mut *store, request, outparam).await;
        called.map_err(|error| guest::failed(store, call, error))
    }
}
