//! The receiving end of a subscription: a bounded queue that counts what it had to drop.
//!
//! A publisher never waits for a subscriber. When the queue is full, the newest message is dropped and counted; the subscriber
//! sees the count in [`Subscription::lost`]. The queue allocates as it fills, so thousands of idle subscriptions stay small.

use crate::Message;
use futures::Stream;
use std::any::Any;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

/// What became of a message that was pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It is in the queue.
    Queued,
    /// The queue is full: it was dropped and counted.
    Lost,
    /// The subscriber is gone.
    Gone,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Message>,
    lost: u64,
    receiver_gone: bool,
    ended: bool,
    waker: Option<Waker>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    queue_len_max: usize,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that runs under this lock can panic, so a poisoned one still holds a whole state.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The sending end, for implementations of [`crate::Lattice`]. The subscription ends when it is dropped.
#[derive(Debug)]
pub struct Sender(Arc<Shared>);

impl Sender {
    /// Queues the message, or counts it as lost. Never waits.
    pub fn push(&self, message: Message) -> Pushed {
        let waker = {
            let mut state = self.0.lock();
            if state.receiver_gone {
                return Pushed::Gone;
            }
            if state.queue.len() >= self.0.queue_len_max {
                state.lost += 1;
                return Pushed::Lost;
            }
            state.queue.push_back(message);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        Pushed::Queued
    }

    /// Whether a push would find room. Another push may take it meanwhile.
    pub fn has_room(&self) -> bool {
        let state = self.0.lock();
        !state.receiver_gone && state.queue.len() < self.0.queue_len_max
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let waker = {
            let mut state = self.0.lock();
            state.ended = true;
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Messages of one subscription, in the order they were published by each publisher. Dropping it unsubscribes.
///
/// It is a [`Stream`] too.
pub struct Subscription {
    shared: Arc<Shared>,
    // Dropped with the subscription; takes the entry out of the subject table.
    _guard: Box<dyn Any + Send>,
}

impl Subscription {
    /// Both ends of a queue that holds at most `queue_len_max` messages. `guard` is dropped with the subscription.
    pub fn channel(queue_len_max: usize, guard: impl Any + Send) -> (Sender, Subscription) {
        let shared = Arc::new(Shared { state: Mutex::default(), queue_len_max: queue_len_max.max(1) });
        (Sender(shared.clone()), Subscription { shared, _guard: Box::new(guard) })
    }

    /// The next message; `None` when the lattice is closed and the queue is empty.
    ///
    /// Cancel-safe: a message is taken only when it is returned.
    pub async fn next(&mut self) -> Option<Message> {
        std::future::poll_fn(|cx| self.poll_message(cx)).await
    }

    /// The next message, if there is one in the queue.
    pub fn try_next(&mut self) -> Option<Message> {
        self.shared.lock().queue.pop_front()
    }

    /// How many messages were dropped because the queue was full, since the subscription began.
    pub fn lost(&self) -> u64 {
        self.shared.lock().lost
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        let mut state = self.shared.lock();
        match state.queue.pop_front() {
            Some(message) => {
                if state.queue.is_empty() && state.queue.capacity() > 64 {
                    // A burst must not keep its memory for ever.
                    state.queue.shrink_to(16);
                }
                Poll::Ready(Some(message))
            }
            None if state.ended => Poll::Ready(None),
            None => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let dropped = {
            let mut state = self.shared.lock();
            state.receiver_gone = true;
            std::mem::take(&mut state.queue)
        };
        // Outside the lock: freeing many messages takes time.
        drop(dropped);
    }
}

impl Stream for Subscription {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.poll_message(cx)
    }
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.shared.lock();
        f.debug_struct("Subscription").field("queued", &state.queue.len()).field("lost", &state.lost).finish()
    }
}
