//! The lattice over a unix socket: the contract of messages, and what a process may not do.

use crate::bed::{Bed, spawn};
use async_trait::async_trait;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use umbel_core::Coded;
use umbel_core::code::wire;
use umbel_core::id::{LatticeName, ProviderId};
use umbel_lattice::contract::{Factory, messages};
use umbel_lattice::unix::{Door, DoorSpec, Open, ProviderRules, Token, connect};
use umbel_lattice::{Lattice, LatticeError, Message, SubscribeOptions};

const SOON: Duration = Duration::from_secs(20);

/// Processes with a host each, which goes on as long as the test does.
#[derive(Default)]
struct Processes(Mutex<Vec<(Bed, Door)>>);

#[async_trait]
impl Factory for Processes {
    async fn fresh(&self) -> Arc<dyn Lattice> {
        let bed = Bed::new();
        let (unix, door) = bed.open("process").await;
        self.0.lock().expect("nobody panicked").push((bed, door));
        unix
    }

    async fn reopen(&self, _: Arc<dyn Lattice>) -> Arc<dyn Lattice> {
        unreachable!("a process has no state of its own")
    }
}

macro_rules! contract_of_messages {
    ($($check:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $check() {
            messages::$check(&Processes::default()).await;
        }
    )*};
}

// All but `closing_ends_everything`, which opens a bucket; its promises about messages are below.
contract_of_messages! {
    publish_reaches_everybody_who_matches
    order_is_kept
    headers_and_reply_arrive
    a_group_gets_each_message_once
    groups_and_others_do_not_share
    leaving_is_at_once
    a_request_is_answered
    the_first_answer_counts
    many_requests_do_not_mix
    no_responders_is_said_at_once
    an_observer_does_not_make_a_request_hang
    a_silent_responder_is_a_timeout
    request_all_gathers
    a_slow_subscriber_loses_the_newest_and_counts
    bad_subjects_are_refused
    what_is_too_large_is_refused
    thousands_of_subscriptions_work
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, what).await.expect("it takes too long")
}

#[tokio::test]
async fn a_closed_connection_ends_what_waits_on_it() {
    let bed = Bed::new();
    let (unix, door) = bed.open("process").await;
    let mut subscription = unix.subscribe("x").await.expect("subscribe");
    soon(unix.close()).await;
    assert_eq!(soon(subscription.next()).await, None);
    assert!(matches!(unix.publish(Message::new("x", "")).await, Err(LatticeError::Closed)));
    assert!(matches!(unix.subscribe("x").await, Err(LatticeError::Closed)));
    assert_eq!(soon(door.closed()).await.code, wire::CONNECTION_LOST);

    let (unix, door) = bed.open("process").await;
    let mut subscription = unix.subscribe("x").await.expect("subscribe");
    drop(door);
    assert_eq!(soon(subscription.next()).await, None, "the host ends it too");
    assert_eq!(unix.over().expect("it is over").code, wire::CONNECTION_LOST);
}

#[tokio::test]
async fn host_and_process_hear_one_another() {
    let bed = Bed::new();
    let (unix, door) = bed.open("process").await;
    let mut here = unix.subscribe("to.process").await.expect("subscribe");
    let mut there = bed.lattice.subscribe("to.host").await.expect("subscribe");
    let big = vec![7; 3 << 20];
    bed.lattice.publish(Message::new("to.process", big.clone())).await.expect("publish");
    assert_eq!(soon(here.next()).await.expect("a message").payload, big);
    unix.publish(Message::new("to.host", big.clone())).await.expect("publish");
    assert_eq!(soon(there.next()).await.expect("a message").payload, big);
    assert_eq!((door.stats().delivered, door.stats().published), (1, 1));
}

#[tokio::test]
async fn buckets_are_not_offered() {
    let bed = Bed::new();
    let (unix, _door) = bed.open("process").await;
    let error = unix.bucket("LATTICEDATA_default").await.expect_err("no bucket");
    assert_eq!(error.code(), wire::NO_BUCKETS);
}

#[tokio::test]
async fn a_process_comes_back_to_another_host_with_the_token_it_had() {
    let first = Bed::new();
    let (door, token) = first.gate.expect(DoorSpec { id: "kv".into(), confine: Arc::new(Open) });
    let before = connect(first.gate.path(), "kv", token.reveal(), &spawn()).await.expect("it connects");
    drop(door);
    let kept = Token::kept(token.reveal()).expect("a token");
    assert!(Token::kept("f00").is_none() && Token::kept(&"x".repeat(64)).is_none(), "no tokens");
    let second = Bed::new();
    let door = second.gate.expect_again(DoorSpec { id: "kv".into(), confine: Arc::new(Open) }, kept);
    let again = connect(second.gate.path(), "kv", token.reveal(), &spawn()).await.expect("it comes back");
    soon(door.connected()).await.expect("it is the one");
    let mut here = again.subscribe("to.process").await.expect("subscribe");
    second.lattice.publish(Message::new("to.process", "x")).await.expect("publish");
    assert_eq!(soon(here.next()).await.expect("a message").payload, "x");
    let mut ended = before.subscribe("x").await.err();
    while ended.is_none() {
        ended = before.subscribe("x").await.err();
    }
    let problem = connect(second.gate.path(), "kv", token.reveal(), &spawn()).await.expect_err("once more");
    assert_eq!(problem.code, wire::HELLO_REFUSED);
}

