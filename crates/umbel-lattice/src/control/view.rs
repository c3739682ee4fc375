//! What a host tells about itself.

use crate::extension::provider::{ByHand, Made};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use umbel_core::Problem;
use umbel_core::id::{ComponentId, HostId, LatticeName, ProviderId};
use umbel_core::limits::Limits;
use umbel_core::link::LinkKey;

/// The answer to `host.ping`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Where it calls from, e.g. `nats://127.0.0.1:4222`.
    pub rpc_host: String,
    /// Where it is controlled from.
    pub ctl_host: String,
    /// A name for people.
    pub friendly_name: String,
    /// Its id.
    pub id: HostId,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Its lattice.
    pub lattice: LatticeName,
    /// JetStream domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub js_domain: Option<String>,
    /// `3s`, `2h 5m`.
    pub uptime_human: String,
    /// Seconds.
    pub uptime_seconds: u64,
    /// The host's version.
    pub version: String,
}

/// Everything that runs on a host; also the data of its heartbeat.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inventory {
    /// Components.
    pub components: Vec<ComponentView>,
    /// Providers.
    pub providers: Vec<ProviderView>,
    /// Links that do not serve, or not yet: an extension.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links_in_trouble: Vec<LinkTrouble>,
    /// The host.
    pub host_id: HostId,
    /// A name for people.
    pub friendly_name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The host's version.
    pub version: String,
    /// `3s`, `2h 5m`.
    pub uptime_human: String,
    /// Seconds.
    pub uptime_seconds: u64,
}

impl Inventory {
    /// No more than what wasmCloud 1.x tells, which is a fraction of it.
    pub fn plain(&self) -> Inventory {
        let component = |view: &ComponentView| ComponentView {
            name: view.name.clone(),
            annotations: view.annotations.clone(),
            revision: view.revision,
            ..ComponentView::new(view.id.clone(), view.image_ref.clone(), view.max_instances)
        };
        let provider = |view: &ProviderView| ProviderView {
            name: view.name.clone(),
            annotations: view.annotations.clone(),
            revision: view.revision,
            ..ProviderView::new(view.id.clone(), view.image_ref.clone())
        };
        Inventory {
            components: self.components.iter().map(component).collect(),
            providers: self.providers.iter().map(provider).collect(),
            links_in_trouble: Vec::new(),
            host_id: self.host_id.clone(),
            friendly_name: self.friendly_name.clone(),
            labels: self.labels.clone(),
            version: self.version.clone(),
            uptime_human: self.uptime_human.clone(),
            uptime_seconds: self.uptime_seconds,
        }
    }
}

/// A link that does not serve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinkTrouble {
    /// Which.
    pub key: LinkKey,
    /// Why not; without it, its provider has not looked at it yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// How a component or provider is. Other hosts do not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartState {
    /// It is being fetched or instantiated.
    Starting,
    /// Its code is being compiled.
    Compiling,
    /// It serves.
    Running,
    /// It has failed and waits for its next start.
    BackingOff,
    /// It finishes the calls in flight, and takes no new ones.
    Draining,
    /// It has ended by itself and was to end.
    Completed,
    /// It is stopped.
    Stopped,
    /// It fails again and again, and is no longer started.
    CrashLoop,
    /// It cannot be started.
    Failed,
    /// Not said, or a word that this build does not know.
    #[default]
    #[serde(other)]
    Unknown,
}

impl PartState {
    /// The word, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            PartState::Starting => "starting",
            PartState::Compiling => "compiling",
            PartState::Running => "running",
            PartState::BackingOff => "backing-off",
            PartState::Draining => "draining",
            PartState::Completed => "completed",
            PartState::Stopped => "stopped",
            PartState::CrashLoop => "crash-loop",
            PartState::Failed => "failed",
            PartState::Unknown => "unknown",
        }
    }

    fn is_unknown(&self) -> bool {
        *self == PartState::Unknown
    }
}

