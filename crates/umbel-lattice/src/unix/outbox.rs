//! Writing frames where they are made: whoever has one writes it at once, without a task in between. What comes while somebody writes
//! is written by them; what the system does not take waits for the connection's own task.

use super::WAITING_BYTES_MAX;
use super::frame::Frame;
use bytes::{Buf, Bytes};
use std::collections::VecDeque;
use std::io::{ErrorKind, IoSlice};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::net::UnixStream;
use tokio::sync::Notify;

/// How many parts one write takes.
const PARTS_MAX: usize = 64;

/// How many bytes one read takes at least.
const READ_BYTES: usize = 32 << 10;

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Posted {
    /// It is written, or will be.
    Taken,
    /// The peer does not read, and too much waits for it.
    Full,
    /// The connection has ended.
    Closed,
}

pub(crate) struct Outbox {
    stream: UnixStream,
    state: Mutex<State>,
    waiting: Notify,
}

#[derive(Default)]
struct State {
    /// Small frames, one after another.
    tail: Vec<u8>,
    /// What stands before them.
    parts: VecDeque<Bytes>,
    bytes: usize,
    is_writing: bool,
    is_closed: bool,
    is_full: bool,
}

impl Outbox {
    pub(crate) fn new(stream: UnixStream) -> Outbox {
        Outbox { stream, state: Mutex::default(), waiting: Notify::new() }
    }

    /// Writes the frame, now or as soon as it can be.
    pub(crate) fn post(&self, frame: Frame) -> Posted {
        let mut state = self.lock();
        if state.is_closed {
            return Posted::Closed;
        }
        if state.bytes > WAITING_BYTES_MAX {
            state.is_full = true;
            drop(state);
            self.waiting.notify_one();
            return Posted::Full;
        }
        let before = state.tail.len();
        let payload = frame.write(&mut state.tail);
        state.bytes += state.tail.len() - before;
        if let Some(payload) = payload {
            let head = std::mem::take(&mut state.tail);
            state.bytes += payload.len();
            state.parts.push_back(head.into());
            state.parts.push_back(payload);
        }
        if state.is_writing {
            return Posted::Taken;
        }
        state.is_writing = true;
        let left = self.write(state);
        if left {
            self.waiting.notify_one();
        }
        Posted::Taken
    }

    pub(crate) fn has_room(&self) -> bool {
        let state = self.lock();
        !state.is_closed && state.bytes <= WAITING_BYTES_MAX
    }

    /// Writes what the system did not take at once. Ends when the connection does, or when too much waits.
    pub(crate) async fn drive(&self) -> Posted {
        loop {
            self.waiting.notified().await;
            loop {
                {
                    let state = self.lock();
                    if state.is_full {
                        return Posted::Full;
                    }
                    if state.is_closed {
                        return Posted::Closed;
                    }
                    if state.bytes == 0 || state.is_writing {
                        break;
                    }
                }
                let writable = tokio::select! {
                    writable = self.stream.writable() => writable,
                    // It may never be: too much waits, or the connection is to end.
                    () = self.waiting.notified() => continue,
                };
                if writable.is_err() {
                    return Posted::Closed;
                }
                let mut state = self.lock();
                if state.is_writing {
                    break;
                }
                state.is_writing = true;
                if !self.write(state) {
                    break;
                }
            }
        }
    }

    /// Waits until everything is written, for a connection that is to begin or to end.
    pub(crate) async fn flush(&self) {
        while self.is_waiting() {
            if self.stream.writable().await.is_err() {
                return;
            }
            let is_others = {
                let mut state = self.lock();
                let is_others = state.is_writing;
                if !is_others {
                    state.is_writing = true;
                    self.write(state);
                }
                is_others
            };
            if is_others {
                tokio::task::yield_now().await;
            }
        }
    }

    fn is_waiting(&self) -> bool {
        let state = self.lock();
        state.bytes > 0 && !state.is_closed
    }

    /// Ends the connection: whoever reads or writes it is woken.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        // It may have ended already.
        let _ = rustix::net::shutdown(&self.stream, rustix::net::Shutdown::Both);
        self.waiting.notify_one();
    }

    /// Reads what there is into the buffer; `false` at the end.
    pub(crate) async fn read(&self, buffer: &mut bytes::BytesMut) -> bool {
        loop {
            buffer.reserve(READ_BYTES);
            match self.stream.try_read_buf(buffer) {
                Ok(0) => return false,
                Ok(_) => return true,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if self.stream.readable().await.is_err() {
                        return false;
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
    }

    /// Writes until nothing is left, or the system takes no more: then `true`. The caller has set `is_writing`.
    fn write<'s>(&'s self, mut state: MutexGuard<'s, State>) -> bool {
        loop {
            if !state.tail.is_empty() {
                let tail = std::mem::take(&mut state.tail);
                state.parts.push_back(tail.into());
            }
            let mut parts = std::mem::take(&mut state.parts);
            if parts.is_empty() {
                state.is_writing = false;
                return false;
            }
            // Others may add frames meanwhile; they see that somebody writes.
            drop(state);
            let written = self.write_parts(&mut parts);
            state = self.lock();
            match written {
                Ok(written) => state.bytes -= written,
                Err(error) => {
                    if error.kind() != ErrorKind::WouldBlock {
                        state.is_closed = true;
                    }
                    // What was not written stands before what came meanwhile.
                    std::mem::swap(&mut parts, &mut state.parts);
                    state.parts.extend(parts);
                    state.is_writing = false;
                    return true;
                }
            }
            while let Some(part) = parts.pop_back() {
                state.parts.push_front(part);
            }
        }
    }

    fn write_parts(&self, parts: &mut VecDeque<Bytes>) -> std::io::Result<usize> {
        let written = if parts.len() == 1 {
            self.stream.try_write(&parts[0])?
        } else {
            let slices: Vec<IoSlice<'_>> =
                parts.iter().take(PARTS_MAX).map(|part| IoSlice::new(part)).collect();
            self.stream.try_write_vectored(&slices)?
        };
        let mut left = written;
        while left > 0 {
            let Some(first) = parts.front_mut() else { break };
            let here = left.min(first.len());
            first.advance(here);
            left -= here;
            if first.is_empty() {
                parts.pop_front();
            }
        }
        Ok(written)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
