//! What is asked of one provider by hand, and what there is to tell of it.

use crate::control::{ProviderKind, ProviderView};
use serde::{Deserialize, Serialize};
use umbel_core::Problem;
use umbel_core::id::ProviderId;
use umbel_core::limits::Isolation;
use umbel_core::link::Link;

/// Names a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderRequest {
    /// Its id.
    pub provider: ProviderId,
}

/// Puts another provider in the place of one that runs, or looks what that would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwapRequest {
    /// The one that runs.
    pub provider: ProviderId,
    /// What is to run in its place: `builtin:NAME`, an archive, a component.
    pub reference: String,
    /// What it is kept apart from the host by, if it is a builtin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
    /// Whether it is only looked at.
    #[serde(default)]
    pub dry_run: bool,
}

/// What a provider is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// How it runs.
    pub kind: ProviderKind,
    /// Where it comes from.
    pub reference: String,
}

/// What a swap moves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SwapView {
    /// The provider.
    pub provider: ProviderId,
    /// What runs.
    pub from: Made,
    /// What is to run.
    pub to: Made,
    /// Whether the two run at once for a while. Otherwise the old one ends before the new one starts, and calls wait.
    pub beside: bool,
    /// The links that move.
    pub links: Vec<SwapLink>,
    /// The keys of its config, which the new one is given.
    pub config: Vec<String>,
    /// What else there is to know.
    pub notes: Vec<String>,
    /// Why it cannot be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// One link that a swap moves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SwapLink {
    /// The link.
    pub link: Link,
    /// Why the new one cannot have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// Whether the types of both ends were compared, and are the same. Those of an archive are known when it runs.
    pub is_compared: bool,
}

/// What was changed of a provider by hand, until a later deploy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByHand {
    /// What runs in the place of what the manifest says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swapped: Option<Swapped>,
    /// Whether it is stopped.
    #[serde(default)]
    pub is_stopped: bool,
}

/// What was swapped by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swapped {
    /// What the manifest says.
    pub instead_of: String,
    /// What that would be kept apart by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead_isolation: Option<Isolation>,
    /// What runs.
    pub reference: String,
    /// What that is kept apart by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
}

impl std::fmt::Display for ByHand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let apart = |isolation: Option<Isolation>| match isolation {
            Some(Isolation::Process) => " in a process",
            None => "",
        };
        match (&self.swapped, self.is_stopped) {
            (Some(_), true) => write!(f, "swapped and stopped by hand"),
            (None, true) => write!(f, "stopped by hand"),
            (Some(swapped), false) => write!(
                f,
                "swapped by hand: {}{} in place of {}{}",
                swapped.reference,
                apart(swapped.isolation),
                swapped.instead_of,
                apart(swapped.instead_isolation)
            ),
            (None, false) => Ok(()),
        }
    }
}

/// All that there is to tell of a provider.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProviderShow {
    /// As the inventory has it.
    pub view: ProviderView,
    /// Its links.
    pub links: Vec<ProviderLink>,
    /// The keys of its config. Values may be nobody's business.
    pub config: Vec<String>,
    /// The names of its secrets.
    #[serde(default)]
    pub secrets: Vec<String>,
    /// Whether it says that it is well.
    pub is_healthy: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Problem>,
    /// How it ended last, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_exit: Option<Problem>,
    /// When it is started again, in ms, while it waits for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_in_ms: Option<u64>,
    /// Where it keeps its data.
    pub folder: String,
    /// What its archive says of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<serde_json::Value>,
}

/// A link of a provider, and whether it has taken it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProviderLink {
    /// The link.
    pub link: Link,
    /// Whether it serves.
    pub is_taken: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}
