//! The parts of a host by id: who is there, whose turn it is, and what those that are gone leave behind.
//!
//! Orders for one id follow one another: each takes its turn, judges what it finds, and has done its work before the next one looks.
//! Readers need no turn; they see the map of the moment.

use crate::error::HostError;
use arc_swap::ArcSwap;
use rpds::HashTrieMapSync;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Parts that are gone, and whose generation is remembered.
const GONE_MAX: usize = 4_096;

/// Parts by id. Replaced when one comes or goes; the old one and the new one share all but the way to that part.
type Map<S> = HashTrieMapSync<Arc<str>, Arc<S>>;

/// The parts of one kind.
pub struct Parts<S> {
    map: ArcSwap<Map<S>>,
    changed: watch::Sender<()>,
    turns: Turns,
    gone: Mutex<Gone>,
}

impl<S> Default for Parts<S> {
    fn default() -> Parts<S> {
        Parts {
            map: ArcSwap::from_pointee(Map::new_sync()),
            changed: watch::Sender::new(()),
            turns: Turns::default(),
            gone: Mutex::default(),
        }
    }
}

impl<S> Parts<S> {
    /// All of them, at this moment.
    pub fn all(&self) -> Arc<Map<S>> {
        self.map.load_full()
    }

    /// The part of that id.
    pub fn get(&self, id: &str) -> Option<Arc<S>> {
        self.map.load().get(id).cloned()
    }

    /// Waits for the turn of the id. It ends when it is dropped.
    pub async fn turn(&self, id: &str) -> Turn<'_> {
        self.turns.take(id).await
    }

    /// Adds a part, or puts it in the place of the one of that id.
    pub fn add(&self, id: &str, part: &Arc<S>) {
        self.change(|map| map.insert(id.into(), part.clone()));
        self.gone().forget(id);
    }

    /// Removes a part that could not be started.
    pub fn remove(&self, id: &str) {
        self.change(|map| map.remove(id));
    }

    /// Removes a part, if it is there, and remembers what it was stopped for: an older order must not start it again.
    pub fn bury(&self, id: &str, last: Order<'_>) {
        self.change(|map| map.remove(id));
        self.gone().remember(id, last);
    }

    /// Fails for an order that is older than the one that stopped this part.
    pub fn check_gone(&self, id: &str, order: Order<'_>) -> Result<(), HostError> {
        self.gone().check(id, order)
    }

    /// Told when one comes or goes.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    fn change(&self, change: impl Fn(&Map<S>) -> Map<S>) {
        self.map.rcu(|map| change(map));
        self.changed.send_replace(());
    }

    fn gone(&self) -> MutexGuard<'_, Gone> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an order is of.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// The application; generations of one say nothing about another.
    pub application: Option<&'a str>,
    /// The generation; tools of wasmCloud give none.
    pub generation: Option<u64>,
}

/// Fails when the order is older than what is there.
pub fn check_generation(id: &str, now: Option<u64>, given: Option<u64>) -> Result<(), HostError> {
    match (now, given) {
        (Some(current), Some(given)) if given < current => {
            Err(HostError::Stale { id: id.into(), current, given })
        }
        _ => Ok(()),
    }
}

/// The generations of what is gone.
#[derive(Default)]
struct Gone {
    by_id: HashMap<String, Last>,
    counted: u64,
}

struct Last {
    application: Option<String>,
    generation: u64,
    number: u64,
}

impl Gone {
    fn remember(&mut self, id: &str, last: Order<'_>) {
        let Some(generation) = last.generation else { return };
        self.counted += 1;
        let application = last.application.map(str::to_string);
        self.by_id.insert(id.to_string(), Last { application, generation, number: self.counted });
        if self.by_id.len() > GONE_MAX {
            let oldest = self.by_id.iter().min_by_key(|(_, last)| last.number).map(|(id, _)| id.clone());
            self.by_id.remove(&oldest.unwrap_or_default());
        }
    }

    fn forget(&mut self, id: &str) {
        self.by_id.remove(id);
    }

    fn check(&self, id: &str, order: Order<'_>) -> Result<(), HostError> {
        match self.by_id.get(id) {
            Some(last) if last.application.as_deref() == order.application => {
                check_generation(id, Some(last.generation), order.generation)
            }
            _ => Ok(()),
        }
    }
}

/// One lock for each id that somebody is busy with.
#[derive(Default)]
struct Turns(Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>);

impl Turns {
    async fn take(&self, id: &str) -> Turn<'_> {
        let lock = self.locks().entry(id.to_string()).or_default().clone();
        // Made before it is waited for, so that whoever gives up waiting leaves nothing behind either.
        let mut turn = Turn { turns: self, id: id.to_string(), lock, held: None };
        turn.held = Some(turn.lock.clone().lock_owned().await);
        turn
    }

    fn locks(&self) -> MutexGuard<'_, HashMap<String, Arc<tokio::sync::Mutex<()>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The turn of one id, until it is dropped.
pub struct Turn<'a> {
    turns: &'a Turns,
    id: String,
    lock: Arc<tokio::sync::Mutex<()>>,
    held: Option<tokio::sync::OwnedMutexGuard<()>>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.held = None;
        let mut locks = self.turns.locks();
        // The map's and ours: nobody else waits, and nobody can begin to while the map is locked.
        if Arc::strong_count(&self.lock) == 2 {
            locks.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests;
