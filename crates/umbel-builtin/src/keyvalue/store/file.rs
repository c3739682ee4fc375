//! The file: made whole, verified whole, never overwritten when in doubt.
//!
//! A new file is made under another name and gets its own when it is complete, so a file that is incomplete is damage and not a
//! beginning. An existing one is first recovered and checked by the engine on a *rehearsal*: reads come from the file, writes stay in
//! memory. Only when all checksums fit is the file itself opened. So a damaged file stays as it was, byte for byte, and a large one
//! needs no copy.

use super::super::error::{FileProblem, KeyvalueError};
use super::table::{Books, FORMAT, create, format};
use crate::lock::lock;
use redb::{Builder, Database, Error, StorageBackend};
use std::collections::HashMap;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a file of the storage engine begins with.
const MAGIC: &[u8] = b"redb\x1A\x0A\xA9\x0D\x0A";

/// Memory for the engine's pages: what is read often, and half of it what a transaction has written.
const CACHE_BYTES: usize = 64 << 20;

type Result<T> = std::result::Result<T, KeyvalueError>;

/// The file of a store.
pub(super) struct File {
    path: PathBuf,
}

impl File {
    pub(super) fn new(path: PathBuf) -> File {
        File { path }
    }

    /// Verifies and opens, or makes it.
    pub(super) fn open(&self) -> Result<(Database, Books)> {
        match fs::metadata(&self.path) {
            Err(e) if e.kind() == ErrorKind::NotFound => self.create()?,
            Err(e) => return Err(io_problem(&self.path, e)),
            // Opening a pipe or a device could block, or do anything.
            Ok(meta) if !meta.is_file() => return Err(problem(&self.path, FileProblem::Foreign)),
            Ok(_) => {}
        }
        let file = Arc::new(self.open_locked(&self.path, false)?);
        self.check_beginning(&file)?;
        let length = file.metadata().map_err(|e| io_problem(&self.path, e))?.len();
        self.verify(Rehearsal::new(file.clone(), length))?;
        self.guarded(|| {
            let db = self.engine(Backend(file))?;
            let books = Books::read(&db).map_err(|e| self.problem(e))?;
            Ok((db, books))
        })
    }

    /// The engine's error as ours.
    pub(super) fn problem(&self, error: Error) -> KeyvalueError {
        engine_problem(&self.path, error)
    }

    /// Recovers and checks it without touching the file.
    fn verify(&self, rehearsal: Rehearsal) -> Result<()> {
        self.guarded(|| {
            let mut db = self.engine(rehearsal)?;
            if !db.check_integrity().map_err(|e| self.problem(e.into()))? {
                return Err(damaged(&self.path, "its pages do not fit their checksums"));
            }
            match format(&db).map_err(|e| self.problem(e))? {
                // A file of the same engine, of another program.
                None => return Err(problem(&self.path, FileProblem::Foreign)),
                Some(FORMAT) => {}
                Some(found) => return Err(problem(&self.path, FileProblem::Version { found, ours: FORMAT })),
            }
            Books::read(&db).map(drop).map_err(|e| self.unreadable(e))
        })
    }

    /// Tables that are missing where the format says that they are there are damage.
    fn unreadable(&self, error: Error) -> KeyvalueError {
        match error {
            Error::TableDoesNotExist(_) | Error::TableTypeMismatch { .. } => {
                damaged(&self.path, "a table is missing")
            }
            error => self.problem(error),
        }
    }

    fn engine(&self, backend: impl StorageBackend) -> Result<Database> {
        let builder = Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(backend);
        builder.map_err(|error| match error {
            redb::DatabaseError::RepairAborted | redb::DatabaseError::TransactionInProgress => {
                damaged(&self.path, "it cannot be recovered")
            }
            error => self.problem(error.into()),
        })
    }

    /// The engine may panic on pages that are damaged in ways it does not expect. That is damage, not the end of the host.
    fn guarded<T>(&self, f: impl FnOnce() -> Result<T>) -> Result<T> {
        catch_unwind(AssertUnwindSafe(f))
            .unwrap_or_else(|_| Err(damaged(&self.path, "its pages make no sense")))
    }

