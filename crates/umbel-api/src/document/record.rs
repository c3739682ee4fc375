//! What happened: logs and events.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One line that a component logged. It comes from a guest: whoever prints it neutralises control characters.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LogEntry {
    /// Its place in the log of the host.
    pub seq: u64,
    /// When, in milliseconds since 1970.
    pub unix_ms: u64,
    /// The component.
    pub component: String,
    /// Its application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// `trace`, `debug`, `info`, `warn`, `error` or `critical`.
    pub level: String,
    /// `log`, `stdout` or `stderr`.
    pub stream: String,
    /// The context that the component gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// What it said.
    pub message: String,
    /// How many lines of the component were before this one and are no longer kept; said of its oldest line that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped_before: Option<u64>,
}

/// Log lines, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LogList {
    /// Oldest first.
    pub items: Vec<LogEntry>,
}

/// One event with its place in the stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventEntry {
    /// Where the stream can be resumed behind this event: what `since` and `Last-Event-ID` take.
    pub cursor: String,
    /// The event: CloudEvents 1.0.
    #[schema(value_type = Object)]
    pub event: umbel_core::event::Event,
}

/// Events, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventList {
    /// Oldest first.
    pub items: Vec<EventEntry>,
    /// What was asked for and is no longer kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<Lost>,
}

/// A gap in a stream: these entries were there and cannot be had any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Lost {
    /// The host whose stream has the gap, if it is of one host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_id: Option<String>,
    /// How many, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// Why: `expired` (no longer kept), `restarted` (the host counts anew) or `slow` (the reader did not keep up),
    /// `interrupted` (a connection was lost).
    pub reason: String,
}
