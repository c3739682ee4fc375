//! What is said on our own subjects, `umbel.v1.…` ([`crate::subjects::umbel`]). Requests are answered with a
//! [`crate::control::CtlResponse`].

pub mod artifact;
pub mod provider;

use crate::Message;
use crate::control::{ControlError, PartState, ProviderKind, Usage};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use umbel_core::Problem;
use umbel_core::event::Event;
use umbel_core::id::ComponentId;
use umbel_core::limits::Limits;
use umbel_core::link::Distance;
use zeroize::Zeroizing;

/// Names an artifact, as it was written in the manifest or on the command line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReferenceRequest {
    /// A path, `file://…`, `oci://…` or an image.
    pub reference: String,
    /// Whether it is to be a provider: for some images a builtin stands in.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_provider: bool,
    /// What it is known to be, `sha256:…`, wherever that comes from; otherwise it is looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// The answer to a pin: what the reference means at this moment. The artifact is in the host's store, or, if it is in a registry, can be
/// fetched from there by its digest. Nothing, if there is no artifact: a builtin stands in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pinned {
    /// `sha256:…` of the bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Their number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// What a component is, without running it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ComponentInspect {
    /// `component` or `module`.
    pub kind: String,
    /// What it imports, e.g. `wasi:http/outgoing-handler@0.2.6`.
    pub imports: Vec<String>,
    /// What it exports.
    pub exports: Vec<String>,
    /// What would serve its imports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<Need>,
    /// Bytes.
    pub size: u64,
    /// `sha256:…` of the bytes.
    pub digest: String,
    /// The claims that are embedded, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<Value>,
}

/// Asks why links work, or do not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainRequest {
    /// A component or provider, whose links they are.
    pub source: String,
    /// Only of this package or interface: `wasi:keyvalue`, `wasi:keyvalue/store`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<String>,
    /// Only of this link name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Why links work, or do not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explained {
    /// Whose links they are.
    pub source: String,
    /// How the source is.
    pub state: PartState,
    /// Imports that the host serves itself, without a link.
    #[serde(default)]
    pub by_host: Vec<String>,
    /// One entry for each import and link; an import without a link has one too.
    pub links: Vec<LinkView>,
}

/// One import, and the link that serves it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinkView {
    /// The import with its version; of a link that serves none, what it carries.
    pub import: String,
    /// The link's name.
    pub name: String,
    /// Where it leads; without a link nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// What a call does. Only where the link works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathKind>,
    /// How long a call takes, in nanoseconds: the median of the last ones whose time was taken, one in 32 and every request of HTTP.
    /// Nothing before there were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_ns: Option<u64>,
    /// Why it does not work; its help is the command that mends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// What else there is to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Where a link leads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Its id.
    pub id: String,
    /// What it is.
    pub kind: TargetKind,
    /// How it runs, if it is a provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderKind>,
    /// What it was started from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// How it is.
    pub state: PartState,
    /// How far it may be.
    pub distance: Distance,
    /// Whether it is in this host.
    pub is_local: bool,
}

/// What a link leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetKind {
    /// A component.
    Component,
    /// A provider.
    Provider,
    /// Nothing that runs on the host.
    Unknown,
}

/// What a call over a link does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum PathKind {
    /// It is a call of a provider in this process.
    Direct,
    /// It goes over a unix socket to the provider's process.
    Process,
    /// It makes an instance of the component, and drops it afterwards.
    FreshInstance {
        /// Calls that the component has had from everywhere.
        calls: u64,
    },
    /// It takes its turn in the one instance of a provider that is a component.
    ResidentInstance {
        /// Calls that the provider has had from everywhere since it was started.
        calls: u64,
    },
    /// It uses an instance of the component that is kept.
    ReusedInstance {
        /// Calls that the component has had from everywhere.
        calls: u64,
    },
}

/// What there is to say of a link before it is put. What can never work is refused instead.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// What may be meant otherwise.
    pub warnings: Vec<String>,
}

/// Whose interfaces are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WitRequest {
    /// Those of what runs under the id.
    Component(ComponentId),
    /// Those of an artifact.
    Reference(String),
}

/// A component's interfaces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WitReply {
    /// `sha256:…` of the bytes.
    pub digest: String,
    /// Its world, and the interfaces that the world names, as WIT.
    pub wit: String,
}

/// Calls a function that a component exports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallRequest {
    /// The component.
    pub component: ComponentId,
    /// `ns:pkg/iface.function`, or as much of its end as is unique.
    pub function: String,
    /// The arguments in their order.
    pub args: CallArgs,
    /// How long it may take, in ms.
    pub timeout_ms: u64,
}

/// The arguments of a call, in one of two forms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallArgs {
    /// Each in WAVE.
    Wave(Vec<String>),
    /// Each as JSON.
    Json(Vec<Value>),
}

