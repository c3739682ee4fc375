//! What `umbel up` runs: the life of the platform on one page.
//!
//! build: folder and lock → state → engine → host, manager and API as one tree · run: until a signal, a request or the end of the
//! tree · drain: the tree stops in reverse, then the data path, then the state is closed.

use crate::carrier::Carried;
use crate::cmd::up::Up;
use crate::cmd::up::lattice::Carrier;
use crate::files;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use umbel_api::folder::{Running, StateFolder};
use umbel_api::{Api, Listening};
use umbel_artifact::Store;
use umbel_builtin::blobstore::Blobstore;
use umbel_builtin::blobstore_s3::BlobstoreS3;
use umbel_builtin::cron::Cron;
use umbel_builtin::http_client::HttpClient;
use umbel_builtin::http_server::{self, HttpServer};
use umbel_builtin::keyvalue::Keyvalue;
use umbel_builtin::keyvalue_redis::KeyvalueRedis;
use umbel_builtin::messaging::Messaging;
use umbel_builtin::messaging_nats::MessagingNats;
use umbel_builtin::postgres::Postgres;
use umbel_builtin::secrets::{KeyFile, Secrets};
use umbel_core::code::api;
use umbel_core::{Coded, Problem, SystemClock};
use umbel_host::process::Own;
use umbel_host::worker::CompileProcesses;
use umbel_host::{Config as HostConfig, Deps, Host, StateDir, tree};
use umbel_lattice::Lattice;
use umbel_manager::Options as ManagerOptions;
use umbel_provider::Factory;
use umbel_runtime::{Engine, Images};
use umbel_supervisor::{Background, Cores, Env, Handle, Supervisor};

/// How long what ran before may take to be known again; then addresses that are not known yet answer 404.
const RESTORE_DEADLINE: Duration = Duration::from_secs(10);
/// How long the whole stop may take.
const STOP_DEADLINE: Duration = Duration::from_secs(30);
/// What of that requests under way have to be answered.
const DRAIN_DEADLINE: Duration = Duration::from_secs(20);
/// What of that the data path has to end once everything that uses it has.
const CORES_DEADLINE: Duration = Duration::from_secs(5);

/// Runs the platform until it is asked to stop.
pub(crate) async fn run(folder: &StateFolder, up: Up) -> Result<(), Problem> {
    folder.prepare()?;
    leave_no_core()?;
    let mut signals = Signals::new()?;
    let platform = Platform::build(folder, &up).await?;
    let ready = tokio::select! {
        ready = platform.ready(folder) => ready.map(|()| true),
        // Whoever gave up waiting for it must be able to end it.
        () = signals.any() => Ok(false),
    };
    let outcome = match ready {
        Ok(true) => platform.run(&mut signals).await,
        Ok(false) => Ok(()),
        Err(problem) => Err(problem),
    };
    let stopped = stopped(platform.drain(), signals.any(), STOP_DEADLINE).await;
    folder.withdraw();
    // Why it ended is worth more than how.
    outcome.and(stopped)
}

/// Waits for the end of a stop. It has a deadline, and whoever asks again does not want to wait for it.
async fn stopped(
    stopping: impl Future<Output = ()>,
    again: impl Future<Output = ()>,
    deadline: Duration,
) -> Result<(), Problem> {
    let cause = tokio::select! {
        () = stopping => return Ok(()),
        () = again => "a second signal came while it was stopping".to_string(),
        () = tokio::time::sleep(deadline) => format!("it had not stopped after {} s", deadline.as_secs()),
    };
    let message = "the platform was ended before everything in it had stopped";
    Err(Problem::new(api::STOP_CUT, message).with_cause(cause))
}

/// Everything that runs.
struct Platform {
    tree: Handle,
    host: Host,
    carried: Carried,
    cores: Arc<Cores>,
    background: Background,
    http: HttpServer,
    listens: watch::Receiver<Option<Listening>>,
    asked_to_stop: watch::Receiver<bool>,
}

