use super::{Dialect, Schedule, zone};
use crate::cron::CronError;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use proptest::prelude::*;
use std::time::Duration;
use umbel_core::Coded;

fn at(text: &str) -> Duration {
    let at: Timestamp = text.parse().expect("a time");
    Duration::from_secs(at.as_second() as u64)
}

fn shown(at: Duration) -> String {
    Timestamp::from_second(at.as_secs() as i64).expect("a time").to_string()
}

fn read(line: &str, dialect: Dialect, zone: &TimeZone) -> Result<Schedule, CronError> {
    Schedule::read(line, dialect, zone, at("2026-01-01T00:00:00Z"))
}

fn next_three(line: &str, dialect: Dialect, zone_name: &str, from: &str) -> Vec<String> {
    let schedule = read(line, dialect, &zone(zone_name).expect("a zone")).expect("a good line");
    let mut times = Vec::new();
    let mut now = at(from);
    for _ in 0..3 {
        now = schedule.next(now, at(from)).expect("it comes");
        times.push(shown(now));
    }
    times
}

#[test]
fn lines_words_and_intervals() {
    use Dialect::{Crontab, Wasmcloud};
    let from = "2026-11-21T13:30:00Z";
    for (line, dialect, expected) in [
        ("*/5 * * * *", Crontab, ["2026-11-21T13:35:00Z", "2026-11-21T13:40:00Z", "2026-11-21T13:45:00Z"]),
        ("* * * * * *", Crontab, ["2026-11-21T13:30:01Z", "2026-11-21T13:30:02Z", "2026-11-21T13:30:03Z"]),
        ("30 15 10 * * *", Crontab, ["2026-11-22T10:15:30Z", "2026-11-23T10:15:30Z", "2026-11-24T10:15:30Z"]),
        ("0 0 L * *", Crontab, ["2026-11-30T00:00:00Z", "2026-12-31T00:00:00Z", "2027-01-31T00:00:00Z"]),
        ("0 0 29 2 *", Crontab, ["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z", "2036-02-29T00:00:00Z"]),
        // 1 is Monday in a crontab, and Sunday in the other dialect.
        ("0 0 * * 1", Crontab, ["2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z", "2026-12-07T00:00:00Z"]),
        ("0 0 0 * * 1", Wasmcloud, ["2026-11-22T00:00:00Z", "2026-11-29T00:00:00Z", "2026-12-06T00:00:00Z"]),
        ("0 0 * * mon", Crontab, ["2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z", "2026-12-07T00:00:00Z"]),
        // The 1st or a Monday in a crontab, a Monday the 1st in the other dialect.
        ("0 0 1 * MON", Crontab, ["2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z", "2026-12-01T00:00:00Z"]),
        (
            "0 0 0 1 * MON",
            Wasmcloud,
            ["2027-02-01T00:00:00Z", "2027-03-01T00:00:00Z", "2027-11-01T00:00:00Z"],
        ),
        (
            "0 0 0 1 1 ? 2030/2",
            Wasmcloud,
            ["2030-01-01T00:00:00Z", "2032-01-01T00:00:00Z", "2034-01-01T00:00:00Z"],
        ),
        ("@daily", Crontab, ["2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z", "2026-11-24T00:00:00Z"]),
        ("@weekly", Crontab, ["2026-11-22T00:00:00Z", "2026-11-29T00:00:00Z", "2026-12-06T00:00:00Z"]),
        ("@every 10s", Crontab, ["2026-11-21T13:30:10Z", "2026-11-21T13:30:20Z", "2026-11-21T13:30:30Z"]),
        ("@every 1h30m", Crontab, ["2026-11-21T15:00:00Z", "2026-11-21T16:30:00Z", "2026-11-21T18:00:00Z"]),
    ] {
        assert_eq!(next_three(line, dialect, "UTC", from), expected, "{line}");
    }
}

