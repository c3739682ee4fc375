//! The servers that ours is compared with. They are tools: built once, kept beside the other tools.

use super::process::{Process, free_port};
use crate::run::{self, command, step};
use anyhow::{Result, bail};
use std::path::{Path, PathBuf};

const WASMTIME: &str = "48.0.8";

/// How `wasmtime serve` is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instances {
    /// As it comes, with a fresh instance for every request.
    Fresh,
    /// Instances are reused, and the pooling allocator is on.
    Reused,
}

/// Builds both.
pub fn install() -> Result<()> {
    hyper_program()?;
    let program = wasmtime_program()?;
    if !program.is_file() {
        let folder = program.parent().and_then(Path::parent).expect("it lies in a bin folder");
        let mut cargo = command("cargo");
        cargo.args(["install", "wasmtime-cli", "--locked", "--version", WASMTIME, "--root"]).arg(folder);
        step("build wasmtime (20 min)", &mut cargo)?;
    }
    Ok(())
}

/// hyper with a static answer, on one thread.
pub fn hyper() -> Result<Process> {
    let port = free_port()?;
    Process::start(&hyper_program()?, &[port.to_string()], port)
}

/// `wasmtime serve` of an example.
pub fn wasmtime(example: &str, instances: Instances) -> Result<Process> {
    let program = wasmtime_program()?;
    if !program.is_file() {
        bail!("wasmtime {WASMTIME} is not here; `cargo xtask bench --peers` builds it");
    }
    let port = free_port()?;
    let mut arguments: Vec<String> =
        ["serve", "--addr", &format!("127.0.0.1:{port}")].map(String::from).into();
    let is_p3 = example.ends_with("p3");
    let settings: &[&str] = match (instances, is_p3) {
        // Without any setting, a component of WASI 0.2 has a fresh instance for each request.
        (Instances::Fresh, false) => &[],
        (Instances::Fresh, true) => {
            &["--max-instance-reuse-count", "1", "--max-instance-concurrent-reuse-count", "1"]
        }
        (Instances::Reused, _) => &["--max-instance-reuse-count", "1000000", "-Opooling-allocator=y"],
    };
    arguments.extend(settings.iter().map(ToString::to_string));
    if is_p3 {
        arguments.extend(["-Sp3", "-Wcomponent-model-async"].map(String::from));
    }
    arguments.push(umbel_testkit::example(example).display().to_string());
    Process::start(&program, &arguments, port)
}

fn wasmtime_program() -> Result<PathBuf> {
    Ok(run::tools()?.join(format!("wasmtime-{WASMTIME}")).join("bin/wasmtime"))
}

fn hyper_program() -> Result<PathBuf> {
    let target = run::tools()?.join("peers-target");
    let program = target.join("release/hyper-static");
    if !program.is_file() {
        let mut cargo = command("cargo");
        cargo.args(["build", "--release", "--locked"]).env("CARGO_TARGET_DIR", &target);
        step("build hyper-static", cargo.current_dir(run::root().join("xtask/peers/hyper-static")))?;
    }
    Ok(program)
}
