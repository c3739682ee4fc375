//! The state file: made whole, verified whole, never overwritten when in doubt.
//!
//! A new file is made under another name and gets its own when it is complete, so a file that is incomplete is damage and not
//! a beginning. An existing one is first read into memory, recovered and checked there, against the engine's checksums and
//! against sums of our own; only then is the file itself opened for writing. So a damaged file stays as it was, byte for byte.
//!
//! Commits are two-phase: otherwise the engine would take a damaged last commit for one that a crash has cut off, and go back to
//! the one before without a word.

use super::plan::{Change, Place, Stored, Sums, checksum, fnv};
use super::{io_problem, problem};
use crate::error::StateProblem;
use crate::{LatticeError, Result};
use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, StorageBackend, StorageError,
    TableDefinition,
};
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// The format of the tables below. It grows when they change.
pub(crate) const FORMAT: u64 = 1;

/// What a file of the storage engine begins with.
const MAGIC: &[u8] = b"redb\x1A\x0A\xA9\x0D\x0A";

/// Longest file that is verified; ours stay far below, because entries are limited.
const FILE_BYTES_MAX: u64 = 4 << 30;

/// How much longer than twice its length a file may become while it is recovered.
const REHEARSAL_SLACK_BYTES: u64 = 16 << 20;

/// Memory for the engine's pages. Reads come from our own memory, so it needs little.
const CACHE_BYTES: usize = 4 << 20;

/// `format`, `revision`, `count`, `checksum`, `bytes` and the checksum of these, `check`.
const META: TableDefinition<&str, u64> = TableDefinition::new("umbel.meta");

/// (bucket, key) → revision and checksum, 8 bytes each, little-endian, then the value.
const ENTRIES: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("umbel.entries");

/// Where state is kept.
pub(crate) trait Disk: Send + 'static {
    /// The file, for messages.
    fn path(&self) -> &Path;
    /// Verifies and opens. Called again after a failed write, when the former table is gone.
    fn open(&mut self) -> Result<Loaded>;
}

/// An open file.
pub(crate) trait Table: Send {
    /// Stores the changes with the sums after them, and returns when they are durable.
    fn store(&mut self, changes: &[Change], sums: &Sums) -> Result<()>;
}

/// An open file and what was in it.
pub(crate) struct Loaded {
    pub(crate) entries: Vec<(Place, Stored)>,
    pub(crate) sums: Sums,
    pub(crate) table: Box<dyn Table>,
}

/// A state file on disk.
pub(crate) struct File {
    path: PathBuf,
}

impl File {
    pub(crate) fn new(path: PathBuf) -> File {
        File { path }
    }

    /// Makes a complete, empty state file, unless another process has made one meanwhile.
    fn create(&self) -> Result<()> {
        let mut new = self.path.clone().into_os_string();
        new.push(".new");
        let new = PathBuf::from(new);
        let file = open_locked(&new, true, &self.path)?;
        let made = self.fill(file).and_then(|()| self.publish(&new));
        // Whether it has its name now or could not be made: this one has to go.
        let _ = fs::remove_file(&new);
        made
    }

    fn fill(&self, file: fs::File) -> Result<()> {
        // A crash may have left a part of one.
        file.set_len(0).map_err(|e| io_problem(&self.path, e))?;
        create(Backend(file), &self.path)
    }

    fn publish(&self, new: &Path) -> Result<()> {
        let io = |e| io_problem(&self.path, e);
        // A link fails if the name is taken, where a rename would replace what has it.
        match fs::hard_link(new, &self.path) {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) if self.path.exists() => return Err(io(e)),
            // Some file systems have no hard links.
            Err(_) => fs::rename(new, &self.path).map_err(io)?,
        }
        let folder = self.path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)
    }
}

impl Disk for File {
    fn path(&self) -> &Path {
        &self.path
    }

    fn open(&mut self) -> Result<Loaded> {
        match fs::metadata(&self.path) {
            Err(e) if e.kind() == ErrorKind::NotFound => self.create()?,
            Err(e) => return Err(io_problem(&self.path, e)),
            // Opening a pipe or a device could block, or do anything.
            Ok(meta) if !meta.is_file() => return Err(problem(&self.path, StateProblem::Foreign)),
            Ok(_) => {}
        }
        let file = open_locked(&self.path, false, &self.path)?;
        check_beginning(&file, &self.path)?;
        verify(read_all(&file).map_err(|e| io_problem(&self.path, e))?, &self.path)?;
        load(Backend(file), &self.path)
    }
}

