//! One provider: what there is to know of it, and what is asked of it by hand.

use super::{Link, Provider};
use serde::{Deserialize, Serialize};
use umbel_core::Problem;
use utoipa::ToSchema;

/// All that there is to tell of a provider.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProviderDetails {
    /// As it is listed.
    pub provider: Provider,
    /// Its links.
    pub links: Vec<ProviderLink>,
    /// The keys of its config; values may be nobody's business.
    pub config: Vec<String>,
    /// The names of its secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// Whether it says that it is well.
    pub healthy: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<crate::problem::ProblemView>)]
    pub health: Option<Problem>,
    /// How it ended last, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<crate::problem::ProblemView>)]
    pub last_exit: Option<Problem>,
    /// When it is started again, while it backs off, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_in_ms: Option<u64>,
    /// Where it keeps its data.
    pub folder: String,
    /// What its archive says of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub claims: Option<serde_json::Value>,
}

/// A link of a provider.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProviderLink {
    /// The link.
    pub link: Link,
    /// Whether the provider has taken it and serves.
    pub taken: bool,
    /// Why it has refused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<crate::problem::ProblemView>)]
    pub problem: Option<Problem>,
}

/// What is to run in the place of a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SwapProvider {
    /// `builtin:NAME`, the path of an archive, or a reference of a component. Paths are the host's and absolute.
    pub reference: String,
    /// `process`: a builtin in a process of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<String>,
    /// Whether it is only looked at: the answer says what would move, and what is in the way.
    #[serde(default)]
    pub dry_run: bool,
}

/// What a swap has moved, or would.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProviderSwap {
    /// The provider.
    pub id: String,
    /// The host it is on.
    pub host_id: String,
    /// What ran.
    pub from: ProviderMade,
    /// What is to run.
    pub to: ProviderMade,
    /// `beside`: both run for a while, and nobody waits. `in-turn`: the old one ends before the new one starts, and calls wait.
    pub manner: String,
    /// The links that move.
    pub links: Vec<SwapLink>,
    /// The keys of its config, which the new one is given.
    pub config: Vec<String>,
    /// What else there is to know.
    pub notes: Vec<String>,
    /// Why it cannot be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<crate::problem::ProblemView>)]
    pub problem: Option<Problem>,
}

/// What a provider is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProviderMade {
    /// `builtin`, `process` or `component`.
    pub kind: String,
    /// Where it comes from.
    pub reference: String,
}

/// One link that a swap moves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SwapLink {
    /// The link.
    pub link: Link,
    /// Whether the types of both ends were compared; those of an archive are known when it runs.
    pub compared: bool,
    /// Why the new one cannot have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<crate::problem::ProblemView>)]
    pub problem: Option<Problem>,
}

/// What providers were swapped, or would be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProviderSwapList {
    /// One entry for each host that the provider runs on.
    pub items: Vec<ProviderSwap>,
}
