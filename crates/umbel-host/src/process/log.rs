//! What provider processes print.

use crate::logs::Trial;
use crate::shared::Shared;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use umbel_core::Problem;
use umbel_core::code::host::PROVIDER_EXITED;
use umbel_core::id::{ComponentId, ProviderId};
use umbel_runtime::calls::{Level, Stream};
use umbel_supervisor::process::Stream as Output;

/// Bytes of its log that are kept in a second; what is above is counted and dropped.
const LOG_BYTES_PER_S: usize = 64 << 10;
/// Of its last line, what is told with its end.
const LAST_CHARS: usize = 200;

/// The log of a process: its lines, as many bytes in a second as components have.
pub(super) struct Log {
    shared: Weak<Shared>,
    id: Option<ComponentId>,
    application: Option<String>,
    second: Mutex<(Instant, usize, usize)>,
    trial: Arc<Trial>,
    last: Mutex<String>,
}

impl Log {
    pub(super) fn new(
        shared: &Arc<Shared>,
        id: &ProviderId,
        application: Option<String>,
        trial: Arc<Trial>,
    ) -> Log {
        Log {
            shared: Arc::downgrade(shared),
            // Whatever is a provider's id is one of a component as well.
            id: ComponentId::new(id.as_str()).ok(),
            application,
            second: Mutex::new((Instant::now(), 0, 0)),
            trial,
            last: Mutex::default(),
        }
    }

    pub(super) fn line(&self, stream: Output, line: &[u8]) {
        let (Some(shared), Some(id)) = (self.shared.upgrade(), &self.id) else { return };
        let (is_kept, is_first, dropped) = self.take(line.len());
        let send = |level, text: &str| {
            let stream = if stream == Output::Stdout { Stream::Stdout } else { Stream::Stderr };
            let context = self.trial.context("");
            shared.logs.send(id, self.application.as_deref(), level, stream, &context, text);
        };
        if dropped > 0 {
            send(
                Level::Warn,
                &format!("{dropped} bytes of its log were above {LOG_BYTES_PER_S} in a second"),
            );
        }
        if is_first {
            // Of a flood this is what is kept last.
            send(
                Level::Warn,
                &format!("{LOG_BYTES_PER_S} bytes of its log came in a second: the rest is dropped"),
            );
        }
        if is_kept {
            let text = String::from_utf8_lossy(line);
            send(Level::Info, &text);
            self.is_last(&text);
        }
    }

    fn is_last(&self, line: &str) {
        let line = line.trim();
        if !line.is_empty() {
            let shown = line.chars().filter(|c| !c.is_control()).take(LAST_CHARS).collect();
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = shown;
        }
    }

    /// Why the process has ended, with what it has said last: for those who run it, not for its callers.
    pub(super) fn explain(&self, mut why: Problem) -> Problem {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if why.code == PROVIDER_EXITED && !last.is_empty() {
            why.message = format!("{}; its last line was `{last}`", why.message);
        }
        why
    }

    /// Whether so many bytes are kept, whether they are the first of their second that are not, and how many of the second before were
    /// not.
    fn take(&self, bytes: usize) -> (bool, bool, usize) {
        let mut second = self.second.lock().unwrap_or_else(PoisonError::into_inner);
        let mut dropped = 0;
        if second.0.elapsed() >= Duration::from_secs(1) {
            dropped = second.2;
            *second = (Instant::now(), 0, 0);
        }
        let is_kept = second.1 + bytes <= LOG_BYTES_PER_S;
        let is_first = !is_kept && second.2 == 0;
        if is_kept {
            second.1 += bytes + 1;
        } else {
            second.2 += bytes;
        }
        (is_kept, is_first, dropped)
    }
}
