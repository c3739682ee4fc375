//! What a nats-server is started with, so that it keeps what it has acknowledged.

use std::fmt::Write;
use std::path::PathBuf;

/// A server for a lattice. Everything that is not said here is the server's own default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    /// Where it listens, e.g. `127.0.0.1:4222`.
    pub listen: String,
    /// The folder that JetStream keeps its files in.
    pub store: PathBuf,
    /// Whether it has JetStream. A leaf node whose hub keeps the state has none.
    pub keeps_state: bool,
    /// The JetStream domain; a leaf node with state of its own needs one.
    pub domain: Option<String>,
    /// The hubs that it is a leaf node of: `nats://HOST:7422`.
    pub hubs: Vec<String>,
    /// Where leaf nodes may come from, e.g. `0.0.0.0:7422`.
    pub listen_for_leaves: Option<String>,
    /// Longest message, in bytes. Values of the state are messages too.
    pub payload_bytes_max: u32,
}

impl ServerConfig {
    /// A server that listens on the address and keeps its files in the folder.
    pub fn new(listen: impl Into<String>, store: impl Into<PathBuf>) -> ServerConfig {
        ServerConfig {
            listen: listen.into(),
            store: store.into(),
            keeps_state: true,
            domain: None,
            hubs: Vec::new(),
            listen_for_leaves: None,
            payload_bytes_max: 1 << 20,
        }
    }

    /// The text of the configuration file.
    ///
    /// Every write is on the disk before it is acknowledged (`sync_interval: always`): the server's default is two minutes later,
    /// and a loss of power takes what was acknowledged meanwhile.
    pub fn render(&self) -> String {
        let mut text = String::from("# A nats-server for a lattice of Umbel.\n");
        let mut line = |line: String| {
            text.push_str(&line);
            text.push('\n');
        };
        line(format!("listen: {}", quoted(&self.listen)));
        line(format!("max_payload: {}", self.payload_bytes_max));
        if self.keeps_state {
            line("jetstream {".into());
            line(format!("  store_dir: {}", quoted(&self.store.display().to_string())));
            line("  # Acknowledged is on the disk.".into());
            line("  sync_interval: always".into());
            if let Some(domain) = &self.domain {
                line(format!("  domain: {}", quoted(domain)));
            }
            line("}".into());
        }
        if self.listen_for_leaves.is_some() || !self.hubs.is_empty() {
            line("leafnodes {".into());
            if let Some(listen) = &self.listen_for_leaves {
                line(format!("  listen: {}", quoted(listen)));
            }
            if !self.hubs.is_empty() {
                let hubs: Vec<String> =
                    self.hubs.iter().map(|hub| format!("{{ url: {} }}", quoted(hub))).collect();
                line(format!("  remotes: [{}]", hubs.join(", ")));
            }
            line("}".into());
        }
        text
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => {
                write!(out, "\\x{:02X}", u32::from(c) & 0xff).expect("a string takes everything")
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_write_is_synced_whatever_else_is_said() {
        let mut config = ServerConfig::new("127.0.0.1:4222", "/var/lib/\"x\"");
        let plain = "# A nats-server for a lattice of Umbel.\nlisten: \"127.0.0.1:4222\"\nmax_payload: 1048576\njetstream {\n  \
                     store_dir: \"/var/lib/\\\"x\\\"\"\n  # Acknowledged is on the disk.\n  sync_interval: always\n}\n";
        assert_eq!(config.render(), plain);
        config.domain = Some("edge".into());
        config.hubs = vec!["nats://hub:7422".into()];
        let leaf = plain.replace("always\n", "always\n  domain: \"edge\"\n")
            + "leafnodes {\n  remotes: [{ url: \"nats://hub:7422\" }]\n}\n";
        assert_eq!(config.render(), leaf);
    }
}
