//! A long-running process that runs: driven by whoever started or adopted it.

use super::cgroup::Cgroup;
use super::group;
use super::home::blocking;
use super::launch::{Launched, Output, Owned};
use super::lines::{Lines, Stream};
use super::record::{Policy, Record};
use super::{Identity, PIPE_GRACE, ProcessError, Service, Status, Stdin, Usage, feed};
use crate::scope::Scope;
use rustix::process::{Signal, WaitId, WaitIdOptions};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;

/// Told each line: at most 8 KiB, without its end; see [`super::LINE_BYTES_MAX`].
pub type OnLine = Arc<dyn Fn(Stream, &[u8]) + Send + Sync>;

/// A process that runs. Dropping it ends all of it: it is killed with its descendants, and its cgroup, run folder and record go.
pub struct Running {
    owned: Owned,
    pidfd: AsyncFd<OwnedFd>,
    readers: Scope,
}

/// How a leader ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// With this status.
    Status(Status),
    /// It was started by an older host, and only its parent is told how it ended.
    Unknown,
}

impl Exit {
    /// Whether it is known to have ended with exit status 0.
    pub fn is_success(self) -> bool {
        self == Exit::Status(Status::Exited(0))
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Exit::Status(status) => status.fmt(f),
            Exit::Unknown => f.write_str("an exit status that only its former host was told"),
        }
    }
}

/// What is left of a process that was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped {
    /// How its leader ended.
    pub exit: Exit,
    /// Whether the leader had to be killed, because it did not end within its grace.
    pub killed: bool,
    /// What it used; not known of an adopted one.
    pub usage: Option<Usage>,
}

/// What a process uses now, with its descendants where it has a cgroup.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Processor time since its start.
    pub cpu: Duration,
    /// How many processes it consists of.
    pub processes: usize,
}

/// Tells what a process uses, for as long as it runs and longer: then it uses nothing.
#[derive(Debug, Clone)]
pub struct Meter {
    leader: Option<Identity>,
    cgroup: Cgroup,
}

impl Meter {
    /// What it uses now.
    pub fn read(&self) -> Load {
        // The pid may be somebody else's by now.
        let leader = self.leader.filter(|leader| leader.is_running());
        let own = leader.map(|leader| super::usage_of(leader.pid)).unwrap_or_default();
        let cgroup = self.cgroup.usage();
        Load {
            memory_bytes: cgroup.memory_bytes.unwrap_or(own.memory_bytes),
            cpu: cgroup.cpu.unwrap_or(own.cpu),
            processes: cgroup.processes.max(own.processes),
        }
    }
}

impl Running {
    /// Takes over what was launched or adopted. Needs a runtime with I/O.
    pub(super) fn launched(launched: Launched, service: &Service) -> Result<Running, ProcessError> {
        let Launched { owned, pidfd, stdin, outputs } = launched;
        let failed = |source| ProcessError::containment(format!("watching `{}`", owned.record.name), source);
        let pidfd = group::watch(pidfd).map_err(failed)?;
        let readers = Scope::new(format!("lines of {}", owned.record.name));
        for (stream, output) in outputs {
            let receiver = match output {
                Output::Pipe(fd) => pipe::Receiver::from_owned_fd(fd),
                Output::Fifo(path) => pipe::OpenOptions::new().open_receiver(path),
            };
            readers.spawn(read(receiver.map_err(failed)?, stream, service.on_line.clone()));
        }
        if let (Some(stdin), Stdin::Bytes(_)) = (stdin, &service.spec.stdin) {
            let (sender, bytes) =
                (pipe::Sender::from_owned_fd(stdin).map_err(failed)?, service.spec.stdin.clone());
            readers.spawn(async move { feed(Some(sender), &bytes).await });
        }
        Ok(Running { owned, pidfd, readers })
    }

    /// The pid of its leader.
    pub fn pid(&self) -> u32 {
        self.owned.record.leader.map_or(0, |leader| leader.pid)
    }

    /// What is on the disk about it.
    pub fn record(&self) -> &Record {
        &self.owned.record
    }

