//! Why the HTTP server refuses a listener, a link or a request.

use std::net::SocketAddr;
use umbel_core::code::call;
use umbel_core::link::LinkKey;
use umbel_core::{Code, Coded};

/// A failure of the HTTP server.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The port has another owner.
    #[error("port {port} on {address} is in use by another program")]
    PortInUse {
        /// What was to be bound.
        address: SocketAddr,
        /// Its port.
        port: u16,
    },
    /// Any other failure to listen.
    #[error("cannot listen on {address}")]
    Listen {
        /// What was to be bound.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Two links claim one address.
    #[error("`{wanted}` for component `{component}` is already taken by component `{holder}` (link `{link}` of provider `{provider}`)",
        link = key.name, provider = key.source_id)]
    Conflict {
        /// Host and path, as a URL.
        wanted: String,
        /// Whose link came second.
        component: String,
        /// Whose link came first.
        holder: String,
        /// The link that came first.
        key: LinkKey,
    },
    /// A key or value of a link's config.
    #[error("http-server config `{key}`: {reason}")]
    LinkConfig {
        /// The key.
        key: String,
        /// What is wrong, with the value.
        reason: String,
    },
    /// A link of another contract.
    #[error("an http-server cannot carry `{contract}`")]
    Contract {
        /// The link's contract.
        contract: String,
    },
    /// The server has been stopped.
    #[error("the HTTP server is stopping")]
    Stopped,
}

impl Coded for ServerError {
    fn code(&self) -> Code {
        match self {
            ServerError::PortInUse { .. } => call::HTTP_PORT_IN_USE,
            ServerError::Listen { .. } => call::HTTP_LISTEN_FAILED,
            ServerError::Conflict { .. } => call::HTTP_ROUTE_CONFLICT,
            ServerError::LinkConfig { .. } => call::HTTP_LINK_CONFIG,
            ServerError::Contract { .. } => call::HTTP_LINK_CONTRACT,
            ServerError::Stopped => call::HTTP_STOPPED,
        }
    }

    fn help(&self) -> String {
        match self {
            ServerError::PortInUse { port, .. } => {
                let other = if *port == super::config::DEFAULT_PORT { 8080 } else { super::config::DEFAULT_PORT };
                format!("see who has it with `ss -ltnp 'sport = :{port}'`, or choose another: `umbel up --http-port {other}`")
            }
            ServerError::Conflict { .. } => {
                "give one link its own address in the manifest: `source: {config: [{name: route, properties: {path: /api}}]}` \
                 or `{host: api.localhost}`"
                    .to_string()
            }
            other => other.code().entry().help.to_string(),
        }
    }
}
