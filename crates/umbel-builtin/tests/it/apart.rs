//! Providers that ship, behind the wire of a provider process: they keep their contracts there too.

use futures::future::BoxFuture;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use umbel_builtin::blobstore::Blobstore;
use umbel_builtin::keyvalue::Keyvalue;
use umbel_builtin::keyvalue::contract::{Client, Draft, Limits, check};
use umbel_core::Problem;
use umbel_core::link::{Contract, Distance, LinkKey, ResolvedLink};
use umbel_provider::remote::Remote;
use umbel_provider::testing::{Harness, PROVIDER};
use umbel_provider::{Health, Provider};
use umbel_wit::{Call, Resource, Serve, Value};

/// Puts the link of each caller before its first call, as a host does.
struct Linked {
    remote: Arc<Remote>,
    contract: Contract,
    known: tokio::sync::Mutex<BTreeSet<String>>,
}

impl Linked {
    fn server(remote: &Arc<Remote>, contract: Contract) -> Arc<dyn Serve> {
        let linked = Linked { remote: remote.clone(), contract, known: tokio::sync::Mutex::default() };
        Arc::new(Server(Arc::new(linked)))
    }
}

fn keyvalue() -> Contract {
    Contract::new("wasi", "keyvalue", &["store", "atomics", "batch", "watcher"])
}

struct Server(Arc<Linked>);

impl Serve for Server {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Option<Value>, Problem>> {
        let linked = self.0.clone();
        Box::pin(async move {
            let mut known = linked.known.lock().await;
            let link = &call.link;
            if known.insert(format!("{link:?}")) {
                let link = ResolvedLink::new(
                    umbel_core::link::Link {
                        source_id: link.source_id.clone(),
                        target: PROVIDER.into(),
                        name: link.name.clone(),
                        contract: linked.contract.clone(),
                        source_config: Vec::new(),
                        target_config: Vec::new(),
                        distance: Distance::Any,
                    },
                    [].into(),
                    link.values.clone(),
                );
                linked.remote.put_link(link).await?;
            }
            drop(known);
            let server = linked.remote.serve().expect("it serves");
            server.call(call).await
        })
    }
}

fn cores() -> Arc<umbel_supervisor::cores::Cores> {
    umbel_supervisor::cores::Cores::start(1, "apart-test").expect("a thread")
}

#[tokio::test(flavor = "multi_thread")]
async fn keyvalue_keeps_its_contract() {
    let harness = Harness::start(Arc::new(Keyvalue::new(cores())), &[]).await.expect("a provider");
    let server = Linked::server(&harness.remote, keyvalue());
    check(&server, Limits { key_bytes_max: 1_024, value_bytes_max: 8 << 20 }).await;
    assert_eq!(harness.remote.check().await, Health::Healthy);
    assert!(harness.folder().join("keyvalue.redb").exists(), "it keeps its data in its own folder");
    harness.stop().await.expect("it ends well");
}

#[tokio::test(flavor = "multi_thread")]
async fn blobstore_keeps_its_contract() {
    let harness = Harness::start(Arc::new(Blobstore::new()), &[]).await.expect("a provider");
    let contract = Contract::new("wasi", "blobstore", &["blobstore", "container", "types"]);
    crate::blobstore::contract::all(Linked::server(&harness.remote, contract)).await;
    harness.stop().await.expect("it ends well");
}

/// A component that hears of changes, and reads the value through the bucket that it is handed.
struct Watcher {
    seen: Arc<AtomicUsize>,
    remote: Arc<Remote>,
}

impl Serve for Watcher {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Option<Value>, Problem>> {
        let (seen, remote) = (self.seen.clone(), self.remote.clone());
        Box::pin(async move {
            let mut args = call.args.into_iter();
            let (Some(Value::Own(bucket)), Some(Value::String(key))) = (args.next(), args.next()) else {
                panic!("a bucket and a key")
            };
            assert_eq!(read(&remote, &bucket, &key).await, r#"Result(Ok(Some(Option(Some(Bytes(b"v"))))))"#);
            seen.fetch_add(1, Ordering::SeqCst);
            Ok(None)
        })
    }
}

async fn read(remote: &Arc<Remote>, bucket: &Resource, key: &str) -> String {
    let link =
        umbel_wit::Link { source_id: "app-watch".into(), name: "default".into(), ..Default::default() };
    let call = Call {
        link: Arc::new(link),
        interface: "wasi:keyvalue/store".into(),
        version: Some("0.2.0-draft".parse().expect("a version")),
        function: "[method]bucket.get".into(),
        args: vec![Value::Borrow(bucket.clone()), key.into()],
        patience: Some(Duration::from_secs(20)),
    };
    let value = remote.serve().expect("it serves").call(call).await.expect("a value");
    format!("{:?}", value.expect("a result"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_is_called_and_calls_back() {
    let harness = Harness::start(Arc::new(Keyvalue::new(cores())), &[]).await.expect("a provider");
    harness.link("app-watch", keyvalue(), &[]).await.expect("a link");
    let seen = Arc::new(AtomicUsize::new(0));
    let watcher = Watcher { seen: seen.clone(), remote: harness.remote.clone() };
    let _component = harness.component("app-watch", Arc::new(watcher)).await.expect("a component");
    harness.link_out("app-watch", keyvalue(), &[]).await.expect("a link");
    let server = Linked::server(&harness.remote, keyvalue());
    let bucket = Client::new(&server, Draft::One, "app").open("b").await.expect("a bucket");
    bucket.set("k", "v").await.expect("it is set");
    let told = async {
        while seen.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), told).await.expect("it is told");
    harness.stop().await.expect("it ends well");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_provider_refuses_is_told_with_its_code() {
    let problem = Harness::start(Arc::new(Keyvalue::new(cores())), &[("no-such-key", "1")]).await.err();
    let problem = problem.expect("a wrong config");
    assert!(problem.message.contains("no-such-key"), "{problem}");
    let harness = Harness::start(Arc::new(Keyvalue::new(cores())), &[]).await.expect("a provider");
    let contract = Contract::new("wasi", "keyvalue", &["store"]);
    let refused = harness.link("app-x", contract.clone(), &[("no-such-key", "1")]).await;
    assert!(refused.expect_err("a wrong link").message.contains("no-such-key"));
    let open = || harness.call("app-x", "wasi:keyvalue/store@0.2.0-draft", "open", vec!["b".into()]);
    let problem = open().await.expect_err("no link");
    assert_eq!(problem.code, umbel_core::code::guest::UNLINKED);
    harness.link("app-x", contract, &[]).await.expect("a link");
    open().await.expect("a bucket");
    let key = LinkKey {
        source_id: "app-x".into(),
        name: "default".into(),
        wit_namespace: "wasi".into(),
        wit_package: "keyvalue".into(),
    };
    harness.remote.del_link(&key).await.expect("it goes");
    assert_eq!(open().await.expect_err("no link").code, umbel_core::code::guest::UNLINKED);
    assert!(harness.remote.put_config([("no-such-key".to_string(), "1".to_string())].into()).await.is_err());
    harness.stop().await.expect("it ends well");
}
