//! The documents that the API answers with: a promise to whoever reads its JSON.
//!
//! Each carries its type as `$type`, `name/v1`; within a version fields are only added. They are the API's own and not the
//! lattice's messages, so that either can change without the other.

mod application;
mod call;
mod platform;
mod provider;
mod record;
mod secret;
mod spy;
mod usage;
mod wiring;

pub use application::{
    Application, ApplicationList, ApplicationStatus, ApplicationVersion, Change, DeployRequest, Deployed,
    Manifest, Part, Preview, Put, VersionList,
};
pub use call::{CallRequest, CallResult, Wit, WitRequest};
pub use platform::{
    Component, ComponentList, Done, Endpoint, Health, Host, HostList, InspectRequest, Inspection, Need,
    Provider, ProviderList, ProviderProcess, ShutdownRequest, Tree, TreeList, TreeNode, Usage, Version,
};
pub use provider::{
    ProviderDetails, ProviderLink, ProviderMade, ProviderSwap, ProviderSwapList, SwapLink, SwapProvider,
};
pub use record::{EventEntry, EventList, LogEntry, LogList, Lost};
pub use secret::{Secret, SecretList};
pub use spy::SpyEntry;
pub use usage::{ComponentUsage, HostUsage, MemoryUse, ThreadsUse, UsageList};
pub use wiring::{Config, ConfigList, ExplainedLink, Link, LinkExplanation, LinkList, LinkTarget, PutLink};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// A document: plain data with a type of its own.
pub trait Document: Serialize + DeserializeOwned + Send {
    /// What `$type` says, e.g. `link.list/v1`.
    const TYPE: &'static str;

    /// The JSON form, `$type` first.
    fn to_json(&self) -> Value {
        typed(Self::TYPE, self)
    }
}

/// The JSON of `value`, an object, with `$type` as its first field.
pub fn typed(kind: &str, value: &impl Serialize) -> Value {
    let mut object = Map::new();
    object.insert("$type".into(), kind.into());
    match serde_json::to_value(value) {
        Ok(Value::Object(fields)) => object.extend(fields),
        Ok(other) => drop(object.insert("value".into(), other)),
        // Documents are plain data with string keys; should one ever not be, its reader learns so.
        Err(error) => drop(object.insert("error".into(), error.to_string().into())),
    }
    Value::Object(object)
}

macro_rules! documents {
    ($($document:ident = $kind:literal,)*) => {
        $(impl Document for $document { const TYPE: &'static str = $kind; })*
        /// Every document: the name of its schema in the OpenAPI document, and its `$type`.
        pub const ALL: &[(&str, &str)] = &[$((stringify!($document), $kind)),*];
    };
}

documents! {
    Version = "version/v1",
    Health = "health/v1",
    Host = "host/v1",
    HostList = "host.list/v1",
    TreeList = "tree.list/v1",
    Component = "component/v1",
    ComponentList = "component.list/v1",
    UsageList = "usage.list/v1",
    SecretList = "secret.list/v1",
    Provider = "provider/v1",
    ProviderList = "provider.list/v1",
    ProviderDetails = "provider.details/v1",
    ProviderSwapList = "provider.swap.list/v1",
    Application = "application/v1",
    ApplicationList = "application.list/v1",
    ApplicationStatus = "application.status/v1",
    VersionList = "application.version.list/v1",
    Manifest = "application.manifest/v1",
    Put = "application.put/v1",
    Preview = "application.preview/v1",
    Deployed = "application.deployed/v1",
    Link = "link/v1",
    LinkList = "link.list/v1",
    LinkExplanation = "link.explanation/v1",
    Config = "config/v1",
    ConfigList = "config.list/v1",
    LogEntry = "log/v1",
    LogList = "log.list/v1",
    EventEntry = "event/v1",
    EventList = "event.list/v1",
    SpyEntry = "spy/v1",
    Lost = "lost/v1",
    Inspection = "inspection/v1",
    Wit = "wit/v1",
    CallResult = "call/v1",
    Done = "done/v1",
}
