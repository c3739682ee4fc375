//! What the engine and its pool are built with.

use std::path::PathBuf;
use std::time::Duration;

/// The settings of one engine.
#[derive(Debug, Clone)]
pub struct Config {
    /// Folder of the compiled code; made when absent, with mode 0700.
    pub cache_dir: PathBuf,
    /// Instances of all components that may run at once. Each slot reserves about 4 GiB of address space, no memory.
    pub instances_max: u32,
    /// Bytes of a linear memory that stay resident in a slot between two instances, so that the next one need not fault them in.
    pub keep_resident_bytes: usize,
    /// Linear memory of all guests together, in bytes; one component may hold half of it.
    pub guest_memory_bytes_max: u64,
    /// How often running guests are looked at: for their deadline, their CPU share, and to give way to others.
    pub tick: Duration,
    /// What one compilation may use.
    pub compile: CompileLimits,
    /// Bytes of compiled code that [`Images::trim_code`](crate::Images::trim_code) leaves, beside what is in use.
    pub code_bytes_max: u64,
}

/// Limits of the compile process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompileLimits {
    /// Address space in bytes.
    pub memory_bytes: u64,
    /// CPU time of all its threads.
    pub cpu: Duration,
    /// Wall time.
    pub wall: Duration,
    /// Bytes of the machine code that it writes.
    pub code_bytes: u64,
}

impl Default for CompileLimits {
    fn default() -> CompileLimits {
        CompileLimits {
            memory_bytes: 4 << 30,
            cpu: Duration::from_secs(180),
            wall: Duration::from_secs(180),
            code_bytes: 1 << 30,
        }
    }
}

/// What the machine has, in bytes: less where a container has less.
fn machine_memory() -> u64 {
    let page = rustix::param::page_size() as u64;
    let info = rustix::system::sysinfo();
    let ram = (info.totalram as u64).saturating_mul(u64::from(info.mem_unit)).max(page);
    // The limits of cgroups, version 2 and 1; "max" and absurd numbers are none.
    let files = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limits =
        files.iter().filter_map(|file| std::fs::read_to_string(file).ok()?.trim().parse::<u64>().ok());
    limits.fold(ram, u64::min)
}

impl Config {
    /// The defaults, with the cache in the given folder.
    pub fn new(cache_dir: impl Into<PathBuf>) -> Config {
        Config {
            cache_dir: cache_dir.into(),
            instances_max: 2_000,
            keep_resident_bytes: 1 << 20,
            guest_memory_bytes_max: machine_memory() / 4 * 3,
            tick: Duration::from_millis(1),
            compile: CompileLimits::default(),
            code_bytes_max: 4 << 30,
        }
    }
}
