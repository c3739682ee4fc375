//! Events: CloudEvents 1.0 with the names and data of wasmCloud 1.x (`facts/wasmcloud.md` §4.3).
//!
//! A [`Fact`] is what happened, typed; an [`Event`] is the envelope that travels. Fields stand in the order of the recorded
//! messages, so that ours are the same bytes.
//!
//! ```
//! use umbel_core::{event::{Event, Fact, HealthCheck}, id::HostId};
//! let host = HostId::new("NHOST")?;
//! let fact = Fact::HealthCheckPassed(HealthCheck { host_id: host.to_string(), provider_id: "http".into() });
//! let event = Event::new(&host, std::time::Duration::from_secs(1_790_000_000), &fact);
//! assert_eq!((event.name(), event.fact()), ("health_check_passed", Some(fact)));
//! # Ok::<(), umbel_core::id::IdError>(())
//! ```

use crate::clock::rfc3339;
use crate::id::{HostId, new_uuid};
use crate::link::{Link, LinkKey, Values};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

/// What the type of every event of wasmCloud 1.x begins with.
pub const TYPE_PREFIX: &str = "com.wasmcloud.lattice.";

/// What the type of an event that only Umbel has begins with.
pub const UMBEL_TYPE_PREFIX: &str = "umbel.lattice.";

/// One CloudEvent. JSON: `{specversion,id,type,source,datacontenttype,time,data}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Always `1.0`.
    pub specversion: String,
    /// Unique per event: a UUID made of a ULID.
    pub id: String,
    /// `com.wasmcloud.lattice.{name}`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The id of the host that speaks.
    pub source: String,
    /// Always `application/json`.
    pub datacontenttype: String,
    /// RFC 3339, UTC, nanoseconds.
    pub time: String,
    /// What happened.
    pub data: Value,
}

impl Event {
    /// The event of wasmCloud 1.x that says `fact`, by `source`, at the given Unix time.
    pub fn new(source: &HostId, unix_time: Duration, fact: &Fact) -> Event {
        Event::of_type(format!("{TYPE_PREFIX}{}", fact.name()), source, unix_time, fact.data())
    }

    /// The event that says what was done by hand.
    pub fn by_hand(source: &HostId, unix_time: Duration, deed: &Deed) -> Event {
        Event::umbel(deed.name(), source, unix_time, deed.data())
    }

    /// An event that only Umbel has, for its own event stream: wasmCloud 1.x tools never see it.
    pub fn umbel(name: &str, source: &HostId, unix_time: Duration, data: Value) -> Event {
        Event::of_type(format!("{UMBEL_TYPE_PREFIX}{name}"), source, unix_time, data)
    }

    fn of_type(kind: String, source: &HostId, unix_time: Duration, data: Value) -> Event {
        Event {
            specversion: "1.0".into(),
            id: new_uuid(unix_time),
            kind,
            source: source.to_string(),
            datacontenttype: "application/json".into(),
            time: rfc3339(unix_time),
            data,
        }
    }

    /// The last part of the type, which is also the last part of the subject: `host_started`.
    pub fn name(&self) -> &str {
        self.kind.rsplit('.').next().unwrap_or(&self.kind)
    }

    /// What happened, if this is an event of wasmCloud 1.x whose data is as expected.
    pub fn fact(&self) -> Option<Fact> {
        Fact::read(self.kind.strip_prefix(TYPE_PREFIX)?, &self.data)
    }

    /// What was done by hand, if this is an event of that.
    pub fn deed(&self) -> Option<Deed> {
        Deed::read(self.kind.strip_prefix(UMBEL_TYPE_PREFIX)?, &self.data)
    }
}

