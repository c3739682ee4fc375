//! A registry for images of its own for a test: a folder, a port of the loopback, a process that ends with the value.

use crate::nats::free_address;
use std::io::{Error, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A loaded machine may take its time.
const READY_MAX: Duration = Duration::from_secs(30);

/// The Debian package `docker-registry`.
const PROGRAM: &str = "/usr/bin/docker-registry";

/// Who [`Guard::Password`] lets in.
pub const USER: &str = "umbel";
/// By what.
pub const PASSWORD: &str = "s3cret";
/// The line of both in a file for `htpasswd`: bcrypt, the only form that the registry takes.
const HTPASSWD: &str = "umbel:$2y$05$umbelumbelumbelumbeluehHFAeRaSV.9LRloRBHMQGgrlNrrj756";

/// Who may ask.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Guard {
    /// Everybody.
    #[default]
    None,
    /// [`USER`] with [`PASSWORD`].
    Password,
}

/// A certificate and its key, PEM.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The certificate, with all that vouch for it.
    pub chain: String,
    /// Its key.
    pub key: String,
}

/// A registry, and what it keeps.
#[derive(Debug)]
pub struct Registry {
    folder: TempDir,
    address: SocketAddr,
    guard: Guard,
    certificate: Option<Certificate>,
    child: Option<Child>,
}

impl Registry {
    /// Starts one; with a certificate it speaks TLS.
    ///
    /// # Errors
    /// When there is no such program (it is in Debian's package `docker-registry`), or it does not start.
    pub fn start(guard: Guard, certificate: Option<Certificate>) -> Result<Registry> {
        let (folder, address) = (tempfile::tempdir()?, free_address()?);
        let mut registry = Registry { folder, address, guard, certificate, child: None };
        registry.again()?;
        Ok(registry)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The file that holds a blob, for a test that damages it.
    pub fn blob(&self, hex: &str) -> PathBuf {
        let blobs = self.folder.path().join("data/docker/registry/v2/blobs/sha256");
        blobs.join(&hex[..2]).join(hex).join("data")
    }

    /// Starts it again after [`Registry::kill`], at the same address, with what it had.
    #[expect(clippy::disallowed_methods, reason = "a test runs the server without a supervisor")]
    pub fn again(&mut self) -> Result<()> {
        let folder = self.folder.path();
        let mut config = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp:\n  addr: {}\n",
            folder.join("data").display(),
            self.address
        );
        if let Some(certificate) = &self.certificate {
            let (chain, key) = (folder.join("chain.pem"), folder.join("key.pem"));
            std::fs::write(&chain, &certificate.chain)?;
            std::fs::write(&key, &certificate.key)?;
            let (chain, key) = (chain.display(), key.display());
            config.push_str(&format!("  tls: {{certificate: {chain}, key: {key}}}\n"));
        }
        if self.guard == Guard::Password {
            let path = folder.join("htpasswd");
            std::fs::write(&path, format!("{HTPASSWD}\n"))?;
            config.push_str(&format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", path.display()));
        }
        let file = folder.join("config.yml");
        std::fs::write(&file, config)?;
        let log = std::fs::File::create(folder.join("log"))?;
        if !Path::new(PROGRAM).is_file() {
            return Err(Error::other(format!(
                "there is no {PROGRAM}; install it: apt-get install docker-registry"
            )));
        }
        let mut command = Command::new(PROGRAM);
        command.arg("serve").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
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
                return Err(Error::other(format!("the registry has ended with {status}: {}", self.log())));
            }
            if answers(self.address) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Err(Error::other(format!("the registry is not ready: {}", self.log())))
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether somebody there says something: one with TLS complains of what is none.
fn answers(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) else {
        return false;
    };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
    let asked = stream.write_all(b"GET /v2/ HTTP/1.0\r\n\r\n");
    let mut first = [0; 4];
    asked.is_ok() && stream.read(&mut first).is_ok_and(|count| count > 0)
}
