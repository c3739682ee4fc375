//! Durable state: many writers, one thread that owns the file, one fsync for a batch.
//!
//! ```text
//!  write ─▶ bounded queue ─▶ writer thread: plan (pure) ─▶ disk: one transaction, fsync ─▶ memory ─▶ answers
//!  get, entries, watch ─────────────────────────────────────────────────────────────▶ memory
//! ```
//!
//! Read in this order: [`plan`] what a batch does · [`memory`] what is read and watched · [`disk`] what is kept, and how a file
//! is verified · [`writer`] the thread.

mod disk;
mod memory;
mod plan;
mod writer;

use crate::bucket::{Entry, Watch};
use crate::error::StateProblem;
use crate::{LatticeError, Result};
use memory::Memory;
use plan::{Place, Sums, plan};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot};
use writer::{Job, Order};

pub(crate) use plan::Write;

/// Most bytes that all keys and values together may have. They are held in memory.
pub const STATE_BYTES_MAX: u64 = 256 << 20;

/// How many writes may wait for the writer thread; further ones wait before they are queued.
const WAITING_MAX: usize = 1_024;

/// The state of a lattice.
#[derive(Debug)]
pub(crate) struct State {
    memory: Arc<Memory>,
    store: Store,
    closed: AtomicBool,
}

#[derive(Debug)]
enum Store {
    File(Mutex<Option<Writing>>),
    Nothing(Mutex<Sums>),
}

/// The way to the writer thread.
#[derive(Debug)]
struct Writing {
    orders: mpsc::Sender<Order>,
    thread: std::thread::JoinHandle<()>,
}

impl State {
    /// State that is gone with the process.
    pub(crate) fn ephemeral() -> State {
        let memory = Arc::new(Memory::new([], 0));
        State { memory, store: Store::Nothing(Mutex::default()), closed: AtomicBool::new(false) }
    }

    /// State in the file.
    pub(crate) async fn open(path: PathBuf) -> Result<State> {
        State::open_with(disk::File::new(path)).await
    }

    async fn open_with(disk: impl disk::Disk) -> Result<State> {
        let path = disk.path().to_path_buf();
        let (orders, waiting) = mpsc::channel(WAITING_MAX);
        let (opened, memory) = oneshot::channel();
        // A thread of its own: an fsync may take long, and must block neither the runtime nor the pool that others wait for. It is
        // joined when the state is closed or dropped.
        let thread = std::thread::Builder::new()
            .name("umbel-state".into())
            .spawn(move || writer::run(disk, waiting, opened))
            .map_err(|error| io_problem(&path, error))?;
        // The thread answers always, unless it panics; then its file is as it was.
        let memory = memory.await.map_err(|_| problem(&path, StateProblem::Io))??;
        let store = Store::File(Mutex::new(Some(Writing { orders, thread })));
        Ok(State { memory, store, closed: AtomicBool::new(false) })
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Writes durably; returns the revision, or of a delete of nothing the last one.
    ///
    /// A caller that goes away does not undo its write.
    pub(crate) async fn write(&self, bucket: &str, key: &str, write: Write) -> Result<u64> {
        self.check_open()?;
        let place = Place { bucket: bucket.to_string(), key: key.to_string() };
        let orders = match &self.store {
            Store::Nothing(sums) => return self.write_memory(sums, place, write),
            Store::File(writing) => {
                let writing = writing.lock().unwrap_or_else(PoisonError::into_inner);
                writing.as_ref().ok_or(LatticeError::Closed)?.orders.clone()
            }
        };
        let (answer, answered) = oneshot::channel();
        orders.send(Order::Job(Job { place, write, answer })).await.map_err(|_| LatticeError::Closed)?;
        drop(orders);
        answered.await.map_err(|_| LatticeError::Closed)?
    }

    fn write_memory(&self, sums: &Mutex<Sums>, place: Place, write: Write) -> Result<u64> {
        let mut sums = sums.lock().unwrap_or_else(PoisonError::into_inner);
        let mut planned = plan(&[(place, write)], *sums, STATE_BYTES_MAX, |place| self.memory.stored(place));
        *sums = planned.sums;
        self.memory.apply(&planned.changes);
        planned.answers.pop().expect("one write has one answer")
    }

    pub(crate) fn get(&self, bucket: &str, key: &str) -> Result<Option<Entry>> {
        self.check_open()?;
        let place = Place { bucket: bucket.to_string(), key: key.to_string() };
        let stored = self.memory.stored(&place);
        Ok(stored.map(|stored| Entry { key: place.key, value: stored.value, revision: stored.revision }))
    }

    pub(crate) fn entries(&self, bucket: &str, prefix: &str) -> Result<Vec<Entry>> {
        self.check_open()?;
        Ok(self.memory.entries(bucket, prefix))
    }

    pub(crate) fn watch(&self, bucket: &str, prefix: &str, after: Option<u64>) -> Result<Watch> {
        self.check_open()?;
        self.memory.watch(bucket, prefix, after)
    }

    /// Makes waiting writes durable, closes the file, ends the watches.
    pub(crate) async fn close(&self) {
        if let Some(Writing { orders, thread }) = self.shut() {
            // The writer drops its end of the queue when it has written what came before and has closed the file. A writer
            // that still holds a sender finds the queue closed.
            let _ = orders.send(Order::Close).await;
            orders.closed().await;
            // It has nothing left to do but return.
            let _ = thread.join();
        }
        self.memory.close();
    }

    fn check_open(&self) -> Result<()> {
        if self.is_closed() { Err(LatticeError::Closed) } else { Ok(()) }
    }

    fn shut(&self) -> Option<Writing> {
        self.closed.store(true, Ordering::Release);
        match &self.store {
            Store::File(writing) => writing.lock().unwrap_or_else(PoisonError::into_inner).take(),
            Store::Nothing(_) => None,
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        if let Some(Writing { orders, thread }) = self.shut() {
            // Nobody can write any more, so the queue ends; what is in it is written. Without the wait a file that was just
            // dropped could still be locked.
            drop(orders);
            let _ = thread.join();
        }
        self.memory.close();
    }
}

fn problem(path: &Path, problem: StateProblem) -> LatticeError {
    LatticeError::State { path: path.to_path_buf(), problem, source: None }
}

/// The problem that an error of the operating system means.
fn io_problem(path: &Path, error: std::io::Error) -> LatticeError {
    use std::io::ErrorKind as E;
    let what = match error.kind() {
        E::StorageFull | E::QuotaExceeded | E::FileTooLarge => StateProblem::DiskFull,
        E::PermissionDenied | E::ReadOnlyFilesystem => StateProblem::ReadOnly,
        _ => StateProblem::Io,
    };
    LatticeError::State { path: path.to_path_buf(), problem: what, source: Some(Arc::new(error)) }
}

/// Refuses to grow beyond our limit. The path is not known to the planner, and says nothing here.
fn too_large(bytes_max: u64) -> LatticeError {
    problem(Path::new("state"), StateProblem::TooLarge { bytes_max })
}

#[cfg(test)]
mod tests;