/// What a function returned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallReply {
    /// Its whole name, with the version of the interface.
    pub function: String,
    /// Its result as JSON, if it has one.
    #[serde(default)]
    pub result: Option<Value>,
    /// The same in WAVE.
    #[serde(default)]
    pub wave: Option<String>,
    /// Whether the result is the `err` of a `result`.
    #[serde(default)]
    pub is_err: bool,
    /// How long it took, from asking for an instance to the result, in µs.
    #[serde(default)]
    pub took_us: u64,
}

/// What would serve an import on this host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    /// The import.
    pub import: String,
    /// Whether the host serves it itself; otherwise it needs a link.
    pub by_host: bool,
    /// Components and providers that run and could serve it.
    pub served_by: Vec<String>,
}

/// One line that a component has logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Grows by one with each line of the host.
    pub seq: u64,
    /// When, in ms since 1970.
    pub unix_ms: u64,
    /// Which component.
    pub component: ComponentId,
    /// The application it is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// `trace`, `debug`, `info`, `warn`, `error` or `critical`.
    pub level: String,
    /// `stdout`, `stderr`, `log` (`wasi:logging`) or `host` (what the host says about the component).
    pub stream: String,
    /// The context that `wasi:logging` gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// The text, without terminal escapes and line ends.
    pub message: String,
    /// How many lines of the component were before this one and are no longer kept; said of its oldest line that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped_before: Option<u64>,
}

/// Asks for log lines that the host remembers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogsRequest {
    /// Only of this component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<ComponentId>,
    /// Only of this application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// At most so many, the newest.
    pub limit: usize,
    /// Only lines after this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_seq: Option<u64>,
}

/// Asks for events that the host remembers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventsRequest {
    /// Only events after this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_seq: Option<u64>,
    /// At most so many.
    pub limit: usize,
}

/// Events that the host remembers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventsReply {
    /// In order.
    pub events: Vec<NumberedEvent>,
    /// The oldest that it remembers: what is before cannot be had.
    pub oldest_seq: u64,
}

/// An event with its number; also what is published on [`crate::subjects::umbel::events`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NumberedEvent {
    /// Grows by one with each event of the host.
    pub seq: u64,
    /// The event.
    pub event: Event,
}

/// What components and the process of a host have used: counters, of which whoever reads twice makes rates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UsageReport {
    /// The process.
    pub pid: u32,
    /// When, in µs since the host started.
    pub at_us: u64,
    /// By component.
    pub components: Vec<ComponentUsage>,
    /// Processor time of the process, in µs.
    pub cpu_us: u64,
    /// The same by threads.
    pub threads: Vec<ThreadsUse>,
    /// Its memory.
    pub memory: MemoryUse,
}

/// What a component has used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ComponentUsage {
    /// The component.
    pub id: ComponentId,
    /// Its application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// How it is.
    pub state: PartState,
    /// Its budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// Its counters.
    pub usage: Usage,
}

/// What threads of one kind have used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadsUse {
    /// `data-path`, `control-plane`, `background`, or `ended` for those that are gone.
    pub group: String,
    /// How many there are.
    pub threads: u32,
    /// Processor time, in µs.
    pub cpu_us: u64,
    /// Time in which they could have run and others had the cores, in µs.
    pub waited_us: u64,
}

/// Resident memory of the process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
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

/// Whose a secret is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecretOwner {
    /// An application's.
    Application(String),
    /// That of a component which belongs to no application.
    Component(String),
    /// Everybody's whose link says so.
    Shared,
}

/// Names a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretKey {
    /// Whose it is.
    pub owner: SecretOwner,
    /// Its name.
    pub name: String,
}

/// What is said of a secret that is put. Its value is the message's body as it is: in no JSON, whose errors quote what they do not
/// understand, and wiped when the last holder of the message lets go of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretPut {
    /// What it is called.
    pub key: SecretKey,
    /// Whether it is revealed as text.
    pub is_text: bool,
}

/// The header that [`SecretPut`] travels in.
const SECRET_HEADER: &str = "Umbel-Secret";

impl SecretPut {
    /// The message that puts the value.
    pub fn message(&self, subject: String, value: Zeroizing<Vec<u8>>) -> Message {
        let said = serde_json::to_string(self).expect("plain data with string keys is JSON");
        Message::new(subject, Bytes::from_owner(value)).with_header(SECRET_HEADER, said)
    }

    /// What a message says.
    pub fn of(message: &Message) -> Result<SecretPut, ControlError> {
        let said = message.headers.get(SECRET_HEADER).unwrap_or_default();
        serde_json::from_str(said).map_err(|source| ControlError::Request {
            subject: message.subject.clone(),
            source: Arc::new(source),
        })
    }
}

/// A secret without its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretView {
    /// Whose it is.
    pub owner: SecretOwner,
    /// Its name.
    pub name: String,
    /// How often it was put.
    pub version: u64,
    /// When it was put, in ms since 1970, if that was noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub put_unix_ms: Option<u64>,
}
