//! Spaces in folders.

use super::config::Settings;
use super::disk::Disk;
use super::error::BlobError;
use super::incoming::Range;
use super::opened::{Info, Keep, Limits, Lists, OPEN_MAX, Opened, Opens, Reads, space_of};
use super::partial::Partial;
use super::store::{Names, ObjectId, Space, Store};
use arc_swap::ArcSwap;
use async_trait::async_trait;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Semaphore;
use umbel_core::link::Values;
use umbel_supervisor::scope::Spawner;
use umbel_wit::Link;

/// What serves the calls of one provider from folders.
#[derive(Clone)]
pub(crate) struct Blobs {
    shared: Arc<Shared>,
}

struct Shared {
    folder: PathBuf,
    config: ArcSwap<Values>,
    roots: Mutex<HashMap<PathBuf, Root>>,
    disk: Disk,
    tasks: Spawner,
}

/// An open root, and of each of its spaces the files that may still be opened.
struct Root {
    store: Arc<Store>,
    open: HashMap<String, Arc<Semaphore>>,
}

impl Blobs {
    pub(crate) fn new(folder: PathBuf, config: Values, tasks: Spawner) -> Blobs {
        let config = ArcSwap::from_pointee(config);
        let shared = Shared { folder, config, roots: Mutex::default(), disk: Disk::new(), tasks };
        Blobs { shared: Arc::new(shared) }
    }

    /// Changes the provider's config for the calls from now on.
    pub(crate) fn set_config(&self, config: Values) {
        self.shared.config.store(Arc::new(config));
    }

    async fn find(&self, link: &Link) -> Result<Opened, BlobError> {
        let settings = Settings::read(&self.shared.config.load(), &link.values)?;
        let root = settings.root.clone().unwrap_or_else(|| self.shared.folder.clone());
        let name = space_of(settings.space.as_deref(), link);
        if let Some(root) = self.roots().get_mut(&root) {
            return Ok(self.opened(root, &name, settings));
        }
        let shared = self.shared.clone();
        let store = self.shared.disk.run(move || shared.open(root)).await?;
        let mut roots = self.roots();
        let root = roots.get_mut(&store).expect("roots are never closed");
        Ok(self.opened(root, &name, settings))
    }

    fn opened(&self, root: &mut Root, name: &str, settings: Settings) -> Opened {
        let open = root.open.entry(name.to_string()).or_insert_with(|| Arc::new(Semaphore::new(OPEN_MAX)));
        let (space, disk) = (root.store.space(name), self.shared.disk.clone());
        let limits =
            Limits { object_bytes_max: settings.object_bytes_max, free_bytes_min: settings.free_bytes_min };
        Opened {
            space: Arc::new(Folder { space: space.clone(), disk: disk.clone() }),
            staging: space,
            disk,
            tasks: self.shared.tasks.clone(),
            limits,
            open: open.clone(),
        }
    }

    fn roots(&self) -> MutexGuard<'_, HashMap<PathBuf, Root>> {
        self.shared.roots()
    }
}

#[async_trait]
impl Opens for Blobs {
    async fn open(&self, link: &Link) -> Result<Opened, BlobError> {
        self.find(link).await
    }
}

impl Shared {
    fn roots(&self) -> MutexGuard<'_, HashMap<PathBuf, Root>> {
        self.roots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a root that nobody has opened yet. Not under the lock, which calls of other roots take on threads that must not wait.
    fn open(&self, root: PathBuf) -> Result<PathBuf, BlobError> {
        let store = Store::open(root.clone()).inspect_err(|error| {
            tracing::error!(root = %root.display(), %error, "the root of a blobstore cannot be used");
        })?;
        // If another call was quicker, its store stays and this one goes.
        self.roots()
            .entry(root.clone())
            .or_insert_with(|| Root { store: Arc::new(store), open: HashMap::new() });
        Ok(root)
    }
}

/// A space in a folder: what [`Space`] does, on threads that may wait.
struct Folder {
    space: Space,
    disk: Disk,
}

impl Folder {
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Space) -> Result<T, BlobError> + Send + 'static,
    ) -> Result<T, BlobError> {
        let space = self.space.clone();
        self.disk.run(move || work(&space)).await
    }
}

#[async_trait]
impl Keep for Folder {
    async fn check(&self, id: &ObjectId) -> Result<(), BlobError> {
        let id = id.clone();
        self.run(move |space| space.check(&id)).await
    }

    async fn create_container(&self, name: &str) -> Result<(), BlobError> {
        let name = name.to_string();
        self.run(move |space| space.create_container(&name)).await
    }

    async fn container_exists(&self, name: &str) -> Result<bool, BlobError> {
        let name = name.to_string();
        self.run(move |space| space.container_exists(&name)).await
    }

    async fn container_created_at(&self, name: &str) -> Result<u64, BlobError> {
        let name = name.to_string();
        self.run(move |space| space.container_created_at(&name)).await
    }

    async fn delete_container(&self, name: &str) -> Result<(), BlobError> {
        let name = name.to_string();
        self.run(move |space| space.delete_container(&name)).await
    }

    async fn open(&self, id: &ObjectId, start: u64, end: u64) -> Result<Box<dyn Reads>, BlobError> {
        let id = id.clone();
        let object = self.run(move |space| space.open(&id)).await?;
        Ok(Box::new(Range::new(object, start, end, self.disk.clone())))
    }

    async fn info(&self, id: &ObjectId) -> Result<Info, BlobError> {
        let id = id.clone();
        let object = self.run(move |space| space.open(&id)).await?;
        Ok(Info { size: object.size, created_at: object.created_at })
    }

    async fn put(&self, partial: Partial, id: &ObjectId) -> Result<(), BlobError> {
        let id = id.clone();
        self.run(move |space| space.put(partial, &id)).await
    }

    async fn copy(&self, from: &ObjectId, to: &ObjectId) -> Result<(), BlobError> {
        let (from, to) = (from.clone(), to.clone());
        self.run(move |space| space.copy(&from, &to)).await
    }

    async fn rename(&self, from: &ObjectId, to: &ObjectId) -> Result<(), BlobError> {
        let (from, to) = (from.clone(), to.clone());
        self.run(move |space| space.rename(&from, &to)).await
    }

    async fn delete(&self, container: &str, objects: Vec<String>) -> Result<(), BlobError> {
        let container = container.to_string();
        self.run(move |space| space.delete(&container, objects)).await
    }

    async fn clear(&self, container: &str) -> Result<(), BlobError> {
        let container = container.to_string();
        self.run(move |space| space.clear(&container)).await
    }

    async fn list(&self, container: &str) -> Result<Box<dyn Lists>, BlobError> {
        let container = container.to_string();
        let names = self.run(move |space| space.list(&container)).await?;
        Ok(Box::new(FolderNames { names: Arc::new(Mutex::new(names)), disk: self.disk.clone() }))
    }
}

struct FolderNames {
    names: Arc<Mutex<Names>>,
    disk: Disk,
}

impl FolderNames {
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Names) -> Result<T, BlobError> + Send + 'static,
    ) -> Result<T, BlobError> {
        let names = self.names.clone();
        self.disk.run(move || work(&mut names.lock().unwrap_or_else(PoisonError::into_inner))).await
    }
}

#[async_trait]
impl Lists for FolderNames {
    async fn read(&mut self, count: u64) -> Result<(Vec<String>, bool), BlobError> {
        self.run(move |names| names.read(count)).await
    }

    async fn skip(&mut self, count: u64) -> Result<(u64, bool), BlobError> {
        self.run(move |names| names.skip(count)).await
    }
}
