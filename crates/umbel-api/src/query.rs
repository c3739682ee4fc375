//! The parameters of requests, for both sides: the server reads them, the client writes them.

use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

/// Log lines that a request may ask for at once.
pub const LOG_LINES_MAX: u32 = 10_000;
/// Log lines when the request names no number.
pub const LOG_LINES_DEFAULT: u32 = 200;
/// Events that a request may ask for at once.
pub const EVENTS_MAX: u32 = 10_000;
/// Events when the request names no number.
pub const EVENTS_DEFAULT: u32 = 200;

/// Which log lines.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LogQuery {
    /// Of this application.
    pub application: Option<String>,
    /// Of this component.
    pub component: Option<String>,
    /// Of this level or a graver one: `trace`, `debug`, `info`, `warn`, `error`, `critical`.
    pub level: Option<String>,
    /// Not older than this, in milliseconds since 1970.
    pub since_unix_ms: Option<u64>,
    /// How many of the kept lines at most, the newest; 200 when absent, 10,000 at most.
    pub limit: Option<u32>,
}

impl LogQuery {
    /// The query string.
    pub fn encode(&self) -> String {
        encode(&[
            ("application", self.application.clone()),
            ("component", self.component.clone()),
            ("level", self.level.clone()),
            ("since_unix_ms", self.since_unix_ms.map(|ms| ms.to_string())),
            ("limit", self.limit.map(|limit| limit.to_string())),
        ])
    }
}

/// Which events.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventQuery {
    /// Behind this cursor, as an event carried it. Without one: the newest `limit` events that are kept.
    pub since: Option<String>,
    /// How many of the kept events at most; 200 when absent, 10,000 at most.
    pub limit: Option<u32>,
}

impl EventQuery {
    /// The query string.
    pub fn encode(&self) -> String {
        encode(&[("since", self.since.clone()), ("limit", self.limit.map(|limit| limit.to_string()))])
    }
}

/// Bytes of a payload that are shown at most.
pub const SPY_BYTES_MAX: u32 = 64 << 10;

/// Which messages of the lattice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SpyQuery {
    /// Of these kinds, a comma list: `calls`, `control`, `events`, `providers`, `applications`, `state`, `logs`, `secrets`, `other`.
    /// All but `state`, `logs` and `other` when absent. No more than these is listened to; `other` listens to everything.
    pub only: Option<String>,
    /// That have to do with this component, provider or host.
    pub component: Option<String>,
    /// How many bytes of each payload to show, as hex; none when absent, 65,536 at most. Never of what may be secret.
    pub bytes: Option<u32>,
}

impl SpyQuery {
    /// The query string.
    pub fn encode(&self) -> String {
        encode(&[
            ("only", self.only.clone()),
            ("component", self.component.clone()),
            ("bytes", self.bytes.map(|bytes| bytes.to_string())),
        ])
    }
}

/// Which link.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LinkQuery {
    /// The importer's id.
    pub source_id: String,
    /// The link's name; `default` when absent.
    #[serde(default)]
    pub name: Option<String>,
    /// WIT namespace.
    pub wit_namespace: String,
    /// WIT package.
    pub wit_package: String,
}

impl LinkQuery {
    /// The query string.
    pub fn encode(&self) -> String {
        encode(&[
            ("source_id", Some(self.source_id.clone())),
            ("name", self.name.clone()),
            ("wit_namespace", Some(self.wit_namespace.clone())),
            ("wit_package", Some(self.wit_package.clone())),
        ])
    }
}

/// Which links to explain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ExplainQuery {
    /// Whose links: the id of a component or provider.
    pub source_id: String,
    /// Only of this package or interface, e.g. `wasi:keyvalue` or `wasi:keyvalue/store`.
    #[serde(default)]
    pub contract: Option<String>,
    /// Only of this link name.
    #[serde(default)]
    pub name: Option<String>,
}

impl ExplainQuery {
    /// The query string.
    pub fn encode(&self) -> String {
        encode(&[
            ("source_id", Some(self.source_id.clone())),
            ("contract", self.contract.clone()),
            ("name", self.name.clone()),
        ])
    }
}

/// Whose secret; exactly one of the first three.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SecretQuery {
    /// For the components of this application.
    pub application: Option<String>,
    /// For this component, which belongs to no application.
    pub component: Option<String>,
    /// For every link that says `scope: shared`.
    pub shared: Option<bool>,
    /// `text` (default) or `bytes`: how it is revealed. What is not UTF-8 is bytes in any case.
    pub kind: Option<String>,
}

impl SecretQuery {
    /// The query string.
    pub fn encode(&self) -> String {
        encode(&[
            ("application", self.application.clone()),
            ("component", self.component.clone()),
            ("shared", self.shared.map(|shared| shared.to_string())),
            ("kind", self.kind.clone()),
        ])
    }
}

/// Which version of an application.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct VersionQuery {
    /// The version; the newest when absent.
    pub version: Option<String>,
}

/// Where a manifest comes from.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FileQuery {
    /// The name to show in problems.
    pub file: Option<String>,
}

fn encode(pairs: &[(&str, Option<String>)]) -> String {
    let pairs = pairs.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    pairs.map(|(name, value)| format!("{name}={}", encode_segment(value))).collect::<Vec<_>>().join("&")
}

/// Percent-encodes everything but the unreserved characters of RFC 3986 §2.3: right in paths and in queries.
pub fn encode_segment(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// Takes percent-encoding back; `None` when it is not well formed or not UTF-8.
pub(crate) fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (pair, tail) = rest.split_at_checked(2)?;
        bytes.extend(data_encoding::HEXLOWER_PERMISSIVE.decode(pair).ok()?);
        rest = tail;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_plain_is_percent_encoded() {
        assert_eq!(encode_segment("a-b.c_d~9"), "a-b.c_d~9");
        assert_eq!(encode_segment("a/b ü?&=%"), "a%2Fb%20%C3%BC%3F%26%3D%25");
        for text in ["a-b.c_d~9", "a/b ü?&=%", ""] {
            assert_eq!(percent_decode(&encode_segment(text)).as_deref(), Some(text));
        }
        for text in ["%", "%4", "%zz", "%ff"] {
            assert_eq!(percent_decode(text), None);
        }
        assert_eq!(LogQuery::default().encode(), "");
        let query = EventQuery { since: Some("N1:4".into()), limit: Some(3) };
        assert_eq!(query.encode(), "since=N1%3A4&limit=3");
    }
}