macro_rules! facts {
    ($(#[$about:meta])* $all:ident { $($(#[$doc:meta])* $variant:ident($data:ty) = $name:literal,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq)]
        pub enum $all { $($(#[$doc])* $variant($data),)* }

        impl $all {
            /// All names.
            pub const NAMES: &'static [&'static str] = &[$($name),*];

            /// The name: the last part of the event's type and subject.
            pub fn name(&self) -> &'static str {
                match self { $($all::$variant(_) => $name,)* }
            }

            /// The event's data.
            pub fn data(&self) -> Value {
                match self { $($all::$variant(data) => to_value(data),)* }
            }

            fn read(name: &str, data: &Value) -> Option<$all> {
                match name {
                    $($name => from_value::<$data>(data).map($all::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

facts! {
    /// What somebody has done to a provider by hand. Only Umbel tells it.
    Deed {
        /// Another was put in its place.
        ProviderSwapped(ProviderDeed) = "provider_swapped",
        /// It was stopped.
        ProviderStopped(ProviderDeed) = "provider_stopped_by_hand",
        /// It was started again.
        ProviderStarted(ProviderDeed) = "provider_started_by_hand",
        /// It was started anew.
        ProviderRestarted(ProviderDeed) = "provider_restarted_by_hand",
    }
}

/// Data of what was done to a provider by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderDeed {
    /// The application that the provider is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// The host.
    pub host_id: String,
    /// What it is made of, after that.
    pub image_ref: String,
    /// What it was made of before, if that was another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead_of: Option<String>,
    /// How it runs: `builtin`, `process` or `component`.
    pub kind: String,
    /// The provider.
    pub provider_id: String,
}

facts! {
    /// Everything that hosts of wasmCloud 1.x tell.
    Fact {
        /// A host is up.
        HostStarted(HostStarted) = "host_started",
        /// A host is alive; the data is its inventory.
        HostHeartbeat(Value) = "host_heartbeat",
        /// A host has stopped.
        HostStopped(HostStopped) = "host_stopped",
        /// A component has as many instances as was asked for; 0 is a stop.
        ComponentScaled(ComponentScaled) = "component_scaled",
        /// A component could not be scaled.
        ComponentScaleFailed(ComponentScaleFailed) = "component_scale_failed",
        /// A provider runs.
        ProviderStarted(ProviderStarted) = "provider_started",
        /// A provider could not be started.
        ProviderStartFailed(ProviderStartFailed) = "provider_start_failed",
        /// A provider has stopped.
        ProviderStopped(ProviderStopped) = "provider_stopped",
        /// A provider has become healthy.
        HealthCheckPassed(HealthCheck) = "health_check_passed",
        /// A provider has become unhealthy.
        HealthCheckFailed(HealthCheck) = "health_check_failed",
        /// A provider is as healthy as before.
        HealthCheckStatus(HealthCheck) = "health_check_status",
        /// A link was put.
        LinkdefSet(LinkdefSet) = "linkdef_set",
        /// A link could not be put.
        LinkdefSetFailed(LinkdefSetFailed) = "linkdef_set_failed",
        /// A link was deleted.
        LinkdefDeleted(LinkdefDeleted) = "linkdef_deleted",
        /// A config was put.
        ConfigSet(ConfigName) = "config_set",
        /// A config was deleted.
        ConfigDeleted(ConfigName) = "config_deleted",
        /// The labels of a host have changed.
        LabelsChanged(LabelsChanged) = "labels_changed",
    }
}

fn to_value<T: Serialize>(data: &T) -> Value {
    serde_json::to_value(data).expect("facts are structs with string keys")
}

fn from_value<T: DeserializeOwned>(data: &Value) -> Option<T> {
    T::deserialize(data).ok()
}

/// Data of `host_started`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostStarted {
    /// A name for people.
    pub friendly_name: String,
    /// The host's labels.
    pub labels: Values,
    /// Always 0.
    pub uptime_seconds: u64,
    /// The host's version.
    pub version: String,
}

/// Data of `host_stopped`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostStopped {
    /// The host's labels.
    pub labels: Values,
}

/// Claims as events show them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentClaims {
    /// The alias, if the claims have one.
    pub call_alias: Option<String>,
    /// `never`, `in 2days` or `3h ago`.
    pub expires_human: String,
    /// The account that signed.
    pub issuer: String,
    /// The component's name.
    pub name: Option<String>,
    /// `never` or when the claims become valid.
    pub not_before_human: String,
    /// The revision that the signer gave.
    pub revision: Option<i32>,
    /// Tags that the signer gave.
    pub tags: Option<Vec<String>>,
    /// The version that the signer gave.
    pub version: Option<String>,
}

/// Data of `component_scaled`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentScaled {
    /// The annotations of the request.
    #[serde(default)]
    pub annotations: Values,
    /// The claims, if the component is signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<ComponentClaims>,
    /// The component.
    pub component_id: String,
    /// The host.
    pub host_id: String,
    /// The reference, exactly as it was requested.
    pub image_ref: String,
    /// How many instances there may be at once.
    pub max_instances: u32,
    /// The subject of the claims, if the component is signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
}

/// Data of `component_scale_failed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentScaleFailed {
    /// The annotations of the request.
    #[serde(default)]
    pub annotations: Values,
    /// The claims, if the component could be read and is signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<ComponentClaims>,
    /// The component.
    pub component_id: String,
    /// Why.
    pub error: String,
    /// The host.
    pub host_id: String,
    /// The reference, exactly as it was requested.
    pub image_ref: String,
    /// How many instances were asked for.
    pub max_instances: u32,
    /// The subject of the claims, if the component is signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
}

/// A provider's claims as events show them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderClaims {
    /// `never`, `in 2days` or `3h ago`.
    pub expires_human: String,
    /// The account that signed.
    pub issuer: String,
    /// The provider's name.
    pub name: Option<String>,
    /// `never` or when the claims become valid.
    pub not_before_human: String,
    /// Always null: provider claims have no tags.
    pub tags: Option<Vec<String>>,
    /// The version that the signer gave.
    pub version: Option<String>,
}

/// Data of `provider_started`. The fields that are `None` are there only for a provider with claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderStarted {
    /// The annotations of the request.
    #[serde(default)]
    pub annotations: Values,
    /// The claims, if the provider is signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<ProviderClaims>,
    /// The host.
    pub host_id: String,
    /// The reference: wasmCloud 1.x drops a leading `file://` here.
    pub image_ref: String,
    /// The provider's id, once more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// Always `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_name: Option<String>,
    /// The provider.
    pub provider_id: String,
    /// The provider's id, once more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
}

/// Data of `provider_start_failed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderStartFailed {
    /// Why.
    pub error: String,
    /// The host.
    pub host_id: String,
    /// Always `default`.
    pub link_name: String,
    /// The provider.
    pub provider_id: String,
    /// The reference, exactly as it was requested.
    pub provider_ref: String,
}

