//! The state folder as the API and its clients see it: where the socket is, where the token is, and who is running.
//!
//! ```text
//! STATE/                      0700
//! ├─ api.token                0600   the bearer token for the TCP side
//! ├─ log/host.log                    what a platform in the background says
//! └─ run/                     0700
//!    ├─ api.sock              0600
//!    └─ endpoint.json                written atomically when everything listens: the signal that the platform is ready
//! ```

use serde::{Deserialize, Serialize};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use umbel_core::Problem;
use umbel_core::code::api;

/// The longest path of a unix socket, without its final zero (`sun_path` of unix(7)).
pub const SOCKET_PATH_BYTES_MAX: usize = 107;

/// The largest file that is read from the state folder.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// A state folder. Only paths: nothing is touched until a method says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateFolder {
    root: PathBuf,
}

/// Where a running platform listens: the content of `run/endpoint.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Its process id.
    pub pid: u32,
    /// The path of the API's unix socket.
    pub api_socket: PathBuf,
    /// The API over TCP, if it listens there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_url: Option<String>,
    /// The shared HTTP listener of applications, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_url: Option<String>,
    /// Its version.
    pub version: String,
}

impl StateFolder {
    /// The state folder at `root`.
    pub fn new(root: impl Into<PathBuf>) -> StateFolder {
        StateFolder { root: root.into() }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The API's unix socket.
    pub fn socket(&self) -> PathBuf {
        self.root.join("run/api.sock")
    }

    /// The readiness file.
    pub fn endpoint_file(&self) -> PathBuf {
        self.root.join("run/endpoint.json")
    }

    /// The file with the bearer token.
    pub fn token_file(&self) -> PathBuf {
        self.root.join("api.token")
    }

    /// The log of a platform that runs in the background.
    pub fn log_file(&self) -> PathBuf {
        self.root.join("log/host.log")
    }

    /// Whether the socket's path is short enough for the operating system.
    pub fn check_socket_path(&self) -> Result<(), Problem> {
        let socket = self.socket();
        let bytes = socket.as_os_str().len();
        if bytes <= SOCKET_PATH_BYTES_MAX {
            return Ok(());
        }
        Err(Problem::new(
            api::SOCKET_PATH_TOO_LONG,
            format!(
                "`{}` has {bytes} bytes, and at most {SOCKET_PATH_BYTES_MAX} are allowed",
                socket.display()
            ),
        ))
    }

    /// Creates what is missing, and keeps other users out.
    pub fn prepare(&self) -> Result<(), Problem> {
        self.check_socket_path()?;
        for folder in [self.root.clone(), self.root.join("run"), self.root.join("log")] {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&folder)
                .and_then(|()| std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)))
                .map_err(|error| folder_problem(&folder, "cannot be created", &error))?;
        }
        Ok(())
    }

    /// What runs here according to the readiness file; `None` when there is none. A platform that was killed leaves its file
    /// behind, so only an answer on the socket proves that one is running.
    pub fn running(&self) -> Result<Option<Running>, Problem> {
        let path = self.endpoint_file();
        let text = match read_limited(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(folder_problem(&path, "cannot be read", &error)),
        };
        serde_json::from_slice(&text).map(Some).map_err(|error| {
            Problem::new(api::ENDPOINT_DAMAGED, format!("`{}` is not understood", path.display()))
                .with_cause(error.to_string())
        })
    }

    /// Announces that everything listens.
    pub fn announce(&self, running: &Running) -> Result<(), Problem> {
        let json = serde_json::to_vec_pretty(running).expect("plain data with string keys is JSON");
        let path = self.endpoint_file();
        write_atomically(&path, &json, 0o600)
            .map_err(|error| folder_problem(&path, "cannot be written", &error))
    }

    /// Takes the announcement back, and the socket with it.
    pub fn withdraw(&self) {
        // What is not there need not be removed; what cannot be removed is stale, and readers ask the socket anyway.
        drop(std::fs::remove_file(self.endpoint_file()));
        drop(std::fs::remove_file(self.socket()));
    }
}

pub(crate) fn folder_problem(path: &Path, what: &str, error: &std::io::Error) -> Problem {
    Problem::new(api::STATE_FOLDER, format!("`{}` {what}", path.display())).with_cause(error.to_string())
}

/// Reads a small file whole.
pub(crate) fn read_limited(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(std::io::Error::new(ErrorKind::FileTooLarge, "the file is too large"));
    }
    Ok(bytes)
}

/// Writes a file so that its readers see the old content or the new one, never a part.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    let temporary = path.with_extension(format!("new-{}", std::process::id()));
    // A leftover of a process that had this id and was killed half-way must not keep its mode.
    drop(std::fs::remove_file(&temporary));
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests;
