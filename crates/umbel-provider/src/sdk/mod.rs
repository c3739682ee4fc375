//! A provider in a process of its own: `main` is a call of [`run`] with a [`Factory`].
//!
//! ```text
//!  stdin ─▶ HostData ─▶ connect ─▶ Factory::start ─▶ links, serve ─▶ ready
//!                                       ▲                              │ health, links, config ─▶ answers
//!                                 Targets: calls of components         ▼
//!                                                    shutdown, SIGTERM, or the host is gone ─▶ drain, stop, end
//! ```
//!
//! ```no_run
//! # async fn example(factory: std::sync::Arc<dyn umbel_provider::Factory>) {
//! if let Err(problem) = umbel_provider::sdk::run(factory).await {
//!     eprintln!("{problem}");
//!     std::process::exit(1);
//! }
//! # }
//! ```

mod links;
mod process;
mod targets;

pub use process::{ServeOptions, Stopped, serve};

use crate::Factory;
use crate::hostdata::{HostData, HostDataError, LINE_BYTES_MAX};
use std::io::Read;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use umbel_core::Problem;
use umbel_lattice::Spawn;
use umbel_lattice::unix::connect;
use umbel_supervisor::{Scope, Stop};
use zeroize::Zeroizing;

/// Reads the host data from standard input, and is a provider until the host ends it, is gone, or the process gets SIGTERM.
///
/// Errors: what the provider could not start for, or what ended the connection.
pub async fn run(factory: Arc<dyn Factory>) -> Result<(), Problem> {
    let data = tokio::task::spawn_blocking(|| from(std::io::stdin().lock()))
        .await
        .unwrap_or_else(|_| Err(HostDataError { why: "standard input cannot be read".into() }))
        .map_err(|error| Problem::from(&error))?;
    run_with(factory, data).await
}

/// As [`run`], with host data that were read otherwise.
pub async fn run_with(factory: Arc<dyn Factory>, data: HostData) -> Result<(), Problem> {
    let tasks = Scope::new("provider");
    let spawn = spawn_in(&tasks);
    let own = data.umbel.clone().unwrap_or_default();
    let lattice = connect(data.socket()?, &data.provider_key, &own.token, &spawn).await?;
    let stop = Stop::new();
    let asked = stop.clone();
    let mut term = signal(SignalKind::terminate()).map_err(|error| {
        Problem::from(&HostDataError { why: format!("signals cannot be heard: {error}") })
    })?;
    tasks.spawn(async move {
        if term.recv().await.is_some() {
            asked.request();
        }
    });
    serve(Arc::new(lattice), spawn, factory, data, stop, ServeOptions::default()).await.map(drop)
}

/// Starts tasks in the scope, from any thread.
pub fn spawn_in(tasks: &Scope) -> Spawn {
    let (runtime, spawner) = (tokio::runtime::Handle::current(), tasks.spawner());
    Arc::new(move |task| {
        let _entered = runtime.enter();
        spawner.spawn(task);
    })
}

/// Reads the first line.
fn from(input: impl Read) -> Result<HostData, HostDataError> {
    let mut line = Zeroizing::new(Vec::new());
    let mut limited = std::io::BufReader::new(input.take(LINE_BYTES_MAX as u64 + 1));
    std::io::BufRead::read_until(&mut limited, b'\n', &mut line)
        .map_err(|error| HostDataError { why: format!("standard input cannot be read: {error}") })?;
    let text = std::str::from_utf8(&line).map_err(|_| HostDataError { why: "it is no text".into() })?;
    HostData::read(text)
}
