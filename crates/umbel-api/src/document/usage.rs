//! Use of budgets and of the machine.

use super::Usage;
use serde::{Deserialize, Serialize};
use umbel_core::limits::Limits;
use utoipa::ToSchema;

/// What components and processes have used: counters, of which whoever reads twice makes rates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UsageList {
    /// One for each host.
    pub items: Vec<HostUsage>,
}

/// What a host has used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HostUsage {
    /// The host.
    pub host_id: String,
    /// Its process.
    pub pid: u32,
    /// When the counters were read, in microseconds since the host started.
    pub at_us: u64,
    /// By component.
    pub components: Vec<ComponentUsage>,
    /// Processor time of the process, in microseconds; the sum of `threads`.
    pub cpu_us: u64,
    /// The same by threads.
    pub threads: Vec<ThreadsUse>,
    /// Its memory.
    pub memory: MemoryUse,
}

/// What a component has used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ComponentUsage {
    /// Its id.
    pub id: String,
    /// Its application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// Its state.
    pub state: String,
    /// Its budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub limits: Option<Limits>,
    /// Its counters.
    pub usage: Usage,
}

/// What threads of one kind have used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ThreadsUse {
    /// `data-path` (connections and guests), `control-plane`, `background`, or `ended` for those that are gone.
    pub group: String,
    /// How many there are.
    pub threads: u32,
    /// Processor time, in microseconds.
    pub cpu_us: u64,
    /// Time in which they could have run and others had the cores, in microseconds.
    pub waited_us: u64,
}

/// Resident memory of a process; the parts are all of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemoryUse {
    /// All of it.
    pub resident_bytes: u64,
    /// Memories, tables and stacks of instances, also of those that wait for their next call.
    pub instances_bytes: u64,
    /// Machine code of components.
    pub code_bytes: u64,
    /// Everything else.
    pub rest_bytes: u64,
}
