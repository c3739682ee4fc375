//! Watches over connections that break.

use super::{connected, event, soon};
use crate::bed::nats;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use umbel_lattice::{Bucket, Lattice, LatticeError, Watch, WatchEvent};
use umbel_testkit::{NatsServer, Proxy};

/// What a watch adds up to; revisions only grow, and the marker comes once.
#[derive(Default)]
struct Seen {
    there: BTreeMap<String, u64>,
    last: u64,
    markers: usize,
}

impl Seen {
    async fn follow(&mut self, watch: &mut Watch, until: u64) {
        while self.last < until || self.markers == 0 {
            let event = event(watch).await;
            if let Some(revision) = event.revision() {
                assert!(revision > self.last, "{revision} was shown after {}", self.last);
                self.last = revision;
            }
            match event {
                WatchEvent::Put(entry) => drop(self.there.insert(entry.key, entry.revision)),
                WatchEvent::Delete { key, .. } => drop(self.there.remove(&key)),
                WatchEvent::InSync => self.markers += 1,
            }
        }
        assert_eq!(self.markers, 1);
    }
}

async fn what_is_there(bucket: &Arc<dyn Bucket>) -> BTreeMap<String, u64> {
    let entries = bucket.entries("").await.expect("entries");
    entries.into_iter().map(|entry| (entry.key, entry.revision)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_goes_on_over_cuts_and_shows_nothing_twice_or_out_of_order() {
    let server = NatsServer::start("").expect("a nats-server");
    let proxy = Proxy::start(server.address()).await.expect("a proxy");
    let (far, near) = (nats(&proxy.url()).await, nats(&server.url()).await);
    let bucket = near.bucket("b").await.expect("a bucket");
    for i in 0..200 {
        bucket.put(&format!("k{i}"), "first".into()).await.expect("put");
    }
    let mut watch = far.bucket("b").await.expect("a bucket").watch("").await.expect("watch");
    let done = AtomicBool::new(false);
    let cutting = async {
        while !done.load(Ordering::SeqCst) {
            proxy.cut();
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
    };
    let writing = async {
        for i in 0..600_u32 {
            let key = format!("k{}", i * 7 % 40);
            if i % 5 == 4 {
                bucket.delete(&key, None).await.expect("delete");
            } else {
                bucket.put(&key, i.to_string().into()).await.expect("put");
            }
        }
        let last = bucket.put("end", "end".into()).await.expect("put");
        done.store(true, Ordering::SeqCst);
        last
    };
    let mut seen = Seen::default();
    let following = async {
        let (last, ()) = futures::future::join(writing, cutting).await;
        seen.follow(&mut watch, last).await;
    };
    soon("the end", following).await;
    assert_eq!(seen.there, what_is_there(&bucket).await);
    assert!(far.losses() > 1, "it was cut");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_that_is_read_meanwhile_sees_every_change_over_a_killed_server() {
    let mut server = NatsServer::start("").expect("a nats-server");
    let lattice = nats(&server.url()).await;
    let bucket = lattice.bucket("b").await.expect("a bucket");
    let mut watch = bucket.watch("").await.expect("watch");
    assert_eq!(event(&mut watch).await, WatchEvent::InSync);
    let first = bucket.put("a", "1".into()).await.expect("put");
    assert_eq!(event(&mut watch).await.revision(), Some(first));
    server.kill();
    server.again().expect("it starts again");
    let second = connected(|| bucket.put("b", "2".into())).await;
    assert!(second > first, "revisions are never used twice");
    let shown = loop {
        // A write whose answer was lost is a write.
        let event = event(&mut watch).await;
        assert!(matches!(&event, WatchEvent::Put(entry) if entry.key == "b"), "{event:?}");
        if event.revision() == Some(second) {
            break event;
        }
    };
    assert!(matches!(shown, WatchEvent::Put(_)));
    bucket.delete("a", None).await.expect("delete");
    assert!(matches!(event(&mut watch).await, WatchEvent::Delete { key, .. } if key == "a"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_watcher_holds_little_and_ends_up_right() {
    let server = NatsServer::start("").expect("a nats-server");
    let lattice = nats(&server.url()).await;
    let bucket = lattice.bucket("b").await.expect("a bucket");
    let mut watch = bucket.watch("").await.expect("watch");
    assert_eq!(event(&mut watch).await, WatchEvent::InSync);
    let mut last = 0;
    for i in 0..2_000 {
        last = bucket.put(&format!("k{}", i % 3), vec![0; 1_000].into()).await.expect("put");
    }
    let mut shown = 0;
    loop {
        shown += 1;
        if event(&mut watch).await.revision() == Some(last) {
            break;
        }
    }
    assert!(shown < 200, "{shown} of 2,000 changes of three keys were shown");
}

#[tokio::test]
async fn a_bucket_that_is_gone_ends_its_watches_and_is_made_anew() {
    let server = NatsServer::start("").expect("a nats-server");
    let lattice = nats(&server.url()).await;
    let bucket = lattice.bucket("b").await.expect("a bucket");
    for i in 0..5 {
        bucket.put(&format!("k{i}"), "1".into()).await.expect("put");
    }
    let mut watch = bucket.watch("").await.expect("watch");
    Seen::default().follow(&mut watch, 5).await;
    let deleted = lattice.request("$JS.API.STREAM.DELETE.KV_UMBEL_default_b", "".into(), super::SOON).await;
    assert!(String::from_utf8_lossy(&deleted.expect("an answer").payload).contains("true"));
    assert_eq!(bucket.get("k0").await.expect("get"), None);
    let revision = bucket.put("k0", "anew".into()).await.expect("put");
    assert_eq!(what_is_there(&bucket).await, [("k0".to_string(), revision)].into());
    assert_eq!(soon("the end of the watch", watch.next()).await, None);
    let error = bucket.watch_from("", 5).await.map(|_| ()).expect_err("it was another bucket");
    assert!(matches!(error, LatticeError::RevisionGone { after: 5, .. }), "{error}");
}

#[tokio::test]
async fn a_watch_of_a_prefix_shows_its_keys_and_no_others() {
    let server = NatsServer::start("").expect("a nats-server");
    let lattice = nats(&server.url()).await;
    let bucket = lattice.bucket("b").await.expect("a bucket");
    for key in ["a.b.c", "a.bc", "a.b", "ab", "a.x", "a.b.d.e"] {
        bucket.put(key, key.to_string().into()).await.expect("put");
    }
    for (prefix, expect) in [
        ("a.b", &["a.b", "a.b.c", "a.b.d.e", "a.bc"][..]),
        ("a.b.", &["a.b.c", "a.b.d.e"]),
        ("a", &["a.b", "a.b.c", "a.b.d.e", "a.bc", "a.x", "ab"]),
        ("x.", &[]),
    ] {
        let keys: Vec<String> =
            bucket.entries(prefix).await.expect("entries").into_iter().map(|entry| entry.key).collect();
        assert_eq!(keys, expect, "{prefix}");
    }
}
