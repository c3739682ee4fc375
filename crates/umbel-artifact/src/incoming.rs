//! Bytes on their way in: a partial file, and what they are so far.

use crate::{ArtifactError, source};
use sha2::{Digest as _, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use umbel_core::digest::Digest;

/// A file that is being written. Dropped without a name, it is removed.
#[derive(Debug)]
pub(crate) struct Partial {
    path: Option<PathBuf>,
}

impl Partial {
    pub(crate) fn new(path: PathBuf) -> Partial {
        Partial { path: Some(path) }
    }

    pub(crate) fn rename(mut self, path: &Path) -> io::Result<()> {
        let partial = self.path.as_ref().expect("only this function takes the path");
        fs::rename(partial, path)?;
        self.path = None;
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // What cannot be removed now is removed when the store is opened again.
            let _ = fs::remove_file(path);
        }
    }
}

/// An artifact that comes in pieces, in order. Dropped, nothing is left of it.
#[derive(Debug)]
pub struct Incoming {
    pub(crate) file: File,
    pub(crate) partial: Partial,
    folder: PathBuf,
    bytes_max: u64,
    sha: Sha256,
    size: u64,
}

impl Incoming {
    pub(crate) fn new(file: File, partial: Partial, folder: PathBuf, bytes_max: u64) -> Incoming {
        Incoming { file, partial, folder, bytes_max, sha: Sha256::new(), size: 0 }
    }

    /// One beside the file that it is to become: [`Incoming::name`] gives it that name.
    pub fn beside(path: &Path, bytes_max: u64) -> Result<Incoming, ArtifactError> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(".partial");
        let partial = folder.join(name);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(0o644);
        let file = options.open(&partial).map_err(|error| source::failed(&partial, error))?;
        Ok(Incoming::new(file, Partial::new(partial), folder.to_path_buf(), bytes_max))
    }

    /// How many bytes have come.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The most that it takes.
    pub fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// What the bytes are that have come.
    pub fn digest(&self) -> Digest {
        Digest::from_sha256(self.sha.clone().finalize().into())
    }

    /// Takes more bytes. What is too much is not written.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), ArtifactError> {
        if self.size + bytes.len() as u64 > self.bytes_max {
            return Err(source::too_large(None, self.bytes_max));
        }
        self.file.write_all(bytes).map_err(|error| self.failed(error))?;
        self.sha.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }

    /// Forgets what has come: it comes again from its beginning.
    pub fn restart(&mut self) -> Result<(), ArtifactError> {
        let begin = self.file.set_len(0).and_then(|()| self.file.rewind());
        begin.map_err(|error| self.failed(error))?;
        (self.sha, self.size) = (Sha256::new(), 0);
        Ok(())
    }

    /// Gives the file its name, in the place of what has that; it is whole and synced then.
    pub fn name(self, path: &Path) -> Result<(), ArtifactError> {
        let (folder, partial) = (self.folder, self.partial);
        let named = self.file.sync_all().and_then(|()| partial.rename(path));
        named.map_err(|source| ArtifactError::Store { folder, source })
    }

    fn failed(&self, source: io::Error) -> ArtifactError {
        ArtifactError::Store { folder: self.folder.clone(), source }
    }
}
