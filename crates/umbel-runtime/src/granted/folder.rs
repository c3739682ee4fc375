//! The folders that a component is granted. They are opened once, when it comes: what its path means is decided then, and no guest
//! that may write around it can put another folder in its place.

use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};
use umbel_core::grants::Grants;

/// Symbolic links on the way to a folder.
const LINKS_MAX: usize = 40;

/// What a component is granted, with its folders open.
#[derive(Debug, Default)]
pub struct Granted {
    pub(crate) grants: Grants,
    // In the order of the grants' folders.
    folders: Vec<OwnedFd>,
    around: Around,
    own: Option<(OwnFolder, String)>,
}

/// A folder that the platform gives a component beside its grants, open.
#[derive(Debug)]
pub struct OwnFolder(OwnedFd);

impl OwnFolder {
    /// Opens it. Reads the disk.
    ///
    /// # Errors
    /// It is not there, or is no folder that can be read.
    pub fn open(path: &Path) -> std::io::Result<OwnFolder> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(OwnFolder(rustix::fs::open(path, flags, Mode::empty())?))
    }
}

/// What else is there: where folders may not be, and where guests may have put symbolic links.
#[derive(Debug, Clone, Default)]
pub struct Around {
    /// A folder that nobody is granted, nor what is in it, nor what it is in.
    pub closed: PathBuf,
    /// The folders that components may write to.
    pub writable: Vec<PathBuf>,
}

impl Granted {
    /// Opens the folders; otherwise the reasons of all that cannot be given, each with its path. Reads the disk.
    ///
    /// # Errors
    /// A path is not absolute, is no folder, overlaps with what is closed, or leads through a symbolic link in a folder that a
    /// component may write to.
    pub fn open(grants: Grants, around: Around) -> Result<Granted, Vec<String>> {
        let (mut folders, mut causes) = (Vec::new(), Vec::new());
        for folder in &grants.folders {
            match around.open(Path::new(&folder.path)) {
                Ok(opened) => folders.push(opened),
                Err(reason) => causes.push(format!("`{}`: {reason}", folder.path)),
            }
        }
        if causes.is_empty() { Ok(Granted { grants, folders, around, own: None }) } else { Err(causes) }
    }

    /// With a folder of its own besides, which it sees at that path and may change, unless a grant is there.
    #[must_use]
    pub fn with_own(self, folder: OwnFolder, at: &str) -> Granted {
        let is_taken = self.grants.folders.iter().any(|granted| granted.at == at);
        Granted { own: (!is_taken).then(|| (folder, at.to_string())), ..self }
    }

    /// A path that means its own folder, and where it sees it.
    pub(crate) fn own(&self) -> Option<(PathBuf, &str)> {
        self.own.as_ref().map(|(folder, at)| (Place::Kept(&folder.0).path(), at.as_str()))
    }

    /// What each folder is opened by now, anew where it was deleted and made again. The descriptors must outlive the paths' use.
    pub(crate) fn folders(&self) -> impl Iterator<Item = Result<Place<'_>, String>> {
        self.grants.folders.iter().zip(&self.folders).map(|(folder, opened)| {
            // A folder without a name is deleted.
            if rustix::fs::fstat(opened).is_ok_and(|stat| stat.st_nlink > 0) {
                return Ok(Place::Kept(opened));
            }
            self.around.open(Path::new(&folder.path)).map(Place::Anew)
        })
    }
}

/// A folder's descriptor.
pub(crate) enum Place<'a> {
    Kept(&'a OwnedFd),
    Anew(OwnedFd),
}

impl Place<'_> {
    /// A path that means this very folder, as long as this lives.
    pub(crate) fn path(&self) -> PathBuf {
        let fd = match self {
            Place::Kept(fd) => fd.as_raw_fd(),
            Place::Anew(fd) => fd.as_raw_fd(),
        };
        format!("/proc/self/fd/{fd}").into()
    }
}

impl Around {
    fn open(&self, path: &Path) -> Result<OwnedFd, String> {
        if !path.is_absolute() {
            return Err("it is not absolute, and the manifest came without a folder of its own".into());
        }
        let writable: Vec<PathBuf> =
            self.writable.iter().filter_map(|path| path.canonicalize().ok()).collect();
        let folder = walk(path, &|within| writable.iter().any(|folder| within.starts_with(folder)))?;
        let (real, closed) = (true_path(&folder)?, self.closed.canonicalize().map_err(|e| e.to_string())?);
        // Whoever has the platform's keys and secrets is the platform.
        if closed.starts_with(&real) || real.starts_with(&closed) {
            return Err("the platform's own state, with its keys and secrets, is in it".into());
        }
        // It can be read, and not only passed through.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat(&folder, ".", flags, Mode::empty()).map_err(told)
    }
}

/// Goes to the folder step by step, through symbolic links that nobody could have planted: those in folders for which `is_open_to_guests`
/// is false.
fn walk(path: &Path, is_open_to_guests: &dyn Fn(&Path) -> bool) -> Result<OwnedFd, String> {
    let step = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = || rustix::fs::openat(CWD, "/", step | OFlags::DIRECTORY, Mode::empty()).map_err(told);
    let names = |path: &Path| -> Vec<OsString> {
        let normal = path.components().filter(|part| !matches!(part, Component::RootDir | Component::CurDir));
        normal.map(|part| part.as_os_str().to_os_string()).collect()
    };
    let (mut at, mut left, mut links) = (root()?, VecDeque::from(names(path)), 0);
    while let Some(name) = left.pop_front() {
        let next = rustix::fs::openat(&at, &name, step, Mode::empty()).map_err(told)?;
        let stat = rustix::fs::fstat(&next).map_err(told)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            at = next;
            continue;
        }
        let within = true_path(&at)?;
        if is_open_to_guests(&within) {
            let link = within.join(&name);
            return Err(format!("`{}` is a symbolic link that a component could have made", link.display()));
        }
        links += 1;
        if links > LINKS_MAX {
            return Err(told(Errno::LOOP));
        }
        let target = rustix::fs::readlinkat(&at, &name, Vec::new()).map_err(told)?;
        let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
        if target.is_absolute() {
            at = root()?;
        }
        for name in names(&target).into_iter().rev() {
            left.push_front(name);
        }
    }
    Ok(at)
}

/// Where the folder is, without symbolic links.
fn true_path(folder: &OwnedFd) -> Result<PathBuf, String> {
    let path =
        rustix::fs::readlink(format!("/proc/self/fd/{}", folder.as_raw_fd()), Vec::new()).map_err(told)?;
    Ok(PathBuf::from(OsString::from_vec(path.into_bytes())))
}

fn told(error: Errno) -> String {
    std::io::Error::from(error).to_string()
}

#[cfg(test)]
mod tests;
