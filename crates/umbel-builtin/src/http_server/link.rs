//! What a link asks of the HTTP server: which hosts and paths, on which listener.

use super::authority::HostName;
use super::error::ServerError;
use super::manner::{self, Manner};
use std::net::SocketAddr;
use std::sync::Arc;
use umbel_core::link::{LinkKey, ResolvedLink, Values};

/// Keys that wasmCloud 1.x's http-server knows and that have no meaning of their own here: a link is routed by what it says, and
/// connections are kept.
const ACCEPTED: &[&str] = &["routing_mode", "disable_keepalive"];

/// Keys of it that are not served here, and what to do instead.
const NOT_SERVED: &[(&str, &str)] = &[
    ("tls_cert_file", TLS),
    ("tls_priv_key_file", TLS),
    ("config_json", "write its keys one by one"),
    ("config_b64", "write its keys one by one"),
];
const TLS: &str = "TLS is not served here; put a proxy before it, or start the platform with `--no-stand-ins` and the image serves itself";

/// Which listener a claim is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum On {
    /// The one that all applications share.
    Shared,
    /// One of the link's own.
    Own(SocketAddr),
}

/// What one link claims, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) key: LinkKey,
    pub(crate) on: On,
    /// Normal forms; empty only on a listener of its own, where it means every host.
    pub(crate) hosts: Vec<String>,
    /// Prefixes without a final slash; the root is the empty text.
    pub(crate) paths: Vec<String>,
    pub(crate) component: String,
    pub(crate) application: Option<String>,
    /// What is done beside asking the component.
    pub(crate) manner: Option<Arc<Manner>>,
}

impl Claim {
    /// Reads a link. `shared` are the addresses of the shared listener: a manifest that names one of them, or its port on
    /// every interface, means the shared listener, as it would be the only thing there under wasmCloud.
    pub(crate) fn read(
        link: &ResolvedLink,
        provider: &Values,
        application: Option<String>,
        shared: &[SocketAddr],
    ) -> Result<Claim, ServerError> {
        let contract = &link.link.contract;
        let served = ["incoming-handler", "handler"];
        if contract.namespace != "wasi"
            || contract.package != "http"
            || !contract.interfaces.iter().any(|i| served.contains(&i.as_str()))
        {
            return Err(ServerError::Contract { contract: contract.to_string() });
        }
        let (values, provider) = (&small(&link.source_settings()), &small(provider));
        check_keys(values)?;
        let component = link.link.target.clone();
        let port = values.get("port").map(|port| format!("127.0.0.1:{port}"));
        let on = match values.get("address").or(port.as_ref()).or_else(|| provider.get("default_address")) {
            Some(text) => listener(text, shared)?,
            None => On::Shared,
        };
        let manner = Manner::read(provider, values)?;
        let mut hosts = list(values, &["host", "hosts"], host)?;
        if hosts.is_empty() && on == On::Shared {
            hosts.push(default_host(application.as_deref(), &component));
        }
        let mut paths = list(values, &["path", "paths"], path)?;
        if paths.is_empty() {
            paths.push(String::new());
        }
        Ok(Claim { key: link.link.key(), on, hosts, paths, component, application, manner })
    }
}

/// Checks the provider's own config.
pub(crate) fn check_provider(values: &Values) -> Result<(), ServerError> {
    let values = small(values);
    for (key, value) in &values {
        match key.as_str() {
            "default_address" => drop(listener(value, &[])?),
            "header" if value.eq_ignore_ascii_case("host") => {}
            "header" => {
                let reason = "only `host` says here for which component a request is".into();
                return Err(ServerError::LinkConfig { key: key.clone(), reason });
            }
            key if ACCEPTED.contains(&key) || manner::KEYS.contains(&key) => {}
            _ => return Err(unknown(key)),
        }
    }
    Manner::read(&values, &Values::new()).map(drop)
}

fn check_keys(values: &Values) -> Result<(), ServerError> {
    let known = ["host", "hosts", "path", "paths", "address", "port"];
    let is_known = |key: &str| known.contains(&key) || ACCEPTED.contains(&key) || manner::KEYS.contains(&key);
    match values.keys().find(|key| !is_known(key)) {
        Some(key) => Err(unknown(key)),
        None => Ok(()),
    }
}

fn unknown(key: &str) -> ServerError {
    let instead = NOT_SERVED.iter().find(|(name, _)| *name == key).map(|(_, instead)| *instead);
    let reason = instead.unwrap_or("this key is not known").into();
    ServerError::LinkConfig { key: key.chars().take(60).collect(), reason }
}

/// With keys in small letters: wasmCloud takes them in any.
fn small(values: &Values) -> Values {
    values.iter().map(|(key, value)| (key.to_ascii_lowercase(), value.clone())).collect()
}

fn listener(text: &str, shared: &[SocketAddr]) -> Result<On, ServerError> {
    let address: SocketAddr = text.trim().parse().map_err(|_| ServerError::LinkConfig {
        key: "address".into(),
        reason: format!("`{text}` is not IP:PORT, such as 0.0.0.0:8080"),
    })?;
    let is_shared = shared.iter().any(|ours| {
        ours.port() == address.port()
            && (ours.ip() == address.ip() || ours.ip().is_unspecified() || address.ip().is_unspecified())
    });
    Ok(if is_shared && address.port() != 0 { On::Shared } else { On::Own(address) })
}

fn list(
    values: &Values,
    keys: &[&str],
    read: fn(&str) -> Result<String, String>,
) -> Result<Vec<String>, ServerError> {
    let mut items = Vec::new();
    for key in keys {
        let Some(text) = values.get(*key) else { continue };
        for part in text.split(',').map(str::trim) {
            let item = read(part).map_err(|reason| ServerError::LinkConfig { key: (*key).into(), reason })?;
            if !items.contains(&item) {
                items.push(item);
            }
        }
    }
    Ok(items)
}

fn host(text: &str) -> Result<String, String> {
    match HostName::parse(text.as_bytes()) {
        Some(name) if !text.contains(':') || text.starts_with('[') => Ok(name.as_str().to_string()),
        _ => Err(format!("`{text}` is not a host name; write e.g. `api.localhost`, without scheme and port")),
    }
}

fn path(text: &str) -> Result<String, String> {
    if !text.starts_with('/') || text.contains(['?', '#', ' ']) || !text.is_ascii() {
        return Err(format!("`{text}` is not a path prefix; write e.g. `/api`"));
    }
    Ok(text.trim_end_matches('/').to_string())
}

/// `<app>.localhost`, or the component's id made a host name where it belongs to no application.
fn default_host(application: Option<&str>, component: &str) -> String {
    let name = application.unwrap_or(component);
    let label: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .take(63)
        .collect();
    let label = label.trim_matches('-');
    format!("{}.localhost", if label.is_empty() { "component" } else { label })
}

#[cfg(test)]
mod tests;