impl std::fmt::Display for PartState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One component. The fields from `state` on are extensions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ComponentView {
    /// Its id.
    pub id: ComponentId,
    /// The `component_ref` that started it, byte-exact.
    pub image_ref: String,
    /// The name in its claims.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The annotations that it was started with, exactly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// The revision in its claims.
    #[serde(default)]
    pub revision: i32,
    /// Calls that may run at once.
    pub max_instances: u32,
    /// Limits as wasmCloud 1.x tells them: null or a map. Always there, as theirs is.
    #[serde(default)]
    pub limits: Option<BTreeMap<String, Value>>,
    /// How it is.
    #[serde(default, skip_serializing_if = "PartState::is_unknown")]
    pub state: PartState,
    /// Why it is not well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// `sha256:…` of what runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The generation of the plan that started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// The generation of the order that what serves now follows; it is older while a newer order is worked on, or if that
    /// cannot be followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation_serving: Option<u64>,
    /// The application that it is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// The budget in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits_set: Option<Limits>,
    /// What it has used.
    #[serde(default, skip_serializing_if = "Usage::is_default")]
    pub usage: Usage,
    /// What it imports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub imports: Vec<String>,
    /// What it exports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exports: Vec<String>,
    /// Imports that no link serves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unlinked: Vec<String>,
}

impl ComponentView {
    /// A view with no more than what wasmCloud 1.x tells.
    pub fn new(id: ComponentId, image_ref: impl Into<String>, max_instances: u32) -> ComponentView {
        ComponentView {
            id,
            image_ref: image_ref.into(),
            name: None,
            annotations: None,
            revision: 0,
            max_instances,
            limits: None,
            state: PartState::Unknown,
            problem: None,
            digest: None,
            generation: None,
            generation_serving: None,
            application: None,
            limits_set: None,
            usage: Usage::default(),
            imports: Vec::new(),
            exports: Vec::new(),
            unlinked: Vec::new(),
        }
    }
}

/// What a component has used since it was started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Calls that have ended.
    pub calls: u64,
    /// Calls that run now.
    pub calls_in_flight: u64,
    /// Calls that wait for an instance.
    pub calls_waiting: u64,
    /// Calls that were refused because a limit was reached.
    pub refused: u64,
    /// Calls that ended in a trap.
    pub traps: u64,
    /// CPU time, in µs.
    pub cpu_us: u64,
    /// That part of it which long calls took in the background, in µs.
    pub cpu_background_us: u64,
    /// Bytes of linear memory now, all instances together.
    pub memory_bytes: u64,
    /// The most that one instance has held.
    pub memory_bytes_max_seen: u64,
    /// Bytes logged.
    pub log_bytes: u64,
    /// Bytes of log that were dropped because of the limit.
    pub log_bytes_dropped: u64,
    /// Times a call waited because the CPU share was used up.
    pub cpu_throttled: u64,
    /// Times an instance did not get memory because of the limit.
    pub memory_refused: u64,
}

impl Usage {
    fn is_default(&self) -> bool {
        *self == Usage::default()
    }
}

/// How a provider runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProviderKind {
    /// Inside the host.
    Builtin,
    /// A process of its own.
    Process,
    /// A component.
    Component,
}

/// One provider. The fields from `kind` on are extensions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProviderView {
    /// Its id.
    pub id: ProviderId,
    /// The `provider_ref` that started it.
    #[serde(default)]
    pub image_ref: String,
    /// The name in its claims.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The revision in its claims.
    #[serde(default)]
    pub revision: i32,
    /// The annotations that it was started with, exactly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// How it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<ProviderKind>,
    /// Its process, if it has one of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessView>,
    /// How it is.
    #[serde(default, skip_serializing_if = "PartState::is_unknown")]
    pub state: PartState,
    /// Why it is not well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// Where its components can be reached.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<Endpoint>,
    /// The application that it is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// How often it was started again.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub restarts: u32,
    /// Whether another provider is about to take its place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_moving: bool,
    /// That other one, if it is made of something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coming: Option<Made>,
    /// What was changed of it by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_hand: Option<ByHand>,
    /// The generation of the plan that started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
}

impl ProviderView {
    /// A view with no more than what wasmCloud 1.x tells.
    pub fn new(id: ProviderId, image_ref: impl Into<String>) -> ProviderView {
        ProviderView {
            id,
            image_ref: image_ref.into(),
            name: None,
            revision: 0,
            annotations: None,
            kind: None,
            process: None,
            state: PartState::Unknown,
            problem: None,
            endpoints: Vec::new(),
            application: None,
            restarts: 0,
            is_moving: false,
            coming: None,
            by_hand: None,
            generation: None,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks like this")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// The process of a provider, with its descendants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessView {
    /// Its pid.
    pub pid: u32,
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// Processor time since its start, in µs.
    pub cpu_us: u64,
    /// How many processes it consists of.
    pub processes: u32,
}

/// Where a component can be reached through a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The component.
    pub component: String,
    /// The URL.
    pub url: String,
}
