//! A host on a lattice in memory, with a builtin provider that records what it is told.

use async_trait::async_trait;
use futures::FutureExt;
use futures::future::BoxFuture;
use http_body_util::{BodyExt, Full};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use umbel_artifact::Store;
use umbel_core::code::call;
use umbel_core::event::Event;
use umbel_core::id::{ComponentId, LatticeName, ProviderId};
use umbel_core::limits::Limits;
use umbel_core::link::{Contract, Distance, Link, LinkKey, ResolvedLink, Values};
use umbel_core::{Coded, Problem, SystemClock};
use umbel_host::{Config, Deps, Host, StateDir, tree};
use umbel_lattice::control::{
    Client, ComponentView, Inventory, PartState, ProviderView, Scale, StartProvider,
};
use umbel_lattice::{InProcess, Lattice, Subscription, subjects};
use umbel_provider::http::{Body, Outgoing, OutgoingOptions, Request, Response};
use umbel_provider::{Endpoint, Factory, Provider, StartContext};
use umbel_runtime::compile::{Exit, Job, Worker, work};
use umbel_runtime::{Engine, Images};
use umbel_supervisor::{Cores, Env, Handle, Supervisor};

/// Longer than a loaded machine needs, shorter than a test may hang.
const DEADLINE: Duration = Duration::from_secs(30);

/// Compiles in this process; while it is held, compilations wait in it.
#[derive(Default)]
pub(crate) struct Compiler {
    pub(crate) runs: AtomicUsize,
    pub(crate) inside: AtomicUsize,
    pub(crate) held: AtomicBool,
    /// How many compilations are still to end without an answer.
    pub(crate) failing: AtomicUsize,
}

struct Inside<'a>(&'a AtomicUsize);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

#[async_trait]
impl Worker for Compiler {
    async fn run(&self, job: &Job) -> Result<Exit, String> {
        self.runs.fetch_add(1, SeqCst);
        self.inside.fetch_add(1, SeqCst);
        let _inside = Inside(&self.inside);
        while self.held.load(SeqCst) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        if self.failing.fetch_update(SeqCst, SeqCst, |n| n.checked_sub(1)).is_ok() {
            return Err("it ended with signal 11".into());
        }
        let args = job.args();
        let run = move || {
            let mut answer = Vec::new();
            (work(args, &mut answer), answer)
        };
        let (status, answer) = tokio::task::spawn_blocking(run).await.map_err(|e| e.to_string())?;
        Ok(if status == 0 { Exit::Done } else { Exit::Failed(answer) })
    }
}

/// What a provider was told.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Told {
    Started(Values),
    Put(ResolvedLink),
    Deleted(LinkKey),
    Config(Values),
    Stopped,
}

/// The builtin `fake`: records, refuses what it is told to refuse, and answers outgoing requests.
#[derive(Default)]
pub(crate) struct Fake {
    pub(crate) refuses: AtomicBool,
    /// How many starts are still to fail.
    pub(crate) failing_starts: AtomicUsize,
    /// Whoever has it keeps starts waiting.
    pub(crate) starting: tokio::sync::Mutex<()>,
    told: Mutex<Vec<(String, Told)>>,
    contexts: Mutex<Vec<StartContext>>,
}

impl Fake {
    fn note(&self, id: &ProviderId, told: Told) {
        self.told.lock().expect("no test panics with it").push((id.to_string(), told));
    }

    /// What the provider was told so far.
    pub(crate) fn told(&self, id: &str) -> Vec<Told> {
        let told = self.told.lock().expect("no test panics with it");
        told.iter().filter(|(to, _)| to == id).map(|(_, told)| told.clone()).collect()
    }

    /// The newest target and values of the provider's links, as it knows them.
    pub(crate) fn links(&self, id: &str) -> Vec<(String, Values, Values)> {
        let mut known: Vec<(LinkKey, (String, Values, Values))> = Vec::new();
        for told in self.told(id) {
            match told {
                Told::Put(put) => {
                    known.retain(|(key, _)| *key != put.link.key());
                    known.push((put.link.key(), (put.link.target, put.source_values, put.target_values)));
                }
                Told::Deleted(key) => known.retain(|(old, _)| *old != key),
                _ => {}
            }
        }
        known.into_iter().map(|(_, link)| link).collect()
    }
}

