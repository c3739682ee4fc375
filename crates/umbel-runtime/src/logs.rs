//! What guests print: cut into lines, freed of control characters, held to the log rate.

use crate::calls::{Level, Stream};
use crate::ctx::Shared;
use bytes::Bytes;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// The longest line; what is longer is split.
const LINE_MAX: usize = 4 << 10;
/// What a line counts for beside its bytes.
const LINE_COST: usize = 64;
/// The longest context of a line, which every line of a message repeats; the rest is left out.
const CONTEXT_MAX: usize = 256;

/// One output of one instance. Most instances never print, so the line's buffer is made when they do.
pub(crate) struct LogPipe {
    shared: Arc<Shared>,
    stream: Stream,
    pipe: OnceLock<Arc<Pipe>>,
}

/// What the guest writes to; all handles of one output share the line under way.
#[derive(Clone)]
struct Writer(Arc<Pipe>);

struct Pipe {
    shared: Arc<Shared>,
    stream: Stream,
    // The line under way. Guests write from one task at a time; the lock is for the type system.
    line: Mutex<Vec<u8>>,
}

impl LogPipe {
    pub(crate) fn new(shared: &Arc<Shared>, stream: Stream) -> LogPipe {
        LogPipe { shared: shared.clone(), stream, pipe: OnceLock::new() }
    }

    fn writer(&self) -> Writer {
        let make =
            || Arc::new(Pipe { shared: self.shared.clone(), stream: self.stream, line: Mutex::default() });
        Writer(self.pipe.get_or_init(make).clone())
    }
}

impl Pipe {
    fn write(&self, mut bytes: &[u8]) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        while !bytes.is_empty() {
            let room = LINE_MAX - line.len();
            let window = &bytes[..bytes.len().min(room)];
            let newline = window.iter().position(|b| *b == b'\n');
            let take = newline.unwrap_or(window.len());
            line.extend_from_slice(&window[..take]);
            bytes = &bytes[take + usize::from(newline.is_some())..];
            if newline.is_some() || line.len() == LINE_MAX {
                self.send(&line);
                line.clear();
            }
        }
    }

    fn send(&self, line: &[u8]) {
        let level = if self.stream == Stream::Stderr { Level::Warn } else { Level::Info };
        log(&self.shared, level, self.stream, "", &String::from_utf8_lossy(line));
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let line = std::mem::take(self.line.get_mut().unwrap_or_else(PoisonError::into_inner));
        if !line.is_empty() {
            self.send(&line);
        }
    }
}

/// Logs for a component within its rate.
pub(crate) fn log(shared: &Shared, level: Level, stream: Stream, context: &str, message: &str) {
    // A line costs the host more than its bytes: it is stamped, numbered, kept and published.
    let lines = message.bytes().filter(|byte| *byte == b'\n').count() + 1;
    if !shared.budget.take_log(message.len() + context.len() + lines * LINE_COST) {
        return;
    }
    let context = printable(&context[..context.floor_char_boundary(CONTEXT_MAX)]);
    for line in message.split('\n') {
        for piece in pieces(line) {
            shared.calls.log(level, stream, &context, &printable(piece));
        }
    }
}

/// Cuts a line into pieces of at most [`LINE_MAX`] bytes, between characters.
fn pieces(mut line: &str) -> impl Iterator<Item = &str> {
    let mut done = false;
    std::iter::from_fn(move || {
        if done {
            return None;
        }
        if line.len() <= LINE_MAX {
            done = true;
            return Some(line);
        }
        let mut at = LINE_MAX;
        while !line.is_char_boundary(at) {
            at -= 1;
        }
        let (piece, rest) = line.split_at(at);
        line = rest;
        Some(piece)
    })
}

/// The text without anything that a terminal would act on: control characters and directional overrides are shown as escapes.
pub(crate) fn printable(text: &str) -> String {
    let acts = |c: char| {
        (c.is_control() && c != '\t')
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(acts) {
        return text.to_string();
    }
    text.chars().fold(String::with_capacity(text.len() + 16), |mut out, c| {
        if acts(c) {
            out.extend(c.escape_default())
        } else {
            out.push(c)
        }
        out
    })
}

impl IsTerminal for LogPipe {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LogPipe {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.writer())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.writer())
    }
}

impl AsyncWrite for Writer {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.0.write(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[async_trait::async_trait]
impl Pollable for Writer {
    async fn ready(&mut self) {}
}

impl OutputStream for Writer {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.0.write(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 << 10)
    }
}

#[cfg(test)]
mod tests {
    use super::{LINE_MAX, pieces, printable};

    #[test]
    fn what_a_terminal_would_act_on_is_shown_instead() {
        for (text, shown) in [
            ("plain ünïcode\ttab", "plain ünïcode\ttab"),
            ("\x1b[31mred\x1b[0m", "\\u{1b}[31mred\\u{1b}[0m"),
            ("back\rwards\u{8}", "back\\rwards\\u{8}"),
            ("\u{202e}desrever", "\\u{202e}desrever"),
            ("\u{9b}31m", "\\u{9b}31m"),
        ] {
            assert_eq!(printable(text), shown);
        }
    }

    #[test]
    fn long_lines_are_cut_between_characters_and_nothing_is_lost() {
        let line = "ä".repeat(LINE_MAX);
        let cut: Vec<&str> = pieces(&line).collect();
        assert!(cut.iter().all(|p| p.len() <= LINE_MAX));
        assert_eq!(cut.concat(), line);
        assert_eq!(pieces("").collect::<Vec<_>>(), [""]);
    }
}
