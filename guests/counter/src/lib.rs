//! Counts the requests of its instance: a fresh instance always says 1.

use std::sync::atomic::{AtomicU64, Ordering};

static COUNT: AtomicU64 = AtomicU64::new(0);

fn answer(_: &guest::IncomingRequest) -> String {
    format!("{}\n", COUNT.fetch_add(1, Ordering::Relaxed) + 1)
}

guest::serve!(answer);
