//! The home of a host's long-running processes: it starts them, adopts or ends what an older host left, and knows where all of it is.

use super::cgroup::{Cgroup, Cgroups, Parent};
use super::family::{self, Seen};
use super::ground::{self, Ground};
use super::record::{Policy, Record, try_lock};
use super::running::{OnLine, Running};
use super::{Identity, ProcessError, Service, launch};
use crate::thread::Thread;
use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a guardian that ends things, or a host that has just been killed, may hold the lock.
const LOCK_WAIT: Duration = Duration::from_secs(5);
/// How long the end of an older run of a process may take before another is started.
const CLAIM_WAIT: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_millis(10);

/// The home of a host's processes. Clones share it; when the last one, and the last process, is gone, the lock is released.
#[derive(Clone)]
pub struct Home(pub(super) Arc<Shared>);

pub(super) struct Shared {
    pub(super) ground: Ground,
    pub(super) cgroups: Cgroups,
    /// Made with the first process: a host that has started nothing leaves nothing.
    parent: Mutex<Option<Parent>>,
    /// The names of the processes that run, start or end.
    active: Mutex<HashSet<String>>,
    freed: Condvar,
    seen: Arc<Mutex<Seen>>,
    /// Looks for descendants where there are no cgroups.
    _family: Option<Thread>,
    /// Dropped last: whoever has it may end everything here.
    _lock: File,
}

/// What an older host has left.
#[derive(Debug, Default)]
pub struct Swept {
    /// What runs and may be adopted: give each to [`Home::adopt`] or [`Home::end`].
    pub adoptable: Vec<Record>,
    /// The names of those that were ended, or had ended before.
    pub ended: Vec<String>,
    /// What could not be read or ended.
    pub problems: Vec<ProcessError>,
}

impl Home {
    /// Takes the folder for this host. `host` names it in cgroups, e.g. its id; it is a name like that of a process. Waits up to 5 s for a guardian that is
    /// at work; blocks, so call it before anything is served.
    pub fn open(folder: &Path, host: &str, cgroups: Cgroups) -> Result<Home, ProcessError> {
        ground::check_name(host)?;
        ground::make_private(folder)?;
        let ground = Ground::new(folder, host)?;
        let lock = lock(&ground)?;
        ground.make()?;
        let seen = Arc::new(Mutex::new(Seen::default()));
        let family = cgroups.is_none().then(|| watch_family(&ground, &seen)).transpose()?;
        let (active, freed) = (Mutex::default(), Condvar::new());
        let parent = Mutex::default();
        Ok(Home(Arc::new(Shared {
            ground,
            cgroups,
            parent,
            active,
            freed,
            seen,
            _family: family,
            _lock: lock,
        })))
    }

    /// What the processes are contained with.
    pub fn cgroups(&self) -> &Cgroups {
        &self.0.cgroups
    }

    /// The folder of all that is kept of the processes.
    pub fn folder(&self) -> &Path {
        self.0.ground.folder()
    }

    /// The name of the host.
    pub fn host(&self) -> &str {
        self.0.ground.host()
    }

    /// Where a process of this name has its sockets. It is made when the process starts and removed when all of it has ended.
    /// A unix socket's whole path has at most 107 bytes.
    pub fn run_folder(&self, name: &str) -> PathBuf {
        self.0.ground.run_folder(name)
    }

    /// Starts a process. When this returns it is recorded, contained and let go; dropped before, nothing of it is left.
    pub async fn start(&self, service: &Service) -> Result<Running, ProcessError> {
        let (shared, owned) = (self.0.clone(), service.clone());
        let launched = blocking(move || launch::launch(shared, &owned)).await?;
        Running::launched(launched, service)
    }

    /// Takes over what an older host has started; its policy is `adopt`. It goes on as it was, and its lines come to `on_line`.
    pub async fn adopt(&self, record: Record, on_line: OnLine) -> Result<Running, ProcessError> {
        let shared = self.0.clone();
        let adopted = blocking(move || launch::adopt(shared, record)).await?;
        Running::launched(adopted, &Service::adopted(on_line))
    }

    /// Ends all of what a record is of: it is killed, without being asked.
    pub async fn end(&self, record: Record) -> Result<(), ProcessError> {
        let shared = self.0.clone();
        blocking(move || {
            let _claim = Claim::new(shared.clone(), &record.name)?;
            shared.ground.end(&record, None, &shared.seen_of(&record.name)).map(|_| ())
        })
        .await
    }

    /// At a host's start: looks at what an older one has left. With `adopt`, what may be adopted goes on and is returned; everything
    /// else is ended, with what has no record.
    pub async fn sweep(&self, adopt: bool) -> Swept {
        let shared = self.0.clone();
        let swept = blocking(move || Ok(shared.sweep(adopt))).await;
        swept.unwrap_or_else(|error| Swept { problems: vec![error], ..Swept::default() })
    }

