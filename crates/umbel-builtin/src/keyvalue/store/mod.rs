//! The store of one provider: many readers of an immutable view, and one thread that writes.
//!
//! Read in this order: `table` what a write does · `file` how a file is made and verified · `writer` the thread.

mod file;
mod table;
mod writer;

pub(super) use table::View;
#[cfg(feature = "keyvalue_redis")]
pub(crate) use table::number;
pub(crate) use table::{Change, Done, Write};

use super::config::Settings;
use super::error::KeyvalueError;
use super::place::Place;
use super::watch::Watchers;
use arc_swap::{ArcSwap, ArcSwapOption};
use file::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, oneshot};
use umbel_core::Problem;
use umbel_supervisor::thread::Thread;
use writer::{Job, Order, Writer};

/// Writes that may wait for the thread; further ones wait before they are queued.
const WAITING_MAX: usize = 1_024;

/// Memory that waiting writes may hold, in KiB. Also the largest batch of one call.
const WAITING_KIB_MAX: u32 = 64 << 10;

/// Most bytes that one call may read or write.
pub(crate) const CALL_BYTES_MAX: usize = (WAITING_KIB_MAX as usize) << 10;

type Answer = Result<Done, KeyvalueError>;

/// What readers and the writer thread share.
struct Shared {
    /// The last durable state; None while the file is not open.
    view: ArcSwapOption<View>,
    /// Why it is not.
    failure: ArcSwapOption<Problem>,
    settings: ArcSwap<Settings>,
    watchers: Arc<Watchers>,
}

/// An open store.
pub(super) struct Store {
    shared: Arc<Shared>,
    orders: mpsc::Sender<Order>,
    room: Arc<Semaphore>,
    thread: Mutex<Option<Thread>>,
    path: PathBuf,
}

impl Store {
    /// Opens the file, or makes it.
    pub(super) async fn open(
        path: PathBuf,
        settings: Settings,
        watchers: Arc<Watchers>,
    ) -> Result<Store, KeyvalueError> {
        let (orders, waiting) = mpsc::channel(WAITING_MAX);
        let (opened, open) = oneshot::channel();
        let shared = Arc::new(Shared {
            view: ArcSwapOption::empty(),
            failure: ArcSwapOption::empty(),
            settings: ArcSwap::from_pointee(settings),
            watchers,
        });
        let (file, writer_shared) = (File::new(path.clone()), shared.clone());
        // A thread of its own: an fsync may take long, and must block neither a runtime nor the pool that others wait for. It ends
        // with the queue, whose senders are this store's.
        let thread = Thread::start("umbel-keyvalue", move |_| match Writer::open(file, writer_shared) {
            Ok(writer) => {
                if opened.send(Ok(())).is_ok() {
                    writer.run(waiting);
                }
            }
            // Nobody left to tell: then nobody wanted it open.
            Err(error) => drop(opened.send(Err(error))),
        });
        let thread = thread.map_err(|error| file::io_problem(&path, error.source))?;
        // The thread answers always, unless it panics; then its file is as it was.
        open.await.unwrap_or(Err(KeyvalueError::Closed))?;
        let room = Arc::new(Semaphore::new(WAITING_KIB_MAX as usize));
        Ok(Store { shared, orders, room, thread: Mutex::new(Some(thread)), path })
    }

    pub(super) fn settings(&self) -> Arc<Settings> {
        self.shared.settings.load_full()
    }

    pub(super) fn set(&self, settings: Settings) {
        self.shared.settings.store(Arc::new(settings));
    }

    /// Why it does not serve, if it does not.
    pub(super) fn failure(&self) -> Option<Problem> {
        self.shared.failure.load_full().map(|problem| Problem::clone(&problem))
    }

    /// Reads the last durable state, on the caller's thread: nothing here waits for a write.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&View) -> Result<T, redb::Error>,
    ) -> Result<T, KeyvalueError> {
        let view = self.shared.view.load();
        let view = view.as_ref().ok_or(KeyvalueError::Closed)?;
        // The engine may panic on pages that were damaged after they were verified.
        let result = catch_unwind(AssertUnwindSafe(|| read(view)));
        let result = result.unwrap_or_else(|_| Err(redb::Error::Corrupted("its pages make no sense".into())));
        result.map_err(|error| {
            let error = file::engine_problem(&self.path, error);
            // A guest is told less than the operator has to know.
            if matches!(error, KeyvalueError::File { .. }) {
                tracing::error!(error = %Problem::from(&error), "the key-value store was not read");
            }
            error
        })
    }

    /// Writes, and returns when it is durable. A caller that goes away does not undo its write.
    pub(super) async fn write(&self, place: Arc<Place>, write: Write) -> Answer {
        let kib = u32::try_from(write.bytes() >> 10).unwrap_or(u32::MAX);
        let room = self.room.clone().acquire_many_owned(kib.clamp(1, WAITING_KIB_MAX)).await;
        let room = room.map_err(|_| KeyvalueError::Closed)?;
        let (answer, answered) = oneshot::channel();
        let job = Order::Job(Job { place, write, answer, _room: room });
        self.orders.send(job).await.map_err(|_| KeyvalueError::Closed)?;
        answered.await.map_err(|_| KeyvalueError::Closed)?
    }

    /// Makes waiting writes durable and closes the file.
    pub(super) async fn close(&self, deadline: Duration) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return };
        let closed = async {
            // The queue may be full.
            let _ = self.orders.send(Order::Close).await;
            self.orders.closed().await;
        };
        let begun = tokio::time::Instant::now();
        if tokio::time::timeout(deadline, closed).await.is_err()
            || !thread.stop(deadline.saturating_sub(begun.elapsed()).max(GRACE)).await
        {
            tracing::warn!(path = %self.path.display(), "the key-value store was not closed in time");
        }
    }
}

/// How long a thread that has nothing left to do may take to end.
const GRACE: Duration = Duration::from_millis(100);
