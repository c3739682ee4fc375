//! A component: an image under an id, with its budget and its way out. Calls come in here.

use crate::body::{Body, BodyWatch, Watched};
use crate::budget::{Budget, Usage};
use crate::calls::HostCalls;
use crate::ctx::Shared;
use crate::engine::Engine;
use crate::error::CallError;
use crate::guest::{Call, Guest};
use crate::http_p2::{self, Answer, P2Shelf};
use crate::http_p3::{self, P3Shelf};
use crate::image::{Entry, Image};
use crate::warm::Warm;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use umbel_core::limits::InstanceMode;
use wasmtime_wasi_http::p2::bindings::Proxy;
use wasmtime_wasi_http::p3::bindings::Service;

/// How long a kept instance may be idle.
pub const WARM_IDLE_MAX: Duration = Duration::from_secs(30);

/// One revision of a running component. Cheap to clone; an update makes a new one with the same [`Budget`].
#[derive(Clone)]
pub struct Component {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub engine: Engine,
    pub shared: Arc<Shared>,
    pub image: Arc<Image>,
    mode: InstanceMode,
    p2: P2Shelf,
    p3: P3Shelf,
}

impl Inner {
    pub(crate) fn shelf_p2(&self) -> Option<&P2Shelf> {
        (self.mode == InstanceMode::Reuse).then_some(&self.p2)
    }

    pub(crate) fn shelf_p3(&self) -> Option<&P3Shelf> {
        (self.mode == InstanceMode::Reuse).then_some(&self.p3)
    }

    pub(crate) fn kept_p2(&self) -> Option<Warm<Proxy>> {
        self.shelf_p2()?.take()
    }

    pub(crate) fn kept_p3(&self) -> Option<Warm<Service>> {
        self.shelf_p3()?.take()
    }
}

impl Component {
    /// A component that runs `image` as `id`.
    pub fn new(
        engine: &Engine,
        id: &str,
        image: Arc<Image>,
        mode: InstanceMode,
        budget: Arc<Budget>,
        calls: Arc<dyn HostCalls>,
    ) -> Component {
        let shared = Arc::new(Shared { id: id.to_string(), budget, calls });
        let inner = Inner {
            engine: engine.clone(),
            shared,
            image,
            mode,
            p2: P2Shelf::default(),
            p3: P3Shelf::default(),
        };
        Component { inner: Arc::new(inner) }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.inner.shared.id
    }

    /// What it runs.
    pub fn image(&self) -> &Arc<Image> {
        &self.inner.image
    }

    /// What it has used.
    pub fn usage(&self) -> Usage {
        self.inner.shared.budget.usage()
    }

    /// Drops kept instances that have been idle for too long.
    pub fn trim(&self) {
        self.inner.p2.trim(WARM_IDLE_MAX);
        self.inner.p3.trim(WARM_IDLE_MAX);
    }

    /// Answers one HTTP request. The guest runs on the thread that polls this future. Dropping the future, or the response's body
    /// before its end, ends the guest.
    pub async fn http(&self, request: http::Request<Body>) -> Result<http::Response<Body>, CallError> {
        let inner = &self.inner;
        let head_only = request.method() == http::Method::HEAD;
        let permit = inner.shared.budget.admit().await?;
        let call = Call::new(&inner.engine, inner.shared.limits().call_ms_max);
        let (answer, answered) = oneshot::channel::<Answer>();
        let guest = match &inner.image.entry {
            Entry::HttpP2(_) => {
                let work = http_p2::run(inner.clone(), request, call.clone(), answer);
                Guest::start(&inner.shared, &call, with_permit(permit, work))
            }
            Entry::HttpP3(_) => {
                let work = http_p3::run(inner.clone(), request, call.clone(), answer);
                Guest::start(&inner.shared, &call, with_permit(permit, work))
            }
            Entry::CommandP2(_) | Entry::CommandP3(_) => {
                return Err(CallError::NoExport { component: self.id().to_string(), wanted: "HTTP" });
            }
        };
        match answered.await {
            Ok(Ok(response)) => {
                guest.release();
                let length = if head_only { Some(0) } else { announced(&response) };
                Ok(response.map(|body| Watched::body(body, call, length)))
            }
            Ok(Err(error)) => {
                // There is no body to wait for.
                call.ended();
                guest.release();
                Err(CallError::Guest { component: self.id().to_string(), error })
            }
            Err(_) => Err(guest.outcome(&inner.shared).await),
        }
    }
}

/// The length of the body that the head announces.
fn announced<B>(response: &http::Response<B>) -> Option<u64> {
    response.headers().get(http::header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Gives the instance's place back when the work is over and its store is gone.
async fn with_permit<P, F: Future>(permit: P, work: F) -> F::Output {
    let output = work.await;
    drop(permit);
    output
}
