//! What an http-client is told, by the provider's config and by a link's target config, which overrides it.

use super::error::ClientError;
use std::path::PathBuf;
use std::time::Duration;
use umbel_core::link::Values;

/// Which version of HTTP is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Http2 {
    /// HTTP/2 where the server offers it in the TLS handshake, HTTP/1.1 otherwise.
    Auto,
    /// Never.
    Off,
    /// Always, also without TLS (gRPC inside a network).
    PriorKnowledge,
}

/// The validated settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `ca_file`: a PEM file of authorities that are trusted beside the public ones.
    pub ca_file: Option<PathBuf>,
    /// `deny_private`: refuse names and literals that lead to loopback, link-local or private addresses. Default false.
    pub deny_private: bool,
    /// `http2`: `auto` (default), `off` or `prior-knowledge`.
    pub http2: Http2,
    /// `connect_timeout_ms`: resolving, connecting and the TLS handshake together. Default 10 s.
    pub connect_timeout: Duration,
    /// `first_byte_timeout_ms`: until the head of the response is there. Default 60 s.
    pub first_byte_timeout: Duration,
    /// `between_bytes_timeout_ms`: the longest pause of the response's body. Default 30 s.
    pub between_bytes_timeout: Duration,
    /// `idle_timeout_ms`: how long a connection without a request is kept at least; after twice that it is closed. Default 45 s:
    /// many servers close one after a minute, and one that is about to be closed is not worth a failed request.
    pub idle_timeout: Duration,
    /// `idle_per_host_max`: connections kept for reuse, per host and core. Default 32.
    pub idle_per_host_max: usize,
    /// `connections_max`: open connections, to all hosts together. When there are as many, idle ones are closed, and a request
    /// waits for as long as it may wait for its connection. Default 1,000.
    pub connections_max: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            ca_file: None,
            deny_private: false,
            http2: Http2::Auto,
            connect_timeout: Duration::from_secs(10),
            first_byte_timeout: Duration::from_secs(60),
            between_bytes_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(45),
            idle_per_host_max: 32,
            connections_max: 1_000,
        }
    }
}

impl Settings {
    /// Reads the provider's values, then the link's over them. Unknown keys are errors.
    pub fn read(provider: &Values, link: &Values) -> Result<Settings, ClientError> {
        let mut settings = Settings::default();
        for (key, value) in provider.iter().chain(link) {
            settings.set(key, value.trim())?;
        }
        Ok(settings)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), ClientError> {
        match key {
            // The second name is that of wasmCloud 1.x's http-client.
            "ca_file" | "ssl_certs_file" => self.ca_file = (!value.is_empty()).then(|| value.into()),
            // Public authorities are always trusted here, and no others of the system.
            "load_native_certs" | "load_webpki_certs" => drop(flag(key, value)?),
            "deny_private" => self.deny_private = flag(key, value)?,
            "http2" => {
                self.http2 = match value {
                    "auto" => Http2::Auto,
                    "off" => Http2::Off,
                    "prior-knowledge" => Http2::PriorKnowledge,
                    _ => return Err(wrong(key, value, "`auto`, `off` or `prior-knowledge`")),
                }
            }
            "connect_timeout_ms" => self.connect_timeout = millis(key, value)?,
            "first_byte_timeout_ms" => self.first_byte_timeout = millis(key, value)?,
            "between_bytes_timeout_ms" => self.between_bytes_timeout = millis(key, value)?,
            "idle_timeout_ms" => self.idle_timeout = millis(key, value)?,
            "idle_per_host_max" => {
                self.idle_per_host_max = value.parse().map_err(|_| wrong(key, value, "a number"))?;
            }
            "connections_max" => {
                self.connections_max = match value.parse() {
                    Ok(max) if (1..=100_000).contains(&max) => max,
                    _ => return Err(wrong(key, value, "a number between 1 and 100000")),
                };
            }
            _ => {
                let key = key.chars().take(60).collect();
                return Err(ClientError::Config { key, reason: "this key is not known".into() });
            }
        }
        Ok(())
    }
}

fn wrong(key: &str, value: &str, expected: &str) -> ClientError {
    ClientError::Config { key: key.into(), reason: format!("`{value}` is not {expected}") }
}

fn flag(key: &str, value: &str) -> Result<bool, ClientError> {
    value.parse().map_err(|_| wrong(key, value, "`true` or `false`"))
}

fn millis(key: &str, value: &str) -> Result<Duration, ClientError> {
    match value.parse() {
        Ok(ms) if (1..=86_400_000).contains(&ms) => Ok(Duration::from_millis(ms)),
        _ => Err(wrong(key, value, "a number of milliseconds between 1 and 86400000")),
    }
}

#[cfg(test)]
mod tests;
