//! The providers that ship in the binary: one module each, behind the contract of `umbel-provider`.
//!
//! They know links, config and values; they must not know the host that runs them, wasm, or the lattice's messages. What they
//! call is a [`umbel_provider::http::Handler`]; what runs behind it is nobody's business here.
//!
//! ```text
//!  browser, curl ──▶ http_server ──▶ Handler (a component)          one shared listener, routed by host name and path
//!                                        │
//!  other services ◀── http_client ◀──────┘ Outgoing                 pooled connections, TLS, deadlines
//!  files ◀─────────── blobstore ◀──────────  Serve                   wasi:blobstore
//!  an S3 server ◀──── blobstore_s3 ◀─────  Serve                   wasi:blobstore, shared by hosts
//!  components ◀──────▶ messaging ◀──────▶ components               wasmcloud:messaging, wasi:messaging
//!  NATS ◀────────────▶ messaging_nats ◀─▶ components              the same, with other hosts and whoever else is there
//!  a clock ─────────▶ cron ───────────────▶ components               wasmcloud:cron, wasi:http, wasi:cli
//!  a file ◀────────── keyvalue ◀────────▶ components               wasi:keyvalue
//!  Redis ◀─────────── keyvalue_redis ◀──▶ components              wasi:keyvalue, shared by hosts
//!  PostgreSQL ◀────── postgres ◀─────────  Serve                   wasmcloud:postgres
//!  a sealed file ───▶ secrets ───────────▶ components               wasmcloud:secrets
//! ```
//!
//! Read in this order: [`http_server`], [`http_client`], [`blobstore`], [`blobstore_s3`], [`messaging`], [`messaging_nats`], [`keyvalue`], [`keyvalue_redis`], [`postgres`], [`secrets`],
//! [`cron`].

#[cfg(feature = "blobstore")]
pub mod blobstore;
#[cfg(feature = "blobstore_s3")]
pub mod blobstore_s3;
#[cfg(feature = "cron")]
pub mod cron;
pub mod http_client;
pub mod http_server;
#[cfg(feature = "keyvalue")]
pub mod keyvalue;
#[cfg(feature = "keyvalue_redis")]
pub mod keyvalue_redis;
#[cfg(feature = "messaging")]
pub mod messaging;
#[cfg(feature = "messaging_nats")]
pub mod messaging_nats;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "secrets")]
pub mod secrets;

#[cfg(any(feature = "keyvalue", feature = "secrets"))]
mod lock;
#[cfg(any(feature = "cron", feature = "messaging"))]
mod quiet;
