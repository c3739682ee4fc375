//! The state folder: who may use it, and the key that makes a restarted host the same host.
//!
//! ```text
//! DIR/lock          held while a host runs; its content is the host's pid
//! DIR/host.nk       the seed of the host key, 0600
//! DIR/lattice.redb  the lattice's durable state
//! DIR/artifacts/    component bytes by digest
//! DIR/code/         compiled code (authenticated; may be deleted at any time)
//! DIR/events.jsonl  the event log
//! DIR/run/          socket and endpoint of the running host
//! ```

use crate::error::HostError;
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use umbel_core::nkey::{KeyKind, KeyPair};

/// A state folder that this process holds. The lock goes with the process, however it ends.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    _lock: File,
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> HostError {
    let path = path.to_path_buf();
    move |source| HostError::State { path, source }
}

impl StateDir {
    /// Makes the folder if need be (0700) and takes its lock.
    pub fn open(path: impl Into<PathBuf>) -> Result<StateDir, HostError> {
        let path = path.into();
        for folder in [path.clone(), path.join("run")] {
            DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed(&folder))?;
        }
        let name = path.join("lock");
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&name)
            .map_err(failed(&name))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut text = String::new();
            let pid = lock.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
            return Err(HostError::Locked { path, pid });
        }
        lock.set_len(0)
            .and_then(|()| lock.write_all(format!("{}\n", std::process::id()).as_bytes()))
            .map_err(failed(&name))?;
        Ok(StateDir { path, _lock: lock })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file or folder in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The host's key, made at the first start.
    pub fn host_key(&self) -> Result<KeyPair, HostError> {
        let path = self.join("host.nk");
        match fs::read_to_string(&path) {
            Ok(seed) => KeyPair::from_seed(&seed)
                .and_then(|key| key.require(KeyKind::Host))
                .map_err(|source| HostError::Key { path, source }),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => self.new_key(&path),
            Err(e) => Err(failed(&path)(e)),
        }
    }

    fn new_key(&self, path: &Path) -> Result<KeyPair, HostError> {
        let key = KeyPair::generate(KeyKind::Host);
        // Written whole under another name first: a crash leaves either no key or this one.
        let scratch = self.join("host.nk.tmp");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&scratch)
            .map_err(failed(&scratch))?;
        file.write_all(key.seed().expose().as_bytes()).map_err(failed(&scratch))?;
        file.sync_all().map_err(failed(&scratch))?;
        fs::rename(&scratch, path).map_err(failed(path))?;
        File::open(&self.path).and_then(|dir| dir.sync_all()).map_err(failed(&self.path))?;
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use umbel_core::Coded;

    #[test]
    fn a_second_host_on_one_folder_is_refused_by_name_until_the_first_is_gone() {
        let dir = tempfile::tempdir().expect("a temp folder");
        let first = StateDir::open(dir.path()).expect("free");
        let error = StateDir::open(dir.path()).expect_err("taken");
        assert_eq!(error.code(), umbel_core::code::host::STATE_LOCKED);
        assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
        drop(first);
        StateDir::open(dir.path()).expect("free again");
    }

    #[test]
    fn the_key_stays_the_same_and_a_damaged_one_is_not_replaced() {
        let dir = tempfile::tempdir().expect("a temp folder");
        let state = StateDir::open(dir.path()).expect("free");
        let key = state.host_key().expect("a new key").public_key().clone();
        assert_eq!(state.host_key().expect("the same key").public_key(), &key);
        fs::write(state.join("host.nk"), "SNOT A SEED").expect("writable");
        let error = state.host_key().expect_err("damaged");
        assert_eq!(error.code(), umbel_core::code::host::HOST_KEY_DAMAGED);
        assert_eq!(fs::read_to_string(state.join("host.nk")).expect("kept"), "SNOT A SEED");
    }
}