#[test]
fn a_fixed_time_runs_once_on_the_days_when_the_clock_changes() {
    // In Berlin 02:30 did not exist on 2026-03-29, and came twice on 2026-10-25.
    let spring = next_three("30 2 * * *", Dialect::Crontab, "Europe/Berlin", "2026-03-28T12:00:00Z");
    assert_eq!(spring, ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z", "2026-03-31T00:30:00Z"]);
    let autumn = next_three("30 2 * * *", Dialect::Crontab, "Europe/Berlin", "2026-10-24T12:00:00Z");
    assert_eq!(autumn, ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z", "2026-10-27T01:30:00Z"]);
    let hourly = next_three("0 * * * *", Dialect::Crontab, "Europe/Berlin", "2026-10-25T00:00:00Z");
    assert_eq!(
        hourly,
        ["2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z", "2026-10-25T03:00:00Z"],
        "every hour that passes"
    );
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    for (line, column, said) in [
        ("", 1, "0 fields"),
        ("* * * *", 1, "4 fields"),
        ("* * * * * * *", 1, "7 fields"),
        ("61 * * * *", 1, "`61` is not a minute"),
        ("*  25 * * *", 4, "`25` is not a hour"),
        ("* * * 13 *", 7, "month"),
        ("* * * * 8", 9, "day of week"),
        ("60 * * * * *", 1, "second"),
        ("*/0 * * * *", 1, "minute"),
        ("1,,2 * * * *", 1, "minute"),
        ("5-1 * * * *", 1, "minute"),
        ("🌱 ü * * *", 1, "minute"),
        ("* 🌱 * * *", 3, "hour"),
        ("* * * * \0", 9, "day of week"),
        ("99999999999999999999 * * * *", 1, "minute"),
        ("@dayly", 1, "@daily"),
        ("@reboot", 1, "@every 10s"),
        ("@every", 8, "@every 10s"),
        ("@every 0s", 8, "between one second"),
        ("@every 500ms", 8, "@every 10s"),
        ("@every 10", 8, "@every 10s"),
        ("@every 400d", 8, "between one second"),
        ("@every 99999999999999999999s", 8, "@every 10s"),
        ("@every10s", 8, "@every 10s"),
    ] {
        match read(line, Dialect::Crontab, &TimeZone::UTC) {
            Err(CronError::Schedule { column: at, reason, schedule }) => {
                assert_eq!(at, column, "{line:?}: {reason}");
                assert!(reason.contains(said), "{line:?}: {reason}");
                assert!(!schedule.contains('\0'));
            }
            other => panic!("{line:?} gives {other:?}"),
        }
    }
    let long = "1,".repeat(1_000);
    assert!(matches!(read(&long, Dialect::Crontab, &TimeZone::UTC), Err(CronError::Schedule { .. })));
}

#[test]
fn a_day_that_no_calendar_has_is_told_as_that() {
    for line in ["0 0 30 2 *", "0 0 31 4 *", "0 0 31 2,4,6,9,11 *"] {
        let read = read(line, Dialect::Crontab, &TimeZone::UTC);
        assert!(matches!(read, Err(CronError::Never { .. })), "{line}: {read:?}");
    }
}

fn field(from: u32, to: u32) -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just("*".to_string()),
        2 => (from..=to).prop_map(|n| n.to_string()),
        1 => (1_u32..=10).prop_map(|n| format!("*/{n}")),
        1 => (from..=to, from..=to).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        1 => prop::collection::vec(from..=to, 1..4)
            .prop_map(|list| list.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")),
    ]
}

fn schedule() -> impl Strategy<Value = Schedule> {
    let zones = prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]);
    let lines = (field(0, 59), field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 7))
        .prop_map(|(s, m, h, d, mo, w)| format!("{s} {m} {h} {d} {mo} {w}"));
    let every = (1_u64..100_000).prop_map(|s| format!("@every {s}s"));
    (prop_oneof![4 => lines, 1 => every], zones).prop_filter_map("it comes", |(line, name)| {
        read(&line, Dialect::Crontab, &zone(name).expect("a zone")).ok()
    })
}

proptest! {
    #[test]
    fn times_go_forward_and_none_is_passed_over(
        schedule in schedule(),
        // Years with changes of the clock in them.
        from in 1_767_225_600_u64..1_830_297_600,
        later in 0_u64..86_400 * 40,
    ) {
        let (from, anchor) = (Duration::from_secs(from), Duration::from_secs(1_767_225_600));
        let next = schedule.next(from, anchor).expect("it comes");
        prop_assert!(next > from);
        let later = from + Duration::from_secs(later);
        let after_later = schedule.next(later, anchor).expect("it comes");
        prop_assert!(after_later >= next, "the next of a later moment is not earlier");
        if later < next {
            prop_assert_eq!(after_later, next, "nothing is between a moment and its next time");
        }
        let again = schedule.next(next, anchor).expect("it comes");
        prop_assert!(again > next);
    }

    #[test]
    fn lines_are_what_their_fields_say(schedule in schedule(), from in 1_767_225_600_u64..1_830_297_600) {
        // In UTC there are no changes of the clock: the next time is the first second that fits.
        let utc = read(schedule.text(), Dialect::Crontab, &TimeZone::UTC);
        prop_assume!(utc.is_ok());
        let utc = utc.expect("assumed");
        let from = Duration::from_secs(from);
        let next = utc.next(from, from).expect("it comes");
        prop_assert_eq!(utc.last(next, from), Some(next));
        prop_assert_eq!(utc.next(next - Duration::from_secs(1), from), Some(next));
    }

    #[test]
    fn any_text_is_a_schedule_or_a_coded_error(text in "\\PC{0,40}") {
        for dialect in [Dialect::Crontab, Dialect::Wasmcloud] {
            match read(&text, dialect, &TimeZone::UTC) {
                Ok(schedule) => {
                    let now = at("2026-01-01T00:00:00Z");
                    let next = schedule.next(now, now);
                    prop_assert!(next.is_none_or(|next| next > now), "{text:?}: {next:?}");
                }
                Err(error) => {
                    let number = error.code().entry().number;
                    prop_assert!((1160..1170).contains(&number) && !error.help().is_empty(), "{text:?}: {error}");
                }
            }
        }
    }
}
