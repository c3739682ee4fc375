use super::*;
use umbel_core::Coded;

fn order(application: &str, generation: u64) -> Order<'_> {
    Order { application: Some(application), generation: Some(generation) }
}

#[tokio::test]
async fn turns_of_one_id_follow_one_another_and_leave_nothing_behind() {
    let parts = Parts::<()>::default();
    let first = parts.turn("a").await;
    let mut second = Box::pin(parts.turn("a"));
    let mut third = Box::pin(parts.turn("a"));
    assert!(futures::poll!(&mut second).is_pending());
    assert!(futures::poll!(&mut third).is_pending());
    drop(parts.turn("b").await);
    drop(second);
    assert!(futures::poll!(&mut third).is_pending(), "the first has it still");
    drop(first);
    drop(third.await);
    assert!(parts.turns.locks().is_empty());
}

#[test]
fn what_is_gone_is_not_started_again_by_an_older_order_of_its_application() {
    let parts = Parts::<()>::default();
    let code = |order| parts.check_gone("a", order).map_err(|error| error.code()).err();
    parts.add("a", &Arc::new(()));
    parts.bury("a", order("shop", 5));
    assert!(parts.get("a").is_none());
    assert_eq!(code(order("shop", 4)), Some(umbel_core::code::host::STALE_GENERATION));
    for fine in [order("shop", 5), order("blog", 1), Order { application: Some("shop"), generation: None }] {
        assert_eq!(code(fine), None, "{fine:?}");
    }
    parts.add("a", &Arc::new(()));
    assert_eq!(code(order("shop", 4)), None, "what is there is judged by itself");
    parts.bury("a", Order { application: Some("shop"), generation: None });
    assert_eq!(code(order("shop", 4)), None, "there is nothing to remember");
}

#[test]
fn only_so_many_that_are_gone_are_remembered() {
    let parts = Parts::<()>::default();
    for number in 0..=GONE_MAX {
        parts.bury(&format!("p{number}"), order("shop", 5));
    }
    assert!(parts.check_gone("p0", order("shop", 4)).is_ok(), "the oldest is forgotten");
    assert!(parts.check_gone("p1", order("shop", 4)).is_err());
    assert_eq!(parts.gone().by_id.len(), GONE_MAX);
}
