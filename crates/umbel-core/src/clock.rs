//! Time as a seam: production reads the system's clocks, a simulation owns its own.

use std::time::{Duration, Instant, SystemTime};

/// Where time comes from. Monotonic time for deadlines, wall time for stamps and claims.
pub trait Clock: Send + Sync + 'static {
    /// Monotonic now.
    fn now(&self) -> Instant;

    /// Time since the Unix epoch. It may jump; never use it for deadlines.
    fn unix_time(&self) -> Duration;
}

/// The clocks of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the seam that the ban points to")]
    fn unix_time(&self) -> Duration {
        // A clock before 1970 is a broken clock; zero keeps claims "not yet valid" instead of panicking.
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
    }
}
