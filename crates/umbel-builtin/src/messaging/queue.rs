//! What waits for one subscriber: bounded in messages and in bytes.

use super::message::Message;
use std::collections::VecDeque;

/// A queue, and how many are at work on it. It decides; its owner locks it and does.
#[derive(Debug)]
pub(crate) struct Queue {
    waiting: VecDeque<Message>,
    bytes: usize,
    /// Workers that take from it.
    at_work: usize,
    closed: bool,
    messages_max: usize,
    bytes_max: usize,
    workers_max: usize,
}

/// What came of a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// It waits, and a further worker should be started, which counts as being at work already.
    StartWorker,
    /// It waits.
    Waits,
    /// There is no room.
    Full,
}

impl Queue {
    pub(crate) fn new(messages_max: usize, bytes_max: usize, workers_max: usize) -> Queue {
        Queue {
            waiting: VecDeque::new(),
            bytes: 0,
            at_work: 0,
            closed: false,
            messages_max,
            bytes_max,
            workers_max,
        }
    }

    /// Takes a message in, if there is room. One message always has room where none waits.
    pub(crate) fn push(&mut self, message: Message) -> Pushed {
        let size = message.size();
        let no_room = self.waiting.len() >= self.messages_max
            || (!self.waiting.is_empty() && self.bytes + size > self.bytes_max);
        if self.closed || no_room {
            return Pushed::Full;
        }
        self.bytes += size;
        self.waiting.push_back(message);
        if self.at_work < self.workers_max {
            self.at_work += 1;
            return Pushed::StartWorker;
        }
        Pushed::Waits
    }

    /// The next message for a worker. With `None` the worker is no longer at work, and ends.
    pub(crate) fn next(&mut self) -> Option<Message> {
        let message = self.pop();
        if message.is_none() {
            self.at_work -= 1;
        }
        message
    }

    /// The next message, without being a worker.
    pub(crate) fn pop(&mut self) -> Option<Message> {
        let message = self.waiting.pop_front()?;
        self.bytes -= message.size();
        if self.waiting.is_empty() && self.waiting.capacity() > 64 {
            // What one burst needed is not kept for ever.
            self.waiting = VecDeque::new();
        }
        Some(message)
    }

    /// A worker ended in the middle of its work. Returns whether another one should take its place.
    pub(crate) fn worker_lost(&mut self) -> bool {
        self.at_work -= 1;
        let replace = !self.waiting.is_empty();
        self.at_work += usize::from(replace);
        replace
    }

    /// A worker could not be started. What has nobody left to wait for is dropped; returns how many that were.
    pub(crate) fn no_worker(&mut self) -> usize {
        self.at_work -= 1;
        if self.at_work > 0 {
            return 0;
        }
        self.clear()
    }

    /// Takes in nothing more; what waits is still handed out.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    /// Drops what waits, and returns how many that were.
    pub(crate) fn clear(&mut self) -> usize {
        self.bytes = 0;
        std::mem::take(&mut self.waiting).len()
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How many are at work.
    pub(crate) fn at_work(&self) -> usize {
        self.at_work
    }

    /// How loaded it is; of several, the one with the least gets the next message.
    pub(crate) fn load(&self) -> usize {
        self.waiting.len() + self.at_work
    }
}

#[cfg(test)]
mod tests;
