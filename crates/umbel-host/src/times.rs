//! How long calls over a link take: of the last ones whose time was taken.

use std::sync::{Mutex, PoisonError, TryLockError};
use std::time::Duration;

/// How many are kept.
const KEPT: usize = 64;

/// The times of calls over one link.
#[derive(Default)]
pub(crate) struct Times(Mutex<Last>);

#[derive(Default)]
struct Last {
    // In ns, the oldest overwritten first.
    times: Vec<u64>,
    next: usize,
}

impl Times {
    /// Takes one in. Whoever finds another at it leaves it out: it is one of many.
    pub(crate) fn add(&self, took: Duration) {
        let mut last = match self.0.try_lock() {
            Ok(last) => last,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        if last.times.len() < KEPT {
            last.times.push(ns);
        } else {
            let next = last.next;
            last.times[next] = ns;
            last.next = (next + 1) % KEPT;
        }
    }

    /// The median in nanoseconds, if there is any.
    pub(crate) fn median_ns(&self) -> Option<u64> {
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner).times.clone();
        let middle = times.len() / 2;
        (!times.is_empty()).then(|| *times.select_nth_unstable(middle).1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_of_the_last_ones() {
        let times = Times::default();
        assert_eq!(times.median_ns(), None);
        times.add(Duration::from_nanos(5));
        assert_eq!(times.median_ns(), Some(5));
        (0..100).for_each(|_| times.add(Duration::from_micros(1)));
        times.add(Duration::from_secs(1));
        assert_eq!(times.median_ns(), Some(1_000));
        (0..KEPT as u64).for_each(|ns| times.add(Duration::from_nanos(ns)));
        assert_eq!(times.median_ns(), Some(32));
    }
}
