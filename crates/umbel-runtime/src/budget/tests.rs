use super::*;

fn limits() -> Limits {
    Limits {
        instances_max: 2,
        waiting_max: 1,
        call_ms_max: 10_000,
        log_bytes_per_s_max: 10,
        ..Limits::default()
    }
}

async fn admit(budget: &Budget) -> Result<OwnedSemaphorePermit, CallError> {
    budget.admit_within(|| false).await
}

#[tokio::test]
async fn calls_beyond_instances_and_waiting_are_refused_and_counted() {
    let budget = Budget::new("hello", limits());
    let first = admit(&budget).await.expect("a free instance");
    let _second = admit(&budget).await.expect("a free instance");
    let mut third = Box::pin(admit(&budget));
    assert!(futures::poll!(&mut third).is_pending(), "the third call waits");
    assert_eq!(budget.usage().calls_waiting, 1);
    assert!(matches!(admit(&budget).await, Err(CallError::Busy { instances: 2, waiting: 1, .. })));
    assert_eq!(budget.usage().refused, 1);
    drop(first);
    let _third = third.await.expect("the instance that the first call gave back");
    assert_eq!(budget.usage().calls_waiting, 0);
}

#[tokio::test]
async fn a_stopped_budget_tells_when_the_last_call_is_over() {
    let budget = Budget::new("hello", limits());
    let first = admit(&budget).await.expect("a free instance");
    let second = admit(&budget).await.expect("a free instance");
    let mut third = Box::pin(admit(&budget));
    assert!(futures::poll!(&mut third).is_pending(), "the third call waits");
    budget.stop();
    let mut idle = Box::pin(budget.idle());
    assert!(futures::poll!(&mut idle).is_pending());
    drop(first);
    assert!(futures::poll!(&mut idle).is_pending());
    let third = third.await.expect("it came before the stop");
    drop(second);
    assert!(futures::poll!(&mut idle).is_pending(), "the call that waited runs");
    drop(third);
    idle.await;
    assert!(matches!(admit(&budget).await, Err(CallError::Stopping { .. })));
    assert_eq!(budget.usage().calls_in_flight, 0);
}

#[tokio::test]
async fn a_caller_that_gives_up_gives_its_waiting_place_back() {
    let budget = Budget::new("hello", limits());
    let _held = (admit(&budget).await.expect("free"), admit(&budget).await.expect("free"));
    let mut waiting = Box::pin(admit(&budget));
    assert!(futures::poll!(&mut waiting).is_pending());
    drop(waiting);
    assert_eq!(budget.usage().calls_waiting, 0);
}

#[tokio::test]
async fn a_stopped_budget_refuses_new_calls() {
    let budget = Budget::new("hello", limits());
    budget.stop();
    assert!(matches!(admit(&budget).await, Err(CallError::Stopping { .. })));
}

#[test]
fn log_bytes_above_the_rate_are_dropped_and_counted() {
    let budget = Budget::new("hello", limits());
    assert!(budget.take_log(100), "ten seconds' worth may come at once");
    assert!(!budget.take_log(50));
    let usage = budget.usage();
    assert_eq!((usage.log_bytes, usage.log_bytes_dropped), (100, 50));
}

#[test]
fn an_overdrawn_cpu_share_asks_for_a_pause() {
    let budget = Budget::new("hello", Limits { cpu_percent_max: 50, ..limits() });
    assert_eq!(budget.cpu_debt(), None);
    budget.charge_cpu(Duration::from_secs(1), false);
    assert!(budget.cpu_debt().is_some());
    assert_eq!(budget.usage().cpu_throttled, 1);
}
