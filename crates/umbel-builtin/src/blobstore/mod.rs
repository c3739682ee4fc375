//! `blobstore`: containers of objects on the file system, for `wasi:blobstore` (0.2.0-draft).
//!
//! Objects of any size are streamed in and out; what is held in memory is a few pieces of each stream. An object appears whole or not at
//! all, under any name, and is on the disk when the call that stores it returns. Who has an object open keeps what was opened.
//!
//! ```text
//!  write-body ─▶ task ─▶ partial file ──finish: fsync, rename──▶ object ─▶ get-data ─▶ pieces, read ahead
//! ```
//!
//! **Who sees what.** Each application has a space of its own: its components share containers, other applications have others of
//! the same names. A component that belongs to no application has a space alone. Links whose config says `space: NAME` share the
//! space of that name, whichever applications they belong to. That holds within each `root`.
//!
//! Read in this order: [`config`], [`error`], `name`, `partial`, `store`, `disk`, `opened`, `folder`,
//! `outgoing`, `incoming`, `serve`.

pub mod config;
pub mod error;

pub(crate) mod disk;
mod folder;
mod incoming;
pub(crate) mod name;
pub(crate) mod opened;
mod outgoing;
pub(crate) mod partial;
pub(crate) mod serve;
pub(crate) mod store;

pub use config::Settings;
pub use error::BlobError;

use async_trait::async_trait;
use folder::Blobs;
use opened::Opens;
use serve::Server;
use std::sync::Arc;
use std::time::Duration;
use umbel_core::Problem;
use umbel_core::link::{Contract, LinkKey, ResolvedLink, Values};
use umbel_provider::{Factory, Provider, StartContext};
use umbel_supervisor::scope::Scope;
use umbel_wit::{Interface, InterfaceName, Link, Serve};

/// The factory of blobstore providers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Blobstore;

impl Blobstore {
    /// The factory.
    pub fn new() -> Blobstore {
        Blobstore
    }
}

/// The types of the contract, wherever the objects are.
pub(crate) fn interfaces() -> Vec<(InterfaceName, Interface)> {
    let packages = [include_str!("io.wit"), include_str!("blobstore.wit")];
    let mut all = umbel_wit::package::interfaces(&packages).expect("it is WIT");
    // Streams are carried, and not served.
    all.retain(|(name, _)| name.package() == Some("wasi:blobstore"));
    all
}

#[async_trait]
impl Factory for Blobstore {
    fn name(&self) -> &'static str {
        "blobstore"
    }

    fn stands_in_for(&self) -> &'static [&'static str] {
        &["blobstore-fs"]
    }

    fn contracts(&self) -> Vec<Contract> {
        vec![Contract::new("wasi", "blobstore", &["blobstore", "container", "types"])]
    }

    fn interfaces(&self) -> Vec<(InterfaceName, Interface)> {
        interfaces()
    }

    fn opens_its_data_alone(&self) -> bool {
        // A start removes what another one has begun and not finished.
        true
    }

    async fn start(&self, cx: StartContext) -> Result<Arc<dyn Provider>, Problem> {
        let tasks = Scope::new("blobstore");
        let blobs = Blobs::new(cx.folder, cx.config, tasks.spawner());
        // What a crash left is removed now, and a folder that cannot be used is told before a component needs it.
        blobs.open(&Link::default()).await.map_err(|error| Problem::from(&error))?;
        Ok(Arc::new(BlobstoreProvider { blobs, tasks }))
    }
}

/// One blobstore provider.
struct BlobstoreProvider {
    blobs: Blobs,
    /// The tasks that write what components send.
    tasks: Scope,
}

#[async_trait]
impl Provider for BlobstoreProvider {
    async fn put_link(&self, link: ResolvedLink) -> Result<(), Problem> {
        // A call brings its link along; here it is only seen whether it can be served.
        let link = Link { values: link.target_settings(), ..Link::default() };
        self.blobs.open(&link).await.map(drop).map_err(|error| Problem::from(&error))
    }

    async fn del_link(&self, _key: &LinkKey) -> Result<(), Problem> {
        Ok(())
    }

    async fn put_config(&self, config: Values) -> Result<(), Problem> {
        Settings::read(&config, &Values::new()).map_err(|error| Problem::from(&error))?;
        self.blobs.set_config(config);
        Ok(())
    }

    fn serve(&self) -> Option<Arc<dyn Serve>> {
        Some(Arc::new(Server::new(Arc::new(self.blobs.clone()))))
    }

    async fn stop(&self, deadline: Duration) {
        self.tasks.drain(deadline).await;
    }
}
