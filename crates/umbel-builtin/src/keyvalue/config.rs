//! What a keyvalue provider and its links are told.

use super::error::KeyvalueError;
use super::place::NAME_BYTES_MAX;
use std::time::Duration;
use umbel_core::link::Values;

/// Keys of wasmCloud 1.x's keyvalue-nats that say how to reach a server, and how it keeps a bucket. There is none here.
const WITHOUT_MEANING: &[&str] = &[
    "cluster_uri",
    "cluster_uris",
    "js_domain",
    "client_jwt",
    "client_seed",
    "tls_ca",
    "tls_ca_file",
    "max_write_wait",
    "enable_bucket_auto_create",
];

/// The validated settings of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `value_bytes_max`: the largest value. Default 8 MiB, at most 64 MiB.
    pub value_bytes_max: usize,
    /// `application_bytes_max`: all keys and values of one application (or of all shared buckets). Default 1 GiB.
    pub application_bytes_max: u64,
    /// `total_bytes_max`: all keys and values. Default 4 GiB.
    pub total_bytes_max: u64,
    /// `page_keys_max`: keys that `list-keys` returns at a time. Default 1000.
    pub page_keys_max: usize,
    /// `watch_timeout_ms`: how long a watcher may take for one change. Default 30 s.
    pub watch_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            value_bytes_max: 8 << 20,
            application_bytes_max: 1 << 30,
            total_bytes_max: 4 << 30,
            page_keys_max: 1_000,
            watch_timeout: Duration::from_secs(30),
        }
    }
}

impl Settings {
    /// Reads the provider's values. Unknown keys are errors.
    pub fn read(values: &Values) -> Result<Settings, KeyvalueError> {
        let mut settings = Settings::default();
        for (key, value) in values {
            let number = |max: u64| number(key, value, max);
            let size = |max: u64| number(max).map(|size| usize::try_from(size).unwrap_or(usize::MAX));
            match key.as_str() {
                "value_bytes_max" => settings.value_bytes_max = size(64 << 20)?,
                "application_bytes_max" => settings.application_bytes_max = number(1 << 50)?,
                "total_bytes_max" => settings.total_bytes_max = number(1 << 50)?,
                "page_keys_max" => settings.page_keys_max = size(10_000)?,
                "watch_timeout_ms" => settings.watch_timeout = Duration::from_millis(number(86_400_000)?),
                key if WITHOUT_MEANING.contains(&key) => {}
                _ => return Err(unknown(key)),
            }
        }
        Ok(settings)
    }
}

/// What a link to the provider says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    /// `bucket`: the bucket that everything opened over the link leads to. Without it the component chooses.
    pub bucket: Option<String>,
    /// `scope`: `application` (default), or `shared` for buckets that every link with this scope sees.
    pub shared: bool,
}

impl Target {
    /// Reads a link's target config. Unknown keys are errors.
    pub fn read(values: &Values) -> Result<Target, KeyvalueError> {
        let mut target = Target::default();
        for (key, value) in values {
            if !target.set(key, value)? {
                return Err(unknown(key));
            }
        }
        Ok(target)
    }

    pub(crate) fn set(&mut self, key: &str, value: &str) -> Result<bool, KeyvalueError> {
        match (key, value) {
            ("bucket", name) if name.len() <= NAME_BYTES_MAX => self.bucket = Some(name.to_string()),
            ("bucket", _) => return Err(wrong(key, value, "at most 256 bytes long")),
            ("scope", "application") => self.shared = false,
            ("scope", "shared") => self.shared = true,
            ("scope", _) => return Err(wrong(key, value, "`application` or `shared`")),
            (key, _) if WITHOUT_MEANING.contains(&key) => {}
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// What a link from the provider to a watching component says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watching {
    /// Which bucket; without `bucket` all that the component's application (or the shared scope) has.
    pub target: Target,
    /// `watch`: what it wants to hear of, as wasmCloud 1.x writes it: `SET@key,DEL@key`; a key that ends with `*` is the beginning of
    /// keys. Without it everything.
    pub patterns: Vec<Pattern>,
}

/// One thing that a watcher wants to hear of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// Deletes, or else sets.
    pub deletes: bool,
    /// The key, or its beginning.
    pub key: String,
    /// Whether every key that begins so is meant.
    pub prefix: bool,
}

impl Watching {
    /// Reads a link's source config. Unknown keys are errors.
    pub fn read(values: &Values) -> Result<Watching, KeyvalueError> {
        let mut watching = Watching::default();
        for (key, value) in values {
            if key == "watch" {
                let parts = value.split(',').map(str::trim).filter(|part| !part.is_empty());
                watching.patterns = parts.map(pattern).collect::<Result<_, _>>()?;
            } else if !watching.target.set(key, value)? {
                return Err(unknown(key));
            }
        }
        Ok(watching)
    }

    /// Whether it wants to hear of a change of that key.
    pub(crate) fn wants(&self, key: &str, deleted: bool) -> bool {
        let fits = |p: &Pattern| if p.prefix { key.starts_with(&p.key) } else { key == p.key };
        self.patterns.is_empty() || self.patterns.iter().any(|p| p.deletes == deleted && fits(p))
    }
}

fn pattern(text: &str) -> Result<Pattern, KeyvalueError> {
    let expected = "a list of `SET@KEY` and `DEL@KEY`";
    let (event, key) = text.split_once('@').ok_or_else(|| wrong("watch", text, expected))?;
    let deletes = match event.trim() {
        event if event.eq_ignore_ascii_case("set") => false,
        event if event.eq_ignore_ascii_case("del") => true,
        _ => return Err(wrong("watch", text, expected)),
    };
    let key = key.trim();
    let (key, prefix) = key.strip_suffix('*').map_or((key, false), |key| (key, true));
    Ok(Pattern { deletes, key: key.to_string(), prefix })
}

pub(crate) fn number(key: &str, value: &str, max: u64) -> Result<u64, KeyvalueError> {
    match value.trim().parse() {
        Ok(number) if (1..=max).contains(&number) => Ok(number),
        _ => Err(wrong(key, value, &format!("a number from 1 to {max}"))),
    }
}

pub(crate) fn wrong(key: &str, value: &str, expected: &str) -> KeyvalueError {
    let value: String = value.chars().take(60).flat_map(char::escape_debug).collect();
    KeyvalueError::Config { key: key.into(), reason: format!("`{value}` is not {expected}") }
}

pub(crate) fn unknown(key: &str) -> KeyvalueError {
    let key = key.chars().take(60).flat_map(char::escape_debug).collect();
    KeyvalueError::Config { key, reason: "this key is not known".into() }
}

#[cfg(test)]
mod tests;
