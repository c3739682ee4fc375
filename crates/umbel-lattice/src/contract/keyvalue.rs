//! Promises about buckets.

use super::{Factory, SHORT, bucket, event, soon, text};
use crate::{Bucket, LatticeError, WatchEvent};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::task::JoinSet;

/// What is put is there, with a revision that grows with each write.
pub async fn what_is_put_is_there(factory: &dyn Factory) {
    let lattice = factory.fresh().await;
    let b = bucket(&lattice, "b").await;
    assert_eq!(b.get("key").await.expect("get"), None);
    let first = b.put("key", "one".into()).await.expect("put");
    let second = b.put("key", "two".into()).await.expect("put");
    assert!(second > first && first > 0);
    let entry = b.get("key").await.expect("get").expect("an entry");
    assert_eq!((entry.key.as_str(), text(&entry.value), entry.revision), ("key", "two".into(), second));
    b.put("empty", Bytes::new()).await.expect("put");
    assert!(b.get("empty").await.expect("get").expect("an entry").value.is_empty());
    let big = Bytes::from(vec![7; 900_000]);
    b.put("big", big.clone()).await.expect("put");
    assert_eq!(b.get("big").await.expect("get").expect("an entry").value, big);
}

/// `create` succeeds where nothing is, also after a delete.
pub async fn create_needs_absence(factory: &dyn Factory) {
    let lattice = factory.fresh().await;
    let b = bucket(&lattice, "b").await;
    let revision = b.create("key", "one".into()).await.expect("create");
    let error = b.create("key", "two".into()).await.expect_err("it exists");
    assert!(
        matches!(&error, LatticeError::KeyExists { key, revision: r, .. } if key == "key" && *r == revision),
        "{error}"
    );
    assert_eq!(text(&b.get("key").await.expect("get").expect("an entry").value), "one");
    b.delete("key", None).await.expect("delete");
    assert!(b.create("key", "three".into()).await.expect("create") > revision);
}

/// `update` succeeds only at the revision that was read.
pub async fn update_needs_the_revision(factory: &dyn Factory) {
    let lattice = factory.fresh().await;
    let b = bucket(&lattice, "b").await;
    let error = b.update("key", "x".into(), 1).await.expect_err("nothing is there");
    assert!(matches!(error, LatticeError::WrongRevision { actual: None, expected: 1, .. }), "{error}");
    let first = b.put("key", "one".into()).await.expect("put");
    let second = b.update("key", "two".into(), first).await.expect("update");
    let error = b.update("key", "three".into(), first).await.expect_err("it has changed");
    assert!(
        matches!(error, LatticeError::WrongRevision { actual: Some(a), expected: e, .. } if a == second && e == first),
        "{error}"
    );
    assert_eq!(text(&b.get("key").await.expect("get").expect("an entry").value), "two");
}

/// `delete` of nothing is fine unless something was expected.
pub async fn delete_can_need_the_revision(factory: &dyn Factory) {
    let lattice = factory.fresh().await;
    let b = bucket(&lattice, "b").await;
    b.delete("key", None).await.expect("delete of nothing");
    let error = b.delete("key", Some(1)).await.expect_err("nothing is there");
    assert!(matches!(error, LatticeError::WrongRevision { actual: None, .. }), "{error}");
    let first = b.put("key", "one".into()).await.expect("put");
    let second = b.put("key", "two".into()).await.expect("put");
    b.delete("key", Some(first)).await.expect_err("it has changed");
    b.delete("key", Some(second)).await.expect("delete");
    assert_eq!(b.get("key").await.expect("get"), None);
    assert!(b.entries("").await.expect("entries").is_empty());
}

