//! Who talks to whom: messages, queue groups and durable key-value with watches.
//!
//! Every service of a host talks to every other, here or on another host, through the [`Lattice`] trait and nothing else. This
//! crate must not know what a payload means to its sender, nor who runs components or applications: the typed messages in
//! [`control`], [`extension`] and [`wadm`] are shapes, not behaviour, and a call of [`wrpc`] is of whatever serves it.
//!
//! ```text
//!  publish / request ─▶ subjects (trie) ─▶ bounded queue ─▶ Subscription      plain: everybody, group: one, observer: may listen
//!  bucket.put        ─▶ queue ─▶ writer thread: a batch, one fsync ─▶ memory ─▶ answer, watches
//!  bucket.get, watch ─▶ memory (only what is durable is in it)
//! ```
//!
//! Read in this order: [`lattice`] the traits · [`message`] · [`subject`] names and patterns · [`subscription`] ·
//! [`bucket`] key-value and watches · [`inprocess`] the embedded implementation and its durable state · [`nats`] the one of a
//! fleet · [`subjects`],
//! [`control`], [`extension`], [`wadm`] what is said on the wasmCloud 1.x subjects and ours · [`wrpc`] calls of contracts as
//! messages · [`unix`] the lattice for a provider process · [`spy`] its traffic, decoded · [`error`] · `contract` what
//! every implementation has to pass.

pub mod bucket;
#[cfg(feature = "contract-tests")]
pub mod contract;
pub mod control;
pub mod error;
pub mod extension;
pub mod inprocess;
pub mod lattice;
pub mod message;
pub mod nats;
pub mod spy;
pub mod subject;
pub mod subjects;
pub mod subscription;
pub mod unix;
pub mod wadm;
pub mod wrpc;

pub use bucket::{Bucket, Entry, Watch, WatchEvent};
pub use error::{LatticeError, Result};
pub use inprocess::InProcess;
pub use lattice::{Lattice, Login, Spawn, SubscribeOptions};
pub use message::{Headers, Message};
pub use nats::{Nats, NatsSpec};
pub use subscription::Subscription;
