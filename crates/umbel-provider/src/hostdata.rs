//! What a provider process is told at its start: one line of base64 on its standard input (`facts/wasmcloud.md` §4.5).

use crate::wire::InterfaceLinkDefinition;
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use umbel_core::code::{Code, wire};
use umbel_core::link::Values;
use umbel_core::settings::{Secrets, Settings};
use umbel_core::{Coded, Problem};
use zeroize::Zeroizing;

/// Longest line, in bytes.
pub const LINE_BYTES_MAX: usize = 16 << 20;

/// What the scheme of the connection is when it is a unix socket.
const UNIX: &str = "unix://";

/// Why a line is no host data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the host data cannot be used: {why}")]
pub struct HostDataError {
    /// What is wrong; nothing of the line itself, which has secrets.
    pub why: String,
}

impl Coded for HostDataError {
    fn code(&self) -> Code {
        wire::HOST_DATA
    }
}

fn error(why: impl Into<String>) -> HostDataError {
    HostDataError { why: why.into() }
}

/// Everything that a provider process is told at its start. Fields are those of wasmCloud 1.x, with one of ours; fields that are not
/// known are ignored, and those that are missing are empty.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostData {
    /// The host.
    pub host_id: String,
    /// The lattice.
    pub lattice_rpc_prefix: String,
    /// Always `default`.
    pub link_name: String,
    /// The JWT for NATS.
    pub lattice_rpc_user_jwt: String,
    /// The seed for NATS.
    pub lattice_rpc_user_seed: String,
    /// Where to connect: `unix:///path`, or `nats://host:port`.
    pub lattice_rpc_url: String,
    /// The provider's id.
    pub provider_key: String,
    /// Not used any more.
    pub env_values: BTreeMap<String, String>,
    /// A fresh UUID for each start.
    pub instance_id: String,
    /// The links that there are.
    pub link_definitions: Vec<InterfaceLinkDefinition>,
    /// Not used any more.
    pub cluster_issuers: Vec<String>,
    /// Its config, merged.
    pub config: Values,
    /// Its secrets, by name.
    pub secrets: Secrets,
    /// What the host seals secrets of links with.
    pub host_xkey_public_key: String,
    /// What the provider opens them with.
    pub provider_xkey_private_key: String,
    /// How long a call may take, in ms.
    pub default_rpc_timeout_ms: Option<u64>,
    /// Whether lines of the log are JSON.
    pub structured_logging: bool,
    /// How much is logged.
    pub log_level: Option<String>,
    /// OpenTelemetry.
    pub otel_config: serde_json::Value,
    /// Ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub umbel: Option<OwnData>,
}

/// What we add to the host data.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OwnData {
    /// What the process proves itself with at the socket; good for one connection to each host.
    pub token: String,
    /// A folder of its own.
    pub folder: PathBuf,
    /// How long, in ms, a process whose connection has ended tries to come back to the same socket with the same token: another host may
    /// take it over. 0: it ends.
    #[serde(skip_serializing_if = "is_zero")]
    pub reconnect_ms: u64,
    /// Where to connect, where `lattice_rpc_url` is for those that do not know what is ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket: Option<PathBuf>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl HostData {
    /// The host data of a process that connects to a unix socket.
    pub fn unix(host_id: &str, lattice: &str, provider: &str, socket: &Path, own: OwnData) -> HostData {
        HostData {
            host_id: host_id.into(),
            lattice_rpc_prefix: lattice.into(),
            link_name: umbel_core::link::DEFAULT_LINK_NAME.into(),
            lattice_rpc_url: format!("{UNIX}{}", socket.display()),
            provider_key: provider.into(),
            default_rpc_timeout_ms: Some(2_000),
            otel_config: serde_json::json!({}),
            umbel: Some(own),
            ..HostData::default()
        }
    }

    /// The line for standard input, with its end.
    pub fn line(&self) -> Zeroizing<String> {
        // Maps with text keys and plain data: nothing of it can fail.
        let json = Zeroizing::new(serde_json::to_vec(self).expect("host data is plain JSON data"));
        let mut line = BASE64.encode(&json);
        line.push_str("\r\n");
        Zeroizing::new(line)
    }

    /// Reads a line.
    ///
    /// Errors: it is too long, no base64, no JSON, or does not say who the provider is.
    pub fn read(line: &str) -> Result<HostData, HostDataError> {
        if line.len() > LINE_BYTES_MAX {
            return Err(error(format!("the line is longer than {LINE_BYTES_MAX} bytes")));
        }
        let line = line.trim();
        if line.is_empty() {
            return Err(error("the line is empty"));
        }
        let json = BASE64.decode(line.as_bytes()).map_err(|e| error(format!("it is no base64: {e}")))?;
        let json = Zeroizing::new(json);
        let data: HostData = serde_json::from_slice(&json)
            .map_err(|e| error(format!("it is no host data, at byte {}: {:?}", e.column(), e.classify())))?;
        if data.provider_key.is_empty() || data.lattice_rpc_url.is_empty() {
            return Err(error("it names no provider or no connection"));
        }
        Ok(data)
    }

    /// Its config and its secrets.
    pub fn settings(&self) -> Settings {
        Settings { values: self.config.clone(), secrets: self.secrets.clone() }
    }

    /// The socket to connect to.
    ///
    /// Errors: the connection is of another kind.
    pub fn socket(&self) -> Result<&Path, Problem> {
        if let Some(socket) = self.umbel.as_ref().and_then(|own| own.socket.as_deref()) {
            return Ok(socket);
        }
        let path = self.lattice_rpc_url.strip_prefix(UNIX).filter(|path| path.starts_with('/'));
        path.map(Path::new).ok_or_else(|| {
            let scheme = self.lattice_rpc_url.split("://").next().unwrap_or_default();
            Problem::from(&error(format!("this provider connects to `unix:///…` and not to `{scheme}://…`")))
        })
    }
}

/// Who it is for; nothing else, because most of the rest is secret.
impl fmt::Debug for HostData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostData")
            .field("host_id", &self.host_id)
            .field("lattice_rpc_prefix", &self.lattice_rpc_prefix)
            .field("provider_key", &self.provider_key)
            .field("link_definitions", &self.link_definitions.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for OwnData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnData").field("folder", &self.folder).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