/// Data of `provider_stopped`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderStopped {
    /// The annotations that it was started with.
    #[serde(default)]
    pub annotations: Values,
    /// The host.
    pub host_id: String,
    /// The provider's id, once more.
    pub instance_id: String,
    /// Always `default`.
    pub link_name: String,
    /// The provider.
    pub provider_id: String,
    /// The provider's id, once more.
    pub public_key: String,
    /// Why, `stop` when it was asked to.
    pub reason: String,
}

/// Data of the three health checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// The host.
    pub host_id: String,
    /// The provider.
    pub provider_id: String,
}

/// Data of `linkdef_set`: the link, in the order of the recorded messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkdefSet {
    /// Interfaces that the link carries.
    pub interfaces: Vec<String>,
    /// The link's name.
    pub name: String,
    /// Names of configs for the source's side.
    #[serde(default)]
    pub source_config: Vec<String>,
    /// The importer.
    pub source_id: String,
    /// The server.
    pub target: String,
    /// Names of configs for the target's side.
    #[serde(default)]
    pub target_config: Vec<String>,
    /// WIT namespace.
    pub wit_namespace: String,
    /// WIT package.
    pub wit_package: String,
}

impl From<&Link> for LinkdefSet {
    fn from(link: &Link) -> LinkdefSet {
        LinkdefSet {
            interfaces: link.contract.interfaces.clone(),
            name: link.name.clone(),
            source_config: link.source_config.clone(),
            source_id: link.source_id.clone(),
            target: link.target.clone(),
            target_config: link.target_config.clone(),
            wit_namespace: link.contract.namespace.clone(),
            wit_package: link.contract.package.clone(),
        }
    }
}

/// Data of `linkdef_set_failed`: the link and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkdefSetFailed {
    /// Why.
    pub error: String,
    /// The link.
    #[serde(flatten)]
    pub link: LinkdefSet,
}

/// Data of `linkdef_deleted`. What the link was is missing when there was none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkdefDeleted {
    /// Interfaces that the link carried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interfaces: Option<Vec<String>>,
    /// The link's name.
    pub name: String,
    /// The importer.
    pub source_id: String,
    /// The server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// WIT namespace.
    pub wit_namespace: String,
    /// WIT package.
    pub wit_package: String,
}

impl LinkdefDeleted {
    /// The deletion of `key`, under which `link` was, if there was one.
    pub fn new(key: &LinkKey, link: Option<&Link>) -> LinkdefDeleted {
        LinkdefDeleted {
            interfaces: link.map(|link| link.contract.interfaces.clone()),
            name: key.name.clone(),
            source_id: key.source_id.clone(),
            target: link.map(|link| link.target.clone()),
            wit_namespace: key.wit_namespace.clone(),
            wit_package: key.wit_package.clone(),
        }
    }
}

/// Data of `config_set` and `config_deleted`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigName {
    /// The config.
    pub config_name: String,
}

/// Data of `labels_changed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelsChanged {
    /// The host.
    pub host_id: String,
    /// All its labels, after the change.
    pub labels: Values,
}

#[cfg(test)]
mod tests;