/// Buckets do not see one another; `entries` are sorted by key.
pub async fn buckets_are_separate_and_prefixes_filter(factory: &dyn Factory) {
    let lattice = factory.fresh().await;
    let (a, b) = (bucket(&lattice, "a").await, bucket(&lattice, "b").await);
    for key in ["x/2", "x/1", "x", "y/1", "x0", "X/1"] {
        a.put(key, key.to_string().into()).await.expect("put");
    }
    b.put("x/1", "other".into()).await.expect("put");
    let keys = |entries: Vec<crate::Entry>| entries.into_iter().map(|e| e.key).collect::<Vec<_>>();
    assert_eq!(keys(a.entries("x/").await.expect("entries")), ["x/1", "x/2"]);
    assert_eq!(keys(a.entries("").await.expect("entries")), ["X/1", "x", "x/1", "x/2", "x0", "y/1"]);
    assert_eq!(keys(a.entries("z").await.expect("entries")), Vec::<String>::new());
    assert_eq!(keys(b.entries("").await.expect("entries")), ["x/1"]);
    a.delete("x/1", None).await.expect("delete");
    assert_eq!(text(&b.get("x/1").await.expect("get").expect("an entry").value), "other");
}

/// What some engine could not hold is refused by all.
pub async fn bad_keys_are_refused(factory: &dyn Factory) {
    let lattice = factory.fresh().await;
    let b = bucket(&lattice, "b").await;
    let long = "k".repeat(crate::bucket::KEY_BYTES_MAX + 1);
    let invalid = |error: LatticeError| matches!(error, LatticeError::InvalidKey { .. });
    for key in ["", ".a", "a.", "a..b", "a b", "a*", ">", "ä", "a\0", "a:b", &long] {
        assert!(invalid(b.put(key, Bytes::new()).await.expect_err(key)), "{key:?}");
        assert!(invalid(b.get(key).await.expect_err(key)), "{key:?}");
    }
    for name in ["", "a.b", "a b", "a/b", "ä"] {
        assert!(invalid(lattice.bucket(name).await.expect_err(name)), "{name:?}");
    }
    let too_large = Bytes::from(vec![0; crate::bucket::VALUE_BYTES_MAX + 1]);
    assert!(matches!(b.put("k", too_large).await.expect_err("too large"), LatticeError::TooLarge { .. }));
}

/// Tasks that increment one number by compare-and-swap lose no increment.
pub async fn racing_increments_lose_nothing(factory: &dyn Factory) {
    const TASKS: u64 = 8;
    const EACH: u64 = 25;
    let lattice = factory.fresh().await;
    let b = bucket(&lattice, "b").await;
    b.create("n", "0".into()).await.expect("create");
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let b = b.clone();
        tasks.spawn(async move {
            for _ in 0..EACH {
                increment(&b).await;
            }
        });
    }
    soon("the tasks", tasks.join_all()).await;
    assert_eq!(text(&b.get("n").await.expect("get").expect("an entry").value), (TASKS * EACH).to_string());
}

