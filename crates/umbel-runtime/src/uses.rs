//! Who uses something that is to end: calls, and resources that outlive the call which made them.
//!
//! Counting costs a call two additions; only who waits for the end of all of them has others wake it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst, fence};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// How many use it at this moment. Cheap to clone; all clones count the same.
#[derive(Clone, Default)]
pub struct Uses(Arc<Counts>);

#[derive(Default)]
struct Counts {
    calls: AtomicUsize,
    resources: AtomicUsize,
    /// Those who wait until it is used less.
    waiting: AtomicUsize,
    is_less: Notify,
}

/// What a use is.
#[derive(Clone, Copy)]
enum Kind {
    Call,
    Resource,
}

/// One use, until it is dropped.
pub struct Use {
    counts: Arc<Counts>,
    kind: Kind,
}

impl Uses {
    /// Counts a call, or a stream that goes on after its call.
    pub fn call(&self) -> Use {
        self.begin(Kind::Call)
    }

    /// Counts a resource that somebody has.
    pub fn resource(&self) -> Use {
        self.begin(Kind::Resource)
    }

    fn begin(&self, kind: Kind) -> Use {
        self.0.of(kind).fetch_add(1, SeqCst);
        // Whoever then looks whether he is still to use it sees that it is to end, or is seen by whoever ends it.
        fence(SeqCst);
        Use { counts: self.0.clone(), kind }
    }

    /// Waits until nobody uses it, at most for `calls`; once only resources are left, at most for `resources`. Says whether it is idle.
    /// Whoever asks has seen to it that no new uses begin.
    pub async fn idle(&self, calls: Duration, resources: Duration) -> bool {
        fence(SeqCst);
        let counts = &*self.0;
        let _waiting = Waiting::on(counts);
        let begun = Instant::now();
        let mut calls_over: Option<Instant> = None;
        loop {
            let mut is_less = std::pin::pin!(counts.is_less.notified());
            // Before it is looked: what ends from then on wakes.
            is_less.as_mut().enable();
            match (counts.calls.load(SeqCst), counts.resources.load(SeqCst)) {
                (0, 0) => return true,
                (0, _) => drop(calls_over.get_or_insert_with(Instant::now)),
                _ => calls_over = None,
            }
            let late = [begun.checked_add(calls), calls_over.and_then(|over| over.checked_add(resources))];
            match late.into_iter().flatten().min() {
                Some(late) if late <= Instant::now() => return false,
                // It is looked once more in any case.
                Some(late) => drop(timeout_at(late, is_less).await),
                None => is_less.await,
            }
        }
    }
}

impl Counts {
    fn of(&self, kind: Kind) -> &AtomicUsize {
        match kind {
            Kind::Call => &self.calls,
            Kind::Resource => &self.resources,
        }
    }
}

impl Clone for Use {
    fn clone(&self) -> Use {
        Uses(self.counts.clone()).begin(self.kind)
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        self.counts.of(self.kind).fetch_sub(1, SeqCst);
        if self.counts.waiting.load(SeqCst) > 0 {
            self.counts.is_less.notify_waiters();
        }
    }
}

/// Somebody who waits, until he does not any more.
struct Waiting<'a>(&'a Counts);

impl Waiting<'_> {
    fn on(counts: &Counts) -> Waiting<'_> {
        counts.waiting.fetch_add(1, SeqCst);
        Waiting(counts)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests;
