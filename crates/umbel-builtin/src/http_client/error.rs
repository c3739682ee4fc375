//! Why an outgoing request has no response.

use std::net::IpAddr;
use std::time::Duration;
use umbel_core::code::call;
use umbel_core::{Code, Coded};

type Source = Box<dyn std::error::Error + Send + Sync>;

/// A failure of an outgoing request.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The URI is not absolute, of another scheme, or carries credentials.
    #[error("cannot call `{uri}`: {reason}")]
    Uri {
        /// What was given, shortened.
        uri: String,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// The name has no address.
    #[error("cannot resolve `{host}`")]
    Dns {
        /// The name.
        host: String,
        /// What the resolver said.
        #[source]
        source: Source,
    },
    /// No address accepted.
    #[error("cannot connect to {host}:{port}")]
    Connect {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// Of the last address that was tried.
        #[source]
        source: Source,
    },
    /// All addresses are private, and the link denies those.
    #[error("`{host}` has the private address {address}, which this link denies")]
    AddressDenied {
        /// The host.
        host: String,
        /// One of its addresses.
        address: IpAddr,
    },
    /// The handshake failed.
    #[error("no secure connection to {host}:{port}")]
    Tls {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// What rustls said.
        #[source]
        source: Source,
    },
    /// No connection in time.
    #[error("no connection to {host}:{port} within {} ms", after.as_millis())]
    ConnectTimeout {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// The limit.
        after: Duration,
    },
    /// All connections that may be open are in use.
    #[error("no connection to {host}:{port}: {connections_max} are open, and none became free within {} ms", after.as_millis())]
    Connections {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// How many may be open.
        connections_max: usize,
        /// The limit of time.
        after: Duration,
    },
    /// No head of a response in time.
    #[error("{host}:{port} did not answer within {} ms", after.as_millis())]
    FirstByteTimeout {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// The limit.
        after: Duration,
    },
    /// The response's body stopped.
    #[error("the response of {host}:{port} stopped for more than {} ms", after.as_millis())]
    BodyTimeout {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// The limit.
        after: Duration,
    },
    /// The connection ended, or what came was not HTTP.
    #[error("the exchange with {host}:{port} broke off")]
    Protocol {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// What hyper said.
        #[source]
        source: hyper::Error,
    },
    /// The request's own body failed.
    #[error("the body of the request to {host}:{port} broke off")]
    RequestBody {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// Why.
        #[source]
        source: hyper::Error,
    },
    /// A key or value of the config.
    #[error("http-client config `{key}`: {reason}")]
    Config {
        /// The key.
        key: String,
        /// What is wrong, with the value.
        reason: String,
    },
}

impl Coded for ClientError {
    fn code(&self) -> Code {
        match self {
            ClientError::Uri { .. } => call::OUT_URI,
            ClientError::Dns { .. } => call::OUT_DNS,
            ClientError::Connect { .. } => call::OUT_CONNECT,
            ClientError::AddressDenied { .. } => call::OUT_ADDRESS_DENIED,
            ClientError::Tls { .. } => call::OUT_TLS,
            ClientError::ConnectTimeout { .. } => call::OUT_CONNECT_TIMEOUT,
            ClientError::Connections { .. } => call::OUT_CONNECTIONS,
            ClientError::FirstByteTimeout { .. } => call::OUT_FIRST_BYTE_TIMEOUT,
            ClientError::BodyTimeout { .. } => call::OUT_BODY_TIMEOUT,
            ClientError::Protocol { .. } => call::OUT_PROTOCOL,
            ClientError::RequestBody { .. } => call::OUT_REQUEST_BODY,
            ClientError::Config { .. } => call::OUT_CONFIG,
        }
    }
}
