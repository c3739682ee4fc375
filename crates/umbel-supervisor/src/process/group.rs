//! A process group of ours: how it is started, seen to end, killed and reaped. All `unsafe` of this crate is here and in `confine`.
#![expect(unsafe_code, reason = "only wait4 tells what a process has used")]

use super::confine::Confinement;
use super::{Capture, ProcessError, Spec, Status, Stdin, Usage};
use rustix::process::{Pid, PidfdFlags, Signal};
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, oneshot};

/// Starts that may wait for the spawner thread.
const SPAWNS_WAITING: usize = 64;

/// A running group; its leader is not reaped before [`Group::reap`], so its pid cannot name somebody else. Dropping it kills the group.
pub(crate) struct Group {
    pid: Pid,
    pidfd: AsyncFd<OwnedFd>,
    pipes: Option<Pipes>,
    reaped: bool,
}

/// Our ends of the pipes.
#[derive(Default)]
pub(crate) struct Pipes {
    pub(crate) stdin: Option<pipe::Sender>,
    pub(crate) stdout: Option<pipe::Receiver>,
    pub(crate) stderr: Option<pipe::Receiver>,
}

impl Group {
    pub(crate) async fn spawn(spec: &Spec) -> Result<Group, ProcessError> {
        let not_started =
            |source| ProcessError::NotStarted { program: spec.program.display().to_string(), source };
        let mut command = command(spec).map_err(not_started)?;
        let sandbox =
            spec.sandbox.as_ref().map(|sandbox| sandbox.compile(&spec.program, None)).transpose()?;
        Confinement::of(spec, sandbox.unwrap_or_default()).put_on(&mut command);
        let child = spawn_on_spawner(command).await.map_err(not_started)?;
        let unwatched = Unwatched(Pid::from_child(&child));
        let group = Group::watch(child).map_err(not_started)?;
        // From here on the group itself sees to its end.
        std::mem::forget(unwatched);
        Ok(group)
    }

    fn watch(mut child: Child) -> io::Result<Group> {
        let pid = Pid::from_child(&child);
        let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::NONBLOCK)?;
        let pidfd = watch(pidfd)?;
        let pipes = Pipes {
            stdin: child.stdin.take().map(|pipe| pipe::Sender::from_owned_fd(pipe.into())).transpose()?,
            stdout: child.stdout.take().map(|pipe| pipe::Receiver::from_owned_fd(pipe.into())).transpose()?,
            stderr: child.stderr.take().map(|pipe| pipe::Receiver::from_owned_fd(pipe.into())).transpose()?,
        };
        Ok(Group { pid, pidfd, pipes: Some(pipes), reaped: false })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    pub(crate) fn take_pipes(&mut self) -> Pipes {
        self.pipes.take().unwrap_or_default()
    }

    /// Waits until the leader has ended, without reaping it. Cancel-safe.
    pub(crate) async fn exited(&self) -> io::Result<()> {
        // The readiness is kept, so every later call returns at once.
        self.pidfd.readable().await.map(|mut guard| guard.retain_ready())
    }

    /// Asks the whole group to end.
    pub(crate) fn terminate(&self) {
        signal(self.pid, Signal::TERM);
    }

    /// Kills the whole group.
    pub(crate) fn kill(&self) {
        signal(self.pid, Signal::KILL);
    }

    /// Lets it go on without us.
    pub(crate) fn leave(mut self) {
        self.reaped = true;
    }

    /// Takes the leader's status, once it has ended.
    pub(crate) fn reap(&mut self) -> io::Result<(Status, Usage)> {
        let result = wait4(self.pid)?;
        self.reaped = true;
        Ok(result)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.reaped {
            end_unwatched(self.pid);
        }
    }
}

/// Ends a group that nobody came to watch.
struct Unwatched(Pid);

impl Drop for Unwatched {
    fn drop(&mut self) {
        end_unwatched(self.0);
    }
}

/// Kills the group, and reaps its leader on a thread of its own: the end of a killed process takes a moment, and a drop must not block.
fn end_unwatched(pid: Pid) {
    signal(pid, Signal::KILL);
    let reap = move || {
        let _ = wait4(pid);
    };
    if let Err(error) = std::thread::Builder::new().name("umbel-reap".to_string()).spawn(reap) {
        tracing::error!(%error, ?pid, "a killed process could not be reaped");
    }
}

fn signal(pid: Pid, signal: Signal) {
    // The group may be gone already.
    let _ = rustix::process::kill_process_group(pid, signal);
}

/// Watches a pidfd: it becomes readable when its process has ended. Needs a tokio runtime with I/O.
pub(super) fn watch(pidfd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor is owned by the AsyncFd, stays open as long as it, and is never replaced.
    Ok(unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) }?)
}

/// Whether the system ended the process because of its CPU time.
pub(super) fn is_cpu_signal(status: Status) -> bool {
    status == Status::Signaled(Signal::XCPU.as_raw())
}

