//! A platform of its own for a test or a measurement, driven by the command line as a user would.

use serde_json::Value;
use std::io::{Error, Result};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

use crate::http;

/// Twice what the API allows itself for most requests.
const API_PATIENCE: Duration = Duration::from_secs(60);

/// Compiling may take its time on a busy machine.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// A state folder, and the platform that runs in it. It ends with its value.
#[derive(Debug)]
pub struct Platform {
    umbel: PathBuf,
    folder: TempDir,
    /// The process id; 0 while it does not run.
    pub pid: u32,
    /// Where applications answer.
    pub address: SocketAddr,
    /// Where the API listens on the loopback address.
    pub api: SocketAddr,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// The exit code; -1 after a signal.
    pub code: i32,
    /// What it printed as its result.
    pub stdout: String,
    /// What it said besides.
    pub stderr: String,
}

impl Ran {
    /// What a program that has ended came to.
    pub fn of(output: Output) -> Ran {
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Platform {
    /// A state folder in which nothing runs yet.
    pub fn new(umbel: &Path) -> Result<Platform> {
        let address = (Ipv4Addr::LOCALHOST, 0).into();
        Ok(Platform { umbel: umbel.to_owned(), folder: tempfile::tempdir()?, pid: 0, address, api: address })
    }

    /// A platform that runs and has nothing deployed.
    pub fn up(umbel: &Path) -> Result<Platform> {
        let mut platform = Platform::new(umbel)?;
        platform.start()?;
        Ok(platform)
    }

    /// Starts it in its folder, with what it had.
    pub fn start(&mut self) -> Result<()> {
        self.start_with(&[])
    }

    /// The same with further arguments of `umbel up`.
    pub fn start_with(&mut self, more: &[&str]) -> Result<()> {
        self.succeed(&[&["up", "--detach"], more].concat())?;
        self.read_endpoint()
    }

    /// A folder for files of the test.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The state folder.
    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// The program under test, told which platform it is about. Applications answer on any free port.
    #[expect(
        clippy::disallowed_methods,
        reason = "a test runs the program as a user does, without a supervisor"
    )]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.umbel);
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        command.env("UMBEL_STATE", self.state()).env("UMBEL_HTTP_PORT", "0");
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Result<Ran> {
        Ok(Ran::of(self.command(arguments).output()?))
    }

    /// Runs a command that must succeed; its result.
    pub fn succeed(&self, arguments: &[&str]) -> Result<String> {
        let ran = self.run(arguments)?;
        match ran.code {
            0 => Ok(ran.stdout),
            code => {
                Err(Error::other(format!("umbel {} ended with {code}: {}", arguments.join(" "), ran.stderr)))
            }
        }
    }

    /// Runs a command that must succeed; its result as JSON.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let text = self.succeed(&[arguments, &["-o", "json"]].concat())?;
        serde_json::from_str(&text).map_err(|error| Error::other(format!("{error}: {text}")))
    }

    /// Reads where it listens, after a command has started it.
    pub fn read_endpoint(&mut self) -> Result<()> {
        let endpoint: Value =
            serde_json::from_slice(&std::fs::read(self.state().join("run/endpoint.json"))?)?;
        let address = |name: &str| {
            let url = endpoint[name].as_str().unwrap_or_default().trim_end_matches('/');
            let port: Option<u16> = url.rsplit(':').next().and_then(|port| port.parse().ok());
            port.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        };
        let no_port = || Error::other(format!("there is no port in {endpoint}"));
        self.address = address("http_url").ok_or_else(no_port)?;
        // It may be told to serve none.
        self.api = address("api_url").unwrap_or(self.api);
        self.pid = endpoint["pid"].as_u64().and_then(|pid| pid.try_into().ok()).unwrap_or_default();
        Ok(())
    }

    /// Writes a manifest and deploys it, waiting until it runs; how long that took.
    pub fn deploy(&self, manifest: &str) -> Result<Duration> {
        std::fs::write(self.folder.path().join("manifest.yaml"), manifest)?;
        let start = Instant::now();
        self.succeed(&["deploy", "-f", "manifest.yaml"])?;
        Ok(start.elapsed())
    }

    /// Asks the API over TCP as tools do, and waits longer than it may take.
    pub fn ask_api(&self, method: &str, path: &str, body: Option<&[u8]>) -> Result<http::Answer> {
        let token = std::fs::read_to_string(self.state().join("api.token"))?;
        let bearer = format!("Bearer {}", token.trim());
        let mut connection = http::Connection::open(self.api, &self.api.to_string())?;
        connection.set_patience(API_PATIENCE)?;
        let kind =
            if path.starts_with("/v1/applications?") { "application/yaml" } else { "application/json" };
        connection.request(method, path, &[("authorization", &bearer), ("content-type", kind)], body)
    }

    /// Asks an application.
    pub fn get(&self, application: &str, path: &str) -> Result<http::Answer> {
        http::get(self.address, &format!("{application}.localhost"), path)
    }

    /// Waits until an application answers with 200.
    pub fn wait_for_answer(&self, application: &str) -> Result<http::Answer> {
        let start = Instant::now();
        loop {
            match self.get(application, "/") {
                Ok(answer) if answer.status == 200 => return Ok(answer),
                other if start.elapsed() > ANSWER_MAX => {
                    let last = other.map(|answer| format!("{} {}", answer.status, answer.text()));
                    return Err(Error::other(format!("{application} does not answer: {last:?}")));
                }
                _ => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    /// Stops it and keeps its folder.
    pub fn down(&mut self) -> Result<()> {
        if self.pid != 0 {
            self.succeed(&["down"])?;
            self.pid = 0;
        }
        Ok(())
    }

    /// Sends it a signal, such as `KILL`.
    #[expect(clippy::disallowed_methods, reason = "the standard library sends no signals")]
    pub fn signal(&self, name: &str) -> Result<()> {
        assert!(self.pid != 0, "it does not run");
        let status = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.pid)]).status()?;
        if status.success() { Ok(()) } else { Err(Error::other("kill failed")) }
    }

    /// Whether its process is there.
    pub fn is_alive(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        // One that has ended and was not reaped yet is not alive.
        self.pid != 0 && stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        if self.is_alive() && self.down().is_err() {
            drop(self.signal("KILL"));
        }
    }
}

/// The manifest of one component behind the shared HTTP server, at `http://NAME.localhost`. `properties` are further lines of the
/// component's properties, such as `instance: reuse`.
pub fn application(name: &str, version: &str, image: &Path, properties: &[&str]) -> String {
    let properties: String = properties.iter().map(|line| format!("        {line}\n")).collect();
    format!(
        "apiVersion: core.oam.dev/v1beta1
kind: Application
metadata:
  name: {name}
  annotations: {{version: {version}}}
spec:
  components:
    - name: {name}
      type: component
      properties:
        image: {image}
{properties}    - name: http
      type: capability
      properties: {{image: 'builtin:http-server'}}
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
    let image = image.display();
    let part =
        |number| format!("    - {{name: c{number}, type: component, properties: {{image: {image}}}}}\n");
    let parts: String = (0..count).map(part).collect();
    format!(
        "apiVersion: core.oam.dev/v1beta1\nkind: Application\nmetadata: {{name: {name}}}\nspec:\n  components:\n{parts}"
    )
}
