//! Artifacts: gets the bytes that a reference names, checks them, and keeps them by digest, so that what was deployed once can
//! be started again without the file or the network that it came from.
//!
//! It must not know what runs them. What bytes are it knows of provider archives alone: [`par`].
//!
//! ```text
//!              ┌ file ──── opened without waiting, size-limited ──┐
//! Reference ───┤ digest ── must be stored already                 ├──▶ Store ──▶ Artifact { digest, size, path }
//!              └ image ─── asked for and fetched by [`oci::Client`]┘      │
//!                                                                       ▼
//!      FOLDER/sha256/<hex>     the blobs: complete, synced, named by what they are, read-only
//!      FOLDER/images/              what images of registries meant when they were last looked up
//!      FOLDER/partial/         what is being written; emptied when the store is opened
//!      FOLDER/damaged/<hex>    what no longer was what its name says; never used again
//! ```
//!
//! **Every function here but the asynchronous ones waits for the disk.** Call them on a thread that may wait (`spawn_blocking`), never
//! on a thread of the data path.
//!
//! Read in this order: [`Store`] · [`Incoming`] · [`ArtifactError`] · [`par`] · [`oci`].

mod error;
mod images;
mod incoming;
pub mod oci;
pub mod par;
mod source;
mod store;

pub use error::ArtifactError;
pub use incoming::Incoming;
pub use store::{Artifact, Collected, Store};

/// The largest artifact that a store takes unless it is told otherwise: 512 MiB.
pub const ARTIFACT_BYTES_MAX: u64 = 512 << 20;