impl Platform {
    async fn build(folder: &StateFolder, up: &Up) -> Result<Platform, Problem> {
        let state = StateDir::open(folder.root()).map_err(coded)?;
        let key = state.host_key().map_err(coded)?;
        let cores = Cores::start(available_cores(), "umbel-data").map_err(|error| start_failed(&error))?;
        let background = Background::start(available_cores(), "umbel-background");
        let background = background.map_err(|error| start_failed(&error))?;
        let mut limits = http_server::Limits::default();
        if let Some(problem) = limits.fit_files(files::raise()) {
            tracing::warn!(%problem, help = problem.help, "fewer connections are served than configured");
        }
        let http = HttpServer::new(
            http_server::Config { listen: up.http, limits, held: true, ..Default::default() },
            cores.clone(),
        );
        // This and the API's check come before anything else is started, so that a port in use shows at once.
        http.bind().await?;
        let (listening, listens) = watch::channel(None);
        let (stop, asked_to_stop) = watch::channel(false);
        let api = umbel_api::Config {
            folder: folder.clone(),
            tcp: up.api,
            version: env!("CARGO_PKG_VERSION").into(),
            listening,
            shutdown: Arc::new(move |reason: &str| {
                tracing::info!(reason, "asked to stop");
                stop.send_replace(true);
            }),
        };
        Api::check(&api).await?;
        let carried = Carried::open(folder.root(), &up.lattice, &up.on).await?;
        let lattice = carried.lattice.clone();
        let host = host(state, &key, lattice.clone(), up, &http, (&cores, &background)).await?;
        let mut spec = tree::root();
        spec.children = tree::children(&host);
        let clock = Arc::new(SystemClock);
        if up.on.manages {
            let (holder, options) = (host.id().as_str(), ManagerOptions::default());
            spec.children.push(umbel_manager::child_spec(lattice.clone(), clock, holder, options));
        }
        spec.children.push(Api::child_spec(api, lattice));
        let tree = Supervisor::start("umbel", spec, Env::system());
        host.attach(tree.clone());
        if let Some(server) = carried.server() {
            host.show(server.clone());
        }
        Ok(Platform { tree, host, carried, cores, background, http, listens, asked_to_stop })
    }

    /// Waits until everything serves, then tells where.
    async fn ready(&self, folder: &StateFolder) -> Result<(), Problem> {
        self.tree.ready().await.map_err(coded)?;
        // The manager is ready when it has ordered what ran before; now the providers have its links too.
        if tokio::time::timeout(RESTORE_DEADLINE, self.host.settled()).await.is_err() {
            tracing::warn!("not all providers have taken their links yet");
        }
        self.host.restored();
        self.http.release();
        let listening = self.listens.borrow().clone();
        let listening =
            listening.ok_or_else(|| Problem::new(api::START_FAILED, "the API does not listen"))?;
        folder.announce(&Running {
            pid: std::process::id(),
            api_socket: listening.socket,
            api_url: listening.tcp.map(|address| format!("http://{address}")),
            http_url: self.http.addresses().first().map(|address| format!("http://{address}")),
            version: env!("CARGO_PKG_VERSION").into(),
        })
    }

    async fn run(&self, signals: &mut Signals) -> Result<(), Problem> {
        let mut asked = self.asked_to_stop.clone();
        tokio::select! {
            ended = self.tree.ended() => ended,
            () = signals.any() => Ok(()),
            () = self.host.stop_requested() => Ok(()),
            _ = asked.wait_for(|stop| *stop) => Ok(()),
        }
    }

    async fn drain(self) {
        // First what calls come in by: what is under way is answered, and connections are told to close.
        self.http.stop(DRAIN_DEADLINE).await;
        self.tree.shutdown().await;
        self.cores.shutdown(CORES_DEADLINE).await;
        // Whoever waited for a call there has gone.
        drop(self.background);
        self.carried.close().await;
    }
}

