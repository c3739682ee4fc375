//! A log that does not flood: what repeats is said now and then, with how often it was not said.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use umbel_core::{Coded, Problem};
use umbel_provider::Targets;

/// At most one line in this time; what is not said is in the counters of whoever has this.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// The log of one thing that may fail again and again.
#[derive(Debug)]
pub(crate) struct Quiet {
    made: Instant,
    /// Milliseconds after `made` from which the log may be written to again.
    until_ms: AtomicU64,
    unsaid: AtomicU64,
}

impl Quiet {
    pub(crate) fn new() -> Quiet {
        Quiet { made: Instant::now(), until_ms: AtomicU64::new(0), unsaid: AtomicU64::new(0) }
    }

    /// Logs the failure, unless one was logged a moment ago.
    pub(crate) fn warn(&self, error: &dyn Coded, cause: Option<&Problem>) {
        if let Some(unsaid) = self.turn() {
            let cause = cause.map(ToString::to_string);
            tracing::warn!(code = %error.code(), cause, unsaid, "{error}");
        }
    }

    /// The same in the log of the component that failed.
    pub(crate) fn report(
        &self,
        targets: &dyn Targets,
        component: &str,
        error: &dyn Coded,
        cause: Option<&Problem>,
    ) {
        let Some(unsaid) = self.turn() else { return };
        let mut text = format!("{}: {error}", error.code());
        if let Some(cause) = cause {
            text.push_str(&format!("; {cause}; help: {}", cause.help));
        }
        if unsaid > 0 {
            text.push_str(&format!(" ({unsaid} more like it were not told)"));
        }
        targets.report(component, &text);
    }

    /// How often nothing was said since the last time, if it may be said now.
    fn turn(&self) -> Option<u64> {
        let now = u64::try_from(self.made.elapsed().as_millis()).unwrap_or(u64::MAX);
        let quiet = self.until_ms.load(Relaxed);
        let until = now.saturating_add(SAY_EVERY.as_millis() as u64);
        if now < quiet || self.until_ms.compare_exchange(quiet, until, Relaxed, Relaxed).is_err() {
            self.unsaid.fetch_add(1, Relaxed);
            return None;
        }
        Some(self.unsaid.swap(0, Relaxed))
    }
}
