//! What the children of the tree share: immutable parts, and the snapshots that their owners publish.

use crate::component;
use crate::config::Config;
use crate::door::{Bindings, Importer};
use crate::elsewhere::Elsewhere;
use crate::error::HostError;
use crate::event_log::Ask;
use crate::exports::Exports;
use crate::given::{self, Given};
use crate::logs::{self, LogInbox, LogSender};
use crate::parts::Parts;
use crate::process::Processes;
use crate::provider::ProviderSlot;
use crate::registries::{self, Registries};
use crate::slot::{Revision, Slot};
use crate::state::StateDir;
use crate::tables::{Records, Tables};
use crate::trouble::Compared;
use arc_swap::ArcSwap;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, mpsc, watch};
use umbel_artifact::Store;
use umbel_core::event::{Deed, Event, Fact};
use umbel_core::id::{ComponentId, HostId};
use umbel_core::link::LinkKey;
use umbel_core::nkey::KeyPair;
use umbel_core::{Clock, Problem};
use umbel_lattice::control::PartState;
use umbel_lattice::{InProcess, Lattice, Message, subjects};
use umbel_provider::http::Handler;
use umbel_provider::{Factory, Targets};
use umbel_runtime::calls::{Level, Stream};
use umbel_runtime::{Image, Images};
use umbel_supervisor::{Cores, Handle, Scope, Stop, Tree};
use umbel_wit::{Interface, InterfaceName, Serve};

/// What changes links and parts within this time is followed once. The first change is followed at once.
pub const COALESCE: Duration = Duration::from_millis(10);

/// How long somebody waits for the tables to be current.
const CATCH_UP_MAX: Duration = Duration::from_secs(1);

/// What a host is built from.
pub struct Deps {
    /// The lattice.
    pub lattice: Arc<dyn Lattice>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Compiled components.
    pub images: Images,
    /// Component bytes.
    pub store: Arc<Store>,
    /// The builtin providers of this build.
    pub factories: Vec<Arc<dyn Factory>>,
    /// The data path, where guests run.
    pub cores: Arc<Cores>,
}

