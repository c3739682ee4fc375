//! Without cgroups: the processes that descend from a leader, found by walking `/proc`.
//!
//! A process belongs to a leader if it is in its session or group, descends from one that belongs to it, carries its name in the
//! environment that it was started with ([`MARK`]), or was seen to belong to it before. The host is a subreaper then, so that what
//! forks away from its parent becomes the host's child and is reaped. Host and guardian look every [`LOOK`], because the descent of
//! a process is lost with its parent.
//!
//! Not covered: a process that leaves the session, forks twice and clears its environment between two looks; a fork bomb, which can be
//! faster than whoever kills it, because there is no limit of pids; and all limits of memory and processor. Where that matters, give
//! Umbel a cgroup.

use super::group;
use super::identity::{Identity, Stat, all_pids};
use super::record::Record;
use rustix::process::{Pid, Signal, WaitOptions};
use std::collections::{HashMap, HashSet};
use std::sync::PoisonError;
use std::time::Duration;

/// The variable that says to which process of which host something belongs. Only where there are no cgroups.
pub(super) const MARK: &str = "UMBEL_PROCESS";

/// How often descendants are looked for.
pub(crate) const LOOK: Duration = Duration::from_millis(100);

/// The descendants that were seen, by the name of their process.
#[derive(Debug, Default)]
pub(crate) struct Seen(HashMap<String, HashSet<Identity>>);

impl Seen {
    /// Looks at the descendants of these processes once and forgets the others.
    pub(crate) fn look(&mut self, tag: &str, records: &[Record]) {
        self.0.retain(|name, _| records.iter().any(|record| record.name == *name));
        for record in records.iter().filter(|record| record.cgroup.is_none()) {
            let members = members(tag, record, &self.of(&record.name));
            self.0.insert(record.name.clone(), members);
        }
    }

    /// What was seen of a process.
    pub(crate) fn of(&self, name: &str) -> HashSet<Identity> {
        self.0.get(name).cloned().unwrap_or_default()
    }
}

pub(super) fn mark(tag: &str, name: &str) -> String {
    format!("{tag}/{name}")
}

/// The processes that belong to a record and run now.
pub(super) fn members(tag: &str, record: &Record, seen: &HashSet<Identity>) -> HashSet<Identity> {
    if !record.is_of_this_boot() {
        return HashSet::new();
    }
    let all: HashMap<u32, Stat> =
        all_pids().into_iter().filter_map(|pid| Some((pid, Stat::read(pid)?))).collect();
    let leader = record.leader;
    // The leader's pid belongs to somebody else: then its session and group have ended before.
    let reused = leader.is_some_and(|leader| {
        all.get(&leader.pid).is_some_and(|stat| stat.start_ticks != leader.start_ticks)
    });
    let leads = leader.map(|leader| leader.pid).filter(|_| !reused);
    let mark = format!("{MARK}={}", mark(tag, &record.name));
    let own = std::process::id();
    let belongs = |pid: u32, stat: &Stat| {
        let identity = Identity { pid, start_ticks: stat.start_ticks };
        leads.is_some_and(|leader| leader == pid || stat.session == leader || stat.group == leader)
            || seen.contains(&identity)
            || has_mark(pid, &mark)
    };
    let found = all.iter().filter(|(pid, stat)| **pid != own && belongs(**pid, stat));
    let mut family: HashSet<u32> = found.map(|(pid, _)| *pid).collect();
    loop {
        let child = |(pid, stat): &(&u32, &Stat)| !family.contains(pid) && family.contains(&stat.parent);
        let more: Vec<u32> =
            all.iter().filter(child).map(|(pid, _)| *pid).filter(|pid| *pid != own).collect();
        if more.is_empty() {
            break;
        }
        family.extend(more);
    }
    let running = |pid: u32| {
        let stat = all.get(&pid).filter(|stat| stat.is_running())?;
        Some(Identity { pid, start_ticks: stat.start_ticks })
    };
    family.into_iter().filter_map(running).collect()
}

fn has_mark(pid: u32, mark: &str) -> bool {
    let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environ.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
}

/// Kills each of them, if it is still the one that was seen.
pub(super) fn kill(members: &HashSet<Identity>) {
    for pidfd in members.iter().filter_map(|member| member.open()) {
        let _ = rustix::process::pidfd_send_signal(pidfd, Signal::KILL);
    }
}

/// Reaps the children of this process that it was given as a subreaper, and no others: those are waited for by whoever started them.
pub(super) fn reap() {
    let own = std::process::id();
    let zombies = all_pids()
        .into_iter()
        .filter(|pid| Stat::read(*pid).is_some_and(|stat| stat.parent == own && !stat.is_running()));
    for pid in zombies {
        let Ok(_nothing_starts) = group::FORKING.try_write().or_else(|error| match error {
            std::sync::TryLockError::Poisoned(poisoned) => Ok(PoisonError::into_inner(poisoned)),
            std::sync::TryLockError::WouldBlock => Err(()),
        }) else {
            return;
        };
        if !group::leaders().contains(&pid)
            && let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw)
        {
            let _ = rustix::process::waitpid(Some(pid), WaitOptions::NOHANG);
        }
    }
}
