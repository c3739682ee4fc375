//! The buckets in memory: exactly what is durable, for reads and watches.
//!
//! A watch has no queue. It remembers the last revision that it has shown and looks for the next one, so a slow watcher costs
//! nothing and can never be shown changes out of order; states between the last two that it looks at are skipped.

use super::plan::{Change, Place, Stored};
use crate::bucket::{Entry, Watch, WatchEvent};
use crate::{LatticeError, Result};
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// How many deletes a bucket remembers for watches.
pub(crate) const DELETES_MAX: usize = 4_096;

/// How many events a watch fetches under one lock.
const FETCH_MAX: usize = 64;

/// All buckets.
#[derive(Debug)]
pub(crate) struct Memory {
    buckets: Mutex<Buckets>,
    // The revision that the file had when it was opened: deletes before it are not known.
    floor: u64,
}

#[derive(Debug, Default)]
struct Buckets {
    by_name: HashMap<String, Arc<Shelf>>,
    stage: Stage,
}

/// One bucket.
#[derive(Debug)]
struct Shelf {
    contents: Mutex<Contents>,
    changed: watch::Sender<Stage>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Open,
    Closed,
}

#[derive(Debug, Default)]
struct Contents {
    by_key: BTreeMap<Arc<str>, Slot>,
    // Every slot is here too, by its revision.
    by_revision: BTreeMap<u64, Arc<str>>,
    deletes: usize,
    // Deletes up to this revision are forgotten.
    floor: u64,
}

