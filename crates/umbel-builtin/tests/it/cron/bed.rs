//! Components that are closures, and a clock that is turned by hand.

use futures::future::BoxFuture;
use http_body_util::{BodyExt, Empty};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use umbel_builtin::cron::Cron;
use umbel_core::id::ProviderId;
use umbel_core::link::{Contract, Distance, Link, ResolvedLink, Values};
use umbel_core::{Clock, Problem};
use umbel_provider::http::{Body, Handler, Request, Response};
use umbel_provider::{Factory, Provider, StartContext, Targets};
use umbel_supervisor::cores::Cores;
use umbel_wit::{Call, Serve, Value};

/// 2026-01-01T00:00:00Z.
pub(crate) const START: Duration = Duration::from_secs(1_767_225_600);

/// Waits until the condition holds. Real time bounds it, because the runs are on threads of their own.
pub(crate) async fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < Duration::from_secs(30), "did not happen: {what}");
        tokio::time::sleep(Duration::from_secs(1)).await;
        std::thread::yield_now();
    }
}

/// A clock that stands still until it is turned.
pub(crate) struct HandClock(AtomicU64);

impl HandClock {
    pub(crate) fn turn(&self, seconds: u64) {
        self.0.fetch_add(seconds, SeqCst);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn unix_time(&self) -> Duration {
        Duration::from_secs(self.0.load(SeqCst))
    }
}

#[derive(Default)]
pub(crate) struct Components {
    exports: Mutex<HashMap<(String, String), Arc<dyn Serve>>>,
    http: Mutex<HashMap<String, Arc<dyn Handler>>>,
}

impl Targets for Components {
    fn http(&self, component: &str) -> Option<Arc<dyn Handler>> {
        self.http.lock().expect("not poisoned").get(component).cloned()
    }

    fn export(&self, component: &str, interface: &str) -> Option<Arc<dyn Serve>> {
        let exports = self.exports.lock().expect("not poisoned");
        exports.get(&(component.to_string(), interface.to_string())).cloned()
    }

    fn application_of(&self, component: &str) -> Option<String> {
        component.split_once('-').map(|(application, _)| application.to_string())
    }
}

pub(crate) struct Bed {
    pub(crate) clock: Arc<HandClock>,
    pub(crate) cron: Cron,
    pub(crate) components: Arc<Components>,
    pub(crate) provider: Arc<dyn Provider>,
    folder: tempfile::TempDir,
    _cores: Arc<Cores>,
}

pub(crate) fn scheduler() -> Contract {
    Contract::new("wasmcloud", "cron", &["scheduler"])
}

pub(crate) fn link(component: &str, contract: Contract, config: &[(&str, &str)]) -> ResolvedLink {
    ResolvedLink::new(
        Link {
            source_id: "cron".into(),
            target: component.into(),
            name: component.into(),
            contract,
            source_config: Vec::new(),
            target_config: Vec::new(),
            distance: Distance::Any,
        },
        config.iter().map(|(k, v)| ((*k).to_string(), (*v).to_string())).collect(),
        Values::new(),
    )
}

async fn provider(
    cron: &Cron,
    components: &Arc<Components>,
    folder: &tempfile::TempDir,
) -> Arc<dyn Provider> {
    let cx = StartContext {
        id: ProviderId::new("cron").expect("an id"),
        config: Values::new(),
        secrets: Default::default(),
        targets: components.clone(),
        folder: folder.path().join("cron"),
    };
    cron.start(cx).await.expect("it starts")
}

impl Bed {
    pub(crate) async fn new() -> Bed {
        let clock = Arc::new(HandClock(AtomicU64::new(START.as_secs())));
        let cores = Cores::start(2, "test").expect("threads");
        let cron = Cron::new(&cores, clock.clone());
        let components = Arc::new(Components::default());
        let folder = tempfile::tempdir().expect("a folder");
        let provider = provider(&cron, &components, &folder).await;
        Bed { clock, cron, components, provider, folder, _cores: cores }
    }

    /// The same provider after a restart of the host.
    pub(crate) async fn restart(&mut self) {
        self.cron = Cron::new(&self._cores, self.clock.clone());
        self.provider = provider(&self.cron, &self.components, &self.folder).await;
    }