    /// Every record of this moment, for showing it.
    pub fn records(&self) -> Vec<Result<Record, ProcessError>> {
        self.0.ground.records().into_iter().map(|(_, record)| record).collect()
    }
}

impl Shared {
    pub(super) fn seen_of(&self, name: &str) -> HashSet<Identity> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).of(name)
    }

    /// The cgroup of a process of this name.
    pub(super) fn cgroup(&self, name: &str) -> Result<Cgroup, ProcessError> {
        let mut made = self.parent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(parent) = &*made {
            return Ok(parent.cgroup(name));
        }
        // Noted first: what is made is found again, whatever happens.
        self.ground.remember_parents(&self.cgroups.parent_folders(self.ground.tag()))?;
        let parent = self.cgroups.parent(self.ground.tag())?;
        Ok(made.insert(parent).cgroup(name))
    }

    fn sweep(&self, adopt: bool) -> Swept {
        let mut swept = Swept::default();
        let active = self.active.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let none = HashSet::new();
        let (mut end, mut unreadable) = (Vec::new(), Vec::new());
        for (name, record) in self.ground.records().into_iter().filter(|(name, _)| !active.contains(name)) {
            match record {
                Ok(record) if adopt && record.policy == Policy::Adopt && record.running().is_some() => {
                    swept.adoptable.push(record);
                }
                Ok(record) => end.push(record),
                Err(problem) => {
                    swept.problems.push(problem);
                    unreadable.push(name);
                }
            }
        }
        // All are killed before the first one is waited for.
        for record in &end {
            self.ground.kill(record, None, &none);
        }
        let ended = end.into_iter().map(|record| {
            let result = self.ground.end(&record, None, &none).map(|_| ());
            (record.name, result)
        });
        let unreadable = unreadable.into_iter().map(|name| {
            let result = self.ground.end_unreadable(&name);
            (name, result)
        });
        for (name, result) in ended.chain(unreadable) {
            match result {
                Ok(()) => swept.ended.push(name),
                Err(problem) => swept.problems.push(problem),
            }
        }
        swept.problems.extend(self.ground.clear_strays().err());
        swept
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.ground.remove_parents();
    }
}

/// A name that nobody else starts, adopts or ends meanwhile.
pub(super) struct Claim {
    shared: Arc<Shared>,
    name: String,
}

impl Claim {
    /// Waits for the end of an older run of the same name. Blocks.
    pub(super) fn new(shared: Arc<Shared>, name: &str) -> Result<Claim, ProcessError> {
        ground::check_name(name)?;
        {
            let active = shared.active.lock().unwrap_or_else(PoisonError::into_inner);
            let taken = |active: &mut HashSet<String>| active.contains(name);
            let wait = shared.freed.wait_timeout_while(active, CLAIM_WAIT, taken);
            let (mut active, timeout) = wait.unwrap_or_else(PoisonError::into_inner);
            if timeout.timed_out() {
                let taken = std::io::Error::other("the one before it runs, or does not end");
                return Err(ProcessError::containment(format!("starting a second `{name}`"), taken));
            }
            active.insert(name.to_owned());
        }
        Ok(Claim { shared, name: name.to_owned() })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.shared.active.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
        self.shared.freed.notify_all();
    }
}

fn lock(ground: &Ground) -> Result<File, ProcessError> {
    let path = ground.lock_path();
    let end = Instant::now() + LOCK_WAIT;
    loop {
        let locked = try_lock(&path)
            .map_err(|source| ProcessError::containment(format!("locking `{}`", path.display()), source))?;
        if let Some(lock) = locked {
            return Ok(lock);
        }
        if Instant::now() > end {
            return Err(ProcessError::FolderTaken { folder: ground.folder().to_owned() });
        }
        std::thread::sleep(TICK);
    }
}

/// Without cgroups: becomes the subreaper of all that is started here, and looks for descendants.
fn watch_family(ground: &Ground, seen: &Arc<Mutex<Seen>>) -> Result<Thread, ProcessError> {
    let failed = |source| ProcessError::containment("becoming a subreaper", source);
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(|error| failed(error.into()))?;
    let (ground, seen) = (ground.clone(), seen.clone());
    let look = move |stop: &crate::Stop| {
        while !stop.wait(family::LOOK) {
            let records: Vec<Record> =
                ground.records().into_iter().filter_map(|(_, record)| record.ok()).collect();
            seen.lock().unwrap_or_else(PoisonError::into_inner).look(ground.tag(), &records);
            family::reap();
        }
    };
    Thread::start("umbel-family", look).map_err(|error| failed(error.source))
}

/// Runs what blocks on a thread for it. What it has begun it ends, even if nobody waits any more.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ProcessError> + Send + 'static,
) -> Result<T, ProcessError> {
    let gone = |error: tokio::task::JoinError| {
        ProcessError::containment("work on a process", std::io::Error::other(error))
    };
    tokio::task::spawn_blocking(work).await.map_err(gone)?
}
