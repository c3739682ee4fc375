//! What carries the lattice: this process, a NATS server that runs, or one that is started here and ends with the platform.

use crate::cmd::up::lattice::{Carrier, On, Start};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use umbel_core::code::{api, lattice as code};
use umbel_core::id::LatticeName;
use umbel_core::{Coded, Problem};
use umbel_lattice::nats::config::ServerConfig;
use umbel_lattice::{InProcess, Lattice, Nats, NatsSpec};
use umbel_provider::sdk::spawn_in;
use umbel_supervisor::process::{Capture, Spec};
use umbel_supervisor::{ChildSpec, Env, Handle, Intensity, Scope, Strategy, Supervisor, SupervisorSpec};

/// How long a server that is started may take until it answers.
const SERVER_START_MAX: Duration = Duration::from_secs(15);
/// Between two looks whether it does.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long it may take to end.
const SERVER_STOP_MAX: Duration = Duration::from_secs(5);

/// A lattice, and what is under it.
pub(crate) struct Carried {
    /// The lattice.
    pub(crate) lattice: Arc<dyn Lattice>,
    /// The server that was started.
    server: Option<Handle>,
    /// What hands messages on.
    _tasks: Scope,
}

impl Carried {
    /// Opens the lattice. `folder` is the platform's own.
    pub(crate) async fn open(folder: &Path, name: &LatticeName, on: &On) -> Result<Carried, Problem> {
        let tasks = Scope::new("lattice");
        let (lattice, server): (Arc<dyn Lattice>, _) = match &on.carrier {
            Carrier::Own => {
                let opened = InProcess::open(folder.join("lattice.redb"), name.clone()).await;
                (Arc::new(opened.map_err(coded)?), None)
            }
            Carrier::Nats(reach) => {
                let nats = Nats::connect(&named(reach.spec()?), name.clone(), spawn_in(&tasks)).await;
                (Arc::new(nats.map_err(coded)?), None)
            }
            Carrier::Started(start) => {
                let server = start_server(folder, start)?;
                let nats = reach(start, name, &tasks).await;
                (Arc::new(nats?), Some(server))
            }
        };
        Ok(Carried { lattice, server, _tasks: tasks })
    }

    /// The supervisor of the server that was started.
    pub(crate) fn server(&self) -> Option<&Handle> {
        self.server.as_ref()
    }

    /// Closes the lattice, then ends the server.
    pub(crate) async fn close(self) {
        self.lattice.close().await;
        if let Some(server) = self.server {
            server.shutdown().await;
        }
    }
}

fn named(spec: NatsSpec) -> NatsSpec {
    NatsSpec { name: format!("umbel {}", env!("CARGO_PKG_VERSION")), ..spec }
}

/// Starts a nats-server that is started anew whenever it ends.
fn start_server(folder: &Path, start: &Start) -> Result<Handle, Problem> {
    let program = program(start)?;
    let folder = folder.join("nats");
    let mut config = ServerConfig::new(start.listen.to_string(), folder.join("data"));
    config.hubs = start.hub.iter().cloned().collect();
    config.listen_for_leaves = start.leaves.map(|address| address.to_string());
    // The hub keeps the state; the leaf has none of its own.
    config.keeps_state = start.hub.is_none();
    config.domain = start.js_domain.clone().filter(|_| config.keeps_state);
    let file = folder.join("nats.conf");
    write(&file, &config.render()).map_err(|error| {
        let message = format!("`{}` cannot be written", file.display());
        Problem::new(api::STATE_FOLDER, message).with_cause(error.to_string())
    })?;
    let spec = Spec::new(program)
        .arg("-c")
        .arg(&file)
        .stderr(Capture::Lines { tell: Arc::new(tell), tail: 4 << 10 });
    let child = ChildSpec::process("nats-server", Spec { grace: SERVER_STOP_MAX, ..spec });
    let root = SupervisorSpec::new(Strategy::OneForOne)
        .intensity(Intensity::new(10, Duration::from_secs(60)))
        .child(child);
    tracing::info!(listen = %start.listen, is_leaf = start.hub.is_some(), "starting a nats-server");
    Ok(Supervisor::start("servers", root, Env::system()))
}

/// What the server says of trouble.
fn tell(line: &str) {
    if ["[ERR]", "[FTL]", "[WRN]"].iter().any(|level| line.contains(level)) {
        tracing::warn!(target: "nats-server", "{line}");
    } else {
        tracing::debug!(target: "nats-server", "{line}");
    }
}

fn write(file: &Path, text: &str) -> std::io::Result<()> {
    std::fs::create_dir_all(file.parent().unwrap_or(file))?;
    // There may be a password of the hub in it.
    let mut options = std::fs::OpenOptions::new();
    let mut open = options.create(true).truncate(true).write(true).mode(0o600).open(file)?;
    std::io::Write::write_all(&mut open, text.as_bytes())
}

fn program(start: &Start) -> Result<PathBuf, Problem> {
    let missing = |what: String| {
        Problem::new(code::NATS_SERVER_MISSING, what)
            .with_help("install nats-server (https://nats.io), or name it with `--nats-server FILE`")
    };
    if let Some(program) = &start.program {
        let is_there = std::fs::metadata(program).is_ok_and(|found| found.is_file());
        // A process has no folder of its own that a name could be relative to.
        let whole = std::path::absolute(program).ok().filter(|_| is_there);
        return whole.ok_or_else(|| missing(format!("there is no program `{}`", program.display())));
    }
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&paths).map(|folder| folder.join("nats-server")).find(|path| path.is_file());
    found.ok_or_else(|| missing("there is no `nats-server` in the PATH".into()))
}

/// Connects to the server that was started, once it answers.
async fn reach(start: &Start, name: &LatticeName, tasks: &Scope) -> Result<Nats, Problem> {
    let mut address = start.listen;
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    let spec = NatsSpec {
        servers: vec![format!("nats://{address}")],
        js_domain: start.js_domain.clone(),
        ..NatsSpec::default()
    };
    let spec = named(spec);
    let begun = Instant::now();
    loop {
        match Nats::connect(&spec, name.clone(), spawn_in(tasks)).await {
            Ok(nats) => return Ok(nats),
            // It starts, or has not reached its hub yet.
            Err(error)
                if begun.elapsed() < SERVER_START_MAX
                    && [code::NATS_UNREACHABLE, code::NATS_NO_JETSTREAM].contains(&error.code()) =>
            {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            Err(error) => {
                return Err(
                    coded(error).with_cause("it is the server that this platform started".to_string())
                );
            }
        }
    }
}

fn coded(error: impl Coded) -> Problem {
    Problem::from(&error as &dyn Coded)
}
