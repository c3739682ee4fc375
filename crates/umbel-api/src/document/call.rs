//! Calls by hand, and what there is to call.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A call of a function that a component exports. Its arguments are `args` or `wave`; neither is a call without arguments.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CallRequest {
    /// The component's id.
    pub component: String,
    /// `ns:pkg/iface.function`, or as much of its end as is unique: `iface.function`, `function`.
    pub function: String,
    /// The arguments as JSON: records are objects, lists and tuples arrays, `none` is null, a variant `"case"` or `{"case": …}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Object>>)]
    pub args: Option<Vec<serde_json::Value>>,
    /// The arguments in WAVE, each a text of its own; a string may go without quotes unless it begins with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wave: Option<Vec<String>>,
    /// How long it may take, in ms; 30,000 when absent, 300,000 at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

/// Whose interfaces are wanted: a component's that runs, or an artifact's; exactly one of the two.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WitRequest {
    /// The component's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// A path of the host, `file://…`, `oci://…` or an image name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

/// The interfaces of a component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Wit {
    /// The digest of its bytes.
    pub digest: String,
    /// Its world, and the interfaces that the world names, as WIT.
    pub wit: String,
}

/// What a function returned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CallResult {
    /// The component's id.
    pub component: String,
    /// The function's whole name, with the version of its interface.
    pub function: String,
    /// Its result as JSON; null if it has none.
    #[schema(value_type = Option<Object>)]
    pub result: Option<serde_json::Value>,
    /// The same in WAVE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wave: Option<String>,
    /// Whether the result is the `err` of a `result`.
    pub is_err: bool,
    /// How long it took, in microseconds.
    pub took_us: u64,
}
