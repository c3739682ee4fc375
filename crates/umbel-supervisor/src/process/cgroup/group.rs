//! One cgroup, in all hierarchies that it is in: made, entered, measured, killed, removed.

use super::{CgroupLimits, ProcessError, make};
use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Stands for the tree of version 2 where a controller's name stands for a hierarchy of version 1.
pub(super) const UNIFIED: &str = "unified";
/// The kernel's period of processor limits, in microseconds.
const PERIOD_US: u64 = 100_000;
/// How long a cgroup whose processes are gone may stay busy.
const BUSY_MAX: Duration = Duration::from_secs(2);
/// How often what is awaited is looked at.
const TICK: Duration = Duration::from_millis(2);

/// The cgroup of one process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cgroup {
    /// Its folder in each hierarchy: the name of a controller of version 1 or `unified`.
    pub(super) folders: Vec<(String, PathBuf)>,
}

/// What a cgroup uses now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CgroupUsage {
    /// Memory in bytes, if it is counted.
    pub memory_bytes: Option<u64>,
    /// Processor time since it was made, if it is counted.
    pub cpu: Option<Duration>,
    /// Processes.
    pub processes: usize,
}

impl Cgroup {
    /// A folder that was found, in the one hierarchy that it is in.
    pub(crate) fn found(folder: &Path) -> Cgroup {
        let kinds = [("cgroup.controllers", UNIFIED), ("freezer.state", "freezer")];
        let kind = kinds.iter().find(|(file, _)| folder.join(file).exists()).map_or("", |(_, kind)| kind);
        let folders = if folder.is_dir() { vec![(kind.to_owned(), folder.to_owned())] } else { Vec::new() };
        Cgroup { folders }
    }

    /// The folders of the cgroups in a cgroup.
    pub(crate) fn children(folder: &Path) -> Vec<PathBuf> {
        folders_in(folder)
    }

    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        self.folders.is_empty()
    }

    /// Its folders in all hierarchies.
    pub fn folders(&self) -> impl Iterator<Item = &Path> {
        self.folders.iter().map(|(_, folder)| folder.as_path())
    }

    /// Makes it with its limits. A limit whose controller is not there is left out: see [`super::Cgroups::missing`].
    pub(crate) fn create(&self, limits: &CgroupLimits) -> Result<(), ProcessError> {
        for (hierarchy, folder) in &self.folders {
            make(folder)?;
            for (file, value) in settings(hierarchy, limits) {
                let path = folder.join(file);
                // A file that is not there is a controller that is not there.
                if path.exists() {
                    fs::write(&path, value).map_err(|source| {
                        ProcessError::containment(format!("limiting the cgroup `{}`", path.display()), source)
                    })?;
                }
            }
        }
        Ok(())
    }

    /// What a process writes `0` to in order to enter it.
    pub(crate) fn doors(&self) -> Result<Vec<File>, ProcessError> {
        let open = |folder: &Path| {
            let path = folder.join("cgroup.procs");
            let door = fs::OpenOptions::new().write(true).open(&path);
            door.map_err(|source| ProcessError::containment(format!("opening `{}`", path.display()), source))
        };
        self.folders().map(open).collect()
    }

    /// The processes in it and below it, without zombies.
    pub fn procs(&self) -> Vec<u32> {
        let mut pids: Vec<u32> = self.folders().flat_map(pids_below).collect();
        pids.sort_unstable();
        pids.dedup();
        pids
    }

    /// Kills what is in it once; processes that are just being forked may need another time where there is no `cgroup.kill`.
    pub(crate) fn kill(&self) {
        let unified =
            self.folders.iter().find(|(hierarchy, _)| hierarchy == UNIFIED).map(|(_, folder)| folder);
        if let Some(folder) = unified.filter(|folder| fs::write(folder.join("cgroup.kill"), "1").is_ok()) {
            // What has left that one hierarchy, and no other.
            let killed = pids_below(folder);
            self.procs().into_iter().filter(|pid| !killed.contains(pid)).for_each(kill);
        } else if !self.procs().is_empty() {
            // While it is frozen nothing is forked.
            self.freeze(true);
            self.procs().into_iter().for_each(kill);
            self.freeze(false);
        }
    }

    fn freeze(&self, frozen: bool) {
        for (hierarchy, folder) in &self.folders {
            let _ = match hierarchy.as_str() {
                "freezer" => {
                    fs::write(folder.join("freezer.state"), if frozen { "FROZEN" } else { "THAWED" })
                }
                UNIFIED => fs::write(folder.join("cgroup.freeze"), if frozen { "1" } else { "0" }),
                _ => continue,
            };
        }
    }

    /// Removes it, with what the process made below it. It has to be empty; the kernel may need a moment to see that.
    pub(crate) fn remove(&self) -> Result<(), ProcessError> {
        let end = Instant::now() + BUSY_MAX;
        for folder in self.folders() {
            while let Err(source) = remove_tree(folder) {
                if Instant::now() > end {
                    let what = format!("removing the cgroup `{}`", folder.display());
                    return Err(ProcessError::containment(what, source));
                }
                std::thread::sleep(TICK);
            }
        }
        Ok(())
    }

    /// What it uses.
    pub fn usage(&self) -> CgroupUsage {
        let number = |hierarchy: &str, file: &str| -> Option<u64> {
            let (_, folder) = self.folders.iter().find(|(name, _)| name == hierarchy)?;
            fs::read_to_string(folder.join(file)).ok()?.trim().parse().ok()
        };
        let memory = number("memory", "memory.usage_in_bytes").or_else(|| number(UNIFIED, "memory.current"));
        let legacy = number("cpuacct", "cpuacct.usage").map(Duration::from_nanos);
        CgroupUsage {
            memory_bytes: memory,
            cpu: legacy.or_else(|| self.cpu_stat()),
            processes: self.procs().len(),
        }
    }

    fn cpu_stat(&self) -> Option<Duration> {
        let (_, folder) = self.folders.iter().find(|(name, _)| name == UNIFIED)?;
        let text = fs::read_to_string(folder.join("cpu.stat")).ok()?;
        let used = text.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
        used.trim().parse().ok().map(Duration::from_micros)
    }
}

