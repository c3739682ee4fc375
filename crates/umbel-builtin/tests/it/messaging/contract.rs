//! The promises of wasmcloud:messaging and wasi:messaging that every implementation keeps.

use super::bed::export;
use super::bed::{Bed, Guest, handler, incoming, link_to, resource, text, wait_for};
use std::sync::{Arc, Mutex};
use umbel_wit::{Resource, Value};

/// Runs all of them, each with a provider of its own.
pub(crate) async fn suite<F: Future<Output = Bed>>(new: impl Fn() -> F) {
    every_subscriber_hears_and_of_a_group_one_does(&new().await).await;
    wildcards_and_their_limits(&new().await).await;
    a_request_has_its_reply(&new().await).await;
    a_request_without_an_answer_fails_typed(&new().await).await;
    sizes(&new().await).await;
    bad_subjects_hurt_nobody(&new().await).await;
    applications_do_not_hear_one_another(&new().await).await;
    links_come_change_and_go(&new().await).await;
    links_that_make_no_sense_are_refused(&new().await).await;
    a_failing_subscriber_hurts_nobody(&new().await).await;
    messages_as_resources(&new().await).await;
    requests_with_several_replies(&new().await).await;
    after_the_end_nothing_is_taken(&new().await).await;
}

async fn every_subscriber_hears_and_of_a_group_one_does(bed: &Bed) {
    let mut one = bed.ear("app-one", "news.>").await;
    let mut two = bed.ear("app-two", "news.*").await;
    let mut members = [bed.ear("app-m1", "news.x|group").await, bed.ear("app-m2", "news.*|group").await];
    let guest = bed.guest("app-guest");
    for n in 0..20 {
        guest.publish("news.x", format!("{n}")).await.expect("published");
    }
    let mut heard = [Vec::new(), Vec::new()];
    for _ in 0..20 {
        heard[0].push(one.says().await.1.parse::<u32>().expect("a number"));
        heard[1].push(two.says().await.1.parse::<u32>().expect("a number"));
    }
    for mut heard in heard {
        heard.sort_unstable();
        assert_eq!(heard, (0..20).collect::<Vec<u32>>(), "each message once");
    }
    let mut of_group = Vec::new();
    for _ in 0..20 {
        let [first, second] = &mut members;
        let heard = tokio::select! {
            heard = first.says() => heard,
            heard = second.says() => heard,
        };
        of_group.push(heard.1.parse::<u32>().expect("a number"));
    }
    of_group.sort_unstable();
    assert_eq!(of_group, (0..20).collect::<Vec<u32>>(), "each message to one member");
    assert!(one.is_silent() && two.is_silent() && members[0].is_silent() && members[1].is_silent());
}

async fn wildcards_and_their_limits(bed: &Bed) {
    let mut star = bed.ear("app-star", "a.*.c").await;
    let mut rest = bed.ear("app-rest", "a.>").await;
    let guest = bed.guest("app-guest");
    for subject in ["a", "b.b.c", "a.b", "a.b.d", "a.b.c.d", "a.b.c"] {
        guest.publish(subject, subject).await.expect("that nobody hears is no error");
    }
    assert_eq!(star.says().await.0, "a.b.c");
    let mut heard = Vec::new();
    for _ in 0..4 {
        heard.push(rest.says().await.0);
    }
    heard.sort();
    assert_eq!(heard, ["a.b", "a.b.c", "a.b.c.d", "a.b.d"]);
    assert!(star.is_silent() && rest.is_silent());
}

async fn a_request_has_its_reply(bed: &Bed) {
    bed.answers("app-echo", "echo.*|workers", |body| body.to_uppercase()).await;
    let mut all = bed.ear("app-all", ">").await;
    let guest = bed.guest("app-guest");
    let requests = (0..50).map(|n| {
        let guest = guest.clone();
        async move {
            let body = format!("body {n}");
            let reply = guest.request("echo.a", &body, 20_000).await.expect("a reply");
            assert_eq!(reply.body, body.to_uppercase());
        }
    });
    futures::future::join_all(requests).await;
    for _ in 0..50 {
        assert_eq!(all.next().await.subject, "echo.a", "replies are heard by nobody else");
    }
    // A sender may name a subject of its own for replies.
    let mut own = bed.ear("app-own", "replies.mine").await;
    guest.publish_with("echo.b", "hi", Some("replies.mine")).await.expect("published");
    assert_eq!(own.says().await.1, "HI");
}