fn open_locked(path: &Path, create: bool, shown: &Path) -> Result<fs::File> {
    let mut options = OpenOptions::new();
    // The state may hold secrets, so only its owner may read it.
    options.read(true).write(true).create(create).truncate(false).mode(0o600);
    let file = options.open(path).map_err(|e| io_problem(shown, e))?;
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            // A process that is just being started holds a copy of its parent's files, and so their locks, until it runs its
            // program. That is over in a moment; a real owner is not.
            Err(fs::TryLockError::WouldBlock) if begun.elapsed() < LOCK_PATIENCE => {
                std::thread::sleep(LOCK_PATIENCE / 25);
            }
            Err(fs::TryLockError::WouldBlock) => return Err(problem(shown, StateProblem::Locked)),
            Err(fs::TryLockError::Error(e)) => return Err(io_problem(shown, e)),
        }
    }
}

/// How long a lock may be about to go.
const LOCK_PATIENCE: Duration = Duration::from_millis(250);

fn check_beginning(file: &fs::File, path: &Path) -> Result<()> {
    let length = file.metadata().map_err(|e| io_problem(path, e))?.len();
    let mut beginning = vec![0; MAGIC.len().min(usize::try_from(length).unwrap_or(usize::MAX))];
    file.read_exact_at(&mut beginning, 0).map_err(|e| io_problem(path, e))?;
    if beginning.is_empty() {
        return Err(damaged(path, "it is empty"));
    }
    if !MAGIC.starts_with(&beginning) {
        // Where a file system has lost the first block there are zeros: no program begins a file with that.
        let lost = beginning.iter().all(|byte| *byte == 0);
        return Err(if lost {
            damaged(path, "its beginning is lost")
        } else {
            problem(path, StateProblem::Foreign)
        });
    }
    if beginning.len() < MAGIC.len() {
        return Err(damaged(path, "it is cut off"));
    }
    if length > FILE_BYTES_MAX {
        return Err(damaged(path, "it is longer than a state file can be"));
    }
    Ok(())
}

fn read_all(file: &fs::File) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len();
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    let reader: &fs::File = file;
    reader.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Recovers and checks a copy in memory.
pub(super) fn verify(bytes: Vec<u8>, path: &Path) -> Result<()> {
    let backend =
        Rehearsal { len_max: bytes.len() as u64 * 2 + REHEARSAL_SLACK_BYTES, bytes: RwLock::new(bytes) };
    guarded(path, || {
        let mut db = open_engine(backend, path)?;
        if !db.check_integrity().map_err(|e| database_problem(path, e))? {
            return Err(damaged(path, "its pages do not fit their checksums"));
        }
        read(&db, path).map(|_| ())
    })
}

/// Makes empty state.
pub(super) fn create(backend: impl StorageBackend, path: &Path) -> Result<()> {
    RedbTable { db: open_engine(backend, path)?, path: path.to_path_buf() }.store(&[], &Sums::default())
}

/// Opens and reads what has been verified.
pub(super) fn load(backend: impl StorageBackend, path: &Path) -> Result<Loaded> {
    guarded(path, || {
        let db = open_engine(backend, path)?;
        let (entries, sums) = read(&db, path)?;
        Ok(Loaded { entries, sums, table: Box::new(RedbTable { db, path: path.to_path_buf() }) })
    })
}

/// The engine may panic on pages that are damaged in ways it does not expect. That is damage, not the end of the host.
fn guarded<T>(path: &Path, f: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|_| Err(damaged(path, "its pages make no sense")))
}

fn open_engine(backend: impl StorageBackend, path: &Path) -> Result<Database> {
    Builder::new()
        .set_cache_size(CACHE_BYTES)
        .create_with_backend(backend)
        .map_err(|e| database_problem(path, e))
}

