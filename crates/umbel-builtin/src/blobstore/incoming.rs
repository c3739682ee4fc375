//! `incoming-value`: a range of an object, as it was when it was opened.

use super::disk::{Disk, ended};
use super::error::BlobError;
use super::opened::Reads;
use super::store::Object;
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::stream;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;
use umbel_core::Problem;
use umbel_wit::ByteStream;

/// Bytes that are given in one list.
pub(crate) const AT_ONCE_BYTES_MAX: u64 = 64 << 20;

/// Bytes of one piece of a stream. A stream holds two of them: one is on its way while the next is read.
const PIECE_BYTES: u64 = 256 << 10;

/// `incoming-value`: a range of an object, wherever that is.
pub(crate) struct Incoming {
    range: Box<dyn Reads>,
    /// Counts as one of the space's open files; streams of it do too.
    permit: Arc<OwnedSemaphorePermit>,
}

impl Incoming {
    pub(crate) fn new(range: Box<dyn Reads>, permit: OwnedSemaphorePermit) -> Incoming {
        Incoming { range, permit: Arc::new(permit) }
    }

    /// How many bytes it has.
    pub(crate) fn size(&self) -> u64 {
        self.range.size()
    }

    /// All of it.
    pub(crate) async fn all(&self) -> Result<Bytes, BlobError> {
        let size = self.size();
        if size > AT_ONCE_BYTES_MAX {
            return Err(BlobError::TooLargeAtOnce { bytes: size, bytes_max: AT_ONCE_BYTES_MAX });
        }
        let mut stream = self.range.stream().await?;
        let failed = |problem: Problem| io::Error::other(problem.to_string());
        let Some(first) = stream.next().await.transpose().map_err(failed)? else { return Ok(Bytes::new()) };
        if first.len() as u64 == size {
            return Ok(first);
        }
        let mut all = BytesMut::with_capacity(usize::try_from(size).unwrap_or_default());
        all.extend_from_slice(&first);
        while let Some(piece) = stream.next().await {
            all.extend_from_slice(&piece.map_err(failed)?);
        }
        Ok(all.freeze())
    }

    /// All of it, piece by piece.
    pub(crate) async fn stream(&self) -> Result<ByteStream, BlobError> {
        let (stream, permit) = (self.range.stream().await?, self.permit.clone());
        let held = move |piece| {
            let _held = &permit;
            piece
        };
        Ok(stream.map(held).boxed())
    }
}

/// A range of an object in a folder.
pub(crate) struct Range {
    opened: Arc<Opened>,
    start: u64,
    size: u64,
    disk: Disk,
}

struct Opened {
    object: Object,
}

impl Range {
    /// The bytes from `start` to `end`, both inclusive, as far as the object has them.
    pub(crate) fn new(object: Object, start: u64, end: u64, disk: Disk) -> Range {
        let size = object.size.min(end.saturating_add(1)).saturating_sub(start);
        Range { opened: Arc::new(Opened { object }), start, size, disk }
    }
}

#[async_trait]
impl Reads for Range {
    fn size(&self) -> u64 {
        self.size
    }

    async fn stream(&self) -> Result<ByteStream, BlobError> {
        let reading = Reading {
            opened: self.opened.clone(),
            at: self.start,
            end: self.start + self.size,
            next: None,
            disk: self.disk.clone(),
        };
        let stream = stream::unfold(Some(reading), async |reading| {
            let mut reading = reading?;
            match reading.piece().await {
                Ok(None) => None,
                Ok(Some(bytes)) => Some((Ok(bytes), Some(reading))),
                Err(error) => Some((Err(Problem::from(&error)), None)),
            }
        });
        Ok(stream.boxed())
    }
}

struct Reading {
    opened: Arc<Opened>,
    at: u64,
    end: u64,
    /// The piece that is being read.
    next: Option<JoinHandle<Result<Bytes, BlobError>>>,
    disk: Disk,
}

impl Reading {
    async fn piece(&mut self) -> Result<Option<Bytes>, BlobError> {
        if self.next.is_none() {
            self.begin().await;
        }
        let Some(reading) = self.next.take() else { return Ok(None) };
        let bytes = ended(reading.await)?;
        self.begin().await;
        Ok(Some(bytes))
    }

    async fn begin(&mut self) {
        let (opened, at) = (self.opened.clone(), self.at);
        let count = PIECE_BYTES.min(self.end - at);
        if count > 0 {
            self.at += count;
            self.next = Some(self.disk.start(move || opened.read(at, count)).await);
        }
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        // Whoever closes a file that has no name any more frees it, which takes a while if it is large, and this may be a thread that
        // serves requests.
        let file = &self.object.file;
        if file.metadata().is_ok_and(|metadata| metadata.nlink() == 0)
            && let (Ok(file), Ok(runtime)) = (file.try_clone(), tokio::runtime::Handle::try_current())
        {
            runtime.spawn_blocking(move || drop(file));
        }
    }
}

impl Opened {
    fn read(&self, at: u64, count: u64) -> Result<Bytes, BlobError> {
        let count = usize::try_from(count).map_err(io::Error::other)?;
        let mut bytes = vec![0; count];
        self.object.file.read_exact_at(&mut bytes, at)?;
        Ok(bytes.into())
    }
}
