//! Durable key-value with compare-and-swap and watches.
//!
//! A revision is a number that grows with every write of a bucket; it is never used twice, also not after a restart.

use crate::{LatticeError, Result};
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};

/// Longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 512;
/// Longest value, in bytes.
pub const VALUE_BYTES_MAX: usize = 8 << 20;

/// One entry of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The value.
    pub value: Bytes,
    /// The revision of the write that made it.
    pub revision: u64,
}

/// Durable key-value. Every write is on disk before it is answered, and is seen by reads and watches only then.
///
/// Keys are what NATS allows, so that state can move there: letters, digits and `- / _ = .`, no dot first or last, nor two in a row.
#[async_trait]
pub trait Bucket: Send + Sync + 'static {
    /// The bucket's name.
    fn name(&self) -> &str;

    /// The entry, if there is one.
    async fn get(&self, key: &str) -> Result<Option<Entry>>;

    /// Writes the entry, whatever was there; returns its revision.
    async fn put(&self, key: &str, value: Bytes) -> Result<u64>;

    /// Writes the entry if there is none, else [`LatticeError::KeyExists`].
    async fn create(&self, key: &str, value: Bytes) -> Result<u64>;

    /// Writes the entry if its revision is still `expected`, else [`LatticeError::WrongRevision`].
    async fn update(&self, key: &str, value: Bytes, expected: u64) -> Result<u64>;

    /// Deletes the entry; with `expected`, only if its revision still is that. Deleting what is not there without an expectation
    /// is no error.
    async fn delete(&self, key: &str, expected: Option<u64>) -> Result<()>;

    /// The entries whose keys begin with `prefix`, by key; `""` is all.
    async fn entries(&self, prefix: &str) -> Result<Vec<Entry>>;

    /// The entries whose keys begin with `prefix`, then [`WatchEvent::InSync`], then every change, all in the order of revisions.
    ///
    /// A slow watcher sees the last state of each key but not every state between; what it is shown is never out of order.
    async fn watch(&self, prefix: &str) -> Result<Watch>;

    /// As [`Bucket::watch`], but begins after a revision that an earlier watch has shown: what changed since is shown, deletes
    /// included, and nothing else. [`LatticeError::RevisionGone`] when that is too long ago to know: watch from the start then.
    async fn watch_from(&self, prefix: &str, after: u64) -> Result<Watch>;
}

impl std::fmt::Debug for dyn Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bucket({})", self.name())
    }
}

/// What a watch shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchEvent {
    /// The entry is there now, with this value.
    Put(Entry),
    /// The entry is gone.
    Delete {
        /// Its key.
        key: String,
        /// The revision of the delete.
        revision: u64,
    },
    /// Everything that was there when the watch began has been shown. Comes exactly once.
    InSync,
}

impl WatchEvent {
    /// The revision, except for the marker.
    pub fn revision(&self) -> Option<u64> {
        match self {
            WatchEvent::Put(entry) => Some(entry.revision),
            WatchEvent::Delete { revision, .. } => Some(*revision),
            WatchEvent::InSync => None,
        }
    }
}

/// A running watch; dropping it ends it. It is a [`Stream`] too.
pub struct Watch(BoxStream<'static, WatchEvent>);

impl Watch {
    /// Wraps what an implementation of [`Bucket`] streams.
    pub fn new(stream: impl Stream<Item = WatchEvent> + Send + 'static) -> Watch {
        Watch(stream.boxed())
    }

    /// The next event. `None` when the lattice is closed, or when the watcher stayed so far behind that deletes which it has not
    /// seen had to be forgotten: watch again then. Cancel-safe.
    pub async fn next(&mut self) -> Option<WatchEvent> {
        self.0.next().await
    }
}

impl Stream for Watch {
    type Item = WatchEvent;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<WatchEvent>> {
        self.0.poll_next_unpin(cx)
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watch")
    }
}

/// Refuses a key that NATS would refuse.
pub(crate) fn check_key(key: &str) -> Result<()> {
    let fail = |reason| Err(LatticeError::InvalidKey { key: crate::error::shown(key), reason });
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return fail("it must have 1 to 512 characters");
    }
    if !is_key_text(key) {
        return fail("only letters, digits and - / _ = . are allowed");
    }
    if key.split('.').any(str::is_empty) {
        return fail("it must not begin or end with a dot, nor have two in a row");
    }
    Ok(())
}

/// Refuses a bucket name that NATS would refuse.
pub(crate) fn check_bucket_name(name: &str) -> Result<()> {
    let fail = |reason| Err(LatticeError::InvalidKey { key: crate::error::shown(name), reason });
    if name.is_empty() || name.len() > 128 {
        return fail("the name of a bucket must have 1 to 128 characters");
    }
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')) {
        return fail("the name of a bucket may have letters, digits, - and _");
    }
    Ok(())
}

/// Refuses a value that is too long.
pub(crate) fn check_value(value: &Bytes) -> Result<()> {
    if value.len() > VALUE_BYTES_MAX {
        return Err(LatticeError::TooLarge {
            what: "a value",
            bytes: value.len(),
            bytes_max: VALUE_BYTES_MAX,
        });
    }
    Ok(())
}

fn is_key_text(key: &str) -> bool {
    key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'/' | b'_' | b'=' | b'.'))
}
