//! Tools and providers of wasmCloud 1.x, unchanged, against a host of ours: builds them once, each by its version, and runs e2e with them.
//!
//! Building them takes about 40 minutes on two cores. They lie in the cache of tools afterwards, where e2e finds them.

use crate::run::{self, command, step};
use anyhow::{Context, Result, bail};
use std::path::Path;

/// The shell, a program of the crate registry.
const WASH: &str = "0.43.0";

/// What the crate registry has as libraries alone: the program around each, and the crates that it needs.
const PROGRAMS: [(&str, &str, &str); 4] = [
    ("wadm", include_str!("conformance/wadm.txt"), "wadm = { version = \"=0.21.1\", features = [\"cli\"] }"),
    (
        "provider-http-server",
        include_str!("conformance/http_server.txt"),
        "wasmcloud-provider-http-server = \"=0.27.1\"",
    ),
    (
        "provider-messaging-nats",
        include_str!("conformance/messaging_nats.txt"),
        "wasmcloud-provider-messaging-nats = \"=0.27.0\"",
    ),
    (
        "provider-blobstore-fs",
        include_str!("conformance/blobstore_fs.txt"),
        "wasmcloud-provider-blobstore-fs = \"=0.11.1\"",
    ),
];

pub fn main(options: &[String]) -> Result<()> {
    if let Some(option) = options.first() {
        bail!("there is no option `{option}`");
    }
    let folder = run::tools()?.join("wasmcloud-1");
    let bin = folder.join("bin");
    if !bin.join("wash").is_file() {
        let mut cargo = command("cargo");
        cargo.args(["install", "--locked", "wash", "--version", WASH]);
        step("build wash (about half an hour)", quickly(cargo.arg("--root").arg(&folder)))?;
    }
    for (name, main, dependency) in PROGRAMS {
        if !bin.join(name).is_file() {
            build(&folder, name, main, dependency)?;
        }
    }
    let mut build = command("cargo");
    step(
        "build",
        build.args(["build", "--release", "--workspace", "--all-targets"]).current_dir(run::root()),
    )?;
    let mut test = command("cargo");
    test.args(["test", "--release", "--workspace", "--test", "it", "--", "conformance::"])
        .current_dir(run::root());
    // What cannot run fails here: that is what this task is for.
    step("conformance", test.env("UMBEL_CONFORMANCE", "1"))
}

/// Which of the programs are not in the cache of tools: the tests that take them are left out.
pub fn missing() -> Result<Vec<&'static str>> {
    let bin = run::tools()?.join("wasmcloud-1/bin");
    let names = std::iter::once("wash").chain(PROGRAMS.iter().map(|(name, ..)| *name));
    Ok(names.filter(|name| !bin.join(name).is_file()).collect())
}

/// A program of a few lines around a library.
fn build(folder: &Path, name: &str, main: &str, dependency: &str) -> Result<()> {
    let project = folder.join("src").join(name);
    let write = |path: &str, text: &str| {
        let path = project.join(path);
        std::fs::create_dir_all(path.parent().unwrap_or(&project))?;
        std::fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))
    };
    write(
        "Cargo.toml",
        &format!(
            "[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[dependencies]\n{dependency}\n\
             anyhow = \"1\"\nclap = {{ version = \"4\", features = [\"derive\", \"env\"] }}\n\
             tokio = {{ version = \"1\", features = [\"full\"] }}\n\
             tracing-subscriber = {{ version = \"0.3\", features = [\"env-filter\"] }}\n\n[workspace]\n"
        ),
    )?;
    write("src/main.rs", main)?;
    let mut cargo = command("cargo");
    cargo.args(["build", "--release"]).current_dir(&project).arg("--target-dir").arg(folder.join("target"));
    step(&format!("build {name} (some minutes)"), quickly(&mut cargo))?;
    let bin = folder.join("bin");
    std::fs::create_dir_all(&bin)?;
    std::fs::copy(folder.join("target/release").join(name), bin.join(name))?;
    Ok(())
}

/// They are tools: how long they take to build matters more than how fast they are.
fn quickly(cargo: &mut std::process::Command) -> &mut std::process::Command {
    cargo.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1");
    cargo.env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16").env("CARGO_INCREMENTAL", "0");
    // Ours is for what is ours.
    cargo.env_remove("CARGO_TARGET_DIR")
}
