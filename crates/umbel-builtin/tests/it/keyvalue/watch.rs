//! Components that watch a bucket.

use super::{Bed, link, text};
use futures::future::BoxFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use umbel_builtin::keyvalue::contract::{Bucket, Client};
use umbel_core::Problem;
use umbel_core::code::guest;
use umbel_supervisor::cores::Cores;
use umbel_wit::{Call, Resource, Serve, Value};

/// What a watcher was told: the function, the key, and the value of a set.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    function: String,
    key: String,
    value: Option<String>,
}

/// A component that exports `wasi:keyvalue/watcher`.
struct Watcher {
    told: mpsc::Sender<(Told, Resource)>,
    answers: Arc<AtomicBool>,
}

impl Serve for Watcher {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Option<Value>, Problem>> {
        assert_eq!(&*call.interface, "wasi:keyvalue/watcher");
        let (told, answers) = (self.told.clone(), self.answers.load(Ordering::Acquire));
        Box::pin(async move {
            assert!(Cores::current().is_some(), "guests run on the data path");
            let mut args = call.args.into_iter();
            let (Some(Value::Own(bucket)), Some(Value::String(key))) = (args.next(), args.next()) else {
                panic!("a watcher takes a bucket and a key")
            };
            let value = args.next().map(|value| match value {
                Value::Bytes(value) => String::from_utf8(value.to_vec()).expect("text"),
                other => panic!("{other:?}"),
            });
            assert!(args.next().is_none());
            let event = Told { function: call.function.to_string(), key, value };
            told.send((event, bucket)).await.expect("the test listens");
            if !answers {
                std::future::pending::<()>().await;
            }
            Ok(None)
        })
    }
}

pub(super) struct Listener {
    told: mpsc::Receiver<(Told, Resource)>,
    answers: Arc<AtomicBool>,
}

impl Listener {
    pub(super) fn start(bed: &Bed, component: &str) -> Listener {
        let (told, receiver) = mpsc::channel(10_000);
        let answers = Arc::new(AtomicBool::new(true));
        bed.components.set(component, Some(Arc::new(Watcher { told, answers: answers.clone() })));
        Listener { told: receiver, answers }
    }

    async fn next(&mut self) -> (Told, Resource) {
        let next = tokio::time::timeout(Duration::from_secs(20), self.told.recv()).await;
        next.expect("a watcher is told").expect("it lives")
    }

    pub(super) async fn expect(&mut self, function: &str, key: &str, value: Option<&str>) -> Resource {
        let (told, bucket) = self.next().await;
        let value = value.map(Into::into);
        assert_eq!(told, Told { function: function.into(), key: key.into(), value });
        bucket
    }
}

#[tokio::test]
async fn a_watcher_is_told_of_every_change_in_order() {
    let folder = tempfile::tempdir().expect("a folder");
    is_told_in_order(Bed::open(folder.path(), &[]).await).await;
}

/// What every provider with watchers does.
pub(super) async fn is_told_in_order(bed: Bed) {
    let mut listener = Listener::start(&bed, "app-watcher");
    bed.provider.put_link(link("keyvalue", "app-watcher", &[], &[])).await.expect("a link");
    let client: Client = bed.client("app");
    let bucket = bed.bucket("app", "default").await;
    bed.bucket("other", "default").await.set("key", "of another application").await.expect("set");
    bucket.set("key", "one").await.expect("set");
    bucket.delete("missing").await.expect("delete");
    bucket.set_many(&[("a", "1".into()), ("b", "2".into())]).await.expect("set");
    bucket.increment("n", 7).await.expect("increment");
    assert!(bucket.cas("key").await.expect("cas").swap("two").await.is_ok());
    bucket.delete_many(&["a", "b"]).await.expect("delete");

    let handed = listener.expect("on-set", "key", Some("one")).await;
    listener.expect("on-set", "a", Some("1")).await;
    listener.expect("on-set", "b", Some("2")).await;
    listener.expect("on-set", "n", Some("7")).await;
    listener.expect("on-set", "key", Some("two")).await;
    listener.expect("on-delete", "a", None).await;
    listener.expect("on-delete", "b", None).await;
    let handed = Bucket::of(&client, handed);
    assert_eq!(
        text(handed.get("key").await).as_deref(),
        Some("two"),
        "the bucket that it is handed is the one"
    );

    bed.provider.del_link(&link("keyvalue", "app-watcher", &[], &[]).link.key()).await.expect("del");
    bucket.set("after", "x").await.expect("set");
    bed.stop().await;
    assert!(listener.told.try_recv().is_err(), "a link that is gone tells nothing");
}

#[tokio::test]
async fn a_link_says_what_is_watched() {
    let folder = tempfile::tempdir().expect("a folder");
    is_told_what_it_watches(Bed::open(folder.path(), &[]).await).await;
}