    /// Makes a complete, empty store, unless another process has made one meanwhile.
    fn create(&self) -> Result<()> {
        let io = |e| io_problem(&self.path, e);
        let folder = self.path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io)?;
        let mut new = self.path.clone().into_os_string();
        new.push(".new");
        let new = PathBuf::from(new);
        let file = self.open_locked(&new, true)?;
        let made = self.fill(file).and_then(|()| self.publish(&new, folder));
        // Whether it has its name now or could not be made: this one has to go.
        let _ = fs::remove_file(&new);
        made
    }

    fn fill(&self, file: fs::File) -> Result<()> {
        // A crash may have left a part of one.
        file.set_len(0).map_err(|e| io_problem(&self.path, e))?;
        let db = self.engine(Backend(Arc::new(file)))?;
        create(&db).map_err(|e| self.problem(e))
    }

    fn publish(&self, new: &Path, folder: &Path) -> Result<()> {
        let io = |e| io_problem(&self.path, e);
        // A link fails if the name is taken, where a rename would replace what has it.
        match fs::hard_link(new, &self.path) {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) if self.path.exists() => return Err(io(e)),
            // Some file systems have no hard links.
            Err(_) => fs::rename(new, &self.path).map_err(io)?,
        }
        fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)
    }

    fn open_locked(&self, path: &Path, create: bool) -> Result<fs::File> {
        let mut options = OpenOptions::new();
        // What applications store is nobody else's business.
        options.read(true).write(true).create(create).truncate(false).mode(0o600);
        let file = options.open(path).map_err(|e| io_problem(&self.path, e))?;
        match lock(&file) {
            Ok(true) => Ok(file),
            Ok(false) => Err(problem(&self.path, FileProblem::Locked)),
            Err(e) => Err(io_problem(&self.path, e)),
        }
    }

    fn check_beginning(&self, file: &fs::File) -> Result<()> {
        let io = |e| io_problem(&self.path, e);
        let length = file.metadata().map_err(io)?.len();
        let mut beginning = vec![0; MAGIC.len().min(usize::try_from(length).unwrap_or(usize::MAX))];
        file.read_exact_at(&mut beginning, 0).map_err(io)?;
        if beginning.is_empty() {
            return Err(damaged(&self.path, "it is empty"));
        }
        if !MAGIC.starts_with(&beginning) {
            // Where a file system has lost the first block there are zeros: no program begins a file with that.
            let lost = beginning.iter().all(|byte| *byte == 0);
            return Err(if lost {
                damaged(&self.path, "its beginning is lost")
            } else {
                problem(&self.path, FileProblem::Foreign)
            });
        }
        if beginning.len() < MAGIC.len() {
            return Err(damaged(&self.path, "it is cut off"));
        }
        Ok(())
    }
}

fn problem(path: &Path, problem: FileProblem) -> KeyvalueError {
    KeyvalueError::File { path: path.to_path_buf(), problem, source: None }
}

fn damaged(path: &Path, reason: impl Into<String>) -> KeyvalueError {
    problem(path, FileProblem::Damaged { reason: reason.into() })
}

/// What an error of the operating system means.
pub(super) fn io_problem(path: &Path, error: io::Error) -> KeyvalueError {
    let what = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => FileProblem::DiskFull,
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => FileProblem::ReadOnly,
        // The engine reads beyond the end of a file that was cut off.
        ErrorKind::UnexpectedEof | ErrorKind::InvalidData | ErrorKind::InvalidInput => {
            FileProblem::Damaged { reason: "it is cut off, or its header is".into() }
        }
        _ => FileProblem::Io,
    };
    with_source(path, what, error)
}

/// What an error of the engine means.
pub(super) fn engine_problem(path: &Path, error: Error) -> KeyvalueError {
    match error {
        Error::DatabaseClosed => KeyvalueError::Closed,
        Error::DatabaseAlreadyOpen => problem(path, FileProblem::Locked),
        // An older file of the engine itself.
        Error::UpgradeRequired(found) => {
            problem(path, FileProblem::Version { found: found.into(), ours: FORMAT })
        }
        Error::Io(error) => io_problem(path, error),
        Error::Corrupted(reason) => damaged(path, reason),
        other => with_source(path, FileProblem::Io, other),
    }
}

