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

/// A Unix time as RFC 3339 in UTC with nanoseconds: `2026-11-21T02:10:43.190778587Z`. Beyond the year 9999 it stays at its end.
pub fn rfc3339(unix_time: Duration) -> String {
    const END_OF_9999: u64 = 253_402_300_799;
    let seconds = unix_time.as_secs().min(END_OF_9999);
    let (year, month, day) = civil_from_days(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:09}Z",
        unix_time.subsec_nanos()
    )
}

/// Year, month and day of the Gregorian calendar, of days since 1970-01-01.
///
/// Days are counted from the 1st of March of year 0, so that the leap day is the last of a year, in eras of 400 years, after
/// which the calendar repeats.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    const DAYS_FROM_MARCH_OF_YEAR_0: u64 = 719_468;
    const DAYS_PER_ERA: u64 = 146_097;
    let days = days + DAYS_FROM_MARCH_OF_YEAR_0;
    let (era, day_of_era) = (days / DAYS_PER_ERA, days % DAYS_PER_ERA);
    // Leap days pass every 4 years, not every 100, but every 400.
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // From March on, months have 31, 30, 31, 30, 31 days again and again: 153 in five.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests;
