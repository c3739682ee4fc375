//! The public HTTP API, its OpenAPI document, the event stream and the client.
//!
//! The API translates: HTTP and JSON on one side, lattice requests on the other. It must not know how anything is done: not
//! what a host or a manager is inside, and no type of theirs.
//!
//! ```text
//!  umbel (CLI) ─ client ─▶ unix socket, 0600 in a 0700 folder ─┐
//!  curl, portal ─────────▶ loopback TCP ─ guard: Host, Origin, ├─▶ routes ─▶ lattice: control, wadm, umbel.v1
//!                          bearer token                        ┘       ◀── logs and events, as SSE
//! ```
//!
//! Read in this order: [`document`] what is answered · [`query`] what is asked · [`problem`] how failures look · [`folder`] where
//! everything is · `guard` who may ask · `routes` what can be asked · `service` and `convert` how it is translated · `follow`
//! and `cursor` the streams · [`openapi`] the contract · `serve` listeners and connections · [`client`] the other side.

pub mod client;
mod convert;
mod cursor;
mod diff;
pub mod document;
mod extract;
pub mod folder;
mod follow;
mod guard;
pub mod openapi;
pub mod problem;
pub mod query;
mod routes;
mod serve;
mod service;

pub use follow::{SpyFeed, SpyFilter};
pub use guard::Token;
pub use serve::{Api, Config, Listening};
