use super::{CatchUp, GRACE, Step, Timer};
use crate::cron::schedule::{Dialect, Schedule};
use jiff::tz::TimeZone;
use proptest::prelude::*;
use std::time::Duration;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Midnight of a day.
const START: Duration = s(1_767_225_600);
const DAY: Duration = s(86_400);

fn timer(line: &str, catch_up: CatchUp, last: Option<Duration>) -> Timer {
    let schedule = Schedule::read(line, Dialect::Crontab, &TimeZone::UTC, START).expect("a good line");
    Timer::new(schedule, catch_up, last, START)
}

#[test]
fn it_waits_runs_and_waits_again() {
    let mut timer = timer("@every 10s", CatchUp::Skip, None);
    assert_eq!(timer.on_time(START), Step::Wait(s(10)));
    assert_eq!(timer.on_time(START + s(9)), Step::Wait(s(1)));
    assert_eq!(timer.on_time(START + s(10)), Step::Run { due: START + s(10), missed: 0 });
    assert_eq!(timer.on_time(START + s(10)), Step::Wait(s(10)), "one time, one run");
}

#[test]
fn a_little_late_is_on_time_and_what_passed_meanwhile_is_counted() {
    let mut every_second = timer("* * * * * *", CatchUp::Skip, None);
    let step = every_second.on_time(START + s(30));
    assert_eq!(step, Step::Run { due: START + s(30), missed: 29 });
    assert_eq!(every_second.on_time(START + s(30)), Step::Wait(s(1)));
    let mut daily = timer("@daily", CatchUp::Skip, None);
    assert_eq!(daily.on_time(START + DAY + GRACE), Step::Run { due: START + DAY, missed: 0 });
}

#[test]
fn what_was_slept_through_is_skipped_or_run_once() {
    let mut skips = timer("@daily", CatchUp::Skip, None);
    assert_eq!(skips.on_time(START + 3 * DAY + s(3_600)), Step::Missed(3));
    assert_eq!(skips.on_time(START + 3 * DAY + s(3_600)), Step::Wait(DAY - s(3_600)));
    let mut once = timer("@daily", CatchUp::Once, None);
    let step = once.on_time(START + 3 * DAY + s(3_600));
    assert_eq!(step, Step::Run { due: START + 3 * DAY, missed: 2 });
    assert_eq!(once.on_time(START + 3 * DAY + s(3_600)), Step::Wait(DAY - s(3_600)));
}

#[test]
fn what_passed_before_the_start_is_run_once_if_it_is_to_be_caught_up() {
    let last = START - 2 * DAY - s(10);
    let mut once = timer("@daily", CatchUp::Once, Some(last));
    assert_eq!(once.on_time(START + s(100)), Step::Run { due: START, missed: 2 });
    let mut skips = timer("@daily", CatchUp::Skip, Some(last));
    assert_eq!(skips.on_time(START), Step::Wait(DAY));
    let mut nothing_passed = timer("@daily", CatchUp::Once, Some(START));
    assert_eq!(nothing_passed.on_time(START), Step::Wait(DAY));
    let mut from_the_future = timer("@daily", CatchUp::Once, Some(START + 100 * DAY));
    assert_eq!(from_the_future.on_time(START), Step::Wait(DAY));
}

#[test]
fn a_clock_that_was_far_ahead_and_is_put_right_does_not_stop_the_job() {
    let mut timer = timer("@daily", CatchUp::Skip, None);
    let ahead = START + 3_000 * DAY;
    assert_eq!(timer.on_time(ahead), Step::Run { due: ahead, missed: 2_999 });
    assert_eq!(timer.on_time(START + s(5)), Step::Wait(DAY - s(5)));
    assert_eq!(timer.on_time(START + s(4)), Step::Wait(DAY - s(4)), "a small step back changes nothing");
}

#[test]
fn the_count_of_what_passed_has_an_end() {
    let mut timer = timer("* * * * * *", CatchUp::Skip, None);
    let now = START + 365 * DAY;
    assert_eq!(timer.on_time(now), Step::Run { due: now, missed: 9_999 });
}

proptest! {
    #[test]
    fn each_time_is_run_or_counted_and_never_twice(
        every in 1_u64..50,
        steps in prop::collection::vec(0_u64..400, 1..60),
        once in any::<bool>(),
    ) {
        let catch_up = if once { CatchUp::Once } else { CatchUp::Skip };
        let mut timer = timer(&format!("@every {every}s"), catch_up, None);
        let (mut now, mut accounted, mut last_due) = (START, 0, START);
        for step in steps {
            now += s(step);
            loop {
                match timer.on_time(now) {
                    Step::Wait(wait) => {
                        prop_assert!(wait > Duration::ZERO && wait <= s(every));
                        break;
                    }
                    Step::Run { due, missed } => {
                        prop_assert!(due > last_due && due <= now);
                        prop_assert!(once || now - due <= GRACE);
                        last_due = due;
                        accounted += missed + 1;
                    }
                    Step::Missed(missed) => {
                        prop_assert!(!once);
                        accounted += missed;
                    }
                }
            }
            prop_assert_eq!(accounted, (now - START).as_secs() / every);
        }
    }
}
