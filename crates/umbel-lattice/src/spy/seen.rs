//! What is told of one message.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a message is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Calls of contracts (wRPC).
    Calls,
    /// Requests to hosts, their answers, and what hosts ask for.
    Control,
    /// What hosts tell: CloudEvents.
    Events,
    /// Between a host and its provider processes: links, config, health, shutdown.
    Providers,
    /// Applications: wadm's requests and messages.
    Applications,
    /// JetStream: its API, key-value entries and deliveries.
    State,
    /// Log lines.
    Logs,
    /// The protocols of secrets.
    Secrets,
    /// Anything else, among it answers whose request was not seen.
    #[default]
    Other,
}

impl Kind {
    /// All of them, in the order in which they are told.
    pub const ALL: [Kind; 9] = [
        Kind::Calls,
        Kind::Control,
        Kind::Events,
        Kind::Providers,
        Kind::Applications,
        Kind::State,
        Kind::Logs,
        Kind::Secrets,
        Kind::Other,
    ];

    /// The word, as in `calls`.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Calls => "calls",
            Kind::Control => "control",
            Kind::Events => "events",
            Kind::Providers => "providers",
            Kind::Applications => "applications",
            Kind::State => "state",
            Kind::Logs => "logs",
            Kind::Secrets => "secrets",
            Kind::Other => "other",
        }
    }

    /// The kind of that word.
    pub fn find(word: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// Which step of a request a message is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hop {
    /// It was published, and nobody is asked for an answer.
    #[default]
    Message,
    /// It asks for an answer.
    Request,
    /// It answers.
    Answer,
    /// The server of a call says where the rest is to be sent.
    Accept,
    /// Params of a call.
    Params,
    /// The result of a call.
    Result,
    /// Bytes of a stream.
    Stream,
    /// How far a stream has been read, that it is read no more, or that it is written.
    Flow,
    /// Nobody waits for the result of a call any more.
    Cancel,
    /// Resources that a client has dropped.
    Drop,
}

impl Hop {
    /// The word, as in `request`.
    pub fn as_str(self) -> &'static str {
        match self {
            Hop::Message => "message",
            Hop::Request => "request",
            Hop::Answer => "answer",
            Hop::Accept => "accept",
            Hop::Params => "params",
            Hop::Result => "result",
            Hop::Stream => "stream",
            Hop::Flow => "flow",
            Hop::Cancel => "cancel",
            Hop::Drop => "drop",
        }
    }
}

/// One message, as far as it may be told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// What it is about.
    pub kind: Kind,
    /// Which step.
    pub hop: Hop,
    /// What is asked, told or called: `component.scale`, `host_heartbeat`, `wasi:keyvalue/store.get`.
    pub what: String,
    /// Who sent it, as far as it says so.
    pub from: Option<String>,
    /// Whom it is for.
    pub to: Option<String>,
    /// What tells of it, by name: ids, references, counts.
    pub facts: BTreeMap<String, String>,
    /// Whether what was asked was done; of answers that say it.
    pub ok: Option<bool>,
    /// The length of its payload, in bytes.
    pub bytes: usize,
    /// The time since the request that it belongs to was seen, in µs.
    pub took_us: Option<u64>,
    /// Its subject; what may be secret in it is left out.
    pub subject: String,
    /// The first bytes of its payload as hex, where that was asked for and is allowed.
    pub hex: Option<String>,
}

impl Seen {
    /// Whether the component, provider or host has to do with it.
    pub fn is_about(&self, id: &str) -> bool {
        let named = [&self.from, &self.to].into_iter().flatten();
        named.chain(self.facts.values()).any(|name| name == id)
    }
}

/// One line: `calls  hello ▸ kv  wasi:keyvalue/store.get  request  12 B  …`.
impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:12} {:7}  {}", self.kind.as_str(), self.hop.as_str(), self.what)?;
        match (&self.from, &self.to) {
            (Some(from), Some(to)) => write!(f, "  {from} ▸ {to}")?,
            (Some(from), None) => write!(f, "  {from} ▸")?,
            (None, Some(to)) => write!(f, "  ▸ {to}")?,
            (None, None) => {}
        }
        match self.ok {
            Some(true) => f.write_str("  ok")?,
            Some(false) => f.write_str("  failed")?,
            None => {}
        }
        if let Some(us) = self.took_us {
            write!(f, "  after {}.{:03} ms", us / 1_000, us % 1_000)?;
        }
        write!(f, "  {} B", self.bytes)?;
        for (name, value) in &self.facts {
            write!(f, "  {name}={value}")?;
        }
        match &self.hex {
            Some(hex) => write!(f, "  {hex}"),
            None => Ok(()),
        }
    }
}
