//! `keyvalue`: serves `wasi:keyvalue` (`0.2.0-draft` and `-draft2`) from a file of its own.
//!
//! ```text
//!  component ── open, get, list-keys ──▶ view: the last durable state, read where the caller runs
//!            ── set, delete, increment, swap, set-many, delete-many ──▶ queue ──▶ writer thread: one transaction,
//!               answered when it is durable ◀──────────────────────────────────── one fsync for all that wait
//!  component ◀── watcher.on-set, on-delete ── a bounded queue per link ◀──────────────┘
//! ```
//!
//! **Whose data a bucket holds.** A bucket belongs to the application of the component that opens it: two applications that open
//! `default` see different data, and two components of one application the same. A component without an application has buckets of
//! its own. A link whose config says `scope: shared` leads to buckets that every such link sees; `bucket: NAME` leads all that is
//! opened over the link to that one bucket. Any text of up to 256 bytes is a bucket's name; a bucket needs no making.
//!
//! **What is promised.** A write is answered when it is durable, and is seen by every read that begins afterwards. Each call is one
//! transaction: `set-many` and `delete-many` happen as a whole or not at all. Reads never wait for writes. Keys are listed in the
//! order in which they were made, each once, whatever is written or deleted between two pages. A write whose caller goes away
//! happens nevertheless. Watchers hear of changes in the order of their commits, at most once each, and are never waited for.
//!
//! Read in this order: [`config`], [`error`], `place`, `store`, `serve`, `watch`, `contract` (what every implementation has to pass).

pub mod config;
#[cfg(feature = "contract-tests")]
pub mod contract;
pub mod error;

pub(crate) mod place;
pub(crate) mod serve;
pub(crate) mod store;
pub(crate) mod watch;

pub use config::Settings;
pub use error::KeyvalueError;

use async_trait::async_trait;
use config::{Target, Watching};
use serve::{Bucket, Embedded, Server, Spot};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;
use store::Store;
use umbel_core::Problem;
use umbel_core::id::ProviderId;
use umbel_core::link::{Contract, LinkKey, ResolvedLink, Values};
use umbel_provider::{Factory, Health, Provider, StartContext};
use umbel_supervisor::cores::Cores;
use umbel_wit::{Interface, InterfaceName, Resource, Serve};
use watch::Watchers;

/// The file in the provider's folder.
const FILE: &str = "keyvalue.redb";

/// The factory of keyvalue providers.
#[derive(Clone)]
pub struct Keyvalue {
    cores: Arc<Cores>,
}

impl Keyvalue {
    /// The factory. Watchers will be called on `cores`.
    pub fn new(cores: Arc<Cores>) -> Keyvalue {
        Keyvalue { cores }
    }
}

/// The types of the contract, whoever keeps the keys.
pub(crate) fn interfaces() -> Vec<(InterfaceName, Interface)> {
    let packages = [include_str!("draft.wit"), include_str!("draft2.wit")];
    umbel_wit::package::interfaces(&packages).expect("the packages are WIT")
}

#[async_trait]
impl Factory for Keyvalue {
    fn name(&self) -> &'static str {
        "keyvalue"
    }

    fn stands_in_for(&self) -> &'static [&'static str] {
        &["keyvalue-nats"]
    }

    fn contracts(&self) -> Vec<Contract> {
        vec![Contract::new("wasi", "keyvalue", &["store", "atomics", "batch", "watcher"])]
    }

    fn interfaces(&self) -> Vec<(InterfaceName, Interface)> {
        interfaces()
    }

    fn opens_its_data_alone(&self) -> bool {
        true
    }

    async fn start(&self, cx: StartContext) -> Result<Arc<dyn Provider>, Problem> {
        let settings = Settings::read(&cx.config).map_err(|error| Problem::from(&error))?;
        // Weak, because the store tells the watchers.
        let opener = Arc::new(OnceLock::<Weak<Store>>::new());
        let own = opener.clone();
        let watchers = Arc::new(Watchers::new(
            &cx.id,
            cx.targets,
            self.cores.clone(),
            settings.watch_timeout,
            move |place| {
                let store = own.get().and_then(Weak::upgrade)?;
                Some(Resource::new(Bucket { place: Spot { store, place: place.clone() } }))
            },
        ));
        let store = Store::open(cx.folder.join(FILE), settings, watchers.clone()).await;
        let store = Arc::new(store.map_err(|error| Problem::from(&error))?);
        opener.get_or_init(|| Arc::downgrade(&store));
        let server = Arc::new(Server::new(Arc::new(Embedded(store.clone()))));
        Ok(Arc::new(KeyvalueProvider { id: cx.id, store, watchers, server }))
    }
}

/// One keyvalue provider.
struct KeyvalueProvider {
    id: ProviderId,
    store: Arc<Store>,
    watchers: Arc<Watchers>,
    server: Arc<Server<Embedded>>,
}

#[async_trait]
impl Provider for KeyvalueProvider {
    async fn put_link(&self, link: ResolvedLink) -> Result<(), Problem> {
        let key = link.link.key();
        if link.link.source_id == self.id.as_str() {
            let watching = Watching::read(&link.source_settings()).map_err(|error| Problem::from(&error))?;
            self.watchers.put(key, link.link.target, watching);
            return Ok(());
        }
        // Calls bring the values along; here they are only checked, so that a wrong one is told where it is written.
        Target::read(&link.target_settings()).map(drop).map_err(|error| Problem::from(&error))
    }

    async fn del_link(&self, key: &LinkKey) -> Result<(), Problem> {
        self.watchers.del(key);
        Ok(())
    }

    async fn put_config(&self, config: Values) -> Result<(), Problem> {
        let settings = Settings::read(&config).map_err(|error| Problem::from(&error))?;
        self.watchers.set_timeout(settings.watch_timeout);
        self.store.set(settings);
        Ok(())
    }

    fn health(&self) -> Health {
        self.store.failure().map_or(Health::Healthy, Health::Unhealthy)
    }

    fn serve(&self) -> Option<Arc<dyn Serve>> {
        Some(self.server.clone())
    }

    async fn stop(&self, deadline: Duration) {
        let begun = tokio::time::Instant::now();
        self.store.close(deadline).await;
        self.watchers.stop(deadline.saturating_sub(begun.elapsed())).await;
    }
}
