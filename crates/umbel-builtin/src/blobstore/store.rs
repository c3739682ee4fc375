//! Containers and objects on disk. Every function here waits for the disk: call them through [`super::disk::Disk`].
//!
//! ```text
//! root/
//! ├─ partial/N/            what process N is writing; see `partial`
//! └─ app-hello/            a space: what one application sees
//!    └─ pictures/          a container; all names as `name::file_name` spells them
//!       ├─ name            its name; as old as the container is
//!       ├─ objects/        the objects: a file is exactly the bytes of its object, and is never changed
//!       └─ names/          the names of those objects whose file name is a digest
//! ```
//!
//! An object gets its name by `rename`, after its bytes are on the disk, and the call returns after its name is. A file never changes,
//! so a copy is a second name of the same file, and who has an object open keeps what was opened.

use super::error::BlobError;
use super::name::{self, NAME_BYTES_MAX};
use super::opened::NAMES_BYTES_MAX;
use super::partial::{Partial, Partials, make_folders, sync};
use std::fs::{self, File, Metadata, ReadDir};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::UNIX_EPOCH;

type Result<T> = std::result::Result<T, BlobError>;

/// A root folder.
#[derive(Debug)]
pub(crate) struct Store {
    root: PathBuf,
    partials: Partials,
    /// Held while names change, so that a change of several names is one.
    changes: Mutex<()>,
}

/// What one application sees of a store.
#[derive(Debug, Clone)]
pub(crate) struct Space {
    store: Arc<Store>,
    folder: PathBuf,
}

/// An object that is open: its bytes stay whatever becomes of its name.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) file: File,
    pub(crate) size: u64,
    /// Seconds since 1970 when its bytes were written.
    pub(crate) created_at: u64,
}

/// The two names of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ObjectId {
    pub(crate) container: String,
    pub(crate) object: String,
}

impl Store {
    /// Opens a root; the folder is made if it is missing, and what a crash left is removed.
    pub(crate) fn open(root: PathBuf) -> io::Result<Store> {
        make_folders(&root)?;
        let partials = Partials::open(&root)?;
        Ok(Store { root, partials, changes: Mutex::new(()) })
    }

    /// A space by the name of its folder.
    pub(crate) fn space(self: &Arc<Store>, folder: &str) -> Space {
        Space { store: self.clone(), folder: self.root.join(folder) }
    }

    fn changes(&self) -> MutexGuard<'_, ()> {
        // It guards files, and they are whole after every call.
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where an object is.
struct Place<'a> {
    id: &'a ObjectId,
    container: PathBuf,
    objects: PathBuf,
    path: PathBuf,
    /// The file of its name, if its file name does not say it.
    name: Option<PathBuf>,
}

