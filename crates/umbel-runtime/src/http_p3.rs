//! `wasi:http/handler@0.3`.
//!
//! The guest's body is a stream inside the store, so the store is driven until the last frame has left, and until the guest has
//! no task left that it cares about.

use crate::body::{Body, into_wasi};
use crate::component::Inner;
use crate::ctx::Ctx;
use crate::error::CallError;
use crate::guest::{self, Call};
use crate::handler::{Exports, Handler};
use crate::image::{Entry, Image};
use crate::warm::Shelf;
use std::future::poll_fn;
use std::sync::Arc;
use wasmtime::Store;
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::p3::Request;
use wasmtime_wasi_http::p3::bindings::Service;

impl Exports for Service {
    fn shelf(inner: &Inner) -> &Shelf<Service> {
        &inner.p3
    }

    async fn instantiate(image: &Image, store: &mut Store<Ctx>) -> Option<wasmtime::Result<Service>> {
        let Entry::HttpP3(pre) = &image.entry else { return None };
        Some(pre.instantiate_async(store).await)
    }
}

impl Handler for Service {
    async fn handle(
        &self,
        store: &mut Store<Ctx>,
        request: http::Request<Body>,
        call: &Arc<Call>,
    ) -> Result<(), CallError> {
        let (request, io) = Request::from_http(store.data_mut().http().hooks, request.map(into_wasi));
        let done = store
            .run_concurrent(async |accessor| -> wasmtime::Result<()> {
                match Service::handle(self, accessor, request).await? {
                    Ok(response) => {
                        let response = accessor.with(|store| response.into_http(store, io))?;
                        call.outbox.put(Ok(response));
                        // The guest goes on meanwhile: a short body is whole before it waits for anything.
                        poll_fn(|cx| call.outbox.poll_gather(cx)).await;
                        call.send();
                        call.body_ended().await;
                    }
                    Err(code) => call.outbox.put(Err(format!("{code:?}"))),
                }
                poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
                Ok(())
            })
            .await;
        done.flatten().map_err(|error| guest::failed(store, call, error))
    }
}
