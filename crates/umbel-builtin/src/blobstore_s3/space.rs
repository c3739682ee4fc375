//! Containers and objects as keys of a bucket.

use super::range::RemoteRange;
use crate::blobstore::disk::Disk;
use crate::blobstore::error::BlobError;
use crate::blobstore::name::{self, file_name};
use crate::blobstore::opened::{Info, Keep, Lists, NAMES_BYTES_MAX, Reads};
use crate::blobstore::partial::Partial;
use crate::blobstore::store::{ObjectId, Space, check};
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{BoxStream, FuturesUnordered};
use futures::{StreamExt, TryStreamExt};
use object_store::aws::AmazonS3;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

type Result<T> = std::result::Result<T, BlobError>;

/// The smallest part of an upload; larger ones where there would be more parts than a server takes.
const PART_BYTES_MIN: u64 = 8 << 20;
const PARTS_MAX: u64 = 9_000;

/// Parts of one upload that are on their way at once. Each is in memory.
const PARTS_AT_ONCE: usize = 3;

/// What a server copies by itself.
const COPY_BYTES_MAX: u64 = 5 << 30;

/// What one application sees of a bucket.
pub(super) struct Remote {
    server: Arc<AmazonS3>,
    /// What its keys begin with, with a `/` at its end.
    root: String,
    staging: Space,
    disk: Disk,
}

/// The keys of an object.
struct Keys {
    object: Path,
    /// Where its name stands, if its key does not say it.
    name: Option<Path>,
}

/// What an error of the server means where nothing is known of names.
pub(super) fn failed(error: object_store::Error) -> BlobError {
    BlobError::ServerFailed(Box::new(error))
}

fn is_missing(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::NotFound { .. })
}

impl Remote {
    pub(super) fn new(
        server: Arc<AmazonS3>,
        prefix: &str,
        space: &str,
        staging: Space,
        disk: Disk,
    ) -> Remote {
        let root = if prefix.is_empty() { format!("{space}/") } else { format!("{prefix}/{space}/") };
        Remote { server, root, staging, disk }
    }

    fn path(&self, container: &str, rest: &str) -> Result<Path> {
        check(container)?;
        let path = format!("{}{}/{rest}", self.root, file_name(container));
        Path::parse(path).map_err(|error| failed(error.into()))
    }

    fn keys(&self, id: &ObjectId) -> Result<Keys> {
        check(&id.object)?;
        let file = file_name(&id.object);
        let name = match name::is_digest(&file) {
            true => Some(self.path(&id.container, &format!("names/{file}"))?),
            false => None,
        };
        Ok(Keys { object: self.path(&id.container, &format!("objects/{file}"))?, name })
    }

    async fn container(&self, name: &str) -> Result<ObjectMeta> {
        let found = self.server.head(&self.path(name, "name")?).await;
        found.map_err(|error| match is_missing(&error) {
            true => BlobError::ContainerNotFound { container: name.to_string() },
            false => failed(error),
        })
    }

    /// What an error of an object means: if it is not there, perhaps its container is not either.
    async fn missing(&self, id: &ObjectId, error: object_store::Error) -> BlobError {
        if !is_missing(&error) {
            return failed(error);
        }
        match self.container(&id.container).await {
            Ok(_) => BlobError::ObjectNotFound { container: id.container.clone(), object: id.object.clone() },
            Err(error) => error,
        }
    }

    async fn head(&self, id: &ObjectId) -> Result<ObjectMeta> {
        let keys = self.keys(id)?;
        match self.server.head(&keys.object).await {
            Ok(meta) => Ok(meta),
            Err(error) => Err(self.missing(id, error).await),
        }
    }

    /// Writes the name down if the key does not say it.
    async fn keep_name(&self, keys: &Keys, id: &ObjectId) -> Result<()> {
        let Some(name) = &keys.name else { return Ok(()) };
        self.server.put(name, Bytes::from(id.object.clone()).into()).await.map_err(failed)?;
        Ok(())
    }

    /// Removes everything below a path.
    async fn remove_all(&self, path: Path) -> Result<()> {
        let found = self.server.list(Some(&path)).map_ok(|meta| meta.location).boxed();
        self.remove(found).await
    }

