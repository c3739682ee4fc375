//! What host and provider process say to one another beside calls: the subjects and messages of wasmCloud 1.x (`facts/wasmcloud.md`
//! §4.5), and answers where the original gives none.

use crate::{Endpoint, Health};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use umbel_core::Problem;
use umbel_core::id::LatticeName;
use umbel_core::link::{Contract, Distance, Link, LinkKey, ResolvedLink, Values};
use umbel_core::settings::{Secrets, Settings};
use umbel_wit::Interface;

/// The header with which a host asks for an answer to what the original only publishes.
pub const ACK: &str = "umbel-ack";

/// Subjects of one provider: `wasmbus.rpc.{lattice}.{id}.…`.
#[derive(Debug, Clone)]
pub struct Subjects {
    prefix: String,
    own: String,
    settings: String,
}

impl Subjects {
    /// Those of the provider.
    pub fn new(lattice: &LatticeName, id: &str) -> Subjects {
        Subjects {
            prefix: format!("wasmbus.rpc.{lattice}.{id}"),
            own: umbel_lattice::wrpc::extra(lattice, id, "describe"),
            settings: umbel_lattice::wrpc::extra(lattice, id, "settings"),
        }
    }

    /// Asks how it is; the answer is a [`HealthAnswer`].
    pub fn health(&self) -> String {
        format!("{}.health", self.prefix)
    }

    /// Asks it to end; the payload is a [`Shutdown`], the answer the text `shutting down`.
    pub fn shutdown(&self) -> String {
        format!("{}.default.shutdown", self.prefix)
    }

    /// A link is new, or has changed: an [`InterfaceLinkDefinition`].
    pub fn link_put(&self) -> String {
        format!("{}.linkdefs.put", self.prefix)
    }

    /// A link is gone: an [`InterfaceLinkDefinition`].
    pub fn link_del(&self) -> String {
        format!("{}.linkdefs.del", self.prefix)
    }

    /// Its config has changed: an object of strings.
    pub fn config_update(&self) -> String {
        format!("{}.config.update", self.prefix)
    }

    /// Its config or its secrets have changed: [`NewSettings`]. Ours, in place of [`Subjects::config_update`].
    pub fn settings(&self) -> String {
        self.settings.clone()
    }

    /// Asks what it is; the answer is a [`Description`]. Ours.
    pub fn describe(&self) -> String {
        self.own.clone()
    }
}

/// A link as a provider process is told it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceLinkDefinition {
    /// The importer.
    pub source_id: String,
    /// The server.
    pub target: String,
    /// The link's name.
    #[serde(default = "default_name")]
    pub name: String,
    /// WIT namespace.
    pub wit_namespace: String,
    /// WIT package.
    pub wit_package: String,
    /// Interfaces.
    pub interfaces: Vec<String>,
    /// The merged config of the source's side.
    #[serde(default)]
    pub source_config: Values,
    /// The merged config of the target's side.
    #[serde(default)]
    pub target_config: Values,
    /// Secrets of the source's side, sealed for the provider's xkey.
    #[serde(default)]
    pub source_secrets: Option<Vec<u8>>,
    /// Those of the target's.
    #[serde(default)]
    pub target_secrets: Option<Vec<u8>>,
    /// Ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub umbel: Option<LinkExtra>,
}

/// What we add to a link.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkExtra {
    /// The application of the component at the other end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// Secrets of the source's side: nobody else hears what goes over the socket.
    #[serde(default, skip_serializing_if = "Secrets::is_empty")]
    pub source_secrets: Secrets,
    /// Those of the target's.
    #[serde(default, skip_serializing_if = "Secrets::is_empty")]
    pub target_secrets: Secrets,
}

/// All that a provider is configured with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewSettings {
    /// Its config, merged.
    pub values: Values,
    /// Its secrets, by name.
    #[serde(default)]
    pub secrets: Secrets,
}

impl From<Settings> for NewSettings {
    fn from(settings: Settings) -> NewSettings {
        NewSettings { values: settings.values, secrets: settings.secrets }
    }
}

impl From<NewSettings> for Settings {
    fn from(new: NewSettings) -> Settings {
        Settings { values: new.values, secrets: new.secrets }
    }
}

fn default_name() -> String {
    umbel_core::link::DEFAULT_LINK_NAME.into()
}