    /// Where its sockets are.
    pub fn run_folder(&self) -> PathBuf {
        self.owned.shared.ground.run_folder(&self.owned.record.name)
    }

    /// Keeps other data in its record.
    pub async fn set_data(&mut self, data: serde_json::Value) -> Result<(), ProcessError> {
        self.owned.record.data = data;
        let (record, ground) = (self.owned.record.clone(), self.owned.shared.ground.clone());
        blocking(move || record.write(&ground.record_path(&record.name))).await
    }

    /// Waits for the end of its leader. Its descendants may still run; [`Running::stop`] ends them. Cancel-safe.
    pub async fn exited(&self) -> Result<Exit, ProcessError> {
        let io = |source| ProcessError::Io { program: self.owned.record.program.clone(), source };
        // The readiness is kept, so every later call returns at once.
        self.pidfd.readable().await.map_err(io)?.retain_ready();
        if self.owned.child.is_none() {
            return Ok(Exit::Unknown);
        }
        // Not reaped, so that its pid stays its own until all of it has ended.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        let status = rustix::process::waitid(WaitId::PidFd(self.pidfd.get_ref().as_fd()), options);
        let status = status.map_err(|error| io(error.into()))?;
        let code = status.as_ref().and_then(|status| status.exit_status()).map(Status::Exited);
        let signal = status.as_ref().and_then(|status| status.terminating_signal()).map(Status::Signaled);
        Ok(code.or(signal).map_or(Exit::Unknown, Exit::Status))
    }

    /// Asks its group to end (SIGTERM).
    pub fn terminate(&self) {
        // Its pid is its own as long as it is not reaped; one that is not our child is looked at first.
        let leader =
            self.owned.record.leader.filter(|leader| self.owned.child.is_some() || leader.is_running());
        if let Some(leader) = leader.and_then(|leader| leader.raw()) {
            let _ = rustix::process::kill_process_group(leader, Signal::TERM);
        }
    }

    /// Kills all of it, descendants too, without waiting.
    pub fn kill(&self) {
        let seen = self.owned.shared.seen_of(&self.owned.record.name);
        self.owned.shared.ground.kill(&self.owned.record, self.owned.child, &seen);
    }

    /// Asks it to end, kills all of it after `grace` or as soon as its leader has ended, and removes all that it had.
    pub async fn stop(self, grace: Duration) -> Result<Stopped, ProcessError> {
        self.terminate();
        let exited = tokio::time::timeout(grace, self.exited()).await;
        let killed = exited.is_err();
        let Running { owned, pidfd, readers } = self;
        let adopted = owned.child.is_none();
        let reaped = blocking(move || owned.end()).await?;
        drop(pidfd);
        // All that it printed is in the pipes now.
        readers.drain(PIPE_GRACE).await;
        let status = reaped.map(|(status, _)| Exit::Status(status)).filter(|_| !adopted);
        let exit = status.unwrap_or(Exit::Unknown);
        Ok(Stopped { exit, killed, usage: reaped.map(|(_, usage)| usage) })
    }

    /// What it uses now.
    pub fn usage(&self) -> Load {
        self.meter().read()
    }

    /// Tells what it uses to somebody who does not drive it.
    pub fn meter(&self) -> Meter {
        Meter { leader: self.owned.record.leader, cgroup: self.owned.record.cgroup.clone() }
    }

    /// Gives it up without ending it: it goes on for the guardian's grace, until another host adopts it. One of policy `end` ends.
    pub fn leave(self) {
        if self.owned.record.policy == Policy::Adopt {
            self.owned.leave();
        }
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("process::Running").field("record", &self.owned.record).finish_non_exhaustive()
    }
}

/// Reads to the end. Reading never waits for anybody: what is told too much is up to whoever is told.
async fn read(mut receiver: pipe::Receiver, stream: Stream, on_line: OnLine) {
    let mut buffer = vec![0; 16 << 10];
    let mut lines = Lines::default();
    loop {
        match receiver.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(length) => lines.put(&buffer[..length], |line| on_line(stream, line)),
        }
        tokio::task::consume_budget().await;
    }
    lines.end(|line| on_line(stream, line));
}
