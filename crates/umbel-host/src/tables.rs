//! Links and configs as this host knows them: a copy of the lattice's buckets, kept current by watching them.
//!
//! Keys and values are those of wasmCloud 1.x: bucket `LATTICEDATA_{lattice}`, key `COMPONENT_{source id}` with `{"url","links"}`;
//! bucket `CONFIGDATA_{lattice}`, key the config's name with a map (`facts/wasmcloud.md` §4.4).

use crate::error::HostError;
use crate::shared::{COALESCE, Shared};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::time::Instant;
use umbel_core::id::LatticeName;
use umbel_core::link::{Link, LinkKey, ResolvedLink, Values};
use umbel_core::settings::is_secret;
use umbel_core::{Coded, Problem};
use umbel_lattice::{Bucket, Entry, Lattice, LatticeError, WatchEvent};
use umbel_supervisor::ChildContext;

/// An immutable copy of all links and configs.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    by_source: BTreeMap<String, Arc<Vec<Link>>>,
    /// Who has links to a target, so that nobody need look at all links for its own.
    sources_of: BTreeMap<String, Arc<BTreeSet<String>>>,
    configs: BTreeMap<String, Arc<Values>>,
    /// How many copies there have been.
    pub number: u64,
    seen: Revisions,
}

/// How far something is, in the revisions of the two buckets.
#[derive(Debug, Clone, Copy, Default)]
struct Revisions {
    links: u64,
    configs: u64,
}

impl Tables {
    /// All links.
    pub fn links(&self) -> impl Iterator<Item = &Link> {
        self.by_source.values().flat_map(|links| links.iter())
    }

    /// The links of one importer.
    pub fn links_of(&self, source: &str) -> &[Link] {
        self.by_source.get(source).map_or(&[], |links| links.as_slice())
    }

    /// The links that name the id as source or target, with their configs.
    pub fn links_with(&self, id: &str) -> Vec<ResolvedLink> {
        let sources = self.sources_of.get(id).into_iter().flat_map(|sources| sources.iter());
        let to_it = sources
            .filter(|source| *source != id)
            .flat_map(|source| self.links_of(source))
            .filter(|link| link.target == id);
        self.links_of(id).iter().chain(to_it).map(|link| self.resolve(link)).collect()
    }

    /// Whether everything is in it that was written here until now.
    pub fn has_all_of(&self, records: &Records) -> bool {
        let Written { links, configs } = &records.written;
        self.seen.links >= links.load(Relaxed) && self.seen.configs >= configs.load(Relaxed)
    }

    /// Replaces the links of one importer.
    fn set_links(&mut self, source: &str, links: Vec<Link>) {
        for old in self.by_source.remove(source).iter().flat_map(|links| links.iter()) {
            if let Some(sources) = self.sources_of.get_mut(&old.target) {
                Arc::make_mut(sources).remove(source);
                if sources.is_empty() {
                    self.sources_of.remove(&old.target);
                }
            }
        }
        for link in &links {
            let sources = self.sources_of.entry(link.target.clone()).or_default();
            Arc::make_mut(sources).insert(source.to_string());
        }
        if !links.is_empty() {
            self.by_source.insert(source.to_string(), Arc::new(links));
        }
    }

    /// The names under which whoever has the configs is given secrets.
    pub fn secret_names(&self, names: &[String]) -> Vec<String> {
        let secrets = names.iter().filter(|name| is_secret(name));
        secrets.filter_map(|name| self.config(name)?.get("name").cloned()).collect()
    }

    /// A link with its configs read, without its secrets.
    pub fn resolve(&self, link: &Link) -> ResolvedLink {
        let (source, target) = (self.merged(&link.source_config), self.merged(&link.target_config));
        ResolvedLink::new(link.clone(), source, target)
    }

    /// The named configs merged in order, the later wins. One that is missing counts as empty, and references to secrets are no values.
    pub fn merged(&self, names: &[String]) -> Values {
        let mut all = Values::new();
        for name in names.iter().filter(|name| !is_secret(name)) {
            if let Some(values) = self.configs.get(name) {
                all.extend(values.iter().map(|(k, v)| (k.clone(), v.clone())));
            }
        }
        all
    }

    /// The values of one config.
    pub fn config(&self, name: &str) -> Option<&Values> {
        self.configs.get(name).map(|values| &**values)
    }
}

/// What stands under `COMPONENT_{id}`.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Stored {
    #[serde(default)]
    url: String,
    #[serde(default)]
    links: Vec<Link>,
}

