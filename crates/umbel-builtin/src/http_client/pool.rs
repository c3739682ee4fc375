//! Connections that wait for their next request, by target. Each thread has its own part, so that a request on one core is
//! carried by a connection that lives there, and the locks are never contended.

use super::connect::Target;
use hyper::client::conn::{http1, http2};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use umbel_provider::http::Body;

/// Parts of the pool; threads beyond that share.
const PARTS: usize = 16;
static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static PART: usize = THREADS.fetch_add(1, Relaxed) % PARTS;
}

/// A connection that can take a request.
pub(crate) enum Sender {
    H1(http1::SendRequest<Body>),
    H2(http2::SendRequest<Body>),
}

/// With the time of their last use.
#[derive(Default)]
struct Idle {
    h1: Vec<(http1::SendRequest<Body>, Instant)>,
    /// Shared by all requests.
    h2: Option<(http2::SendRequest<Body>, Instant)>,
}

impl Idle {
    /// Forgets, and so closes, what has ended or was idle for too long.
    fn expire(&mut self, idle_max: Duration) {
        self.h1.retain(|(sender, since)| !sender.is_closed() && since.elapsed() < idle_max);
        self.h2 = self.h2.take().filter(|(sender, since)| !sender.is_closed() && since.elapsed() < idle_max);
    }

    fn is_empty(&self) -> bool {
        self.h1.is_empty() && self.h2.is_none()
    }
}

/// The idle connections.
pub(crate) struct Pool {
    parts: [Mutex<HashMap<Target, Idle>>; PARTS],
    per_target_max: usize,
    idle_max: Duration,
    /// How many wait for a connection less.
    wanted: AtomicUsize,
}

/// While it lives, no connection is kept.
pub(crate) struct Wanted<'a>(&'a AtomicUsize);

impl Drop for Wanted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl Pool {
    pub(crate) fn new(per_target_max: usize, idle_max: Duration) -> Pool {
        let parts = std::array::from_fn(|_| Mutex::default());
        Pool { parts, per_target_max, idle_max, wanted: AtomicUsize::new(0) }
    }

    /// The part of the calling thread.
    pub(crate) fn part() -> usize {
        PART.with(|part| *part)
    }

    fn lock(&self, part: usize) -> MutexGuard<'_, HashMap<Target, Idle>> {
        self.parts[part].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a connection; the most recently used one first, because it is the most likely to be alive.
    pub(crate) fn take(&self, part: usize, target: &Target) -> Option<Sender> {
        let mut idle = self.lock(part);
        let idle = idle.get_mut(target)?;
        if let Some((sender, used)) = &mut idle.h2 {
            if !sender.is_closed() {
                *used = Instant::now();
                return Some(Sender::H2(sender.clone()));
            }
            idle.h2 = None;
        }
        while let Some((sender, since)) = idle.h1.pop() {
            if !sender.is_closed() && since.elapsed() < self.idle_max {
                return Some(Sender::H1(sender));
            }
        }
        None
    }

    /// Keeps a connection for the next request.
    pub(crate) fn put(&self, part: usize, target: &Target, sender: Sender) {
        let mut targets = self.lock(part);
        // Asked with the lock held: whoever wants a place empties this part after saying so.
        if self.wanted.load(SeqCst) > 0 {
            return;
        }
        let idle = match targets.get_mut(target) {
            Some(idle) => idle,
            None => {
                // A component may call ever new hosts: forget those whose connections have ended.
                targets.retain(|_, idle| {
                    idle.expire(self.idle_max);
                    !idle.is_empty()
                });
                targets.entry(target.clone()).or_default()
            }
        };
        match sender {
            Sender::H1(sender) if !sender.is_closed() && idle.h1.len() < self.per_target_max => {
                idle.h1.push((sender, Instant::now()));
            }
            Sender::H2(sender) if !sender.is_closed() => idle.h2 = Some((sender, Instant::now())),
            _ => {}
        }
    }

    /// Closes the target's connections that were idle for too long.
    pub(crate) fn expire(&self, part: usize, target: &Target) {
        let mut targets = self.lock(part);
        if let Some(idle) = targets.get_mut(target) {
            idle.expire(self.idle_max);
            if idle.is_empty() {
                targets.remove(target);
            }
        }
    }

    /// Closes what is idle, and what would become idle, so that others can be opened.
    pub(crate) fn make_place(&self) -> Wanted<'_> {
        self.wanted.fetch_add(1, SeqCst);
        self.clear();
        Wanted(&self.wanted)
    }

    /// Closes what is idle.
    pub(crate) fn clear(&self) {
        for part in 0..PARTS {
            self.lock(part).clear();
        }
    }
}
