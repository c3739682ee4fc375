//! What happened to the messages of a subscription: counters, a snapshot of them, and a log that does not flood.

use super::error::MessagingError;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use umbel_core::{Coded, Problem};

/// At most one line in this time for each subscription; what is not said is in the counters.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// The counters of one subscription.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) delivered: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) timed_out: AtomicU64,
    pub(crate) missed: AtomicU64,
    made: Instant,
    /// Milliseconds after `made` from which the log may be written to again.
    quiet_until_ms: AtomicU64,
    unsaid: AtomicU64,
}

impl Tally {
    pub(crate) fn new() -> Tally {
        Tally {
            delivered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            timed_out: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            made: Instant::now(),
            quiet_until_ms: AtomicU64::new(0),
            unsaid: AtomicU64::new(0),
        }
    }

    /// Logs the failure, unless one was logged a moment ago.
    pub(crate) fn say(&self, error: &MessagingError, cause: Option<&Problem>) {
        let now = u64::try_from(self.made.elapsed().as_millis()).unwrap_or(u64::MAX);
        let quiet = self.quiet_until_ms.load(Relaxed);
        let until = now + SAY_EVERY.as_millis() as u64;
        if now < quiet || self.quiet_until_ms.compare_exchange(quiet, until, Relaxed, Relaxed).is_err() {
            self.unsaid.fetch_add(1, Relaxed);
            return;
        }
        let unsaid = self.unsaid.swap(0, Relaxed);
        let cause = cause.map(ToString::to_string);
        tracing::warn!(code = %error.code(), %error, cause, unsaid, "messaging");
    }
}

/// What a subscription has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionStats {
    /// The component, or nothing for a subscriber in the host.
    pub component: Option<String>,
    /// Subjects, with `*` and `>`.
    pub pattern: String,
    /// The queue group.
    pub group: Option<String>,
    /// Handled well.
    pub delivered: u64,
    /// Refused by the handler, or not deliverable.
    pub failed: u64,
    /// Cut at the deadline.
    pub timed_out: u64,
    /// Dropped because the queue was full.
    pub missed: u64,
    /// In the queue at this moment.
    pub waiting: usize,
    /// Being handled at this moment.
    pub in_flight: usize,
}

/// What a space has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpaceStats {
    /// Which one.
    pub space: super::space::SpaceId,
    /// Messages that were sent, requests and replies included.
    pub published: u64,
    /// Requests that wait for a reply at this moment.
    pub requests: usize,
    /// Its subscriptions.
    pub subscriptions: Vec<SubscriptionStats>,
}
