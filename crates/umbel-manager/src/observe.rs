//! What is there: hosts and what runs on them, links, configs.

use crate::desired::Desired;
use crate::error::ManagerError;
use crate::world::{HostView, World};
use futures::StreamExt;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use umbel_core::Clock;
use umbel_core::id::HostId;
use umbel_lattice::control::{Client, ControlError};

/// Requests to hosts under way at once.
const CONCURRENCY: usize = 32;

/// Looks at the lattice. A host that does not answer for a while is taken to be as it was, so that nothing is moved because
/// of one slow answer.
pub struct Observer {
    client: Client,
    ping: Client,
    clock: Arc<dyn Clock>,
    grace: Duration,
    seen: Mutex<BTreeMap<HostId, Seen>>,
    last: tokio::sync::Mutex<Option<(Instant, World)>>,
}

/// What is read for people may be so old; many who ask at once share one look.
const RECENT: Duration = Duration::from_millis(20);

struct Seen {
    host: Arc<HostView>,
    at: Instant,
}

impl Observer {
    /// An observer that waits `ping_wait` for hosts to tell that they are there, and keeps silent ones for `grace`.
    pub fn new(client: Client, ping_wait: Duration, grace: Duration, clock: Arc<dyn Clock>) -> Observer {
        let ping = client.with_timeout(ping_wait);
        Observer { client, ping, clock, grace, seen: Mutex::default(), last: tokio::sync::Mutex::default() }
    }

    /// The ids of the hosts that answer.
    pub async fn hosts(&self) -> Result<Vec<HostId>, ControlError> {
        let mut hosts: Vec<HostId> = self.ping.hosts().await?.into_iter().map(|host| host.id).collect();
        hosts.sort();
        hosts.dedup();
        Ok(hosts)
    }

    /// The hosts that were seen lately, whether they answer or not.
    pub fn known(&self) -> BTreeSet<HostId> {
        self.lock().keys().cloned().collect()
    }

    /// Forgets a host that said it stopped.
    pub fn forget(&self, host: &HostId) {
        self.lock().remove(host);
    }

    /// Everything but configs, as of a moment ago.
    pub async fn recent(&self) -> Result<World, ManagerError> {
        let mut last = self.last.lock().await;
        if let Some((at, world)) = &*last
            && self.clock.now().duration_since(*at) < RECENT
        {
            return Ok(world.clone());
        }
        let world = self.world().await?;
        *last = Some((self.clock.now(), world.clone()));
        Ok(world)
    }

    /// What was seen a moment ago has been changed since.
    pub async fn forget_recent(&self) {
        *self.last.lock().await = None;
    }

    /// Everything but configs.
    pub async fn world(&self) -> Result<World, ManagerError> {
        let ids = self.hosts().await?;
        let reads = ids.iter().cloned().map(|id| {
            let client = self.client.clone();
            async move { client.inventory(&id).await.map(|inventory| Arc::new(HostView::from(inventory))) }
        });
        let inventories = futures::stream::iter(reads.collect::<Vec<_>>());
        let inventories: Vec<_> = inventories.buffer_unordered(CONCURRENCY).collect().await;
        // Nobody serves links where no host answers.
        let links = if ids.is_empty() { None } else { Some(Arc::new(self.client.links().await?)) };
        let now = self.clock.now();
        let mut seen = self.lock();
        for host in inventories.into_iter().flatten() {
            seen.insert(host.host_id.clone(), Seen { host, at: now });
        }
        seen.retain(|_, host| now.duration_since(host.at) <= self.grace);
        let hosts = seen.iter().map(|(id, host)| (id.clone(), host.host.clone())).collect();
        Ok(World { hosts: Arc::new(hosts), links, configs: BTreeMap::new() })
    }

    /// The same world with the configs that matter to the application.
    pub async fn with_configs(&self, desired: &Desired, world: &World) -> Result<World, ManagerError> {
        let mut world = world.clone();
        if world.links.is_none() {
            return Ok(world);
        }
        let reads = desired.config_names().cloned().map(|name| {
            let client = self.client.clone();
            async move {
                let found = client.get_config(&name).await;
                (name, found)
            }
        });
        let reads: Vec<_> =
            futures::stream::iter(reads.collect::<Vec<_>>()).buffer_unordered(CONCURRENCY).collect().await;
        for (name, found) in reads {
            world.configs.insert(name, found?);
        }
        Ok(world)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<HostId, Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