async fn a_request_without_an_answer_fails_typed(bed: &Bed) {
    let guest = bed.guest("app-guest");
    let error = guest.request("nobody.there", "", 60_000).await.expect_err("nobody subscribes");
    assert!(error.contains("UM1143") && error.contains("nobody.there"), "{error}");
    let mut ear = bed.ear("app-ear", "slow").await;
    let error = guest.request("slow", "", 20).await.expect_err("nobody replies");
    assert!(error.contains("UM1144"), "{error}");
    let heard = ear.next().await;
    let late = heard.reply_to.expect("a reply-to");
    guest.publish(&late, "too late").await.expect("a late reply goes nowhere");
    let error = guest.request("slow", "", 0).await.expect_err("no time at all");
    assert!(error.contains("UM1144"), "{error}");
}

async fn sizes(bed: &Bed) {
    let mut ear = bed.ear("app-ear", "s").await;
    let guest = bed.guest_with("app-guest", &[("message_bytes_max", "1000")]);
    for size in [0, 1, 1_000] {
        guest.publish("s", vec![b'x'; size]).await.expect("within the limit");
        assert_eq!(ear.next().await.body.len(), size);
    }
    let error = guest.publish("s", vec![b'x'; 1_001]).await.expect_err("beyond the limit");
    assert!(error.contains("UM1142") && error.contains("1001") && error.contains("1000"), "{error}");
    let error = guest.request("s", &"x".repeat(1_001), 60_000).await.expect_err("beyond the limit");
    assert!(error.contains("UM1142"), "{error}");
    let unlimited = bed.guest("app-other");
    unlimited.publish("s", vec![b'x'; 1 << 20]).await.expect("1 MiB unless said");
    assert_eq!(ear.next().await.body.len(), 1 << 20);
    assert!(unlimited.publish("s", vec![b'x'; (1 << 20) + 1]).await.is_err());
    assert!(ear.is_silent());
}

async fn bad_subjects_hurt_nobody(bed: &Bed) {
    let mut ear = bed.ear("app-ear", ">").await;
    let guest = bed.guest("app-guest");
    let long = "a".repeat(10_000);
    for subject in ["", ".", "a.", "a..b", "a b", "a\0b", "a\n", "*", "a.*", ">", "a.>", "a*", &long] {
        let error = guest.publish(subject, "x").await.expect_err("not a subject");
        assert!(error.contains("UM1141"), "{subject:?}: {error}");
        let error = guest.request(subject, "x", 60_000).await.expect_err("not a subject");
        assert!(error.contains("UM1141"), "{subject:?}: {error}");
        let error = guest.publish_with("good", "x", Some(subject)).await.expect_err("nowhere to reply to");
        assert!(error.contains("UM1141"), "{subject:?}: {error}");
    }
    guest.publish("🌱.grüße", "x").await.expect("any letters make a word");
    assert_eq!(ear.says().await.0, "🌱.grüße", "and nothing of the others was sent");
}

async fn applications_do_not_hear_one_another(bed: &Bed) {
    let mut chat = bed.ear("chat-ear", ">").await;
    let mut shop = bed.ear("shop-ear", ">").await;
    let mut loose = bed.ear("ear", ">").await;
    bed.guest("chat-guest").publish("hello", "chat").await.expect("published");
    bed.guest("guest").publish("hello", "loose").await.expect("published");
    let error = bed.guest("game-guest").request("hello", "", 60_000).await.expect_err("nobody in there");
    assert!(error.contains("UM1143"), "{error}");
    assert_eq!(chat.says().await.1, "chat");
    assert_eq!(loose.says().await.1, "loose");
    assert!(chat.is_silent() && shop.is_silent() && loose.is_silent());
    // Unless both sides say that they share a space.
    let mut chat = bed.ear_with("chat-shared", &[("subscriptions", "s"), ("space", "town")]).await;
    bed.guest_with("shop-guest", &[("space", "town")]).publish("s", "hi").await.expect("published");
    assert_eq!(chat.says().await.1, "hi");
    bed.guest("chat-guest").publish("s", "not shared").await.expect("published");
    bed.guest_with("shop-guest", &[("space", "town")]).publish("s", "shared").await.expect("published");
    assert_eq!(chat.says().await.1, "shared");
}

