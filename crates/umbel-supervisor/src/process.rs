//! Programs with limits: run once, as a supervised child, or as a long-running process that may outlive its host.
//!
//! A process gets nothing by accident: no environment, no open files but its three pipes, no core dumps, a process group of its own
//! and a death signal, so that it ends when this process ends, however that happens. What it prints is bounded.
//!
//! ```text
//! run ─▶ spawner thread ─▶ fork, limits, exec ─▶ group (pid = pgid, pidfd)
//!          lives for ever: the death signal           │ exit seen by pidfd, not reaped yet: the pid stays ours
//!          follows the thread that forks              ▼
//!                                     kill what is left of the group ─▶ wait4: status and use ─▶ Output
//! ```
//!
//! A descendant that leaves the group (`setsid`) is not killed with it. What may do that is a [`Service`]: it is started in a [`Home`],
//! has a cgroup, a run folder and a [`Record`] on the disk, and is driven by a [`Running`].
//!
//! ```
//! # async fn example() -> Result<(), umbel_supervisor::process::ProcessError> {
//! use std::{path::Path, time::Duration};
//! use umbel_supervisor::process::{CgroupLimits, Cgroups, Home, Policy, Service, Spec};
//!
//! let home = Home::open(Path::new("/var/lib/umbel/processes"), "nabc", Cgroups::detect())?;
//! for record in home.sweep(true).await.adoptable {
//!     home.end(record).await?; // or `home.adopt(record, on_line)`
//! }
//! let limits = CgroupLimits { memory_bytes: Some(256 << 20), pids: Some(100), ..CgroupLimits::default() };
//! let service = Service::new("acme-kv", Spec::new("/opt/acme/kv"))
//!     .policy(Policy::Adopt)
//!     .limits(limits)
//!     .on_line(|stream, line| println!("{stream:?} {}", String::from_utf8_lossy(line)));
//! let running = home.start(&service).await?;
//! let exit = running.exited().await?;
//! running.stop(Duration::from_secs(5)).await?; // ends its descendants and removes all that it had
//! # Ok(())
//! # }
//! ```
//!
//! # Who ends what
//!
//! Whatever dies, somebody is left who ends the rest, and everyone does it the same way: kill the cgroup until it is empty, remove it,
//! remove the run folder, remove the record. So it can be begun by one and finished by another.
//!
//! ```text
//!                         ┌──────────── pidfd ────────────┐
//!   next host ─ ─ lock ─ ─│─ ─▶ host ──── starts ──▶ guardian (own session, no death signal)
//!        │                │       │ starts, restarts         │
//!        │ sweep: adopts  │       ▼                          │ host gone: ends policy `end` at once,
//!        └ or ends        └─ processes, each in a cgroup ◀───┘ policy `adopt` when the grace is over
//! ```
//!
//! | what ends | policy `end` | policy `adopt` |
//! |---|---|---|
//! | the leader of a process | whoever drives its `Running` ends the rest of it | the same |
//! | the `Running` (dropped, its task aborted) | all of it is killed | the same, unless it was given up with `leave` |
//! | the host, in order | its tree stops each process, then tells the guardian to go | the same, or it leaves them; then the guardian stays |
//! | the host, killed | leader: death signal; all of it: guardian, at once | goes on; the next host adopts it, or the guardian ends it |
//! | the guardian | the host starts it again | the same |
//! | host and guardian | leader: death signal; the rest: sweep of the next host | goes on, and waits when its FIFOs are full; sweep |
//! | a process while it is being started | held between fork and exec, it ends with the host whatever its policy is; guardian or sweep | the same |
//! | the machine | nothing runs; the next host sees another boot id and clears the files away | the same |
//!
//! Not covered: a process that is root, makes its read-only cgroups writable again, and moves itself into one that is not ours (a
//! [`Sandbox`] prevents it); one that the kernel cannot kill, because it waits for a device: that is told, and its record is kept; and what the module
//! `family` says about machines without cgroups. When the cgroup of the host itself is ended, all of it ends, the guardian too.

pub(crate) mod cgroup;
pub(crate) mod family;
pub(crate) mod ground;
pub(crate) mod record;

pub(crate) mod capture;
mod child;
mod confine;
mod error;
pub(crate) mod group;
mod home;
mod identity;
mod launch;
mod lines;
mod running;
mod sandbox;
mod service;

pub use capture::{Capture, Captured};
pub use cgroup::{Cgroup, CgroupLimits, CgroupUsage, Cgroups};
pub use error::ProcessError;
pub use home::{Home, Swept};
pub use identity::{Identity, boot_id};
pub(crate) use launch::fifos;
pub use lines::{LINE_BYTES_MAX, Stream};
pub use record::{Policy, Record};
pub use running::{Exit, Load, Meter, OnLine, Running, Stopped};
pub use sandbox::{DENIED, Files, Sandbox};
pub use service::Service;

use crate::stop::Stop;
use bytes::Bytes;
use capture::Sink;
use ground::{Reaped, make_private};
use group::Group;
use identity::Stat;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;