#[expect(clippy::disallowed_methods, reason = "this is the seam that the ban points to")]
pub(super) fn command(spec: &Spec) -> io::Result<Command> {
    let mut command = Command::new(&spec.program);
    command.args(&spec.args).env_clear().envs(spec.env.iter().map(|(name, value)| (name, value)));
    command.current_dir(&spec.cwd);
    command.stdin(match &spec.stdin {
        Stdin::Null => Stdio::null(),
        Stdin::Bytes(_) => Stdio::piped(),
        Stdin::File(path) => Stdio::from(File::open(path)?),
    });
    let output =
        |capture: &Capture| if matches!(capture, Capture::Null) { Stdio::null() } else { Stdio::piped() };
    command.stdout(output(&spec.stdout)).stderr(output(&spec.stderr));
    Ok(command)
}

/// Waits for the process and tells what it has used.
pub(super) fn wait4(pid: Pid) -> io::Result<(Status, Usage)> {
    let mut status = 0;
    // SAFETY: rusage is plain numbers, for which zero is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both pointers are to live locals of the right types.
        let result = unsafe { libc::wait4(pid.as_raw_nonzero().get(), &mut status, 0, &mut usage) };
        if result >= 0 {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    leaders().remove(&pid.as_raw_nonzero().get().unsigned_abs());
    let status = match libc::WIFEXITED(status) {
        true => Status::Exited(libc::WEXITSTATUS(status)),
        false => Status::Signaled(libc::WTERMSIG(status)),
    };
    let time = |time: libc::timeval| {
        Duration::from_secs(time.tv_sec.unsigned_abs()) + Duration::from_micros(time.tv_usec.unsigned_abs())
    };
    let usage = Usage {
        // Linux counts in KiB.
        max_rss_bytes: usage.ru_maxrss.unsigned_abs() * 1024,
        cpu: time(usage.ru_utime) + time(usage.ru_stime),
        wall: Duration::ZERO,
    };
    Ok((status, usage))
}

/// Held for reading while something is started: until then a child of this process may be nobody's that is known.
pub(super) static FORKING: RwLock<()> = RwLock::new(());
static LEADERS: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// The leaders that were started here and are not reaped yet. Other children are strays, which a subreaper is given.
pub(super) fn leaders() -> MutexGuard<'static, BTreeSet<u32>> {
    LEADERS.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Spawn {
    command: Command,
    told: oneshot::Sender<io::Result<Child>>,
}

/// A thread that starts programs and lives as long as this process: Linux sends the death signal when the *thread* that forked ends,
/// and the threads of a runtime come and go.
struct Spawner {
    name: &'static str,
    queue: OnceLock<Result<mpsc::Sender<Spawn>, io::ErrorKind>>,
}

static SPAWNER: Spawner = Spawner { name: "umbel-spawn", queue: OnceLock::new() };
/// What is held between fork and exec until it is recorded keeps its spawner busy: another one, so that nothing else waits for it.
static HELD_SPAWNER: Spawner = Spawner { name: "umbel-spawn-held", queue: OnceLock::new() };

impl Spawner {
    fn queue(&'static self) -> io::Result<&'static mpsc::Sender<Spawn>> {
        let queue = self.queue.get_or_init(|| start_spawner(self.name).map_err(|error| error.kind()));
        queue.as_ref().map_err(|kind| io::Error::from(*kind))
    }
}

async fn spawn_on_spawner(command: Command) -> io::Result<Child> {
    let (told, child) = oneshot::channel();
    SPAWNER.queue()?.send(Spawn { command, told }).await.map_err(|_| spawner_gone())?;
    child.await.map_err(|_| spawner_gone())?
}

/// Starts a command that is held between fork and exec; its result comes when it was let go. Blocks; not for a task.
pub(super) fn spawn_held(command: Command) -> io::Result<oneshot::Receiver<io::Result<Child>>> {
    let (told, child) = oneshot::channel();
    HELD_SPAWNER.queue()?.blocking_send(Spawn { command, told }).map_err(|_| spawner_gone())?;
    Ok(child)
}

pub(super) fn spawner_gone() -> io::Error {
    io::Error::other("the spawner thread is gone")
}

fn start_spawner(name: &str) -> io::Result<mpsc::Sender<Spawn>> {
    let (sender, mut receiver) = mpsc::channel::<Spawn>(SPAWNS_WAITING);
    let work = move || {
        while let Some(Spawn { mut command, told }) = receiver.blocking_recv() {
            let child = {
                let _forking = FORKING.read().unwrap_or_else(PoisonError::into_inner);
                let child = command.spawn();
                leaders().extend(child.as_ref().ok().map(Child::id));
                child
            };
            // Its ends of the pipes that held it, before anybody waits for their end.
            drop(command);
            if let Err(Ok(child)) = told.send(child) {
                // Whoever asked is gone.
                end_unwatched(Pid::from_child(&child));
            }
        }
    };
    std::thread::Builder::new().name(name.to_string()).spawn(work)?;
    Ok(sender)
}
