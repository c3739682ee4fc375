//! The clock of one job: when it is due, and what is done about times that passed. It decides, and does nothing.

use super::schedule::Schedule;
use std::time::Duration;

/// A time that passed no longer ago than this is on time: the machine was busy, or the component was just starting.
pub(crate) const GRACE: Duration = Duration::from_secs(60);
/// The system's clock may be put right by this much without the job noticing.
const CLOCK_STEP: Duration = Duration::from_secs(60);
/// Passed times are counted up to this number.
const COUNT_MAX: u64 = 10_000;

/// What is done about times that passed while the host was down or asleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CatchUp {
    /// Nothing: the job runs at its next time.
    #[default]
    Skip,
    /// It runs once, at once.
    Once,
}

/// The clock of one job.
#[derive(Debug)]
pub(crate) struct Timer {
    schedule: Schedule,
    catch_up: CatchUp,
    anchor: Duration,
    due: Option<Duration>,
    seen: Duration,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Look again after this time at the latest.
    Wait(Duration),
    /// Run the job, for this time of its schedule; so many earlier ones have passed.
    Run { due: Duration, missed: u64 },
    /// So many times have passed, and it is too late for them.
    Missed(u64),
}

impl Timer {
    /// A timer from now on. `last` is when the job was last run or made, if that is known.
    pub(crate) fn new(schedule: Schedule, catch_up: CatchUp, last: Option<Duration>, now: Duration) -> Timer {
        // A note from the future is of a clock that was wrong.
        let since = last.filter(|last| catch_up == CatchUp::Once && *last <= now).unwrap_or(now);
        let due = schedule.next(since, since);
        Timer { schedule, catch_up, anchor: since, due, seen: now }
    }

    /// When it is due next.
    pub(crate) fn due(&self) -> Option<Duration> {
        self.due
    }

    /// What is to be done at this time.
    pub(crate) fn on_time(&mut self, now: Duration) -> Step {
        if now + CLOCK_STEP < self.seen {
            // The clock was far ahead: what was reckoned by it may be years away.
            self.anchor = self.anchor.min(now);
            self.due = self.schedule.next(now, self.anchor);
        }
        self.seen = now;
        let Some(due) = self.due else { return Step::Wait(Duration::MAX) };
        if now < due {
            return Step::Wait(due - now);
        }
        let (latest, passed) = self.passed(due, now);
        self.due = self.schedule.next(now, self.anchor);
        if now - latest <= GRACE || self.catch_up == CatchUp::Once {
            Step::Run { due: latest, missed: passed - 1 }
        } else {
            Step::Missed(passed)
        }
    }

    /// The latest time from `due` to `now`, and how many they are.
    fn passed(&self, due: Duration, now: Duration) -> (Duration, u64) {
        let (mut latest, mut passed) = (due, 1);
        while let Some(next) = self.schedule.next(latest, self.anchor).filter(|next| *next <= now) {
            if passed == COUNT_MAX {
                return (self.schedule.last(now, self.anchor).unwrap_or(latest), passed);
            }
            (latest, passed) = (next, passed + 1);
        }
        (latest, passed)
    }
}

#[cfg(test)]
mod tests;
