//! The platform and what runs in it.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use umbel_core::Problem;
use umbel_core::limits::Limits;
use utoipa::ToSchema;

/// What answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Version {
    /// The platform's version, e.g. `0.1.0`.
    pub version: String,
    /// The version of this API, `v1`.
    pub api: String,
    /// Operating system, e.g. `linux`.
    pub os: String,
    /// Processor architecture, e.g. `x86_64`.
    pub arch: String,
}

/// Whether the platform can work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `ok` when a host answers, otherwise `degraded`.
    pub status: String,
    /// The lattice that this API serves.
    pub lattice: String,
    /// The process id of the platform.
    pub pid: u32,
    /// Hosts that answer.
    pub hosts: usize,
    /// What is wrong.
    #[schema(value_type = Vec<crate::problem::ProblemView>)]
    pub problems: Vec<Problem>,
}

/// One Virtual Host and what runs in it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Host {
    /// Its public key, `N…`.
    pub id: String,
    /// A name for people.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Labels that placement can ask for.
    pub labels: BTreeMap<String, String>,
    /// How long it runs, in seconds.
    pub uptime_s: u64,
    /// Its components.
    pub components: Vec<Component>,
    /// Its providers.
    pub providers: Vec<Provider>,
}

/// The hosts of the lattice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HostList {
    /// One entry for each host that answers.
    pub items: Vec<Host>,
}

/// A component on a host.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Component {
    /// Its id on the lattice.
    pub id: String,
    /// Its name, if its claims or manifest give one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The application that it is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// The host it is on.
    pub host_id: String,
    /// Where its bytes come from.
    pub reference: String,
    /// The digest of its bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// `starting`, `compiling`, `running`, `completed`, `crash-loop` or `failed`.
    pub state: String,
    /// Why it is not running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<crate::problem::ProblemView>)]
    pub problem: Option<Problem>,
    /// Instances that may run at the same moment.
    pub instances_max: u32,
    /// The generation of the plan that started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// Its budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub limits: Option<Limits>,
    /// What it has used of its budget.
    pub usage: Usage,
    /// Interfaces that it imports.
    pub imports: Vec<String>,
    /// Interfaces that it exports.
    pub exports: Vec<String>,
    /// Imports that no link serves: calls to them fail.
    pub unlinked: Vec<String>,
}

/// What a component has used since its host started.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Usage {
    /// Calls that it was given.
    pub calls: u64,
    /// Calls that run now.
    pub calls_in_flight: u64,
    /// Calls that wait for an instance.
    pub calls_waiting: u64,
    /// Calls refused because a limit was reached.
    pub refused: u64,
    /// Calls that ended in a trap.
    pub traps: u64,
    /// CPU time, in microseconds.
    pub cpu_us: u64,
    /// That part of it which long calls took in the background, in microseconds.
    pub cpu_background_us: u64,
    /// Memory that its instances hold now.
    pub memory_bytes: u64,
    /// The most that its instances held.
    pub memory_bytes_max_seen: u64,
    /// Bytes that it logged.
    pub log_bytes: u64,
    /// Bytes of log that were above its rate and dropped.
    pub log_bytes_dropped: u64,
    /// Times a call waited because the CPU share was used up.
    pub cpu_throttled: u64,
    /// Times an instance did not get memory because of the limit.
    pub memory_refused: u64,
}

/// The components of all hosts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ComponentList {
    /// One entry for each component and host.
    pub items: Vec<Component>,
}

/// A provider on a host.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Provider {
    /// Its id on the lattice.
    pub id: String,
    /// Its name, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The application that it is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// The host it is on.
    pub host_id: String,
    /// Where it comes from.
    pub reference: String,
    /// `builtin`, `process` or `component`.
    pub kind: String,
    /// Its state.
    pub state: String,
    /// Why it is not running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<crate::problem::ProblemView>)]
    pub problem: Option<Problem>,
    /// Addresses under which it brings calls from outside.
    pub endpoints: Vec<Endpoint>,
    /// How often what serves was started again.
    #[serde(default)]
    pub restarts: u32,
    /// What is about to take its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coming: Option<super::ProviderMade>,
    /// What was changed of it by hand, until its application is deployed again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_hand: Option<String>,
    /// Its process, if it has one of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<ProviderProcess>,
}

/// The process of a provider, with its descendants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProviderProcess {
    /// Its pid.
    pub pid: u32,
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// Processor time since its start, in microseconds.
    pub cpu_us: u64,
    /// How many processes it consists of.
    pub processes: u32,
}

/// An address that leads to a component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Endpoint {
    /// The component's id.
    pub component: String,
    /// What to open.
    pub url: String,
}

/// The providers of all hosts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProviderList {
    /// One entry for each provider and host.
    pub items: Vec<Provider>,
}

/// The supervision trees.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TreeList {
    /// One for each host.
    pub items: Vec<Tree>,
}

/// The supervision tree of one host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Tree {
    /// The host.
    pub host_id: String,
    /// Its root.
    pub root: TreeNode,
}

/// One child, and the children it supervises.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TreeNode {
    /// Its id among its siblings.
    pub id: String,
    /// What it is, e.g. `supervisor`, `task`, `component`.
    pub kind: String,
    /// `starting`, `running`, `backing-off`, `crash-loop`, `stopping`, `stopped` or `completed`.
    pub state: String,
    /// When it is started again, while it backs off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_in_ms: Option<u64>,
    /// How often it was started again.
    pub restarts: u32,
    /// Since when it is in this state, in milliseconds since 1970.
    pub since_unix_ms: u64,
    /// Why it ended last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<crate::problem::ProblemView>)]
    pub last_exit: Option<Problem>,
    /// What it says about itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Its children, in start order.
    #[serde(default)]
    #[schema(no_recursion)]
    pub children: Vec<TreeNode>,
}

/// Which artifact to look into.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InspectRequest {
    /// A path, `file://…`, `oci://…` or an image name.
    pub reference: String,
}

/// What an artifact is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Inspection {
    /// Where its bytes come from.
    pub reference: String,
    /// `component` or `module`.
    pub kind: String,
    /// Its size in bytes.
    pub size: u64,
    /// The digest of its bytes.
    pub digest: String,
    /// Interfaces that it imports.
    pub imports: Vec<String>,
    /// Interfaces that it exports.
    pub exports: Vec<String>,
    /// What would serve its imports on the host that looked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<Need>,
    /// What its signer says about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub claims: Option<serde_json::Value>,
}

/// What would serve an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Need {
    /// The import.
    pub import: String,
    /// Whether the host serves it itself; otherwise it needs a link.
    pub by_host: bool,
    /// Components and providers that run and could serve it.
    pub served_by: Vec<String>,
}

/// How to stop.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ShutdownRequest {
    /// Why, for the log.
    pub reason: Option<String>,
}

/// It is done, or will be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Done {
    /// What.
    pub message: String,
    /// What may have been meant otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

impl Done {
    /// It is done, and there is nothing to warn of.
    pub fn new(message: impl Into<String>) -> Done {
        Done { message: message.into(), warnings: Vec::new() }
    }
}
