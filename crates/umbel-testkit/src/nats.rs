//! A nats-server of its own for a test: a folder, a port of the loopback, a process that ends with the value.

use crate::network::Network;
use std::io::{Error, Read, Result};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The version that `cargo xtask servers` installs.
const VERSION: &str = "2.15.1";

/// A loaded machine may take its time.
const READY_MAX: Duration = Duration::from_secs(30);

/// A server with JetStream, and what it keeps.
#[derive(Debug)]
pub struct NatsServer {
    folder: TempDir,
    address: SocketAddr,
    more: String,
    /// The network namespace that it runs in, if it is not that of the test.
    namespace: Option<String>,
    child: Option<Child>,
}

impl NatsServer {
    /// Starts one with JetStream, every write synced, and these further lines of configuration. `PORT` and `FOLDER` in them stand for
    /// the server's own.
    ///
    /// # Errors
    /// When there is no such program (`cargo xtask servers` installs it), or it does not take the configuration.
    pub fn start(more: &str) -> Result<NatsServer> {
        let mut server = NatsServer::prepare(more)?;
        server.again()?;
        Ok(server)
    }

    /// What [`NatsServer::start`] starts, with files still to be put into its folder.
    pub fn prepare(more: &str) -> Result<NatsServer> {
        let address = free_address()?;
        let (folder, more) = (tempfile::tempdir()?, more.to_string());
        Ok(NatsServer { folder, address, more, namespace: None, child: None })
    }

    /// Starts one beyond a network that can be made to fail; hosts reach it at [`Network::url`].
    pub fn beyond(network: &Network, more: &str) -> Result<NatsServer> {
        let (folder, more, address) = (tempfile::tempdir()?, more.to_string(), network.server());
        let namespace = Some(network.namespace().to_string());
        let mut server = NatsServer { folder, address, more, namespace, child: None };
        server.again()?;
        Ok(server)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `nats://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// Its process id, while it runs in the test's own namespace.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts it again after [`NatsServer::kill`], at the same address, with what it had.
    #[expect(clippy::disallowed_methods, reason = "a test runs the server without a supervisor")]
    pub fn again(&mut self) -> Result<()> {
        let folder = self.folder.path();
        let more = self.more.replace("PORT", &self.address.port().to_string());
        let more = more.replace("FOLDER", &folder.display().to_string());
        // With no JetStream of its own the test says so.
        let state = if more.contains("jetstream") {
            String::new()
        } else {
            format!("jetstream {{ store_dir: \"{}\", sync_interval: always }}\n", folder.join("js").display())
        };
        let file = folder.join("nats.conf");
        // Beyond a network it has an address for each host.
        let listen = match self.namespace {
            Some(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, self.address.port())),
            None => self.address,
        };
        std::fs::write(&file, format!("listen: \"{listen}\"\n{state}{more}\n"))?;
        let log = std::fs::File::create(folder.join("log"))?;
        let mut command = match &self.namespace {
            Some(namespace) => {
                let mut within = Command::new("ip");
                within.args(["netns", "exec", namespace]).arg(program()?);
                within
            }
            None => Command::new(program()?),
        };
        command.arg("-c").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn()?);
        self.wait()
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself; then there is nothing to end.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// What it has said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn wait(&mut self) -> Result<()> {
        let until = Instant::now() + READY_MAX;
        while Instant::now() < until {
            if let Some(status) = self.child.as_mut().map(Child::try_wait).transpose()?.flatten() {
                return Err(Error::other(format!("nats-server has ended with {status}: {}", self.log())));
            }
            if greets(self.address) && self.log().contains("Server is ready") {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Err(Error::other(format!("nats-server is not ready: {}", self.log())))
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether somebody there says something first, as a server does; one that begins with TLS waits, and is there too.
fn greets(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) else {
        return false;
    };
    let _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
    let mut first = [0; 4];
    stream.read(&mut first).is_ok()
}

/// A port that was free a moment ago.
pub fn free_address() -> Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

fn program() -> Result<PathBuf> {
    let home = std::env::var("HOME").unwrap_or_default();
    let path = Path::new(&home).join(format!(".cache/umbel-tools/nats-server-{VERSION}/bin/nats-server"));
    if path.is_file() {
        return Ok(path);
    }
    Err(Error::other(format!("there is no {}; install it: cargo xtask servers", path.display())))
}
