use super::*;
use umbel_core::id::LatticeName;
use umbel_lattice::InProcess;

fn lattice() -> Arc<dyn Lattice> {
    // On no disk: a clock that is paused would run on while somebody waits for one.
    Arc::new(InProcess::ephemeral(LatticeName::new("default").unwrap()))
}

#[tokio::test]
async fn one_of_two_gets_it_and_the_other_when_it_is_given_back() {
    let lattice = lattice();
    let mut first = Lease::open(&lattice, "first").await.unwrap();
    let mut second = Lease::open(&lattice, "second").await.unwrap();
    assert!(first.try_take().await);
    assert!(!second.try_take().await);
    first.give_back().await;
    assert!(second.try_take().await);
    assert!(!first.try_take().await);
}

#[tokio::test]
async fn a_host_that_starts_again_has_it_at_once() {
    let lattice = lattice();
    let mut before = Lease::open(&lattice, "first").await.unwrap();
    assert!(before.try_take().await);
    let mut after = Lease::open(&lattice, "first").await.unwrap();
    assert!(after.try_take().await);
    let mut other = Lease::open(&lattice, "second").await.unwrap();
    assert!(!other.try_take().await);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_not_renewed_lapses_and_its_holder_has_stopped_before() {
    let lattice = lattice();
    let mut first = Lease::open(&lattice, "first").await.unwrap();
    let mut second = Lease::open(&lattice, "second").await.unwrap();
    assert!(first.try_take().await);
    assert!(!second.try_take().await);
    tokio::time::advance(LAPSES_AFTER - Duration::from_millis(1)).await;
    assert!(!second.try_take().await);
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(second.try_take().await, "nobody has renewed it");
    // It ends at the next renewal, which finds another holder.
    first.keep().await;
    assert!(!first.try_take().await);
    const { assert!(HELD_MAX.as_millis() + RENEW_EVERY.as_millis() < LAPSES_AFTER.as_millis()) };
}

#[tokio::test(start_paused = true)]
async fn one_that_is_renewed_stays() {
    let lattice = lattice();
    let mut first = Lease::open(&lattice, "first").await.unwrap();
    let mut second = Lease::open(&lattice, "second").await.unwrap();
    assert!(first.try_take().await);
    let kept = tokio::time::timeout(10 * LAPSES_AFTER, first.keep());
    let taken = tokio::time::timeout(9 * LAPSES_AFTER, second.take());
    let (kept, taken) = futures::future::join(kept, taken).await;
    assert!(kept.is_err() && taken.is_err(), "it was kept all the while");
}