async fn increment(b: &Arc<dyn Bucket>) {
    loop {
        let entry = b.get("n").await.expect("get").expect("an entry");
        let n: u64 = text(&entry.value).parse().expect("a number");
        match b.update("n", (n + 1).to_string().into(), entry.revision).await {
            Ok(_) => return,
            Err(LatticeError::WrongRevision { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// Of several who create the same entry, one succeeds, and what it wrote is there.
pub async fn racing_creates_have_one_winner(factory: &dyn Factory) {
    let lattice = factory.fresh().await;
    let b = bucket(&lattice, "b").await;
    for round in 0..10 {
        let key = format!("k{round}");
        let mut tasks = JoinSet::new();
        for task in 0..8 {
            let (b, key) = (b.clone(), key.clone());
            tasks.spawn(async move { b.create(&key, task.to_string().into()).await.ok().map(|_| task) });
        }
        let winners: Vec<i32> = soon("the tasks", tasks.join_all()).await.into_iter().flatten().collect();
        let entry = b.get(&key).await.expect("get").expect("an entry");
        assert_eq!(winners.len(), 1, "{winners:?}");
        assert_eq!(text(&entry.value), winners[0].to_string());
    }
}

/// First what is there, then the marker, then what happens; only of keys with the prefix.
pub async fn a_watch_replays_then_follows(factory: &dyn Factory) {
    let lattice = factory.fresh().await;
    let b = bucket(&lattice, "b").await;
    b.put("app/gone", "x".into()).await.expect("put");
    b.put("app/b", "1".into()).await.expect("put");
    b.put("other", "x".into()).await.expect("put");
    b.put("app/a", "2".into()).await.expect("put");
    b.delete("app/gone", None).await.expect("delete");
    let mut watch = b.watch("app/").await.expect("watch");
    assert_eq!(shown(event(&mut watch).await), "put app/b 1");
    assert_eq!(shown(event(&mut watch).await), "put app/a 2");
    assert_eq!(event(&mut watch).await, WatchEvent::InSync);
    // Each is awaited before the next is made, so none may be passed over.
    let steps: [(&str, Option<&str>, &str); 4] = [
        ("app/c", Some("3"), "put app/c 3"),
        ("app/a", Some("4"), "put app/a 4"),
        ("app/b", None, "delete app/b"),
        ("app/b", Some("5"), "put app/b 5"),
    ];
    for (key, value, expect) in steps {
        b.put("other", "y".into()).await.expect("put");
        match value {
            Some(value) => drop(b.put(key, value.into()).await.expect("put")),
            None => b.delete(key, None).await.expect("delete"),
        }
        assert_eq!(shown(event(&mut watch).await), expect);
    }
    let mut empty = b.watch("nothing/").await.expect("watch");
    assert_eq!(event(&mut empty).await, WatchEvent::InSync);
}

fn shown(event: WatchEvent) -> String {
    match event {
        WatchEvent::Put(entry) => format!("put {} {}", entry.key, text(&entry.value)),
        WatchEvent::Delete { key, .. } => format!("delete {key}"),
        WatchEvent::InSync => "in sync".into(),
    }
}

/// With many writers, revisions only grow, and what was shown adds up to what is there.
pub async fn a_watch_is_in_order_and_complete(factory: &dyn Factory) {
    let lattice = factory.fresh().await;
    let b = bucket(&lattice, "b").await;
    b.put("k0", "before".into()).await.expect("put");
    let mut watch = b.watch("").await.expect("watch");
    let mut tasks = JoinSet::new();
    for task in 0..4_u32 {
        let b = b.clone();
        tasks.spawn(async move {
            for i in 0..60_u32 {
                let key = format!("k{}", (task + i) % 5);
                if i % 7 == 3 {
                    b.delete(&key, None).await.expect("delete");
                } else {
                    b.put(&key, format!("{task}.{i}").into()).await.expect("put");
                }
            }
        });
    }
    soon("the tasks", tasks.join_all()).await;
    let last = b.put("end", "end".into()).await.expect("put");
    let (model, markers) = replay(&mut watch, last).await;
    assert_eq!(markers, 1, "the marker comes once");
    let there: BTreeMap<String, u64> =
        b.entries("").await.expect("entries").into_iter().map(|e| (e.key, e.revision)).collect();
    assert_eq!(model, there);
}

/// Follows a watch until a revision; what it adds up to, and how often the marker came.
async fn replay(watch: &mut crate::Watch, until: u64) -> (BTreeMap<String, u64>, usize) {
    let mut model = BTreeMap::new();
    let (mut markers, mut before) = (0, 0);
    while before < until || markers == 0 {
        let event = event(watch).await;
        if let Some(revision) = event.revision() {
            assert!(revision > before, "{revision} was shown after {before}");
            before = revision;
        }
        match event {
            WatchEvent::Put(entry) => drop(model.insert(entry.key, entry.revision)),
            WatchEvent::Delete { key, .. } => drop(model.remove(&key)),
            WatchEvent::InSync => markers += 1,
        }
    }
    (model, markers)
}

/// A watcher that looks late still ends with the truth.
pub async fn a_slow_watch_ends_up_right(factory: &dyn Factory) {
    let lattice = factory.fresh().await;
    let b = bucket(&lattice, "b").await;
    let mut watch = b.watch("").await.expect("watch");
    assert_eq!(event(&mut watch).await, WatchEvent::InSync);
    let mut tasks = JoinSet::new();
    for task in 0..8 {
        let b = b.clone();
        tasks.spawn(async move {
            for i in 0..100 {
                b.put(&format!("k{}", (i * 7 + task) % 20), i.to_string().into()).await.expect("put");
            }
        });
    }
    soon("the tasks", tasks.join_all()).await;
    b.delete("k3", None).await.expect("delete");
    let last = b.put("end", Bytes::new()).await.expect("put");
    let mut model = BTreeMap::new();
    let mut before = 0;
    while before < last {
        let event = event(&mut watch).await;
        before = event.revision().expect("the marker comes once");
        match event {
            WatchEvent::Put(entry) => drop(model.insert(entry.key.clone(), entry.value)),
            WatchEvent::Delete { key, .. } => drop(model.remove(&key)),
            WatchEvent::InSync => panic!("the marker comes once"),
        }
    }
    let there: BTreeMap<String, Bytes> =
        b.entries("").await.expect("entries").into_iter().map(|e| (e.key, e.value)).collect();
    assert_eq!(model, there);
}

/// A watch that resumes shows what changed since, deletes included, and nothing twice.
pub async fn a_watch_resumes(factory: &dyn Factory) {
    let lattice = factory.fresh().await;
    let b = bucket(&lattice, "b").await;
    b.put("a", "1".into()).await.expect("put");
    b.put("b", "2".into()).await.expect("put");
    let mut watch = b.watch("").await.expect("watch");
    let mut after = 0;
    loop {
        let event = event(&mut watch).await;
        match event.revision() {
            Some(revision) => after = revision,
            None => break,
        }
    }
    drop(watch);
    b.delete("a", None).await.expect("delete");
    b.put("c", "3".into()).await.expect("put");
    let mut watch = b.watch_from("", after).await.expect("watch");
    assert_eq!(shown(event(&mut watch).await), "delete a");
    assert_eq!(shown(event(&mut watch).await), "put c 3");
    assert_eq!(event(&mut watch).await, WatchEvent::InSync);
    b.put("d", "4".into()).await.expect("put");
    assert_eq!(shown(event(&mut watch).await), "put d 4");
}

/// Entries, deletes and the order of revisions survive.
pub async fn state_survives_reopening(factory: &dyn Factory) {
    let mut lattice = factory.fresh().await;
    let mut last = 0;
    for round in 0..3_u32 {
        let b = bucket(&lattice, "b").await;
        for i in 0..20 {
            let revision = b.put(&format!("k{i}"), format!("{round}.{i}").into()).await.expect("put");
            assert!(revision > last, "{revision} after {last}");
            last = revision;
        }
        b.delete("k7", None).await.expect("delete");
        let before = b.entries("").await.expect("entries");
        assert_eq!(before.len(), 19);
        drop(b);
        lattice = factory.reopen(lattice).await;
        let b = bucket(&lattice, "b").await;
        assert_eq!(b.entries("").await.expect("entries"), before, "values and revisions are the same");
        assert_eq!(b.get("k7").await.expect("get"), None);
        let mut watch = b.watch("k1").await.expect("watch");
        assert_eq!(shown(event(&mut watch).await), format!("put k1 {round}.1"));
        let entry = b.get("k3").await.expect("get").expect("an entry");
        last = b.update("k3", "cas".into(), entry.revision).await.expect("revisions can still be compared");
    }
}

/// Closing waits for writes that wait: each is either durable or refused.
pub async fn pending_writes_survive_closing(factory: &dyn Factory) {
    let lattice = factory.fresh().await;
    let mut tasks = JoinSet::new();
    for task in 0..8 {
        let b = bucket(&lattice, "b").await;
        tasks.spawn(async move {
            let mut acked = 0_u32;
            loop {
                match b.put(&format!("k{task}"), acked.to_string().into()).await {
                    Ok(_) => acked += 1,
                    Err(LatticeError::Closed) => return (task, acked),
                    Err(error) => panic!("{error}"),
                }
            }
        });
    }
    tokio::time::sleep(SHORT).await;
    soon("close", lattice.close()).await;
    let results = soon("the tasks", tasks.join_all()).await;
    let lattice = factory.reopen(lattice).await;
    let b = bucket(&lattice, "b").await;
    for (task, acked) in results {
        let found = b.get(&format!("k{task}")).await.expect("get").map(|e| text(&e.value));
        // The last write may have become durable although its answer said closed.
        let (acked, last) = (acked.checked_sub(1).map(|n| n.to_string()), Some(acked.to_string()));
        assert!(found == acked || found == last, "task {task}: {found:?}, acked {acked:?}");
    }
}
