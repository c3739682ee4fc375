//! What a process prints, line by line and in bounded memory.

use serde::{Deserialize, Serialize};

/// The longest line; what is beyond is dropped, and the line says how much that was.
pub const LINE_BYTES_MAX: usize = 8 << 10;

/// Which of its two outputs a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Its output.
    Stdout,
    /// Its errors.
    Stderr,
}

/// Puts lines together from what is read.
#[derive(Default)]
pub(super) struct Lines {
    line: Vec<u8>,
    cut: u64,
}

impl Lines {
    /// Takes what was read and tells the lines that end in it, without their ends.
    pub(super) fn put(&mut self, bytes: &[u8], mut tell: impl FnMut(&[u8])) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = piece.strip_suffix(b"\n").unwrap_or(piece);
            let room = LINE_BYTES_MAX.saturating_sub(self.line.len()).min(text.len());
            self.line.extend_from_slice(&text[..room]);
            self.cut += (text.len() - room) as u64;
            if text.len() < piece.len() {
                self.tell(&mut tell);
            }
        }
    }

    /// Tells the last line, which may have no end.
    pub(super) fn end(&mut self, mut tell: impl FnMut(&[u8])) {
        if !self.line.is_empty() {
            self.tell(&mut tell);
        }
    }

    fn tell(&mut self, tell: &mut impl FnMut(&[u8])) {
        if self.cut > 0 {
            self.line.extend_from_slice(format!(" … [{} bytes cut]", self.cut).as_bytes());
        }
        tell(&self.line);
        self.line.clear();
        self.cut = 0;
    }
}

#[cfg(test)]
mod tests;
