//! What a host's processes have on the disk, and how all of it is ended: by the host, by its guardian, by the next host.
//!
//! ```text
//! FOLDER/host.lock               locked by the host that lives, or by a guardian while it ends things
//! FOLDER/cgroups                 where groups of this host were made, since the next host may be in another cgroup
//! FOLDER/records/NAME.json       what runs
//! FOLDER/run/NAME/               its run folder: sockets, and for adoptable processes the FIFOs `stdout` and `stderr`
//! ```

use super::cgroup::{Cgroup, is_parent};
use super::group;
use super::identity::Identity;
use super::record::{self, Policy, Record};
use super::{ProcessError, Status, Usage, family};
use rustix::process::{Pid, Signal};
use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a killed process may take to be gone; one that waits for a device may take for ever.
const END_MAX: Duration = Duration::from_secs(5);
/// How often what is awaited is looked at.
const TICK: Duration = Duration::from_millis(2);
/// The longest name of a process or a host.
const NAME_MAX: usize = 64;

/// The folder of a host and its tag. Whoever ends things here holds the lock.
#[derive(Debug, Clone)]
pub(crate) struct Ground {
    folder: PathBuf,
    host: String,
    tag: String,
}

/// How a leader ended and what it used, where it was our child.
pub(super) type Reaped = Option<(Status, Usage)>;

impl Ground {
    /// The folder has to exist. Its inode becomes a part of the tag: a copy of a host's folder has the same host in it, and neither may
    /// take the processes of the other for what it has left itself.
    pub(crate) fn new(folder: &Path, host: &str) -> Result<Ground, ProcessError> {
        use std::os::unix::fs::MetadataExt;
        check_name(host)?;
        let metadata = fs::metadata(folder)
            .map_err(|source| ProcessError::containment(format!("reading `{}`", folder.display()), source))?;
        let tag = format!("{host}-{:x}-{:x}", metadata.dev(), metadata.ino());
        Ok(Ground { folder: folder.to_owned(), host: host.to_owned(), tag })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// How the host is called.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// How all of the host's processes are called: its name and its folder.
    pub(crate) fn tag(&self) -> &str {
        &self.tag
    }

    pub(crate) fn lock_path(&self) -> PathBuf {
        self.folder.join("host.lock")
    }

    pub(crate) fn run_folder(&self, name: &str) -> PathBuf {
        self.folder.join("run").join(name)
    }

    pub(super) fn record_path(&self, name: &str) -> PathBuf {
        self.records_folder().join(format!("{name}.json"))
    }

    fn records_folder(&self) -> PathBuf {
        self.folder.join("records")
    }

    /// Makes the folders, readable by their owner alone.
    pub(super) fn make(&self) -> Result<(), ProcessError> {
        [self.records_folder(), self.folder.join("run")].iter().try_for_each(|folder| make_private(folder))
    }

    /// Every record by name, or why it cannot be used.
    pub(crate) fn records(&self) -> Vec<(String, Result<Record, ProcessError>)> {
        let names = entries(&self.records_folder()).into_iter().filter_map(|name| {
            let name = name.strip_suffix(".json")?.to_owned();
            check_name(&name).is_ok().then_some(name)
        });
        names
            .map(|name| {
                let record = Record::read(&self.record_path(&name), &name, &self.tag);
                (name, record)
            })
            .collect()
    }

    /// Kills all of a process once, without waiting. Returns how many are still there.
    pub(crate) fn kill(&self, record: &Record, child: Option<Pid>, seen: &HashSet<Identity>) -> usize {
        if !record.is_of_this_boot() {
            return 0;
        }
        record.cgroup.kill();
        // The pid is still of the process that it was recorded for: a child that is not reaped, or one that was looked at.
        let pidfd = record.leader.and_then(Identity::open);
        if let (Some(pidfd), Some(leader)) = (&pidfd, record.leader.and_then(Identity::raw)) {
            let _ = rustix::process::kill_process_group(leader, Signal::KILL);
            let _ = rustix::process::pidfd_send_signal(pidfd, Signal::KILL);
        } else if let Some(child) = child {
            let _ = rustix::process::kill_process_group(child, Signal::KILL);
        }
        if record.cgroup.is_none() {
            let members = family::members(&self.tag, record, seen);
            family::kill(&members);
            return members.len();
        }
        let leader = record.leader.filter(|leader| leader.is_running());
        let procs = record.cgroup.procs();
        procs.len() + usize::from(leader.is_some_and(|leader| !procs.contains(&leader.pid)))
    }

    /// Ends all of a process and removes what it had: processes, cgroup, run folder and, last, its record. Blocks.
    /// `child` is its leader, if it is a child of this process that nobody has reaped.
    pub(crate) fn end(
        &self,
        record: &Record,
        child: Option<Pid>,
        seen: &HashSet<Identity>,
    ) -> Result<Reaped, ProcessError> {
        let end = Instant::now() + END_MAX;
        // Without a cgroup, what is forked and whose parent ends in the middle of one look is only seen by the next.
        let looks = if record.cgroup.is_none() { 2 } else { 1 };
        let mut empty = 0;
        while empty < looks {
            let left = self.kill(record, child, seen);
            empty = if left == 0 { empty + 1 } else { 0 };
            if left == 0 {
                continue;
            }
            if Instant::now() > end {
                return Err(ProcessError::Remains { name: record.name.clone(), left });
            }
            std::thread::sleep(TICK);
        }
        let reaped = child.and_then(|child| group::wait4(child).ok());
        if record.is_of_this_boot() {
            record.cgroup.remove()?;
        }
        self.forget(&record.name)?;
        Ok(reaped)
    }

    /// Ends what a record that cannot be used belongs to, as far as its name tells.
    pub(crate) fn end_unreadable(&self, name: &str) -> Result<(), ProcessError> {
        for parent in self.parents() {
            clear(&Cgroup::found(&parent.join(name)), name)?;
        }
        // And what carries its name.
        let nothing_known = Record::new(name, Policy::End, Path::new(""), Cgroup::default());
        self.end(&nothing_known, None, &HashSet::new()).map(|_| ())
    }

    /// Removes the run folder and then the record.
    fn forget(&self, name: &str) -> Result<(), ProcessError> {
        let removing = |path: &Path, result: io::Result<()>| match result {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(ProcessError::containment(format!("removing `{}`", path.display()), source))
            }
            _ => Ok(()),
        };
        let (run, record) = (self.run_folder(name), self.record_path(name));
        removing(&run, fs::remove_dir_all(&run))?;
        removing(&record, fs::remove_file(&record))
    }

