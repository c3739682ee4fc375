//! Links and configs.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use umbel_core::Problem;
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

/// Why the links of a component or provider work, or do not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LinkExplanation {
    /// Whose links they are.
    pub source_id: String,
    /// How the source is; `unknown` when it does not run.
    pub state: String,
    /// Imports that the host serves itself, without a link.
    pub by_host: Vec<String>,
    /// One entry for each import and link; an import without a link has one too.
    pub links: Vec<ExplainedLink>,
}

/// One import, and the link that serves it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExplainedLink {
    /// The import with its version; of a link that serves none, what it carries.
    pub import: String,
    /// The link's name.
    pub name: String,
    /// Whether a call would get to the server.
    pub works: bool,
    /// Where it leads; absent without a link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<LinkTarget>,
    /// What a call does, where the link works: `direct` is a call of a provider in this process, `fresh-instance` makes an instance of the
    /// component, `reused-instance` uses one that is kept, `resident-instance` takes its turn in the one instance of a provider that is a
    /// component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Calls that the target has had, from everywhere, if it is a component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_calls: Option<u64>,
    /// How long a call takes, in microseconds: the median of the last ones whose time was taken. Absent before there were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_us: Option<f64>,
    /// Why it does not work; its help is the command that mends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<crate::problem::ProblemView>)]
    pub problem: Option<Problem>,
    /// What else there is to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Where a link leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LinkTarget {
    /// Its id.
    pub id: String,
    /// `component`, `builtin`, `process`, or `unknown` when it does not run.
    pub kind: String,
    /// What it was started from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Its state.
    pub state: String,
    /// How far it may be: `local`, `any` or `remote`.
    pub distance_asked: String,
    /// How far it is: `local` is in this host. Absent when it does not run.
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
