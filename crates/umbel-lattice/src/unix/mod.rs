//! The lattice for a provider process, over a unix socket of its host: subjects, replies, headers and queue groups as everywhere.
//!
//! ```text
//!  provider process                                 host
//!    Unix (a Lattice) ── frames, unix socket ──▶ Door ──▶ any Lattice
//!                                                 │ Confine: what this process may hear and say
//!                                                Gate: one socket, a token for each process that is started
//! ```
//!
//! A connection is one provider process. It begins with a hello (version, id, token), and ends with the process or when either side
//! breaks a rule. What is written and what is waited for is in `docs/protocols/provider.md`.
//!
//! Read in this order: `frame` bytes · `outbox` writing without a task · [`client`] the process's end · [`gate`], [`door`] the
//! host's · [`confine`] what a process may do.

pub mod client;
pub mod confine;
pub mod door;
pub mod gate;

mod frame;
mod outbox;

pub use client::{Unix, connect};
pub use confine::{Confine, Open, ProviderRules};
pub use door::{Door, DoorStats};
pub use gate::{DoorSpec, Gate, Token};

/// The version of the frames and of what they mean. It changes when an older peer would misunderstand.
pub const VERSION: u64 = 1;

/// Longest frame, in bytes: a payload and its subject and headers.
pub const FRAME_BYTES_MAX: usize = crate::lattice::PAYLOAD_BYTES_MAX + (256 << 10);

/// How many bytes may wait for a peer that does not read; then the connection is closed.
pub const WAITING_BYTES_MAX: usize = 64 << 20;

/// How many subscriptions one connection may have.
pub const SUBSCRIPTIONS_MAX: usize = 4_096;

/// How long a connection may take to say hello.
pub const HELLO_MAX: std::time::Duration = std::time::Duration::from_secs(5);
