//! What a guest's calls reach: the one door from a component to the rest of the world.

use crate::body::Body;
use crate::component::Component;
use crate::guest::Call;
use crate::uses::Use;
use futures::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use umbel_core::Problem;
use umbel_wit::{InterfaceName, Link, Resource, Serve};

/// How urgent a line of a guest's log is: the levels of `wasi:logging`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Finest.
    Trace,
    /// For who debugs the component.
    Debug,
    /// Ordinary news; lines of stdout.
    Info,
    /// Something is not as it should be; lines of stderr.
    Warn,
    /// A call failed.
    Error,
    /// The component cannot go on.
    Critical,
}

impl Level {
    /// The name in a log line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Level::Trace => "trace",
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
            Level::Critical => "critical",
        }
    }
}

/// Where a log line comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// A line the guest wrote to standard output.
    Stdout,
    /// A line the guest wrote to standard error.
    Stderr,
    /// A call of `wasi:logging`.
    Logging,
    /// The host speaking of the component: a trap, a limit.
    Host,
}

impl Stream {
    /// The name in a log line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
            Stream::Logging => "logging",
            Stream::Host => "host",
        }
    }
}

/// Timeouts that a guest set on an outgoing request.
#[derive(Debug, Clone, Copy, Default)]
pub struct SendOptions {
    /// Until the connection stands.
    pub connect_timeout: Option<Duration>,
    /// Until the response's head is there.
    pub first_byte_timeout: Option<Duration>,
    /// Between two frames of the body.
    pub between_bytes_timeout: Option<Duration>,
}

/// The call that an outgoing request is part of, for what serves it in this host.
#[derive(Clone)]
pub struct Within(pub(crate) Arc<Call>);

/// Where a link leads at this moment.
pub enum Target {
    /// To a component in this host.
    Component(Component),
    /// To one that may be replaced, and then is there until the call is over.
    Held(Component, Use),
    /// To whatever serves the contract otherwise.
    Server(Arc<dyn Serve>, Arc<Link>),
    /// To whoever serves next: the call waits for that.
    Later(BoxFuture<'static, Result<Target, Problem>>),
}

/// One component's way out. Implemented by the host; every call finds the links of that moment.
pub trait HostCalls: Send + Sync + 'static {
    /// `wasi:http/outgoing-handler` and `wasi:http/client`. The runtime has checked `outbound_hosts` already. A component that answers it
    /// is to be asked with [`Component::http_within`].
    fn http_send(
        &self,
        request: http::Request<Body>,
        options: SendOptions,
        within: Within,
    ) -> BoxFuture<'static, Result<http::Response<Body>, Problem>>;

    /// One value of `wasi:config`.
    fn config_get(&self, key: &str) -> Option<String>;

    /// All values of `wasi:config`.
    fn config_all(&self) -> Vec<(String, String)>;

    /// A line for the component's log, free of control characters and within the log rate.
    fn log(&self, level: Level, stream: Stream, context: &str, message: &str);

    /// Who serves a function of the import over the link of that name, `default` unless it is given. The problem of an import without a
    /// link names the command that adds one.
    fn target(
        &self,
        import: &InterfaceName,
        function: &str,
        link_name: Option<&str>,
    ) -> Result<Target, Problem>;

    /// Who made a resource that a call of the import brings, if it is somebody else than the one that the link leads to now, because that
    /// was put in its place.
    fn maker(&self, import: &InterfaceName, link_name: Option<&str>, resource: &Resource) -> Option<Target> {
        // Where nobody is ever replaced.
        let _ = (import, link_name, resource);
        None
    }

    /// How long a call of the import took over the link of that name, `default` unless it is given: of one call in [`TOLD_EVERY`], and
    /// only of calls that ended well.
    fn took(&self, import: &InterfaceName, link_name: Option<&str>, took: Duration) {
        // Where nobody asks.
        let _ = (import, link_name, took);
    }
}

/// Of so many calls on a thread the time of one is told: taking it costs as much as a part of a call.
pub const TOLD_EVERY: u32 = 32;