async fn links_come_change_and_go(bed: &Bed) {
    let guest = bed.guest("app-guest");
    let mut ear = bed.ear("app-ear", "a").await;
    guest.publish("a", "1").await.expect("published");
    assert_eq!(ear.says().await.1, "1");
    // The same link again is the same link.
    let same = link_to("app-ear", handler(), &[("subscriptions", "a")]);
    bed.provider.put_link(same.clone()).await.expect("idempotent");
    guest.publish("a", "2").await.expect("published");
    assert_eq!(ear.says().await.1, "2");
    // It subscribes to something else now.
    let other = link_to("app-ear", handler(), &[("subscriptions", "b")]);
    bed.provider.put_link(other.clone()).await.expect("changed");
    guest.publish("a", "3").await.expect("published");
    guest.publish("b", "4").await.expect("published");
    assert_eq!(ear.says().await, ("b".into(), "4".into()));
    // A wrong change changes nothing.
    let wrong = link_to("app-ear", handler(), &[("subscriptions", "a..b")]);
    bed.provider.put_link(wrong).await.expect_err("not a subject");
    guest.publish("b", "5").await.expect("published");
    assert_eq!(ear.says().await.1, "5");
    for _ in 0..2 {
        bed.provider.del_link(&other.link.key()).await.expect("gone, also a second time");
    }
    let error = guest.request("b", "", 60_000).await.expect_err("nobody subscribes any more");
    assert!(error.contains("UM1143"), "{error}");
    assert!(ear.is_silent());
}

async fn links_that_make_no_sense_are_refused(bed: &Bed) {
    use umbel_core::link::Contract;
    let good = [("subscriptions", "a")];
    for (contract, config, code) in [
        (Contract::new("wasi", "http", &["incoming-handler"]), &good[..], "UM1147"),
        (Contract::new("wasmcloud", "messaging", &["consumer"]), &good, "UM1147"),
        (handler(), &[], "UM1140"),
        (handler(), &[("subscriptions", " , ")], "UM1140"),
        (handler(), &[("subscription", "a")], "UM1140"),
        (handler(), &[("subscriptions", "a b")], "UM1141"),
        (handler(), &[("subscriptions", ">.a")], "UM1141"),
    ] {
        let problem = bed.provider.put_link(link_to("app-x", contract, config)).await.expect_err("refused");
        assert_eq!(problem.code.to_string(), code, "{problem}");
        assert!(!problem.help.is_empty());
    }
    let mut from = link_to("messaging", Contract::new("wasi", "keyvalue", &["store"]), &[]);
    from.link.source_id = "app-x".into();
    assert_eq!(bed.provider.put_link(from.clone()).await.expect_err("refused").code.to_string(), "UM1147");
    from.link.contract = Contract::new("wasmcloud", "messaging", &["consumer"]);
    bed.provider.put_link(from).await.expect("a component that publishes");
}

async fn a_failing_subscriber_hurts_nobody(bed: &Bed) {
    let config = &[("subscriptions", "s"), ("handle_timeout_ms", "50")];
    let never = export(|_| async { std::future::pending().await });
    bed.subscribe("app-never", config, never).await;
    let panics = export(|_| async { panic!("a fault of the test's component") });
    bed.subscribe("app-panics", config, panics).await;
    let refuses = export(|_| async { Ok(Some(Value::err("no".into()))) });
    bed.subscribe("app-refuses", config, refuses).await;
    bed.provider.put_link(link_to("app-absent", handler(), config)).await.expect("it may come later");
    let mut ear = bed.ear("app-ear", "s").await;
    let guest = bed.guest("app-guest");
    for n in 0..20 {
        guest.publish("s", format!("{n}")).await.expect("published");
        ear.next().await;
    }
    // One that was cut or broke is called again with the next message.
    let calls = Arc::new(Mutex::new(0));
    let counted = calls.clone();
    let answers = export(move |_| {
        *counted.lock().expect("not poisoned") += 1;
        async { Ok(Some(Value::unit())) }
    });
    bed.set("app-panics", "wasmcloud:messaging/handler", answers);
    guest.publish("s", "again").await.expect("published");
    wait_for("the component is called again", || *calls.lock().expect("not poisoned") > 0).await;
}