struct Recorder {
    fake: Arc<Fake>,
    id: ProviderId,
    links: Mutex<Vec<Link>>,
}

fn refusal() -> Problem {
    Problem::new(call::HTTP_LINK_CONFIG, "it does not want to")
}

/// The factory, since a provider holds what made it.
pub(crate) struct Fakes(pub(crate) Arc<Fake>, pub(crate) &'static str);

#[async_trait]
impl Factory for Fakes {
    fn name(&self) -> &'static str {
        self.1
    }

    fn stands_in_for(&self) -> &'static [&'static str] {
        &["fake"]
    }

    fn contracts(&self) -> Vec<Contract> {
        vec![Contract::new("wasi", "http", &["outgoing-handler", "incoming-handler"])]
    }

    async fn start(&self, cx: StartContext) -> Result<Arc<dyn Provider>, Problem> {
        drop(self.0.starting.lock().await);
        if self.0.failing_starts.fetch_update(SeqCst, SeqCst, |n| n.checked_sub(1)).is_ok() {
            return Err(refusal());
        }
        self.0.note(&cx.id, Told::Started(cx.config.clone()));
        let recorder = Recorder { fake: self.0.clone(), id: cx.id.clone(), links: Mutex::default() };
        self.0.contexts.lock().expect("no test panics with it").push(cx);
        Ok(Arc::new(recorder))
    }
}

#[async_trait]
impl Provider for Recorder {
    async fn put_link(&self, link: ResolvedLink) -> Result<(), Problem> {
        if self.fake.refuses.load(SeqCst) {
            return Err(refusal());
        }
        self.links.lock().expect("no test panics with it").push(link.link.clone());
        self.fake.note(&self.id, Told::Put(link));
        Ok(())
    }

    async fn del_link(&self, key: &LinkKey) -> Result<(), Problem> {
        self.links.lock().expect("no test panics with it").retain(|link| link.key() != *key);
        self.fake.note(&self.id, Told::Deleted(key.clone()));
        Ok(())
    }

    async fn put_config(&self, config: Values) -> Result<(), Problem> {
        self.fake.note(&self.id, Told::Config(config));
        Ok(())
    }

    fn endpoints(&self) -> Vec<Endpoint> {
        let links = self.links.lock().expect("no test panics with it");
        let endpoint =
            |link: &Link| Endpoint { component: link.target.clone(), url: format!("fake://{}", link.target) };
        links.iter().filter(|link| link.source_id == self.id.as_str()).map(endpoint).collect()
    }

    fn http_outgoing(&self) -> Option<Arc<dyn Outgoing>> {
        Some(Arc::new(Answers(self.id.to_string())))
    }

    async fn stop(&self, _: Duration) {
        self.fake.note(&self.id, Told::Stopped);
    }
}

/// Answers outgoing requests with a status that tells which provider it was: 200 and the last digit of its id.
struct Answers(String);

impl Outgoing for Answers {
    fn send(
        &self,
        _: &LinkKey,
        _: Request,
        _: OutgoingOptions,
    ) -> BoxFuture<'static, Result<Response, Problem>> {
        let digit = self.0.chars().last().and_then(|c| c.to_digit(10)).unwrap_or(0);
        let status = 200 + u16::try_from(digit).expect("one digit");
        let response = http::Response::builder().status(status).body(empty()).expect("a response");
        async move { Ok(response) }.boxed()
    }
}

/// A host that runs.
pub(crate) struct Bed {
    pub(crate) host: Host,
    pub(crate) tree: Handle,
    pub(crate) client: Client,
    pub(crate) fake: Arc<Fake>,
    pub(crate) compiler: Arc<Compiler>,
    pub(crate) folder: Arc<tempfile::TempDir>,
    events: Subscription,
    seen: Vec<Event>,
}

