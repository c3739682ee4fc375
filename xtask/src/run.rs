//! Running other programs, and where things are.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// The root of the checkout.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("xtask lies in the root of the checkout").to_owned()
}

/// Where tools and caches that are not checked in live.
pub fn tools() -> Result<PathBuf> {
    let home = std::env::var_os("HOME").context("HOME is not set")?;
    Ok(Path::new(&home).join(".cache/umbel-tools"))
}

/// A command whose standard streams are ours.
#[expect(clippy::disallowed_methods, reason = "a build tool has no supervisor")]
pub fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    Command::new(program)
}

/// Runs a step, says what it does and how long it took.
pub fn step(name: &str, command: &mut Command) -> Result<()> {
    eprintln!("==> {name}");
    let start = Instant::now();
    let status =
        command.status().with_context(|| format!("{name}: {:?} cannot be run", command.get_program()))?;
    eprintln!("==> {name}: {:.1} s", start.elapsed().as_secs_f64());
    if !status.success() {
        bail!("{name} failed ({status})");
    }
    Ok(())
}

/// The standard output of a program that must succeed.
pub fn output(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_owned();
    let output = command.output().with_context(|| format!("{program:?} cannot be run"))?;
    if !output.status.success() {
        bail!("{program:?} failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    String::from_utf8(output.stdout).with_context(|| format!("{program:?} did not print UTF-8"))
}

/// Whether a program can be run at all.
pub fn has(program: &str) -> bool {
    command(program).arg("--version").output().is_ok()
}
