//! Providers that are processes: where they live, how they are started, and what tells that one has ended.
//!
//! ```text
//!  reference ─▶ executable (of an archive, or this very program) ─▶ Home::start: cgroup, record, run folder
//!                                                                       │ stdin: HostData
//!  components ─▶ Remote ─▶ lattice ─▶ Gate: one unix socket for all ◀───┘ connects with its token
//!                  ▲
//!                  └── lost, as soon as the process or its connection has ended: callers are told at once
//! ```

use crate::error::HostError;
use crate::fetch::blocking;
use crate::shared::Shared;
use async_trait::async_trait;
use futures::future::BoxFuture;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{OnceCell, watch};
use umbel_artifact::par::{self, Executables, Policy, Target};
use umbel_core::code::{guest, host as code};
use umbel_core::digest::Digest;
use umbel_core::event::ProviderClaims;
use umbel_core::id::{ComponentId, ProviderId};
use umbel_core::link::{LinkKey, ResolvedLink, Values};
use umbel_core::reference::{Location, Reference};
use umbel_core::{Coded, Problem};
use umbel_lattice::unix::{Door, DoorSpec, Gate, ProviderRules, Token};
use umbel_lattice::wrpc::{Catalog, Lent, Server, ServerLimits, ServerSpec};
use umbel_provider::hostdata::{HostData, OwnData};
use umbel_provider::remote::{Remote, RemoteSpec};
use umbel_provider::sdk::spawn_in;
use umbel_provider::{Endpoint, Health, Provider, StartContext};
use umbel_runtime::Image;
use umbel_runtime::calls::{Level, Stream};
use umbel_supervisor::process::{
    CgroupLimits, Cgroups, Home, Limits, Load, Running, Service, Spec, Stdin, Stream as Output,
};
use umbel_supervisor::{Scope, guardian};
use umbel_wit::{Call, Serve, Value};

/// How long a process may take until it serves.
const READY_MAX: Duration = Duration::from_secs(20);
/// Between being asked to end and being killed, beyond the drain.
const GRACE: Duration = Duration::from_secs(1);
/// How long after its connection a process may take to end: mostly the one follows from the other.
const EXIT_WAIT: Duration = Duration::from_millis(200);
/// How often a process is asked how it is, and how many times in a row it may fail to say so.
const HEALTH_EVERY: Duration = Duration::from_secs(15);
const SILENT_MAX: u32 = 3;
/// Bytes of its log that are kept in a second; what is above is counted and dropped.
const LOG_BYTES_PER_S: usize = 64 << 10;
/// How long the guardian gives processes that another host may take over.
const ADOPT_GRACE: Duration = Duration::from_secs(30);

/// What a provider process runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// An archive that a reference names.
    Archive(String),
    /// A provider of this build, in a process of its own.
    Builtin(&'static str),
}

/// How this program starts itself again for its processes.
#[derive(Debug, Clone)]
pub struct Own {
    /// The program; `/proc/self/exe` is the one that runs, even if its file has been replaced.
    pub path: PathBuf,
    /// Its arguments that make it the guardian; one more follows.
    pub guardian: Vec<String>,
    /// Its arguments that make it a provider; its name follows.
    pub provider: Vec<String>,
}

/// The provider processes of one host. Nothing of it is made before the first one is started, but what an older host has left is
/// ended at the start.
#[derive(Default)]
pub struct Processes {
    ground: OnceCell<Ground>,
    // Made before the first process, and not with the ground: what an older host has left is swept before there is a tree.
    guardian: OnceCell<()>,
}

struct Ground {
    home: Home,
    gate: Gate,
    executables: Executables,
    // What the connections and readers of the gate run in.
    tasks: Scope,
    // Components that processes call, as long as one has a link to them: one server each, however many call.
    called: tokio::sync::Mutex<HashMap<String, Weak<Server>>>,
    // Names of the processes that there are.
    names: Arc<Mutex<HashSet<String>>>,
}

/// The name and the address of one process, which no other has while this is held. A provider that is replaced has two processes for a
/// while: the second is told the same id, and what is sent to it goes to another address.
struct Place {
    name: String,
    address: String,
    names: Arc<Mutex<HashSet<String>>>,
}

