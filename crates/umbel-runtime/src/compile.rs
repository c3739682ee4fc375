//! Compiling, in a process of its own.
//!
//! The host starts the worker through [`Worker`], with limits on memory, CPU and time; the process runs [`worker_main`]. A
//! hostile component can at worst end its own worker.

use crate::cache::{Cache, Key};
use crate::config::CompileLimits;
use crate::engine::{Layout, Style, settings};
use crate::error::{Cause, LoadError};
use crate::{adapt, inspect, logs, wit};
use async_trait::async_trait;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use umbel_core::{Coded, Problem};

/// The hidden first argument with which a binary of ours becomes a compile process.
pub const WORKER_ARG: &str = "__compile";

/// What a compile process is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Write machine code.
    Compile,
    /// Write the component's interfaces as WIT.
    Describe,
}

/// The word in place of a layout that asks for [`Task::Describe`].
const DESCRIBE: &str = "wit";

/// One compilation, or something smaller that a hostile file could make as long.
#[derive(Debug, Clone)]
pub struct Job {
    /// What to do.
    pub task: Task,
    /// The component.
    pub input: PathBuf,
    /// Where the machine code, or the text, goes.
    pub output: PathBuf,
    /// For messages.
    pub what: String,
    /// The engine's layout of memories.
    pub layout: Layout,
    /// What it may use.
    pub limits: CompileLimits,
}

impl Job {
    /// The arguments of the compile process, after [`WORKER_ARG`].
    pub fn args(&self) -> Vec<std::ffi::OsString> {
        vec![
            match self.task {
                Task::Compile => self.layout.as_arg().into(),
                Task::Describe => DESCRIBE.into(),
            },
            self.what.clone().into(),
            self.input.clone().into(),
            self.output.clone().into(),
        ]
    }
}

/// How a compile process ended.
#[derive(Debug, Clone)]
pub enum Exit {
    /// Status 0: the output file is there.
    Done,
    /// It printed a [`Problem`] as JSON and ended with another status.
    Failed(Vec<u8>),
    /// It was ended for exceeding the named limit.
    Limit(String),
}

/// Runs compile processes, one after another or a few at once, as the host sees fit.
#[async_trait]
pub trait Worker: Send + Sync + 'static {
    /// Runs one. `Err` says why no process could be run to its end.
    async fn run(&self, job: &Job) -> Result<Exit, String>;
}

/// Compiles through the worker and puts the result into the cache.
pub(crate) async fn compile(
    worker: &dyn Worker,
    cache: &Arc<Cache>,
    key: &Key,
    input: &Path,
    what: &str,
    layout: Layout,
    limits: CompileLimits,
) -> Result<(), LoadError> {
    let output = cache.scratch(key);
    let job = Job {
        task: Task::Compile,
        input: input.to_path_buf(),
        output: output.path().to_path_buf(),
        what: what.into(),
        layout,
        limits,
    };
    match worker.run(&job).await {
        Ok(Exit::Done) if !output.path().exists() => {
            Err(LoadError::Worker { reason: "it ended well, and the code is not there".into() })
        }
        Ok(Exit::Done) => {
            // Reads and hashes all of it, which may be a gigabyte.
            let (cache, key) = (cache.clone(), key.clone());
            let adopted = tokio::task::spawn_blocking(move || cache.adopt(&key, output)).await;
            adopted.unwrap_or_else(|panic| Err(LoadError::Worker { reason: panic.to_string() }))
        }
        Ok(Exit::Failed(answer)) => Err(match serde_json::from_slice::<Problem>(&answer) {
            Ok(problem) => LoadError::from(problem),
            Err(_) => LoadError::Worker { reason: excerpt(&answer) },
        }),
        Ok(Exit::Limit(limit)) => Err(LoadError::Limit { limit }),
        Err(reason) => Err(LoadError::Worker { reason }),
    }
}

/// The beginning of what a process printed, fit for a terminal.
fn excerpt(printed: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(printed).trim().chars().take(400).collect();
    logs::printable(&text)
}

/// The compile process: `LAYOUT WHAT INPUT OUTPUT`. Returns its exit status; the answer of a failure goes to standard output as JSON.
pub fn worker_main(args: impl IntoIterator<Item = std::ffi::OsString>) -> u8 {
    work(args, &mut std::io::stdout())
}

/// As [`worker_main`], with the answer of a failure written to `answer`.
pub fn work(args: impl IntoIterator<Item = std::ffi::OsString>, answer: &mut dyn Write) -> u8 {
    let args: Vec<_> = args.into_iter().collect();
    let [layout, what, input, output] = args.as_slice() else {
        return 2;
    };
    let (what, input, output) = (what.to_string_lossy(), Path::new(input), Path::new(output));
    let outcome = match layout.to_str() {
        Some(DESCRIBE) => describe(&what, input, output),
        Some("pool") => precompile(Layout::Pool(1), &what, input, output),
        _ => precompile(Layout::OnDemand, &what, input, output),
    };
    match outcome {
        Ok(()) => 0,
        Err(error) => {
            let problem = Problem::from(&error as &dyn Coded);
            // If even this cannot be written, the exit status still says that it failed.
            let _ = serde_json::to_writer(answer, &problem);
            1
        }
    }
}

fn precompile(layout: Layout, what: &str, input: &Path, output: &Path) -> Result<(), LoadError> {
    let io = |path: &Path| {
        let path = path.to_path_buf();
        move |e: std::io::Error| LoadError::Cache { path, source: e.into() }
    };
    let bytes = std::fs::read(input).map_err(io(input))?;
    inspect::check(what, &bytes)?;
    let bytes = if inspect::is_module(&bytes) { adapt::component(what, &bytes)? } else { bytes };
    std::fs::write(output, machine_code(layout, &bytes)?).map_err(io(output))
}

/// Code for the plain engine, if the component can do with that.
fn machine_code(layout: Layout, bytes: &[u8]) -> Result<Vec<u8>, LoadError> {
    let compiled = |style| {
        let engine = wasmtime::Engine::new(&compile_settings(style, layout));
        let engine = engine.map_err(|e| LoadError::Engine { source: Cause::of(&e) })?;
        engine.precompile_component(bytes).map_err(|e| LoadError::Compile { source: Cause::of(&e) })
    };
    // What needs the other engine is found before anything is compiled; what is wrong is said by that one, which knows all features.
    if !inspect::names_wasi_p3(bytes)
        && let Ok(code) = compiled(Style::Plain)
    {
        return Ok(code);
    }
    compiled(Style::Concurrent)
}

fn describe(what: &str, input: &Path, output: &Path) -> Result<(), LoadError> {
    let io = |path: &Path| {
        let path = path.to_path_buf();
        move |e: std::io::Error| LoadError::Cache { path, source: e.into() }
    };
    let bytes = std::fs::read(input).map_err(io(input))?;
    std::fs::write(output, wit::describe(what, &bytes)?).map_err(io(output))
}

/// The settings of the host's engine, without its pool: address space is limited in the compile process.
fn compile_settings(style: Style, layout: Layout) -> wasmtime::Config {
    let mut config = settings(style, layout, 0);
    config.allocation_strategy(wasmtime::InstanceAllocationStrategy::OnDemand);
    config
}
