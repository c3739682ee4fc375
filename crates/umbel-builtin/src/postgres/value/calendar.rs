//! Days and what they are called: the proleptic Gregorian calendar, as PostgreSQL has it.

/// Days from 1 March of the year 0 to 1 January 2000, where PostgreSQL's days begin.
const EPOCH: i64 = 730_425;
/// Days of 400 years, after which the calendar repeats itself.
const ERA: i64 = 146_097;

/// Year (0 is 1 BC), month and day of the day that is so many after 1 January 2000.
pub(super) fn date_of(days: i64) -> (i64, u32, u32) {
    let days = days + EPOCH;
    let (era, day) = (days.div_euclid(ERA), days.rem_euclid(ERA));
    // Years that begin in March have their leap day at their end.
    let year = (day - day / 1_460 + day / 36_524 - day / (ERA - 1)) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next, month as u32, day as u32)
}

/// Hours, minutes, seconds and microseconds of a time of day.
pub(super) fn time_of(micros: i64) -> (u32, u32, u32, u32) {
    let part = |unit: i64, modulus: i64| (micros / unit % modulus) as u32;
    ((micros / 3_600_000_000) as u32, part(60_000_000, 60), part(1_000_000, 60), part(1, 1_000_000))
}

/// Microseconds of a day.
pub(super) const DAY_MICROS: i64 = 86_400_000_000;