impl Place {
    fn take(names: &Arc<Mutex<HashSet<String>>>, id: &ProviderId) -> Place {
        let first = name_of(id);
        let mut taken = names.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut name, mut address) = (first.clone(), id.to_string());
        for number in 2_u32.. {
            if taken.insert(name.clone()) {
                break;
            }
            // No id has a slash.
            (name, address) = (format!("{first}.{number}"), format!("{id}/{number}"));
        }
        Place { name, address, names: names.clone() }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}

impl Processes {
    /// Ends what an older host has left.
    pub async fn sweep(&self, shared: &Arc<Shared>) -> Result<(), Problem> {
        if !shared.state.join("processes").exists() {
            return Ok(());
        }
        let ground = self.ground(shared).await?;
        let swept = ground.home.sweep(false).await;
        for name in &swept.ended {
            tracing::warn!(process = name, "a process that an earlier host had left was ended");
        }
        for error in &swept.problems {
            tracing::error!(%error, help = error.help(), "a process that an earlier host had left was not ended");
        }
        Ok(())
    }

    async fn ground(&self, shared: &Arc<Shared>) -> Result<&Ground, Problem> {
        self.ground.get_or_try_init(|| Ground::open(shared)).await
    }

    /// Starts the guardian, if this program can be one and it does not run yet.
    async fn guard(&self, shared: &Arc<Shared>, ground: &Ground) -> Result<(), Problem> {
        let (Some(own), Some(root)) = (&shared.config.own, shared.root()) else { return Ok(()) };
        let start = || async {
            let args = own.guardian.iter().map(Into::into).collect();
            let guardian = guardian::child_spec(&ground.home, own.path.clone(), args, ADOPT_GRACE);
            root.add_child(guardian).await.map_err(coded)
        };
        self.guardian.get_or_try_init(start).await.copied()
    }
}

impl Ground {
    async fn open(shared: &Arc<Shared>) -> Result<Ground, Problem> {
        let (folder, programs) = (shared.state.join("processes"), shared.state.join("programs"));
        let host = shared.id.to_string();
        let opened = blocking(move || {
            let home = Home::open(&folder, &host, Cgroups::detect()).map_err(coded)?;
            let executables = Executables::open(programs).map_err(coded)?;
            Ok((home, executables))
        });
        let (home, executables) = opened.await?;
        let tasks = Scope::new("provider connections");
        let socket = home.folder().join("lattice.sock");
        let gate = Gate::open(shared.lattice.clone(), &socket, spawn_in(&tasks)).map_err(|source| {
            Problem::new(code::PROVIDER_NOT_STARTED, "the socket of provider processes cannot be opened")
                .with_cause(format!("{}: {source}", socket.display()))
        })?;
        Ok(Ground { home, gate, executables, tasks, called: Default::default(), names: Arc::default() })
    }

    /// Lets processes call the component.
    async fn serve(&self, shared: &Arc<Shared>, component: &str) -> Result<Arc<Server>, Problem> {
        let mut called = self.called.lock().await;
        called.retain(|_, server| server.strong_count() > 0);
        if let Some(server) = called.get(component).and_then(Weak::upgrade) {
            return Ok(server);
        }
        let catalog = catalog_of(shared, component);
        let spec = ServerSpec {
            id: component.to_string(),
            catalog,
            serve: Arc::new(Called { shared: Arc::downgrade(shared), component: component.to_string() }),
            links: links_of(shared, component),
            lent: Lent::new(),
            group: None,
            is_quick: false,
            limits: ServerLimits::default(),
        };
        let server = Server::start(shared.lattice.clone(), spawn_in(&self.tasks), spec).await;
        let server = Arc::new(server.map_err(coded)?);
        called.insert(component.to_string(), Arc::downgrade(&server));
        Ok(server)
    }
}

/// A component that processes call: whichever revision of it runs.
struct Called {
    shared: Weak<Shared>,
    component: String,
}

