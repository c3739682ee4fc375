//! What `umbel up` runs: the tree of the platform, from the announcement that it is ready to its orderly end.

use crate::cmd::up::Up;
use std::sync::Arc;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use umbel_api::folder::{Running, StateFolder};
use umbel_api::{Api, Config, Listening};
use umbel_core::Problem;
use umbel_core::code::api;
use umbel_lattice::{InProcess, Lattice};
use umbel_supervisor::{Env, Strategy, Supervisor, SupervisorSpec};

/// Runs the platform until it is asked to stop.
pub(crate) async fn run(folder: &StateFolder, up: Up) -> Result<(), Problem> {
    folder.prepare()?;
    let state_file = folder.root().join("lattice.redb");
    let lattice = InProcess::open(state_file, up.lattice.clone()).await.map_err(|error| Problem::from(&error))?;
    let lattice: Arc<dyn Lattice> = Arc::new(lattice);
    let (listening, listens) = watch::channel(None);
    let (asked_to_stop, mut stop) = watch::channel(false);
    let config = Config {
        folder: folder.clone(),
        tcp: up.api,
        version: env!("CARGO_PKG_VERSION").into(),
        listening,
        shutdown: Arc::new(move |reason: &str| {
            tracing::info!(reason, "asked to stop");
            asked_to_stop.send_replace(true);
        }),
    };
    let mut signals = Signals::new()?;
    let spec = SupervisorSpec::new(Strategy::OneForOne).escalate().child(Api::child_spec(config, lattice.clone()));
    let tree = Supervisor::start("platform", spec, Env::system());

    let ready = tree.ready().await.map_err(|error| Problem::from(&error));
    let outcome = match ready.and_then(|()| announce(folder, &listens)) {
        Ok(()) => tokio::select! {
            ended = tree.ended() => ended,
            () = signals.any() => Ok(()),
            _ = stop.wait_for(|stop| *stop) => Ok(()),
        },
        Err(problem) => Err(problem),
    };
    tree.shutdown().await;
    lattice.close().await;
    folder.withdraw();
    outcome
}

fn announce(folder: &StateFolder, listens: &watch::Receiver<Option<Listening>>) -> Result<(), Problem> {
    let listening = listens.borrow().clone();
    let listening = listening.ok_or_else(|| Problem::new(api::START_FAILED, "the API does not listen"))?;
    folder.announce(&Running {
        pid: std::process::id(),
        api_socket: listening.socket,
        api_url: listening.tcp.map(|address| format!("http://{address}")),
        http_url: None,
        version: env!("CARGO_PKG_VERSION").into(),
    })
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
        Ok(Signals { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
