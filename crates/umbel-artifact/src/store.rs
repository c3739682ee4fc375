//! The content-addressed store.

use crate::incoming::{Incoming, Partial};
use crate::{ARTIFACT_BYTES_MAX, ArtifactError, source};
use sha2::{Digest as _, Sha256};
use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use umbel_core::digest::Digest;
use umbel_core::reference::{Location, Reference};

const COPY_BUFFER_BYTES: usize = 128 << 10;

/// Bytes that are in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// What they are.
    pub digest: Digest,
    /// How many.
    pub size: u64,
    /// Where they are: a complete file that nobody changes.
    pub path: PathBuf,
}

/// What a collection removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// How many blobs.
    pub blobs: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// A folder of blobs named by their digests. One process at a time may have it open; within the process it is shared freely.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    bytes_max: u64,
    partials: AtomicU64,
    /// What was put or found since the last collection: somebody may be about to refer to it.
    recent: Mutex<HashSet<Digest>>,
}

impl Store {
    /// Opens the store in `folder`, which is made if it is missing. What an earlier process left half-written is removed, so
    /// the caller must hold the lock of the state folder.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Store, ArtifactError> {
        let store = Store {
            folder: folder.into(),
            bytes_max: ARTIFACT_BYTES_MAX,
            partials: AtomicU64::new(0),
            recent: Mutex::default(),
        };
        store.prepare().map_err(|source| store.failed(source))?;
        Ok(store)
    }

    /// The same store with another limit of bytes per artifact.
    #[must_use]
    pub fn with_bytes_max(mut self, bytes_max: u64) -> Store {
        self.bytes_max = bytes_max;
        self
    }

    /// The folder that it was opened in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn prepare(&self) -> io::Result<()> {
        self.make_folders()?;
        for entry in fs::read_dir(self.partial())? {
            fs::remove_file(entry?.path())?;
        }
        File::open(&self.folder)?.sync_all()?;
        // The folder is there, but is it writable? Better to know now than at the first deployment.
        let (probe, file) = self.new_partial()?;
        drop((file, probe));
        Ok(())
    }

    pub(crate) fn make_folders(&self) -> io::Result<()> {
        for folder in [self.blobs(), self.partial(), self.damaged(), self.images()] {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        Ok(())
    }

    fn blobs(&self) -> PathBuf {
        self.folder.join("sha256")
    }

    fn partial(&self) -> PathBuf {
        self.folder.join("partial")
    }

    fn damaged(&self) -> PathBuf {
        self.folder.join("damaged")
    }

    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs().join(digest.hex())
    }

    pub(crate) fn failed(&self, source: io::Error) -> ArtifactError {
        ArtifactError::Store { folder: self.folder.clone(), source }
    }

    fn recent(&self) -> MutexGuard<'_, HashSet<Digest>> {
        // The set is whole after every statement that changes it.
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gets what a reference names into the store, if `accept` takes its bytes; it may read them in any order. What it refuses is
    /// not stored. A file that is stored already is read, and not written again.
    pub fn resolve<T, E: From<ArtifactError>>(
        &self,
        reference: &Reference,
        accept: impl Fn(&mut File) -> Result<T, E>,
    ) -> Result<(Artifact, T), E> {
        match reference.location() {
            Location::File(path) => self.put_file(path, accept),
            Location::Digest(digest) => self.check(digest, accept),
            Location::Oci(_) => {
                Err(ArtifactError::NoRegistryClient { reference: reference.to_string() }.into())
            }
            Location::Builtin(_) => {
                Err(ArtifactError::NotAnArtifact { reference: reference.to_string() }.into())
            }
        }
    }

    /// Stores a file. When this returns its bytes are on the disk. If the file changes meanwhile, the digest is that of the
    /// bytes that were stored, and they are what was accepted.
    fn put_file<T, E: From<ArtifactError>>(
        &self,
        path: &Path,
        accept: impl Fn(&mut File) -> Result<T, E>,
    ) -> Result<(Artifact, T), E> {
        let mut file = source::open(path, self.bytes_max)?;
        // First, so that what nobody wants is not read to its end.
        accept(&mut file)?;
        let rewind = |file: &mut File| file.rewind().map_err(|source| source::failed(path, source));
        rewind(&mut file)?;
        let seen = self.copy(&mut file, &mut io::sink(), Some(path))?;
        match self.open_checked(&seen.digest) {
            Ok((artifact, mut stored)) => return Ok((artifact, accept(&mut stored)?)),
            Err(ArtifactError::UnknownDigest { .. } | ArtifactError::Damaged { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        rewind(&mut file)?;
        self.store(&mut file, Some(path), |file, _| accept(file))
    }

    /// Stores a file that is to have the bytes of a digest; one that has others is refused, and `accept` does not see it.
    pub fn put_as<T, E: From<ArtifactError>>(
        &self,
        path: &Path,
        digest: &Digest,
        accept: impl FnOnce(&mut File) -> Result<T, E>,
    ) -> Result<(Artifact, T), E> {
        let mut file = source::open(path, self.bytes_max)?;
        let changed = |found| ArtifactError::FileChanged { path: path.to_path_buf(), digest: *digest, found };
        let found = self.copy(&mut file, &mut io::sink(), Some(path))?.digest;
        if found != *digest {
            return Err(changed(found).into());
        }
        file.rewind().map_err(|source| source::failed(path, source))?;
        self.store(&mut file, Some(path), |file, found| {
            // It may have changed since it was looked at.
            if found != digest {
                return Err(changed(*found).into());
            }
            accept(file)
        })
    }

    /// A piece of a blob from `offset` on, at most `bytes_max` of it; empty behind its end. It is not compared with the digest: whoever
    /// puts the pieces together does that.
    pub fn piece(&self, digest: &Digest, offset: u64, bytes_max: u64) -> Result<Vec<u8>, ArtifactError> {
        let artifact = self.find(digest)?;
        let read = || {
            let mut file = File::open(&artifact.path)?;
            file.seek(io::SeekFrom::Start(offset))?;
            let mut piece = Vec::new();
            file.take(bytes_max).read_to_end(&mut piece)?;
            Ok(piece)
        };
        read().map_err(|source| self.failed(source))
    }

    /// Writes everything that `from` gives to a partial file, and gives that its name if it is accepted.
    fn store<T, E: From<ArtifactError>>(
        &self,
        from: &mut dyn Read,
        name: Option<&Path>,
        accept: impl FnOnce(&mut File, &Digest) -> Result<T, E>,
    ) -> Result<(Artifact, T), E> {
        // Somebody may have removed the folders meanwhile: what was in them is missed where it is asked for, not here.
        let begun = self.make_folders().and_then(|()| self.new_partial());
        let (partial, mut file) = begun.map_err(|source| self.failed(source))?;
        let copied = self.copy(from, &mut file, name)?;
        file.rewind().map_err(|source| self.failed(source))?;
        let accepted = accept(&mut file, &copied.digest)?;
        let path = self.blob(&copied.digest);
        self.name(&file, partial, &copied.digest, &path).map_err(|source| self.failed(source))?;
        Ok((Artifact { digest: copied.digest, size: copied.size, path }, accepted))
    }

    fn copy(
        &self,
        from: &mut dyn Read,
        to: &mut dyn Write,
        name: Option<&Path>,
    ) -> Result<Copied, ArtifactError> {
        copy(from, to, self.bytes_max).map_err(|error| match (error, name) {
            (CopyError::TooLarge, name) => source::too_large(name, self.bytes_max),
            (CopyError::Read(cause), Some(name)) => source::failed(name, cause),
            (CopyError::Read(cause) | CopyError::Write(cause), _) => self.failed(cause),
        })
    }

    /// Syncs the bytes, then the name: after a crash a blob is whole or not there.
    fn name(&self, file: &File, partial: Partial, digest: &Digest, path: &Path) -> io::Result<()> {
        file.sync_all()?;
        {
            let mut recent = self.recent();
            partial.rename(path)?;
            recent.insert(*digest);
        }
        File::open(self.blobs())?.sync_all()
    }

    pub(crate) fn new_partial(&self) -> io::Result<(Partial, File)> {
        let name = self.partials.fetch_add(1, Ordering::Relaxed).to_string();
        let path = self.partial().join(name);
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o400).open(&path)?;
        Ok((Partial::new(path), file))
    }

    /// Begins an artifact that comes in pieces.
    pub fn begin(&self) -> Result<Incoming, ArtifactError> {
        let begun = self.make_folders().and_then(|()| self.new_partial());
        let (partial, file) = begun.map_err(|source| self.failed(source))?;
        Ok(Incoming::new(file, partial, self.folder.clone(), self.bytes_max))
    }

    /// Stores what has come whole, if `accept` takes it; what it refuses is gone.
    pub fn complete<T, E: From<ArtifactError>>(
        &self,
        incoming: Incoming,
        accept: impl FnOnce(&mut File) -> Result<T, E>,
    ) -> Result<(Artifact, T), E> {
        let (digest, size) = (incoming.digest(), incoming.size());
        let Incoming { mut file, partial, .. } = incoming;
        file.rewind().map_err(|source| self.failed(source))?;
        let accepted = accept(&mut file)?;
        let path = self.blob(&digest);
        self.name(&file, partial, &digest, &path).map_err(|source| self.failed(source))?;
        Ok((Artifact { digest, size, path }, accepted))
    }

    /// The artifact of a digest that is in the store, if its bytes are still what the digest says and `accept` takes them.
    /// Damaged ones are put aside, so that the next put stores them anew.
    pub fn check<T, E: From<ArtifactError>>(
        &self,
        digest: &Digest,
        accept: impl FnOnce(&mut File) -> Result<T, E>,
    ) -> Result<(Artifact, T), E> {
        let (artifact, mut file) = self.open_checked(digest)?;
        let accepted = accept(&mut file)?;
        Ok((artifact, accepted))
    }

    fn open_checked(&self, digest: &Digest) -> Result<(Artifact, File), ArtifactError> {
        let artifact = self.find(digest)?;
        let mut file = File::open(&artifact.path).map_err(|source| match source.kind() {
            // Whoever is slow may find that two collections have passed.
            io::ErrorKind::NotFound => ArtifactError::UnknownDigest { digest: *digest },
            _ => self.failed(source),
        })?;
        let found = self.copy(&mut file, &mut io::sink(), None)?.digest;
        if found != *digest {
            let aside = self.damaged().join(digest.hex());
            fs::rename(&artifact.path, aside).map_err(|source| self.failed(source))?;
            return Err(ArtifactError::Damaged { digest: *digest, found });
        }
        file.rewind().map_err(|source| self.failed(source))?;
        Ok((artifact, file))
    }

    /// The blob of a digest; its bytes are not read. Whoever is told of a blob may count on it until the second collection from
    /// now.
    pub fn find(&self, digest: &Digest) -> Result<Artifact, ArtifactError> {
        let path = self.blob(digest);
        let mut recent = self.recent();
        let metadata = match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_file() => metadata,
            Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(self.failed(source)),
            _ => return Err(ArtifactError::UnknownDigest { digest: *digest }),
        };
        recent.insert(*digest);
        Ok(Artifact { digest: *digest, size: metadata.len(), path })
    }

    /// Everything that is stored, in the order of digests.
    pub fn list(&self) -> Result<Vec<Artifact>, ArtifactError> {
        let list = || -> io::Result<Vec<Artifact>> {
            let mut artifacts = Vec::new();
            for entry in fs::read_dir(self.blobs())? {
                let entry = entry?;
                // What has another name is not ours: leave it alone.
                let name = entry.file_name();
                let Some(digest) = name.to_str().and_then(|hex| Digest::new(format!("sha256:{hex}")).ok())
                else {
                    continue;
                };
                artifacts.push(Artifact { digest, size: entry.metadata()?.len(), path: entry.path() });
            }
            artifacts.sort_by_key(|artifact| artifact.digest);
            Ok(artifacts)
        };
        list().map_err(|source| self.failed(source))
    }

    /// Removes what is not in `keep` and was not put or found since the collection before this one: between getting a digest
    /// and writing it down somewhere durable there may be one collection, not two.
    pub fn collect(&self, keep: &HashSet<Digest>) -> Result<Collected, ArtifactError> {
        let earlier = std::mem::take(&mut *self.recent());
        let mut collected = Collected::default();
        for artifact in self.list()? {
            if keep.contains(&artifact.digest) || earlier.contains(&artifact.digest) {
                continue;
            }
            // Held for one removal at a time, so that nobody waits long and nobody is told of a blob that is going.
            let recent = self.recent();
            if recent.contains(&artifact.digest) {
                continue;
            }
            fs::remove_file(&artifact.path).map_err(|source| self.failed(source))?;
            drop(recent);
            collected.blobs += 1;
            collected.bytes += artifact.size;
        }
        self.forget_images()?;
        Ok(collected)
    }
}

