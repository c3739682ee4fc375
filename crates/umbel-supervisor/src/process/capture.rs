//! Reading what a process prints, in bounded memory.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

/// The longest line that is given to a line reader in one piece.
const LINE_BYTES_MAX: usize = 8 << 10;

/// What becomes of what a process prints. It is always read, so that the process never waits for us.
#[derive(Clone)]
pub enum Capture {
    /// It goes to nowhere.
    Null,
    /// The first bytes are kept, up to this many.
    Head(usize),
    /// The last bytes are kept, up to this many.
    Tail(usize),
    /// Each line is given to `tell`, without its end, at most 8 KiB in one piece; the last `tail` bytes are kept too.
    /// `tell` is called on the runtime and must not block.
    Lines {
        /// Takes a line.
        tell: Arc<dyn Fn(&str) + Send + Sync>,
        /// How many bytes are kept.
        tail: usize,
    },
}

/// What was kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captured {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// How many more there were.
    pub dropped: u64,
}

impl Captured {
    /// As text; what is not UTF-8 is replaced.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }
}

/// Keeps what one pipe brings.
pub(crate) struct Sink {
    capture: Capture,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    bytes: VecDeque<u8>,
    dropped: u64,
    line: Vec<u8>,
}

impl Sink {
    pub(crate) fn new(capture: &Capture) -> Sink {
        Sink { capture: capture.clone(), kept: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads to the end of the pipe.
    pub(crate) async fn read(&self, pipe: Option<pipe::Receiver>) {
        let Some(mut pipe) = pipe else { return };
        let mut buffer = vec![0; 16 << 10];
        loop {
            match pipe.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(length) => self.put(&buffer[..length]),
            }
            // A flood must not keep the runtime from noticing the deadline.
            tokio::task::consume_budget().await;
        }
        self.end();
    }

    pub(super) fn put(&self, bytes: &[u8]) {
        let mut kept = self.lock();
        match &self.capture {
            Capture::Null => {}
            Capture::Head(max) => {
                let take = bytes.len().min(max.saturating_sub(kept.bytes.len()));
                kept.bytes.extend(&bytes[..take]);
                kept.dropped += (bytes.len() - take) as u64;
            }
            Capture::Tail(max) => kept.put_tail(bytes, *max),
            Capture::Lines { tell, tail } => {
                kept.put_tail(bytes, *tail);
                kept.put_lines(bytes, &**tell);
            }
        }
    }

    /// The last line may have no end.
    fn end(&self) {
        if let Capture::Lines { tell, .. } = &self.capture {
            let line = std::mem::take(&mut self.lock().line);
            if !line.is_empty() {
                tell(&String::from_utf8_lossy(&line));
            }
        }
    }

    pub(super) fn take(&self) -> Captured {
        let kept = std::mem::take(&mut *self.lock());
        Captured { bytes: kept.bytes.into(), dropped: kept.dropped }
    }
}

impl Kept {
    fn put_tail(&mut self, bytes: &[u8], max: usize) {
        let take = bytes.len().min(max);
        let excess = (self.bytes.len() + take).saturating_sub(max);
        self.bytes.drain(..excess);
        self.bytes.extend(&bytes[bytes.len() - take..]);
        self.dropped += (excess + bytes.len() - take) as u64;
    }

    fn put_lines(&mut self, bytes: &[u8], tell: &(dyn Fn(&str) + Send + Sync)) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ended) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            let mut rest = text;
            while self.line.len() + rest.len() > LINE_BYTES_MAX {
                let (now, later) = rest.split_at(LINE_BYTES_MAX - self.line.len());
                self.line.extend_from_slice(now);
                tell(&String::from_utf8_lossy(&std::mem::take(&mut self.line)));
                rest = later;
            }
            self.line.extend_from_slice(rest);
            if ended {
                tell(&String::from_utf8_lossy(&std::mem::take(&mut self.line)));
            }
        }
    }
}

#[cfg(test)]
mod tests;
