//! The lattice's traffic.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use umbel_lattice::spy::Seen;
use utoipa::ToSchema;

/// One message of the lattice, as far as it may be told. Names in it come from whoever sent it: whoever prints it neutralises control
/// characters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SpyEntry {
    /// When it was seen, in µs since 1970.
    pub unix_us: u64,
    /// `calls`, `control`, `events`, `providers`, `applications`, `state`, `logs`, `secrets` or `other`.
    pub kind: String,
    /// `message`, `request`, `answer`; of calls also `accept`, `params`, `result`, `stream`, `flow`, `cancel`, `drop`.
    pub hop: String,
    /// What is asked, told or called: `component.scale`, `host_heartbeat`, `wasi:keyvalue/store.get`.
    pub what: String,
    /// Who sent it, as far as it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Whom it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Whether what was asked was done; of answers that say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ok: Option<bool>,
    /// The length of its payload, in bytes.
    pub bytes: u64,
    /// The time since the request that it belongs to was seen, in µs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_us: Option<u64>,
    /// Its subject; what may be secret in it is left out.
    pub subject: String,
    /// What tells of it, by name: ids, references, counts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub facts: BTreeMap<String, String>,
    /// The first bytes of its payload as hex, where that was asked for and is allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hex: Option<String>,
    /// All of it on one line, for people.
    pub line: String,
}

impl SpyEntry {
    /// The document for a message that was seen at the time, in µs since 1970.
    pub fn new(unix_us: u64, seen: Seen) -> SpyEntry {
        SpyEntry {
            unix_us,
            line: seen.to_string(),
            kind: seen.kind.as_str().into(),
            hop: seen.hop.as_str().into(),
            what: seen.what,
            from: seen.from,
            to: seen.to,
            ok: seen.ok,
            bytes: seen.bytes as u64,
            took_us: seen.took_us,
            subject: seen.subject,
            facts: seen.facts,
            hex: seen.hex,
        }
    }
}
