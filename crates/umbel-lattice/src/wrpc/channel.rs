//! Streams of bytes beside a call: chunks of a length and that many bytes, ended by an empty chunk. Futures are beside it too: the bytes
//! of their value as they are.
//!
//! The reader says how many bytes it has taken, and the writer goes no further ahead than the reader's window. A writer of wasmCloud
//! 1.x knows no window; what it sends too much breaks the stream.

use super::codec::put_unsigned;
use super::{WINDOW, problem, problem_of};
use crate::Message;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use umbel_core::Problem;
use umbel_core::code::wire;

/// How many bytes of a stream are held for its reader before it is broken off.
const HELD_BYTES_MAX: usize = 8 << 20;

/// How many messages of a stream are held for its reader.
const HELD_PIECES_MAX: usize = 16_384;

/// The reading end.
#[derive(Default)]
pub(crate) struct Inlet {
    state: Mutex<Reading>,
    changed: Notify,
}

#[derive(Default)]
struct Reading {
    /// What the channel has, once somebody wants to know; until then all is kept as it came.
    kind: Option<Kind>,
    unread: VecDeque<Message>,
    ready: VecDeque<Bytes>,
    held: usize,
    /// Taken by the reader, and how many of these the writer has been told.
    taken: u64,
    told: u64,
    chunk: Chunk,
    end: Option<Result<(), Problem>>,
}

/// What a channel has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A stream.
    Chunks,
    /// The value of a future, or chunks of values: their reader takes them apart.
    Value,
}

/// Where in a chunk the bytes that came so far have ended.
#[derive(Default)]
struct Chunk {
    left: u64,
    length: u64,
    shift: u32,
}

