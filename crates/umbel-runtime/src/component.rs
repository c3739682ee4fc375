//! A component: an image under an id, with its budget and its way out. Calls come in here.

use crate::answer::Outbox;
use crate::body::{Body, BodyWatch, Watched};
use crate::budget::{Budget, Usage};
use crate::calls::{HostCalls, Within};
use crate::ctx::Shared;
use crate::engine::{Engine, Pool};
use crate::error::CallError;
use crate::granted::Granted;
use crate::guest::{self, Call, Guest};
use crate::handler;
use crate::image::{Entry, Image};
use crate::lane;
use crate::session::Session;
use crate::warm::{Keeper, Shelf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use umbel_core::limits::InstanceMode;
use wasmtime::component::Instance;
use wasmtime_wasi_http::p2::bindings::Proxy;
use wasmtime_wasi_http::p3::bindings::Service;

/// How long a kept instance may be idle.
pub const WARM_IDLE_MAX: Duration = Duration::from_secs(30);

/// One revision of a running component. Cheap to clone; an update makes a new one with the same [`Budget`].
#[derive(Clone)]
pub struct Component {
    pub(crate) inner: Arc<Inner>,
    /// The one instance of a [resident](crate::Resident), in which all calls of its contracts run.
    pub(crate) resident: Option<Arc<Session>>,
}

pub(crate) struct Inner {
    pub engine: Engine,
    pub shared: Arc<Shared>,
    pub image: Arc<Image>,
    mode: InstanceMode,
    pub p2: Shelf<Proxy>,
    pub p3: Shelf<Service>,
    pub bare: Shelf<Instance>,
}

impl Inner {
    /// The engine that its instances are of.
    pub(crate) fn pool(&self) -> &Pool {
        self.image.pool(&self.engine)
    }

    /// Whether instances are kept for the next call.
    pub(crate) fn keeps(&self) -> bool {
        self.mode == InstanceMode::Reuse
    }
}

impl Keeper for Inner {
    fn idle(&self) -> Vec<Instant> {
        let mut idle = self.p2.idle();
        idle.extend(self.p3.idle());
        idle.extend(self.bare.idle());
        idle
    }

    fn drop_idle(&self, since: Instant) -> usize {
        self.p2.drop_idle(since) + self.p3.drop_idle(since) + self.bare.drop_idle(since)
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
        granted: Granted,
    ) -> Component {
        let shared =
            Arc::new(Shared { id: id.to_string(), budget, calls, granted, heavy_until: AtomicU64::new(0) });
        let inner = Inner {
            engine: engine.clone(),
            shared,
            image,
            mode,
            p2: Shelf::default(),
            p3: Shelf::default(),
            bare: Shelf::default(),
        };
        let inner = Arc::new(inner);
        if inner.keeps() {
            let keeper: Weak<Inner> = Arc::downgrade(&inner);
            inner.pool().kept.add(keeper);
        }
        Component { inner, resident: None }
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
        if let Some(since) = Instant::now().checked_sub(WARM_IDLE_MAX) {
            self.inner.drop_idle(since);
        }
    }

    /// Answers one HTTP request. The guest runs on the thread that polls this future. Dropping the future, or the response's body
    /// before its end, ends the guest.
    pub async fn http(&self, request: http::Request<Body>) -> Result<http::Response<Body>, CallError> {
        self.answer(request, None).await
    }

    /// The same for a request that a component sends: it is part of that one's call, ends no later, and counts to how deep calls lead to
    /// calls. It has a task of its own, because the event loop of the one who asks cannot run that of the one who answers.
    pub async fn http_within(
        &self,
        request: http::Request<Body>,
        Within(parent): Within,
    ) -> Result<http::Response<Body>, CallError> {
        let component = self.clone();
        let answer = lane::apart(async move { component.answer(request, Some(parent)).await }).await;
        answer.unwrap_or_else(|| Err(guest::panicked(&self.inner.shared)))
    }

    async fn answer(
        &self,
        request: http::Request<Body>,
        parent: Option<Arc<Call>>,
    ) -> Result<http::Response<Body>, CallError> {
        let inner = &self.inner;
        let head_only = request.method() == http::Method::HEAD;
        let (caller, answered) = oneshot::channel();
        let (shared, outbox) = (&inner.shared, Outbox::new(caller));
        let call = Call::new(&inner.engine, shared, shared.limits().call_ms_max, outbox, parent)?;
        let permit = call.admit().await?;
        let guest = match &inner.image.entry {
            Entry::HttpP2(_) => {
                let work = handler::run::<Proxy>(inner.clone(), request, call.clone());
                Guest::start(&inner.shared, &call, with_permit(permit, work)).await
            }
            Entry::HttpP3(_) => {
                let work = handler::run::<Service>(inner.clone(), request, call.clone());
                Guest::start(&inner.shared, &call, with_permit(permit, work)).await
            }
            Entry::CommandP2(_) | Entry::CommandP3(_) | Entry::Contracts => {
                return Err(CallError::NoExport { component: self.id().to_string(), wanted: "HTTP" });
            }
        };
        if guest.has_ended() {
            // Whoever else is ready comes first. Answers then leave right after one another, and who reads them is woken once for
            // many: waking costs as much as a third of answering.
            give_way().await;
        }
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

/// Goes to the end of the queue of what is ready on this thread.
async fn give_way() {
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

/// Gives the instance's place back when the work is over and its store is gone.
async fn with_permit<P, F: Future>(permit: P, work: F) -> F::Output {
    let output = work.await;
    drop(permit);
    output
}
