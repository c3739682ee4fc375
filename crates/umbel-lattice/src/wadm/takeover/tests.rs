use super::*;
use crate::LatticeError;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn without_one_that_leads_nobody_takes_over() {
    let known = Takeover::default();
    assert_eq!(known.decide(Ok(None), Instant::now()), HANDOVER_MAX);
}

#[test]
fn one_that_led_a_moment_ago_is_followed_by_another() {
    let (known, begun) = (Takeover::default(), Instant::now());
    for later in [0, 1, 6, 11] {
        assert_eq!(known.decide(Ok(Some(7)), begun + seconds(later)), TAKEOVER_MAX, "after {later} s");
    }
    assert_eq!(known.decide(Ok(Some(8)), begun + seconds(13)), TAKEOVER_MAX, "another has taken over");
}

#[test]
fn one_that_has_led_long_ago_is_not_waited_for_again() {
    let (known, begun) = (Takeover::default(), Instant::now());
    assert_eq!(known.decide(Ok(Some(7)), begun), TAKEOVER_MAX);
    assert_eq!(known.decide(Ok(Some(7)), begun + seconds(12)), HANDOVER_MAX);
    assert_eq!(known.decide(Ok(Some(7)), begun + seconds(100)), HANDOVER_MAX);
    assert_eq!(known.decide(Ok(Some(9)), begun + seconds(101)), TAKEOVER_MAX, "one has come and gone");
}

#[test]
fn a_state_that_cannot_be_read_says_nothing() {
    let (known, begun) = (Takeover::default(), Instant::now());
    assert_eq!(known.decide(Err(LatticeError::Closed), begun), TAKEOVER_MAX);
    assert_eq!(known.decide(Ok(None), begun), HANDOVER_MAX);
}
