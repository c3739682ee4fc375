//! Where the disk is waited for: on threads that may wait, and on few of them.

use super::error::BlobError;
use std::io;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

/// Calls to the disk at once, of one provider.
const AT_ONCE_MAX: usize = 32;

/// The way to the disk.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    permits: Arc<Semaphore>,
}

impl Disk {
    pub(crate) fn new() -> Disk {
        Disk { permits: Arc::new(Semaphore::new(AT_ONCE_MAX)) }
    }

    /// Does it and waits. It is done to its end also if nobody waits any more.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, BlobError> + Send + 'static,
    ) -> Result<T, BlobError> {
        ended(self.start(work).await.await)
    }

    /// Begins it as soon as there is a thread for it.
    pub(crate) async fn start<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, BlobError> + Send + 'static,
    ) -> JoinHandle<Result<T, BlobError>> {
        let permit: OwnedSemaphorePermit =
            self.permits.clone().acquire_owned().await.expect("the semaphore is never closed");
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        })
    }
}

/// The result of work that was started.
pub(crate) fn ended<T>(joined: Result<Result<T, BlobError>, tokio::task::JoinError>) -> Result<T, BlobError> {
    joined.unwrap_or_else(|error| Err(BlobError::StoreFailed(io::Error::other(error.to_string()))))
}
