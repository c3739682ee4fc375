//! Links and configs as this host knows them: a copy of the lattice's buckets, kept current by watching them.
//!
//! Keys and values are those of wasmCloud 1.x: bucket `LATTICEDATA_{lattice}`, key `COMPONENT_{source id}` with `{"url","links"}`;
//! bucket `CONFIGDATA_{lattice}`, key the config's name with a map (`facts/wasmcloud.md` §4.4).

use crate::error::HostError;
use crate::shared::Shared;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use umbel_core::Problem;
use umbel_core::id::LatticeName;
use umbel_core::link::{Link, LinkKey, ResolvedLink, Values};
use umbel_lattice::{Bucket, Lattice, LatticeError, WatchEvent};
use umbel_supervisor::ChildContext;

/// An immutable copy of all links and configs.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    by_source: BTreeMap<String, Arc<Vec<Link>>>,
    configs: BTreeMap<String, Arc<Values>>,
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
        let mine = |link: &&Link| link.source_id == id || link.target == id;
        self.links().filter(mine).map(|link| self.resolve(link)).collect()
    }

    /// A link with its configs read.
    pub fn resolve(&self, link: &Link) -> ResolvedLink {
        ResolvedLink {
            source_values: self.merged(&link.source_config),
            target_values: self.merged(&link.target_config),
            link: link.clone(),
        }
    }

    /// The named configs merged in order, the later wins. One that is missing counts as empty.
    pub fn merged(&self, names: &[String]) -> Values {
        let mut all = Values::new();
        for name in names {
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

/// The durable side: where links and configs are written.
pub struct Records {
    links: Arc<dyn Bucket>,
    configs: Arc<dyn Bucket>,
}

impl Records {
    /// Opens the two buckets.
    pub async fn open(lattice: &dyn Lattice, name: &LatticeName) -> Result<Records, LatticeError> {
        Ok(Records {
            links: lattice.bucket(&format!("LATTICEDATA_{name}")).await?,
            configs: lattice.bucket(&format!("CONFIGDATA_{name}")).await?,
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
        .map_err(|e| Problem::from(&e))
    }

    /// Removes a link, if it is there; returns it.
    pub async fn del_link(&self, key: &LinkKey) -> Result<Option<Link>, LatticeError> {
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
    ) -> Result<(), LatticeError> {
        let key = format!("{PREFIX}{source}");
        loop {
            let entry = self.links.get(&key).await?;
            let mut stored: Stored =
                entry.as_ref().and_then(|e| serde_json::from_slice(&e.value).ok()).unwrap_or_default();
            if !edit(&mut stored.links) {
                return Ok(());
            }
            let value = serde_json::to_vec(&stored).expect("links are plain JSON data").into();
            let written = match entry {
                Some(entry) => self.links.update(&key, value, entry.revision).await,
                None => self.links.create(&key, value).await,
            };
            match written {
                Err(LatticeError::WrongRevision { .. } | LatticeError::KeyExists { .. }) => {}
                other => return other.map(|_| ()),
            }
        }
    }

    /// Writes a config. Durable when it returns.
    pub async fn put_config(&self, name: &str, values: &Values) -> Result<(), LatticeError> {
        let value = serde_json::to_vec(values).expect("a map of strings is JSON").into();
        self.configs.put(name, value).await.map(|_| ())
    }

    /// Reads a config.
    pub async fn get_config(&self, name: &str) -> Result<Option<Values>, LatticeError> {
        let entry = self.configs.get(name).await?;
        Ok(entry.and_then(|e| serde_json::from_slice(&e.value).ok()))
    }

    /// Removes a config, if it is there.
    pub async fn del_config(&self, name: &str) -> Result<(), LatticeError> {
        self.configs.delete(name, None).await
    }

    /// All links, read from the bucket.
    pub async fn links(&self) -> Result<Vec<Link>, LatticeError> {
        let entries = self.links.entries(PREFIX).await?;
        Ok(entries.iter().flat_map(|e| links_in(&e.value)).collect())
    }
}

fn links_in(value: &[u8]) -> Vec<Link> {
    serde_json::from_slice::<Stored>(value).map(|stored| stored.links).unwrap_or_default()
}

/// The child that keeps [`Tables`] current.
pub async fn run(shared: Arc<Shared>, cx: ChildContext) -> Result<(), Problem> {
    let failed = |e: LatticeError| Problem::from(&e);
    let records = shared.records();
    let mut links = records.links.watch(PREFIX).await.map_err(failed)?;
    let mut configs = records.configs.watch("").await.map_err(failed)?;
    let mut tables = Tables::default();
    let mut waiting = 2;
    loop {
        let event = tokio::select! {
            () = cx.stop.requested() => return Ok(()),
            event = links.next() => (true, event),
            event = configs.next() => (false, event),
        };
        match event {
            (_, None) => return Err(Problem::from(&HostError::Away { part: "tables" })),
            (_, Some(WatchEvent::InSync)) => {
                waiting -= 1;
                if waiting == 0 {
                    cx.ready.notify();
                }
            }
            (true, Some(event)) => apply_links(&mut tables, event),
            (false, Some(event)) => apply_configs(&mut tables, event),
        }
        // One snapshot for everything that has come meanwhile.
        if waiting <= 0 {
            shared.tables.send_replace(Arc::new(tables.clone()));
        }
    }
}

fn apply_links(tables: &mut Tables, event: WatchEvent) {
    match event {
        WatchEvent::Put(entry) => {
            let source = entry.key.trim_start_matches(PREFIX).to_string();
            tables.by_source.insert(source, Arc::new(links_in(&entry.value)));
        }
        WatchEvent::Delete { key, .. } => {
            tables.by_source.remove(key.trim_start_matches(PREFIX));
        }
        WatchEvent::InSync => {}
    }
}

fn apply_configs(tables: &mut Tables, event: WatchEvent) {
    match event {
        WatchEvent::Put(entry) => {
            let values = serde_json::from_slice(&entry.value).unwrap_or_default();
            tables.configs.insert(entry.key, Arc::new(values));
        }
        WatchEvent::Delete { key, .. } => {
            tables.configs.remove(&key);
        }
        WatchEvent::InSync => {}
    }
}
