//! Grants: what of the machine one component may use. Without one it has its links, its log, clocks and randomness, and nothing else.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// What is granted to one component.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Grants {
    /// What `wasi:cli/environment.get-arguments` gives.
    pub args: Vec<String>,
    /// What `wasi:cli/environment.get-environment` gives.
    pub env: BTreeMap<String, String>,
    /// Folders of the host that `wasi:filesystem` shows.
    pub folders: Vec<Folder>,
    /// Where `wasi:sockets` may connect and send datagrams to. Names may be looked up when one of these is a name.
    pub connect: Vec<Endpoint>,
    /// Addresses of the host at which `wasi:sockets` may listen and receive.
    pub listen: Vec<Endpoint>,
}

/// A folder of the host that a component sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Folder {
    /// Its path on the host.
    pub path: String,
    /// Where the component sees it.
    pub at: String,
    /// Whether it may change what is in it.
    #[serde(default)]
    pub writable: bool,
}

/// One side of a connection: `db.example:5432`, `10.0.0.0/8:443`, `[::1]:80`, `*:53`, `127.0.0.1:*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The host.
    pub host: EndpointHost,
    /// The port; nothing for all.
    pub port: Option<u16>,
}

/// The host of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointHost {
    /// All.
    Any,
    /// A name, which is looked up at every connection.
    Name(String),
    /// The addresses with that beginning of so many bits.
    Net(IpAddr, u8),
}

impl Endpoint {
    /// Whether the address is one of these. For a name that is to be seen from its addresses: `Err` has the name.
    ///
    /// # Errors
    /// The port fits, and the host is a name.
    pub fn covers(&self, address: SocketAddr) -> Result<bool, &str> {
        if self.port.is_some_and(|port| port != address.port()) {
            return Ok(false);
        }
        match &self.host {
            EndpointHost::Any => Ok(true),
            EndpointHost::Name(name) => Err(name),
            EndpointHost::Net(net, bits) => Ok(is_within(address.ip(), *net, *bits)),
        }
    }
}

fn is_within(address: IpAddr, net: IpAddr, bits: u8) -> bool {
    // An IPv4 address in IPv6's clothes is that address.
    let (differ, width) = match (address.to_canonical(), net) {
        (IpAddr::V4(address), IpAddr::V4(net)) => (u128::from(address.to_bits() ^ net.to_bits()), 32),
        (IpAddr::V6(address), IpAddr::V6(net)) => (address.to_bits() ^ net.to_bits(), 128),
        _ => return false,
    };
    // More bits than the address has are no range, and cover nothing.
    let Some(rest) = u32::checked_sub(width, u32::from(bits)) else { return false };
    differ.checked_shr(rest).is_none_or(|first| first == 0)
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Endpoint, String> {
        let (host, port) = text.rsplit_once(':').ok_or("it has no port")?;
        let port = match port {
            "*" => None,
            port => Some(port.parse().ok().filter(|port| *port > 0).ok_or("its port is not one")?),
        };
        Ok(Endpoint { host: host_of(host)?, port })
    }
}

fn host_of(text: &str) -> Result<EndpointHost, String> {
    if text == "*" {
        return Ok(EndpointHost::Any);
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let (address, bits) = match bare.unwrap_or(text).split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (bare.unwrap_or(text), None),
    };
    if let Ok(address) = address.parse::<IpAddr>() {
        if address.is_ipv6() && bare.is_none() {
            return Err("an IPv6 address is written in brackets".into());
        }
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(bits) => bits.parse().ok().filter(|bits| *bits <= most).ok_or("it has too many bits")?,
        };
        return match (address.to_canonical(), bits) {
            (mapped @ IpAddr::V4(_), 96..) if address.is_ipv6() => Ok(EndpointHost::Net(mapped, bits - 96)),
            (IpAddr::V4(_), _) if address.is_ipv6() => {
                Err("its range is wider than the IPv4 addresses that it maps".into())
            }
            _ => Ok(EndpointHost::Net(address, bits)),
        };
    }
    let is_name = bits.is_none()
        && bare.is_none()
        && !text.is_empty()
        && text.len() <= 253
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    match is_name {
        true => Ok(EndpointHost::Name(text.to_ascii_lowercase())),
        false => Err("its host is neither a name, an address, a range of addresses nor `*`".into()),
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            EndpointHost::Any => f.write_str("*")?,
            EndpointHost::Name(name) => f.write_str(name)?,
            EndpointHost::Net(IpAddr::V4(address), 32) => write!(f, "{address}")?,
            EndpointHost::Net(IpAddr::V4(address), bits) => write!(f, "{address}/{bits}")?,
            EndpointHost::Net(IpAddr::V6(address), 128) => write!(f, "[{address}]")?,
            EndpointHost::Net(IpAddr::V6(address), bits) => write!(f, "[{address}/{bits}]")?,
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => f.write_str(":*"),
        }
    }
}

impl Serialize for Endpoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Endpoint, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|reason| serde::de::Error::custom(format!("`{text}`: {reason}")))
    }
}

#[cfg(test)]
mod tests;
