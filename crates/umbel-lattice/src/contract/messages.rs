//! Promises about messages.

use super::{Factory, LONG, SHORT, next, next_text, publish, soon, text, wait_for};
use crate::lattice::PAYLOAD_BYTES_MAX;
use crate::{LatticeError, Message, SubscribeOptions};
use bytes::Bytes;
use futures::future::{join, join_all};
use std::time::Instant;

/// Exact subjects and both wildcards receive what they match, and nothing else.
pub async fn publish_reaches_everybody_who_matches(factory: &dyn Factory) {
    let lattice = factory.fresh().await;
    let mut subscriptions = Vec::new();
    for pattern in ["t.a.b", "t.a.*", "t.*.b", "t.>", "*.a.b"] {
        subscriptions.push((pattern, lattice.subscribe(pattern).await.expect("subscribe")));
    }
    for subject in ["t.a.b", "t.a.c", "t.x.b", "t.a.b.c", "t.end.b", "t.a.end", "t.a.b"] {
        publish(&lattice, subject, subject.to_string()).await;
    }
    let expect: [&[&str]; 5] = [
        &["t.a.b", "t.a.b"],
        &["t.a.b", "t.a.c", "t.a.end", "t.a.b"],
        &["t.a.b", "t.x.b", "t.end.b", "t.a.b"],
        &["t.a.b", "t.a.c", "t.x.b", "t.a.b.c", "t.end.b", "t.a.end", "t.a.b"],
        &["t.a.b", "t.a.b"],
    ];
    for ((pattern, subscription), expect) in subscriptions.iter_mut().zip(expect) {
        for subject in expect {
            let message = next(subscription).await;
            assert_eq!(message.subject, *subject, "on {pattern}");
            assert_eq!(text(&message.payload), *subject, "on {pattern}");
        }
        assert!(subscription.try_next().is_none(), "{pattern} got more than it matches");
    }
}

/// Messages of one publisher arrive in the order in which they were published.
pub async fn order_is_kept(factory: &dyn Factory) {
    let lattice = factory.fresh().await;
    let mut all = lattice.subscribe("order.>").await.expect("subscribe");
    for i in 0..1_000 {
        publish(&lattice, &format!("order.{}", i % 7), i.to_string()).await;
    }
    for i in 0..1_000 {
        assert_eq!(next_text(&mut all).await, i.to_string());
    }
}

/// Nothing of a message is lost on the way.
pub async fn headers_and_reply_arrive(factory: &dyn Factory) {
    let lattice = factory.fresh().await;
    let mut all = lattice.subscribe("h").await.expect("subscribe");
    let sent = Message::new("h", vec![0, 255, 7])
        .with_header("Content-Type", "application/json")
        .with_header("Twice", "1")
        .with_header("Twice", "2")
        .with_reply("answers.here");
    lattice.publish(sent.clone()).await.expect("publish");
    let got = next(&mut all).await;
    assert_eq!(got, sent);
    assert_eq!(got.headers.get("content-type"), Some("application/json"));
    publish(&lattice, "h", Bytes::new()).await;
    assert!(next(&mut all).await.payload.is_empty());
}