/// The types of what builtins serve. Reading them takes a while, so each is read once, when somebody asks.
#[derive(Default)]
pub struct Contracts(std::sync::Mutex<BTreeMap<&'static str, Served>>);

/// Interfaces with their types.
pub type Served = Arc<[(InterfaceName, Arc<Interface>)]>;

impl Contracts {
    /// Those of a builtin; empty if it says no types.
    pub fn of(&self, factory: &dyn Factory) -> Served {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let read = || factory.interfaces().into_iter().map(|(name, it)| (name, Arc::new(it))).collect();
        known.entry(factory.name()).or_insert_with(read).clone()
    }
}

/// Parts and snapshots of one host.
pub struct Shared {
    /// Its settings.
    pub config: Config,
    /// Its folder.
    pub state: StateDir,
    /// Its id: the public key.
    pub id: HostId,
    /// The lattice.
    pub lattice: Arc<dyn Lattice>,
    /// What it has in this process alone, where others share it: provider processes of this host are reached over it.
    pub local: Arc<dyn Lattice>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Compiled components.
    pub images: Images,
    /// Component bytes.
    pub store: Arc<Store>,
    /// Where images come from.
    pub registries: Registries,
    /// Builtin providers by name.
    pub factories: Vec<Arc<dyn Factory>>,
    /// What builtins serve, by their names.
    pub contracts: Contracts,
    /// The data path.
    pub cores: Arc<Cores>,
    /// When it started.
    pub started: Instant,
    /// Links and configs, by their owner `tables`.
    pub tables: watch::Sender<Arc<Tables>>,
    /// Components by id.
    pub slots: Parts<Slot>,
    /// Providers by id.
    pub providers: Parts<ProviderSlot>,
    /// Told when a component or provider comes or goes, or a provider has taken its links.
    pub parts: watch::Sender<()>,
    /// Labels, with the `hostcore.*` ones.
    pub labels: ArcSwap<BTreeMap<String, String>>,
    /// Where guests' lines go.
    pub logs: LogSender,
    /// Where they arrive.
    pub log_inbox: LogInbox,
    /// Questions to the event log.
    pub event_asks: mpsc::Sender<Ask>,
    /// Where they arrive.
    pub event_inbox: Mutex<mpsc::Receiver<Ask>>,
    /// Requested when somebody asked the host to stop.
    pub stop_requested: Stop,
    /// Whether new work is refused.
    pub draining: AtomicBool,
    /// Secrets of what runs.
    pub given: Given,
    /// What comparing the two ends of links has found.
    pub compared: Compared,
    /// Providers that are processes.
    pub processes: Processes,
    /// Providers that were replaced, until they have answered.
    pub retiring: Scope,
    /// The way to other hosts, where there may be any.
    pub elsewhere: Option<Elsewhere>,
    /// What other hosts can call here.
    pub exports: Exports,
    /// What calls from and to other hosts do beside the data path.
    pub calls: Scope,
    records: Records,
    root: OnceLock<Handle>,
    servers: OnceLock<Handle>,
}

/// A host before and while it runs.
#[derive(Clone)]
pub struct Host(pub Arc<Shared>);

impl Host {
    /// Prepares a host; [`crate::tree::children`] is what runs of it.
    pub async fn new(config: Config, state: StateDir, key: &KeyPair, deps: Deps) -> Result<Host, Problem> {
        let id = HostId::new(key.public_key().as_str()).map_err(|e| Problem::from(&e))?;
        let records = Records::open(&*deps.lattice, &config.lattice).await.map_err(|e| Problem::from(&e))?;
        let (logs, log_inbox) = logs::channel(deps.clock.clone());
        let (event_asks, event_inbox) = mpsc::channel(256);
        let labels = labels(&config);
        let local: Arc<dyn Lattice> = if deps.lattice.is_shared() {
            Arc::new(InProcess::ephemeral(config.lattice.clone()))
        } else {
            deps.lattice.clone()
        };
        let calls = Scope::new("calls between hosts");
        let call_max = config.wasmcloud.rpc_timeout.unwrap_or(crate::elsewhere::CALL_MAX);
        let elsewhere = Elsewhere::open(&deps.lattice, call_max, &deps.cores, &calls).await?;
        let registries = Registries::new(&config.registries)?;
        let host = Host(Arc::new(Shared {
            config,
            state,
            id,
            lattice: deps.lattice,
            local,
            clock: deps.clock,
            images: deps.images,
            store: deps.store,
            registries,
            factories: deps.factories,
            contracts: Contracts::default(),
            cores: deps.cores,
            started: Instant::now(),
            tables: watch::Sender::new(Arc::default()),
            slots: Parts::default(),
            providers: Parts::default(),
            parts: watch::Sender::new(()),
            labels: ArcSwap::from_pointee(labels),
            logs,
            log_inbox,
            event_asks,
            event_inbox: Mutex::new(event_inbox),
            stop_requested: Stop::new(),
            draining: AtomicBool::new(false),
            given: Given::default(),
            compared: Compared::default(),
            processes: Processes::default(),
            retiring: Scope::new("replaced providers"),
            elsewhere,
            exports: Exports::default(),
            calls,
            records,
            root: OnceLock::new(),
            servers: OnceLock::new(),
        }));
        registries::ask(&host.0).await;
        host.0.processes.sweep(&host.0).await?;
        Ok(host)
    }

    /// Its id.
    pub fn id(&self) -> &HostId {
        &self.0.id
    }

    /// Tells it the root of the tree that its children run in, for inventory and for starting components.
    pub fn attach(&self, root: Handle) {
        // Attached once, by whoever starts the tree.
        let _ = self.0.root.set(root);
    }

    /// Tells it the supervisor of what must run before the tree and end after it, because the lattice is carried by it: the tree shows
    /// its children before its own.
    pub fn show(&self, servers: Handle) {
        // Once, as the root.
        let _ = self.0.servers.set(servers);
    }

    /// Waits until every provider that was ordered has taken its links once, or has failed.
    pub async fn settled(&self) {
        let mut parts = self.0.parts.subscribe();
        let is_starting = |slot: &Arc<ProviderSlot>| slot.status().0 == PartState::Starting;
        while self.0.providers.all().values().any(is_starting) {
            if parts.changed().await.is_err() {
                return;
            }
        }
    }

    /// All that was ordered before is ordered again: processes that an older host has left and that nobody ordered are ended.
    pub fn restored(&self) {
        self.0.processes.restored();
    }

    /// Ends when somebody asked the host to stop over the lattice.
    pub async fn stop_requested(&self) {
        self.0.stop_requested.requested().await;
    }
}

/// wasmCloud's own labels, so that requirements of its manifests match, and those that were given.
fn labels(config: &Config) -> BTreeMap<String, String> {
    let mut labels = config.labels.clone();
    labels.insert("hostcore.arch".into(), std::env::consts::ARCH.into());
    labels.insert("hostcore.os".into(), std::env::consts::OS.into());
    labels.insert("hostcore.osfamily".into(), std::env::consts::FAMILY.into());
    labels
}

impl Shared {
    /// The durable side of links and configs.
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// The root of the tree.
    pub fn root(&self) -> Option<&Handle> {
        self.root.get()
    }

    /// All that runs, as it is shown: what carries the lattice, then the host's own tree.
    pub fn tree(&self) -> Option<Tree> {
        let mut tree = Tree::clone(&*self.root.get()?.tree());
        if let Some(servers) = self.servers.get() {
            tree.children.splice(..0, servers.tree().children.iter().cloned());
        }
        Some(tree)
    }

    /// The component of that id.
    pub fn slot(&self, id: &str) -> Option<Arc<Slot>> {
        self.slots.get(id)
    }

    /// The provider of that id.
    pub fn provider(&self, id: &str) -> Option<Arc<ProviderSlot>> {
        self.providers.get(id)
    }

    /// Tells that a component or provider has come or gone, or that a provider has taken its links.
    pub fn parts_changed(&self) {
        self.parts.send_replace(());
    }

    /// Waits until the tables have what was written here until now: who puts a config and then starts what needs it, finds it there.
    pub async fn caught_up(&self) {
        let mut tables = self.tables.subscribe();
        let caught_up = tables.wait_for(|tables| tables.has_all_of(&self.records));
        // Whoever keeps the tables may be down; what is known is better than nothing.
        let _ = tokio::time::timeout(CATCH_UP_MAX, caught_up).await;
    }

    /// Resolves the links of a revision anew.
    pub fn bind(&self, revision: &Revision) {
        self.bind_to(&revision.bindings, Importer::of(&revision.order));
    }

    /// Fetches the secrets that links of the importer have for providers of this host, so that calls over them find them. What cannot be had
    /// is told by the provider, which does not take the link.
    pub async fn fetch_secrets(&self, importer: Importer<'_>) {
        let owner = given::owner(importer.application, importer.id);
        if let Err(problem) = given::fetch(self, importer.config, &owner).await {
            tracing::warn!(component = importer.id, %problem, "a secret of a component is missing");
        }
        let tables = self.tables.borrow().clone();
        for link in tables.links_of(importer.id).iter().filter(|link| !link.target_config.is_empty()) {
            if let Some(provider) = self.provider(&link.target) {
                let owner = given::owner_of(&provider.order());
                let _ = given::fetch(self, &link.target_config, &owner).await;
            }
        }
    }

    /// Resolves links and config anew.
    pub fn bind_to(&self, bindings: &ArcSwap<Bindings>, importer: Importer<'_>) {
        // Several tasks bind at once. Whoever was overtaken resolves again, so that nothing older replaces something newer.
        bindings.rcu(|before| {
            let tables = self.tables.borrow().clone();
            before.resolve(importer, &tables, &self.given, |id| self.provider(id))
        });
    }

    /// What runs under an id, if that is a component, be it a provider or not.
    pub fn image_of(&self, id: &str) -> Option<Arc<Image>> {
        let of_component = || Some(self.slot(id)?.current.load_full()?.component.image().clone());
        of_component().or_else(|| Some(self.provider(id)?.component()?.image().clone()))
    }

    /// Links and config of what runs under an id, if that is a component, be it a provider or not.
    pub fn bindings_of(&self, id: &str) -> Option<Arc<Bindings>> {
        let of_component = || Some(self.slot(id)?.current.load_full()?.bindings.load_full());
        of_component().or_else(|| Some(self.provider(id)?.component()?.bindings()))
    }

    /// How long a call takes over the link of a component, in nanoseconds, if there were any.
    pub fn call_ns(&self, source: &str, key: &LinkKey) -> Option<u64> {
        match (self.slot(source), self.provider(source)) {
            (Some(slot), _) => slot.current.load_full()?.bindings.load().call_ns(key),
            (None, provider) => provider?.component()?.call_ns(key),
        }
    }

    /// The application of the component or provider.
    pub fn application_of(&self, id: &str) -> Option<String> {
        match (self.slot(id), self.provider(id)) {
            (Some(slot), _) => slot.desired.borrow().application.clone(),
            (None, Some(provider)) => provider.order().application.clone(),
            (None, None) => None,
        }
    }

    /// Publishes an event. Losing one is logged, not fatal: events tell, they do not decide.
    pub async fn tell(&self, fact: &Fact) {
        let event = Event::new(&self.id, self.clock.unix_time(), fact);
        let subject = subjects::evt::event(&self.config.lattice, fact.name());
        self.tell_all(Message::json(subject, &event), fact.name()).await;
    }

    /// Tells what somebody has done by hand. Tools of wasmCloud do not hear of it.
    pub async fn tell_by_hand(&self, deed: &Deed) {
        let event = Event::by_hand(&self.id, self.clock.unix_time(), deed);
        let subject = subjects::umbel::event(&self.config.lattice, deed.name());
        self.tell_all(Message::json(subject, &event), deed.name()).await;
    }

    /// Tells the lattice, and where others share it, this host's own log: each host keeps what it tells itself, or every event would be kept by
    /// all, and every heartbeat be sent to all.
    async fn tell_all(&self, message: Message, event: &str) {
        if self.lattice.is_shared()
            && let Err(error) = self.local.publish(message.clone()).await
        {
            tracing::warn!(%error, event, "an event was not kept");
        }
        if let Err(error) = self.lattice.publish(message).await {
            tracing::warn!(%error, event, "an event was not published");
        }
    }

    /// Fails when the host takes nothing new.
    pub fn check_open(&self) -> Result<(), HostError> {
        if self.draining.load(Relaxed) { Err(HostError::Stopping) } else { Ok(()) }
    }

    /// How often running guests are looked at.
    pub fn tick(&self) -> Duration {
        self.images.engine().tick_every()
    }

    /// How long it has been up.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// The child with that id of the root, if it runs.
    pub fn branch(&self, id: &str) -> Result<Handle, HostError> {
        let part = if id == component::BRANCH { "components" } else { "providers" };
        self.root().and_then(|root| root.child(id)).ok_or(HostError::Away { part })
    }
}

/// What one provider sees of the host.
pub struct HostTargets {
    /// The host.
    pub shared: Arc<Shared>,
    /// The provider. Links can come before the component that they lead to; then that is of its application.
    pub provider: Arc<ProviderSlot>,
}

impl Targets for HostTargets {
    fn http(&self, component: &str) -> Option<Arc<dyn Handler>> {
        match (self.shared.slot(component), &self.shared.elsewhere) {
            (Some(slot), _) => Some(slot),
            (None, elsewhere) => Some(elsewhere.as_ref()?.handler(self.provider.id.as_str(), component)),
        }
    }

    fn export(&self, component: &str, interface: &str) -> Option<Arc<dyn Serve>> {
        let Some(slot) = self.shared.slot(component) else {
            let types = self.provider.interfaces(&self.shared);
            return Some(self.shared.elsewhere.as_ref()?.serve(component, types.iter().cloned()));
        };
        let revision = slot.current.load_full()?;
        let exports = revision.component.image().contracts().any(|(name, _)| name.unversioned == interface);
        drop(revision);
        exports.then_some(slot as Arc<dyn Serve>)
    }

    fn application_of(&self, component: &str) -> Option<String> {
        let slot = self.shared.slot(component);
        let of_component = slot.and_then(|slot| slot.desired.borrow().application.clone());
        of_component.or_else(|| self.provider.order().application.clone())
    }

    fn report(&self, component: &str, text: &str) {
        let application = self.application_of(component);
        let Ok(id) = ComponentId::new(component) else { return };
        self.shared.logs.send(
            &id,
            application.as_deref(),
            Level::Warn,
            Stream::Host,
            self.provider.id.as_str(),
            text,
        );
    }
}

/// The child that resolves links anew when links, configs or providers change.
pub async fn rebind(shared: Arc<Shared>, cx: umbel_supervisor::ChildContext) -> Result<(), Problem> {
    let mut tables = shared.tables.subscribe();
    // Not the components: those that links lead to are found at each call.
    let mut providers = shared.providers.changes();
    let mut given = shared.given.changes();
    cx.ready.notify();
    loop {
        tokio::select! {
            () = cx.stop.requested() => return Ok(()),
            changed = tables.changed() => if changed.is_err() { return Ok(()) },
            changed = providers.changed() => if changed.is_err() { return Ok(()) },
            changed = given.changed() => if changed.is_err() { return Ok(()) },
        }
        let now = tables.borrow_and_update().clone();
        providers.borrow_and_update();
        given.borrow_and_update();
        shared.given.trim(|name| now.config(name).is_some());
        for slot in shared.slots.all().values() {
            if let Some(revision) = slot.current.load_full() {
                shared.fetch_secrets(Importer::of(&revision.order)).await;
                shared.bind(&revision);
            }
        }
        for provider in shared.providers.all().values().filter_map(|slot| slot.component()) {
            provider.fetch_secrets(&shared).await;
            provider.bind(&shared);
        }
        // A thousand changes within a moment are one pass over everything, not a thousand.
        tokio::select! {
            () = cx.stop.requested() => return Ok(()),
            () = tokio::time::sleep(COALESCE) => {}
        }
    }
}
