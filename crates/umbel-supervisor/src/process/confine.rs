//! What happens between fork and exec: only system calls, nothing that allocates, locks or panics.
//!
//! ```text
//! fork ─▶ death signal ─▶ own group or session ─▶ cgroups ─▶ rlimits ─▶ own mounts ─▶ tells its pid, waits to be let go ─▶ death signal off, if
//!         it is to outlive the host ─▶ no inherited descriptors ─▶ landlock ─▶ seccomp ─▶ exec
//! ```
//!
//! Until it is let go, the process ends with the host whatever its policy is: nothing runs that is not recorded.
#![expect(unsafe_code, reason = "system calls between fork and exec that no library has without allocating")]

use super::sandbox::Compiled;
use super::{Limits, Spec};
use rustix::process::{Pid, Resource, Rlimit, Signal};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// What a process gets before it runs.
pub(super) struct Confinement {
    pub(super) limits: Limits,
    pub(super) nice: i32,
    /// Whether it ends with the host, once it was let go.
    pub(super) death_signal: bool,
    /// Whether it leads a session of its own.
    pub(super) session: bool,
    /// Whether what it mounts is seen by nobody else, and goes with it.
    pub(super) private_mounts: bool,
    /// Where it enters its cgroups.
    pub(super) doors: Vec<File>,
    pub(super) held: Option<Held>,
    pub(super) sandbox: Compiled,
}

/// The process's ends of what holds it between fork and exec.
pub(super) struct Held {
    /// Takes its pid.
    pub(super) hello: OwnedFd,
    /// Brings one byte when it may go on; the end means that it may not.
    pub(super) go: OwnedFd,
    /// The number of our end of `go`, which a fork copies: open there, it would never come to its end.
    pub(super) our_go: RawFd,
}

impl Confinement {
    /// What a spec alone asks for.
    pub(super) fn of(spec: &Spec, sandbox: Compiled) -> Confinement {
        Confinement {
            limits: spec.limits,
            nice: spec.nice.clamp(0, 19),
            death_signal: spec.death_signal,
            session: spec.session,
            private_mounts: false,
            doors: Vec::new(),
            held: None,
            sandbox,
        }
    }

    /// Puts it on what the command starts. What it holds open is closed with the command.
    pub(super) fn put_on(self, command: &mut Command) {
        if !self.session {
            command.process_group(0);
        }
        let parent = rustix::process::getpid();
        // SAFETY: `enter` makes only system calls: nothing in it allocates, locks or panics, and its errors are bare numbers.
        unsafe { command.pre_exec(move || self.enter(parent)) };
    }

    /// Runs in the child.
    fn enter(&self, parent: Pid) -> io::Result<()> {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have ended before the signal was armed.
        if rustix::process::getppid() != Some(parent) {
            return Err(rustix::io::Errno::SRCH.into());
        }
        if self.session {
            rustix::process::setsid()?;
        }
        for mut door in &self.doors {
            door.write_all(b"0")?;
        }
        self.limit()?;
        if self.private_mounts {
            private_mounts();
        }
        if let Some(held) = &self.held {
            held.wait()?;
        }
        if !self.death_signal {
            rustix::process::set_parent_process_death_signal(None)?;
        }
        // Whatever another part of this program left open is closed by exec; not now, because std reports a failed exec through a pipe.
        // SAFETY: close_range with CLOEXEC only sets a flag on descriptors; by number, because libc has no wrapper for musl.
        // Kernels before 5.11 do not know it; there, every descriptor that Rust opens is closed by exec anyway.
        let _ = unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, 4u32) };
        self.restrict()
    }

    fn limit(&self) -> io::Result<()> {
        let limits = &self.limits;
        limit(Resource::Core, Some(0), 0)?;
        limit(Resource::As, limits.as_bytes, 0)?;
        // One second more until SIGKILL, for a program that catches the first signal.
        limit(Resource::Cpu, limits.cpu_s, 1)?;
        limit(Resource::Nofile, limits.nofile, 0)?;
        limit(Resource::Fsize, limits.fsize_bytes, 0)?;
        if self.nice > 0 {
            rustix::process::setpriority_process(None, self.nice)?;
        }
        Ok(())
    }

    fn restrict(&self) -> io::Result<()> {
        if let Some(rules) = &self.sandbox.landlock {
            // SAFETY: plain numbers; without this, an unprivileged process may not restrict itself.
            checked(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }.into())?;
            // SAFETY: the descriptor is an open rule set, and there are no flags; libc has no wrapper.
            checked(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, rules.as_raw_fd(), 0u32) })?;
        }
        for filter in &self.sandbox.filters {
            // Two system calls on a program that is in memory already.
            seccompiler::apply_filter(filter).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
        }
        Ok(())
    }
}

impl Held {
    fn wait(&self) -> io::Result<()> {
        // SAFETY: the number is of a descriptor that this process got with the fork, and nothing here uses it.
        checked(unsafe { libc::close(self.our_go) }.into())?;
        let pid = rustix::process::getpid().as_raw_nonzero().get().to_ne_bytes();
        rustix::io::write(&self.hello, &pid)?;
        let mut byte = [0];
        let length = rustix::io::retry_on_intr(|| rustix::io::read(&self.go, &mut byte))?;
        if length == 0 { Err(rustix::io::Errno::CANCELED.into()) } else { Ok(()) }
    }
}

/// A mount namespace of its own, which ends with the last process in it, and in which cgroups are read-only, so that root does not
/// just walk out of them. Whoever may not make one may not mount anything either.
fn private_mounts() {
    // SAFETY: the flag changes what this process alone sees; it has one thread, as after every fork.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 {
        return;
    }
    let (none, flags) = (std::ptr::null(), libc::MS_REC | libc::MS_SLAVE);
    // SAFETY: the paths end with a zero, and a change of propagation reads no other argument. What the host mounts later is still seen.
    let _ = unsafe { libc::mount(none, c"/".as_ptr(), none, flags, none.cast()) };
    let attributes = MountAttributes { set: MOUNT_ATTR_RDONLY, ..MountAttributes::default() };
    // SAFETY: the path ends with a zero, and the attributes are a live local with the kernel's shape and size; libc has no wrapper.
    // The hierarchies below are separate mounts, so it is done to all of them. Kernels before 5.12 do not know it.
    let _ = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            c"/sys/fs/cgroup".as_ptr(),
            libc::AT_RECURSIVE,
            &raw const attributes,
            size_of::<MountAttributes>(),
        )
    };
}

/// `struct mount_attr` of mount_setattr(2).
#[repr(C)]
#[derive(Default)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

const MOUNT_ATTR_RDONLY: u64 = 1;

fn checked(result: libc::c_long) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sets a limit, but not above what we may set.
fn limit(resource: Resource, value: Option<u64>, slack: u64) -> rustix::io::Result<()> {
    let Some(value) = value else { return Ok(()) };
    let hard = rustix::process::getrlimit(resource).maximum;
    let clamp = |value: u64| Some(hard.map_or(value, |hard| value.min(hard)));
    let new = Rlimit { current: clamp(value), maximum: clamp(value.saturating_add(slack)) };
    rustix::process::setrlimit(resource, new)
}
