//! What happened to a job.

use super::config::Job;
use crate::quiet::Quiet;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The counters of one job.
pub(crate) struct Tally {
    pub(crate) succeeded: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) skipped: AtomicU64,
    pub(crate) missed: AtomicU64,
    pub(crate) running: AtomicU64,
    /// In Unix seconds; 0 is never.
    due: AtomicU64,
    pub(crate) quiet: Quiet,
}

impl Tally {
    pub(crate) fn new() -> Tally {
        Tally {
            succeeded: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            running: AtomicU64::new(0),
            due: AtomicU64::new(0),
            quiet: Quiet::new(),
        }
    }

    pub(crate) fn due(&self, due: Option<Duration>) {
        self.due.store(due.map_or(0, |due| due.as_secs()), Relaxed);
    }

    pub(crate) fn stats(&self, job: &Job, component: &str) -> JobStats {
        let due = self.due.load(Relaxed);
        JobStats {
            job: job.name.clone(),
            component: component.into(),
            schedule: job.schedule.text().into(),
            next: (due > 0).then(|| Duration::from_secs(due)),
            running: self.running.load(Relaxed),
            succeeded: self.succeeded.load(Relaxed),
            failed: self.failed.load(Relaxed),
            skipped: self.skipped.load(Relaxed),
            missed: self.missed.load(Relaxed),
        }
    }
}

/// What a job has done, and when it runs next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobStats {
    /// Its name.
    pub job: String,
    /// The component that is called.
    pub component: String,
    /// Its schedule, as it was written.
    pub schedule: String,
    /// When it runs next, in Unix time.
    pub next: Option<Duration>,
    /// Runs at this moment.
    pub running: u64,
    /// Runs that ended well.
    pub succeeded: u64,
    /// Runs that failed, took too long, or found no component.
    pub failed: u64,
    /// Times at which the last run was still going.
    pub skipped: u64,
    /// Times that passed while the host was down or asleep, and were not run.
    pub missed: u64,
}