impl Serve for Called {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Option<Value>, Problem>> {
        let slot = self.shared.upgrade().and_then(|shared| shared.slot(&self.component));
        let component = self.component.clone();
        Box::pin(async move {
            match slot {
                Some(slot) => slot.call(call).await,
                None => {
                    Err(Problem::new(guest::NOT_RUNNING, format!("`{component}` does not run on this host")))
                }
            }
        })
    }
}

/// The types of what the component exports, as of the revision that runs.
fn catalog_of(shared: &Arc<Shared>, component: &str) -> Arc<dyn Fn() -> Arc<Catalog> + Send + Sync> {
    let (shared, component) = (Arc::downgrade(shared), component.to_string());
    let known: Mutex<(Weak<Image>, Arc<Catalog>)> = Mutex::default();
    Arc::new(move || {
        let slot = shared.upgrade().and_then(|shared| shared.slot(&component));
        let Some(revision) = slot.and_then(|slot| slot.current.load_full()) else { return Arc::default() };
        let image = revision.component.image();
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.0.ptr_eq(&Arc::downgrade(image)) {
            let contracts = image.contracts();
            let named = contracts.map(|(name, interface)| (name.clone(), Arc::new(interface.clone())));
            *known = (Arc::downgrade(image), Arc::new(Catalog::new(named)));
        }
        known.1.clone()
    })
}

/// The link that a call of a process comes over.
fn links_of(shared: &Arc<Shared>, component: &str) -> umbel_lattice::wrpc::Links {
    let (shared, component) = (Arc::downgrade(shared), component.to_string());
    Arc::new(move |source, name, interface| {
        let values = shared.upgrade().and_then(|shared| {
            let tables = shared.tables.borrow().clone();
            let is_it = |link: &&umbel_core::link::Link| {
                link.name == name && link.target == component && link.contract.covers(interface)
            };
            let link = tables.links_of(source).iter().find(is_it)?;
            Some(tables.merged(&link.target_config))
        });
        let values = values.unwrap_or_default();
        Ok(Arc::new(umbel_wit::Link {
            source_id: source.into(),
            name: name.into(),
            application: None,
            values,
        }))
    })
}

/// A provider in a process of its own, while that runs.
pub struct ProcessProvider {
    shared: Weak<Shared>,
    id: ProviderId,
    // What it calls.
    calls: Mutex<BTreeMap<LinkKey, Arc<Server>>>,
    remote: Arc<Remote>,
    pid: u32,
    /// What its archive says of it.
    pub claims: Option<ProviderClaims>,
    ended: watch::Receiver<Option<Problem>>,
    // Asks whoever drives the process to end it, with the time that it has.
    stop: watch::Sender<Option<Duration>>,
    load: Arc<dyn Fn() -> Load + Send + Sync>,
}

/// What is started.
struct Executable {
    path: PathBuf,
    args: Vec<String>,
    claims: Option<ProviderClaims>,
}

