//! Resources on the wire: a server lends them by bytes that mean nothing to anybody else.

use super::{extra, problem};
use crate::{Lattice, Message, Spawn};
use bytes::Bytes;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use umbel_core::Problem;
use umbel_core::code::wire;
use umbel_wit::Resource;

/// How many resources one client may hold.
pub const HANDLES_MAX: usize = 10_000;

/// How many resources all clients of a server may hold.
pub const HANDLES_OF_ALL_MAX: usize = 100_000;

/// How many handles one message drops at most.
const DROPS_MAX: usize = 1_000;

/// The length of a handle, that of wasmCloud 1.x.
const BYTES: usize = 16;

/// Whoever has the bytes may use what is lent to this client: arguments of our own calls, whose receiver calls back as somebody else.
pub(crate) const ANYONE: &str = "";

/// What a provider or a component has lent. Its server and its client share one, because what goes out with a call comes back with
/// another.
#[derive(Default)]
pub struct Lent {
    state: Mutex<Table>,
    // Makes handles that cannot be guessed.
    keys: (RandomState, RandomState),
}

#[derive(Default)]
struct Table {
    by_client: HashMap<String, HashMap<[u8; BYTES], Resource>>,
    count: usize,
    next: u64,
}

impl Lent {
    /// Nothing is lent yet.
    pub fn new() -> Arc<Lent> {
        Arc::default()
    }

    /// How many resources are lent.
    pub fn len(&self) -> usize {
        self.lock().count
    }

    /// Whether none is lent.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn lend(&self, client: &str, resource: Resource) -> Result<Bytes, Problem> {
        let mut table = self.lock();
        let held = table.by_client.get(client).map_or(0, HashMap::len);
        if held >= HANDLES_MAX || table.count >= HANDLES_OF_ALL_MAX {
            let message =
                format!("the caller holds {held} resources of this server, all callers {}", table.count);
            return Err(problem(wire::HANDLES_LIMIT, message));
        }
        table.next += 1;
        table.count += 1;
        let mut handle = [0; BYTES];
        let (low, high) = (self.keys.0.hash_one(table.next), self.keys.1.hash_one(table.next));
        handle[..8].copy_from_slice(&low.to_le_bytes());
        handle[8..].copy_from_slice(&high.to_le_bytes());
        match table.by_client.get_mut(client) {
            Some(handles) => drop(handles.insert(handle, resource)),
            None => drop(table.by_client.insert(client.to_string(), HashMap::from([(handle, resource)]))),
        }
        Ok(Bytes::copy_from_slice(&handle))
    }

    /// What the client holds by that handle. An owned one is the client's no longer.
    pub(crate) fn find(&self, client: &str, handle: &[u8], is_own: bool) -> Option<Resource> {
        let key = <[u8; BYTES]>::try_from(handle).ok()?;
        let mut table = self.lock();
        for client in [client, ANYONE] {
            if let Some(found) = table.by_client.get(client).and_then(|handles| handles.get(&key)) {
                let found = found.clone();
                if is_own {
                    let _same = table.remove(client, &key);
                }
                return Some(found);
            }
        }
        None
    }

    /// The client holds it no longer.
    pub(crate) fn forget(&self, client: &str, handle: &[u8]) {
        let Ok(key) = <[u8; BYTES]>::try_from(handle) else { return };
        let mut table = self.lock();
        let gone = table.remove(client, &key).or_else(|| table.remove(ANYONE, &key));
        drop(table);
        // Outside the lock: a resource may do much when it is dropped.
        drop(gone);
    }

    /// The client is gone, and all that it held.
    pub fn forget_client(&self, client: &str) {
        let mut table = self.lock();
        let gone = table.by_client.remove(client);
        table.count -= gone.as_ref().map_or(0, HashMap::len);
        drop(table);
        drop(gone);
    }

    /// Everybody is gone.
    pub fn forget_all(&self) {
        let mut table = self.lock();
        table.count = 0;
        let gone = std::mem::take(&mut table.by_client);
        drop(table);
        drop(gone);
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn remove(&mut self, client: &str, key: &[u8; BYTES]) -> Option<Resource> {
        let handles = self.by_client.get_mut(client)?;
        let gone = handles.remove(key)?;
        if handles.is_empty() {
            self.by_client.remove(client);
        }
        self.count -= 1;
        Some(gone)
    }
}

impl std::fmt::Debug for Lent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Lent({})", self.len())
    }
}

/// A resource of another server, as its client keeps it in a [`Resource`]. Dropping it drops the resource there.
pub struct Handle {
    pub(crate) owner: Arc<Owner>,
    pub(crate) bytes: Bytes,
    is_given_back: AtomicBool,
}

impl Handle {
    pub(crate) fn new(owner: Arc<Owner>, bytes: Bytes) -> Handle {
        Handle { owner, bytes, is_given_back: AtomicBool::new(false) }
    }

    /// The id of the component or provider whose resource it is.
    pub fn owner(&self) -> &str {
        &self.owner.target
    }

    /// Its owner has it again, so it is not dropped there.
    pub(crate) fn give_back(&self) {
        self.is_given_back.store(true, Ordering::Relaxed);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if !self.is_given_back.load(Ordering::Relaxed) {
            self.owner.clone().drop_later(std::mem::take(&mut self.bytes));
        }
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Handle({})", self.owner.target)
    }
}

/// A server whose resources we hold, and what we have dropped of them and not yet said.
pub(crate) struct Owner {
    pub(crate) target: String,
    /// The reply subject that says who we are.
    pub(crate) reply: String,
    pub(crate) lattice: Arc<dyn Lattice>,
    pub(crate) spawn: Spawn,
    pub(crate) dropped: Mutex<Vec<Bytes>>,
}

impl Owner {
    fn drop_later(self: Arc<Self>, handle: Bytes) {
        let is_first = {
            let mut dropped = self.dropped.lock().unwrap_or_else(PoisonError::into_inner);
            dropped.push(handle);
            dropped.len() == 1
        };
        if is_first {
            let spawn = self.spawn.clone();
            spawn(Box::pin(async move { self.tell().await }));
        }
    }

    async fn tell(&self) {
        let dropped = std::mem::take(&mut *self.dropped.lock().unwrap_or_else(PoisonError::into_inner));
        for part in dropped.chunks(DROPS_MAX) {
            let message = Message::new(extra(self.lattice.name(), &self.target, "drop"), written(part));
            // A server that is gone has nothing left to drop.
            let _ = self.lattice.publish(message.with_reply(self.reply.clone())).await;
        }
    }
}

fn written(handles: &[Bytes]) -> Vec<u8> {
    let mut out = Vec::with_capacity(4 + handles.len() * (BYTES + 1));
    super::codec::put_unsigned(&mut out, handles.len() as u64);
    for handle in handles {
        super::codec::put_unsigned(&mut out, handle.len() as u64);
        out.extend_from_slice(handle);
    }
    out
}

/// The handles of a drop message: a list of byte lists.
pub(crate) fn read_drops(payload: &Bytes) -> Option<Vec<Bytes>> {
    let mut reader = super::codec::Reader::new(payload);
    let count = reader.length().ok()?;
    if count > DROPS_MAX {
        return None;
    }
    let mut handles = Vec::new();
    for _ in 0..count {
        let length = reader.length().ok()?;
        handles.push(reader.take(length).ok()?);
    }
    Some(handles)
}