/// How long the pipes may stay open after the group was killed: something that left the group may hold them.
const PIPE_GRACE: Duration = Duration::from_millis(500);

/// What to run, with which limits. Cheap to clone except for the arguments.
#[derive(Clone)]
pub struct Spec {
    /// The program; a bare name is not searched for, because there is no `PATH`.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Its whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// Its working directory. Default: the root, so that no folder is held.
    pub cwd: PathBuf,
    /// What it reads. Default: nothing.
    pub stdin: Stdin,
    /// What becomes of its output. Default: the first 64 KiB are kept.
    pub stdout: Capture,
    /// What becomes of its errors. Default: the last 16 KiB are kept.
    pub stderr: Capture,
    /// What it may use.
    pub limits: Limits,
    /// How much it yields to others, 0 to 19.
    pub nice: i32,
    /// When its whole group is killed. Default: never.
    pub deadline: Option<Duration>,
    /// How long its group has between being asked to end (SIGTERM) and being killed. Default: 2 s.
    pub grace: Duration,
    /// Whether it ends when this process ends, however that happens. Default: yes.
    pub death_signal: bool,
    /// Whether it leads a session of its own, which no terminal signals. Default: no, only a process group.
    pub session: bool,
    /// What it may see of the file system and ask of the kernel. Default: everything.
    pub sandbox: Option<Sandbox>,
    /// Called with the pid once it is started.
    pub on_start: Option<Arc<dyn Fn(u32) + Send + Sync>>,
}

/// What a process reads.
#[derive(Debug, Clone, Default)]
pub enum Stdin {
    /// Nothing.
    #[default]
    Null,
    /// These bytes, then the end.
    Bytes(Bytes),
    /// This file.
    File(PathBuf),
}

/// What a process may use; core dumps are always off. A limit above what this process may set itself is lowered to that.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Address space in bytes.
    pub as_bytes: Option<u64>,
    /// CPU time in seconds.
    pub cpu_s: Option<u64>,
    /// Open files.
    pub nofile: Option<u64>,
    /// Bytes of each file that it writes. Linux ends it with SIGXFSZ at the first one more.
    pub fsize_bytes: Option<u64>,
}

impl Spec {
    /// The program without arguments, environment or limits.
    pub fn new(program: impl Into<PathBuf>) -> Spec {
        Spec {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            cwd: PathBuf::from("/"),
            stdin: Stdin::Null,
            stdout: Capture::Head(64 << 10),
            stderr: Capture::Tail(16 << 10),
            limits: Limits::default(),
            nice: 0,
            deadline: None,
            grace: Duration::from_secs(2),
            death_signal: true,
            session: false,
            sandbox: None,
            on_start: None,
        }
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Spec {
        self.args.push(arg.as_ref().to_os_string());
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Spec {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_os_string()));
        self
    }

    /// One more variable of its environment.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Spec {
        self.env.push((name.as_ref().to_os_string(), value.as_ref().to_os_string()));
        self
    }

    /// Another working directory.
    #[must_use]
    pub fn cwd(mut self, cwd: impl Into<PathBuf>) -> Spec {
        self.cwd = cwd.into();
        self
    }

    /// What it reads.
    #[must_use]
    pub fn stdin(mut self, stdin: Stdin) -> Spec {
        self.stdin = stdin;
        self
    }

    /// What becomes of its output.
    #[must_use]
    pub fn stdout(mut self, capture: Capture) -> Spec {
        self.stdout = capture;
        self
    }

    /// What becomes of its errors.
    #[must_use]
    pub fn stderr(mut self, capture: Capture) -> Spec {
        self.stderr = capture;
        self
    }

    /// What it may use.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Spec {
        self.limits = limits;
        self
    }

    /// How much it yields to others, 0 to 19.
    #[must_use]
    pub fn nice(mut self, nice: i32) -> Spec {
        self.nice = nice;
        self
    }

    /// When its group is killed.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Spec {
        self.deadline = Some(deadline);
        self
    }

    /// How long its group has to end when it is asked to.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Spec {
        self.grace = grace;
        self
    }

    /// Whether it ends when this process ends.
    #[must_use]
    pub fn death_signal(mut self, death_signal: bool) -> Spec {
        self.death_signal = death_signal;
        self
    }

    /// Whether it leads a session of its own.
    #[must_use]
    pub fn session(mut self, session: bool) -> Spec {
        self.session = session;
        self
    }

    /// What it may see and ask.
    #[must_use]
    pub fn sandbox(mut self, sandbox: Sandbox) -> Spec {
        self.sandbox = Some(sandbox);
        self
    }

    /// Who is told the pid.
    #[must_use]
    pub fn on_start(mut self, tell: impl Fn(u32) + Send + Sync + 'static) -> Spec {
        self.on_start = Some(Arc::new(tell));
        self
    }
}

impl std::fmt::Debug for Spec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the environment: it may hold secrets.
        f.debug_struct("process::Spec")
            .field("program", &self.program)
            .field("args", &self.args)
            .finish_non_exhaustive()
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal.
    Signaled(i32),
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Status::Exited(code) => write!(f, "exit status {code}"),
            Status::Signaled(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// What a process has used, with those of its children that it has waited for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// The most memory that one of them held resident.
    pub max_rss_bytes: u64,
    /// CPU time, user and system.
    pub cpu: Duration,
    /// Time from start to end.
    pub wall: Duration,
}