/// A component with an `incoming-handler` that replies twice, with what it was told.
async fn echo_twice(bed: &Bed) {
    let guest = bed.guest("app-echo");
    let echo = export(move |mut call| {
        let guest = guest.clone();
        async move {
            let message = resource(call.args.remove(0));
            let words = guest.data(&message).await;
            for n in 1..=2 {
                let reply = guest.message(&format!("{words} {n}")).await;
                let args = vec![Value::Borrow(message.clone()), Value::Own(reply)];
                let replied = guest.wasi("request-reply", "reply", args).await;
                assert!(matches!(replied, Ok(Some(Value::Result(Ok(None))))), "{replied:?}");
            }
            Ok(Some(Value::unit()))
        }
    });
    bed.set("app-echo", "wasi:messaging/incoming-handler", echo);
    let link = link_to("app-echo", incoming(), &[("subscriptions", "echo")]);
    bed.provider.put_link(link).await.expect("a good link");
}

async fn send(guest: &Guest, client: &Resource, topic: &str, message: Resource) -> Result<(), Value> {
    let args = vec![Value::Borrow(client.clone()), topic.into(), Value::Own(message)];
    match guest.wasi("producer", "send", args).await.expect("no trap") {
        Some(Value::Result(Ok(None))) => Ok(()),
        Some(Value::Result(Err(Some(error)))) => Err(*error),
        other => panic!("send gives no {other:?}"),
    }
}

/// The case of an `error`, and its words.
fn case(error: Value) -> (u32, String) {
    match error {
        Value::Variant(case, payload) => (case, payload.map(|words| text(*words)).unwrap_or_default()),
        other => panic!("not an error: {other:?}"),
    }
}

async fn messages_as_resources(bed: &Bed) {
    let (heard, mut messages) = tokio::sync::mpsc::channel(8);
    let keeps = export(move |mut call| {
        heard.try_send(resource(call.args.remove(0))).expect("the test listens");
        async { Ok(Some(Value::unit())) }
    });
    bed.set("app-keeps", "wasi:messaging/incoming-handler", keeps);
    bed.provider
        .put_link(link_to("app-keeps", incoming(), &[("subscriptions", "topic.*")]))
        .await
        .expect("a good link");
    let mut ear = bed.ear("app-ear", "topic.*").await;
    let guest = bed.guest("app-guest");
    let client = guest.connect().await;
    let message = guest.message("first").await;
    assert!(matches!(guest.on(&message, "topic", vec![]).await, Some(Value::Option(None))));
    assert!(matches!(guest.on(&message, "metadata", vec![]).await, Some(Value::Option(None))));
    guest.on(&message, "set-data", vec![Value::bytes("second")]).await;
    guest.on(&message, "set-content-type", vec!["text/plain".into()]).await;
    let metadata = Value::List(vec![Value::Tuple(vec!["a".into(), "1".into()])]);
    guest.on(&message, "set-metadata", vec![metadata]).await;
    guest.on(&message, "add-metadata", vec!["b".into(), "2".into()]).await;
    guest.on(&message, "add-metadata", vec!["b".into(), "3".into()]).await;
    guest.on(&message, "remove-metadata", vec!["a".into()]).await;
    send(&guest, &client, "topic.x", message).await.expect("sent");
    // One of wasmcloud:messaging hears the same body.
    assert_eq!(ear.says().await, ("topic.x".into(), "second".into()));
    let got = messages.recv().await.expect("delivered");
    assert_eq!(guest.data(&got).await, "second");
    let some = |value: Option<Value>| match value {
        Some(Value::Option(Some(value))) => *value,
        other => panic!("nothing there: {other:?}"),
    };
    assert_eq!(text(some(guest.on(&got, "topic", vec![]).await)), "topic.x");
    assert_eq!(text(some(guest.on(&got, "content-type", vec![]).await)), "text/plain");
    assert_eq!(
        format!("{:?}", some(guest.on(&got, "metadata", vec![]).await)),
        r#"List([Tuple([String("b"), String("3")])])"#
    );
    // A message that nobody waits for an answer to may be replied to all the same.
    let args = vec![Value::Borrow(got), Value::Own(guest.message("unheard").await)];
    assert!(matches!(guest.wasi("request-reply", "reply", args).await, Ok(Some(Value::Result(Ok(None))))));
    let (which, words) =
        case(send(&guest, &client, "a..b", guest.message("").await).await.expect_err("refused"));
    assert!(which == 3 && words.contains("UM1141"), "{words}");
    let disconnect =
        guest.wasi("types", "[method]client.disconnect", vec![Value::Borrow(client.clone())]).await;
    assert!(matches!(disconnect, Ok(Some(Value::Result(Ok(None))))));
    let (which, words) =
        case(send(&guest, &client, "topic.x", guest.message("").await).await.expect_err("refused"));
    assert!(which == 1 && words.contains("UM1148"), "{words}");
    let args = vec![Value::Borrow(guest.message("").await), "x".into(), Value::Own(guest.message("").await)];
    let problem = guest.wasi("producer", "send", args).await.expect_err("a message is no client");
    assert_eq!(problem.code.to_string(), "UM0570");
}