impl Inlet {
    /// One message of the channel.
    pub(crate) fn push(&self, message: &Message) {
        let mut state = self.lock();
        match state.kind {
            Some(kind) => state.push(kind, message),
            None => {
                state.held += message.payload.len();
                state.unread.push_back(message.clone());
                if state.held > HELD_BYTES_MAX || state.unread.len() > HELD_PIECES_MAX {
                    state.unread.clear();
                    state.end = Some(Err(broken("its writer sends more than the reader takes")));
                }
            }
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Says what the channel has; what has come is read as such.
    pub(crate) fn is_of(&self, kind: Kind) {
        let mut state = self.lock();
        if state.kind.replace(kind).is_none() {
            state.held = 0;
            for message in std::mem::take(&mut state.unread) {
                state.push(kind, &message);
            }
        }
    }

    /// Nothing more will come.
    pub(crate) fn break_off(&self, why: &Problem) {
        let mut state = self.lock();
        state.end.get_or_insert_with(|| Err(why.clone()));
        drop(state);
        self.changed.notify_one();
    }

    /// Its reader has found the end in what came.
    pub(crate) fn finish(&self) {
        self.lock().end = Some(Ok(()));
    }

    /// The next bytes; `None` at the end.
    pub(crate) async fn next(&self) -> Option<Result<Bytes, Problem>> {
        loop {
            let changed = self.changed.notified();
            {
                let mut state = self.lock();
                if let Some(bytes) = state.ready.pop_front() {
                    state.held -= bytes.len();
                    state.taken += bytes.len() as u64;
                    return Some(Ok(bytes));
                }
                match &state.end {
                    None => {}
                    Some(Ok(())) => return None,
                    Some(Err(why)) => {
                        let why = why.clone();
                        state.end = Some(Ok(()));
                        return Some(Err(why));
                    }
                }
            }
            changed.await;
        }
    }

    /// How many bytes the reader has taken, if it is time to say so.
    pub(crate) fn credit(&self) -> Option<u64> {
        let mut state = self.lock();
        let is_time = state.end.is_none() && state.taken - state.told >= WINDOW / 2;
        is_time.then(|| {
            state.told = state.taken;
            state.taken
        })
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.lock().end.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Reading> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reading {
    fn push(&mut self, kind: Kind, message: &Message) {
        if self.end.is_some() {
            return;
        }
        if message.payload.is_empty() {
            let why = problem_of(&message.headers);
            self.end = Some(Err(why.unwrap_or_else(|| broken("its writer ended before the stream did"))));
            return;
        }
        match kind {
            Kind::Chunks => self.read(message.payload.clone()),
            Kind::Value => {
                self.held += message.payload.len();
                self.ready.push_back(message.payload.clone());
            }
        }
        if self.held > HELD_BYTES_MAX || self.ready.len() > HELD_PIECES_MAX {
            self.ready.clear();
            self.end = Some(Err(broken("its writer sends more than the reader takes")));
        }
    }

    /// Takes chunks apart; they may be cut anywhere.
    fn read(&mut self, mut bytes: Bytes) {
        while !bytes.is_empty() && self.end.is_none() {
            if self.chunk.left > 0 {
                let here = usize::try_from(self.chunk.left).unwrap_or(usize::MAX).min(bytes.len());
                let part = bytes.split_to(here);
                self.chunk.left -= here as u64;
                self.held += part.len();
                self.ready.push_back(part);
                continue;
            }
            let byte = bytes.split_to(1)[0];
            self.chunk.length |= u64::from(byte & 0x7f) << self.chunk.shift;
            self.chunk.shift += 7;
            if byte & 0x80 != 0 {
                if self.chunk.shift > 28 {
                    self.end = Some(Err(broken("a length in it is too long")));
                }
                continue;
            }
            self.chunk = Chunk { left: self.chunk.length, ..Chunk::default() };
            if self.chunk.left == 0 {
                self.end = Some(Ok(()));
            }
        }
    }
}

/// The writing end.
#[derive(Default)]
pub(crate) struct Outlet {
    state: Mutex<Writing>,
    changed: Notify,
}

#[derive(Default)]
struct Writing {
    taken: u64,
    is_stopped: bool,
    is_done: bool,
}

impl Outlet {
    /// The reader has taken so many bytes since the stream began.
    pub(crate) fn credit(&self, taken: u64) {
        let mut state = self.lock();
        state.taken = state.taken.max(taken);
        drop(state);
        self.changed.notify_one();
    }

    /// The reader reads no more.
    pub(crate) fn stop(&self) {
        self.lock().is_stopped = true;
        self.changed.notify_one();
    }

    /// The reader has all of it.
    pub(crate) fn done(&self) {
        self.lock().is_done = true;
        self.changed.notify_one();
    }

    /// Waits until the reader has all of it, or reads no more.
    pub(crate) async fn finished(&self) {
        loop {
            let changed = self.changed.notified();
            {
                let state = self.lock();
                if state.is_done || state.is_stopped {
                    return;
                }
            }
            changed.await;
        }
    }

    /// Waits until the reader may be so far ahead; `false` if it reads no more.
    pub(crate) async fn room(&self, sent: u64, window: Option<u64>) -> bool {
        loop {
            let changed = self.changed.notified();
            {
                let state = self.lock();
                if state.is_stopped {
                    return false;
                }
                if window.is_none_or(|window| sent < state.taken.saturating_add(window)) {
                    return true;
                }
            }
            changed.await;
        }
    }

    /// Waits until the reader reads no more.
    pub(crate) async fn stopped(&self) {
        loop {
            let changed = self.changed.notified();
            if self.lock().is_stopped {
                return;
            }
            changed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Writing> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One chunk.
pub(crate) fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 5);
    put_unsigned(&mut out, bytes.len() as u64);
    out.extend_from_slice(bytes);
    out
}

pub(crate) fn broken(why: &str) -> Problem {
    problem(wire::STREAM_BROKEN, format!("a stream broke off: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(payload: &'static [u8]) -> Message {
        Message::new("x", payload)
    }

    #[tokio::test]
    async fn chunks_are_read_wherever_they_are_cut() {
        let inlet = Inlet::default();
        inlet.push(&message(b"\x02ab"));
        inlet.is_of(Kind::Chunks);
        for part in [&b"\x05he"[..], b"llo\x81", b"\x00!\x01", b"?\x00"] {
            inlet.push(&message(part));
        }
        let mut all = Vec::new();
        while let Some(bytes) = inlet.next().await {
            all.extend_from_slice(&bytes.expect("whole"));
        }
        assert_eq!(all, b"abhello!?");
    }

    #[tokio::test]
    async fn an_early_end_and_a_flood_break_the_stream() {
        let early = Inlet::default();
        early.is_of(Kind::Chunks);
        early.push(&message(b"\x05he"));
        early.push(&message(b""));
        assert_eq!(early.next().await.expect("bytes").expect("whole"), b"he"[..]);
        assert_eq!(early.next().await.expect("an end").expect_err("early").code, wire::STREAM_BROKEN);
        assert!(early.next().await.is_none());

        let flood = Inlet::default();
        for _ in 0..=HELD_BYTES_MAX >> 20 {
            flood.push(&Message::new("x", chunk(&vec![0; 1 << 20])));
        }
        assert_eq!(flood.next().await.expect("an end").expect_err("too much").code, wire::STREAM_BROKEN);
    }
}
