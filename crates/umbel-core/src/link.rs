//! Links: who serves an import. A link binds a source's imported contract, under a link name, to a target.

use crate::settings::{Secrets, with_secrets};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The contract of a link without a version: `wasi:http`, and the interfaces of it that the link carries.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Contract {
    /// WIT namespace, e.g. `wasi`.
    #[serde(rename = "wit_namespace")]
    pub namespace: String,
    /// WIT package, e.g. `http`.
    #[serde(rename = "wit_package")]
    pub package: String,
    /// Interfaces, e.g. `["incoming-handler"]`.
    pub interfaces: Vec<String>,
}

impl Contract {
    /// `wasi:http` with the given interfaces.
    pub fn new(namespace: &str, package: &str, interfaces: &[&str]) -> Contract {
        Contract {
            namespace: namespace.into(),
            package: package.into(),
            interfaces: interfaces.iter().map(|i| (*i).to_string()).collect(),
        }
    }

    /// Whether an import such as `wasi:http/outgoing-handler@0.2.6` is of this contract. Versions are not compared: wasmCloud
    /// 1.x looks links up without them (`facts/wasmcloud.md` §4.6).
    pub fn covers(&self, import: &str) -> bool {
        let unversioned = import.split('@').next().unwrap_or(import);
        let Some((package, interface)) = unversioned.split_once('/') else { return false };
        package.split_once(':') == Some((self.namespace.as_str(), self.package.as_str()))
            && self.interfaces.iter().any(|i| i == interface)
    }
}

impl std::fmt::Display for Contract {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}/{}", self.namespace, self.package, self.interfaces.join(","))
    }
}

/// How far the server of a link may be from its importer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Distance {
    /// It must be in the same host: calls stay in the process.
    Local,
    /// Wherever it is; the nearest is taken.
    #[default]
    Any,
    /// It is on another host.
    Remote,
}

impl Distance {
    fn is_any(&self) -> bool {
        *self == Distance::Any
    }
}

/// The name under which a source keeps several links of one contract; `default` unless said.
pub const DEFAULT_LINK_NAME: &str = "default";

/// What makes a link the same link: a new one with the same key replaces it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LinkKey {
    /// The importer: a component or provider id.
    pub source_id: String,
    /// The link's name.
    pub name: String,
    /// WIT namespace.
    pub wit_namespace: String,
    /// WIT package.
    pub wit_package: String,
}

/// A link as declared: config is named, not resolved. The JSON is that of wasmCloud 1.x (`facts/wasmcloud.md` §4.2, `link.put`)
/// with `distance` added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The importer: a component id, or a provider id such as an HTTP server's.
    pub source_id: String,
    /// The server: a component or provider id.
    pub target: String,
    /// The link's name.
    #[serde(default = "default_link_name")]
    pub name: String,
    /// What it carries.
    #[serde(flatten)]
    pub contract: Contract,
    /// Names of configs for the source's side, merged in order, the later wins.
    #[serde(default)]
    pub source_config: Vec<String>,
    /// Names of configs for the target's side.
    #[serde(default)]
    pub target_config: Vec<String>,
    /// How far the target may be; not in the JSON when it is `any`, so that wasmCloud 1.x reads what it knows.
    #[serde(default, skip_serializing_if = "Distance::is_any")]
    pub distance: Distance,
}

fn default_link_name() -> String {
    DEFAULT_LINK_NAME.into()
}

impl Link {
    /// What identifies the link.
    pub fn key(&self) -> LinkKey {
        LinkKey {
            source_id: self.source_id.clone(),
            name: self.name.clone(),
            wit_namespace: self.contract.namespace.clone(),
            wit_package: self.contract.package.clone(),
        }
    }
}

/// Config values by key.
pub type Values = BTreeMap<String, String>;

/// A link with its configs read: what a provider or a component is handed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedLink {
    /// The declaration.
    pub link: Link,
    /// The merged values of `source_config`.
    pub source_values: Values,
    /// The merged values of `target_config`.
    pub target_values: Values,
    /// The secrets that `source_config` names.
    pub source_secrets: Secrets,
    /// The secrets that `target_config` names.
    pub target_secrets: Secrets,
}

impl ResolvedLink {
    /// A link with values, and without secrets.
    pub fn new(link: Link, source_values: Values, target_values: Values) -> ResolvedLink {
        let (source_secrets, target_secrets) = Default::default();
        ResolvedLink { link, source_values, target_values, source_secrets, target_secrets }
    }

    /// What the source's side is told: values, and under their names secrets that are text.
    pub fn source_settings(&self) -> Values {
        with_secrets(&self.source_values, &self.source_secrets)
    }

    /// The same of the target's side.
    pub fn target_settings(&self) -> Values {
        with_secrets(&self.target_values, &self.target_secrets)
    }
}

#[cfg(test)]
mod tests;
