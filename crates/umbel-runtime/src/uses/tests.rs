use super::*;
use futures::FutureExt;

const LONG: Duration = Duration::from_secs(1_000);

#[tokio::test(start_paused = true)]
async fn the_end_of_the_last_use_wakes_who_waits() {
    let uses = Uses::default();
    assert!(uses.idle(Duration::ZERO, Duration::ZERO).await);
    let (one, two, three) = (uses.call(), uses.call(), uses.resource());
    let begun = Instant::now();
    let mut idle = Box::pin(uses.idle(LONG, LONG));
    assert!((&mut idle).now_or_never().is_none());
    drop((one, three));
    assert!((&mut idle).now_or_never().is_none(), "one is left");
    let copied = two.clone();
    drop(two);
    assert!((&mut idle).now_or_never().is_none(), "a copy counts");
    drop(copied);
    assert_eq!((idle.await, begun.elapsed()), (true, Duration::ZERO));
    // Nobody waits any more, also when somebody gave it up.
    let held = uses.call();
    assert!(Box::pin(uses.idle(LONG, LONG)).now_or_never().is_none());
    assert_eq!(uses.0.waiting.load(SeqCst), 0);
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn resources_are_not_waited_for_as_long_as_calls() {
    let uses = Uses::default();
    let (call, resource) = (uses.call(), uses.resource());
    let begun = Instant::now();
    let (short, long) = (Duration::from_secs(2), Duration::from_secs(10));
    assert!(!uses.idle(long, short).await);
    assert_eq!(begun.elapsed(), long, "a call is under way all the while");
    let ends = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        drop(call);
    };
    let begun = Instant::now();
    let (is_idle, ()) = tokio::join!(uses.idle(long, short), ends);
    assert_eq!((is_idle, begun.elapsed()), (false, Duration::from_secs(5)));
    drop(resource);
    assert!(uses.idle(Duration::ZERO, Duration::ZERO).await);
}
