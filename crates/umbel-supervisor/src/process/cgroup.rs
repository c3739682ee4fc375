//! Cgroups: what belongs to a process however it forks, and the only thing that ends all of it at once.
//!
//! ```text
//! version 2 with controllers      own cgroup, or the one above it ── umbel-<host> ── <process>       limits and cgroup.kill
//! version 1 + version 2 without   in each hierarchy: own cgroup ──── umbel-<host> ── <process>       limits in 1, cgroup.kill in 2
//! version 1 alone                 the same, without cgroup.kill: frozen, killed one by one, thawed
//! none                            read-only, not mounted or not ours: see `family`
//! ```
//!
//! In version 2 a cgroup with controllers for its children has no processes itself. A host that is alone in its cgroup moves into a
//! leaf below it, `umbel-host`; under systemd that is what `Delegate=yes` allows, and `DelegateSubgroup=umbel-host` does it beforehand.
//! A host that shares its cgroup with others uses the one above if that is empty and writable; otherwise there are no limits, only
//! the ending.

mod group;
mod layout;

pub use group::{Cgroup, CgroupUsage};

use super::ProcessError;
use rustix::fs::{Access, access};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// The leaf of a host that is alone in its cgroup of version 2.
const HOST_LEAF: &str = "umbel-host";
/// What the group of all processes of a host is called, before its tag.
const PARENT_PREFIX: &str = "umbel-";
/// What limits take in version 2.
const CONTROLLERS: &[&str] = &["memory", "pids", "cpu"];

/// What a process and all its descendants may use together. Default: no limits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupLimits {
    /// Memory in bytes; at more than this the kernel ends the whole process.
    pub memory_bytes: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u32>,
    /// Processor time in percent of one core: 150 is one and a half.
    pub cpu_percent: Option<u32>,
}

/// The cgroups that this process may use. Finding them changes nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cgroups {
    unified: Option<Unified>,
    legacy: Vec<(String, PathBuf)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Unified {
    /// Where the groups of hosts are made.
    base: PathBuf,
    /// The controllers that are to be had there.
    controllers: Vec<String>,
    /// Whether this process has to move into a leaf before the controllers can be given to children.
    leaf: bool,
}

/// The group of all processes of one host.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parent {
    unified: Option<PathBuf>,
    legacy: Vec<(String, PathBuf)>,
}

impl Cgroups {
    /// Finds out what this process may use. Only reads.
    pub fn detect() -> Cgroups {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let own = layout::parse(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"));
        let legacy = own.legacy.into_iter().filter(|(_, folder)| is_writable(folder)).collect();
        let unified = own.unified.and_then(|(point, own)| unified(&point, &own));
        Cgroups { unified, legacy }
    }

    /// No cgroups: processes are found by their descent.
    pub fn none() -> Cgroups {
        Cgroups::default()
    }

    /// Whether there is anything to use.
    pub fn is_none(&self) -> bool {
        self.unified.is_none() && self.legacy.is_empty()
    }

    /// The limits that are asked for and cannot be enforced here, by name: `memory`, `pids`, `cpu`.
    pub fn missing(&self, limits: &CgroupLimits) -> Vec<&'static str> {
        let asked =
            [limits.memory_bytes.is_some(), limits.pids.is_some(), limits.cpu_percent.is_some()].into_iter();
        let missing = CONTROLLERS.iter().zip(asked).filter(|(name, asked)| *asked && !self.has(name));
        missing.map(|(name, _)| *name).collect()
    }

    fn has(&self, controller: &str) -> bool {
        let unified = self.unified.iter().flat_map(|unified| &unified.controllers);
        unified.chain(self.legacy.iter().map(|(name, _)| name)).any(|name| name == controller)
    }

    /// The folders of the group of all processes of the host with this tag, in all hierarchies.
    pub(crate) fn parent_folders(&self, tag: &str) -> Vec<PathBuf> {
        let bases = self.unified.iter().map(|unified| &unified.base);
        let bases = bases.chain(self.legacy.iter().map(|(_, base)| base));
        bases.map(|base| base.join(format!("{PARENT_PREFIX}{tag}"))).collect()
    }

    /// Makes the group of all processes of the host with this tag. In version 2 this may move the calling process into a leaf.
    pub(crate) fn parent(&self, tag: &str) -> Result<Parent, ProcessError> {
        let name = format!("{PARENT_PREFIX}{tag}");
        let mut parent = Parent::default();
        for (controller, base) in &self.legacy {
            let folder = base.join(&name);
            make(&folder)?;
            parent.legacy.push((controller.clone(), folder));
        }
        if let Some(unified) = &self.unified {
            let folder = unified.base.join(&name);
            make(&folder)?;
            let wanted = |name: &&String| CONTROLLERS.contains(&name.as_str());
            for controller in unified.controllers.iter().filter(wanted) {
                let enabled = enable(&unified.base, controller, unified.leaf)
                    .and_then(|()| enable(&folder, controller, false));
                if let Err(error) = enabled {
                    tracing::warn!(%error, controller, "a cgroup controller cannot be used: its limits do not hold");
                }
            }
            parent.unified = Some(folder);
        }
        Ok(parent)
    }
}

