//! Which space a link leads to, and what is open in it.

use super::config::Settings;
use super::disk::Disk;
use super::error::BlobError;
use super::name::file_name;
use super::store::{Space, Store};
use arc_swap::ArcSwap;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use umbel_core::link::Values;
use umbel_supervisor::scope::Spawner;
use umbel_wit::Link;

/// Files that a space may have open: values and lists of names that a guest holds.
pub(crate) const OPEN_MAX: usize = 512;

/// What serves the calls of one provider.
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

/// A space, and what is needed to work with it.
#[derive(Clone)]
pub(crate) struct Opened {
    pub(crate) space: Space,
    pub(crate) disk: Disk,
    pub(crate) tasks: Spawner,
    pub(crate) settings: Settings,
    open: Arc<Semaphore>,
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

    /// The space of a link.
    pub(crate) async fn open(&self, link: &Link) -> Result<Opened, BlobError> {
        let settings = Settings::read(&self.shared.config.load(), &link.values)?;
        let root = settings.root.clone().unwrap_or_else(|| self.shared.folder.clone());
        let name = space_of(&settings, link);
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
        Opened {
            space: root.store.space(name),
            disk: self.shared.disk.clone(),
            tasks: self.shared.tasks.clone(),
            settings,
            open: open.clone(),
        }
    }

    fn roots(&self) -> MutexGuard<'_, HashMap<PathBuf, Root>> {
        self.shared.roots()
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

/// The folder of a link's space. Each application has its own; a component of none has its own; links of one `space` share it. The
/// beginnings differ, so that no application can be named as a space is.
fn space_of(settings: &Settings, link: &Link) -> String {
    match (&settings.space, &link.application) {
        (Some(space), _) => format!("space-{}", file_name(space)),
        (None, Some(application)) => format!("app-{}", file_name(application)),
        (None, None) => format!("component-{}", file_name(&link.source_id)),
    }
}

impl Opened {
    /// Does something with the space on the disk.
    pub(crate) async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Space) -> Result<T, BlobError> + Send + 'static,
    ) -> Result<T, BlobError> {
        let space = self.space.clone();
        self.disk.run(move || work(&space)).await
    }

    /// Counts one more open file, until it is dropped.
    pub(crate) fn permit(&self) -> Result<OwnedSemaphorePermit, BlobError> {
        self.open.clone().try_acquire_owned().map_err(|_| BlobError::TooManyOpen { open_max: OPEN_MAX })
    }
}