    pub(crate) async fn put(&self, component: &str, contract: Contract, config: &[(&str, &str)]) {
        self.provider.put_link(link(component, contract, config)).await.expect("a good link");
    }

    /// Until every job has looked at the clock: an hour of tokio's time, in which nothing else happens.
    pub(crate) async fn settle(&self) {
        tokio::time::sleep(Duration::from_secs(3_600)).await;
    }

    /// A component that answers requests with a status, and what it is asked.
    pub(crate) fn http(&self, component: &str, status: u16) -> Arc<Mutex<Vec<Seen>>> {
        let web = Web { status, seen: Arc::default() };
        let seen = web.seen.clone();
        self.components.http.lock().expect("not poisoned").insert(component.into(), Arc::new(web));
        seen
    }
}

struct Web {
    status: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// A request.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) body: String,
    headers: umbel_provider::http::HeaderMap,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl Handler for Web {
    fn call(&self, request: Request) -> BoxFuture<'static, Result<Response, Problem>> {
        let (seen, status) = (self.seen.clone(), self.status);
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.expect("a body").to_bytes();
            seen.lock().expect("not poisoned").push(Seen {
                method: head.method.to_string(),
                target: head.uri.to_string(),
                body: String::from_utf8_lossy(&body).into_owned(),
                headers: head.headers,
            });
            let response = http::Response::builder().status(status);
            Ok(response.body(Body::new(Empty::new().map_err(|never| match never {}))).expect("a response"))
        })
    }
}

type Answer = Result<Option<Value>, Problem>;

/// A component with a job, which can be held.
#[derive(Clone)]
pub(crate) struct Scheduler {
    payloads: Arc<Mutex<Vec<String>>>,
    pub(crate) inside: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    held: Arc<AtomicBool>,
    released: Arc<Notify>,
    answer: Arc<Mutex<fn() -> Answer>>,
}

impl Scheduler {
    pub(crate) fn new(bed: &Bed, component: &str) -> Scheduler {
        Scheduler::with(bed, component, "wasmcloud:cron/scheduler")
    }

    pub(crate) fn with(bed: &Bed, component: &str, interface: &str) -> Scheduler {
        let scheduler = Scheduler {
            payloads: Arc::default(),
            inside: Arc::default(),
            most: Arc::default(),
            held: Arc::default(),
            released: Arc::default(),
            answer: Arc::new(Mutex::new(|| Ok(Some(Value::unit())))),
        };
        let key = (component.to_string(), interface.to_string());
        bed.components.exports.lock().expect("not poisoned").insert(key, Arc::new(scheduler.clone()));
        scheduler
    }

    pub(crate) fn hold(&self) {
        self.held.store(true, SeqCst);
    }

    pub(crate) fn release(&self) {
        self.held.store(false, SeqCst);
        self.released.notify_waiters();
    }

    pub(crate) fn answer(&self, answer: fn() -> Answer) {
        *self.answer.lock().expect("not poisoned") = answer;
    }

    pub(crate) fn calls(&self) -> usize {
        self.payloads.lock().expect("not poisoned").len()
    }

    pub(crate) fn most(&self) -> usize {
        self.most.load(SeqCst)
    }

    pub(crate) fn payloads(&self) -> Vec<String> {
        self.payloads.lock().expect("not poisoned").clone()
    }
}

/// Counts a call while it lives, also when it is cut.
struct Inside(Arc<AtomicUsize>);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl Serve for Scheduler {
    fn call(&self, call: Call) -> BoxFuture<'static, Answer> {
        let component = self.clone();
        let payload = match call.args.into_iter().next() {
            Some(Value::Bytes(payload)) => String::from_utf8_lossy(&payload).into_owned(),
            Some(other) => panic!("not a payload: {other:?}"),
            None => String::new(),
        };
        Box::pin(async move {
            let now = component.inside.fetch_add(1, SeqCst) + 1;
            let _inside = Inside(component.inside.clone());
            component.most.fetch_max(now, SeqCst);
            component.payloads.lock().expect("not poisoned").push(payload);
            loop {
                let released = component.released.notified();
                tokio::pin!(released);
                released.as_mut().enable();
                if !component.held.load(SeqCst) {
                    break;
                }
                released.await;
            }
            let answer = *component.answer.lock().expect("not poisoned");
            answer()
        })
    }
}