fn with_source(
    path: &Path,
    problem: FileProblem,
    source: impl std::error::Error + Send + Sync + 'static,
) -> KeyvalueError {
    KeyvalueError::File { path: path.to_path_buf(), problem, source: Some(Arc::new(source)) }
}

/// The file as the engine wants it. The lock is ours, from before the file is verified until the last handle is closed.
#[derive(Debug)]
struct Backend(Arc<fs::File>);

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }
}

/// Bytes of one block that a rehearsal has written.
const BLOCK: usize = 4 << 10;

/// How many blocks a rehearsal may write: recovery writes little, but a damaged header may ask for anything.
const BLOCKS_MAX: usize = (256 << 20) / BLOCK;

/// The file, with what is written kept in memory.
#[derive(Debug)]
struct Rehearsal {
    file: Arc<fs::File>,
    // How much of the file counts: what was cut off once does not come back.
    state: Mutex<Written>,
    length_max: u64,
}

#[derive(Debug)]
struct Written {
    length: u64,
    from_file: u64,
    blocks: HashMap<u64, Box<[u8; BLOCK]>>,
}

impl Rehearsal {
    fn new(file: Arc<fs::File>, length: u64) -> Rehearsal {
        let state = Mutex::new(Written { length, from_file: length, blocks: HashMap::new() });
        Rehearsal { file, state, length_max: length.saturating_mul(2).saturating_add(16 << 20) }
    }

    fn state(&self) -> MutexGuard<'_, Written> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what the file has, and zeros where it ends.
    fn read_file(&self, offset: u64, out: &mut [u8], from_file: u64) -> io::Result<()> {
        let there = usize::try_from(from_file.saturating_sub(offset)).unwrap_or(usize::MAX).min(out.len());
        let (there, beyond) = out.split_at_mut(there);
        beyond.fill(0);
        self.file.read_exact_at(there, offset)
    }
}

/// The parts of `offset..offset + length` that lie in one block each: the block, where in it, and where in the range.
fn parts(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == length {
            return None;
        }
        let at = offset + done as u64;
        let within = usize::try_from(at % BLOCK as u64).unwrap_or_default();
        let part = done..length.min(done + BLOCK - within);
        done = part.end;
        Some((at / BLOCK as u64, within, part))
    })
}

impl StorageBackend for Rehearsal {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state();
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > state.length) {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.read_file(offset, out, state.from_file)?;
        if !state.blocks.is_empty() {
            for (block, within, part) in parts(offset, out.len()) {
                if let Some(bytes) = state.blocks.get(&block) {
                    let length = part.len();
                    out[part].copy_from_slice(&bytes[within..within + length]);
                }
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state();
        if len > self.length_max {
            return Err(ErrorKind::InvalidData.into());
        }
        if len < state.length {
            state.from_file = state.from_file.min(len);
            state.blocks.retain(|block, _| block * (BLOCK as u64) < len);
            let kept = usize::try_from(len % BLOCK as u64).unwrap_or_default();
            if let Some(bytes) = state.blocks.get_mut(&(len / BLOCK as u64)) {
                bytes[kept..].fill(0);
            }
        }
        state.length = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        if offset.checked_add(data.len() as u64).is_none_or(|end| end > state.length) {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        for (block, within, part) in parts(offset, data.len()) {
            let from_file = state.from_file;
            if !state.blocks.contains_key(&block) {
                if state.blocks.len() >= BLOCKS_MAX {
                    return Err(ErrorKind::InvalidData.into());
                }
                let mut bytes = Box::new([0; BLOCK]);
                self.read_file(block * BLOCK as u64, &mut bytes[..], from_file)?;
                state.blocks.insert(block, bytes);
            }
            if let Some(bytes) = state.blocks.get_mut(&block) {
                let length = part.len();
                bytes[within..within + length].copy_from_slice(&data[part]);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
