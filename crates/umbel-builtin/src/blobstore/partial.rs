//! What is on its way: files and folders that have no name yet.
//!
//! Each process that has a root open keeps what it is writing in a folder of its own, `partial/N`, and holds a lock on it. What lies
//! in a folder that nobody holds is what a crash left, and is removed by whoever opens the root next.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// The folder of what this process is writing.
#[derive(Debug)]
pub(crate) struct Partials {
    folder: PathBuf,
    next: AtomicU64,
    /// Held as long as this lives.
    _lock: File,
}

impl Partials {
    /// Makes a folder for this process, and removes those that nobody holds.
    pub(crate) fn open(root: &Path) -> io::Result<Partials> {
        let all = root.join("partial");
        make_folders(&all)?;
        // So that nobody removes a folder between its making and its locking.
        let opening = File::open(&all)?;
        opening.lock()?;
        for entry in fs::read_dir(&all)? {
            let left = entry?.path();
            match File::open(&left)?.try_lock() {
                Ok(()) => remove(&left)?,
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        let mut number = 0u64;
        loop {
            let folder = all.join(number.to_string());
            match DirBuilder::new().mode(0o700).create(&folder) {
                Ok(()) => {
                    let lock = File::open(&folder)?;
                    lock.lock()?;
                    return Ok(Partials { folder, next: AtomicU64::new(0), _lock: lock });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// A path that nothing has yet.
    pub(crate) fn path(&self) -> Partial {
        let name = self.next.fetch_add(1, Ordering::Relaxed).to_string();
        Partial { path: Some(self.folder.join(name)) }
    }

    /// A new file, to be written once and read for ever.
    pub(crate) fn file(&self) -> io::Result<(Partial, File)> {
        let partial = self.path();
        let file = OpenOptions::new().write(true).create_new(true).mode(0o400).open(partial.path())?;
        Ok((partial, file))
    }
}

/// A file or folder without a name. Dropped without one, it is removed.
#[derive(Debug)]
pub(crate) struct Partial {
    path: Option<PathBuf>,
}

impl Partial {
    pub(crate) fn path(&self) -> &Path {
        self.path.as_deref().expect("only `rename` takes the path")
    }

    /// Gives it its name. What was there before under that name is replaced, and stays whole for those who have it open.
    pub(crate) fn rename(mut self, to: &Path) -> Result<(), (Partial, io::Error)> {
        if let Err(error) = fs::rename(self.path(), to) {
            return Err((self, error));
        }
        // Two names of the same file are left as they are by `rename`: then this one is too many.
        if fs::symlink_metadata(self.path()).is_err() {
            self.path = None;
        }
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        let Some(path) = self.path.take() else { return };
        // To free a large file takes a while, and this may be a thread that serves requests.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || remove_or_leave(&path))),
            Err(_) => remove_or_leave(&path),
        }
    }
}

fn remove_or_leave(path: &Path) {
    match remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "a partial file is left until the next start");
        }
        _ => {}
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path)?.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    }
}

/// Makes a folder and those above it, for the owner alone.
pub(crate) fn make_folders(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Makes the names in a folder durable.
pub(crate) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
