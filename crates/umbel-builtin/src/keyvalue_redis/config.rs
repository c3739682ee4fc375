//! What a Redis keyvalue provider and its links are told.

use crate::keyvalue::config::{Target, number, unknown, wrong};
use crate::keyvalue::error::KeyvalueError;
use redis::IntoConnectionInfo;
use std::time::Duration;
use umbel_core::link::Values;

/// The server of a provider that is told no other.
const URL: &str = "redis://127.0.0.1:6379";

/// The validated settings of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `url`: `redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]`, `rediss://…` for TLS, or `unix:///PATH`. Default
    /// `redis://127.0.0.1:6379`.
    pub url: Url,
    /// `prefix`: what all keys begin with. Default `umbel`.
    pub prefix: String,
    /// `timeout_ms`: how long a call may take, with connecting. Default 5 s.
    pub timeout: Duration,
    /// `value_bytes_max`: the largest value. Default 8 MiB, at most 64 MiB.
    pub value_bytes_max: usize,
    /// `application_bytes_max`: all keys and values of one application (or of all shared buckets). Default 1 GiB.
    pub application_bytes_max: u64,
    /// `page_keys_max`: keys that `list-keys` returns at a time. Default 1000.
    pub page_keys_max: usize,
    /// `watch_timeout_ms`: how long a watcher may take for one change. Default 30 s.
    pub watch_timeout: Duration,
}

impl Settings {
    /// Reads the provider's values. Unknown keys are errors.
    pub fn read(values: &Values) -> Result<Settings, KeyvalueError> {
        let mut settings = Settings {
            url: Url(URL.into()),
            prefix: "umbel".into(),
            timeout: Duration::from_secs(5),
            value_bytes_max: 8 << 20,
            application_bytes_max: 1 << 30,
            page_keys_max: 1_000,
            watch_timeout: Duration::from_secs(30),
        };
        for (key, value) in values {
            let number = |max: u64| number(key, value, max);
            let size = |max: u64| number(max).map(|size| usize::try_from(size).unwrap_or(usize::MAX));
            match key.as_str() {
                // Manifests of wasmCloud 1.x have it in either case.
                "url" | "URL" => settings.url = Url::new(value)?,
                // wasmCloud 1.x's own times of connections; `timeout_ms` is for all of it here.
                key if is_of_connections(key) => {}
                "prefix" if is_prefix(value) => settings.prefix.clone_from(value),
                "prefix" => return Err(wrong(key, value, "1 to 100 letters, digits and `/._-`")),
                "timeout_ms" => settings.timeout = Duration::from_millis(number(600_000)?),
                "value_bytes_max" => settings.value_bytes_max = size(64 << 20)?,
                "application_bytes_max" => settings.application_bytes_max = number(1 << 50)?,
                "page_keys_max" => settings.page_keys_max = size(10_000)?,
                "watch_timeout_ms" => settings.watch_timeout = Duration::from_millis(number(86_400_000)?),
                _ => return Err(unknown(key)),
            }
        }
        Ok(settings)
    }
}

fn is_of_connections(key: &str) -> bool {
    let known = [
        "backend_reconnect_num_retries",
        "backend_reconnect_max_delay_ms",
        "backend_connection_timeout_ms",
        "backend_response_timeout_ms",
    ];
    known.iter().any(|known| key.eq_ignore_ascii_case(known))
}

fn is_prefix(text: &str) -> bool {
    (1..=100).contains(&text.len()) && text.bytes().all(is_plain)
}

/// What stands unescaped in the name of a key.
pub(super) fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/._-".contains(&byte)
}

/// What a link to the provider says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinkConfig {
    /// `bucket` and `scope`, as for `keyvalue`.
    pub target: Target,
    /// `url`: another server than the provider's.
    pub url: Option<Url>,
}

impl LinkConfig {
    /// Reads a link's target config. Unknown keys are errors.
    pub fn read(values: &Values) -> Result<LinkConfig, KeyvalueError> {
        let mut config = LinkConfig::default();
        for (key, value) in values {
            if key.eq_ignore_ascii_case("url") {
                config.url = Some(Url::new(value)?);
            } else if is_of_connections(key) {
                continue;
            } else if !config.target.set(key, value)? {
                return Err(unknown(key));
            }
        }
        Ok(config)
    }
}

/// The address of a server. It may have a password in it, so it is never shown.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Url(String);

impl Url {
    /// Checks the form.
    pub fn new(text: &str) -> Result<Url, KeyvalueError> {
        let text = text.trim();
        let known = ["redis://", "rediss://", "unix://"].iter().any(|scheme| text.starts_with(scheme));
        if !known || text.into_connection_info().is_err() {
            let reason = "it is not of the form `redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]`, `rediss://…` or \
                          `unix:///PATH`, with `%XX` for what has a meaning in an address";
            return Err(KeyvalueError::Config { key: "url".into(), reason: reason.into() });
        }
        Ok(Url(text.into()))
    }

    /// The text.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Url(…)")
    }
}