    async fn remove(&self, paths: BoxStream<'static, object_store::Result<Path>>) -> Result<()> {
        let mut removed = self.server.delete_stream(paths);
        while let Some(removed) = removed.next().await {
            match removed {
                Err(error) if !is_missing(&error) => return Err(failed(error)),
                _ => {}
            }
        }
        Ok(())
    }

    async fn read(&self, file: &Arc<File>, at: u64, count: u64) -> Result<Bytes> {
        let file = file.clone();
        let read = move || {
            let mut bytes = vec![0; usize::try_from(count).map_err(std::io::Error::other)?];
            file.read_exact_at(&mut bytes, at)?;
            Ok(Bytes::from(bytes))
        };
        self.disk.run(read).await
    }

    /// Makes the bytes of a file an object, in parts if they are many.
    async fn upload(&self, file: Arc<File>, size: u64, to: &Path) -> Result<()> {
        if size <= PART_BYTES_MIN {
            let bytes = self.read(&file, 0, size).await?;
            return self.server.put(to, bytes.into()).await.map(drop).map_err(failed);
        }
        let mut upload = self.server.put_multipart(to).await.map_err(failed)?;
        let part = PART_BYTES_MIN.max(size.div_ceil(PARTS_MAX));
        let parts = async {
            let (mut at, mut under_way) = (0, FuturesUnordered::new());
            while at < size {
                if under_way.len() >= PARTS_AT_ONCE {
                    under_way.next().await.transpose().map_err(failed)?;
                }
                let bytes = self.read(&file, at, part.min(size - at)).await?;
                at += bytes.len() as u64;
                under_way.push(upload.put_part(bytes.into()));
            }
            under_way.try_collect::<Vec<()>>().await.map_err(failed)
        };
        let done = match parts.await {
            Ok(_) => upload.complete().await.map(drop).map_err(failed),
            Err(error) => Err(error),
        };
        if done.is_err() {
            // What has arrived takes room in the bucket until somebody says that it is not wanted.
            drop(upload.abort().await);
        }
        done
    }

    /// Copies an object that the server does not copy by itself.
    async fn carry(&self, from: &ObjectId, to: &ObjectId) -> Result<()> {
        let keys = self.keys(from)?;
        let mut pieces = self.server.get(&keys.object).await.map_err(failed)?.into_stream();
        let staging = self.staging.clone();
        let (partial, file) = self.disk.run(move || staging.partial()).await?;
        let file = Arc::new(file);
        while let Some(piece) = pieces.next().await {
            let (file, piece) = (file.clone(), piece.map_err(failed)?);
            self.disk.run(move || Ok((&*file).write_all(&piece)?)).await?;
        }
        self.put(partial, to).await
    }
}

#[async_trait]
impl Keep for Remote {
    async fn check(&self, id: &ObjectId) -> Result<()> {
        self.keys(id)?;
        self.container(&id.container).await.map(drop)
    }

    async fn create_container(&self, name: &str) -> Result<()> {
        if self.container_exists(name).await? {
            return Ok(());
        }
        // What is left of one that was deleted by halves does not come back.
        for rest in ["objects", "names"] {
            self.remove_all(self.path(name, rest)?).await?;
        }
        let content = Bytes::from(name.to_string());
        self.server.put(&self.path(name, "name")?, content.into()).await.map(drop).map_err(failed)
    }

