//! Runs wasm: compiles components once, keeps the machine code, and makes instances that stay within their budgets.
//!
//! It must not know links, the lattice or the network: what a guest calls leaves through [`calls::HostCalls`], and who asks for a call
//! is the caller's business. It starts no thread and no process of its own: the epoch tick and the compile process are
//! handed in, so that the host can supervise them.
//!
//! ```text
//! bytes ─▶ cache ──hit──▶ Image (machine code, pre-linked) ─▶ Component (id, budget, host calls)
//!            └─miss─▶ Worker (child process) ─▶ cache             │
//!                                                        call ─▶ instance: fresh, or a warm one
//! ```
//!
//! Read in this order: [`config`], [`engine`] (one engine, one pool, epochs) · [`compile`] and [`cache`] (bytes to machine code) · [`image`]
//! (what was compiled and what it can do) · [`linker`] and [`calls`] (what guests see of the host) · [`budget`] (what they may use) ·
//! [`memory`] (where it goes) · [`wit`] (what it says of itself) ·
//! [`component`] (calls) with [`http`](mod@component) and [`command`] · [`Resident`] (one instance for all calls) · [`error`].

mod adapt;
mod answer;
pub mod body;
pub mod budget;
pub mod cache;
pub mod calls;
mod carry;
pub mod command;
pub mod compile;
pub mod component;
pub mod config;
pub mod ctx;
pub mod engine;
pub mod error;
mod gate;
mod granted;
mod guest;
mod handler;
mod http_p2;
mod http_p3;
pub mod image;
pub mod inspect;
mod lane;
pub mod linker;
mod logs;
pub mod memory;
mod resident;
mod serve;
mod session;
pub mod uses;
mod warm;
mod wasi_error;
pub mod wit;

pub use budget::{Budget, Usage};
pub use calls::HostCalls;
pub use component::Component;
pub use config::Config;
pub use engine::Engine;
pub use error::{CallError, LoadError};
pub use granted::{Around, Granted, OwnFolder};
pub use image::{Image, Images, World};
pub use resident::Resident;
pub use uses::{Use, Uses};
