//! What is bounded, and what is told when a bound is hit.

use super::bed::{Bed, builtin, export, resource, wait_for};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use tokio::sync::Semaphore;
use umbel_builtin::messaging::{Content, Limits, Message, Messaging, SpaceId, SubscriptionStats, Wait};
use umbel_wit::Value;

async fn bed() -> (Messaging, Bed) {
    let (messaging, cores) = builtin();
    let bed = Bed::new(Arc::new(messaging.clone()), cores).await;
    (messaging, bed)
}

fn of(messaging: &Messaging, component: &str) -> SubscriptionStats {
    let stats = messaging.stats().into_iter().flat_map(|space| space.subscriptions);
    stats.into_iter().find(|one| one.component.as_deref() == Some(component)).expect("it subscribes")
}

/// A component that holds every message until it is let go, and says how many it holds at once.
struct Gate {
    open: Arc<Semaphore>,
    inside: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

async fn gate(bed: &Bed, component: &str, config: &[(&str, &str)]) -> Gate {
    let gate = Gate { open: Arc::new(Semaphore::new(0)), inside: Arc::default(), most: Arc::default() };
    let (open, inside, most) = (gate.open.clone(), gate.inside.clone(), gate.most.clone());
    let handler = export(move |_| {
        let (open, inside, most) = (open.clone(), inside.clone(), most.clone());
        async move {
            most.fetch_max(inside.fetch_add(1, SeqCst) + 1, SeqCst);
            open.acquire().await.expect("not closed").forget();
            inside.fetch_sub(1, SeqCst);
            Ok(Some(Value::unit()))
        }
    });
    bed.subscribe(component, config, handler).await;
    gate
}

#[tokio::test]
async fn a_full_queue_is_told_to_the_publisher_and_counted_and_the_others_hear_all() {
    let (messaging, bed) = bed().await;
    let config = &[("subscriptions", "s"), ("concurrency", "2"), ("queue_messages_max", "3")];
    let gate = gate(&bed, "app-slow", config).await;
    let guest = bed.guest("app-guest");
    for _ in 0..2 {
        guest.publish("s", "in flight").await.expect("published");
    }
    wait_for("two are in flight", || gate.inside.load(SeqCst) == 2).await;
    for _ in 0..3 {
        guest.publish("s", "waits").await.expect("published");
    }
    for _ in 0..10 {
        let error = guest.publish("s", "too many").await.expect_err("nobody has room");
        assert!(error.contains("UM1145"), "{error}");
    }
    let mut ear = bed.ear("app-ear", "s").await;
    for n in 0..10 {
        guest.publish("s", format!("{n}")).await.expect("one has room");
        ear.next().await;
    }
    let stats = of(&messaging, "app-slow");
    assert_eq!((stats.missed, stats.waiting, stats.in_flight, stats.delivered), (20, 3, 2, 0));
    gate.open.add_permits(5);
    wait_for("what was taken is delivered", || of(&messaging, "app-slow").delivered == 5).await;
    assert_eq!(gate.most.load(SeqCst), 2, "never more at once than allowed");
    wait_for("no worker is left", || of(&messaging, "app-slow").in_flight == 0).await;
}

#[tokio::test]
async fn what_waits_is_bounded_in_bytes() {
    let (messaging, bed) = bed().await;
    let config = &[("subscriptions", "s"), ("concurrency", "1"), ("queue_bytes_max", "10000")];
    let gate = gate(&bed, "app-slow", config).await;
    let guest = bed.guest("app-guest");
    guest.publish("s", "in flight").await.expect("published");
    wait_for("one is in flight", || gate.inside.load(SeqCst) == 1).await;
    let taken = async {
        let mut taken = 0;
        while guest.publish("s", vec![0; 4_000]).await.is_ok() {
            taken += 1;
        }
        taken
    };
    assert_eq!(taken.await, 2);
    gate.open.add_permits(10);
    wait_for("all are delivered", || of(&messaging, "app-slow").delivered == 3).await;
}

#[tokio::test]
async fn with_a_concurrency_of_one_the_order_is_kept() {
    let (_, bed) = bed().await;
    let mut ear = bed.ear_with("app-ear", &[("subscriptions", "s"), ("concurrency", "1")]).await;
    let guest = bed.guest("app-guest");
    for n in 0..500 {
        guest.publish("s", format!("{n}")).await.expect("published");
    }
    for n in 0..500 {
        assert_eq!(ear.says().await.1, n.to_string());
    }
}

#[tokio::test]
async fn a_busy_member_of_a_group_leaves_the_message_to_another() {
    let (messaging, bed) = bed().await;
    let config = &[("subscriptions", "s|g"), ("concurrency", "1"), ("queue_messages_max", "1")];
    let gate = gate(&bed, "app-busy", config).await;
    let mut ear = bed.ear("app-free", "s|g").await;
    let guest = bed.guest("app-guest");
    let mut heard = 0;
    for n in 0..50 {
        guest.publish("s", format!("{n}")).await.expect("one of them has room");
        // The busy one takes one in flight and one that waits, and no more.
        if n >= 2 {
            wait_for("the free one is done", || of(&messaging, "app-free").delivered >= n - 1).await;
        }
    }
    while heard < 48 {
        ear.next().await;
        heard += 1;
    }
    assert_eq!(of(&messaging, "app-busy").missed, 0);
    gate.open.add_permits(2);
    wait_for("each has had its share", || {
        of(&messaging, "app-busy").delivered + of(&messaging, "app-free").delivered == 50
    })
    .await;
}

#[tokio::test]
async fn a_subscriber_that_never_answers_is_cut_at_its_deadline_and_counted() {
    let (messaging, bed) = bed().await;
    let config = &[("subscriptions", "s"), ("concurrency", "1"), ("handle_timeout_ms", "20")];
    let _gate = gate(&bed, "app-never", config).await;
    let guest = bed.guest("app-guest");
    for _ in 0..3 {
        guest.publish("s", "x").await.expect("published");
    }
    wait_for("all three were cut", || of(&messaging, "app-never").timed_out == 3).await;
    let stats = of(&messaging, "app-never");
    assert_eq!((stats.delivered, stats.failed, stats.waiting), (0, 0, 0));
}

#[tokio::test]
async fn the_messages_that_a_component_holds_are_bounded() {
    let (_, bed) = bed().await;
    let guest = bed.guest_with("app-guest", &[("message_bytes_max", "67108864")]);
    let half = vec![Value::bytes(vec![0; 32 << 20])];
    let first = guest.wasi("types", "[constructor]message", half).await.expect("there is room");
    let half = vec![Value::bytes(vec![0; 32 << 20])];
    let problem = guest.wasi("types", "[constructor]message", half).await.expect_err("too much");
    assert_eq!(problem.code.to_string(), "UM1146");
    // Another component is not concerned.
    let half = vec![Value::bytes(vec![0; 32 << 20])];
    let other = bed.guest("app-other");
    let message =
        resource(other.wasi("types", "[constructor]message", half).await.expect("its own").expect("one"));
    let args = vec![Value::Borrow(message), Value::bytes(vec![0; 70 << 20])];
    let problem = other.wasi("types", "[method]message.set-data", args).await.expect_err("too much");
    assert_eq!(problem.code.to_string(), "UM1146");
    drop(first);
    let half = vec![Value::bytes(vec![0; 32 << 20])];
    guest.wasi("types", "[constructor]message", half).await.expect("there is room again");
}

#[tokio::test]
async fn the_host_itself_subscribes_publishes_and_asks() {
    let (messaging, bed) = bed().await;
    let space = messaging.space(SpaceId::Application("app".into()));
    let mut subscriber = space.subscribe("from.*", None, Limits::default()).expect("a good pattern");
    bed.guest("app-guest").publish("from.guest", "hello host").await.expect("published");
    let message = subscriber.next().await;
    assert_eq!((&*message.subject, &message.content.body[..]), ("from.guest", &b"hello host"[..]));
    let mut ear = bed.ear("app-ear", "from.host").await;
    space.publish(Message::new("from.host", Content::new("hello guest")), 1_000).expect("published");
    assert_eq!(ear.says().await.1, "hello guest");
    bed.answers("app-echo", "echo", str::to_uppercase).await;
    let wait = Wait { timeout: Duration::from_secs(20), replies: 1 };
    let replies = space.request("echo", Arc::new(Content::new("hi")), 1_000, wait).await.expect("a reply");
    assert_eq!(&replies[0].content.body[..], b"HI");
    assert!(space.subscribe("a..b", None, Limits::default()).is_err());
    assert!(space.publish(Message::new("a", Content::new(vec![0; 1_001])), 1_000).is_err());
    drop(subscriber);
    assert_eq!(
        space.publish(Message::new("from.x", Content::new("")), 1_000).ok(),
        Some(0),
        "nobody is left"
    );
}

#[tokio::test]
async fn a_slow_subscriber_in_the_host_misses_what_does_not_fit() {
    let (messaging, _bed) = bed().await;
    let space = messaging.space(SpaceId::Loose);
    let limits = Limits { queue_messages_max: 2, ..Limits::default() };
    let mut subscriber = space.subscribe(">", None, limits).expect("a good pattern");
    let publish = |words: &'static str| space.publish(Message::new("s", Content::new(words)), 1_000);
    assert!(publish("1").is_ok() && publish("2").is_ok() && publish("3").is_err());
    assert_eq!(subscriber.missed(), 1);
    assert_eq!(&subscriber.next().await.content.body[..], b"1");
    assert_eq!(&subscriber.next().await.content.body[..], b"2");
}

#[tokio::test]
async fn links_of_a_changed_config_follow_it() {
    let (_, bed) = bed().await;
    let mut ear = bed.ear("app-ear", "s").await;
    let guest = bed.guest("app-guest");
    let limit = super::bed::values(&[("message_bytes_max", "3")]);
    bed.provider.put_config(limit).await.expect("a good config");
    assert!(guest.publish("s", "long").await.is_err());
    guest.publish("s", "abc").await.expect("published");
    assert_eq!(ear.says().await.1, "abc");
    bed.provider.put_config(super::bed::values(&[("nonsense", "1")])).await.expect_err("refused");
    assert!(guest.publish("s", "long").await.is_err(), "and nothing changed");
}
