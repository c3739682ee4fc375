//! How registries are asked.

use super::image::Platform;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// Settings of a [`super::Client`].
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Registries, as references name them (`HOST` or `HOST:PORT`), that are asked over plain HTTP. All others never are.
    pub insecure: BTreeSet<String>,
    /// Files with certificates of authorities, PEM, that are trusted beside the well-known ones.
    pub ca_files: Vec<PathBuf>,
    /// What an index is searched for; WebAssembly has no platform and is always taken.
    pub platform: Platform,
    /// How long is waited.
    pub times: Times,
}

impl Settings {
    /// Whether a registry or a server beside one is asked over plain HTTP.
    pub(super) fn is_insecure(&self, authority: &str) -> bool {
        self.insecure.contains(&authority.to_ascii_lowercase())
    }
}

/// How long is waited for a registry.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// For a name, a connection and TLS together.
    pub connect: Duration,
    /// For the head of an answer.
    pub head: Duration,
    /// For the next bytes of a body.
    pub pause: Duration,
    /// For all that is needed to know what a reference means.
    pub look: Duration,
    /// For a whole layer, however often its connection breaks.
    pub layer: Duration,
    /// Before a request is tried again; it doubles each time.
    pub backoff: Duration,
}

impl Default for Times {
    fn default() -> Times {
        Times {
            connect: Duration::from_secs(5),
            head: Duration::from_secs(10),
            pause: Duration::from_secs(20),
            look: Duration::from_secs(15),
            layer: Duration::from_secs(30 * 60),
            backoff: Duration::from_millis(200),
        }
    }
}
