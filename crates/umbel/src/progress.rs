//! What is shown on stderr while one waits: nothing for the first 300 ms, then a spinner on a terminal; each step that is done
//! leaves one line with its duration and the command that does it alone.

use crate::render::{Style, Tone};
use crate::text;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use umbel_core::{Clock, SystemClock};

/// Shorter steps show no spinner.
const QUIET_FOR: Duration = Duration::from_millis(300);
const TICK: Duration = Duration::from_millis(100);

/// How progress is shown.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    lines: bool,
    spinner: bool,
    style: Style,
    // The spinner of this moment.
    bar: Arc<Mutex<Option<ProgressBar>>>,
}

impl Progress {
    pub(crate) fn new(quiet: bool) -> Progress {
        let is_set = |name| std::env::var_os(name).is_some_and(|value: std::ffi::OsString| !value.is_empty());
        let terminal = std::io::stderr().is_terminal() && !is_set("CI");
        let bar = Arc::default();
        Progress { lines: !quiet, spinner: !quiet && terminal, style: Style::of_stderr(), bar }
    }

    /// Waits for the step, and tells about it: `doing` meanwhile, what `done` gives afterwards.
    pub(crate) async fn step<T, E>(
        &self,
        doing: &str,
        command: Option<&str>,
        step: impl Future<Output = Result<T, E>>,
        done: impl FnOnce(&T) -> String,
    ) -> Result<T, E> {
        let started = SystemClock.now();
        let outcome = self.spin(doing, step).await;
        if let Ok(value) = &outcome {
            let took = SystemClock.now().saturating_duration_since(started);
            self.done(&done(value), took, command);
        }
        outcome
    }

    /// Waits with a spinner, and leaves nothing.
    pub(crate) async fn spin<T>(&self, doing: &str, step: impl Future<Output = T>) -> T {
        tokio::pin!(step);
        if let Ok(value) = tokio::time::timeout(QUIET_FOR, step.as_mut()).await {
            return value;
        }
        if !self.spinner {
            return step.await;
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{spinner} {msg} {elapsed:.dim}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        bar.set_message(format!("{} …", text::neutral(doing)));
        bar.enable_steady_tick(TICK);
        *self.bar() = Some(bar.clone());
        let value = step.await;
        *self.bar() = None;
        bar.finish_and_clear();
        value
    }

    /// What is done by now, where a spinner shows it.
    pub(crate) fn doing(&self, what: &str) {
        if let Some(bar) = &*self.bar() {
            bar.set_message(format!("{} …", text::neutral(what)));
        }
    }

    fn bar(&self) -> MutexGuard<'_, Option<ProgressBar>> {
        self.bar.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn done(&self, what: &str, took: Duration, command: Option<&str>) {
        let mut line = format!("{} {}", self.style.paint(Tone::Good, "✓"), text::neutral(what));
        line.push_str(&self.style.paint(Tone::Faint, &format!("  {}", text::duration(took))));
        if let Some(command) = command {
            line.push_str(&self.style.paint(Tone::Faint, &format!("  $ {}", text::neutral(command))));
        }
        self.note(&line);
    }

    /// One line on stderr, as it is.
    pub(crate) fn note(&self, line: &str) {
        if self.lines {
            // Nobody can be told that stderr is closed.
            drop(writeln!(std::io::stderr().lock(), "{line}"));
        }
    }
}