async fn requests_with_several_replies(bed: &Bed) {
    echo_twice(bed).await;
    let guest = bed.guest("app-guest");
    let client = guest.connect().await;
    let request = async |topic: &str, timeout_ms: Option<u32>, replies: Option<u32>| {
        let made = guest.wasi("request-reply", "[constructor]request-options", vec![]).await;
        let options = resource(made.expect("no trap").expect("options"));
        for (method, value) in [("set-timeout-ms", timeout_ms), ("set-expected-replies", replies)] {
            let Some(value) = value else { continue };
            let args = vec![Value::Borrow(options.clone()), value.into()];
            let method = format!("[method]request-options.{method}");
            guest.wasi("request-reply", &method, args).await.expect("no trap");
        }
        let message = guest.message("hi").await;
        let args = vec![
            Value::Borrow(client.clone()),
            topic.into(),
            Value::Borrow(message),
            Value::some(Value::Own(options)),
        ];
        let answer = guest.wasi("request-reply", "request", args).await.expect("no trap");
        let replies = match answer {
            Some(Value::Result(Ok(Some(replies)))) => *replies,
            Some(Value::Result(Err(Some(error)))) => return Err(case(*error)),
            other => panic!("request gives no {other:?}"),
        };
        let Value::List(replies) = replies else { panic!("not a list: {replies:?}") };
        let mut words = Vec::new();
        for reply in replies {
            words.push(guest.data(&resource(reply)).await);
        }
        Ok(words)
    };
    assert_eq!(request("echo", None, None).await, Ok(vec!["hi 1".into()]), "one unless said");
    let both = Ok(vec!["hi 1".to_string(), "hi 2".to_string()]);
    assert_eq!(request("echo", Some(20_000), Some(2)).await, both);
    assert_eq!(request("echo", Some(500), Some(3)).await, both, "what has come until the deadline");
    let (which, words) = request("nobody", None, None).await.expect_err("nobody subscribes");
    assert!(which == 3 && words.contains("UM1143"), "{words}");
    let _ear = bed.ear("app-ear", "silent").await;
    assert_eq!(request("silent", Some(20), None).await, Err((0, String::new())), "the case `timeout`");
    // A component of the other contract is asked and answered as well.
    assert_eq!(guest.request("echo", "you", 20_000).await.expect("a reply").body, "you 1");
}

async fn after_the_end_nothing_is_taken(bed: &Bed) {
    let mut ear = bed.ear("app-ear", "s").await;
    let guest = bed.guest("app-guest");
    guest.publish("s", "last").await.expect("published");
    bed.provider.stop(super::bed::PATIENCE).await;
    assert_eq!(ear.says().await.1, "last", "what was taken is delivered");
    let error = guest.publish("s", "late").await.expect_err("it has stopped");
    assert!(error.contains("UM1153"), "{error}");
    let link = link_to("app-ear", handler(), &[("subscriptions", "s")]);
    assert_eq!(bed.provider.put_link(link).await.expect_err("it has stopped").code.to_string(), "UM1153");
}