impl Space {
    /// The file system's bytes that are free for the host's user.
    pub(crate) fn free_bytes(&self) -> io::Result<u64> {
        let found = rustix::fs::statvfs(&self.store.root)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    /// A file for the bytes of an object to be.
    pub(crate) fn partial(&self) -> Result<(Partial, File)> {
        Ok(self.store.partials.file()?)
    }

    fn container(&self, name: &str) -> Result<PathBuf> {
        check(name)?;
        Ok(self.folder.join(name::file_name(name)))
    }

    fn place<'a>(&self, id: &'a ObjectId) -> Result<Place<'a>> {
        let container = self.container(&id.container)?;
        check(&id.object)?;
        let file = name::file_name(&id.object);
        let objects = container.join("objects");
        let path = objects.join(&file);
        let name = name::is_digest(&file).then(|| container.join("names").join(&file));
        Ok(Place { id, container, objects, path, name })
    }

    /// Whether an object of that name could be there.
    pub(crate) fn check(&self, id: &ObjectId) -> Result<()> {
        match self.place(id)?.objects.is_dir() {
            true => Ok(()),
            false => Err(BlobError::ContainerNotFound { container: id.container.clone() }),
        }
    }

    /// Makes a container; one that is there stays as it is.
    pub(crate) fn create_container(&self, name: &str) -> Result<()> {
        let path = self.container(name)?;
        let _changes = self.store.changes();
        if path.is_dir() {
            return Ok(());
        }
        let partial = self.store.partials.path();
        for folder in ["", "objects", "names"] {
            make_folders(&partial.path().join(folder))?;
        }
        let mut file = File::create_new(partial.path().join("name"))?;
        file.write_all(name.as_bytes())?;
        file.sync_all()?;
        sync(partial.path())?;
        if !self.folder.is_dir() {
            make_folders(&self.folder)?;
            sync(&self.store.root)?;
        }
        match partial.rename(&path) {
            // Another process has made it in this moment.
            Err((_, error))
                if matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::DirectoryNotEmpty) => {}
            result => result.map_err(|(_, error)| error)?,
        }
        Ok(sync(&self.folder)?)
    }

    /// Whether the container is there.
    pub(crate) fn container_exists(&self, name: &str) -> Result<bool> {
        let path = self.container(name)?;
        match fs::metadata(path) {
            Ok(metadata) => Ok(metadata.is_dir()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Seconds since 1970 when the container was made.
    pub(crate) fn container_created_at(&self, name: &str) -> Result<u64> {
        let metadata = fs::metadata(self.container(name)?.join("name"));
        metadata.map(|metadata| created_at(&metadata)).map_err(|error| container_missing(name, error))
    }

    /// Removes a container and all that is in it, at once.
    pub(crate) fn delete_container(&self, name: &str) -> Result<()> {
        let path = self.container(name)?;
        let partial = self.store.partials.path();
        let changes = self.store.changes();
        fs::rename(path, partial.path()).map_err(|error| container_missing(name, error))?;
        drop(changes);
        Ok(sync(&self.folder)?)
    }

    /// Opens an object.
    pub(crate) fn open(&self, id: &ObjectId) -> Result<Object> {
        let place = self.place(id)?;
        let file = File::open(&place.path).map_err(|error| place.missing(error))?;
        let metadata = file.metadata()?;
        Ok(Object { file, size: metadata.len(), created_at: created_at(&metadata) })
    }

    /// Makes the file the object of that name. Its bytes must be on the disk.
    pub(crate) fn put(&self, partial: Partial, id: &ObjectId) -> Result<()> {
        let place = self.place(id)?;
        match self.name(partial, &place) {
            Err((partial, error)) if error.kind() == ErrorKind::CrossesDevices => {
                // The value was made for a store on another disk.
                let copy = self.duplicate(partial.path())?;
                self.name(copy, &place).map_err(|(_, error)| place.missing(error))?;
            }
            result => result.map_err(|(_, error)| place.missing(error))?,
        }
        Ok(sync(&place.objects)?)
    }

    fn name(&self, partial: Partial, place: &Place<'_>) -> std::result::Result<(), (Partial, io::Error)> {
        let _changes = self.store.changes();
        if let Err(error) = self.keep_name(place) {
            return Err((partial, error));
        }
        partial.rename(&place.path)
    }

    /// Writes the name down if the file name does not say it; the changes are locked.
    fn keep_name(&self, place: &Place<'_>) -> io::Result<()> {
        let Some(path) = &place.name else { return Ok(()) };
        if path.is_file() {
            return Ok(());
        }
        let (partial, mut file) = self.store.partials.file()?;
        file.write_all(place.id.object.as_bytes())?;
        file.sync_all()?;
        partial.rename(path).map_err(|(_, error)| error)?;
        sync(&place.container.join("names"))
    }

    /// Makes a second object of the same bytes.
    pub(crate) fn copy(&self, from: &ObjectId, to: &ObjectId) -> Result<()> {
        let (source, target) = (self.place(from)?, self.place(to)?);
        if source.path == target.path {
            return self.open(from).map(drop);
        }
        let link = self.store.partials.path();
        let partial = match fs::hard_link(&source.path, link.path()) {
            Ok(()) => link,
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(source.missing(error)),
            // The file system has no links, or not as many of one file.
            Err(_) => self.duplicate(&source.path).map_err(|error| source.missing(error))?,
        };
        self.put(partial, to)
    }

    fn duplicate(&self, path: &Path) -> io::Result<Partial> {
        let mut from = File::open(path)?;
        let (partial, mut file) = self.store.partials.file()?;
        io::copy(&mut from, &mut file)?;
        file.sync_all()?;
        Ok(partial)
    }

    /// Gives an object another name, in one step.
    pub(crate) fn rename(&self, from: &ObjectId, to: &ObjectId) -> Result<()> {
        let (source, target) = (self.place(from)?, self.place(to)?);
        if source.path == target.path {
            return self.open(from).map(drop);
        }
        let changes = self.store.changes();
        let metadata = fs::metadata(&source.path).map_err(|error| source.missing(error))?;
        self.keep_name(&target).map_err(|error| target.missing(error))?;
        if fs::metadata(&target.path).is_ok_and(|other| is_same_file(&metadata, &other)) {
            // `rename` would leave two names of the same file as they are.
            fs::remove_file(&source.path)?;
        } else {
            fs::rename(&source.path, &target.path).map_err(|error| target.missing(error))?;
        }
        sync(&target.objects)?;
        source.forget_name()?;
        drop(changes);
        Ok(sync(&source.objects)?)
    }

    /// Removes objects; those that are not there are no error.
    pub(crate) fn delete(&self, container: &str, objects: Vec<String>) -> Result<()> {
        // All are looked at before the first is removed.
        let ids: Vec<ObjectId> =
            objects.into_iter().map(|object| ObjectId { container: container.to_string(), object }).collect();
        let places = ids.iter().map(|id| self.place(id)).collect::<Result<Vec<_>>>()?;
        let folder = self.container(container)?.join("objects");
        for place in places {
            let _changes = self.store.changes();
            match fs::remove_file(&place.path) {
                Ok(()) => place.forget_name()?,
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        sync(&folder).map_err(|error| container_missing(container, error))
    }

    /// Removes all objects of a container.
    pub(crate) fn clear(&self, container: &str) -> Result<()> {
        let path = self.container(container)?;
        let missing = |error| container_missing(container, error);
        for folder in ["objects", "names"] {
            let folder = path.join(folder);
            let _changes = self.store.changes();
            for entry in fs::read_dir(&folder).map_err(missing)? {
                fs::remove_file(entry?.path())?;
            }
            sync(&folder).map_err(missing)?;
        }
        Ok(())
    }

    /// The names of a container's objects.
    pub(crate) fn list(&self, container: &str) -> Result<Names> {
        let path = self.container(container)?;
        let entries =
            fs::read_dir(path.join("objects")).map_err(|error| container_missing(container, error))?;
        Ok(Names { entries, names: path.join("names") })
    }
}

impl Place<'_> {
    /// What an error of its path means.
    fn missing(&self, error: io::Error) -> BlobError {
        if error.kind() != ErrorKind::NotFound {
            return error.into();
        }
        if !self.objects.is_dir() {
            return BlobError::ContainerNotFound { container: self.id.container.clone() };
        }
        BlobError::ObjectNotFound { container: self.id.container.clone(), object: self.id.object.clone() }
    }

    /// Removes what says the name of an object that is gone; the changes are locked.
    fn forget_name(&self) -> io::Result<()> {
        let Some(name) = &self.name else { return Ok(()) };
        // In this order, so that no crash leaves an object that nobody can name.
        sync(&self.objects)?;
        match fs::remove_file(name) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Names of objects, one after another. A name that is there all the time is given once, whatever else comes and goes.
#[derive(Debug)]
pub(crate) struct Names {
    entries: ReadDir,
    names: PathBuf,
}

impl Names {
    /// The next names, at most `count` and 4 MiB of them, and whether these were the last.
    pub(crate) fn read(&mut self, count: u64) -> Result<(Vec<String>, bool)> {
        let mut names = Vec::new();
        let mut bytes = 0;
        while (names.len() as u64) < count && bytes < NAMES_BYTES_MAX {
            let Some(name) = self.next()? else { return Ok((names, true)) };
            bytes += name.len() + size_of::<String>();
            names.push(name);
        }
        Ok((names, false))
    }

    /// Passes over as many names; how many, and whether these were the last.
    pub(crate) fn skip(&mut self, count: u64) -> Result<(u64, bool)> {
        for skipped in 0..count {
            if self.next()?.is_none() {
                return Ok((skipped, true));
            }
        }
        Ok((count, false))
    }

    fn next(&mut self) -> Result<Option<String>> {
        for entry in &mut self.entries {
            let file = entry?.file_name();
            let Some(file) = file.to_str() else { continue };
            if !name::is_digest(file) {
                match name::spelled(file) {
                    Some(name) => return Ok(Some(name)),
                    // It is not ours.
                    None => continue,
                }
            }
            match fs::read_to_string(self.names.join(file)) {
                Ok(name) => return Ok(Some(name)),
                // It has been deleted in this moment.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }
}

pub(crate) fn check(name: &str) -> Result<()> {
    match name.len() {
        bytes if bytes > NAME_BYTES_MAX => Err(BlobError::NameTooLong { bytes, bytes_max: NAME_BYTES_MAX }),
        _ => Ok(()),
    }
}

fn container_missing(name: &str, error: io::Error) -> BlobError {
    match error.kind() {
        ErrorKind::NotFound => BlobError::ContainerNotFound { container: name.to_string() },
        _ => error.into(),
    }
}

fn created_at(metadata: &Metadata) -> u64 {
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    modified.map_or(0, |since| since.as_secs())
}

fn is_same_file(a: &Metadata, b: &Metadata) -> bool {
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}
