//! Access counters: one shard per route and core, written only by the thread of that core, so that counting a request costs
//! a few plain stores. Snapshots add the shards up.

use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Buckets of the latency histogram: two per doubling, from 16 µs to about 100 s.
pub const BUCKETS: usize = 46;
/// The first bucket's upper bound is 2^4 µs.
const FIRST_EXPONENT: u32 = 4;

/// The counters of one route on one core. Aligned so that two cores never share a cache line.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Shard {
    requests: AtomicU64,
    finished: AtomicU64,
    /// Requests by first digit of the status; index 0 counts those that ended without one.
    statuses: [AtomicU64; 6],
    latency: [AtomicU64; BUCKETS],
    latency_us_sum: AtomicU64,
}

impl Default for Shard {
    fn default() -> Shard {
        let zero = || AtomicU64::new(0);
        Shard {
            requests: zero(),
            finished: zero(),
            statuses: std::array::from_fn(|_| zero()),
            latency: std::array::from_fn(|_| zero()),
            latency_us_sum: zero(),
        }
    }
}

/// Adds to a counter that has one writer: a load and a store, without the bus lock of an atomic addition.
pub(crate) fn add(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(by), Relaxed);
}

impl Shard {
    pub(crate) fn begin(&self) {
        add(&self.requests, 1);
    }

    /// A request has ended: `status` is 0 when there was none.
    pub(crate) fn end(&self, status: u16, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        add(&self.statuses[usize::from(status / 100).min(5)], 1);
        add(&self.latency[bucket(micros)], 1);
        add(&self.latency_us_sum, micros);
        add(&self.finished, 1);
    }

    pub(crate) fn in_flight(&self) -> u64 {
        // The order matters: read the other way round, a request that ends in between would count as minus one.
        let finished = self.finished.load(Relaxed);
        self.requests.load(Relaxed).saturating_sub(finished)
    }
}

/// The bucket of a duration: the octave and its half.
fn bucket(micros: u64) -> usize {
    let exponent = (u64::BITS - micros.leading_zeros()).max(FIRST_EXPONENT);
    if exponent == FIRST_EXPONENT {
        return 0;
    }
    let upper_half = (micros >> (exponent - 2)) & 1;
    let index = (exponent - FIRST_EXPONENT) as usize * 2 - 1 + upper_half as usize;
    index.min(BUCKETS - 1)
}

/// The upper bound of a bucket in µs, not included; the last one has none.
pub fn bucket_bound_us(index: usize) -> Option<u64> {
    if index + 1 >= BUCKETS {
        return None;
    }
    let octave = 1u64 << (FIRST_EXPONENT as usize + index / 2);
    Some(if index.is_multiple_of(2) { octave } else { octave + octave / 2 })
}

/// What one route has done, since its link was made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RouteStats {
    /// The component that answers.
    pub component: String,
    /// Its application, if it has one.
    pub application: Option<String>,
    /// The provider whose link it is.
    pub provider: String,
    /// The link's name.
    pub link_name: String,
    /// Requests that came.
    pub requests: u64,
    /// Of these, how many are not finished.
    pub in_flight: u64,
    /// Finished requests by the status' first digit; index 0: without an answer, because the client went away.
    pub statuses: [u64; 6],
    /// Finished requests by duration, from the head to the last byte; bounds: [`bucket_bound_us`].
    pub latency: Vec<u64>,
    /// The sum of all durations, in µs.
    pub latency_us_sum: u64,
}

impl RouteStats {
    pub(crate) fn add(&mut self, shard: &Shard) {
        self.in_flight += shard.in_flight();
        self.requests += shard.requests.load(Relaxed);
        for (sum, counter) in self.statuses.iter_mut().zip(&shard.statuses) {
            *sum += counter.load(Relaxed);
        }
        self.latency.resize(BUCKETS, 0);
        for (sum, counter) in self.latency.iter_mut().zip(&shard.latency) {
            *sum += counter.load(Relaxed);
        }
        self.latency_us_sum += shard.latency_us_sum.load(Relaxed);
    }

    /// The duration in µs that the given share of requests (0.0 to 1.0) did not exceed, as the upper bound of its bucket.
    pub fn quantile_us(&self, share: f64) -> Option<u64> {
        let total: u64 = self.latency.iter().sum();
        let mut left = (total as f64 * share).ceil() as u64;
        for (index, count) in self.latency.iter().enumerate() {
            left = left.saturating_sub(*count);
            if left == 0 && total > 0 {
                return bucket_bound_us(index).or(Some(u64::MAX));
            }
        }
        None
    }
}

/// The whole server at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Open connections, per core.
    pub connections: Vec<u64>,
    /// Connections that were refused because there were too many.
    pub connections_refused: u64,
    /// Connections that were ended because the client was too slow or broke the rules.
    pub connections_cut: u64,
    /// Requests that no route was found for.
    pub unrouted: u64,
    /// The routes, by provider and link.
    pub routes: Vec<RouteStats>,
}

#[cfg(test)]
mod tests;
