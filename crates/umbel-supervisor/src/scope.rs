//! Tracked tasks: what a child starts ends with the child.
//!
//! A [`Scope`] owns tasks; a [`Spawner`] can be given to the tasks themselves, so that none of them keeps its own scope alive.

use crate::contain::contain;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// How long an aborted task may take to notice. One that never yields cannot be waited for.
const ABORT_GRACE: Duration = Duration::from_secs(1);

/// Owns tasks. Dropping it aborts them.
#[derive(Debug)]
pub struct Scope {
    spawner: Spawner,
}

/// Starts tasks in a [`Scope`] without owning it.
#[derive(Debug, Clone)]
pub struct Spawner {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    name: Arc<str>,
    tasks: Mutex<Tasks>,
    empty: Notify,
}

#[derive(Debug, Default)]
struct Tasks {
    next: u64,
    closed: bool,
    aborted: bool,
    /// Without a handle for the moment between being counted and being started.
    running: HashMap<u64, Option<AbortHandle>>,
}

impl Scope {
    /// An empty scope. The name appears in the log when one of its tasks panics.
    pub fn new(name: impl Into<Arc<str>>) -> Scope {
        let inner = Inner { name: name.into(), tasks: Mutex::default(), empty: Notify::new() };
        Scope { spawner: Spawner { inner: Arc::new(inner) } }
    }

    /// A handle that starts tasks here and does not keep the scope alive.
    pub fn spawner(&self) -> Spawner {
        self.spawner.clone()
    }

    /// Starts a task on the current runtime. Returns whether it was started: a drained or cancelled scope starts nothing.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) -> bool {
        self.spawner.spawn(future)
    }

    /// Starts a task on this very thread, for futures that cannot be sent. Only inside [`crate::cores`] or another local runtime.
    pub fn spawn_local(&self, future: impl Future<Output = ()> + 'static) -> bool {
        self.spawner.spawn_local(future)
    }

    /// How many tasks run.
    pub fn len(&self) -> usize {
        self.spawner.inner.lock().running.len()
    }

    /// Whether no task runs.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits for the tasks to end, and aborts those that run at the deadline; then nothing can be started here any more. Returns how
    /// many were aborted. Tasks may start others while they drain: what is in flight may need helpers to finish.
    pub async fn drain(&self, deadline: Duration) -> usize {
        if tokio::time::timeout(deadline, self.spawner.ended()).await.is_ok() {
            return 0;
        }
        let aborted = self.spawner.abort_all();
        self.spawner.ended_soon().await;
        aborted
    }

    /// Starts nothing new and aborts what runs.
    pub fn cancel(&self) {
        self.spawner.abort_all();
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl Spawner {
    /// As [`Scope::spawn`].
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) -> bool {
        #[expect(clippy::disallowed_methods, reason = "this is the scope that the ban points to")]
        self.add(|task| tokio::spawn(task.run(future)).abort_handle())
    }

    /// As [`Scope::spawn_local`].
    pub fn spawn_local(&self, future: impl Future<Output = ()> + 'static) -> bool {
        #[expect(clippy::disallowed_methods, reason = "this is the scope that the ban points to")]
        self.add(|task| tokio::task::spawn_local(task.run(future)).abort_handle())
    }

    fn add(&self, spawn: impl FnOnce(Tracked) -> AbortHandle) -> bool {
        let id = {
            let mut tasks = self.inner.lock();
            if tasks.closed {
                return false;
            }
            let id = tasks.next;
            tasks.next += 1;
            tasks.running.insert(id, None);
            id
        };
        // Not under the lock: a runtime that is shutting down drops the task at once, and it signs off under the lock.
        let handle = spawn(Tracked { inner: self.inner.clone(), id });
        let mut tasks = self.inner.lock();
        if tasks.aborted {
            drop(tasks);
            handle.abort();
        } else if let Some(slot) = tasks.running.get_mut(&id) {
            *slot = Some(handle);
        }
        true
    }

    pub(crate) fn abort_all(&self) -> usize {
        let handles: Vec<AbortHandle> = {
            let mut tasks = self.inner.lock();
            tasks.closed = true;
            tasks.aborted = true;
            tasks.running.values().flatten().cloned().collect()
        };
        // Not under the lock: aborting may drop the task, which takes the lock to sign off.
        for handle in &handles {
            handle.abort();
        }
        handles.len()
    }

    /// Waits until no task is left, and closes the scope in that moment.
    async fn ended(&self) {
        loop {
            let empty = self.inner.empty.notified();
            tokio::pin!(empty);
            empty.as_mut().enable();
            {
                let mut tasks = self.inner.lock();
                if tasks.running.is_empty() {
                    tasks.closed = true;
                    return;
                }
            }
            empty.await;
        }
    }

    /// Waits for aborted tasks to be gone, but not for ever.
    pub(crate) async fn ended_soon(&self) {
        if tokio::time::timeout(ABORT_GRACE, self.ended()).await.is_err() {
            tracing::error!(scope = %self.inner.name, "aborted tasks do not end: they never yield");
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One task's entry; it signs off when it is dropped, however the task ends.
struct Tracked {
    inner: Arc<Inner>,
    id: u64,
}

impl Tracked {
    async fn run(self, future: impl Future<Output = ()>) {
        if let Err(panic) = contain(future).await {
            tracing::error!(scope = %self.inner.name, %panic, "a task panicked");
        }
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        let mut tasks = self.inner.lock();
        tasks.running.remove(&self.id);
        let empty = tasks.running.is_empty();
        drop(tasks);
        if empty {
            self.inner.empty.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests;
