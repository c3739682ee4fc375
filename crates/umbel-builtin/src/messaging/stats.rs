//! What happened to the messages of a subscription: counters, and a snapshot of them.

use crate::quiet::Quiet;
use std::sync::atomic::AtomicU64;

/// The counters of one subscription.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) delivered: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) timed_out: AtomicU64,
    pub(crate) missed: AtomicU64,
    pub(crate) quiet: Quiet,
}

impl Tally {
    pub(crate) fn new() -> Tally {
        Tally {
            delivered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            timed_out: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            quiet: Quiet::new(),
        }
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