/// A queue group gets each message once, and every member its share.
pub async fn a_group_gets_each_message_once(factory: &dyn Factory) {
    let lattice = factory.fresh().await;
    let mut members = Vec::new();
    for _ in 0..4 {
        members.push(lattice.queue_subscribe("work.*", "workers").await.expect("subscribe"));
    }
    for i in 0..400 {
        publish(&lattice, &format!("work.{}", i % 3), i.to_string()).await;
    }
    let mut seen: Vec<u32> = Vec::new();
    let mut counts = [0_usize; 4];
    soon("all messages", async {
        while seen.len() < 400 {
            for (member, count) in members.iter_mut().zip(&mut counts) {
                while let Some(message) = member.try_next() {
                    seen.push(text(&message.payload).parse().expect("a number"));
                    *count += 1;
                }
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    seen.sort_unstable();
    assert_eq!(seen, (0..400).collect::<Vec<_>>(), "each message once");
    assert!(counts.iter().all(|count| *count >= 40), "unfair: {counts:?}");
}

/// Two groups and a plain subscriber each get every message.
pub async fn groups_and_others_do_not_share(factory: &dyn Factory) {
    let lattice = factory.fresh().await;
    let mut one = lattice.queue_subscribe("job", "one").await.expect("subscribe");
    let mut two = lattice.queue_subscribe("job", "two").await.expect("subscribe");
    let mut plain = lattice.subscribe("job").await.expect("subscribe");
    for i in 0..10 {
        publish(&lattice, "job", i.to_string()).await;
    }
    for subscription in [&mut one, &mut two, &mut plain] {
        for i in 0..10 {
            assert_eq!(next_text(subscription).await, i.to_string());
        }
    }
}

/// A dropped subscription gets nothing, answers nothing, and leaves its group to the others.
pub async fn leaving_is_at_once(factory: &dyn Factory) {
    let lattice = factory.fresh().await;
    let alone = lattice.subscribe("leave").await.expect("subscribe");
    drop(alone);
    wait_for_no_responders(&lattice, "leave").await;
    let mut stays = lattice.queue_subscribe("group", "g").await.expect("subscribe");
    let leaves = lattice.queue_subscribe("group", "g").await.expect("subscribe");
    drop(leaves);
    // Where leaving has to travel, what is sent meanwhile may be lost; what is sent later may not.
    let mut arrived = 0;
    soon("ten in a row", async {
        let mut sent = 0;
        while arrived < 10 {
            publish(&lattice, "group", sent.to_string()).await;
            let got = tokio::time::timeout(SHORT, stays.next()).await;
            arrived = if got.is_ok() { arrived + 1 } else { 0 };
            sent += 1;
        }
    })
    .await;
}

async fn wait_for_no_responders(lattice: &std::sync::Arc<dyn crate::Lattice>, subject: &str) {
    soon("no responders", async {
        while !matches!(
            lattice.request(subject, Bytes::new(), SHORT).await,
            Err(LatticeError::NoResponders { .. })
        ) {}
    })
    .await;
}

/// A request gets its answer, with what it asked.
pub async fn a_request_is_answered(factory: &dyn Factory) {
    let lattice = factory.fresh().await;
    let mut server = lattice.queue_subscribe("echo.>", "echo").await.expect("subscribe");
    let serve = async {
        let request = next(&mut server).await;
        assert_eq!(request.subject, "echo.me");
        let back = format!("{} {}", text(&request.payload), request.headers.get("x").unwrap_or_default());
        lattice.respond(&request, back.into()).await.expect("respond");
    };
    let ask = lattice.request_message(Message::new("echo.me", "hello").with_header("X", "y"), LONG);
    let (answer, ()) = join(ask, serve).await;
    assert_eq!(text(&answer.expect("an answer").payload), "hello y");
}

/// If several answer, the first answer is returned; the later ones do no harm.
pub async fn the_first_answer_counts(factory: &dyn Factory) {
    let lattice = factory.fresh().await;
    let mut server = lattice.subscribe("twice").await.expect("subscribe");
    let serve = async {
        for _ in 0..2 {
            let request = next(&mut server).await;
            for answer in ["first", "second"] {
                lattice.respond(&request, answer.into()).await.expect("respond");
            }
        }
    };
    let ask = async {
        for _ in 0..2 {
            let answer = lattice.request("twice", Bytes::new(), LONG).await.expect("an answer");
            assert_eq!(text(&answer.payload), "first");
        }
    };
    join(ask, serve).await;
}

/// Each of many requests at once gets the answer to itself.
pub async fn many_requests_do_not_mix(factory: &dyn Factory) {
    const MANY: usize = 300;
    let lattice = factory.fresh().await;
    let mut server = lattice.subscribe("echo").await.expect("subscribe");
    let serve = async {
        let mut requests = Vec::new();
        for _ in 0..MANY {
            requests.push(next(&mut server).await);
        }
        // In another order than they came.
        for request in requests.iter().rev() {
            lattice.respond(request, request.payload.clone()).await.expect("respond");
        }
    };
    let ask = join_all((0..MANY).map(|i| {
        let lattice = &lattice;
        async move {
            let answer = lattice.request("echo", i.to_string().into(), LONG).await.expect("an answer");
            assert_eq!(text(&answer.payload), i.to_string());
        }
    }));
    join(ask, serve).await;
}

/// Nobody there is an error now, not at the deadline.
pub async fn no_responders_is_said_at_once(factory: &dyn Factory) {
    let lattice = factory.fresh().await;
    let asked = Instant::now();
    let error = lattice.request("nobody.here", Bytes::new(), LONG).await.expect_err("nobody is there");
    assert!(matches!(&error, LatticeError::NoResponders { subject } if subject == "nobody.here"), "{error}");
    assert!(asked.elapsed() < LONG / 2, "it waited for the deadline");
}

/// With only observers listening a request ends: at once where the implementation can tell, else at its deadline
/// (`facts/wasmcloud.md` finding 7). The observers hear it.
pub async fn an_observer_does_not_make_a_request_hang(factory: &dyn Factory) {
    let lattice = factory.fresh().await;
    let mut spy = lattice.observe(">").await.expect("observe");
    let error = soon("the end of the request", lattice.request("nobody.here", "x".into(), SHORT)).await;
    let error = error.expect_err("nobody is there");
    assert!(matches!(error, LatticeError::NoResponders { .. } | LatticeError::Timeout { .. }), "{error}");
    // Whoever hears everything may hear what the implementation says to itself too.
    while next(&mut spy).await.subject != "nobody.here" {}
}

/// A responder that does not answer costs the deadline, no more.
pub async fn a_silent_responder_is_a_timeout(factory: &dyn Factory) {
    let lattice = factory.fresh().await;
    let _silent = lattice.subscribe("silence").await.expect("subscribe");
    let error =
        soon("the deadline", lattice.request("silence", Bytes::new(), SHORT)).await.expect_err("silence");
    assert!(matches!(error, LatticeError::Timeout { after, .. } if after == SHORT), "{error}");
}

/// All who answer are heard; who does not answer costs the wait; nobody is an empty list.
pub async fn request_all_gathers(factory: &dyn Factory) {
    let lattice = factory.fresh().await;
    let none = soon("nobody", lattice.request_all("ping", Bytes::new(), SHORT)).await.expect("request_all");
    assert!(none.is_empty());
    let mut hosts = Vec::new();
    for _ in 0..5 {
        hosts.push(lattice.subscribe("ping").await.expect("subscribe"));
    }
    let _silent = lattice.subscribe("ping").await.expect("subscribe");
    let serve = join_all(hosts.iter_mut().enumerate().map(|(i, host)| {
        let lattice = &lattice;
        async move {
            let request = next(host).await;
            lattice.respond(&request, i.to_string().into()).await.expect("respond");
        }
    }));
    // The wait is long enough for answers to arrive, and ends because one never does.
    let (answers, _) = join(lattice.request_all("ping", Bytes::new(), SHORT * 10), serve).await;
    let mut answers: Vec<String> = answers.expect("request_all").iter().map(|m| text(&m.payload)).collect();
    answers.sort();
    assert_eq!(answers, ["0", "1", "2", "3", "4"]);
}

/// A full queue drops what comes, counts it, and stops nobody.
pub async fn a_slow_subscriber_loses_the_newest_and_counts(factory: &dyn Factory) {
    let lattice = factory.fresh().await;
    let options = SubscribeOptions { queue_len_max: 10, ..SubscribeOptions::default() };
    let mut slow = lattice.subscribe_with("flood", options).await.expect("subscribe");
    let mut quick = lattice.subscribe("flood").await.expect("subscribe");
    for i in 0..100 {
        publish(&lattice, "flood", i.to_string()).await;
    }
    for i in 0..100 {
        assert_eq!(next_text(&mut quick).await, i.to_string());
    }
    assert_eq!(quick.lost(), 0);
    wait_for("90 lost messages", || slow.lost() == 90).await;
    for i in 0..10 {
        assert_eq!(next_text(&mut slow).await, i.to_string(), "the oldest are kept");
    }
    publish(&lattice, "flood", "again").await;
    assert_eq!(next_text(&mut slow).await, "again", "it goes on");
}

/// What is no subject is refused, wildcards are for subscribing only.
pub async fn bad_subjects_are_refused(factory: &dyn Factory) {
    let lattice = factory.fresh().await;
    let invalid = |error: LatticeError| matches!(error, LatticeError::InvalidSubject { .. });
    for subject in ["", "a..b", ".a", "a.", "a b", "a\r\nb", "a.*", "a.>", ">"] {
        assert!(invalid(lattice.publish(Message::new(subject, "")).await.expect_err(subject)), "{subject:?}");
        assert!(
            invalid(lattice.request(subject, Bytes::new(), SHORT).await.expect_err(subject)),
            "{subject:?}"
        );
    }
    for pattern in ["", "a..b", "a.>.b", "a b", "a\r\nb"] {
        assert!(invalid(lattice.subscribe(pattern).await.expect_err(pattern)), "{pattern:?}");
    }
}

/// A payload has a limit.
pub async fn what_is_too_large_is_refused(factory: &dyn Factory) {
    let lattice = factory.fresh().await;
    let too_large = Bytes::from(vec![0; PAYLOAD_BYTES_MAX + 1]);
    let error = lattice.publish(Message::new("big", too_large)).await.expect_err("too large");
    assert!(matches!(error, LatticeError::TooLarge { .. }), "{error}");
}

/// A host with a thousand components has thousands of subscriptions: each still gets its own.
pub async fn thousands_of_subscriptions_work(factory: &dyn Factory) {
    const MANY: usize = 3_000;
    let lattice = factory.fresh().await;
    let mut subscriptions = Vec::with_capacity(MANY);
    for i in 0..MANY {
        subscriptions.push(lattice.queue_subscribe(&format!("c.{i}.call"), "g").await.expect("subscribe"));
    }
    for i in 0..MANY {
        publish(&lattice, &format!("c.{i}.call"), i.to_string()).await;
    }
    for (i, subscription) in subscriptions.iter_mut().enumerate() {
        assert_eq!(next_text(subscription).await, i.to_string());
        assert!(subscription.try_next().is_none());
    }
}

/// A closed lattice ends what waits on it and refuses what comes.
pub async fn closing_ends_everything(factory: &dyn Factory) {
    let lattice = factory.fresh().await;
    let mut subscription = lattice.subscribe("x").await.expect("subscribe");
    let bucket = lattice.bucket("b").await.expect("bucket");
    let mut watch = bucket.watch("").await.expect("watch");
    assert_eq!(super::event(&mut watch).await, crate::WatchEvent::InSync);
    soon("close", lattice.close()).await;
    assert_eq!(soon("the end", subscription.next()).await, None);
    assert_eq!(soon("the end", watch.next()).await, None);
    let closed = |error: LatticeError| matches!(error, LatticeError::Closed);
    assert!(closed(lattice.publish(Message::new("x", "")).await.expect_err("closed")));
    assert!(closed(lattice.subscribe("x").await.expect_err("closed")));
    assert!(closed(lattice.request("x", Bytes::new(), SHORT).await.expect_err("closed")));
    assert!(closed(bucket.put("k", Bytes::new()).await.expect_err("closed")));
    assert!(closed(bucket.get("k").await.expect_err("closed")));
    soon("a second close", lattice.close()).await;
}