/// What is left of a process.
#[derive(Debug, Clone)]
pub struct Output {
    /// How it ended.
    pub status: Status,
    /// What it printed, as far as it was kept.
    pub stdout: Captured,
    /// Its errors, as far as they were kept.
    pub stderr: Captured,
    /// What it used.
    pub usage: Usage,
}

impl Output {
    /// The output if the exit status is 0; otherwise an error that quotes what the process printed as errors.
    pub fn check(self, program: &std::path::Path) -> Result<Output, ProcessError> {
        match self.status {
            Status::Exited(0) => Ok(self),
            _ => Err(ProcessError::Failed { program: program.display().to_string(), output: Box::new(self) }),
        }
    }
}

/// Why a run was ended from outside.
enum Ended {
    Deadline(Duration),
    Stop { killed: bool },
}

/// Runs a process to its end. `Ok` means that it ended by itself, whatever its status; see [`Output::check`].
///
/// Its whole group is killed when the leader has ended, at the deadline, after a stop and its grace, and when this future is dropped.
/// Needs a tokio runtime with I/O and time.
pub async fn run(spec: &Spec, stop: &Stop) -> Result<Output, ProcessError> {
    let program = || spec.program.display().to_string();
    if stop.is_requested() {
        return Err(ProcessError::Stopped { program: program(), killed: false, output: None });
    }
    let began = Instant::now();
    let mut group = Group::spawn(spec).await?;
    if let Some(tell) = &spec.on_start {
        tell(group.pid());
    }
    let (stdout, stderr) = (Sink::new(&spec.stdout), Sink::new(&spec.stderr));
    let pipes = group.take_pipes();
    let talk = async {
        tokio::join!(feed(pipes.stdin, &spec.stdin), stdout.read(pipes.stdout), stderr.read(pipes.stderr));
    };
    tokio::pin!(talk);
    let mut talking = true;
    let ended = {
        let wait = wait(&group, spec, stop);
        tokio::pin!(wait);
        loop {
            tokio::select! {
                ended = &mut wait => break ended,
                () = &mut talk, if talking => talking = false,
            }
        }
    };
    let ended = ended.map_err(|source| ProcessError::Io { program: program(), source })?;
    group.kill();
    let (status, mut usage) =
        group.reap().map_err(|source| ProcessError::Io { program: program(), source })?;
    usage.wall = began.elapsed();
    // All that the group printed is in the pipes now; the time is for what left the group and holds them open.
    if talking {
        let _ = tokio::time::timeout(PIPE_GRACE, &mut talk).await;
    }
    let output = Output { status, stdout: stdout.take(), stderr: stderr.take(), usage };
    match ended {
        Some(Ended::Deadline(deadline)) => {
            Err(ProcessError::Deadline { program: program(), deadline, output: Box::new(output) })
        }
        Some(Ended::Stop { killed }) => {
            Err(ProcessError::Stopped { program: program(), killed, output: Some(Box::new(output)) })
        }
        None if group::is_cpu_signal(status) && spec.limits.cpu_s.is_some() => {
            let cpu_s = spec.limits.cpu_s.unwrap_or_default();
            Err(ProcessError::CpuLimit { program: program(), cpu_s, output: Box::new(output) })
        }
        None => Ok(output),
    }
}

/// Waits until the leader has ended: by itself, by its deadline, or because of the stop.
async fn wait(group: &Group, spec: &Spec, stop: &Stop) -> std::io::Result<Option<Ended>> {
    let deadline = async {
        match spec.deadline {
            Some(deadline) => {
                tokio::time::sleep(deadline).await;
                deadline
            }
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        exited = group.exited() => exited.map(|()| None),
        deadline = deadline => {
            group.kill();
            group.exited().await.map(|()| Some(Ended::Deadline(deadline)))
        }
        () = stop.requested() => {
            group.terminate();
            let exited = tokio::time::timeout(spec.grace, group.exited()).await;
            let killed = exited.is_err();
            group.kill();
            group.exited().await.map(|()| Some(Ended::Stop { killed }))
        }
    }
}

async fn feed(pipe: Option<tokio::net::unix::pipe::Sender>, stdin: &Stdin) {
    if let (Some(mut pipe), Stdin::Bytes(bytes)) = (pipe, stdin) {
        // A process that ends without reading everything is its own business.
        let _ = pipe.write_all(bytes).await;
    }
}

/// What one process uses now, as `/proc` counts it.
fn usage_of(pid: u32) -> Load {
    let Some(stat) = Stat::read(pid) else { return Load::default() };
    let ticks = rustix::param::clock_ticks_per_second().max(1);
    Load {
        memory_bytes: stat.rss_pages.saturating_mul(rustix::param::page_size() as u64),
        cpu: Duration::from_millis(stat.cpu_ticks.saturating_mul(1000) / ticks),
        processes: usize::from(stat.is_running()),
    }
}
