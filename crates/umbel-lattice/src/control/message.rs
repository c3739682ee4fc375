//! What a host is asked to do.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use umbel_core::grants::Grants;
use umbel_core::id::{ComponentId, HostId, ProviderId};
use umbel_core::limits::{Containment, InstanceMode, Isolation, Limits, RestartMode};
use umbel_core::link::{Distance, Link};

/// Starts, scales or (count 0) stops a component. The work is done after the answer; events tell the outcome.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scale {
    /// Where its bytes are. Echoed byte-exact in inventory and events.
    pub component_ref: String,
    /// Its id on the lattice.
    pub component_id: ComponentId,
    /// Calls that may run at once; 0 stops it.
    #[serde(default)]
    pub count: u32,
    /// The host.
    pub host_id: HostId,
    /// Names of configs, merged in order, the later wins.
    #[serde(default)]
    pub config: Vec<String>,
    /// Whether another `component_ref` may replace a running one.
    #[serde(default)]
    pub allow_update: bool,
    /// Annotations. Echoed exactly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// Limits as wasmCloud 1.x gives them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component_limits: Option<ComponentLimits>,
    /// Extension: the whole budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// Extension: when an instance is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_mode: Option<InstanceMode>,
    /// Extension: what of the machine it may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grants: Option<Grants>,
    /// Extension: when a command is run again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<RestartMode>,
    /// Extension: `sha256:…` that the bytes must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Extension: the plan's generation; a host refuses one that is older than what it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// Extension: the application that it is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
}

impl Scale {
    /// A command with no more than what every host needs.
    pub fn new(
        host_id: HostId,
        component_id: ComponentId,
        component_ref: impl Into<String>,
        count: u32,
    ) -> Scale {
        Scale {
            component_ref: component_ref.into(),
            component_id,
            count,
            host_id,
            config: Vec::new(),
            allow_update: false,
            annotations: None,
            component_limits: None,
            limits: None,
            instance_mode: None,
            grants: None,
            restart: None,
            digest: None,
            generation: None,
            application: None,
        }
    }
}

/// Limits as wasmCloud 1.x gives them: numbers, or texts of numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentLimits {
    /// Bytes of memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_memory_limit: Option<Value>,
    /// Longest call, in ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_execution_time: Option<Value>,
}

impl ComponentLimits {
    /// Bytes of memory, if given and a number.
    pub fn memory_bytes_max(&self) -> Option<u64> {
        number(self.max_memory_limit.as_ref()?)
    }

    /// Longest call in ms, if given and a number.
    pub fn call_ms_max(&self) -> Option<u64> {
        number(self.max_execution_time.as_ref()?)
    }
}

fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())
}

/// Replaces the image of a running component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// Which component.
    pub component_id: ComponentId,
    /// The host.
    pub host_id: HostId,
    /// Where the new bytes are.
    pub new_component_ref: String,
    /// Annotations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
}

/// Starts a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartProvider {
    /// Its id on the lattice.
    pub provider_id: ProviderId,
    /// Where it comes from. Echoed byte-exact.
    pub provider_ref: String,
    /// The host.
    pub host_id: HostId,
    /// Names of configs, merged in order.
    #[serde(default)]
    pub config: Vec<String>,
    /// Annotations. Echoed exactly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// Extension: the plan's generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// Extension: the application that it is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// Extension: what a builtin is kept apart from the host by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
    /// Extension: the budget of a provider that is a component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// Extension: what of the machine a provider that is a component may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grants: Option<Grants>,
    /// Extension: what holds a provider that is a process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub containment: Option<Containment>,
    /// Extension: `sha256:…` that the bytes of a provider that is a component must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

impl StartProvider {
    /// A command with no more than what every host needs.
    pub fn new(host_id: HostId, provider_id: ProviderId, provider_ref: impl Into<String>) -> StartProvider {
        StartProvider {
            provider_id,
            provider_ref: provider_ref.into(),
            host_id,
            config: Vec::new(),
            annotations: None,
            generation: None,
            application: None,
            isolation: None,
            limits: None,
            grants: None,
            containment: None,
            digest: None,
        }
    }
}

/// Stops a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopProvider {
    /// The host.
    pub host_id: HostId,
    /// Which provider.
    #[serde(alias = "provider_ref")]
    pub provider_id: ProviderId,
    /// Extension: the plan's generation; a host refuses one that is older than what it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
}

/// Stops a host. An empty request means the same with no timeout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopHost {
    /// The host.
    pub host_id: HostId,
    /// Ms that calls in flight may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
}

/// Which hosts could run this component? Only those that can, answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentAuction {
    /// Where its bytes are.
    pub component_ref: String,
    /// Its id: a host that runs it already does not answer.
    pub component_id: String,
    /// Labels that the host must have.
    #[serde(default)]
    pub constraints: BTreeMap<String, String>,
}

/// A host's bid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentAuctionAck {
    /// As asked.
    pub component_ref: String,
    /// As asked. Host 1.9.2 repeats `component_ref` here, so this is no checked id.
    pub component_id: String,
    /// Who bids.
    pub host_id: HostId,
    /// As asked.
    #[serde(default)]
    pub constraints: BTreeMap<String, String>,
}

/// Which hosts could run this provider? Only those that can, answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderAuction {
    /// Where it comes from.
    pub provider_ref: String,
    /// Its id; `wash` sends `default`.
    pub provider_id: String,
    /// Labels that the host must have.
    #[serde(default)]
    pub constraints: BTreeMap<String, String>,
}

/// A host's bid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderAuctionAck {
    /// Who bids.
    pub host_id: HostId,
    /// As asked.
    pub provider_ref: String,
    /// As asked.
    pub provider_id: String,
    /// As asked.
    #[serde(default)]
    pub constraints: BTreeMap<String, String>,
}

/// Sets a label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelValue {
    /// The label; `hostcore.…` belongs to the host.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// Deletes a label. A `value`, if there is one, is not looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelKey {
    /// The label.
    pub key: String,
}

/// Credentials of registries, by registry host.
pub type RegistryPut = BTreeMap<String, Registry>;

/// Credentials of one registry.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registry {
    /// User.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// Token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// `oci`.
    #[serde(default, rename = "registryType", skip_serializing_if = "String::is_empty")]
    pub registry_type: String,
}

impl std::fmt::Debug for Registry {
    // Secrets must not reach a log through a derived Debug.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("username", &self.username).finish_non_exhaustive()
    }
}

/// A host asks for credentials of registries at its start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryQuery {
    /// The host's labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// The answer to a [`RegistryQuery`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegistryAnswer {
    /// By registry host.
    #[serde(default)]
    pub registry_credentials: RegistryPut,
}

/// A link as it travels: without our `distance` when that is the default, as other hosts and tools know it. A received one is
/// read as [`Link`].
pub fn link_body(link: &Link) -> Value {
    let mut value = serde_json::to_value(link).expect("a link is plain JSON data");
    if link.distance == Distance::default()
        && let Some(fields) = value.as_object_mut()
    {
        fields.remove("distance");
    }
    value
}

/// Links as they travel.
pub fn links_body(links: &[Link]) -> Value {
    links.iter().map(link_body).collect()
}