/// Starts the process of a provider, and waits until it serves.
pub async fn start(
    shared: &Arc<Shared>,
    program: &Program,
    application: Option<String>,
    cx: StartContext,
) -> Result<ProcessProvider, Problem> {
    let ground = shared.processes.ground(shared).await?;
    // First of all, so that there is nothing that it does not guard.
    shared.processes.guard(shared, ground).await?;
    let executable = executable(shared, program).await?;
    let place = Place::take(&ground.names, &cx.id);
    let rules = ProviderRules::new(&shared.config.lattice, &cx.id, may_call(shared, &cx.id));
    let rules = rules.at(&place.address);
    let (door, token) = ground.gate.expect(DoorSpec { id: cx.id.to_string(), confine: Arc::new(rules) });
    let data = host_data(shared, ground, &cx, &token);
    let stdin = Stdin::Bytes(data.line().as_bytes().to_vec().into());
    let spec = Spec::new(executable.path)
        .args(executable.args)
        .stdin(stdin)
        .grace(GRACE)
        .limits(Limits { nofile: Some(20_000), ..Limits::default() });
    let log = Log::new(shared, &cx.id, application);
    let service = Service::new(place.name.clone(), spec)
        .limits(CgroupLimits { pids: Some(PIDS_MAX), ..CgroupLimits::default() })
        .on_line(move |stream, line| log.line(stream, line))
        .data(serde_json::json!({ "provider": cx.id.as_str() }));
    let running = ground.home.start(&service).await.map_err(coded)?;
    let spec = RemoteSpec {
        lattice: shared.lattice.clone(),
        spawn: spawn_in(&ground.tasks),
        id: cx.id.clone(),
        address: place.address.clone(),
        host: shared.id.clone(),
        types: types(shared),
        application_of: application_of(shared),
        xkey: None,
    };
    let remote = tokio::select! {
        remote = Remote::connect(spec, READY_MAX) => remote,
        why = over(&running, &door) => Err(why),
    };
    let remote = match remote {
        Ok(remote) => Arc::new(remote),
        Err(problem) => {
            // All of it is ended before it is started again.
            let _ = running.stop(GRACE).await;
            return Err(problem);
        }
    };
    let (pid, running) = (running.pid(), Arc::new(running));
    let (stop, asked) = watch::channel(None);
    let (tell, ended) = watch::channel(None);
    let weak = Arc::downgrade(&running);
    let load = Arc::new(move || weak.upgrade().map(|running| running.usage()).unwrap_or_default());
    ground.tasks.spawn(drive(running, (door, place), remote.clone(), asked, tell));
    Ok(ProcessProvider {
        shared: Arc::downgrade(shared),
        id: cx.id,
        calls: Mutex::default(),
        remote,
        pid,
        claims: executable.claims,
        ended,
        stop,
        load,
    })
}

/// What the process is told at its start.
fn host_data(shared: &Shared, ground: &Ground, cx: &StartContext, token: &Token) -> HostData {
    let own = OwnData { token: token.reveal().into(), folder: cx.folder.clone() };
    let (host, lattice) = (shared.id.to_string(), shared.config.lattice.to_string());
    let mut data = HostData::unix(&host, &lattice, cx.id.as_str(), ground.gate.path(), own);
    data.config = cx.config.clone();
    data.instance_id = Digest::of(token.reveal().as_bytes()).hex()[..32].to_string();
    data.log_level = Some("info".into());
    data
}

/// Processes and threads of one provider.
const PIDS_MAX: u32 = 512;

/// Makes sure that the program is there and can be run here, without starting it.
pub async fn prepare(shared: &Arc<Shared>, program: &Program) -> Result<(), Problem> {
    shared.processes.ground(shared).await?;
    executable(shared, program).await.map(drop)
}

/// The executable that a program is.
async fn executable(shared: &Arc<Shared>, program: &Program) -> Result<Executable, Problem> {
    match program {
        Program::Builtin(name) => {
            let own = shared.config.own.as_ref().ok_or_else(|| {
                Problem::new(code::PROVIDER_NOT_STARTED, "this host cannot start itself as a provider")
            })?;
            let args = own.provider.iter().cloned().chain([(*name).to_string()]).collect();
            Ok(Executable { path: own.path.clone(), args, claims: None })
        }
        Program::Archive(reference) => {
            let (reference, shared) = (Reference::new(reference).map_err(coded)?, shared.clone());
            blocking(move || unpack(&shared, &reference)).await
        }
    }
}

fn unpack(shared: &Shared, reference: &Reference) -> Result<Executable, Problem> {
    let Location::File(path) = reference.location() else {
        return Err(Problem::from(&HostError::Archive { reference: reference.to_string() }));
    };
    let file = File::open(path).map_err(|source| {
        Problem::new(code::PROVIDER_NOT_STARTED, format!("the archive `{}` cannot be read", path.display()))
            .with_cause(source.to_string())
    })?;
    let Some(ground) = shared.processes.ground.get() else {
        return Err(Problem::new(code::PROVIDER_NOT_STARTED, "the host is not ready for provider processes"));
    };
    let policy = Policy { signed_only: false, unix_time: shared.clock.unix_time() };
    let limits = par::Limits::default();
    let executable = ground.executables.extract(file, &Target::of_this_machine(), &policy, &limits);
    let executable = executable.map_err(coded)?;
    let claims = executable.claims.map(|token| token.for_event(shared.clock.unix_time()));
    Ok(Executable { path: executable.path, args: Vec::new(), claims })
}