/// Reads everything, and checks it against the sums that were stored with it.
fn read(db: &Database, path: &Path) -> Result<(Vec<(Place, Stored)>, Sums)> {
    let transaction = db.begin_read().map_err(|e| engine_problem(path, e))?;
    let meta = match transaction.open_table(META) {
        Ok(meta) => meta,
        Err(redb::TableError::Storage(e)) => return Err(storage_problem(path, e)),
        // A file of the same engine, of another program.
        Err(_) => return Err(problem(path, StateProblem::Foreign)),
    };
    let stored_sums = read_sums(&meta, path)?;
    let table = match transaction.open_table(ENTRIES) {
        Ok(table) => table,
        Err(redb::TableError::Storage(e)) => return Err(storage_problem(path, e)),
        Err(_) => return Err(damaged(path, "its entries are missing")),
    };
    let mut sums = Sums { revision: stored_sums.revision, ..Sums::default() };
    let mut entries = Vec::new();
    for row in table.iter().map_err(|e| storage_problem(path, e))? {
        let (key, value) = row.map_err(|e| storage_problem(path, e))?;
        let (bucket, key) = key.value();
        let place = Place { bucket: bucket.to_string(), key: key.to_string() };
        let (stored, check) = decode(value.value()).ok_or_else(|| damaged(path, "an entry is cut off"))?;
        if checksum(&place, &stored) != check || stored.revision > sums.revision {
            return Err(damaged(path, "an entry does not fit its checksum"));
        }
        sums.add(&place, &stored);
        entries.push((place, stored));
    }
    if sums != stored_sums {
        return Err(damaged(path, "entries are missing, or there are too many"));
    }
    Ok((entries, sums))
}

fn read_sums(meta: &impl ReadableTable<&'static str, u64>, path: &Path) -> Result<Sums> {
    let field = |name: &str| -> Result<u64> {
        let value = meta.get(name).map_err(|e| storage_problem(path, e))?;
        value.map(|value| value.value()).ok_or_else(|| damaged(path, "its description is incomplete"))
    };
    let found = field("format")?;
    if found != FORMAT {
        return Err(problem(path, StateProblem::Version { found, ours: FORMAT }));
    }
    let sums = Sums {
        revision: field("revision")?,
        count: field("count")?,
        checksum: field("checksum")?,
        bytes: field("bytes")?,
    };
    if field("check")? != check_of(&sums) {
        return Err(damaged(path, "its description does not fit its checksum"));
    }
    Ok(sums)
}

fn check_of(sums: &Sums) -> u64 {
    let Sums { revision, count, checksum, bytes } = sums;
    let parts = [FORMAT, *revision, *count, *checksum, *bytes].map(u64::to_le_bytes);
    fnv(parts.iter().map(|part| part.as_slice()))
}

struct RedbTable {
    db: Database,
    path: PathBuf,
}

impl Table for RedbTable {
    fn store(&mut self, changes: &[Change], sums: &Sums) -> Result<()> {
        let path = self.path.clone();
        catch_unwind(AssertUnwindSafe(|| self.commit(changes, sums)))
            .unwrap_or_else(|_| Err(problem(&path, StateProblem::Io)))
    }
}

impl RedbTable {
    fn commit(&self, changes: &[Change], sums: &Sums) -> Result<()> {
        let path = &self.path;
        let mut transaction = self.db.begin_write().map_err(|e| engine_problem(path, e))?;
        transaction.set_two_phase_commit(true);
        {
            let mut table = transaction.open_table(ENTRIES).map_err(|e| engine_problem(path, e))?;
            for Change { place, revision, value } in changes {
                let at = (place.bucket.as_str(), place.key.as_str());
                match value {
                    Some(value) => {
                        let row = encode(place, &Stored { revision: *revision, value: value.clone() });
                        table.insert(at, row.as_slice()).map_err(|e| storage_problem(path, e))?;
                    }
                    None => drop(table.remove(at).map_err(|e| storage_problem(path, e))?),
                }
            }
            let mut meta = transaction.open_table(META).map_err(|e| engine_problem(path, e))?;
            let fields = [
                ("format", FORMAT),
                ("revision", sums.revision),
                ("count", sums.count),
                ("checksum", sums.checksum),
                ("bytes", sums.bytes),
                ("check", check_of(sums)),
            ];
            for (name, value) in fields {
                meta.insert(name, value).map_err(|e| storage_problem(path, e))?;
            }
        }
        transaction.commit().map_err(|e| engine_problem(path, e))
    }
}

