//! Links and configs.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A link: who serves an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Link {
    /// The importer's id.
    pub source_id: String,
    /// The server's id.
    pub target: String,
    /// The link's name, `default` unless said.
    pub name: String,
    /// WIT namespace, e.g. `wasi`.
    pub wit_namespace: String,
    /// WIT package, e.g. `http`.
    pub wit_package: String,
    /// Interfaces, e.g. `["outgoing-handler"]`.
    pub interfaces: Vec<String>,
    /// Names of configs for the importer's side.
    pub source_config: Vec<String>,
    /// Names of configs for the server's side.
    pub target_config: Vec<String>,
    /// `local`, `any` or `remote`.
    pub distance: String,
}

/// All links.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LinkList {
    /// By source.
    pub items: Vec<Link>,
}

/// A link to put; one with the same source, name and package replaces it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutLink {
    /// The importer's id.
    pub source_id: String,
    /// The server's id.
    pub target: String,
    /// The link's name; `default` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// WIT namespace.
    pub wit_namespace: String,
    /// WIT package.
    pub wit_package: String,
    /// Interfaces.
    pub interfaces: Vec<String>,
    /// Names of configs for the importer's side.
    #[serde(default)]
    pub source_config: Vec<String>,
    /// Names of configs for the server's side.
    #[serde(default)]
    pub target_config: Vec<String>,
    /// `local`, `any` or `remote`; `any` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distance: Option<String>,
}

/// A named config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Config {
    /// Its name.
    pub name: String,
    /// Its values.
    pub values: BTreeMap<String, String>,
}

/// The names of all configs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConfigList {
    /// In order.
    pub items: Vec<String>,
}
