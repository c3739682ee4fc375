use super::{Charge, HELD_BYTES_MAX, Meter, OVERHEAD};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

#[test]
fn what_is_held_is_bounded_and_given_back() {
    let meter = Arc::new(Meter::default());
    let first = Charge::new(&meter, HELD_BYTES_MAX - OVERHEAD).expect("it fits exactly");
    assert!(Charge::new(&meter, 0).is_err(), "even an empty message takes room");
    drop(first);
    assert_eq!(meter.0.load(Relaxed), 0);
    let mut charge = Charge::new(&meter, 10).expect("there is room");
    assert!(charge.resize(HELD_BYTES_MAX).is_err());
    assert_eq!(meter.0.load(Relaxed), 10 + OVERHEAD, "what was refused changes nothing");
    charge.resize(5).expect("less always fits");
    drop(charge);
    assert_eq!(meter.0.load(Relaxed), 0);
    assert!(Charge::new(&meter, usize::MAX).is_err());
}