/// Longest id that is a name of cgroups and folders as it is, with room for a number behind it.
const NAME_MAX: usize = 60;

/// A name for cgroups and folders: that of the id, or where it cannot be one, its digest.
fn name_of(id: &ProviderId) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let id = id.as_str();
    if id.len() <= NAME_MAX && id.chars().all(fits) && !id.starts_with('.') {
        return id.to_string();
    }
    Digest::of(id.as_bytes()).hex()[..32].to_string()
}

/// Waits until the process or its connection has ended, and says why.
async fn over(running: &Running, door: &Door) -> Problem {
    tokio::select! {
        exit = running.exited() => exited(exit),
        why = door.closed() => {
            // A connection that ends mostly does so because its process does.
            match tokio::time::timeout(EXIT_WAIT, running.exited()).await {
                Ok(exit) => exited(exit),
                Err(_) => why,
            }
        }
    }
}

fn exited(exit: Result<umbel_supervisor::process::Exit, umbel_supervisor::process::ProcessError>) -> Problem {
    match exit {
        Ok(exit) => Problem::new(code::PROVIDER_EXITED, format!("the provider's process ended with {exit}")),
        Err(error) => coded(error),
    }
}

/// Drives the process to its end: by itself, by silence, or because somebody asked.
async fn drive(
    running: Arc<Running>,
    (door, place): (Door, Place),
    remote: Arc<Remote>,
    mut asked: watch::Receiver<Option<Duration>>,
    tell: watch::Sender<Option<Problem>>,
) {
    let (why, grace) = tokio::select! {
        why = over(&running, &door) => (why, Duration::ZERO),
        why = silent(&remote) => (why, GRACE),
        asked = asked.wait_for(Option::is_some) => {
            // Whoever held it is gone: then nobody needs the process either.
            let grace = asked.ok().and_then(|grace| *grace).unwrap_or(GRACE);
            (Problem::new(code::PROVIDER_EXITED, "the provider was stopped"), grace)
        }
    };
    if grace.is_zero() {
        remote.lose(why.clone());
    }
    // The load is read by somebody else for a moment at most.
    let mut running = running;
    let stopped = loop {
        match Arc::try_unwrap(running) {
            Ok(alone) => break alone.stop(grace).await,
            Err(shared) => running = shared,
        }
        tokio::task::yield_now().await;
    };
    remote.lose(why.clone());
    drop((door, place));
    if let Err(error) = stopped {
        tracing::error!(%error, "a provider process was not ended as it should");
    }
    tell.send_replace(Some(why));
}

/// Waits until the provider has failed to say how it is for several times in a row.
async fn silent(remote: &Remote) -> Problem {
    let mut failed = 0;
    loop {
        tokio::time::sleep(HEALTH_EVERY).await;
        match remote.check().await {
            Health::Unhealthy(problem) if problem.code == umbel_core::code::wire::PROVIDER_SILENT => {
                failed += 1;
                if failed >= SILENT_MAX {
                    return problem;
                }
            }
            _ => failed = 0,
        }
    }
}

impl ProcessProvider {
    fn calls(&self) -> MutexGuard<'_, BTreeMap<LinkKey, Arc<Server>>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pid of its process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// What it uses now.
    pub fn load(&self) -> Load {
        (self.load)()
    }
}

#[async_trait]
impl Provider for ProcessProvider {
    async fn put_link(&self, link: ResolvedLink) -> Result<(), Problem> {
        if link.link.source_id == self.id.as_str()
            && let Some(shared) = self.shared.upgrade()
            && let Some(ground) = shared.processes.ground.get()
        {
            let server = ground.serve(&shared, &link.link.target).await?;
            self.calls().insert(link.link.key(), server);
        }
        self.remote.put_link(link).await
    }

    async fn del_link(&self, key: &LinkKey) -> Result<(), Problem> {
        self.remote.del_link(key).await?;
        self.calls().remove(key);
        Ok(())
    }

    async fn put_config(&self, config: Values) -> Result<(), Problem> {
        self.remote.put_config(config).await
    }

