//! The task of one job: waits for its times, and starts its runs.

use super::config::Job;
use super::error::CronError;
use super::note::Note;
use super::stats::{JobStats, Tally};
use super::target::Target;
use super::timer::{Step, Timer};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Semaphore;
use umbel_core::{Clock, Coded, Problem};
use umbel_supervisor::Stop;
use umbel_supervisor::cores::Cores;
use umbel_supervisor::scope::Spawner;

/// The system's clock is looked at this often, because it may be put right, and because a machine may sleep.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// What all jobs of a host share.
pub(crate) struct Shared {
    pub(crate) clock: Arc<dyn Clock>,
    /// Not owned: runs are on these threads, which must not be what keeps them alive.
    pub(crate) cores: Weak<Cores>,
    /// Runs at once, of all jobs: what is due at midnight everywhere goes one after another.
    pub(crate) places: Arc<Semaphore>,
}

/// One job of a link.
pub(crate) struct Running {
    pub(crate) job: Job,
    pub(crate) target: Target,
    pub(crate) tally: Tally,
    /// Runs of this job at once. A job that was changed has the gate of the one before.
    pub(crate) gate: Arc<Semaphore>,
    /// Only of jobs that catch up.
    pub(crate) note: Option<Note>,
    pub(crate) stop: Stop,
}

impl Running {
    /// Waits and runs until it is stopped. A run that has begun goes on.
    pub(crate) async fn tick(self: Arc<Self>, mut timer: Timer, shared: Arc<Shared>, spawner: Spawner) {
        loop {
            self.tally.due(timer.due());
            match timer.on_time(shared.clock.unix_time()) {
                Step::Wait(wait) => tokio::select! {
                    () = self.stop.requested() => return,
                    () = tokio::time::sleep(wait.min(LOOK_EVERY)) => {}
                },
                Step::Missed(count) => {
                    self.tally.missed.fetch_add(count, Relaxed);
                    tracing::info!(
                        job = self.job.name,
                        component = self.target.component,
                        count,
                        "a job missed times"
                    );
                    self.keep(shared.clock.unix_time()).await;
                }
                Step::Run { due, missed } => {
                    self.tally.missed.fetch_add(missed, Relaxed);
                    self.keep(shared.clock.unix_time()).await;
                    self.start(due, &shared, &spawner);
                }
            }
        }
    }

    /// Starts a run, unless as many as may be are still going.
    fn start(self: &Arc<Self>, due: Duration, shared: &Arc<Shared>, spawner: &Spawner) {
        let Ok(permit) = self.gate.clone().try_acquire_owned() else {
            self.tally.skipped.fetch_add(1, Relaxed);
            return;
        };
        let (job, shared) = (self.clone(), shared.clone());
        spawner.spawn(async move {
            let _permit = permit;
            let _place = shared.places.acquire().await;
            job.tally.running.fetch_add(1, Relaxed);
            let _running = Leave(&job);
            job.run(due, &shared).await;
        });
    }

    async fn run(self: &Arc<Self>, due: Duration, shared: &Shared) {
        let Some(cores) = shared.cores.upgrade() else { return };
        let job = self.clone();
        let ended =
            cores.run(cores.quietest(), move || async move { job.target.run(&job.job, due).await }).await;
        // The cores outlive their providers; what is waited for here is over.
        drop(cores);
        match ended {
            Ok(Ok(())) => {
                self.tally.succeeded.fetch_add(1, Relaxed);
            }
            Ok(Err(failure)) => {
                self.tally.failed.fetch_add(1, Relaxed);
                self.report(&failure.error, failure.cause.as_ref());
            }
            Err(error) => {
                self.tally.failed.fetch_add(1, Relaxed);
                self.report(&error, None);
            }
        }
    }

    fn report(&self, error: &dyn Coded, cause: Option<&Problem>) {
        self.tally.quiet.report(&*self.target.targets, &self.target.component, error, cause);
    }

    /// Notes that the job was run now, before it runs: one that brings the host down is not run again and again.
    async fn keep(&self, now: Duration) {
        let Some(note) = self.note.clone() else { return };
        let written = tokio::task::spawn_blocking(move || note.write(now)).await;
        if let Err(error) = written.unwrap_or_else(|panic| Err(std::io::Error::other(panic))) {
            let cannot =
                CronError::State { job: self.job.name.clone(), component: self.target.component.clone() };
            let cause = Problem::from(&cannot).with_cause(error.to_string());
            self.tally.quiet.warn(&cannot, Some(&cause));
        }
    }

    pub(crate) fn stats(&self) -> JobStats {
        self.tally.stats(&self.job, &self.target.component)
    }
}

/// Counts a run until it has ended, however it ends.
struct Leave<'a>(&'a Running);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.tally.running.fetch_sub(1, Relaxed);
    }
}
