//! Instances kept for the next call, where the manifest asks for reuse.
//!
//! What components keep, they keep from others: all of them together may hold half of the pool, and give back what they used least
//! recently when somebody finds the pool full.

use crate::ctx::Ctx;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;
use wasmtime::Store;

/// Calls that one instance serves before it is replaced: what a guest leaks does not grow for ever, nor to a limit.
const USES_MAX: u32 = 2_000;
/// Room is made by an eighth of what is kept, so that making it costs little per call.
const ROOM: usize = 8;

/// An instance, and what is needed to keep it after its call.
pub(crate) struct Warm<H> {
    pub store: Store<Ctx>,
    pub exports: H,
    uses: u32,
    since: Instant,
    _place: Option<Place>,
}

impl<H> Warm<H> {
    /// An instance that goes after its call.
    pub(crate) fn once(store: Store<Ctx>, exports: H) -> Warm<H> {
        Warm { store, exports, uses: 0, since: Instant::now(), _place: None }
    }

    /// An instance that may be kept.
    pub(crate) fn lasting(store: Store<Ctx>, exports: H, kept: &Kept) -> Warm<H> {
        Warm { _place: Some(Place::take(kept)), ..Warm::once(store, exports) }
    }
}

/// An instance's place among those that may be kept.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(kept: &Kept) -> Place {
        kept.alive.fetch_add(1, Relaxed);
        Place(kept.alive.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// What all components of one engine keep.
pub(crate) struct Kept {
    /// Instances that may be kept: idle ones and those at work.
    alive: Arc<AtomicUsize>,
    max: usize,
    // Held to add a component, and to make room.
    keepers: Mutex<Vec<Weak<dyn Keeper>>>,
}

/// A component that keeps instances.
pub(crate) trait Keeper: Send + Sync {
    /// Since when each of its instances is idle.
    fn idle(&self) -> Vec<Instant>;
    /// Drops those that have been idle since then or longer; how many.
    fn drop_idle(&self, since: Instant) -> usize;
}

impl Kept {
    /// For a pool of so many slots.
    pub(crate) fn of(slots: usize) -> Kept {
        Kept { alive: Arc::default(), max: slots.div_ceil(2), keepers: Mutex::default() }
    }

    fn keepers(&self) -> MutexGuard<'_, Vec<Weak<dyn Keeper>>> {
        self.keepers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, keeper: Weak<dyn Keeper>) {
        let mut keepers = self.keepers();
        keepers.retain(|keeper| keeper.strong_count() > 0);
        keepers.push(keeper);
    }

    /// Drops what was used least recently, of whatever component. Returns whether there was anything to drop.
    pub(crate) fn make_room(&self) -> bool {
        let keepers: Vec<Arc<dyn Keeper>> = self.keepers().iter().filter_map(Weak::upgrade).collect();
        let mut idle: Vec<Instant> = keepers.iter().flat_map(|keeper| keeper.idle()).collect();
        if idle.is_empty() {
            return false;
        }
        let count = idle.len().div_ceil(ROOM);
        let (_, since, _) = idle.select_nth_unstable(count - 1);
        keepers.iter().map(|keeper| keeper.drop_idle(*since)).sum::<usize>() > 0
    }

    /// Whether one more may be kept; makes room if need be.
    fn has_room(&self) -> bool {
        self.alive.load(Relaxed) <= self.max || self.make_room()
    }
}

/// The kept instances of one component, the most recently used on top.
pub(crate) struct Shelf<H> {
    // Held to push or pop one; the budget of instances bounds its length.
    kept: Mutex<Vec<Warm<H>>>,
}

impl<H> Default for Shelf<H> {
    fn default() -> Shelf<H> {
        Shelf { kept: Mutex::default() }
    }
}

impl<H> Shelf<H> {
    fn kept(&self) -> MutexGuard<'_, Vec<Warm<H>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn take(&self) -> Option<Warm<H>> {
        self.kept().pop()
    }

    /// Puts an instance back after a call that ended well.
    pub(crate) fn put(&self, mut warm: Warm<H>, all: &Kept) {
        warm.uses += 1;
        if warm.uses >= USES_MAX || warm.store.data().wants_memory() || !all.has_room() {
            return;
        }
        warm.store.data_mut().sessions.prune();
        warm.since = Instant::now();
        self.kept().push(warm);
    }

    pub(crate) fn idle(&self) -> Vec<Instant> {
        self.kept().iter().map(|warm| warm.since).collect()
    }

    pub(crate) fn drop_idle(&self, since: Instant) -> usize {
        let old: Vec<Warm<H>> = {
            let mut kept = self.kept();
            // The oldest are at the bottom, because only the top is used.
            let old = kept.partition_point(|warm| warm.since <= since);
            kept.drain(..old).collect()
        };
        old.len()
    }
}