impl Bed {
    pub(crate) async fn start() -> Bed {
        Bed::start_with(|_| ()).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Bed {
        let lattice: Arc<dyn Lattice> = Arc::new(InProcess::ephemeral(name()));
        Bed::start_in(Arc::new(tempfile::tempdir().expect("a temp folder")), lattice, change).await
    }

    /// Starts a host on a folder and a lattice that may have been another's before.
    pub(crate) async fn start_in(
        folder: Arc<tempfile::TempDir>,
        lattice: Arc<dyn Lattice>,
        change: impl FnOnce(&mut Config),
    ) -> Bed {
        let state = StateDir::open(folder.path().join("state")).expect("a state folder");
        let key = state.host_key().expect("a key");
        let mut runtime = umbel_runtime::Config::new(state.join("code"));
        runtime.instances_max = 64;
        // Whatever is not in use is too much, if anybody looks.
        runtime.code_bytes_max = 0;
        let engine = Engine::new(&runtime).expect("an engine");
        let compiler = Arc::<Compiler>::default();
        let images = Images::new(engine, &runtime, compiler.clone()).expect("a cache");
        let store = Arc::new(Store::open(state.join("artifacts")).expect("a store"));
        let fake = Arc::<Fake>::default();
        let factories: Vec<Arc<dyn Factory>> =
            ["fake", "other", "third"].map(|name| Arc::new(Fakes(fake.clone(), name)) as _).into();
        let cores = Cores::start(2, "test").expect("threads");
        let clock = Arc::new(SystemClock);
        let deps = Deps { lattice: lattice.clone(), clock, images, store, factories, cores };
        let mut config = Config::new(name());
        change(&mut config);
        let host = Host::new(config, state, &key, deps).await.expect("a host");
        let events = lattice.observe(&subjects::evt::any(&name())).await.expect("a subscription");
        let mut spec = tree::root();
        spec.children = tree::children(&host);
        let tree = Supervisor::start("test", spec, Env::system());
        host.attach(tree.clone());
        tree.ready().await.expect("the host is up");
        let client = Client::new(lattice, DEADLINE);
        Bed { host, tree, client, fake, compiler, folder, events, seen: Vec::new() }
    }

    /// Stops the host; its folder and lattice can be used by another one.
    pub(crate) async fn stop(self) -> (Arc<tempfile::TempDir>, Arc<dyn Lattice>) {
        self.tree.shutdown().await;
        let Bed { host, folder, client, fake, .. } = self;
        let lattice = client.lattice().clone();
        // The lock goes with the last holder of the folder.
        let weak = Arc::downgrade(&host.0);
        // The host has its factories, and this one the contexts, which lead to the host.
        fake.contexts.lock().expect("no test panics with it").clear();
        drop((host, client, fake));
        until("the host is gone", async || (weak.strong_count() == 0).then_some(())).await;
        (folder, lattice)
    }

    pub(crate) fn scale_of(&self, id: &str, image: &Path) -> Scale {
        let image = image.to_str().expect("paths of the repository are text");
        Scale::new(self.host.id().clone(), component(id), image, 10)
    }

    /// Starts a component and waits until it serves.
    pub(crate) async fn run(&self, id: &str, image: &Path) {
        self.run_scale(&self.scale_of(id, image)).await;
    }

    pub(crate) async fn run_scale(&self, scale: &Scale) {
        self.client.scale(scale).await.expect("the order is taken");
        self.state_of(scale.component_id.as_str(), PartState::Running).await;
    }

    pub(crate) async fn inventory(&self) -> Inventory {
        self.client.inventory(self.host.id()).await.expect("an inventory")
    }

    pub(crate) async fn view(&self, id: &str) -> Option<ComponentView> {
        self.inventory().await.components.into_iter().find(|c| c.id.as_str() == id)
    }

    pub(crate) async fn provider(&self, id: &str) -> Option<ProviderView> {
        self.inventory().await.providers.into_iter().find(|p| p.id.as_str() == id)
    }

    /// Waits until the component's view fulfils the condition.
    pub(crate) async fn see(
        &self,
        id: &str,
        what: &str,
        condition: impl Fn(&ComponentView) -> bool,
    ) -> ComponentView {
        until(&format!("{id}: {what}"), async || self.view(id).await.filter(&condition)).await
    }

    pub(crate) async fn state_of(&self, id: &str, state: PartState) -> ComponentView {
        self.see(id, state.as_str(), |view| view.state == state).await
    }

    /// Starts a fake provider and waits until it runs.
    pub(crate) async fn start_provider(&self, id: &str, config: &[&str]) {
        let mut start = StartProvider::new(self.host.id().clone(), provider_id(id), "builtin:fake");
        start.config = config.iter().map(|c| (*c).to_string()).collect();
        self.client.start_provider(&start).await.expect("the order is taken");
        until("the provider runs", async || {
            self.provider(id).await.filter(|p| p.state == PartState::Running)
        })
        .await;
    }

    /// Calls a component as a provider does.
    pub(crate) fn call(&self, id: &str, path: &str) -> BoxFuture<'static, Result<Response, Problem>> {
        let slot = self.host.0.slot(id);
        let uri = format!("http://{id}.localhost{path}");
        let request = http::Request::builder().uri(uri).body(empty()).expect("a request");
        match slot {
            Some(slot) => umbel_provider::http::Handler::call(&*slot, request),
            None => async { Err(Problem::new(call::HTTP_NO_ROUTE, "no such component")) }.boxed(),
        }
    }

