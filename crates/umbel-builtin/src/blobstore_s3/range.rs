//! A range of an object: the answer of a request that was made when it was opened.

use super::space::failed;
use crate::blobstore::error::BlobError;
use crate::blobstore::opened::Reads;
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::aws::AmazonS3;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use umbel_core::Problem;
use umbel_wit::ByteStream;

type Answer = BoxStream<'static, object_store::Result<Bytes>>;

/// Attempts to open an object that is replaced again and again meanwhile.
const OPEN_TRIES: usize = 8;

pub(super) struct RemoteRange {
    server: Arc<AmazonS3>,
    path: Path,
    range: Range<u64>,
    /// Which bytes were there, as the server says it.
    etag: Option<String>,
    /// For the first who reads; behind a lock because it is no `Sync`.
    answer: Mutex<Option<Answer>>,
}

impl RemoteRange {
    /// The bytes from `start` to `end`, both inclusive, as far as the object has them.
    pub(super) async fn open(
        server: Arc<AmazonS3>,
        path: Path,
        start: u64,
        end: u64,
    ) -> object_store::Result<RemoteRange> {
        if (start, end) == (0, u64::MAX) {
            let found = server.get_opts(&path, GetOptions::default()).await?;
            let (range, etag) = (found.range.clone(), found.meta.e_tag.clone());
            let answer = Mutex::new(Some(found.into_stream()));
            return Ok(RemoteRange { server, path, range, etag, answer });
        }
        let mut tries = 0;
        loop {
            // A range must begin within the object, so its size is asked for first.
            let head = server.get_opts(&path, GetOptions { head: true, ..GetOptions::default() }).await?.meta;
            let last = head.size.min(end.saturating_add(1));
            let range = start.min(last)..last;
            let mut opened = RemoteRange {
                server: server.clone(),
                path: path.clone(),
                range,
                etag: head.e_tag,
                answer: Mutex::default(),
            };
            if opened.range.is_empty() {
                return Ok(opened);
            }
            match opened.request().await {
                Ok(answer) => {
                    opened.answer = Mutex::new(Some(answer));
                    return Ok(opened);
                }
                Err(object_store::Error::Precondition { .. }) if tries < OPEN_TRIES => tries += 1,
                Err(error) => return Err(error),
            }
        }
    }

    async fn request(&self) -> object_store::Result<Answer> {
        let options = GetOptions {
            range: Some(GetRange::Bounded(self.range.clone())),
            if_match: self.etag.clone(),
            ..GetOptions::default()
        };
        Ok(self.server.get_opts(&self.path, options).await?.into_stream())
    }
}

#[async_trait]
impl Reads for RemoteRange {
    fn size(&self) -> u64 {
        self.range.end - self.range.start
    }

    async fn stream(&self) -> Result<ByteStream, BlobError> {
        if self.range.is_empty() {
            return Ok(stream::empty().boxed());
        }
        let answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let answer = match answer {
            Some(answer) => answer,
            None => self.request().await.map_err(failed)?,
        };
        let pieces = answer.map_err(|error| Problem::from(&failed(error)));
        Ok(pieces.try_filter(|piece| futures::future::ready(!piece.is_empty())).boxed())
    }
}
