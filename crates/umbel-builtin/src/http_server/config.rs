//! What the shared HTTP server is told when it is made.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use umbel_core::Problem;
use umbel_core::code::host as code;

/// The port that applications answer on unless something else is said.
pub const DEFAULT_PORT: u16 = 8000;

/// The whole configuration. `Config::default()` listens on loopback, port 8000.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The shared listener. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Whether a listener on `127.0.0.1` is joined by one on `[::1]`: browsers try that first for `*.localhost`.
    pub dual_stack: bool,
    /// What clients may use.
    pub limits: Limits,
    /// How long idle HTTP/1.1 connections stay open when the server stops: a request that is already on its way still gets
    /// its answer, which then closes the connection.
    pub drain_linger: Duration,
    /// Whether every request is answered with 503 until [`super::HttpServer::release`]: after a restart it is not known at once
    /// what answers where, and a part of that would lead requests astray.
    pub held: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), DEFAULT_PORT),
            dual_stack: true,
            limits: Limits::default(),
            drain_linger: Duration::from_millis(300),
            held: false,
        }
    }
}

impl Config {
    /// The second address of the shared listener, if it has one.
    pub(crate) fn twin(&self, port: u16) -> Option<SocketAddr> {
        let v4_loopback = self.listen.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST);
        (self.dual_stack && v4_loopback).then(|| SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), port))
    }
}

/// The limits of the server, all on by default but the size of bodies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Open connections on all listeners together; what comes above gets 503 and is closed. Default 10,000.
    pub connections_max: usize,
    /// Bytes of one request's line and headers, at least 8,192. Default 64 KiB; above: 431.
    pub head_bytes_max: usize,
    /// Number of headers of one request. Default 100; above: 431.
    pub headers_max: usize,
    /// From a head's first byte (or the connection's start) to its last. Default 10 s; above: 408.
    pub head_timeout: Duration,
    /// How long a connection without a request stays open. Default 75 s.
    pub idle_timeout: Duration,
    /// Bytes of one request's body. Default none; above: 413.
    pub body_bytes_max: Option<u64>,
    /// The longest pause of a request's body, and of a client that does not read its response. Default 30 s.
    pub body_idle_timeout: Duration,
    /// Requests in flight on one HTTP/2 connection. Default 200.
    pub streams_max: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections_max: 10_000,
            head_bytes_max: 64 << 10,
            headers_max: 100,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            body_bytes_max: None,
            body_idle_timeout: Duration::from_secs(30),
            streams_max: 200,
        }
    }
}

/// Descriptors that are kept for everything but connections of clients, at least: state, logs, the API, calls to elsewhere, child
/// processes. More is kept where there are more, a quarter.
const FILES_KEPT_MIN: u64 = 256;

impl Limits {
    /// Serves no more connections than a process with so many open files can, and says so if that is less than configured. Without
    /// any file left nothing can be done about it: whoever asks the platform what is wrong needs a connection, too.
    pub fn fit_files(&mut self, files_max: u64) -> Option<Problem> {
        // Where there are very few, connections have half of them.
        let kept = (files_max / 4).max(FILES_KEPT_MIN).min(files_max - files_max / 2);
        let room = usize::try_from(files_max - kept).unwrap_or(usize::MAX);
        if self.connections_max <= room {
            return None;
        }
        let wanted = std::mem::replace(&mut self.connections_max, room);
        let message = format!(
            "{room} connections are served at once instead of {wanted}: a process may have {files_max} open files"
        );
        Some(Problem::new(code::FEW_FILES, message))
    }

    /// How often connections are looked at: often enough that a timeout is met within a quarter of itself.
    pub(crate) fn sweep_interval(&self) -> Duration {
        let shortest = self.head_timeout.min(self.idle_timeout).min(self.body_idle_timeout);
        (shortest / 4).clamp(Duration::from_millis(10), Duration::from_secs(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_the_rest() {
        for (files, room) in
            [(0, 0), (1, 0), (256, 128), (512, 256), (1_024, 768), (4_096, 3_072), (13_332, 9_999)]
        {
            let mut limits = Limits::default();
            let problem = limits.fit_files(files).unwrap();
            assert_eq!((limits.connections_max, problem.code), (room, code::FEW_FILES), "{files}");
        }
        for files in [13_334, 20_000, u64::MAX] {
            let mut limits = Limits::default();
            assert!(limits.fit_files(files).is_none(), "{files}");
            assert_eq!(limits, Limits::default());
        }
    }
}