#[tokio::test]
async fn a_token_is_good_for_one_connection_of_its_id() {
    let bed = Bed::new();
    let (_door, token) = bed.gate.expect(DoorSpec { id: "kv".into(), confine: Arc::new(Open) });
    let path = bed.gate.path();
    for (id, token) in [("kv", "wrong"), ("other", token.reveal()), ("kv", "")] {
        let problem = connect(path, id, token, &spawn()).await.expect_err("a stranger");
        assert_eq!(problem.code, wire::HELLO_REFUSED, "{problem}");
    }
    connect(path, "kv", token.reveal(), &spawn()).await.expect("the right one");
    let problem = connect(path, "kv", token.reveal(), &spawn()).await.expect_err("once more");
    assert_eq!(problem.code, wire::HELLO_REFUSED);
    assert!(!format!("{token:?}").contains(token.reveal()), "it is not shown");
}

#[tokio::test]
async fn another_version_and_rubbish_are_refused_with_a_code() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let bed = Bed::new();
    let (_door, token) = bed.gate.expect(DoorSpec { id: "kv".into(), confine: Arc::new(Open) });
    let text = |text: &str| [&[u8::try_from(text.len()).expect("short")][..], text.as_bytes()].concat();
    let hello = [&[1][..], &text("umbel-lattice"), &[9], &text("kv"), &text(token.reveal())].concat();
    let frame = |body: &[u8]| [&u32::try_from(body.len()).expect("short").to_le_bytes()[..], body].concat();
    let cases: [(&str, Vec<u8>); 5] = [
        ("UM0637", frame(&hello)),
        ("UM0638", frame(b"GET / HTTP/1.1")),
        ("UM0630", vec![255; 64]),
        ("UM0630", frame(b"")),
        ("UM0638", frame(&[4, 1])),
    ];
    for (code, bytes) in cases {
        let mut stream = tokio::net::UnixStream::connect(bed.gate.path()).await.expect("a connection");
        stream.write_all(&bytes).await.expect("written");
        let mut answer = Vec::new();
        // A connection that is closed with bytes unread is reset after its last answer.
        let _ = soon(stream.read_to_end(&mut answer)).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.contains(code), "{code}: {answer}");
    }
}

#[tokio::test]
async fn a_provider_hears_and_says_what_it_may() {
    let bed = Bed::new();
    let name = LatticeName::new("default").expect("a name");
    let id = ProviderId::new("kv").expect("an id");
    let rules = ProviderRules::new(&name, &id, Arc::new(|component| component == "mine"));
    let (unix, door) = bed.process("kv", Arc::new(rules)).await;

    let error = unix.subscribe("default.>").await.expect_err("what is sent to others");
    assert_eq!(error.code(), wire::SUBJECT_DENIED);
    let mut own = unix.subscribe("default.kv.wrpc.0.0.1.>").await.expect("its own");
    assert_eq!(door.stats().denied, 1);

    let mut mine = bed.lattice.subscribe("default.mine.>").await.expect("subscribe");
    let mut events = bed.lattice.subscribe("wasmbus.>").await.expect("subscribe");
    let mut inboxes = bed.lattice.subscribe("_INBOX.>").await.expect("subscribe");
    let call = |subject: &str, source: &str| Message::new(subject, "").with_header("source-id", source);
    for (refused, message) in [
        ("an event", Message::new("wasmbus.evt.default.host_stopped", "")),
        ("a forged source", call("default.mine.wrpc.0.0.1.a:b/c.f", "somebody")),
        ("no link", call("default.theirs.wrpc.0.0.1.a:b/c.f", "kv")),
        ("an inbox where nobody asked it", Message::new("_INBOX.default.1", "")),
    ] {
        unix.publish(message).await.expect(refused);
    }
    unix.publish(call("default.mine.wrpc.0.0.1.a:b/c.f", "kv")).await.expect("publish");
    let first = soon(mine.next()).await.expect("a message");
    assert_eq!(first.headers.get("source-id"), Some("kv"), "the forged one did not come before it");
    assert!(events.try_next().is_none() && inboxes.try_next().is_none());
    assert_eq!(door.stats().denied, 5);

    // Where it was asked it may answer, and below.
    let asked = Message::new("default.kv.wrpc.0.0.1.a:b/c.f", "").with_reply("_INBOX.default.77");
    bed.lattice.publish(asked).await.expect("publish");
    soon(own.next()).await.expect("the request");
    for subject in ["_INBOX.default.77", "_INBOX.default.77.results", "_INBOX.default.777"] {
        unix.publish(Message::new(subject, "")).await.expect("publish");
    }
    assert_eq!(soon(inboxes.next()).await.expect("an answer").subject, "_INBOX.default.77");
    assert_eq!(soon(inboxes.next()).await.expect("an answer").subject, "_INBOX.default.77.results");
    let error = unix.request("default.theirs.wrpc.0.0.1.x", "".into(), SOON).await.expect_err("denied");
    assert_eq!(error.code(), wire::SUBJECT_DENIED);
    assert_eq!(door.stats().denied, 7);
}

