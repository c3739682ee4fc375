//! A process group of ours: how it is started, seen to end, killed and reaped. All `unsafe` of this crate is here.
#![expect(
    unsafe_code,
    reason = "limits are set between fork and exec, and only wait4 tells what a process has used"
)]

use super::{Capture, Limits, ProcessError, Spec, Status, Stdin, Usage};
use rustix::process::{Pid, PidfdFlags, Resource, Rlimit, Signal};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, oneshot};

/// Starts that may wait for the spawner thread.
const SPAWNS_WAITING: usize = 64;

/// A running group; its leader is not reaped before [`Group::reap`], so its pid cannot name somebody else. Dropping it kills the group.
pub(super) struct Group {
    pid: Pid,
    pidfd: AsyncFd<OwnedFd>,
    pipes: Option<Pipes>,
    reaped: bool,
}

/// Our ends of the pipes.
#[derive(Default)]
pub(super) struct Pipes {
    pub(super) stdin: Option<pipe::Sender>,
    pub(super) stdout: Option<pipe::Receiver>,
    pub(super) stderr: Option<pipe::Receiver>,
}

impl Group {
    pub(super) async fn spawn(spec: &Spec) -> Result<Group, ProcessError> {
        let not_started =
            |source| ProcessError::NotStarted { program: spec.program.display().to_string(), source };
        let command = command(spec).map_err(not_started)?;
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
        // SAFETY: the descriptor is owned by the AsyncFd, stays open as long as it, and is never replaced.
        let pidfd = unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) }?;
        let pipes = Pipes {
            stdin: child.stdin.take().map(|pipe| pipe::Sender::from_owned_fd(pipe.into())).transpose()?,
            stdout: child.stdout.take().map(|pipe| pipe::Receiver::from_owned_fd(pipe.into())).transpose()?,
            stderr: child.stderr.take().map(|pipe| pipe::Receiver::from_owned_fd(pipe.into())).transpose()?,
        };
        Ok(Group { pid, pidfd, pipes: Some(pipes), reaped: false })
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    pub(super) fn take_pipes(&mut self) -> Pipes {
        self.pipes.take().unwrap_or_default()
    }

    /// Waits until the leader has ended, without reaping it. Cancel-safe.
    pub(super) async fn exited(&self) -> io::Result<()> {
        // The readiness is kept, so every later call returns at once.
        self.pidfd.readable().await.map(|mut guard| guard.retain_ready())
    }

    /// Asks the whole group to end.
    pub(super) fn terminate(&self) {
        signal(self.pid, Signal::TERM);
    }

    /// Kills the whole group.
    pub(super) fn kill(&self) {
        signal(self.pid, Signal::KILL);
    }

    /// Takes the leader's status, once it has ended.
    pub(super) fn reap(&mut self) -> io::Result<(Status, Usage)> {
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

/// Whether the system ended the process because of its CPU time.
pub(super) fn is_cpu_signal(status: Status) -> bool {
    status == Status::Signaled(Signal::XCPU.as_raw())
}

#[expect(clippy::disallowed_methods, reason = "this is the seam that the ban points to")]
fn command(spec: &Spec) -> io::Result<Command> {
    let mut command = Command::new(&spec.program);
    command.args(&spec.args).env_clear().envs(spec.env.iter().map(|(name, value)| (name, value)));
    command.current_dir(&spec.cwd).process_group(0);
    command.stdin(match &spec.stdin {
        Stdin::Null => Stdio::null(),
        Stdin::Bytes(_) => Stdio::piped(),
        Stdin::File(path) => Stdio::from(File::open(path)?),
    });
    let output =
        |capture: &Capture| if matches!(capture, Capture::Null) { Stdio::null() } else { Stdio::piped() };
    command.stdout(output(&spec.stdout)).stderr(output(&spec.stderr));
    let (limits, nice, parent) = (spec.limits, spec.nice.clamp(0, 19), rustix::process::getpid());
    // SAFETY: between fork and exec only system calls are made: nothing allocates, locks or panics, and an error is a bare number.
    unsafe { command.pre_exec(move || confine(&limits, nice, parent)) };
    Ok(command)
}

/// Runs in the child, between fork and exec; see the SAFETY comment there.
fn confine(limits: &Limits, nice: i32, parent: Pid) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // The parent may have ended before the signal was armed.
    if rustix::process::getppid() != Some(parent) {
        return Err(rustix::io::Errno::SRCH.into());
    }
    limit(Resource::Core, Some(0), 0)?;
    limit(Resource::As, limits.as_bytes, 0)?;
    // One second more until SIGKILL, for a program that catches the first signal.
    limit(Resource::Cpu, limits.cpu_s, 1)?;
    limit(Resource::Nofile, limits.nofile, 0)?;
    limit(Resource::Fsize, limits.fsize_bytes, 0)?;
    if nice > 0 {
        rustix::process::setpriority_process(None, nice)?;
    }
    // Whatever another part of this program left open is closed by exec; not now, because std reports a failed exec through a pipe.
    // SAFETY: close_range with CLOEXEC only sets a flag on descriptors; by number, because libc has no wrapper for musl.
    // Kernels before 5.11 do not know it; there, every descriptor that Rust opens is closed by exec anyway.
    let _ = unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, 4u32) };
    Ok(())
}

/// Sets a limit, but not above what we may set.
fn limit(resource: Resource, value: Option<u64>, slack: u64) -> rustix::io::Result<()> {
    let Some(value) = value else { return Ok(()) };
    let hard = rustix::process::getrlimit(resource).maximum;
    let clamp = |value: u64| Some(hard.map_or(value, |hard| value.min(hard)));
    let new = Rlimit { current: clamp(value), maximum: clamp(value.saturating_add(slack)) };
    rustix::process::setrlimit(resource, new)
}

/// Waits for the process and tells what it has used.
fn wait4(pid: Pid) -> io::Result<(Status, Usage)> {
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

struct Spawn {
    command: Command,
    told: oneshot::Sender<io::Result<Child>>,
}

/// Starts the command on the one thread that lives as long as this process: Linux sends the death signal when the *thread* that
/// forked ends, and the threads of a runtime come and go.
async fn spawn_on_spawner(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<Result<mpsc::Sender<Spawn>, io::ErrorKind>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| start_spawner().map_err(|error| error.kind()));
    let spawner = spawner.as_ref().map_err(|kind| io::Error::from(*kind))?;
    let gone = || io::Error::other("the spawner thread is gone");
    let (told, child) = oneshot::channel();
    spawner.send(Spawn { command, told }).await.map_err(|_| gone())?;
    child.await.map_err(|_| gone())?
}

fn start_spawner() -> io::Result<mpsc::Sender<Spawn>> {
    let (sender, mut receiver) = mpsc::channel::<Spawn>(SPAWNS_WAITING);
    let work = move || {
        while let Some(Spawn { mut command, told }) = receiver.blocking_recv() {
            if let Err(Ok(child)) = told.send(command.spawn()) {
                // Whoever asked is gone.
                end_unwatched(Pid::from_child(&child));
            }
        }
    };
    std::thread::Builder::new().name("umbel-spawn".to_string()).spawn(work)?;
    Ok(sender)
}
