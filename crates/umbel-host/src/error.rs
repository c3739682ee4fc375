//! What can go wrong in the host itself.

use std::path::PathBuf;
use umbel_core::Coded;
use umbel_core::code::{Code, host};

/// An error of the host.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// Another host has the state folder.
    #[error("the state folder {path} is in use by another host{}", .pid.map(|p| format!(" (process {p})")).unwrap_or_default())]
    Locked {
        /// The folder.
        path: PathBuf,
        /// Its process, as far as it is known.
        pid: Option<i32>,
    },
    /// The state folder cannot be read or written.
    #[error("{path} cannot be used")]
    State {
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// The host key is not one.
    #[error("{path} does not hold the seed of a host key")]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: umbel_core::nkey::KeyError,
    },
    /// An order from the past.
    #[error("`{id}` is at generation {current}, and the request is of generation {given}")]
    Stale {
        /// The component or provider.
        id: String,
        /// What runs.
        current: u64,
        /// What came.
        given: u64,
    },
    /// The ids of subject and payload differ.
    #[error("the request is for host `{given}`, and this is `{this}`")]
    WrongHost {
        /// In the payload.
        given: String,
        /// This host.
        this: String,
    },
    /// Nothing of that id.
    #[error("no component `{id}` runs here")]
    UnknownComponent {
        /// The id.
        id: String,
    },
    /// Nothing of that id.
    #[error("no provider `{id}` runs here")]
    UnknownProvider {
        /// The id.
        id: String,
    },
    /// No such builtin.
    #[error("`{reference}` names no builtin provider of this build")]
    UnknownBuiltin {
        /// The reference.
        reference: String,
        /// The names of those that this build has.
        known: Vec<&'static str>,
    },
    /// Bytes that are no provider.
    #[error("`{reference}` is no provider: {what}")]
    NoProvider {
        /// The reference.
        reference: String,
        /// What it is instead.
        what: String,
    },
    /// Same id, other image.
    #[error("provider `{id}` runs `{current}`, not `{given}`")]
    ProviderExists {
        /// The id.
        id: String,
        /// What runs.
        current: String,
        /// What came.
        given: String,
    },
    /// A named config is missing.
    #[error("there is no config `{name}`")]
    UnknownConfig {
        /// The config.
        name: String,
    },
    /// A reserved label.
    #[error("the label `{key}` belongs to the host")]
    ReservedLabel {
        /// The key.
        key: String,
    },
    /// Draining.
    #[error("the host is stopping")]
    Stopping,
    /// A task of ours is away.
    #[error("the host's {part} do not answer")]
    Away {
        /// Which.
        part: &'static str,
    },
    /// The places for orders that take long are taken.
    #[error("the host works on {orders_max} orders that take long, and takes no more of them")]
    TooManyOrders {
        /// The limit.
        orders_max: usize,
    },
    /// A record that is not ours to overwrite.
    #[error("the record `{key}` in the bucket {bucket} cannot be read")]
    Damaged {
        /// The bucket.
        bucket: String,
        /// The key.
        key: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A request that makes no sense.
    #[error("the request is not usable: {reason}")]
    Invalid {
        /// Why.
        reason: String,
    },
}

impl Coded for HostError {
    fn code(&self) -> Code {
        match self {
            HostError::Locked { .. } => host::STATE_LOCKED,
            HostError::State { .. } => host::STATE_UNUSABLE,
            HostError::Key { .. } => host::HOST_KEY_DAMAGED,
            HostError::Stale { .. } => host::STALE_GENERATION,
            HostError::WrongHost { .. } => host::WRONG_HOST,
            HostError::UnknownComponent { .. } => host::UNKNOWN_COMPONENT,
            HostError::UnknownProvider { .. } | HostError::UnknownBuiltin { .. } => host::UNKNOWN_PROVIDER,
            HostError::NoProvider { .. } => host::PROCESS_PROVIDER,
            HostError::ProviderExists { .. } => host::PROVIDER_EXISTS,
            HostError::UnknownConfig { .. } => host::UNKNOWN_CONFIG,
            HostError::ReservedLabel { .. } => host::RESERVED_LABEL,
            HostError::Stopping => host::HOST_STOPPING,
            HostError::Away { .. } => host::WORKER_UNAVAILABLE,
            HostError::TooManyOrders { .. } => host::TOO_MANY_ORDERS,
            HostError::Damaged { .. } => host::RECORD_DAMAGED,
            HostError::Invalid { .. } => host::INVALID_CONTROL,
        }
    }

    fn help(&self) -> String {
        match self {
            HostError::UnknownBuiltin { known, .. } => {
                format!(
                    "this build has {}; `umbel explain capabilities` says what they serve",
                    known.join(", ")
                )
            }
            _ => self.code().entry().help.to_string(),
        }
    }
}