#[tokio::test]
async fn a_process_that_does_not_read_is_sent_away() {
    let bed = Bed::new();
    let (door, token) = bed.gate.expect(DoorSpec { id: "kv".into(), confine: Arc::new(Open) });
    // Its tasks are never run, so it reads nothing more once the handshake is over.
    let deaf: umbel_lattice::Spawn = Arc::new(drop);
    let path = bed.gate.path().to_path_buf();
    let connecting = async { connect(&path, "kv", token.reveal(), &deaf).await };
    let fill = async {
        door.connected().await.expect("it says hello");
        let mut subscribed = false;
        loop {
            // The subscription of its requests is in force soon.
            let message = Message::new(format!("{}.r.1", "_INBOX.default.1"), vec![0; 1 << 20]);
            match bed.lattice.publish_request(message).await {
                Ok(()) => subscribed = true,
                Err(_) if subscribed => return,
                Err(_) => {}
            }
            if !door.is_connected() {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    // Not dropped before the end: that would close the connection from the other side.
    tokio::pin!(connecting);
    let why = soon(async {
        tokio::select! {
            _ = &mut connecting => unreachable!("nobody reads the answer"),
            () = fill => door.closed().await,
        }
    })
    .await;
    assert_eq!(why.code, wire::PEER_SLOW, "{why}");
}

#[tokio::test]
async fn a_group_passes_over_a_process_that_has_ended() {
    let bed = Bed::new();
    let (one, one_door) = bed.open("one").await;
    let (two, _two_door) = bed.open("two").await;
    let options = || SubscribeOptions { group: Some("g".into()), ..SubscribeOptions::default() };
    let _gone = one.subscribe_with("work", options()).await.expect("subscribe");
    let mut stays = two.subscribe_with("work", options()).await.expect("subscribe");
    drop(one_door);
    soon(async {
        for _ in 0..10 {
            bed.lattice.publish(Message::new("work", "")).await.expect("publish");
            while tokio::time::timeout(Duration::from_millis(50), stays.next()).await.is_err() {
                bed.lattice.publish(Message::new("work", "")).await.expect("publish");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn two_processes_of_one_provider_hear_what_is_meant_for_each() {
    let bed = Bed::new();
    let name = LatticeName::new("default").expect("a name");
    let id = ProviderId::new("kv").expect("an id");
    let mut doors = Vec::new();
    for address in ["kv", "kv/2"] {
        let rules = ProviderRules::new(&name, &id, Arc::new(|_| false)).at(address);
        let (process, door) = bed.process("kv", Arc::new(rules)).await;
        let group = SubscribeOptions { group: Some("default.kv".into()), ..SubscribeOptions::default() };
        // Each asks for what is its own under the one id.
        let mut calls = process.subscribe_with("default.kv.wrpc.0.0.1.>", group).await.expect("its own");
        let mut health = process.subscribe("wasmbus.rpc.default.kv.health").await.expect("its own");
        (spawn())(Box::pin(async move {
            loop {
                let message = tokio::select! {
                    message = calls.next() => message,
                    message = health.next() => message,
                };
                let Some(message) = message else { return };
                assert!(!message.subject.contains("kv/2"), "{}", message.subject);
                process.respond(&message, address.into()).await.expect("an answer");
            }
        }));
        doors.push(door);
    }
    for _ in 0..20 {
        for address in ["kv", "kv/2"] {
            for subject in [
                format!("default.{address}.wrpc.0.0.1.a:b/c.f"),
                format!("wasmbus.rpc.default.{address}.health"),
            ] {
                let answer = bed.lattice.request(&subject, "".into(), SOON).await.expect("an answer");
                assert_eq!(answer.payload, address, "{subject}");
            }
        }
    }
}