const PREFIX: &str = "COMPONENT_";
/// How often a write is tried again because somebody else wrote between reading and writing. Each time somebody else got on.
const ATTEMPTS_MAX: usize = 256;

/// Reads a record. One that cannot be read is an error, never an empty one: it would be written over.
fn read<T: DeserializeOwned>(bucket: &dyn Bucket, entry: &Entry) -> Result<T, HostError> {
    serde_json::from_slice(&entry.value).map_err(|source| HostError::Damaged {
        bucket: bucket.name().to_string(),
        key: entry.key.clone(),
        source,
    })
}

/// The durable side: where links and configs are written.
pub struct Records {
    links: Arc<dyn Bucket>,
    configs: Arc<dyn Bucket>,
    // What was changed of providers by hand; ours, and each host's own.
    hands: Arc<dyn Bucket>,
    written: Written,
}

/// The newest revisions that were written here.
#[derive(Default)]
struct Written {
    links: AtomicU64,
    configs: AtomicU64,
}

impl Records {
    /// Opens the two buckets.
    pub async fn open(lattice: &dyn Lattice, name: &LatticeName) -> Result<Records, LatticeError> {
        Ok(Records {
            links: lattice.bucket(&format!("LATTICEDATA_{name}")).await?,
            configs: lattice.bucket(&format!("CONFIGDATA_{name}")).await?,
            hands: lattice.bucket(&format!("UMBELHANDS_{name}")).await?,
            written: Written::default(),
        })
    }

    /// Puts a link in place of the one with the same key. Durable when it returns.
    pub async fn put_link(&self, link: &Link) -> Result<(), Problem> {
        for name in link.source_config.iter().chain(&link.target_config) {
            if self.configs.get(name).await.map_err(|e| Problem::from(&e))?.is_none() {
                return Err(Problem::from(&HostError::UnknownConfig { name: name.clone() }));
            }
        }
        let key = link.key();
        self.change(&link.source_id, |links| {
            links.retain(|old| old.key() != key);
            links.push(link.clone());
            true
        })
        .await
    }

    /// Removes a link, if it is there; returns it.
    pub async fn del_link(&self, key: &LinkKey) -> Result<Option<Link>, Problem> {
        let mut removed = None;
        self.change(&key.source_id, |links| {
            let at = links.iter().position(|link| link.key() == *key);
            removed = at.map(|at| links.remove(at));
            removed.is_some()
        })
        .await?;
        Ok(removed)
    }

    /// Read, modify, write with compare-and-swap until nobody came between.
    async fn change(
        &self,
        source: &str,
        mut edit: impl FnMut(&mut Vec<Link>) -> bool,
    ) -> Result<(), Problem> {
        let key = format!("{PREFIX}{source}");
        let mut attempts = 0;
        loop {
            let entry = self.links.get(&key).await.map_err(|e| Problem::from(&e))?;
            let mut stored = match &entry {
                Some(entry) => read::<Stored>(&*self.links, entry).map_err(|e| Problem::from(&e))?,
                None => Stored::default(),
            };
            if !edit(&mut stored.links) {
                return Ok(());
            }
            let value = serde_json::to_vec(&stored).expect("links are plain JSON data").into();
            let written = match entry {
                Some(entry) => self.links.update(&key, value, entry.revision).await,
                None => self.links.create(&key, value).await,
            };
            attempts += 1;
            match written {
                Err(LatticeError::WrongRevision { .. } | LatticeError::KeyExists { .. })
                    if attempts < ATTEMPTS_MAX => {}
                Err(error) => return Err(Problem::from(&error)),
                Ok(revision) => {
                    self.written.links.fetch_max(revision, Relaxed);
                    return Ok(());
                }
            }
        }
    }

    /// Writes a config. Durable when it returns.
    pub async fn put_config(&self, name: &str, values: &Values) -> Result<(), LatticeError> {
        let value = serde_json::to_vec(values).expect("a map of strings is JSON").into();
        let revision = self.configs.put(name, value).await?;
        self.written.configs.fetch_max(revision, Relaxed);
        Ok(())
    }

    /// Reads a config.
    pub async fn get_config(&self, name: &str) -> Result<Option<Values>, Problem> {
        let entry = self.configs.get(name).await.map_err(|e| Problem::from(&e))?;
        let values = entry.map(|entry| read(&*self.configs, &entry)).transpose();
        values.map_err(|e| Problem::from(&e))
    }

