//! Events: CloudEvents 1.0 with the names and data of wasmCloud 1.x (`facts/wasmcloud.md` §4.3).

use serde::{Deserialize, Serialize};

/// One CloudEvent. JSON: `{specversion,id,type,source,datacontenttype,time,data}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Always `1.0`.
    pub specversion: String,
    /// Unique per event.
    pub id: String,
    /// `com.wasmcloud.lattice.{name}`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The id of the host that speaks.
    pub source: String,
    /// Always `application/json`.
    pub datacontenttype: String,
    /// RFC 3339, UTC.
    pub time: String,
    /// What happened.
    pub data: serde_json::Value,
}
