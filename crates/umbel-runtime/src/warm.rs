//! Instances kept for the next call, where the manifest asks for reuse.

use crate::ctx::Ctx;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use wasmtime::Store;

/// Calls that one instance serves before it is replaced: what a guest leaks does not grow for ever, nor to a limit.
const USES_MAX: u32 = 2_000;

/// An instance between two calls.
pub(crate) struct Warm<P> {
    pub store: Store<Ctx>,
    pub proxy: P,
    pub uses: u32,
    pub since: Instant,
}

/// The kept instances of one component, the most recently used on top.
pub(crate) struct Shelf<P> {
    // Held to push or pop one; the budget of instances bounds its length.
    kept: Mutex<Vec<Warm<P>>>,
}

impl<P> Default for Shelf<P> {
    fn default() -> Shelf<P> {
        Shelf { kept: Mutex::default() }
    }
}

impl<P> Shelf<P> {
    fn kept(&self) -> std::sync::MutexGuard<'_, Vec<Warm<P>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn take(&self) -> Option<Warm<P>> {
        self.kept().pop()
    }

    /// Puts an instance back after a call that ended well.
    pub(crate) fn put(&self, mut warm: Warm<P>) {
        warm.uses += 1;
        if warm.uses >= USES_MAX || warm.store.data().limiter.refused {
            return;
        }
        warm.since = Instant::now();
        self.kept().push(warm);
    }

    /// Drops what has not been used for so long.
    pub(crate) fn trim(&self, idle_max: Duration) {
        let old: Vec<Warm<P>> = {
            let mut kept = self.kept();
            // The oldest are at the bottom, because only the top is used.
            let fresh = kept.iter().position(|w| w.since.elapsed() < idle_max).unwrap_or(kept.len());
            kept.drain(..fresh).collect()
        };
        drop(old);
    }
}
