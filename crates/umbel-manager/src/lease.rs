//! Which of several managers leads: on a lattice of many hosts each has one, and only one may decide.
//!
//! The lease is an entry that its holder writes anew every [`RENEW_EVERY`]. Clocks are not compared: whoever waits sees whether the entry
//! changes, and takes it over when it has not for [`LAPSES_AFTER`]. A holder that could not renew it for [`HELD_MAX`] stops leading before
//! anybody else begins. Writes are compare-and-swap, so of two that take it one gets it.

use crate::error::ManagerError;
use crate::store::BUCKET;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use umbel_lattice::{Bucket, Entry, Lattice, LatticeError};

/// How often the holder renews it.
pub const RENEW_EVERY: Duration = Duration::from_secs(1);
/// How long it is held without being renewed.
pub const HELD_MAX: Duration = Duration::from_secs(4);
/// How long it must not change before another takes it over.
pub const LAPSES_AFTER: Duration = Duration::from_secs(6);

const KEY: &str = umbel_lattice::wadm::LEADER_KEY;

/// The lease, as one manager sees it.
pub struct Lease {
    bucket: Arc<dyn Bucket>,
    holder: String,
    // The last that was seen of it, and since when.
    seen: Option<(u64, Instant)>,
    // The revision that we have written.
    held: Option<u64>,
}

impl Lease {
    /// The lease of the lattice. `holder` is a name that nobody else has, and that is the same after a restart.
    ///
    /// # Errors
    /// The bucket cannot be opened.
    pub async fn open(lattice: &Arc<dyn Lattice>, holder: impl Into<String>) -> Result<Lease, ManagerError> {
        let bucket = lattice.bucket(BUCKET).await?;
        Ok(Lease { bucket, holder: holder.into(), seen: None, held: None })
    }

    /// Tries to get it once; says whether it is ours now. That the lattice cannot be asked means that it is not.
    pub async fn try_take(&mut self) -> bool {
        self.held = match self.taken().await {
            Ok(revision) => revision,
            Err(error) => {
                tracing::debug!(%error, "whether another manager leads cannot be told");
                None
            }
        };
        self.held.is_some()
    }

    async fn taken(&mut self) -> Result<Option<u64>, LatticeError> {
        let entry = self.bucket.get(KEY).await?;
        let value = Bytes::from(self.holder.clone());
        let written = match entry {
            None => self.bucket.create(KEY, value).await,
            // What an older process of this host held: it is gone, or this one would not run.
            Some(entry) if entry.value == value => self.bucket.update(KEY, value, entry.revision).await,
            Some(entry) if self.has_lapsed(&entry) => self.bucket.update(KEY, value, entry.revision).await,
            Some(_) => return Ok(None),
        };
        match written {
            Ok(revision) => Ok(Some(revision)),
            Err(LatticeError::KeyExists { .. } | LatticeError::WrongRevision { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn has_lapsed(&mut self, entry: &Entry) -> bool {
        let now = Instant::now();
        match self.seen {
            Some((revision, since)) if revision == entry.revision => {
                now.duration_since(since) >= LAPSES_AFTER
            }
            _ => {
                self.seen = Some((entry.revision, now));
                false
            }
        }
    }

    /// Waits until it is ours.
    pub async fn take(&mut self) {
        while !self.try_take().await {
            tokio::time::sleep(RENEW_EVERY).await;
        }
    }

    /// Keeps it; ends when it is lost.
    pub async fn keep(&mut self) {
        let mut renewed = Instant::now();
        while let Some(revision) = self.held {
            tokio::time::sleep(RENEW_EVERY).await;
            let value = Bytes::from(self.holder.clone());
            let end = renewed + HELD_MAX;
            match tokio::time::timeout_at(end, self.bucket.update(KEY, value, revision)).await {
                Ok(Ok(next)) => {
                    self.held = Some(next);
                    renewed = Instant::now();
                }
                Ok(Err(LatticeError::WrongRevision { .. })) => {
                    // A write that was not answered may have happened: then it is still ours.
                    self.held = self.own().await.filter(|_| Instant::now() < end);
                }
                Ok(Err(error)) if Instant::now() < end => {
                    tracing::warn!(%error, "the lease of the manager could not be renewed; it is tried again");
                }
                Ok(Err(_)) | Err(_) => self.held = None,
            }
        }
        tracing::warn!("this manager leads no longer");
        self.seen = None;
    }

    /// The revision of the entry, if it is ours.
    async fn own(&self) -> Option<u64> {
        let entry = self.bucket.get(KEY).await.ok()??;
        (entry.value == self.holder.as_bytes()).then_some(entry.revision)
    }

    /// Gives it back, so that another need not wait.
    pub async fn give_back(&mut self) {
        if let Some(revision) = self.held.take() {
            // Nobody is hurt when it lapses instead.
            let _ = self.bucket.delete(KEY, Some(revision)).await;
        }
    }
}

#[cfg(test)]
mod tests;
