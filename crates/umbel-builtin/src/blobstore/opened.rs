//! Which space a link leads to, and what is open in it.
//!
//! ```text
//!  call ─▶ Opens::open(link) ─▶ Opened ─┬─ space     containers and objects: a folder, or a server
//!                                       └─ staging   where bodies are written until they are whole: always a folder
//! ```

use super::disk::Disk;
use super::error::BlobError;
use super::name::file_name;
use super::partial::Partial;
use super::store::{ObjectId, Space};
use async_trait::async_trait;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use umbel_supervisor::scope::Spawner;
use umbel_wit::{ByteStream, Link};

/// Bytes of names that one list holds at most; the rest comes with the next.
pub(crate) const NAMES_BYTES_MAX: usize = 4 << 20;

/// Files that a space may have open: values and lists of names that a guest holds.
pub(crate) const OPEN_MAX: usize = 512;

/// Finds the space of a link.
#[async_trait]
pub(crate) trait Opens: Send + Sync + 'static {
    /// The space of a link.
    async fn open(&self, link: &Link) -> Result<Opened, BlobError>;
}

/// What one application sees: containers and objects.
#[async_trait]
pub(crate) trait Keep: Send + Sync + 'static {
    /// Fails unless an object of that name could be there: the container is, and the names are not too long.
    async fn check(&self, id: &ObjectId) -> Result<(), BlobError>;
    /// Makes a container; one that is there stays as it is.
    async fn create_container(&self, name: &str) -> Result<(), BlobError>;
    /// Whether the container is there.
    async fn container_exists(&self, name: &str) -> Result<bool, BlobError>;
    /// Seconds since 1970 when the container was made.
    async fn container_created_at(&self, name: &str) -> Result<u64, BlobError>;
    /// Removes a container and all that is in it.
    async fn delete_container(&self, name: &str) -> Result<(), BlobError>;
    /// Opens the bytes from `start` to `end` of an object, both inclusive, as far as it has them. What is read is what was there
    /// now, whatever becomes of the object.
    async fn open(&self, id: &ObjectId, start: u64, end: u64) -> Result<Box<dyn Reads>, BlobError>;
    /// What is known of an object.
    async fn info(&self, id: &ObjectId) -> Result<Info, BlobError>;
    /// Whether the object is there.
    async fn has(&self, id: &ObjectId) -> Result<bool, BlobError> {
        match self.info(id).await {
            Ok(_) => Ok(true),
            Err(BlobError::ObjectNotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
    /// Makes the file the object of that name: the whole of it, or nothing.
    async fn put(&self, partial: Partial, id: &ObjectId) -> Result<(), BlobError>;
    /// Makes a second object of the same bytes.
    async fn copy(&self, from: &ObjectId, to: &ObjectId) -> Result<(), BlobError>;
    /// Gives an object another name.
    async fn rename(&self, from: &ObjectId, to: &ObjectId) -> Result<(), BlobError>;
    /// Removes objects; those that are not there are no error. All names are looked at before the first is removed.
    async fn delete(&self, container: &str, objects: Vec<String>) -> Result<(), BlobError>;
    /// Removes all objects of a container.
    async fn clear(&self, container: &str) -> Result<(), BlobError>;
    /// The names of a container's objects.
    async fn list(&self, container: &str) -> Result<Box<dyn Lists>, BlobError>;
}

/// A range of an object.
#[async_trait]
pub(crate) trait Reads: Send + Sync {
    /// How many bytes it has.
    fn size(&self) -> u64;
    /// All of it, piece by piece. Each call begins anew.
    async fn stream(&self) -> Result<ByteStream, BlobError>;
}

/// Names of objects, one after another. A name that is there all the time is given once, whatever else comes and goes.
#[async_trait]
pub(crate) trait Lists: Send {
    /// The next names, at most `count` and [`NAMES_BYTES_MAX`] of them, and whether these were the last.
    async fn read(&mut self, count: u64) -> Result<(Vec<String>, bool), BlobError>;
    /// Passes over as many names; how many, and whether these were the last.
    async fn skip(&mut self, count: u64) -> Result<(u64, bool), BlobError>;
}

/// What is known of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Info {
    pub(crate) size: u64,
    /// Seconds since 1970 when its bytes were written.
    pub(crate) created_at: u64,
}

/// What bodies may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) object_bytes_max: u64,
    pub(crate) free_bytes_min: u64,
}

/// A space, and what is needed to work with it.
#[derive(Clone)]
pub(crate) struct Opened {
    pub(crate) space: Arc<dyn Keep>,
    pub(crate) staging: Space,
    pub(crate) disk: Disk,
    pub(crate) tasks: Spawner,
    pub(crate) limits: Limits,
    pub(crate) open: Arc<Semaphore>,
}

impl Opened {
    /// Does something where bodies are written.
    pub(crate) async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Space) -> Result<T, BlobError> + Send + 'static,
    ) -> Result<T, BlobError> {
        let space = self.staging.clone();
        self.disk.run(move || work(&space)).await
    }

    /// Counts one more open file, until it is dropped.
    pub(crate) fn permit(&self) -> Result<OwnedSemaphorePermit, BlobError> {
        self.open.clone().try_acquire_owned().map_err(|_| BlobError::TooManyOpen { open_max: OPEN_MAX })
    }
}

/// The name of a link's space. Each application has its own; a component of none has its own; links of one `space` share it. The
/// beginnings differ, so that no application can be named as a space is.
pub(crate) fn space_of(space: Option<&str>, link: &Link) -> String {
    match (space, &link.application) {
        (Some(space), _) => format!("space-{}", file_name(space)),
        (None, Some(application)) => format!("app-{}", file_name(application)),
        (None, None) => format!("component-{}", file_name(&link.source_id)),
    }
}