impl std::fmt::Display for Cgroups {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.legacy.iter().map(|(name, _)| name.as_str()).collect();
        match (&self.unified, names.is_empty()) {
            (Some(unified), true) if unified.controllers.is_empty() => {
                write!(f, "version 2 at {}, without limits", unified.base.display())
            }
            (Some(unified), true) => {
                write!(f, "version 2 at {} ({})", unified.base.display(), unified.controllers.join(", "))
            }
            (Some(unified), false) => {
                write!(f, "version 1 ({}), version 2 at {}", names.join(", "), unified.base.display())
            }
            (None, false) => write!(f, "version 1 ({})", names.join(", ")),
            (None, true) => f.write_str("none: processes are found by their descent, without limits"),
        }
    }
}

impl Parent {
    /// The cgroup of a process of this name. It is not made yet.
    pub(crate) fn cgroup(&self, name: &str) -> Cgroup {
        let unified = self.unified.iter().map(|folder| (group::UNIFIED.to_owned(), folder.join(name)));
        let legacy = self.legacy.iter().map(|(controller, folder)| (controller.clone(), folder.join(name)));
        Cgroup { folders: unified.chain(legacy).collect() }
    }
}

/// Whether a path may be the group of all processes of a host, or of one of them: what is read from a file is not trusted.
pub(crate) fn is_parent(folder: &Path, tag: &str) -> bool {
    let named = folder.file_name().is_some_and(|name| *name == *format!("{PARENT_PREFIX}{tag}"));
    let plain = folder.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    named && plain && layout::mount_points(&mounts).iter().any(|point| folder.starts_with(point))
}

/// Where groups can be made in version 2, see the module's documentation.
fn unified(point: &Path, own: &Path) -> Option<Unified> {
    let above = own.parent().filter(|above| above.starts_with(point));
    let at = |base: &Path, leaf: bool| {
        let controllers = fs::read_to_string(base.join("cgroup.controllers")).unwrap_or_default();
        let controllers = controllers.split_whitespace().map(str::to_owned).collect();
        is_writable(base).then(|| Unified { base: base.to_owned(), controllers, leaf })
    };
    let in_leaf = own.file_name().is_some_and(|name| name == HOST_LEAF);
    if let (true, Some(found)) = (in_leaf, above.and_then(|above| at(above, false))) {
        return Some(found);
    }
    let found = at(own, true);
    let pids = group::pids_in(own);
    // The cgroup at the root of the tree may have processes and controllers at once.
    let is_root = !own.join("cgroup.type").exists();
    let alone = pids == [std::process::id()];
    if is_root || alone || found.as_ref().is_some_and(|found| found.controllers.is_empty()) {
        return found.map(|found| Unified { leaf: alone && !is_root, ..found });
    }
    let beside = above.filter(|above| group::pids_in(above).is_empty()).and_then(|above| at(above, false));
    beside.or(found.map(|found| Unified { controllers: Vec::new(), leaf: false, ..found }))
}

/// Gives a controller to the children of a cgroup, after moving this process out of it if that is needed.
fn enable(folder: &Path, controller: &str, leaf: bool) -> io::Result<()> {
    let file = folder.join("cgroup.subtree_control");
    let enabled = fs::read_to_string(&file)?.split_whitespace().any(|name| name == controller);
    if enabled {
        return Ok(());
    }
    if leaf {
        let leaf = folder.join(HOST_LEAF);
        fs::create_dir(&leaf).or_else(|error| exists_already(error, &leaf))?;
        // This process was alone there; what it has started since, such as its guardian, goes with it.
        for pid in group::pids_in(folder) {
            fs::write(leaf.join("cgroup.procs"), pid.to_string())?;
        }
    }
    fs::write(&file, format!("+{controller}"))
}

fn make(folder: &Path) -> Result<(), ProcessError> {
    fs::create_dir(folder).or_else(|error| exists_already(error, folder)).map_err(|source| {
        ProcessError::containment(format!("making the cgroup `{}`", folder.display()), source)
    })
}

fn exists_already(error: io::Error, folder: &Path) -> io::Result<()> {
    if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() { Ok(()) } else { Err(error) }
}

fn is_writable(folder: &Path) -> bool {
    let procs = folder.join("cgroup.procs");
    access(folder, Access::WRITE_OK).is_ok() && access(&procs, Access::WRITE_OK).is_ok()
}

#[cfg(test)]
mod tests;
