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

/// Takes messages where they are published, without a queue and without a task in between.
pub trait Sink: Send + Sync + 'static {
    /// Takes one message. It runs on the publisher's thread: it must be quick, must not block, and must not panic.
    fn take(&self, message: Message) -> Pushed;

    /// Whether it would take one more. What has no room passes a message of a queue group on to others.
    fn has_room(&self) -> bool {
        true
    }

    /// The connection was lost: what was on its way has not come, and what comes next comes over another one.
    fn interrupted(&self) {}

    /// Nothing more will come: the lattice was closed.
    fn ended(&self) {}
}

/// A subscription whose messages go to a [`Sink`]. Dropping it unsubscribes.
#[derive(Debug)]
pub struct Attached {
    _subscription: Subscription,
}

/// How many bytes may wait in a queue, of however few messages. One message always may.
pub const QUEUE_BYTES_MAX: usize = 64 << 20;

#[derive(Default)]
struct State {
    queue: VecDeque<Message>,
    /// Of the payloads in it.
    queued_bytes: usize,
    sink: Option<Arc<dyn Sink>>,
    lost: u64,
    receiver_gone: bool,
    ended: bool,
    waker: Option<Waker>,
}

struct Shared {
    state: Mutex<State>,
    queue_len_max: usize,
}

impl State {
    fn push(&mut self, message: Message) {
        self.queued_bytes += message.payload.len();
        self.queue.push_back(message);
    }

    fn pop(&mut self) -> Option<Message> {
        let message = self.queue.pop_front()?;
        self.queued_bytes -= message.payload.len();
        Some(message)
    }

    /// Whether so many more bytes would be too many.
    fn is_full_for(&self, bytes: usize) -> bool {
        !self.queue.is_empty() && self.queued_bytes + bytes > QUEUE_BYTES_MAX
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that runs under this lock can panic, so a poisoned one still holds a whole state.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The sending end, for implementations of [`crate::Lattice`]. The subscription ends when it is dropped.
pub struct Sender(Arc<Shared>);

impl Sender {
    /// Queues the message, or counts it as lost. Never waits.
    pub fn push(&self, message: Message) -> Pushed {
        let waker = {
            let mut state = self.0.lock();
            if state.receiver_gone {
                return Pushed::Gone;
            }
            if let Some(sink) = state.sink.clone() {
                // Outside the lock: it may publish, or leave, at once.
                drop(state);
                return sink.take(message);
            }
            if state.queue.len() >= self.0.queue_len_max || state.is_full_for(message.payload.len()) {
                state.lost += 1;
                return Pushed::Lost;
            }
            state.push(message);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        Pushed::Queued
    }

    /// Tells a sink that messages may be missing. A queue is told nothing: messages are at most once.
    pub fn interrupt(&self) {
        let sink = self.0.lock().sink.clone();
        if let Some(sink) = sink {
            sink.interrupted();
        }
    }

    /// Whether a push would find room. Another push may take it meanwhile.
    pub fn has_room(&self) -> bool {
        let state = self.0.lock();
        if let Some(sink) = state.sink.clone() {
            drop(state);
            return sink.has_room();
        }
        !state.receiver_gone && state.queue.len() < self.0.queue_len_max && !state.is_full_for(0)
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let (waker, sink) = {
            let mut state = self.0.lock();
            state.ended = true;
            (state.waker.take(), state.sink.take())
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        if let Some(sink) = sink {
            sink.ended();
        }
    }
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sender")
    }
}

/// Messages of one subscription, in the order they were published by each publisher. Dropping it unsubscribes.
///
/// It is a [`Stream`] too.
pub struct Subscription {
    shared: Arc<Shared>,
    // Dropped with the subscription; takes the entry out of the subject table.
    _guard: Box<dyn Any + Send + Sync>,
}

impl Subscription {
    /// Both ends of a queue that holds at most `queue_len_max` messages. `guard` is dropped with the subscription.
    pub fn channel(queue_len_max: usize, guard: impl Any + Send + Sync) -> (Sender, Subscription) {
        let shared = Arc::new(Shared { state: Mutex::default(), queue_len_max: queue_len_max.max(1) });
        (Sender(shared.clone()), Subscription { shared, _guard: Box::new(guard) })
    }

    /// Hands what has come and what comes to the sink instead, in the same order. Nothing is queued or lost from then on.
    pub fn attach(self, sink: Arc<dyn Sink>) -> Attached {
        loop {
            let mut state = self.shared.lock();
            let Some(message) = state.pop() else {
                if state.ended {
                    drop(state);
                    sink.ended();
                } else {
                    state.sink = Some(sink);
                }
                break;
            };
            drop(state);
            sink.take(message);
        }
        Attached { _subscription: self }
    }

    /// The next message; `None` when the lattice is closed and the queue is empty.
    ///
    /// Cancel-safe: a message is taken only when it is returned.
    pub async fn next(&mut self) -> Option<Message> {
        std::future::poll_fn(|cx| self.poll_message(cx)).await
    }

    /// The next message, if there is one in the queue.
    pub fn try_next(&mut self) -> Option<Message> {
        self.shared.lock().pop()
    }

    /// How many messages were dropped because the queue was full, since the subscription began.
    pub fn lost(&self) -> u64 {
        self.shared.lock().lost
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        let mut state = self.shared.lock();
        match state.pop() {
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
            state.queued_bytes = 0;
            (std::mem::take(&mut state.queue), state.sink.take())
        };
        // Outside the lock: freeing many messages takes time, and a sink may have subscriptions of its own.
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

#[cfg(test)]
mod tests;
