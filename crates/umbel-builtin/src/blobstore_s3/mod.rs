//! `blobstore-s3`: containers of objects in a bucket of an S3 server, for `wasi:blobstore` (0.2.0-draft), so that all hosts of a
//! lattice see the same ones.
//!
//! ```text
//!  write-body ─▶ task ─▶ partial file here ──finish: one upload, in parts if it is large──▶ object
//!  get-data ◀── the answer of one GET, begun when the object is opened and read as fast as the guest reads
//! ```
//!
//! It is what [`crate::blobstore`] is: streams, ranges, spaces, names, limits. Bodies are written to the provider's folder first,
//! so an upload that fails on the way is tried again, and a value that nobody finishes never reaches the server.
//!
//! **How it stands in the bucket**, below `prefix`, with names spelled as in `blobstore::name`, so that any text is one part of a
//! key:
//!
//! | key | |
//! |---|---|
//! | `app-shop/pictures/name` | the container; as old as it is |
//! | `app-shop/pictures/objects/OBJECT` | an object |
//! | `app-shop/pictures/names/DIGEST` | the name of an object whose key is a digest, because it is long |
//!
//! What differs from a folder: a move is a copy and then a delete, a container is deleted name first and then object by object, and
//! who reads keeps what was opened as long as the server goes on with an answer that it has begun, as S3 does.
//!
//! Read in this order: [`config`], `http`, `space`, `range`.

pub mod config;

mod http;
mod range;
mod space;

pub use config::Settings;

use crate::blobstore;
use crate::blobstore::disk::Disk;
use crate::blobstore::error::BlobError;
use crate::blobstore::opened::{Limits, OPEN_MAX, Opened, Opens, space_of};
use crate::blobstore::serve::Server;
use crate::blobstore::store::Store;
use async_trait::async_trait;
use config::Place;
use object_store::aws::AmazonS3;
use space::Remote;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use umbel_core::Problem;
use umbel_core::link::{Contract, LinkKey, ResolvedLink, Values};
use umbel_provider::{Factory, Provider, StartContext};
use umbel_supervisor::scope::{Scope, Spawner};
use umbel_wit::{Interface, InterfaceName, Link, Serve};

/// Clients that are kept for links with config of their own.
const SERVERS_MAX: usize = 64;

/// The factory of S3 blobstore providers.
#[derive(Debug, Clone, Copy, Default)]
pub struct BlobstoreS3;

impl BlobstoreS3 {
    /// The factory.
    pub fn new() -> BlobstoreS3 {
        BlobstoreS3
    }
}

#[async_trait]
impl Factory for BlobstoreS3 {
    fn name(&self) -> &'static str {
        "blobstore-s3"
    }

    fn contracts(&self) -> Vec<Contract> {
        vec![Contract::new("wasi", "blobstore", &["blobstore", "container", "types"])]
    }

    /// Starts whether the server answers or not. Where config leaves the bucket to links, it is asked for with the first one.
    fn interfaces(&self) -> Vec<(InterfaceName, Interface)> {
        blobstore::interfaces()
    }

    async fn start(&self, cx: StartContext) -> Result<Arc<dyn Provider>, Problem> {
        Settings::read(&cx.config, &Values::new()).map_err(told)?;
        let tasks = Scope::new("blobstore-s3");
        let disk = Disk::new();
        let folder = cx.folder;
        let staging = disk.run(move || open(folder)).await.map_err(told)?;
        let state = Mutex::new(State { config: cx.config, servers: HashMap::new(), open: HashMap::new() });
        let blobs = Blobs { staging, disk, tasks: tasks.spawner(), state };
        Ok(Arc::new(S3Provider { blobs: Arc::new(blobs), tasks }))
    }
}

fn open(folder: PathBuf) -> Result<Arc<Store>, BlobError> {
    let opened = Store::open(folder.clone()).inspect_err(|error| {
        tracing::error!(folder = %folder.display(), %error, "the folder of a blobstore cannot be used");
    });
    Ok(Arc::new(opened?))
}

fn told(error: BlobError) -> Problem {
    Problem::from(&error)
}

/// The servers of a provider.
struct Blobs {
    /// Where bodies are written.
    staging: Arc<Store>,
    disk: Disk,
    tasks: Spawner,
    state: Mutex<State>,
}

struct State {
    config: Values,
    servers: HashMap<Place, Arc<AmazonS3>>,
    /// Of each space the values and lists that may still be opened.
    open: HashMap<(Place, String), Arc<Semaphore>>,
}

impl Blobs {
    fn state(&self) -> MutexGuard<'_, State> {
        // It is whole after every statement that changes it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, link: &Link) -> Result<Opened, BlobError> {
        let mut state = self.state();
        let settings = Settings::read(&state.config, &link.values)?;
        let place = settings.place()?;
        let name = space_of(settings.space.as_deref(), link);
        let server = match state.servers.get(&place) {
            Some(server) => server.clone(),
            None => {
                if state.servers.len() >= SERVERS_MAX {
                    // What is open keeps its server.
                    state.servers.clear();
                    state.open.retain(|_, open| Arc::strong_count(open) > 1);
                }
                let server = Arc::new(http::server(&place, &settings, self.tasks.clone())?);
                state.servers.insert(place.clone(), server.clone());
                server
            }
        };
        let open = state.open.entry((place.clone(), name.clone()));
        let open = open.or_insert_with(|| Arc::new(Semaphore::new(OPEN_MAX))).clone();
        let staging = self.staging.space(&name);
        let space = Remote::new(server, &place.prefix, &name, staging.clone(), self.disk.clone());
        let limits =
            Limits { object_bytes_max: settings.object_bytes_max, free_bytes_min: settings.free_bytes_min };
        let (disk, tasks) = (self.disk.clone(), self.tasks.clone());
        Ok(Opened { space: Arc::new(space), staging, disk, tasks, limits, open })
    }
}

#[async_trait]
impl Opens for Blobs {
    async fn open(&self, link: &Link) -> Result<Opened, BlobError> {
        self.find(link)
    }
}

/// One S3 blobstore provider.
struct S3Provider {
    blobs: Arc<Blobs>,
    /// The tasks that write what components send, and those that drive connections.
    tasks: Scope,
}

#[async_trait]
impl Provider for S3Provider {
    async fn put_link(&self, link: ResolvedLink) -> Result<(), Problem> {
        // A call brings its link along; here it is only seen whether it can be served.
        let link = Link { values: link.target_settings(), ..Link::default() };
        self.blobs.find(&link).map(drop).map_err(told)
    }

    async fn del_link(&self, _key: &LinkKey) -> Result<(), Problem> {
        Ok(())
    }

    async fn put_config(&self, config: Values) -> Result<(), Problem> {
        Settings::read(&config, &Values::new()).map_err(told)?;
        let mut state = self.blobs.state();
        state.config = config;
        // What is open keeps its server.
        state.servers.clear();
        Ok(())
    }

    fn serve(&self) -> Option<Arc<dyn Serve>> {
        Some(Arc::new(Server::new(self.blobs.clone())))
    }

    async fn stop(&self, deadline: Duration) {
        self.blobs.state().servers.clear();
        self.tasks.drain(deadline).await;
    }
}
