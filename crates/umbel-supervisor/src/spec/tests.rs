use super::*;

fn secs(n: f64) -> Duration {
    Duration::from_secs_f64(n)
}

#[test]
fn the_default_backoff_is_immediate_and_then_doubles_to_a_minute() {
    let backoff = Backoff { jitter: 0.0, ..Backoff::default() };
    let waits: Vec<u64> = (0..10).map(|failures| backoff.delay(failures, 0.5).as_secs()).collect();
    assert_eq!(waits, [0, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
    assert_eq!(backoff.delay(u32::MAX, 0.5), secs(60.0));
}

#[test]
fn jitter_moves_a_wait_by_its_share_both_ways() {
    let backoff = Backoff { immediate: false, ..Backoff::default() };
    for (chance, expect) in [(0.0, 0.8), (0.5, 1.0), (0.999_999, 1.2)] {
        let wait = backoff.delay(0, chance).as_secs_f64();
        assert!((wait - expect).abs() < 0.001, "{chance}: {wait}");
    }
}

#[test]
fn senseless_backoffs_are_harmless() {
    for (factor, jitter) in [(f64::NAN, f64::NAN), (0.0, 9.0), (f64::INFINITY, -1.0), (-3.0, 1.0)] {
        let backoff = Backoff { factor, jitter, immediate: false, ..Backoff::default() };
        for failures in [0, 1, 50, u32::MAX] {
            for chance in [0.0, 0.5, 0.999] {
                assert!(backoff.delay(failures, chance) <= secs(120.0), "{backoff:?}");
            }
        }
    }
}
