//! Who a pid is: pids are used again, so a process is known by its pid, its start time and the boot that it belongs to.

use rustix::process::{Pid, PidfdFlags};
use serde::{Deserialize, Serialize};
use std::os::fd::OwnedFd;

/// A process of this boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// Its pid.
    pub pid: u32,
    /// When it started, in clock ticks since the boot: field 22 of `/proc/PID/stat`.
    pub start_ticks: u64,
}

impl Identity {
    /// The process that has this pid now, dead or alive, as long as it is not reaped.
    pub fn of(pid: u32) -> Option<Identity> {
        Some(Identity { pid, start_ticks: Stat::read(pid)?.start_ticks })
    }

    /// This process.
    pub fn own() -> Option<Identity> {
        Identity::of(std::process::id())
    }

    /// A descriptor of the process, if it is still this one.
    pub(crate) fn open(self) -> Option<OwnedFd> {
        let pidfd = rustix::process::pidfd_open(self.raw()?, PidfdFlags::NONBLOCK).ok()?;
        // Read after the descriptor was opened: from here on it is the one that the descriptor means.
        (Identity::of(self.pid) == Some(self)).then_some(pidfd)
    }

    /// Whether it runs: a zombie does not.
    pub fn is_running(self) -> bool {
        Stat::read(self.pid).is_some_and(|stat| stat.start_ticks == self.start_ticks && stat.is_running())
    }

    pub(super) fn raw(self) -> Option<Pid> {
        i32::try_from(self.pid).ok().and_then(Pid::from_raw)
    }
}

/// The boot of this machine: another one after every start of the kernel. Empty where the kernel does not tell.
pub fn boot_id() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().to_owned()
}

/// What `/proc/PID/stat` says (proc_pid_stat(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) state: char,
    pub(super) parent: u32,
    pub(super) group: u32,
    pub(super) session: u32,
    /// CPU time of the process, user and system, in clock ticks.
    pub(super) cpu_ticks: u64,
    pub(super) start_ticks: u64,
    pub(super) rss_pages: u64,
}

impl Stat {
    pub(super) fn read(pid: u32) -> Option<Stat> {
        Stat::parse(&std::fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The name of the program is in parentheses and may hold anything, so fields are counted from the last one.
    fn parse(bytes: &[u8]) -> Option<Stat> {
        let end = bytes.iter().rposition(|byte| *byte == b')')?;
        let text = std::str::from_utf8(bytes.get(end + 1..)?).ok()?;
        let fields: Vec<&str> = text.split_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        let small = |index: usize| fields.get(index)?.parse::<u32>().ok();
        Some(Stat {
            state: fields.first()?.chars().next()?,
            parent: small(1)?,
            group: small(2)?,
            session: small(3)?,
            cpu_ticks: number(11)?.saturating_add(number(12)?),
            start_ticks: number(19)?,
            rss_pages: number(21)?,
        })
    }

    pub(super) fn is_running(&self) -> bool {
        !matches!(self.state, 'Z' | 'X')
    }
}

/// All pids of this moment.
pub(super) fn all_pids() -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

#[cfg(test)]
mod tests;
