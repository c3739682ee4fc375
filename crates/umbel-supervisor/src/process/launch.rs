//! How a process is started and recorded before it can do anything, and how one that runs is taken over. All of it blocks.
//!
//! ```text
//! record (no leader yet) ─▶ run folder, FIFOs ─▶ cgroup with limits ─▶ fork ─▶ enters the cgroup, tells its pid, waits
//!                                                     record (leader) ─▶ let go ─▶ exec
//! ```
//!
//! Whoever finds a record without a leader ends what is in its cgroup: it never ran.

use super::confine::{Confinement, Held};
use super::family;
use super::group;
use super::home::{Claim, Shared};
use super::identity::Identity;
use super::lines::Stream;
use super::record::{Policy, Record};
use super::{ProcessError, Reaped, Service, make_private};
use rustix::fs::{CWD, FileType, Mode};
use rustix::process::{Pid, PidfdFlags};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// What ends all of a process when it is dropped, on a thread for it.
pub(super) struct Owned {
    pub(super) shared: Arc<Shared>,
    pub(super) record: Record,
    /// The leader, if it is our child and not reaped.
    pub(super) child: Option<Pid>,
    claim: Option<Claim>,
    armed: bool,
}

/// A process that runs, and what it talks through.
pub(super) struct Launched {
    pub(super) owned: Owned,
    pub(super) pidfd: OwnedFd,
    pub(super) stdin: Option<OwnedFd>,
    pub(super) outputs: Vec<(Stream, Output)>,
}

/// Where lines come from.
pub(super) enum Output {
    Pipe(OwnedFd),
    Fifo(PathBuf),
}

impl Owned {
    fn new(shared: Arc<Shared>, record: Record, claim: Claim) -> Owned {
        Owned { shared, record, child: None, claim: Some(claim), armed: true }
    }

    /// Ends all of it. Blocks.
    pub(super) fn end(mut self) -> Result<Reaped, ProcessError> {
        self.armed = false;
        let seen = self.shared.seen_of(&self.record.name);
        self.shared.ground.end(&self.record, self.child, &seen)
    }

    /// Lets it go on without us.
    pub(super) fn leave(mut self) {
        self.armed = false;
    }

    pub(super) fn write(&self) -> Result<(), ProcessError> {
        self.record.write(&self.shared.ground.record_path(&self.record.name))
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        let owned = Owned {
            shared: self.shared.clone(),
            record: self.record.clone(),
            child: self.child,
            claim: self.claim.take(),
            armed: false,
        };
        // Killed here and now, so that it ends even if no thread can be had.
        owned.shared.ground.kill(&owned.record, owned.child, &Default::default());
        let work = move || {
            let name = owned.record.name.clone();
            if let Err(error) = owned.end() {
                tracing::error!(%error, process = name, "a process could not be ended; the next start tries again");
            }
        };
        if let Err(error) = std::thread::Builder::new().name("umbel-end".to_string()).spawn(work) {
            tracing::error!(%error, "a killed process could not be cleared away; the next start does it");
        }
    }
}

/// How often, and after which pause, a program is started again whose file is busy.
const BUSY_TRIES: u32 = 40;
const BUSY_PAUSE: Duration = Duration::from_millis(25);

/// Starts a process. A program that was just written may be busy for a moment: whatever forked while its file was open for writing
/// holds it until it has executed another.
pub(super) fn launch(shared: Arc<Shared>, service: &Service) -> Result<Launched, ProcessError> {
    let is_busy = |error: &ProcessError| matches!(error, ProcessError::NotStarted { source, .. } if source.kind() == io::ErrorKind::ExecutableFileBusy);
    for _ in 1..BUSY_TRIES {
        match launch_once(shared.clone(), service) {
            Err(error) if is_busy(&error) => std::thread::sleep(BUSY_PAUSE),
            launched => return launched,
        }
    }
    launch_once(shared, service)
}

fn launch_once(shared: Arc<Shared>, service: &Service) -> Result<Launched, ProcessError> {
    let claim = Claim::new(shared.clone(), &service.name)?;
    end_older(&shared, &service.name)?;
    let missing = shared.cgroups.missing(&service.limits);
    if !missing.is_empty() {
        tracing::warn!(process = service.name, ?missing, cgroups = %shared.cgroups, "limits that cannot be enforced here");
    }
    let cgroup = shared.cgroup(&service.name)?;
    let mut record = Record::new(&service.name, service.policy, &service.spec.program, cgroup);
    record.data = service.data.clone();
    let mut owned = Owned::new(shared, record, claim);
    let started = owned.write().and_then(|()| start(&mut owned, service));
    match started {
        Ok((pidfd, child, outputs)) => {
            let stdin = child.stdin.map(OwnedFd::from);
            Ok(Launched { owned, pidfd, stdin, outputs })
        }
        Err(error) => {
            // The first error is the one that says why.
            let _ = owned.end();
            Err(error)
        }
    }
}

type Started = (OwnedFd, Child, Vec<(Stream, Output)>);

