//! The lattice of a fleet: messages over NATS, state in JetStream.
//!
//! ```text
//!  publish, request ─▶ one connection ─▶ nats-server ─▶ a task for each subscription ─▶ bounded queue, or a sink
//!  bucket.put       ─▶ JetStream acknowledges what is stored ─▶ answer
//!  watch            ─▶ a pull consumer; a new one where the old one was lost, from the last revision that was shown
//! ```
//!
//! **Connection.** It is made again for ever, after 100 ms to 5 s with jitter, with all its subscriptions. Meanwhile nothing waits:
//! what is asked for fails at once with `UM0628`, and so does what was under way; whoever asked knows whether to ask again. Messages
//! are at most once, as the trait says: those on their way are lost, and sinks are told so ([`Sink::interrupted`]). Watches go on
//! where they were.
//!
//! **State.** A bucket is a key-value bucket of JetStream: a stream `KV_{bucket}` with subjects `$KV.{bucket}.{key}`. The two that
//! wasmCloud 1.x uses keep their real names, `LATTICEDATA_{lattice}` and `CONFIGDATA_{lattice}` (`facts/wasmcloud.md` §4.4); every
//! other one is `UMBEL_{lattice}_{name}`, so that lattices which share a server do not see one another's. A revision is the stream's
//! sequence. A delete leaves a marker, which is what a watch that resumes sees of it. A write is answered when the server has stored
//! it; that it survives a loss of power too needs `sync_interval: always` there, as [`config`] writes it.
//!
//! **What differs from the lattice in one process.** Nobody can tell observers from those who answer: a request that only observers
//! hear ends at its deadline. Names of headers come sorted. A payload has the limit of the server, headers included. `UM0605` is
//! never said. The revision of a delete is a revision too: an update that expects it succeeds.
//!
//! [`Sink::interrupted`]: crate::subscription::Sink::interrupted
//!
//! Read in this order: [`spec`] which server, as whom · `connect` · `link` what all share · `traffic` the trait's messages · `api`
//! what JetStream is asked · `bucket` · `watch` · [`config`] what the server is started with.

mod api;
mod bucket;
pub mod config;
mod connect;
mod link;
pub mod spec;
mod traffic;
mod watch;

pub use spec::{Auth, NatsSpec, Tls};
pub use traffic::Nats;
