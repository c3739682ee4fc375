//! The executables of archives, unpacked: one file for each digest, ready to be started.

use super::ParError;
use super::inspect::{Packed, hash};
use super::limits::Limits;
use super::name::{Name, Target};
use super::scan::scan;
use std::collections::HashSet;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use umbel_core::claims::{Provider, Token};
use umbel_core::digest::Digest;

/// What an archive has to show before its executable is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Whether somebody has to vouch for it. Claims that are there are checked in any case.
    pub signed_only: bool,
    /// The time that claims have to be good at, since 1970.
    pub unix_time: Duration,
}

/// An executable that can be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executable {
    /// What it is.
    pub digest: Digest,
    /// How many bytes it has.
    pub size: u64,
    /// Where it is: a complete file with mode 0700 that nobody changes.
    pub path: PathBuf,
    /// Who vouches for it, if anybody.
    pub claims: Option<Token<Provider>>,
}

/// A folder of executables, each under its digest: `FOLDER/sha256/<hex>`, and what is being written in `FOLDER/partial/`. One
/// process at a time may have it open; within the process it is shared freely. All of it waits for the disk.
///
/// Whoever starts an executable right after it was written may be told that the file is busy (`ETXTBSY`), when another thread
/// forked while it was open for writing: try again shortly.
#[derive(Debug)]
pub struct Executables {
    folder: PathBuf,
    partials: AtomicU64,
}

impl Executables {
    /// Opens the folder, which is made if it is missing, for the host's user alone. What an earlier process left half-written
    /// is removed, so the caller must hold the lock of the state folder.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Executables, ParError> {
        let executables = Executables { folder: folder.into(), partials: AtomicU64::new(0) };
        executables.prepare().map_err(|source| executables.failed(source))?;
        Ok(executables)
    }

    fn prepare(&self) -> io::Result<()> {
        self.make_folders()?;
        for entry in fs::read_dir(self.partial())? {
            fs::remove_file(entry?.path())?;
        }
        Ok(())
    }

    fn make_folders(&self) -> io::Result<()> {
        for folder in [self.whole(), self.partial()] {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        Ok(())
    }

    fn whole(&self) -> PathBuf {
        self.folder.join("sha256")
    }

    fn partial(&self) -> PathBuf {
        self.folder.join("partial")
    }

    fn failed(&self, source: io::Error) -> ParError {
        ParError::Executable { folder: self.folder.clone(), source }
    }

    /// Reads an archive to its end and keeps the executable for `target`, if the archive is whole and the policy is met. What is
    /// there already is not written again, unless it was changed.
    pub fn extract(
        &self,
        reader: impl Read,
        target: &Target,
        policy: &Policy,
        limits: &Limits,
    ) -> Result<Executable, ParError> {
        let (mut found, mut there) = (None, Vec::new());
        let claims = scan(reader, *limits, |name, content| {
            let Name::Executable(at) = name else { return Ok(()) };
            there.push(at.clone());
            if at != target {
                return Ok(());
            }
            let (partial, mut file) = self.begin().map_err(|source| self.failed(source))?;
            let write = |bytes: &[u8]| file.write_all(bytes).map_err(|source| self.failed(source));
            let packed = hash(content, write)?;
            found = Some((partial, file, packed));
            Ok(())
        })?;
        match &claims {
            Some(claims) => claims.check_time(policy.unix_time)?,
            None if policy.signed_only => return Err(ParError::Unsigned),
            None => {}
        }
        there.sort();
        let Some((partial, file, packed)) = found else {
            return Err(ParError::NoTarget { target: target.clone(), there });
        };
        if let Some(claims) = &claims {
            claims.check_target(target.as_str(), &packed.digest)?;
        }
        let path = self.keep(partial, file, &packed).map_err(|source| self.failed(source))?;
        Ok(Executable { digest: packed.digest, size: packed.size, path, claims })
    }

    fn begin(&self) -> io::Result<(Partial, File)> {
        self.make_folders()?;
        let path = self.partial().join(self.partials.fetch_add(1, Ordering::Relaxed).to_string());
        let file = OpenOptions::new().write(true).create_new(true).mode(0o700).open(&path)?;
        // Whatever the umask takes away, and only now that the file is ours.
        file.set_permissions(Permissions::from_mode(0o700))?;
        Ok((Partial { path: Some(path) }, file))
    }

    /// Syncs the bytes, then the name: after a crash an executable is whole or not there.
    fn keep(&self, partial: Partial, file: File, packed: &Packed) -> io::Result<PathBuf> {
        let path = self.whole().join(packed.digest.hex());
        if is_kept(&path, packed) {
            return Ok(path);
        }
        file.sync_all()?;
        drop(file);
        partial.rename(&path)?;
        File::open(self.whole())?.sync_all()?;
        Ok(path)
    }

    /// Removes every executable that is not in `keep`; how many were removed is returned. What runs goes on: its file stays
    /// until it ends.
    pub fn collect(&self, keep: &HashSet<Digest>) -> Result<u64, ParError> {
        let collect = || {
            let mut removed = 0;
            for entry in fs::read_dir(self.whole())? {
                let entry = entry?;
                let name = entry.file_name();
                // What has another name is not ours: leave it alone.
                let digest = name.to_str().and_then(|hex| Digest::new(format!("sha256:{hex}")).ok());
                if digest.is_some_and(|digest| !keep.contains(&digest)) {
                    fs::remove_file(entry.path())?;
                    removed += 1;
                }
            }
            Ok(removed)
        };
        collect().map_err(|source| self.failed(source))
    }
}

/// Whether the file is there, and is what its name says.
fn is_kept(path: &Path, packed: &Packed) -> bool {
    let is_ours = fs::symlink_metadata(path).is_ok_and(|metadata| {
        let mode = metadata.permissions().mode();
        metadata.is_file() && metadata.len() == packed.size && mode & 0o777 == 0o700
    });
    is_ours && crate::store::digest_of(path).is_ok_and(|digest| digest == packed.digest)
}

/// A file that is being written. Dropped without a name, it is removed.
#[derive(Debug)]
struct Partial {
    path: Option<PathBuf>,
}

impl Partial {
    fn rename(mut self, path: &Path) -> io::Result<()> {
        let partial = self.path.as_ref().expect("only this function takes the path");
        fs::rename(partial, path)?;
        self.path = None;
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // What cannot be removed now is removed when the folder is opened again.
            let _ = fs::remove_file(path);
        }
    }
}
