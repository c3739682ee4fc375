//! The Virtual Host: one process of a lattice that runs components and providers as a tree that can be watched.
//!
//! It takes orders over the lattice (the control subjects of wasmCloud 1.x) and tells what happens there; it must not know who
//! gives the orders: the manager, Nomad, Consul and Vault are strangers to it, and so are the kinds of builtin providers.
//!
//! ```text
//!  control ──▶ components ──▶ Slot (id) ──▶ runtime::Component ◀── calls ── providers (http-server …)
//!     │    └─▶ providers  ──▶ ProviderSlot (id)                               ▲
//!     └──────▶ lattice buckets ──watch──▶ tables (links, configs) ────────────┘  live, without a restart
//! ```
//!
//! Read in this order: [`tree`] (everything that runs, as a list) · [`config`] and [`state`] (what it starts with) · [`tables`] (links and
//! configs) · [`fetch`] and [`registries`], [`component`] and [`slot`] · [`provider`], [`process`] and [`component_provider`] · [`parts`] (those two by id) · [`door`] (what guests' calls reach), [`elsewhere`] and [`exports`] (other hosts) ·
//! [`control`], [`order`] (orders), [`resume`] (what outlives a kill), [`call`] (calls by hand), [`explain`] (why a link works), [`secrets`], [`given`] (what reaches providers of them) · [`inventory`], [`usage`], [`heartbeat`], [`event_log`], [`logs`] (what it tells) · [`worker`] (compile processes) ·
//! [`collect`] (what goes from the disk).

pub mod artifacts;
pub mod call;
pub mod collect;
pub mod component;
pub mod component_provider;
pub mod config;
pub mod control;
pub mod door;
pub mod elsewhere;
pub mod error;
pub mod event_log;
pub mod explain;
pub mod exports;
pub mod fetch;
pub mod given;
pub mod heartbeat;
pub mod inventory;
pub mod logs;
pub mod order;
pub mod parts;
pub mod process;
pub mod provider;
pub mod registries;
pub mod resume;
pub mod secrets;
pub mod shared;
pub mod slot;
pub mod state;
pub mod tables;
mod times;
pub mod tree;
pub mod trouble;
pub mod usage;
pub mod wasmcloud;
pub mod worker;

pub use config::Config;
pub use error::HostError;
pub use shared::{Deps, Host};
pub use state::StateDir;
