//! Processor time and memory of processes, as `/proc` tells them.
//!
//! User and system time together are what the scheduler's own clock says of a process, in nanoseconds, told in units of 10 ms; only
//! the share of each is sampled. So the sum is exact to a hundredth within a second or more, and that of threads that have ended is in
//! it. What the kernel does for a connection on the loopback is booked on whoever sends: the server pays for its answers to arrive,
//! the load for its requests.

use anyhow::{Context, Result};
use std::fs;

/// The kernel's unit of processor time in `/proc/PID/stat`: 100 a second on every Linux that we run on.
const TICKS_PER_SECOND: f64 = 100.0;

/// One process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stat {
    pub pid: u32,
    pub parent: u32,
    /// User and system time, in seconds, with that of children that have ended.
    pub cpu: f64,
}

/// Reads the line of `/proc/PID/stat`. The name may hold spaces and parentheses, so fields count from the last one.
pub fn parse(line: &str) -> Option<Stat> {
    let pid = line.split(' ').next()?.parse().ok()?;
    let fields: Vec<&str> = line.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: f64 = fields.get(11..15)?.iter().filter_map(|field| field.parse::<f64>().ok()).sum();
    Some(Stat { pid, parent: fields.get(1)?.parse().ok()?, cpu: ticks / TICKS_PER_SECOND })
}

fn all() -> Vec<Stat> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(|entry| parse(&fs::read_to_string(entry.path().join("stat")).ok()?)).collect()
}

/// The process and everything below it.
fn family(root: u32) -> Vec<Stat> {
    let all = all();
    let mut members: Vec<Stat> = all.iter().filter(|stat| stat.pid == root).copied().collect();
    let mut next = 0;
    while let Some(member) = members.get(next).copied() {
        members.extend(all.iter().filter(|stat| stat.parent == member.pid));
        next += 1;
    }
    members
}

/// Seconds of processor time that the process and everything below it have used.
pub fn seconds(root: u32) -> f64 {
    family(root).iter().map(|stat| stat.cpu).sum()
}

/// Resident bytes of the process and everything below it.
pub fn resident_bytes(root: u32) -> Result<u64> {
    family(root).iter().map(|stat| resident_of(stat.pid)).sum()
}

fn resident_of(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("a process without memory")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib << 10)
}