#[derive(Debug)]
struct Slot {
    revision: u64,
    value: Option<Bytes>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing under these locks panics half-way through a change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Memory {
    /// What was loaded from the file, whose last revision is `revision`.
    pub(crate) fn new(entries: impl IntoIterator<Item = (Place, Stored)>, revision: u64) -> Memory {
        let memory = Memory { buckets: Mutex::default(), floor: revision };
        for (place, stored) in entries {
            let change = Change { revision: stored.revision, value: Some(stored.value), place };
            lock(&memory.shelf(&change.place.bucket).contents).apply(&change);
        }
        memory
    }

    /// What is at the place.
    pub(crate) fn stored(&self, place: &Place) -> Option<Stored> {
        let shelf = self.shelf(&place.bucket);
        let contents = lock(&shelf.contents);
        let slot = contents.by_key.get(place.key.as_str())?;
        Some(Stored { revision: slot.revision, value: slot.value.clone()? })
    }

    /// The live entries of a bucket whose keys begin with the prefix.
    pub(crate) fn entries(&self, bucket: &str, prefix: &str) -> Vec<Entry> {
        let shelf = self.shelf(bucket);
        let contents = lock(&shelf.contents);
        contents
            .by_key
            .range::<str, _>((std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .filter_map(|(key, slot)| slot.entry(key))
            .collect()
    }

    /// Every live entry, to compare with what is on disk.
    pub(crate) fn all(&self) -> Vec<(Place, Stored)> {
        let names: Vec<String> = lock(&self.buckets).by_name.keys().cloned().collect();
        let mut all = Vec::new();
        for bucket in names {
            for entry in self.entries(&bucket, "") {
                let place = Place { bucket: bucket.clone(), key: entry.key };
                all.push((place, Stored { revision: entry.revision, value: entry.value }));
            }
        }
        all
    }

    /// Makes durable changes visible, and wakes who watches them.
    pub(crate) fn apply(&self, changes: &[Change]) {
        let mut touched: HashMap<&str, Arc<Shelf>> = HashMap::new();
        for change in changes {
            let bucket = change.place.bucket.as_str();
            let shelf = touched.entry(bucket).or_insert_with(|| self.shelf(bucket));
            lock(&shelf.contents).apply(change);
        }
        for shelf in touched.values() {
            shelf.changed.send_modify(|_| {});
        }
    }

    /// Ends all watches.
    pub(crate) fn close(&self) {
        let mut buckets = lock(&self.buckets);
        buckets.stage = Stage::Closed;
        for shelf in buckets.by_name.values() {
            shelf.changed.send_replace(Stage::Closed);
        }
    }

    /// A watch of a bucket, from the start or after a revision.
    pub(crate) fn watch(&self, bucket: &str, prefix: &str, after: Option<u64>) -> Result<Watch> {
        let shelf = self.shelf(bucket);
        let replay_until = {
            let contents = lock(&shelf.contents);
            if let Some(after) = after.filter(|after| *after < contents.floor) {
                return Err(LatticeError::RevisionGone { bucket: bucket.to_string(), after });
            }
            let last = contents.by_revision.last_key_value().map_or(0, |(revision, _)| *revision);
            last.max(contents.floor)
        };
        let cursor = Cursor {
            changed: shelf.changed.subscribe(),
            shelf,
            prefix: prefix.to_string(),
            shown: after.unwrap_or_default(),
            replay: Some(Replay { until: replay_until, deletes: after.is_some() }),
            fetched: VecDeque::new(),
        };
        Ok(Watch::new(futures::stream::unfold(cursor, Cursor::next)))
    }

    fn shelf(&self, bucket: &str) -> Arc<Shelf> {
        let mut buckets = lock(&self.buckets);
        if let Some(shelf) = buckets.by_name.get(bucket) {
            return shelf.clone();
        }
        let contents = Contents { floor: self.floor, ..Contents::default() };
        let changed = watch::Sender::new(buckets.stage);
        let shelf = Arc::new(Shelf { contents: Mutex::new(contents), changed });
        buckets.by_name.insert(bucket.to_string(), shelf.clone());
        shelf
    }
}

impl Contents {
    fn apply(&mut self, change: &Change) {
        let key: Arc<str> = match self.by_key.get_key_value(change.place.key.as_str()) {
            Some((key, old)) => {
                self.by_revision.remove(&old.revision);
                self.deletes -= usize::from(old.value.is_none());
                key.clone()
            }
            None => change.place.key.as_str().into(),
        };
        self.deletes += usize::from(change.value.is_none());
        self.by_revision.insert(change.revision, key.clone());
        self.by_key.insert(key, Slot { revision: change.revision, value: change.value.clone() });
        if self.deletes > DELETES_MAX {
            self.forget_deletes();
        }
    }

    /// Forgets the older half, so that the work is spread over as many deletes.
    fn forget_deletes(&mut self) {
        let is_delete = |key: &Arc<str>| self.by_key.get(key).is_some_and(|slot| slot.value.is_none());
        let old: Vec<(u64, Arc<str>)> = self
            .by_revision
            .iter()
            .filter(|(_, key)| is_delete(key))
            .take(DELETES_MAX / 2)
            .map(|(revision, key)| (*revision, key.clone()))
            .collect();
        for (revision, key) in old {
            self.by_revision.remove(&revision);
            self.by_key.remove(&key);
            self.deletes -= 1;
            self.floor = self.floor.max(revision);
        }
    }
}

impl Slot {
    fn entry(&self, key: &str) -> Option<Entry> {
        Some(Entry { key: key.to_string(), value: self.value.clone()?, revision: self.revision })
    }
}

/// Where a watch is.
struct Cursor {
    shelf: Arc<Shelf>,
    changed: watch::Receiver<Stage>,
    prefix: String,
    /// The last revision that was shown, or passed over.
    shown: u64,
    /// Until the marker has been shown.
    replay: Option<Replay>,
    fetched: VecDeque<WatchEvent>,
}

#[derive(Clone, Copy)]
struct Replay {
    /// The last revision that was there when the watch began.
    until: u64,
    /// Whether deletes are shown: only to one who may know what was deleted.
    deletes: bool,
}

impl Cursor {
    async fn next(mut self) -> Option<(WatchEvent, Cursor)> {
        loop {
            if let Some(event) = self.fetched.pop_front() {
                return Some((event, self));
            }
            // Marked as seen before looking, so that a change made while we look wakes us again.
            let stage = *self.changed.borrow_and_update();
            if !self.fetch() {
                return None;
            }
            if !self.fetched.is_empty() {
                continue;
            }
            if stage == Stage::Closed || self.changed.changed().await.is_err() {
                return None;
            }
        }
    }

    /// Fetches the next events; false if a delete that should be among them is no longer known.
    fn fetch(&mut self) -> bool {
        let contents = lock(&self.shelf.contents);
        let knows_until = match self.replay {
            Some(Replay { until, deletes: false }) => until,
            _ => self.shown,
        };
        if contents.floor > knows_until {
            return false;
        }
        for (revision, key) in contents.by_revision.range(self.shown + 1..) {
            if self.replay.is_some_and(|replay| *revision > replay.until) {
                self.replay = None;
                self.fetched.push_back(WatchEvent::InSync);
            }
            if self.fetched.len() >= FETCH_MAX {
                return true;
            }
            self.shown = *revision;
            if !key.starts_with(&self.prefix) {
                continue;
            }
            let Some(slot) = contents.by_key.get(key) else { continue };
            match slot.entry(key) {
                Some(entry) => self.fetched.push_back(WatchEvent::Put(entry)),
                None if self.replay.is_some_and(|replay| !replay.deletes) => {}
                None => {
                    self.fetched.push_back(WatchEvent::Delete { key: key.to_string(), revision: *revision })
                }
            }
        }
        if let Some(replay) = self.replay.take() {
            self.shown = self.shown.max(replay.until);
            self.fetched.push_back(WatchEvent::InSync);
        }
        true
    }
}

#[cfg(test)]
mod tests;