impl InterfaceLinkDefinition {
    /// The message for a link to a provider of ours. `application` is that of the component at the other end.
    pub fn new(link: &ResolvedLink, application: Option<String>) -> InterfaceLinkDefinition {
        let (source_secrets, target_secrets) = (link.source_secrets.clone(), link.target_secrets.clone());
        let extra = LinkExtra { application, source_secrets, target_secrets };
        let has_extra = extra != LinkExtra::default();
        InterfaceLinkDefinition { umbel: has_extra.then_some(extra), ..InterfaceLinkDefinition::plain(link) }
    }

    /// The message for a link without what we add, and without secrets.
    pub fn plain(link: &ResolvedLink) -> InterfaceLinkDefinition {
        let contract = &link.link.contract;
        InterfaceLinkDefinition {
            source_id: link.link.source_id.clone(),
            target: link.link.target.clone(),
            name: link.link.name.clone(),
            wit_namespace: contract.namespace.clone(),
            wit_package: contract.package.clone(),
            interfaces: contract.interfaces.clone(),
            source_config: link.source_values.clone(),
            target_config: link.target_values.clone(),
            source_secrets: None,
            target_secrets: None,
            umbel: None,
        }
    }

    /// The link that it means.
    pub fn resolved(&self) -> ResolvedLink {
        let link = Link {
            source_id: self.source_id.clone(),
            target: self.target.clone(),
            name: self.name.clone(),
            contract: Contract {
                namespace: self.wit_namespace.clone(),
                package: self.wit_package.clone(),
                interfaces: self.interfaces.clone(),
            },
            source_config: Vec::new(),
            target_config: Vec::new(),
            distance: Distance::Any,
        };
        let extra = self.umbel.clone().unwrap_or_default();
        ResolvedLink {
            source_secrets: extra.source_secrets,
            target_secrets: extra.target_secrets,
            ..ResolvedLink::new(link, self.source_config.clone(), self.target_config.clone())
        }
    }

    /// The same link without what it is configured with.
    #[must_use]
    pub fn bare(&self) -> InterfaceLinkDefinition {
        let application = self.application().map(str::to_string);
        let extra = application.map(|name| LinkExtra { application: Some(name), ..LinkExtra::default() });
        InterfaceLinkDefinition {
            source_config: Values::new(),
            target_config: Values::new(),
            source_secrets: None,
            target_secrets: None,
            umbel: extra,
            ..self.clone()
        }
    }

    /// What identifies the link.
    pub fn key(&self) -> LinkKey {
        LinkKey {
            source_id: self.source_id.clone(),
            name: self.name.clone(),
            wit_namespace: self.wit_namespace.clone(),
            wit_package: self.wit_package.clone(),
        }
    }

    /// The application of the component at the other end, if it is told.
    pub fn application(&self) -> Option<&str> {
        self.umbel.as_ref()?.application.as_deref()
    }
}

/// Asks a provider to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shutdown {
    /// The host that it runs on; others are not followed.
    pub host_id: String,
    /// How long it may take. Ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

/// The answer to a shutdown.
pub const SHUTTING_DOWN: &str = "shutting down";

/// How a provider is, as the 1.x SDK says it, with what we add.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthAnswer {
    /// Whether it serves.
    pub healthy: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub umbel: Option<HealthExtra>,
}

/// What we add to an answer about health.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthExtra {
    /// Why it is not healthy, whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// Where a user reaches it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<Endpoint>,
}

impl HealthAnswer {
    /// The answer of a provider.
    pub fn new(health: Health, endpoints: Vec<Endpoint>) -> HealthAnswer {
        let problem = match health {
            Health::Healthy => None,
            Health::Unhealthy(problem) => Some(problem),
        };
        let extra = HealthExtra { problem: problem.clone(), endpoints };
        let has_extra = extra != HealthExtra::default();
        HealthAnswer {
            healthy: problem.is_none(),
            message: problem.map(|problem| problem.message),
            umbel: has_extra.then_some(extra),
        }
    }
}

/// The answer to a link or a config, where one was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// Why it was not taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// Where a user reaches the provider from now on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<Endpoint>,
}

/// What a provider is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// Why it could not start; then nothing else is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// What it serves and calls: interfaces by name and version, with their types.
    #[serde(default)]
    pub interfaces: BTreeMap<String, Interface>,
    /// Whether it serves calls at all.
    #[serde(default)]
    pub serves: bool,
    /// Where a user reaches it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<Endpoint>,
    /// The links that it knows, without their configs: those of the host that is gone, when it has come back to another.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<InterfaceLinkDefinition>,
}
