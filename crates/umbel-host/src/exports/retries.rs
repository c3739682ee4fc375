//! What could not be done for an id is tried again for that id alone, later each time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// After the first failure.
const WAIT_MIN: Duration = Duration::from_millis(100);
/// After many.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// The ids that failed, and when each is to be tried again.
#[derive(Debug, Default)]
pub(super) struct Retries(BTreeMap<String, (Duration, Instant)>);

impl Retries {
    /// Whether it is time to try the id: it has not failed, or long enough ago.
    pub(super) fn is_due(&self, id: &str, now: Instant) -> bool {
        self.0.get(id).is_none_or(|(_, at)| *at <= now)
    }

    /// It has failed. Returns whether that is the first time since it went well.
    pub(super) fn failed(&mut self, id: &str, now: Instant) -> bool {
        let before = self.0.get(id).map(|(wait, _)| *wait);
        let wait = before.map_or(WAIT_MIN, |wait| (wait * 2).min(WAIT_MAX));
        self.0.insert(id.to_string(), (wait, now + wait));
        before.is_none()
    }

    /// It went well.
    pub(super) fn succeeded(&mut self, id: &str) {
        self.0.remove(id);
    }

    /// Forgets all others than these.
    pub(super) fn retain(&mut self, ids: &BTreeSet<String>) {
        self.0.retain(|id, _| ids.contains(id));
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.values().map(|(_, at)| *at).min()
    }

    /// Those that failed.
    pub(super) fn ids(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_waits_longer_and_alone() {
        let (mut retries, begun) = (Retries::default(), Instant::now());
        assert!(retries.is_due("a", begun) && retries.next().is_none());
        let (mut now, mut waits) = (begun, Vec::new());
        for nth in 0..8 {
            assert_eq!(retries.failed("a", now), nth == 0);
            assert!(!retries.is_due("a", now) && retries.is_due("b", now));
            let next = retries.next().expect("it is to be tried again");
            waits.push((next - now).as_millis());
            now = next;
            assert!(retries.is_due("a", now));
        }
        assert_eq!(waits, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
        assert_eq!(retries.ids(), ["a"]);
        retries.succeeded("a");
        assert!(retries.failed("a", now), "it begins anew");
        assert_eq!(retries.next(), Some(now + WAIT_MIN));
    }

    #[test]
    fn who_is_gone_is_forgotten() {
        let (mut retries, now) = (Retries::default(), Instant::now());
        retries.failed("a", now);
        retries.failed("b", now);
        retries.retain(&BTreeSet::from(["b".to_string()]));
        assert_eq!(retries.ids(), ["b"]);
    }
}