fn kill(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
}

/// Which files of a hierarchy hold which limits.
fn settings(hierarchy: &str, limits: &CgroupLimits) -> Vec<(&'static str, String)> {
    let quota = limits.cpu_percent.map(|percent| u64::from(percent.max(1)) * PERIOD_US / 100);
    let mut settings = Vec::new();
    let mut set = |file, value: Option<String>| settings.extend(value.map(|value| (file, value)));
    match hierarchy {
        UNIFIED => {
            set("memory.max", limits.memory_bytes.map(|bytes| bytes.to_string()));
            // What does not fit into memory does not go to the disk instead.
            set("memory.swap.max", limits.memory_bytes.map(|_| "0".to_owned()));
            set("memory.oom.group", limits.memory_bytes.map(|_| "1".to_owned()));
            set("pids.max", limits.pids.map(|pids| pids.to_string()));
            set("cpu.max", quota.map(|quota| format!("{quota} {PERIOD_US}")));
        }
        "memory" => set("memory.limit_in_bytes", limits.memory_bytes.map(|bytes| bytes.to_string())),
        "pids" => set("pids.max", limits.pids.map(|pids| pids.to_string())),
        "cpu" => {
            set("cpu.cfs_period_us", quota.map(|_| PERIOD_US.to_string()));
            set("cpu.cfs_quota_us", quota.map(|quota| quota.to_string()));
        }
        _ => {}
    }
    settings
}

/// The processes of one folder.
pub(super) fn pids_in(folder: &Path) -> Vec<u32> {
    let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

fn pids_below(folder: &Path) -> Vec<u32> {
    let mut pids = pids_in(folder);
    for below in folders_in(folder) {
        pids.extend(pids_below(&below));
    }
    pids
}

/// The folders in a folder.
fn folders_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

/// From the bottom up; only `rmdir`, which removes nothing but empty cgroups.
fn remove_tree(folder: &Path) -> io::Result<()> {
    for below in folders_in(folder) {
        remove_tree(&below)?;
    }
    match fs::remove_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
