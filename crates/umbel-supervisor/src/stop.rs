//! How everything is asked to end: a flag that tasks await and threads look at.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// A request to stop. It is made once and never taken back; clones share it.
#[derive(Clone, Default)]
pub struct Stop(Arc<Inner>);

#[derive(Default)]
struct Inner {
    requested: AtomicBool,
    tasks: Notify,
    lock: Mutex<()>,
    threads: Condvar,
}

impl Stop {
    /// A stop that nobody has requested yet.
    pub fn new() -> Stop {
        Stop::default()
    }

    /// Asks whoever holds a clone to end.
    pub fn request(&self) {
        {
            // Under the lock, so that a thread cannot fall asleep between looking at the flag and waiting.
            let _guard = self.0.lock.lock().unwrap_or_else(PoisonError::into_inner);
            self.0.requested.store(true, Ordering::SeqCst);
        }
        self.0.tasks.notify_waiters();
        self.0.threads.notify_all();
    }

    /// Whether the request has been made.
    pub fn is_requested(&self) -> bool {
        self.0.requested.load(Ordering::SeqCst)
    }

    /// Waits for the request. Cancel-safe; returns at once when it has been made already.
    pub async fn requested(&self) {
        let notified = self.0.tasks.notified();
        tokio::pin!(notified);
        // Registered before the flag is read: a request in between is not lost.
        notified.as_mut().enable();
        if !self.is_requested() {
            notified.await;
        }
    }

    /// Blocks the calling thread until the request is made or `timeout` has passed. Returns whether it was made.
    /// For plain threads, such as a ticker; never call it in a task.
    pub fn wait(&self, timeout: Duration) -> bool {
        let guard = self.0.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let result = self.0.threads.wait_timeout_while(guard, timeout, |()| !self.is_requested());
        drop(result.unwrap_or_else(PoisonError::into_inner));
        self.is_requested()
    }
}

impl std::fmt::Debug for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Stop").field(&self.is_requested()).finish()
    }
}