    /// Removes what has no record: cgroups with all that is in them, run folders, halves of records.
    pub(crate) fn clear_strays(&self) -> Result<(), ProcessError> {
        let known: HashSet<String> = self.records().into_iter().map(|(name, _)| name).collect();
        for parent in self.parents() {
            for folder in Cgroup::children(&parent) {
                let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
                if !known.contains(&name) {
                    clear(&Cgroup::found(&folder), &name)?;
                }
            }
        }
        for name in entries(&self.folder.join("run")).into_iter().filter(|name| !known.contains(name)) {
            self.forget(&name)?;
        }
        for name in entries(&self.records_folder()).into_iter().filter(|name| name.starts_with('.')) {
            let _ = fs::remove_file(self.records_folder().join(name));
        }
        Ok(())
    }

    /// Notes where groups of this host are made, beside where they were made before.
    pub(super) fn remember_parents(&self, folders: &[PathBuf]) -> Result<(), ProcessError> {
        let mut all = self.parents();
        all.extend(folders.iter().filter(|folder| !all.contains(folder)).cloned().collect::<Vec<_>>());
        all.retain(|folder| folders.contains(folder) || folder.is_dir());
        let text: String = all.iter().map(|folder| format!("{}\n", folder.display())).collect();
        let path = self.parents_path();
        record::replace(&path, text.as_bytes())
            .map_err(|source| ProcessError::containment(format!("writing `{}`", path.display()), source))
    }

    /// Removes the groups that have become empty; those of processes that go on stay.
    pub(crate) fn remove_parents(&self) {
        for folder in self.parents() {
            let _ = fs::remove_dir(folder);
        }
    }

    fn parents_path(&self) -> PathBuf {
        self.folder.join("cgroups")
    }

    fn parents(&self) -> Vec<PathBuf> {
        let text = fs::read_to_string(self.parents_path()).unwrap_or_default();
        text.lines().map(PathBuf::from).filter(|folder| is_parent(folder, &self.tag)).collect()
    }
}

/// Kills what is in a cgroup that nobody knows, and removes it.
fn clear(cgroup: &Cgroup, name: &str) -> Result<(), ProcessError> {
    let end = Instant::now() + END_MAX;
    loop {
        cgroup.kill();
        let left = cgroup.procs().len();
        if left == 0 {
            return cgroup.remove();
        }
        if Instant::now() > end {
            return Err(ProcessError::Remains { name: name.to_owned(), left });
        }
        std::thread::sleep(TICK);
    }
}

/// A name is also that of a file, a folder and a cgroup.
pub(super) fn check_name(name: &str) -> Result<(), ProcessError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let fine = (1..=NAME_MAX).contains(&name.len()) && name.chars().all(plain) && !name.starts_with('.');
    if fine { Ok(()) } else { Err(ProcessError::Name { name: name.to_owned() }) }
}

pub(super) fn make_private(folder: &Path) -> Result<(), ProcessError> {
    use std::os::unix::fs::DirBuilderExt;
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|source| ProcessError::containment(format!("making `{}`", folder.display()), source))
}

fn entries(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}
