//! Connections that break, servers that die, messages that go nowhere.

use super::{SOON, connected, soon};
use crate::bed::nats;
use bytes::Bytes;
use std::time::{Duration, Instant};
use umbel_core::Coded;
use umbel_core::code::lattice as code;
use umbel_lattice::{Lattice, LatticeError, Message};
use umbel_testkit::proxy::{Proxy, Way};
use umbel_testkit::{NatsServer, wait_for};

async fn behind_proxy() -> (NatsServer, Proxy) {
    let server = NatsServer::start("").expect("a nats-server");
    let proxy = Proxy::start(server.address()).await.expect("a proxy");
    (server, proxy)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_there_is_no_connection_everything_fails_at_once_and_then_goes_on() {
    let (server, proxy) = behind_proxy().await;
    let (far, near) = (nats(&proxy.url()).await, nats(&server.url()).await);
    let mut heard = far.subscribe("told.>").await.expect("subscribe");
    let bucket = far.bucket("b").await.expect("a bucket");
    bucket.put("k", "before".into()).await.expect("put");
    proxy.part();
    wait_for("the loss", || !far.is_connected()).await;
    assert_eq!(far.losses(), 1);
    let asked = Instant::now();
    for error in [
        far.publish(Message::new("told.x", "lost")).await.expect_err("publish"),
        far.request("told.x", Bytes::new(), SOON).await.expect_err("request"),
        far.request_all("told.x", Bytes::new(), SOON).await.map(|_| ()).expect_err("request_all"),
        far.subscribe("told.y").await.map(|_| ()).expect_err("subscribe"),
        bucket.put("k", "lost".into()).await.map(|_| ()).expect_err("put"),
        bucket.get("k").await.map(|_| ()).expect_err("get"),
        bucket.entries("").await.map(|_| ()).expect_err("entries"),
        bucket.watch("").await.map(|_| ()).expect_err("watch"),
    ] {
        assert_eq!(error.code(), code::DISCONNECTED, "{error}");
    }
    assert!(asked.elapsed() < SOON / 2, "something waited");
    // Nobody subscribes there for the others either.
    near.publish(Message::new("told.x", "missed")).await.expect("publish");
    proxy.heal();
    wait_for("the connection", || far.is_connected()).await;
    let entry = connected(|| bucket.get("k")).await.expect("an entry");
    assert_eq!(entry.value, "before");
    // The subscription is there again without anybody doing anything.
    soon("the subscription", async {
        loop {
            near.publish(Message::new("told.x", "again")).await.expect("publish");
            if let Ok(message) = tokio::time::timeout(Duration::from_millis(50), heard.next()).await {
                return assert_eq!(message.expect("it goes on").payload, "again");
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_under_way_when_the_connection_breaks_fails_then() {
    let (server, proxy) = behind_proxy().await;
    let (far, near) = (nats(&proxy.url()).await, nats(&server.url()).await);
    let mut silent = near.subscribe("silence").await.expect("subscribe");
    let asking = far.request("silence", Bytes::new(), 100 * SOON);
    let cutting = async {
        soon("the request", silent.next()).await.expect("it came");
        proxy.cut();
    };
    let (answer, ()) = soon("the end", futures::future::join(asking, cutting)).await;
    let error = answer.expect_err("nobody answered");
    assert!(matches!(error, LatticeError::Disconnected { .. }), "{error}");
    wait_for("the next connection", || far.is_connected()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hole_in_one_direction_costs_the_deadline_and_is_noticed() {
    for up in [true, false] {
        let (server, proxy) = behind_proxy().await;
        let (far, near) = (nats(&proxy.url()).await, nats(&server.url()).await);
        let mut echo = near.subscribe("echo").await.expect("subscribe");
        let answering = async {
            while let Some(request) = echo.next().await {
                near.respond(&request, "back".into()).await.expect("respond");
            }
        };
        let asking = async {
            far.request("echo", Bytes::new(), SOON).await.expect("an answer");
            proxy.set(|faults| if up { faults.up = Way::Hole } else { faults.down = Way::Hole });
            let short = Duration::from_millis(200);
            let error = soon("the deadline", far.request("echo", Bytes::new(), short)).await;
            let error = error.expect_err("it cannot come");
            assert!(matches!(error, LatticeError::Timeout { after, .. } if after == short), "{error}");
            // Nobody says that the connection is dead; whoever asks in vain finds out.
            wait_for("the loss", || far.losses() == 1).await;
            proxy.heal();
            connected(|| far.request("echo", Bytes::new(), SOON)).await
        };
        let answer = tokio::select! {
            () = answering => unreachable!("it goes on"),
            answer = asking => answer,
        };
        assert_eq!(answer.payload, "back");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_connection_is_slow_and_nothing_else() {
    let (server, proxy) = behind_proxy().await;
    let (far, near) = (nats(&proxy.url()).await, nats(&server.url()).await);
    proxy.set(|faults| {
        faults.up = Way::Slow(Duration::from_millis(20));
        faults.down = Way::Slow(Duration::from_millis(20));
    });
    let mut all = far.subscribe("all").await.expect("subscribe");
    for number in 0..500 {
        near.publish(Message::new("all", number.to_string())).await.expect("publish");
    }
    for number in 0..500 {
        let message = soon("a message", all.next()).await.expect("it goes on");
        assert_eq!(message.payload, number.to_string());
    }
    let bucket = far.bucket("b").await.expect("a bucket");
    let revision = bucket.put("k", "v".into()).await.expect("put");
    assert_eq!(bucket.get("k").await.expect("get").expect("an entry").revision, revision);
    assert_eq!((far.losses(), all.lost()), (0, 0));
}

/// Writers whose server dies again and again: whatever was acknowledged is there, at a revision at least as new.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_has_every_write_that_it_acknowledged() {
    const WRITERS: usize = 4;
    let mut server = NatsServer::start("").expect("a nats-server");
    let url = server.url();
    let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let (url, done) = (url.clone(), done.clone());
        writers.spawn(async move {
            let lattice = nats(&url).await;
            let bucket = lattice.bucket("b").await.expect("a bucket");
            let key = format!("k{writer}");
            let (mut acked, mut count) = (0, 0_u64);
            while !done.load(std::sync::atomic::Ordering::SeqCst) {
                count += 1;
                match bucket.put(&key, count.to_string().into()).await {
                    Ok(_) => acked = count,
                    Err(error) => {
                        let kind = error.code().entry().kind;
                        use umbel_core::error::Kind;
                        assert!(
                            matches!(kind, Kind::Unavailable | Kind::Timeout | Kind::Exhausted),
                            "{error}"
                        );
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                }
            }
            (key, acked, count)
        });
    }
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        server.kill();
        server = tokio::task::spawn_blocking(move || {
            server.again().expect("it starts again");
            server
        })
        .await
        .expect("no panic");
    }
    let reader = nats(&url).await;
    let bucket = reader.bucket("b").await.expect("a bucket");
    done.store(true, std::sync::atomic::Ordering::SeqCst);
    for (key, acked, tried) in soon("the writers", writers.join_all()).await {
        let entry = bucket.get(&key).await.expect("get").expect("an entry");
        let found: u64 = std::str::from_utf8(&entry.value).expect("text").parse().expect("a number");
        assert!(
            acked > 0 && acked <= found && found <= tried,
            "{key}: {acked} acked, {found} found, {tried} tried"
        );
    }
}
