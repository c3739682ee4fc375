//! Budgets: what one component may use. Every limit has a default, is enforced, and is named when it is hit.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The budget of one component. JSON field names carry their units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of linear memory that one instance may hold.
    pub memory_bytes_max: u64,
    /// Share of one core that all instances together may use: 100 is one core; 0 is no limit.
    pub cpu_percent_max: u32,
    /// Longest time from accepting a call until its response begins, and then between two pieces of the response, in ms; 0 is no
    /// limit. A response that goes on, such as a stream of events, may go on for ever.
    pub call_ms_max: u64,
    /// Calls that may run at the same moment, each in an instance of its own.
    pub instances_max: u32,
    /// Calls that may wait for an instance before further ones are refused.
    pub waiting_max: u32,
    /// Bytes of log per second, with a burst of ten seconds' worth; what is above is counted and dropped.
    pub log_bytes_per_s_max: u64,
    /// Hosts that outgoing calls may reach: `example.com`, `*.example.com`, `example.com:8443`, `*`. Empty: none.
    pub outbound_hosts: Vec<String>,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            memory_bytes_max: 256 << 20,
            cpu_percent_max: 0,
            call_ms_max: 30_000,
            instances_max: 100,
            waiting_max: 1_000,
            log_bytes_per_s_max: 64 << 10,
            outbound_hosts: Vec::new(),
        }
    }
}

impl Limits {
    /// The longest call, if there is a limit.
    pub fn call_max(&self) -> Option<Duration> {
        (self.call_ms_max > 0).then(|| Duration::from_millis(self.call_ms_max))
    }

    /// Whether an outgoing call to `host` (with the port it would use) is within the budget.
    pub fn allows_host(&self, host: &str, port: u16) -> bool {
        self.outbound_hosts.iter().any(|pattern| host_matches(pattern, host, port))
    }
}

fn host_matches(pattern: &str, host: &str, port: u16) -> bool {
    let (name, wanted_port) = match pattern.rsplit_once(':') {
        Some((name, port)) if !name.ends_with(':') && port.parse::<u16>().is_ok() => {
            (name, port.parse().ok())
        }
        _ => (pattern, None),
    };
    if wanted_port.is_some_and(|wanted: u16| wanted != port) {
        return false;
    }
    match name.strip_prefix("*.") {
        // At least one more label: `*.example.com` is neither `example.com` nor `.example.com`.
        Some(parent) => host.len().checked_sub(parent.len()).is_some_and(|at| {
            at > 1
                && host.as_bytes()[at - 1] == b'.'
                && host.get(at..).is_some_and(|end| end.eq_ignore_ascii_case(parent))
        }),
        None => name == "*" || name.eq_ignore_ascii_case(host),
    }
}

/// When an instance is made and how long it lives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceMode {
    /// A fresh instance for every call: nothing of one call can be seen by another.
    #[default]
    Fresh,
    /// An instance serves one call after another while it stays healthy.
    Reuse,
}

/// When a command is run again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartMode {
    /// Always: it is a service, and its end is a failure.
    Always,
    /// After it failed: it is to be done once.
    #[default]
    OnFailure,
    /// Never.
    Never,
}

/// What keeps a provider apart from its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// A process of its own, contained and started again when it ends.
    Process,
}

/// What holds a provider that is a process, with all that it starts. What is not said is not limited, but for the number of processes,
/// which the host limits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Containment {
    /// Bytes of memory; at more than this the system ends the whole process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes_max: Option<u64>,
    /// Share of one core: 100 is one core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_percent_max: Option<u32>,
    /// Processes and threads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids_max: Option<u32>,
    /// What it may see of the file system and ask of the system.
    #[serde(skip_serializing_if = "Sandbox::is_none")]
    pub sandbox: Sandbox,
}

/// What a process may see of the file system and ask of the system.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sandbox {
    /// What its user may.
    #[default]
    None,
    /// It reads its program and the system's libraries, writes its own folder alone, and makes no system calls that change the machine.
    Strict,
}

impl Sandbox {
    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        *self == Sandbox::None
    }
}

#[cfg(test)]
mod tests;