/// What a file's bytes are.
pub(crate) fn digest_of(path: &Path) -> io::Result<Digest> {
    measure(&mut File::open(path)?).map(|(digest, _)| digest)
}

/// What a file's bytes are from here on, and how many.
pub(crate) fn measure(file: &mut File) -> io::Result<(Digest, u64)> {
    match copy(file, &mut io::sink(), u64::MAX) {
        Ok(copied) => Ok((copied.digest, copied.size)),
        Err(CopyError::Read(error) | CopyError::Write(error)) => Err(error),
        Err(CopyError::TooLarge) => Err(io::ErrorKind::FileTooLarge.into()),
    }
}

#[derive(Debug)]
struct Copied {
    digest: Digest,
    size: u64,
}

#[derive(Debug)]
enum CopyError {
    Read(io::Error),
    Write(io::Error),
    TooLarge,
}

/// Copies everything and digests what is written. The limit holds for a file that grows while it is read, too.
fn copy(from: &mut dyn Read, to: &mut dyn Write, bytes_max: u64) -> Result<Copied, CopyError> {
    let mut sha = Sha256::new();
    let mut size = 0;
    let mut buffer = vec![0; COPY_BUFFER_BYTES];
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(CopyError::Read(error)),
        };
        size += read as u64;
        if size > bytes_max {
            return Err(CopyError::TooLarge);
        }
        sha.update(&buffer[..read]);
        to.write_all(&buffer[..read]).map_err(CopyError::Write)?;
    }
    Ok(Copied { digest: Digest::from_sha256(sha.finalize().into()), size })
}

#[cfg(test)]
mod tests;
