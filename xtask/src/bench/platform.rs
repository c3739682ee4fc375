//! One platform of our own, with a state folder that goes when it goes.

use super::cpu;
use super::process::answers;
use crate::run::{self, command};
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const ANSWER_MAX: Duration = Duration::from_secs(60);

/// A running platform.
pub struct Platform {
    umbel: PathBuf,
    folder: TempDir,
    pub pid: u32,
    pub port: u16,
}

/// What the readiness file says.
#[derive(Deserialize)]
struct Endpoint {
    pid: u32,
    http_url: Option<String>,
}

impl Platform {
    /// One that is not started yet.
    pub fn new(umbel: &Path) -> Result<Platform> {
        Ok(Platform { umbel: umbel.to_owned(), folder: tempfile::tempdir()?, pid: 0, port: 0 })
    }

    /// Starts one on free ports.
    pub fn up(umbel: &Path) -> Result<Platform> {
        let mut platform = Platform::new(umbel)?;
        run::output(&mut platform.umbel(&["up"]))?;
        platform.read_endpoint()?;
        Ok(platform)
    }

    /// Reads where it listens, after it was started.
    pub fn read_endpoint(&mut self) -> Result<()> {
        let file = self.state().join("run/endpoint.json");
        let endpoint: Endpoint = serde_json::from_slice(&fs::read(&file).context("the readiness file")?)?;
        let url = endpoint.http_url.context("the platform has no HTTP listener")?;
        let port = url.trim_end_matches('/').rsplit(':').next().and_then(|port| port.parse().ok());
        self.port = port.with_context(|| format!("{url} has no port"))?;
        self.pid = endpoint.pid;
        Ok(())
    }

    /// Stops it and keeps its state folder.
    pub fn down(&mut self) -> Result<()> {
        if self.pid != 0 {
            self.pid = 0;
            run::output(&mut self.umbel(&["down"]))?;
        }
        Ok(())
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// The command line, told which platform it is about.
    pub fn umbel(&self, arguments: &[&str]) -> Command {
        let mut umbel = command(&self.umbel);
        umbel
            .args(arguments)
            .env("UMBEL_STATE", self.state())
            .env("UMBEL_HTTP_PORT", "0")
            .current_dir(self.folder.path());
        umbel
    }

    /// Deploys a manifest and waits until it runs; how long that took.
    pub fn deploy(&self, manifest: &str) -> Result<Duration> {
        let file = self.folder.path().join("manifest.yaml");
        fs::write(&file, manifest)?;
        let start = Instant::now();
        run::output(&mut self.umbel(&["deploy", "manifest.yaml"]))?;
        Ok(start.elapsed())
    }

    /// Waits until an application answers at its host name.
    pub fn wait_for_answer(&self, host: &str) -> Result<()> {
        let start = Instant::now();
        while !answers(self.port, host) {
            if start.elapsed() > ANSWER_MAX {
                bail!("{host} does not answer");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    pub fn resident_bytes(&self) -> Result<u64> {
        cpu::resident_bytes(self.pid)
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        if let Err(error) = self.down() {
            eprintln!("a platform did not stop: {error:#}");
        }
    }
}

/// The manifest of one component behind the shared HTTP server, at `http://NAME.localhost`.
pub fn application(name: &str, version: &str, image: &Path, instances: &str) -> String {
    format!(
        "apiVersion: core.oam.dev/v1beta1
kind: Application
metadata:
  name: {name}
  annotations:
    version: {version}
spec:
  components:
    - name: {name}
      type: component
      properties:
        image: {image}
        instance: {instances}
    - name: http
      type: capability
      properties:
        image: builtin:http-server
      traits:
        - type: link
          properties:
            target: {{name: {name}}}
            namespace: wasi
            package: http
            interfaces: [incoming-handler]
",
        image = image.display()
    )
}

/// The manifest of many components that are alike but for their names.
pub fn many(name: &str, count: usize, image: &Path) -> String {
    let mut text = format!(
        "apiVersion: core.oam.dev/v1beta1\nkind: Application\nmetadata: {{name: {name}}}\nspec:\n  components:\n"
    );
    for number in 0..count {
        writeln!(
            text,
            "    - {{name: c{number}, type: component, properties: {{image: {}}}}}",
            image.display()
        )
        .expect("a string takes all");
    }
    text
}