async fn host(
    state: StateDir,
    key: &umbel_core::nkey::KeyPair,
    lattice: Arc<dyn Lattice>,
    up: &Up,
    http: &HttpServer,
    (cores, background): (&Arc<Cores>, &Background),
) -> Result<Host, Problem> {
    let mut runtime = umbel_runtime::Config::new(state.join("code"));
    runtime.instances_max = up.instances;
    runtime.compile = up.compile;
    let engine = Engine::new(&runtime).map_err(coded)?;
    // After the engine, which opens a file under /proc/self that then belongs to root; before the secrets, which it is for.
    keep_memory_private()?;
    if let Some(problem) = engine.shortfall() {
        tracing::warn!(%problem, help = problem.help, "the instance pool is smaller than configured");
    }
    engine.move_long_calls_to(background.handle().clone());
    // The very program that runs: its file may be replaced or deleted meanwhile, and another would compile code that this one refuses.
    let program = PathBuf::from("/proc/self/exe");
    let mut config = HostConfig::new(up.lattice.clone());
    config.labels = up.labels.clone();
    config.friendly_name = name(up);
    config.heartbeat = up.heartbeat;
    (config.processes, config.adopt_grace) = (up.processes, up.adopt_grace);
    config.registries = up.registries.config()?;
    config.wasmcloud = up.wasmcloud;
    config.own = Some(Own {
        path: program.clone(),
        guardian: vec![GUARDIAN_ARG.into()],
        provider: PROVIDER_ARGS.map(Into::into).to_vec(),
    });
    let worker = Arc::new(CompileProcesses::new(program, config.compilers));
    let images = Images::new(engine, &runtime, worker).map_err(coded)?;
    let store = Arc::new(Store::open(state.join("artifacts")).map_err(coded)?);
    let clock = Arc::new(SystemClock);
    let secrets = Secrets::new(state.join("secrets"), KeyFile::new(state.join("secrets.key")));
    let mut factories: Vec<Arc<dyn Factory>> =
        vec![Arc::new(http.clone()), Arc::new(HttpClient), Arc::new(secrets)];
    factories.extend(apart(cores));
    let deps = Deps { lattice, clock, images, store, factories, cores: cores.clone() };
    Host::new(config, state, key, deps).await
}

/// The builtin providers that can run in a process of their own as well.
pub(crate) fn apart(cores: &Arc<Cores>) -> Vec<Arc<dyn Factory>> {
    vec![
        Arc::new(Keyvalue::new(cores.clone())),
        Arc::new(KeyvalueRedis::new(cores.clone())),
        Arc::new(Blobstore::new()),
        Arc::new(BlobstoreS3::new()),
        Arc::new(Messaging::new(cores.clone())),
        Arc::new(MessagingNats::new(cores.clone())),
        Arc::new(Postgres::new()),
        Arc::new(Cron::new(cores, Arc::new(SystemClock))),
    ]
}

/// The hidden word with which this program becomes the guardian of a platform.
pub(crate) const GUARDIAN_ARG: &str = "__guardian";
/// The words with which it becomes a provider.
const PROVIDER_ARGS: [&str; 2] = ["provider", "run"];

/// No core files: secrets are in memory. It holds for compile processes too, which inherit it.
fn leave_no_core() -> Result<(), Problem> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none).map_err(|error| not_private(&error))
}

/// No other process of this user may read this one's memory, nor attach to it.
fn keep_memory_private() -> Result<(), Problem> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(|error| not_private(&error))
}

fn not_private(error: &dyn std::error::Error) -> Problem {
    let message = "the platform cannot keep its memory to itself";
    Problem::new(umbel_core::code::host::NOT_PRIVATE, message).with_cause(error.to_string())
}

/// What people call the host.
fn name(up: &Up) -> String {
    let of_machine = || rustix::system::uname().nodename().to_string_lossy().into_owned();
    match (&up.name, &up.on.carrier) {
        (Some(name), _) => name.clone(),
        (None, Carrier::Own) => "umbel".into(),
        (None, Carrier::Nats(_) | Carrier::Started(_)) => of_machine(),
    }
}

fn available_cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn coded(error: impl Coded) -> Problem {
    Problem::from(&error as &dyn Coded)
}

fn start_failed(error: &dyn std::error::Error) -> Problem {
    Problem::new(api::START_FAILED, "the platform cannot be started").with_cause(error.to_string())
}

/// The signals that end the platform in order.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> Result<Signals, Problem> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                Problem::new(api::START_FAILED, "signals cannot be received").with_cause(error.to_string())
            })
        };
        Ok(Signals {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests;
