//! Connections that wait for their next request, by target. Each thread has its own part, so that a request on one core is
//! carried by a connection that lives there, and the locks are never contended.

use super::connect::Target;
use hyper::client::conn::{http1, http2};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use umbel_provider::http::Body;

/// Parts of the pool; threads beyond that share.
const PARTS: usize = 16;
/// Many servers close an idle connection after a minute or more; one that is about to be closed is not worth a failed request.
const IDLE_MAX: Duration = Duration::from_secs(45);

static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static PART: usize = THREADS.fetch_add(1, Relaxed) % PARTS;
}

/// A connection that can take a request.
pub(crate) enum Sender {
    H1(http1::SendRequest<Body>),
    H2(http2::SendRequest<Body>),
}

#[derive(Default)]
struct Idle {
    h1: Vec<(http1::SendRequest<Body>, Instant)>,
    /// Shared by all requests.
    h2: Option<http2::SendRequest<Body>>,
}

/// The idle connections.
pub(crate) struct Pool {
    parts: [Mutex<HashMap<Target, Idle>>; PARTS],
    per_target_max: usize,
}

impl Pool {
    pub(crate) fn new(per_target_max: usize) -> Pool {
        Pool { parts: std::array::from_fn(|_| Mutex::default()), per_target_max }
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
        if let Some(h2) = &idle.h2 {
            if !h2.is_closed() {
                return Some(Sender::H2(h2.clone()));
            }
            idle.h2 = None;
        }
        while let Some((sender, since)) = idle.h1.pop() {
            if !sender.is_closed() && since.elapsed() < IDLE_MAX {
                return Some(Sender::H1(sender));
            }
        }
        None
    }

    /// Keeps a connection for the next request.
    pub(crate) fn put(&self, part: usize, target: &Target, sender: Sender) {
        let mut targets = self.lock(part);
        let idle = match targets.get_mut(target) {
            Some(idle) => idle,
            None => {
                // A component may call ever new hosts: forget those whose connections have ended.
                targets.retain(|_, idle| {
                    idle.h1.retain(|(sender, since)| !sender.is_closed() && since.elapsed() < IDLE_MAX);
                    !idle.h1.is_empty() || idle.h2.as_ref().is_some_and(|h2| !h2.is_closed())
                });
                targets.entry(target.clone()).or_default()
            }
        };
        match sender {
            Sender::H1(sender) if !sender.is_closed() && idle.h1.len() < self.per_target_max => {
                idle.h1.push((sender, Instant::now()));
            }
            Sender::H1(_) => {}
            Sender::H2(sender) => idle.h2 = Some(sender),
        }
    }

    /// Closes what is idle.
    pub(crate) fn clear(&self) {
        for part in 0..PARTS {
            self.lock(part).clear();
        }
    }
}
