//! One subscription: its queue, and what takes from it.

use super::delivery::{self, Delivery};
use super::error::MessagingError;
use super::message::Message;
use super::queue::{Pushed, Queue};
use super::stats::{SubscriptionStats, Tally};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// A subscription of a space.
pub(crate) struct Subscription {
    pub(crate) pattern: String,
    pub(crate) group: Option<Arc<str>>,
    pub(crate) tally: Tally,
    queue: Mutex<Queue>,
    pub(crate) sink: Sink,
}

/// Who takes from a queue.
pub(crate) enum Sink {
    /// Workers on the data path, as many as there is work for and the limit allows, call a component.
    Component(Delivery),
    /// A task of the host waits for messages.
    Here(Arc<Notify>),
}

impl Subscription {
    pub(crate) fn new(pattern: &str, group: Option<&str>, queue: Queue, sink: Sink) -> Arc<Subscription> {
        Arc::new(Subscription {
            pattern: pattern.into(),
            group: group.map(Into::into),
            tally: Tally::new(),
            queue: Mutex::new(queue),
            sink,
        })
    }

    pub(crate) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a message over, and returns whether there was room for it.
    pub(crate) fn offer(self: &Arc<Self>, message: Message) -> bool {
        let pushed = self.queue().push(message);
        match (pushed, &self.sink) {
            (Pushed::Full, _) => return false,
            (Pushed::StartWorker, _) => delivery::start_worker(self),
            (Pushed::Waits, Sink::Here(notify)) => notify.notify_one(),
            (Pushed::Waits, Sink::Component(_)) => {}
        }
        true
    }

    /// Counts messages that had no room.
    pub(crate) fn missed(&self, count: u64) {
        if count == 0 {
            return;
        }
        let missed = self.tally.missed.fetch_add(count, Relaxed) + count;
        let component = self.component().unwrap_or("a subscriber in the host").to_string();
        self.tally
            .quiet
            .warn(&MessagingError::Missed { component, pattern: self.pattern.clone(), missed }, None);
    }

    /// Takes nothing more in. Workers finish what waits.
    pub(crate) fn close(&self) {
        self.queue().close();
    }

    pub(crate) fn component(&self) -> Option<&str> {
        match &self.sink {
            Sink::Component(delivery) => Some(&delivery.component),
            Sink::Here(_) => None,
        }
    }

    pub(crate) fn stats(&self) -> SubscriptionStats {
        let (waiting, in_flight) = {
            let queue = self.queue();
            (queue.waiting(), queue.at_work())
        };
        SubscriptionStats {
            component: self.component().map(Into::into),
            pattern: self.pattern.clone(),
            group: self.group.as_deref().map(Into::into),
            delivered: self.tally.delivered.load(Relaxed),
            failed: self.tally.failed.load(Relaxed),
            timed_out: self.tally.timed_out.load(Relaxed),
            missed: self.tally.missed.load(Relaxed),
            waiting,
            in_flight,
        }
    }
}
