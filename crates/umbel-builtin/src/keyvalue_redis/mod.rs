//! `keyvalue-redis`: serves `wasi:keyvalue` (`0.2.0-draft` and `-draft2`) from a Redis server, so that all hosts of a lattice see the
//! same data.
//!
//! ```text
//!  component ── open, get, list-keys, set, increment, swap, … ──▶ one connection, many calls at once ──▶ Redis
//!                                                                     a write is one script: all of it or nothing
//!  component ◀── watcher.on-set, on-delete ── a bounded queue per link ◀── PREFIX:changes, of every host's writes
//! ```
//!
//! It is what [`crate::keyvalue`] is, limits, buckets and drafts, with another place for the data. What differs: a write is as
//! durable as the server is configured to be (`appendonly yes`), a listing and a batch are read as one, all data together are
//! limited by the server (`maxmemory` with `maxmemory-policy noeviction`), and a watcher hears of the writes of all hosts while
//! its host is connected.
//!
//! **How it stands in Redis**, for a prefix `umbel` and an owner such as `app/shop` (see `place`; anything but letters, digits and
//! `/._-` is escaped as `%XX`):
//!
//! | key | type | |
//! |---|---|---|
//! | `umbel:{app/shop}:values:BUCKET` | hash | the values by key |
//! | `umbel:{app/shop}:versions:BUCKET` | hash | a number for each entry that no other write has |
//! | `umbel:{app/shop}:order:BUCKET` | sorted set | the keys in the order in which they were made |
//! | `umbel:{app/shop}:last`, `…:used` | string | the last number; the bytes of all keys and values |
//!
//! Values can be read by others. What writes there passes by versions, order and limits, so it should not.
//!
//! **Connections** are one for each `url` that the provider or a link names. A lost one is made again, first at once, then three
//! times after 100 ms and more; calls wait for that, at most `timeout_ms`, and then fail with UM1117, and the next call tries
//! again. Urls hold passwords: none is ever logged, shown or put into an error.
//!
//! Read in this order: [`config`], `script`, `connection`, `store`, `listen`.

pub mod config;

mod connection;
mod listen;
mod script;
mod store;

pub use config::Settings;

use crate::keyvalue;
use crate::keyvalue::config::Watching;
use crate::keyvalue::error::KeyvalueError;
use crate::keyvalue::serve::{Bucket, Server};
use crate::keyvalue::watch::Watchers;
use async_trait::async_trait;
use config::LinkConfig;
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use umbel_core::Problem;
use umbel_core::id::ProviderId;
use umbel_core::link::{Contract, LinkKey, ResolvedLink, Values};
use umbel_provider::{Factory, Health, Provider, StartContext};
use umbel_supervisor::cores::Cores;
use umbel_wit::{Interface, InterfaceName, Resource, Serve};

/// The factory of Redis keyvalue providers.
pub struct KeyvalueRedis {
    cores: Arc<Cores>,
}

impl KeyvalueRedis {
    /// The factory. Components that watch keys are called on `cores`.
    pub fn new(cores: Arc<Cores>) -> KeyvalueRedis {
        KeyvalueRedis { cores }
    }
}

#[async_trait]
impl Factory for KeyvalueRedis {
    fn name(&self) -> &'static str {
        "keyvalue-redis"
    }

    fn stands_in_for(&self) -> &'static [&'static str] {
        &["keyvalue-redis"]
    }

    fn contracts(&self) -> Vec<Contract> {
        vec![Contract::new("wasi", "keyvalue", &["store", "atomics", "batch", "watcher"])]
    }

    /// Starts whether the server answers or not: what is not there yet is waited for by calls, and shown by its health.
    fn interfaces(&self) -> Vec<(InterfaceName, Interface)> {
        keyvalue::interfaces()
    }

    async fn start(&self, cx: StartContext) -> Result<Arc<dyn Provider>, Problem> {
        let settings = Settings::read(&cx.config).map_err(told)?;
        let store = Arc::new(Store::new(settings.clone()).map_err(told)?);
        let opener = Arc::downgrade(&store);
        let watchers =
            Watchers::new(&cx.id, cx.targets, self.cores.clone(), settings.watch_timeout, move |place| {
                let place = opener.upgrade()?.default_spot(place.clone());
                Some(Resource::new(Bucket { place }))
            });
        let server = Arc::new(Server::new(store.clone()));
        let provider = RedisProvider { id: cx.id, store, watchers: Arc::new(watchers), server };
        provider.store.check().await;
        Ok(Arc::new(provider))
    }
}

fn told(error: KeyvalueError) -> Problem {
    Problem::from(&error)
}

/// One Redis keyvalue provider.
struct RedisProvider {
    id: ProviderId,
    store: Arc<Store>,
    watchers: Arc<Watchers>,
    server: Arc<Server<Store>>,
}

#[async_trait]
impl Provider for RedisProvider {
    async fn put_link(&self, link: ResolvedLink) -> Result<(), Problem> {
        let key = link.link.key();
        if link.link.source_id == self.id.as_str() {
            let watching = Watching::read(&link.source_settings()).map_err(told)?;
            self.watchers.put(key, link.link.target, watching);
            self.store.listen(&self.watchers).await;
            return Ok(());
        }
        let config = LinkConfig::read(&link.target_settings()).map_err(told)?;
        self.store.put_link(key, config.url.as_ref()).map_err(told)
    }

    async fn del_link(&self, key: &LinkKey) -> Result<(), Problem> {
        self.watchers.del(key);
        self.store.del_link(key);
        Ok(())
    }

    async fn put_config(&self, config: Values) -> Result<(), Problem> {
        let settings = Settings::read(&config).map_err(told)?;
        let timeout = settings.watch_timeout;
        self.store.set(settings).map_err(told)?;
        self.watchers.set_timeout(timeout);
        // A former address may have been listened at.
        self.store.listen(&self.watchers).await;
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