/// What every provider with watchers does.
pub(super) async fn is_told_what_it_watches(bed: Bed) {
    let mut listener = Listener::start(&bed, "app-watcher");
    let config = [("watch", "SET@order/*,DEL@flag"), ("bucket", "orders")];
    bed.provider.put_link(link("keyvalue", "app-watcher", &config, &[])).await.expect("a link");
    let mut shared = Listener::start(&bed, "app-shared");
    let config = [("scope", "shared")];
    bed.provider.put_link(link("keyvalue", "app-shared", &config, &[])).await.expect("a link");

    bed.bucket("app", "default").await.set("order/1", "wrong bucket").await.expect("set");
    let orders = bed.bucket("app", "orders").await;
    for key in ["order/1", "flag", "else"] {
        orders.set(key, "x").await.expect("set");
        orders.delete(key).await.expect("delete");
    }
    let everybody = bed.client("third").with(&[("scope", "shared")]);
    everybody.open("orders").await.expect("open").set("order/2", "y").await.expect("set");
    listener.expect("on-set", "order/1", Some("x")).await;
    listener.expect("on-delete", "flag", None).await;
    shared.expect("on-set", "order/2", Some("y")).await;

    let wrong = link("keyvalue", "app-watcher", &[("watch", "order")], &[]);
    assert_eq!(bed.provider.put_link(wrong).await.expect_err("refused").code.to_string(), "UM1108");
    bed.stop().await;
    assert!(listener.told.try_recv().is_err() && shared.told.try_recv().is_err(), "nothing else was told");
}

#[tokio::test]
async fn a_watcher_that_never_answers_holds_up_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let bed = Bed::open(folder.path(), &[("watch_timeout_ms", "50")]).await;
    let mut stuck = Listener::start(&bed, "app-stuck");
    stuck.answers.store(false, Ordering::Release);
    bed.provider.put_link(link("keyvalue", "app-stuck", &[], &[])).await.expect("a link");
    let mut well = Listener::start(&bed, "app-well");
    bed.provider.put_link(link("keyvalue", "app-well", &[], &[])).await.expect("a link");
    bed.provider.put_link(link("keyvalue", "app-missing", &[], &[])).await.expect("a link");
    let bucket = bed.bucket("app", "default").await;
    for n in 0..20 {
        bucket.set(&n.to_string(), "x").await.expect("set");
    }
    for n in 0..20 {
        well.expect("on-set", &n.to_string(), Some("x")).await;
    }
    // Each call is given up after its time, and the next change is told.
    stuck.expect("on-set", "0", Some("x")).await;
    stuck.expect("on-set", "1", Some("x")).await;
    // A change that is larger than all that may wait is told too, or dropped, but never waited for.
    stuck.answers.store(true, Ordering::Release);
    bucket.set("big", vec![b'x'; 8 << 20]).await.expect("set");
    assert_eq!(well.next().await.0.key, "big");
    bed.stop().await;
}

#[tokio::test]
async fn a_queue_that_is_full_drops_and_the_writer_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let bed = Bed::open(folder.path(), &[]).await;
    let mut stuck = Listener::start(&bed, "app-stuck");
    stuck.answers.store(false, Ordering::Release);
    bed.provider.put_link(link("keyvalue", "app-stuck", &[], &[])).await.expect("a link");
    let bucket = bed.bucket("app", "default").await;
    let keys: Vec<String> = (0..5_000).map(|n| n.to_string()).collect();
    for keys in keys.chunks(1_000) {
        let items: Vec<_> = keys.iter().map(|key| (key.as_str(), "x".into())).collect();
        bucket.set_many(&items).await.expect("set");
    }
    assert_eq!(bucket.keys().await.len(), 5_000);
    stuck.expect("on-set", "0", Some("x")).await;
    // What waits is dropped with the link, and stopping waits for nobody who never answers.
    bed.provider.del_link(&link("keyvalue", "app-stuck", &[], &[]).link.key()).await.expect("del");
    tokio::time::timeout(Duration::from_secs(20), bed.provider.stop(Duration::from_millis(50)))
        .await
        .expect("it ends");
}

#[tokio::test]
async fn a_watcher_that_fails_is_told_of_the_next_change() {
    struct Failing(mpsc::Sender<String>);
    impl Serve for Failing {
        fn call(&self, call: Call) -> BoxFuture<'static, Result<Option<Value>, Problem>> {
            let told = self.0.clone();
            Box::pin(async move {
                let Some(Value::String(key)) = call.args.into_iter().nth(1) else { panic!("a key") };
                told.send(key).await.expect("the test listens");
                Err(Problem::new(guest::TRAPPED, "it trapped"))
            })
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let bed = Bed::open(folder.path(), &[]).await;
    let (told, mut keys) = mpsc::channel(10);
    bed.components.set("app-failing", Some(Arc::new(Failing(told))));
    bed.provider.put_link(link("keyvalue", "app-failing", &[], &[])).await.expect("a link");
    let bucket = bed.bucket("app", "default").await;
    for key in ["one", "two"] {
        bucket.set(key, "x").await.expect("set");
        let told = tokio::time::timeout(Duration::from_secs(20), keys.recv()).await;
        assert_eq!(told.expect("a watcher is told").as_deref(), Some(key));
    }
    bed.stop().await;
}