    fn health(&self) -> Health {
        self.remote.health()
    }

    fn endpoints(&self) -> Vec<Endpoint> {
        self.remote.endpoints()
    }

    fn serve(&self) -> Option<Arc<dyn Serve>> {
        self.remote.serve()
    }

    async fn ended(&self) -> Problem {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(why)) => why.clone(),
            _ => Problem::new(code::PROVIDER_EXITED, "the provider's process is not watched any more"),
        }
    }

    async fn stop(&self, deadline: Duration) {
        self.remote.stop(deadline).await;
        self.stop.send_replace(Some(GRACE));
        let _ = self.ended().await;
    }
}

/// Components that the provider may call: those that a link of its leads to.
fn may_call(shared: &Arc<Shared>, id: &ProviderId) -> Arc<dyn Fn(&str) -> bool + Send + Sync> {
    let (shared, id) = (Arc::downgrade(shared), id.clone());
    Arc::new(move |component| {
        let Some(shared) = shared.upgrade() else { return false };
        let tables = shared.tables.borrow().clone();
        tables.links_of(id.as_str()).iter().any(|link| link.target == component)
    })
}

/// The types of a contract, as a component of this host has them.
fn types(shared: &Arc<Shared>) -> umbel_provider::remote::Types {
    let shared = Arc::downgrade(shared);
    Arc::new(move |interface, version| {
        let wanted = match version {
            Some(version) => format!("{interface}@{version}"),
            None => interface.to_string(),
        };
        let shared = shared.upgrade()?;
        let (slots, providers) = (shared.slots.all(), shared.providers.all());
        let ids = slots.keys().chain(providers.keys());
        let mut images = ids.filter_map(|id| shared.image_of(id));
        images.find_map(|image| image.imported(&wanted).cloned().map(Arc::new))
    })
}

fn application_of(shared: &Arc<Shared>) -> umbel_provider::remote::ApplicationOf {
    let shared = Arc::downgrade(shared);
    Arc::new(move |component| {
        let slot = shared.upgrade()?.slot(component)?;
        slot.desired.borrow().application.clone()
    })
}

/// The log of a process: its lines, as many bytes in a second as components have.
struct Log {
    shared: std::sync::Weak<Shared>,
    id: Option<ComponentId>,
    application: Option<String>,
    second: Mutex<(Instant, usize, usize)>,
}

impl Log {
    fn new(shared: &Arc<Shared>, id: &ProviderId, application: Option<String>) -> Log {
        Log {
            shared: Arc::downgrade(shared),
            // Whatever is a provider's id is one of a component as well.
            id: ComponentId::new(id.as_str()).ok(),
            application,
            second: Mutex::new((Instant::now(), 0, 0)),
        }
    }

    fn line(&self, stream: Output, line: &[u8]) {
        let (Some(shared), Some(id)) = (self.shared.upgrade(), &self.id) else { return };
        let (is_kept, dropped) = self.take(line.len());
        let send = |level, text: &str| {
            let stream = if stream == Output::Stdout { Stream::Stdout } else { Stream::Stderr };
            shared.logs.send(id, self.application.as_deref(), level, stream, "", text);
        };
        if dropped > 0 {
            send(
                Level::Warn,
                &format!("{dropped} bytes of its log were above {LOG_BYTES_PER_S} in a second"),
            );
        }
        if is_kept {
            send(Level::Info, &String::from_utf8_lossy(line));
        }
    }

    /// Whether so many bytes are kept, and how many of the second before were not.
    fn take(&self, bytes: usize) -> (bool, usize) {
        let mut second = self.second.lock().unwrap_or_else(PoisonError::into_inner);
        let mut dropped = 0;
        if second.0.elapsed() >= Duration::from_secs(1) {
            dropped = second.2;
            *second = (Instant::now(), 0, 0);
        }
        let is_kept = second.1 + bytes <= LOG_BYTES_PER_S;
        if is_kept {
            second.1 += bytes + 1;
        } else {
            second.2 += bytes;
        }
        (is_kept, dropped)
    }
}

fn coded(error: impl Coded) -> Problem {
    Problem::from(&error)
}