fn start(owned: &mut Owned, service: &Service) -> Result<Started, ProcessError> {
    let run = owned.shared.ground.run_folder(&service.name);
    make_private(&run)?;
    let sandbox = service.spec.sandbox.as_ref();
    let sandbox = sandbox.map(|sandbox| sandbox.compile(&service.spec.program, Some(&run))).transpose()?;
    owned.record.cgroup.create(&service.limits)?;
    let not_started =
        |source| ProcessError::NotStarted { program: service.spec.program.display().to_string(), source };
    let mut command = group::command(&service.spec).map_err(not_started)?;
    if owned.record.cgroup.is_none() {
        command.env(family::MARK, family::mark(owned.shared.ground.tag(), &service.name));
    }
    let fifos = give_outputs(&mut command, service.policy, &run)?;
    let (hello, tell) = pipe()?;
    let (go, let_go) = pipe()?;
    let confinement = Confinement {
        death_signal: service.policy == Policy::End,
        session: true,
        private_mounts: rustix::process::geteuid().is_root(),
        doors: owned.record.cgroup.doors()?,
        held: Some(Held { hello: tell, go, our_go: let_go.as_raw_fd() }),
        ..Confinement::of(&service.spec, sandbox.unwrap_or_default())
    };
    confinement.put_on(&mut command);
    let child = group::spawn_held(command).map_err(not_started)?;
    if let Some(pid) = read_pid(hello) {
        owned.record.leader = Identity::of(pid);
        owned.write()?;
        File::from(let_go).write_all(b"g").map_err(not_started)?;
    } else {
        drop(let_go);
    }
    let child = child.blocking_recv().map_err(|_| not_started(group::spawner_gone()))?;
    let mut child = child.map_err(not_started)?;
    let pid = Pid::from_child(&child);
    owned.child = Some(pid);
    let pidfd =
        rustix::process::pidfd_open(pid, PidfdFlags::NONBLOCK).map_err(|error| not_started(error.into()))?;
    let outputs = fifos.unwrap_or_else(|| {
        let stdout = child.stdout.take().map(|pipe| (Stream::Stdout, Output::Pipe(pipe.into())));
        let stderr = child.stderr.take().map(|pipe| (Stream::Stderr, Output::Pipe(pipe.into())));
        stdout.into_iter().chain(stderr).collect()
    });
    Ok((pidfd, child, outputs))
}

/// Takes over a process that runs.
pub(super) fn adopt(shared: Arc<Shared>, record: Record) -> Result<Launched, ProcessError> {
    let claim = Claim::new(shared.clone(), &record.name)?;
    let owned = Owned::new(shared, record, claim);
    let leader = owned.record.running().and_then(Identity::open);
    let Some(pidfd) = leader.filter(|_| owned.record.policy == Policy::Adopt) else {
        let name = owned.record.name.clone();
        owned.end()?;
        return Err(ProcessError::Gone { name });
    };
    let run = owned.shared.ground.run_folder(&owned.record.name);
    let outputs = fifos(&run).into_iter().map(|(stream, path)| (stream, Output::Fifo(path))).collect();
    Ok(Launched { owned, pidfd, stdin: None, outputs })
}

/// Ends what an older run of the same name has left.
fn end_older(shared: &Shared, name: &str) -> Result<(), ProcessError> {
    let path = shared.ground.record_path(name);
    if !path.exists() {
        return Ok(());
    }
    match Record::read(&path, name, shared.ground.tag()) {
        Ok(record) => shared.ground.end(&record, None, &shared.seen_of(name)).map(|_| ()),
        Err(error) => {
            tracing::warn!(%error, process = name, "what its name tells is ended");
            shared.ground.end_unreadable(name)
        }
    }
}

/// The FIFOs of an adoptable process.
pub(crate) fn fifos(run: &Path) -> [(Stream, PathBuf); 2] {
    [(Stream::Stdout, run.join("stdout")), (Stream::Stderr, run.join("stderr"))]
}

/// Pipes for what ends with us. What outlives us writes into FIFOs that it holds for reading too, so that a write never fails because
/// nobody reads, and waits instead, for the guardian or for the next host.
fn give_outputs(
    command: &mut Command,
    policy: Policy,
    run: &Path,
) -> Result<Option<Vec<(Stream, Output)>>, ProcessError> {
    if policy == Policy::End {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        return Ok(None);
    }
    let mut outputs = Vec::new();
    for (stream, path) in fifos(run) {
        let failed = |source| ProcessError::containment(format!("making `{}`", path.display()), source);
        // One that an older run left may have a reader.
        let _ = std::fs::remove_file(&path);
        rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
            .map_err(|error| failed(error.into()))?;
        let fifo = OpenOptions::new().read(true).write(true).open(&path).map_err(failed)?;
        match stream {
            Stream::Stdout => command.stdout(fifo),
            Stream::Stderr => command.stderr(fifo),
        };
        outputs.push((stream, Output::Fifo(path)));
    }
    Ok(Some(outputs))
}

/// The pid of the process that is held, or nothing if it failed before it could tell.
fn read_pid(hello: OwnedFd) -> Option<u32> {
    let mut pid = [0; 4];
    File::from(hello).read_exact(&mut pid).ok()?;
    u32::try_from(i32::from_ne_bytes(pid)).ok()
}

fn pipe() -> Result<(OwnedFd, OwnedFd), ProcessError> {
    let pipe = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC);
    pipe.map_err(|error| ProcessError::containment("making a pipe", io::Error::from(error)))
}