fn encode(place: &Place, stored: &Stored) -> Vec<u8> {
    let mut row = Vec::with_capacity(16 + stored.value.len());
    row.extend(stored.revision.to_le_bytes());
    row.extend(checksum(place, stored).to_le_bytes());
    row.extend_from_slice(&stored.value);
    row
}

fn decode(row: &[u8]) -> Option<(Stored, u64)> {
    let (revision, rest) = row.split_first_chunk::<8>()?;
    let (check, value) = rest.split_first_chunk::<8>()?;
    let stored = Stored { revision: u64::from_le_bytes(*revision), value: value.to_vec().into() };
    Some((stored, u64::from_le_bytes(*check)))
}

fn damaged(path: &Path, reason: impl Into<String>) -> LatticeError {
    problem(path, StateProblem::Damaged { reason: reason.into() })
}

fn database_problem(path: &Path, error: DatabaseError) -> LatticeError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => problem(path, StateProblem::Locked),
        // An older file of the engine itself.
        DatabaseError::UpgradeRequired(found) => {
            problem(path, StateProblem::Version { found: found.into(), ours: FORMAT })
        }
        DatabaseError::Storage(error) => storage_problem(path, error),
        other => with_source(path, StateProblem::Damaged { reason: "it cannot be recovered".into() }, other),
    }
}

fn storage_problem(path: &Path, error: StorageError) -> LatticeError {
    match error {
        // The engine reads beyond the end of a file that was cut off.
        StorageError::Io(e)
            if matches!(
                e.kind(),
                ErrorKind::UnexpectedEof | ErrorKind::InvalidData | ErrorKind::InvalidInput
            ) =>
        {
            with_source(path, StateProblem::Damaged { reason: "it is cut off, or its header is".into() }, e)
        }
        StorageError::Io(e) => io_problem(path, e),
        StorageError::Corrupted(reason) => damaged(path, reason),
        other => with_source(path, StateProblem::Io, other),
    }
}

/// Errors that only wrap a storage error, or cannot happen the way we use the engine.
fn engine_problem(path: &Path, error: impl Into<redb::Error>) -> LatticeError {
    match error.into() {
        redb::Error::Io(e) => storage_problem(path, StorageError::Io(e)),
        redb::Error::Corrupted(reason) => damaged(path, reason),
        other => with_source(path, StateProblem::Io, other),
    }
}

fn with_source(
    path: &Path,
    problem: StateProblem,
    source: impl std::error::Error + Send + Sync + 'static,
) -> LatticeError {
    LatticeError::State { path: path.to_path_buf(), problem, source: Some(Arc::new(source)) }
}

/// The file as the engine wants it. The lock is ours, from before the file is verified until the last handle is closed.
#[derive(Debug)]
struct Backend(fs::File);

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

/// A copy of the file in memory. A damaged header may ask for any length, so there is a limit.
#[derive(Debug)]
struct Rehearsal {
    bytes: RwLock<Vec<u8>>,
    len_max: u64,
}

fn range_of(offset: u64, length: usize, available: usize) -> io::Result<std::ops::Range<usize>> {
    let start = usize::try_from(offset).map_err(|_| ErrorKind::UnexpectedEof)?;
    let end = start.checked_add(length).filter(|end| *end <= available).ok_or(ErrorKind::UnexpectedEof)?;
    Ok(start..end)
}

impl StorageBackend for Rehearsal {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes.read().unwrap_or_else(PoisonError::into_inner).len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let bytes = self.bytes.read().unwrap_or_else(PoisonError::into_inner);
        out.copy_from_slice(&bytes[range_of(offset, out.len(), bytes.len())?]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).ok().filter(|_| len <= self.len_max).ok_or(ErrorKind::InvalidData)?;
        self.bytes.write().unwrap_or_else(PoisonError::into_inner).resize(len, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut bytes = self.bytes.write().unwrap_or_else(PoisonError::into_inner);
        let range = range_of(offset, data.len(), bytes.len())?;
        bytes[range].copy_from_slice(data);
        Ok(())
    }
}
