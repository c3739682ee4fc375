//! One provider process: started or taken over, driven to its end, and a provider like every other.

use super::contain;
use super::left::{self, Kept, Made};
use super::log::Log;
use super::program::{Executable, executable};
use super::reach::{application_of, may_call, types};
use super::{Ground, Place, Plan, coded};
use crate::logs::Trial;
use crate::shared::Shared;
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::watch;
use umbel_core::Problem;
use umbel_core::code::host as code;
use umbel_core::digest::Digest;
use umbel_core::event::ProviderClaims;
use umbel_core::id::ProviderId;
use umbel_core::link::{LinkKey, ResolvedLink, Values};
use umbel_core::settings::Settings;
use umbel_lattice::Lattice;
use umbel_lattice::unix::{Door, DoorSpec, ProviderRules, Token};
use umbel_lattice::wrpc::Server;
use umbel_provider::hostdata::{HostData, OwnData};
use umbel_provider::remote::{Remote, RemoteSpec, Seal};
use umbel_provider::sdk::spawn_in;
use umbel_provider::{Endpoint, Health, Provider, StartContext};
use umbel_supervisor::process::{Limits, Load, Meter, Policy, Running, Service, Spec, Stdin};
use umbel_wit::{Interface, InterfaceName, Serve};

/// How long a process may take until it serves.
const READY_MAX: Duration = Duration::from_secs(20);
/// Between being asked to end and being killed, beyond the drain.
const GRACE: Duration = Duration::from_secs(1);
/// How long after its connection a process may take to end: mostly the one follows from the other.
const EXIT_WAIT: Duration = Duration::from_millis(200);
/// How often a process is asked how it is, and how many times in a row it may fail to say so.
const HEALTH_EVERY: Duration = Duration::from_secs(15);
const SILENT_MAX: u32 = 3;

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
    /// Which program it runs: of an archive, its executable's digest.
    pub what: String,
    ended: watch::Receiver<Option<Problem>>,
    // Asks whoever drives the process to end it, with the time that it has.
    stop: watch::Sender<Option<Duration>>,
    meter: Meter,
}

/// Starts the process of a provider, or takes over the one that an older host has left, and waits until it serves.
pub async fn start(
    shared: &Arc<Shared>,
    plan: &Plan,
    application: Option<String>,
    (cx, settings): (StartContext, Settings),
    trial: Arc<Trial>,
) -> Result<ProcessProvider, Problem> {
    let ground = shared.processes.ground(shared).await?;
    // First of all, so that there is nothing that it does not guard.
    shared.processes.guard(shared, ground).await?;
    let starting = shared.processes.starting.read().await;
    let executable = self::executable(shared, &plan.program).await?;
    let limits = contain::limits(ground, &cx.id, plan.containment)?;
    let sandbox = contain::sandbox(plan.containment, &cx.folder)?;
    let made = Made::new(plan, &executable);
    let (starting, executable) = match left::claim(shared, ground, &cx.id, &made).await {
        None => (starting, executable),
        Some(left) => {
            // It runs already: nobody needs to keep its executable for it, nor to wait until it has come back.
            drop(starting);
            let log = Arc::new(Log::new(shared, &cx.id, application.clone(), trial.clone()));
            match left.adopt(shared, ground, (&cx, &settings), log.clone()).await {
                Ok(connected) => return Ok(connected.drive(shared, ground, cx.id, executable, log)),
                Err(problem) => {
                    tracing::warn!(provider = %cx.id, %problem, "a process of an earlier host was not taken over");
                }
            }
            (shared.processes.starting.read().await, self::executable(shared, &plan.program).await?)
        }
    };
    let place = Place::take(&ground.names, &cx.id);
    let rules = rules(shared, &cx.id, &place.address);
    let (door, token) = ground.gate.expect(DoorSpec { id: cx.id.to_string(), confine: rules });
    let mut data = host_data(shared, ground, &cx, &token);
    (data.config, data.secrets) = (settings.values, settings.secrets);
    let seal = Arc::new(Seal::new());
    seal.tell(&mut data);
    let stdin = Stdin::Bytes(data.line().as_bytes().to_vec().into());
    let mut spec = Spec::new(&executable.path)
        .args(&executable.args)
        .stdin(stdin)
        .grace(GRACE)
        .limits(Limits { nofile: Some(20_000), ..Limits::default() });
    spec.sandbox = sandbox;
    let log = Arc::new(Log::new(shared, &cx.id, application, trial));
    let kept = Kept::new(&cx.id, &place.address, &token, made);
    let service = Service::new(place.name.clone(), spec)
        .policy(shared.config.processes)
        .limits(limits)
        .on_line({
            let log = log.clone();
            move |stream, line| log.line(stream, line)
        })
        .data(kept.data(shared.config.processes));
    let running = ground.home.start(&service).await.map_err(coded)?;
    drop(starting);
    let connected = Connected::new(shared, ground, &cx.id, running, (door, place), Some(seal)).await;
    let connected = connected.map_err(|why| log.explain(why))?;
    Ok(connected.drive(shared, ground, cx.id, executable, log))
}