    async fn container_exists(&self, name: &str) -> Result<bool> {
        match self.container(name).await {
            Ok(_) => Ok(true),
            Err(BlobError::ContainerNotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn container_created_at(&self, name: &str) -> Result<u64> {
        self.container(name).await.map(|meta| created_at(&meta))
    }

    async fn delete_container(&self, name: &str) -> Result<()> {
        self.container(name).await?;
        self.remove(futures::stream::iter([Ok(self.path(name, "name")?)]).boxed()).await?;
        for rest in ["objects", "names"] {
            self.remove_all(self.path(name, rest)?).await?;
        }
        Ok(())
    }

    async fn open(&self, id: &ObjectId, start: u64, end: u64) -> Result<Box<dyn Reads>> {
        let keys = self.keys(id)?;
        match RemoteRange::open(self.server.clone(), keys.object, start, end).await {
            Ok(range) => Ok(Box::new(range)),
            Err(error) => Err(self.missing(id, error).await),
        }
    }

    async fn info(&self, id: &ObjectId) -> Result<Info> {
        self.head(id).await.map(|meta| Info { size: meta.size, created_at: created_at(&meta) })
    }

    async fn put(&self, partial: Partial, id: &ObjectId) -> Result<()> {
        let keys = self.keys(id)?;
        self.container(&id.container).await?;
        let path = partial.path().to_path_buf();
        let open = move || {
            let file = File::open(path)?;
            let size = file.metadata()?.len();
            Ok((file, size))
        };
        let (file, size) = self.disk.run(open).await?;
        self.keep_name(&keys, id).await?;
        self.upload(Arc::new(file), size, &keys.object).await
    }

    async fn copy(&self, from: &ObjectId, to: &ObjectId) -> Result<()> {
        let (source, target) = (self.keys(from)?, self.keys(to)?);
        let found = self.head(from).await?;
        if source.object == target.object {
            return Ok(());
        }
        self.container(&to.container).await?;
        if found.size > COPY_BYTES_MAX {
            return self.carry(from, to).await;
        }
        self.keep_name(&target, to).await?;
        match self.server.copy(&source.object, &target.object).await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.missing(from, error).await),
        }
    }

    /// The new one is there before the old one goes.
    async fn rename(&self, from: &ObjectId, to: &ObjectId) -> Result<()> {
        self.copy(from, to).await?;
        if self.keys(from)?.object == self.keys(to)?.object {
            return Ok(());
        }
        self.delete(&from.container, vec![from.object.clone()]).await
    }

    async fn delete(&self, container: &str, objects: Vec<String>) -> Result<()> {
        let mut paths = Vec::with_capacity(objects.len());
        for object in objects {
            let keys = self.keys(&ObjectId { container: container.to_string(), object })?;
            // In this order, so that no object is left that nobody can name.
            paths.extend([Some(keys.object), keys.name].into_iter().flatten().map(Ok));
        }
        self.container(container).await?;
        self.remove(futures::stream::iter(paths).boxed()).await
    }

    async fn clear(&self, container: &str) -> Result<()> {
        self.container(container).await?;
        for rest in ["objects", "names"] {
            self.remove_all(self.path(container, rest)?).await?;
        }
        Ok(())
    }

    async fn list(&self, container: &str) -> Result<Box<dyn Lists>> {
        self.container(container).await?;
        let found = self.server.list(Some(&self.path(container, "objects")?)).fuse().boxed();
        let names = self.path(container, "names")?;
        Ok(Box::new(RemoteNames { server: self.server.clone(), found, names }))
    }
}

fn created_at(meta: &ObjectMeta) -> u64 {
    u64::try_from(meta.last_modified.timestamp()).unwrap_or_default()
}

/// The names of a container's objects, page by page.
struct RemoteNames {
    server: Arc<AmazonS3>,
    found: BoxStream<'static, object_store::Result<ObjectMeta>>,
    /// Where names stand that keys do not say.
    names: Path,
}

impl RemoteNames {
    async fn next(&mut self) -> Result<Option<String>> {
        while let Some(meta) = self.found.next().await {
            let location = meta.map_err(failed)?.location;
            let Some(file) = location.filename() else { continue };
            if !name::is_digest(file) {
                match name::spelled(file) {
                    Some(name) => return Ok(Some(name)),
                    // It is not ours.
                    None => continue,
                }
            }
            let path = Path::parse(format!("{}/{file}", self.names)).map_err(|error| failed(error.into()))?;
            let named = async { self.server.get(&path).await?.bytes().await };
            match named.await {
                Ok(name) => return Ok(Some(String::from_utf8_lossy(&name).into_owned())),
                // It has been deleted in this moment.
                Err(error) if is_missing(&error) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(None)
    }
}

#[async_trait]
impl Lists for RemoteNames {
    async fn read(&mut self, count: u64) -> Result<(Vec<String>, bool)> {
        let (mut names, mut bytes) = (Vec::new(), 0);
        while (names.len() as u64) < count && bytes < NAMES_BYTES_MAX {
            let Some(name) = self.next().await? else { return Ok((names, true)) };
            bytes += name.len() + size_of::<String>();
            names.push(name);
        }
        Ok((names, false))
    }

    async fn skip(&mut self, count: u64) -> Result<(u64, bool)> {
        for skipped in 0..count {
            if self.next().await?.is_none() {
                return Ok((skipped, true));
            }
        }
        Ok((count, false))
    }
}