    /// Removes a config, if it is there.
    pub async fn del_config(&self, name: &str) -> Result<(), LatticeError> {
        self.configs.delete(name, None).await
    }

    /// What was changed by hand of the part with that key. A record that cannot be read counts as none, not without saying so.
    pub async fn hand<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, LatticeError> {
        let entry = self.hands.get(key).await?;
        Ok(entry.and_then(|entry| tell(read(&*self.hands, &entry))))
    }

    /// Keeps what was changed by hand, or forgets it. Durable when it returns.
    pub async fn set_hand<T: Serialize>(&self, key: &str, hand: Option<&T>) -> Result<(), LatticeError> {
        match hand {
            Some(hand) => {
                let value = serde_json::to_vec(hand).expect("it is plain JSON data").into();
                self.hands.put(key, value).await.map(drop)
            }
            None => self.hands.delete(key, None).await,
        }
    }

    /// All links, read from the bucket. Those of a record that cannot be read are left out, so that the others can be seen.
    pub async fn links(&self) -> Result<Vec<Link>, LatticeError> {
        let entries = self.links.entries(PREFIX).await?;
        let readable = entries.iter().filter_map(|entry| tell(read::<Stored>(&*self.links, entry)));
        Ok(readable.flat_map(|stored| stored.links).collect())
    }
}

/// Leaves out what cannot be read, not without saying so.
fn tell<T>(read: Result<T, HostError>) -> Option<T> {
    read.inspect_err(|error| tracing::error!(code = %error.code(), "{error}; it is left as it is")).ok()
}

/// The child that keeps [`Tables`] current.
pub async fn run(shared: Arc<Shared>, cx: ChildContext) -> Result<(), Problem> {
    let failed = |e: LatticeError| Problem::from(&e);
    let records = shared.records();
    let mut links = records.links.watch(PREFIX).await.map_err(failed)?;
    let mut configs = records.configs.watch("").await.map_err(failed)?;
    let before = shared.tables.borrow().clone();
    let mut tables = Tables { number: before.number, seen: before.seen, ..Tables::default() };
    let mut syncing = 2;
    let mut quiet_until = Instant::now();
    let mut is_new = false;
    loop {
        tokio::select! {
            () = cx.stop.requested() => return Ok(()),
            // One copy for all that has come since the last one.
            () = tokio::time::sleep_until(quiet_until), if is_new && syncing == 0 => {
                tables.number += 1;
                shared.tables.send_replace(Arc::new(tables.clone()));
                cx.ready.notify();
                quiet_until = Instant::now() + COALESCE;
                is_new = false;
                continue;
            }
            event = links.next() => match event {
                Some(WatchEvent::InSync) => syncing -= 1,
                Some(event) => apply_links(&*records.links, &mut tables, event),
                None => return Err(Problem::from(&HostError::Away { part: "tables" })),
            },
            event = configs.next() => match event {
                Some(WatchEvent::InSync) => syncing -= 1,
                Some(event) => apply_configs(&*records.configs, &mut tables, event),
                None => return Err(Problem::from(&HostError::Away { part: "tables" })),
            },
        }
        is_new = true;
    }
}

/// A record that cannot be read changes nothing: what was known before it is still the best that is known.
fn apply_links(bucket: &dyn Bucket, tables: &mut Tables, event: WatchEvent) {
    tables.seen.links = tables.seen.links.max(event.revision().unwrap_or_default());
    match event {
        WatchEvent::Put(entry) => {
            if let Some(stored) = tell(read::<Stored>(bucket, &entry)) {
                tables.set_links(source_in(&entry.key), stored.links);
            }
        }
        WatchEvent::Delete { key, .. } => tables.set_links(source_in(&key), Vec::new()),
        WatchEvent::InSync => {}
    }
}

fn source_in(key: &str) -> &str {
    key.strip_prefix(PREFIX).unwrap_or(key)
}

fn apply_configs(bucket: &dyn Bucket, tables: &mut Tables, event: WatchEvent) {
    tables.seen.configs = tables.seen.configs.max(event.revision().unwrap_or_default());
    match event {
        WatchEvent::Put(entry) => {
            if let Some(values) = tell(read(bucket, &entry)) {
                tables.configs.insert(entry.key, Arc::new(values));
            }
        }
        WatchEvent::Delete { key, .. } => {
            tables.configs.remove(&key);
        }
        WatchEvent::InSync => {}
    }
}

#[cfg(test)]
mod tests;