/// What a process may hear and say.
pub(super) fn rules(shared: &Arc<Shared>, id: &ProviderId, address: &str) -> Arc<ProviderRules> {
    let rules = ProviderRules::new(&shared.config.lattice, id, may_call(shared, id));
    Arc::new(rules.at(address))
}

/// What the process is told at its start.
fn host_data(shared: &Shared, ground: &Ground, cx: &StartContext, token: &Token) -> HostData {
    let grace = match shared.config.processes {
        Policy::Adopt => shared.config.adopt_grace,
        Policy::End => Duration::ZERO,
    };
    let reconnect_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
    let socket = Some(ground.gate.path().to_path_buf());
    let own = OwnData { token: token.reveal().into(), folder: cx.folder.clone(), reconnect_ms, socket };
    let (host, lattice) = (shared.id.to_string(), shared.config.lattice.to_string());
    let mut data = HostData::unix(&host, &lattice, cx.id.as_str(), ground.gate.path(), own);
    if shared.lattice.is_shared() {
        data.lattice_rpc_url = shared.lattice.address();
        if let Some(login) = shared.lattice.login() {
            data.lattice_rpc_user_jwt = login.jwt;
            data.lattice_rpc_user_seed = login.seed.to_string();
        }
    }
    data.instance_id = Digest::of(token.reveal().as_bytes()).hex()[..32].to_string();
    data.log_level = Some("info".into());
    if let Some(timeout) = shared.config.wasmcloud.rpc_timeout {
        data.default_rpc_timeout_ms = u64::try_from(timeout.as_millis()).ok();
    }
    data
}

/// A process that serves.
pub(super) struct Connected {
    running: Running,
    pub(super) remote: Arc<Remote>,
    held: (Door, Place),
}

impl Connected {
    /// Waits until the process serves. All of it is ended if it does not.
    pub(super) async fn new(
        shared: &Arc<Shared>,
        ground: &Ground,
        id: &ProviderId,
        running: Running,
        (door, place): (Door, Place),
        seal: Option<Arc<Seal>>,
    ) -> Result<Connected, Problem> {
        let spec = |lattice: &Arc<dyn Lattice>| RemoteSpec {
            lattice: lattice.clone(),
            spawn: spawn_in(&ground.tasks),
            id: id.clone(),
            address: place.address.clone(),
            host: shared.id.clone(),
            types: types(shared),
            application_of: application_of(shared),
            seal: seal.clone(),
        };
        // One of wasmCloud 1.x does not know the socket, and comes to the server that all hosts share.
        let plain = async {
            if !shared.lattice.is_shared() {
                return std::future::pending().await;
            }
            Remote::connect_plain(spec(&shared.lattice), READY_MAX).await
        };
        let remote = tokio::select! {
            remote = Remote::connect(spec(&shared.local), READY_MAX) => remote,
            remote = plain => remote,
            why = over(&running, &door) => Err(why),
        };
        match remote {
            Ok(remote) => Ok(Connected { running, remote: Arc::new(remote), held: (door, place) }),
            Err(problem) => {
                // All of it is ended before it is started again.
                let _ = running.stop(GRACE).await;
                Err(problem)
            }
        }
    }

    /// It is not wanted after all.
    pub(super) async fn end(self) {
        if let Err(error) = self.running.stop(GRACE).await {
            tracing::error!(%error, "a provider process was not ended as it should");
        }
    }

    fn drive(
        self,
        shared: &Arc<Shared>,
        ground: &Ground,
        id: ProviderId,
        executable: Executable,
        log: Arc<Log>,
    ) -> ProcessProvider {
        let Connected { running, remote, held } = self;
        let (pid, meter) = (running.pid(), running.meter());
        let (stop, asked) = watch::channel(None);
        let (tell, ended) = watch::channel(None);
        ground.tasks.spawn(drive(running, held, remote.clone(), asked, tell, log));
        ProcessProvider {
            shared: Arc::downgrade(shared),
            id,
            calls: Mutex::default(),
            remote,
            pid,
            claims: executable.claims,
            what: executable.what,
            ended,
            stop,
            meter,
        }
    }
}

/// Waits until the process or its connection has ended, and says why.
pub(super) async fn over(running: &Running, door: &Door) -> Problem {
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
    running: Running,
    (door, place): (Door, Place),
    remote: Arc<Remote>,
    mut asked: watch::Receiver<Option<Duration>>,
    tell: watch::Sender<Option<Problem>>,
    log: Arc<Log>,
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
    let stopped = running.stop(grace).await;
    remote.lose(why.clone());
    drop((door, place));
    if let Err(error) = stopped {
        tracing::error!(%error, "a provider process was not ended as it should");
    }
    tell.send_replace(Some(log.explain(why)));
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

    /// What it says that it serves, with its types.
    pub fn interfaces(&self) -> &[(InterfaceName, Arc<Interface>)] {
        self.remote.interfaces()
    }

    /// Whether it is one of wasmCloud 1.x that is on the shared lattice itself, and hears its calls there.
    pub fn is_plain(&self) -> bool {
        self.remote.is_plain()
    }

    /// The pid of its process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// What it uses now.
    pub fn load(&self) -> Load {
        self.meter.read()
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

    async fn put_settings(&self, settings: Settings) -> Result<(), Problem> {
        self.remote.put_settings(settings).await
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
