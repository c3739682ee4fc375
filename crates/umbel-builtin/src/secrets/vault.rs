//! The secrets of one folder: read from memory, replaced as a whole.

use super::error::SecretsError;
use super::key::{Key, Keys, make_folder, open_private, sync_folder, with_suffix, write_private};
use super::seal::{Entries, Entry, Unsealable, seal, size, unseal};
use super::secret::{SECRET_BYTES_MAX, Scope, Secret};
use crate::lock::lock;
use arc_swap::ArcSwap;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

const FILE: &str = "secrets.sealed";
const LOCK: &str = "secrets.lock";

const NAME_BYTES_MAX: usize = 256;
const SECRETS_MAX: usize = 10_000;
const TOTAL_BYTES_MAX: usize = 16 << 20;

/// Longest file that is read: more than everything that can be sealed.
const FILE_BYTES_MAX: u64 = 2 * TOTAL_BYTES_MAX as u64;

/// Open secrets. Two processes that had them open would undo one another's changes, so there is a lock.
pub(super) struct Vault {
    folder: PathBuf,
    path: PathBuf,
    key: Key,
    entries: ArcSwap<Entries>,
    changing: Mutex<()>,
    _lock: File,
}

impl Vault {
    /// Opens what is sealed; where nothing is, takes the key that is there, or makes one.
    pub(super) fn open(folder: &Path, keys: &dyn Keys) -> Result<Vault, SecretsError> {
        let path = folder.join(FILE);
        let io = |e| SecretsError::io(&path, e);
        make_folder(folder).map_err(io)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(folder.join(LOCK)).map_err(io)?;
        if !lock(&file).map_err(io)? {
            return Err(SecretsError::Locked { path });
        }
        let sealed = read(&path)?;
        let key = match (keys.load()?, &sealed) {
            (Some(key), _) => key,
            (None, None) => keys.make()?,
            (None, Some(_)) => return Err(SecretsError::KeyMissing { path }),
        };
        let entries = match sealed {
            Some(sealed) => unseal(&key, &sealed).map_err(|why| match why {
                Unsealable::Format => SecretsError::Version { path: path.clone() },
                Unsealable::Authentic => SecretsError::Sealed { path: path.clone() },
            })?,
            None => Entries::new(),
        };
        let entries = ArcSwap::from_pointee(entries);
        Ok(Vault { folder: folder.into(), path, key, entries, changing: Mutex::default(), _lock: file })
    }

    pub(super) fn get(&self, scope: Scope, name: String) -> Option<Arc<Secret>> {
        self.entries.load().get(&(scope, name)).map(|entry| entry.secret.clone())
    }

    /// The secret and its version.
    pub(super) fn entry(&self, scope: Scope, name: String) -> Option<(Arc<Secret>, u64)> {
        self.entries.load().get(&(scope, name)).map(|entry| (entry.secret.clone(), entry.version))
    }

    pub(super) fn list(&self) -> Vec<(Scope, String)> {
        self.entries.load().keys().cloned().collect()
    }

    /// All of them without their values.
    pub(super) fn notes(&self) -> Vec<(Scope, String, u64, u64)> {
        let note = |((scope, name), entry): (&(Scope, String), &Entry)| {
            (scope.clone(), name.clone(), entry.version, entry.put_unix_ms)
        };
        self.entries.load().iter().map(note).collect()
    }

    /// Keeps a secret; returns its version.
    pub(super) fn put(
        &self,
        scope: &Scope,
        name: &str,
        secret: Secret,
        put_unix_ms: u64,
    ) -> Result<u64, SecretsError> {
        check_name(name)?;
        let bytes = secret.bytes().len();
        if bytes > SECRET_BYTES_MAX {
            return Err(SecretsError::TooLarge { bytes, bytes_max: SECRET_BYTES_MAX });
        }
        self.change(|entries| {
            let key = (scope.clone(), name.to_string());
            let version = entries.get(&key).map_or(1, |entry| entry.version.saturating_add(1));
            entries.insert(key, Entry { secret: Arc::new(secret), version, put_unix_ms });
            if entries.len() > SECRETS_MAX {
                return Err(SecretsError::Full { max: SECRETS_MAX, unit: "secrets" });
            }
            let total: usize =
                entries.iter().map(|((scope, name), entry)| size(scope, name, &entry.secret)).sum();
            if total > TOTAL_BYTES_MAX {
                return Err(SecretsError::Full { max: TOTAL_BYTES_MAX, unit: "bytes" });
            }
            Ok(version)
        })
    }

    pub(super) fn del(&self, scope: &Scope, name: &str) -> Result<(), SecretsError> {
        self.change(|entries| match entries.remove(&(scope.clone(), name.into())) {
            Some(_) => Ok(()),
            None => {
                let name = name.chars().take(60).flat_map(char::escape_debug).collect();
                Err(SecretsError::NotFound { name, scope: scope.to_string() })
            }
        })
    }

    /// What is changed is shown when it is durable, and not at all if it cannot be written.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut Entries) -> Result<T, SecretsError>,
    ) -> Result<T, SecretsError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut entries = Entries::clone(&self.entries.load());
        let changed = change(&mut entries)?;
        let sealed = seal(&self.key, &entries)?;
        let new = with_suffix(&self.path, ".new");
        let written = write_private(&new, &sealed)
            .and_then(|()| fs::rename(&new, &self.path))
            .and_then(|()| sync_folder(&self.folder));
        written.map_err(|e| SecretsError::io(&self.path, e))?;
        self.entries.store(Arc::new(entries));
        Ok(changed)
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, SecretsError> {
    let file = match open_private(path) {
        Ok(file) => file,
        Err(SecretsError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut sealed = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut sealed).map_err(|e| SecretsError::io(path, e))?;
    Ok(Some(sealed))
}

fn check_name(name: &str) -> Result<(), SecretsError> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(SecretsError::Name { reason: "it must have 1 to 256 bytes" });
    }
    if name.chars().any(char::is_control) {
        return Err(SecretsError::Name { reason: "it has a control character" });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
