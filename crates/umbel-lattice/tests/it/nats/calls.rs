//! Calls of contracts over connections that break.

use super::{SOON, soon};
use crate::bed::{name, nats, spawn};
use crate::wrpc::{Store, catalog, links, outgoing};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use umbel_core::code::{lattice, wire};
use umbel_lattice::unix::{DoorSpec, Gate, Open, connect};
use umbel_lattice::wrpc::{Client, ClientLimits, Lent, Outgoing, Server, ServerLimits, ServerSpec};
use umbel_lattice::{Lattice, Nats, NatsSpec};
use umbel_testkit::{NatsServer, Proxy, wait_for};

fn spec(store: Arc<Store>) -> ServerSpec {
    let catalog = catalog();
    ServerSpec {
        id: "kv".into(),
        catalog: Arc::new(move || catalog.clone()),
        serve: store,
        links: links(),
        lent: Lent::new(),
        group: Some("default.kv".into()),
        is_quick: false,
        limits: ServerLimits::default(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_connection_breaks_ends_then_and_the_next_one_is_served() {
    let server = NatsServer::start("").expect("a nats-server");
    let proxy = Proxy::start(server.address()).await.expect("a proxy");
    let (far, near) = (Arc::new(nats(&proxy.url()).await), Arc::new(nats(&server.url()).await));
    let store = Arc::new(Store::default());
    let _server = Server::start(near, spawn(), spec(store.clone())).await.expect("it serves");
    let client =
        Client::new(far.clone(), spawn(), Lent::new(), ClientLimits::default()).await.expect("a client");
    let signature = |name| catalog().outgoing("t:t/store", None, name).expect("a function");
    // A call that would wait for minutes.
    let patient = outgoing(10 * SOON);
    let wait = signature("wait");
    let calling = client.call(&patient, &wait, vec![]);
    let cutting = async {
        wait_for("the call", || store.waiting.load(Ordering::SeqCst) == 1).await;
        proxy.part();
    };
    let (ended, ()) = soon("the end", futures::future::join(calling, cutting)).await;
    assert_eq!(ended.expect_err("it broke").code, wire::CONNECTION_LOST);
    let nothing = signature("nothing");
    let refused = client.call(&patient, &nothing, vec![1_u64.into()]).await.expect_err("no connection");
    assert_eq!(refused.code, lattice::DISCONNECTED, "at once");
    proxy.heal();
    wait_for("the connection", || far.is_connected()).await;
    let answer = soon("an answer", client.call(&patient, &nothing, vec![1_u64.into()])).await;
    assert!(answer.expect("it is served").is_none());
    assert_eq!(client.calls(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_of_one_id_share_the_calls() {
    let server = NatsServer::start("").expect("a nats-server");
    let stores = [Arc::new(Store::default()), Arc::new(Store::default())];
    let mut servers = Vec::new();
    for store in &stores {
        let lattice = Arc::new(nats(&server.url()).await);
        servers.push(Server::start(lattice, spawn(), spec(store.clone())).await.expect("it serves"));
    }
    let lattice: Arc<dyn Lattice> = Arc::new(nats(&server.url()).await);
    let client = Client::new(lattice, spawn(), Lent::new(), ClientLimits::default()).await.expect("a client");
    let open = catalog().outgoing("t:t/store", None, "open").expect("a function");
    let calling = outgoing(SOON);
    let calls: Vec<_> =
        (0..100).map(|_| client.call(&calling, &open, vec!["b".into()])).map(Box::pin).collect();
    let _held: Vec<_> = soon("all", futures::future::join_all(calls)).await;
    let served = stores.map(|store| store.there.load(Ordering::SeqCst));
    assert_eq!(served.iter().sum::<usize>(), 100);
    assert!(served.iter().all(|served| *served >= 10), "{served:?}");
}

/// A provider process on one host, its caller on another that names its inboxes differently; then the first host's connection breaks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_is_told_that_the_connection_of_its_host_broke() {
    let server = NatsServer::start("").expect("a nats-server");
    let proxy = Proxy::start(server.address()).await.expect("a proxy");
    let folder = tempfile::tempdir().expect("a folder");
    let host: Arc<dyn Lattice> = Arc::new(nats(&proxy.url()).await);
    let gate = Gate::open(host.clone(), &folder.path().join("gate"), spawn()).expect("a gate");
    let (_door, token) = gate.expect(DoorSpec { id: "kv".into(), confine: Arc::new(Open) });
    let process = connect(gate.path(), "kv", token.reveal(), &spawn()).await.expect("a connection");
    let process: Arc<dyn Lattice> = Arc::new(process);
    let store = Arc::new(Store::default());
    let _server = Server::start(process.clone(), spawn(), spec(store.clone())).await.expect("it serves");
    let elsewhere =
        NatsSpec { inbox_prefix: "mine.in".into(), ..NatsSpec::parse(&server.url()).expect("an address") };
    let elsewhere = Arc::new(Nats::connect(&elsewhere, name(), spawn()).await.expect("a connection"));
    let client = |lattice| Client::new(lattice, spawn(), Lent::new(), ClientLimits::default());
    let outside = client(elsewhere.clone()).await.expect("a client");
    let signature = |name| catalog().outgoing("t:t/store", None, name).expect("a function");
    let (nothing, wait) = (signature("nothing"), signature("wait"));
    let answer = soon("an answer", outside.call(&outgoing(SOON), &nothing, vec![1_u64.into()])).await;
    assert!(answer.expect("it is served").is_none());

    // The process calls somebody elsewhere who does not answer.
    let mut silent = elsewhere.subscribe("default.far.wrpc.0.0.1.>").await.expect("subscribe");
    let inside = client(process).await.expect("a client");
    let calling = Outgoing { target: "far".into(), ..outgoing(10 * SOON) };
    let waiting = inside.call(&calling, &wait, vec![]);
    let cutting = async {
        soon("the call", silent.next()).await.expect("it came");
        proxy.cut();
    };
    let (ended, ()) = soon("the end", futures::future::join(waiting, cutting)).await;
    assert_eq!(ended.expect_err("it broke").code, wire::CONNECTION_LOST);
}
