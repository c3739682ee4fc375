use super::{Clock, SystemClock, civil_from_days, rfc3339};
use proptest::prelude::*;
use std::time::Duration;

#[test]
fn times_are_those_of_recorded_events_and_of_date() {
    let cases = [
        (0, 0, "1970-01-01T00:00:00.000000000Z"),
        (951_782_399, 1, "2000-02-28T23:59:59.000000001Z"),
        (951_782_400, 0, "2000-02-29T00:00:00.000000000Z"),
        (1_795_227_793, 945_006_558, "2026-11-21T02:23:13.945006558Z"),
        (4_107_542_400, 0, "2100-03-01T00:00:00.000000000Z"),
        (253_402_300_799, 999_999_999, "9999-12-31T23:59:59.999999999Z"),
        (u64::MAX, 0, "9999-12-31T23:59:59.000000000Z"),
    ];
    for (seconds, nanos, expect) in cases {
        assert_eq!(rfc3339(Duration::new(seconds, nanos)), expect);
    }
}

#[test]
fn the_system_has_a_clock() {
    assert!(SystemClock.unix_time() > Duration::from_secs(1_500_000_000));
    assert!(SystemClock.now() <= SystemClock.now());
}

proptest! {
    /// The calendar, one day after the other, by its own rules.
    #[test]
    fn the_day_after_follows_the_rules_of_the_calendar(days in 0u64..2_900_000) {
        let (year, month, day) = civil_from_days(days);
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let length = match month {
            2 => 28 + u64::from(leap),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let expect = match () {
            () if day < length => (year, month, day + 1),
            () if month < 12 => (year, month + 1, 1),
            () => (year + 1, 1, 1),
        };
        prop_assert_eq!(civil_from_days(days + 1), expect);
    }
}
