//! The handle of a running process on the disk: what another host needs to adopt or end it.
//!
//! A record is there before its process can do anything and goes when all of it has ended. It is replaced as a whole: what is read is
//! either the old one or the new one. A later version may add fields; a change of meaning is a new [`VERSION`].

use super::cgroup::{Cgroup, is_parent};
use super::{Identity, ProcessError};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// The version that is written, and the latest that is understood.
pub(super) const VERSION: u32 = 1;
/// The largest record that is read.
const BYTES_MAX: u64 = 1 << 20;

/// What becomes of a process whose host has ended without stopping it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// It ends too, within 2 s.
    End,
    /// It goes on for the guardian's grace, and a new host takes it over.
    Adopt,
}

/// What is known of a process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    version: u32,
    /// Its name: also of its run folder and its cgroup.
    pub name: String,
    /// What becomes of it without its host.
    pub policy: Policy,
    /// The program.
    pub program: String,
    /// The boot that it belongs to, see [`super::boot_id`].
    pub boot_id: String,
    /// The leader; `None` as long as it is about to be started.
    pub leader: Option<Identity>,
    /// Its cgroup in all hierarchies; none where there are none.
    pub cgroup: Cgroup,
    /// Whatever whoever started it wants to know again, such as an address.
    pub data: serde_json::Value,
}

/// Why a file is no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("it is damaged: {0}")]
    Damaged(String),
    #[error("it has version {0}, and this program understands versions up to {VERSION}")]
    Newer(u64),
}

impl Record {
    pub(super) fn new(name: &str, policy: Policy, program: &Path, cgroup: Cgroup) -> Record {
        Record {
            version: VERSION,
            name: name.to_owned(),
            policy,
            program: program.display().to_string(),
            boot_id: super::boot_id(),
            leader: None,
            cgroup,
            data: serde_json::Value::Null,
        }
    }

    /// The leader, if it is a process of this boot that still runs.
    pub fn running(&self) -> Option<Identity> {
        self.leader.filter(|leader| self.is_of_this_boot() && leader.is_running())
    }

    pub(super) fn is_of_this_boot(&self) -> bool {
        self.boot_id == super::boot_id()
    }

    /// Reads a record; never panics, whatever the bytes are.
    pub(super) fn parse(bytes: &[u8]) -> Result<Record, Unreadable> {
        let damaged = |error: serde_json::Error| Unreadable::Damaged(error.to_string());
        let value: serde_json::Value = serde_json::from_slice(bytes).map_err(damaged)?;
        match value.get("version").and_then(serde_json::Value::as_u64) {
            Some(version) if version > u64::from(VERSION) => Err(Unreadable::Newer(version)),
            Some(1) => serde_json::from_value(value).map_err(damaged),
            _ => Err(Unreadable::Damaged("it has no version".to_owned())),
        }
    }

    /// Reads the record of this name and this host: what it names has to belong to both.
    pub(super) fn read(path: &Path, name: &str, tag: &str) -> Result<Record, ProcessError> {
        let refuse = |reason: String| ProcessError::Record { path: path.to_owned(), reason };
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(|error| refuse(error.to_string()))?;
        file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| refuse(error.to_string()))?;
        if bytes.len() as u64 > BYTES_MAX {
            return Err(refuse(format!("it has more than {BYTES_MAX} bytes")));
        }
        let record = Record::parse(&bytes).map_err(|error| refuse(error.to_string()))?;
        if record.name != name {
            return Err(refuse(format!("it is of `{}`", record.name.escape_debug())));
        }
        let belongs = |folder: &Path| {
            folder.file_name().is_some_and(|last| last == name)
                && folder.parent().is_some_and(|parent| is_parent(parent, tag))
        };
        if let Some(folder) = record.cgroup.folders().find(|folder| !belongs(folder)) {
            return Err(refuse(format!("`{}` is no cgroup of it", folder.display())));
        }
        Ok(record)
    }

    /// Puts it in place of what was there; on the disk when this returns.
    pub(super) fn write(&self, path: &Path) -> Result<(), ProcessError> {
        let text = serde_json::to_vec_pretty(self).map_err(io::Error::from);
        text.and_then(|text| replace(path, &text))
            .map_err(|source| ProcessError::containment(format!("writing `{}`", path.display()), source))
    }
}

/// Replaces a file as a whole; the old one is there until the new one is on the disk. Its owner alone can read it: what is kept with a
/// process may be a secret.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let new = folder.join(format!(".{name}"));
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    // One that an interrupted write has left keeps its mode.
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    File::open(folder)?.sync_all()
}

/// Takes a lock on a file if nobody holds it; it is held until the file is closed.
pub(crate) fn try_lock(path: &Path) -> io::Result<Option<File>> {
    let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;