    pub(crate) async fn get(&self, id: &str, path: &str) -> Result<String, Problem> {
        Ok(text(self.call(id, path).await?).await)
    }

    /// The next event of that name that is about `id`.
    pub(crate) async fn event(&mut self, name: &str, id: &str) -> serde_json::Value {
        let found =
            |event: &Event| event.name() == name && (id.is_empty() || event.data.to_string().contains(id));
        loop {
            if let Some(at) = self.seen.iter().position(found) {
                return self.seen.remove(at).data;
            }
            let message = tokio::time::timeout(DEADLINE, self.events.next()).await;
            let message = message.unwrap_or_else(|_| panic!("no event {name} about `{id}`: {:?}", self.seen));
            let message = message.expect("the lattice is up");
            self.seen.push(serde_json::from_slice(&message.payload).expect("an event"));
        }
    }
}

/// Waits until there is an answer.
pub(crate) async fn until<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = std::time::Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = probe().await {
            return answer;
        }
        assert!(std::time::Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) fn name() -> LatticeName {
    LatticeName::new("default").expect("a name")
}

pub(crate) fn component(id: &str) -> ComponentId {
    ComponentId::new(id).expect("an id")
}

pub(crate) fn provider_id(id: &str) -> ProviderId {
    ProviderId::new(id).expect("an id")
}

/// A link of `wasi:http` with these interfaces.
pub(crate) fn link(source: &str, target: &str, interfaces: &[&str]) -> Link {
    Link {
        source_id: source.into(),
        target: target.into(),
        name: "default".into(),
        contract: Contract::new("wasi", "http", interfaces),
        source_config: Vec::new(),
        target_config: Vec::new(),
        distance: Distance::Any,
    }
}

pub(crate) fn values(pairs: &[(&str, &str)]) -> Values {
    pairs.iter().map(|(k, v)| ((*k).to_string(), (*v).to_string())).collect()
}

pub(crate) fn outbound(hosts: &[&str]) -> Limits {
    Limits { outbound_hosts: hosts.iter().map(|h| (*h).to_string()).collect(), ..Limits::default() }
}

pub(crate) fn empty() -> Body {
    Full::default().map_err(|never| match never {}).boxed_unsync()
}

pub(crate) async fn text(response: Response) -> String {
    let body = response.into_body().collect().await.expect("a whole body");
    String::from_utf8(body.to_bytes().to_vec()).expect("text")
}

/// The code with which an order was refused.
pub(crate) fn code<T: std::fmt::Debug>(result: Result<T, umbel_lattice::control::ControlError>) -> String {
    let error = result.expect_err("it is refused");
    assert!(!error.help().is_empty());
    error.code().to_string()
}

/// A file in the bed's folder.
pub(crate) fn file(bed: &Bed, name: &str, bytes: &[u8]) -> PathBuf {
    let path = bed.folder.path().join(name);
    std::fs::write(&path, bytes).expect("writable");
    path
}
